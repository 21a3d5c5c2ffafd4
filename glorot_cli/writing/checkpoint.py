"""Part of a checkpoint: tensors kept from an older file, some of them grown or shrunk."""

from __future__ import annotations

import fnmatch
import math
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from glorot_cli.drawing import check, drawer
from glorot_cli.dtypes import PRECISIONS, Array, numpy_dtype
from glorot_cli.errors import GlorotError, shown, suggestion
from glorot_cli.fans import Shape
from glorot_cli.formats.remote import Remote, is_url
from glorot_cli.formats.sources import Place
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.plan import Plan, PlannedTensor
from glorot_cli.renames import Rename, renamed
from glorot_cli.streams.request import Draw
from glorot_cli.writing.base_files import BaseFiles, open_base, reader

Filling = Literal["init", "mean", "zeros"]
FILLINGS: tuple[Filling, ...] = get_args(Filling)

# As much is read at once of a tensor that is resized.
_READ_BYTES = 1 << 22
# Means of longer rows are not kept, but taken again for each part of a row.
_LONGEST_MEAN = 1 << 18
_MOST_MEANS = 8


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Hold an older file, the globs of what is drawn anew, and how resized tensors are filled.

    `resize` maps a glob to what its new elements hold: draws of their own law (`init`), the mean
    of the old ones along the resized axis, or zeros. `rows` maps a glob to the rows, along the
    first axis, that are drawn anew; `renames` lead from the file's names to the plan's. With
    `marked` only what the plan itself keeps is kept.
    """

    path: Place
    file: StoredFile
    files: BaseFiles
    only: tuple[str, ...]
    resize: Mapping[str, Filling]
    key: str | None = None
    rows: Mapping[str, Rows] = field(default_factory=dict)
    renames: tuple[Rename, ...] = ()
    marked: bool = False

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        only: Sequence[str] = (),
        resize: Mapping[str, Filling] | None = None,
        key: str | None = None,
        rows: Mapping[str, Rows] | None = None,
        renames: Sequence[Rename] = (),
        marked: bool = False,
    ) -> Checkpoint:
        """Read a file's headers; `key` chooses the mapping of weights in one of torch's.

        Raises:
            FormatError: if it is no weight file, or is replaced meanwhile.
        """
        place = Remote(os.fspath(path)) if is_url(path) else Path(path)
        absolute = place if isinstance(place, Remote) else place.absolute()
        file, files = open_base(place, key)
        settings = dict(resize or {}), key, dict(rows or {}), tuple(renames), marked
        return cls(absolute, file, files, tuple(only), *settings)

    def settings(self) -> Settings:
        """Return what reads the same base elsewhere."""
        settings = dict(self.resize), self.key, dict(self.rows), self.renames, self.marked
        return (self.path, self.only, *settings)

    def claim(self) -> dict[str, Any]:
        """Return what a file's provenance says of its base."""
        if self.marked:
            return {"only": ["*"], "resize": {}}  # but for what the spec keeps
        claim: dict[str, Any] = {"only": list(self.only), "resize": dict(self.resize)}
        return claim | ({"rows": {g: str(r) for g, r in self.rows.items()}} if self.rows else {})

    def keeps(self, tensor: PlannedTensor) -> bool:
        """Tell whether a tensor is kept, whole or in part."""
        return tensor.kept or (not self.marked and _first(self.only, tensor.name) is None)

    def notices(self, plan: Plan) -> tuple[str, ...]:
        """Say what was not read, and which of the file's tensors a plan has no place for."""
        named = {tensor.name for tensor in plan.entries}
        named.update(found.name for found in self._stored(plan).values())
        left = [tensor.name for tensor in self.file.tensors if tensor.name not in named]
        if not left:
            return self.file.notices
        listed = ", ".join(map(shown, left[:3])) + (", ..." if len(left) > 3 else "")
        said = f"left out of {self.file.path}, for the spec does not name them: {listed}"
        return (*self.file.notices, said)

    def kept_names(self, plan: Plan) -> list[str]:
        """Name the tensors of a plan that are not drawn, but kept whole or in part."""
        return [t.name for t in plan.tensors if self.keeps(t)]

    def whole_names(self, plan: Plan) -> frozenset[str]:
        """Name the tensors of a plan of which nothing is drawn."""
        stored = self._stored(plan)
        return frozenset(
            t.name
            for t in plan.tensors
            if self.keeps(t)
            and _first(tuple(self.rows), t.name) is None
            and (found := stored.get(t.name)) is not None
            and found.shape == t.shape
        )

    def drawers(self, plan: Plan) -> dict[str, Draw]:
        """Return, for each tensor that is kept, the function that reads it.

        Raises:
            GlorotError: if a glob matches nothing, or the file lacks a tensor of the plan.
        """
        names = [tensor.name for tensor in plan.tensors]
        options = {"--only": self.only, "--resize": self.resize, "--rows": self.rows}
        for option, globs in options.items():
            for glob in globs:
                if not fnmatch.filter(names, glob):
                    raise GlorotError(
                        f"{option}: {shown(glob)} matches no tensor; "
                        f"{suggestion(glob, names[:2000], listed=3)}"
                    )
        stored = self._stored(plan)
        resized: set[str] = set()
        kept = {
            tensor.name: self._kept(tensor, stored.get(tensor.name), resized)
            for tensor in plan.tensors
            if self.keeps(tensor)
        }
        for glob in self.resize:
            if glob not in resized:
                raise GlorotError(self._idle(glob, fnmatch.filter(names, glob)[0]))
        return kept

    def _stored(self, plan: Plan) -> dict[str, StoredTensor]:
        """Find a plan's tensors in the file, by their names there."""
        if self.file.format.names == "nothing" and len(plan.tensors) == 1:
            # A lone .npy has no name for what it holds.
            return {plan.tensors[0].name: self.file.tensors[0]}
        by_name = self.file.by_name()
        new = renamed(list(by_name), self.renames)
        stored = {new[name][0]: tensor for name, tensor in by_name.items()}
        found = {}
        for tensor in plan.tensors:
            # Keras's .weights.h5 stores variables by where they stand.
            for name in (tensor.name, tensor.group, tensor.also_group):
                if name in stored:
                    found[tensor.name] = stored[name]
                    break
        return found

    def _idle(self, glob: str, name: str) -> str:
        """Say why a glob of --resize has nothing to do."""
        other = _first(tuple(self.resize), name)
        by = _first(self.only, name)
        if by is not None:
            reason = f"is drawn anew by --only {shown(by)}"
        elif other != glob:
            reason = f"is resized by {shown(other)}"
        else:
            reason = "has the spec's shape already"
        return f"--resize: {shown(glob)} resizes no tensor: {shown(name)} {reason}"

    def _kept(self, tensor: PlannedTensor, found: StoredTensor | None, resized: set[str]) -> Draw:
        """Return the function that reads a tensor, and note the glob that resizes it."""
        path = self.file.path
        if found is None:
            raise GlorotError(
                f"{path} has no tensor {shown(tensor.name)}; "
                "draw it with --only, or take it out of the spec"
            )
        if found.dtype != tensor.dtype:
            raise GlorotError(
                f"{shown(tensor.name)} is {found.dtype} in {path} and {tensor.dtype} "
                "in the spec; its bytes can only be kept as they are"
            )
        glob = _first(tuple(self.rows), tensor.name)
        if glob is None:
            return self._read(tensor, found, resized)
        first, last = self.rows[glob].within(tensor, glob)
        check(tensor)
        return _Redrawn(tensor, self._read(tensor, found, resized), first, last)

    def _read(self, tensor: PlannedTensor, found: StoredTensor, resized: set[str]) -> Draw:
        """Return the function that reads a tensor in the plan's shape."""
        path = self.file.path
        if found.shape == tensor.shape:
            return _Reader(self.file, self.files, found)
        axis = _resized_axis(found.shape, tensor.shape)
        glob = _first(tuple(self.resize), tensor.name)
        if axis is None or glob is None:
            hint = "resize it with --resize" if axis is not None else "only one axis can be resized"
            raise GlorotError(
                f"{shown(tensor.name)} has shape {list(found.shape)} in {path} and "
                f"{list(tensor.shape)} in the spec; {hint}"
            )
        resized.add(glob)
        filling = self.resize[glob]
        if filling == "mean" and not found.shape[axis]:
            raise GlorotError(
                f"{shown(tensor.name)} has shape {list(found.shape)} in {path}: "
                "an empty axis has no mean"
            )
        if filling == "init":
            check(tensor)
        return _Resized(
            tensor, found.shape[axis], _Reader(self.file, self.files, found), axis, filling
        )


