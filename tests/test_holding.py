"""What a dtype cannot hold is refused, whatever draws it; what it rounds away is noticed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.distributions import Normal, TruncatedNormal
from glorot_cli.dtypes import INTEGER_RANGES, INTEGERS, PRECISIONS, DTypeName, numpy_dtype
from glorot_cli.plan.holding import FARTHEST, check_held, losses

Planned = Callable[..., glorot.Plan]
Run = Callable[..., tuple[int, str, str]]
LOWER = ("float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def entry(initializer: Any, dtype: str, shape: tuple[int, ...] = (4, 4)) -> dict[str, Any]:
    axes = "IO" if len(shape) == 2 else None
    return {"w": {"shape": list(shape), "axes": axes, "dtype": dtype, "initializer": initializer}}


def refusal(planned: Planned, initializer: Any, dtype: str, **spec: Any) -> str:
    with pytest.raises(glorot.GlorotError) as caught:
        planned(seed=1, tensors=entry(initializer, dtype), **spec)
    return str(caught.value).removeprefix("<spec>: tensors.w: ")


# Integers.


@pytest.mark.parametrize("dtype", INTEGERS)
def test_the_ranges_are_numpys(dtype: str) -> None:
    if dtype == "bool":
        assert INTEGER_RANGES[dtype] == (0, 1)
    else:
        info = np.iinfo(numpy_dtype(dtype))
        assert INTEGER_RANGES[dtype] == (info.min, info.max)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_an_integer_type_holds_its_ends_and_no_more(planned: Planned, dtype: str) -> None:
    low, high = INTEGER_RANGES[dtype]
    value: float
    for value in (low, high):
        plan = planned(tensors=entry({"name": "constant", "value": value}, dtype))
        assert glorot.draw(plan, "w").tolist() == [[value] * 4] * 4
    for value in (low - 1, high + 1, 0.5, 1e300, -1e300):
        found = refusal(planned, {"name": "constant", "value": value}, dtype)
        number = value if isinstance(value, int) and float(value) != value else float(value)
        assert found == f"{dtype} holds whole numbers from {low} to {high}, found {number!r}"


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**63 - 1, "9007199254740992 + 1"])
def test_a_constant_of_int64_is_exact(
    planned: Planned, run: Run, tmp_path: Path, value: Any
) -> None:
    exact = 2**53 + 1 if isinstance(value, str) else value
    plan = planned(tensors=entry({"name": "constant", "value": value}, "int64"))
    assert glorot.draw(plan, "w").tolist() == [[exact] * 4] * 4
    path = tmp_path / "w.safetensors"
    glorot.write_weights(plan, path)
    assert run("verify", path, "--quiet")[0] == 0
    assert run("verify", path, "--statistics", "--quiet")[0] == 0
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    assert run("verify", path, "--quiet")[0] == 1
    assert run("verify", path, "--statistics", "--quiet")[0] == 1
    code, out, _ = run("plan", path, "--json")
    assert (code, json.loads(out)["tensors"][0]["arguments"]) == (0, {"value": exact})


def test_a_constant_that_float64_holds_is_a_float(planned: Planned) -> None:
    plan = planned(tensors=entry({"name": "constant", "value": 3}, "int64"))
    value = plan["w"].arguments["value"]
    assert (value, type(value)) == (3.0, float)


@pytest.mark.parametrize(
    "initializer",
    ["ones", "eye", {"name": "identity", "gain": 2.0}, {"name": "identity", "gain": 0.5}],
)
def test_every_constant_of_a_bool_is_looked_at(planned: Planned, initializer: Any) -> None:
    if initializer in ("ones", "eye"):
        assert planned(tensors=entry(initializer, "bool"))
        return
    gain = initializer["gain"]
    found = refusal(planned, initializer, "bool")
    assert found == f"bool holds whole numbers from 0 to 1, found {gain}"


@pytest.mark.parametrize("value", [True, "true", None, [1]])
def test_a_constant_is_a_number(planned: Planned, value: Any) -> None:
    with pytest.raises(glorot.GlorotError, match=r"tensors\.w\.initializer\.value: "):
        planned(tensors=entry({"name": "constant", "value": value}, "int64"))


# Floating types.

# Each with the share of the largest value up to which its scale S may go.
ABOVE = [
    ({"name": "normal", "std": "S"}, 1 / FARTHEST, "the mean 0.0 and 6.4 times the stddev"),
    ({"name": "random_normal", "stddev": "S"}, 1 / FARTHEST, "the mean 0.0 and 6.4 times"),
    ({"name": "normal", "mean": "S", "std": 1.0}, 0.99, "the mean"),
    ({"name": "sparse", "sparsity": 0.2, "std": "S"}, 1 / FARTHEST, "the mean 0.0 and 6.4 times"),
    ({"name": "truncated_normal", "stddev": "S"}, 0.5, "the range"),
    ({"name": "trunc_normal", "std": "S", "a": 0, "b": "S"}, 1.0, "the range 0.0 to"),
    ({"name": "trunc_normal", "std": "S", "a": "-S", "b": 0}, 1.0, "the range -"),
    ({"name": "uniform", "a": 0, "b": "S"}, 1.0, "the range 0.0 to"),
    ({"name": "uniform", "a": "-S", "b": "S"}, 1.0, "the range -"),
    ({"name": "orthogonal", "gain": "S"}, 1.0, "the gain"),
    ({"name": "xavier_normal", "gain": "S"}, 2.0 / FARTHEST, "the mean 0.0 and 6.4 times"),
]  # fmt: skip


def scaled(initializer: dict[str, Any], scale: float) -> dict[str, Any]:
    known = {"S": scale, "-S": -scale}
    return {
        key: known.get(value, value) if isinstance(value, str) else value
        for key, value in initializer.items()
    }


@pytest.mark.parametrize("dtype", [*LOWER, "float64"])
@pytest.mark.parametrize(("initializer", "share", "words"), ABOVE)
def test_above_the_largest_value(
    planned: Planned, dtype: str, initializer: dict[str, Any], share: float, words: str
) -> None:
    largest = PRECISIONS[dtype].largest
    if initializer["name"] == "sparse" and dtype == "float64":
        largest = PRECISIONS["float32"].largest
    if initializer.get("mean") and dtype.startswith("float8"):
        share = 0.9
    held = largest * share * (1.0 - 1e-9) if share < 1.0 else largest * share
    plan = planned(seed=1, tensors=entry(scaled(initializer, held), dtype))
    assert np.isfinite(glorot.draw(plan, "w").astype(np.float64)).all()
    if dtype == "float64" and share > 0.9:
        return  # nothing is above
    beyond = largest * share * 1.001 if share < 0.9 else largest * 1.001
    found = refusal(planned, scaled(initializer, beyond), dtype)
    assert found.startswith(words)
    assert found.split("the largest ")[1].startswith(dtype if largest != 3.4028234663852886e38
                                                     else "float32")  # fmt: skip


BELOW = [
    ({"name": "normal", "std": "S"}, "the stddev"),
    ({"name": "truncated_normal", "stddev": "S"}, "the stddev"),
    ({"name": "trunc_normal", "std": "S"}, "the stddev"),
    ({"name": "sparse", "sparsity": 0.2, "std": "S"}, "the stddev"),
    ({"name": "uniform", "a": "-S", "b": "S"}, "the limit"),
    ({"name": "uniform", "a": 0, "b": "S"}, "'w': "),
    ({"name": "orthogonal", "gain": "S"}, "the stddev"),
    ({"name": "variance_scaling", "scale": 1e-323, "distribution": "uniform"}, "the limit"),
    ({"name": "variance_scaling", "scale": 1e-323}, "the stddev"),
    ({"name": "variance_scaling", "scale": 1e-323, "distribution": "untruncated_normal"},
     "the stddev"),
]  # fmt: skip


@pytest.mark.parametrize("dtype", LOWER)
@pytest.mark.parametrize(("initializer", "words"), BELOW)
def test_below_the_smallest_value(
    planned: Planned, dtype: str, initializer: dict[str, Any], words: str
) -> None:
    scale = PRECISIONS[dtype].smallest * 0.99
    found = refusal(planned, scaled(initializer, scale), dtype)
    assert found.startswith(words)
    assert dtype in found


@pytest.mark.parametrize(
    ("rng", "initializer"),
    [
        ("torch", {"name": "normal", "std": 1e5}),
        ("torch", {"name": "uniform", "a": 0, "b": 1e-9}),
        ("keras-numpy", {"name": "random_normal", "stddev": 1e-9, "seed": 1}),
        ("jax", {"name": "truncated_normal", "stddev": 1e5, "seed": 1}),
    ],
)
def test_frameworks_streams_are_held_to_the_same(
    planned: Planned, rng: str, initializer: dict[str, Any]
) -> None:
    assert "float16" in refusal(planned, initializer, "float16", rng=rng)


def test_a_bound_that_cuts_nothing_may_be_anywhere(planned: Planned) -> None:
    given = {"name": "trunc_normal", "std": 1.0, "a": -1e300, "b": 1e300}
    plan = planned(seed=1, tensors=entry(given, "float16", (1000, 1)))
    wide = entry({**given, "a": -20, "b": 20}, "float16", (1000, 1))
    assert (glorot.draw(plan, "w") == glorot.draw(planned(seed=1, tensors=wide), "w")).all()


# Arithmetic that goes beyond what numbers there are.


@pytest.mark.parametrize(
    ("initializer", "message"),
    [
        ({"name": "kaiming_normal", "a": 1e200},
         "the arithmetic of kaiming_normal goes beyond the largest number"),
        ({"name": "kaiming_uniform", "a": -1e155},
         "the arithmetic of kaiming_uniform goes beyond the largest number"),
        ({"name": "xavier_uniform", "gain": 1.79e308},
         "the range -1.55"),
        ({"name": "kaiming_normal", "a": 1e154},
         "the stddev"),
        ({"name": "uniform", "a": -1e309, "b": 0}, "expected a finite number, found -inf"),
        ({"name": "constant", "value": math.nan}, "expected a finite number, found nan"),
        ({"name": "normal", "std": 1.7e308}, "the mean 0.0 and 6.4 times the stddev 1.7e+308"),
        ({"name": "trunc_normal", "std": 10, "mean": 1.7e308, "a": -1.7e308, "b": 1.7e308},
         "more than 5 std"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_overflow_is_one_line(
    planned: Planned, initializer: dict[str, Any], message: str, dtype: str
) -> None:
    if "more than 5 std" in message:
        message = "the range" if dtype == "float32" else ""
    if dtype == "float64" and message in ("", "the stddev", "the range -1.55"):
        plan = planned(seed=1, tensors=entry(initializer, dtype))
        assert np.isfinite(glorot.draw(plan, "w")).all()
        return
    found = refusal(planned, initializer, dtype)
    assert message in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("a", "b"), [(-1e308, 0.0), (0.0, 1e308), (-1.0, 1e200), (-1e308, 1e308), (2.0, 1e308)]
)
@pytest.mark.parametrize("std", [1e-5, 0.5, 3.0])
def test_one_bound_that_cuts(planned: Planned, run: Run, a: float, b: float, std: float) -> None:
    if a / std > 5.0:
        return
    given = {"name": "trunc_normal", "std": std, "a": a, "b": b}
    plan = planned(seed=1, tensors=entry(given, "float32", (40, 50)))
    values = glorot.draw(plan, "w")
    assert a <= float(values.min()) <= float(values.max()) <= b
    expected = plan["w"].distribution.std(())
    assert values.std() == pytest.approx(expected, rel=0.1)
    glorot.write_weights(plan, "w.safetensors")
    for command in ("verify", "inspect", "plan"):
        assert run(command, "w.safetensors", "--json")[0] == 0
    assert run("verify", "w.safetensors", "--statistics")[0] == 0


@pytest.mark.parametrize(
    ("low", "high"),
    [(-0.1, 0.1), (1.0, 1.1), (4.9, 5.0), (-5.0, -4.6), (1.0, math.nextafter(1.0, 2.0)),
     (4.0, 4.0 + 1e-9), (-1e-300, 1e-300)],
)  # fmt: skip
def test_the_moments_of_a_narrow_cut(low: float, high: float) -> None:
    cut = TruncatedNormal(0.0, 1.0, low, high)
    assert low <= cut.mean(()) <= high
    x = np.linspace(-1.0, 1.0, 200_001)
    middle, half = (low + high) / 2.0, (high - low) / 2.0
    density = np.exp(-half * x * (middle + half * x / 2.0))
    mean = float((density * x).sum() / density.sum())
    spread = half * math.sqrt(float((density * (x - mean) ** 2).sum() / density.sum()))
    assert cut.std(()) == pytest.approx(spread, rel=2e-5)


def test_a_very_narrow_cut_is_tested_too(planned: Planned, run: Run) -> None:
    given = {"name": "trunc_normal", "a": 1.0, "b": 1.0 + 1e-4}
    glorot.write_weights(
        planned(seed=1, tensors=entry(given, "float64", (50, 50))), "w.safetensors"
    )
    assert run("verify", "w.safetensors", "--statistics")[0] == 0
    assert run("inspect", "w.safetensors")[0] == 0
    given["b"] = math.nextafter(1.0, 2.0)
    plan = planned(seed=1, tensors=entry(given, "float64", (50, 50)))
    assert plan.notices == (
        "w: the range 1.0 to 1.0000000000000002 is narrow beside the stddev 1.0, of which "
        "elements are drawn to 1e-7: many lie on the bounds",
    )
    glorot.write_weights(plan, "v.safetensors")
    assert run("verify", "v.safetensors", "--statistics")[0] == 0
    assert run("inspect", "v.safetensors")[0] == 0


# Notices.


def notices(planned: Planned, initializer: Any, dtype: str) -> tuple[str, ...]:
    return planned(seed=1, tensors=entry(initializer, dtype)).notices


@pytest.mark.parametrize("dtype", LOWER)
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("rng", ["aes-ctr", "jax", "torch"])
@pytest.mark.filterwarnings("error")
def test_a_constant_that_becomes_infinite_is_noticed(
    planned: Planned, dtype: str, sign: float, rng: str
) -> None:
    precision = PRECISIONS[dtype]
    largest, value = sign * precision.largest, sign * 1e39
    for given, count in (
        ({"name": "constant", "value": value}, 16),
        ({"name": "identity", "gain": value}, 4),
        ({"name": "values", "values": [value] * 16}, 16),
    ):
        if dtype == "float8_e4m3fn":
            with pytest.raises(glorot.GlorotError, match=f"beyond|no number beyond {largest}"):
                planned(seed=1, rng=rng, tensors=entry(given, dtype))
            continue
        plan = planned(seed=1, rng=rng, tensors=entry(given, dtype))
        assert plan.notices[-1] == f"w: {value!r} becomes infinite in {dtype}"
        drawn = glorot.draw(plan, "w").astype(np.float64)
        assert int((drawn == sign * math.inf).sum()) == count
    held = {"name": "constant", "value": largest}
    plan = planned(seed=1, rng=rng, tensors=entry(held, dtype))
    assert not any("infinite" in notice for notice in plan.notices)
    assert (glorot.draw(plan, "w").astype(np.float64) == largest).all()


def test_a_constant_above_the_largest_may_round_to_it(planned: Planned) -> None:
    for value, found in ((65519.0, 65504.0), (65520.0, math.inf)):
        plan = planned(tensors=entry({"name": "constant", "value": value}, "float16"))
        assert bool(plan.notices) == math.isinf(found)
        assert (glorot.draw(plan, "w") == found).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["w.safetensors", "w.h5", "w/", "w.npy"])
def test_an_infinite_constant_is_written_inspected_and_verified(
    run: Run, tmp_path: Path, name: str
) -> None:
    spec = {"seed": 1, "tensors": entry({"name": "constant", "value": 1e6}, "float16")}
    Path("x.json").write_text(json.dumps(spec), encoding="utf-8")
    said = "note: w: 1000000.0 becomes infinite in float16\n"
    code, out, err = run("init", "x.json", "-o", name, "--json")
    assert (code, err) == (0, said)
    assert json.loads(out)["tensors"][0]["statistics"]["max"] is None
    assert run("verify", name, "--spec", "x.json", "--quiet")[0] == 0
    assert run("verify", name, "--spec", "x.json", "--statistics", "--quiet")[0] == 0
    assert "16 inf" in run("inspect", name)[1]
    assert "DISAGREES" not in run("inspect", name)[1]
    assert run("inspect", name, "--finite", "--quiet")[0] == 1
    other = {"seed": 1, "tensors": entry({"name": "constant", "value": -1e6}, "float16")}
    Path("y.json").write_text(json.dumps(other), encoding="utf-8")
    assert run("verify", name, "--spec", "y.json", "--statistics", "--quiet")[0] == 1
    other = {"seed": 1, "tensors": entry({"name": "constant", "value": 6e4}, "float16")}
    Path("y.json").write_text(json.dumps(other), encoding="utf-8")
    assert run("verify", name, "--spec", "y.json", "--statistics", "--quiet")[0] == 1


@pytest.mark.parametrize("dtype", [*LOWER, "float64"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_constant_that_becomes_0_is_noticed(planned: Planned, dtype: str, sign: float) -> None:
    half = sign * PRECISIONS[dtype].smallest / 2.0
    if dtype == "float64":
        return  # it holds every constant
    given = {"name": "constant", "value": half}
    plan = planned(tensors=entry(given, dtype))
    assert plan.notices == (f"w: {half!r} rounds to 0 in {dtype}",)
    assert not glorot.draw(plan, "w").any()
    above = half * (1.0 + 2.0**-8)  # more than the cast to bfloat16 rounds at first
    plan = planned(tensors=entry({**given, "value": above}, dtype))
    assert plan.notices == ()
    assert glorot.draw(plan, "w").all()
    identity = {"name": "identity", "gain": half}
    assert notices(planned, identity, dtype) == (f"w: {half!r} rounds to 0 in {dtype}",)


@pytest.mark.parametrize(
    ("initializer", "dtype", "share"),
    [
        ({"name": "normal", "std": 1e-7}, "float16", "23.4%"),
        ({"name": "uniform", "a": -1e-7, "b": 1e-7}, "float16", "29.8%"),
        ({"name": "truncated_normal", "stddev": 1e-7}, "float16", "24.5%"),
        ({"name": "sparse", "sparsity": 0.5, "std": 1e-44}, "float32", "5.6%"),
        ({"name": "orthogonal", "gain": 4e-3}, "float8_e4m3fn", "37.5%"),
        ({"name": "normal", "std": 1e-2}, "float16", None),
    ],
)
def test_elements_that_become_0_are_noticed(
    planned: Planned, initializer: Any, dtype: str, share: str | None
) -> None:
    found = [text for text in notices(planned, initializer, dtype) if "round to 0" in text]
    expected = (
        f"w: {share} of the elements round to 0 in {dtype}; scale the weights up, or choose "
        "another dtype"
    )
    assert found == ([expected] if share else [])


def test_a_spread_that_is_lost_beside_the_mean_is_noticed(planned: Planned) -> None:
    given = {"name": "normal", "mean": 1.0, "std": 1e-8}
    assert notices(planned, given, "float32") == (
        "w: float32 has steps of 1.19e-07 at the mean 1, wider than the spread 1e-08: "
        "most elements are equal",
    )
    assert notices(planned, {**given, "std": 1e-6}, "float32") == ()
    assert notices(planned, {"name": "normal", "mean": 1e10, "std": 1.0}, "float32") == (
        "w: float32 has steps of 1.02e+03 at the mean 1e+10, wider than the spread 1: "
        "most elements are equal",
    )


# By the definition, for random distributions.


@pytest.mark.parametrize("dtype", [*LOWER, "float64"])
def test_what_is_accepted_draws_no_infinity(dtype: DTypeName) -> None:
    largest, smallest = PRECISIONS[dtype].largest, PRECISIONS[dtype].smallest
    check_held(Normal(0.0, largest / 6.5), (4,), "'w'", dtype)
    check_held(Normal(0.0, smallest), (4,), "'w'", dtype)
    for bad in (Normal(0.0, largest / 6.3), Normal(largest, smallest * 2), Normal(0.0, math.nan),
                Normal(math.inf, 1.0), TruncatedNormal(0.0, largest, -2.0, 2.0)):  # fmt: skip
        if dtype == "float64" and bad == Normal(largest, smallest * 2):
            continue
        if bad.centre == largest:
            continue
        with pytest.raises(ValueError, match=dtype):
            check_held(bad, (4,), "'w'", dtype)
    assert list(losses(Normal(0.0, 1.0), (4,), dtype)) == []


# Numbers one by one, pieces and positive scales.


@pytest.mark.parametrize("value", [2**53 + 1, 2**63 - 1, -(2**63)])
def test_integers_given_one_by_one_are_exact(planned: Planned, value: int) -> None:
    given = {"name": "values", "values": [value, 3, 0]}
    plan = planned(tensors=entry(given, "int64", (3,)))
    assert glorot.draw(plan, "w").tolist() == [value, 3, 0]
    found = planned(tensors=entry(given, "float32", (3,)))
    assert glorot.draw(found, "w").tolist() == [float(np.float32(value)), 3.0, 0.0]


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 0.5, 1e300])
def test_integers_given_one_by_one_are_within_the_range(planned: Planned, value: float) -> None:
    for other in (1, 2**53 + 1):
        spec = entry({"name": "values", "values": [other, value]}, "int64", (2,))
        with pytest.raises(glorot.GlorotError) as caught:
            planned(tensors=spec)
        assert "int64 holds whole numbers from -9223372036854775808 to" in str(caught.value)


def test_a_number_given_that_becomes_0_is_noticed_once(planned: Planned) -> None:
    given = {"name": "values", "values": [1.0, 1e-8, 1e-9, 0.0]}
    found = planned(tensors=entry(given, "float16", (4,)))
    assert found.notices == ("w: 1e-08 rounds to 0 in float16",)


@pytest.mark.parametrize(
    ("low", "high"),
    [(1e-300, 1e300), (1e-320, 1e-310), (1.0, 1.0 + 1e-9), (0.001, 0.1), (1, 1e160)],
)
def test_positive_scales_of_any_size(planned: Planned, run: Run, low: float, high: float) -> None:
    for name in ("log_uniform", "inverse_softplus"):
        given = {"name": name, "low": low, "high": high}
        plan = planned(seed=1, tensors=entry(given, "float64", (40, 50)))
        values = glorot.draw(plan, "w")
        assert np.isfinite(values).all()
        law = plan["w"].distribution
        assert math.isfinite(law.mean(()))
        assert math.isfinite(law.std(()))
        if name == "log_uniform" and high < 1e3:
            assert law.mean(()) == pytest.approx(float(values.mean()), rel=0.05)
            assert law.std(()) == pytest.approx(float(values.std()), rel=0.1, abs=1e-310)
        glorot.write_weights(plan, f"{name}.safetensors")
        for command in ("inspect", "verify", "plan"):
            assert run(command, f"{name}.safetensors", "--json")[0] == 0
        assert run("verify", f"{name}.safetensors", "--statistics", "--quiet") == (0, "", "")


def test_an_inverse_softplus_that_the_dtype_does_not_reach(planned: Planned) -> None:
    given = {"name": "inverse_softplus", "low": 1e-300, "high": 1.0}
    found = refusal(planned, given, "float8_e4m3fn")
    assert found.startswith("the range -690.7755278982137 to 0.54")


@pytest.mark.parametrize("scale", [1e-170, 1e160, 5e307])
def test_pieces_of_extreme_scales(planned: Planned, run: Run, scale: float) -> None:
    given = [{"name": "uniform", "a": 0, "b": scale}, {"name": "constant", "value": scale}]
    spec = {"w": {"shape": [4, 6], "axes": "IO", "fused": 2, "dtype": "float64",
                  "initializer": given}}  # fmt: skip
    plan = planned(seed=1, tensors=spec)
    law = plan["w"].distribution
    assert law.std((4, 6)) == pytest.approx(scale * math.sqrt(1 / 24 + 1 / 16), rel=1e-6)
    glorot.write_weights(plan, "w.safetensors")
    for command in ("inspect", "verify", "plan"):
        assert run(command, "w.safetensors", "--json")[0] == 0


@pytest.mark.parametrize("width", [1, 8])
def test_an_orthogonal_embedding_with_a_padding_row_is_judged(run: Run, width: int) -> None:
    layer = {"type": "Embedding", "num_embeddings": 4, "embedding_dim": width, "padding_idx": 2}
    spec = {"seed": 1, "dialect": "torch", "layers": [layer],
            "initializers": [{"*": {"name": "orthogonal", "gain": 0.5}}]}  # fmt: skip
    Path("x.json").write_text(json.dumps(spec), encoding="utf-8")
    assert run("init", "x.json", "-o", "w.safetensors", "--quiet")[0] == 0
    assert run("verify", "w.safetensors", "--statistics", "--quiet") == (0, "", "")
    data = bytearray(Path("w.safetensors").read_bytes())
    data[-4:] = np.float32(2.0).tobytes()
    Path("w.safetensors").write_bytes(data)
    code, out, _ = run("verify", "w.safetensors", "--statistics")
    assert code == 1
    assert "an element lies beyond the gain 0.5" in out
