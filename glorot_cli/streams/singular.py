"""Singular vectors of a tensor by the power method, as torch's spectral_norm starts them.

The sums are taken in float64 and in C order, so that no BLAS library decides their bits.
"""

from __future__ import annotations

import math

import numpy as np

from glorot_cli.distributions import Normal, SingularOf
from glorot_cli.dtypes import Array, numpy_dtype
from glorot_cli.streams import aes_ctr
from glorot_cli.streams.fixed import rounded_once
from glorot_cli.streams.request import Draw, lazily

# torch's, in spectral_norm.
_EPS = 1e-12


def drawer(law: SingularOf, source: Draw, dtype: str) -> Draw:
    """Return the function that draws a singular vector of what `source` draws."""

    def made() -> Draw:
        values = np.empty(math.prod(law.shape), numpy_dtype(law.dtype))
        source(0, values)
        sliced = np.moveaxis(values.astype(np.float64).reshape(law.shape), law.dim or 0, 0)
        matrix = np.ascontiguousarray(sliced).reshape(len(sliced), -1)
        # Both vectors come from one start, which has the other's name, so that they are a pair.
        start = np.empty(matrix.shape[1])
        name = f"{law.tensor}: first singular vector"
        aes_ctr.drawer(Normal(0.0, 1.0), start.shape, law.seed, name, "float64")(0, start)
        left, right = power_method(matrix, start, law.iterations)
        vector = left if law.side == "left" else right

        def draw(first: int, out: Array) -> None:
            rounded_once(vector[first : first + out.size], dtype, out)

        return draw

    return lazily(made)


def power_method(matrix: Array, right: Array, iterations: int) -> tuple[Array, Array]:
    """Return the left and the right vector after some iterations from a right one."""
    rows, columns = matrix.shape
    # Squares of large elements would not be finite; a power of two changes no bit of the vectors.
    _, exponent = math.frexp(float(np.abs(matrix).max(initial=0.0)))
    matrix = np.ldexp(matrix, -max(exponent, 0))
    row = np.repeat(np.arange(rows), columns)
    column = np.tile(np.arange(columns), rows)
    left = np.zeros(rows)
    for _ in range(iterations):
        left = _unit(np.bincount(row, (matrix * right).reshape(-1), rows))
        right = _unit(np.bincount(column, (matrix * left[:, None]).reshape(-1), columns))
    return left, right


def _unit(vector: Array) -> Array:
    squares = np.bincount(np.zeros(vector.size, np.intp), vector * vector)
    unit: Array = vector / max(math.sqrt(squares[0]), _EPS)
    return unit
