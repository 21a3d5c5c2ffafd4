"""A spec as data whose meaning survives sorted keys, for the provenance inside a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def canonical(data: Mapping[str, Any], dims: Mapping[str, int]) -> dict[str, Any]:
    """Write every order that matters as a list, and dims as the sizes that they came to."""
    result = dict(data)
    if dims:
        result["dims"] = dict(dims)
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
    repeat = entry.pop("repeat", None)
    if repeat is None:
        return {name: entry}
    *outer, (index, bounds) = repeat.items()
    result: dict[str, Any] = {name: {**entry, "repeat": {index: bounds}}}
    for index, bounds in reversed(outer):
        result = {"repeat": {index: bounds}, "entries": [result]}
    return result


def _nested(item: dict[str, Any]) -> dict[str, Any]:
    """Turn a repeat over several indices, whose order matters, into groups within groups."""
    repeat = item.get("repeat")
    if not repeat or len(repeat) == 1:
        return item
    *outer, (index, bounds) = repeat.items()
    result = {**item, "repeat": {index: bounds}}
    for index, bounds in reversed(outer):
        result = {"repeat": {index: bounds}, "entries": [result]}
    return result
