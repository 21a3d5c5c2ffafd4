"""Singular values of the matrices in a file, against those of a random matrix."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glorot_cli.dtypes import PRECISIONS
from glorot_cli.fans import Shape
from glorot_cli.formats.elements import Elements
from glorot_cli.formats.stored import StoredFile, StoredTensor

Matrix = NDArray[np.float64]

# A matrix whose shorter side is at most this is decomposed; of a larger one the largest value alone
# is estimated.
LARGEST_SIDE = 2048
# Elements of a matrix that is held in memory, as float64: 2 GiB.
LARGEST_MATRIX = 1 << 28
_VECTORS, _ROUNDS = 8, 6


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The singular values of a matrix of `rows` x `columns`.

    `expected` are the edges between which those of independent elements of the same standard
    deviation lie (Marchenko and Pastur, 1967). `effective_rank` is the exponential of the entropy
    of the singular values (Roy and Vetterli, 2007). `smallest` and `effective_rank` are None where
    only the largest value was estimated.
    """

    rows: int
    columns: int
    largest: float
    smallest: float | None
    expected: tuple[float, float]
    effective_rank: float | None

    @property
    def deviation(self) -> float | None:
        """By how much the singular values differ from their mean at most; 0 of an orthogonal."""
        if self.smallest is None or self.largest + self.smallest == 0.0:
            return None
        return (self.largest - self.smallest) / (self.largest + self.smallest)


def spectrum_of(matrix: Matrix) -> Spectrum:
    """Return the spectrum of a matrix, by its SVD or, if that is large, by power iteration.

    The largest singular value of a large matrix comes from a randomized subspace iteration (Halko
    et al., 2011), and is right to about 1e-3.
    """
    rows, columns = matrix.shape
    std = float(np.std(matrix))
    sides = math.sqrt(rows), math.sqrt(columns)
    expected = std * abs(sides[0] - sides[1]), std * (sides[0] + sides[1])
    if min(rows, columns) > LARGEST_SIDE:
        return Spectrum(rows, columns, _largest(matrix), None, expected, None)
    values = np.linalg.svd(matrix, compute_uv=False)
    total = float(values.sum())
    shares = values[values > 0.0] / total if total > 0.0 else np.empty(0)
    rank = math.exp(float(-np.sum(shares * np.log(shares)))) if shares.size else 0.0
    return Spectrum(rows, columns, float(values[0]), float(values[-1]), expected, rank)


def _largest(matrix: Matrix) -> float:
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((matrix.shape[1], _VECTORS))
    for _ in range(_ROUNDS):
        basis, _ = np.linalg.qr(matrix.T @ (matrix @ basis))
    return float(np.linalg.svd(matrix @ basis, compute_uv=False)[0])


def matrix_shape(name: str, shape: Shape, *, outputs_first: bool) -> tuple[int, int] | None:
    """Return the shape of a kernel as a matrix: its outputs against all its other axes.

    A `kernel` has its outputs last, a `weight` first; `outputs_first` says it of other names. None
    of what has fewer than two axes, or is too large to be held.
    """
    if len(shape) < 2 or 0 in shape or math.prod(shape) > LARGEST_MATRIX:
        return None
    last = re.split(r"[./:]", name.removesuffix(":0"))[-1]
    first = {"kernel": False, "weight": True}.get(last, outputs_first)
    total, outputs = math.prod(shape), shape[0] if first else shape[-1]
    return (outputs, total // outputs) if first else (total // outputs, outputs)


def spectra(
    file: StoredFile, tensors: list[StoredTensor], *, outputs_first: bool
) -> Iterator[Spectrum | None]:
    """Yield each tensor's spectrum, None of what is no matrix of finite floats or too large."""
    with Elements(file) as elements:
        for tensor in tensors:
            shape = matrix_shape(tensor.name, tensor.shape, outputs_first=outputs_first)
            if shape is None or tensor.dtype not in PRECISIONS:
                yield None
                continue
            values = elements.run(tensor, 0, math.prod(tensor.shape)).astype(np.float64)
            yield spectrum_of(values.reshape(shape)) if np.isfinite(values).all() else None
