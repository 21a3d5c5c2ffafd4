"""What the frameworks' streams are made of, against published vectors and exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from glorot_cli.distributions import Orthogonal
from glorot_cli.streams import box_muller, drawer, mersenne, philox, threefry
from glorot_cli.streams.fused import fused_float32, fused_float64
from glorot_cli.streams.request import Request

RANDOM = np.random.default_rng(7)

# Of Random123 (Salmon et al., 2011): counter, key, result.
THREEFRY = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]
PHILOX = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "result"), THREEFRY)
def test_threefry_is_threefry(counter: Any, key: Any, result: Any) -> None:
    first = counter[0] << 32 | counter[1]
    wide, narrow = np.empty(1, np.uint64), np.empty(1, np.uint32)
    threefry.fill_words64(key, first, wide)
    threefry.fill_words(key, first, narrow)
    assert wide[0] == result[0] << 32 | result[1]
    assert narrow[0] == result[0] ^ result[1]


def test_threefry_counts_past_32_bits() -> None:
    words, alone = np.empty(9, np.uint32), np.empty(1, np.uint32)
    threefry.fill_words((1, 2), 2**32 - 4, words)
    for index in range(9):
        threefry.fill_words((1, 2), 2**32 - 4 + index, alone)
        assert words[index] == alone[0]
    assert len(set(words.tolist())) == 9


@pytest.mark.parametrize(("counter", "key", "result"), PHILOX)
def test_philox_is_philox(counter: Any, key: Any, result: Any) -> None:
    assert philox.one(counter, key) == result
    words = np.empty(4, np.uint32)
    philox.fill_words(counter[2:], key, counter[1] << 32 | counter[0], words)
    assert tuple(words.tolist()) == result


@pytest.mark.parametrize("first", [0, 2**32 - 3, 5 * 2**32 - 1, 2**45])
def test_philox_counts_past_32_bits(first: int) -> None:
    words = np.empty(40, np.uint32)
    philox.fill_words((5, 6), (7, 8), first, words)
    for index in range(10):
        low, high = (first + index) & 0xFFFFFFFF, (first + index) >> 32
        expected = philox.one((low, high, 5, 6), (7, 8))
        assert tuple(words[4 * index : 4 * index + 4].tolist()) == expected


def test_mersenne_is_the_twister() -> None:
    words = np.empty(10_000, np.uint32)
    mersenne.words_of(5489).draw(0, words)
    # The first word and the 10,000th that the C++ standard asks of a default one.
    assert (words[0], words[-1]) == (3499211612, 4123659995)


def exact(a: Any, b: Any, c: Any) -> Fraction:
    return Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))


def is_nearest(found: Any, value: Fraction, dtype: Any) -> bool:
    """Tell whether no neighbour is nearer, and of two as near, the even one was taken."""
    error = abs(Fraction(float(found)) - value)
    for way in (-np.inf, np.inf):
        other = np.nextafter(found, dtype(way), dtype=dtype)
        rest = abs(Fraction(float(other)) - value)
        bits = int(np.array(found).view(np.int32 if dtype is np.float32 else np.int64))
        if rest < error or (rest == error and bits & 1):
            return False
    return True


@pytest.mark.parametrize("scale", [1.0, 2.0**-20, 2.0**-40, 3.7, 1e5])
def test_fused_rounds_once(scale: float) -> None:
    x = RANDOM.integers(0, 2**24, 3000).astype(np.float32) * np.float32(2.0**-24)
    factor, addend = float(np.float32(scale * 0.7)), float(np.float32(-0.3))
    found = np.empty_like(x)
    fused_float32(x, factor, addend, found)
    assert all(
        is_nearest(f, exact(a, factor, addend), np.float32) for f, a in zip(found, x, strict=True)
    )
    wide = RANDOM.random(3000)
    result = np.empty_like(wide)
    fused_float64(wide, scale * 0.7, -0.3, result)
    assert all(
        is_nearest(f, exact(a, scale * 0.7, -0.3), np.float64)
        for f, a in zip(result, wide, strict=True)
    )


def test_fused_is_right_where_two_roundings_are_wrong() -> None:
    # 1 + 2**-24 is halfway; what lies beyond float64's last bit decides.
    a = np.array([1 + 2.0**-12, 1 + 2.0**-12, 2.0**-12], np.float32)
    factor = np.float32(2.0**-12 - 2.0**-24)
    for sign in (1.0, -1.0):
        c = np.full(3, sign, np.float32)
        b = np.full(3, sign, np.float32) * factor
        found = box_muller._fused(a, b, c)
        assert all(
            is_nearest(f, exact(x, y, z), np.float32)
            for f, x, y, z in zip(found, a, b, c, strict=True)
        )
    tiny = np.array([2.0**-30 + 2.0**-53], np.float32)
    halfway = np.array([1 + 2.0**-23], np.float32)
    wide = np.array([2.0**6 * (1 + 2.0**-23)], np.float32)
    assert is_nearest(
        box_muller._fused(tiny, wide, halfway)[0], exact(tiny[0], wide[0], halfway[0]), np.float32
    )


def test_an_orthogonal_kernel_of_keras_is_orthogonal() -> None:
    for shape in ((30, 7), (7, 30), (3, 2, 5)):
        kernel = np.empty(int(np.prod(shape)), np.float32)
        drawer("keras-numpy", Request(Orthogonal(2.0), shape, 7, "t", "float32"))(0, kernel)
        matrix = kernel.reshape(-1, shape[-1]).astype(float)
        product = matrix.T @ matrix if len(matrix) >= shape[-1] else matrix @ matrix.T
        np.testing.assert_allclose(product, 4.0 * np.eye(len(product)), atol=1e-5)
