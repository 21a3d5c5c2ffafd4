"""The model of a spec: its keys and their types."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import translate
from operator import index
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple, SupportsIndex

from pydantic import Field

from glorot_cli.arguments import Dims, Init, InitializerChoice, Seed, ShapeOf, Size
from glorot_cli.dialects import Dialect
from glorot_cli.dtypes import DTypeName, IntegerName
from glorot_cli.errors import SpecError, shown
from glorot_cli.expressions import Names
from glorot_cli.fans import FanRule
from glorot_cli.products import check_products
from glorot_cli.repeats import Stamped, evaluate_dims, stamp_layers, stamp_tensors
from glorot_cli.signatures import Table, validated
from glorot_cli.spec.canonical import canonical
from glorot_cli.spec.source import LARGEST_TEXT, Source, parse

Rng = Literal[
    "aes-ctr", "keras-numpy", "keras-jax", "keras-torch", "keras-tensorflow", "torch", "jax"
]


class TensorEntry(Table):
    """Hold what a spec says of a raw tensor."""

    shape: ShapeOf | None = Field(
        None, description="A list of sizes; [] is a scalar. Needed unless the tensor is tied."
    )
    initializer: Init | None = Field(
        None, description="A name, or a mapping with name and arguments; null leaves it to a rule."
    )
    axes: str | None = Field(
        None,
        description="One capital letter per axis: I input, O output, B a batch axis that no fan "
        "counts, any other letter a receptive field.",
    )
    dtype: DTypeName | IntegerName | None = Field(
        None, description="Its dtype; null is the spec's. Whole numbers hold constants only."
    )
    seed: Seed | None = Field(None, description="Its seed; null is the spec's.")
    fans: FanRule | None = Field(
        None, description="Its rule for fans; null is the spec's, or exact."
    )
    fused: Size = Field(
        1, description="How many equal kernels the O axis holds side by side; fans are of one."
    )
    tie: str | None = Field(
        None, description="The name of another tensor that this one is; it is not stored twice."
    )
    skip: bool = Field(False, description="Whether it stands in the plan only, and in no file.")


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
    dims: dict[str, Any] = Field(
        default={}, description="Sizes by name; a later one may use those before it."
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
    initializers: list[Any] = Field(
        default=[], description="Rules, each of one glob on names and an initialiser, in order."
    )
    layers: list[Any] = Field(default=[], description="The layers, in order of construction.")
    tensors: Any = Field(
        default={}, description="Raw tensors by name, or a list of such mappings and of groups."
    )


class Rule(NamedTuple):
    """Hold a glob on names, and the initialiser of the tensors that it is the first to match."""

    glob: str
    pattern: re.Pattern[str]
    choice: InitializerChoice


@dataclass(frozen=True, slots=True)
class Spec:
    """Hold a spec as read: its keys, its dims and rules, and the source that errors point into."""

    source: Source
    table: SpecTable
    dims: dict[str, int]
    rules: list[Rule]

    def layers(self) -> Iterator[Stamped]:
        """Stamp out the layers, in order."""
        check_products(self.table.layers, self.dims, ("layers",))
        return stamp_layers(self.table.layers, self.dims)

    def inputs(self) -> dict[str, Dims]:
        """Return the shapes of the network's inputs by their names."""
        if self.table.inputs:
            return dict(self.table.inputs)
        return {} if self.table.input_shape is None else {"input": self.table.input_shape}

    def tensors(self) -> Iterator[tuple[Stamped, TensorEntry]]:
        """Stamp out the raw tensors, in order."""
        check_products(self.table.tensors, self.dims, ("tensors",))
        # An entry that uses no index is the same in all its repetitions; None marks one that does.
        alike: dict[int, TensorEntry | None] = {}
        for stamped in stamp_tensors(self.table.tensors, self.dims):
            key = id(stamped.source)
            if key not in alike:
                try:
                    alike[key] = _tensor(stamped, self.dims)
                except SpecError:
                    alike[key] = None
            yield stamped, alike[key] or _tensor(stamped, stamped.names)

    def canonical(self) -> dict[str, Any]:
        """Return the spec as plain data that JSON can hold without losing an order that matters."""
        assert isinstance(self.source.data, Mapping)
        return canonical(self.source.data, self.dims)


def _tensor(stamped: Stamped, names: Names) -> TensorEntry:
    return validated(TensorEntry, stamped.item, names, stamped.path, "a tensor", ("repeat",))


def load_spec(
    spec: str | PathLike[str] | Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    dims: Mapping[str, SupportsIndex] | None = None,
) -> Spec:
    """Read a spec from a path, from standard input (`-`) or from a mapping.

    `overrides` replace top-level keys, `dims` sizes of that name. Layers and tensors are taken as
    they stand: `make_plan` checks them.

    Raises:
        SpecError: with file, line and column of the first mistake.
    """
    if isinstance(spec, Mapping):
        source = Source("<spec>", _plain(spec), None)
    else:
        source = parse(*_read(spec))
    source = source._replace(overridden=frozenset(overrides or ()))
    try:
        return _model(source, _plain(overrides or {}), _plain(dims or {}))
    except SpecError as error:
        raise source.located(error) from None


def _plain(value: Any) -> Any:
    """Copy mappings and lists, with NumPy's integers as Python's."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = map(_plain, value)
        return list(items) if isinstance(value, list) else tuple(items)
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


def _model(source: Source, overrides: dict[str, Any], dims: Mapping[str, int]) -> Spec:
    if not isinstance(source.data, dict):
        raise SpecError(f"expected a mapping with layers or tensors, found {shown(source.data)}")
    source = source._replace(data={**source.data, **overrides})
    assert isinstance(source.data, dict)
    sizes = evaluate_dims(source.data.get("dims", {}), dims)
    table = validated(SpecTable, source.data, sizes, (), "a spec")
    if table.inputs and table.input_shape is not None:
        raise SpecError("expected inputs or input_shape, found both", ("input_shape",), at_key=True)
    if not table.layers and not table.tensors:
        raise SpecError("expected layers or tensors, found neither")
    return Spec(source, table, sizes, [_rule(i, item) for i, item in enumerate(table.initializers)])


def _rule(index: int, item: object) -> Rule:
    path = ("initializers", index)
    if not isinstance(item, Mapping) or len(item) != 1:
        raise SpecError(
            f'expected a rule of one glob, such as "*.bias": zeros, found {shown(item)}', path
        )
    ((glob, value),) = item.items()
    if not isinstance(value, str | Mapping):
        raise SpecError(
            f"expected an initializer's name or a mapping with its name, found {shown(value)}",
            (*path, glob),
        )
    return Rule(glob, re.compile(translate(glob)), InitializerChoice(value, (*path, glob)))
