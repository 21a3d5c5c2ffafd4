"""torch 2.13's `trunc_normal_` on a CPU: whole rounds of normal values until all lie within.

An element is that of the first round in which it lies between the bounds. Where less than 0.3 of
the mass lies within, torch draws otherwise, and accepts by a float32 logarithm.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np

from glorot_cli.distributions import TruncatedNormal
from glorot_cli.dtypes import Array, numpy_dtype
from glorot_cli.streams.in_order import InOrder
from glorot_cli.streams.request import Draw
from glorot_cli.streams.torch_normal import Place, after, normals
from glorot_cli.streams.torch_wide import double_normals, half_normals

LEAST_MASS = 0.3
# A value that 24 bits make is at most sqrt(48 log 2) away, one of 53 bits sqrt(106 log 2).
_FARTHEST = {"float64": 8.6}
_FARTHEST_24 = 5.8
_CHUNK = 1 << 18
# Rounds after which nothing is left in any tensor, but for bounds that hold no value.
_MOST_ROUNDS = 1000


def contiguous(
    words: InOrder, place: Place, count: int, mean: float, stddev: float, dtype: str
) -> Draw:
    """Return the function that draws a contiguous tensor's normal values."""
    if dtype == "float32" or count < 16:
        return normals(words, place, count, mean, stddev)
    wide = double_normals if dtype == "float64" else half_normals
    return wide(words, place, count, mean, stddev)


def check_mass(law: TruncatedNormal) -> None:
    """Check that torch draws such values by rejecting normal ones.

    Raises:
        ValueError: if too few normal values lie within the bounds.
    """
    low, high = (math.erf(bound / math.sqrt(2.0)) / 2.0 for bound in (law.low, law.high))
    if high - low <= LEAST_MASS:
        raise ValueError(
            f"{high - low:.2g} of the mass lies within the bounds; where that is at most "
            f"{LEAST_MASS}, torch accepts uniform values by a float32 logarithm, whose bits are "
            "not known here"
        )


def draw_rounds(words: InOrder, place: Place, count: int, law: TruncatedNormal, dtype: str) -> Draw:
    """Return the function that draws any part of a tensor."""
    bounds = _bounds(law, dtype)

    def draw(first: int, out: Array) -> None:
        for start in range(0, out.size, _CHUNK):
            _settle(words, place, count, law, dtype, bounds, first + start, out[start:][:_CHUNK])

    return draw


@functools.lru_cache(maxsize=4096)
def place_after(
    words: InOrder, place: Place, count: int, law: TruncatedNormal, dtype: str
) -> Place:
    """Return the place after a tensor: only drawing it tells, where the bounds cut anything."""
    rounds = 1
    if min(-law.low, law.high) < (_FARTHEST.get(dtype, _FARTHEST_24) if count >= 16 else 8.7):
        bounds = _bounds(law, dtype)
        out = np.empty(min(count, _CHUNK), numpy_dtype(dtype))
        for start in range(0, count, _CHUNK):
            part = out[: min(_CHUNK, count - start)]
            rounds = max(rounds, _settle(words, place, count, law, dtype, bounds, start, part))
    for _ in range(rounds):
        place = after(place, count, dtype)
    return place


def _bounds(law: TruncatedNormal, dtype: str) -> tuple[float, float]:
    """Return the bounds as torch holds them, in the tensor's dtype."""
    held = numpy_dtype(dtype)
    # The product may be a bit off the number that was given: 15 digits are that number again.
    low, high = (float(f"{law.centre + law.stddev * x:.15g}") for x in (law.low, law.high))
    with np.errstate(over="ignore"):
        return float(np.asarray(low).astype(held)), float(np.asarray(high).astype(held))


def _places(place: Place, count: int, dtype: str) -> Iterator[Place]:
    for _ in range(_MOST_ROUNDS):
        yield place
        place = after(place, count, dtype)


def _settle(
    words: InOrder,
    place: Place,
    count: int,
    law: TruncatedNormal,
    dtype: str,
    bounds: tuple[float, float],
    first: int,
    out: Array,
) -> int:
    """Fill an array with elements from `first` on, and return how many rounds it took."""
    low, high = bounds
    missing: Array = np.empty(0, np.int64)
    for number, at in enumerate(_places(place, count, dtype)):
        draw = contiguous(words, at, count, law.centre, law.stddev, dtype)
        if number == 0:
            draw(first, out)
            wide = out.astype(np.float64)
            missing = np.flatnonzero((wide < low) | (wide > high))
        else:
            missing = _again(draw, first, out, missing, bounds)
        if not missing.size:
            return number + 1
    raise ValueError(f"no normal value lies within [{low!r}, {high!r}]")


def _again(
    draw: Draw, first: int, out: Array, missing: Array, bounds: tuple[float, float]
) -> Array:
    """Draw some elements anew, and return those that are still beyond the bounds."""
    low, high = bounds
    start, stop = int(missing[0]), int(missing[-1]) + 1
    values = np.empty(stop - start, out.dtype)
    if missing.size * 64 > stop - start:
        draw(first + start, values)
    else:
        for at in missing.tolist():
            draw(first + at, values[at - start : at - start + 1])
    out[missing] = values[missing - start]
    wide = out[missing].astype(np.float64)
    return missing[(wide < low) | (wide > high)]
