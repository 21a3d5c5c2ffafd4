"""log, exp, sin, cos and powers: against mpmath, and the same for an array as one by one."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glorot_cli import elementary

MANY = 2000
CASES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], list[float]]] = {
    "log": (elementary.log, mpmath.log, [5e-324, 2.0**-1022, 0.5, 1.0 - 2.0**-53, 1.0,
            1.0 + 2.0**-52, math.sqrt(0.5), math.sqrt(2.0), 2.0, 10.0, 1.7976931348623157e308]),
    "exp": (elementary.exp, mpmath.exp, [0.0, 1.0, -1.0, 5e-324, -5e-324, 2.0**-54, 709.78,
            -708.0, 0.34657359027997264, 0.3465735902799727]),
    "sin": (elementary.sin, mpmath.sin, [0.0, 5e-324, 1.0, math.pi, -math.pi, math.pi / 4, 1e22,
            2.0**26, 2.0**26 - 1.0, 2.0**64, 6381956970095103.0 * 2.0**797,
            1.7976931348623157e308, 5.0 * math.pi]),
    "cos": (elementary.cos, mpmath.cos, [0.0, 5e-324, 1.0, math.pi / 2, -math.pi / 2, 1e22,
            2.0**26, 2.0**26 - 1.0, 2.0**64, 6381956970095103.0 * 2.0**797,
            1.7976931348623157e308, 1.5 * math.pi]),
}  # fmt: skip


def points(name: str) -> Iterator[float]:
    """Give arguments of all sizes that matter, the same ones on every run."""
    source = random.Random(name)
    yield from CASES[name][2]
    for _ in range(MANY // 2):
        yield {
            "log": lambda: math.ldexp(1.0 + source.random(), source.randrange(-1022, 1023)),
            "exp": lambda: source.uniform(-708.0, 709.0),
        }.get(name, lambda: source.uniform(-1.0, 1.0) * 10.0 ** source.randrange(40))()
        yield {"log": lambda: source.uniform(0.5, 2.0)}.get(name, lambda: source.gauss(0.0, 2.0))()


def nearest(function: Callable[..., Any], *arguments: float) -> float:
    with mpmath.workprec(1400):
        exact = function(*map(mpmath.mpf, arguments))
        with mpmath.workprec(53):
            return float(+exact)


@pytest.mark.parametrize("name", CASES)
def test_each_result_is_the_nearest_float(name: str) -> None:
    own, exact, _ = CASES[name]
    arguments = list(points(name))
    assert len(arguments) > MANY
    wrong = [x for x in arguments if own(x) != nearest(exact, x)]
    assert wrong == []


def test_each_power_is_the_nearest_float() -> None:
    source = random.Random(5)
    pairs = [(4.0, -0.5), (2.0, 10.0), (2.0, -1074.0), (10.0, 3.0), (0.1, 0.7), (1.0, 1e300),
             (0.5, 1e300), (3.0, 40.0), (1.0 + 2.0**-52, 2.0**52),
             (7.0, 0.0), (9.0, 0.5)]  # fmt: skip
    pairs += [(source.uniform(0.0, 4.0), source.uniform(-30.0, 30.0)) for _ in range(MANY)]
    wrong = [pair for pair in pairs if elementary.power(*pair) != nearest(lambda x, y: x**y, *pair)]
    assert wrong == []


def test_small_results_are_within_one_unit() -> None:
    for x in (-708.5, -720.0, -740.0, -745.1):
        assert abs(elementary.exp(x) - nearest(mpmath.exp, x)) <= 5e-324
    assert elementary.exp(-746.0) == elementary.exp(-1e308) == 0.0
    assert elementary.exp(709.79) == elementary.exp(1e308) == math.inf
    assert elementary.power(0.5, 1e300) == 0.0
    assert elementary.power(2.0, 1e300) == elementary.power(2.0, 1024.0) == math.inf


@pytest.mark.parametrize("name", CASES)
def test_an_array_has_the_bits_of_its_elements(name: str) -> None:
    own = CASES[name][0]
    arguments = np.array(list(points(name))[:1000]).reshape(4, -1)
    expected = [own(x) for x in arguments.ravel().tolist()]
    found = own(arguments)
    assert found.dtype == np.float64
    assert found.ravel().tobytes() == np.array(expected).tobytes()
    assert own(np.zeros((0, 3)) + 1.0).shape == (0, 3)


def test_powers_of_arrays_have_the_bits_of_their_elements() -> None:
    x, y = np.linspace(0.01, 30.0, 500), np.linspace(-900.0, 900.0, 500)
    expected = [elementary.power(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert elementary.power(x, y).tobytes() == np.array(expected).tobytes()


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_has_no_result(value: float) -> None:
    for function in elementary.FUNCTIONS.values():
        with pytest.raises(ValueError, match="finite"):
            function(value)
    with pytest.raises(ValueError, match="expected finite numbers"):
        elementary.power(2.0, value)
    for x in (0.0, -1.0):
        with pytest.raises(ValueError, match="expected positive finite numbers"):
            elementary.log(x)
    with pytest.raises(ValueError, match="expected positive finite numbers"):
        elementary.log(np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match="expected positive finite numbers"):
        elementary.power(-8.0, 3.0)


@given(st.floats(-745.0, 709.0))
def test_a_logarithm_undoes_an_exponential(x: float) -> None:
    power = elementary.exp(x)
    if power > 1e-300:
        assert abs(elementary.log(power) - x) <= 2.0**-52 * max(1.0, abs(x))


def test_known_bits() -> None:
    """What was once drawn stays: these are literal."""
    found = [elementary.log(3.0), elementary.exp(1.0), elementary.sin(1.0), elementary.cos(1.0)]
    assert [x.hex() for x in found] == [
        "0x1.193ea7aad030bp+0", "0x1.5bf0a8b145769p+1",
        "0x1.aed548f090ceep-1", "0x1.14a280fb5068cp-1",
    ]  # fmt: skip
    assert elementary.power(4.0, -0.5) == 0.5
