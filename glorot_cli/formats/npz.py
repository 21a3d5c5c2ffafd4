"""NumPy's .npz: a zip of .npy files, each of which is a tensor."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from glorot_cli.dtypes import Array
from glorot_cli.errors import FormatError, shown
from glorot_cli.formats import zips
from glorot_cli.formats.npy_header import Header, read_header
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.formats.table import NPZ
from glorot_cli.formats.texts import MOST_TENSORS
from glorot_cli.workers import BLOCK_BYTES


def is_npz(path: Path) -> bool:
    """Tell whether a zip file holds .npy files and nothing else.

    Raises:
        FormatError: if its directory is larger than is read.
    """
    try:
        with zips.opened(path) as archive:
            names = archive.namelist()
    except zips.DAMAGE:
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def read_headers(path: Path) -> StoredFile:
    """Read the header of each array.

    Raises:
        FormatError: if a member is damaged, or not a plain array.
    """
    with zips.opened(path) as archive, path.open("rb") as raw:
        members = archive.infolist()
        if len(members) > MOST_TENSORS:
            raise FormatError(f"{path}: expected at most {MOST_TENSORS} arrays")
        names: set[str] = set()
        for member in members:
            if member.filename in names:
                raise FormatError(f"{path}: {shown(member.filename)} stands there twice")
            names.add(member.filename)
        if sum(member.compress_size for member in members) > raw.seek(0, 2):
            raise FormatError(f"{path}: its members take more bytes than it has: some overlap")
        tensors = [_stored(path, archive, member, raw) for member in members]
        comment = archive.comment
    return StoredFile(path, NPZ, _provenance(comment), tensors)


def _provenance(comment: bytes) -> str | None:
    """Return the archive's comment, where glorot keeps how it was drawn; others' are no JSON."""
    if not comment.startswith(b"{"):
        return None
    try:
        return comment.decode()
    except UnicodeDecodeError:
        return None


def _stored(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, raw: IO[bytes]
) -> StoredTensor:
    name = member.filename.removesuffix(".npy")
    where = f"{path}: {shown(name)}"
    if member.compress_type not in zips.COMPRESSIONS:
        raise FormatError(f"{where}: expected it stored or deflated, found another compression")
    if member.flag_bits & 1:
        raise FormatError(f"{where}: it is encrypted")
    start, slabs = None, None
    if member.compress_type == zipfile.ZIP_STORED:
        start = zips.data_start(path, shown(name), member, raw)
        raw.seek(start)
        header = read_header(raw, where)
    else:
        try:
            with archive.open(member) as file:
                header = read_header(file, where)
        except zips.DAMAGE as error:
            raise FormatError(f"{where}: {error or 'it is cut short'}") from None
        slabs = _Slabs(path, member.filename, header)
    if header.start + header.nbytes != member.file_size:
        raise FormatError(
            f"{where}: its header needs {header.nbytes} bytes, "
            f"the archive has {member.file_size - header.start}"
        )
    if slabs is not None and member.file_size > zips.LARGEST_RATIO * max(member.compress_size, 1):
        raise FormatError(
            f"{where} declares {member.file_size} bytes, {member.compress_size} are stored"
        )
    offset = None if start is None else start + header.start
    return StoredTensor(
        name,
        header.shape,
        header.dtype.name,
        offset,
        header.nbytes,
        header.order,
        None,
        slabs,
        None if slabs is None else member.compress_size,
    )


class _Slabs:
    """Read a compressed array in blocks."""

    def __init__(self, path: Path, member: str, header: Header) -> None:
        self._path = path
        self._member = member
        self._header = header

    def __call__(self) -> Iterator[Array]:
        """Yield flat arrays.

        Raises:
            FormatError: if the compressed bytes are damaged.
        """
        left = self._header.nbytes
        try:
            with zips.opened(self._path) as archive, archive.open(self._member) as file:
                file.read(self._header.start)
                while left:
                    data = file.read(min(left, BLOCK_BYTES))
                    if len(data) < min(left, BLOCK_BYTES):
                        raise EOFError("it ends too early")
                    left -= len(data)
                    yield np.frombuffer(data, self._header.dtype)
        except (*zips.DAMAGE, KeyError) as error:
            raise FormatError(f"{self._path}: {shown(self._member)}: {error}") from None
