"""The model of a spec: its keys and their types."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import translate
from operator import index
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import Field

from glorot_cli.arguments import (
    Dims,
    Init,
    InitializerChoice,
    Row,
    Seed,
    ShapeOf,
    Size,
    is_initializer,
)
from glorot_cli.dialects import Dialect
from glorot_cli.dtypes import DTypeName, IntegerName, KeptName
from glorot_cli.errors import KeyPath, SpecError, shown
from glorot_cli.expressions import Names, Value
from glorot_cli.fans import FanRule
from glorot_cli.initializers.kernel import Per
from glorot_cli.params import check_overrides, evaluate_dims, evaluate_params
from glorot_cli.products import check_products
from glorot_cli.repeats import STAMPS, Stamped, stamp_layers, stamp_tensors
from glorot_cli.signatures import Table, validated
from glorot_cli.spec.canonical import canonical, check_numbers
from glorot_cli.spec.plain import written_out
from glorot_cli.spec.shapes import PARTS, bias_of, is_shaped, named, output_of
from glorot_cli.spec.source import LARGEST_TEXT, Source, parse

# A text has 64; as data, and in a file, a repeat of several indices takes some more.
DEEPEST = 200

Rng = Literal[
    "aes-ctr", "keras-numpy", "keras-jax", "keras-torch", "keras-tensorflow", "torch", "jax"
]


class TensorEntry(Table):
    """Hold what a spec says of a raw tensor."""

    shape: ShapeOf | None = Field(
        None, description="A list of sizes; [] is a scalar. Needed unless the tensor is tied."
    )
    initializer: Init | None = Field(
        None,
        description="A name, a mapping with name and arguments, or a list of them, one for each "
        "fused piece; null leaves it to a rule.",
    )
    type: str | None = Field(
        None, description="The layer whose kernel it is, which says the axes: dense, conv2d, ..."
    )
    axes: str | None = Field(
        None,
        description="One capital letter per axis: I input, O output, B a batch axis that no fan "
        "counts, any other letter a receptive field.",
    )
    dtype: DTypeName | IntegerName | KeptName | None = Field(
        None,
        description="Its dtype; null is the spec's. Whole numbers hold constants only, and some "
        "types only what is kept.",
    )
    seed: Seed | None = Field(None, description="Its seed; null is the spec's.")
    fans: FanRule | None = Field(
        None, description="Its rule for fans; null is the spec's, or exact."
    )
    fused: Size = Field(
        1, description="How many equal kernels the O axis holds side by side; fans are of one."
    )
    fans_of: str | None = Field(
        None,
        description="The name of a tensor whose fans count instead of its own; {stem} is this "
        "one's name up to its last . or /.",
    )
    index: list[str | None] | str | None = Field(
        None,
        description="Names for the indices along the axes, which expressions of its initializer "
        "may use: one or null for each axis, or the name of the B axis's.",
    )
    padding_idx: Row = Field(
        None,
        description="The row that is 0, as in torch's embeddings; negative counts from the end.",
    )
    tie: str | None = Field(
        None, description="The name of another tensor that this one is; it is not stored twice."
    )
    stored: bool = Field(
        False, description="Whether the file holds a copy of the tensor that it is tied to."
    )
    keep: bool = Field(
        False,
        description="Whether it is not drawn, but copied from the file that init's --base names.",
    )
    skip: bool = Field(False, description="Whether it stands in the plan only, and in no file.")


class ShapedEntry(TensorEntry):
    """Hold what a spec says of a layer by the shape of its kernel."""

    name: str = Field(description="The first part of its tensors' names.")
    bias: bool = Field(False, description="Whether it has a bias of the output's size, of zeros.")


class SpecTable(Table):
    """Hold the keys of a spec; entries and rules are read one by one."""

    seed: Seed | None = Field(
        None, description="Decides every draw; null draws one from the operating system."
    )
    dialect: Dialect = Field(
        "keras", description="Whose names, arguments, axis orders and defaults layers have."
    )
    rng: Rng = Field(
        "aes-ctr", description="Where random words come from: aes-ctr, or a framework's stream."
    )
    fma: bool | None = Field(
        None,
        description="Whether a framework's stream multiplies and adds in one rounding; null is "
        "true where the framework does.",
    )
    dtype: DTypeName = Field("float32", description="The dtype of all tensors that name none.")
    fans: FanRule | None = Field(
        None,
        description="The rule that counts fans; null is the dialect's for layers and exact for "
        "tensors.",
    )
    per: Per | None = Field(
        None,
        description="What orthogonal, identity, eye, dirac and delta_orthogonal see: each kernel "
        "along B axes and in fused pieces, or the tensor; null is kernel, but tensor for Keras's "
        "layers and under a framework's stream.",
    )
    torch: str | None = Field(
        None, description="The version of torch whose draws these are, such as 2.13."
    )
    draws: list[Any] = Field(
        default=[],
        description="Every random call of a recorded torch module, in order, which the stream "
        "torch replays; no other stream looks at it.",
    )
    params: dict[str, Any] = Field(
        default={},
        description="Values of any kind by name; a string is an expression, {word: relu} a word.",
    )
    dims: dict[str, Any] = Field(
        default={},
        description="Sizes by name; a later one may use the params and those before it.",
    )
    input_shape: Dims | None = Field(
        None,
        description="The shape that goes into the first layer, without the batch axis.",
    )
    inputs: dict[str, Dims] = Field(
        default={}, description="Several inputs, name to shape, instead of input_shape."
    )
    outputs: list[str] = Field(
        default=[],
        description="The layers that the network ends in; none are those that lead to no other.",
    )
    initializer: Init | None = Field(
        None,
        description="The initializer of every tensor of rank 2 or more that nothing else decides.",
    )
    overrides: list[Any] = Field(
        default=[],
        description="Rules as under initializers, which come before all else, entries' own keys "
        "too: what --init adds.",
    )
    initializers: list[Any] = Field(
        default=[], description="Rules, each of one glob on names and an initialiser, in order."
    )
    layers: list[Any] = Field(
        default=[],
        description="The layers, in order of construction: a list, or a mapping of their names.",
    )
    tensors: Any = Field(
        default={},
        description="Raw tensors by name, or a list of such mappings, of entries with a name, and "
        "of groups.",
    )


class Rule(NamedTuple):
    """Hold a glob on names, and the initialiser of the tensors that it is the first to match.

    `when` is a condition on the tensor's indices: where it is false, the next rule decides.
    """

    glob: str
    pattern: re.Pattern[str]
    choice: InitializerChoice
    when: object = None


@dataclass(frozen=True, slots=True)
class Spec:
    """Hold a spec as read: its keys, its dims and rules, and the source that errors point into."""

    source: Source
    table: SpecTable
    params: dict[str, Value]
    dims: dict[str, int]
    rules: list[Rule]
    overrides: list[Rule]

    @property
    def names(self) -> Names:
        """What expressions may use besides indices."""
        return {**self.params, **self.dims}

    def layers(self) -> Iterator[Stamped]:
        """Expand the layers that have a class, in order."""
        check_products(self.table.layers, self.names, ("layers",))
        before: Stamped | None = None
        for stamped in stamp_layers(self.table.layers, self.names):
            if not is_shaped(stamped):
                yield stamped if before is None else self._after(before, stamped)
            before = stamped if is_shaped(stamped) else None

    def inputs(self) -> dict[str, Dims]:
        """Return the shapes of the network's inputs by their names."""
        if self.table.inputs:
            return dict(self.table.inputs)
        return {} if self.table.input_shape is None else {"input": self.table.input_shape}

    def tensors(self) -> Iterator[tuple[Stamped, TensorEntry]]:
        """Expand the kernels and biases of layers that have a shape, and the raw tensors."""
        check_products(self.table.layers, self.names, ("layers",))
        check_products(self.table.tensors, self.names, ("tensors",))
        shaped = filter(is_shaped, stamp_layers(self.table.layers, self.names))
        for stamped, parts in _alike(shaped, self.names, self._parts):
            for ending, part in parts:
                yield named(stamped, ending), part
        yield from _alike(stamp_tensors(self.table.tensors, self.names), self.names, _tensor)

    def _parts(self, stamped: Stamped, names: Names) -> list[tuple[str, TensorEntry]]:
        """Return the kernel of a layer that has a shape, and its bias."""
        entry, dialect = _shaped(stamped, names), self.table.dialect
        kernel, bias = PARTS[dialect]
        parts: list[tuple[str, TensorEntry]] = [(kernel, entry)]
        if entry.bias:
            parts.append((bias, bias_of(entry, dialect, stamped.path)))
        return parts

    def _after(self, before: Stamped, layer: Stamped) -> Stamped:
        """Give a layer the output of the one before, which has a shape."""
        table = self.table
        if _SAYS_INPUT & layer.item.keys() or (table.dialect == "torch" and not table.input_shape):
            return layer
        output = output_of(_shaped(before, before.names), table.dialect, before.path)
        if output is None:
            raise SpecError(
                f"the shape of {shown(before.name)} does not say what comes out of it: "
                "give this layer its input_shape",
                layer.path,
            )
        return layer._replace(item={**layer.item, "input_shape": list(output)})

    @property
    def data(self) -> Mapping[str, Any]:
        """The spec's keys as written, but for the plainest forms, which are written out."""
        assert isinstance(self.source.data, Mapping)
        return self.source.data

    def canonical(self) -> dict[str, Any]:
        """Return the spec as plain data that JSON can hold without losing an order that matters.

        Raises:
            SpecError: at a number that JSON cannot hold, where nothing else has looked at it.
        """
        check_numbers(self.data)
        return canonical(self.data, self.params, self.dims)


