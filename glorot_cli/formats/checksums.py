"""CRC-32 of tensors whose blocks are written in any order: each block's own, then combined."""

from __future__ import annotations

import functools
import threading
import zlib
from collections.abc import Sequence
from typing import Any

_POLYNOMIAL = 0xEDB88320


def _product(a: int, b: int) -> int:
    """Multiply two polynomials over GF(2) modulo that of CRC-32, whose bits are reversed."""
    found = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            found ^= b
        b = b >> 1 ^ _POLYNOMIAL if b & 1 else b >> 1
    return found


@functools.lru_cache(maxsize=256)
def _power(nbytes: int) -> int:
    """Return x to the power of so many bytes' bits."""
    found, square, count = 1 << 31, 1 << 30, 8 * nbytes
    while count:
        if count & 1:
            found = _product(square, found)
        square, count = _product(square, square), count >> 1
    return found


def combined(first: int, second: int, nbytes: int) -> int:
    """Return the CRC-32 of two parts from that of each; `nbytes` is the second's length."""
    return _product(_power(nbytes), first) ^ second


class Checksums:
    """Gather the CRC-32 of each tensor's blocks, from any thread."""

    def __init__(self) -> None:
        self._parts: dict[int, list[tuple[int, int, int]]] = {}
        self._lock = threading.Lock()

    def add(self, tensor: int, first: int, data: Any) -> None:
        """Take a block's bytes; `first` orders the blocks of a tensor."""
        part = first, zlib.crc32(data), len(data)
        with self._lock:
            self._parts.setdefault(tensor, []).append(part)

    def of_all(self, count: int) -> tuple[int, ...]:
        """Return the CRC-32 of all bytes of each tensor, of so many."""
        return tuple(_joined(sorted(self._parts.get(tensor, []))) for tensor in range(count))


def _joined(parts: Sequence[tuple[int, int, int]]) -> int:
    total = 0
    for _, found, nbytes in parts:
        total = combined(total, found, nbytes)
    return total
