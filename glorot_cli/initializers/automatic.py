"""The initialiser that looks at the activation behind a layer."""

from __future__ import annotations

import math
from collections.abc import Mapping

from glorot_cli.distributions import Normal
from glorot_cli.initializers.kernel import Kernel

SCALES: Mapping[str, float] = {
    "elu": 1.550518808067927,
    "exponential": 0.13533528323678592,
    "gelu": 2.351715614073373,
    "gelu_tanh": 2.3518692164338115,
    "hard_shrink": 1.0318422342618998,
    "hard_sigmoid": 3.6017982777376725,
    "hard_silu": 3.0159782746540524,
    "hard_tanh": 1.9377646163142264,
    "linear": 1.0,
    "log_sigmoid": 1.0854865029883434,
    "mish": 2.210715729937989,
    "relu": 2.0,
    "relu6": 2.0000000076989175,
    "selu": 1.0,
    "sigmoid": 3.4085598416231027,
    "silu": 2.810761124074471,
    "soft_shrink": 2.385049441309693,
    "softplus": 1.0854865029883434,
    "softsign": 5.464062223645521,
    "squareplus": 0.6666666666666665,
    "tanh": 2.536175433217454,
    "tanh_shrink": 5.467962705835896,
}
"""1 / E[f(z)**2] of a standard normal z, by the quadrature of `effects.atoms`."""


def scale_after(activation: str, slope: float | None = None) -> float | None:
    """Return the scale for an activation, or for a ReLU with a slope below 0; None if unknown."""
    if slope is not None:
        return 2.0 / (1.0 + slope * slope)
    return SCALES.get(activation)


def auto(kernel: Kernel) -> Normal:
    """Normal of std sqrt(scale / fan_in), by the activation f behind the layer.

    The scale is 1 / E[f(z)**2] of a standard normal z, so that sums of variance 1 give such sums in
    the next layer: 2 of ReLU (He et al., 2015), 2.536 of tanh, 1 of none.
    """
    if kernel.scale is None:
        raise ValueError(
            "auto needs a layer, whose activation it looks at; this tensor has none, or one that "
            "is not known"
        )
    kernel.say("scale", "1 / E[f(z)**2] of the activation f", kernel.scale)
    stddev = math.sqrt(kernel.scale / kernel.fans.fan_in)
    return Normal(0.0, kernel.say("stddev", "sqrt(scale / fan_in)", stddev))
