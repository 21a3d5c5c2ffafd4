"""Bounds on the chance that a good sample of a distribution looks as odd as the one at hand.

Each function returns a p-value that is never below the true one, whatever the sample's size, so
that a threshold on it keeps its false-alarm rate: Chernoff's bound for means and mean squares,
Massart's for the Kolmogorov-Smirnov distance; the normal distribution's own, and
that of the largest of n, are exact.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from glorot_cli.distributions import Normal, TruncatedNormal, Uniform
from glorot_cli.dtypes import Array, Precision

Continuous = Uniform | Normal | TruncatedNormal

# Between neighbouring thresholds an empirical distribution can hide 1 / 2048 of a distance, or
# 1 / 256 where chance alone makes it ten times as large.
THRESHOLDS = 2048
FEW_THRESHOLDS = 256
FEW = 4096
_NODES = 96
# Beyond as many standard deviations lies no element of any file.
_FARTHEST = 9.0
# Above, Chernoff's bound is as good for any purpose, and takes no time.
_LARGEST_CHI_SQUARE = 200_000
_STANDARD = NormalDist()


def testable(distribution: Continuous) -> Continuous:
    """Return a distribution that has no share too small for the tests' arithmetic.

    Over a millionth of a standard deviation a normal distribution is uniform to some 1e-6.
    """
    match distribution:
        case TruncatedNormal(low=low, high=high) if high - low < 1e-6:
            return Uniform(*bounds(distribution))
    return distribution


def below(distribution: Continuous, x: float) -> float:
    """Return the chance of an element at or below x."""
    match distribution:
        case Uniform(low=low, high=high):
            return min(1.0, max(0.0, (x / 2.0 - low / 2.0) / distribution.half))
        case Normal(centre=centre, stddev=stddev):
            return _phi((x - centre) / stddev)
        case TruncatedNormal(centre=centre, stddev=stddev, low=low, high=high):
            z = min(high, max(low, (x - centre) / stddev))
            return _mass(low, z) / _whole(low, high)


def above(distribution: Continuous, x: float) -> float:
    """Return the chance of an element above x, exact where it is small."""
    match distribution:
        case Normal(centre=centre, stddev=stddev):
            return _phi((centre - x) / stddev)
        case _:
            return 1.0 - below(distribution, x)


def _phi(z: float) -> float:
    return math.erfc(-z / math.sqrt(2.0)) / 2.0


def _mass(low: float, high: float) -> float:
    """Return the normal distribution's share from low to high, without cancellation in a tail."""
    return _phi(high) - _phi(low) if low + high < 0.0 else _phi(-low) - _phi(-high)


# The limits of all the tensors of a file are few.
_whole = functools.lru_cache(256)(_mass)


def bounds(distribution: Continuous) -> tuple[float, float]:
    """Return the least and the most that a distribution allows."""
    match distribution:
        case Uniform(low=low, high=high):
            return low, high
        case TruncatedNormal(centre=centre, stddev=stddev, low=low, high=high):
            return centre + stddev * low, centre + stddev * high
        case _:
            return -math.inf, math.inf


def rounding(distribution: Continuous, precision: Precision) -> float:
    """Return how far rounding may move an element: a step of the dtype at its own scale."""
    scale = (
        max(-distribution.low, distribution.high)
        if isinstance(distribution, Uniform)
        else abs(distribution.centre) + distribution.stddev
    )
    return max(2.0**-precision.fraction * scale, precision.smallest)


def square_slack(step: float, std: float) -> float:
    """Return how far rounding elements by a step may move a mean square, relative to a variance."""
    ratio = min(step / std, 1e100)
    return 2.0 * ratio + ratio * ratio


def beyond(distribution: Continuous, low: float, high: float, precision: Precision) -> float | None:
    """Return an extreme beyond the distribution's limits by more than one rounding."""
    least, most = bounds(distribution)
    step = 2.0**-precision.fraction
    if high > most + max(abs(most) * step, precision.smallest):
        return high
    if low < least - max(abs(least) * step, precision.smallest):
        return low
    return None


def steepest(distribution: Continuous) -> float:
    """Return the distribution's largest density."""
    match distribution:
        case Uniform():
            return 0.5 / distribution.half
        case Normal(stddev=stddev):
            return 1.0 / (stddev * math.sqrt(2.0 * math.pi))
        case TruncatedNormal(stddev=stddev, low=low, high=high):
            nearest = min(high, max(low, 0.0))
            peak = math.exp(-nearest * nearest / 2.0) / math.sqrt(2.0 * math.pi)
            return peak / (stddev * _whole(low, high))


