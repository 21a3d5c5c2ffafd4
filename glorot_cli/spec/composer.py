"""YAML's events to plain data: no key twice, few levels, and copies of what aliases name."""

from __future__ import annotations

import bisect
import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from glorot_cli.errors import SpecError, shown
from glorot_cli.spec.scalars import plain_scalar

DEEPEST = 64
# Keys count too. A tensor written out takes about ten.
MOST_VALUES = 1_000_000

# More of them would be a small text that makes a large spec; repeats do that, and count.
MOST_ALIASED = 100_000

Position = tuple[int, int]
# How many columns shorter a character is than the two halves that JSON may write it as.
PAIR_SHIFT = len(r"\ud83d\ude00") - 1
# For each line, counted from 0, the columns at which characters were left out before.
Shifts = dict[int, list[int]]


@dataclass(slots=True)
class Marks:
    """Hold where a value starts, and the same for each key and value inside it."""

    start: Position
    keys: dict[str | int, Position] = field(default_factory=dict)
    values: dict[str | int, Marks] = field(default_factory=dict)


def error_at(name: str, position: Position, message: str) -> SpecError:
    error = SpecError(message)
    error.where = "{}:{}:{}".format(name, *position)
    return error


def position_of(mark: Any, shifts: Shifts) -> Position:
    missing = bisect.bisect_right(shifts.get(mark.line, ()), mark.column)
    return mark.line + 1, mark.column + 1 + missing * PAIR_SHIFT


class Anchored(NamedTuple):
    """Hold a value that aliases repeat: with its places, how many values it has, and its levels."""

    value: object
    marks: Marks
    nodes: int
    height: int


class Composer:
    def __init__(self, events: Iterator[Any], name: str, shifts: Shifts) -> None:
        self._events = events
        self._name = name
        self._shifts = shifts
        self._count = 0
        self._aliased = 0
        self._anchors: dict[str, Anchored] = {}

    def value(self, event: Any, depth: int) -> tuple[object, Marks]:
        marks = Marks(position_of(event.start_mark, self._shifts))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), marks.start, depth)
        if event.anchor is None:
            return self._node(event, marks, depth)
        self._anchors.pop(event.anchor, None)  # it is not whole yet
        before = self._count
        found, marks = self._node(event, marks, depth)
        self._anchors[event.anchor] = Anchored(found, marks, self._count - before, _height(found))
        return found, marks

    def _alias(self, anchor: str, start: Position, depth: int) -> tuple[object, Marks]:
        """Copy what an anchor names; its items keep their own places."""
        anchored = self._anchors.get(anchor)
        if anchored is None:
            message = f"no anchor &{anchor} is whole before this alias"
            raise self._refused(start, f'{message}; a glob such as "*.bias" needs quotes')
        self._aliased += anchored.nodes
        self._count += anchored.nodes
        if self._aliased > MOST_ALIASED:
            raise self._refused(start, f"expected at most {MOST_ALIASED} values through aliases")
        if depth + anchored.height > DEEPEST:
            raise self._refused(start, f"expected at most {DEEPEST} levels of nesting")
        marks = Marks(start, anchored.marks.keys, anchored.marks.values)
        return copy.deepcopy(anchored.value), marks

    def _node(self, event: Any, marks: Marks, depth: int) -> tuple[object, Marks]:
        if event.tag is not None and event.tag != "!":
            found = f"expected a value, found the tag {shown(event.tag)}; leave it out"
            raise self._refused(marks.start, found)
        if depth > DEEPEST:
            raise self._refused(marks.start, f"expected at most {DEEPEST} levels of nesting")
        self._count += 1
        if self._count > MOST_VALUES:
            raise self._refused(marks.start, f"expected a spec of at most {MOST_VALUES} values")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, marks.start), marks
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(marks, depth), marks
        return self._mapping(marks, depth), marks

    def _sequence(self, marks: Marks, depth: int) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            item, marks.values[len(items)] = self.value(event, depth + 1)
            marks.keys[len(items)] = marks.values[len(items)].start
            items.append(item)
        return items

    def _mapping(self, marks: Marks, depth: int) -> dict[str, object]:
        items: dict[str, object] = {}
        merged: tuple[object, Marks] | None = None
        first = marks.start
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            is_merge = _is_merge(event)
            key, position = self._key(event, depth)
            if is_merge and merged is None:
                first = position
                merged = self.value(next(self._events), depth + 1)
                continue
            if key in items or is_merge:
                line, column = first if is_merge else marks.keys[key]
                raise self._refused(
                    position, f"the key {shown(key)} stands already at {line}:{column}"
                )
            marks.keys[key] = position
            items[key], marks.values[key] = self.value(next(self._events), depth + 1)
        return items if merged is None else self._merged(*merged, items, marks)

    def _merged(
        self, value: object, place: Marks, own: dict[str, object], marks: Marks
    ) -> dict[str, object]:
        """Put the keys of a mapping, or of several, before a mapping's own, which win."""
        parts = [(value, place)]
        if isinstance(value, list):
            parts = [(each, place.values[index]) for index, each in enumerate(value)]
        items: dict[str, object] = {}
        for part, inner in parts:
            if not isinstance(part, dict):
                message = f"expected a mapping to merge, or a list of them, found {shown(part)}"
                raise self._refused(inner.start, message)
            for key in part:
                if key not in items:
                    items[key] = part[key]
                    if key not in own:
                        marks.keys[key] = inner.keys[key]
                        marks.values[key] = inner.values[key]
        return items | own

    def _key(self, event: Any, depth: int) -> tuple[str, Position]:
        key, marks = self.value(event, depth + 1)
        if not isinstance(event, yaml.ScalarEvent):
            mapping = isinstance(event, yaml.MappingStartEvent)
            hint = "; a name with {i} needs quotes" if mapping else ""
            raise self._refused(marks.start, f"expected a key, found {shown(key)}{hint}")
        return key if isinstance(key, str) else event.value, marks.start

    def _scalar(self, event: Any, start: Position) -> object:
        text: str = event.value
        if not event.implicit[0]:
            return text
        try:
            return plain_scalar(text)
        except ValueError as error:
            raise self._refused(start, str(error)) from None

    def _refused(self, position: Position, message: str) -> SpecError:
        return error_at(self._name, position, message)


def _is_merge(event: Any) -> bool:
    """Tell whether a key is YAML's mark of mappings to merge."""
    return isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]


def _height(value: object) -> int:
    """Return how many levels a value has, of which the composer allows few."""
    if not isinstance(value, dict | list):
        return 0
    items: Iterable[object] = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_height, items), default=0)
