"""YAML 1.2 and JSON to plain data, with the line and column of every key and value."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from glorot_cli.errors import SpecError, pointer_hint, printable
from glorot_cli.spec.composer import (
    MOST_VALUES,
    PAIR_SHIFT,
    Composer,
    Marks,
    Position,
    Shifts,
    error_at,
    position_of,
)

LARGEST_TEXT = 64 << 20
# Nobody needs any but one %YAML; the parser's work grows as the square of their number.
MOST_DIRECTIVES = 16


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
            # A rule of --init is known by its glob.
            is_rule = error.path[0] == "overrides"
            error.where = "--init" if is_rule else "overrides"
            error.path = error.path[2:] if is_rule else error.path
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
        raise error_at(name, (1, 1), f"expected a spec below {LARGEST_TEXT >> 20} MiB of text")
    if found := _UNPRINTABLE.search(text):
        message = f"expected printable text, found character U+{ord(found[0]):04X}"
        raise error_at(name, _place(text, found.start()), message)
    directives = itertools.islice(_DIRECTIVE.finditer(text), MOST_DIRECTIVES, None)
    if (directive := next(directives, None)) is not None:
        message = f"expected at most {MOST_DIRECTIVES} directives such as %YAML"
        raise error_at(name, _place(text, directive.start()), message)
    shifts: Shifts = {}
    if name.endswith(".json") or _OBJECT.match(text):
        _check_json(text, name)
        text, shifts = _json_as_yaml(text)
    events = yaml.parse(text, Loader=getattr(yaml, "CLoader", yaml.Loader))
    try:
        data, marks = _document(events, name, shifts)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = position_of(mark, shifts) if mark else (1, 1)
        raise error_at(name, position, _syntax(error, text, mark)) from None
    return Source(name, data, marks)


# What YAML calls unprintable, and no line, tab or byte order mark is.
# As one set it would take ten times as long to compile.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]|[\ud800-\udfff]|\ufeff|[\ufffe\uffff]"
)
_DIRECTIVE = re.compile(r"^%(TAG|YAML)\b", re.MULTILINE)
_OBJECT = re.compile(r'\s*\{\s*["}]')


def _place(text: str, index: int) -> Position:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


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
        raise error_at(name, (1, 1), f"expected a spec of at most {MOST_VALUES} values")

    def refuse(constant: str) -> None:
        raise error_at(name, _place(text, _constant(text)), f"not valid JSON: found {constant}")

    try:
        # Numbers are read by the composer, which knows their places and bounds their length.
        json.loads(text, parse_constant=refuse, parse_int=len, parse_float=len)
    except json.JSONDecodeError as error:
        message = pointer_hint(text) or f"not valid JSON: {error.msg.removesuffix(' at')}"
        raise error_at(name, (error.lineno, error.colno), message) from None
    except RecursionError:
        raise error_at(name, (1, 1), "not valid JSON: nested too deeply") from None


def _constant(text: str) -> int:
    """Find the first NaN or Infinity outside of strings."""
    found = re.finditer(r'"(?:[^"\\]|\\.)*"|(-?Infinity|NaN)', text)
    return next(match.start() for match in found if match[1])


_PAIR = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
)


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
            shifts[number] = [end - index * PAIR_SHIFT for index, end in enumerate(ends, 1)]
    return "\n".join(lines), shifts


def _document(events: Iterator[Any], name: str, shifts: Shifts) -> tuple[object, Marks]:
    next(events)  # the stream's start
    first = next(events)
    if isinstance(first, yaml.StreamEndEvent):
        raise error_at(name, (1, 1), "expected a spec, found an empty text")
    data, marks = Composer(events, name, shifts).value(next(events), 0)
    next(events)  # the document's end
    following = next(events)
    if not isinstance(following, yaml.StreamEndEvent):
        place = position_of(following.start_mark, shifts)
        raise error_at(name, place, "expected one document, found another")
    return data, marks
