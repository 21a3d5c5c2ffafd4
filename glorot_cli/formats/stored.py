"""What a weight file's headers say, in every format, and how its bytes are read in blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from glorot_cli.dtypes import Array, numpy_dtype
from glorot_cli.errors import FormatError, shown
from glorot_cli.fans import Shape
from glorot_cli.formats.base import Format
from glorot_cli.formats.sources import Place

MOST_AXES = 64
# More elements than this nobody counts, not even those of an empty tensor but for its zeros.
MOST_ELEMENTS = 2**63 - 1


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
    path: Place | None = None
    slabs: Callable[[], Iterator[Array]] | None = field(default=None, compare=False)
    stored: int | None = None

    @property
    def element(self) -> np.dtype[Any]:
        """NumPy's dtype of the elements, in their byte order; TypeError if it has none."""
        return numpy_dtype(self.dtype, self.byte_order)

    def placed(self, path: Place) -> StoredTensor:
        """Return the same tensor as seen from another file."""
        return replace(self, path=self.path or path)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Hold a file's headers: its format, the text of its provenance, and its tensors.

    `labels` are the names of layers by the groups of their variables in Keras's layout; `metadata`
    are the texts of safetensors; `attributes` are the lists of names, and the texts, by which Keras
    reads its older layout, by their groups and then by their own names. `notices` are what
    its user should know of what was read and what was not.
    """

    path: Place
    format: Format
    provenance: Any
    tensors: list[StoredTensor]
    notices: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, list[str] | str]] = field(default_factory=dict)

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


def read_fully(read: Callable[[memoryview, int], int], out: Array, offset: int) -> bool:
    """Read a file's bytes from an offset on into a flat array, and tell whether there are as many.

    `read` reads some at an offset, and returns how many.
    """
    view = out.view(np.uint8).data
    while view:
        count = read(view, offset)
        if not count:
            return False
        view, offset = view[count:], offset + count
    return True


def too_short(path: Place, name: str) -> FormatError:
    """Return the refusal of a file that ends before a tensor's bytes do."""
    return FormatError(f"{path}: {shown(name)}: the file ends too early")
