"""One engine for all formats: worker threads draw blocks and write them at their offsets."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from glorot_cli.dtypes import ITEM_SIZES, numpy_dtype
from glorot_cli.formats.base import Extent
from glorot_cli.moments import Moments
from glorot_cli.plan import Plan, PlannedTensor
from glorot_cli.streams.aes_ctr import Draw

# NumPy calls on blocks under about 20 microseconds lose to the hand-off between threads, and blocks
# over the cache lose to memory: 2 MiB is drawn, measured and written whole.
BLOCK_BYTES = 1 << 21
FLUSH_SECONDS = 0.05

Array = np.ndarray[Any, np.dtype[Any]]
Progress = Callable[[int], None]
DrawerOf = Callable[[PlannedTensor], Draw]


class _Piece(NamedTuple):
    """A block of one tensor: its elements from `first` on, at byte `at` of the span."""

    tensor: int
    first: int
    elements: int
    at: int


class _Span(NamedTuple):
    """A run of bytes of one file, which one thread draws and writes at once."""

    path: Path
    offset: int
    nbytes: int
    pieces: list[_Piece]


def _spans(plan: Plan, extents: Iterable[Extent]) -> Iterator[_Span]:
    """Cut the extents into spans of at most a block; tensors that touch share one.

    A tensor's own blocks start at multiples of the block size, so that its moments do not depend
    on what stands before it.
    """
    span: _Span | None = None
    for index, path, start in extents:
        tensor = plan.tensors[index]
        itemsize = ITEM_SIZES[tensor.dtype]
        step = BLOCK_BYTES // itemsize
        for first in range(0, tensor.parameters, step):
            count = min(step, tensor.parameters - first)
            offset, nbytes = start + first * itemsize, count * itemsize
            if (
                span is None
                or span.path is not path
                or span.offset + span.nbytes != offset
                or span.nbytes + nbytes > BLOCK_BYTES
            ):
                if span is not None:
                    yield span
                span = _Span(path, offset, 0, [])
            span.pieces.append(_Piece(index, first, count, span.nbytes))
            span = span._replace(nbytes=span.nbytes + nbytes)
    if span is not None:
        yield span


class _Engine:
    """Share the spans of one run among threads, and gather what they find."""

    def __init__(self, plan: Plan, extents: list[Extent], drawer_of: DrawerOf) -> None:
        self.plan = plan
        self.drawer_of = drawer_of
        self.written = 0
        self.path = extents[0].path if extents else Path()
        self.stopping = threading.Event()
        self.error: BaseException | None = None
        self.found: list[tuple[int, int, Moments]] = []
        self._drawers: dict[int, tuple[Draw, int]] = {}
        self._spans = _spans(plan, extents)
        self._lock = threading.Lock()

    def work(self) -> None:
        """Draw and write spans until none are left."""
        buffer = np.empty(BLOCK_BYTES, np.uint8)
        scratch = np.empty(BLOCK_BYTES, np.uint8)
        path, descriptor = None, -1
        try:
            while (span := self._next()) is not None:
                if span.path is not path:
                    if descriptor >= 0:
                        os.close(descriptor)
                    path, descriptor = span.path, os.open(span.path, os.O_WRONLY)
                with np.errstate(over="ignore", invalid="ignore"):
                    found = [self._draw(piece, buffer, scratch) for piece in span.pieces]
                _write_all(descriptor, buffer[: span.nbytes], span.offset)
                with self._lock:
                    self.found += found
                    self.written += span.nbytes
                    self.path = span.path
        except BaseException as error:
            self.error = self.error or error
            self.stopping.set()
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def flush_along(self, done: threading.Event) -> None:
        """Keep the disk busy while blocks are drawn, so that the last flush has little to do."""
        while not done.wait(FLUSH_SECONDS):
            try:
                descriptor = os.open(self.path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            except OSError as error:
                # The system reports a lost write once: whoever hears of it must pass it on.
                self.error = self.error or error
                self.stopping.set()
                return

    def _next(self) -> _Span | None:
        with self._lock:
            return None if self.stopping.is_set() else next(self._spans, None)

    def _draw(self, piece: _Piece, buffer: Array, scratch: Array) -> tuple[int, int, Moments]:
        tensor = self.plan.tensors[piece.tensor]
        dtype = numpy_dtype(tensor.dtype)
        out = buffer[piece.at : piece.at + piece.elements * dtype.itemsize].view(dtype)
        self._drawer_of(piece)(piece.first, out)
        centre = tensor.distribution.mean(tensor.shape)
        if tensor.dtype not in ("float32", "float64"):
            out = out.astype(np.float64 if dtype.itemsize > 4 else np.float32)
        return piece.tensor, piece.first, Moments.of(out, centre, scratch.view(out.dtype))

    def _drawer_of(self, piece: _Piece) -> Draw:
        """Make a tensor's drawer once, and let go of it, with what it keeps, at the last piece."""
        tensor = self.plan.tensors[piece.tensor]
        if piece.elements == tensor.parameters:
            return self.drawer_of(tensor)
        with self._lock:
            draw, left = self._drawers.pop(piece.tensor, (None, tensor.parameters))
            draw = draw or self.drawer_of(tensor)
            if left > piece.elements:
                self._drawers[piece.tensor] = draw, left - piece.elements
        return draw


def _write_all(descriptor: int, data: Array, offset: int) -> None:
    view = data.data
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def fill(
    plan: Plan,
    extents: list[Extent],
    drawer_of: DrawerOf,
    *,
    workers: int | None = None,
    sync: bool = True,
    progress: Progress | None = None,
) -> list[Moments]:
    """Write every tensor at its extent, and return their moments in the plan's order.

    `workers` defaults to all cores and changes no byte; with `sync` the disk is kept busy along
    the way, so that the caller's last flush has little to do; `progress` is told the bytes written.
    """
    _allocate(plan, extents)
    engine = _Engine(plan, extents, drawer_of)
    blocks = sum(tensor.nbytes for tensor in plan.tensors) // BLOCK_BYTES + 1
    count = min(workers or os.cpu_count() or 1, blocks)
    threads = [threading.Thread(target=engine.work, daemon=True) for _ in range(count)]
    done = threading.Event()
    if sync and blocks > 1:
        threads.append(threading.Thread(target=engine.flush_along, args=(done,), daemon=True))
    try:
        for thread in threads:
            thread.start()
        for thread in threads[:count]:
            while thread.is_alive():
                thread.join(0.1)
                if progress is not None:
                    progress(engine.written)
    finally:
        engine.stopping.set()
        done.set()
        for thread in threads:
            thread.join()
    if engine.error is not None:
        raise engine.error
    return _merged(plan, engine.found)


def _allocate(plan: Plan, extents: list[Extent]) -> None:
    """Reserve each file's bytes: a full disk shows before anything is drawn."""
    ends: dict[Path, int] = {}
    for index, path, offset in extents:
        ends[path] = max(ends.get(path, 0), offset + plan.tensors[index].nbytes)
    for path, end in ends.items():
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, end)
            except (AttributeError, OSError) as error:
                # Not every system and file system can reserve.
                if getattr(error, "errno", None) in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
                    raise
                file.truncate(end)


def _merged(plan: Plan, found: list[tuple[int, int, Moments]]) -> list[Moments]:
    merged: dict[int, Moments] = {}
    for index, _, moments in sorted(found, key=lambda item: item[:2]):
        merged[index] = merged[index].merged(moments) if index in merged else moments
    return [merged[index] for index in range(len(plan.tensors))]
