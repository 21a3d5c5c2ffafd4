"""Laws whose elements cannot be drawn alone: orthogonal kernels and sparse columns.

They are computed in memory, once, before their first block is written. Orthogonal kernels come from
LAPACK's QR, so their last bits hold for one BLAS only.
"""

from __future__ import annotations

import math

import numpy as np

from glorot_cli.distributions import (
    Derived,
    Distribution,
    Orthogonal,
    Patched,
    Pieces,
    SingularOf,
    Sparse,
    is_drawn_whole,
)
from glorot_cli.dtypes import Array
from glorot_cli.fans import Shape
from glorot_cli.streams.pieces import kept


def bytes_needed(law: Distribution, shape: Shape) -> int:
    """Return how much memory computing a tensor takes, beside that of its blocks."""
    if isinstance(law, Patched):
        return bytes_needed(law.law, shape)
    if isinstance(law, Pieces):
        kernel = law.kernel_shape(shape)
        largest = max(bytes_needed(each, kernel) for each in dict.fromkeys(law.laws))
        return largest and largest + kept(law, shape) * 8 * math.prod(kernel)
    if isinstance(law, Derived):
        # The matrix, a product, the rows and the columns of its elements, and a copy between.
        own = 5 * 8 * math.prod(law.shape) if isinstance(law, SingularOf) else 0
        return own + bytes_needed(law.of, law.shape)
    if not is_drawn_whole(law):
        return 0
    if isinstance(law, Orthogonal) and law.delta:
        return 3 * 8 * shape[-1] ** 2 + 8 * math.prod(shape)
    return 4 * 8 * math.prod(shape)


def orthogonal(law: Orthogonal, shape: Shape, normals: Array) -> Array:
    """Return an orthogonal kernel (Saxe et al., 2014) made of standard normals, in float64.

    `normals` has the elements of `normal_shape`.
    """
    rows, columns = normal_shape(law, shape)
    q, r = np.linalg.qr(normals.reshape(rows, columns))
    q *= np.where(np.diagonal(r) < 0.0, -law.gain, law.gain)
    if law.delta:
        out = np.zeros(shape)
        out[tuple((size - 1) // 2 for size in shape[:-2])] = q[: shape[-2]]
        return out
    wide = shape[0] < math.prod(shape[1:]) if law.first else math.prod(shape[:-1]) < shape[-1]
    return np.ascontiguousarray(q.T if wide else q).reshape(shape)


def normal_shape(law: Orthogonal, shape: Shape) -> tuple[int, int]:
    """Return the matrix whose QR makes the kernel: its larger side first."""
    if law.delta:
        return shape[-1], shape[-1]
    side = shape[0] if law.first else shape[-1]
    rest = math.prod(shape) // side
    return max(side, rest), min(side, rest)


def sparse(law: Sparse, normals: Array, ranks: Array) -> Array:
    """Set the `zeros` elements of each column whose words rank lowest to 0.

    `normals` is overwritten; `ranks` holds a word for each element.
    """
    order = np.argsort(ranks, axis=0, kind="stable")
    np.put_along_axis(normals, order[: law.zeros], 0.0, axis=0)
    return normals
