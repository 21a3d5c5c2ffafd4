"""The sequence of a module's random calls, as the entries of a spec's `draws`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from glorot_cli.recording.account import Call, Constant, Drawn, Known
from glorot_cli.recording.folding import Group, Leaf, fold
from glorot_cli.recording.module import Module, Recorded
from glorot_cli.spec.draws import WORDS

Entry = dict[str, Any]

_EXACT = {
    "add": "add", "multiply": "multiply", "divide": "divide", "at_least": "at_least",
    "at_most": "at_most",
}  # fmt: skip
_KINDS = ("uniform", "normal", "trunc_normal")
Rows = tuple[int, int] | None


def draws_of(module: Module, entries: Mapping[str, Entry], dtype: str) -> list[Any] | None:
    """Return the draws in order, folded; None if torch drew what takes unknown numbers of words."""
    held = _holders(module, entries)
    places = _places(module, entries)
    leaves = []
    for call in module.calls:
        leaf = _leaf(call, held.get(id(call)), places, dtype)
        if leaf is None:
            return None
        if call.count:
            leaves.append(leaf)
    return _written(fold(leaves))


class _Holder:
    """Hold the tensor that a call's values are in, all or some of its rows, and what they are."""

    def __init__(self, tensor: Recorded, rows: Rows, drawn: Drawn, is_alone: bool) -> None:
        self.tensor, self.rows, self.drawn, self.is_alone = tensor, rows, drawn, is_alone


def _holders(module: Module, entries: Mapping[str, Entry]) -> dict[int, _Holder]:
    found: dict[int, _Holder] = {}
    for tensor in module.tensors:
        if "tie" in entries.get(tensor.name, {"tie": ""}) or not _is_replayed(tensor):
            continue
        laws = {
            (id(region.value.call), region.value.steps)
            for region in tensor.regions
            if isinstance(region.value, Drawn)
        }
        for region in tensor.regions:
            drawn = region.value
            if not isinstance(drawn, Drawn) or id(drawn.call) in found:
                continue
            base = region.start - drawn.first
            rows = _rows(tensor, base, drawn.call.count)
            turns = drawn.turned != tensor.turned
            if rows is None or (rows is not False and not turns):
                found[id(drawn.call)] = _Holder(tensor, rows, drawn, len(laws) == 1)
    return found


def _rows(tensor: Recorded, start: int, count: int) -> Any:
    """Return the rows that a run of elements fills, None for all of them, or False for none."""
    if start == 0 and count == math.prod(tensor.shape):
        return None
    size = math.prod(tensor.shape[1:])
    stop = start + count
    if start < 0 or stop > math.prod(tensor.shape) or start % size or stop % size or tensor.turned:
        return False
    return start // size, stop // size


def _places(module: Module, entries: Mapping[str, Entry]) -> dict[tuple[int, int, int], Recorded]:
    """Return which tensor lies where in what storage, in the dtype that it was drawn in."""
    found: dict[tuple[int, int, int], Recorded] = {}
    for tensor in module.tensors:
        if tensor.where is not None and tensor.name in entries and _is_replayed(tensor):
            found.setdefault(tensor.where, tensor)
    return found


def _is_replayed(tensor: Recorded) -> bool:
    """Tell whether a tensor holds nothing but constants, and draws whose bits are known."""
    for region in tensor.regions:
        value = region.value
        if isinstance(value, Drawn) and (value.call.kind not in _KINDS or _steps(value) is None):
            return False
        if not isinstance(value, Drawn | Constant | Known):
            return False
    return True


def _leaf(
    call: Call,
    holder: _Holder | None,
    places: Mapping[tuple[int, int, int], Recorded],
    dtype: str,
) -> Leaf | None:
    if call.kind == "log_normal":
        return _lost({"draw": "normal", "scattered": True}, call, dtype)
    if call.kind in WORDS or call.kind == "randperm":
        return _lost({"draw": call.kind}, call, dtype)
    if call.kind not in _KINDS:
        return None
    entry: Entry = {"draw": call.kind}
    if call.scattered:
        entry["scattered"] = True
    steps = _steps(holder.drawn) if holder is not None else None
    if holder is not None and steps is not None and not _is_empty(call):
        if steps or not holder.is_alone or holder.rows is not None:
            entry |= call.arguments
        if call.kind == "trunc_normal" and not steps and holder.rows is None and holder.is_alone:
            entry = {"draw": call.kind}
        if steps:
            entry["then"] = steps
        if holder.rows is not None:
            entry["rows"] = list(holder.rows)
        if holder.tensor.turned != holder.drawn.turned:
            entry["turned"] = True
        if holder.tensor.dtype != call.dtype:
            entry["dtype"] = call.dtype
        return _named(entry, holder.tensor.name)
    if call.kind == "trunc_normal":
        entry |= call.arguments
    if call.where is not None:
        tensor = places.get((*call.where, call.where[1] + call.count))
        if tensor is not None and tensor.dtype == call.dtype:
            return _named(entry, tensor.name)
    return _lost(entry, call, dtype)


def _is_empty(call: Call) -> bool:
    """Tell a draw that comes to one number."""
    given = call.arguments
    return given.get("std") == 0.0 or (call.kind == "uniform" and given["a"] == given["b"])


def _steps(drawn: Drawn) -> list[Entry] | None:
    """Return the steps after a draw, or None if one of them rounds in a way not known here."""
    found: list[Entry] = []
    for step in drawn.steps:
        if step.operation == "negate":
            found.append({"multiply": -1.0})
        elif step.operation in _EXACT and step.number is not None:
            found.append({_EXACT[step.operation]: step.number})
        else:
            return None
    return found


def _named(entry: Entry, name: str) -> Leaf:
    return Leaf((name,), _frozen(entry))


def _lost(entry: Entry, call: Call, dtype: str) -> Leaf:
    entry = {**entry, "shape": list(call.shape) or []}
    if call.kind not in WORDS and call.kind != "randperm" and call.dtype != dtype:
        entry["dtype"] = call.dtype
    return Leaf((), _frozen(entry))


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return ("mapping", tuple((key, _frozen(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(map(_frozen, value)))
    return value


def _thawed(value: Any) -> Any:
    if isinstance(value, tuple) and value[0] == "mapping":
        return {key: _thawed(item) for key, item in value[1]}
    if isinstance(value, tuple):
        return [_thawed(item) for item in value[1]]
    return value


def _written(entries: list[Leaf | Group]) -> list[Any]:
    """Write draws as data: like ones one after another share a line."""
    result: list[Any] = []
    before: Any = None
    for entry in entries:
        if isinstance(entry, Group):
            repeat, inner = {entry.variable: _bounds(entry)}, _written(list(entry.entries))
            if len(inner) == 1 and "entries" not in inner[0] and "repeat" not in inner[0]:
                result.append({**inner[0], "repeat": repeat})
            else:
                result.append({"repeat": repeat, "entries": inner})
            before = None
            continue
        if entry.texts and before == entry.payload:
            of = result[-1]["of"]
            result[-1]["of"] = [*(of if isinstance(of, list) else [of]), *entry.texts]
            continue
        item = _thawed(entry.payload)
        if entry.texts:
            item = {"draw": item.pop("draw"), "of": entry.texts[0], **item}
        result.append(item)
        before = entry.payload if entry.texts else None
    return result


def _bounds(group: Group) -> Any:
    if group.step != 1:
        return [group.start, group.stop, group.step]
    return group.stop if group.start == 0 else [group.start, group.stop]
