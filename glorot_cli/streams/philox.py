"""Philox-4x32 with 10 rounds (Salmon et al., SC'11): four words a counter."""

from __future__ import annotations

import numpy as np

from glorot_cli.dtypes import Array
from glorot_cli.streams.kernels import kernels
from glorot_cli.streams.scratch import Scratch

_SPARE = Scratch()
_COUNTERS = Scratch()

# Counters a piece: smaller ones lose to NumPy's calls, larger ones to the cache.
CHUNK = 1 << 15
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = 0xFFFFFFFF

Counter = tuple[int, int, int, int]
Key = tuple[int, int]

_INDICES = np.arange(CHUNK + 1, dtype=np.uint64)
_INDICES.flags.writeable = False


def one(counter: Counter, key: Key) -> Counter:
    """Return the four words of one counter."""
    x0, x1, x2, x3 = counter
    for turn in range(10):
        key0, key1 = ((key[i] + turn * _WEYL[i]) & _MASK for i in range(2))
        first, second = _MULTIPLIERS[0] * x0, _MULTIPLIERS[1] * x2
        x0, x1 = (second >> 32) ^ x1 ^ key0, second & _MASK
        x2, x3 = (first >> 32) ^ x3 ^ key1, first & _MASK
    return x0, x1, x2, x3


def fill_words(high: tuple[int, int], key: Key, first: int, words: Array) -> None:
    """Write the words of the counters (i, high), i from `first` on, four for each counter.

    `words` are uint32, four times as many as counters; of those at most CHUNK and one by NumPy.
    """
    found = kernels()
    if found is not None:
        found.module.philox(found.number, *key, *high, first, words)
        return
    size = words.size // 4
    low = first & _MASK
    if low + size > 1 << 32:
        # What stands above the low word must be the same in a piece.
        cut = 4 * ((1 << 32) - low)
        fill_words(high, key, first, words[:cut])
        fill_words(high, key, first + cut // 4, words[cut:])
        return
    keys = [[(key[i] + turn * _WEYL[i]) & _MASK for i in range(2)] for turn in range(10)]
    spare = _SPARE.array(size, np.uint64)
    x0, x1, x2, x3 = _COUNTERS.array(4 * size, np.uint64).reshape(4, size)
    # All but the low word are the same in the whole piece, so two rounds are half done already.
    second = _MULTIPLIERS[1] * high[0]
    a0, a1 = (second >> 32) ^ (first >> 32) ^ keys[0][0], second & _MASK
    np.add(_INDICES[:size], np.uint64(low), out=x0)
    _multiply(x0, _MULTIPLIERS[0], x2)
    np.bitwise_xor(x2, np.uint64(high[1] ^ keys[0][1]), out=x2)
    product = _MULTIPLIERS[0] * a0
    np.bitwise_xor(x0, np.uint64((product >> 32) ^ keys[1][1]), out=x3)
    _multiply(x2, _MULTIPLIERS[1], x0)
    np.bitwise_xor(x0, np.uint64(a1 ^ keys[1][0]), out=x0)
    x1, x2, x3 = x2, x3, x1
    x3.fill(product & _MASK)
    for key0, key1 in keys[2:]:
        _multiply(x0, _MULTIPLIERS[0], spare)
        np.bitwise_xor(x3, spare, out=x3)
        np.bitwise_xor(x3, np.uint64(key1), out=x3)
        _multiply(x2, _MULTIPLIERS[1], spare)
        np.bitwise_xor(x1, spare, out=x1)
        np.bitwise_xor(x1, np.uint64(key0), out=x1)
        x0, x1, x2, x3 = x1, x2, x3, x0
    for index, lane in enumerate((x0, x1, x2, x3)):
        np.copyto(words[index::4], lane, casting="unsafe")


def _multiply(x: Array, factor: int, high: Array) -> None:
    """Leave a product's low half in `x`, and its high half in `high`."""
    np.multiply(x, np.uint64(factor), out=x)
    np.right_shift(x, np.uint64(32), out=high)
    np.bitwise_and(x, np.uint64(_MASK), out=x)
