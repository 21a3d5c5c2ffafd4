"""Reading elements that do not lie in C order: views, transposed and expanded tensors."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from glorot_cli.dtypes import Array, numpy_dtype
from glorot_cli.errors import FormatError, shown
from glorot_cli.fans import Shape
from glorot_cli.formats.stored import read_fully, too_short
from glorot_cli.hdf5_reader.objects import cut
from glorot_cli.workers import BLOCK_BYTES

# What is read at once: the rows of a transposed matrix lie across all of it.
LARGEST_READ = 64 << 20


class Strided:
    """Read a tensor whose axes have strides of their own, in elements, in C order."""

    def __init__(
        self,
        path: Path,
        name: str,
        start: int,
        shape: Shape,
        strides: tuple[int, ...],
        dtype: str,
        order: str,
    ) -> None:
        self._path = path
        self._name = name
        self._start = start
        self._shape = shape
        self._strides = strides
        self._dtype = dtype
        self._order = order

    def __call__(self) -> Iterator[Array]:
        """Yield flat arrays of at most 2 MiB.

        Raises:
            FormatError: if there are no numbers, or the file ends early.
        """
        try:
            dtype = numpy_dtype(self._dtype, self._order)
        except TypeError:
            raise FormatError(
                f"{self._path}: {shown(self._name)}: cannot read elements of dtype {self._dtype}"
            ) from None
        runs = cut(self._shape, dtype.itemsize, LARGEST_READ)
        with self._path.open("rb", buffering=0) as raw:
            for number in range(runs.count):
                index = runs.index(number)
                first = sum(
                    (part.start if isinstance(part, slice) else part) * step
                    for part, step in zip(index, self._strides, strict=False)
                )
                sizes = [part.stop - part.start for part in index if isinstance(part, slice)]
                sizes += self._shape[runs.axis + 1 :]
                steps = list(self._strides[len(self._shape) - len(sizes) :])
                run = self._read(raw.fileno(), first, sizes, steps, dtype).reshape(-1)
                for at in range(0, run.size, BLOCK_BYTES // dtype.itemsize):
                    yield run[at : at + BLOCK_BYTES // dtype.itemsize]

    def _read(
        self, raw: int, first: int, sizes: list[int], steps: list[int], dtype: np.dtype[Any]
    ) -> Array:
        """Return a box of elements in C order, of which each is read once."""
        span = sum((n - 1) * step for n, step in zip(sizes, steps, strict=True)) + 1
        # What is expanded lies there once.
        axes = [a for a in range(len(sizes)) if steps[a] and sizes[a] > 1]
        once = math.prod(sizes[axis] for axis in axes)
        if span <= 2 * once + BLOCK_BYTES // dtype.itemsize:
            flat = self._pread(raw, first, np.empty(span, dtype))
            nbytes = tuple(step * dtype.itemsize for step in steps)
            return np.ascontiguousarray(np.lib.stride_tricks.as_strided(flat, sizes, nbytes))
        # The one with the largest stride is read index by index.
        axis = max(axes, key=lambda each: steps[each])
        out = np.empty(sizes, dtype)
        inner_sizes, inner_steps = sizes.copy(), steps.copy()
        del inner_sizes[axis], inner_steps[axis]
        turned = np.moveaxis(out, axis, 0)
        for place in range(sizes[axis]):
            inner = first + place * steps[axis]
            turned[place] = self._read(raw, inner, inner_sizes, inner_steps, dtype)
        return out

    def _pread(self, raw: int, first: int, out: Array) -> Array:
        offset = self._start + first * out.itemsize
        if not read_fully(lambda view, at: os.preadv(raw, [view], at), out, offset):
            raise too_short(self._path, self._name)
        return out
