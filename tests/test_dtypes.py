"""Element types: their sizes and their byte order."""

from __future__ import annotations

import pytest

from glorot_cli.dtypes import DTYPES, ITEM_SIZES, numpy_dtype


@pytest.mark.parametrize(("name", "text"), [("float32", "<f4"), ("float64", "<f8")])
def test_dtypes_are_little_endian(name: str, text: str) -> None:
    assert numpy_dtype(name).str == text


def test_every_dtype_has_its_size() -> None:
    assert set(DTYPES) <= set(ITEM_SIZES)
    assert {name: numpy_dtype(name).itemsize for name in ITEM_SIZES} == ITEM_SIZES
