"""Arrays that a thread uses again: fresh ones of this size cost more to map than to fill."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from glorot_cli.dtypes import Array

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


class Scratch(threading.local):
    """Keep one array for each thread, which belongs to who made this."""

    def __init__(self) -> None:
        self._kept = np.empty(0, np.uint8)

    def array(self, size: int, dtype: DTypeLike) -> Array:
        """Return the thread's array, whose values are whatever was there."""
        dtype = np.dtype(dtype)
        if self._kept.size < size * dtype.itemsize:
            self._kept = np.empty(size * dtype.itemsize, np.uint8)
        return self._kept[: size * dtype.itemsize].view(dtype)
