"""Redrawing a plan block by block, and comparing its bits with a file's."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from glorot_cli.checks.claims import by_stored_name, claimed_plan, is_kept, read_claim
from glorot_cli.distributions import Distribution, Orthogonal, Patched
from glorot_cli.drawing import check, drawer
from glorot_cli.dtypes import PRECISIONS, numpy_dtype
from glorot_cli.errors import FormatError, GlorotError
from glorot_cli.fans import Shape
from glorot_cli.formats.blocks import Block, Progress, each_block
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.plan import Plan, PlannedTensor
from glorot_cli.streams.aes_ctr import Draw

Array = np.ndarray[Any, np.dtype[Any]]
Status = Literal[
    "equal", "within tolerance", "different", "missing", "extra", "shape", "dtype", "not drawn"
]
GOOD: tuple[Status, ...] = ("equal", "within tolerance", "not drawn")

# LAPACK's libraries differ in the last bits of float64, times the condition of a square matrix.
ORTHOGONAL_SHARE = 2.0**-30


@dataclass(frozen=True, slots=True)
class Difference:
    """Say where a tensor first differs, what was expected and found there, and how often it does.

    `index` counts along each axis; the bits are those of the stored elements.
    """

    index: tuple[int, ...]
    expected: float
    found: float
    expected_bits: str
    found_bits: str
    count: int


@dataclass(frozen=True, slots=True)
class VerifiedTensor:
    """Hold what a comparison found of one tensor.

    `shape` and `dtype` are the plan's; the file's are `found_shape` and `found_dtype`; None where
    there is no such tensor.
    """

    name: str
    status: Status
    shape: Shape | None = None
    dtype: str | None = None
    found_shape: Shape | None = None
    found_dtype: str | None = None
    difference: Difference | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """Hold what `verify_weights` found."""

    path: str
    seed: int
    tensors: list[VerifiedTensor]

    @property
    def equal(self) -> bool:
        """Whether every tensor is as the plan draws it."""
        return all(tensor.status in GOOD for tensor in self.tensors)


def verify_weights(
    path: str | os.PathLike[str],
    plan: Plan | None = None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Compare a file with what a plan draws, or with what its own provenance says that it holds.

    The bits must be equal. Orthogonal kernels come from LAPACK, so theirs may differ by one step of
    the dtype and 2**-30 of their gain. Tensors that the provenance says were kept from a base
    checkpoint are compared by shape and dtype alone.

    Raises:
        FormatError: if the file cannot be read.
        GlorotError: if there is no plan to draw.
    """
    file = read_headers(path)
    plan = plan_of(file, plan)
    pairing = pair(file, plan)
    found = pairing.found
    differences = _compare(file, pairing.pairs, workers, progress)
    for difference, (_, tensor) in zip(differences, pairing.pairs, strict=True):
        if difference is not None:
            tolerable = difference.count == 0
            found[tensor.name] = replace(
                found[tensor.name],
                status="within tolerance" if tolerable else "different",
                difference=None if tolerable else difference,
            )
    return Verification(os.fspath(file.path), plan.seed, [*found.values(), *pairing.extra])


class Pairing(NamedTuple):
    """Hold what headers say of a plan's tensors, by name; the pairs to compare; what is extra."""

    found: dict[str, VerifiedTensor]
    pairs: list[tuple[StoredTensor, PlannedTensor]]
    extra: list[VerifiedTensor]


def pair(file: StoredFile, plan: Plan) -> Pairing:
    """Pair a file's tensors with a plan's; those are `equal` so far whose headers are."""
    claim, planned, stored = read_claim(file), by_stored_name(plan, file), file.by_name()
    found: dict[str, VerifiedTensor] = {}
    pairs: list[tuple[StoredTensor, PlannedTensor]] = []
    for name, tensor in planned.items():
        result = _by_header(tensor, stored.get(name))
        if result.status == "equal" and is_kept(claim, tensor.name):
            result = replace(result, status="not drawn")
        elif result.status == "equal":
            pairs.append((stored[name], tensor))
        found[tensor.name] = result
    extra = [
        VerifiedTensor(t.name, "extra", found_shape=t.shape, found_dtype=t.dtype)
        for t in file.tensors
        if t.name not in planned
    ]
    return Pairing(found, pairs, extra)


def plan_of_file(path: str | os.PathLike[str]) -> Plan:
    """Return the plan that a file's provenance records.

    Raises:
        FormatError: if the file cannot be read, or says nothing of a plan.
    """
    return plan_of(read_headers(path), None)


