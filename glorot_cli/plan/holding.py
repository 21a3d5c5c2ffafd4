"""Whether a dtype can hold what a distribution draws, and what it loses of it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from glorot_cli.distributions import (
    Constant,
    Distribution,
    InverseSoftplus,
    LogUniform,
    Normal,
    Ones,
    Orthogonal,
    Patched,
    Pieces,
    Sparse,
    TruncatedNormal,
    Uniform,
    inverse_softplus,
    is_random,
)
from glorot_cli.dtypes import INTEGER_RANGES, PRECISIONS, Precision, numpy_dtype
from glorot_cli.fans import Shape
from glorot_cli.placed import ByIndex, Values

# No word of 32 bits is further out, in standard deviations of a normal distribution.
FARTHEST = 6.4
# Quantiles are good to 1e-7 standard deviations.
NARROWEST_CUT = 1e-5
# The native stream scales 32 bits by the limit.
SMALLEST_LIMIT = 2.0**-95
# Half a range is scaled by 2**-63 in float64, and has some bits left.
NARROWEST_RANGE = 2.0**-1000


def check_held(distribution: Distribution, shape: Shape, name: str, dtype: str) -> None:
    """Check that a dtype can hold what a distribution draws for a tensor of that name and shape.

    Raises:
        ValueError: if the dtype holds no such values.
    """
    if isinstance(distribution, Values) and dtype in INTEGER_RANGES:
        _check_whole(distribution, dtype)  # exactly, as no array of them is
        return
    if isinstance(distribution, ByIndex):
        # Few plans have one, and no other needs NumPy here.
        from glorot_cli.streams.fixed import check_values

        check_values(distribution.sample(shape), dtype)
        return
    if dtype in INTEGER_RANGES:
        _check_whole(distribution, dtype)
        return
    for value in constants(distribution):
        # A constant that becomes infinite may be meant, and is noticed.
        if not PRECISIONS[dtype].has_infinity and abs(value) > PRECISIONS[dtype].largest:
            raise ValueError(
                f"{value!r} is beyond the largest {_largest(dtype)}, which has no infinity"
            )
    match distribution:
        case Patched():
            check_held(distribution.law, shape, name, dtype)
        case Pieces():
            for law in dict.fromkeys(distribution.laws):
                check_held(law, distribution.kernel_shape(shape), name, dtype)
        case LogUniform(low=low, high=high):
            _check_scale("low", low, name, dtype)
            _check_range(low, high, dtype)
        case InverseSoftplus(of=of):
            _check_range(inverse_softplus(of.low), inverse_softplus(of.high), dtype)
        case Uniform():
            _check_uniform(distribution, name, dtype)
        case Normal(centre=centre, stddev=stddev):
            _check_scale("stddev", stddev, name, dtype)
            _check_normal(centre, stddev, dtype)
        case Sparse(stddev=stddev):
            # Its normals are float32 in every dtype.
            held = "float32" if dtype == "float64" else dtype
            _check_scale("stddev", stddev, name, held)
            _check_normal(0.0, stddev, held)
        case TruncatedNormal():
            _check_scale("stddev", distribution.stddev, name, dtype)
            _check_range(*_drawn_range(distribution), dtype)
        case Orthogonal(gain=gain):
            std = _element_std(distribution, shape)
            _check_scale("stddev", std, name, dtype)
            if not min(gain, FARTHEST * std) <= PRECISIONS[dtype].largest:
                raise ValueError(f"the gain {gain!r} is beyond the largest {_largest(dtype)}")


def _check_whole(distribution: Distribution, dtype: str) -> None:
    if is_random(distribution):
        raise ValueError(f"{dtype} holds constants only")
    low, high = INTEGER_RANGES[dtype]
    for value in constants(distribution):
        if value != math.floor(value) or not low <= value <= high:
            raise ValueError(f"{dtype} holds whole numbers from {low} to {high}, found {value!r}")


def _check_uniform(distribution: Uniform, name: str, dtype: str) -> None:
    limit = distribution.limit
    if limit is not None and limit < SMALLEST_LIMIT:
        raise ValueError(f"the limit {limit!r} of {name} is too small for {dtype}")
    low, high = distribution.low, distribution.high
    if limit is not None:
        _check_scale("limit", limit, name, dtype)
    elif distribution.half < PRECISIONS[dtype].smallest:
        raise ValueError(f"{name}: {dtype} has no values from {low!r} to {high!r}, or only 0")
    elif distribution.half < NARROWEST_RANGE:
        raise ValueError(f"the range {low!r} to {high!r} of {name} is too narrow for {dtype}")
    _check_range(low, high, dtype)


def _check_scale(what: str, scale: float, name: str, dtype: str) -> None:
    if not scale >= PRECISIONS[dtype].smallest:
        raise ValueError(f"the {what} {scale!r} of {name} is too small for {dtype}")


def _check_normal(centre: float, stddev: float, dtype: str) -> None:
    if not abs(centre) + FARTHEST * stddev <= PRECISIONS[dtype].largest:
        raise ValueError(
            f"the mean {centre!r} and {FARTHEST} times the stddev {stddev!r} lie beyond the "
            f"largest {_largest(dtype)}"
        )


def _check_range(low: float, high: float, dtype: str) -> None:
    if not max(-low, high) <= PRECISIONS[dtype].largest:
        raise ValueError(f"the range {low!r} to {high!r} is beyond the largest {_largest(dtype)}")


def _largest(dtype: str) -> str:
    return f"{dtype}, {PRECISIONS[dtype].largest!r}"


def _drawn_range(distribution: TruncatedNormal) -> tuple[float, float]:
    """Return the bounds of a cut, or where the normal distribution ends before them."""
    low, high = max(distribution.low, -FARTHEST), min(distribution.high, FARTHEST)
    centre, stddev = distribution.centre, distribution.stddev
    return centre + stddev * low, centre + stddev * high


def _element_std(distribution: Orthogonal, shape: Shape) -> float:
    """Return the standard deviation of the elements that a delta does not leave at 0."""
    if distribution.delta:
        return distribution.gain / math.sqrt(shape[-1])
    return distribution.std(shape)


def constants(distribution: Distribution) -> Iterator[float]:
    """Give the values that a distribution holds as they are."""
    match distribution:
        case Constant(value=value) | Ones(gain=value):
            yield value
        case Patched():
            yield distribution.value
            yield from constants(distribution.law)
        case Pieces():
            for law in dict.fromkeys(distribution.laws):
                yield from constants(law)
        case Values():
            yield from distribution.numbers


def losses(distribution: Distribution, shape: Shape, dtype: str) -> Iterator[tuple[str, str]]:
    """Say what a floating dtype loses of a distribution that it can hold, each with its topic."""
    precision = PRECISIONS.get(dtype)
    if precision is None:
        return
    whole = distribution.law if isinstance(distribution, Patched) else distribution
    if isinstance(whole, Pieces):
        kernel = whole.kernel_shape(shape)
        found = [each for law in dict.fromkeys(whole.laws) for each in losses(law, kernel, dtype)]
        # Of each topic, what is true of the first kernel.
        yield from dict(reversed(found)).items()
        return
    for value in constants(distribution):
        if value != 0.0 and abs(value) < precision.smallest and _rounded(value, dtype) == 0.0:
            yield "zero", f"{value!r} rounds to 0 in {dtype}"
            break
    for value in constants(distribution):
        if becomes_infinite(value, dtype):
            yield "infinite", f"{value!r} becomes infinite in {dtype}"
            break
    drawn = _as_drawn(distribution, shape)
    if drawn is None:
        return
    zeros = _share_of_zeros(drawn, precision)
    if zeros > 0.01:
        yield (
            "zeros",
            f"{zeros:.1%} of the elements round to 0 in {dtype}; "
            "scale the weights up, or choose another dtype",
        )
    if isinstance(drawn, TruncatedNormal) and drawn.high - drawn.low < NARROWEST_CUT:
        low, high = _drawn_range(drawn)
        yield (
            "narrow",
            f"the range {low!r} to {high!r} is narrow beside the stddev {drawn.stddev!r}, of which "
            "elements are drawn to 1e-7: many lie on the bounds",
        )
        return
    centre = drawn.mean(shape)
    spread = drawn.half if isinstance(drawn, Uniform) else drawn.stddev
    if centre != 0.0 and (step := _step(centre, precision)) > spread:
        yield (
            "step",
            f"{dtype} has steps of {step:.3g} at the mean {centre:.4g}, wider than the "
            f"spread {spread:.3g}: most elements are equal",
        )


def becomes_infinite(value: float, dtype: str) -> bool:
    """Tell whether a dtype rounds a constant to infinity."""
    precision = PRECISIONS.get(dtype)
    beyond = precision is not None and abs(value) > precision.largest
    return beyond and math.isinf(_rounded(value, dtype))


def _rounded(value: float, dtype: str) -> float:
    # The cast to bfloat16 rounds twice, so that half a step alone does not tell.
    import numpy as np

    with np.errstate(over="ignore"):
        return float(np.array(float(value)).astype(numpy_dtype(dtype)))


def _as_drawn(
    distribution: Distribution, shape: Shape
) -> Uniform | Normal | TruncatedNormal | None:
    """Return the continuous distribution of the elements that are drawn, if any are."""
    match distribution:
        case Patched():
            return _as_drawn(distribution.law, shape)
        case Orthogonal():
            return Normal(0.0, _element_std(distribution, shape))
        case Sparse(stddev=stddev):
            return Normal(0.0, stddev)
        case Uniform() | Normal() | TruncatedNormal():
            return distribution
        case _:
            return None


def _step(value: float, precision: Precision) -> float:
    """Return the distance between neighbours of a precision at a value."""
    exponent = math.frexp(value)[1] - 1
    return max(math.ldexp(1.0, exponent - precision.fraction), precision.smallest)


def _share_of_zeros(
    distribution: Uniform | Normal | TruncatedNormal, precision: Precision
) -> float:
    """Return how much of a distribution lies within half the smallest value of 0."""
    width = precision.smallest / 2.0
    if isinstance(distribution, Uniform):
        overlap = min(distribution.high, width) - max(distribution.low, -width)
        return max(0.0, overlap / 2.0) / distribution.half
    if distribution.stddev > 1000.0 * width:
        return 0.0  # less than a thousandth, without the arithmetic
    low, high = ((end - distribution.centre) / distribution.stddev for end in (-width, width))
    if isinstance(distribution, Normal):
        return _mass(low, high)
    cut = distribution.low, distribution.high
    whole = _mass(*cut)
    return _mass(max(low, cut[0]), min(high, cut[1])) / whole if whole else 0.0


def _mass(low: float, high: float) -> float:
    return max(0.0, math.erf(high / math.sqrt(2.0)) - math.erf(low / math.sqrt(2.0))) / 2.0
