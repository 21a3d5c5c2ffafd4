"""The seeds that building a Keras model draws, in order.

An unseeded random initialiser draws when it is constructed, and so does a layer's seed generator;
both are constructed with their layer, but for those that a layer makes as it is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from glorot_cli.arguments import Dims, InitializerChoice
from glorot_cli.dialects.keras.network import Dialect, Steps
from glorot_cli.dialects.layer import DEFAULT_GLOROT, Layer, Place


class Slot(NamedTuple):
    """Hold one place at which a model of Keras may draw a seed.

    `name` is the tensor whose initialiser stands there and `choice` what it is if there is no such
    tensor; without either the seed goes elsewhere, such as to a dropout. Of a slot that is not
    `used` the seed is drawn and lost. `kernel` marks the initialiser that an entry's `seed` seeds;
    `same_as` the tensor whose initialiser it shares.
    """

    name: str = ""
    choice: InitializerChoice | None = None
    used: bool = True
    kernel: bool = False
    same_as: str = ""


class Draws(NamedTuple):
    """Hold what a layer draws when it is constructed and when it is built."""

    constructed: list[Slot]
    built: list[Slot]


# What a layer constructs, in order: an initialiser's argument and the weight that it fills, or a
# seed generator and the argument that must be above 0 for there to be one.
_KERNEL, _BIAS = ("kernel_initializer", "kernel"), ("bias_initializer", "bias")
_DENSE = (_KERNEL, _BIAS)
_DEPTHWISE = (("depthwise_initializer", "kernel"), _BIAS)
_SEPARABLE = (
    ("depthwise_initializer", "depthwise_kernel"),
    ("pointwise_initializer", "pointwise_kernel"),
    _BIAS,
)
_RECURRENT = (_KERNEL, ("recurrent_initializer", "recurrent_kernel"), _BIAS)
_SEED = ("seed", "")
_DROPOUT = (("seed", "rate"),)
_AFFINE = (("beta_initializer", "beta"), ("gamma_initializer", "gamma"))

CONSTRUCTED: dict[str, tuple[tuple[str, str], ...]] = {
    "AdditiveAttention": (("seed", "dropout"),),
    "AlphaDropout": _DROPOUT,
    "Attention": (("seed", "dropout"),),
    "BatchNormalization": (
        *_AFFINE,
        ("moving_mean_initializer", "moving_mean"),
        ("moving_variance_initializer", "moving_variance"),
    ),
    "Conv1D": _DENSE,
    "Conv1DTranspose": _DENSE,
    "Conv2D": _DENSE,
    "Conv2DTranspose": _DENSE,
    "Conv3D": _DENSE,
    "Conv3DTranspose": _DENSE,
    "ConvLSTM1D": (_SEED, *_RECURRENT),
    "ConvLSTM2D": (_SEED, *_RECURRENT),
    "ConvLSTM3D": (_SEED, *_RECURRENT),
    "Dense": _DENSE,
    "DepthwiseConv1D": _DEPTHWISE,
    "DepthwiseConv2D": _DEPTHWISE,
    "Dropout": _DROPOUT,
    "EinsumDense": _DENSE,
    "Embedding": (("embeddings_initializer", "embeddings"),),
    "GRU": (*_RECURRENT, _SEED),
    "GRUCell": (*_RECURRENT, _SEED),
    "GaussianDropout": _DROPOUT,
    "GaussianNoise": (("seed", "stddev"),),
    "GroupNormalization": _AFFINE,
    "GroupQueryAttention": (_KERNEL, _BIAS),
    "LSTM": (*_RECURRENT, _SEED),
    "LSTMCell": (*_RECURRENT, _SEED),
    "LayerNormalization": _AFFINE,
    "MultiHeadAttention": (_KERNEL, _BIAS),
    "PReLU": (("alpha_initializer", "alpha"),),
    "RandomBrightness": (_SEED,),
    "RandomContrast": (_SEED,),
    "RandomCrop": (_SEED, _SEED),
    "RandomFlip": (_SEED,),
    "RandomRotation": (_SEED,),
    "RandomTranslation": (_SEED,),
    "RandomZoom": (_SEED,),
    "ReversibleEmbedding": (("embeddings_initializer", "embeddings"),),
    "SeparableConv1D": _SEPARABLE,
    "SeparableConv2D": _SEPARABLE,
    "SimpleRNN": (_SEED, *_RECURRENT),
    "SimpleRNNCell": (_SEED, *_RECURRENT),
    "SpatialDropout1D": _DROPOUT,
    "SpatialDropout2D": _DROPOUT,
    "SpatialDropout3D": _DROPOUT,
}
_ATTENTION = ("MultiHeadAttention", "GroupQueryAttention")
_KERNELS = ("kernel_initializer", "depthwise_initializer", "embeddings_initializer")
# Where a recurrent layer's weights lie below it.
_CELLS = {
    "LSTM": "lstm_cell/",
    "GRU": "gru_cell/",
    "SimpleRNN": "simple_rnn_cell/",
    "ConvLSTM1D": "conv_lstm_cell/",
    "ConvLSTM2D": "conv_lstm_cell/",
    "ConvLSTM3D": "conv_lstm_cell/",
}


def slots(
    entries: Iterable[Place], inputs: Mapping[str, Dims], outputs: Sequence[str]
) -> list[Slot]:
    """Return the places at which building the model may draw a seed, in order.

    A chain is a Sequential model: all its layers are constructed before any is built. With
    branches, or with attention, which a Sequential cannot call, it is a Functional one.
    """
    model = Dialect().steps(entries, ())
    chained = (
        len(inputs) <= 1
        and not outputs
        and all(_is_chained(model, i) for i in range(len(model.steps)))
    )
    constructed, built = _chain(model, "") if chained else _graph(model, "")
    return [*constructed, *built]


def _is_chained(model: Steps, index: int) -> bool:
    layer = model.steps[index].layer
    return layer is not None and layer.entry.inputs is None and layer.entry.type not in _ATTENTION


def _chain(model: Steps, prefix: str) -> Draws:
    parts = [
        _draws(step.layer, f"{prefix}{step.layer.name}/") for step in model.steps if step.layer
    ]
    return Draws(
        [slot for part in parts for slot in part.constructed],
        [slot for part in parts for slot in part.built],
    )


def _graph(model: Steps, prefix: str) -> Draws:
    parts = [
        _draws(step.layer, f"{prefix}{step.layer.name}/") for step in model.steps if step.layer
    ]
    return Draws([slot for part in parts for slot in (*part.constructed, *part.built)], [])


def _draws(layer: Layer, prefix: str) -> Draws:
    """Return what a layer draws; `prefix` leads to its weights."""
    kind = layer.entry.type
    match kind:
        case "Sequential":
            return _chain(layer.argument("layers", Steps), prefix)
        case "Functional":
            return _graph(layer.argument("layers", Steps), prefix)
        case "TimeDistributed":
            return _inner(layer, "layer", prefix)
        case "SpectralNormalization":
            inner = _inner(layer, "layer", prefix)
            return Draws(
                inner.constructed, [*inner.built, Slot(f"{prefix}vector_u", DEFAULT_GLOROT)]
            )
        case "Bidirectional":
            backward = layer.arguments["backward_layer"]
            given = backward if isinstance(backward, Layer) else None
            return _bidirectional(layer.argument("layer", Layer), given, prefix)
        case "RNN":
            return _inner(layer, "cell", prefix)
        case "StackedRNNCells":
            within = layer.argument("cells", list)
            cells = [_draws(cell, f"{prefix}{cell.name}/") for cell in within]
            return Draws([slot for cell in cells for slot in cell.constructed], [])
    own = _constructed(layer, prefix + _CELLS.get(kind, ""))
    match kind:
        case "MultiHeadAttention" | "GroupQueryAttention":
            return Draws([_lost(slot, "query/") for slot in own], _attention(layer, prefix))
        case "AdditiveAttention":
            return Draws(
                own,
                [Slot(f"{prefix}scale", DEFAULT_GLOROT)] if layer.arguments["use_scale"] else [],
            )
        case "ReversibleEmbedding":
            table = f"{prefix}embeddings"
            return Draws(own, [Slot(f"{prefix}reverse_embeddings", same_as=table)])
    return Draws(own, [])


def _inner(layer: Layer, key: str, prefix: str) -> Draws:
    """Return what the only layer within a layer draws."""
    inner = layer.argument(key, Layer)
    return _draws(inner, f"{prefix}{inner.name}/")


def _constructed(layer: Layer, prefix: str) -> list[Slot]:
    found = []
    kinds = CONSTRUCTED.get(layer.entry.type, ())
    has_kernel = any(argument in _KERNELS for argument, _ in kinds)
    for argument, weight in kinds:
        if argument != "seed":
            choice = layer.arguments[argument]
            given = choice if isinstance(choice, InitializerChoice) else None
            found.append(Slot(prefix + weight, given, kernel=argument in _KERNELS))
        elif (has_kernel or layer.entry.seed is None) and _is_positive(layer, weight):
            found.append(Slot())
    return found


def _is_positive(layer: Layer, argument: str) -> bool:
    rate = layer.arguments[argument] if argument else 1.0
    return isinstance(rate, float | int) and rate > 0.0


def _lost(slot: Slot, below: str) -> Slot:
    """Return a slot whose initialiser is only copied, by those of the sublayer `below`."""
    head, _, weight = slot.name.rpartition("/")
    return slot._replace(name=f"{head}/{below}{weight}", used=False)


def _attention(layer: Layer, prefix: str) -> list[Slot]:
    """Return what attention draws as it builds its projections, each with its own initialisers."""
    sides = ["query", "key", *(["gate"] if layer.arguments["use_gate"] else []), "value"]

    def side(name: str) -> list[Slot]:
        below = f"{prefix}{name}/"
        kernel = layer.argument("kernel_initializer", InitializerChoice)
        bias = layer.argument("bias_initializer", InitializerChoice)
        return [Slot(f"{below}kernel", kernel, kernel=True), Slot(f"{below}bias", bias)]

    found = [slot for name in sides for slot in side(name)]
    if _is_positive(layer, "dropout"):
        found.append(Slot())
    return found + side("attention_output")


def _bidirectional(layer: Layer, backward: Layer | None, prefix: str) -> Draws:
    """Return what the layer draws that is given, and its copies that are used."""
    given = _draws(layer, f"{prefix}forward_{layer.name}/")
    lost = [slot._replace(used=False) for slot in given.constructed]
    if backward is None:
        behind = _draws(layer, f"{prefix}backward_{layer.name}/")
        constructed = [*lost, *given.constructed, *behind.constructed]
    else:
        behind = _draws(backward, f"{prefix}{backward.name}/")
        constructed = [*lost, *behind.constructed, *given.constructed]
    return Draws(constructed, [*given.built, *behind.built])
