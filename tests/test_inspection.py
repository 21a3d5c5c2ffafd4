"""What a file's numbers say: the law that they fit, with fans as given, guessed or recorded."""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

import glorot_cli as glorot
from glorot_cli.dtypes import numpy_dtype
from glorot_cli.fans import Fans, glorot_limit
from glorot_cli.report.bars import bar, heights
from glorot_cli.writing.weights import provenance

Array = np.ndarray[Any, np.dtype[Any]]
Planned = Callable[..., glorot.Plan]
Run = Callable[..., tuple[int, str, str]]

# Fixed seeds: what follows are regression tests, not tests of chance.
RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fits(path: str, **options: Any) -> dict[str, str]:
    """Name the first law that each tensor fits."""
    tensors = glorot.inspect_weights(path, **options).tensors
    return {t.name: t.fits[0].distribution if t.fits else "other" for t in tensors}


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
    assert fits(output) == {
        "conv2d/kernel": "glorot_uniform",
        "conv2d/bias": "ones",
        "depthwise_conv2d/kernel": "glorot_uniform",
        "depthwise_conv2d/bias": "constant",
        "dense/kernel": "random_uniform",
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
    known = {
        "he": "kaiming_normal", "normal-of-the-same-spread": "xavier_normal",
        "two-per-cent-more": "uniform", "two-per-cent-less": "uniform", "shifted": "uniform",
        "half": "uniform", "outlier": "uniform", "twos": "constant", "ones": "ones",
        "zeros": "zeros",
    }  # fmt: skip
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


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "float8_e5m2"])
def test_what_is_no_number_is_counted(dtype: str, run: Run) -> None:
    values = np.array([[1, np.nan, np.inf], [2, -np.inf, 3]]).astype(numpy_dtype(dtype))
    safetensors.numpy.save_file({"a": values, "b": np.ones(2, "f4")}, "x.safetensors")
    code, out, err = run("inspect", "x.safetensors")
    assert (code, err) == (0, "")
    row = next(line for line in out.split("\n") if line.startswith("a "))
    assert row.split()[7:11] == ["1", "3", "2", "0.8165"]
    assert row.endswith("1 NaN, 2 inf")
    assert out.endswith("\nnot finite: a: 1 NaN, 2 inf\n")
    assert run("inspect", "x.safetensors", "--finite", "--quiet") == (1, "", "")
    assert run("inspect", "x.safetensors", "--finite", "--include", "b", "--quiet") == (0, "", "")
    a = {t.name: t for t in glorot.inspect_weights("x.safetensors").tensors}["a"]
    assert (a.fits, a.agrees) == ([], None)


