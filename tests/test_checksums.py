"""CRC-32 of parts, combined, is that of the whole."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glorot_cli.formats.checksums import Checksums, combined


@pytest.mark.parametrize("data", [b"", b"\0", bytes(100), b"123456789"])
@pytest.mark.parametrize("more", [b"", b"\0", bytes(70_000), b"glorot" * 1000])
def test_two_parts(data: bytes, more: bytes) -> None:
    assert combined(zlib.crc32(data), zlib.crc32(more), len(more)) == zlib.crc32(data + more)


@given(st.lists(st.binary(max_size=300), max_size=8), st.randoms())
def test_blocks_in_any_order(parts: list[bytes], random: object) -> None:
    sums = Checksums()
    numbered = list(enumerate(parts))
    random.shuffle(numbered)  # type: ignore[attr-defined]
    for number, part in numbered:
        sums.add(1, number, part)
    assert sums.of_all(3) == (0, zlib.crc32(b"".join(parts)), 0)


def test_a_part_of_many_gigabytes() -> None:
    # 2**40 zeros after "a", from what zlib says of 2**20 of them, doubled twenty times.
    crc, size = zlib.crc32(bytes(1 << 20)), 1 << 20
    while size < 1 << 40:
        crc, size = combined(crc, crc, size), 2 * size
    whole = combined(zlib.crc32(b"a"), crc, size)
    step = zlib.crc32(b"a")
    for _ in range(4):
        quarter = combined(crc_of_zeros(1 << 38), 0, 0)
        step = combined(step, quarter, 1 << 38)
    assert whole == step


def crc_of_zeros(nbytes: int) -> int:
    crc, size = zlib.crc32(b"\0"), 1
    while size < nbytes:
        crc, size = combined(crc, crc, size), 2 * size
    return crc
