"""Distributions whose parameters are estimated from the elements: uniform, normal, truncated."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from glorot_cli.distributions import Normal, TruncatedNormal, Uniform
from glorot_cli.dtypes import PRECISIONS, Array
from glorot_cli.goodness_of_fit import p_values
from glorot_cli.goodness_of_fit.fit import Fit
from glorot_cli.goodness_of_fit.sketch import (
    LEAST,
    MANY,
    Sketch,
    distance_chance,
    gap,
    tail_chance,
)
from glorot_cli.moments import significant

# Below this a plain normal distribution is no rival of a truncated one.
_REJECTED = 1e-4
_EDGES = (0.001, 0.003, 0.01, 0.03, 0.1)


def free_fits(sketch: Sketch, dtype: str) -> Iterator[Fit]:
    """Give the distributions that fit with the parameters that suit the elements best.

    Fewer than MANY elements look like one of them whatever they are.
    """
    m = sketch.moments
    n, low, high = m.count, m.minimum, m.maximum
    mean, std = m.offset, m.spread
    if n < MANY or std == 0.0 or not math.isfinite(high - low):
        return
    space = (high - low) / (n - 1)
    uniform = Uniform(low - space, high + space)
    if abs(low + high) <= 14.0 * (high - low) / n:
        limit = max(-low, high)
        uniform = Uniform(-limit - space / 2.0, limit + space / 2.0)
    chance = _bounded_chance(uniform, sketch, dtype)
    if chance >= LEAST:
        ends = {"low": significant(uniform.low, 6), "high": significant(uniform.high, 6)}
        yield Fit("uniform", significant(chance, 3), ends)
    spread = Normal(mean, std)
    rival = _normal_chance(spread, sketch, dtype)
    if rival < _REJECTED and chance < _REJECTED:
        yield from _truncated(sketch, dtype)
    if rival >= LEAST:
        # A mean that chance explains is 0.
        centre = 0.0 if abs(mean) <= 5.0 * std / math.sqrt(n) else mean
        parameters = {"mean": significant(centre), "stddev": significant(std)}
        yield Fit("normal", significant(rival, 3), parameters)


def _normal_chance(normal: Normal, sketch: Sketch, dtype: str) -> float:
    m, precision = sketch.moments, PRECISIONS[dtype]
    step = p_values.rounding(normal, precision)
    slack = max(step, 2.0**-precision.fraction * max(-m.minimum, m.maximum))
    return min(
        p_values.estimated_normal_chance(sketch.ordered.size, gap(normal, sketch, step)),
        p_values.extremes_chance(normal, m.count, m.minimum, m.maximum, slack),
        tail_chance(normal, sketch, precision, skewed=True),
    )


def _bounded_chance(bounded: Uniform | TruncatedNormal, sketch: Sketch, dtype: str) -> float:
    precision = PRECISIONS[dtype]
    worst = distance_chance(bounded, sketch, p_values.rounding(bounded, precision))
    if worst >= LEAST:
        worst = min(worst, _edge_chance(bounded, sketch, dtype))
    if worst >= LEAST:
        worst = min(worst, tail_chance(bounded, sketch, precision, skewed=True))
    return worst


def _truncated(sketch: Sketch, dtype: str) -> Iterator[Fit]:
    """Give the normal distribution that is cut at the elements' extremes, if it fits.

    Its parameters are the likeliest. A spread beyond the range would be a uniform distribution's.
    """
    m = sketch.moments
    middle, half = (m.minimum + m.maximum) / 2.0, (m.maximum - m.minimum) / 2.0
    about = m.about(middle)
    first, second = about.offset / half, about.relative_square(half)
    # Extremes that are as far from 0, but for their chance, are cuts about 0.
    symmetric = abs(middle) <= 14.0 * half / m.count**0.5 and abs(first) <= 5.0 * math.sqrt(
        second / m.count
    )
    slope, bend = _likeliest(0.0 if symmetric else first, second)
    if not -200.0 < bend < -1.0 / 16.0:
        return
    stddev = half / math.sqrt(-2.0 * bend)
    centre = 0.0 if symmetric else middle - half * slope / (2.0 * bend)
    space = half / m.count
    low, high = m.minimum - space, m.maximum + space
    if symmetric:
        high = max(-low, high)
        low = -high
    cut = TruncatedNormal(centre, stddev, (low - centre) / stddev, (high - centre) / stddev)
    if not -8.0 < cut.low < 1.0 or not -1.0 < cut.high < 8.0:
        return
    chance = _bounded_chance(cut, sketch, dtype)
    if chance >= LEAST:
        parameters = {"mean": centre, "stddev": stddev, "low": low, "high": high}
        rounded = {name: significant(value) for name, value in parameters.items()}
        yield Fit("truncated_normal", significant(chance, 3), rounded)


def _likeliest(first: float, second: float) -> tuple[float, float]:
    """Return a and b of the density exp(a x + b x**2) on [-1, 1] that has these moments.

    Newton's method, whose steps are halved until the convex function that it minimises falls.
    """
    nodes, weights = np.polynomial.legendre.leggauss(96)
    features = np.stack((nodes, nodes * nodes))
    target = np.array((first, second))
    at = np.array((0.0, -0.5))

    def loss(at: Array) -> tuple[float, Array]:
        exponents = at @ features
        top = float(exponents.max())
        density = weights * np.exp(exponents - top)
        total = float(density.sum())
        return top + math.log(total) - float(at @ target), density / total

    value, density = loss(at)
    for _ in range(60):
        means = features @ density
        slopes = np.cov(features, aweights=density, ddof=0) + 1e-12 * np.eye(2)
        step = np.linalg.solve(slopes, target - means)
        step *= min(1.0, 50.0 / max(1e-300, float(np.abs(step).max())))
        found, new = loss(at + step)
        while found > value and float(np.abs(step).max()) > 1e-9:
            step /= 2.0
            found, new = loss(at + step)
        at, value, density = at + step, found, new
        if float(np.abs(step).max()) < 1e-7:
            break
    return float(at[0]), float(at[1])


def _edge_chance(bounded: Uniform | TruncatedNormal, sketch: Sketch, dtype: str) -> float:
    """Bound the chance that so few elements lie near the ends of their range.

    A bounded start that was trained a little has soft ends.
    """
    ordered, n = sketch.ordered, sketch.ordered.size
    low, high = float(ordered[0]), float(ordered[-1])
    step = 2.0 * 2.0 ** -PRECISIONS[dtype].fraction * max(-low, high)
    worst = 1.0
    for share in _EDGES:
        width = share * (high - low)
        if width <= 4.0 * step:
            continue
        for chance, count in (
            (p_values.below(bounded, low + width), np.searchsorted(ordered, low + width)),
            (p_values.above(bounded, high - width), n - np.searchsorted(ordered, high - width)),
        ):
            worst = min(worst, 2.0 * len(_EDGES) * _binomial_chance(n, chance, int(count)))
    return min(1.0, worst)


def _binomial_chance(n: int, share: float, count: int) -> float:
    """Bound the chance of so few of n elements where a share of them is expected (Chernoff)."""
    if count >= n * share or share >= 1.0:
        return 1.0
    part = count / n
    rate = (1.0 - part) * math.log((1.0 - part) / (1.0 - share))
    return math.exp(-n * (rate + (part * math.log(part / share) if part else 0.0)))
