"""Fused multiply-add by NumPy's separate operations: x * factor + addend, rounded once.

Where a sum is not exact, it is first rounded to odd, which a second rounding cannot be misled by
(Boldo and Melquiond, 2008). No special instruction is used, so the bits hold on every processor.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from glorot_cli.dtypes import Array

_SPLITTER = np.float64(2.0**27 + 1.0)


def fused_float32(x: Array, factor: float, addend: float, out: Array) -> None:
    """Fill a float32 array with fma(x, factor, addend), all of them float32."""
    product = x.astype(np.float64)
    np.multiply(product, factor, out=product)  # exact: 24 bits by 24
    total, error = _two_sum(product, np.float64(addend))
    np.copyto(out, _rounded_to_odd(total, error), casting="same_kind")


def fused_float64(x: Array, factor: float, addend: float, out: Array) -> None:
    """Fill a float64 array with fma(x, factor, addend)."""
    high, low = _two_product(x, np.float64(factor))
    middle, lowest = _two_sum(low, np.float64(addend))
    total, error = _two_sum(high, middle)
    np.add(total, _rounded_to_odd(*_two_sum(lowest, error)), out=out)


def _two_sum(a: Array, b: Any) -> tuple[Array, Array]:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _two_product(a: Array, b: Any) -> tuple[Array, Array]:
    product = a * b
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    return product, a_low * b_low - (
        ((product - a_high * b_high) - a_low * b_high) - a_high * b_low
    )


def _split(a: Any) -> tuple[Any, Any]:
    wide = a * _SPLITTER
    high = wide - (wide - a)
    return high, a - high


def _rounded_to_odd(total: Array, error: Array) -> Array:
    """Move an inexact sum whose last bit is even one step towards what was lost."""
    bits = total.view(np.int64)
    away = np.where((error > 0.0) == (total > 0.0), 1, -1)
    result: Array = (bits + away * ((error != 0.0) & (bits & 1 == 0))).view(np.float64)
    return result
