"""Small Keras models of every kind, whose configurations are recorded under tests/data/keras.

`python -m tests.interop.keras_models` records them again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "data" / "keras"


def sequential(keras: Any) -> Any:
    """Build a chain with an activation layer, a regularizer and a frozen end."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(
                4, 3, padding="same", kernel_initializer=keras.initializers.HeNormal(seed=3),
                kernel_regularizer="l2",
            ),
            layers.BatchNormalization(scale=False),
            layers.Activation("linear"),
            layers.SeparableConv2D(5, 3, strides=2, activation=layers.LeakyReLU()),
            layers.Conv2DTranspose(2, 2, bias_initializer="ones"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax", trainable=False, name="out"),
        ],
        name="chain",
    )  # fmt: skip


def branches(keras: Any) -> Any:
    """Build two inputs, a sum, an operation and two outputs."""
    layers = keras.layers
    a, b = keras.Input((8,), name="a"), keras.Input((6,), name="b")
    x, y = layers.Dense(4, name="left")(a), layers.Dense(4, name="right")(b)
    z = layers.Add(name="sum")([x, y * 2.0])
    ends = [layers.Dense(1, name="score")(z), layers.Dense(2, name="side")(x)]
    return keras.Model([a, b], ends, name="net")


def nested(keras: Any) -> Any:
    """Build models within a model, one of them called by names and one twice."""
    layers = keras.layers
    p, q = keras.Input((4,), name="p"), keras.Input((5,), name="q")
    pair = layers.Concatenate(name="both")([layers.Dense(2, name="one")(p), q])
    inner = keras.Model({"p": p, "q": q}, pair, name="inner")
    block = keras.Sequential(
        [keras.Input((5,)), layers.Dense(6, name="up"), layers.Dense(5, name="down")], name="block"
    )
    x, y = keras.Input((4,), name="x"), keras.Input((5,), name="y")
    merged = inner({"q": block(block(y)), "p": x})
    return keras.Model([x, y], layers.Dense(3, name="head")(merged), name="outer")


def shared(keras: Any) -> Any:
    """Build a layer that is called twice."""
    layers = keras.layers
    left, right = keras.Input((7,), name="l"), keras.Input((7,), name="r")
    tower = layers.Dense(4, use_bias=False, name="tower")
    pair = layers.Concatenate(name="pair")([tower(left), tower(right)])
    return keras.Model([left, right], layers.Dense(1, name="out")(pair), name="twins")


def recurrent(keras: Any) -> Any:
    """Build masked steps through layers in both directions, and cells."""
    layers = keras.layers
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = layers.Embedding(20, 6, mask_zero=True, name="embed")(tokens)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True, name="lstm"), name="both")(x)
    x = layers.GRU(4, reset_after=False, return_sequences=True, name="gru")(x)
    cells = [layers.LSTMCell(3, name="first"), layers.GRUCell(2, name="second")]
    x = layers.RNN(cells, return_sequences=True, name="cells")(x)
    x = layers.TimeDistributed(layers.Dense(5, name="each"), name="steps")(x)
    return keras.Model(tokens, layers.SimpleRNN(2, name="last")(x), name="text")


def states(keras: Any) -> Any:
    """Build an encoder whose states start a decoder."""
    layers = keras.layers
    source, target = keras.Input((None, 5), name="source"), keras.Input((None, 6), name="target")
    _, hidden, cell = layers.LSTM(4, return_state=True, name="encoder")(source)
    decoder = layers.LSTM(4, return_sequences=True, name="decoder")
    x = decoder(target, initial_state=[hidden, cell])
    return keras.Model([source, target], layers.Dense(3, name="out")(x), name="seq2seq")


def attention(keras: Any) -> Any:
    """Build attention of several kinds, with its arguments by name, in order and masked."""
    layers = keras.layers
    x, mask = keras.Input((7, 8), name="x"), keras.Input((7, 7), dtype="bool", name="mask")
    y = layers.MultiHeadAttention(2, 4, name="mha")(x, x, attention_mask=mask)
    y = layers.LayerNormalization(name="norm")(layers.Add(name="sum")([x, y]))
    y = layers.MultiHeadAttention(2, 3, value_dim=5, dropout=0.1, name="named")(
        key=x, value=x, query=y
    )
    y = layers.GroupQueryAttention(2, 4, 2, name="gqa")(y, y)
    y = layers.SpectralNormalization(layers.Dense(3, name="dense"), name="spectral")(y)
    return keras.Model([x, mask], y, name="attend")


def mixed(keras: Any) -> Any:
    """Build layers of other dtypes."""
    layers = keras.layers
    x = keras.Input((8,), name="x")
    y = layers.Dense(4, dtype="mixed_bfloat16", name="mixed")(x)
    return keras.Model(x, layers.Dense(2, dtype="bfloat16", name="half")(y), name="net")


MODELS: dict[str, Callable[[Any], Any]] = {
    "sequential": sequential,
    "branches": branches,
    "nested": nested,
    "shared": shared,
    "recurrent": recurrent,
    "states": states,
    "attention": attention,
    "mixed": mixed,
}


def record() -> None:
    """Write the configurations of all models."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    DATA.mkdir(parents=True, exist_ok=True)
    for name, build in MODELS.items():
        keras.utils.clear_session()
        config = json.loads(build(keras).to_json())
        text = json.dumps(config, indent=1) + "\n"
        (DATA / f"{name}.json").write_text(text, "utf-8")


if __name__ == "__main__":
    record()
