"""Layers that a repeat makes alike: read, and built for the same inputs, once for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from glorot_cli.dialects.layer import Built, Flow, LayerEntry, Place
from glorot_cli.repeats import Uses

# More are read again; what is alike mostly stands together.
MOST_KEPT = 10_000


class Read(NamedTuple):
    """Hold what an entry comes to but for its name, and for which inputs it has been built."""

    entry: LayerEntry
    function: Callable[..., Built]
    arguments: dict[str, object]
    built: dict[tuple[Flow, ...], Built] | None = None


class Alike:
    """Know the entries of layers that have been read."""

    def __init__(self) -> None:
        # Each with what its key holds the ids of.
        self._uses: dict[object, tuple[Uses, Place]] = {}
        self._read: dict[object, Read] = {}

    def read(self, place: Place, read: Callable[[Place], Read]) -> Read:
        """Read an entry, or return what one that differs in its name only has come to.

        A layer that holds others is read each time, for these have names and places of their own.

        Raises:
            SpecError: as `read` does.
        """
        item = {key: value for key, value in place.item.items() if key != "name"}
        same = place.path, tuple(item), tuple(map(id, item.values()))
        found = self._uses.get(same)
        if found is None:
            if len(self._uses) >= MOST_KEPT or len(self._read) >= MOST_KEPT:
                self._uses.clear()
                self._read.clear()
            found = self._uses[same] = Uses(item, {}), place
        key = same, found[0].of(place.names)
        known = self._read.get(key)
        if known is None:
            known = read(place)
            if all(map(_is_plain, known.arguments.values())):
                known = self._read[key] = known._replace(built={})
        return known


def _is_plain(value: object) -> bool:
    """Tell whether an argument is data, and no layer."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str | tuple)
