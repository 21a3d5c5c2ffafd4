"""What HDF5 files hold, as a process of their own reads them: no file but the named one is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from glorot_cli.dtypes import Array, numpy_dtype
from glorot_cli.errors import FormatError, shown
from glorot_cli.fans import Shape
from glorot_cli.formats.hdf5_process import OpenFile
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.formats.table import FORMATS
from glorot_cli.formats.texts import MOST_TENSORS
from glorot_cli.hdf5_reader.objects import cut
from glorot_cli.repeats import LARGEST_NAMES
from glorot_cli.workers import BLOCK_BYTES

DEEPEST = 64
# Groups too: a layer has some.
MOST_OBJECTS = 4 * MOST_TENSORS
LARGEST_PROVENANCE = 16 << 20
LARGEST_CHUNK = 256 << 20
# HDF5 takes some kilobytes for each chunk that it reads at once.
MOST_CHUNKS = 4096
# Deflate cannot shrink anything more than this.
LARGEST_RATIO = 1032
# Seconds of processor time for a file, and more for each MiB of it: a MiB is unpacked to at most
# 1 GiB, which takes less where each chunk is unpacked once.
PATIENCE = 10.0
PATIENCE_PER_MIB = 4.0

# Where in a larger file an HDF5 file lies: its first byte and its length.
Window = tuple[int, int]


def read_headers(path: Path, window: Window | None = None) -> StoredFile:
    """Read the names, shapes, dtypes and places of all datasets.

    Raises:
        FormatError: if the file is damaged, or holds what would lead to other files.
    """
    file = OpenFile(path, _request(path, window))
    found = file.listing()
    start = window[0] if window is not None else 0
    tensors = [_stored(file, start, *described) for described in found["tensors"]]
    return StoredFile(
        path,
        FORMATS[found["layout"]],
        found["provenance"],
        tensors,
        labels=found["labels"],
        attributes=found["attributes"],
    )


def _request(path: Path, window: Window | None) -> dict[str, Any]:
    status = path.stat()
    # A file may have holes, which cost nobody anything.
    size = min(status.st_size, status.st_blocks * 512)
    return {
        "path": str(path.absolute()),
        "window": window,
        "deepest": DEEPEST,
        "objects": MOST_OBJECTS,
        "tensors": MOST_TENSORS,
        "names": LARGEST_NAMES,
        "size": status.st_size if window is None else window[1],
        "provenance": LARGEST_PROVENANCE,
        "chunk": LARGEST_CHUNK,
        "chunks": MOST_CHUNKS,
        "ratio": LARGEST_RATIO,
        "block": BLOCK_BYTES,
        "patience": PATIENCE + PATIENCE_PER_MIB * size / (1 << 20),
    }


def _stored(
    file: OpenFile,
    start: int,
    dataset: str,
    name: str,
    shape: list[int],
    dtype: str,
    offset: int | None,
    nbytes: int,
    order: str,
    stored: int,
) -> StoredTensor:
    slabs, sizes = None, tuple(shape)
    if offset == -1:
        slabs, offset = _Slabs(file, dataset, name, sizes, dtype, order), None
    elif offset is not None:
        offset += start
    compressed = None if slabs is None else stored
    return StoredTensor(name, sizes, dtype, offset, nbytes, order, None, slabs, compressed)


class _Slabs:
    """Read a chunked or compressed dataset in C order, in blocks that fit in memory."""

    def __init__(
        self, file: OpenFile, dataset: str, name: str, shape: Shape, dtype: str, order: str
    ) -> None:
        self._file = file
        self._dataset = dataset
        self._name = name
        self._shape = shape
        self._dtype = dtype
        self._order = order

    def __call__(self) -> Iterator[Array]:
        """Yield flat arrays.

        Raises:
            FormatError: if the stored bytes are damaged, or there are no numbers.
        """
        try:
            dtype = numpy_dtype(self._dtype, self._order)
        except TypeError:
            dtype = np.dtype(np.void)
        if dtype.kind not in "biufc":
            raise FormatError(
                f"{self._file.path}: {shown(self._name)}: cannot read elements of "
                f"dtype {self._dtype}"
            )
        runs = cut(self._shape, dtype.itemsize, BLOCK_BYTES)
        for number in range(runs.count):
            nbytes = runs.elements(number) * dtype.itemsize
            raw = self._file.block(self._dataset, self._name, number, nbytes)
            yield np.frombuffer(raw, dtype)
