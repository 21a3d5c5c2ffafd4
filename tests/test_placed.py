"""Elements that follow from their place, skewed distributions, and fans of another tensor."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import glorot_cli as glorot
from glorot_cli import placed
from glorot_cli.array_expressions import evaluate_array
from glorot_cli.drawing import drawer
from glorot_cli.dtypes import numpy_dtype
from glorot_cli.expressions import evaluate
from glorot_cli.streams.fixed import rounded_once
from tests.test_pieces import one, refused
from tests.test_starts import drawn

Run = Callable[..., tuple[int, str, str]]

EXPRESSIONS = [
    "i + j", "i * j - 3", "i / (j + 1)", "i // 3 - j % 4", "(i - 4) // 3", "(i - 4) % -3",
    "(i - 4.5) // 0.7", "(i - 4.5) % 0.7", "2 ** i", "2 ** -i", "(-2) ** i", "i ** 0.5", "0 ** i",
    "(i + 0.5) ** (j - 3)", "10000 ** (-2 * i / 8)", "sqrt(i) + log(j + 1)", "exp(-i) * sin(j)",
    "cos(i * j) if i > j else -sin(i)", "1 / i if i != 0 else 0", "min(i, j, 3)", "max(i, 2.5)",
    "1 if i in [1, 2, 5] else 0", "1 if i not in [1, 2] and j != 0 and i / j > 1 else 2",
    "1 if i == j or not j > 2 else 0", "w[i]", "w[-1 - i] + w[j]", "i if 1 < i <= j else j",
    "n * i + (3 if kind == 'a' else 4)", "7", "n / 2", "len(w) - i",
]  # fmt: skip
NAMES = {"w": [0.5, 1, 2.25, -3, 4, 5, 6, 7], "n": 12, "kind": "a"}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_array_of_indices_gives_what_each_gives(text: str) -> None:
    i, j = (axis.reshape(-1) for axis in np.meshgrid(np.arange(8), np.arange(8), indexing="ij"))
    found = evaluate_array(text, NAMES, {"i": i, "j": j}, i.size)
    for each, x, y in zip(found.tolist(), i.tolist(), j.tolist(), strict=True):
        assert each == evaluate(text, {**NAMES, "i": x, "j": y}), (text, x, y)


REFUSED = {
    "1 / i": "'1 / i' divides by zero",
    "log(i)": "'log(i)' takes the logarithm of",
    "sqrt(i - 1)": "takes the square root of",
    "i > 2": "expected a number, found true or false",
    "w[i + 1]": "there is no item 8 among 8",
    "1 if i else 0": "expected true or false; compare it, as in x != 0",
    "2 ** (60 * i)": "goes beyond 2**53 in whole numbers; write one with a decimal",
    "9007199254740992 * i * 2": "goes beyond 2**53",
    "exp(300 * i)": "goes beyond 2**64",
    "0 ** (i - 1)": "divides by zero",
    "(-1) ** (i / 2)": "has no power",
    "kind[i]": "has no item by an index",
    "max([i, 2])": "a list may not hold an index",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_an_index_may_not_do_is_refused(text: str) -> None:
    i = np.arange(8)
    with pytest.raises(ValueError, match=re.escape(REFUSED[text])):
        evaluate_array(text, NAMES, {"i": i}, 8)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_values_are_rounded_once(dtype: str) -> None:
    held = numpy_dtype(dtype)
    every = np.arange(256**held.itemsize).astype(f"<u{held.itemsize}").view(held)
    with np.errstate(invalid="ignore"):  # NaN among them
        numbers = every.astype(np.float64)
    numbers = np.unique(np.abs(numbers[np.isfinite(numbers)]))
    middles = (numbers[:-1] + numbers[1:]) / 2
    # Just beside a middle, where rounding by way of float32 would be misled.
    values = np.concatenate([np.nextafter(middles, 0.0), middles, np.nextafter(middles, np.inf)])
    found = np.empty(values.size, held)
    rounded_once(values, dtype, found)
    back = found.astype(np.float64)
    below = np.concatenate([numbers[:-1], back[middles.size : 2 * middles.size], numbers[1:]])
    np.testing.assert_array_equal(back, below)
    for value, near in zip(middles[:50], back[middles.size :][:50], strict=False):
        low, high = numbers[numbers < value][-1], numbers[numbers > value][0]
        assert near in (low, high)
        assert Fraction(value) * 2 == Fraction(low) + Fraction(high)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize(
    "initializer",
    [
        {"name": "by_index", "value": "sin(axis0) * axis2 + axis1 / 7"},
        {"name": "log_uniform", "low": 1e-3, "high": 5},
        "inverse_softplus",
        "sinusoid",
    ],
)
def test_any_block_is_the_same(dtype: str, initializer: Any) -> None:
    entry = {"shape": [31, 53, 47], "dtype": dtype, "initializer": initializer}
    plan = glorot.make_plan(glorot.load_spec({"seed": 3, "tensors": {"t": entry}}))
    whole = glorot.draw(plan, "t").reshape(-1)
    chance = random.Random(1)
    for _ in range(5):
        first = chance.randrange(whole.size - 100)
        part = np.empty(100, whole.dtype)
        drawer(plan["t"])(first, part)
        assert part.tobytes() == whole[first : first + 100].tobytes()


def test_more_places_than_a_table_holds() -> None:
    value = "(axis0 * 3 + axis1) % 1000"
    found = one({"shape": [1100, 1100], "initializer": {"name": "by_index", "value": value}})
    expected = (np.arange(1100)[:, None] * 3 + np.arange(1100)) % 1000
    np.testing.assert_array_equal(found, expected)


def test_indices_of_a_piece_count_within_it() -> None:
    by_index = {"name": "by_index", "value": "10 * axis0 + k"}
    entry = {"shape": [4, 3], "axes": "OI", "fused": 2, "index": [None, "k"]}
    found = one({**entry, "initializer": ["zeros", by_index]})
    assert found.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 2], [10, 11, 12]]


def test_log_uniform_keeps_its_bounds_and_moments() -> None:
    for dtype in ("float32", "float64", "bfloat16"):
        entry = {"shape": [200_000], "dtype": dtype}
        found = one({**entry, "initializer": {"name": "log_uniform", "low": 0.001, "high": 0.7}})
        values = found.astype(np.float64)
        assert 0.001 <= values.min() < 0.00101
        assert 0.69 < values.max() <= 0.7
        plan = glorot.make_plan(
            glorot.load_spec(
                {
                    "seed": 1,
                    "tensors": {
                        "t": {
                            **entry,
                            "initializer": {"name": "log_uniform", "low": 0.001, "high": 0.7},
                        }
                    },
                }
            )
        )
        law = plan["t"].distribution
        assert values.mean() == pytest.approx(law.mean(()), rel=0.02)
        assert values.std() == pytest.approx(law.std(()), rel=0.02)


def test_softplus_gives_back_what_inverse_softplus_took() -> None:
    entry = {"shape": [50_000], "dtype": "float64"}
    wide = {"low": 1e-6, "high": 30}
    found = one({**entry, "initializer": {"name": "inverse_softplus", **wide}})
    expected = one({**entry, "initializer": {"name": "log_uniform", **wide}})
    np.testing.assert_allclose(np.logaddexp(0.0, found), expected, rtol=1e-13)


def test_statistics_of_skewed_and_placed_tensors(run: Run, tmp_path: Path) -> None:
    spec = {
        "seed": 3,
        "tensors": {
            "steps": {"shape": [5000], "initializer": {"name": "log_uniform", "low": 1, "high": 2}},
            "dt": {"shape": [5000], "initializer": "inverse_softplus", "dtype": "float16"},
            "pos": {"shape": [50, 8], "initializer": "sinusoid"},
        },
    }
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec), "utf-8")
    arrays = drawn({**spec, "seed": 4})
    other = tmp_path / "other.safetensors"
    save_file(arrays, other)
    assert run("verify", str(other), str(path), "--statistics")[0] == 0
    arrays["steps"] = np.linspace(1, 2, 5000, dtype=np.float32)
    arrays["dt"][:] = arrays["dt"] + np.float16(0.3)
    arrays["pos"][3, 3] += 0.1
    save_file(arrays, other)
    code, out, _ = run("verify", str(other), str(path), "--statistics")
    assert code == 1
    assert [line.split()[0] for line in out.splitlines() if " alarm " in line] == [
        "dt", "dt", "dt", "pos", "steps", "steps",
    ] or {line.split()[0] for line in out.splitlines() if " alarm " in line} == {
        "dt", "pos", "steps",
    }  # fmt: skip


def test_a_torch_bias_is_that_of_the_dialect() -> None:
    layers = [{"type": "Linear", "in_features": 50, "out_features": 32}]
    top = {"seed": 5, "dialect": "torch", "layers": layers}
    default = glorot.make_plan(glorot.load_spec(top))["0.bias"]
    for initializer in (
        "torch_bias",
        {
            "name": "variance_scaling", "scale": "1/3", "mode": "fan_in",
            "distribution": "uniform", "fans_of": "{stem}.weight",
        },
    ):  # fmt: skip
        spec = {**top, "initializers": [{"*.bias": initializer}]}
        tensor = glorot.make_plan(glorot.load_spec(spec))["0.bias"]
        assert tensor.fans == (50, 32)
        assert tensor.distribution.std(()) == pytest.approx(default.distribution.std(()), rel=1e-15)
    assert drawn({**spec, "initializers": [{"*.bias": "torch_bias"}]})["0.bias"].tolist() == (
        drawn(top)["0.bias"].tolist()
    )


MISTAKES: list[tuple[dict[str, Any], str]] = [
    (
        {"shape": [4], "initializer": {"name": "by_index", "value": "axis1"}},
        "'axis1' uses the unknown name 'axis1'; did you mean 'axis0'",
    ),
    (
        {"shape": [4], "initializer": {"name": "by_index", "value": "1 / axis0"}},
        "'1 / axis0' divides by zero",
    ),
    (
        {"shape": [4], "initializer": {"name": "by_index", "value": "axis0 / 0"}},
        "divides by zero",
    ),
    (
        {"shape": [4], "dtype": "int8", "initializer": {"name": "by_index", "value": "axis0 / 2"}},
        "int8 holds whole numbers from -128 to 127, found 0.5",
    ),
    (
        {"shape": [300], "dtype": "uint8", "initializer": {"name": "by_index", "value": "axis0"}},
        "uint8 holds whole numbers from 0 to 255, found 256.0",
    ),
    (
        {
            "shape": [4],
            "dtype": "float8_e4m3fn",
            "initializer": {"name": "by_index", "value": "200 * axis0"},
        },
        "float8_e4m3fn holds no number beyond 448.0, found 600.0",
    ),
    ({"shape": [3], "initializer": {"name": "values", "values": [1, 2]}}, "expected 3 values, for"),
    (
        {"shape": [2, 2], "initializer": {"name": "values", "values": [[1, 2], [3]]}},
        "expected nested lists of equal lengths",
    ),
    (
        {"shape": [2, 2], "initializer": {"name": "values", "values": [[1, 2, 3, 4]]}},
        "expected 4 values, for shape [2, 2], found 4 in lists of [1, 4]",
    ),
    ({"shape": [3], "initializer": "sinusoid"}, "sinusoid needs positions and channels"),
    (
        {"shape": [3], "initializer": {"name": "log_uniform", "low": 2, "high": 1}},
        "expected low below high, found 2.0 and 1.0",
    ),
    (
        {"shape": [3], "initializer": {"name": "log_uniform", "low": 0, "high": 1}},
        "expected low above 0, found 0.0",
    ),
    (
        {"shape": [3], "initializer": "torch_bias"},
        "'t' takes the fans of '.weight', which is no other tensor",
    ),
    (
        {"shape": [3], "fans_of": "{stem}t", "initializer": "lecun_normal"},
        "'t' takes the fans of 't', which is no other tensor",
    ),
    (
        {
            "shape": [4, 2], "axes": "OI", "fused": 2,
            "initializer": ["zeros", {"name": "lecun_normal", "fans_of": "x"}],
        },
        "fans_of stands on a tensor's entry, or where it has one initializer",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "message"), MISTAKES)
def test_mistakes_say_what_to_do(entry: dict[str, Any], message: str) -> None:
    assert message in refused(entry)


def test_a_tensor_larger_than_a_table_is_known_by_few_places() -> None:
    # A plan asks for them several times: 2**31 elements took it seconds each.
    law = placed.ByIndex("axis0 / 2147483647", {}, (None,))
    values = law.sample((2**31,))
    assert values.size == placed.SAMPLE
    assert law.sample((2**31,)) is values
    assert law.mean((2**31,)) == pytest.approx(0.5, abs=1e-4)
    assert law.std((2**31,)) == pytest.approx(1 / math.sqrt(12), rel=1e-4)
