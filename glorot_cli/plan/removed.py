"""Rules for what is not there: tensors that `when` or an empty range removes from a spec."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from typing import Any

from glorot_cli.errors import SpecError
from glorot_cli.expressions import Names
from glorot_cli.repeats import MOST_ENTRIES, Range, fill_name, holds, ranges_of
from glorot_cli.spec.model import Spec

# Stands for any text: an index without a value, or what a layer calls its tensors.
_ANY = "\0"


def decided_when_there(spec: Spec, indices: set[int]) -> set[int]:
    """Return which of some rules would be the first to match a tensor that is removed."""
    tokens = {index: _tokens(spec.rules[index].glob) for index in indices}
    found: set[int] = set()
    walk = _Walk("/" if spec.table.dialect == "keras" else ".")
    for name in walk.removed(spec):
        for index in indices - found:
            if _meets(tokens[index], name) and not any(
                # A name with a character that no glob means is matched by stars only.
                rule.pattern.match(name.replace(_ANY, "\ufffd"))
                for rule in spec.rules[:index]
            ):
                found.add(index)
        if found == indices:
            break
    return found


class _Walk:
    """Go through all entries of a spec, those too that make no sense while they are removed."""

    def __init__(self, separator: str) -> None:
        self._separator = separator
        self._left = MOST_ENTRIES

    def removed(self, spec: Spec) -> Iterator[str]:
        yield from self._layers(spec.table.layers, spec.names, "", gone=False)
        yield from self._tensors(spec.table.tensors, spec.names, gone=False)

    def _layers(self, items: object, names: Names, prefix: str, *, gone: bool) -> Iterator[str]:
        for item in _mappings(items):
            for inner, missing in self._occurrences(item, names, gone):
                if "entries" in item:
                    yield from self._layers(item["entries"], inner, prefix, gone=missing)
                    continue
                if missing:
                    name = _filled(str(item.get("name") or _ANY), inner)
                    yield f"{prefix}{name}{self._separator}{_ANY}"
                for key in ("layers", "layer"):
                    held = item.get(key)
                    held = [held] if isinstance(held, Mapping) else held
                    yield from self._layers(held, inner, _ANY, gone=missing)

    def _tensors(self, items: object, names: Names, *, gone: bool) -> Iterator[str]:
        if isinstance(items, list):
            for item in _mappings(items):
                if "entries" not in item:
                    yield from self._tensors(item, names, gone=gone)
                    continue
                for inner, missing in self._occurrences(item, names, gone):
                    yield from self._tensors(item["entries"], inner, gone=missing)
            return
        for family, item in items.items() if isinstance(items, Mapping) else ():
            if not isinstance(item, Mapping):
                continue
            for inner, missing in self._occurrences(item, names, gone):
                if missing and item.get("initializer") is None and item.get("tie") is None:
                    yield _filled(family, inner)

    def _occurrences(
        self, item: Mapping[str, Any], names: Names, gone: bool
    ) -> Iterator[tuple[Names, bool]]:
        found = [(names, gone)]
        try:
            ranges = list(ranges_of(item, ()))
        except SpecError:
            ranges = []
        for range_ in ranges:
            found = [
                ({**inner, range_.name: value}, missing or value == _ANY)
                for inner, missing in found
                for value in self._values(range_, inner)
            ]
        for inner, missing in found:
            self._left -= 1
            if self._left < 0:
                return
            yield inner, missing or not _kept(item, inner)

    def _values(self, range_: Range, names: Names) -> list[Any]:
        try:
            values = list(range_.values(names))
        except SpecError:
            values = []
        self._left -= len(values)
        return values if values and self._left > 0 else [_ANY]


def _mappings(items: object) -> list[Mapping[str, Any]]:
    """Give the entries of a list; what is removed has not been checked."""
    return [
        item for item in (items if isinstance(items, list) else ()) if isinstance(item, Mapping)
    ]


def _kept(item: Mapping[str, Any], names: Names) -> bool:
    try:
        return item.get("when") is None or holds(item["when"], names, ())
    except SpecError:
        return False


def _filled(template: str, names: Names) -> str:
    try:
        return fill_name(template, names, ())
    except SpecError:
        return re.sub(r"\{[^{}]*\}", _ANY, template)


# --- A glob, and a name of which parts are not known ---

_STAR = "*"


def _tokens(glob: str) -> list[str]:
    """Part a glob into what stands for one character each, and stars."""
    return re.findall(r"\[!?\]?[^]]*\]|.", glob, re.DOTALL)


def _meets(tokens: list[str], name: str) -> bool:
    """Tell whether a glob matches a name for some text in place of its unknown parts."""
    states = _closed({0}, tokens)
    for character in name:
        if character == _ANY:
            states = set(range(min(states), len(tokens) + 1))
        else:
            states = _closed(
                {
                    state + (tokens[state] != _STAR)
                    for state in states
                    if state < len(tokens)
                    and (tokens[state] == _STAR or fnmatch.fnmatchcase(character, tokens[state]))
                },
                tokens,
            )
        if not states:
            return False
    return len(tokens) in states


def _closed(states: set[int], tokens: list[str]) -> set[int]:
    """Add the states that are reached past stars, which match nothing too."""
    for state in sorted(states):
        while state < len(tokens) and tokens[state] == _STAR:
            state += 1
            states.add(state)
    return states
