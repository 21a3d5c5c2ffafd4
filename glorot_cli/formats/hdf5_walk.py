"""Reading HDF5 by a walk over hard links only, so that no file but the named one is read."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from glorot_cli.errors import FormatError, shown
from glorot_cli.fans import Shape
from glorot_cli.formats.stored import BLOCK_BYTES, StoredFile, StoredTensor

MAGIC = b"\x89HDF\r\n\x1a\n"
DEEPEST = 64
MOST_OBJECTS = 1_000_000
LARGEST_CHUNK = 256 << 20
# Deflate cannot shrink anything more than this.
LARGEST_RATIO = 1032

Array = np.ndarray[Any, np.dtype[Any]]
# Where in a larger file an HDF5 file lies: its first byte and its length.
Window = tuple[int, int]


def read_headers(path: Path, window: Window | None = None) -> StoredFile:
    """Read the names, shapes, dtypes and places of all datasets.

    Raises:
        FormatError: if the file is damaged, or holds what would lead to other files.
    """
    try:
        with _opened(path, window) as file:
            root = file["/"].id
            layout = "keras" if root.links.exists(b"layers") else "h5"
            tensors = [
                _stored(path, name, dataset, window) for name, dataset in _datasets(path, root)
            ]
            return StoredFile(path, layout, _provenance(file), tensors)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path}: HDF5 cannot read it: {error}") from None


@contextlib.contextmanager
def _opened(path: Path, window: Window | None) -> Iterator[Any]:
    import h5py

    if window is None:
        with h5py.File(path, "r", locking=False) as file:
            yield file
        return
    with path.open("rb") as raw, h5py.File(_Part(raw, *window), "r") as file:
        yield file


class _Part(io.RawIOBase):
    """Be a part of a file, read-only."""

    def __init__(self, raw: io.BufferedReader, start: int, size: int) -> None:
        self._raw = raw
        self._start = start
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: max(0, self._size - self._at)]
        self._raw.seek(self._start + self._at)
        count = self._raw.readinto(view)
        self._at += count
        return count


def _provenance(file: Any) -> Any:
    return file.attrs.get("glorot")


def _datasets(path: Path, root: Any) -> Iterator[tuple[str, Any]]:
    """Walk depth first, each object once by its address, links in order of their names."""
    import h5py

    seen: set[int] = set()
    stack: list[tuple[str, Any]] = [("", root)]
    while stack:
        name, item = stack.pop()
        address = h5py.h5o.get_info(item).addr
        if address in seen:
            continue
        seen.add(address)
        if len(seen) > MOST_OBJECTS:
            raise FormatError(f"{path}: expected at most {MOST_OBJECTS} objects")
        if isinstance(item, h5py.h5d.DatasetID):
            yield name, item
        elif isinstance(item, h5py.h5g.GroupID):
            if name.count("/") > DEEPEST:
                raise FormatError(f"{path}: expected at most {DEEPEST} levels of groups")
            links: list[bytes] = []
            item.links.iterate(links.append)
            for link in sorted(links, reverse=True):
                inner = f"{name}/{link.decode('utf-8', 'backslashreplace')}".lstrip("/")
                if item.links.get_info(link).type != h5py.h5l.TYPE_HARD:
                    raise FormatError(f"{path}: {shown(inner)} is a link, which is not followed")
                stack.append((inner, h5py.h5o.open(item, link)))


def _stored(path: Path, name: str, dataset: Any, window: Window | None) -> StoredTensor:
    import h5py

    creation = dataset.get_create_plist()
    if creation.get_layout() == h5py.h5d.VIRTUAL or creation.get_external_count():
        raise FormatError(
            f"{path}: {shown(name)} keeps its data in other files, which are not read"
        )
    if dataset.shape is None:
        raise FormatError(f"{path}: {shown(name)} has no shape, as HDF5's null dataspace allows")
    dtype = dataset.dtype
    nbytes = math.prod(dataset.shape) * dtype.itemsize
    stored = dataset.get_storage_size()
    offset = dataset.get_offset()
    slabs = None
    readable = dtype.kind in "biuf" or _is_bfloat16(dataset)
    if not readable or (nbytes and offset is None):
        if nbytes > LARGEST_RATIO * max(stored, 1):
            raise FormatError(f"{path}: {shown(name)} declares {nbytes} bytes, {stored} are stored")
        slabs = _Slabs(path, name, window)
        offset = None
    elif nbytes != stored:
        raise FormatError(f"{path}: {shown(name)} declares {nbytes} bytes, {stored} are stored")
    if offset is not None and window is not None:
        offset += window[0]
    order = ">" if dtype.byteorder == ">" else "<"
    return StoredTensor(
        name, dataset.shape, _dtype_name(dataset), offset, nbytes, order, None, slabs
    )


def _dtype_name(dataset: Any) -> str:
    dtype: np.dtype[Any] = dataset.dtype
    if dtype.kind in "biuf":
        return dtype.name
    return "bfloat16" if _is_bfloat16(dataset) else str(dtype)


def _is_bfloat16(dataset: Any) -> bool:
    """Tell whether a dataset is what Keras writes for bfloat16: two opaque bytes, so labelled."""
    import h5py

    if dataset.dtype != np.dtype("V2") or not h5py.h5a.exists(dataset, b"dtype"):
        return False
    return bool(h5py.Dataset(dataset).attrs["dtype"] == "bfloat16")


class _Slabs:
    """Read a chunked or compressed dataset in C order, in blocks that fit in memory."""

    def __init__(self, path: Path, name: str, window: Window | None) -> None:
        self._path = path
        self._name = name
        self._window = window

    def __call__(self) -> Iterator[Array]:
        """Yield flat arrays.

        Raises:
            FormatError: if the stored bytes are damaged, or there are no numbers.
        """
        try:
            yield from self._blocks()
        except (OSError, RuntimeError, KeyError) as error:
            raise FormatError(
                f"{self._path}: {shown(self._name)}: HDF5 cannot read it: {error}"
            ) from None

    def _blocks(self) -> Iterator[Array]:
        with _opened(self._path, self._window) as file:
            dataset = file[self._name]
            if dataset.dtype.kind not in "biuf":
                raise FormatError(
                    f"{self._path}: {shown(self._name)}: cannot read elements of "
                    f"dtype {dataset.dtype}"
                )
            chunk = math.prod(dataset.chunks or (1,)) * dataset.dtype.itemsize
            if chunk > LARGEST_CHUNK:
                raise FormatError(
                    f"{self._path}: {shown(self._name)}: expected chunks of at most "
                    f"{LARGEST_CHUNK >> 20} MiB"
                )
            for index in _slab_indices(dataset.shape, dataset.dtype.itemsize):
                yield np.ascontiguousarray(dataset[index]).ravel()


def _slab_indices(shape: Shape, itemsize: int) -> Iterator[tuple[int | slice, ...]]:
    """Cut a shape into runs along one axis that hold a block at most, in C order."""
    axis = 0
    while axis < len(shape) - 1 and math.prod(shape[axis + 1 :]) * itemsize > BLOCK_BYTES:
        axis += 1
    if not shape:
        yield ()
        return
    step = max(1, BLOCK_BYTES // (math.prod(shape[axis + 1 :]) * itemsize))
    for outer in np.ndindex(shape[:axis]):
        for start in range(0, shape[axis], step):
            yield (*outer, slice(start, start + step))
