"""What a plan tells its user unasked: limits that two rules disagree on, dtypes too coarse."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from glorot_cli.distributions import Normal, Orthogonal, TruncatedNormal, Uniform
from glorot_cli.dtypes import PRECISIONS
from glorot_cli.errors import shown
from glorot_cli.plan.tensors import RAW, PlannedTensor


def notices(tensors: Sequence[PlannedTensor]) -> Iterator[str]:
    """Give each thing to say once for each kind of layer, with how many tensors it is true of."""
    messages: dict[tuple[str, str], str] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for tensor in tensors:
        for topic, message in _of(tensor):
            key = (topic, tensor.family if tensor.kind == RAW else tensor.kind)
            if key not in messages:
                messages[key] = shown(tensor.name).strip("'") + "{more}: " + message
            counts[key] += 1
    for key, message in messages.items():
        more = f" (and {counts[key] - 1} more)" if counts[key] > 1 else ""
        yield message.replace("{more}", more)


def _of(tensor: PlannedTensor) -> Iterator[tuple[str, str]]:
    law = tensor.distribution
    if tensor.exact is not None and tensor.fans is not None:
        exact_fans, exact_law = tensor.exact
        scale, exact_scale = _scale(law), _scale(exact_law)
        if abs(scale - exact_scale) > 0.01 * exact_scale:
            name = "limit" if isinstance(law, Uniform) else "stddev"
            yield (
                "fans",
                f"the framework's fans {tuple(tensor.fans)} give the {name} {scale:.4g}, "
                f"exact fans {tuple(exact_fans)} give {exact_scale:.4g}; choose with fans: exact",
            )
    for step in tensor.steps:
        if step.startswith("note: "):
            yield "step", step.removeprefix("note: ")
    if isinstance(law, Orthogonal):
        yield (
            "orthogonal",
            "orthogonal kernels have the same bits only with the same BLAS library",
        )
    if tensor.dtype.startswith("float8") and isinstance(law, Uniform | Normal | TruncatedNormal):
        # Half the smallest value rounds to 0.
        zeros = _share_within(law, PRECISIONS[tensor.dtype].smallest / 2.0)
        if zeros > 0.01:
            yield (
                "float8",
                f"{zeros:.1%} of the elements round to 0 in {tensor.dtype}; "
                "scale the weights up, or choose another dtype",
            )


def _share_within(law: Uniform | Normal | TruncatedNormal, width: float) -> float:
    """Return how much of a law lies within `width` of 0."""
    if isinstance(law, Uniform):
        overlap = min(law.high, width) - max(law.low, -width)
        return max(0.0, overlap) / (law.high - law.low)
    ends = [(bound - law.centre) / law.stddev for bound in (-width, width)]
    if isinstance(law, Normal):
        return _mass(*ends)
    low, high = (min(max(end, law.low), law.high) for end in ends)
    return _mass(low, high) / _mass(law.low, law.high)


def _mass(low: float, high: float) -> float:
    return (math.erf(high / math.sqrt(2.0)) - math.erf(low / math.sqrt(2.0))) / 2.0


def _scale(law: object) -> float:
    if isinstance(law, Uniform):
        return law.high
    assert isinstance(law, Normal | TruncatedNormal)
    return law.stddev
