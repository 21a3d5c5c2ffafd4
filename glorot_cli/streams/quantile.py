"""The normal quantile of a word: a table of polynomials, by separate IEEE multiplies and adds.

The word w stands for p = (w + 2**31 + 0.5) * 2**-32; with x = w + 0.5 the quantile is odd in x.
`quantile_table.txt` is the definition; its rows are explained by the script that made it,
`tests/make_quantile_table.py`. From its centre rows a line in x is derived for each of the 2**16
segments of the words, which is all that 97 % of them need; the others take the tail rows.
"""

from __future__ import annotations

import decimal
import functools
import math
import threading

import numpy as np

from glorot_cli.dtypes import Array

CENTRE_ROWS = 124
SEGMENT = 65536.0
CENTRE_END = 31744
CHUNK = 1 << 17

# erf(sqrt(2)): the share of the normal law within two standard deviations.
WITHIN_TWO = float.fromhex("0x1.e8b4307d3627ap-1")
_SQRT_2_OVER_PI = decimal.Decimal(
    "0.79788456080286535587989211986876373695171726232986931533185165934"
)
# Half a segment times cos(pi / 4): where the Chebyshev nodes of a line lie.
_NODE = float.fromhex("0x1.6a09e667f3bcdp+14")


@functools.cache
def _rows() -> tuple[Array, Array]:
    from importlib import resources

    text = resources.files("glorot_cli.streams").joinpath("quantile_table.txt").read_text("ascii")
    rows = [[float.fromhex(number) for number in line.split()] for line in text.splitlines()]
    return np.array(rows[:CENTRE_ROWS]), np.array(rows[CENTRE_ROWS:])


def _polynomial(coefficients: Array, s: Array) -> Array:
    z = coefficients[..., -1] * s
    for power in range(coefficients.shape[-1] - 2, 0, -1):
        z = (z + coefficients[..., power]) * s
    total: Array = z + coefficients[..., 0]
    return total


def tail_rows() -> Array:
    """Return the coefficients of the tail: one row for each sixteenth of an octave."""
    return _rows()[1]


def _centre(u: Array) -> Array:
    scaled = u * 128.0
    row = np.floor(scaled)
    return _polynomial(_rows()[0].take(row.astype(np.intp), axis=0), scaled - row)


def _tail(x: Array) -> Array:
    t = 2.0**31 - np.abs(x)
    bits = t.view(np.int64)
    row = (bits >> 48) - (1022 << 4)
    s = (((bits & ((1 << 48) - 1)) | (1023 << 52)).view(np.float64) - 1.0) * 16.0
    return np.copysign(_polynomial(_rows()[1].take(row, axis=0), s), x)


def _lines(share: float, end: int) -> Array:
    """Derive the line of each segment for u = share * x * 2**-31, as pairs (constant, slope).

    Segments from `end` on get no line (NaN), for the tail. The order is that of unsigned words.
    """
    middle = np.arange(end, dtype=np.float64) * SEGMENT + SEGMENT / 2.0
    low, high = middle - _NODE, middle + _NODE
    z_low, z_high = _centre(low * (share * 2.0**-31)), _centre(high * (share * 2.0**-31))
    slope = (z_high - z_low) / (high - low)
    constant = z_low - slope * low
    constant[0], slope[0] = 0.0, z_high[0] / high[0]
    lines = np.full(65536, np.nan, np.complex128)
    lines.real[:end], lines.imag[:end] = constant, slope
    lines.real[65536 - end :], lines.imag[65536 - end :] = -constant[::-1], slope[::-1]
    return lines


@functools.cache
def normal_lines() -> Array:
    """Return the lines of the whole normal law."""
    return _lines(1.0, CENTRE_END)


@functools.cache
def truncated_lines() -> Array:
    """Return the lines of the normal law cut to two standard deviations."""
    return _lines(WITHIN_TWO, 32768)


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.segment = np.empty(CHUNK, np.intp)
        self.pair = np.empty(CHUNK, np.complex128)
        self.x = np.empty(CHUNK)
        self.z = np.empty(CHUNK)


_SCRATCH = _Scratch()


def quantiles(words: Array, lines: Array) -> Array:
    """Return the quantiles of at most CHUNK 32-bit words, in an array that the next call reuses."""
    n = words.size
    segment, pair = _SCRATCH.segment[:n], _SCRATCH.pair[:n]
    x, z = _SCRATCH.x[:n], _SCRATCH.z[:n]
    np.right_shift(words.view(np.uint32), 16, out=segment)
    lines.take(segment, out=pair, mode="clip")
    parts = pair.view(np.float64)
    np.add(words, 0.5, out=x)
    np.multiply(parts[1::2], x, out=x)
    np.add(x, parts[0::2], out=z)
    tail = np.flatnonzero(np.isnan(z))
    if tail.size:
        z[tail] = _tail(words[tail] + 0.5)
    return z


def share_within(z: float) -> float:
    """Return erf(z / sqrt(2)), rounded once, with the same bits on every machine."""
    if abs(z) > 9.0:
        return math.copysign(1.0, z)
    with decimal.localcontext() as context:
        # Fixed, so that nothing depends on the caller's context; the largest term is e**40.5.
        context.prec, context.rounding = 80, decimal.ROUND_HALF_EVEN
        half_square = decimal.Decimal(z) * decimal.Decimal(z) / 2
        term = total = decimal.Decimal(z)
        for n in range(1, 400):
            term = -term * half_square / n
            total += term / (2 * n + 1)
        return float(total * _SQRT_2_OVER_PI)


def quantiles_between(words: Array, low: float, high: float) -> Array:
    """Return the quantiles of words spread over (low, high), given as u = 2p - 1."""
    share = (words + 0.5) * 2.0**-32 + 0.5
    x = (share * (high - low) + low) * 2.0**31
    segment = np.floor(x * (1.0 / SEGMENT)).astype(np.intp)
    pair = normal_lines().take(segment, mode="wrap")
    z: Array = pair.imag * x + pair.real
    tail = np.flatnonzero(np.isnan(z))
    z[tail] = _tail(np.clip(x[tail], 0.5 - 2.0**31, 2.0**31 - 0.5))
    return z
