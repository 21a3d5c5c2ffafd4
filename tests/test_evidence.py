"""Testing files against a spec's laws: what is caught, and what raises no alarm."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import safetensors.numpy

import glorot_cli as glorot
from benchmarks import power
from glorot_cli.checks.evidence import Evidence, judge_weights
from glorot_cli.distributions import Normal, TruncatedNormal, Uniform
from glorot_cli.dtypes import DTYPES, numpy_dtype
from glorot_cli.goodness_of_fit import p_values

Array = np.ndarray[Any, np.dtype[Any]]
Planned = Callable[..., glorot.Plan]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def alarms(found: Evidence) -> dict[str, list[str]]:
    return {t.header.name: [alarm.test for alarm in t.alarms] for t in found.tensors if t.alarms}


def one(initializer: Any, shape: tuple[int, ...] = (100, 100), **more: Any) -> dict[str, Any]:
    entry = {"shape": list(shape), "initializer": initializer, **more}
    return {"tensors": {"w": {"axes": "ABCDIO"[-len(shape) :], **entry} if shape else entry}}


def judged(plan: glorot.Plan, **arrays: Array) -> dict[str, list[str]]:
    safetensors.numpy.save_file(arrays, "x.safetensors")
    return alarms(judge_weights("x.safetensors", plan))


# What raises no alarm


@pytest.mark.parametrize("dtype", DTYPES)
def test_our_own_files_raise_no_alarm(dtype: str, planned: Planned) -> None:
    laws = [
        *power.GOOD, "zeros", "ones", "identity", {"name": "constant", "value": 0.3},
        {"name": "variance_scaling", "scale": 0.1, "distribution": "untruncated_normal"},
    ]  # fmt: skip
    sizes = [(1, 1), (2, 3), (40, 50), (700, 1000)]
    tensors = {
        f"{i}-{a}": {"shape": [a, b], "axes": "IO", "initializer": law}
        for i, law in enumerate(laws)
        for a, b in sizes
    }
    tensors["dirac"] = {"shape": [4, 4, 3, 3], "axes": "OIHW", "initializer": "dirac"}
    tensors["delta"] = {"shape": [3, 3, 4, 6], "axes": "HWIO", "initializer": "delta_orthogonal"}
    plan = planned(tensors=tensors, dtype=dtype)
    glorot.write_weights(plan, "x.safetensors")
    found = judge_weights("x.safetensors")
    assert found.equal
    assert {tensor.status for tensor in found.tensors} == {"fits"}


@pytest.mark.parametrize(
    ("initializer", "dtype"),
    [
        ({"name": "normal", "mean": 1e10, "std": 1.0}, "float32"),
        ({"name": "normal", "mean": 1e10, "std": 100.0}, "float32"),
        ({"name": "normal", "mean": 1.0, "std": 1e-12}, "float32"),
        ({"name": "normal", "mean": -1.0, "std": 1e-300}, "float64"),
        ({"name": "random_uniform", "minval": 1e10, "maxval": 1e10 + 10}, "float32"),
        ({"name": "truncated_normal", "mean": 1e10, "stddev": 1.0}, "float32"),
        ({"name": "normal", "mean": 1.0, "std": 1e-4}, "bfloat16"),
        ({"name": "normal", "mean": 1.0, "std": 1e-3}, "float8_e5m2"),
    ],
)
def test_a_spread_that_the_dtype_cannot_hold_raises_no_alarm(
    initializer: Any, dtype: str, planned: Planned
) -> None:
    entry = {"shape": [40, 50], "axes": "IO", "initializer": initializer}
    plan = planned(tensors={"a": entry, "b": entry}, dtype=dtype)
    assert ["most elements are equal" in notice for notice in plan.notices] == [True] * 2
    glorot.write_weights(plan, "x.safetensors")
    assert alarms(judge_weights("x.safetensors")) == {}
    centre = initializer.get("mean", 1e10)
    wrong = np.full((40, 50), centre * 2.0, numpy_dtype(dtype))
    assert judged(plan, a=wrong, b=wrong) == {"a": ["constant"], "b": ["constant"]}


def test_good_seeds_raise_no_more_alarms_than_stated() -> None:
    # A regression test on fixed seeds; benchmarks/power.py does it for 1,000 of them.
    counts = power.false_alarms(12, rates=(0.1, 0.5))
    assert counts[0.1] <= 1
    assert counts[0.5] <= 6


def test_values_may_be_off_by_one_rounding(planned: Planned) -> None:
    plan = planned(**one("glorot_uniform", (100, 109)), dtype="bfloat16")
    limit = math.sqrt(6 / 209)
    rng = np.random.default_rng(0)
    rounded = rng.uniform(-limit, limit, (100, 109)).astype(numpy_dtype("bfloat16"))
    assert float(rounded.max()) > limit
    assert judged(plan, w=rounded) == {}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_formula_may_be_computed_in_the_tensor_s_dtype(dtype: str, planned: Planned) -> None:
    kind = numpy_dtype(dtype)
    plan = planned(**one("sinusoid", (1500, 64)), dtype=dtype)
    step = np.log(10000.0).astype(kind) / np.array(31, kind)
    frequencies = np.exp(-step * np.arange(32).astype(kind))
    angles = np.arange(1500).astype(kind)[:, None] * frequencies
    table = np.concatenate((np.sin(angles), np.cos(angles)), axis=1)
    assert table.dtype == kind
    assert judged(plan, w=table) == {}
    halves = np.concatenate((table[:, 32:], table[:, :32]), axis=1)
    assert judged(plan, w=halves) == {"w": ["value"]}
    pairs = planned(**one({"name": "sinusoid", "layout": "interleaved"}, (1500, 64)), dtype=dtype)
    assert judged(pairs, w=table) == {"w": ["value"]}
    if dtype == "float32":
        table[1400, 3] += 0.002
        assert judged(plan, w=table) == {"w": ["value"]}


def test_layers_with_patches_raise_no_alarm(planned: Planned) -> None:
    plan = planned(
        dialect="torch",
        layers=[{"type": "Embedding", "num_embeddings": 30, "embedding_dim": 8, "padding_idx": 2}],
    )
    (name,) = [tensor.name for tensor in plan.tensors]
    values = glorot.draw(plan, name)
    assert judged(plan, **{name: values}) == {}
    values[2, 3] = 1e-3
    assert judged(plan, **{name: values}) == {name: ["value"]}
    lstm = planned(input_shape=[4, 5], layers=[{"type": "LSTM", "units": 6}])
    arrays = {tensor.name: glorot.draw(lstm, tensor.name) for tensor in lstm.tensors}
    assert judged(lstm, **arrays) == {}
    arrays["lstm/lstm_cell/bias"][:] = 0.0
    assert judged(lstm, **arrays) == {"lstm/lstm_cell/bias": ["value"]}


# What is caught


@pytest.mark.parametrize("what", power.WRONG)
def test_a_wrong_law_is_caught_from_10_000_elements(what: str, planned: Planned) -> None:
    stated, held = power.WRONG[what]
    file = planned(**one(held, (50, 200)))
    assert judged(planned(**one(stated, (50, 200))), w=glorot.draw(file, "w")) == {
        "w": alarms_of(what)
    }


def alarms_of(what: str) -> list[str]:
    """Name the tests that each wrong law fails."""
    return {
        "He uniform for Glorot uniform": ["limit", "variance", "distribution"],
        "He normal for Glorot normal": ["limit", "variance", "distribution"],
        "swapped fans (He normal)": ["range", "variance", "distribution"],
        "stddev 5 % too large, normal": ["variance", "distribution"],
        "stddev 5 % too small, normal": ["variance"],
        "stddev 5 % too large, truncated normal": ["limit", "variance", "distribution"],
        "limit 5 % too small, uniform": ["range", "variance", "distribution"],
        "torch's absolute bounds (-2, 2) for two sigmas": ["limit", "variance", "distribution"],
        "two sigmas for torch's absolute bounds (-2, 2)": ["range", "variance", "distribution"],
        "normal for uniform, of the same stddev": ["limit", "distribution"],
        "uniform for truncated normal, of the same stddev": ["range", "distribution"],
    }[what]


def test_what_no_law_would_draw(planned: Planned) -> None:
    plan = planned(**one("glorot_uniform"))
    values = glorot.draw(plan, "w")
    limit = np.float32(math.sqrt(6 / 200))
    wrong = {
        "nan": (np.nan, ["finite"]),
        "infinity": (-np.inf, ["finite"]),
        "beyond": (limit * np.float32(1.0001), ["limit"]),
        "at": (limit, []),
    }
    for value, tests in wrong.values():
        changed = values.copy()
        changed[77, 7] = value
        assert judged(plan, w=changed) == ({"w": tests} if tests else {})
    assert judged(plan, w=np.full_like(values, 0.1)) == {"w": ["constant"]}
    assert judged(plan, w=np.abs(values)) == {"w": ["range", "mean", "distribution"]}
    assert judged(plan, w=values + np.float32(0.2) * limit)["w"][0] == "limit"


def test_what_is_not_what_a_law_without_chance_holds(planned: Planned, run: Run) -> None:
    plan = planned(**one("zeros", (3, 4)))
    values = np.zeros((3, 4), "f4")
    values[1, 2] = values[2, 0] = 0.25
    assert judged(plan, w=values) == {"w": ["value"]}
    Path("spec.json").write_text(json.dumps(one("zeros", (3, 4))))
    code, out, err = run("verify", "x.safetensors", "spec.json", "--statistics")
    assert (code, err) == (1, "")
    assert out == (
        "name  status  what\n"
        "w     alarm   value: expected 0 at [1, 2], found 0.25; 2 differ\n"
        "x.safetensors: not as the spec says: 1 alarm "
        "(a good file alarms with a chance of at most 0.001)\n"
    )
    assert judged(planned(**one("identity", (4, 4))), w=np.eye(4, dtype="f4")[::-1].copy()) == {
        "w": ["value"]
    }


def test_kernels_that_are_not_orthogonal_and_columns_without_zeros(planned: Planned) -> None:
    plan = planned(**one("orthogonal", (20, 30)))
    good = glorot.draw(plan, "w")
    assert judged(plan, w=good[:, ::-1].copy()) == {}
    assert judged(plan, w=good * np.float32(1.01)) == {"w": ["orthogonal"]}
    assert judged(plan, w=np.where(good == good[3, 4], np.float32(np.nan), good)) == {
        "w": ["finite"]
    }
    delta = planned(**one("delta_orthogonal", (3, 3, 4, 6)))
    values = glorot.draw(delta, "w")
    values[0, 0, 0, 0] = 0.5
    assert judged(delta, w=values) == {"w": ["zeros"]}
    sparse = planned(**one({"name": "sparse", "sparsity": 0.3}, (50, 40)))
    values = glorot.draw(sparse, "w")
    assert judged(sparse, w=values * np.float32(1.3)) == {"w": ["variance", "distribution"]}
    values[:, 5] = values.max()
    assert "zeros" in judged(sparse, w=values)["w"]
    assert judged(sparse, w=np.zeros_like(values)) == {}


def test_twins_and_shared_seeds(planned: Planned, run: Run) -> None:
    entry = {"axes": "IO", "initializer": "he_uniform"}
    shapes = {"a": [30, 20], "b": [30, 20], "c": [40, 20], "d": [1100, 1000], "e": [1000, 1100]}
    spec = {"tensors": {name: {"shape": shape, **entry} for name, shape in shapes.items()}}
    plan = planned(**spec)
    arrays = {name: glorot.draw(plan, name) for name in shapes}
    assert judged(plan, **arrays) == {}
    arrays["b"] = arrays["a"]
    start = arrays["a"].reshape(-1) * np.float32(math.sqrt(30 / 40))
    arrays["c"].reshape(-1)[:600] = start
    arrays["e"] = (arrays["d"] * np.float32(math.sqrt(1.1) * 0.999999)).reshape(1000, 1100)
    assert judged(plan, **arrays) == {"b": ["identical"], "c": ["shared"], "e": ["shared"]}
    Path("spec.json").write_text(json.dumps(spec))
    _, out, _ = run("verify", "x.safetensors", "spec.json", "--statistics")
    assert "b     alarm   identical: the same elements as a\n" in out
    assert "c     alarm   shared: the same random numbers as a, scaled\n" in out


# The command


def test_headers_come_first(planned: Planned, run: Run) -> None:
    arrays = {"w": np.zeros((3, 5), "f4"), "more": np.zeros(2, "f4")}
    safetensors.numpy.save_file(arrays, "x.safetensors")
    Path("spec.json").write_text(json.dumps({"seed": 1, **one("zeros", (3, 4))}))
    code, out, err = run("verify", "--statistics", "x.safetensors", "spec.json", "--all")
    assert (code, err) == (1, "")
    assert out == (
        "name  status  what\n"
        "w     shape   expected (3, 4), found (3, 5)\n"
        "more  extra\n"
        "x.safetensors: not as the spec says: 1 extra, 1 shape "
        "(a good file alarms with a chance of at most 0.001)\n"
    )


def test_a_good_file_in_words_and_in_json(planned: Planned, run: Run) -> None:
    glorot.write_weights(planned(**one("he_normal", (9, 9))), "w.h5")
    assert run("verify", "w.h5", "--statistics", "--false-alarm", "0.01") == (
        0,
        "w.h5: nothing speaks against the spec: 1 fit "
        "(a good file alarms with a chance of at most 0.01)\n",
        "",
    )
    code, out, _ = run("verify", "w.h5", "--statistics", "--json")
    assert code == 0
    assert json.loads(out) == {
        "equal": True,
        "false_alarm": 0.001,
        "tensors": [
            {"name": "w", "status": "fits", "shape": [9, 9], "dtype": "float32",
             "found_shape": [9, 9], "found_dtype": "float32", "alarms": []}
        ],
        "unchecked": 0,
    }  # fmt: skip
    assert run("verify", "w.h5", "--statistics", "--quiet") == (0, "", "")


@pytest.mark.parametrize("rate", ["0", "1", "-0.5", "nan"])
def test_a_rate_that_is_no_chance_is_a_mistake(rate: str, planned: Planned, run: Run) -> None:
    glorot.write_weights(planned(**one("he_normal", (9, 9))), "w.h5")
    assert run("verify", "w.h5", "--statistics", "--false-alarm", rate) == (
        2,
        "",
        f"glorot: --false-alarm: expected a chance between 0 and 1, found {float(rate)}\n",
    )


# The bounds themselves

LAWS: list[p_values.Continuous] = [
    Uniform(-2.0, 2.0),
    Uniform(0.0, 1.0),
    Normal(0.5, 2.0),
    TruncatedNormal(0.0, 0.5),
    TruncatedNormal(1.0, 0.5, -1.0, 3.0),
    TruncatedNormal(0.0, 0.02, -100.0, 100.0),
    TruncatedNormal(0.0, 1.0, 2.0, 4.0),
]


def sample(law: p_values.Continuous, count: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    match law:
        case Uniform():
            return rng.uniform(law.low, law.high, count)
        case Normal():
            return rng.normal(law.centre, law.stddev, count)
        case TruncatedNormal():
            kept = np.empty(0)
            while kept.size < count:
                z = rng.normal(0.0, 1.0, 200 * count)
                kept = np.concatenate((kept, z[(z >= law.low) & (z <= law.high)]))
            values: Array = law.centre + law.stddev * kept[:count]
            return values


@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize("size", [1, 3, 50])
def test_chances_are_never_too_small(law: p_values.Continuous, size: int) -> None:
    # 2,000 samples on fixed seeds: the share with a chance below p is not above p by more than
    # what counting allows.
    found = [[], [], [], []]  # type: list[list[float]]
    drawn = sample(law, 2000 * size, size).reshape(2000, size)
    for values in drawn:
        mean = float(values.mean())
        square = float(np.mean((values - law.mean(())) ** 2)) / law.std(()) ** 2
        low, high = float(values.min()), float(values.max())
        found[0].append(p_values.mean_chance(law, size, mean, 0.0))
        found[1].append(p_values.square_chance(law, size, square, 0.0))
        found[2].append(p_values.extremes_chance(law, size, low, high, 0.0))
        found[3].append(p_values.distance_chance(size, p_values.distance(law, np.sort(values))))
    for each in found:
        for p in (0.001, 0.01, 0.1):
            assert sum(chance < p for chance in each) <= 2000 * p + 4.0 * math.sqrt(2000 * p)


@pytest.mark.parametrize("size", [1, 2, 10, 1000, 10_000, 200_000])
@pytest.mark.parametrize("square", [0.3, 0.95, 0.99, 1.01, 1.05, 3.0])
def test_the_chance_of_a_mean_square_of_normals_is_exact(size: int, square: float) -> None:
    a, x = size / 2, size * square / 2
    ends = (x, mpmath.inf) if square > 1.0 else (0, x)
    expected = min(1.0, 2.0 * float(mpmath.gammainc(a, *ends, regularized=True)))
    found = p_values.square_chance(Normal(0.0, 3.0), size, square, 0.0)
    assert found == pytest.approx(expected, rel=1e-8)


def test_large_samples_and_impossible_ones() -> None:
    normal = Normal(0.0, 1.0)
    assert p_values.square_chance(normal, 10**9, 1.0001, 0.0) == pytest.approx(0.164, rel=0.01)
    assert p_values.square_chance(normal, 10, 0.0, 0.0) == 0.0
    assert p_values.square_chance(normal, 10, 1.2, 0.5) > 0.8
    assert p_values.mean_chance(Uniform(0.0, 1.0), 10**6, 0.51, 0.0) < 1e-200
    assert p_values.below(TruncatedNormal(0.0, 1.0), -2.0) == 0.0
    assert p_values.below(TruncatedNormal(0.0, 1.0), 2.0) == 1.0
    assert p_values.above(normal, 30.0) == pytest.approx(4.9e-198, rel=0.01)
