"""What every dialect says of a layer: its weights and the shape that comes out of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar

from pydantic import BeforeValidator, ConfigDict, ValidationInfo, WithJsonSchema

from glorot_cli.arguments import Dims, InitializerChoice, Seed
from glorot_cli.dialects.classes import DialectName, check_foreign
from glorot_cli.dtypes import DTypeName
from glorot_cli.errors import KeyPath, SpecError, shown
from glorot_cli.expressions import Names
from glorot_cli.fans import FanRule, Shape
from glorot_cli.repeats import LARGEST_NAMES, MOST_ENTRIES
from glorot_cli.signatures import Table, bind, hints, signature_table, validated

# For weights whose initialiser no argument names.
DEFAULT_ONES = InitializerChoice("ones", (), given=False)
DEFAULT_ZEROS = InitializerChoice("zeros", (), given=False)
DEFAULT_GLOROT = InitializerChoice("glorot_uniform", (), given=False)


class LayerError(ValueError):
    """Report an argument that does not fit the layer's input, by its key."""

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.path: KeyPath = () if key is None else (key,)


_NO_NAMES: Names = {}


class Weight(NamedTuple):
    """Describe one tensor of a layer.

    `name` is the part of its path below the layer's name; `owner` is the attribute path of the
    sublayer that holds it, empty for the layer itself, and `also` of another that does; `axes` and
    `fused` are as in `fans`, and the fused kernels stand along the axis of `fused_role`; `copy_of`
    is the name of another that it is a copy of, and `note` is to be told of it; `patch` is a range
    of elements that hold a value of their own: (start, stop, value). The rest is filled in as the
    weight is placed: what its layer's entry says of it, where that stands, and its rank among the
    weights of the network in the order in which Keras stores them.
    """

    name: str
    shape: Shape
    axes: str | None
    initializer: InitializerChoice
    trainable: bool = True
    fused: int = 1
    fused_role: str = "O"
    copy_of: str | None = None
    note: str = ""
    owner: str = ""
    also: str | None = None
    patch: tuple[int, int, float] | None = None
    dtype: str | None = None
    fans: FanRule | None = None
    seed: int | None = None
    kind: str = ""
    family: str = ""
    path: KeyPath = ()
    names: Names = _NO_NAMES
    layer: str | None = None
    group: str | None = None
    also_group: str | None = None
    rank: tuple[int, ...] = ()
    scale: float | None = None


Flow = Dims | None
"""The shape of an input or output, without the batch axis, where it is known."""
Inputs = tuple[Dims, ...]
"""The first parameter of a layer that takes several inputs: the shapes of all."""


class Built(NamedTuple):
    """Hold a layer's output shape and its weights, in the order in which it creates them."""

    output: Flow
    weights: list[Weight]

    @property
    def shape(self) -> Dims:
        """The output's shape, in a dialect in which every shape is known."""
        assert self.output is not None
        return self.output


@functools.cache
def takes_several(function: Callable[..., Built]) -> bool:
    """Tell whether a layer takes any number of inputs: its first parameter is for all of them."""
    return next(iter(hints(function).values())) == Inputs


def within(weights: Iterable[Weight], name: str, owner: str) -> list[Weight]:
    """Put weights below a name and an owner, either of which may be empty."""

    def below(prefix: str, path: str) -> str:
        return "/".join(filter(None, (prefix, path)))

    return [
        weight._replace(
            name=below(name, weight.name),
            owner=below(owner, weight.owner),
            also=None if weight.also is None else below(owner, weight.also),
        )
        for weight in weights
    ]


def check_repeated(count: int, weights: int, key: str) -> None:
    """Check that a layer's own repetitions give no more than a plan may hold.

    Raises:
        LayerError: if they do.
    """
    if count > MOST_LAYERS or count * weights > MOST_ENTRIES:
        found = f"{shown(count)} times {weights} weights"
        raise LayerError(
            f"expected at most {MOST_LAYERS} layers and {MOST_ENTRIES} weights, found {found}", key
        )


