"""Dialects: a framework's own layer names, tensor names, axis orders and default initialisers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Literal, cast, get_args

from glorot_cli.arguments import Dims
from glorot_cli.dialects.layer import Place, Weight

if TYPE_CHECKING:
    from glorot_cli.dialects.keras.draws import Slot

Dialect = Literal["keras", "torch"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

PlaceLayers = Callable[[Iterable[Place], Mapping[str, Dims], Sequence[str]], list[Weight]]
KerasSlots = Callable[[Iterable[Place], Mapping[str, Dims], Sequence[str]], "list[Slot]"]
TorchDefaults = Callable[[Iterable[Place], Dims | None], list[Weight]]


def place_layers(dialect: Dialect) -> PlaceLayers:
    """Return a dialect's way from the layers of a spec to their weights, loading it now."""
    network = import_module(f"glorot_cli.dialects.{dialect}.network")
    return cast(PlaceLayers, network.place_layers)


def keras_slots(
    entries: Iterable[Place], inputs: Mapping[str, Dims], outputs: Sequence[str]
) -> list[Slot]:
    """Return the places at which building a Keras model may draw a seed, in order."""
    draws = import_module("glorot_cli.dialects.keras.draws")
    return cast(KerasSlots, draws.slots)(entries, inputs, outputs)


def torch_defaults(entries: Iterable[Place], x: Dims | None) -> list[Weight]:
    """Return the weights that constructing torch's modules draws, in order, by their defaults.

    `x` is the shape that flows into the first, where it is known.
    """
    draws = import_module("glorot_cli.dialects.torch.draws")
    return cast(TorchDefaults, draws.defaults)(entries, x)