Settings = tuple[
    Place,
    tuple[str, ...],
    dict[str, Filling],
    str | None,
    "dict[str, Rows]",
    tuple[Rename, ...],
    bool,
]


class Rows(NamedTuple):
    """Hold a range of rows as Python's slices have it; None is an end."""

    start: int | None
    stop: int | None

    def __str__(self) -> str:
        """Write it as --rows takes it."""
        return ":".join("" if end is None else str(end) for end in self)

    def within(self, tensor: PlannedTensor, glob: str) -> tuple[int, int]:
        """Return the first row of a tensor that is drawn, and the one after the last.

        Raises:
            GlorotError: if there are no such rows, or the tensor is not drawn.
        """
        size = tensor.shape[0] if tensor.shape else 0
        first, last, _ = slice(self.start, self.stop).indices(size)
        if tensor.kept:
            raise GlorotError(f"--rows: {shown(glob)}: {shown(tensor.name)} is kept by the spec")
        if first >= last or (self.stop or 0) > size:
            raise GlorotError(
                f"--rows: {shown(glob)}: {shown(tensor.name)} of shape {list(tensor.shape)} has no "
                f"rows {self}"
            )
        return first, last


def _first(globs: Sequence[str], name: str) -> str | None:
    return next((glob for glob in globs if fnmatch.fnmatchcase(name, glob)), None)


