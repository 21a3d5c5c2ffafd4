"""Moments of a block as a file holds it, whatever its dtype, by the compiled loops."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from glorot_cli.dtypes import Array, numpy_dtype
from glorot_cli.moments import Moments
from glorot_cli.streams.kernels import kernels

# The loops' names of the dtypes that they measure.
_CODES = {
    "float32": 0, "float64": 1, "float16": 2, "bfloat16": 3, "float8_e4m3fn": 4, "float8_e5m2": 4,
    "int8": 5, "uint8": 6, "bool": 6, "int16": 7, "int32": 8, "int64": 9,
}  # fmt: skip
# Beyond, squares are taken in units of a scale, by NumPy.
_LEAST, _MOST = 2.0**-40, 2.0**40


def block_moments(block: Array, centre: float) -> Moments | None:
    """Return the moments of a flat, non-empty array about a centre, or None.

    NumPy has to take them where there are no compiled loops, where elements are not finite or lie
    far from 1, and where they are of another dtype, in another byte order, strided or not aligned.
    """
    found, code = kernels(), _code(block.dtype)
    if found is None or code is None:
        return None
    if not (block.flags.aligned and block.flags.c_contiguous):
        return None
    if centre and block.itemsize <= 4:
        centre = float(np.float32(centre))
    back = _float8(block.dtype.name) if code == _CODES["float8_e5m2"] else b""
    least, most, total, squares = found.module.moments(
        found.number, block.view(np.uint8), code, back, centre
    )
    largest = max(-least, most, abs(centre))
    if not math.isfinite(squares) or not (_LEAST <= largest <= _MOST or largest == 0.0):
        return None
    return Moments.of_sums(block.size, least, most, centre, total, squares)


# A dtype's name is work.
@functools.cache
def _code(dtype: np.dtype[Any]) -> int | None:
    return None if dtype.byteorder == ">" else _CODES.get(dtype.name)


@functools.cache
def _float8(dtype: str) -> Array:
    return np.arange(256, dtype=np.uint8).view(numpy_dtype(dtype)).astype(np.float32)
