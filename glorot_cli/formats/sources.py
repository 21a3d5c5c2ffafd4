"""Where stored bytes are read from: a file, or an object in a store by ranges."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from glorot_cli.formats.remote import Remote

Place = Path | Remote


class Source(Protocol):
    """Read bytes at any offset, from any thread."""

    def read(self, view: memoryview, offset: int) -> int:
        """Read some into a view, and return how many; 0 at the end."""

    def close(self) -> None:
        """Read no more."""


class _File:
    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)

    def read(self, view: memoryview, offset: int) -> int:
        return os.preadv(self._descriptor, [view], offset)

    def close(self) -> None:
        os.close(self._descriptor)


class _Object:
    def __init__(self, place: Remote) -> None:
        self._place = place

    def read(self, view: memoryview, offset: int) -> int:
        data = self._place.read(offset, len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        pass


def opened(place: Place) -> Source:
    """Open a file, or an object whose headers were read.

    Raises:
        OSError: if the file cannot be opened.
    """
    return _File(place) if isinstance(place, Path) else _Object(place)
