"""Any elements of stored tensors: runs in C order, and boxes with their axes in another order."""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType

import numpy as np

from glorot_cli.dtypes import Array
from glorot_cli.errors import FormatError, shown
from glorot_cli.fans import Shape
from glorot_cli.formats.sources import Place, Source, opened
from glorot_cli.formats.stored import StoredFile, StoredTensor, read_fully, too_short

# Files of a folder that stay open: macOS lets a process have 256, Linux often 1,024.
MOST_OPEN = 64
BOX_ELEMENTS = 1 << 18
# Long enough that a read is more than a call, short enough that a box of two such sides is small.
BOX_SIDE = 512
# A tensor in chunks is kept as a whole for its boxes, up to this: one of each of two files.
LARGEST_WHOLE = 256 << 20

Box = tuple[slice, ...]


class Elements:
    """Read elements of a file's tensors, from any thread.

    A tensor in chunks is read from its start on, in runs one after the other, and as a whole for
    boxes.
    """

    def __init__(self, file: StoredFile) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._sources: dict[Place, Source] = {}
        self._cursors: dict[str, tuple[Iterator[Array], Array]] = {}
        self._whole: tuple[str, Array] | None = None

    def __enter__(self) -> Elements:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for source in self._sources.values():
            source.close()

    def run(self, tensor: StoredTensor, first: int, count: int) -> Array:
        """Return elements in C order, with the file's byte order.

        Raises:
            FormatError: if the file ends early.
        """
        if tensor.slabs is not None:
            return self._next(tensor, count)
        out = np.empty(count, tensor.element)
        self._read(tensor, first, out)
        return out

    def _next(self, tensor: StoredTensor, count: int) -> Array:
        assert tensor.slabs is not None
        slabs, left = self._cursors.pop(tensor.name, (None, np.empty(0, tensor.element)))
        slabs = slabs or tensor.slabs()
        parts, found = [left], left.size
        while found < count:
            parts.append(next(slabs))
            found += parts[-1].size
        joined = np.concatenate(parts) if len(parts) > 1 else left
        self._cursors[tensor.name] = slabs, joined[count:]
        return joined[:count]

    def raw(self, tensor: StoredTensor, start: int, nbytes: int) -> Array:
        """Return bytes of a contiguous tensor, of whatever dtype.

        Raises:
            FormatError: if the file ends early.
        """
        out = np.empty(nbytes, np.uint8)
        self._read(tensor, start, out)
        return out

    def box(self, tensor: StoredTensor, box: Box) -> Array:
        """Return the elements of a box, in its shape.

        Raises:
            FormatError: if the file ends early.
        """
        if tensor.slabs is not None:
            return self._loaded(tensor)[box]
        sizes = tuple(part.stop - part.start for part in box)
        out = np.empty(sizes, tensor.element)
        if sizes == tensor.shape:
            self._read(tensor, 0, out.reshape(-1))
            return out
        strides = _strides(tensor.shape)
        # Axes at the end that are whole are read in one go with the one before.
        axis = len(sizes)
        while axis > 0 and sizes[axis - 1 :] == tensor.shape[axis - 1 :]:
            axis -= 1
        axis = max(0, axis - 1)
        rows = out.reshape(math.prod(sizes[:axis]), -1)
        starts = [part.start for part in box]
        base = sum(start * stride for start, stride in zip(starts, strides, strict=True))
        for row, index in zip(rows, np.ndindex(sizes[:axis]), strict=True):
            offset = sum(i * stride for i, stride in zip(index, strides, strict=False))
            self._read(tensor, base + offset, row)
        return out

    def _loaded(self, tensor: StoredTensor) -> Array:
        with self._lock:
            if self._whole is None or self._whole[0] != tensor.name:
                assert tensor.slabs is not None
                if tensor.nbytes > LARGEST_WHOLE:
                    raise FormatError(
                        f"{self.file.path}: {shown(tensor.name)} is stored in chunks or "
                        f"compressed; its axes are turned up to {LARGEST_WHOLE >> 20} MiB"
                    )
                self._whole = None  # before there are two
                flat, first = np.empty(math.prod(tensor.shape), tensor.element), 0
                for slab in tensor.slabs():
                    flat[first : first + slab.size] = slab
                    first += slab.size
                self._whole = tensor.name, flat.reshape(tensor.shape)
            return self._whole[1]

    def _read(self, tensor: StoredTensor, first: int, out: Array) -> None:
        assert tensor.offset is not None
        offset = tensor.offset + first * out.itemsize
        with self._opened(tensor.path or self.file.path) as source:
            if not read_fully(source.read, out, offset):
                raise too_short(self.file.path, tensor.name)

    @contextlib.contextmanager
    def _opened(self, path: Place) -> Iterator[Source]:
        """Give what reads a file, which is kept for the first files and closed for others."""
        with self._lock:
            kept = self._sources.get(path)
            if kept is None and len(self._sources) < MOST_OPEN:
                kept = self._sources[path] = opened(path)
        if kept is not None:
            yield kept
            return
        source = opened(path)
        try:
            yield source
        finally:
            source.close()


def _strides(shape: Shape) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def boxes(shape: Shape, axes: Sequence[int]) -> Iterator[Box]:
    """Cut a shape into boxes that are quick to read in C order, and in C order of permuted axes."""
    sides = [1] * len(shape)
    for axis in (len(shape) - 1, axes[-1]):
        sides[axis] = min(shape[axis], BOX_SIDE)
    for axis in (*reversed(range(len(shape))), *reversed(axes)):
        room = BOX_ELEMENTS // (math.prod(sides) // sides[axis])
        sides[axis] = max(sides[axis], min(shape[axis], room))
    steps = [range(0, size, side) for size, side in zip(shape, sides, strict=True)]
    for starts in itertools.product(*steps):
        yield tuple(
            slice(start, min(start + side, size))
            for start, side, size in zip(starts, sides, shape, strict=True)
        )
