"""Zip files that others wrote: their directory within bounds, and where a member's bytes start."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

from glorot_cli.errors import FormatError

# What zipfile raises at damaged files, but for the system's errors.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, EOFError, ValueError, OverflowError
)  # fmt: skip
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
LARGEST_DIRECTORY = 32 << 20
# Deflate cannot shrink anything more than this.
LARGEST_RATIO = 1032
# The fixed part of what stands before a member's bytes; its last two fields are lengths.
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_END = struct.Struct("<4s4H2LH")
_END_MARK = b"PK\x05\x06"
_LONGEST_COMMENT = 1 << 16
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")


def opened(path: Path) -> zipfile.ZipFile:
    """Open a zip file.

    Raises:
        FormatError: if its directory is larger than is read.
    """
    if _directory_bytes(path) > LARGEST_DIRECTORY:
        raise FormatError(
            f"{path}: expected an archive with a directory of at most {LARGEST_DIRECTORY >> 20} MiB"
        )
    return zipfile.ZipFile(path)


def is_zip(path: Path) -> bool:
    """Tell whether a file ends as a zip file does."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # one that says to be in several parts
        return False


def _directory_bytes(path: Path) -> int:
    """Return how much of a file zipfile is going to take for its directory."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - _END.size - _LONGEST_COMMENT)
        file.seek(start)
        tail = file.read(size - start)
        # It tries a directory without a comment first.
        at = len(tail) - _END.size
        if at < 0 or tail[at : at + 4] != _END_MARK or tail[-2:] != b"\0\0":
            at = tail.rfind(_END_MARK)
        if at < 0 or len(tail) - at < _END.size:
            return 0
        largest = int(_END.unpack_from(tail, at)[5])
        file.seek(max(0, start + at - _LOCATOR.size - _END_64.size))
        longer = file.read(_END_64.size)
        if len(longer) == _END_64.size and longer[:4] == b"PK\x06\x06":
            largest = max(largest, int(_END_64.unpack(longer)[8]))
    return largest


def read_member(path: Path, name: str, largest: int) -> bytes:
    """Read a member as a whole.

    Raises:
        FormatError: if there is none, or it is damaged or larger than that.
    """
    try:
        with opened(path) as archive:
            member = archive.getinfo(name)
            if member.file_size > largest:
                raise FormatError(f"{path}: expected a {name} below {largest >> 20} MiB")
            if member.compress_type not in COMPRESSIONS:
                raise FormatError(f"{path}: expected {name} stored or deflated")
            return archive.read(member)
    except KeyError:
        raise FormatError(f"{path}: expected a .keras archive with a {name}") from None
    except DAMAGE as error:
        raise FormatError(f"{path}: {name}: {error}") from None


def data_start(path: Path, name: str, member: zipfile.ZipInfo, raw: IO[bytes]) -> int:
    """Return where in a zip file the bytes of a member start that is stored as it is.

    Raises:
        FormatError: if they are not in the file.
    """
    size = raw.seek(0, 2)
    raw.seek(min(max(0, member.header_offset), size))
    head = raw.read(_LOCAL_HEADER.size)
    fields = _LOCAL_HEADER.unpack(head) if len(head) == _LOCAL_HEADER.size else (b"",)
    if fields[0] != b"PK\x03\x04" or member.header_offset < 0:
        raise FormatError(f"{path}: {name} is not where the archive says")
    start: int = member.header_offset + len(head) + fields[-2] + fields[-1]
    if member.file_size != member.compress_size or start + member.file_size > size:
        raise FormatError(f"{path}: {name} is longer than the archive")
    return start
