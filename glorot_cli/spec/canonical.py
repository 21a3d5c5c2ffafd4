"""A spec as data whose meaning survives sorted keys, for the provenance inside a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from glorot_cli.errors import KeyPath, SpecError, shown
from glorot_cli.params import written_param
from glorot_cli.repeats import RANGES

LARGEST_BITS = 1328  # of 400 digits, as many as are read


def check_numbers(value: Any, path: KeyPath = ()) -> None:
    """Check that every number is one that JSON can hold.

    Raises:
        SpecError: at the first that is not.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError(f"expected a finite number, found {shown(value)}", path)
    if isinstance(value, int) and value.bit_length() > LARGEST_BITS:
        raise SpecError(f"expected a number of at most 400 digits, found {shown(value)}", path)
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_numbers(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_numbers(item, (*path, index))


def canonical(
    data: Mapping[str, Any], params: Mapping[str, Any], dims: Mapping[str, int]
) -> dict[str, Any]:
    """Write every order that matters as a list, and params and dims as what they came to."""
    result = dict(data)
    if params:
        result["params"] = {name: written_param(value) for name, value in params.items()}
    if dims:
        result["dims"] = dict(dims)
    if "draws" in result:
        result["draws"] = [_layer(item) for item in result["draws"]]
    if "layers" in result:
        result["layers"] = [_layer(item) for item in result["layers"]]
    if "tensors" in result:
        result["tensors"] = _tensors(result["tensors"])
    return result


def _layer(item: Mapping[str, Any]) -> dict[str, Any]:
    return _nested({key: _within(value) for key, value in item.items()})


def _within(value: Any) -> Any:
    """Do the same for the layers that a layer or a group holds, under whatever key."""
    if isinstance(value, list | tuple):
        return [_layer(item) if isinstance(item, Mapping) else _within(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _within(item) for key, item in value.items()}
    return value


def _tensors(items: Any) -> Any:
    if isinstance(items, list):
        found = [
            _nested({**item, "entries": _tensors(item["entries"])})
            if "entries" in item
            else _tensors(item)
            for item in items
        ]
        return [part for item in found for part in (item if isinstance(item, list) else [item])]
    parts = [_tensor(name, dict(entry)) for name, entry in items.items()]
    return parts[0] if len(parts) == 1 and "entries" not in parts[0] else parts


def _tensor(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    *outer, inner = _unwrapped(entry)
    result: dict[str, Any] = {name: inner}
    for group in reversed(outer):
        result = {**group, "entries": [result]}
    return result


def _nested(item: dict[str, Any]) -> dict[str, Any]:
    """Turn a repeat over several indices, whose order matters, into groups within groups."""
    *outer, inner = _unwrapped(item)
    for group in reversed(outer):
        inner = {**group, "entries": [inner]}
    return inner


def _unwrapped(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Give an entry of one index at most, after the groups that hold its other indices."""
    indices = [
        {key: {index: bounds}} for key in RANGES for index, bounds in (item.get(key) or {}).items()
    ]
    if len(indices) < 2:
        return [item]
    *outer, last = indices
    rest = {key: value for key, value in item.items() if key not in RANGES}
    return [*outer, {**rest, **last}]
