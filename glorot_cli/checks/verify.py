"""Redrawing a plan block by block, and comparing its bits with a file's."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from glorot_cli.checks.distances import plain
from glorot_cli.checks.pairing import (
    CHECKED,
    UNCHECKED,
    Difference,
    VerifiedTensor,
    pair,
    plan_of,
    unchecked,
)
from glorot_cli.distributions import Distribution, Orthogonal, Patched, Pieces, leaves
from glorot_cli.drawing import Drawers, check_all, draw_small, is_small
from glorot_cli.dtypes import PRECISIONS, Array, numpy_dtype
from glorot_cli.errors import FormatError, shown
from glorot_cli.fans import Shape
from glorot_cli.formats.blocks import Block, each_block
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.plan import Plan, PlannedTensor
from glorot_cli.streams import DEFAULT
from glorot_cli.streams.pieces import Layout
from glorot_cli.workers import Progress

# LAPACK's libraries differ in the last bits of float64, times the condition of a square matrix.
ORTHOGONAL_SHARE = 2.0**-30


@dataclass(frozen=True, slots=True)
class Verification:
    """Hold what `verify_weights` found; it is true if that is `equal`.

    `seed_is_claimed` tells that the seed is the file's own claim, for the spec given had none.
    """

    path: str
    seed: int
    tensors: list[VerifiedTensor]
    seed_is_claimed: bool = False

    @property
    def equal(self) -> bool:
        """Whether every tensor that was to be checked is as drawn, and at least one was."""
        statuses = {tensor.status for tensor in self.tensors}
        return statuses <= {*CHECKED, UNCHECKED} and not statuses.isdisjoint(CHECKED)

    @property
    def unchecked(self) -> int:
        """How many tensors were compared by shape and dtype alone."""
        return sum(tensor.status == UNCHECKED for tensor in self.tensors)

    def __bool__(self) -> bool:
        return self.equal


def verify_weights(
    path: str | os.PathLike[str],
    plan: Plan | None = None,
    *,
    kept: Sequence[str] = (),
    key: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Compare a file with what a plan draws, or with what its own provenance says that it holds.

    The bits must be equal. Orthogonal kernels come from LAPACK, so theirs may differ by one step of
    the dtype and 2**-30 of their gain. With a plan, nothing that the file says of itself counts,
    but for the seed of a spec without one. Tensors whose names a glob of `kept` matches, or which
    without a plan the provenance says were kept from a base checkpoint, are compared by shape and
    dtype alone. `key` chooses the mapping of weights in a file of torch's.

    Raises:
        FormatError: if the file cannot be read.
        GlorotError: if there is no plan to draw, or a glob of `kept` matches none of its tensors.
    """
    return verify_stored(
        read_headers(path, key), plan, kept=kept, workers=workers, progress=progress
    )


def verify_stored(
    file: StoredFile,
    plan: Plan | None,
    *,
    kept: Sequence[str],
    workers: int | None,
    progress: Progress | None,
) -> Verification:
    """Do as `verify_weights` does, for a file whose headers are read."""
    seed_is_claimed = plan is not None and plan.seed_was_drawn
    trusted, plan = plan is None, plan_of(file, plan)
    pairing = pair(file, plan, unchecked(file, plan, kept, trusted=trusted))
    found = pairing.found
    pairs = pairing.pairs
    if all(tensor.rng == DEFAULT for _, tensor in pairs):
        # Neighbours in the file are read at once; other streams are drawn in the plan's order.
        pairs = sorted(pairs, key=lambda each: (str(each[0].path), each[0].offset or 0))
    differences = _compare(file, pairs, workers, progress)
    for difference, (_, tensor) in zip(differences, pairs, strict=True):
        if difference is not None:
            tolerable = difference.count == 0
            found[tensor.name] = replace(
                found[tensor.name],
                status="within tolerance" if tolerable else "different",
                difference=None if tolerable else difference,
            )
    tensors = [*found.values(), *pairing.extra]
    return Verification(os.fspath(file.path), plan.seed, tensors, seed_is_claimed)


def _check_orthogonal(file: StoredFile, stored: StoredTensor, tensor: PlannedTensor) -> None:
    """Check that a tensor which takes long to draw is not claimed for a few compressed bytes.

    Raises:
        FormatError: if it is: elements of any continuous distribution are hardly compressible.
    """
    is_orthogonal = any(isinstance(each, Orthogonal) for each in leaves(tensor.distribution))
    if is_orthogonal and stored.stored is not None and 8 * stored.stored < stored.nbytes:
        raise FormatError(
            f"{file.path}: {shown(tensor.name)} is to be orthogonal, and its {stored.nbytes} bytes "
            f"are compressed to {stored.stored}, which no random elements are; not drawn"
        )


