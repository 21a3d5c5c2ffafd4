"""Keras's initialisers on its TensorFlow backend, run eagerly: `tf.random.stateless_uniform`."""

from __future__ import annotations

import numpy as np

from glorot_cli.distributions import Uniform
from glorot_cli.dtypes import PRECISIONS, Array, numpy_dtype
from glorot_cli.streams import philox, ranges
from glorot_cli.streams.ranges import Range
from glorot_cli.streams.request import Draw, Request, check_framework, refusal
from glorot_cli.streams.scratch import Scratch

_WORDS = Scratch()
_VALUES = Scratch()

NAME = "keras-tensorflow"
CAN = "uniform values and constants"
LARGEST_SEED = 2**63 - 1

# tf.random's stateless operations scramble the seed under this key.
_SCRAMBLE = (0x3EC8F720, 0x02461E29)
_PIECE = 4 * philox.CHUNK


def drawer(request: Request) -> Draw:
    """Return the function that draws a random tensor's elements from a first index on.

    Raises:
        ValueError: if the framework refuses it, or its bits are not known here.
    """
    check_framework(request, NAME, LARGEST_SEED)
    match request.law:
        case Uniform(low=low, high=high) if request.dtype == "float64":
            return _float64(_Words(request.seed), low, high)
        case Uniform(low=low, high=high):
            return _uniform(_Words(request.seed), low, high, request.dtype)
    raise refusal(request, NAME, CAN)


class _Words:
    """Draw the 32-bit words of a seed at any place."""

    def __init__(self, seed: int) -> None:
        # Keras brings its seed, an int64, into the range of TensorFlow's, an int32.
        seed %= 2**31 - 2
        mixed = philox.one((seed, 0, 0, 0), _SCRAMBLE)
        self._key, self._high = mixed[:2], mixed[2:]

    def draw(self, first: int, words: Array) -> None:
        """Fill an array with at most _PIECE words from a first index on."""
        skipped = first % 4
        if skipped == 0 and words.size % 4 == 0:
            philox.fill_words(self._high, self._key, first // 4, words)
            return
        whole = _WORDS.array(-(-(skipped + words.size) // 4) * 4, np.uint32)
        philox.fill_words(self._high, self._key, first // 4, whole)
        words[:] = whole[skipped : skipped + words.size]


def _uniform(words: _Words, low: float, high: float, dtype: str) -> Draw:
    held, bits = numpy_dtype(dtype), PRECISIONS[dtype].fraction
    least, most = (np.float32(np.float32(bound).astype(held)) for bound in (low, high))
    span = np.float32((most - least).astype(held))
    scale = np.float32(span * np.float32(2.0**-bits))
    law = Range(0, (1 << bits) - 1, 0, float(scale), least=float(least), steps=True)
    compiled = ranges.drawer(law, (low + high) / 2.0, dtype, words.draw)
    if compiled is not None:
        return compiled

    def draw(first: int, out: Array) -> None:
        for start in range(0, out.size, _PIECE):
            part = out[start : start + _PIECE]
            values = part if part.itemsize == 4 else _VALUES.array(part.size, np.float32)
            fractions = values.view(np.int32)
            words.draw(first + start, values.view(np.uint32))
            np.bitwise_and(fractions, np.int32((1 << bits) - 1), out=fractions)
            np.copyto(values, fractions, casting="unsafe")
            # Scaling by a power of two is exact, so it may come first.
            np.multiply(values, scale, out=values)
            if values is not part:
                np.copyto(part, values, casting="unsafe")
                np.copyto(values, part, casting="unsafe")
            np.add(values, least, out=values)
            if values is not part:
                np.copyto(part, values, casting="unsafe")

    return draw


def _float64(words: _Words, low: float, high: float) -> Draw:
    # The limits pass through float32 even here.
    least, most = float(np.float32(low)), float(np.float32(high))
    factor = (most - least) * 2.0**-52

    def draw(first: int, out: Array) -> None:
        for start in range(0, out.size, _PIECE // 2):
            part = out[start : start + _PIECE // 2]
            halves = _VALUES.array(2 * part.size, np.uint32)
            words.draw(2 * (first + start), halves)
            fractions = part.view(np.uint64)
            np.bitwise_and(halves[0::2], np.uint32(0xFFFFF), out=halves[0::2])
            np.copyto(fractions, halves[0::2])
            np.left_shift(fractions, np.uint64(32), out=fractions)
            np.bitwise_or(fractions, halves[1::2], out=fractions)
            np.copyto(part, part.view(np.int64), casting="unsafe")
            np.multiply(part, factor, out=part)
            np.add(part, least, out=part)

    return draw
