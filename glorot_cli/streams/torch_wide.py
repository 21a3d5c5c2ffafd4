"""torch's `normal_` in other dtypes than float32, and of tensors whose elements lie scattered.

float16 and bfloat16 hold the float32 values of the same words, rounded; only a ragged end is drawn
from other words. float64 takes two words a value and the system's logarithm, sine and cosine, as
torch does. Elements that lie scattered in memory are drawn one by one, as few elements are.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from glorot_cli.dtypes import Array
from glorot_cli.moments import Moments
from glorot_cli.streams import box_muller, mersenne
from glorot_cli.streams.box_muller import STEP
from glorot_cli.streams.fused import fused_float64
from glorot_cli.streams.in_order import InOrder
from glorot_cli.streams.kernels import kernels
from glorot_cli.streams.request import Draw
from glorot_cli.streams.scratch import Scratch
from glorot_cli.streams.torch_normal import Place, in_steps

# So many scattered values are kept, of the tensors drawn last.
_MOST_SCATTERED = 1 << 24
_FRACTIONS = Scratch()


def half_normals(words: InOrder, place: Place, count: int, mean: float, stddev: float) -> Draw:
    """Return the function that draws 16 or more float16 or bfloat16 values."""

    def fill(first: int, out: Array) -> Moments | None:
        fractions = _FRACTIONS.array(out.size, np.uint32)
        words.draw(place.word + first, fractions)
        return box_muller.fill_normals(fractions, mean, stddev, out)

    return in_steps(fill, count, count - count % STEP)


def double_normals(words: InOrder, place: Place, count: int, mean: float, stddev: float) -> Draw:
    """Return the function that draws 16 or more float64 values."""

    def fill(first: int, out: Array) -> None:
        begin, found = place.word + 2 * first, kernels()
        if found is not None:
            halves = out.view(np.uint32)
            words.draw(begin, halves)
            found.module.box_muller_double(found.number, halves, out, mean, stddev)
            return
        fractions = np.empty(out.size, np.uint64)
        mersenne.draw_fractions(words, begin, fractions)
        unit = (fractions.astype(np.float64) * 2.0**-53).reshape(-1, 2, STEP // 2)
        radius = np.sqrt(-2.0 * _each(math.log, 1.0 - unit[:, 0]))
        angle = 2.0 * math.pi * unit[:, 1]
        values = np.stack([radius * _each(math.cos, angle), radius * _each(math.sin, angle)], 1)
        fused_float64(values.reshape(-1), stddev, mean, out)

    return in_steps(fill, count, count)


def scattered_normals(words: InOrder, place: Place, count: int, mean: float, stddev: float) -> Draw:
    """Return the function that draws values one by one, two from four words.

    Raises:
        ValueError: if they are too many to keep.
    """
    if count > _MOST_SCATTERED:
        raise ValueError(f"expected at most 2**24 scattered normal values, found {count}")

    @functools.lru_cache(maxsize=1)
    def values() -> Array:
        begin = place.spare if place.spare >= 0 else place.word
        pairs = (count + (place.spare >= 0) + 1) // 2
        if place.spare >= 0:
            drawn = np.concatenate([_pairs(words, begin, 1)[1:], _pairs(words, place.word, pairs)])
        else:
            drawn = _pairs(words, begin, pairs)
        drawn = drawn[:count]
        fused_float64(drawn, stddev, mean, drawn)
        return drawn

    def draw(first: int, out: Array) -> None:
        np.copyto(out, values()[first : first + out.size], casting="unsafe")

    return draw


def _pairs(words: InOrder, word: int, count: int) -> Array:
    fractions = np.empty(2 * count, np.uint64)
    mersenne.draw_fractions(words, word, fractions)
    unit = (fractions.astype(np.float64) * 2.0**-53).reshape(-1, 2)
    angle = 2.0 * math.pi * unit[:, 0]
    radius = np.sqrt(-2.0 * _each(math.log1p, -unit[:, 1]))
    pairs = np.stack([radius * _each(math.cos, angle), radius * _each(math.sin, angle)], 1)
    return pairs.reshape(-1)


def _each(function: object, values: Array) -> Array:
    """Apply a function of the system's library to each value."""
    found = np.frompyfunc(function, 1, 1)(values)  # type: ignore[call-overload]
    return np.asarray(found, np.float64)