def _compare(
    file: StoredFile,
    pairs: Sequence[tuple[StoredTensor, PlannedTensor]],
    workers: int | None,
    progress: Progress | None,
) -> list[Difference | None]:
    check_all(tensor for _, tensor in pairs)
    for stored, tensor in pairs:
        _check_orthogonal(file, stored, tensor)
    planned = [tensor for _, tensor in pairs]
    dtypes = [numpy_dtype(tensor.dtype) for tensor in planned]
    drawers = Drawers()
    local = threading.local()

    def draw_ahead(blocks: Sequence[Block]) -> None:
        small = [b for b in blocks if is_small(planned[b.tensor])]
        starts = [0, *itertools.accumulate(b.values.size for b in small)]
        drawn = np.empty(starts[-1], np.float32)
        local.drawn = {
            b.tensor: drawn[start:stop]
            for b, (start, stop) in zip(small, itertools.pairwise(starts), strict=True)
        }
        if small:
            draw_small([planned[b.tensor] for b in small], starts[:-1], drawn)

    def compare(block: Block) -> Difference | None:
        dtype, values = dtypes[block.tensor], block.values
        drawn = getattr(local, "drawn", {}).pop(block.tensor, None)
        if drawn is not None:
            return _difference(planned[block.tensor], 0, drawn, values.astype(dtype, copy=False))
        nbytes = values.size * dtype.itemsize
        if getattr(local, "buffer", np.empty(0)).nbytes < nbytes:
            local.buffer = np.empty(nbytes, np.uint8)
        expected = local.buffer[:nbytes].view(dtype)
        tensor = planned[block.tensor]
        drawers.of(tensor, values.size)(block.first, expected)
        return _difference(tensor, block.first, expected, values.astype(dtype, copy=False))

    blocks = each_block(
        file,
        [stored for stored, _ in pairs],
        compare,
        ahead=draw_ahead,
        workers=workers,
        progress=progress,
    )
    return [_joined(found) for found in blocks]


def _joined(found: Sequence[Difference | None]) -> Difference | None:
    """Join what the blocks of a tensor found: the first difference, and how many there are."""
    differences = [each for each in found if each is not None]
    if not differences:
        return None
    first = next((each for each in differences if each.count), differences[0])
    return replace(first, count=sum(each.count for each in differences))


def _difference(
    tensor: PlannedTensor, first: int, expected: Array, found: Array
) -> Difference | None:
    """Return where two blocks differ; with a count of 0 if they only do so within tolerance."""
    bits = f"<u{expected.itemsize}"
    mine, other = expected.view(bits), found.view(bits)
    unequal = mine != other
    if not unequal.any():
        return None
    gains = _orthogonal_gains(tensor.distribution, tensor.shape, first, expected.size)
    if gains.any():
        unequal &= ~((gains > 0.0) & _is_close(expected, found, gains, tensor.dtype))
    count = int(np.count_nonzero(unequal))
    at = int(np.argmax(unequal))
    digits = 2 * expected.itemsize
    return Difference(
        tuple(int(i) for i in np.unravel_index(first + at, tensor.shape)),
        plain(expected[at]),
        plain(found[at]),
        f"0x{int(mine[at]):0{digits}x}",
        f"0x{int(other[at]):0{digits}x}",
        count,
    )


def _orthogonal_gains(law: Distribution, shape: Shape, first: int, size: int) -> Array:
    """Return the gains of the orthogonal kernels that elements are of; 0 for all others."""
    match law:
        case Patched():
            return _orthogonal_gains(law.law, shape, first, size)
        case Orthogonal(gain=gain):
            return np.full(size, gain)
        case Pieces() if any(isinstance(each, Orthogonal) for each in leaves(law)):
            gains, layout = np.zeros(size), Layout(law, shape)
            for kernel, at, places in layout.parts(first, size):
                count = gains[places].size
                own = _orthogonal_gains(law.law(kernel), layout.kernel_shape, at, count)
                gains[places] = own
            return gains
    return np.zeros(1)


def _is_close(expected: Array, found: Array, gains: Array, dtype: str) -> Array:
    a, b = expected.astype(np.float64), found.astype(np.float64)
    precision = PRECISIONS[dtype]
    step = np.maximum(np.abs(a) * 2.0**-precision.fraction, precision.smallest)
    close: Array = np.abs(a - b) <= step + gains * ORTHOGONAL_SHARE
    return close
