"""Which known distributions a tensor's elements fit, and how well."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from glorot_cli.distributions import Normal, TruncatedNormal, Uniform
from glorot_cli.dtypes import PRECISIONS, numpy_dtype
from glorot_cli.fans import Fans, glorot_limit, uniform_limit
from glorot_cli.goodness_of_fit import p_values
from glorot_cli.goodness_of_fit.fit import Fit
from glorot_cli.goodness_of_fit.free import free_fits
from glorot_cli.goodness_of_fit.sketch import LEAST, Sketch, quality
from glorot_cli.initializers.keras import TRUNCATED_STDDEV
from glorot_cli.moments import Moments, significant

# Elements that agree in as many bits do so on purpose.
ENOUGH_BITS = 20


def fits(sketch: Sketch, named: Sequence[tuple[str, p_values.Continuous]], dtype: str) -> list[Fit]:
    """Return what is left of the distributions that a tensor could have, the best defined first."""
    m = sketch.moments
    if m.nan or m.inf:
        return []  # no start has any
    if m.minimum == m.maximum:
        found = [_constant(m.minimum)] if _is_constant(m, dtype) else []
        if found or dtype not in PRECISIONS:
            return found
    if dtype not in PRECISIONS:
        return []
    # Of a square kernel many distributions are the same.
    quality_of = functools.cache(lambda distribution: quality(distribution, sketch, dtype))
    found = []
    for name, distribution in named:
        chance = quality_of(distribution)
        if chance >= LEAST:
            found.append(Fit(name, significant(chance, 3), {}))
    return [*found, *free_fits(sketch, dtype)]


def _constant(value: float) -> Fit:
    name = {0.0: "zeros", 1.0: "ones"}.get(value, "constant")
    return Fit(name, 1.0, {"value": value} if name == "constant" else {})


def _is_constant(m: Moments, dtype: str) -> bool:
    """Tell whether equal elements, or a lone one, were meant to be so."""
    if dtype not in PRECISIONS or m.minimum in (0.0, 1.0):
        return True
    fraction = PRECISIONS[dtype].fraction
    if (m.count - 1) * (fraction + 1) >= ENOUGH_BITS:
        return True
    # A lone value that training left has more digits than a person writes.
    short = np.float64(f"{m.minimum:.3g}").astype(numpy_dtype(dtype))
    return fraction >= ENOUGH_BITS and float(short) == m.minimum


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


# The starts of Keras's and of torch's embeddings, which depend on no fans, so that few elements of
# any kernel could be theirs.
SMALLEST_EMBEDDING = 100
EMBEDDINGS: tuple[tuple[str, p_values.Continuous], ...] = (
    ("random_uniform", Uniform(-0.05, 0.05)),
    ("standard_normal", Normal(0.0, 1.0)),
)
