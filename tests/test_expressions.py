"""Expressions: arithmetic, what is refused and how it is said, and bounds in size and time."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glorot_cli.expressions import evaluate_integer, evaluate_real

NAMES = {"d": 768, "layers": 12, "i": 3, "_k1": 5}
SIZES = "expected an expression of numbers, dims, + - * // ( ), found"
SCALES = "expected an expression of numbers, dims, + - * // ( ) / sqrt(), found"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3*d", 2304), ("d", 768), ("7 + i", 10), ("2 + 3*4", 14), ("(2 + 3)*4", 20),
        ("10 - 3 - 2", 5), ("100 // 7 // 2", 7), ("2*7 // 4", 3), ("2*(7 // 4)", 2),
        ("-3", -3), ("--3", 3), ("-7 // 2", -4), ("7 // -2", -4), ("-d + 1", -767),
        ("2 - -3", 5), ("_k1*_k1", 25), ("  d\t", 768), ("d\n", 768), ("((((d))))", 768),
        ("18446744073709551615", 2**64 - 1), ("2*9223372036854775807 + 1", 2**64 - 1),
        ("d - d", 0), ("0*d", 0), ("3*d//2", 1152),
    ],
)  # fmt: skip
def test_integers(text: str, value: int) -> None:
    found = evaluate_integer(text, NAMES)
    assert type(found) is int
    assert found == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.02 / sqrt(2*layers)", 0.02 / math.sqrt(24.0)), ("1/3", 1 / 3), ("6/3/2", 1.0),
        ("1e-3", 0.001), ("1E+3", 1000.0), (".5", 0.5), ("2.", 2.0), ("1.5e2*2", 300.0),
        ("sqrt(sqrt(16))", 2.0), ("sqrt(0)", 0.0), ("-sqrt(4)", -2.0), ("7 // 2", 3.0),
        ("7.5 // 2", 3.0), ("sqrt(2 / (5*d))", math.sqrt(2 / 3840)), ("sqrt (4)", 2.0),
        ("1 - 1/d", 1 - 1 / 768), ("1/18446744073709551616", 2.0**-64),
    ],
)  # fmt: skip
def test_scales(text: str, value: float) -> None:
    found = evaluate_real(text, NAMES)
    assert type(found) is float
    assert found == value


@pytest.mark.parametrize(
    "text",
    [
        "sqrt(d)", "1.0", "1e3", "2 ** 3", "d % 5", "d << 1", "d & 1", "d @ 2", "+d", "~d",
        "not d", "d < 2", "d if d else 1", "d or 1", "lambda: 1", "[d]", "d.real", "d[0]",
        "abs(d)", "d()", "'a'", '"a"', "f'{d}'", "b'a'", "True", "None", "...", "1j", "0x10",
        "0b11", "1_000", "012", "1:30", "", "   ", "(", "d +", "d d", "2d", "1or 2", "'\\d'",
        "d # 1", "d := 1", "d; d", "d\\\n+ 1", "a\0b", "\u0664", "\uff44", "é", "__import__('os')",
        "*d", "d,", "int(3)", "d = 3", "yield", "await d", "1 2", "1.2.3", "3.d",
    ],
)  # fmt: skip
def test_what_no_size_may_hold(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        evaluate_integer(text, NAMES)
    assert str(caught.value) == f"{SIZES} {text!r}"


@pytest.mark.parametrize(
    "text",
    [
        "2 ** 3", "d % 5", "exp(1)", "sqrt()", "sqrt(1, 2)", "sqrt(x=1)", "sqrt(*d)", "d.sqrt(2)",
        "sqrt", "math.sqrt(2)", "sqrt(2)(3)", "(sqrt)(2", "True", "1j", "'a'", "1 if d else 2",
    ],
)  # fmt: skip
def test_what_no_scale_may_hold(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        evaluate_real(text, NAMES)
    expected = f"{SCALES} {text!r}"
    if text == "sqrt":
        expected = "'sqrt' uses the unknown name 'sqrt'; known: _k1, d, i, layers"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2*layer", "'2*layer' uses the unknown name 'layer'; did you mean 'layers'?"),
        ("width", "'width' uses the unknown name 'width'; known: _k1, d, i, layers"),
        ("D", "'D' uses the unknown name 'D'; did you mean 'd'?"),
        ("d // 0", "'d // 0' divides by zero"),
        ("d // (i - 3)", "'d // (i - 3)' divides by zero"),
        ("18446744073709551616 + 1", "'18446744073709551616 + 1' goes beyond 2**64"),
        ("-18446744073709551617", "'-18446744073709551617' goes beyond 2**64"),
        ("9999999999*9999999999", "'9999999999*9999999999' goes beyond 2**64"),
        ("(9999999999*9999999999) // 9999999999",
         "'(9999999999*9999999999) // 9999999999' goes beyond 2**64"),
        ("9" * 200, "'" + "9" * 56 + "... goes beyond 2**64"),
        ("1" * 201, "expected an expression of at most 200 characters"),
        ("1+" * 100 + "1", "expected an expression of at most 200 characters"),
        (" " * 200 + "1", "expected an expression of at most 200 characters"),
    ],
)  # fmt: skip
def test_integers_that_cannot_be_worked_out(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        evaluate_integer(text, NAMES)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "'1 / 0' divides by zero"),
        ("1 / (0*d)", "'1 / (0*d)' divides by zero"),
        ("1.5 // 0.0", "'1.5 // 0.0' divides by zero"),
        ("sqrt(-1)", "'sqrt(-1)' takes the square root of -1"),
        ("sqrt(1 - d/2)", "'sqrt(1 - d/2)' takes the square root of -383.0"),
        ("1e20", "'1e20' goes beyond 2**64"),
        ("1e999", "'1e999' goes beyond 2**64"),
        ("1 / 1e-20", "'1 / 1e-20' goes beyond 2**64"),
        ("inf", "'inf' uses the unknown name 'inf'; known: _k1, d, i, layers"),
        ("nan", "'nan' uses the unknown name 'nan'; known: _k1, d, i, layers"),
    ],
)
def test_scales_that_cannot_be_worked_out(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        evaluate_real(text, NAMES)
    assert str(caught.value) == message


def test_an_unknown_name_where_nothing_is_named() -> None:
    with pytest.raises(ValueError) as caught:
        evaluate_integer("3*d", {})
    assert str(caught.value) == "'3*d' uses the unknown name 'd'; there are no dims"


@pytest.mark.parametrize("text", ["(" * 99 + "1" + ")" * 99, "-" * 198 + "1", "1" + "+1" * 99])
def test_the_deepest_expressions_are_worked_out(text: str) -> None:
    assert evaluate_integer(text, {}) == (100 if "+" in text else 1)


def test_what_was_meant_is_said() -> None:
    for text, hint in (("d / 2", "// divides"), ("(d, 1)", "a list is written [8, 16]")):
        with pytest.raises(ValueError) as caught:
            evaluate_integer(text, NAMES)
        assert str(caught.value) == f"{SIZES} {text!r}; {hint}"


@pytest.mark.parametrize("text", ["(" * 200, "-" * 200, "(" * 199 + "1", "d" * 199 + "!"])
def test_the_deepest_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        evaluate_integer(text, NAMES)
    assert str(caught.value) == f"{SIZES} '{text[:56]}..."


@st.composite
def sums(draw: st.DrawFn, depth: int = 3) -> str:
    """Write a random expression of small integers and names."""
    if depth == 0 or draw(st.booleans()):
        return str(draw(st.one_of(st.integers(0, 99), st.sampled_from(sorted(NAMES)))))
    left, right = draw(sums(depth - 1)), draw(sums(depth - 1))
    op = draw(st.sampled_from([" + ", " - ", "*", " // "]))
    return draw(st.sampled_from(["{}{}{}", "({}{}{})", "-({}{}{})"])).format(left, op, right)


@given(sums())
def test_arithmetic_is_that_of_python(text: str) -> None:
    try:
        expected = eval(text, {}, dict(NAMES))
    except ZeroDivisionError:
        with pytest.raises(ValueError, match="divides by zero"):
            evaluate_integer(text, NAMES)
    else:
        assert evaluate_integer(text, NAMES) == expected


@given(st.text(st.sampled_from("d1. +-*/()e_,'=\n\\"), max_size=12))
def test_any_text_has_a_bounded_value_or_is_refused(text: str) -> None:
    for evaluate in (evaluate_integer, evaluate_real):
        with contextlib.suppress(ValueError):
            assert abs(evaluate(text, NAMES)) <= 2**64


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("shape: [d/2], initializer: ones", f"3:15: tensors.w.shape[0]: {SIZES} 'd/2'; // divides"),
        ("shape: [2, sqrt(d)], initializer: ones", f"3:18: tensors.w.shape[1]: {SIZES} 'sqrt(d)'"),
        ("shape: [4], fused: d/2, axes: O, initializer: ones",
         f"3:26: tensors.w.fused: {SIZES} 'd/2'; // divides"),
        ("shape: [4], seed: d/2, initializer: uniform",
         f"3:25: tensors.w.seed: {SIZES} 'd/2'; // divides"),
        ("shape: [4], initializer: {name: normal, std: 2**d}",
         f"3:52: tensors.w.initializer.std: {SCALES} '2**d'"),
        ("shape: [4], initializer: {name: normal, std: e/2}",
         "3:52: tensors.w.initializer.std: 'e/2' uses the unknown name 'e'; known: d"),
        ("shape: [4], initializer: {name: constant, value: sqrt(1 - d)}",
         "3:56: tensors.w.initializer.value: 'sqrt(1 - d)' takes the square root of -7"),
        ("shape: [d - 8], initializer: ones",
         "3:15: tensors.w.shape[0]: expected a positive integer below 2**40, found 0 ('d - 8')"),
        ("shape: [d*999999999999], initializer: ones",
         "3:15: tensors.w.shape[0]: expected a positive integer below 2**40, "
         "found 7999999999992 ('d*999999999999')"),
    ],
)  # fmt: skip
def test_mistakes_in_a_spec_have_their_place(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, entry: str, message: str
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"dims: {{d: 8}}\ntensors:\n  w: {{{entry}}}\n", encoding="utf-8")
    assert run("plan", path) == (2, "", f"glorot: {path}:{message}\n")
