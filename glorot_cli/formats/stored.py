"""What a weight file's headers say, in every format, and how its bytes are read in blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from glorot_cli.dtypes import numpy_dtype
from glorot_cli.errors import FormatError, shown
from glorot_cli.fans import Shape
from glorot_cli.formats.base import Format

BLOCK_BYTES = 1 << 21
MOST_AXES = 64
# More elements than this nobody counts, not even those of an empty tensor but for its zeros.
MOST_ELEMENTS = 2**63 - 1

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Describe a tensor in a file.

    Its bytes are contiguous at `offset`, unless `slabs` yields them (chunked or compressed HDF5).
    `path` is set where it is not the file that lists the tensor. `stored` is how many bytes of the
    file hold it, where these are compressed.
    """

    name: str
    shape: Shape
    dtype: str
    offset: int | None
    nbytes: int
    byte_order: str = "<"
    path: Path | None = None
    slabs: Callable[[], Iterator[Array]] | None = field(default=None, compare=False)
    stored: int | None = None

    def placed(self, path: Path) -> StoredTensor:
        """Return the same tensor as seen from another file."""
        return replace(self, path=self.path or path)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Hold a file's headers: its format, the text of its provenance, and its tensors.

    `notices` are what its user should know of what was read and what was not.
    """

    path: Path
    format: Format
    provenance: Any
    tensors: list[StoredTensor]
    notices: tuple[str, ...] = ()

    def by_name(self) -> dict[str, StoredTensor]:
        """Return the tensors by their names."""
        return {tensor.name: tensor for tensor in self.tensors}


def check_shape(where: str, shape: Shape, itemsize: int) -> int:
    """Check that a shape is an array's, and return how many bytes it takes.

    Raises:
        FormatError: if it is not.
    """
    if any(size < 0 for size in shape):
        raise FormatError(f"{where}: expected sizes of at least 0, found shape {shown(shape)}")
    if len(shape) > MOST_AXES:
        raise FormatError(f"{where}: expected at most {MOST_AXES} axes, found {len(shape)}")
    if math.prod(size for size in shape if size) > MOST_ELEMENTS:
        raise FormatError(f"{where}: expected less than 2**63 elements, found shape {shown(shape)}")
    return math.prod(shape) * itemsize


def block_count(tensor: StoredTensor) -> int:
    """Count the blocks that a contiguous tensor is read in."""
    return -(-tensor.nbytes // BLOCK_BYTES)


def read_block(file: StoredFile, tensor: StoredTensor, index: int, buffer: Array) -> Array:
    """Read one block of a contiguous tensor into the start of a byte buffer, as a flat array.

    Raises:
        FormatError: if NumPy has no such dtype, or the file ends early.
    """
    try:
        dtype = numpy_dtype(tensor.dtype).newbyteorder(tensor.byte_order)  # type: ignore[arg-type]
    except TypeError:
        raise FormatError(
            f"{file.path}: {shown(tensor.name)}: cannot read elements of dtype {tensor.dtype}"
        ) from None
    assert tensor.offset is not None
    start = index * BLOCK_BYTES
    block = buffer[: min(BLOCK_BYTES, tensor.nbytes - start)]
    with (tensor.path or file.path).open("rb", buffering=0) as raw:
        raw.seek(tensor.offset + start)
        if raw.readinto(block.data) != block.size:
            raise FormatError(f"{file.path}: {shown(tensor.name)}: the file ends too early")
    return block.view(dtype)
