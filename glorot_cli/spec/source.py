"""YAML 1.2 and JSON to plain data, with the line and column of every key and value."""

from __future__ import annotations

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

Position = tuple[int, int]


@dataclass(slots=True)
class Marks:
    """Hold where a value starts, and the same for each key and value inside it."""

    start: Position
    keys: dict[str | int, Position] = field(default_factory=dict)
    values: dict[str | int, Marks] = field(default_factory=dict)


class Source(NamedTuple):
    """Hold a spec's text as data, and the places to point to."""

    name: str
    data: object
    marks: Marks | None

    def located(self, error: SpecError) -> SpecError:
        """Give an error its position, as near to its path as the text goes."""
        if error.where:
            return error
        error.where = self.name
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
    """Read YAML 1.2, or JSON if the name ends in .json or the text starts with a brace.

    Raises:
        SpecError: at the first character that is not understood.
    """
    if len(text) > LARGEST_TEXT:
        raise _error(name, (1, 1), f"expected a spec below {LARGEST_TEXT >> 20} MiB of text")
    if name.endswith(".json") or text.lstrip()[:1] == "{":
        text = _checked_json(text, name)
    events = yaml.parse(text, Loader=getattr(yaml, "CLoader", yaml.Loader))
    try:
        data, marks = _document(events, name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _error(name, position, _syntax(error, text, position)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        message = f"expected printable text, found character U+{ord(str(error.character)):04X}"
        raise _error(name, (line, column), message) from None
    return Source(name, data, marks)


def _error(name: str, position: Position, message: str) -> SpecError:
    error = SpecError(message)
    error.where = "{}:{}:{}".format(name, *position)
    return error


def _syntax(error: yaml.MarkedYAMLError, text: str, position: Position) -> str:
    message = printable(f"not valid YAML: {error.problem or error.context}")
    lines = text.splitlines()
    line = lines[position[0] - 1] if position[0] <= len(lines) else ""
    if "{" in line or "*" in line:
        message += "; a name with {i} or * needs quotes"
    return message


def _checked_json(text: str, name: str) -> str:
    """Check that the text is JSON, and return it as the YAML that means the same."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise _error(name, (error.lineno, error.colno), f"not valid JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        problem = "nested too deeply" if isinstance(error, RecursionError) else error
        raise _error(name, (1, 1), f"not valid JSON: {problem}") from None
    # JSON escapes what lies outside the basic plane as two halves, YAML as one number; and YAML
    # knows no escaped slash in its older versions.
    text = re.sub(
        r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})",
        lambda m: m[1] + chr(0x10000 + ((int(m[2], 16) & 0x3FF) << 10 | int(m[3], 16) & 0x3FF)),
        text,
    )
    return re.sub(r"(?<!\\)((?:\\\\)*)\\/", r"\1/", text).replace("\t", " ")


def _document(events: Iterator[Any], name: str) -> tuple[object, Marks]:
    next(events)  # the stream's start
    first = next(events)
    if isinstance(first, yaml.StreamEndEvent):
        raise _error(name, (1, 1), "expected a spec, found an empty text")
    data, marks = _Composer(events, name).value(next(events), 0)
    next(events)  # the document's end
    following = next(events)
    if not isinstance(following, yaml.StreamEndEvent):
        raise _error(name, _start(following), "expected one document, found another")
    return data, marks


def _start(event: Any) -> Position:
    return event.start_mark.line + 1, event.start_mark.column + 1


class _Composer:
    def __init__(self, events: Iterator[Any], name: str) -> None:
        self._events = events
        self._name = name

    def value(self, event: Any, depth: int) -> tuple[object, Marks]:
        marks = Marks(_start(event))
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            what = "an alias" if isinstance(event, yaml.AliasEvent) else "an anchor"
            hint = '; a glob such as "*.bias" needs quotes' if what == "an alias" else ""
            raise self._refused(marks.start, f"expected a value, found {what}: write it out{hint}")
        if event.tag is not None and event.tag != "!":
            raise self._refused(marks.start, f"expected a value, found the tag {shown(event.tag)}")
        if depth > DEEPEST:
            raise self._refused(marks.start, f"expected at most {DEEPEST} levels of nesting")
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
            hint = "; a name with {i} needs quotes"
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
