"""YAML 1.2 and JSON to plain data, with the line and column of every key and value."""

from __future__ import annotations

import bisect
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from glorot_cli.errors import SpecError, printable, shown

LARGEST_TEXT = 64 << 20
DEEPEST = 64
# Keys count too. A tensor written out takes about ten.
MOST_VALUES = 1_000_000

Position = tuple[int, int]
# For each line, counted from 0, the columns at which characters were left out before.
Shifts = dict[int, list[int]]


@dataclass(slots=True)
class Marks:
    """Hold where a value starts, and the same for each key and value inside it."""

    start: Position
    keys: dict[str | int, Position] = field(default_factory=dict)
    values: dict[str | int, Marks] = field(default_factory=dict)


class Source(NamedTuple):
    """Hold a spec's text as data, and the places to point to; `overridden` keys have none."""

    name: str
    data: object
    marks: Marks | None
    overridden: frozenset[str] = frozenset()

    def located(self, error: SpecError) -> SpecError:
        """Give an error its position, as near to its path as the text goes."""
        if error.where:
            return error
        error.where = self.name
        if error.path and error.path[0] in self.overridden:
            error.where = "overrides"
            return error
        if self.marks is None:
            return error
        marks, position = self.marks, self.marks.start
        for depth, key in enumerate(error.path):
            last = depth == len(error.path) - 1
            if key not in marks.values:
                break
            position = marks.values[key].start
            if last and error.at_key:
                position = marks.keys[key]
            marks = marks.values[key]
        error.where = "{}:{}:{}".format(self.name, *position)
        return error


def parse(text: str, name: str) -> Source:
    """Read YAML 1.2, or JSON if the name ends in .json or the text starts as an object does.

    Raises:
        SpecError: at the first character that is not understood.
    """
    if len(text) > LARGEST_TEXT:
        raise _error(name, (1, 1), f"expected a spec below {LARGEST_TEXT >> 20} MiB of text")
    if found := _UNPRINTABLE.search(text):
        message = f"expected printable text, found character U+{ord(found[0]):04X}"
        raise _error(name, _place(text, found.start()), message)
    shifts: Shifts = {}
    if name.endswith(".json") or _OBJECT.match(text):
        _check_json(text, name)
        text, shifts = _json_as_yaml(text)
    events = yaml.parse(text, Loader=getattr(yaml, "CLoader", yaml.Loader))
    try:
        data, marks = _document(events, name, shifts)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = _position(mark, shifts) if mark else (1, 1)
        raise _error(name, position, _syntax(error, text, mark)) from None
    return Source(name, data, marks)


# What YAML calls unprintable, and no line, tab or byte order mark is.
_UNPRINTABLE = re.compile(
    "[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_OBJECT = re.compile(r'\s*\{\s*["}]')


def _place(text: str, index: int) -> Position:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _error(name: str, position: Position, message: str) -> SpecError:
    error = SpecError(message)
    error.where = "{}:{}:{}".format(name, *position)
    return error


def _syntax(error: yaml.MarkedYAMLError, text: str, mark: Any) -> str:
    message = f"not valid YAML: {error.problem or error.context}"
    begun = error.context_mark
    if error.problem and error.context and begun and mark and begun.index != mark.index:
        message += f" {error.context}, which began at {begun.line + 1}:{begun.column + 1}"
    lines = text.split("\n")
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if line.lstrip(" ").startswith("\t"):
        message += "; indent with spaces, not tabs"
    elif mark and any(map(_NO_SPACE.match, lines[max(0, mark.line - 1) : mark.line + 1])):
        message += "; is a space missing after a colon above?"
    elif _UNQUOTED.search(line):
        message += "; a name with {i} or * needs quotes"
    return printable(message)


_NO_SPACE = re.compile(r"[ -]*[A-Za-z_]+:[^\s:/]")
_UNQUOTED = re.compile(r"\{\w+\}|(?<![\w\"'])\*")


