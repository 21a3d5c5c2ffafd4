"""Structures that show in where elements stand: orthogonal, identity, dirac, sparse, zero rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from glorot_cli.distributions import Normal, Ones
from glorot_cli.dtypes import PRECISIONS, Array
from glorot_cli.fans import Shape
from glorot_cli.formats.elements import Elements
from glorot_cli.formats.stored import StoredTensor
from glorot_cli.goodness_of_fit.fit import Fit
from glorot_cli.goodness_of_fit.sketch import LEAST, Sketch, quality
from glorot_cli.moments import Moments, significant
from glorot_cli.workers import BLOCK_BYTES

# So many vectors tell an orthogonal kernel from a random one, even in eight bits.
VECTORS = 16
# What is not contiguous in the file, or has to be seen whole, is looked at up to this size.
LARGEST_WHOLE = 64 << 20
_ACCIDENT = 1e-3
# What elements are, and not only could be.
EXACT = (
    "identity", "dirac", "orthogonal", "delta_orthogonal", "unit_forget_bias", "zeros", "ones",
    "constant",
)  # fmt: skip


def structured(elements: Elements, tensor: StoredTensor, sketch: Sketch) -> Iterator[Fit]:
    """Give the structures that a tensor has.

    Raises:
        FormatError: if the file ends early.
    """
    m, shape = sketch.moments, tensor.shape
    if tensor.dtype not in PRECISIONS or m.minimum == m.maximum or m.nan or m.inf:
        return
    if len(shape) == 1:
        yield from _forget_bias(elements, tensor, m)
    if len(shape) < 2:
        return
    if tensor.slabs is not None and tensor.nbytes > LARGEST_WHOLE:
        return
    yield from _diagonal(elements, tensor, m)
    zeros = np.searchsorted(sketch.ordered, 0.0, "right") - np.searchsorted(sketch.ordered, 0.0)
    if zeros > 0.005 * sketch.ordered.size:
        if 3 <= len(shape) <= 5:
            yield from _delta(elements, tensor, m)
        if len(shape) == 2 and tensor.nbytes <= LARGEST_WHOLE:
            yield from _sparse(elements, tensor, sketch)
    else:
        yield from _orthogonal(elements, tensor, m.scale)


def _forget_bias(elements: Elements, tensor: StoredTensor, m: Moments) -> Iterator[Fit]:
    """Look for the bias of Keras's LSTM: zeros, but ones in the second of four quarters."""
    units, rest = divmod(m.count, 4)
    if rest or not units or (m.minimum, m.maximum, m.offset) != (0.0, 1.0, 0.25):
        return
    if _places(elements, tensor) == list(range(units, 2 * units)):
        yield Fit("unit_forget_bias", 1.0, {})


def _box(elements: Elements, tensor: StoredTensor, *parts: tuple[int, int]) -> Array:
    """Read the box of the given ranges along the first axes, and everything along the others."""
    ranges = [*parts, *((0, size) for size in tensor.shape[len(parts) :])]
    return elements.box(tensor, tuple(slice(*part) for part in ranges)).astype(np.float64)


def _orthogonal(elements: Elements, tensor: StoredTensor, scale: float) -> Iterator[Fit]:
    """Look at some vectors of the shorter side, in Keras's and in torch's reading of a kernel."""
    shape = tensor.shape
    readings = {(math.prod(shape[:-1]), shape[-1]), (shape[0], math.prod(shape[1:]))}
    for rows, columns in sorted(readings):
        if min(rows, columns) < 2 or min(rows, columns) * max(rows, columns) < 4:
            continue
        matrix = StoredTensor(
            tensor.name, (rows, columns), tensor.dtype, tensor.offset, tensor.nbytes,
            tensor.byte_order, tensor.path, tensor.slabs,
        )  # fmt: skip
        wanted = min(VECTORS, rows, columns)
        if rows <= columns:
            vectors = _box(elements, matrix, (0, wanted))
        else:
            vectors = _box(elements, matrix, (0, rows), (0, wanted)).T
        gain = _gain(vectors / scale, tensor.dtype)
        if gain is not None:
            yield Fit("orthogonal", 1.0, {"gain": significant(gain * scale)})
            return


def _gain(vectors: Array, dtype: str) -> float | None:
    """Return the length of vectors that are orthogonal and of one length, up to rounding."""
    products = vectors @ vectors.T
    square = float(products.diagonal().mean())
    if not square > 0.0:
        return None
    allowed = min(_allowed(vectors.shape[1], dtype), 0.5)
    # Two vectors tell most kernels.
    if abs(float(products[0, 1])) / square > allowed:
        return None
    off = float(np.abs(products / square - np.eye(len(vectors))).max())
    if off > allowed:
        return None
    return math.sqrt(square) if tells_orthogonal(len(vectors), vectors.shape[1], dtype) else None


def _allowed(length: int, dtype: str) -> float:
    """Return how far rounding moves products of vectors of length 1."""
    step = 2.0 ** -PRECISIONS[dtype].fraction
    # Rounding errors average out along a vector.
    return 6.0 * step / math.sqrt(length) + step * step + 1e-5


