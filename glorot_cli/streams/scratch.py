"""Arrays that a thread uses again: fresh ones of this size cost more to map than to fill."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from glorot_cli.dtypes import Array


class _Kept(threading.local):
    def __init__(self) -> None:
        self.arrays: dict[int, Array] = {}


_KEPT = _Kept()


def scratch(slot: int, size: int, dtype: Any) -> Array:
    """Return the thread's array of that slot, whose values are whatever was there."""
    dtype = np.dtype(dtype)
    kept = _KEPT.arrays.get(slot)
    if kept is None or kept.size < size * dtype.itemsize:
        kept = _KEPT.arrays[slot] = np.empty(size * dtype.itemsize, np.uint8)
    return kept[: size * dtype.itemsize].view(dtype)
