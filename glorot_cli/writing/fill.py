"""One engine for all formats: worker threads draw blocks and write them at their offsets."""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from glorot_cli.drawing import Drawers, draw_small, is_small
from glorot_cli.dtypes import ITEM_SIZES, Array, numpy_dtype, unit_bytes
from glorot_cli.formats.base import Extent
from glorot_cli.formats.checksums import Checksums
from glorot_cli.moments import Moments
from glorot_cli.plan import Plan
from glorot_cli.streams.block_moments import block_moments
from glorot_cli.streams.request import Draw
from glorot_cli.workers import BLOCK_BYTES, Progress, Workers, thread_count

FLUSH_SECONDS = 0.05
# A tensor, the first element of a block of it, and what the block came to.
Found = tuple[int, int, Moments | None]


class Piece(NamedTuple):
    """A block of one tensor: its elements from `first` on, in the file and in the span's buffer.

    It is `small` if it is a whole tensor that is drawn side by side with others.
    """

    tensor: int
    first: int
    nbytes: int
    offset: int
    at: int
    small: bool


class Span(NamedTuple):
    """Pieces of one file that one thread draws at once; spans are numbered in the file's order."""

    path: Path
    pieces: list[Piece]
    nbytes: int
    number: int

    def runs(self, buffer: Array) -> Iterator[tuple[int, Array]]:
        """Yield what touches in the file and in the buffer, with its offset in the file."""
        offset, begin, end = self.pieces[0].offset, 0, 0
        for piece in self.pieces:
            if piece.at != end or piece.offset - offset != end - begin:
                yield offset, buffer[begin:end]
                offset, begin = piece.offset, piece.at
            end = piece.at + piece.nbytes
        yield offset, buffer[begin:end]


class Sink(Protocol):
    """Take spans as they are drawn, from one thread or, where it is shared, from all."""

    def put(self, span: Span, buffer: Array) -> None:
        """Take a span, whose buffer is used again afterwards."""

    def close(self, *, failed: bool) -> None:
        """Take no more from this thread, which may have failed to draw what it was to."""


