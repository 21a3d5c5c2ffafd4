"""Repeated entries, groups and conditions: what a short text stamps out, entry by entry."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.expressions import (
    CONSTANTS,
    Names,
    Value,
    evaluate,
    evaluate_condition,
    evaluate_integer,
    parsed,
)
from glorot_cli.params import check_identifier

MOST_ENTRIES = 1_000_000
# Of the names of a plan's tensors together.
LARGEST_NAMES = 64 << 20
# Nobody needs more, and each is a level of recursion.
MOST_INDICES = 32
FEW_NAMES = 16
# The keys that say how often an entry stands, and not what it is; the first two hold indices.
RANGES = ("each", "repeat")
STAMPS = (*RANGES, "when")


class Indexed(Mapping[str, Value]):
    """Be the names of one repetition: its own, and those of the spec, which all share."""

    __slots__ = ("own", "shared")

    def __init__(self, own: Mapping[str, Value], shared: Names) -> None:
        self.own = own
        self.shared = shared

    def __getitem__(self, name: str) -> Value:
        return self.own[name] if name in self.own else self.shared[name]

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self.shared

    def __iter__(self) -> Iterator[str]:
        yield from self.shared
        yield from self.own

    def __len__(self) -> int:
        return len(self.own) + len(self.shared)


def _with(names: Names, index: str, value: Value) -> Names:
    """Give names one more."""
    if isinstance(names, Indexed):
        return Indexed({**names.own, index: value}, names.shared)
    return Indexed({index: value}, names)


class Stamped(NamedTuple):
    """Hold an entry as it was stamped out.

    `name` has its indices filled in, `family` not; `names` are the params, dims and indices that
    its expressions may use; `source` is what the spec has for all its repetitions. A layer may have
    no name.
    """

    item: dict[str, Any]
    source: object
    name: str | None
    family: str | None
    path: KeyPath
    names: Names


def stamp_layers(items: object, names: Names, path: KeyPath = ("layers",)) -> Iterator[Stamped]:
    """Stamp out a list of layers and groups of layers, which `path` leads to.

    Raises:
        SpecError: at the entry or the repeat that makes no sense.
    """
    return _counted(_Stamper().layers(items, path, names))


def stamp_tensors(items: object, names: Names) -> Iterator[Stamped]:
    """Stamp out a mapping of tensors, or a list of mappings and groups.

    Raises:
        SpecError: at the entry or the repeat that makes no sense.
    """
    return _counted(_Stamper().tensors(items, ("tensors",), names))


def _counted(entries: Iterator[Stamped]) -> Iterator[Stamped]:
    for count, entry in enumerate(entries):
        if count >= MOST_ENTRIES:
            raise SpecError(f"expected at most {MOST_ENTRIES} entries once repeated", entry.path)
        yield entry


class _Stamper:
    """Stamp out entries, and count the repetitions of nothing, which no entry bounds."""

    def __init__(self) -> None:
        self._idle = 0

    def layers(self, items: object, path: KeyPath, names: Names) -> Iterator[Stamped]:
        if not isinstance(items, list):
            raise SpecError(f"expected a list of layers, found {shown(items)}", path)
        for index, item in enumerate(items):
            here = (*path, index)
            if not isinstance(item, Mapping):
                raise SpecError(f"expected a layer as a mapping, found {shown(item)}", here)
            if "entries" in item:
                yield from self._group(item, here, names, self.layers)
                continue
            family = item.get("name")
            rest = {key: value for key, value in item.items() if key not in STAMPS}
            for inner in self._kept(item, names, here):
                name = family
                if isinstance(family, str):
                    name = fill_name(family, inner, (*here, "name"))
                    rest = {**rest, "name": name}
                yield Stamped(rest, item, name, family, here, inner)

    def tensors(self, items: object, path: KeyPath, names: Names) -> Iterator[Stamped]:
        if isinstance(items, list):
            for index, item in enumerate(items):
                here = (*path, index)
                if isinstance(item, Mapping) and "entries" in item:
                    yield from self._group(item, here, names, self.tensors)
                else:
                    yield from self.tensors(item, here, names)
            return
        if not isinstance(items, Mapping):
            raise SpecError(f"expected a mapping of name to tensor, found {shown(items)}", path)
        for family, item in items.items():
            here = (*path, family)
            if family in ("repeat", "entries"):
                message = f"no tensor may be named {family!r}; a group stands in a list of tensors"
                raise SpecError(message, here, at_key=True)
            if not isinstance(item, Mapping):
                raise SpecError(f"expected a tensor as a mapping, found {shown(item)}", here)
            rest = {key: value for key, value in item.items() if key not in STAMPS}
            template = family
            for inner in self._kept(item, names, here):
                if template is family:
                    template = _prefilled(family, item, names)
                name = fill_name(template, inner, here, at_key=True)
                yield Stamped(rest, item, name, family, here, inner)

    def _group(
        self,
        item: Mapping[str, Any],
        path: KeyPath,
        names: Names,
        stamp: Callable[[object, KeyPath, Names], Iterator[Stamped]],
    ) -> Iterator[Stamped]:
        for key in item:
            if key not in (*STAMPS, "entries"):
                raise SpecError(
                    "a group has repeat, each, when and entries only; this key belongs to an entry",
                    (*path, key),
                    at_key=True,
                )
        if all(item.get(key) is None for key in STAMPS):
            raise SpecError("a group needs 'repeat', 'each' or 'when', which are missing", path)
        entries = item["entries"]
        if entries in ([], {}) or (isinstance(entries, list) and all(e == {} for e in entries)):
            raise SpecError("expected entries to repeat, found none", (*path, "entries"))
        for inner in self._kept(item, names, path):
            entry = None
            for entry in stamp(entries, (*path, "entries"), inner):
                yield entry
            if entry is None:
                self._count_idle(path)

    def _kept(self, item: Mapping[str, Any], names: Names, path: KeyPath) -> Iterator[Names]:
        """Give the names of each repetition of an entry that its `when` keeps."""
        condition, here = item.get("when"), (*path, "when")
        ranges = list(ranges_of(item, path))
        if condition is not None and _is_settled(condition, names):
            # One answer is for all repetitions, of which there may be thousands.
            if not holds(condition, names, here):
                self._count_idle(path)
                return
            condition = None
        for inner in _repetitions(ranges, names):
            if condition is None or holds(condition, inner, here):
                yield inner
            else:
                self._count_idle(path)

    def _count_idle(self, path: KeyPath) -> None:
        self._idle += 1
        if self._idle > MOST_ENTRIES:
            raise SpecError(f"expected at most {MOST_ENTRIES} repetitions of nothing", path)


def holds(condition: object, names: Names, path: KeyPath) -> bool:
    """Tell whether a condition is true.

    Raises:
        SpecError: if it is neither true nor false.
    """
    try:
        return evaluate_condition(condition, names)
    except ValueError as error:
        raise SpecError(str(error), path) from None


class Range(NamedTuple):
    """Hold an index, where it stands, and what it runs through."""

    name: str
    path: KeyPath
    bounds: object

    def values(self, names: Names) -> Sequence[Value]:
        """Return the values of the index.

        Raises:
            SpecError: if its bounds make no sense.
        """
        check_identifier(self.name, self.path)
        if self.name in names:
            raise SpecError(
                f"the index {self.name!r} is the name of a param, a dim or an outer index; "
                "choose another",
                self.path,
                at_key=True,
            )
        if self.path[-2] == "each":
            return _listed(self.bounds, names, self.path)
        return _range(self.bounds, names, self.path)


_EXAMPLES = ("{p: [q, k, v]}", "{i: layers}")


def ranges_of(item: Mapping[str, Any], path: KeyPath) -> Iterator[Range]:
    """Give the indices of an entry, the outermost first.

    Raises:
        SpecError: if `each` or `repeat` is no mapping of indices.
    """
    for key, example in zip(RANGES, _EXAMPLES, strict=True):
        indices = item.get(key)
        if indices is None:
            continue
        here = (*path, key)
        if not isinstance(indices, Mapping) or not indices:
            raise SpecError(f"expected a mapping such as {example}, found {shown(indices)}", here)
        for index, bounds in indices.items():
            yield Range(index, (*here, index), bounds)


def _repetitions(ranges: Sequence[Range], names: Names) -> Iterator[Names]:
    """Give the names of each repetition: for each word all the numbers."""
    if not ranges:
        yield names
        return
    count = len(ranges) + (len(names.own) if isinstance(names, Indexed) else 0)
    if count > MOST_INDICES:
        message = f"expected at most {MOST_INDICES} indices, found {count}"
        raise SpecError(message, ranges[0].path[:-1])
    first, *rest = ranges
    # Few names are copied, which makes looking them up faster.
    few = len(names) < FEW_NAMES and not isinstance(names, Indexed)
    for value in first.values(names):
        inner = {**names, first.name: value} if few else _with(names, first.name, value)
        if rest:
            yield from _repetitions(rest, inner)
        else:
            yield inner


def _is_settled(condition: object, names: Names) -> bool:
    """Tell whether a condition needs no more than some names; what is none has one answer too."""
    try:
        used = parsed(condition).names if isinstance(condition, str) else ()
    except ValueError:
        return True
    return all(name in names or name in CONSTANTS for name in used)


def _listed(items: object, names: Names, path: KeyPath) -> list[Value]:
    found = items
    if isinstance(items, str):
        try:
            found = evaluate(items, names)
        except ValueError as error:
            raise SpecError(str(error), path) from None
    if not isinstance(found, list):
        raise SpecError(f"expected a list such as [q, k, v], found {shown(found)}", path)
    return found


def _range(bounds: object, names: Names, path: KeyPath) -> range:
    counts = not isinstance(bounds, list)
    parts = [0, bounds] if not isinstance(bounds, list) else bounds
    try:
        if not 2 <= len(parts) <= 3:
            raise ValueError(
                f"expected n, [start, stop] or [start, stop, step], found {shown(parts)}"
            )
        numbers = [_bound(part, names) for part in parts]
        if len(numbers) == 3 and numbers[2] == 0:
            raise ValueError("expected a step other than 0")
    except ValueError as error:
        raise SpecError(str(error), path) from None
    found = range(*numbers)
    if counts and numbers[1] < 0:
        raise SpecError(f"expected a count of at least 0, found {shown(numbers[1])}", path)
    # len() would overflow.
    count = -(-(found.stop - found.start) // found.step)
    if count > MOST_ENTRIES:
        raise SpecError(f"expected at most {MOST_ENTRIES} repetitions, found {shown(count)}", path)
    return found


def _bound(value: object, names: Names) -> int:
    if isinstance(value, str):
        return evaluate_integer(value, names)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected an integer or an expression, found {shown(value)}")
    return value


class _Parts(NamedTuple):
    """Hold a name as texts with indices between them, and whether a text has a stray brace."""

    texts: tuple[str, ...]
    is_broken: bool


@functools.lru_cache(maxsize=4096)
def _parts(template: str) -> _Parts:
    texts = tuple(re.split(r"\{([^{}]*)\}", template))
    return _Parts(texts, any("{" in text or "}" in text for text in texts[::2]))


def _prefilled(template: str, item: Mapping[str, Any], names: Names) -> str:
    """Fill in the names that are the same in all repetitions of an entry, where that is safe."""
    own = {index for key in RANGES for index in item.get(key) or ()}
    if not own:
        return template
    texts, is_broken = _parts(template)
    parts = list(texts)
    for place in range(1, len(parts), 2):
        value = None if parts[place] in own else names.get(parts[place])
        filled = str(value) if type(value) is int or type(value) is str else "{"
        # What is no part of a name is said by `fill_name`, and a word with braces stays one.
        parts[place] = f"{{{parts[place]}}}" if "{" in filled or "}" in filled else filled
    return template if is_broken else "".join(parts)


def fill_name(template: str, names: Names, path: KeyPath, *, at_key: bool = False) -> str:
    """Fill the indices into a name such as `h.{i}.weight`.

    Raises:
        SpecError: if a brace holds no known index.
    """
    if "{" not in template and "}" not in template:
        return template
    texts, is_broken = _parts(template)
    parts = list(texts)
    for place in range(1, len(parts), 2):
        index = parts[place]
        value = names.get(index)
        if type(value) is int or type(value) is str:
            parts[place] = str(value)
        elif index in names:
            raise SpecError(
                f"{{{index}}} is {shown(value)}, expected a word or a whole number",
                path,
                at_key=at_key,
            )
        else:
            hint = suggestion(index, names) if names else "the entry has no repeat"
            raise SpecError(f"{{{index}}} is no index; {hint}", path, at_key=at_key)
    if is_broken:
        raise SpecError("expected indices in pairs of braces, such as h.{i}", path, at_key=at_key)
    return "".join(parts)
