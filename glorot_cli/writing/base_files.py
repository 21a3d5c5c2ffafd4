"""The files of a base checkpoint: held open, so that one that is replaced meanwhile is read on."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from glorot_cli.dtypes import Array, numpy_dtype
from glorot_cli.errors import FormatError, shown
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.remote import Remote
from glorot_cli.formats.sources import Place, opened
from glorot_cli.formats.stored import StoredFile, StoredTensor, read_fully, too_short

# More are opened for each read, and compared with what they were.
_MOST_HELD = 64
_READ_BYTES = 1 << 22


class Identity(NamedTuple):
    """Hold what changes if a file is replaced or written to."""

    device: int
    inode: int
    size: int
    changed: int

    @classmethod
    def of(cls, found: os.stat_result) -> Identity:
        """Take it from what the system says of a file."""
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class BaseFiles:
    """Read the files of one checkpoint as they were when their headers were read."""

    def __init__(self, paths: Iterable[Place]) -> None:
        self.paths: list[Place] = sorted(set(paths), key=str)
        self._held: dict[Place, int] = {}
        self._close = weakref.finalize(self, _close_all, self._held)
        if len(self.paths) <= _MOST_HELD:
            for path in self.paths:
                if isinstance(path, Path):
                    self._held[path] = os.open(path, os.O_RDONLY)
        # An object in a store is known by its version, and read at no other.
        self.identities: dict[Place, Identity | Remote] = {
            path: path if isinstance(path, Remote) else Identity.of(self._stat(path))
            for path in self.paths
        }

    def read(self, path: Place, offset: int, out: memoryview) -> int:
        """Read bytes of a file into a view; return how many there were.

        Raises:
            FormatError: if the file was written to, or replaced and not held.
        """
        if isinstance(path, Remote):
            return opened(path).read(out, offset)
        held = self._held.get(path)
        descriptor = os.open(path, os.O_RDONLY) if held is None else held
        try:
            count = os.preadv(descriptor, [out], offset)
            if Identity.of(os.fstat(descriptor)) != self.identities[path]:
                raise _changed(path)
            return count
        finally:
            if held is None:
                os.close(descriptor)

    def digest(self) -> str:
        """Return a hash of all bytes of all files, in the order of their paths."""
        total = hashlib.sha256()
        for path in self.paths:
            total.update(_digest(self, path, self.identities[path]))
        return total.hexdigest()

    def _stat(self, path: Path) -> os.stat_result:
        return os.fstat(self._held[path]) if path in self._held else path.stat()


def open_base(path: Place, key: str | None = None) -> tuple[StoredFile, BaseFiles]:
    """Read a checkpoint's headers, and hold its files.

    Raises:
        FormatError: if it is no weight file, or is replaced meanwhile.
    """
    early = None
    if isinstance(path, Path) and path.is_file():
        early = Identity.of(path.stat())
    file = read_headers(path, key)
    try:
        files = BaseFiles(tensor.path or file.path for tensor in file.tensors)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror}") from None
    if isinstance(path, Remote):
        return file, files
    if [file.path] == files.paths == [path]:
        if files.identities[path] != early:
            raise _changed(path)
    elif read_headers(path, key).tensors != file.tensors:
        raise _changed(path)
    return file, files


Read = Callable[[int, Array], None]


def reader(file: StoredFile, files: BaseFiles, tensor: StoredTensor) -> Read:
    """Return what reads a tensor's elements from an index on into a flat array, little-endian.

    What is compressed or in chunks is decoded once, into a file of its own.
    """
    if tensor.slabs is not None:
        return _Decoded(file, tensor)

    def read(first: int, out: Array) -> None:
        _read_plain(file, files, tensor, first, out)
        if tensor.byte_order == ">":
            _swap(out, tensor.dtype)

    return read


def _read_plain(
    file: StoredFile, files: BaseFiles, tensor: StoredTensor, first: int, out: Array
) -> None:
    """Read the elements of a contiguous tensor as they are.

    Raises:
        FormatError: if the file ends early.
    """
    assert tensor.offset is not None
    path = tensor.path or file.path
    offset = tensor.offset + first * out.itemsize
    if not read_fully(lambda view, at: files.read(path, at, view), out, offset):
        raise too_short(file.path, tensor.name)


def _swap(out: Array, dtype: str) -> None:
    """Turn the bytes of big-endian elements; a complex one has two parts."""
    size = out.itemsize if not dtype.startswith("complex") else numpy_dtype(dtype).itemsize // 2
    if size > 1:
        parts = out.view(np.uint8).view(f"u{size}")
        parts.byteswap(inplace=True)


class _Decoded:
    """Read a tensor that its file keeps in chunks, or compressed."""

    def __init__(self, file: StoredFile, tensor: StoredTensor) -> None:
        self._file, self._tensor = file, tensor
        self._lock = threading.Lock()
        self._decoded: IO[bytes] | None = None

    def __call__(self, first: int, out: Array) -> None:
        with self._lock:
            if self._decoded is None:
                self._decoded = self._decode()
                weakref.finalize(self, self._decoded.close)
        left, offset = out.view(np.uint8), first * out.itemsize
        while left.size:
            count = os.preadv(self._decoded.fileno(), [left.data], offset)
            if not count:
                raise FormatError(
                    f"{self._file.path}: {shown(self._tensor.name)}: the file ends too early"
                )
            left, offset = left[count:], offset + count

    def _decode(self) -> IO[bytes]:
        assert self._tensor.slabs is not None
        decoded = tempfile.TemporaryFile()  # noqa: SIM115, closed with this reader
        try:
            for slab in self._tensor.slabs():
                decoded.write(np.ascontiguousarray(slab, slab.dtype.newbyteorder("<")).data)
            decoded.flush()
        except BaseException:
            decoded.close()
            raise
        return decoded


@functools.lru_cache(maxsize=1024)
def _cached(path: Place, identity: Identity | Remote) -> list[bytes]:
    """Return where the hash of a file is kept, for the tasks of one worker."""
    return []


def _digest(files: BaseFiles, path: Place, identity: Identity | Remote) -> bytes:
    kept = _cached(path, identity)
    if not kept:
        found, offset = hashlib.sha256(), 0
        buffer = np.empty(_READ_BYTES, np.uint8)
        while count := files.read(path, offset, buffer.data):
            found.update(buffer[:count].data)
            offset += count
        kept.append(found.digest())
    return kept[0]


def _changed(path: Place) -> FormatError:
    return FormatError(f"{path} was replaced or written to while it was read; run it again")


def _close_all(held: dict[Place, int]) -> None:
    for descriptor in held.values():
        os.close(descriptor)
    held.clear()
