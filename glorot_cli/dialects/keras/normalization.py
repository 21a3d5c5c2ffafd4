"""Normalisations, whose scales start at one and offsets at zero."""

from __future__ import annotations

from glorot_cli.arguments import Axes, Dims, Init, Number
from glorot_cli.dialects.keras.core import output_roles
from glorot_cli.dialects.layer import DEFAULT_ONES, Built, LayerError, Weight
from glorot_cli.dialects.spatial import feature_axis, known


def BatchNormalization(
    x: Dims,
    *,
    axis: int = -1,
    momentum: Number = 0.99,
    epsilon: Number = 0.001,
    center: bool = True,
    scale: bool = True,
    beta_initializer: Init = "zeros",
    gamma_initializer: Init = "ones",
    moving_mean_initializer: Init = "zeros",
    moving_variance_initializer: Init = "ones",
    synchronized: bool = False,
) -> Built:
    """Normalise over the batch, with moving statistics that are not trained."""
    shape = (known(x, feature_axis(x, axis)),)
    weights = []
    if scale:
        weights.append(Weight("gamma", shape, None, gamma_initializer))
    if center:
        weights.append(Weight("beta", shape, None, beta_initializer))
    for name, choice in (
        ("moving_mean", moving_mean_initializer),
        ("moving_variance", moving_variance_initializer),
    ):
        weights.append(Weight(name, shape, None, choice, trainable=False))
    return Built(x, weights)


def LayerNormalization(
    x: Dims,
    *,
    axis: Axes = -1,
    epsilon: Number = 0.001,
    center: bool = True,
    scale: bool = True,
    beta_initializer: Init = "zeros",
    gamma_initializer: Init = "ones",
) -> Built:
    """Normalise over the given axes of each sample."""
    axes = (axis,) if isinstance(axis, int) else sorted(axis)
    shape = tuple(known(x, feature_axis(x, each)) for each in axes)
    roles = output_roles(shape)
    weights = []
    if scale:
        weights.append(Weight("gamma", shape, roles, gamma_initializer))
    if center:
        weights.append(Weight("beta", shape, roles, beta_initializer))
    return Built(x, weights)


def GroupNormalization(
    x: Dims,
    *,
    groups: int = 32,
    axis: int = -1,
    epsilon: Number = 0.001,
    center: bool = True,
    scale: bool = True,
    beta_initializer: Init = "zeros",
    gamma_initializer: Init = "ones",
) -> Built:
    """Normalise over groups of channels (Wu and He, 2018); -1 groups is one for each channel."""
    size = known(x, feature_axis(x, axis))
    if groups != -1 and (groups < 1 or size % groups):
        raise LayerError(f"{groups} groups do not divide {size} channels", "groups")
    weights = []
    if scale:
        weights.append(Weight("gamma", (size,), None, gamma_initializer))
    if center:
        weights.append(Weight("beta", (size,), None, beta_initializer))
    return Built(x, weights)


def RMSNormalization(x: Dims, *, axis: Axes = -1, epsilon: Number = 1e-06) -> Built:
    """Divide by the root of the mean square (Zhang and Sennrich, 2019)."""
    axes = (axis,) if isinstance(axis, int) else sorted(axis)
    shape = tuple(known(x, feature_axis(x, each)) for each in axes)
    return Built(x, [Weight("scale", shape, output_roles(shape), DEFAULT_ONES)])


def UnitNormalization(x: Dims, *, axis: Axes = -1) -> Built:
    """Divide by the length."""
    return Built(x, [])