Made = TypeVar("Made")
# A layer with one of these says what goes into it.
_SAYS_INPUT = {"input_shape", "input_dim", "inputs", "shared"}


def _alike(
    entries: Iterable[Stamped], names: Names, make: Callable[[Stamped, Names], Made]
) -> Iterator[tuple[Stamped, Made]]:
    """Pair stamped entries with what is made of them, once for all that use no index."""
    # None marks an entry that uses one.
    alike: dict[int, Made | None] = {}
    for stamped in entries:
        key = id(stamped.source)
        if key not in alike:
            try:
                alike[key] = make(stamped, names)
            except SpecError:
                alike[key] = None
        yield stamped, alike[key] or make(stamped, stamped.names)


def _shaped(stamped: Stamped, names: Names) -> ShapedEntry:
    owner = "a layer that has a shape"
    return validated(ShapedEntry, stamped.item, names, stamped.path, owner, STAMPS)


def _tensor(stamped: Stamped, names: Names) -> TensorEntry:
    return validated(TensorEntry, stamped.item, names, stamped.path, "a tensor", STAMPS)


def read_source(spec: str | PathLike[str]) -> Source:
    """Read the text of a spec, from a path or from standard input (`-`), for several plans.

    Raises:
        SpecError: at the first character that is not understood.
    """
    return parse(*_read(spec))