def _check_json(text: str, name: str) -> None:
    # Each value but the first follows one of these, many of which may stand in a text.
    if sum(map(text.count, ",[{")) > 4 * MOST_VALUES:
        raise _error(name, (1, 1), f"expected a spec of at most {MOST_VALUES} values")

    def refuse(constant: str) -> None:
        raise _error(name, _place(text, _constant(text)), f"not valid JSON: found {constant}")

    try:
        # Numbers are read by the composer, which knows their places and bounds their length.
        json.loads(text, parse_constant=refuse, parse_int=len, parse_float=len)
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg.removesuffix(' at')}"
        raise _error(name, (error.lineno, error.colno), message) from None
    except RecursionError:
        raise _error(name, (1, 1), "not valid JSON: nested too deeply") from None


def _constant(text: str) -> int:
    """Find the first NaN or Infinity outside of strings."""
    found = re.finditer(r'"(?:[^"\\]|\\.)*"|(-?Infinity|NaN)', text)
    return next(match.start() for match in found if match[1])


_PAIR = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
)
_PAIR_SHIFT = len(r"\ud83d\ude00") - 1


def _json_as_yaml(text: str) -> tuple[str, Shifts]:
    """Return the YAML that means the same, and the columns after which characters are missing.

    JSON escapes what lies outside the basic plane as two halves, YAML as one number; and JSON may
    be indented by tabs.
    """
    shifts: Shifts = {}
    lines = text.replace("\t", " ").split("\n")
    for number, line in enumerate(lines):
        if "\\u" not in line:
            continue
        lines[number] = _PAIR.sub(
            lambda m: m[1] + chr(0x10000 + ((int(m[2], 16) & 0x3FF) << 10 | int(m[3], 16) & 0x3FF)),
            line,
        )
        ends = [match.end() for match in _PAIR.finditer(line)]
        if ends:
            shifts[number] = [end - index * _PAIR_SHIFT for index, end in enumerate(ends, 1)]
    return "\n".join(lines), shifts


def _position(mark: Any, shifts: Shifts) -> Position:
    missing = bisect.bisect_right(shifts.get(mark.line, ()), mark.column)
    return mark.line + 1, mark.column + 1 + missing * _PAIR_SHIFT


def _document(events: Iterator[Any], name: str, shifts: Shifts) -> tuple[object, Marks]:
    next(events)  # the stream's start
    first = next(events)
    if isinstance(first, yaml.StreamEndEvent):
        raise _error(name, (1, 1), "expected a spec, found an empty text")
    data, marks = _Composer(events, name, shifts).value(next(events), 0)
    next(events)  # the document's end
    following = next(events)
    if not isinstance(following, yaml.StreamEndEvent):
        place = _position(following.start_mark, shifts)
        raise _error(name, place, "expected one document, found another")
    return data, marks


class _Composer:
    def __init__(self, events: Iterator[Any], name: str, shifts: Shifts) -> None:
        self._events = events
        self._name = name
        self._shifts = shifts
        self._count = 0

    def value(self, event: Any, depth: int) -> tuple[object, Marks]:
        marks = Marks(_position(event.start_mark, self._shifts))
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            what = "an alias" if isinstance(event, yaml.AliasEvent) else "an anchor"
            hint = '; a glob such as "*.bias" needs quotes' if what == "an alias" else ""
            raise self._refused(marks.start, f"expected a value, found {what}: write it out{hint}")
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
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key, position = self._key(event, depth)
            if key in items:
                line, column = marks.keys[key]
                raise self._refused(
                    position, f"the key {shown(key)} stands already at {line}:{column}"
                )
            marks.keys[key] = position
            items[key], marks.values[key] = self.value(next(self._events), depth + 1)
        return items

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
        return _error(self._name, position, message)


_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def plain_scalar(text: str) -> object:
    """Read an unquoted scalar by YAML 1.2's core schema.

    Raises:
        ValueError: if a number has more digits than any size or seed.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text) or _BASED.fullmatch(text):
        if len(text) > 400:
            raise ValueError(f"expected a number of at most 400 digits, found {len(text)}")
        return int(text, 10 if _INTEGER.fullmatch(text) else 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