def tells_orthogonal(vectors: int, length: int, dtype: str) -> bool:
    """Tell whether so many vectors of so many bits are not orthogonal by chance."""
    vectors = min(vectors, VECTORS)
    # Products of random ones spread by 1 / sqrt(length).
    chance = min(1.0, _allowed(length, dtype) * math.sqrt(length))
    return bool(chance ** (vectors * (vectors + 1) // 2 - 1) < _ACCIDENT)


def _delta(elements: Elements, tensor: StoredTensor, m: Moments) -> Iterator[Fit]:
    """Look for a convolution's kernel that is orthogonal at its centre and 0 elsewhere."""
    shape = tensor.shape
    centre = [((size - 1) // 2, (size - 1) // 2 + 1) for size in shape[:-2]]
    matrix = _box(elements, tensor, *centre).reshape(shape[-2:]) / m.scale
    squares = float(np.sum(matrix * matrix))
    if squares < m.squares * (1.0 - 1e-5) or min(matrix.shape) < 2:
        return
    gain = _gain(matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T, tensor.dtype)
    if gain is not None:
        yield Fit("delta_orthogonal", 1.0, {"scale": significant(gain * m.scale)})


def _sparse(elements: Elements, tensor: StoredTensor, sketch: Sketch) -> Iterator[Fit]:
    """Look for a normal distribution with as many zeros in each column."""
    values = _box(elements, tensor)
    zeros = np.count_nonzero(values == 0.0, axis=0)
    drawn = values[values != 0.0]
    # Where the zeros are whole rows, they are rows of padding.
    rows = np.count_nonzero(~values.any(axis=1))
    alike = rows == zeros.max() or not drawn.size or drawn.min() == drawn.max()
    if alike or zeros.min() == 0 or zeros.max() != zeros.min():
        return
    moments = Moments.of(drawn, 0.0)
    std = moments.deviation
    distribution = Normal(0.0, std)
    chance = quality(
        distribution, Sketch(moments, np.sort(drawn[:: -(-drawn.size // 32768)])), tensor.dtype
    )
    if chance >= LEAST:
        parameters = {
            "sparsity": significant(int(zeros[0]) / tensor.shape[0]),
            "std": significant(std),
        }
        yield Fit("sparse", significant(chance, 3), parameters)


def _diagonal(elements: Elements, tensor: StoredTensor, m: Moments) -> Iterator[Fit]:
    """Look for one value at the places of an identity, or of a convolution that passes through."""
    value = m.maximum if m.minimum == 0.0 else m.minimum
    unit = value / m.scale
    if 0.0 not in (m.minimum, m.maximum) or abs(m.squares - unit * m.total) > 1e-5 * m.squares:
        return
    count = round(m.total / unit)
    if count > min(10_000_000, 2 * max(tensor.shape)):
        return
    places = _places(elements, tensor)
    for name, distribution in _known_places(tensor.shape, count):
        expected = [
            distribution.start + group * distribution.stride + i * distribution.step
            for group in range(distribution.groups)
            for i in range(distribution.count)
        ]
        if places == expected:
            if name == "identity":
                yield Fit(name, 1.0, {"gain": value})
            elif value == 1.0:
                yield Fit(name, 1.0, {"groups": float(distribution.groups)})


def _known_places(shape: Shape, count: int) -> Iterator[tuple[str, Ones]]:
    if len(shape) == 2:
        yield "identity", Ones(1.0, min(shape), shape[1] + 1)
        return
    field = math.prod(shape[2:])
    centre = 0
    for size in shape[2:]:
        centre = centre * size + size // 2
    for groups in range(1, min(shape[0], count) + 1):
        outputs = shape[0] // groups
        if shape[0] % groups == 0 and groups * min(outputs, shape[1]) == count:
            step, stride = (shape[1] + 1) * field, outputs * shape[1] * field
            yield "dirac", Ones(1.0, min(outputs, shape[1]), step, centre, groups, stride)


def _places(elements: Elements, tensor: StoredTensor) -> list[int]:
    """Return where elements are not 0."""
    total = math.prod(tensor.shape)
    step = BLOCK_BYTES // PRECISIONS[tensor.dtype].itemsize
    found: list[int] = []
    for first in range(0, total, step):
        values = elements.run(tensor, first, min(step, total - first))
        found += (np.flatnonzero(values) + first).tolist()
    return found


def zero_runs(block: Array, first: int, length: int) -> dict[int, int]:
    """Return how many elements a block holds of each row that is all zeros within it.

    The block begins at element `first` of a tensor whose rows are `length` long.
    """
    found = {}
    head = -first % length
    if head and not block[:head].any():
        found[first // length] = min(head, block.size)
    rows = (block.size - head) // length if head < block.size else 0
    start = (first + head) // length
    whole = block[head : head + rows * length].reshape(rows, length)
    for row in np.flatnonzero(whole[:, 0] == 0).tolist() if rows else ():
        if not whole[row].any():
            found[start + row] = length
    tail = block[head + rows * length :]
    if tail.size and head < block.size and not tail.any():
        found[start + rows] = tail.size
    return found


def zero_rows(runs: Iterable[dict[int, int]], length: int) -> tuple[int, ...]:
    """Return the rows that are all zeros, given those of each block."""
    counts: Counter[int] = Counter()
    for run in runs:
        counts.update(run)
    return tuple(sorted(row for row, count in counts.items() if count == length))


def without_zeros(sketch: Sketch, zeros: int) -> Sketch | None:
    """Return the sketch of what is left without so many zeros, if anything is.

    Where 0 is an extreme, those of the rest are not known, and the sample has to do alone.
    """
    m = sketch.moments
    rest = sketch.ordered[sketch.ordered != 0.0]
    if not rest.size or zeros >= m.count:
        return None
    if not m.minimum < 0.0 < m.maximum:
        return Sketch(Moments.of(rest, 0.0), rest)
    moments = replace(m, count=m.count - zeros)
    return Sketch(moments, rest)
