"""Whether a tensor's elements could be drawn by the distribution that a plan has for it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from glorot_cli.distributions import (
    Constant,
    Derived,
    InverseSoftplus,
    LogUniform,
    Ones,
    Orthogonal,
    Patched,
    Pieces,
    Sparse,
)
from glorot_cli.dtypes import PRECISIONS
from glorot_cli.formats.stored import StoredTensor
from glorot_cli.goodness_of_fit.fit import Fit
from glorot_cli.goodness_of_fit.sketch import Sketch, quality
from glorot_cli.goodness_of_fit.structures import tells_orthogonal
from glorot_cli.placed import ByIndex, Values
from glorot_cli.plan import PlannedTensor
from glorot_cli.plan.holding import becomes_infinite, constants

# A tensor that is as its provenance claims is said to disagree with less than this chance a test.
LEAST_OF_A_CLAIM = 1e-6
# A standard deviation of so many smallest values lets less than 1 % round to 0.
_STEPS = 100.0


def agrees(
    planned: PlannedTensor, stored: StoredTensor, sketch: Sketch, fits: Sequence[Fit]
) -> bool | None:
    """Tell whether header and elements agree with the plan; None where statistics cannot say."""
    if stored.shape != planned.shape or stored.dtype != planned.dtype:
        return False
    distribution, names, m = (
        planned.distribution,
        {fit.distribution for fit in fits},
        sketch.moments,
    )
    if (
        m.inf
        and not m.nan
        and any(becomes_infinite(c, planned.dtype) for c in constants(distribution))
    ):
        return None
    if m.nan or m.inf:
        return False
    match distribution:
        case Patched(law=Constant(value=value), value=patch):
            return (m.minimum, m.maximum) == (min(value, patch), max(value, patch)) and _same(
                m.offset, distribution.mean(planned.shape), planned.dtype
            )
        case (
            Patched()
            | Pieces()
            | Derived()
            | LogUniform()
            | InverseSoftplus()
            | ByIndex()
            | Values()
        ):
            return None
        case Constant(value=value):
            return m.minimum == m.maximum and _same(m.minimum, value, planned.dtype)
        case Ones(gain=gain):
            return _same(m.minimum + m.maximum, gain, planned.dtype) and _same(
                m.offset, distribution.mean(planned.shape), planned.dtype
            )
        case Orthogonal():
            known = {"orthogonal", "delta_orthogonal"} & names
            return True if known else False if _is_told(distribution, planned) else None
        case Sparse():
            return True if "sparse" in names else False if _is_told(distribution, planned) else None
        case _:
            return quality(distribution, sketch, planned.dtype) >= LEAST_OF_A_CLAIM


def _is_told(distribution: Orthogonal | Sparse, planned: PlannedTensor) -> bool:
    """Tell whether a tensor has the size and the bits that make its structure known."""
    shape, dtype = planned.shape, planned.dtype
    precision = PRECISIONS[dtype]
    # Below its normal numbers a dtype has fewer bits, which breaks a structure.
    steps = max(_STEPS, 4.0 * 2.0**precision.fraction)
    if distribution.std(shape) < steps * precision.smallest:
        return False
    if isinstance(distribution, Sparse):
        rows, columns = shape
        return distribution.zeros > 0 and (rows - distribution.zeros) * columns > 1
    if distribution.delta:
        vectors, length = shape[-2:]
    else:
        side = shape[0] if distribution.first else shape[-1]
        vectors, length = sorted((side, math.prod(shape) // side))
    return vectors > 1 and tells_orthogonal(vectors, length, dtype)


def _same(found: float, expected: float, dtype: str) -> bool:
    precision = PRECISIONS.get(dtype)
    if precision is None:
        return abs(found - expected) <= 1e-6 * abs(expected)
    step = max(2.0**-precision.fraction, 1e-6) * abs(expected)
    return abs(found - expected) <= max(step, precision.smallest)