@functools.lru_cache(64)
def _thresholds(distribution: Continuous, count: int, dtype: np.dtype[Any]) -> Array:
    """Return the points, in a dtype, that part a distribution into pieces of equal chance."""
    match distribution:
        case Uniform(low=low, high=high):
            points = 2.0 * (low / 2.0 + distribution.half * _shares(count))
        case Normal(centre=centre, stddev=stddev):
            points = centre + stddev * _quantiles(0.0, 1.0, count)
        case TruncatedNormal(centre=centre, stddev=stddev, low=low, high=high):
            points = centre + stddev * _quantiles(_phi(low), _phi(high), count)
    return points.astype(dtype)


@functools.cache
def _shares(count: int) -> Array:
    return np.arange(1, count) / count


@functools.lru_cache(64)
def _quantiles(low: float, high: float, count: int) -> Array:
    return np.array([_STANDARD.inv_cdf(low + (high - low) * p) for p in _shares(count).tolist()])


def distance(distribution: Continuous, ordered: Array) -> float:
    """Return a sorted sample's Kolmogorov-Smirnov distance at some points.

    It is at most the true one.
    """
    count = FEW_THRESHOLDS if ordered.size <= FEW else THRESHOLDS
    counts = ordered.searchsorted(_thresholds(distribution, count, ordered.dtype), side="right")
    return float(np.maximum.reduce(np.abs(counts / ordered.size - _shares(count))))


def distance_chance(size: int, distance: float) -> float:
    """Bound the chance of such a distance, or a larger one (Massart, 1990)."""
    return min(1.0, 2.0 * math.exp(-2.0 * size * max(0.0, distance) ** 2))


def extremes_chance(
    distribution: Continuous, size: int, least: float, most: float, slack: float
) -> float:
    """Bound the chance that the extremes of `size` elements are as far out, or as far in.

    `slack` is how far rounding may have moved an element.
    """
    inner, outer = most + slack, least - slack
    inward = most_inward(distribution, size, inner), least_inward(distribution, size, outer)
    outward = size * above(distribution, most - slack), size * below(distribution, least + slack)
    return min(1.0, 4.0 * min(*inward, *outward))


def most_inward(distribution: Continuous, size: int, most: float) -> float:
    """Return the chance that none of `size` elements lies above `most`."""
    return _power(*_sides(distribution, most), size)


def least_inward(distribution: Continuous, size: int, least: float) -> float:
    """Return the chance that none of `size` elements lies below `least`."""
    low, high = _sides(distribution, least)
    return _power(high, low, size)


def _sides(distribution: Continuous, x: float) -> tuple[float, float]:
    share = below(distribution, x)
    return share, above(distribution, x) if isinstance(distribution, Normal) else 1.0 - share


def quantile(distribution: Continuous, chance: float) -> float:
    """Return about where as large a share of a distribution ends, of a chance within (0, 1)."""
    match distribution:
        case Uniform(low=low, high=high):
            return 2.0 * (low / 2.0 + distribution.half * chance)
        case Normal(centre=centre, stddev=stddev):
            return centre + stddev * _STANDARD.inv_cdf(chance)
        case TruncatedNormal(centre=centre, stddev=stddev, low=low, high=high):
            share = _phi(low) + (_phi(high) - _phi(low)) * chance
            return centre + stddev * _STANDARD.inv_cdf(share)


def equal_chance(distribution: Continuous, size: int, value: float, step: float) -> float:
    """Bound the chance that `size` elements are all rounded, by up to a step each, to a value."""
    share = 1.0 - below(distribution, value - step) - above(distribution, value + step)
    return float(max(0.0, share) ** size)


def spread_chance(distribution: Continuous, size: int, spread: float) -> float:
    """Bound the chance that `size` elements lie as close together as in a range of `spread`."""
    match distribution:
        case Uniform(low=low, high=high):
            share = spread / (high - low)
        case Normal(stddev=stddev):
            share = math.erf(spread / stddev / math.sqrt(8.0))
        case TruncatedNormal(stddev=stddev, low=low, high=high):
            # The window of this width that holds most is as near the mode as the limits allow.
            width = min(spread / stddev, high - low)
            first = min(max(low, -width / 2.0), high - width)
            share = _mass(first, first + width) / _mass(low, high)
    return min(1.0, size * min(1.0, share) ** (size - 1))


def estimated_normal_chance(size: int, distance: float) -> float:
    """Return the chance of a Kolmogorov-Smirnov distance from the normal of the sample's moments.

    Its tail is that of the Gaussian process that Lilliefors's test tends to; a factor of five keeps
    it above what 20,000 samples of 1,000 elements show.
    """
    return min(1.0, 5.0 * math.exp(-5.5 * size * max(0.0, distance) ** 2))