def test_elements_that_are_not_read_are_not_said_to_be_finite(run: Run) -> None:
    header = b'{"a": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}}'
    Path("x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    code, out, err = run("inspect", "x.safetensors", "--finite")
    assert (code, err) == (1, "note: 'a': elements of F4 are not read, so not known to be finite\n")
    assert "not finite" not in out


def test_finite_needs_the_elements(run: Run) -> None:
    assert run("inspect", "x.safetensors", "--finite", "--headers") == (
        2,
        "",
        "glorot: --finite reads the elements, --headers does not: leave one of them out\n",
    )


def test_our_own_file_with_a_nan_disagrees(planned: Planned) -> None:
    glorot.write_weights(planned(**SPEC), "w.safetensors")
    data = bytearray(Path("w.safetensors").read_bytes())
    data[-4:] = np.array([np.nan], "<f4").tobytes()
    Path("w.safetensors").write_bytes(data)
    assert [t.agrees for t in glorot.inspect_weights("w.safetensors").tensors].count(False) == 1


@pytest.mark.parametrize("stddev", [1e-300, 1e-170, 1e160, 1e300])
@pytest.mark.parametrize(
    "initializer",
    [
        {"name": "normal", "std": "S"},
        {"name": "truncated_normal", "stddev": "S"},
        {"name": "trunc_normal", "std": "S", "a": "-2S", "b": "2S"},
        {"name": "uniform", "a": 0.0, "b": "S"},
        {"name": "orthogonal", "gain": "S"},
        {"name": "identity", "gain": "S"},
        {"name": "constant", "value": "S"},
    ],
    ids=lambda initializer: initializer["name"],
)
def test_extreme_scales_are_known_again(
    initializer: dict[str, object], stddev: float, run: Run, planned: Planned
) -> None:
    given = {
        key: {"S": stddev, "2S": 2 * stddev, "-2S": -2 * stddev}.get(str(value), value)
        for key, value in initializer.items()
    }
    entry = {"shape": [64, 80], "axes": "IO", "initializer": given}
    glorot.write_weights(planned(seed=1, dtype="float64", tensors={"w": entry}), "w.safetensors")
    (tensor,) = glorot.inspect_weights("w.safetensors").tensors
    assert tensor.agrees
    assert tensor.fits
    assert run("verify", "w.safetensors", "--statistics")[0] == 0
    assert run("inspect", "w.safetensors", "--finite", "--json")[0] == 0


@pytest.mark.parametrize("dtype", ["float32", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize(
    ("initializer", "shape"),
    [
        ("orthogonal", [4, 4]),
        ("orthogonal", [2, 2]),
        ("orthogonal", [3, 40]),
        ("delta_orthogonal", [3, 2, 4]),
        ({"name": "sparse", "sparsity": 0.1, "std": 0.5}, [2, 1]),
        ({"name": "sparse", "sparsity": 0.5, "std": 1e-2}, [8, 3]),
    ],
)
def test_a_structure_of_few_bits_does_not_disagree_with_its_claim(
    planned: Planned, dtype: str, initializer: Any, shape: list[int]
) -> None:
    axes = "IO" if len(shape) == 2 else "HIO"
    for seed in range(10):
        entry = {"shape": shape, "axes": axes, "dtype": dtype, "initializer": initializer}
        glorot.write_weights(planned(seed=seed, tensors={"w": entry}), "w.safetensors", force=True)
        (tensor,) = glorot.inspect_weights("w.safetensors").tensors
        assert tensor.agrees is not False
        if dtype == "float32" and shape == [3, 40]:
            assert tensor.agrees


def test_statistics_that_are_no_numbers_are_null_in_json(run: Run) -> None:
    arrays = {
        "a": np.array([[1, np.nan], [2, 3]], "f4"),
        "b": np.array([[1, np.inf], [2, 3]], "f4"),
        "c": np.array([[-3e38, 3e38]], "f4"),
        "d": np.array([], "f4"),
        "e": np.array([np.nan, np.nan], "f2"),
    }
    safetensors.numpy.save_file(arrays, "x.safetensors")
    code, out, err = run("inspect", "x.safetensors", "--json")
    assert (code, err) == (0, "")
    found = {t["name"]: t["statistics"] for t in json.loads(out)["files"][0]["tensors"]}
    assert found == {
        "a": {"min": 1.0, "max": 3.0, "mean": 2.0, "std": 0.8165, "nan": 1, "inf": 0},
        "b": {"min": 1.0, "max": 3.0, "mean": 2.0, "std": 0.8165, "nan": 0, "inf": 1},
        "c": {"min": float(np.float32(-3e38)), "max": float(np.float32(3e38)),
              "mean": 0.0, "std": 3e38, "nan": 0, "inf": 0},
        "d": None,
        "e": {"min": None, "max": None, "mean": None, "std": None, "nan": 2, "inf": 0},
    }  # fmt: skip


def test_the_table_of_a_file(run: Run) -> None:
    with h5py.File("w.h5", "w") as file:
        file["a\x1b[31m/kernel"] = np.eye(4, dtype="f4")
        file["a\x1b[31m/steps"] = np.arange(3, dtype="i4")
    assert run("inspect", "w.h5") == (
        0,
        "w.h5: h5, without provenance\n"
        "name              shape   dtype    fan_in  fan_out  limit  min  max  mean     std  "
        "histogram         fits\n"
        "a\\x1b[31m/kernel  (4, 4)  float32       4        4  0.866    0    1  0.25   0.433  "
        "█              ▃  identity\n"
        "a\\x1b[31m/steps   (3)     int32                              0    2     1  0.8165  "
        "█      █       █\n"
        "19 parameters, 76 B\n",
        "",
    )


def test_several_files_one_after_the_other(run: Run, planned: Planned) -> None:
    np.save("a.npy", np.zeros((2, 3), "f4"))
    entry = {"shape": [1], "initializer": "ones"}
    glorot.write_weights(planned(tensors={"w": entry}), "b.h5")
    code, out, err = run("inspect", "a.npy", "b.h5")
    assert (code, err) == (0, "")
    heads = [line for line in out.splitlines() if ".npy: " in line or ".h5: " in line]
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
    statistics, fitting = tensor.pop("statistics"), tensor.pop("fits")
    assert list(statistics) == ["min", "max", "mean", "std", "nan", "inf"]
    expected = glorot.draw(plan, "dense/kernel")
    assert statistics["min"] == float(expected.min())
    assert statistics["max"] == float(expected.max())
    assert tensor == {
        "name": "dense/kernel", "shape": [3, 5], "dtype": "float32", "fan_in": 3, "fan_out": 5,
        "limit": 0.8660254037844386, "parameters": 15, "bytes": 60,
        "best_fit": fitting[0], "p_value": 1.0, "withheld_by": None, "zero_rows": [],
        "claim": "glorot_uniform", "agrees": True, "sha256": None, "spectrum": None,
        "histogram": tensor["histogram"],
    }  # fmt: skip
    assert sum(tensor["histogram"]) == 15
    assert len(tensor["histogram"]) == 16
    assert list(fitting[0]) == ["name", "quality", "parameters"]
    assert (fitting[0]["name"], fitting[0]["parameters"]) == ("glorot_uniform", {})
    assert (file["path"], file["format"]) == ("w.safetensors", "safetensors")
    assert file["totals"] == {"parameters": 15, "bytes": 60}


def test_headers_alone_read_no_numbers(run: Run, planned: Planned) -> None:
    plan = planned(input_shape=[3], layers=[{"type": "Dense", "units": 5}])
    glorot.write_weights(plan, "w.safetensors")
    assert run("inspect", "w.safetensors", "--headers") == (
        0,
        "w.safetensors: safetensors, claims seed 42\n"
        "name          shape   dtype    fan_in  fan_out  limit  claim\n"
        "dense/bias    (5)     float32                          zeros\n"
        "dense/kernel  (3, 5)  float32       3        5  0.866  glorot_uniform\n"
        "20 parameters, 80 B\n",
        "",
    )
    found = glorot.inspect_weights("w.safetensors", headers=True)
    assert [(t.moments, t.histogram, t.fits, t.agrees) for t in found.tensors] == [
        (None, None, None, None)
    ] * 2


def test_the_hash_of_each_tensor_is_that_of_its_little_endian_bytes() -> None:
    values = RNG.normal(size=(900, 700)).astype("f4")
    expected = hashlib.sha256(values.tobytes()).hexdigest()
    np.save("w.npy", values)
    np.save("v.npy", values.astype(">f4"))
    with h5py.File("w.h5", "w") as file:
        file.create_dataset("w", data=values, chunks=(100, 70), compression="gzip")
    for path in ("w.npy", "v.npy", "w.h5"):
        (tensor,) = glorot.inspect_weights(path, sha256=True, headers=True).tensors
        assert tensor.sha256 == expected


def test_content_that_disagrees_with_what_a_file_claims(run: Run, planned: Planned) -> None:
    he = {**SPEC["layers"][0], "kernel_initializer": "he_normal"}
    plan = planned(**{**SPEC, "layers": [he, {"type": "LayerNormalization"}]})
    other = planned(**{**SPEC, "layers": [SPEC["layers"][0], {"type": "LayerNormalization"}]})
    arrays = {tensor.name: glorot.draw(other, tensor.name) for tensor in other.tensors}
    arrays["layer_normalization/beta"] += 1.0
    claim = json.dumps(provenance(plan))
    safetensors.numpy.save_file(arrays, "x.safetensors", {"glorot": claim})
    found = {t.name: (t.claim, t.agrees) for t in glorot.inspect_weights("x.safetensors").tensors}
    assert found == {
        "conv2d/kernel": ("he_normal", False),
        "conv2d/bias": ("ones", True),
        "layer_normalization/gamma": ("ones", True),
        "layer_normalization/beta": ("zeros", False),
    }
    _, out, _ = run("inspect", "x.safetensors")
    assert "glorot_uniform  1  he_normal: DISAGREES\n" in out


def test_every_law_agrees_with_its_own_claim(planned: Planned) -> None:
    layers = [
        {"type": "LSTM", "units": 6, "recurrent_initializer": "orthogonal"},
        {"type": "Dense", "units": 5, "kernel_initializer": "identity"},
        {"type": "Dense", "units": 1, "kernel_initializer": "orthogonal"},
    ]
    tensors = {
        "s": {"shape": [50, 40], "axes": "IO", "initializer": {"name": "sparse", "sparsity": 0.2}},
        "n": {"shape": [50, 40], "axes": "IO", "initializer": {"name": "sparse", "sparsity": 0}},
        "d": {"shape": [3, 3, 4, 6], "axes": "HWIO", "initializer": "delta_orthogonal"},
    }
    glorot.write_weights(planned(input_shape=[4, 5], layers=layers, tensors=tensors), "w.h5")
    found = {t.name: t.agrees for t in glorot.inspect_weights("w.h5").tensors}
    unknown = {"n", "dense_1/kernel"}
    assert found == {name: None if name in unknown else True for name in found}


def test_a_histogram_in_one_line_needs_no_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    assert heights([0, 1, 20, 50, 100]) == "  ▂▄█"
    assert heights([]) == ""
    assert bar(3.0, 8.0, 4) == "█▌  "
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert heights([0, 1, 20, 50, 100]) == "  .=#"
    assert bar(3.0, 8.0, 4) == "#   "


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_is_read_compressed_or_not(save: Any, run: Run) -> None:
    arrays = {"a/w": RNG.uniform(-0.2, 0.2, (900, 700)).astype("f4"), "b": np.zeros(3, ">f8")}
    save("x.npz", **arrays)
    found = glorot.inspect_weights("x.npz", sha256=True)
    assert [(t.name, t.shape, t.dtype) for t in found.tensors] == [
        ("a/w", (900, 700), "float32"),
        ("b", (3,), "float64"),
    ]
    assert found.format == "npz"
    assert fits("x.npz") == {"a/w": "uniform", "b": "zeros"}
    assert found.tensors[0].sha256 == hashlib.sha256(arrays["a/w"].tobytes()).hexdigest()
    np.save("w.npy", arrays["b"])
    assert run("diff", "x.npz", "w.npy", "--map", "b=w", "--quiet")[0] == 1
    data = bytearray(Path("x.npz").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    Path("x.npz").write_bytes(data)
    if save is np.savez_compressed:
        code, out, err = run("inspect", "x.npz")
        assert (code, out) == (2, "")
        assert err.startswith("glorot: x.npz: 'a/w.npy': ")


def test_an_npz_that_holds_no_plain_arrays(run: Run) -> None:
    np.savez("o.npz", w=np.array([{}], object))
    np.savez("f.npz", w=np.asfortranarray(np.ones((2, 3))))
    with zipfile.ZipFile("short.npz", "w") as archive, io.BytesIO() as raw:
        np.lib.format.write_array_header_1_0(
            raw, {"descr": "<f4", "fortran_order": False, "shape": (3,)}
        )
        archive.writestr("w.npy", raw.getvalue() + bytes(8))
        archive.writestr("v.npy", b"nothing")
    for path, message in (
        ("o.npz", "'w': expected numbers, found dtype object"),
        (
            "f.npz",
            "'w': expected elements in C order, found Fortran order; "
            "save np.ascontiguousarray(a) instead",
        ),
        ("short.npz", "'w': its header needs 12 bytes, the archive has 8"),
    ):
        assert run("inspect", path) == (2, "", f"glorot: {path}: {message}\n")


def test_archives_of_keras_and_sharded_indexes_are_read(planned: Planned) -> None:
    plan = planned(input_shape=[30], layers=[{"type": "Dense", "units": 40}])
    glorot.write_weights(plan, "s/", max_shard_size="1KB")
    named = {"dense/kernel": "glorot_uniform", "dense/bias": "zeros"}
    assert fits("s") == fits("s/model.safetensors.index.json") == named
    Path("config.json").write_text(json.dumps({"class_name": "Sequential", "config": {}}))
    glorot.write_weights(plan, "m.keras", config="config.json")
    assert fits("m.keras") == named


@pytest.mark.parametrize(
    "values",
    [
        [1.0, -2.0, 0.5],
        [1.0, 2.0],
        [-1.0, -2.0],
        [1.0, math.nan, -1.0],
        [1.0, -math.nan, -1.0],
        [math.inf, -1.0],
        [-math.inf, 1e-40, 1.0],
    ],
)
def test_bfloat16_has_the_moments_of_the_float32_that_it_stands_for(
    values: list[float],
) -> None:
    held = np.array(values, ml_dtypes.bfloat16)
    safetensors.numpy.save_file({"w": held}, "b.safetensors")
    safetensors.numpy.save_file({"w": held.astype(np.float32)}, "f.safetensors")
    narrow, wide = (glorot.inspect_weights(f"{name}.safetensors").tensors[0] for name in "bf")
    assert repr(narrow.moments) == repr(wide.moments)


@pytest.mark.parametrize("bad", ["lost.h5", "text.yaml"])
def test_each_file_is_reported_though_one_cannot_be_read(
    bad: str, run: Run, planned: Planned
) -> None:
    glorot.write_weights(planned(tensors={"w": {"shape": [2], "initializer": "ones"}}), "w.npy")
    Path("text.yaml").write_text("seed: 1")
    _, alone, _ = run("inspect", "w.npy")
    code, _, problem = run("inspect", bad)
    assert code == 2
    for files in (("w.npy", bad, "w.npy"), (bad, "w.npy", "w.npy"), ("w.npy", "w.npy", bad)):
        assert run("inspect", *files) == (2, f"{alone}\n{alone}", problem)
        code, out, err = run("inspect", *files, "--json")
        document = json.loads(out)
        assert (code, err, [each["path"] for each in document["files"]]) == (
            2, problem, ["w.npy", "w.npy"]
        )  # fmt: skip
        assert document["errors"] == [
            {"path": bad, "error": problem.removeprefix("glorot: ").removesuffix("\n")}
        ]
    assert run("inspect", bad, bad) == (2, "", problem * 2)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [("float32", 1e-30), ("float32", 1e-40), ("float32", 1e37), ("bfloat16", 1e-36),
     ("float64", 1e-320), ("float16", 1e-5), ("float16", 9e3), ("float8_e5m2", 1e-3)],
)  # fmt: skip
def test_our_own_files_agree_at_every_scale(
    planned: Planned, run: Run, dtype: str, scale: float
) -> None:
    for initializer in (
        {"name": "normal", "std": scale},
        {"name": "truncated_normal", "stddev": scale},
        {"name": "orthogonal", "gain": scale},
        {"name": "constant", "value": scale},
        {"name": "identity", "gain": scale},
        {"name": "sparse", "sparsity": 0.1, "std": scale},
        {"name": "normal", "mean": scale, "std": scale / 4},
        {"name": "trunc_normal", "std": scale, "a": -scale, "b": 3 * scale},
    ):
        if (initializer["name"], dtype) == ("sparse", "float64"):
            continue  # its normals are float32
        entry = {"shape": [50, 60], "axes": "IO", "dtype": dtype, "initializer": initializer}
        glorot.write_weights(planned(seed=3, tensors={"w": entry}), "w.safetensors", force=True)
        (tensor,) = glorot.inspect_weights("w.safetensors").tensors
        assert tensor.agrees is not False, initializer
        assert run("verify", "w.safetensors", "--statistics", "--quiet")[0] == 0, initializer


def test_a_range_too_narrow_for_its_scale_is_refused(planned: Planned) -> None:
    given = {"name": "uniform", "a": 0, "b": 1e-320}
    entry = {"shape": [4], "dtype": "float64", "initializer": given}
    with pytest.raises(glorot.GlorotError) as caught:
        planned(tensors={"w": entry})
    assert str(caught.value) == (
        "<spec>: tensors.w: the range 0.0 to 1e-320 of 'w' is too narrow for float64"
    )