class Files:
    """Write spans into files that are there."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._descriptor = -1

    def put(self, span: Span, buffer: Array) -> None:
        """Write a span at its offsets."""
        if span.path is not self._path:
            self.close(failed=False)
            self._path, self._descriptor = span.path, os.open(span.path, os.O_WRONLY)
        for offset, data in span.runs(buffer):
            _write_all(self._descriptor, data, offset)

    def close(self, *, failed: bool) -> None:
        """Close the file that was written last."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def _spans(plan: Plan, extents: Iterable[Extent], kept: Mapping[str, Draw]) -> Iterator[Span]:
    """Cut the extents into spans of at most a block.

    A tensor's own blocks start at multiples of the block size, so that its moments do not depend
    on what stands before it.
    """
    path, nbytes = Path(), 0
    pieces: list[Piece] = []
    numbers = itertools.count()
    for index, file, start in extents:
        tensor = plan.tensors[index]
        itemsize = unit_bytes(tensor.dtype)
        size = tensor.nbytes
        small = is_small(tensor) and tensor.name not in kept
        for done in range(0, size, BLOCK_BYTES):
            part = min(BLOCK_BYTES, size - done)
            # Elements lie as their size wants them, whatever stood before.
            at = -(-nbytes // itemsize) * itemsize
            if at + part > BLOCK_BYTES or file is not path:
                if pieces:
                    yield Span(path, pieces, nbytes, next(numbers))
                path, pieces, at = file, [], 0
            pieces.append(Piece(index, done // itemsize, part, start + done, at, small))
            nbytes = at + part
    if pieces:
        yield Span(path, pieces, nbytes, next(numbers))


class _Engine:
    """Share the spans of one run among threads, and gather what they find."""

    def __init__(
        self,
        plan: Plan,
        extents: list[Extent],
        kept: Mapping[str, Draw],
        sink: Callable[[], Sink],
        checksums: Checksums | None,
    ) -> None:
        self.plan = plan
        self.kept = kept
        self._sink = sink
        self._checksums = checksums
        self.path = extents[0].path if extents else Path()
        self.found: list[Found] = []
        self.workers = Workers(_spans(plan, extents, kept))
        self._drawers = Drawers(kept)

    def work(self) -> None:
        """Draw and write spans until none are left."""
        sink, failed = self._sink(), True
        try:
            buffer = np.empty(BLOCK_BYTES, np.uint8)
            scratch = np.empty(BLOCK_BYTES, np.uint8)
            while (span := self.workers.next()) is not None:
                found: list[Found] = []
                with np.errstate(over="ignore", invalid="ignore"):
                    for small, pieces in itertools.groupby(span.pieces, key=lambda p: p.small):
                        if small:
                            found += self._draw_small(list(pieces), buffer)
                        else:
                            found += [self._draw(piece, buffer, scratch) for piece in pieces]
                if self._checksums is not None:
                    for piece in span.pieces:
                        data = buffer[piece.at : piece.at + piece.nbytes].data
                        self._checksums.add(piece.tensor, piece.first, data)
                sink.put(span, buffer)
                with self.workers.lock:
                    self.found += found
                    self.workers.done += span.nbytes
                    self.path = span.path
            failed = False
        except BaseException as error:
            self.workers.fail(error)
        finally:
            sink.close(failed=failed)

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
                self.workers.fail(error)
                return

    def _draw_small(self, pieces: list[Piece], buffer: Array) -> Iterator[Found]:
        begin, end = pieces[0].at, pieces[-1].at + pieces[-1].nbytes
        out = buffer[begin:end].view(np.float32)
        tensors = [self.plan.tensors[piece.tensor] for piece in pieces]
        starts = [(piece.at - begin) // 4 for piece in pieces]
        for piece, moments in zip(pieces, draw_small(tensors, starts, out), strict=True):
            yield piece.tensor, 0, moments

    def _draw(self, piece: Piece, buffer: Array, scratch: Array) -> Found:
        tensor = self.plan.tensors[piece.tensor]
        if tensor.dtype not in ITEM_SIZES:
            # What nothing but its bytes is known of.
            elements = buffer[piece.at : piece.at + piece.nbytes].view(
                f"V{unit_bytes(tensor.dtype)}"
            )
            self._drawers.of(tensor, elements.size)(piece.first, elements)
            return piece.tensor, piece.first, None
        dtype = numpy_dtype(tensor.dtype)
        out = buffer[piece.at : piece.at + piece.nbytes].view(dtype)
        moments = self._drawers.of(tensor, out.size)(piece.first, out)
        centre = tensor.distribution.mean(tensor.shape)
        moments = moments or block_moments(out, centre)
        if moments is not None:
            return piece.tensor, piece.first, moments
        if tensor.dtype not in ("float32", "float64"):
            out = out.astype(np.float64 if dtype.itemsize > 4 else np.float32)
        return piece.tensor, piece.first, Moments.of(out, centre, scratch.view(out.dtype))


def _write_all(descriptor: int, data: Array, offset: int) -> None:
    view = data.data
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def fill(
    plan: Plan,
    extents: list[Extent],
    kept: Mapping[str, Draw],
    *,
    workers: int | None = None,
    sync: bool = True,
    progress: Progress | None = None,
    checksums: Checksums | None = None,
) -> list[Moments | None]:
    """Write every tensor at its extent, and return their moments in the plan's order.

    None stands for those of a tensor of no elements, or of which nothing but its bytes is known.

    `kept` reads the tensors of those names rather than draw them.
    `workers` defaults to all cores and changes no byte; with `sync` the disk is kept busy along
    the way, so that the caller's last flush has little to do; `progress` is told the bytes written;
    `checksums` takes those of all blocks.
    """
    _allocate(plan, extents)
    return pour(
        plan,
        extents,
        kept,
        Files,
        workers=workers,
        flushes=sync,
        progress=progress,
        checksums=checksums,
    )


def pour(
    plan: Plan,
    extents: list[Extent],
    kept: Mapping[str, Draw],
    sink: Callable[[], Sink],
    *,
    workers: int | None = None,
    flushes: bool = False,
    progress: Progress | None = None,
    checksums: Checksums | None = None,
) -> list[Moments | None]:
    """Draw every tensor into the sinks that the threads make, and return their moments."""
    engine = _Engine(plan, extents, kept, sink, checksums)
    nbytes = sum(tensor.nbytes for tensor in plan.tensors)
    count = thread_count(nbytes, len(plan.tensors), workers)
    beside = engine.flush_along if flushes and nbytes >= BLOCK_BYTES else None
    engine.workers.run(engine.work, count, progress, beside)
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


def _merged(plan: Plan, found: list[Found]) -> list[Moments | None]:
    merged: dict[int, Moments] = {}
    for index, _, moments in sorted(found, key=lambda item: item[:2]):
        if moments is not None:
            merged[index] = merged[index].merged(moments) if index in merged else moments
    return [merged.get(index) for index in range(len(plan.tensors))]