def load_spec(
    spec: str | PathLike[str] | Mapping[str, Any] | Source,
    overrides: Mapping[str, Any] | None = None,
    dims: Mapping[str, object] | None = None,
) -> Spec:
    """Read a spec from a path, from standard input (`-`), from a mapping or from a text's source.

    `overrides` replace top-level keys, `dims` params or dims of that name; a string is a word for
    a param, an expression for a dim. Layers and tensors are taken as
    they stand: `make_plan` checks them.

    Raises:
        SpecError: with file, line and column of the first mistake.
    """
    if isinstance(spec, Mapping):
        source = Source("<spec>", _plain(spec), None)
    else:
        source = spec if isinstance(spec, Source) else read_source(spec)
    source = source._replace(overridden=frozenset(overrides or ()))
    try:
        return _model(source, _plain(overrides or {}), _plain(dims or {}))
    except SpecError as error:
        raise source.located(error) from None


def _plain(value: Any, depth: int = 0) -> Any:
    """Copy mappings and lists, with NumPy's integers as Python's.

    Raises:
        SpecError: where they are nested too deeply.
    """
    if depth > DEEPEST:
        raise SpecError(f"expected at most {DEEPEST} levels of nesting")
    if isinstance(value, Mapping):
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_plain(item, depth + 1) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if hasattr(value, "__index__") and not isinstance(value, int):
        with suppress(TypeError):
            return index(value)
    return value


