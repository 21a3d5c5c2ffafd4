"""Keras's initialisers on its JAX backend: Threefry under the raw key (seed, 0)."""

from __future__ import annotations

from glorot_cli.distributions import Uniform
from glorot_cli.streams import jax_uniform
from glorot_cli.streams.request import Draw, Request, check_framework, refusal

NAME = "keras-jax"
CAN = "uniform values and constants"
LARGEST_SEED = 2**32 - 1


def drawer(request: Request) -> Draw:
    """Return the function that draws a random tensor's elements from a first index on.

    float64 is what Keras gives where `jax_enable_x64` is set.

    Raises:
        ValueError: if the framework refuses it, or its bits are not known here.
    """
    check_framework(request, NAME, LARGEST_SEED)
    match request.law:
        case Uniform(low=low, high=high):
            return jax_uniform.uniform((request.seed, 0), low, high, request.dtype, request.fma)
    raise refusal(request, NAME, CAN)