def plan_of(file: StoredFile, plan: Plan | None) -> Plan:
    """Return the plan to compare a file with: the given one, or the provenance's.

    A given plan whose spec has no seed takes the one that the provenance claims.

    Raises:
        GlorotError: if there is none, or its seed is not known.
    """
    claim = read_claim(file)
    if plan is None:
        if claim is None:
            raise FormatError(
                f"{file.path} does not say which spec made it; give the spec, "
                "as in glorot verify FILE SPEC"
            )
        try:
            return claimed_plan(claim)
        except GlorotError as error:
            raise FormatError(f"{file.path}: its provenance: {error}") from None
    if not plan.seed_was_drawn:
        return plan
    spec = (claim or {}).get("spec")
    seed = spec.get("seed") if isinstance(spec, dict) else None
    if type(seed) is not int or not 0 <= seed < 2**64:
        raise GlorotError(
            "the spec has no seed, so nothing can be drawn again; "
            "give --seed, or check the laws alone with --statistics"
        )
    return claimed_plan({**(claim or {}), "spec": {**plan.spec, "seed": seed}})


def _by_header(tensor: PlannedTensor, stored: StoredTensor | None) -> VerifiedTensor:
    expected = VerifiedTensor(tensor.name, "missing", tensor.shape, tensor.dtype)
    if stored is None:
        return expected
    status: Status = (
        "shape"
        if stored.shape != tensor.shape
        else "dtype"
        if stored.dtype != tensor.dtype
        else "equal"
    )
    return replace(expected, status=status, found_shape=stored.shape, found_dtype=stored.dtype)


class _Drawers:
    """Make each tensor's drawer once, and let go of it, with what it keeps, at the last block."""

    def __init__(self, tensors: Sequence[PlannedTensor]) -> None:
        self.tensors = tensors
        self._made: dict[int, tuple[Draw, int]] = {}
        self._lock = threading.Lock()

    def of(self, index: int, elements: int) -> Draw:
        tensor = self.tensors[index]
        if elements == tensor.parameters:
            return drawer(tensor)
        with self._lock:
            draw, left = self._made.pop(index, (None, tensor.parameters))
            draw = draw or drawer(tensor)
            if left > elements:
                self._made[index] = draw, left - elements
        return draw


def _compare(
    file: StoredFile,
    pairs: Sequence[tuple[StoredTensor, PlannedTensor]],
    workers: int | None,
    progress: Progress | None,
) -> list[Difference | None]:
    for _, tensor in pairs:
        check(tensor)
    planned = [tensor for _, tensor in pairs]
    dtypes = [numpy_dtype(tensor.dtype) for tensor in planned]
    drawers = _Drawers(planned)
    local = threading.local()

    def compare(block: Block) -> Difference | None:
        dtype, values = dtypes[block.tensor], block.values
        nbytes = values.size * dtype.itemsize
        if getattr(local, "buffer", np.empty(0)).nbytes < nbytes:
            local.buffer = np.empty(nbytes, np.uint8)
        expected = local.buffer[:nbytes].view(dtype)
        drawers.of(block.tensor, values.size)(block.first, expected)
        tensor = planned[block.tensor]
        return _difference(tensor, block.first, expected, values.astype(dtype, copy=False))

    blocks = each_block(file, [s for s, _ in pairs], compare, workers=workers, progress=progress)
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
    law = _core(tensor.distribution)
    if isinstance(law, Orthogonal):
        unequal &= ~_is_close(expected, found, law, tensor.dtype)
    count = int(np.count_nonzero(unequal))
    at = int(np.argmax(unequal))
    digits = 2 * expected.itemsize
    return Difference(
        tuple(int(i) for i in np.unravel_index(first + at, tensor.shape)),
        float(expected[at]),
        float(found[at]),
        f"0x{int(mine[at]):0{digits}x}",
        f"0x{int(other[at]):0{digits}x}",
        count,
    )


def _core(law: Distribution) -> Distribution:
    return law.law if isinstance(law, Patched) else law


def _is_close(expected: Array, found: Array, law: Orthogonal, dtype: str) -> Array:
    a, b = expected.astype(np.float64), found.astype(np.float64)
    precision = PRECISIONS[dtype]
    step = np.maximum(np.abs(a) * 2.0**-precision.fraction, precision.smallest)
    close: Array = np.abs(a - b) <= step + abs(law.gain) * ORTHOGONAL_SHARE
    return close
