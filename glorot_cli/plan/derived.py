"""Tensors that follow from another: from which one, once all are planned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from glorot_cli.distributions import Derived, NormOf, SingularOf
from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.fans import Shape
from glorot_cli.plan.decisions import Draft
from glorot_cli.plan.tensors import PlannedTensor
from glorot_cli.repeats import fill_name
from glorot_cli.streams import DEFAULT


def with_source(planned: Mapping[str, PlannedTensor], draft: Draft, path: KeyPath) -> PlannedTensor:
    """Return a tensor that follows from another with what that one is.

    Raises:
        SpecError: if there is no such tensor, or its shape makes another of this.
    """
    own = planned[draft.name]
    law = own.distribution
    assert isinstance(law, NormOf | SingularOf)
    what = "norms" if isinstance(law, NormOf) else "singular vectors"
    stem = _stem(draft.name)
    name = law.tensor.replace("{stem.stem}", _stem(stem)).replace("{stem}", stem)
    target = fill_name(name, draft.names, path)
    other = planned.get(target)
    if other is None or isinstance(other.distribution, Derived):
        hint = suggestion(target, [name for name in planned if name != draft.name])
        raise SpecError(f"no tensor {shown(target)} has {what}; {hint}", path)
    rank = len(other.shape)
    if law.dim is not None and not -rank <= law.dim < rank:
        raise SpecError(
            f"expected a dim of {shown(target)}, whose shape is {list(other.shape)}, "
            f"found {law.dim}",
            path,
        )
    dim = None if law.dim is None else law.dim % rank
    if isinstance(law, SingularOf):
        shapes = _of_vectors(law, other, target, path)
    else:
        shapes = _of_norms(other.shape, dim)
    if own.shape not in shapes:
        expected = " or ".join(str(list(shape)) for shape in shapes)
        raise SpecError(
            f"expected the shape {expected} for the {what} of {shown(target)}, "
            f"found {list(own.shape)}",
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
        replay=other.replay,
    )
    return own._replace(distribution=found)


def _stem(name: str) -> str:
    return name[: max(name.rfind("."), name.rfind("/"), 0)]


def _of_norms(shape: Shape, dim: int | None) -> tuple[Shape, ...]:
    count = 1 if dim is None else shape[dim]
    kept = tuple(count if axis == dim else 1 for axis in range(len(shape)))
    return kept, () if dim is None else (count,)


def _of_vectors(
    law: SingularOf, other: PlannedTensor, target: str, path: KeyPath
) -> tuple[Shape, ...]:
    if other.rng != DEFAULT:
        raise SpecError(f"the stream {other.rng} draws no singular vectors; leave out rng", path)
    if len(other.shape) < 2:
        raise SpecError(
            "expected two axes or more for singular vectors, "
            f"found shape {list(other.shape)} of {shown(target)}",
            path,
        )
    assert law.dim is not None
    rows = other.shape[law.dim]
    return ((rows if law.side == "left" else math.prod(other.shape) // max(rows, 1),),)