def _resized_axis(old: Shape, new: Shape) -> int | None:
    """Find the only axis whose size differs."""
    axes = [axis for axis, (a, b) in enumerate(zip(old, new, strict=False)) if a != b]
    return axes[0] if len(axes) == 1 and len(old) == len(new) else None


class _Reader:
    """Read a stored tensor's elements as they are."""

    def __init__(self, file: StoredFile, files: BaseFiles, tensor: StoredTensor) -> None:
        self.read = reader(file, files, tensor)

    def __call__(self, first: int, out: Array) -> None:
        if out.size:
            self.read(first, out)


class _Redrawn:
    """Read a tensor of which some rows are drawn."""

    def __init__(self, tensor: PlannedTensor, read: Draw, first: int, last: int) -> None:
        inner = math.prod(tensor.shape[1:])
        self.read, self.draw = read, drawer(tensor)
        self.start, self.stop = first * inner, last * inner

    def __call__(self, first: int, out: Array) -> None:
        self.read(first, out)
        low, high = max(self.start, first), min(self.stop, first + out.size)
        if low < high:
            drawn = np.empty_like(out)
            self.draw(first, drawn)
            out[low - first : high - first] = drawn[low - first : high - first]


class _Resized:
    """Read a stored tensor into one whose axis is longer or shorter.

    Along the axis a tensor is a series of slabs: `old` rows of `inner` elements in the file, and
    `new` of them here.
    """

    def __init__(
        self, tensor: PlannedTensor, old: int, reader: _Reader, axis: int, filling: Filling
    ) -> None:
        self.reader = reader
        self.old, self.new = old, tensor.shape[axis]
        self.kept = min(self.old, self.new)
        self.inner = math.prod(tensor.shape[axis + 1 :])
        self.dtype = numpy_dtype(tensor.dtype)
        self.draw = drawer(tensor) if filling == "init" and self.new > self.old else None
        self.has_mean = filling == "mean" and self.new > self.old
        self._means: dict[int, Array] = {}
        self._lock = threading.Lock()

    def __call__(self, first: int, out: Array) -> None:
        if self.draw is not None:
            self.draw(first, out)
        else:
            out.fill(0)
        size = self.new * self.inner
        start, stop = first // size, -(-(first + out.size) // size)
        step = _READ_BYTES // (max(self.old, self.new) * self.inner * self.dtype.itemsize)
        for slab in range(start, stop, max(step, 1)):
            if step:
                self._put_slabs(first, out, slab, min(slab + step, stop))
            else:
                self._put_rows(first, out, slab)

    def _put_slabs(self, first: int, out: Array, start: int, stop: int) -> None:
        """Put what the block holds of some slabs, which are read at once."""
        size = self.new * self.inner
        low, high = max(start * size, first), min(stop * size, first + out.size)
        slabs = np.zeros((stop - start, self.new, self.inner), self.dtype)
        flat = slabs.reshape(-1)[low - start * size : high - start * size]
        flat[:] = out[low - first : high - first]
        rows = np.empty((stop - start, self.old, self.inner), self.dtype)
        self.reader(start * self.old * self.inner, rows.reshape(-1))
        slabs[:, : self.kept] = rows[:, : self.kept]
        if self.has_mean:
            slabs[:, self.kept :] = self._mean(_sum(rows, 1))[:, np.newaxis]
        out[low - first : high - first] = flat

    def _put_rows(self, first: int, out: Array, slab: int) -> None:
        """Put what the block holds of one slab, which is too large to be read at once."""
        start, end = slab * self.new * self.inner, first + out.size
        border, stop = start + self.kept * self.inner, start + self.new * self.inner
        low, high = max(start, first), min(border, end)
        if low < high:
            source = slab * self.old * self.inner + low - start
            self.reader(source, out[low - first : high - first])
        low, high = max(border, first), min(stop, end)
        while self.has_mean and low < high:
            column = (low - start) % self.inner
            count = min(self.inner - column, high - low)
            out[low - first : low - first + count] = self._mean_of(slab, column, column + count)
            low += count

    def _mean_of(self, slab: int, start: int, stop: int) -> Array:
        """Return the mean of a slab's old rows, from one column to another."""
        if self.inner > _LONGEST_MEAN:
            return self._taken(slab, start, stop)
        with self._lock:
            if slab not in self._means:
                if len(self._means) == _MOST_MEANS:
                    del self._means[min(self._means)]
                self._means[slab] = self._taken(slab, 0, self.inner)
            return self._means[slab][start:stop]

    def _taken(self, slab: int, start: int, stop: int) -> Array:
        count = stop - start
        total = np.zeros(count)
        step = 1
        if count == self.inner:
            step = max(1, _READ_BYTES // (count * self.dtype.itemsize))
        buffer = np.empty(step * count, self.dtype)
        for row in range(0, self.old, step):
            rows = buffer[: min(step, self.old - row) * count].reshape(-1, count)
            self.reader((slab * self.old + row) * self.inner + start, rows.reshape(-1))
            total += _sum(rows, 0)
        return self._mean(total)

    def _mean(self, total: Array) -> Array:
        """Divide in float64 and round once; whole numbers to the nearest."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean = total / self.old
            if self.dtype.name not in PRECISIONS:
                mean = np.rint(mean)
            return mean.astype(self.dtype)


def _sum(rows: Array, axis: int) -> Array:
    """Add along an axis in float64."""
    if rows.dtype.itemsize < 4:
        rows = rows.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        total: Array = np.add.reduce(rows, axis=axis, dtype=np.float64)
    return total
