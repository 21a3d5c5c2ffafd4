"""Comparing two weight files, in whatever formats: names, shapes, dtypes and bits."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from glorot_cli.checks.claims import stored_names
from glorot_cli.checks.distances import distances, exceeding, plain
from glorot_cli.dtypes import Array
from glorot_cli.errors import FormatError, GlorotError, shown
from glorot_cli.fans import Shape
from glorot_cli.formats.blocks import Block, each_block, is_readable
from glorot_cli.formats.elements import Box, Elements, boxes
from glorot_cli.formats.reading import is_torch, read_headers
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.renames import Axes, Rename, renamed
from glorot_cli.workers import Progress

Status = Literal["equal", "within tolerance", "different", "missing", "extra", "shape", "dtype"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Say how far two tensors are apart: the largest difference, where, both values, how many.

    `index` counts in the first file. `largest` is infinite where only one is a number; `beyond`
    counts the elements over the tolerance.
    """

    largest: float | int
    index: tuple[int, ...]
    value: float | int
    other_value: float | int
    count: int
    beyond: int


@dataclass(frozen=True, slots=True)
class DiffedTensor:
    """Hold what a comparison found of one tensor; `other_` stands for the second file.

    It is `missing` if only the first file has it, and `extra` if only the second does.
    """

    name: str | None
    other_name: str | None
    status: Status
    shape: Shape | None = None
    other_shape: Shape | None = None
    dtype: str | None = None
    other_dtype: str | None = None
    gap: Gap | None = None


@dataclass(frozen=True, slots=True)
class Diff:
    """Hold what `diff_weights` found; it is true if the files are `equal`."""

    path: str
    other_path: str
    tolerance: float | None
    tensors: list[DiffedTensor]

    @property
    def equal(self) -> bool:
        """Whether the files hold the same."""
        return all(tensor.status in ("equal", "within tolerance") for tensor in self.tensors)

    def __bool__(self) -> bool:
        return self.equal


class _Pair(NamedTuple):
    place: int
    tensor: StoredTensor
    other: StoredTensor
    axes: Axes

    @property
    def is_straight(self) -> bool:
        """Whether both have their axes in one order."""
        return self.axes == tuple(range(len(self.axes)))


