"""Normalisations, whose scales start at one and offsets at zero."""

from __future__ import annotations

import math
from collections.abc import Mapping

from glorot_cli.arguments import Axes, Dims, Init, InitializerChoice, Number
from glorot_cli.dialects.keras.core import output_roles
from glorot_cli.dialects.layer import DEFAULT_ONES, DEFAULT_ZEROS, Built, LayerError, Weight
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
    renorm: bool = False,
    renorm_clipping: dict[str, Number] | None = None,
    renorm_momentum: Number = 0.99,
    synchronized: bool = False,
) -> Built:
    """Normalise over the batch, with moving statistics that are not trained."""
    shape = (known(x, feature_axis(x, axis)),)
    weights = []
    if scale:
        weights.append(Weight("gamma", shape, None, gamma_initializer))
    if center:
        weights.append(Weight("beta", shape, None, beta_initializer))
    statistics = {"moving_mean": moving_mean_initializer,
                  "moving_variance": moving_variance_initializer}  # fmt: skip
    if renorm:
        stddev = _root(moving_variance_initializer)
        statistics |= {"moving_stddev": stddev, "renorm_mean": moving_mean_initializer,
                       "renorm_stddev": stddev}  # fmt: skip
    for name, choice in statistics.items():
        weights.append(Weight(name, shape, None, choice, trainable=False))
    return Built(x, weights)


def _root(choice: InitializerChoice) -> InitializerChoice:
    """Turn the initialiser of a variance into that of its root."""
    if choice.value in ("zeros", "ones", "Zeros", "Ones"):
        return choice
    value = choice.value.get("value") if isinstance(choice.value, Mapping) else None
    if not isinstance(value, int | float) or value < 0:
        raise LayerError(
            "renorm needs a variance of zeros, ones or a constant of at least 0",
            "moving_variance_initializer",
        )
    return choice._replace(value={"name": "constant", "value": math.sqrt(value)})


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
    if not (scale or center):
        return Built(x, [])
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
    for each in (axis,) if isinstance(axis, int) else axis:
        feature_axis(x, each)
    return Built(x, [])


def Normalization(
    x: Dims,
    *,
    axis: Axes | None = -1,
    mean: Number | list[Number] | None = None,
    variance: Number | list[Number] | None = None,
    invert: bool = False,
) -> Built:
    """Subtract a mean and divide by a deviation, which data gives unless the arguments do."""
    if (mean is None) != (variance is None):
        raise LayerError("mean and variance come together", "mean")
    axes = (axis,) if isinstance(axis, int) else axis or ()
    shape = tuple(known(x, index) for index in sorted(feature_axis(x, each) for each in axes))
    if mean is not None:
        return Built(x, [])
    roles = output_roles(shape)
    return Built(
        x,
        [
            Weight("mean", shape, roles, DEFAULT_ZEROS, trainable=False),
            Weight("variance", shape, roles, DEFAULT_ONES, trainable=False),
            Weight("count", (), None, DEFAULT_ZEROS, trainable=False, dtype="int32"),
        ],
    )
