"""The Keras dialect: how layers are named, how shapes flow, and where Keras stores weights."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from glorot_cli.arguments import Dims, bind
from glorot_cli.dialects.keras_layers import LAYERS
from glorot_cli.dialects.layer import Built, LayerEntry, LayerError, Place, PlacedLayer
from glorot_cli.errors import KeyPath, SpecError, shown, suggestion

# Keras's other layers with weights, so that the error can say more than "unknown".
LATER_LAYERS = (
    "AdditiveAttention", "Attention", "Bidirectional", "Conv1DTranspose", "Conv2DTranspose",
    "Conv3DTranspose", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "DepthwiseConv1D", "EinsumDense",
    "GRU", "GRUCell", "GroupNormalization", "GroupQueryAttention", "LSTM", "LSTMCell", "PReLU",
    "RMSNormalization", "SeparableConv1D", "SeparableConv2D", "Sequential", "SimpleRNN",
    "SimpleRNNCell", "SpectralNormalization", "TimeDistributed",
)  # fmt: skip


def snake_case(name: str) -> str:
    """Write a class name as Keras names its instances: Conv2D conv2d, ReLU re_lu."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


class Names:
    """Give each base name its first free form: dense, dense_1, dense_2."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()

    def next(self, base: str) -> str:
        count = self._given[base]
        self._given[base] += 1
        return f"{base}_{count}" if count else base


def place_layers(
    entries: Iterable[tuple[Place, LayerEntry]], input_shape: Dims | None
) -> list[PlacedLayer]:
    """Name a chain of layers and let shapes flow through it, as Keras's Sequential does.

    Raises:
        SpecError: at the layer or the argument that does not fit.
    """
    names, groups, taken = Names(), Names(), set[str]()
    x, placed = input_shape, list[PlacedLayer]()
    for place, entry in entries:
        path = place.path
        base = snake_case(_known_type(entry.type, path))
        name = names.next(base) if entry.name is None else _checked_name(entry.name, path)
        if name in taken:
            raise SpecError(
                f"two layers are named {name!r}; give one of them another name",
                (*path, "name") if entry.name is not None else path,
            )
        taken.add(name)
        x = x if entry.input_shape is None else entry.input_shape
        if x is None:
            raise SpecError(
                "the first layer needs an input shape: give the spec input_shape: [...]", path
            )
        x, weights = _build(entry, x, place)
        placed.append(
            PlacedLayer(
                name=name,
                family=place.family or name,
                group=f"layers/{groups.next(base)}",
                entry=entry,
                path=path,
                names=place.names,
                weights=weights,
            )
        )
    return placed


def _build(entry: LayerEntry, x: Dims, place: Place) -> Built:
    function, common = LAYERS[entry.type], tuple(LayerEntry.model_fields)
    arguments = bind(function, entry.arguments, place.names, place.path, entry.type, common)
    try:
        return function(x, **arguments)
    except LayerError as error:
        raise SpecError(str(error), (*place.path, *error.path)) from None


def _known_type(name: str, path: KeyPath) -> str:
    if name in LAYERS:
        return name
    if name in LATER_LAYERS:
        message = f"{name} is not supported yet; write its weights under tensors, with their axes"
    else:
        message = f"unknown layer type {shown(name)}; {suggestion(name, LAYERS)}"
    raise SpecError(message, (*path, "type"))


def _checked_name(name: str, path: KeyPath) -> str:
    if not name or "/" in name:
        raise SpecError(
            f"expected a layer name without '/', as Keras does, found {shown(name)}",
            (*path, "name"),
        )
    return name
