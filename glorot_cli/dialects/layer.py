"""What every dialect says of a layer: its weights and the shape that comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pydantic import ConfigDict

from glorot_cli.arguments import Dims, InitializerChoice, Seed, Table
from glorot_cli.dtypes import DTypeName
from glorot_cli.errors import KeyPath
from glorot_cli.expressions import Names
from glorot_cli.fans import FanRule, Shape


class LayerEntry(Table):
    """Hold what a spec says of a layer: the keys that every type takes, and the type's own."""

    model_config = ConfigDict(extra="allow")

    type: str
    name: str | None = None
    input_shape: Dims | None = None
    dtype: DTypeName | None = None
    fans: FanRule | None = None
    seed: Seed | None = None
    trainable: bool = True

    @property
    def arguments(self) -> dict[str, object]:
        """The keys that belong to the layer's type."""
        return self.model_extra or {}


class LayerError(ValueError):
    """Report an argument that does not fit the layer's input, by its key."""

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.path: KeyPath = () if key is None else (key,)


@dataclass(frozen=True, slots=True)
class Weight:
    """Describe one tensor of a layer.

    `name` is the part of its path after the layer's name; `owner` is the attribute path of the
    sublayer that holds it, empty for the layer itself; `axes` and `fused` are as in `fans`.
    """

    name: str
    shape: Shape
    axes: str | None
    initializer: InitializerChoice
    trainable: bool = True
    fused: int = 1
    owner: str = ""


class Built(NamedTuple):
    """Hold a layer's output shape and its weights, in the order in which it creates them."""

    output: Dims
    weights: list[Weight]


class Place(Protocol):
    """Say where an entry stands in the spec, and what its expressions may use."""

    @property
    def path(self) -> KeyPath: ...
    @property
    def names(self) -> Names: ...
    @property
    def family(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class PlacedLayer:
    """Hold a layer where it stands in the network.

    `name` is its name there, `family` the same before indices were filled in; `group` is the place
    of its weights in Keras's `.weights.h5`; `path` leads to its entry in the spec, and `names` are
    what its expressions may use.
    """

    name: str
    family: str
    group: str
    entry: LayerEntry
    path: KeyPath
    names: Names
    weights: list[Weight]