class LayerEntry(Table):
    """Hold what a spec says of a layer: the keys that every type takes, and the type's own."""

    model_config = ConfigDict(extra="allow")

    type: str
    name: str | None = None
    input_shape: Dims | None = None
    inputs: str | list[str] | None = None
    dtype: DTypeName | None = None
    fans: FanRule | None = None
    seed: Seed | None = None
    trainable: bool = True

    @property
    def arguments(self) -> dict[str, object]:
        """The keys that belong to the layer's type."""
        return self.model_extra or {}


Entry = TypeVar("Entry", bound=LayerEntry)
Argument = TypeVar("Argument")
COMMON_KEYS = tuple(LayerEntry.model_fields)


class Place(Protocol):
    """Say where an entry stands in the spec, and what its expressions may use."""

    @property
    def item(self) -> Mapping[str, Any]: ...
    @property
    def path(self) -> KeyPath: ...
    @property
    def names(self) -> Names: ...
    @property
    def family(self) -> str | None: ...


class Here(NamedTuple):
    """Be the place of an entry that another entry holds."""

    item: Mapping[str, Any]
    path: KeyPath
    names: Names
    family: str | None = None


def read_entry(place: Place, table: type[Entry], owner: str, example: str) -> Entry:
    """Validate the keys that every layer of a dialect takes; `example` is an entry of it.

    Raises:
        SpecError: at the key that does not fit.
    """
    if "shape" in place.item and place.item.get("type") not in ("Input", "InputLayer"):
        raise SpecError(
            f"{owner} that is said by its shape stands at the top of layers, or in a group there",
            (*place.path, "shape"),
            at_key=True,
        )
    if "type" not in place.item:
        raise SpecError(f"{owner} needs 'type', which is missing, as in {example}", place.path)
    return validated(table, place.item, place.names, place.path, owner)


# Of a spec, however they are repeated within each other.
MOST_LAYERS = 250_000


@dataclass(slots=True)
class Tally:
    """Count the layers that a spec constructs or builds, and what their names take in weights'."""

    count: int = 0
    letters: int = 0

    def add(self, path: KeyPath) -> None:
        """Count one more layer.

        Raises:
            SpecError: if that is one too many.
        """
        self.count += 1
        if self.count > MOST_LAYERS:
            raise SpecError(f"expected at most {MOST_LAYERS} layers once repeated", path)

    def weigh(self, name: str, weights: int, path: KeyPath) -> None:
        """Count a layer's weights, and its name as a part of theirs.

        Raises:
            SpecError: if these are too many, or the names too long in all.
        """
        if weights > MOST_ENTRIES:
            raise SpecError(f"expected at most {MOST_ENTRIES} weights, found {weights}", path)
        self.letters += len(name) * weights
        if self.letters > LARGEST_NAMES:
            raise SpecError(f"expected names of at most {LARGEST_NAMES >> 20} MiB in all", path)


@dataclass(frozen=True, slots=True)
class Layer:
    """Hold a layer as constructed: its name, its arguments, and the rule that builds it.

    `built` counts what the spec builds; `gives_dtype` says whether layers within take its dtype,
    where their own entries give none; `known` is what layers that differ in their names only have
    come to for some inputs.
    """

    name: str
    entry: LayerEntry
    place: Place
    function: Callable[..., Built]
    arguments: dict[str, object]
    built: Tally
    gives_dtype: bool = False
    known: dict[tuple[Flow, ...], Built] | None = None

    def argument(self, name: str, kind: type[Argument]) -> Argument:
        """Return an argument of a known type, such as a layer within."""
        found = self.arguments[name]
        assert isinstance(found, kind)
        return found

    def build(self, *inputs: Flow) -> Built:
        """Return the output shape for these inputs, and the weights with what the entry says.

        Raises:
            SpecError: at the argument or the layer that the inputs do not fit.
        """
        self.built.add(self.place.path)
        found = None if self.known is None else self.known.get(inputs)
        if found is None:
            found = self._built(inputs)
            if self.known is not None:
                self.known[inputs] = found
        else:
            names = self.place.names
            found = found._replace(weights=[w._replace(names=names) for w in found.weights])
        self.built.weigh(self.name, len(found.weights), self.place.path)
        return found

    def _built(self, inputs: tuple[Flow, ...]) -> Built:
        several = takes_several(self.function)
        if not several and len(inputs) != 1:
            raise SpecError(
                f"{self.entry.type} takes one input, found {len(inputs)}", self.place.path
            )
        try:
            output, weights = self.function(inputs if several else inputs[0], **self.arguments)
        except LayerError as error:
            raise SpecError(str(error), (*self.place.path, *error.path)) from None
        entry = self.entry
        says = entry.dtype or entry.fans or entry.seed is not None or not entry.trainable
        # Where it says nothing, an inner layer's entry has said all.
        return Built(output, [w if w.path and not says else self._placed(w) for w in weights])

    def _placed(self, weight: Weight) -> Weight:
        """Fill in what the entry says, unless an inner layer's entry has said it."""
        entry = self.entry
        return weight._replace(
            trainable=weight.trainable and entry.trainable,
            dtype=weight.dtype or (entry.dtype if self.gives_dtype or not weight.path else None),
            fans=weight.fans or entry.fans,
            seed=entry.seed if weight.seed is None else weight.seed,
            kind=weight.kind or f"{entry.type} {weight.name}",
            path=weight.path or self.place.path,
            names=weight.names or self.place.names,
        )