def diff_weights(
    path: str | os.PathLike[str],
    other_path: str | os.PathLike[str],
    *,
    tolerance: float | None = None,
    renames: Sequence[Rename] = (),
    key: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Diff:
    """Compare two weight files tensor by tensor.

    Without a `tolerance` the bits must be equal; with one, elements may differ by as much, in value
    and whatever their dtypes, and NaN equals NaN; whole numbers are compared exactly. `renames`
    lead from the first file's names, and orders of axes, to the second's. Names are those of the
    layers where a file says them. `key` chooses the mapping of weights in files of torch's.

    Raises:
        FormatError: if a file cannot be read.
        GlorotError: if a rename does not fit.
    """
    check_tolerance(tolerance)
    file, other = read_pair(path, other_path, key)
    return diff_stored(
        file, other, tolerance=tolerance, renames=renames, workers=workers, progress=progress
    )


def read_pair(
    path: str | os.PathLike[str], other_path: str | os.PathLike[str], key: str | None
) -> tuple[StoredFile, StoredFile]:
    """Read the headers of two files; a key is for those of them that torch wrote.

    Raises:
        FormatError: if a file cannot be read, or the key is for neither.
    """
    paths = path, other_path
    keyed = [key is not None and is_torch(each) for each in paths]
    if key is not None and not any(keyed):
        keyed[0] = True  # and refused
    one, two = (
        read_headers(each, key if has_key else None)
        for each, has_key in zip(paths, keyed, strict=True)
    )
    return one, two


def check_tolerance(tolerance: float | None) -> None:
    """Check that a tolerance is a finite number of at least 0.

    Raises:
        GlorotError: if it is not.
    """
    if tolerance is not None and not 0.0 <= tolerance < math.inf:
        raise GlorotError(f"--tolerance: expected a number of at least 0, found {tolerance}")


def diff_stored(
    file: StoredFile,
    other: StoredFile,
    *,
    tolerance: float | None,
    renames: Sequence[Rename],
    workers: int | None,
    progress: Progress | None,
) -> Diff:
    """Do as `diff_weights` does, for files whose headers are read."""
    mine, theirs = stored_names(file, other), stored_names(other, file)
    found: list[DiffedTensor] = []
    pairs: list[_Pair] = []
    for name, (new, rename) in renamed(list(mine), renames).items():
        a, b = mine[name], theirs.pop(new, None)
        result = DiffedTensor(name, new, "missing", shape=a.shape, dtype=a.dtype)
        if b is not None:
            axes = tuple(range(len(a.shape))) if rename is None else rename.order(a.shape)
            shape = tuple(a.shape[axis] for axis in axes)
            result = replace(
                result,
                status="equal" if shape == b.shape else "shape",
                other_shape=b.shape,
                other_dtype=b.dtype,
            )
            if shape == b.shape and a.nbytes:
                pairs.append(_Pair(len(found), a, b, axes))
        found.append(result)
    with Elements(file) as elements, Elements(other) as others:
        for gap, pair in zip(
            _Comparison(elements, others, tolerance, workers, progress).of(pairs),
            pairs,
            strict=True,
        ):
            if gap is not None and not is_readable(pair.tensor):
                gap = _of_elements(gap, pair.tensor)
            found[pair.place] = _judged(found[pair.place], gap, tolerance)
    found += [
        DiffedTensor(None, name, "extra", other_shape=t.shape, other_dtype=t.dtype)
        for name, t in theirs.items()
    ]
    return Diff(os.fspath(file.path), os.fspath(other.path), tolerance, found)


def _judged(result: DiffedTensor, gap: Gap | None, tolerance: float | None) -> DiffedTensor:
    status: Status = "equal"
    if tolerance is None:
        if result.dtype != result.other_dtype:
            status = "dtype"
        elif gap is not None:
            status = "different"
    elif gap is not None:
        status = "different" if gap.beyond else "within tolerance"
    return replace(result, status=status, gap=gap)


class _Comparison:
    """Compare pairs block by block, led by the file whose bytes come in one order only."""

    def __init__(
        self,
        elements: Elements,
        others: Elements,
        tolerance: float | None,
        workers: int | None,
        progress: Progress | None,
    ) -> None:
        self.elements = elements
        self.others = others
        self.tolerance = tolerance
        self.workers = workers
        self.progress = progress

    def of(self, pairs: Sequence[_Pair]) -> list[Gap | None]:
        pairs = [self._decodable(pair) for pair in pairs]
        found: dict[int, Gap | None] = {}
        straight = [p for p in pairs if p.is_straight]
        led_by_other = [p for p in straight if p.other.slabs and not p.tensor.slabs]
        led = [p for p in straight if not (p.other.slabs and not p.tensor.slabs)]
        found.update(self._straight(led, self.elements.file, by_other=False))
        found.update(self._straight(led_by_other, self.others.file, by_other=True))
        for pair in pairs:
            if pair.place not in found:
                found[pair.place] = self._turned(pair)
        return [found[pair.place] for pair in pairs]

    def _decodable(self, pair: _Pair) -> _Pair:
        """Return a pair whose elements can be read, as bytes where nothing else is known of them.

        Raises:
            FormatError: if they cannot be compared so either.
        """
        if is_readable(pair.tensor) and is_readable(pair.other):
            return pair
        if self.tolerance is None and pair.tensor.dtype == pair.other.dtype and pair.is_straight:
            return _Pair(pair.place, _as_bytes(pair.tensor), _as_bytes(pair.other), (0,))
        odd = pair.other if is_readable(pair.tensor) else pair.tensor
        file = self.elements.file if odd is pair.tensor else self.others.file
        raise FormatError(
            f"{file.path}: {shown(odd.name)}: cannot read elements of dtype {odd.dtype}"
        )

    def _straight(
        self, pairs: Sequence[_Pair], leader: StoredFile, *, by_other: bool
    ) -> Iterable[tuple[int, Gap | None]]:
        def compare(block: Block) -> Gap | None:
            pair, size = pairs[block.tensor], block.values.size
            if by_other:
                a, b = self.elements.run(pair.tensor, block.first, size), block.values
            else:
                a, b = block.values, self.others.run(pair.other, block.first, size)
            return _gap(a, b, self.tolerance, pair.tensor.shape, block.first)

        tensors = [pair.other if by_other else pair.tensor for pair in pairs]
        blocks = each_block(leader, tensors, compare, workers=self.workers, progress=self.progress)
        for pair, gaps in zip(pairs, blocks, strict=True):
            yield pair.place, _joined(gaps)

    def _turned(self, pair: _Pair) -> Gap | None:
        def compare(box: Box) -> Gap | None:
            turned = tuple(box[axis] for axis in pair.axes)
            a = self.elements.box(pair.tensor, box)
            b = self.others.box(pair.other, turned).transpose(np.argsort(pair.axes))
            gap = _gap(a.reshape(-1), np.ascontiguousarray(b).reshape(-1), self.tolerance, a.shape)
            if gap is None:
                return None
            starts = (part.start for part in box)
            index = tuple(i + start for i, start in zip(gap.index, starts, strict=True))
            return replace(gap, index=index)

        with ThreadPoolExecutor(self.workers or os.cpu_count()) as pool:
            return _joined(pool.map(compare, boxes(pair.tensor.shape, pair.axes)))


def _as_bytes(tensor: StoredTensor) -> StoredTensor:
    """Return a tensor as the bytes that it takes."""
    slabs = tensor.slabs

    def parts() -> Iterator[Array]:
        assert slabs is not None
        return (np.ascontiguousarray(part).view(np.uint8) for part in slabs())

    return replace(
        tensor,
        shape=(tensor.nbytes,),
        dtype="uint8",
        byte_order="<",
        slabs=None if slabs is None else parts,
    )


def _of_elements(gap: Gap, tensor: StoredTensor) -> Gap:
    """Return the place of a byte as that of its element."""
    place = gap.index[0] * math.prod(tensor.shape) // tensor.nbytes
    return replace(gap, index=tuple(int(i) for i in np.unravel_index(place, tensor.shape)))


def _joined(gaps: Iterable[Gap | None]) -> Gap | None:
    return functools.reduce(_larger, gaps, None)


def _larger(one: Gap | None, two: Gap | None) -> Gap | None:
    if one is None or two is None:
        return one or two
    first = one if one.largest >= two.largest else two
    return replace(first, count=one.count + two.count, beyond=one.beyond + two.beyond)


def _gap(a: Array, b: Array, tolerance: float | None, shape: Shape, first: int = 0) -> Gap | None:
    """Compare two flat blocks, by bits if there is no tolerance, and else by value."""
    if a.dtype == b.dtype:
        bits = f"u{a.itemsize}"
        where = np.flatnonzero(a.view(bits) != b.view(bits))
    else:
        where = np.arange(a.size)
    if not where.size:
        return None
    x, y = a[where], b[where]
    off = distances(x, y)
    beyond = exceeding(off, tolerance or 0.0)
    if tolerance is not None or a.dtype != b.dtype:
        changed = (off != 0) & ~(_is_nan(x) & _is_nan(y))
        where, x, y, off, beyond = (each[changed] for each in (where, x, y, off, beyond))
        if not where.size:
            return None
    at = int(np.argmax(off))
    return Gap(
        plain(off[at]),
        tuple(int(i) for i in np.unravel_index(first + int(where[at]), shape)),
        plain(x[at]),
        plain(y[at]),
        int(where.size),
        int(np.count_nonzero(beyond)),
    )


def _is_nan(values: Array) -> Array:
    return np.isnan(values.astype(np.float64))
