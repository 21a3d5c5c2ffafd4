"""Keras 3's initialisers, and JAX's where it has more, with their parameters and defaults.

Keras's "normal" variants are truncated at two standard deviations, and keep that meaning here.
"""

from __future__ import annotations

import math
from typing import Literal

from glorot_cli.arguments import ExactNumber, Number
from glorot_cli.distributions import (
    Constant,
    Distribution,
    Normal,
    Ones,
    Orthogonal,
    Pieces,
    TruncatedNormal,
    Uniform,
)
from glorot_cli.initializers.gain import Gain
from glorot_cli.initializers.kernel import Kernel, Per, matrix_sides, positive, uniform_between

# The stddev of a standard normal cut at two standard deviations, as Keras and JAX write it.
TRUNCATED_STDDEV = 0.87962566103423978

Mode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
# Not "normal", which Keras takes for truncated and JAX for not.
Law = Literal["truncated_normal", "untruncated_normal", "uniform"]


def variance_scaling(
    kernel: Kernel,
    *,
    scale: Number = 1.0,
    mode: Mode = "fan_in",
    distribution: Law = "truncated_normal",
) -> Distribution:
    """Variance scale / fan, of a truncated normal, a normal or a uniform distribution.

    Keras 3 and jax.nn, in Keras's order: s = scale / max(1, fan); uniform limit sqrt(3 s);
    truncated stddev sqrt(s) / 0.87962566103423978, cut at two of them; normal stddev sqrt(s).
    fan is fan_in, fan_out, their mean (fan_avg), or jax's root of their product (fan_geo_avg).
    """
    if scale <= 0.0:
        raise ValueError(f"expected a scale above 0, found {scale!r}")
    fans = kernel.fans
    fan = {
        "fan_in": float(fans.fan_in),
        "fan_out": float(fans.fan_out),
        "fan_avg": (fans.fan_in + fans.fan_out) / 2.0,
        "fan_geo_avg": math.sqrt(fans.fan_in * fans.fan_out),
    }[mode]
    s = kernel.say("s", f"{scale!r} / max(1, {mode} {fan!r})", scale / max(1.0, fan))
    if distribution == "uniform":
        limit = kernel.say("limit", f"sqrt(3 * {s!r})", math.sqrt(3.0 * s))
        return Uniform(-limit, limit, variance=s)
    if distribution == "truncated_normal":
        stddev = math.sqrt(s) / TRUNCATED_STDDEV
        kernel.say("stddev", f"sqrt({s!r}) / {TRUNCATED_STDDEV!r}", stddev)
        return TruncatedNormal(0.0, stddev)
    return Normal(0.0, kernel.say("stddev", f"sqrt({s!r})", math.sqrt(s)))


def glorot_uniform(kernel: Kernel) -> Distribution:
    """U(-limit, limit), limit = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010; Keras 3)."""
    return variance_scaling(kernel, scale=1.0, mode="fan_avg", distribution="uniform")


def glorot_normal(kernel: Kernel) -> Distribution:
    """Truncated normal of std sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010; Keras 3)."""
    return variance_scaling(kernel, scale=1.0, mode="fan_avg", distribution="truncated_normal")


def he_uniform(kernel: Kernel) -> Distribution:
    """U(-limit, limit), limit = sqrt(6 / fan_in) (He et al., 2015; Keras 3)."""
    return variance_scaling(kernel, scale=2.0, mode="fan_in", distribution="uniform")


def he_normal(kernel: Kernel) -> Distribution:
    """Truncated normal of std sqrt(2 / fan_in) (He et al., 2015; Keras 3)."""
    return variance_scaling(kernel, scale=2.0, mode="fan_in", distribution="truncated_normal")


def lecun_uniform(kernel: Kernel) -> Distribution:
    """U(-limit, limit), limit = sqrt(3 / fan_in) (LeCun et al., 1998; Keras 3)."""
    return variance_scaling(kernel, scale=1.0, mode="fan_in", distribution="uniform")


def lecun_normal(kernel: Kernel) -> Distribution:
    """Truncated normal of std sqrt(1 / fan_in) (LeCun et al., 1998; Keras 3)."""
    return variance_scaling(kernel, scale=1.0, mode="fan_in", distribution="truncated_normal")


def random_uniform(kernel: Kernel, *, minval: Number = -0.05, maxval: Number = 0.05) -> Uniform:
    """U(minval, maxval) (Keras 3)."""
    return uniform_between(minval, maxval, "minval", "maxval")


def random_normal(kernel: Kernel, *, mean: Number = 0.0, stddev: Number = 0.05) -> Normal:
    """N(mean, stddev**2) (Keras 3)."""
    return Normal(mean, positive(stddev, "stddev"))


def truncated_normal(
    kernel: Kernel, *, mean: Number = 0.0, stddev: Number = 0.05
) -> TruncatedNormal:
    """N(mean, stddev**2) cut at two stddev from the mean (Keras 3); its own std is 0.88 stddev."""
    return TruncatedNormal(mean, positive(stddev, "stddev"))


def zeros(kernel: Kernel) -> Constant:
    """0 everywhere."""
    return Constant(0.0)


def ones(kernel: Kernel) -> Constant:
    """1 everywhere."""
    return Constant(1.0)


def constant(kernel: Kernel, *, value: ExactNumber = 0.0) -> Constant:
    """One value everywhere (Keras 3)."""
    return Constant(value)


def identity(
    kernel: Kernel, *, gain: Number = 1.0, per: Per | None = None
) -> Ones | Orthogonal | Pieces:
    """`gain` on the main diagonal of a matrix, 0 elsewhere (Keras 3).

    `per: kernel` gives each kernel its diagonal, along B axes and in fused pieces; `per: tensor`
    the tensor one.
    """
    rows, columns = matrix_sides(kernel.alone(per), "identity")
    return kernel.of_each(Ones(gain, min(rows, columns), columns + 1), per)


def orthogonal(
    kernel: Kernel, *, gain: Gain = 1.0, per: Per | None = None
) -> Ones | Orthogonal | Pieces:
    """Orthogonal rows or columns of length `gain` (Saxe et al., 2014; Keras 3, torch.nn.init).

    The last axis against the rest, as in Keras; where axes begin with O, the first, as in torch.
    `per: kernel` makes each kernel orthogonal, along B axes and in fused pieces; `per: tensor` the
    tensor as one matrix. The last bits hold for one BLAS library only.
    """
    if len(kernel.shape) < 2:
        raise ValueError(f"orthogonal needs two axes or more, found shape {list(kernel.shape)}")
    axes = kernel.alone(per).axes or ""
    first = axes.startswith("O") and "I" in axes
    return kernel.of_each(Orthogonal(positive(gain, "gain"), first=first), per)


def delta_orthogonal(
    kernel: Kernel, *, scale: Number = 1.0, per: Per | None = None
) -> Ones | Orthogonal | Pieces:
    """An orthogonal matrix at the centre of a convolution's kernel (Xiao et al., 2018; jax.nn).

    `per: kernel` gives each kernel its matrix, along B axes and in fused pieces.
    """
    shape = kernel.alone(per).shape
    if not 3 <= len(shape) <= 5:
        raise ValueError(f"delta_orthogonal needs 3 to 5 axes, found shape {list(shape)}")
    if shape[-1] < shape[-2]:
        raise ValueError(f"delta_orthogonal needs out >= in, found shape {list(shape)}")
    return kernel.of_each(Orthogonal(positive(scale, "scale"), delta=True), per)
