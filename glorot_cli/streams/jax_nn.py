"""`jax.nn.initializers` and `jax.random.uniform` on a CPU, under `jax.random.key(seed)`."""

from __future__ import annotations

import numpy as np

from glorot_cli.distributions import Uniform
from glorot_cli.dtypes import numpy_dtype
from glorot_cli.streams import jax_uniform
from glorot_cli.streams.request import Draw, Request, check_framework, refusal

NAME = "jax"
CAN = "uniform values and constants"
LARGEST_SEED = 2**63 - 1


def drawer(request: Request) -> Draw:
    """Return the function that draws a random tensor's elements from a first index on.

    float64 is what JAX gives where `jax_enable_x64` is set, which also keeps the seed's high bits.

    Raises:
        ValueError: if the framework refuses it, or its bits are not known here.
    """
    check_framework(request, NAME, LARGEST_SEED)
    high_bits = request.seed >> 32 if request.dtype == "float64" else 0
    key = (high_bits, request.seed & 0xFFFFFFFF)
    match request.law:
        case Uniform(variance=float(variance)):
            return jax_uniform.scaled(key, _limit(variance, request.dtype), request.dtype)
        case Uniform(low=low, high=high):
            return jax_uniform.uniform(key, low, high, request.dtype, request.fma)
    raise refusal(request, NAME, CAN)


def _limit(variance: float, dtype: str) -> float:
    """Return sqrt(3 * variance), each step rounded to the dtype."""
    held = numpy_dtype(dtype)
    if dtype == "float64":
        return float(np.sqrt(3.0 * variance))

    def rounded(value: np.float32) -> np.float32:
        return np.float32(value.astype(held))

    return float(rounded(np.sqrt(rounded(np.float32(3.0) * rounded(np.float32(variance))))))
