"""torch's `normal_` in float32: how many words a tensor takes, and which of them an element.

16 elements and more are drawn in steps of 16, and a ragged end draws the last 16 anew. Fewer are
drawn in float64, two from four words; of the last pair the second may be left for the next tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from glorot_cli.dtypes import Array
from glorot_cli.moments import Moments
from glorot_cli.streams import box_muller
from glorot_cli.streams.box_muller import STEP
from glorot_cli.streams.fused import fused_float64
from glorot_cli.streams.in_order import InOrder
from glorot_cli.streams.request import Draw


class Place(NamedTuple):
    """Hold where a tensor begins: its first word, and that of the pair left before it, or -1."""

    word: int = 0
    spare: int = -1


def after(place: Place, count: int, dtype: str) -> Place:
    """Return the place after `count` normal values of a dtype, whether or not it can be drawn."""
    if count >= STEP:
        ragged = count % STEP > 0
        if dtype in ("float16", "bfloat16"):
            return place._replace(word=place.word + STEP * (count // STEP + ragged))
        words = count + STEP * ragged
        return place._replace(word=place.word + (2 * words if dtype == "float64" else words))
    return after_few(place, count)


def after_few(place: Place, count: int) -> Place:
    """Return the place after values that are drawn one by one, two from four words."""
    fresh = count - (place.spare >= 0)
    if fresh == 0:
        return place._replace(spare=-1)
    word = place.word + 4 * ((fresh + 1) // 2)
    return Place(word, word - 4 if fresh % 2 else -1)


def normals(words: InOrder, place: Place, count: int, mean: float, stddev: float) -> Draw:
    """Return the function that draws a tensor's normal values from a first index on."""
    if count < STEP:
        return _few(words, place, count, mean, stddev)

    def fill(first: int, out: Array) -> Moments | None:
        fractions = out.view(np.uint32)
        words.draw(place.word + first, fractions)
        return box_muller.fill_normals(fractions, mean, stddev, out)

    return in_steps(fill, count, count)


def in_steps(fill: Callable[[int, Array], Moments | None], count: int, fresh: int) -> Draw:
    """Return the function that draws in steps of 16, and a ragged end anew.

    `fill` draws whole steps from an element on, and those of the end from `fresh` on.
    """
    even = count - count % STEP

    def draw(first: int, out: Array) -> Moments | None:
        end = first + out.size
        start, stop = first - first % STEP, min(-(-end // STEP) * STEP, even)
        if start == first and stop == end:
            return fill(first, out)
        if start < stop:
            values = np.empty(stop - start, out.dtype)
            fill(start, values)
            out[: stop - first] = values[first - start : end - start]
        if count % STEP and end > count - STEP:
            values = np.empty(STEP, out.dtype)
            fill(fresh, values)
            begin = max(first, count - STEP)
            out[begin - first :] = values[begin - count + STEP : end - count + STEP]
        return None

    return draw


def _few(words: InOrder, place: Place, count: int, mean: float, stddev: float) -> Draw:
    def draw(first: int, out: Array) -> None:
        values = _pair(words, place.spare)[1:] if place.spare >= 0 else []
        word = place.word
        while len(values) < count:
            values += _pair(words, word)
            word += 4
        wanted = np.array(values[first : min(count, first + out.size)])
        fused_float64(wanted, stddev, mean, wanted)
        np.copyto(out, wanted, casting="unsafe")

    return draw


def _pair(words: InOrder, word: int) -> list[float]:
    """Return the two values that four words make."""
    drawn = np.empty(4, np.uint32)
    words.draw(word, drawn)
    a, b, c, d = (int(each) for each in drawn)
    angle, height = ((a << 32 | b) % 2**53 * 2.0**-53, (c << 32 | d) % 2**53 * 2.0**-53)
    radius = math.sqrt(-2.0 * math.log1p(-height))
    return [radius * math.cos(2.0 * math.pi * angle), radius * math.sin(2.0 * math.pi * angle)]
