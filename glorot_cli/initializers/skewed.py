"""Initialisers of positive scales, spread evenly in their logarithm."""

from __future__ import annotations

from glorot_cli.arguments import Number
from glorot_cli.distributions import InverseSoftplus, LogUniform
from glorot_cli.initializers.kernel import Kernel, positive


def log_uniform(kernel: Kernel, *, low: Number, high: Number) -> LogUniform:
    """exp(U(log low, log high)): the logarithm is spread evenly (reciprocal distribution)."""
    if not positive(low, "low") < high:
        raise ValueError(f"expected low below high, found {low!r} and {high!r}")
    return LogUniform(low, high)


def inverse_softplus(kernel: Kernel, *, low: Number = 0.001, high: Number = 0.1) -> InverseSoftplus:
    """X + log(1 - exp(-x)) for x of log_uniform(low, high): softplus gives x back.

    The defaults are those of Mamba's dt_bias (Gu and Dao, 2023), whose floor of 1e-4 lies below.
    """
    return InverseSoftplus(log_uniform(kernel, low=low, high=high))
