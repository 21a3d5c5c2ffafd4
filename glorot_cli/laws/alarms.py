"""What speaks against a law: limits, range, mean, variance and distribution of its elements."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from glorot_cli.distributions import Orthogonal, Sparse
from glorot_cli.dtypes import PRECISIONS
from glorot_cli.laws import chances
from glorot_cli.moments import Moments

Array = np.ndarray[Any, np.dtype[Any]]
Test = Literal[
    "finite", "limit", "constant", "value", "range", "mean", "variance", "distribution",
    "orthogonal", "zeros", "identical", "shared",
]  # fmt: skip


class Alarm(NamedTuple):
    """Name a test that a tensor fails, what was found, and the chance of it on a good tensor."""

    test: Test
    message: str
    chance: float


def law_alarms(
    law: chances.Law, moments: Moments, sample: Array, dtype: str, threshold: float
) -> Iterator[Alarm]:
    """Give the tests of a law that elements fail, given their moments about its mean."""
    n, low, high = moments.count, moments.minimum, moments.maximum
    if not (math.isfinite(low) and math.isfinite(high)):
        found = "NaN" if math.isnan(low) or math.isnan(high) else "infinity"
        yield Alarm("finite", f"found {found}", 0.0)
        return
    precision = PRECISIONS[dtype]
    if low == high and n * (precision.fraction + 1) >= 60:
        yield Alarm("constant", f"every element is {low:.6g}", 0.0)
        return
    step = chances.rounding(law, precision)
    beyond = chances.beyond(law, low, high, precision)
    if beyond is not None:
        least, most = chances.bounds(law)
        text = f"{beyond:.6g} is beyond the limits {least:.6g} to {most:.6g}"
        yield Alarm("limit", text, 0.0)
    else:
        slack = max(step, 2.0**-precision.fraction * max(-low, high))
        chance = chances.extremes_chance(law, n, low, high, slack)
        if chance < threshold:
            text = f"{low:.4g} to {high:.4g} is no range of {n:,} elements"
            yield Alarm("range", text, chance)
    std = law.std(())
    mean = moments.centre + moments.total / n
    chance = chances.mean_chance(law, n, mean, step)
    if chance < threshold:
        yield Alarm("mean", f"expected {law.mean(()):.4g}, found {mean:.4g}", chance)
    square = moments.squares / n / std**2
    chance = chances.square_chance(law, n, square, 2.0 * step / std + (step / std) ** 2)
    if chance < threshold:
        text = f"expected std {std:.4g}, found {std * math.sqrt(square):.4g}"
        yield Alarm("variance", text, chance)
    gap = chances.distance(law, np.sort(sample)) - step * chances.steepest(law)
    chance = chances.distance_chance(sample.size, gap)
    if chance < threshold:
        yield Alarm("distribution", f"Kolmogorov-Smirnov distance {max(gap, 0.0):.3g}", chance)


def orthogonal_alarms(law: Orthogonal, values: Array, dtype: str) -> Iterator[Alarm]:
    """Check that the shorter side's vectors are orthogonal and of length gain, up to rounding."""
    shape = values.shape
    if not np.isfinite(values).all():
        yield Alarm("finite", "found NaN or infinity", 0.0)
        return
    if law.delta:
        centre = tuple((size - 1) // 2 for size in shape[:-2])
        rest = np.count_nonzero(values) - np.count_nonzero(values[centre])
        if rest:
            yield Alarm("zeros", f"{rest:,} elements off the centre are not 0", 0.0)
        values = values[centre]
    matrix = values.reshape(shape[0], -1) if law.first else values.reshape(-1, values.shape[-1])
    matrix = matrix if matrix.shape[0] < matrix.shape[1] else matrix.T
    products = matrix.astype(np.float64) @ matrix.T.astype(np.float64) / law.gain**2
    off = float(np.abs(products - np.eye(len(products))).max())
    if off > 2.0 * 2.0 ** -PRECISIONS[dtype].fraction + 1e-5:
        yield Alarm("orthogonal", f"products of its vectors are off by {off:.3g} gain**2", 0.0)


def zero_alarms(law: Sparse, values: Array) -> Iterator[Alarm]:
    """Check that each column has the zeros that a sparse law asks for."""
    counts = np.count_nonzero(values == 0.0, axis=0)
    wrong = int(np.count_nonzero(counts < law.zeros))
    if wrong:
        yield Alarm("zeros", f"{wrong:,} columns have fewer than {law.zeros} zeros", 0.0)
