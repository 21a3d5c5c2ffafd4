"""Repeated entries, groups and conditions: what a short text expands to, entry by entry."""

from __future__ import annotations

from glorot_cli.repeats.ranges import (
    LARGEST_NAMES,
    MOST_ENTRIES,
    RANGES,
    STAMPS,
    Range,
    holds,
    ranges_of,
)
from glorot_cli.repeats.stamping import Stamped, stamp_layers, stamp_tensors
from glorot_cli.repeats.templates import fill_name
from glorot_cli.repeats.uses import Uses

__all__ = [
    "LARGEST_NAMES",
    "MOST_ENTRIES",
    "RANGES",
    "STAMPS",
    "Range",
    "Stamped",
    "Uses",
    "fill_name",
    "holds",
    "ranges_of",
    "stamp_layers",
    "stamp_tensors",
]
