"""Normalisations: weights start at one, biases at zero, running statistics are buffers."""

from __future__ import annotations

from collections.abc import Callable

from glorot_cli.arguments import Number, Size, Sizes
from glorot_cli.dialects.layer import Built, Flow, LayerError, Weight
from glorot_cli.dialects.torch.linear import default, expect
from glorot_cli.errors import shown


def batch_normalization(rank: int, *, instance: bool = False) -> Callable[..., Built]:
    """Make the batch or instance normalisation over `rank` spatial axes."""

    def BatchNorm(
        x: Flow,
        *,
        num_features: Size,
        eps: Number = 1e-05,
        momentum: Number | None = 0.1,
        affine: bool = not instance,
        track_running_stats: bool = not instance,
    ) -> Built:
        """Normalise each channel."""
        if x is not None and (affine or track_running_stats):
            expect(x, -len(x), num_features, "num_features")
        shape = (num_features,)
        weights = []
        if affine:
            weights.append(Weight("weight", shape, None, default("ones")))
            weights.append(Weight("bias", shape, None, default("zeros")))
        if track_running_stats:
            weights += [
                Weight("running_mean", shape, None, default("zeros"), trainable=False),
                Weight("running_var", shape, None, default("ones"), trainable=False),
                Weight(
                    "num_batches_tracked", (), None, default("zeros"), trainable=False,
                    dtype="int64",
                ),
            ]  # fmt: skip
        return Built(x, weights)

    return BatchNorm


def LayerNorm(
    x: Flow,
    *,
    normalized_shape: Sizes,
    eps: Number = 1e-05,
    elementwise_affine: bool = True,
    bias: bool = True,
) -> Built:
    """Normalise the last axes of each sample."""
    shape = _last(x, normalized_shape)
    weights = []
    if elementwise_affine:
        weights.append(Weight("weight", shape, _roles(shape), default("ones")))
        if bias:
            weights.append(Weight("bias", shape, _roles(shape), default("zeros")))
    return Built(x, weights)


def RMSNorm(
    x: Flow,
    *,
    normalized_shape: Sizes,
    eps: Number | None = None,
    elementwise_affine: bool = True,
) -> Built:
    """Divide the last axes of each sample by the root of their mean square."""
    shape = _last(x, normalized_shape)
    affine = [Weight("weight", shape, _roles(shape), default("ones"))]
    return Built(x, affine if elementwise_affine else [])


def GroupNorm(
    x: Flow,
    *,
    num_groups: Size,
    num_channels: Size,
    eps: Number = 1e-05,
    affine: bool = True,
    bias: bool = True,
) -> Built:
    """Normalise groups of channels."""
    if num_channels % num_groups:
        raise LayerError(f"{num_groups} groups do not divide {num_channels}", "num_groups")
    if x is not None and (affine or (x[0] or 0) % num_groups):
        expect(x, -len(x), num_channels, "num_channels")
    weights = []
    if affine:
        weights.append(Weight("weight", (num_channels,), None, default("ones")))
        if bias:
            weights.append(Weight("bias", (num_channels,), None, default("zeros")))
    return Built(x, weights)


def PReLU(x: Flow, *, num_parameters: Size = 1, init: Number = 0.25) -> Built:
    """Scale what is below 0 by a learned slope."""
    if x is not None and num_parameters > 1:
        expect(x, -len(x), num_parameters, "num_parameters")
    law = default("constant", value=init)
    return Built(x, [Weight("weight", (num_parameters,), None, law)])


def _last(x: Flow, normalized_shape: int | tuple[int, ...]) -> tuple[int, ...]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
    if x is not None and tuple(x[-len(shape) :]) != shape:
        raise LayerError(
            f"expected an input that ends in {shown(shape)}, found {shown(x)}", "normalized_shape"
        )
    return shape


def _roles(shape: tuple[int, ...]) -> str | None:
    return "O" * len(shape) if len(shape) > 1 else None
