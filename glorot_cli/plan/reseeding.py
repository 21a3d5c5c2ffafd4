"""The plan of another seed: what it decides is made anew, and the rest shared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from glorot_cli.plan.planner import make_plan
from glorot_cli.plan.tensors import Plan, PlannedTensor
from glorot_cli.spec.model import load_spec


def reseeded(plan: Plan, seed: int) -> Plan:
    """Return the plan that the same spec has with another seed.

    Raises:
        SpecError: if the stream does not take it.
    """
    if seed == plan.seed:
        return plan
    if plan.has_one_seed:
        tensors = _with_seed(plan.tensors, seed)
        # Most plans hold nothing that stands in them only.
        is_all = len(plan.entries) == len(tensors)
        entries = tensors if is_all else _with_seed(plan.entries, seed)
    else:
        made = make_plan(load_spec(plan.spec, {"seed": seed}))
        tensors, entries = made.tensors, made.entries
    spec = {**plan.spec, "seed": seed} if "seed" in plan.spec else plan.spec
    return replace(
        plan, tensors=tensors, entries=entries, seed=seed, seed_was_drawn=False, spec=spec
    )


def _with_seed(tensors: Iterable[PlannedTensor], seed: int) -> tuple[PlannedTensor, ...]:
    return tuple(tensor._replace(seed=seed) for tensor in tensors)
