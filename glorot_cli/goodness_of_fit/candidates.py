"""Which known distributions a tensor's elements fit, and how well."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from glorot_cli.distributions import Normal, TruncatedNormal, Uniform
from glorot_cli.dtypes import PRECISIONS
from glorot_cli.fans import Fans, glorot_limit, uniform_limit
from glorot_cli.goodness_of_fit import p_values
from glorot_cli.initializers.keras import TRUNCATED_STDDEV
from glorot_cli.moments import Moments, significant

Array = np.ndarray[Any, np.dtype[Any]]

# A true distribution is left out with a chance of at most some 1e-6 for each test of it.
LEAST = 1e-6
# As many elements, spread over the tensor, tell any two distributions' shapes apart.
SAMPLE = 1 << 15
BINS = 16


class Fit(NamedTuple):
    """Name a distribution that elements fit, with the least of its tests' p-values.

    The p-values are bounds from above, so `quality` is 1 where nothing speaks against it.
    """

    distribution: str
    quality: float
    parameters: dict[str, float]

    @property
    def law(self) -> str:
        """The name of the distribution, as version 1.0 called it."""
        return self.distribution


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
        edges = low + 2.0 * ((high / 2.0 - low / 2.0) * (np.arange(1, BINS) / BINS))
        ends = np.searchsorted(self.ordered, edges.astype(self.ordered.dtype), side="right")
        return [int(n) for n in np.diff(np.concatenate(([0], ends, [self.ordered.size])))]


def fits(sketch: Sketch, fans: Fans | None, dtype: str) -> list[Fit]:
    """Name the distributions that a tensor's elements fit, the best defined first."""
    m = sketch.moments
    if m.nan or m.inf:
        return []  # no start has any
    if dtype not in PRECISIONS:
        return [_constant(m.minimum)] if m.minimum == m.maximum else []
    found = []
    if m.minimum == m.maximum:
        found.append(_constant(m.minimum))
        # So few elements may be equal by chance.
        if m.count * (PRECISIONS[dtype].fraction + 1) >= 60 or m.minimum == 0.0:
            return found
    if fans is not None:
        # Of a square kernel many distributions are the same.
        chances_of = functools.cache(lambda distribution: quality(distribution, sketch, dtype))
        for name, distribution in named_distributions(fans):
            chance = chances_of(distribution)
            if chance >= LEAST:
                found.append(Fit(name, significant(chance, 3), {}))
    return [*found, *_free(sketch, dtype)]


def _constant(value: float) -> Fit:
    name = {0.0: "zeros", 1.0: "ones"}.get(value, "constant")
    return Fit(name, 1.0, {"value": value} if name == "constant" else {})


@functools.lru_cache(256)
def named_distributions(fans: Fans) -> tuple[tuple[str, p_values.Continuous], ...]:
    """Return the distributions that fans alone decide, by stable names."""
    return tuple(_named_distributions(fans))


def _named_distributions(fans: Fans) -> Iterator[tuple[str, p_values.Continuous]]:
    inputs, outputs = max(1, fans.fan_in), max(1, fans.fan_out)
    for name, limit in (
        ("glorot_uniform", glorot_limit(fans)),
        ("he_uniform", uniform_limit(2.0, inputs)),
        ("lecun_uniform", uniform_limit(1.0, inputs)),
        ("torch_linear", 1.0 / math.sqrt(inputs)),
        ("he_uniform_fan_out", uniform_limit(2.0, outputs)),
    ):
        yield name, Uniform(-limit, limit)
    spreads = (
        ("glorot_normal", "xavier_normal", math.sqrt(2.0 / (inputs + outputs))),
        ("he_normal", "kaiming_normal", math.sqrt(2.0 / inputs)),
        ("lecun_normal", "lecun_normal_untruncated", math.sqrt(1.0 / inputs)),
        ("he_normal_fan_out", "kaiming_normal_fan_out", math.sqrt(2.0 / outputs)),
    )
    for truncated, _, std in spreads:
        yield truncated, TruncatedNormal(0.0, std / TRUNCATED_STDDEV)
    for _, normal, std in spreads:
        yield normal, Normal(0.0, std)


def quality(
    distribution: p_values.Continuous, sketch: Sketch, dtype: str, least: float = LEAST
) -> float:
    """Return the least p-value of a distribution's tests, or the first below `least`."""
    precision = PRECISIONS[dtype]
    distribution = p_values.testable(distribution)
    n, low, high = sketch.moments.count, sketch.moments.minimum, sketch.moments.maximum
    if p_values.beyond(distribution, low, high, precision) is not None:
        return 0.0
    step, std = p_values.rounding(distribution, precision), distribution.std(())
    about = sketch.moments.about(distribution.mean(()))
    square = about.relative_square(std)
    slack = p_values.square_slack(step, std)
    # Far off by the variance of a normal distribution's square, which has the largest of all.
    if (abs(square - 1.0) - slack) * math.sqrt(n / 2.0) > 12.0 and n > 100:
        return 0.0
    widest = max(step, 2.0**-precision.fraction * max(-low, high))
    worst = p_values.extremes_chance(distribution, n, low, high, widest)
    if worst >= least:
        worst = min(worst, p_values.mean_chance(distribution, n, about.centre + about.offset, step))
    if worst >= least:
        worst = min(worst, p_values.square_chance(distribution, n, square, slack))
    if worst >= least:
        worst = min(worst, _distance_chance(distribution, sketch, step))
    return worst


