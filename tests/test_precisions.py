"""Precisions: no value beyond its limit, what each format holds, and notices where bits are few."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.distributions import Normal, TruncatedNormal, Uniform
from glorot_cli.dtypes import (
    DTYPES,
    PRECISIONS,
    largest_not_above,
    largest_within,
    numpy_dtype,
)
from glorot_cli.formats import FORMATS
from glorot_cli.streams import aes_ctr
from glorot_cli.streams.float8 import round_float8

Array = np.ndarray[Any, np.dtype[Any]]
Run = Callable[..., tuple[int, str, str]]
Planned = Callable[..., glorot.Plan]

LOWER = ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
NUMPY: dict[str, Any] = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}
# How many of 512,000 draws rounding alone would have put beyond their limit.
CLIPPED = {"float16": 38, "bfloat16": 362, "float8_e4m3fn": 16790, "float8_e5m2": 10698}
LIMITS = [
    math.sqrt(3.0 * (1.0 / (fan_sum / 2.0)))
    for fan_sum in np.random.default_rng(2010).integers(2, 200_001, 2000).tolist()
]


def values_of(dtype: str) -> Array:
    """List every finite value of a type of at most 16 bits, in order, from its bit patterns."""
    size = PRECISIONS[dtype].itemsize
    bits = np.arange(256**size).astype(f"<u{size}")
    with np.errstate(invalid="ignore"):
        values = bits.view(NUMPY[dtype]).astype(np.float64)
    return np.unique(values[np.isfinite(values)])


def drawn(limit: float, dtype: str, count: int, seed: int = 7) -> Array:
    out = np.empty(count, numpy_dtype(dtype))
    aes_ctr.drawer(Uniform(-limit, limit), (count,), seed, "w", dtype)(0, out)
    return out.astype(np.float64)


@pytest.mark.parametrize("dtype", LOWER)
def test_precisions_are_those_of_the_type(dtype: str) -> None:
    values, info = values_of(dtype), ml_dtypes.finfo(NUMPY[dtype])  # type: ignore[no-untyped-call]
    itemsize, fraction, largest, smallest, has_infinity = PRECISIONS[dtype]
    assert itemsize == np.dtype(NUMPY[dtype]).itemsize
    assert fraction == info.nmant
    assert largest == values[-1]
    assert smallest == values[values > 0.0][0]
    assert has_infinity == bool(np.isinf(np.array(math.inf).astype(NUMPY[dtype])))


@pytest.mark.parametrize("dtype", LOWER)
def test_no_draw_exceeds_its_limit_and_each_is_the_float32_draw_rounded(dtype: str) -> None:
    """Try 2,000 fan sums; each draw is the float32 draw rounded to nearest even, or clipped."""
    values, clipped = values_of(dtype), 0
    for seed, limit in enumerate(LIMITS):
        largest = values[np.searchsorted(values, limit, side="right") - 1]
        assert largest <= limit
        assert largest_within(limit, dtype) == largest
        rounded = drawn(limit, "float32", 256, seed).astype(np.float32).astype(NUMPY[dtype])
        expected = np.clip(rounded.astype(np.float64), -largest, largest)
        found = drawn(limit, dtype, 256, seed)
        assert np.array_equal(found, expected)
        assert np.abs(found).max() <= limit
        clipped += int(np.count_nonzero(found != rounded.astype(np.float64)))
    assert clipped == CLIPPED[dtype]


@pytest.mark.parametrize("dtype", LOWER)
def test_a_draw_rounds_to_the_nearest_value(dtype: str) -> None:
    """Look the nearest value up in the list of all, without any library's rounding."""
    values = values_of(dtype)
    middles = (values[1:] + values[:-1]) / 2.0
    for limit in (1.0, 0.25, 0.0311):
        exact = drawn(limit, "float32", 20_000)
        nearest = values[np.searchsorted(middles, exact)]
        largest = values[np.searchsorted(values, limit, side="right") - 1]
        expected = np.clip(nearest, -largest, largest)
        ties = np.isin(exact, middles)
        assert np.array_equal(drawn(limit, dtype, 20_000)[~ties], expected[~ties])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_draw_of_full_precision_exceeds_its_limit(dtype: str) -> None:
    for seed, limit in enumerate(LIMITS):
        found = drawn(limit, dtype, 256, seed)
        assert np.abs(found).max() <= limit
        assert len(np.unique(found)) > 250


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_extremes_of_the_stream_stay_within(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(key: bytes, first: int, words: Array) -> None:
        words[0::2] = np.iinfo(words.dtype).min
        words[1::2] = np.iinfo(words.dtype).max

    monkeypatch.setattr(aes_ctr, "fill_words", fill)
    for limit in LIMITS:
        low, high = drawn(limit, dtype, 2)
        largest = limit if dtype == "float64" else largest_within(limit, dtype)
        assert -limit <= low == -largest
        assert largest == pytest.approx(high, rel=2.0**-20)
        assert high <= limit


@pytest.mark.parametrize("dtype", LOWER)
@pytest.mark.parametrize(
    "law",
    [Uniform(0.1, 0.9), Uniform(-0.3, -0.1), TruncatedNormal(0.0, 0.05), TruncatedNormal(1.0, 0.3),
     TruncatedNormal(0.0, 1.0, -0.7, 1.9)],
    ids=str,
)  # fmt: skip
def test_other_bounds_hold_too(law: Any, dtype: str) -> None:
    out, exact = np.empty(5000, NUMPY[dtype]), np.empty(5000, np.float32)
    aes_ctr.drawer(law, (5000,), 7, "w", dtype)(0, out)
    aes_ctr.drawer(law, (5000,), 7, "w", "float32")(0, exact)
    low, high = law.low, law.high
    if isinstance(law, TruncatedNormal):
        low, high = law.centre + law.stddev * low, law.centre + law.stddev * high
    values = values_of(dtype)
    inside = values[(values >= low) & (values <= high)]
    found = out.astype(np.float64)
    assert low <= found.min()
    assert found.max() <= high
    expected = np.clip(exact.astype(NUMPY[dtype]).astype(np.float64), inside[0], inside[-1])
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("dtype", LOWER)
def test_normals_are_rounded(dtype: str) -> None:
    out, exact = np.empty(5000, NUMPY[dtype]), np.empty(5000, np.float32)
    aes_ctr.drawer(Normal(0.0, 0.02), (5000,), 7, "w", dtype)(0, out)
    aes_ctr.drawer(Normal(0.0, 0.02), (5000,), 7, "w", "float32")(0, exact)
    assert out.tobytes() == exact.astype(NUMPY[dtype]).tobytes()


@pytest.mark.parametrize("dtype", LOWER)
def test_the_largest_value_not_above_a_bound(dtype: str) -> None:
    values = values_of(dtype)
    random = np.random.default_rng(1)
    some = random.choice(values, 60)
    bounds = [*some, *(some * (1 + 1e-9)), *(some * (1 - 1e-9)), *random.uniform(-2, 2, 60)]
    for bound in map(float, bounds):
        if abs(bound) <= PRECISIONS[dtype].largest:
            assert largest_not_above(bound, dtype) == values[values <= bound][-1]
    assert largest_within(1e300, dtype) == values[-1]


@pytest.mark.parametrize("dtype", LOWER)
def test_blocks_have_the_same_bits(dtype: str) -> None:
    size = 70_001
    whole = np.empty(size, NUMPY[dtype])
    draw = aes_ctr.drawer(Uniform(-0.1, 0.1), (size,), 7, "w", dtype)
    draw(0, whole)
    for first, count in ((1, 5), (65_535, 3), (40_000, 30_001), (7, 69_994)):
        out = np.empty(count, NUMPY[dtype])
        draw(first, out)
        assert out.tobytes() == whole[first : first + count].tobytes()


# Limits that a dtype cannot hold.

V = "tensors:\n  w: {{shape: [4], dtype: {}, initializer: {{name: {}}}}}\n"


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_limit_may_be_too_small(run: Run, tmp_path: Path, dtype: str) -> None:
    smallest = max(2.0**-95, PRECISIONS[dtype].smallest)
    path = tmp_path / "x.yaml"
    below = math.nextafter(smallest, 0.0)
    path.write_text(V.format(dtype, f"uniform, a: -{below!r}, b: {below!r}"), encoding="utf-8")
    message = f"{path}:2:6: tensors.w: the limit {below!r} of 'w' is too small for {dtype}"
    assert run("plan", path) == (2, "", f"glorot: {message}\n")
    path.write_text(
        V.format(dtype, f"uniform, a: -{smallest!r}, b: {smallest!r}"), encoding="utf-8"
    )
    assert run("plan", path, "--quiet") == (0, "", "")


def test_a_limit_by_fans_may_be_too_small(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "dtype: float8_e4m3fn\n"
        "tensors:\n  w: {shape: [1000000, 1000000], axes: IO, initializer: glorot_uniform}\n",
        encoding="utf-8",
    )
    limit = math.sqrt(3.0 * (1.0 / 1_000_000.0))
    message = f"{path}:3:6: tensors.w: the limit {limit!r} of 'w' is too small for float8_e4m3fn"
    assert run("plan", path) == (2, "", f"glorot: {message}\n")


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_value_may_be_too_large(run: Run, tmp_path: Path, dtype: str) -> None:
    if dtype == "float64":
        return
    largest = PRECISIONS[dtype].largest
    path = tmp_path / "x.yaml"
    where = f"glorot: {path}:2:6: tensors.w:"
    beyond = f"is beyond the largest {dtype}, {largest!r}\n"
    for initializer, message in [
        ("uniform, a: 0, b: 1e39", f"the range 0.0 to 1e+39 {beyond}"),
        ("uniform, a: -1e39, b: 1e39", f"the range -1e+39 to 1e+39 {beyond}"),
    ]:
        path.write_text(V.format(dtype, initializer), encoding="utf-8")
        assert run("plan", path) == (2, "", f"{where} {message}")
    path.write_text(V.format(dtype, f"constant, value: {largest!r}"), encoding="utf-8")
    assert run("plan", path, "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("dtype", "initializer", "message"),
    [
        ("float16", "trunc_normal, a: 1.00001, b: 1.00002",
         "float16 has no values from 1.00001 to 1.00002, or only 0"),
        ("float8_e4m3fn", "uniform, a: 1.01, b: 1.02",
         "float8_e4m3fn has no values from 1.01 to 1.02, or only 0"),
        ("bfloat16", "uniform, a: -1.002, b: -1.001",
         "bfloat16 has no values from -1.002 to -1.001, or only 0"),
        ("float32", "uniform, a: 0, b: 1e-60",
         "float32 has no values from 0.0 to 1e-60, or only 0"),
    ],
)  # fmt: skip
def test_a_range_may_hold_no_value(
    run: Run, tmp_path: Path, dtype: str, initializer: str, message: str
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("seed: 1\n" + V.format(dtype, initializer), encoding="utf-8")
    found = run("init", path, "-o", tmp_path / "w.safetensors", "--quiet")
    assert found == (2, "", f"glorot: {path}:3:6: tensors.w: 'w': {message}\n")
    assert not (tmp_path / "w.safetensors").exists()


# Formats.

ABLE = {
    "bfloat16": {"safetensors", "keras"},
    "float8_e4m3fn": {"safetensors"},
    "float8_e5m2": {"safetensors"},
}
UNABLE = {"h5", "npy", "npy-folder"}


@pytest.mark.parametrize("dtype", LOWER)
def test_formats_that_hold_a_dtype(dtype: str) -> None:
    able = {name for name, form in FORMATS.items() if dtype in form.dtypes}
    if dtype == "float16":
        assert able >= UNABLE
    else:
        assert able >= ABLE[dtype]
        assert not able & UNABLE
        assert ("keras" in able) == (dtype == "bfloat16")


@pytest.mark.parametrize("dtype", ABLE)
@pytest.mark.parametrize(
    ("output", "title"),
    [
        ("x.npy", ".npy"),
        ("x/", "a folder of .npy"),
        ("x.h5", ".h5"),
        ("x.weights.h5", ".weights.h5"),
    ],
)
def test_formats_refuse_what_they_cannot_hold(
    run: Run, tmp_path: Path, output: str, title: str, dtype: str
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "seed: 1\ninput_shape: [3]\n"
        "layers: [{type: Dense, units: 2, kernel_initializer: random_uniform, use_bias: false}]\n",
        encoding="utf-8",
    )
    found = run("init", path, "-o", f"{tmp_path}/{output}", "--dtype", dtype, "--quiet")
    if (title, dtype) == (".weights.h5", "bfloat16"):
        assert found == (0, "", "")
        return
    able = "; ".join(form.title for form in FORMATS.values() if dtype in form.dtypes)
    message = f"{title} cannot hold {dtype}, the dtype of 'dense/kernel'; these can: {able}"
    assert found == (2, "", f"glorot: {message}\n")
    assert [item.name for item in tmp_path.iterdir()] == ["x.yaml"]


@pytest.mark.parametrize(
    ("dtype", "code"),
    [
        ("float64", "F64"), ("float32", "F32"), ("float16", "F16"), ("bfloat16", "BF16"),
        ("float8_e4m3fn", "F8_E4M3"), ("float8_e5m2", "F8_E5M2"),
    ],
)  # fmt: skip
def test_safetensors_names_the_dtype(run: Run, tmp_path: Path, dtype: str, code: str) -> None:
    path, output = tmp_path / "x.yaml", tmp_path / "w.safetensors"
    path.write_text(
        "seed: 1\ntensors: {w: {shape: [3, 4], initializer: random_uniform}}\n", encoding="utf-8"
    )
    assert run("init", path, "-o", output, "--dtype", dtype, "--quiet") == (0, "", "")
    raw = output.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    size = numpy_dtype(dtype).itemsize
    assert header["w"] == {"dtype": code, "shape": [3, 4], "data_offsets": [0, 12 * size]}
    assert json.loads(header["__metadata__"]["glorot"])["spec"]["dtype"] == dtype
    plan = glorot.make_plan(glorot.load_spec(path, {"dtype": dtype}))
    assert raw[start:] == glorot.draw(plan, "w").tobytes()


def test_an_entry_keeps_its_dtype(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "dtype: float64\ntensors:\n"
        "  a: {shape: [2], initializer: ones}\n"
        "  b: {shape: [2], initializer: ones, dtype: float16}\n",
        encoding="utf-8",
    )
    code, out, _ = run("plan", path, "--json", "--dtype", "bfloat16")
    assert code == 0
    found = {t["name"]: (t["dtype"], t["bytes"]) for t in json.loads(out)["tensors"]}
    assert found == {"a": ("bfloat16", 4), "b": ("float16", 4)}


def test_an_unknown_dtype_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("tensors: {a: {shape: [2], initializer: ones}}\n", encoding="utf-8")
    expected = "float32, float64, float16, bfloat16, float8_e4m3fn, float8_e5m2"
    message = f"glorot: --dtype: expected {expected}, found 'bf16'\n"
    assert run("plan", path, "--dtype", "bf16") == (2, "", message)


def test_safetensors_reads_bfloat16(run: Run, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    path, output = tmp_path / "x.yaml", tmp_path / "w.safetensors"
    path.write_text(
        "seed: 1\ntensors: {w: {shape: [30, 40], axes: IO, initializer: glorot_uniform}}\n",
        encoding="utf-8",
    )
    assert run("init", path, "-o", output, "--dtype", "bfloat16", "--quiet")[0] == 0
    plan = glorot.make_plan(glorot.load_spec(path, {"dtype": "bfloat16"}))
    loaded = load_file(output)["w"]
    assert loaded.dtype == ml_dtypes.bfloat16
    assert loaded.tobytes() == glorot.draw(plan, "w").tobytes()


def test_keras_files_hold_bfloat16_as_keras_does(run: Run, tmp_path: Path) -> None:
    import h5py

    path, output = tmp_path / "x.yaml", tmp_path / "x.weights.h5"
    path.write_text(
        "seed: 1\ninput_shape: [3]\nlayers: [{type: Dense, units: 2}]\n", encoding="utf-8"
    )
    assert run("init", path, "-o", output, "--dtype", "bfloat16", "--quiet") == (0, "", "")
    plan = glorot.make_plan(glorot.load_spec(path, {"dtype": "bfloat16"}))
    with h5py.File(output) as file:
        for index, name in enumerate(("dense/kernel", "dense/bias")):
            dataset = file[f"layers/dense/vars/{index}"]
            assert dataset.dtype.str == "|V2"
            assert dict(dataset.attrs) == {"dtype": "bfloat16"}
            assert dataset[()].tobytes() == glorot.draw(plan, name).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("provenance", [True, False])
def test_an_inspected_file_fits_its_law(
    run: Run, tmp_path: Path, dtype: str, provenance: bool
) -> None:
    path, output = tmp_path / "x.yaml", tmp_path / "w.safetensors"
    path.write_text(
        "seed: 5\ntensors:\n  w: {shape: [96, 256], axes: IO, initializer: glorot_uniform}\n"
        "  z: {shape: [9], initializer: zeros}\n  o: {shape: [9], initializer: ones}\n",
        encoding="utf-8",
    )
    assert run("init", path, "-o", output, "--dtype", dtype, "--quiet")[0] == 0
    if not provenance:
        raw = output.read_bytes()
        output.write_bytes(raw.replace(b'"glorot":', b'"others":'))
    code, out, err = run("inspect", output, "--json")
    assert (code, err) == (0, "")
    (file,) = json.loads(out)["files"]
    assert (file["provenance"] is not None) == provenance
    assert {t["name"]: (t["dtype"], t["fits"][0]["name"]) for t in file["tensors"]} == {
        "w": (dtype, "glorot_uniform"), "z": (dtype, "zeros"), "o": (dtype, "ones"),
    }  # fmt: skip
    (weights,) = [t for t in file["tensors"] if t["name"] == "w"]
    limit = math.sqrt(6.0 / 352.0)
    assert -limit <= weights["statistics"]["min"] < weights["statistics"]["max"] <= limit


def test_bfloat16_in_a_keras_file_fits_too(run: Run, tmp_path: Path) -> None:
    path, output = tmp_path / "x.yaml", tmp_path / "x.weights.h5"
    path.write_text(
        "seed: 1\ninput_shape: [90]\nlayers: [{type: Dense, units: 250}]\n", encoding="utf-8"
    )
    assert run("init", path, "-o", output, "--dtype", "bfloat16", "--quiet")[0] == 0
    _, out, _ = run("inspect", output, "--json")
    (file,) = json.loads(out)["files"]
    assert [(t["name"], t["dtype"], t["fits"][0]["name"]) for t in file["tensors"]] == [
        ("dense/kernel", "bfloat16", "glorot_uniform"),
        ("dense/bias", "bfloat16", "zeros"),
    ]


# Notices.


def test_float8_says_how_many_elements_round_to_0(planned: Planned) -> None:
    wide = {"shape": [16384, 53248], "axes": "IO", "initializer": "glorot_uniform"}
    plan = planned(dtype="float8_e4m3fn", tensors={"h.{i}.w": {**wide, "repeat": {"i": 3}}})
    assert plan.notices == (
        "h.0.w (and 2 more): 10.5% of the elements round to 0 in float8_e4m3fn; "
        "scale the weights up, or choose another dtype",
    )
    assert planned(dtype="float8_e5m2", tensors={"w": wide}).notices == ()
    assert planned(dtype="bfloat16", tensors={"w": wide}).notices == ()


@pytest.mark.parametrize(
    ("initializer", "share"),
    [
        ({"name": "normal", "std": 0.02}, "3.9%"),
        ({"name": "truncated_normal", "stddev": 0.02}, "4.1%"),
        ({"name": "trunc_normal", "std": 0.02, "a": 0, "b": 0.1}, "3.9%"),
        ({"name": "uniform", "a": -0.01, "b": 0.03}, "4.9%"),
        ({"name": "uniform", "a": 0, "b": 0.02}, "4.9%"),
        ({"name": "normal", "std": 0.002}, "37.5%"),
        ({"name": "normal", "std": 0.02, "mean": 1}, None),
        ({"name": "truncated_normal", "stddev": 0.02, "mean": -1}, None),
        ({"name": "uniform", "a": 0.5, "b": 0.6}, None),
        ({"name": "normal", "std": 1}, None),
        ("zeros", None),
        ("ones", None),
    ],
)
def test_the_share_that_rounds_to_0(
    planned: Planned, initializer: object, share: str | None
) -> None:
    entry = {"shape": [2**16], "dtype": "float8_e4m3fn", "initializer": initializer}
    plan = planned(tensors={"w": entry})
    if share is None:
        assert not any("round to 0" in notice for notice in plan.notices)
        return
    assert plan.notices == (
        f"w: {share} of the elements round to 0 in float8_e4m3fn; "
        "scale the weights up, or choose another dtype",
    )
    # Regression test on a fixed seed: the draw has that share, within 5 standard errors.
    found = float(np.mean(glorot.draw(plan, "w").astype(np.float32) == 0.0))
    assert found == pytest.approx(float(share[:-1]) / 100.0, abs=0.005)


def test_float8_is_noticed_by_the_command_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "seed: 1\ntensors: {w: {shape: [400], initializer: {name: normal, std: 0.02}}}\n",
        encoding="utf-8",
    )
    code, _, err = run("init", path, "-o", tmp_path / "w.safetensors", "--dtype", "float8_e4m3fn")
    assert (code, err) == (
        0,
        "note: w: 3.9% of the elements round to 0 in float8_e4m3fn; "
        "scale the weights up, or choose another dtype\n",
    )


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_the_table_rounds_to_float8_as_the_cast_does(dtype: str) -> None:
    """Try every float32 whose last bits are all 0, all 1, or 1 in the last place only."""
    upper = np.arange(1 << 20, dtype=np.uint32) << np.uint32(12)
    for last in (0, 1, 0x7FF, 0x800, 0xFFF):
        values = (upper | np.uint32(last)).view(np.float32)
        rounded = np.empty(values.size, numpy_dtype(dtype))
        round_float8(values, dtype, rounded)
        with np.errstate(all="ignore"):
            cast = values.astype(NUMPY[dtype])
        assert rounded.tobytes() == cast.tobytes()
