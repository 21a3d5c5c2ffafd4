"""torch's `normal_` in float32 on a CPU: Box and Muller's method in steps of 16 elements.

Logarithm, sine and cosine are Cephes's polynomials in float32, as in the AVX2 code that torch
compiles with fused multiply-add; which products are fused was found by comparison.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from glorot_cli.dtypes import Array
from glorot_cli.moments import Moments
from glorot_cli.streams.kernels import CODES, kernels, measured

STEP = 16
CHUNK = 1 << 14

_MASK = np.uint32(0xFFFFFF)
_LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_LOG_2 = (-2.12194440e-4, 0.693359375)
_SINE = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COSINE = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
# pi / 4 in three parts.
_QUARTER = (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)


def fill_normals(fractions: Array, mean: float, stddev: float, out: Array) -> Moments | None:
    """Turn words, or their low 24 bits, into normal values: of 16, eight radii, then eight angles.

    float16 and bfloat16 are the float32 values, rounded. The words may lie where the float32 values
    go. The moments about the mean are returned where they cost no further pass.
    """
    found = kernels()
    if found is not None and out.flags.c_contiguous:
        about = float(np.float32(mean))
        sums = found.module.box_muller(
            found.number, fractions, out.view(np.uint8), CODES[out.dtype.name], mean, stddev, about
        )
        return measured(out.size, about, *sums)
    for start in range(0, out.size, CHUNK):
        stop = min(start + CHUNK, out.size)
        unit = (fractions[start:stop] & _MASK).astype(np.float32)
        np.multiply(unit, np.float32(2.0**-24), out=unit)
        pairs = unit.reshape(-1, 2, STEP // 2)
        radius = np.sqrt(np.float32(-2.0) * _logarithm(np.float32(1.0) - pairs[:, 0]))
        sine, cosine = _sine_and_cosine(np.float32(2.0 * math.pi) * pairs[:, 1])
        values = np.empty_like(pairs)
        values[:, 0] = _fused(radius * cosine, np.float32(stddev), np.float32(mean))
        values[:, 1] = _fused(radius * sine, np.float32(stddev), np.float32(mean))
        np.copyto(out[start:stop], values.reshape(-1), casting="unsafe")
    return None


def _logarithm(x: Array) -> Array:
    bits = x.view(np.int32)
    exponent = ((bits >> 23) - 126).astype(np.float32)
    x = ((bits & 0x7FFFFF) | 0x3F000000).view(np.float32)
    is_small = x < np.float32(math.sqrt(0.5))
    x = (x - np.float32(1.0)) + np.where(is_small, x, np.float32(0.0))
    exponent -= is_small
    square = x * x
    y = _polynomial(_LOG, x) * x
    y = _fused(y, square, exponent * np.float32(_LOG_2[0]))
    y = _fused(square, np.float32(-0.5), y)
    return _fused(exponent, np.float32(_LOG_2[1]), x + y)


def _sine_and_cosine(x: Array) -> tuple[Array, Array]:
    octant = ((x * np.float32(4.0 / math.pi)).astype(np.int32) + 1) & ~1
    count = octant.astype(np.float32)
    for part in _QUARTER:
        x = _fused(count, np.float32(part), x)
    square = x * x
    cosine = _polynomial(_COSINE, square) * square
    cosine = _fused(cosine, square, square * np.float32(-0.5)) + np.float32(1.0)
    sine = _polynomial(_SINE, square) * square
    sine = _fused(sine, x, x)
    is_swapped = (octant & 2) != 0
    sine, cosine = np.where(is_swapped, cosine, sine), np.where(is_swapped, sine, cosine)
    np.negative(sine, out=sine, where=(octant & 4) != 0)
    np.negative(cosine, out=cosine, where=((octant - 2) & 4) == 0)
    return sine, cosine


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    y: Array = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        y = _fused(y, x, np.float32(coefficient))
    return y


def _fused(a: Array, b: Any, c: Any) -> Array:
    """Return fma(a, b, c) in float32.

    Rounding the float64 sum is wrong only where that lies just halfway between two float32: there
    it is done again, with the sum rounded to odd.
    """
    total = a.astype(np.float64)
    np.multiply(total, b, out=total)  # exact: 24 bits by 24
    product = total.copy()
    np.add(total, c, out=total)
    halfway = np.flatnonzero((total.view(np.int64) & 0x1FFFFFFF) == 0x10000000)
    if halfway.size:
        flat, exact = total.reshape(-1), product.reshape(-1)[halfway]
        addend = np.broadcast_to(np.asarray(c, np.float64), total.shape).reshape(-1)[halfway]
        rough = flat[halfway]
        back = rough - exact
        error = (exact - (rough - back)) + (addend - back)
        away = np.where((error > 0.0) == (rough > 0.0), 1, -1)
        flat[halfway] = (rough.view(np.int64) + away * (error != 0.0)).view(np.float64)
    return total.astype(np.float32)
