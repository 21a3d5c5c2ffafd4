"""The sample specs of networks with branches and with recurrent layers, against real models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from glorot_cli import load_spec, make_plan, write_weights
from tests.interop.test_keras_files import SPECS, assert_holds

pytestmark = pytest.mark.interop


def text_lstm(keras: Any) -> Any:
    layers = keras.layers
    tokens = keras.Input((None,), dtype="int32")
    x = layers.Embedding(20000, 128)(tokens)
    x = layers.Bidirectional(layers.LSTM(64, return_sequences=True))(x)
    x = layers.Bidirectional(layers.LSTM(64))(x)
    return keras.Model(tokens, layers.Dense(1, activation="sigmoid")(x))


def unet(keras: Any) -> Any:
    layers = keras.layers

    def twice(x: Any, filters: int, name: str) -> Any:
        for part in "ab":
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"{name}{part}")(
                x
            )
        return x

    image = keras.Input((128, 128, 3))
    down_1 = twice(image, 16, "down_1")
    down_2 = twice(layers.MaxPooling2D()(down_1), 32, "down_2")
    bottom = twice(layers.MaxPooling2D()(down_2), 64, "bottom_")
    rise_2 = layers.Conv2DTranspose(32, 2, strides=2, name="rise_2")(bottom)
    up_2 = twice(layers.Concatenate()([rise_2, down_2]), 32, "up_2")
    rise_1 = layers.Conv2DTranspose(16, 2, strides=2, name="rise_1")(up_2)
    up_1 = twice(layers.Concatenate()([rise_1, down_1]), 16, "up_1")
    return keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid", name="mask")(up_1))


def tickets(keras: Any) -> Any:
    layers = keras.layers
    title, body, tags = keras.Input((20,)), keras.Input((100,)), keras.Input((12,))
    words = layers.Embedding(10000, 64, name="words")
    title_features = layers.LSTM(128, name="title_features")(words(title))
    body_features = layers.LSTM(32, name="body_features")(words(body))
    x = layers.Concatenate()([title_features, body_features, tags])
    hidden = layers.Dense(64, activation="relu", name="hidden")(x)
    x = layers.Add()([hidden, layers.Dense(64, activation="relu", name="hidden_2")(hidden)])
    priority = layers.Dense(1, activation="sigmoid", name="priority")(x)
    department = layers.Dense(4, activation="softmax", name="department")(x)
    return keras.Model([title, body, tags], [priority, department])


class Sample(NamedTuple):
    """Name a sample spec, its real model, and the shapes of a small batch for it."""

    spec: str
    build: Callable[[Any], Any]
    shapes: list[tuple[int, ...]]


SAMPLES = [
    Sample("text_lstm.json", text_lstm, [(2, 9)]),
    Sample("unet.yaml", unet, [(1, 128, 128, 3)]),
    Sample("keras_functional.json", tickets, [(2, 20), (2, 100), (2, 12)]),
]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.build.__name__)
def test_keras_loads_the_weights(sample: Sample, keras: Any, tmp_path: Path) -> None:
    plan = make_plan(load_spec(SPECS / sample.spec, {"seed": 42}))
    model = sample.build(keras)
    assert model.count_params() == sum(tensor.parameters for tensor in plan.tensors)
    for name in ("model.weights.h5", "model.h5"):
        for weight in model.weights:
            weight.assign(np.full(weight.shape, np.nan, np.float32))
        write_weights(plan, tmp_path / name)
        model.load_weights(tmp_path / name)
        (tmp_path / name).unlink()
        assert_holds(model, plan)
    inputs = [np.ones(shape, np.float32) for shape in sample.shapes]
    outputs = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
    for output in outputs if isinstance(outputs, list) else [outputs]:
        assert np.isfinite(output).all()
