"""p-values of a sample's skewness and kurtosis, which see tails that a distance overlooks.

Those of normals follow D'Agostino (1970) and Anscombe and Glynn (1983). Elsewhere both are near
normal, with the variance that the distribution's own moments give. All need 1,000 elements; at as
many, far out, kurtosis is twice as likely as these formulas say, so chances are doubled.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from glorot_cli.distributions import Normal, TruncatedNormal, Uniform
from glorot_cli.dtypes import Array

_NODES = 96
# Beyond as many standard deviations lies no element of any file.
_FARTHEST = 9.0


class Standardised(NamedTuple):
    """Hold the third and the fourth moment of a sample, in units of its own spread."""

    skewness: float
    kurtosis: float

    @classmethod
    def of(cls, sample: Array) -> Standardised:
        """Take the moments of a sample that is not constant."""
        wide = sample.astype(np.float64)
        # The largest is 1 before anything is squared.
        wide = wide - wide.mean()
        wide /= np.abs(wide).max()
        squares = wide * wide
        variance = float(squares.mean())
        # Not np.dot, whose threads take longer than the sums.
        fourth = float((squares * squares).mean())
        third = float(np.multiply(squares, wide, out=wide).mean())
        return cls(third / variance**1.5, fourth / variance**2)


def skewness_chance(
    distribution: Uniform | Normal | TruncatedNormal, size: int, skewness: float, slack: float
) -> float:
    """Return the chance of a skewness as far off, but for `slack`, which rounding may cause."""
    if isinstance(distribution, Normal):
        return _two_sided(_normal_skewness(size, _nearer(skewness, slack)))
    expected, variance, *_ = _expected(distribution)
    return _two_sided(_nearer(skewness - expected, slack) / math.sqrt(variance / size))


def kurtosis_chance(
    distribution: Uniform | Normal | TruncatedNormal, size: int, kurtosis: float, slack: float
) -> float:
    """Return the chance of a kurtosis as far off, but for `slack`, which rounding may cause."""
    if isinstance(distribution, Normal):
        return _two_sided(_normal_kurtosis(size, 3.0 + _nearer(kurtosis - 3.0, slack)))
    *_, expected, variance = _expected(distribution)
    return _two_sided(_nearer(kurtosis - expected, slack) / math.sqrt(variance / size))


def _nearer(off: float, slack: float) -> float:
    return math.copysign(max(0.0, abs(off) - slack), off)


def _two_sided(z: float) -> float:
    return min(1.0, 2.0 * math.erfc(abs(z) / math.sqrt(2.0)))


def _normal_skewness(n: int, skewness: float) -> float:
    y = skewness * math.sqrt((n + 1) * (n + 3) / (6.0 * (n - 2)))
    beta = 3.0 * (n * n + 27 * n - 70) * (n + 1) * (n + 3)
    beta /= (n - 2.0) * (n + 5) * (n + 7) * (n + 9)
    square = math.sqrt(2.0 * (beta - 1.0)) - 1.0
    return math.asinh(y / math.sqrt(2.0 / (square - 1.0))) / math.sqrt(math.log(square) / 2.0)


def _normal_kurtosis(n: int, kurtosis: float) -> float:
    variance = 24.0 * n * (n - 2) * (n - 3) / ((n + 1.0) ** 2 * (n + 3) * (n + 5))
    x = (kurtosis - 3.0 * (n - 1) / (n + 1)) / math.sqrt(variance)
    skew = 6.0 * (n * n - 5 * n + 2) / ((n + 7.0) * (n + 9))
    skew *= math.sqrt(6.0 * (n + 3) * (n + 5) / (n * (n - 2.0) * (n - 3)))
    a = 6.0 + 8.0 / skew * (2.0 / skew + math.sqrt(1.0 + 4.0 / skew**2))
    base = 1.0 + x * math.sqrt(2.0 / (a - 4.0))
    if base <= 0.0:
        return -math.inf
    root = math.cbrt((1.0 - 2.0 / a) / base)
    return (1.0 - 2.0 / (9.0 * a) - root) / math.sqrt(2.0 / (9.0 * a))


def _expected(distribution: Uniform | TruncatedNormal) -> tuple[float, float, float, float]:
    if isinstance(distribution, Uniform):
        return _moments(-1.0, 1.0, 0.0)
    return _moments(max(distribution.low, -_FARTHEST), min(distribution.high, _FARTHEST), 1.0)


@functools.lru_cache(64)
def _moments(low: float, high: float, bend: float) -> tuple[float, float, float, float]:
    """Return skewness and kurtosis, each with its variance times the size (Kendall and Stuart)."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    x = low + (nodes + 1.0) * (high - low) / 2.0
    density = np.exp(-bend * x * x / 2.0) * weights
    density /= density.sum()
    x = x - float(density @ x)
    x /= math.sqrt(float(density @ (x * x)))
    m3, m4, m5, m6, m8 = (float(density @ x**power) for power in (3, 4, 5, 6, 8))
    skew = m6 - 6.0 * m4 + 9.0 + m3 * m3 / 4.0 * (9.0 * m4 + 35.0) - 3.0 * m3 * m5
    tail = m8 - 4.0 * m4 * m6 + 4.0 * m4**3 - m4 * m4
    tail += 16.0 * m4 * m3 * m3 - 8.0 * m3 * m5 + 16.0 * m3 * m3
    return m3, skew, m4, tail
