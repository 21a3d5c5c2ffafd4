"""Entries and groups of a list or a mapping, stamped out as often as they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from glorot_cli.errors import KeyPath, SpecError, shown
from glorot_cli.expressions import Names
from glorot_cli.repeats.ranges import MOST_ENTRIES, STAMPS
from glorot_cli.repeats.repetition import Repetition
from glorot_cli.repeats.templates import Template


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


Reader = Callable[[object, KeyPath], Iterator["_Entry"]]


def stamp_layers(items: object, names: Names, path: KeyPath = ("layers",)) -> Iterator[Stamped]:
    """Expand a list of layers and groups of layers, which `path` leads to.

    Raises:
        SpecError: at the entry or the repeat that makes no sense.
    """
    return _Stamper(names, _layers).stamp(items, path)


def stamp_tensors(items: object, names: Names) -> Iterator[Stamped]:
    """Expand a mapping of tensors, or a list of mappings and groups.

    Raises:
        SpecError: at the entry or the repeat that makes no sense.
    """
    return _Stamper(names, _tensors).stamp(items, ("tensors",))


class _Entry(NamedTuple):
    """Hold an entry or a group, where it stands, and where its name does; a group has none."""

    item: Mapping[str, Any]
    path: KeyPath
    family: Any = None
    place: KeyPath = ()


def _layers(items: object, path: KeyPath) -> Iterator[_Entry]:
    if not isinstance(items, list):
        raise SpecError(f"expected a list of layers, found {shown(items)}", path)
    for index, item in enumerate(items):
        here = (*path, index)
        if not isinstance(item, Mapping):
            raise SpecError(f"expected a layer as a mapping, found {shown(item)}", here)
        if "entries" in item:
            yield _Entry(item, here)
        else:
            yield _Entry(item, here, item.get("name"), (*here, "name"))


def _tensors(items: object, path: KeyPath) -> Iterator[_Entry]:
    if isinstance(items, list):
        for index, item in enumerate(items):
            here = (*path, index)
            if isinstance(item, Mapping) and "entries" in item:
                yield _Entry(item, here)
            else:
                yield from _tensors(item, here)
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
        yield _Entry(item, here, family, here)


class _Stamper:
    """Expand entries, and count them and the repetitions of nothing, which no entry bounds."""

    def __init__(self, names: Names, read: Reader) -> None:
        self.names = names
        self._read = read
        self.count = self._idle = 0

    def stamp(self, items: object, path: KeyPath) -> Iterator[Stamped]:
        for plate in self.plates(items, path):
            yield from plate.stamp(self.names)

    def plates(self, items: object, path: KeyPath) -> Iterator[_Plate]:
        for entry in self._read(items, path):
            yield _Alone(entry, self) if entry.place else _Group(entry, self)

    def add(self, path: KeyPath) -> None:
        """Count an entry."""
        self.count += 1
        if self.count > MOST_ENTRIES:
            raise SpecError(f"expected at most {MOST_ENTRIES} entries once repeated", path)

    def add_idle(self, path: KeyPath) -> None:
        """Count a repetition of nothing."""
        self._idle += 1
        if self._idle > MOST_ENTRIES:
            raise SpecError(f"expected at most {MOST_ENTRIES} repetitions of nothing", path)


class _Plate:
    """Expand an entry or a group wherever it stands, and find out once what is alike there.

    Wherever it stands, the indices around it have the same names.
    """

    def __init__(self, entry: _Entry, stamper: _Stamper) -> None:
        self._entry = entry
        self._stamper = stamper
        self._repetition = Repetition(entry.item, entry.path, stamper.names, stamper.add_idle)

    def stamp(self, names: Names) -> Iterator[Stamped]:
        """Stamp it out for some indices around it."""
        raise NotImplementedError


class _Alone(_Plate):
    """Be an entry of its own."""

    def __init__(self, entry: _Entry, stamper: _Stamper) -> None:
        super().__init__(entry, stamper)
        self._rest = {key: value for key, value in entry.item.items() if key not in STAMPS}
        self._template: Template | None = None
        if isinstance(entry.family, str):
            at_key = entry.place == entry.path
            self._template = Template(entry.family, stamper.names, entry.place, at_key=at_key)

    def stamp(self, names: Names) -> Iterator[Stamped]:
        item, path, family, _ = self._entry
        template, add, rest = self._template, self._stamper.add, self._rest
        has_name = "name" in rest
        name = family
        for inner in self._repetition.of(names):
            if template is not None:
                name = template.fill(inner)
                if has_name:
                    rest = {**rest, "name": name}
            add(path)
            yield Stamped(rest, item, name, family, path, inner)


class _Group(_Plate):
    """Be a group, whose entries are each read when they are first reached."""

    def __init__(self, entry: _Entry, stamper: _Stamper) -> None:
        _check_group(entry)
        super().__init__(entry, stamper)
        self._unread = stamper.plates(entry.item["entries"], (*entry.path, "entries"))
        self._plates: list[_Plate] = []

    def stamp(self, names: Names) -> Iterator[Stamped]:
        for inner in self._repetition.of(names):
            before = self._stamper.count
            for plate in self._plates:
                yield from plate.stamp(inner)
            for plate in self._unread:
                self._plates.append(plate)
                yield from plate.stamp(inner)
            if self._stamper.count == before:
                self._stamper.add_idle(self._entry.path)


def _check_group(entry: _Entry) -> None:
    item, path = entry.item, entry.path
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
