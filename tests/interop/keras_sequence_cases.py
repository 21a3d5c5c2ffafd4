"""Argument sets for the Keras layers over steps, and for those that hold other layers.

To add a layer, add a function that draws arguments and input shapes, and a line to its table.
"""

from __future__ import annotations

from random import Random
from typing import Any

from tests.interop import keras_cases, random_models
from tests.interop.cases import (
    DATA_FORMATS,
    Arguments,
    Case,
    Generator,
    Shape,
    features,
    image,
    initializers,
    size,
    sometimes,
)

# Laws without fans: Keras draws the bias of a forget gate and the rest of its vector apart.
BIASES = ["zeros", "ones", "random_normal", {"name": "constant", "value": 0.5}]


def _gated(random: Random, kind: str) -> Arguments:
    """Draw what a recurrent layer shares with its cell."""
    arguments = sometimes(
        random,
        activation=["relu", None],
        use_bias=[True, False],
        dropout=[0.5],
        recurrent_dropout=[0.5],
        seed=[3],
        bias_initializer=BIASES,
    )
    arguments |= initializers(random, "kernel", "recurrent")
    if kind.startswith("LSTM"):
        arguments |= sometimes(random, unit_forget_bias=[True, False])
    if kind.startswith("GRU"):
        arguments |= sometimes(random, reset_after=[True, False])
    if not kind.startswith("SimpleRNN"):
        arguments |= sometimes(random, recurrent_activation=["sigmoid", "relu"])
    return {"units": random.choice([1, 2, 3, 5]), **arguments}


def cell(kind: str) -> Generator:
    return lambda random: Case(_gated(random, kind), features(random, high=1))


def steps(random: Random) -> Shape:
    """Draw steps of features, or rarely something of another rank."""
    return random.choice([features(random, 2, 2)] * 8 + [(3,), (2, 3, 4), (5, None)])


def recurrent(kind: str) -> Generator:
    def draw(random: Random) -> Case:
        arguments = sometimes(
            random,
            return_sequences=[True, False],
            return_state=[True, False],
            go_backwards=[True],
            unroll=[True] if random.random() < 0.1 else [False],
        )
        return Case({**_gated(random, kind), **arguments}, steps(random))

    return draw


def _cell_entry(random: Random) -> Arguments:
    kind = random.choice(["LSTMCell", "GRUCell", "SimpleRNNCell"])
    named = {"name": f"step_{random.randrange(10**6)}"} if random.random() < 0.2 else {}
    return {"type": kind, **_gated(random, kind), **named}


def rnn(random: Random) -> Case:
    cells: Any = _cell_entry(random)
    if random.random() < 0.5:
        cells = [_cell_entry(random) for _ in range(random.randint(1, 3))]
    elif random.random() < 0.1:
        cells = {"type": "Dense", "units": 2}
    arguments = sometimes(
        random, return_sequences=[True, False], return_state=[True], zero_output_for_mask=[True]
    )
    return Case({"cell": cells, **arguments}, steps(random))


def stacked(random: Random) -> Case:
    cells = [_cell_entry(random) for _ in range(random.randint(1, 3))]
    return Case({"cells": cells}, features(random, high=1))


def conv_lstm(rank: int) -> Generator:
    def draw(random: Random) -> Case:
        arguments = sometimes(
            random,
            padding=["valid", "same"],
            data_format=DATA_FORMATS,
            strides=[1, 2, [1] * rank],
            dilation_rate=[1, 2],
            use_bias=[True, False],
            unit_forget_bias=[True, False],
            return_sequences=[True, False],
            return_state=[True],
            dropout=[0.5],
            bias_initializer=BIASES,
        )
        arguments |= initializers(random, "kernel", "recurrent")
        x = image(random, rank, arguments.get("data_format"), random.choice([1, 3]))
        return Case(
            {"filters": random.randint(1, 3), "kernel_size": size(random, rank, 3), **arguments},
            (random.choice([2, 3, None]), *x),
        )

    return draw


def bidirectional(random: Random) -> Case:
    kind = random.choice(["LSTM", "GRU", "SimpleRNN", "ConvLSTM1D", "RNN", "Dense"])
    case = (TABLE if kind in TABLE else keras_cases.TABLE)[kind](random)
    names = ["inner", "forward_own", "backward_own"]
    layer = {"type": kind, **case.arguments, **sometimes(random, name=names)}
    layer.pop("go_backwards", None)
    arguments = sometimes(random, merge_mode=["concat", "sum", "ave", "mul", None, "max"])
    if random.random() < 0.3 and "units" in layer:
        behind = random.choice(["LSTM", "GRU"])
        arguments["backward_layer"] = {
            "type": behind,
            "units": layer["units"],
            "go_backwards": random.random() < 0.9,
            "return_sequences": layer.get("return_sequences", False),
            "return_state": layer.get("return_state", False),
        }
    return Case({"layer": layer, **arguments}, case.input_shape)


INNER = ["Dense", "Conv1D", "Conv2D", "Embedding", "BatchNormalization", "EinsumDense",
         "LayerNormalization", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose",
         "PReLU"]  # fmt: skip


