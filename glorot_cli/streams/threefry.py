"""Threefry-2x32 with 20 rounds (Salmon et al., SC'11), as JAX counts: one counter an element."""

from __future__ import annotations

import numpy as np

from glorot_cli.dtypes import Array
from glorot_cli.streams.kernels import kernels
from glorot_cli.streams.scratch import Scratch

_FIRST = Scratch()
_SECOND = Scratch()
_TURNED = Scratch()

# Smaller pieces lose to NumPy's calls, larger ones to the cache.
CHUNK = 1 << 16
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_MASK = 0xFFFFFFFF

Key = tuple[int, int]

_INDICES = np.arange(CHUNK, dtype=np.uint32)
_INDICES.flags.writeable = False


def fill_words(key: Key, first: int, words: Array) -> None:
    """Write both halves' exclusive or for the counters [first, first + len(words)).

    `words` are uint32, at most CHUNK of them by NumPy.
    """
    if _compiled(key, first, words):
        return
    size = words.size
    x0, x1 = _FIRST.array(size, np.uint32), _SECOND.array(size, np.uint32)
    _mix(key, first, x0, x1, words)
    np.bitwise_xor(x0, x1, out=words)


def fill_words64(key: Key, first: int, words: Array) -> None:
    """Write both halves, the first one high, for the counters [first, first + len(words)).

    `words` are uint64, at most CHUNK of them by NumPy.
    """
    if _compiled(key, first, words):
        return
    size = words.size
    x0, x1 = _FIRST.array(size, np.uint32), _SECOND.array(size, np.uint32)
    _mix(key, first, x0, x1, _TURNED.array(size, np.uint32))
    np.copyto(words, x0)
    np.left_shift(words, np.uint64(32), out=words)
    np.bitwise_or(words, x1, out=words)


def _compiled(key: Key, first: int, words: Array) -> bool:
    """Write the words by the compiled loops, or say that there are none."""
    found = kernels()
    if found is not None:
        found.module.threefry(found.number, *key, first, words.itemsize, words)
    return found is not None


def _mix(key: Key, first: int, x0: Array, x1: Array, turned: Array) -> None:
    """Mix the counters of both halves; `turned` is overwritten."""
    high, low = first >> 32, first & _MASK
    before_carry = min(x1.size, (1 << 32) - low)
    np.add(_INDICES[: x1.size], np.uint32(low), out=x1)
    schedule = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    x0[:before_carry] = (schedule[0] + high) & _MASK
    x0[before_carry:] = (schedule[0] + high + 1) & _MASK
    np.add(x1, np.uint32(schedule[1]), out=x1)
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            np.add(x0, x1, out=x0)
            np.left_shift(x1, np.uint32(turn), out=turned)
            np.right_shift(x1, np.uint32(32 - turn), out=x1)
            np.bitwise_or(x1, turned, out=x1)
            np.bitwise_xor(x1, x0, out=x1)
        np.add(x0, np.uint32(schedule[(group + 1) % 3]), out=x0)
        np.add(x1, np.uint32((schedule[(group + 2) % 3] + group + 1) & _MASK), out=x1)
