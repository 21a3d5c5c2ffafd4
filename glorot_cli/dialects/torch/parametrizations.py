"""torch's parametrizations of a module's weight: the tensors that it is then made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import BeforeValidator, Field

from glorot_cli.arguments import InitializerChoice, Size
from glorot_cli.dialects.layer import Layer, Weight
from glorot_cli.errors import KeyPath, SpecError, shown
from glorot_cli.signatures import Table

WEIGHT = "weight"
NORMS = f"parametrizations.{WEIGHT}.original0"
DIRECTION = f"parametrizations.{WEIGHT}.original1"
ORIGINAL = f"parametrizations.{WEIGHT}.original"
# torch's, as it constructs the parametrization; registering it adds those of a training step.
_FIRST_ITERATIONS = 15


def _switched(value: object) -> object:
    """Read true as a parametrization with its defaults, and false as none."""
    if isinstance(value, bool):
        return {} if value else None
    if value is None or isinstance(value, Mapping):
        return value
    raise ValueError(f"expected true, false or a mapping of arguments, found {shown(value)}")


SWITCH = BeforeValidator(_switched)


class WeightNorm(Table):
    """Hold what a spec says of torch.nn.utils.parametrizations.weight_norm."""

    dim: int | None = Field(
        default=0, description="The axis whose slices have a norm each; null is one."
    )


class SpectralNorm(Table):
    """Hold what a spec says of torch.nn.utils.parametrizations.spectral_norm."""

    n_power_iterations: Size = Field(
        default=1, description="Power iterations in a training step; the start has 15 more."
    )
    dim: int | None = Field(
        default=None,
        description="The axis of the outputs; null is 0, and 1 for transposed convolutions.",
    )


def weight_norm(layer: Layer, said: WeightNorm, weights: Sequence[Weight]) -> list[Weight]:
    """Part a module's weight into its norms and its direction, which torch puts last.

    Raises:
        SpecError: if it has none, or no such axis.
    """
    path = (*layer.place.path, "weight_norm")
    dim = said.dim
    whole = _whole(layer, weights, dim, path)
    place = None if dim is None else dim % len(whole.shape)
    shape = tuple(n if axis == place else 1 for axis, n in enumerate(whole.shape))
    norms = whole._replace(
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
    return [*others, norms, whole._replace(name=DIRECTION)]


def spectral_norm(layer: Layer, said: SpectralNorm, weights: Sequence[Weight]) -> list[Weight]:
    """Rename a module's weight, and add the two singular vectors that torch keeps of it.

    Raises:
        SpecError: if it has none, or no such axis.
    """
    path = (*layer.place.path, "spectral_norm")
    whole = _whole(layer, weights, said.dim, path)
    original = whole._replace(name=ORIGINAL)
    made = [*(each for each in weights if each is not whole), original]
    if len(whole.shape) < 2:
        return made  # torch divides it by its norm, and keeps nothing
    dim = said.dim
    if dim is None:
        dim = int("ConvTranspose" in layer.entry.type)
    rows = whole.shape[dim]
    sizes = {"left": ("_u", rows), "right": ("_v", math.prod(whole.shape) // max(rows, 1))}
    for side, (name, size) in sizes.items():
        arguments = {
            "name": "singular_vector_of", "tensor": "{stem.stem}.original", "dim": dim,
            "side": side, "iterations": _FIRST_ITERATIONS + said.n_power_iterations,
        }  # fmt: skip
        vector = f"parametrizations.{WEIGHT}.0.{name}"
        made.append(
            whole._replace(
                name=vector,
                shape=(size,),
                axes=None,
                fused=1,
                patch=None,
                initializer=InitializerChoice(arguments, path),
                kind=f"{layer.entry.type} {vector}",
            )
        )
    return made


def _whole(layer: Layer, weights: Sequence[Weight], dim: int | None, path: KeyPath) -> Weight:
    whole = next((each for each in weights if each.name == WEIGHT), None)
    if whole is None:
        raise SpecError(f"{layer.entry.type} has no weight to part", path, at_key=True)
    rank = len(whole.shape)
    if dim is not None and not -rank <= dim < rank:
        message = f"expected an axis of shape {list(whole.shape)}, found {dim}"
        raise SpecError(message, (*path, "dim"))
    return whole
