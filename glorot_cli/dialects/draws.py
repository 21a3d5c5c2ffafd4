"""What building a framework's model draws, in order: the places of a framework's own stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import NamedTuple, cast

from glorot_cli.arguments import Dims, InitializerChoice
from glorot_cli.dialects.layer import Place, Weight


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


Slots = Callable[[Iterable[Place], Mapping[str, Dims], Sequence[str]], list[Slot]]
Defaults = Callable[[Iterable[Place]], list[Weight]]


def keras_slots(
    entries: Iterable[Place], inputs: Mapping[str, Dims], outputs: Sequence[str]
) -> list[Slot]:
    """Return the places at which building a Keras model may draw a seed, in order."""
    draws = import_module("glorot_cli.dialects.keras.draws")
    return cast(Slots, draws.slots)(entries, inputs, outputs)


def torch_defaults(entries: Iterable[Place]) -> list[Weight]:
    """Return the weights that constructing torch's modules draws, in order, by their defaults."""
    draws = import_module("glorot_cli.dialects.torch.draws")
    return cast(Defaults, draws.defaults)(entries)
