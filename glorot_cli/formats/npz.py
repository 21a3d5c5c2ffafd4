"""NumPy's .npz: a zip of .npy files, each of which is a tensor."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from glorot_cli.errors import FormatError, shown
from glorot_cli.formats.stored import BLOCK_BYTES, StoredFile, StoredTensor

MOST_MEMBERS = 1_000_000
# The fixed part of what stands before a member's bytes; its last two fields are lengths.
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_DAMAGE = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError)

Array = np.ndarray[Any, np.dtype[Any]]


def is_npz(path: Path) -> bool:
    """Tell whether a zip file holds .npy files and nothing else."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (*_DAMAGE, ValueError):
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def read_headers(path: Path) -> StoredFile:
    """Read the header of each array.

    Raises:
        FormatError: if a member is damaged, or not a plain array.
    """
    with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
        members = archive.infolist()
        if len(members) > MOST_MEMBERS:
            raise FormatError(f"{path}: expected at most {MOST_MEMBERS} arrays")
        tensors = [_stored(path, archive, member, raw) for member in members]
    return StoredFile(path, "npz", None, tensors)


def _stored(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, raw: IO[bytes]
) -> StoredTensor:
    name = member.filename.removesuffix(".npy")
    try:
        with archive.open(member) as file:
            shape, fortran_order, dtype = _header(file)
            start = file.tell()
    except (*_DAMAGE, ValueError, tokenize.TokenError) as error:
        raise FormatError(f"{path}: {shown(name)}: not a .npy file: {error}") from None
    if dtype.hasobject or dtype.kind not in "biuf":
        raise FormatError(f"{path}: {shown(name)}: expected numbers, found dtype {dtype}")
    if fortran_order and len(shape) > 1:
        raise FormatError(
            f"{path}: {shown(name)}: expected elements in C order, found Fortran order"
        )
    nbytes = math.prod(shape) * dtype.itemsize
    if any(size < 0 for size in shape) or start + nbytes != member.file_size:
        raise FormatError(
            f"{path}: {shown(name)}: the header speaks of {nbytes} bytes, "
            f"the archive has {member.file_size - start}"
        )
    order = ">" if dtype.byteorder == ">" else "<"
    if member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1:
        offset = _data_offset(path, name, member, raw) + start
        return StoredTensor(name, shape, dtype.name, offset, nbytes, order)
    slabs = _Slabs(path, member.filename, dtype, nbytes)
    return StoredTensor(name, shape, dtype.name, None, nbytes, order, None, slabs)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"expected version 1.0 or 2.0, found {version[0]}.{version[1]}")
    return _HEADERS[version](file)


def _data_offset(path: Path, name: str, member: zipfile.ZipInfo, raw: IO[bytes]) -> int:
    raw.seek(member.header_offset)
    head = raw.read(_LOCAL_HEADER.size)
    name_length, extra_length = _LOCAL_HEADER.unpack(head)[-2:]
    start: int = member.header_offset + len(head) + name_length + extra_length
    if start + member.file_size > raw.seek(0, 2):
        raise FormatError(f"{path}: {shown(name)} is longer than the archive")
    return start


class _Slabs:
    """Read a compressed array in blocks."""

    def __init__(self, path: Path, member: str, dtype: np.dtype[Any], nbytes: int) -> None:
        self._path = path
        self._member = member
        self._dtype = dtype
        self._nbytes = nbytes

    def __call__(self) -> Iterator[Array]:
        """Yield flat arrays.

        Raises:
            FormatError: if the compressed bytes are damaged.
        """
        left = self._nbytes
        try:
            with zipfile.ZipFile(self._path) as archive, archive.open(self._member) as file:
                _header(file)
                while left:
                    data = file.read(min(left, BLOCK_BYTES))
                    if len(data) < min(left, BLOCK_BYTES):
                        raise EOFError("it ends too early")
                    left -= len(data)
                    yield np.frombuffer(data, self._dtype)
        except _DAMAGE as error:
            raise FormatError(f"{self._path}: {shown(self._member)}: {error}") from None
