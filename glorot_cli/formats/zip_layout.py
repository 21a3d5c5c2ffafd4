"""Zip files whose members' bytes come later: stored, aligned, the same bytes every time."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from glorot_cli.errors import FormatError, shown
from glorot_cli.formats.checksums import combined

ALIGNMENT = 64
LONGEST_COMMENT = 0xFFFF
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
# Where the CRC-32 stands in a member's two headers.
_LOCAL_CRC, _CENTRAL_CRC = 14, 16
# The earliest date that zip knows, 1 January 1980.
_DATE, _TIME = 1 << 5 | 1, 0
_UTF8 = 0x800
# Made on Unix, where a file may be read by all.
_UNIX, _MODE = 3, 0o100644
_VERSION, _VERSION_64 = 20, 45
_LONG, _SHORT = 0xFFFFFFFF, 0xFFFF
# The header of an extra field: of long sizes, and of one that nobody reads.
_ZIP64, _PADDING = 1, 0x4246
_LONGEST_NAME = 0xFFFF


@dataclass(frozen=True, slots=True)
class Member:
    """Hold a member's name, the bytes that it starts with, and how many follow later."""

    name: str
    start: bytes
    later: int = 0

    @property
    def size(self) -> int:
        """How many bytes it has in all."""
        return len(self.start) + self.later


@dataclass(frozen=True, slots=True)
class Layout:
    """Hold where the headers and the bytes of members are, and where the directory starts."""

    members: tuple[Member, ...]
    headers: tuple[int, ...]
    data: tuple[int, ...]
    directory: int
    comment: bytes


def _local_extra(member: Member, header: int, name: bytes) -> bytes:
    """Return the fields after a member's name: long sizes, and what aligns its later bytes."""
    sizes = b""
    if member.size >= _LONG:
        sizes = struct.pack("<HHQQ", _ZIP64, 16, member.size, member.size)
    end = header + _LOCAL.size + len(name) + len(sizes) + 4
    pad = -(end + len(member.start)) % ALIGNMENT
    return sizes + struct.pack("<HH", _PADDING, pad) + bytes(pad)


def lay_out(members: Sequence[Member], comment: bytes = b"") -> Layout:
    """Place members one after another, so that what comes later of each is aligned.

    Raises:
        FormatError: if a name is too long.
    """
    headers, data, at = [], [], 0
    for member in members:
        name = member.name.encode()
        if len(name) > _LONGEST_NAME:
            raise FormatError(f"the name {shown(member.name)} is too long for a zip file")
        headers.append(at)
        data.append(at + _LOCAL.size + len(name) + len(_local_extra(member, at, name)))
        at = data[-1] + member.size
    return Layout(tuple(members), tuple(headers), tuple(data), at, comment)


def write(file: IO[bytes], layout: Layout) -> None:
    """Write all but what comes later, and with the checksums of what there is."""
    for member, header, data in zip(layout.members, layout.headers, layout.data, strict=True):
        name = member.name.encode()
        is_long = member.size >= _LONG
        size = _LONG if is_long else member.size
        extra = _local_extra(member, header, name)
        fields = (
            b"PK\x03\x04", _VERSION_64 if is_long else _VERSION, _flags(name), 0, _TIME, _DATE,
            zlib.crc32(member.start), size, size, len(name), len(extra),
        )  # fmt: skip
        file.seek(header)
        file.write(_LOCAL.pack(*fields) + name + extra + member.start)
        assert file.tell() == data + len(member.start)
    file.seek(layout.directory)
    for member, header in zip(layout.members, layout.headers, strict=True):
        file.write(_central(member, header))
    file.write(_end(layout, file.tell()))


def _flags(name: bytes) -> int:
    return 0 if name.isascii() else _UTF8


def _central(member: Member, header: int) -> bytes:
    name = member.name.encode()
    longs = []
    if member.size >= _LONG:
        longs += [member.size, member.size]
    if header >= _LONG:
        longs.append(header)
    extra = struct.pack(f"<HH{len(longs)}Q", _ZIP64, 8 * len(longs), *longs) if longs else b""
    size = min(member.size, _LONG)
    version = _VERSION_64 if longs else _VERSION
    fields = (
        b"PK\x01\x02", _UNIX << 8 | version, version, _flags(name), 0, _TIME, _DATE,
        zlib.crc32(member.start), size, size, len(name), len(extra), 0, 0, 0, _MODE << 16,
        min(header, _LONG),
    )  # fmt: skip
    return _CENTRAL.pack(*fields) + name + extra


def _end(layout: Layout, at: int) -> bytes:
    count, size, start = len(layout.members), at - layout.directory, layout.directory
    end = _END.pack(
        b"PK\x05\x06", 0, 0, min(count, _SHORT), min(count, _SHORT), min(size, _LONG),
        min(start, _LONG), len(layout.comment),
    )  # fmt: skip
    longer = b""
    if count >= _SHORT or size >= _LONG or start >= _LONG:
        longer = _END_64.pack(
            b"PK\x06\x06", _END_64.size - 12, _VERSION_64, _VERSION_64, 0, 0, count, count, size,
            start,
        )  # fmt: skip
        longer += _LOCATOR.pack(b"PK\x06\x07", 0, at, 1)
    return longer + end + layout.comment


def put_checksums(file: IO[bytes], layout: Layout, later: Sequence[int | None]) -> None:
    """Put each member's CRC-32 into its two headers, once that of what came later is known."""
    at = layout.directory
    for member, header, found in zip(layout.members, layout.headers, later, strict=True):
        if found is not None:
            crc = combined(zlib.crc32(member.start), found, member.later).to_bytes(4, "little")
            for place in (header + _LOCAL_CRC, at + _CENTRAL_CRC):
                file.seek(place)
                file.write(crc)
        at += len(_central(member, header))