class Inner(NamedTuple):
    """Hold a layer that another layer's argument describes, before it is constructed."""

    item: Mapping[str, Any]
    path: KeyPath


class InnerList(NamedTuple):
    """Hold a list of layers that make a network within a layer, before it is constructed."""

    items: list[Any]
    path: KeyPath


class Builder(Protocol):
    """Be a dialect, for the layers that hold others."""

    def layer(self, place: Place) -> Layer:
        """Construct a layer."""
        ...

    def network(self, items: object, place: Place, path: KeyPath) -> object:
        """Construct a list of layers; `path` leads to it from the place."""
        ...


def _inner(value: object, info: ValidationInfo) -> Inner:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a layer as a mapping, found {shown(value)}")
    return Inner(value, (info.field_name or "layer",))


def _inners(value: object, info: ValidationInfo) -> Inner | list[Inner]:
    if not isinstance(value, list):
        return _inner(value, info)
    key = info.field_name or "layers"
    return [Inner(_inner(item, info).item, (key, index)) for index, item in enumerate(value)]


def _inner_list(value: object, info: ValidationInfo) -> InnerList:
    if not isinstance(value, list) or not value:
        raise ValueError(f"expected a list of layers, found {shown(value)}")
    return InnerList(value, (info.field_name or "layers",))


_LAYER = {"$comment": "layer"}
# Any to the type checker: a Layer, a list of Layers, or a Network, once constructed.
InnerLayer = Annotated[Any, BeforeValidator(_inner), WithJsonSchema(_LAYER)]
InnerLayers = Annotated[
    Any, BeforeValidator(_inners), WithJsonSchema({"type": ["object", "array"]})
]
InnerNetwork = Annotated[Any, BeforeValidator(_inner_list), WithJsonSchema({"$comment": "layers"})]


def bind_layer(
    function: Callable[..., Built],
    entry: LayerEntry,
    place: Place,
    builder: Builder,
    dialect: DialectName,
    common_keys: tuple[str, ...] = COMMON_KEYS,
) -> dict[str, object]:
    """Bind a layer's arguments, and construct the layers that stand among them.

    `common_keys` are those that every layer of the dialect takes.

    Raises:
        SpecError: at the argument that does not fit.
    """
    own = signature_table(function).model_fields
    for key in entry.arguments:
        if key not in own:
            check_foreign(key, own, entry.type, dialect, place.path)
    arguments = bind(function, entry.arguments, place.names, place.path, entry.type, common_keys)

    def made(inner: Inner) -> Layer:
        return builder.layer(Here(inner.item, (*place.path, *inner.path), place.names))

    for key, value in arguments.items():
        if isinstance(value, Inner):
            arguments[key] = made(value)
        elif isinstance(value, InnerList):
            arguments[key] = builder.network(value.items, place, value.path)
        elif isinstance(value, list) and value and isinstance(value[0], Inner):
            arguments[key] = [made(inner) for inner in value]
    return arguments
