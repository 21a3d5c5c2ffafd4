"""The activation behind a layer: its own argument, or a layer that follows it alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from glorot_cli.dialects.layer import Layer
from glorot_cli.initializers.automatic import scale_after

# Layers that are a function of each element, by the names of their functions.
_FUNCTIONS: Mapping[str, str] = {
    "CELU": "elu", "ELU": "elu", "GELU": "gelu", "Hardshrink": "hard_shrink",
    "Hardsigmoid": "hard_sigmoid", "Hardswish": "hard_silu", "Hardtanh": "hard_tanh",
    "LogSigmoid": "log_sigmoid", "Mish": "mish", "ReLU": "relu", "ReLU6": "relu6", "SELU": "selu",
    "SiLU": "silu", "Sigmoid": "sigmoid", "Softplus": "softplus", "Softshrink": "soft_shrink",
    "Softsign": "softsign", "Tanh": "tanh", "Tanhshrink": "tanh_shrink",
}  # fmt: skip
_ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}
# Layers that leave to the one behind them what the activation is.
_PASSED = frozenset({
    "BatchNormalization", "LayerNormalization", "RMSNormalization", "GroupNormalization", "Dropout",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "Identity", "BatchNorm1d",
    "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm", "LayerNorm", "RMSNorm", "GroupNorm",
    "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "Dropout1d", "Dropout2d", "Dropout3d",
})  # fmt: skip

# Beyond so many normalisations and dropouts nothing is looked for.
_FARTHEST = 8


def scale_behind(layer: Layer, following: Iterator[Layer]) -> float | None:
    """Return 1 / E[f(z)**2] of the activation behind a layer; 1 where there is none.

    `following` are the layers that follow it, as long as only one does. None of an activation that
    is not known.
    """
    own = layer.arguments.get("activation")
    if isinstance(own, str) and own != "linear":
        return _named(own)
    for each in itertools.islice(following, _FARTHEST):
        kind = each.entry.type
        if kind == "Activation":
            function = each.arguments.get("activation")
            return _named(function) if isinstance(function, str) else None
        slope = each.arguments.get("negative_slope", each.arguments.get("alpha"))
        if kind == "LeakyReLU" or (kind == "ReLU" and slope):
            return scale_after("relu", float(slope)) if isinstance(slope, int | float) else None
        if kind in _FUNCTIONS:
            return scale_after(_FUNCTIONS[kind])
        if kind not in _PASSED:
            break
    return 1.0


def _named(function: str) -> float | None:
    function = _ALIASES.get(function, function)
    if function in ("softmax", "log_softmax"):
        return 1.0
    return scale_after(function, 0.2 if function == "leaky_relu" else None)
