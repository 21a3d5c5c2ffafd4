"""Expressions: arithmetic, what is refused and how it is said, and bounds in size and time."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import glorot_cli as glorot
from glorot_cli.errors import shown
from glorot_cli.expressions import (
    evaluate,
    evaluate_condition,
    evaluate_integer,
    evaluate_real,
)
from tests import pages

NAMES: dict[str, Any] = {"d": 768, "layers": 12, "i": 3, "_k1": 5}
REFUSED = "expected an expression such as 3*d or 0.02 / sqrt(2*layers), found"


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
        "d << 1", "d & 1", "d @ 2", "+d", "~d", "lambda: 1", "d.real", "d[0:1]", "d[0, 1]",
        "(d, 1)",
        "f'{d}'", "b'a'", "u'a'", "True", "None", "...", "1j", "0x10", "0b11", "1_000", "012",
        "1:30", "", "   ", "(", "d +", "d d", "2d", "1or 2", "1if d else 2", "'\\d'", "'a", "'a\"'",
        "d # 1", "d := 1", "d; d", "d\\\n+ 1", "a\0b", "\u0664", "\uff44", "é", "*d", "d,",
        "d = 3", "yield", "await d", "1 2", "1.2.3", "3.d", "1 is 1", "d is not d", "{d}", "{d: 1}",
        "[d for d in layers]", "[*d]", "max(*d)", "sqrt(x=1)", "d.sqrt(2)", "math.sqrt(2)",
        "sqrt(2)(3)", "(sqrt)(2", "d if layers", "d < ", "not", "d !", "d <> 1", "d === 1",
    ],
)  # fmt: skip
def test_what_no_expression_may_hold(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        evaluate(text, NAMES)
    hint = "; a list is written [8, 16]" if text == "(d, 1)" else ""
    assert str(caught.value) == f"{REFUSED} {text!r}{hint}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("d / 2", 384.0), ("1.0", 1.0), ("sqrt(d)", math.sqrt(768)), ("d < 2", False),
        ("'a'", "a"), ("null", None), ("[d]", [768]), ("7 % 2.5", 2.0), ("2 ** -1", 0.5),
    ],
)  # fmt: skip
def test_what_no_size_may_come_to(text: str, value: object) -> None:
    hint = "; // divides" if text == "d / 2" else ""
    with pytest.raises(ValueError) as caught:
        evaluate_integer(text, NAMES)
    assert str(caught.value) == f"expected a whole number, found {shown(value)} ({text!r}){hint}"


@pytest.mark.parametrize(
    ("text", "value"), [("d < 2", "false"), ('"a"', "'a'"), ("null", "null"), ("[d]", "[768]")]
)
def test_what_no_scale_may_come_to(text: str, value: str) -> None:
    with pytest.raises(ValueError) as caught:
        evaluate_real(text, NAMES)
    assert str(caught.value) == f"expected a number, found {value} ({text!r})"


KINDS: dict[str, Any] = {
    "n": 3, "max": 7, "sqrt": 9, "act": "gated-gelu", "kinds": ["full", "sliding"], "none": None,
    "sizes": [2, 5, 3], "no": False, "map": {"a": 1}, "x": 2.5, "true": 8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 ** 10", 1024), ("2 ** 64", 2**64), ("(-2) ** 3", -8), ("-2 ** 2", -4),
        ("4 ** -0.5", 0.5),
        ("1 ** 999999999", 1), ("(-1) ** 1000001", -1), ("0 ** 0", 1), ("0.0 ** 2", 0.0),
        ("(-8.0) ** 3", -512.0), ("(-8.0) ** -2", 1 / 64), ("9 ** 0.5", 3.0), ("2.5 ** 0", 1.0),
        ("2 ** -1", 0.5), ("7 % 3", 1), ("-7 % 3", 2), ("7.5 % 2", 1.5), ("7.5 // 2", 3),
        ("-log((1 - 0.01) / 0.01)", -4.59511985013459), ("log(1)", 0.0),
        ("((n + 1) / 12) ** 0.7", (4 / 12) ** 0.7), ("exp(1)", 2.718281828459045),
        ("sin(1)", 0.8414709848078965), ("cos(0)", 1.0), ("min(n, 2, 4.5)", 2), ("max(n)", 3),
        ("max(n, max)", 7), ("max(sizes)", 5), ("sqrt(sqrt)", 3.0), ("len(kinds)", 2),
        ("len(map)", 1),
        ("n < 4", True), ("1 < n <= 3", True), ("1 < n < 3", False), ("n != 3", False),
        ("act == 'gated-gelu'", True), ('act != "relu"', True), ("'gated' in act", True),
        ("n in sizes", True), ("n not in [1, 2]", True), ("'full' in kinds", True),
        ("'b' in map", False),
        ("kinds[n % 2]", "sliding"), ("sizes[-1]", 3), ("map['a']", 1), ("none == null", True),
        ("x if x != null else n", 2.5), ("1 if none else 2", 2), ("not none and not no", True),
        ("no or n == 3", True), ("true", 8), ("false", False), ("false == 0", False),
        ("[1, n][1]", 3), ("[1] == [1]", True), ("1 // 0 if no else 5", 5),
        ("no and 1 // 0 > 1", False),
    ],
)  # fmt: skip
def test_values_of_every_kind(text: str, value: object) -> None:
    found = evaluate(text, KINDS)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 ** 65", "'2 ** 65' goes beyond 2**64"),
        ("9 ** 9 ** 9", "'9 ** 9 ** 9' goes beyond 2**64"),
        ("2.0 ** 1e9", "'2.0 ** 1e9' goes beyond 2**64"),
        ("exp(1000)", "'exp(1000)' goes beyond 2**64"),
        ("0 ** -1", "'0 ** -1' divides by zero"),
        ("n % 0", "'n % 0' divides by zero"),
        ("1e18 // 1e-300", "'1e18 // 1e-300' goes beyond 2**64"),
        ("(0 - n) ** 0.5", "'(0 - n) ** 0.5': a negative number, -3, has no power 0.5"),
        ("log(0)", "'log(0)' takes the logarithm of 0"),
        ("log(n - 4.5)", "'log(n - 4.5)' takes the logarithm of -1.5"),
        ("act * 2", "'act * 2': expected a number, found 'gated-gelu'"),
        ("[1] * 9", "'[1] * 9': expected a number, found [1]"),
        ("no + 1", "'no + 1': expected a number, found false"),
        ("-none", "'-none': expected a number, found null"),
        ("act < 'b'", "\"act < 'b'\": expected a number, found 'gated-gelu'"),
        ("n and no", "'n and no': expected true or false, found 3; compare it, as in x != 0"),
        ("1 if act else 2", "'1 if act else 2': expected true or false, found 'gated-gelu'"),
        ("n in none", "'n in none': expected a list after 'in', found null"),
        ("n in act", "'n in act': expected a list after 'in', found 'gated-gelu'"),
        ("sizes[3]", "'sizes[3]': there is no item 3 among 3"),
        ("sizes['a']", "\"sizes['a']\": [2, 5, 3] has no item 'a'"),
        ("act[0]", "'act[0]': 'gated-gelu' has no item 0"),
        ("map['b']", "\"map['b']\": there is no 'b'; known: a"),
        ("abs(n)", "'abs(n)' calls the unknown function 'abs'; "
         "known: cos, exp, len, log, max, min, sin, sqrt"),
        ("n()", "'n()' calls the unknown function 'n'; "
         "known: cos, exp, len, log, max, min, sin, sqrt"),
        ("maxi(n)", "'maxi(n)' calls the unknown function 'maxi'; did you mean 'max'?"),
        ("sqrt(1, 2)", "'sqrt(1, 2)': expected one argument of sqrt()"),
        ("min()", "'min()': expected an argument of min()"),
        ("max([])", "'max([])': expected numbers, found an empty list"),
        ("max(kinds)", "'max(kinds)': expected a number, found 'full'"),
        ("len(n)", "'len(n)': expected a list, found 3"),
        ("1 if no else nn", "'1 if no else nn' uses the unknown name 'nn'; did you mean 'none'?"),
        ("log", "'log' uses the unknown name 'log'; "
         "known: act, kinds, map, max, n, no, none, sizes, sqrt, true, x"),
    ],
)  # fmt: skip
def test_what_has_no_value(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        evaluate(text, KINDS)
    assert str(caught.value) == message


def test_a_name_holds_what_is_too_large_until_it_is_used() -> None:
    names = {"big": 10**30, "list": [10**400, 1e300]}
    assert evaluate("2", names) == 2
    for text in ("big", "big // 2", "list[0]", "max(list)", "-list[1]"):
        with pytest.raises(ValueError, match="goes beyond 2\\*\\*64"):
            evaluate(text, names)


@pytest.mark.parametrize(("condition", "holds"), [(True, True), ("n > 2", True), ("none", False)])
def test_conditions(condition: object, holds: bool) -> None:
    assert evaluate_condition(condition, KINDS) is holds


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("n", "'n': expected true or false, found 3; compare it, as in x != 0"),
        ("act", "'act': expected true or false, found 'gated-gelu'"),
        (1, "expected true, false or an expression, found 1"),
        (None, "expected true, false or an expression, found null"),
        ([True], "expected true, false or an expression, found [true]"),
    ],
)
def test_what_no_condition_may_be(condition: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        evaluate_condition(condition, KINDS)
    assert str(caught.value) == message


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


@pytest.mark.parametrize("text", ["(" * 200, "-" * 200, "(" * 199 + "1", "d" * 199 + "!"])
def test_the_deepest_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        evaluate_integer(text, NAMES)
    assert str(caught.value) == f"{REFUSED} '{text[:56]}..."


@st.composite
def sums(draw: st.DrawFn, depth: int = 3) -> str:
    """Write a random expression of small integers and names."""
    if depth == 0 or draw(st.booleans()):
        return str(draw(st.one_of(st.integers(0, 99), st.sampled_from(sorted(NAMES)))))
    left, right = draw(sums(depth - 1)), draw(sums(depth - 1))
    op = draw(st.sampled_from([" + ", " - ", "*", " // ", " % "]))
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


@given(st.text(st.sampled_from("d1. +-*/()e_,'=\n\\<>[]%i"), max_size=12))
def test_any_text_has_a_bounded_value_or_is_refused(text: str) -> None:
    for evaluated in (evaluate_integer, evaluate_real):
        with contextlib.suppress(ValueError):
            assert abs(evaluated(text, NAMES)) <= 2**64


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("shape: [d/2], initializer: ones",
         "3:15: tensors.w.shape[0]: expected a whole number, found 4.0 ('d/2'); // divides"),
        ("shape: [2, sqrt(d)], initializer: ones",
         "3:18: tensors.w.shape[1]: expected a whole number, "
         "found 2.8284271247461903 ('sqrt(d)')"),
        ("shape: [4], fused: d/2, axes: O, initializer: ones",
         "3:26: tensors.w.fused: expected a whole number, found 4.0 ('d/2'); // divides"),
        ("shape: [4], seed: d/2, initializer: uniform",
         "3:25: tensors.w.seed: expected a whole number, found 4.0 ('d/2'); // divides"),
        ("shape: [4], initializer: {name: normal, std: 2<<d}",
         f"3:52: tensors.w.initializer.std: {REFUSED} '2<<d'"),
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


def test_the_example_of_the_docs_has_the_values_of_its_formulas() -> None:
    (block,) = (b for b in pages.blocks_of(pages.DOCS / "spec.md") if "** 0.7" in b.text)
    plan = glorot.make_plan(glorot.load_spec(yaml.safe_load(block.text)))
    assert plan["up"].arguments["std"] == float(mpmath.power(768, -0.5))
    for i in range(12):
        assert plan[f"down.{i}"].arguments["std"] == 0.02 * float(mpmath.power((i + 1) / 12, 0.7))
    assert plan["positions"].shape == (2048, 768)
    assert plan["classes"].arguments["value"] == -float(mpmath.log((1 - 0.01) / 0.01))
