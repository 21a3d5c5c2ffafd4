"""What a plan tells its user unasked: limits that two rules disagree on, dtypes too coarse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from glorot_cli.distributions import Normal, Orthogonal, TruncatedNormal, Uniform, leaves
from glorot_cli.errors import shown
from glorot_cli.fans import Shape
from glorot_cli.plan.holding import losses
from glorot_cli.plan.tensors import PlannedTensor


def notices(tensors: Sequence[PlannedTensor]) -> Iterator[str]:
    """Give each thing to say once for each kind of layer, with how many tensors it is true of."""
    messages: dict[tuple[str, str], str] = {}
    counts: Counter[tuple[str, str]] = Counter()
    # Repetitions share what decided them, and so what there is to say of them.
    said: dict[tuple[int, int, int, Shape, str], tuple[tuple[str, str], ...]] = {}
    for tensor in tensors:
        decided = id(tensor.distribution), id(tensor.arguments), len(tensor.steps)
        same = *decided, tensor.shape, tensor.dtype
        if same not in said:
            said[same] = tuple(_of(tensor))
        for topic, message in said[same]:
            key = (topic, tensor.family if tensor.is_raw else tensor.kind)
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
        for each, other in zip(leaves(law), leaves(exact_law), strict=False):
            if not isinstance(each, Uniform | Normal | TruncatedNormal):
                continue
            scale, exact_scale = _scale(each), _scale(other)
            if abs(scale - exact_scale) <= 0.01 * exact_scale:
                continue
            name = "limit" if isinstance(each, Uniform) else "stddev"
            yield (
                "fans",
                f"the framework's fans {tuple(tensor.fans)} give the {name} {scale:.4g}, "
                f"exact fans {tuple(exact_fans)} give {exact_scale:.4g}; choose with fans: exact",
            )
            break
    for step in tensor.steps:
        if step.kind == "notice":
            yield "step", step.text
    if any(isinstance(each, Orthogonal) for each in leaves(law)):
        yield (
            "orthogonal",
            "orthogonal kernels have the same bits only with the same BLAS library",
        )
    yield from losses(law, tensor.shape, tensor.dtype)


def _scale(law: object) -> float:
    if isinstance(law, Uniform):
        return law.high
    assert isinstance(law, Normal | TruncatedNormal)
    return law.stddev
