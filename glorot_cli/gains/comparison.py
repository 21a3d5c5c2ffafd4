"""What other initialisers would do on a spec's own network: limits, gains and measured spreads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from glorot_cli.arguments import InitializerChoice
from glorot_cli.distributions import Distribution, is_random
from glorot_cli.errors import GlorotError, SpecError, shown
from glorot_cli.gains.chain import make_chain
from glorot_cli.gains.layers import Spread, push
from glorot_cli.initializers import Kernel, decide
from glorot_cli.plan import Plan, PlannedTensor

SPEC = "spec"


@dataclass(frozen=True, slots=True)
class Column:
    """Hold what one initialiser means for one kernel.

    The gains are fan_in and fan_out times the variance (Glorot and Bengio, 2010); their products go
    from the first kernel on, and from the last one back.
    """

    initializer: str
    distribution: Distribution
    std: float
    forward: float
    backward: float
    forward_product: float = 1.0
    backward_product: float = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """Hold a kernel, and what each initialiser means for it, the spec's own first."""

    tensor: PlannedTensor
    columns: list[Column]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Hold a comparison: the initialisers' names, a row for each kernel, and what a batch measured.

    `spreads` has a list for each initialiser, of the layers that the batch went through.
    """

    names: list[str]
    rows: list[Row]
    batch: int | None = None
    spreads: list[list[Spread]] | None = None


def compare(plan: Plan, names: Sequence[str], batch: int | None = None) -> Comparison:
    """Compare a spec's own laws with those of other initialisers.

    With `batch`, as many random examples are pushed forward and backward through the network.

    Raises:
        GlorotError: if a name is no initialiser for these kernels, or the network cannot be run.
    """
    kernels = [t for t in plan.tensors if _is_kernel(t)]
    if not kernels:
        raise GlorotError("the spec has no random kernels to compare")
    laws = [{tensor.name: tensor for tensor in kernels}]
    laws += [{tensor.name: _changed(tensor, name) for tensor in kernels} for name in names]
    table = [[_column(each[tensor.name]) for each in laws] for tensor in kernels]
    for index in range(len(laws)):
        _multiply(table, index)
    rows = [Row(tensor, columns) for tensor, columns in zip(kernels, table, strict=True)]
    spreads = None
    if batch is not None:
        spreads = []
        for law in laws:
            chain = make_chain(plan, lambda t, law=law: law.get(t.name, t))  # type: ignore[misc]
            spreads.append(push(chain.steps, chain.batch(batch, plan.seed), seed=plan.seed))
    return Comparison([SPEC, *names], rows, batch, spreads)


def _is_kernel(tensor: PlannedTensor) -> bool:
    random = is_random(tensor.distribution) and not tensor.kind.startswith("Embedding")
    return tensor.fans is not None and len(tensor.shape) > 1 and random


def _changed(tensor: PlannedTensor, name: str) -> PlannedTensor:
    """Give a kernel the law of another initialiser, for the same fans."""
    assert tensor.fans is not None
    kernel = Kernel(tuple(tensor.fans), "IO", 1, "exact")
    try:
        decided = decide(InitializerChoice(name, ()), kernel, {})
    except SpecError as error:
        raise GlorotError(f"--compare: {error.message}; for {shown(tensor.name)}") from None
    return tensor._replace(initializer=decided.name, distribution=decided.distribution)


def _column(tensor: PlannedTensor) -> Column:
    assert tensor.fans is not None
    std = tensor.distribution.std(tensor.shape)
    variance = std * std
    return Column(
        tensor.initializer,
        tensor.distribution,
        std,
        tensor.fans.fan_in * variance,
        tensor.fans.fan_out * variance,
    )


def _multiply(table: list[list[Column]], index: int) -> None:
    """Fill in the products of the gains through the depth."""
    forward = backward = 1.0
    for columns in table:
        forward *= columns[index].forward
        columns[index] = replace(columns[index], forward_product=forward)
    for columns in reversed(table):
        backward *= columns[index].backward
        columns[index] = replace(columns[index], backward_product=backward)