def _distance_chance(distribution: p_values.Continuous, sketch: Sketch, step: float) -> float:
    gap = p_values.distance(distribution, sketch.ordered) - step * p_values.steepest(distribution)
    return p_values.distance_chance(sketch.ordered.size, gap)


def _free(sketch: Sketch, dtype: str) -> Iterator[Fit]:
    """Give the distributions that fit with the parameters that suit the elements best."""
    m = sketch.moments
    n, low, high = m.count, m.minimum, m.maximum
    mean, std = m.offset, m.spread
    if std == 0.0:
        return
    # A mean that chance explains is 0.
    centre = 0.0 if abs(mean) <= 5.0 * std / math.sqrt(n) else mean
    gap = (high - low) / max(1, n - 1)
    uniform = Uniform(low - gap, high + gap)
    if abs(low + high) <= -math.log(LEAST) * (high - low) / n:
        limit = max(-low, high)
        uniform = Uniform(-limit - gap / 2.0, limit + gap / 2.0)
    chance = min(_estimated(uniform, sketch, dtype), _edge_chance(sketch, dtype))
    if chance >= LEAST:
        ends = {"low": significant(uniform.low, 6), "high": significant(uniform.high, 6)}
        yield Fit("uniform", significant(chance, 3), ends)
    # The extremes know the stddev of many cut elements best, the spread that of few.
    middle = centre and (low + high) / 2.0
    # No limit is likely to be met to the last bit.
    beyond = 1.0 + min(0.1, 1.0 / n)
    reach = beyond * max(high - middle, middle - low) / 2.0
    wide = max(std / TRUNCATED_STDDEV, beyond * max(high - centre, centre - low) / 2.0)
    cut = [TruncatedNormal(middle, reach), TruncatedNormal(centre, wide)]
    chance, distribution = max(
        ((_cut_chance(distribution, sketch, dtype), distribution) for distribution in cut),
        key=lambda c: c[0],
    )
    if chance >= LEAST:
        yield _located("truncated_normal", chance, distribution)
    spread = Normal(centre, std)
    chance = _estimated(spread, sketch, dtype)
    if chance >= LEAST:
        yield _located("normal", chance, spread)


def _located(name: str, chance: float, distribution: Normal | TruncatedNormal) -> Fit:
    parameters = {
        "mean": significant(distribution.centre),
        "stddev": significant(distribution.stddev),
    }
    return Fit(name, significant(chance, 3), parameters)


def _cut_chance(distribution: TruncatedNormal, sketch: Sketch, dtype: str) -> float:
    chance = _estimated(distribution, sketch, dtype)
    if chance < LEAST:
        return chance
    m, std = sketch.moments, distribution.std(())
    square = m.about(distribution.centre).relative_square(std)
    slack = 2.0 * p_values.rounding(distribution, PRECISIONS[dtype]) / std
    return min(chance, p_values.square_chance(distribution, m.count, square, slack))


def _estimated(distribution: p_values.Continuous, sketch: Sketch, dtype: str) -> float:
    """Return the least p-value of the tests that do not look at what was estimated."""
    m, precision = sketch.moments, PRECISIONS[dtype]
    step = p_values.rounding(distribution, precision)
    worst = _distance_chance(distribution, sketch, step)
    if worst >= LEAST and not isinstance(distribution, Uniform):
        slack = max(step, 2.0**-precision.fraction * max(-m.minimum, m.maximum))
        worst = min(
            worst, p_values.extremes_chance(distribution, m.count, m.minimum, m.maximum, slack)
        )
    return worst


def _edge_chance(sketch: Sketch, dtype: str) -> float:
    """Bound the chance that so few uniform elements lie near the ends of their range.

    A uniform start that was trained a little has soft ends.
    """
    ordered, n = sketch.ordered, sketch.ordered.size
    low, high = float(ordered[0]), float(ordered[-1])
    step = 2.0 * 2.0 ** -PRECISIONS[dtype].fraction * max(-low, high)
    worst = 1.0
    for share in (0.001, 0.003, 0.01, 0.03, 0.1):
        width = share * (high - low)
        if width <= 4.0 * step:
            continue
        for count in (
            np.searchsorted(ordered, low + width),
            n - np.searchsorted(ordered, high - width),
        ):
            worst = min(worst, 10.0 * _binomial_chance(n, share, int(count)))
    return min(1.0, worst)


def _binomial_chance(n: int, share: float, count: int) -> float:
    """Bound the chance of so few of n elements where a share of them is expected (Chernoff)."""
    if count >= n * share:
        return 1.0
    part = count / n
    rate = (1.0 - part) * math.log((1.0 - part) / (1.0 - share))
    return math.exp(-n * (rate + (part * math.log(part / share) if part else 0.0)))
