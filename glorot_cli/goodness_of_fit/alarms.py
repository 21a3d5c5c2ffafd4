"""Alarms: the tests that a tensor's elements fail, given the distribution that a spec states."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from glorot_cli.distributions import Orthogonal, Sparse
from glorot_cli.dtypes import PRECISIONS, Array
from glorot_cli.goodness_of_fit import p_values
from glorot_cli.moments import Moments

Test = Literal[
    "finite", "limit", "constant", "value", "range", "mean", "variance", "distribution",
    "orthogonal", "zeros", "identical", "shared",
]  # fmt: skip


class Alarm(NamedTuple):
    """Name a test that a tensor fails, what was found, and the chance of it on a good tensor."""

    test: Test
    message: str
    chance: float


def distribution_alarms(
    distribution: p_values.Continuous, moments: Moments, sample: Array, dtype: str, threshold: float
) -> Iterator[Alarm]:
    """Give the tests of a distribution that elements fail, given their moments about its mean."""
    distribution = p_values.testable(distribution)
    n, low, high = moments.count, moments.minimum, moments.maximum
    if moments.nan or moments.inf:
        yield Alarm("finite", f"found {moments.others}", 0.0)
        return
    precision = PRECISIONS[dtype]
    step = p_values.rounding(distribution, precision)
    if low == high and n * (precision.fraction + 1) >= 60:
        chance = p_values.equal_chance(distribution, n, low, step)
        if chance < threshold:
            yield Alarm("constant", f"every element is {low:.6g}", chance)
            return
    beyond = p_values.beyond(distribution, low, high, precision)
    if beyond is not None:
        least, most = p_values.bounds(distribution)
        text = f"{beyond:.6g} is beyond the limits {least:.6g} to {most:.6g}"
        yield Alarm("limit", text, 0.0)
    else:
        slack = max(step, 2.0**-precision.fraction * max(-low, high))
        chance = p_values.extremes_chance(distribution, n, low, high, slack)
        if chance < threshold:
            text = f"{low:.4g} to {high:.4g} is no range of {n:,} elements"
            yield Alarm("range", text, chance)
    std = distribution.std(())
    mean = moments.centre + moments.offset
    chance = p_values.mean_chance(distribution, n, mean, step)
    if chance < threshold:
        yield Alarm("mean", f"expected {distribution.mean(()):.4g}, found {mean:.4g}", chance)
    square = moments.relative_square(std)
    chance = p_values.square_chance(distribution, n, square, p_values.square_slack(step, std))
    if chance < threshold:
        text = f"expected std {std:.4g}, found {std * math.sqrt(square):.4g}"
        yield Alarm("variance", text, chance)
    gap = p_values.distance(distribution, np.sort(sample)) - step * p_values.steepest(distribution)
    chance = p_values.distance_chance(sample.size, gap)
    if chance < threshold:
        yield Alarm("distribution", f"Kolmogorov-Smirnov distance {max(gap, 0.0):.3g}", chance)


def orthogonal_alarms(distribution: Orthogonal, values: Array, dtype: str) -> Iterator[Alarm]:
    """Check that the shorter side's vectors are orthogonal and of length gain, up to rounding."""
    shape = values.shape
    if not np.isfinite(values).all():
        yield Alarm("finite", "found NaN or infinity", 0.0)
        return
    if distribution.delta:
        centre = tuple((size - 1) // 2 for size in shape[:-2])
        rest = np.count_nonzero(values) - np.count_nonzero(values[centre])
        if rest:
            yield Alarm("zeros", f"{rest:,} elements off the centre are not 0", 0.0)
        values = values[centre]
    matrix = (
        values.reshape(shape[0], -1) if distribution.first else values.reshape(-1, values.shape[-1])
    )
    matrix = matrix if matrix.shape[0] < matrix.shape[1] else matrix.T
    matrix = matrix.astype(np.float64) / distribution.gain
    products = matrix @ matrix.T
    off = float(np.abs(products - np.eye(len(products))).max())
    # Elements below the dtype's normal numbers are rounded to steps of the smallest.
    coarse = PRECISIONS[dtype].smallest * math.sqrt(matrix.shape[1]) / distribution.gain
    if off > 2.0 * 2.0 ** -PRECISIONS[dtype].fraction + 1e-5 + 2.0 * coarse + coarse * coarse:
        yield Alarm("orthogonal", f"products of its vectors are off by {off:.3g} gain**2", 0.0)


def zero_alarms(distribution: Sparse, values: Array) -> Iterator[Alarm]:
    """Check that each column has the zeros that a sparse distribution asks for."""
    counts = np.count_nonzero(values == 0.0, axis=0)
    wrong = int(np.count_nonzero(counts < distribution.zeros))
    if wrong:
        yield Alarm("zeros", f"{wrong:,} columns have fewer than {distribution.zeros} zeros", 0.0)
