"""Fans by every framework's rule, the errors of axis roles, and the bits of the limit."""

from __future__ import annotations

import math

import pytest

from glorot_cli.fans import FAN_RULES, FanRule, Fans, check_axes, count_fans, glorot_limit

# Frameworks keep the same kernel in another order of axes, so each rule has its own shape.
CASES: list[tuple[str, FanRule, tuple[int, ...], str | None, int, Fans]] = [
    ("conv", "keras", (3, 3, 8, 4), "HWIO", 1, Fans(72, 36)),
    ("conv", "keras-3.14", (3, 3, 8, 4), "HWIO", 1, Fans(72, 36)),
    ("conv", "torch", (4, 8, 3, 3), "OIHW", 1, Fans(72, 36)),
    ("conv", "jax", (3, 3, 8, 4), "HWIO", 1, Fans(72, 36)),
    ("conv", "exact", (3, 3, 8, 4), "HWIO", 1, Fans(72, 36)),
    ("conv", "exact", (4, 8, 3, 3), "OIHW", 1, Fans(72, 36)),
    ("grouped", "keras", (3, 3, 4, 4), "HWIO", 2, Fans(36, 36)),
    ("grouped", "keras-3.14", (3, 3, 4, 4), "HWIO", 2, Fans(36, 36)),
    ("grouped", "torch", (4, 4, 3, 3), "OIHW", 2, Fans(36, 36)),
    ("grouped", "jax", (3, 3, 4, 4), "HWIO", 2, Fans(36, 36)),
    ("grouped", "exact", (3, 3, 4, 4), "HWIO", 2, Fans(36, 18)),
    ("depthwise", "keras", (3, 3, 8, 2), "HWBO", 1, Fans(72, 18)),
    ("depthwise", "keras-3.14", (3, 3, 8, 2), "HWBO", 1, Fans(72, 18)),
    ("depthwise", "torch", (16, 1, 3, 3), None, 1, Fans(9, 144)),
    ("depthwise", "jax", (3, 3, 1, 16), None, 1, Fans(9, 144)),
    ("depthwise", "exact", (3, 3, 8, 2), "HWBO", 1, Fans(9, 18)),
    ("transposed", "keras", (3, 3, 4, 8), "HWOI", 1, Fans(36, 72)),
    ("transposed", "keras-3.14", (3, 3, 4, 8), "HWOI", 1, Fans(36, 72)),
    ("transposed", "torch", (8, 4, 3, 3), "IOHW", 1, Fans(36, 72)),
    ("transposed", "jax", (3, 3, 8, 4), "HWIO", 1, Fans(72, 36)),
    ("transposed", "exact", (3, 3, 4, 8), "HWOI", 1, Fans(72, 36)),
    ("separable-depthwise", "keras", (3, 3, 8, 1), "HWBO", 1, Fans(72, 9)),
    ("separable-pointwise", "keras", (1, 1, 8, 4), "HWIO", 1, Fans(8, 4)),
    ("query", "keras", (8, 2, 3), "IOO", 1, Fans(8, 6)),
    ("query", "keras-3.14", (8, 2, 3), "IOO", 1, Fans(16, 24)),
    ("query", "torch", (24, 8), "OI", 3, Fans(8, 24)),
    ("query", "jax", (8, 2, 3), "IOO", 1, Fans(16, 24)),
    ("query", "exact", (8, 2, 3), "IOO", 1, Fans(8, 6)),
    ("packed-qkv", "exact", (24, 8), "OI", 3, Fans(8, 8)),
    ("attention-output", "keras", (2, 3, 8), "IIO", 1, Fans(6, 8)),
    ("attention-output", "keras-3.14", (2, 3, 8), "IIO", 1, Fans(6, 16)),
    ("attention-output", "torch", (8, 8), "OI", 1, Fans(8, 8)),
    ("attention-output", "jax", (2, 3, 8), "IIO", 1, Fans(6, 16)),
    ("attention-output", "exact", (2, 3, 8), "IIO", 1, Fans(6, 8)),
    ("embedding", "keras", (10, 6), "IO", 1, Fans(10, 6)),
    ("embedding", "torch", (10, 6), "IO", 1, Fans(6, 10)),
    ("embedding", "jax", (10, 6), "IO", 1, Fans(10, 6)),
    ("embedding", "exact", (10, 6), "IO", 1, Fans(10, 6)),
    ("experts", "exact", (4, 8, 6), "BIO", 1, Fans(8, 6)),
    ("inputs-only", "exact", (8, 3), "IX", 1, Fans(24, 3)),
    ("vector", "exact", (7,), None, 1, Fans(7, 7)),
    ("vector", "keras", (7,), None, 1, Fans(7, 7)),
    ("vector", "exact", (7,), "O", 1, Fans(1, 7)),
    ("scalar", "exact", (), None, 1, Fans(1, 1)),
    ("scalar", "keras", (), None, 1, Fans(1, 1)),
]


