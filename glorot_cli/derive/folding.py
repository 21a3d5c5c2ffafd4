"""Regular names folded: h.0.weight to h.11.weight as one entry that is repeated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from glorot_cli.fans import Shape

_INDEX = re.compile(r"(?<![A-Za-z0-9_])[0-9]{1,6}(?![A-Za-z0-9_])")
_VARIABLES = "ijklmnop"


class Named(NamedTuple):
    """Hold a tensor's name, shape and dtype."""

    name: str
    shape: Shape
    dtype: str


class Repeat(NamedTuple):
    """Hold an index, its range, and the text of the name before it."""

    variable: str
    start: int
    stop: int
    prefix: str


@dataclass(frozen=True, slots=True)
class Folded:
    """Hold tensors of one shape whose names differ in their indices only."""

    name: str
    shape: Shape
    dtype: str
    repeats: tuple[Repeat, ...] = ()


def fold(tensors: Iterable[Named]) -> list[Folded]:
    """Fold tensors whose names differ in whole components that are numbers.

    The result stands in the natural order of the names: h.2 before h.10.
    """
    templates: dict[tuple[str, ...], list[tuple[tuple[int, ...], Named]]] = {}
    for tensor in sorted(tensors, key=lambda tensor: _natural(tensor.name)):
        texts = tuple(_INDEX.split(tensor.name))
        # A leading zero would be lost in the folding.
        found = _INDEX.findall(tensor.name)
        if any(len(number) > 1 and number[0] == "0" for number in found):
            texts, found = (tensor.name,), []
        templates.setdefault(texts, []).append((tuple(map(int, found)), tensor))
    return [folded for texts, items in templates.items() for folded in _fold(texts, "", items, 0)]


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"([0-9]+)", name)]


def _fold(
    texts: Sequence[str], prefix: str, items: list[tuple[tuple[int, ...], Named]], depth: int
) -> list[Folded]:
    """Fold the indices from `depth` on; `prefix` is the name up to there."""
    prefix += texts[depth]
    if depth == len(texts) - 1:
        tensor = items[0][1]
        return [Folded(prefix, tensor.shape, tensor.dtype)]
    by_value: dict[int, list[tuple[tuple[int, ...], Named]]] = {}
    for indices, tensor in items:
        by_value.setdefault(indices[depth], []).append((indices, tensor))
    result = []
    for start, stop in _runs(by_value, depth):
        if stop - start == 1:
            result += _fold(texts, f"{prefix}{start}", by_value[start], depth + 1)
            continue
        variable = _VARIABLES[depth % len(_VARIABLES)]
        repeat = Repeat(variable, start, stop, prefix)
        result += [
            Folded(inner.name, inner.shape, inner.dtype, (repeat, *inner.repeats))
            for inner in _fold(texts, f"{prefix}{{{variable}}}", by_value[start], depth + 1)
        ]
    return result


def _runs(
    by_value: dict[int, list[tuple[tuple[int, ...], Named]]], depth: int
) -> list[tuple[int, int]]:
    """Find the runs of consecutive values below which all is alike."""

    def alike(value: int) -> list[tuple[tuple[int, ...], Shape, str]]:
        return [(indices[depth + 1 :], t.shape, t.dtype) for indices, t in by_value[value]]

    runs: list[tuple[int, int]] = []
    for value in sorted(by_value):
        if runs and runs[-1][1] == value and alike(runs[-1][0]) == alike(value):
            runs[-1] = (runs[-1][0], value + 1)
        else:
            runs.append((value, value + 1))
    return runs
