"""The header of a .npy file: a literal of Python's, of which only the usual is understood."""

from __future__ import annotations

import ast
import io
import re
import struct
from typing import IO, Any, NamedTuple

import numpy as np

from glorot_cli.dtypes import numpy_dtype
from glorot_cli.errors import FormatError, shown
from glorot_cli.fans import Shape
from glorot_cli.formats.stored import check_shape

MAGIC = b"\x93NUMPY"
LARGEST_HEADER = 10_000
# Each of these may be a level of nesting; the deepest array has 64 axes.
_MOST_MARKS = 200
_LENGTHS = {(1, 0): struct.Struct("<H"), (2, 0): struct.Struct("<I")}
# What np.save writes, and what Python's parser takes most of the time of reading a header for.
_SIZE = "(?:0|[1-9][0-9]{0,18})"
_USUAL = re.compile(
    r"\{'descr': '([^'\\]+)', 'fortran_order': (True|False), "
    rf"'shape': \((|{_SIZE},|{_SIZE}(?:, {_SIZE})+)\), \}}"
)
# Python 2 wrote long numbers so.
_LONG = re.compile(r"(?<=[0-9])L\b")
_DTYPE = re.compile(r"[<>|=]?[?biufcmMOSUV][0-9]{0,9}")


class Header(NamedTuple):
    """Hold what a header says, and where the elements start."""

    shape: Shape
    dtype: np.dtype[Any]
    nbytes: int
    start: int

    @property
    def order(self) -> str:
        """Return the order of the elements' bytes."""
        return ">" if self.dtype.byteorder == ">" else "<"


def header_bytes(shape: Shape, dtype: str) -> bytes:
    """Return the header that `np.save` would write."""
    header = io.BytesIO()
    description: dict[str, Any] = {
        "descr": np.lib.format.dtype_to_descr(numpy_dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(header, description)
    return header.getvalue()


def read_header(file: IO[bytes], where: str) -> Header:
    """Read a header; `where` is only said in errors.

    Raises:
        FormatError: if it is none.
    """
    try:
        shape, fortran_order, dtype, start = _parsed(file)
    except ValueError as error:
        raise FormatError(f"{where}: not a .npy file: {error}") from None
    if dtype.hasobject or dtype.kind not in "biuf":
        raise FormatError(f"{where}: expected numbers, found dtype {dtype}")
    if fortran_order and len(shape) > 1:
        raise FormatError(
            f"{where}: expected elements in C order, found Fortran order; "
            "save np.ascontiguousarray(a) instead"
        )
    nbytes = check_shape(where, shape, dtype.itemsize)
    return Header(shape, dtype, nbytes, start)


def _parsed(file: IO[bytes]) -> tuple[Shape, bool, np.dtype[Any], int]:
    head = file.read(len(MAGIC) + 2)
    if head[: len(MAGIC)] != MAGIC or len(head) < len(MAGIC) + 2:
        raise ValueError("it does not start as one")
    version = head[-2], head[-1]
    if version not in _LENGTHS:
        raise ValueError(f"expected version 1.0 or 2.0, found {version[0]}.{version[1]}")
    field = file.read(_LENGTHS[version].size)
    length = _LENGTHS[version].unpack(field)[0] if len(field) == _LENGTHS[version].size else 0
    if not 0 < length <= LARGEST_HEADER:
        raise ValueError(f"expected a header of 1 to {LARGEST_HEADER} bytes, found {length}")
    text = file.read(length)
    if len(text) < length:
        raise ValueError("its header is cut short")
    said = _literal(text.decode("latin-1").strip())
    if not isinstance(said, dict) or said.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError("expected descr, fortran_order and shape in its header")
    descr, fortran_order, shape = said["descr"], said["fortran_order"], said["shape"]
    if not isinstance(descr, str) or not _DTYPE.fullmatch(descr):
        raise ValueError(f"expected the dtype of numbers, found {shown(descr)}")
    if not isinstance(fortran_order, bool) or not isinstance(shape, tuple):
        raise ValueError("expected a bool for fortran_order, and a tuple for shape")
    if not all(type(size) is int for size in shape):
        raise ValueError(f"expected whole numbers for shape, found {shown(shape)}")
    try:
        dtype = np.dtype(descr)
    except (TypeError, ValueError):
        raise ValueError(f"expected the dtype of numbers, found {shown(descr)}") from None
    return shape, fortran_order, dtype, len(head) + len(field) + length


def _literal(text: str) -> Any:
    usual = _USUAL.fullmatch(text)
    if usual is not None:
        shape = tuple(int(size) for size in usual[3].split(",") if size.strip())
        return {"descr": usual[1], "fortran_order": usual[2] == "True", "shape": shape}
    if sum(map(text.count, "([{+-~")) > _MOST_MARKS or "\0" in text:
        raise ValueError("its header is no description of an array")
    for each in (text, _LONG.sub("", text)):
        try:
            return ast.literal_eval(each)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    raise ValueError("its header is no description of an array")
