"""Norms of a tensor's slices, summed in float64 over the elements as they are drawn again."""

from __future__ import annotations

import math

import numpy as np

from glorot_cli.distributions import NormOf
from glorot_cli.dtypes import Array, numpy_dtype
from glorot_cli.streams.fixed import rounded_once
from glorot_cli.streams.request import Draw, lazily

# The sums are taken in this order, so that they do not depend on blocks or threads.
CHUNK = 1 << 18


def drawer(law: NormOf, source: Draw, dtype: str) -> Draw:
    """Return the function that draws norms of what `source` draws."""

    def made() -> Draw:
        squares = np.zeros(1 if law.dim is None else law.shape[law.dim])
        stride = 1 if law.dim is None else math.prod(law.shape[law.dim + 1 :])
        size = math.prod(law.shape)
        for first in range(0, size, CHUNK):
            values = np.empty(min(CHUNK, size - first), numpy_dtype(law.dtype))
            source(first, values)
            wide = values.astype(np.float64)
            place = np.arange(first, first + wide.size) // stride % squares.size
            squares += np.bincount(place, wide * wide, squares.size)
        norms = np.sqrt(squares)

        def draw(first: int, out: Array) -> None:
            rounded_once(norms[first : first + out.size], dtype, out)

        return draw

    return lazily(made)
