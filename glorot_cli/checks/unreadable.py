"""A file that a check of several could not read."""

from __future__ import annotations

from typing import NamedTuple


class Unreadable(NamedTuple):
    """Hold the path of a file that could not be checked, and the reason."""

    path: str
    error: str
