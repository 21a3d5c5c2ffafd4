"""A sketch of a tensor's elements, and the quality of a distribution as their origin."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

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
        edges = 2.0 * (low / 2.0 + (high / 2.0 - low / 2.0) * (np.arange(1, BINS) / BINS))
        ends = np.searchsorted(self.ordered, edges.astype(self.ordered.dtype), side="right")
        return [int(n) for n in np.diff(np.concatenate(([0], ends, [self.ordered.size])))]


def quality(distribution: p_values.Continuous, sketch: Sketch, dtype: str) -> float:
    """Return the least p-value of a distribution's tests, or 0 as soon as one is below LEAST."""
    precision = PRECISIONS[dtype]
    distribution = p_values.testable(distribution)
    n, low, high = sketch.moments.count, sketch.moments.minimum, sketch.moments.maximum
    if p_values.beyond(distribution, low, high, precision) is not None:
        return 0.0
    step, std = p_values.rounding(distribution, precision), distribution.std(())
    about = sketch.moments.about(distribution.mean(()))
    square = about.relative_square(std)
    slack = p_values.square_slack(step, std)
    # Far off by the variance of a normal's square, which has the largest of all.
    if (abs(square - 1.0) - slack) * math.sqrt(n / 2.0) > 12.0 and n > 100:
        return 0.0
    widest = max(step, 2.0**-precision.fraction * max(-low, high))
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
