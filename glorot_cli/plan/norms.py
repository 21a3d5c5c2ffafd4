"""Tensors that hold the norms of another: which one, once all are planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from glorot_cli.distributions import NormOf
from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.plan.decisions import Draft
from glorot_cli.plan.tensors import PlannedTensor
from glorot_cli.repeats import fill_name


def with_norms(planned: Mapping[str, PlannedTensor], draft: Draft, path: KeyPath) -> PlannedTensor:
    """Return a tensor of norms with what those are of.

    Raises:
        SpecError: if there is no such tensor, or its shape has other norms.
    """
    own = planned[draft.name]
    law = own.distribution
    assert isinstance(law, NormOf)
    stem = draft.name[: max(draft.name.rfind("."), draft.name.rfind("/"), 0)]
    target = fill_name(law.tensor.replace("{stem}", stem), draft.names, path)
    other = planned.get(target)
    if other is None or isinstance(other.distribution, NormOf):
        hint = suggestion(target, [name for name in planned if name != draft.name])
        raise SpecError(f"no tensor {shown(target)} has norms; {hint}", path)
    rank = len(other.shape)
    if law.dim is not None and not -rank <= law.dim < rank:
        raise SpecError(
            f"expected a dim of {shown(target)}, whose shape is {list(other.shape)}, "
            f"found {law.dim}",
            path,
        )
    dim = None if law.dim is None else law.dim % rank
    count = 1 if dim is None else other.shape[dim]
    kept = tuple(count if axis == dim else 1 for axis in range(rank))
    if own.shape not in (kept, () if dim is None else (count,)):
        raise SpecError(
            f"expected the shape {list(kept)} or {[] if dim is None else [count]} for the norms of "
            f"{shown(target)}, found {list(own.shape)}",
            path,
        )
    found = replace(
        law,
        dim=dim,
        tensor=other.copy_of or other.tied_to or target,
        of=other.distribution,
        shape=other.shape,
        seed=other.seed,
        dtype=other.dtype,
        rng=other.rng,
        position=other.position,
        fma=other.fma,
    )
    return own._replace(distribution=found)