def _inner(random: Random) -> tuple[Arguments, Shape]:
    kind = random.choice(INNER)
    case = keras_cases.TABLE[kind](random)
    return {"type": kind, **case.arguments, **sometimes(random, name=["inner"])}, case.input_shape


def time_distributed(random: Random) -> Case:
    if random.random() < 0.15:
        layer: Arguments = {"type": "GRU", **_gated(random, "GRU")}
        return Case({"layer": layer}, (2, *features(random, 2, 2)))
    layer, x = _inner(random)
    return Case({"layer": layer}, x if random.random() < 0.05 else (random.choice([2, None]), *x))


def spectral_normalization(random: Random) -> Case:
    layer, x = _inner(random)
    return Case({"layer": layer, **sometimes(random, power_iterations=[1, 2, 0])}, x)


def multi_head_attention(random: Random) -> Case:
    # Keras builds attention over an input without steps too, but cannot call it.
    shapes = _attended(random, features(random, low=2), 1)
    arguments = sometimes(
        random,
        value_dim=[1, 5],
        output_shape=[3, [4], [2, 3]],
        use_gate=[True, False],
        use_bias=[True, False],
        dropout=[0.0, 0.5, 1.5],
        attention_axes=[1, [1], list(range(1, max(len(shapes[0]), 2)))],
        seed=[7],
    )
    arguments |= initializers(random, "kernel", "bias")
    sizes = {"num_heads": random.randint(1, 4), "key_dim": random.randint(1, 5)}
    return Case({**sizes, **arguments}, shapes[0], shapes[1:])


def _attended(random: Random, query: Shape, low: int) -> tuple[Shape, ...]:
    """Draw a query, a value and a key, the value and the key perhaps of other sizes."""
    count = random.randint(low, 3)
    steps = random.choice([query[-2], 4])
    shapes = [query]
    for _ in range(count - 1):
        depth = query[-1] if random.random() < 0.5 else random.randint(2, 5)
        shapes.append((*query[:-2], steps, depth))
    return tuple(shapes)


def group_query_attention(random: Random) -> Case:
    shapes = _attended(random, features(random, 2, 2), 1)
    arguments = sometimes(
        random,
        use_gate=[True, False],
        use_bias=[True, False],
        dropout=[0.0, 0.5, 1.5],
        sliding_window=[2, 0],
        seed=[7],
    )
    arguments |= initializers(random, "kernel", "bias")
    sizes = {
        "head_dim": random.randint(1, 4),
        "num_query_heads": random.choice([1, 2, 4]),
        "num_key_value_heads": random.choice([1, 2, 3]),
    }
    return Case({**sizes, **arguments}, shapes[0], shapes[1:])


def attention(**choices: list[Any]) -> Generator:
    def draw(random: Random) -> Case:
        query = features(random, 2, 2)
        value = (random.choice([query[0], 4]), query[-1])
        shapes = [query, value, value][: random.choice([1, 2, 2, 3, 3])]
        return Case(sometimes(random, **choices), shapes[0], tuple(shapes[1:]))

    return draw


def reversible_embedding(random: Random) -> Case:
    case = keras_cases.embedding(random)
    return case._replace(arguments={**case.arguments, **sometimes(random, tie_weights=[False])})


def sequential(random: Random) -> Case:
    x, layers = random_models.chain(random, depth=1)
    return Case({"layers": layers}, x)


def functional(random: Random) -> Case:
    inputs, layers, outputs = random_models.graph(random, depth=1, most_outputs=1)
    shapes = list(inputs.values())
    arguments = {"layers": layers, "input_names": list(inputs), "outputs": outputs,
                 "shapes": [list(shape) for shape in shapes]}  # fmt: skip
    return Case(arguments, shapes[0], tuple(shapes[1:]))


SCALE = [True, False]
TABLE: dict[str, Generator] = {
    "AdditiveAttention": attention(use_scale=SCALE, dropout=[0.5]),
    "Attention": attention(use_scale=SCALE, score_mode=["dot", "concat"], dropout=[0.5], seed=[3]),
    "Bidirectional": bidirectional,
    "ConvLSTM1D": conv_lstm(1),
    "ConvLSTM2D": conv_lstm(2),
    "ConvLSTM3D": conv_lstm(3),
    "Functional": functional,
    "GRU": recurrent("GRU"),
    "GRUCell": cell("GRUCell"),
    "GroupQueryAttention": group_query_attention,
    "LSTM": recurrent("LSTM"),
    "LSTMCell": cell("LSTMCell"),
    "MultiHeadAttention": multi_head_attention,
    "RNN": rnn,
    "ReversibleEmbedding": reversible_embedding,
    "Sequential": sequential,
    "SimpleRNN": recurrent("SimpleRNN"),
    "SimpleRNNCell": cell("SimpleRNNCell"),
    "SpectralNormalization": spectral_normalization,
    "StackedRNNCells": stacked,
    "TimeDistributed": time_distributed,
}
