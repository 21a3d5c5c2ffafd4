"""torch's networks: how modules are named within modules."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from glorot_cli.arguments import Dims, InitializerChoice, is_initializer
from glorot_cli.dialects.alike import Alike, Read
from glorot_cli.dialects.classes import find_type
from glorot_cli.dialects.following import scale_behind
from glorot_cli.dialects.layer import (
    Built,
    Flow,
    Layer,
    LayerEntry,
    Place,
    Tally,
    Weight,
    bind_layer,
    read_entry,
)
from glorot_cli.dialects.torch.parametrizations import (
    SWITCH,
    SpectralNorm,
    WeightNorm,
    spectral_norm,
    weight_norm,
)
from glorot_cli.dialects.torch.table import LAYERS
from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.repeats import stamp_layers


class ModuleEntry(LayerEntry):
    """Hold what a spec says of a module; torch has no arguments for initialisers, so we add one."""

    initializers: dict[str, Any] = Field(default={})
    weight_norm: Annotated[WeightNorm | None, SWITCH] = Field(default=None)
    spectral_norm: Annotated[SpectralNorm | None, SWITCH] = Field(default=None)


KEYS = tuple(ModuleEntry.model_fields)


def place_layers(
    entries: Iterable[Place], inputs: Mapping[str, Dims], outputs: Sequence[str]
) -> list[Weight]:
    """Name the modules of a spec as a Sequential does, and give all their weights.

    Raises:
        SpecError: at the module or the argument that does not fit.
    """
    if len(inputs) > 1 or outputs:
        raise SpecError(
            "in the torch dialect shapes flow through one input and one output: "
            "give input_shape, or no shape at all",
            ("inputs" if len(inputs) > 1 else "outputs",),
            at_key=True,
        )
    return Dialect().modules(entries, ()).chain(next(iter(inputs.values()), None)).weights


class Dialect:
    """Construct the modules of one spec."""

    def __init__(self) -> None:
        self.made, self.built = Tally(), Tally()
        self._alike = Alike()

    def layer(self, place: Place) -> Layer:
        self.made.add(place.path)
        entry, function, arguments, known = self._alike.read(place, self._read)
        name = _checked_name(place.item.get("name"), place.path)
        return Layer(
            name, entry, place, function, arguments, self.built, gives_dtype=True, known=known
        )

    def _read(self, place: Place) -> Read:
        example = "{type: Linear, in_features: 3, out_features: 4}"
        entry = read_entry(place, ModuleEntry, "a module", example)
        if entry.inputs is not None:
            raise SpecError(
                "branches are for the Keras dialect; hold the parts in a Module",
                (*place.path, "inputs"),
                at_key=True,
            )
        kind = find_type(entry.type, "torch", "module", place.path)
        entry, function = entry.model_copy(update={"type": kind}), LAYERS[kind]
        return Read(entry, function, bind_layer(function, entry, place, self, "torch", KEYS))

    def network(self, items: object, place: Place, path: KeyPath) -> Modules:
        whole = (*place.path, *path)
        return self.modules(stamp_layers(items, place.names, whole), whole)

    def modules(self, entries: Iterable[Place], path: KeyPath) -> Modules:
        return Modules([self.layer(place) for place in entries])


@dataclass(frozen=True, slots=True)
class Modules:
    """Hold the modules of a container, in order."""

    layers: list[Layer]

    def chain(self, x: Flow) -> Built:
        """Let a shape flow through all modules, and give their weights."""
        weights: list[Weight] = []
        for index, (name, layer) in enumerate(self._named()):
            x = layer.entry.input_shape or x
            x, own = layer.build(x)
            scale = (
                scale_behind(layer, itertools.islice(self.layers, index + 1, None)) if own else 1.0
            )
            own = [w if w.scale is not None else w._replace(scale=scale) for w in own]
            weights += _below(name, layer, own)
        return Built(x, weights)

    def gather(self, *, named: bool = False) -> Built:
        """Give the weights of all modules, each of which may state its own input shape."""
        weights: list[Weight] = []
        for name, layer in self._named():
            if named and not layer.name:
                raise SpecError("a module within a Module needs a name", layer.place.path)
            weights += _below(name, layer, layer.build(layer.entry.input_shape).weights)
        return Built(None, weights)

    def _named(self) -> Iterable[tuple[str, Layer]]:
        seen: set[str] = set()
        for index, layer in enumerate(self.layers):
            name = layer.name or str(index)
            if name in seen:
                raise SpecError(
                    f"two modules are named {shown(name)}; give one of them another name",
                    layer.place.path,
                )
            seen.add(name)
            yield name, layer


def _below(name: str, layer: Layer, weights: Sequence[Weight]) -> list[Weight]:
    """Put a module's weights below its name, with the initialisers that its entry gives them."""
    assert isinstance(layer.entry, ModuleEntry)
    given = dict(layer.entry.initializers)
    path = (*layer.place.path, "initializers")
    decided = []
    for weight in weights:
        if weight.name in given:
            choice = InitializerChoice(given.pop(weight.name), (*path, weight.name))
            if not is_initializer(choice.value):
                raise SpecError(
                    f"expected an initializer's name or a mapping with its name, "
                    f"found {shown(choice.value)}",
                    choice.path,
                )
            weight = weight._replace(initializer=choice)
        decided.append(weight)
    if layer.entry.weight_norm is not None and layer.entry.spectral_norm is not None:
        raise SpecError(
            f"{layer.entry.type} has weight_norm too; give one of the two",
            (*layer.place.path, "spectral_norm"),
            at_key=True,
        )
    if layer.entry.weight_norm is not None:
        decided = weight_norm(layer, layer.entry.weight_norm, decided)
    if layer.entry.spectral_norm is not None:
        decided = spectral_norm(layer, layer.entry.spectral_norm, decided)
    outer = layer.place.family or name
    placed = [
        weight._replace(
            name=f"{name}.{weight.name}",
            copy_of=weight.copy_of and f"{name}.{weight.copy_of}",
            family=f"{outer}.{weight.family or weight.name}",
        )
        for weight in decided
    ]
    for key in given:
        hint = suggestion(key, [weight.name for weight in weights])
        raise SpecError(f"{layer.entry.type} has no such weight; {hint}", (*path, key), at_key=True)
    return placed


def _checked_name(name: str | None, path: KeyPath) -> str:
    if name is not None and (not name or "." in name):
        raise SpecError(
            f"expected a module name without '.', as torch does, found {shown(name)}",
            (*path, "name"),
        )
    return name or ""
