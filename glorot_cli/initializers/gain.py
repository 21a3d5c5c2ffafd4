"""Gains by the names of nonlinearities, as torch.nn.init has them."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from glorot_cli.arguments import checked_number
from glorot_cli.errors import shown, suggestion

# torch.nn.init.calculate_gain; leaky_relu's takes the slope.
GAINS = {
    "linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0, "conv_transpose3d": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0), "leaky_relu": math.sqrt(2.0 / (1 + 0.01**2)), "selu": 3.0 / 4,
}  # fmt: skip
Nonlinearity = Literal[
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu",
]  # fmt: skip


def _gain(value: object, info: ValidationInfo) -> float:
    if isinstance(value, str) and value.isidentifier() and value not in (info.context or {}):
        if value not in GAINS:
            hint = suggestion(value, GAINS)
            raise ValueError(f"expected a number or a nonlinearity, found {shown(value)}; {hint}")
        return GAINS[value]
    return checked_number(value, info)


Gain = Annotated[float, BeforeValidator(_gain), WithJsonSchema({"type": ["number", "string"]})]
"""A number, an expression, or the name of a nonlinearity, by `calculate_gain`."""


def calculate_gain(nonlinearity: str, slope: float) -> float:
    """Return torch.nn.init.calculate_gain's value."""
    return math.sqrt(2.0 / (1 + slope**2)) if nonlinearity == "leaky_relu" else GAINS[nonlinearity]
