"""Regular names folded: h.0.weight to h.11.weight as one entry that is repeated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from glorot_cli.fans import Shape

# A component that is a number, but none of Keras's variables; or its number of a layer, dense_1/.
INDEX = re.compile(r"(?<![A-Za-z0-9_])(?<!\bvars/)[0-9]{1,6}(?![A-Za-z0-9_])|(?<=_)[0-9]{1,6}(?=/)")
_VARIABLES = "ijklmnop"
_MARK = "\0"
_TWIN = re.compile(f"{_MARK}([0-9]+){_MARK}")
# What an index may be called, and so nothing else.
VARIABLE = re.compile(rf"[{_VARIABLES}][0-9]*")
# Nobody needs more in one name, and each is a level of recursion.
_MOST_INDICES = 32


class Named(NamedTuple):
    """Hold a tensor's name, shape and dtype, its kind, and what else its entry says."""

    name: str
    shape: Shape
    dtype: str
    kind: str = ""
    more: Mapping[str, Any] = {}


class Repeat(NamedTuple):
    """Hold an index, its range, and the text of the name before it."""

    variable: str
    start: int
    stop: int
    prefix: str


@dataclass(frozen=True, slots=True)
class Folded:
    """Hold tensors of one shape and kind whose names differ in their indices only.

    `first` is the name of one of them.
    """

    name: str
    first: str
    shape: Shape
    dtype: str
    kind: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    repeats: tuple[Repeat, ...] = ()


_Item = tuple[tuple[int, ...], Named]


def fold(tensors: Iterable[Named]) -> list[Folded]:
    """Fold tensors whose names differ in whole numbers.

    The result stands in the natural order of the names: h.2 before h.10.
    """
    templates: dict[tuple[str, ...], list[_Item]] = {}
    for tensor in sorted(tensors, key=lambda tensor: _natural(tensor.name)):
        texts = split_name(tensor.name)
        indices = tuple(map(int, INDEX.findall(tensor.name))) if len(texts) > 1 else ()
        templates.setdefault(texts, []).append((indices, tensor))
    result = []
    for texts, items in templates.items():
        merged, reduced = _without_twins(texts, items)
        result += _fold(merged, (), "", reduced, 0)
    return result


def split_name(name: str) -> tuple[str, ...]:
    """Return the texts around the indices of a name."""
    found = INDEX.findall(name)
    # A leading zero would be lost in the folding.
    if len(found) > _MOST_INDICES or any(len(n) > 1 and n[0] == "0" for n in found):
        return (name,)
    return tuple(INDEX.split(name))


def _natural(name: str) -> list[tuple[int, int | str]]:
    parts = re.split(r"([0-9]{1,6})", name)
    return [(0, int(part)) if index % 2 else (1, part) for index, part in enumerate(parts)]


def _without_twins(texts: Sequence[str], items: list[_Item]) -> tuple[Sequence[str], list[_Item]]:
    """Take out each index that is always the same as one before, as in conv2d_3/conv2d_3.

    In the texts a mark and the number of that index stand in its place.
    """
    count = len(texts) - 1
    twins = {}
    for later in range(1, count):
        same = (p for p in range(later) if all(i[p] == i[later] for i, _ in items))
        first = next(same, None)
        if first is not None and len({i[later] for i, _ in items}) > 1:
            twins[later] = first
    left = [place for place in range(count) if place not in twins]
    merged = [texts[0]]
    for place in range(count):
        if place in twins:
            merged[-1] += f"{_MARK}{left.index(twins[place])}{_MARK}{texts[place + 1]}"
        else:
            merged.append(texts[place + 1])
    return merged, [(tuple(i[place] for place in left), tensor) for i, tensor in items]


def _fold(
    texts: Sequence[str], written: tuple[str, ...], prefix: str, items: list[_Item], depth: int
) -> list[Folded]:
    """Fold the indices from `depth` on; `prefix` is the name up to there.

    `written` says how the indices before it are written.
    """
    prefix += _TWIN.sub(lambda match: written[int(match[1])], texts[depth])
    if depth == len(texts) - 1:
        tensor = items[0][1]
        return [Folded(prefix, *tensor)]
    by_value: dict[int, list[_Item]] = {}
    for indices, tensor in items:
        by_value.setdefault(indices[depth], []).append((indices, tensor))
    result = []
    for start, stop in _runs(by_value, depth):
        if stop - start == 1:
            here = (*written, str(start))
            result += _fold(texts, here, f"{prefix}{start}", by_value[start], depth + 1)
            continue
        number = depth // len(_VARIABLES)
        variable = f"{_VARIABLES[depth % len(_VARIABLES)]}{number or ''}"
        repeat = Repeat(variable, start, stop, prefix)
        here = (*written, f"{{{variable}}}")
        result += [
            Folded(
                inner.name,
                inner.first,
                inner.shape,
                inner.dtype,
                inner.kind,
                inner.more,
                (repeat, *inner.repeats),
            )
            for inner in _fold(texts, here, f"{prefix}{here[-1]}", by_value[start], depth + 1)
        ]
    return result


def _runs(by_value: dict[int, list[_Item]], depth: int) -> list[tuple[int, int]]:
    """Find the runs of consecutive values below which all is alike."""

    def alike(value: int) -> list[tuple[object, ...]]:
        return [(indices[depth + 1 :], *tensor[1:]) for indices, tensor in by_value[value]]

    runs: list[tuple[int, int]] = []
    for value in sorted(by_value):
        if runs and runs[-1][1] == value and alike(runs[-1][0]) == alike(value):
            runs[-1] = (runs[-1][0], value + 1)
        else:
            runs.append((value, value + 1))
    return runs
