"""What a layer declares of its weights, said in one way for glorot and for a framework."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

from glorot_cli import Plan, PlannedTensor, draw
from glorot_cli.distributions import (
    Normal,
    Orthogonal,
    Patched,
    TruncatedNormal,
    Uniform,
    is_random,
)
from tests.interop.cases import Shape


class Draw(NamedTuple):
    """Say what a random initialiser came to: its law, and the fans if it asked."""

    law: str
    first: float
    second: float
    fans: tuple[int, int] | None


class Tensor(NamedTuple):
    """Say what a layer declares of one weight; `values` are runs of equal numbers or draws."""

    name: str
    shape: Shape
    dtype: str
    trainable: bool
    values: list[tuple[float | Draw, int]]


class Layer(NamedTuple):
    """Say all of a layer that glorot and Keras must agree on."""

    tensors: list[Tensor]
    output: Shape


def runs(values: list[Any]) -> list[tuple[float | Draw, int]]:
    """Count equal neighbours."""
    return [(value, len(list(group))) for value, group in groupby(values)]


def planned(plan: Plan) -> list[Tensor]:
    """Say what a plan holds."""
    return [Tensor(t.name, t.shape, t.dtype, t.trainable, _values(plan, t)) for t in plan.tensors]


def _values(plan: Plan, tensor: PlannedTensor) -> list[tuple[float | Draw, int]]:
    law = tensor.distribution
    if not is_random(law):
        return runs(draw(plan, tensor.name).astype(float).ravel().tolist())
    values: list[Any] = [_draw(law, tensor)] * tensor.parameters
    if isinstance(law, Patched):
        values[law.start : law.stop] = [law.value] * (law.stop - law.start)
    return runs(values)


def _draw(law: Any, tensor: PlannedTensor) -> Draw:
    by_fans = ("glorot", "he_", "lecun", "variance")
    fans = tensor.fans if tensor.initializer.startswith(by_fans) else None
    match law:
        case Patched(law=inner):
            return _draw(inner, tensor)
        case Uniform(low=low, high=high):
            return Draw("uniform", low, high, fans)
        case Normal(centre=centre, stddev=stddev):
            return Draw("normal", centre, stddev, fans)
        case TruncatedNormal(centre=centre, stddev=stddev):
            return Draw("truncated_normal", centre, stddev, fans)
        case Orthogonal(gain=gain):
            return Draw("orthogonal", gain, 0.0, None)
    raise AssertionError(law)