@pytest.mark.parametrize(
    ("rule", "shape", "axes", "fused", "expected"),
    [pytest.param(*case[1:], id=f"{case[0]}-{case[1]}-{i}") for i, case in enumerate(CASES)],
)
def test_fans(
    rule: FanRule, shape: tuple[int, ...], axes: str | None, fused: int, expected: Fans
) -> None:
    assert count_fans(rule, shape, axes, fused) == expected


def test_the_rules_are_named() -> None:
    assert FAN_RULES == ("exact", "keras", "keras-3.14", "torch", "jax")


@pytest.mark.parametrize(
    ("axes", "shape", "fused", "message"),
    [
        ("io", (8, 3), 1, "expected one capital letter per axis, such as HWIO, found 'io'"),
        ("", (8, 3), 1, "expected one capital letter per axis, such as HWIO, found ''"),
        ("I0", (8, 3), 1, "expected one capital letter per axis, such as HWIO, found 'I0'"),
        ("ÍO", (8, 3), 1, "expected one capital letter per axis, such as HWIO, found 'ÍO'"),
        ("IOO", (8, 3), 1, "expected 2 letters, one per axis of shape [8, 3], found 'IOO'"),
        ("HW", (8, 3), 1, "expected an input axis I or an output axis O, found 'HW'"),
        ("IOO", (8, 3, 3), 3, "fused needs exactly one O axis, found 'IOO'"),
        ("IH", (8, 3), 3, "fused needs exactly one O axis, found 'IH'"),
        ("IO", (8, 4), 3, "the O axis of size 4 does not divide into 3 equal kernels"),
    ],
)
def test_axes_that_do_not_fit(axes: str, shape: tuple[int, ...], fused: int, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_axes(axes, shape, fused)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("axes", "shape", "fused"),
    [("IO", (8, 3), 1), ("HWIO", (3, 3, 8, 4), 2), ("BIO", (4, 8, 6), 3), ("O", (7,), 7)],
)
def test_axes_that_fit(axes: str, shape: tuple[int, ...], fused: int) -> None:
    check_axes(axes, shape, fused)
    fans = count_fans("exact", shape, axes, fused)
    assert math.prod(fans) > 0


@pytest.mark.parametrize(
    ("rule", "shape", "message"),
    [
        ("torch", (7,), "torch computes no fans below rank 2, found shape [7]"),
        ("torch", (), "torch computes no fans below rank 2, found shape []"),
        ("jax", (7,), "jax computes no fans below rank 2, found shape [7]"),
        (
            "exact",
            (3, 3, 8, 4),
            "a tensor of shape [3, 3, 8, 4] needs axes, one letter per axis "
            "(I input, O output, B batch, others receptive field), such as IO or HWIO",
        ),
    ],
)
def test_shapes_of_which_a_rule_says_nothing(
    rule: FanRule, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        count_fans(rule, shape)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fans", "limit"),
    [
        (Fans(100, 64), 0.1912730139190015),
        (Fans(64, 10), 0.2847473987257497),
        (Fans(72, 36), 0.23570226039551584),
        (Fans(3, 2), 1.0954451150103324),
        (Fans(576, 1152), 0.05892556509887896),
        (Fans(1, 1), 1.7320508075688772),
        (Fans(1, 0), 1.7320508075688772),
        (Fans(1000, 24), 0.07654655446197431),
    ],
)
def test_limits(fans: Fans, limit: float) -> None:
    assert glorot_limit(fans) == limit


def test_the_order_of_operations_shows_in_the_last_bit() -> None:
    others = [n for n in range(2, 7002) if glorot_limit(Fans(1, n - 1)) != math.sqrt(6.0 / n)]
    assert others[:3] == [5, 20, 41]
    assert len(others) == 972