def _power(chance: float, other: float, size: int) -> float:
    """Return chance ** size, where other is 1 - chance."""
    return math.exp(size * math.log1p(-other)) if other < 0.5 else chance**size


def mean_chance(distribution: Continuous, size: int, mean: float, slack: float) -> float:
    """Bound the chance that the mean of `size` elements is as far off."""
    z = (mean - distribution.mean(())) / distribution.std(())
    z = math.copysign(max(0.0, abs(z) - slack / distribution.std(())), z)
    match distribution:
        case Normal():
            return math.erfc(abs(z) * math.sqrt(size / 2.0))
        case Uniform():
            # A uniform distribution is strictly sub-Gaussian.
            return min(1.0, 2.0 * math.exp(-size * z * z / 2.0))
        case TruncatedNormal(low=low, high=high):
            return _chernoff(_truncated_tilts(low, high, 1), size, z)


def square_chance(distribution: Continuous, size: int, square: float, slack: float) -> float:
    """Bound the chance that the mean square about the mean is as far from the variance.

    `square` is relative to the variance, as is `slack`.
    """
    off = math.copysign(max(0.0, abs(square - 1.0) - slack), square - 1.0)
    match distribution:
        case Normal():
            return _chi_square_chance(size, 1.0 + off)
        case Uniform():
            return _chernoff(_uniform_squares(), size, 1.0 + off)
        case TruncatedNormal(low=low, high=high):
            return _chernoff(_truncated_tilts(low, high, 2), size, 1.0 + off)


def _chi_square_chance(size: int, square: float) -> float:
    """Return the chance of a mean square of normals at `square` or beyond, times two."""
    if square <= 0.0:
        return 0.0
    if size > _LARGEST_CHI_SQUARE:
        return min(1.0, 2.0 * math.exp(-size * (square - 1.0 - math.log(square)) / 2.0))
    a, x = size / 2.0, size * square / 2.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if square < 1.0:
        # The incomplete gamma function's series.
        term = total = 1.0 / a
        n = a
        while term > total * 1e-15:
            n += 1.0
            term *= x / n
            total += term
        return min(1.0, 2.0 * scale * total)
    # Legendre's continued fraction of its complement, by Lentz's method.
    b = x + 1.0 - a
    c, d = 1e300, 1.0 / b
    h = d
    for i in range(1, 10 * _LARGEST_CHI_SQUARE):
        b += 2.0
        d = 1.0 / (b - i * (i - a) * d)
        c = b - i * (i - a) / c
        h *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return min(1.0, 2.0 * scale * h)


@functools.cache
def _uniform_squares() -> _Tilts:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return _tilts(3.0 * nodes * nodes, weights / 2.0, 60.0)


@functools.lru_cache(64)
def _truncated_tilts(low: float, high: float, power: int) -> _Tilts:
    """Work out the tilts of the standardised cut normal distribution, or of its square."""
    mean, std = (f(()) for f in (TruncatedNormal(0.0, 1.0, low, high).mean,
                                 TruncatedNormal(0.0, 1.0, low, high).std))  # fmt: skip
    # The square of a distribution that is hardly cut has no moments of a steep tilt.
    steepest = 5.0 if power == 1 else 60.0 if max(-low, high) < 4.0 else 0.4
    low, high = max(low, -_FARTHEST), min(high, _FARTHEST)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    nodes = low + (nodes + 1.0) * (high - low) / 2.0
    density = np.exp(-nodes * nodes / 2.0) * weights
    return _tilts(((nodes - mean) / std) ** power, density / density.sum(), steepest)


@dataclass(frozen=True, slots=True)
class _Tilts:
    """Hold the tilts t of Chernoff's bound, of either sign, and log E exp(t x) for each."""

    t: Array
    growth: Array


def _tilts(values: Array, weights: Array, steepest: float) -> _Tilts:
    """Work out tilts up to `steepest`, up to which the quadrature is good."""
    t = np.exp(np.linspace(-16.0, math.log(steepest), 400))
    t = np.concatenate((-t[::-1], t))
    exponents = t[:, None] * values
    peak = exponents.max(axis=1)
    return _Tilts(t, peak + np.log(np.exp(exponents - peak[:, None]) @ weights))


def _chernoff(tilts: _Tilts, size: int, target: float) -> float:
    """Bound the chance that the mean of `size` draws is at `target` or beyond, on either side.

    Any tilt t bounds it by exp(-size (t target - log E exp(t x))), so a coarse choice is safe.
    """
    rate = float(np.maximum.reduce(tilts.t * target - tilts.growth))
    return min(1.0, 2.0 * math.exp(-size * max(0.0, rate)))
