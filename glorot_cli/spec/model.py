"""The model of a spec: its keys and their types."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from glorot_cli.arguments import Dims, Init, Seed, ShapeOf, Size, Table, validated
from glorot_cli.dialects.layer import LayerEntry
from glorot_cli.dtypes import DTypeName
from glorot_cli.errors import KeyPath, SpecError, shown
from glorot_cli.fans import FanRule
from glorot_cli.spec.source import Source, parse

Dialect = Literal["keras"]
Rng = Literal["aes-ctr"]

# Keys that the spec's language has and this version does not read.
LATER_KEYS = {
    "spec": ("dims", "initializers", "inputs"),
    "layer": ("repeat", "inputs", "layer", "layers", "tie", "skip"),
    "tensor": ("repeat", "tie", "skip"),
}


class TensorEntry(Table):
    """Hold what a spec says of a raw tensor."""

    shape: ShapeOf
    initializer: Init
    axes: str | None = None
    dtype: DTypeName | None = None
    seed: Seed | None = None
    fans: FanRule | None = None
    fused: Size = 1


class SpecTable(Table):
    """Hold the keys of a spec; layers and tensors are validated one by one."""

    seed: Seed | None = None
    dialect: Dialect = "keras"
    rng: Rng = "aes-ctr"
    dtype: DTypeName = "float32"
    fans: FanRule | None = None
    input_shape: Dims | None = None
    layers: list[Any] = Field(default=[])
    tensors: dict[str, Any] = Field(default={})


@dataclass(frozen=True, slots=True)
class Spec:
    """Hold a spec as read: its keys, its entries, and the source that errors point into."""

    source: Source
    table: SpecTable
    layers: list[LayerEntry]
    tensors: dict[str, TensorEntry]

    def tensor_path(self, name: str) -> KeyPath:
        """Return the path to a raw tensor's entry."""
        tensors = self.source.data["tensors"]  # type: ignore[index]
        if isinstance(tensors, list):
            index = next(i for i, item in enumerate(tensors) if name in item)
            return "tensors", index, name
        return "tensors", name

    def canonical(self) -> dict[str, Any]:
        """Return the spec as plain data that JSON can hold without losing an order that matters."""
        data = dict(self.source.data)  # type: ignore[call-overload]
        tensors = data.get("tensors")
        if isinstance(tensors, dict) and len(tensors) > 1:
            data["tensors"] = [{name: entry} for name, entry in tensors.items()]
        return data


def load_spec(
    spec: str | PathLike[str] | Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> Spec:
    """Read a spec from a path, from standard input (`-`) or from a mapping.

    `overrides` replace top-level keys.

    Raises:
        SpecError: with file, line and column of the first mistake.
    """
    if isinstance(spec, Mapping):
        source = Source("<spec>", dict(spec), None)
    else:
        source = parse(*_read(spec))
    try:
        return _model(source, dict(overrides or {}))
    except SpecError as error:
        raise source.located(error) from None


def _read(spec: str | PathLike[str]) -> tuple[str, str]:
    if spec == "-":
        name, raw = "<stdin>", sys.stdin.buffer.read()
    else:
        name = str(spec)
        try:
            raw = Path(spec).read_bytes()
        except OSError as error:
            raise SpecError(f"cannot read the spec {shown(name)}: {error.strerror}") from None
    try:
        return raw.decode("utf-8-sig"), name
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        problem = SpecError(f"expected UTF-8 text, found the byte 0x{raw[error.start]:02x}")
        problem.where = f"{name}:{line}:{column}"
        raise problem from None


def _model(source: Source, overrides: dict[str, Any]) -> Spec:
    if not isinstance(source.data, dict):
        raise SpecError(f"expected a mapping with layers or tensors, found {shown(source.data)}")
    source = source._replace(data={**source.data, **overrides})
    data: dict[str, Any] = source.data  # type: ignore[assignment]
    _refuse_later(data, "spec", ())
    table = validated(SpecTable, _joined(data), (), "a spec")
    if not table.layers and not table.tensors:
        raise SpecError("expected layers or tensors, found neither")
    layers = [
        _entry(LayerEntry, item, ("layers", index), "layer")
        for index, item in enumerate(table.layers)
    ]
    tensors = {
        name: _entry(TensorEntry, item, _tensor_path(data, name), "tensor")
        for name, item in table.tensors.items()
    }
    return Spec(source, table, layers, tensors)


def _joined(data: dict[str, Any]) -> dict[str, Any]:
    """Join a list of mappings of tensors into one mapping."""
    if not isinstance(data.get("tensors"), list):
        return data
    joined: dict[str, Any] = {}
    for index, item in enumerate(data["tensors"]):
        if not isinstance(item, dict):
            raise SpecError(
                f"expected a mapping of name to tensor, found {shown(item)}", ("tensors", index)
            )
        for name, entry in item.items():
            if name in joined:
                raise SpecError("the name is taken", ("tensors", index, name), at_key=True)
            joined[name] = entry
    return {**data, "tensors": joined}


def _tensor_path(data: dict[str, Any], name: str) -> KeyPath:
    tensors = data["tensors"]
    if isinstance(tensors, list):
        return "tensors", next(i for i, item in enumerate(tensors) if name in item), name
    return "tensors", name


def _entry(table: type[Any], item: object, path: KeyPath, kind: str) -> Any:
    if not isinstance(item, dict):
        raise SpecError(f"expected a {kind} as a mapping, found {shown(item)}", path)
    _refuse_later(item, kind, path)
    return validated(table, item, path, f"a {kind}")


def _refuse_later(data: dict[str, Any], kind: str, path: KeyPath) -> None:
    for key in LATER_KEYS[kind]:
        if key in data:
            raise SpecError("this version does not support this key yet", (*path, key), at_key=True)
