"""What a file's numbers say: the law that they fit, with fans as given, guessed or recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors.numpy

import glorot_cli as glorot
from glorot_cli.fans import Fans, glorot_limit

Array = np.ndarray[Any, np.dtype[Any]]
Planned = Callable[..., glorot.Plan]
Run = Callable[..., tuple[int, str, str]]

# Fixed seeds: what follows are regression tests, not tests of chance.
RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fits(path: str, **options: Any) -> dict[str, str | None]:
    return {t.name: t.fits for t in glorot.inspect_weights(path, **options).tensors}


def uniform(shape: tuple[int, ...], fans: Fans, dtype: str = "f4", scale: float = 1.0) -> Array:
    limit = glorot_limit(fans) * scale
    return RNG.uniform(-limit, limit, shape).astype(dtype)


SPEC: dict[str, Any] = {
    "input_shape": [8, 8, 6],
    "layers": [
        {"type": "Conv2D", "filters": 12, "kernel_size": 3, "bias_initializer": "ones"},
        {"type": "DepthwiseConv2D", "kernel_size": 3,
         "bias_initializer": {"name": "constant", "value": 0.5}},
        {"type": "Flatten"},
        {"type": "Dense", "units": 30, "kernel_initializer": "random_uniform"},
    ],
}  # fmt: skip


@pytest.mark.parametrize("output", ["w.safetensors", "w.weights.h5", "w.h5", "w/"])
def test_our_own_files_fit_their_laws(output: str, planned: Planned) -> None:
    plan = planned(**SPEC)
    glorot.write_weights(plan, output)
    found = glorot.inspect_weights(output)
    assert {t.name: t.fits for t in found.tensors} == {
        "conv2d/kernel": "glorot_uniform",
        "conv2d/bias": "ones",
        "depthwise_conv2d/kernel": "glorot_uniform",
        "depthwise_conv2d/bias": "constant",
        "dense/kernel": "other",
        "dense/bias": "zeros",
    }
    assert found.provenance is not None
    assert found.provenance["spec"]["seed"] == 42
    assert {t.name: t.fans for t in found.tensors} == {t.name: t.fans for t in plan.tensors}


def test_a_lone_npy_is_judged_by_the_usual_rule(planned: Planned) -> None:
    entry = {"shape": [30, 50], "axes": "IO", "initializer": "glorot_uniform"}
    glorot.write_weights(planned(tensors={"w": entry}), "w.npy")
    assert fits("w.npy") == {"w": "glorot_uniform"}


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_uniform_numbers_of_numpy_fit(dtype: str) -> None:
    np.save("w.npy", uniform((100, 64), Fans(100, 64), dtype))
    assert fits("w.npy") == {"w": "glorot_uniform"}


def test_what_looks_like_it_and_is_not() -> None:
    fans = Fans(100, 64)
    limit = glorot_limit(fans)
    shape = tuple(fans)
    he = RNG.normal(0.0, math.sqrt(2.0 / 100), shape)
    outlier = uniform(shape, fans)
    outlier[3, 4] = limit * 1.001
    arrays = {
        "he": he,
        "normal-of-the-same-spread": RNG.normal(0.0, limit / math.sqrt(3), shape),
        "two-per-cent-more": uniform(shape, fans, scale=1.02),
        "two-per-cent-less": uniform(shape, fans, scale=0.98),
        "shifted": uniform(shape, fans) * 0.95 + 0.05 * limit,
        "half": np.abs(uniform(shape, fans)),
        "outlier": outlier,
        "plus-and-minus": np.sign(uniform(shape, fans)) * limit,
        "twos": np.full(shape, 2.0),
        "ones": np.ones(shape),
        "zeros": np.zeros(shape),
        "not-a-number": np.full(shape, np.nan),
        "one-infinity": np.where(outlier > limit, np.inf, outlier),
    }
    safetensors.numpy.save_file({name: a.astype("f4") for name, a in arrays.items()}, "x")
    known = {"twos": "constant", "ones": "ones", "zeros": "zeros"}
    assert fits("x", fans="keras") == {name: known.get(name, "other") for name in arrays}


def test_tensors_over_one_block_are_judged_whole() -> None:
    fans = Fans(1500, 1000)
    values = uniform((1500, 1000), fans)
    np.save("w.npy", values)
    assert fits("w.npy", workers=1) == fits("w.npy", workers=3) == {"w": "glorot_uniform"}
    values[1499, 999] = 1.0
    np.save("w.npy", values)
    assert fits("w.npy") == {"w": "other"}


@pytest.mark.parametrize(
    ("options", "fans"),
    [
        ({}, Fans(72, 36)),
        ({"fans": "torch"}, Fans(72, 36)),
        ({"fans": "keras"}, Fans(4 * 8 * 3, 4 * 8 * 3)),
        ({"axes": "OIHW"}, Fans(72, 36)),
        ({"axes": "IOHW"}, Fans(36, 72)),
        ({"axes": "BIHO"}, Fans(24, 9)),
        ({"axes": "OI"}, None),
        ({"fans": "exact"}, None),
    ],
    ids=str,
)
def test_fans_are_as_the_user_says(options: dict[str, Any], fans: Fans | None) -> None:
    safetensors.numpy.save_file({"w": np.zeros((4, 8, 3, 3), "f4")}, "x")
    (tensor,) = glorot.inspect_weights("x", **options).tensors
    assert tensor.fans == fans


def test_a_users_rule_stands_above_the_provenance(planned: Planned) -> None:
    glorot.write_weights(planned(**SPEC), "w.h5")
    ours = {t.name: t.fans for t in glorot.inspect_weights("w.h5").tensors}
    exact = {t.name: t.fans for t in glorot.inspect_weights("w.h5", axes="HWBO").tensors}
    assert ours["depthwise_conv2d/kernel"] == Fans(108, 9)
    assert exact["depthwise_conv2d/kernel"] == Fans(9, 9)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("hwio", "axes: expected one capital letter per axis, such as HWIO, found 'hwio'"),
        ("", "axes: expected one capital letter per axis, such as HWIO, found ''"),
        ("HW", "axes: expected an input axis I or an output axis O, found 'HW'"),
    ],
)
def test_axes_that_could_fit_nothing_are_an_error(axes: str, message: str) -> None:
    np.save("w.npy", np.zeros((3, 4)))
    with pytest.raises(glorot.GlorotError) as caught:
        glorot.inspect_weights("w.npy", axes=axes)
    assert str(caught.value) == message


def test_vectors_and_scalars_have_no_fans() -> None:
    safetensors.numpy.save_file({"v": np.zeros(3, "f4"), "s": np.zeros((), "f4")}, "x")
    assert [t.fans for t in glorot.inspect_weights("x").tensors] == [None, None]


def test_globs_choose_names(planned: Planned) -> None:
    glorot.write_weights(planned(**SPEC), "w.weights.h5")
    assert list(fits("w.weights.h5", include=["*/kernel"], exclude=["dense/*"])) == [
        "conv2d/kernel",
        "depthwise_conv2d/kernel",
    ]


def test_a_small_spread_beside_a_large_mean_keeps_its_digits() -> None:
    values = (1000.0 + RNG.normal(0.0, 0.01, (700, 1000))).astype("f8")
    np.save("w.npy", values)
    np.save("v.npy", (1.0 + RNG.normal(0.0, 1e-4, (500, 40))).astype("f4"))
    (wide,) = glorot.inspect_weights("w.npy").tensors
    (narrow,) = glorot.inspect_weights("v.npy").tensors
    assert wide.moments is not None
    assert narrow.moments is not None
    assert wide.moments.std == float(f"{values.std():.3e}")
    assert narrow.moments.std == pytest.approx(float(np.load("v.npy").std(dtype="f8")), rel=1e-3)


def test_statistics_that_are_no_numbers_are_null_in_json(run: Run) -> None:
    arrays = {
        "a": np.array([[1, np.nan], [2, 3]], "f4"),
        "b": np.array([[1, np.inf], [2, 3]], "f4"),
        "c": np.array([[-3e38, 3e38]], "f4"),
        "d": np.array([], "f4"),
    }
    safetensors.numpy.save_file(arrays, "x.safetensors")
    code, out, err = run("inspect", "x.safetensors", "--json")
    assert (code, err) == (0, "")
    found = {t["name"]: t["statistics"] for t in json.loads(out)["files"][0]["tensors"]}
    assert found == {
        "a": {"min": None, "max": None, "mean": None, "std": None},
        "b": {"min": 1.0, "max": None, "mean": None, "std": None},
        "c": {"min": float(np.float32(-3e38)), "max": float(np.float32(3e38)),
              "mean": 0.0, "std": 3e38},
        "d": None,
    }  # fmt: skip


def test_the_table_of_a_file(run: Run) -> None:
    with h5py.File("w.h5", "w") as file:
        file["a\x1b[31m/kernel"] = np.eye(4, dtype="f4")
        file["a\x1b[31m/steps"] = np.arange(3, dtype="i4")
    assert run("inspect", "w.h5") == (
        0,
        "w.h5: h5, without provenance\n"
        "name              shape   dtype    fan_in  fan_out  limit  min  max  mean    std  fits\n"
        "a\\x1b[31m/kernel  (4, 4)  float32       4        4  0.866    0    1  0.25  0.433  other\n"
        "a\\x1b[31m/steps   (3)     int32\n"
        "19 parameters, 76 B\n",
        "",
    )


def test_several_files_one_after_the_other(run: Run, planned: Planned) -> None:
    np.save("a.npy", np.zeros((2, 3), "f4"))
    entry = {"shape": [1], "initializer": "ones"}
    glorot.write_weights(planned(tensors={"w": entry}), "b.h5")
    code, out, err = run("inspect", "a.npy", "b.h5")
    assert (code, err) == (0, "")
    heads = [line for line in out.splitlines() if ": " in line]
    assert heads == ["a.npy: npy, without provenance", "b.h5: h5, claims seed 42"]
    assert "\n\n" in out
    assert run("inspect", "a.npy", "b.h5", "--quiet") == (0, "", "")


def test_a_file_in_json(run: Run, planned: Planned) -> None:
    plan = planned(input_shape=[3], layers=[{"type": "Dense", "units": 5}])
    glorot.write_weights(plan, "w.safetensors")
    code, out, err = run("inspect", "w.safetensors", "--json", "--include", "*/kernel")
    assert (code, err) == (0, "")
    (file,) = json.loads(out)["files"]
    assert list(json.loads(out)) == ["files"]
    assert list(file) == ["path", "format", "provenance", "tensors", "totals"]
    (tensor,) = file["tensors"]
    statistics = tensor.pop("statistics")
    assert list(statistics) == ["min", "max", "mean", "std"]
    expected = glorot.draw(plan, "dense/kernel")
    assert statistics["min"] == float(expected.min())
    assert statistics["max"] == float(expected.max())
    assert tensor == {
        "name": "dense/kernel", "shape": [3, 5], "dtype": "float32", "fan_in": 3, "fan_out": 5,
        "limit": 0.8660254037844386, "parameters": 15, "bytes": 60, "fits": "glorot_uniform",
    }  # fmt: skip
    assert (file["path"], file["format"]) == ("w.safetensors", "safetensors")
    assert file["totals"] == {"parameters": 15, "bytes": 60}
