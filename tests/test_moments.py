"""Range, mean and spread: exact sums, merging, and numbers that are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glorot_cli.moments import Moments, significant


def of(values: list[float], centre: float = 0.0, dtype: str = "f8") -> Moments:
    return Moments.of(np.array(values, dtype), centre)


def test_sums_about_a_centre() -> None:
    found = of([1.0, 2.0, 6.0], 2.0)
    assert found == Moments(3, 1.0, 6.0, 2.0, 3.0, 17.0)
    assert found.mean == 3.0
    assert found.std == 2.16


def test_a_scratch_array_changes_nothing() -> None:
    block = np.array([1.0, 2.0, 6.0], "f4")
    scratch = np.empty(8, "f4")
    assert Moments.of(block, 2.0, scratch) == Moments.of(block, 2.0)
    assert block.tolist() == [1.0, 2.0, 6.0]


def test_merging_is_taking_the_whole() -> None:
    assert of([1.0, 2.0], 2.0).merged(of([6.0], 2.0)) == of([1.0, 2.0, 6.0], 2.0)


def test_another_centre_is_the_same_moments() -> None:
    assert of([1.0, 2.0, 6.0], 2.0).about(0.0) == of([1.0, 2.0, 6.0])


@given(
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=60),
    st.integers(1, 59),
    st.integers(-9, 9),
)
def test_blocks_merge_to_the_moments_of_numpy(values: list[int], cut: int, centre: int) -> None:
    numbers = [float(value) for value in values]
    cut = min(cut, len(numbers) - 1)
    found = of(numbers[:cut], centre).merged(of(numbers[cut:], centre))
    assert (found.minimum, found.maximum) == (min(numbers), max(numbers))
    spread = float(np.std(numbers))
    assert found.std == pytest.approx(spread, rel=1e-3, abs=1e-6)
    assert found.mean == pytest.approx(float(np.mean(numbers)), abs=1e-4 * (spread + 1e-9))


def test_a_constant_is_exact() -> None:
    found = of([0.1] * 7, 0.1, "f4").merged(of([0.1], 0.1, "f4"))
    assert (found.mean, found.std) == (float(np.float32(0.1)), 0.0)


def test_huge_numbers_do_not_overflow() -> None:
    constant = of([1e200, 1e200])
    assert (constant.mean, constant.std) == (1e200, 0.0)
    with np.errstate(over="ignore"):
        spread = of([0.0, 2e30], dtype="f4")
    assert (spread.mean, spread.std) == (1e30, 1e30)


def test_cancelled_squares_are_no_negative_spread() -> None:
    found = Moments(4, 1.0, 2.0, 0.0, 8.0, 15.999999)
    assert found.std == 0.0
    assert math.copysign(1.0, found.std) == 1.0


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_what_is_no_number_is_counted_and_left_out(position: int, dtype: str) -> None:
    blocks = [of([1.0, 2.0], dtype=dtype), of([math.nan, 6.0, -math.inf, math.inf], dtype=dtype)]
    found = blocks[position].merged(blocks[1 - position])
    assert found == Moments(3, 1.0, 6.0, 0.0, 9.0, 41.0, nan=1, inf=2)
    assert (found.mean, found.std, found.others) == (3.0, 2.16, "1 NaN, 2 inf")


def test_a_block_without_numbers_adds_none() -> None:
    none = of([math.nan, math.nan])
    assert (none.count, none.nan) == (0, 2)
    assert all(map(math.isnan, (none.minimum, none.maximum, none.mean, none.std)))
    assert of([1.0, 3.0]).merged(none) == Moments(2, 1.0, 3.0, 0.0, 4.0, 10.0, nan=2)
    assert none.merged(of([1.0, 3.0])) == Moments(2, 1.0, 3.0, 0.0, 4.0, 10.0, nan=2)
    assert none.merged(none).nan == 4


def test_numbers_leave_no_words_about_others() -> None:
    assert of([1.0, 2.0]).others == ""


@pytest.mark.parametrize(
    ("dtype", "unit"),
    [("f4", 2.0**-140), ("f4", 1e-30), ("f4", 5e37), ("f8", 1e-320), ("f8", 1e-170), ("f8", 1e160),
     ("f8", 2.9e307)],
)  # fmt: skip
def test_squares_neither_vanish_nor_overflow(dtype: str, unit: float) -> None:
    values = np.array([1.0, 2.0, 6.0, -3.0]).astype(dtype) * np.dtype(dtype).type(unit)
    expected = 3.2015621187164243 * unit  # the std of 1, 2, 6, -3
    found = Moments.of(values, 0.0)
    assert found.mean == pytest.approx(1.5 * unit, rel=1e-3)
    assert found.std == pytest.approx(expected, rel=2e-3)
    parts = Moments.of(values[:2], 0.0).merged(Moments.of(values[2:], 0.0))
    assert (parts.mean, parts.std) == (found.mean, found.std)
    about = found.about(float(values[0])).about(0.0)
    assert (about.mean, about.std) == (found.mean, found.std)
    assert found.relative_square(expected) == pytest.approx(12.5 / 10.25, rel=2e-3)


def test_blocks_of_other_scales_merge() -> None:
    tiny, huge = of([1e-170, -1e-170]), of([0.0, 2e160])
    assert (tiny.std, huge.std) == (1e-170, 1e160)
    assert tiny.merged(huge) == huge.merged(tiny)
    assert tiny.merged(huge).std == 8.66e159
    assert tiny.merged(of([0.0, 0.0])).std == 7.071e-171
    assert of([0.0]).merged(tiny).std == 8.165e-171


def test_another_centre_far_from_tiny_numbers() -> None:
    assert of([1e-170, -1e-170]).about(1.0).deviation == 1.0
    assert of([1e-170, -1e-170]).about(-1e200).deviation == 1e200


def test_a_relative_square_is_finite() -> None:
    assert of([1e160, -1e160]).relative_square(1e-160) == 1e100


def test_the_mean_is_rounded_to_what_sums_can_tell() -> None:
    assert Moments(1000, -1.0, 1.0, 0.0, 0.123456789, 4000.0).mean == 0.00012
    assert Moments(1000, -1e-3, 1e-3, 0.0, 0.123456789e-3, 4e-3).mean == 1.2e-07


@pytest.mark.parametrize(
    ("number", "rounded"),
    [(0.0, 0.0), (1.23456, 1.235), (123456.0, 123500.0), (-9.9999e-7, -1e-6)],
)
def test_significant_digits(number: float, rounded: float) -> None:
    assert significant(number) == rounded


def test_no_number_is_left_alone() -> None:
    assert significant(1.79769e308) == 1.79769e308
    assert math.isnan(significant(math.nan))
    assert significant(math.inf) == math.inf


def test_a_scratch_that_is_too_short_is_left_alone() -> None:
    block = np.arange(1.0, 9.0, dtype=np.float32)
    assert Moments.of(block, 4.0, np.empty(4, np.float32)) == Moments.of(block, 4.0)
