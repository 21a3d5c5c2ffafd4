"""Reading stored tensors: blocks of at most 2 MiB, shared among threads, each looked at once."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import numpy as np

from glorot_cli.dtypes import Array, numpy_dtype
from glorot_cli.errors import FormatError, shown
from glorot_cli.formats.sources import Place, Source, opened
from glorot_cli.formats.stored import StoredFile, StoredTensor, read_fully, too_short
from glorot_cli.workers import BLOCK_BYTES, Progress, Workers, thread_count

# Reading what lies between two datasets of HDF5 costs less than asking twice.
LARGEST_GAP = 4096

Part = TypeVar("Part")
Result = TypeVar("Result")


class Block(NamedTuple):
    """Hold some elements of a tensor: its index in the list, the first element's, the elements.

    The array is flat, in the file's byte order, and overwritten by the next block.
    """

    tensor: int
    first: int
    values: Array


class _Part(NamedTuple):
    tensor: int
    first: int
    at: int
    nbytes: int


class _Run(NamedTuple):
    """A run of bytes of one file that is read at once; or a whole tensor in slabs (no parts)."""

    path: Place
    offset: int
    nbytes: int
    parts: list[_Part]
    tensor: int


def is_readable(tensor: StoredTensor) -> bool:
    """Tell whether NumPy knows the elements."""
    try:
        return numpy_dtype(tensor.dtype).kind in "biufV"
    except TypeError:
        return False


def each_block(
    file: StoredFile,
    tensors: Sequence[StoredTensor],
    work: Callable[[Block], Result],
    *,
    ahead: Callable[[Sequence[Block]], None] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[list[Result]]:
    """Call `work` on every block of some tensors, on any thread, and return what it gives.

    There is a list for each tensor, in the order of its elements; it is empty for an empty tensor.
    A tensor's blocks start at multiples of 2 MiB, so that nothing depends on what stands before it.
    `ahead` is given those that were read at once before `work` is given each of them, on the same
    thread.

    Raises:
        FormatError: if elements are of no dtype of NumPy's, or the file ends early.
    """
    for tensor in tensors:
        if not is_readable(tensor):
            raise FormatError(
                f"{file.path}: {shown(tensor.name)}: cannot read elements of dtype {tensor.dtype}"
            )
    engine = _Engine(file, tensors, work, ahead)
    nbytes = sum(tensor.nbytes for tensor in tensors)
    count = thread_count(nbytes, len(tensors), workers)
    if count == 1 and progress is None:
        engine.work()
        engine.workers.check()
    else:
        engine.workers.run(engine.work, count, progress)
    found: list[list[Result]] = [[] for _ in tensors]
    for index, _, result in sorted(engine.found, key=lambda item: item[:2]):
        found[index].append(result)
    return found


def each_tensor(
    file: StoredFile,
    tensors: Sequence[StoredTensor],
    take: Callable[[Block], Part],
    finish: Callable[[int, list[Part]], Result],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Result | None]:
    """Take something from every block, and finish each tensor once all of its blocks are there.

    What was taken is let go of then. An empty tensor is not finished: its result is None.
    """
    left = [math.prod(tensor.shape) for tensor in tensors]
    parts: list[list[tuple[int, Part]]] = [[] for _ in tensors]
    results: list[Result | None] = [None for _ in tensors]
    lock = threading.Lock()

    def work(block: Block) -> None:
        part = take(block)
        with lock:
            parts[block.tensor].append((block.first, part))
            left[block.tensor] -= block.values.size
            done = left[block.tensor] == 0
        if done:
            taken, parts[block.tensor] = parts[block.tensor], []
            taken.sort(key=lambda item: item[0])
            results[block.tensor] = finish(block.tensor, [part for _, part in taken])

    each_block(file, tensors, work, workers=workers, progress=progress)
    return results


class _Engine:
    def __init__(
        self,
        file: StoredFile,
        tensors: Sequence[StoredTensor],
        work: Callable[[Block], Any],
        ahead: Callable[[Sequence[Block]], None] | None,
    ) -> None:
        self.file = file
        self.tensors = tensors
        self.call = work
        self.ahead = ahead
        self.dtypes = [tensor.element for tensor in tensors]
        self.found: list[tuple[int, int, Any]] = []
        self.workers = Workers(self._runs())

    # Wrong bits may be NaN or infinite: whoever looks at them says so.
    @np.errstate(over="ignore", invalid="ignore")
    def work(self) -> None:
        """Read runs and hand out their blocks until none are left."""
        path, source = None, None
        try:
            buffer = np.empty(BLOCK_BYTES, np.uint8)
            while (run := self.workers.next()) is not None:
                if run.parts and run.path != path:
                    if source is not None:
                        source.close()
                        source = None
                    path, source = run.path, opened(run.path)
                found = [
                    (block.tensor, block.first, self.call(block))
                    for block in self._blocks(run, source, buffer)
                ]
                with self.workers.lock:
                    self.found += found
                    self.workers.done += run.nbytes
        except BaseException as error:
            self.workers.fail(error)
        finally:
            if source is not None:
                with suppress(OSError):
                    source.close()

    def _blocks(self, run: _Run, source: Source | None, buffer: Array) -> Iterator[Block]:
        if not run.parts:
            slabs = self.tensors[run.tensor].slabs
            assert slabs is not None
            first = 0
            for slab in slabs():
                yield Block(run.tensor, first, slab)
                first += slab.size
            return
        assert source is not None
        if not read_fully(source.read, buffer[: run.nbytes], run.offset):
            raise too_short(self.file.path, self.tensors[run.parts[-1].tensor].name)
        blocks = [
            Block(
                part.tensor,
                part.first,
                buffer[part.at : part.at + part.nbytes].view(self.dtypes[part.tensor]),
            )
            for part in run.parts
        ]
        if self.ahead is not None:
            self.ahead(blocks)
        yield from blocks

    def _runs(self) -> Iterator[_Run]:
        run: _Run | None = None
        for index, tensor in enumerate(self.tensors):
            if tensor.slabs is not None:
                if tensor.nbytes:
                    yield _Run(self.file.path, 0, tensor.nbytes, [], index)
                continue
            assert tensor.offset is not None or not tensor.nbytes
            path = tensor.path or self.file.path
            for start in range(0, tensor.nbytes, BLOCK_BYTES):
                offset = (tensor.offset or 0) + start
                nbytes = min(BLOCK_BYTES, tensor.nbytes - start)
                at = 0 if run is None else offset - run.offset
                if (
                    run is None
                    or run.path != path
                    or not 0 <= at - run.nbytes <= LARGEST_GAP
                    or at + nbytes > BLOCK_BYTES
                ):
                    if run is not None:
                        yield run
                    run, at = _Run(path, offset, 0, [], index), 0
                first = start // self.dtypes[index].itemsize
                run.parts.append(_Part(index, first, at, nbytes))
                run = run._replace(nbytes=at + nbytes)
        if run is not None:
            yield run
