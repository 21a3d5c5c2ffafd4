"""torch's parametrizations of a module's weight: the tensors that it is then made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field

from glorot_cli.arguments import InitializerChoice
from glorot_cli.dialects.layer import Layer, Weight
from glorot_cli.errors import SpecError
from glorot_cli.signatures import Table

WEIGHT = "weight"
NORMS = f"parametrizations.{WEIGHT}.original0"
DIRECTION = f"parametrizations.{WEIGHT}.original1"


class WeightNorm(Table):
    """Hold what a spec says of torch.nn.utils.parametrizations.weight_norm."""

    dim: int | None = Field(
        default=0, description="The axis whose slices have a norm each; null is one."
    )


def weight_norm(layer: Layer, said: WeightNorm, weights: Sequence[Weight]) -> list[Weight]:
    """Part a module's weight into its norms and its direction, which torch puts last.

    Raises:
        SpecError: if it has none, or no such axis.
    """
    path = (*layer.place.path, "weight_norm")
    whole = next((each for each in weights if each.name == WEIGHT), None)
    if whole is None:
        raise SpecError(f"{layer.entry.type} has no weight to part", path, at_key=True)
    rank, dim = len(whole.shape), said.dim
    if dim is not None and not -rank <= dim < rank:
        message = f"expected an axis of shape {list(whole.shape)}, found {dim}"
        raise SpecError(message, (*path, "dim"))
    place = None if dim is None else dim % rank
    shape = tuple(n if axis == place else 1 for axis, n in enumerate(whole.shape))
    norms = replace(
        whole,
        name=NORMS,
        shape=() if dim is None else shape,
        axes=None,
        fused=1,
        patch=None,
        initializer=InitializerChoice(
            {"name": "norm_of", "tensor": "{stem}.original1", "dim": dim}, path
        ),
        kind=f"{layer.entry.type} {NORMS}",
    )
    others = [each for each in weights if each is not whole]
    return [*others, norms, replace(whole, name=DIRECTION)]