def _read(spec: str | PathLike[str]) -> tuple[str, str]:
    if spec == "-":
        name = "<stdin>"
        try:
            raw = sys.stdin.buffer.read(LARGEST_TEXT + 1)
        except OSError as error:
            raise SpecError(f"cannot read the spec {shown(name)}: {error.strerror}") from None
    else:
        name = str(spec)
        try:
            with Path(spec).open("rb") as file:
                raw = file.read(LARGEST_TEXT + 1)
        except OSError as error:
            raise SpecError(f"cannot read the spec {shown(name)}: {error.strerror}") from None
    if len(raw) > LARGEST_TEXT:
        raise SpecError(f"{name}: expected a spec below {LARGEST_TEXT >> 20} MiB of text")
    try:
        return raw.decode("utf-8-sig"), name
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        problem = SpecError(f"expected UTF-8 text, found the byte 0x{raw[error.start]:02x}")
        problem.where = f"{name}:{line}:{column}"
        raise problem from None


def _model(source: Source, overrides: dict[str, Any], set_: Mapping[str, object]) -> Spec:
    if "overrides" in overrides and isinstance(source.data, Mapping):
        # Those of the command line come first.
        more = source.data.get("overrides") or []
        overrides = {**overrides, "overrides": [*overrides["overrides"], *more]}
    source = written_out(source, SpecTable.model_fields, overrides)
    assert isinstance(source.data, dict)
    given = source.data.get("params", {}), source.data.get("dims", {})
    check_overrides(*given, set_)
    params = evaluate_params(given[0], set_)
    sizes = evaluate_dims(given[1], params, set_)
    table = validated(SpecTable, source.data, {**params, **sizes}, (), "a spec")
    if table.inputs and table.input_shape is not None:
        raise SpecError("expected inputs or input_shape, found both", ("input_shape",), at_key=True)
    if not table.layers and not table.tensors:
        raise SpecError("expected layers or tensors, found neither")
    return Spec(
        source,
        table,
        params,
        sizes,
        _rules("initializers", table.initializers),
        _rules("overrides", table.overrides),
    )


def _rules(key: str, items: list[Any]) -> list[Rule]:
    return [_rule((key, index), item) for index, item in enumerate(items)]


def _rule(path: KeyPath, item: object) -> Rule:
    if not isinstance(item, Mapping) or len(item) != 1:
        raise SpecError(
            f'expected a rule of one glob, such as "*.bias": zeros, found {shown(item)}', path
        )
    ((glob, value),) = item.items()
    if not is_initializer(value):
        raise SpecError(
            f"expected an initializer's name or a mapping with its name, found {shown(value)}",
            (*path, glob),
        )
    when = None
    if isinstance(value, Mapping) and "when" in value:
        when = value["when"]
        value = {key: item for key, item in value.items() if key != "when"}
    choice = InitializerChoice(value, (*path, glob))
    return Rule(glob, re.compile(translate(glob)), choice, when)
