"""A sequence of entries folded: what comes again with the next index becomes a repeat.

Order is kept, for a list of draws is nothing without it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

# A number by itself: layers.0., layer_0., but none of conv1 or of weight_ih_l0.
_INDEX = re.compile(r"(?<![A-Za-z0-9])[0-9]{1,6}(?![A-Za-z0-9])")
_VARIABLES = "ijklmnop"
# Longer blocks are not looked for, nor more places at which one may come again.
_LONGEST = 4000
_MOST_TRIALS = 40
# A repeat is worth its lines if it saves as many entries.
_WORTH = 2


@dataclass(frozen=True, slots=True)
class Leaf:
    """Hold one entry: the texts with indices in them, and all else that it says."""

    texts: tuple[str, ...]
    payload: Any = None


@dataclass(frozen=True, slots=True)
class Group:
    """Hold entries that are repeated: `variable` counts from `start` to `stop` by `step`."""

    variable: str
    start: int
    stop: int
    step: int
    entries: tuple[Leaf | Group, ...]


class _Node(NamedTuple):
    """Hold an entry or a group by what it is but for its indices, and these."""

    key: tuple[Any, ...]
    indices: tuple[int | str, ...]
    depth: int


def fold(entries: Sequence[Leaf]) -> list[Leaf | Group]:
    """Fold entries whose texts come again with all their indices one higher where they differ."""
    nodes = [_node(entry) for entry in entries]
    longest = 1
    while longest < _LONGEST:
        # Short blocks first, so that what is repeated within a block is folded within it.
        while (folded := _pass(nodes, longest)) is not None:
            nodes = folded
        longest *= 2
    return [_entry(node, {}) for node in nodes]


def _node(entry: Leaf) -> _Node:
    texts, indices = [], []
    for text in entry.texts:
        parts = _split(text)
        texts.append(parts)
        if len(parts) > 1:
            indices += [int(found) for found in _INDEX.findall(text)]
    return _Node(("leaf", tuple(texts), entry.payload), tuple(indices), 0)


def _split(text: str) -> tuple[str, ...]:
    """Return the texts around the indices; a leading zero would be lost in the folding."""
    found = _INDEX.findall(text)
    if any(len(number) > 1 and number[0] == "0" for number in found):
        return (text,)
    return tuple(_INDEX.split(text))


def _pass(nodes: list[_Node], longest: int) -> list[_Node] | None:
    """Fold each block that comes again, the shortest first; None if there is none."""
    places: dict[tuple[Any, ...], list[int]] = {}
    for at, node in enumerate(nodes):
        places.setdefault(node.key, []).append(at)
    # Where each node's key comes next.
    rank = {}
    for found in places.values():
        for order, at in enumerate(found):
            rank[at] = (found, order)
    result: list[_Node] = []
    at, changed = 0, False
    while at < len(nodes):
        found, order = rank[at]
        block = None
        for next_ in found[order + 1 : order + 1 + _MOST_TRIALS]:
            length = next_ - at
            if length > longest:
                break
            times = _times(nodes, at, length)
            if times > 1 and (times - 1) * length >= _WORTH:
                block = length, times
                break
        if block is None:
            result.append(nodes[at])
            at += 1
            continue
        length, times = block
        result.append(
            _grouped(nodes[at : at + length], nodes[at + length : at + 2 * length], times)
        )
        at += length * times
        changed = True
    return result if changed else None


def _times(nodes: list[_Node], at: int, length: int) -> int:
    """Return how often a block stands, each time with the next index."""
    base = [index for node in nodes[at : at + length] for index in node.indices]
    keys = [node.key for node in nodes[at : at + length]]
    times, step = 1, 0
    moved: list[int] | None = None
    while at + (times + 1) * length <= len(nodes):
        begin = at + times * length
        block = nodes[begin : begin + length]
        if [node.key for node in block] != keys:
            break
        indices = [index for node in block for index in node.indices]
        if moved is None:
            moved = [place for place, index in enumerate(indices) if index != base[place]]
            if len({(base[place], indices[place]) for place in moved}) != 1:
                break
            step = _step(base[moved[0]], indices[moved[0]])
            if step < 1:
                break
        wanted: list[int | str] = list(base)
        for place in moved:
            wanted[place] = int(base[place]) + times * step
        if indices != wanted:
            break
        times += 1
    return times


def _step(index: int | str, other: int | str) -> int:
    return 0 if isinstance(index, str) or isinstance(other, str) else other - index


def _grouped(block: list[_Node], after: list[_Node], times: int) -> _Node:
    depth = 1 + max(node.depth for node in block)
    indices = [index for node in block for index in node.indices]
    next_ = [index for node in after for index in node.indices]
    mark = f"#{depth}"
    start, step = next(
        (index, _step(index, other))
        for index, other in zip(indices, next_, strict=True)
        if index != other
    )
    marked = tuple(
        mark if index != other else index for index, other in zip(indices, next_, strict=True)
    )
    # Indices that were marked within stand in the key; those that are numbers may still move.
    sizes = tuple(len(node.indices) for node in block)
    shape = tuple(x if isinstance(x, str) else None for x in marked)
    assert isinstance(start, int)
    key = (
        "group",
        (start, start + (times - 1) * step + 1, step),
        depth,
        sizes,
        shape,
        tuple(node.key for node in block),
    )
    return _Node(key, marked, depth)


def _entry(node: _Node, names: dict[str, str]) -> Leaf | Group:
    """Return what a node is; `names` are the variables of the groups around it, by their marks."""
    if node.key[0] == "leaf":
        texts, at = [], 0
        for parts in node.key[1]:
            text = parts[0]
            for part in parts[1:]:
                index = node.indices[at]
                at += 1
                text += ("{" + names[index] + "}" if isinstance(index, str) else str(index)) + part
            texts.append(text)
        return Leaf(tuple(texts), node.key[2])
    _, (start, stop, step), depth, sizes, _, keys = node.key
    number = len(names)
    variable = _VARIABLES[number % len(_VARIABLES)] + ("" if number < 8 else str(number // 8))
    inner_names = {**names, f"#{depth}": variable}
    entries, at = [], 0
    for size, key in zip(sizes, keys, strict=True):
        inner = _Node(key, node.indices[at : at + size], 0)
        at += size
        entries.append(_entry(inner, inner_names))
    return Group(variable, start, stop, step, tuple(entries))
