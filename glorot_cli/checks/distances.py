"""How far elements of any two dtypes are apart: whole numbers exactly, all others as float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from glorot_cli.dtypes import Array


def plain(element: np.generic) -> float | int:
    """Return an element as Python's number, and whole numbers exactly."""
    found = element.item()
    return int(found) if _is_whole(element.dtype) else float(found)


def distances(x: Array, y: Array) -> Array:
    """Return |x - y| of two flat arrays: infinite where only one is a number, or both are not.

    Those of whole numbers are exact, as uint64, whose largest stands for all beyond it.
    """
    if _is_whole(x.dtype) and _is_whole(y.dtype):
        return _steps(_widened(x), _widened(y))
    a, b = x.astype(np.float64), y.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        off: Array = np.abs(a - b)
    off[a == b] = 0.0
    off[np.isnan(off)] = np.inf
    if _is_whole(x.dtype):
        _correct(off, _widened(x), b)
    elif _is_whole(y.dtype):
        _correct(off, _widened(y), a)
    return off


def _correct(off: Array, whole: Array, real: Array) -> None:
    """Put in the distances of whole numbers, which float64 need not hold, to floats near them."""
    bounds = np.iinfo(whole.dtype)
    low, top = float(bounds.min), float(bounds.max)  # which rounds up, to a power of 2
    under, over = real < low, real >= top
    off[under] = _steps(whole[under], whole.dtype.type(bounds.min)) + (low - real[under])
    off[over] = _steps(whole[over], whole.dtype.type(bounds.max)) + 1.0 + (real[over] - top)
    inside = (real >= low) & ~over
    below = np.floor(real[inside])
    part = real[inside] - below
    near, floor = whole[inside], below.astype(whole.dtype)
    steps = _steps(near, floor).astype(np.float64)
    off[inside] = np.where(near > floor, steps - part, steps + part)


def exceeding(off: Array, tolerance: float) -> Array:
    """Tell which distances are larger than a tolerance."""
    if off.dtype != np.uint64:
        return np.asarray(off > tolerance)
    whole = math.floor(tolerance)
    return off > np.uint64(whole) if whole < 2**64 else np.zeros(off.shape, np.bool_)


def _steps(a: Array, b: Array) -> Array:
    """Return how far numbers of 64 bits are apart; NumPy compares int64 with uint64 exactly."""
    # Two's complement: the difference is right whatever overflows on the way.
    p, q = a.view(np.uint64), b.view(np.uint64)
    steps = np.where(a > b, p - q, q - p)
    if a.dtype != b.dtype:
        # Below 0 on one side and above 2**63 on the other, 64 bits may be too few.
        signed, other = (a, q) if a.dtype == np.int64 else (b, p)
        steps[(signed < 0) & (steps < other)] = np.iinfo(np.uint64).max
    return steps


def _widened(values: Array) -> Array:
    return values.astype(np.uint64 if values.dtype.kind == "u" else np.int64)


def _is_whole(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biu"
