"""A sketch of a tensor's elements, and the quality of a distribution as their origin."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import StatisticsError
from typing import NamedTuple

import numpy as np

from glorot_cli.dtypes import PRECISIONS, Array, Precision
from glorot_cli.goodness_of_fit import p_values
from glorot_cli.goodness_of_fit.higher_moments import (
    Standardised,
    kurtosis_chance,
    skewness_chance,
)
from glorot_cli.moments import Moments

# No file has so many tensors that a fit of lower quality could be named.
LEAST = 1e-12
# The tests that a quality is the least of: range, closeness, mean, variance, distance, kurtosis.
TESTS = 6
# From as many elements on, a distribution is known by its shape alone.
MANY = 1_000
# As many elements, spread over the tensor, tell any two distributions' shapes apart.
SAMPLE = 1 << 15
BINS = 16
_BIN_ENDS = np.arange(1, BINS) / BINS


@dataclass(frozen=True, slots=True)
class Sketch:
    """Hold what is kept of a tensor: its moments about 0, and a sorted sample."""

    moments: Moments
    ordered: Array

    @property
    def histogram(self) -> list[int]:
        """The sample's counts in BINS equal parts of the range; empty if there is no such range."""
        low, high = self.moments.minimum, self.moments.maximum
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            return []
        edges = 2.0 * (low / 2.0 + (high / 2.0 - low / 2.0) * _BIN_ENDS)
        ends = self.ordered.searchsorted(edges.astype(self.ordered.dtype), side="right").tolist()
        return [end - start for start, end in pairwise([0, *ends, self.ordered.size])]


def quality(distribution: p_values.Continuous, sketch: Sketch, dtype: str) -> float:
    """Return the least p-value of a distribution's tests, or 0 as soon as one is below LEAST."""
    n, low, high = sketch.moments.count, sketch.moments.minimum, sketch.moments.maximum
    distribution, precision, step, inner = _expectation(distribution, n, dtype)
    widest = max(step, 2.0**-precision.fraction * max(-low, high))
    # The test of the extremes would say the same, which takes longer.
    if high + widest <= inner.high or low - widest >= inner.low:
        return 0.0
    if p_values.beyond(distribution, low, high, precision) is not None:
        return 0.0
    std = distribution.std(())
    about = sketch.moments.about(distribution.mean(()))
    square = about.relative_square(std)
    slack = p_values.square_slack(step, std)
    # Far off by the variance of a normal's square, which has the largest of all.
    if (abs(square - 1.0) - slack) * math.sqrt(n / 2.0) > 12.0 and n > 100:
        return 0.0
    mean = about.centre + about.offset
    tests: tuple[Callable[[], float], ...] = (
        lambda: p_values.extremes_chance(distribution, n, low, high, widest),
        lambda: p_values.spread_chance(distribution, n, high - low + 2.0 * widest),
        lambda: p_values.mean_chance(distribution, n, mean, step),
        lambda: p_values.square_chance(distribution, n, square, slack),
        lambda: distance_chance(distribution, sketch, step),
        lambda: tail_chance(distribution, sketch, precision),
    )
    worst = 1.0
    for test in tests:
        worst = min(worst, test())
        if worst < LEAST:
            return 0.0
    return worst


class Innermost(NamedTuple):
    """Hold the extremes that elements lie within only if they are of a narrower distribution."""

    low: float
    high: float


class _Expectation(NamedTuple):
    distribution: p_values.Continuous
    precision: Precision
    step: float
    inner: Innermost


# A file of thousands of tensors has few sizes and distributions.
@functools.lru_cache(1024)
def _expectation(distribution: p_values.Continuous, size: int, dtype: str) -> _Expectation:
    """Work out what a test of a distribution needs to know before it sees any element."""
    precision = PRECISIONS[dtype]
    distribution = p_values.testable(distribution)
    step = p_values.rounding(distribution, precision)
    return _Expectation(distribution, precision, step, innermost(distribution, size))


def innermost(distribution: p_values.Continuous, size: int) -> Innermost:
    """Find the extremes at which the test of the extremes surely gives less than LEAST.

    Where the arithmetic is not good enough for them, there are none.
    """
    rejected = LEAST / 8.0  # a quarter of LEAST is the limit
    chance = rejected ** (1.0 / size)
    low, high = math.inf, -math.inf
    with contextlib.suppress(StatisticsError, ArithmeticError):
        least = p_values.quantile(distribution, 1.0 - chance)
        if p_values.least_inward(distribution, size, least) < 1.1 * rejected:
            low = least
        most = p_values.quantile(distribution, chance)
        if p_values.most_inward(distribution, size, most) < 1.1 * rejected:
            high = most
    return Innermost(low, high)


def distance_chance(distribution: p_values.Continuous, sketch: Sketch, step: float) -> float:
    """Bound the chance of the sample's Kolmogorov-Smirnov distance."""
    return p_values.distance_chance(sketch.ordered.size, gap(distribution, sketch, step))


def gap(distribution: p_values.Continuous, sketch: Sketch, step: float) -> float:
    """Return the sample's Kolmogorov-Smirnov distance, but for what rounding may add to it."""
    return p_values.distance(distribution, sketch.ordered) - step * p_values.steepest(distribution)


def tail_chance(
    distribution: p_values.Continuous, sketch: Sketch, precision: Precision, *, skewed: bool = False
) -> float:
    """Return the chance of the sample's kurtosis, and if `skewed`, of its skewness."""
    size = sketch.ordered.size
    if size < MANY or sketch.ordered[0] == sketch.ordered[-1]:
        return 1.0
    found = Standardised.of(sketch.ordered)
    step = p_values.rounding(distribution, precision) / distribution.std(())
    chance = kurtosis_chance(distribution, size, found.kurtosis, 12.0 * step)
    if not skewed:
        return chance
    return min(chance, skewness_chance(distribution, size, found.skewness, 6.0 * step))
