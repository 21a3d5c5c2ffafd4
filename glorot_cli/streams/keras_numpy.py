"""Keras's initialisers on its NumPy backend: PCG64 seeded with [seed, 0], in float64.

Uniform values take a word each, so they are drawn in any order; normal values take an unknown
number of words and are drawn one after the other.
"""

from __future__ import annotations

import functools
import math
import threading

import numpy as np

from glorot_cli.distributions import Normal, Orthogonal, TruncatedNormal, Uniform
from glorot_cli.dtypes import Array
from glorot_cli.streams import whole
from glorot_cli.streams.in_order import InOrder
from glorot_cli.streams.request import Draw, Request, check_framework, lazily, refusal
from glorot_cli.streams.scratch import Scratch

_VALUES = Scratch()

NAME = "keras-numpy"
CAN = "uniform, normal and truncated normal values, orthogonal kernels in float32, and constants"
LARGEST_SEED = 2**32 - 1
CHUNK = 1 << 17


def drawer(request: Request) -> Draw:
    """Return the function that draws a random tensor's elements from a first index on.

    Raises:
        ValueError: if the framework refuses it, or its bits are not known here.
    """
    check_framework(request, NAME, LARGEST_SEED)
    match request.law:
        case Uniform(low=low, high=high):
            return lazily(lambda: _uniform(request.seed, low, high))
        case Normal(centre=centre, stddev=stddev):
            return lazily(lambda: _in_order(request.seed, centre, stddev, -math.inf, math.inf))
        case TruncatedNormal(centre=centre, stddev=stddev, low=-2.0, high=2.0):
            low, high = centre - 2 * stddev, centre + 2 * stddev
            return lazily(lambda: _in_order(request.seed, centre, stddev, low, high))
        case Orthogonal(first=False, delta=False) if request.dtype == "float32":
            return _orthogonal(request, request.law)
    raise refusal(request, NAME, CAN)


def _generator(seed: int) -> tuple[np.random.PCG64, np.random.Generator]:
    bits = np.random.PCG64(np.random.SeedSequence(np.array([seed, 0], np.uint32)))
    return bits, np.random.Generator(bits)


def _uniform(seed: int, low: float, high: float) -> Draw:
    start, span = _generator(seed)[0].state, high - low

    def draw(first: int, out: Array) -> None:
        bits = np.random.PCG64()
        bits.state = start
        generator = np.random.Generator(bits.advance(first))
        for begin in range(0, out.size, CHUNK):
            part = out[begin : begin + CHUNK]
            values = _VALUES.array(part.size, np.float64)
            generator.random(out=values)
            np.multiply(values, span, out=values)
            np.add(values, low, out=values)
            np.copyto(part, values, casting="unsafe")

    return draw


def _in_order(seed: int, centre: float, stddev: float, low: float, high: float) -> Draw:
    bits, generator = _generator(seed)

    def fill(out: Array) -> None:
        done = 0
        while done < out.size:
            batch = generator.normal(centre, stddev, out.size - done)
            if low > -math.inf:
                batch = batch[(batch >= low) & (batch <= high)]
            out[done : done + batch.size] = batch
            done += batch.size

    values = InOrder(bits, fill, np.float64)

    def draw(first: int, out: Array) -> None:
        drawn = _VALUES.array(out.size, np.float64)
        values.draw(first, drawn)
        np.copyto(out, drawn, casting="unsafe")

    return draw


def _orthogonal(request: Request, law: Orthogonal) -> Draw:
    """Make Keras's orthogonal kernel, whose bits depend on the LAPACK that NumPy was built with."""
    lock = threading.Lock()

    @functools.cache
    def made() -> Array:
        rows, columns = whole.normal_shape(law, request.shape)
        normals = _generator(request.seed)[1].normal(0.0, 1.0, (rows, columns))
        q, r = np.linalg.qr(normals.astype(np.float32))
        q *= np.sign(np.diagonal(r))
        q = q.T if math.prod(request.shape[:-1]) < request.shape[-1] else q
        kernel: Array = np.float32(law.gain) * q
        return kernel.reshape(-1)

    def draw(first: int, out: Array) -> None:
        with lock:
            values = made()
        np.copyto(out, values[first : first + out.size])

    return draw
