"""Comparing files: across formats, shards and dialects, by bits or within a tolerance."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors.numpy

import glorot_cli as glorot
from glorot_cli.checks.diff import Diff, diff_weights
from glorot_cli.checks.distances import distances
from glorot_cli.dtypes import numpy_dtype
from glorot_cli.formats.elements import boxes
from glorot_cli.formats.reading import read_headers
from glorot_cli.renames import Rename, parse_rename

Planned = Callable[..., glorot.Plan]
Run = Callable[..., tuple[int, str, str]]

RNG = np.random.default_rng(3)
LAYERS: dict[str, Any] = {
    "input_shape": [6, 6, 3],
    "layers": [
        {"type": "Conv2D", "filters": 5, "kernel_size": 3},
        {"type": "Flatten"},
        {"type": "Dense", "units": 7},
    ],
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def statuses(found: Diff) -> dict[str | None, str]:
    return {tensor.name or tensor.other_name: tensor.status for tensor in found.tensors}


def save(path: str, **arrays: Any) -> None:
    safetensors.numpy.save_file(arrays, path)


OUTPUTS = ["a.safetensors", "a.weights.h5", "a.h5", "a/", "shards/"]


@pytest.mark.parametrize("mine", OUTPUTS)
@pytest.mark.parametrize("theirs", OUTPUTS)
def test_one_plan_in_two_formats_is_the_same(mine: str, theirs: str, planned: Planned) -> None:
    plan = planned(**LAYERS)
    for path in {mine, theirs}:
        glorot.write_weights(plan, path, max_shard_size="1KB" if path == "shards/" else None)
    found = diff_weights(mine, theirs)
    assert found.equal
    assert statuses(found) == {tensor.name: "equal" for tensor in plan.tensors}
    file = read_headers(theirs)
    chance = random.Random(mine + theirs)
    stored = chance.choice(file.tensors)
    assert stored.offset is not None
    bit = chance.randrange(8 * stored.nbytes)
    with Path(stored.path or file.path).open("r+b") as raw:
        raw.seek(stored.offset + bit // 8)
        byte = raw.read(1)[0] ^ (1 << bit % 8)
        raw.seek(stored.offset + bit // 8)
        raw.write(bytes([byte]))
    if mine == theirs:
        return
    (wrong,) = [tensor for tensor in diff_weights(mine, theirs).tensors if tensor.status != "equal"]
    assert wrong.status == "different"
    assert wrong.gap is not None
    assert wrong.gap.count == 1
    assert wrong.gap.index == tuple(int(i) for i in np.unravel_index(bit // 32, wrong.shape or ()))


def test_the_largest_difference_and_where(run: Run) -> None:
    a = np.zeros((3, 4), "f4")
    b = a.copy()
    b[0, 1], b[1, 2], b[2, 3] = 0.5, -2.0, -0.0
    save("a.safetensors", w=a, same=a, gone=a, x=a, y=a)
    save("b.safetensors", w=b, same=a, new=a, x=a.T.copy(), y=a.astype("f8"))
    code, out, err = run("diff", "a.safetensors", "b.safetensors")
    assert (code, err) == (1, "")
    assert out == (
        "name  status     what\n"
        "gone  missing\n"
        "w     different  largest difference 2 at [1, 2]: 0.0 and -2.0; "
        "3 of 12 elements differ\n"
        "x     shape      (3, 4) and (4, 3)\n"
        "y     dtype      float32 and float64\n"
        "new   extra\n"
        "a.safetensors: not the same as b.safetensors: "
        "1 different, 1 dtype, 1 equal, 1 extra, 1 missing, 1 shape\n"
    )
    code, out, err = run("diff", "a.safetensors", "b.safetensors", "--json")
    document = json.loads(out)
    assert (code, document["equal"], document["tolerance"]) == (1, False, None)
    (w,) = [tensor for tensor in document["tensors"] if tensor["name"] == "w"]
    assert w == {
        "name": "w", "other_name": "w", "status": "different", "shape": [3, 4],
        "other_shape": [3, 4], "dtype": "float32", "other_dtype": "float32", "largest": 2.0,
        "index": [1, 2], "value": 0.0, "other_value": -2.0, "differing": 3,
    }  # fmt: skip
    assert run("diff", "a.safetensors", "b.safetensors", "--quiet") == (1, "", "")
    assert run("diff", "a.safetensors", "a.safetensors") == (
        0, "a.safetensors: the same as a.safetensors: 5 equal\n", ""
    )  # fmt: skip


def test_a_tolerance_compares_values_whatever_the_dtypes(run: Run) -> None:
    values = RNG.uniform(-1, 1, (40, 50)).astype("f4")
    lower = values.astype(numpy_dtype("bfloat16"))
    gap = float(np.abs(lower.astype("f4") - values).max())
    special = np.array([np.nan, np.inf, 0.0], "f4")
    save("a.safetensors", w=values, s=special, z=np.zeros(2, "f4"))
    save("b.safetensors", w=lower, s=special.astype("f8"), z=-np.zeros(2, "f4"))
    found = diff_weights("a.safetensors", "b.safetensors", tolerance=gap)
    assert statuses(found) == {"w": "within tolerance", "s": "equal", "z": "equal"}
    assert found.equal
    found = diff_weights("a.safetensors", "b.safetensors", tolerance=gap * 0.999)
    (w,) = [tensor for tensor in found.tensors if tensor.name == "w"]
    assert w.gap is not None
    assert (w.status, w.gap.beyond, w.gap.largest) == ("different", 1, gap)
    assert statuses(diff_weights("a.safetensors", "b.safetensors"))["z"] == "different"
    save("c.safetensors", w=values, s=np.array([np.nan, np.nan, 0.0], "f4"), z=np.zeros(2, "f4"))
    code, out, _ = run("diff", "a.safetensors", "c.safetensors", "--tolerance", "9")
    assert code == 1
    assert "largest difference inf at [1]: inf and nan; 1 of 3 elements differ\n" in out
    for wrong in ("-1", "nan", "inf"):
        assert run("diff", "a.safetensors", "c.safetensors", "--tolerance", wrong) == (
            2,
            "",
            f"glorot: --tolerance: expected a number of at least 0, found {float(wrong)}\n",
        )


def test_names_and_axes_between_dialects(run: Run) -> None:
    dense, conv = RNG.normal(size=(30, 20)).astype("f4"), RNG.normal(size=(8, 6, 3, 2))
    conv = conv.astype("f4")
    torch = {"0.weight": conv, "0.bias": conv[:, 0, 0, 0].copy(), "3.weight": dense}
    keras = {
        "conv/kernel": conv.transpose(2, 3, 1, 0).copy(),
        "conv/bias": torch["0.bias"],
        "3/kernel": dense.T.copy(),
    }
    save("t.safetensors", **torch)
    save("k.safetensors", **keras)
    maps = ["0.weight=conv/kernel:(2,3,1,0)", "0.bias=conv/bias", "*.weight=*/kernel:transpose"]
    flags = [part for text in maps for part in ("--map", text)]
    code, out, err = run("diff", "t.safetensors", "k.safetensors", *flags)
    assert (code, out, err) == (
        0, "t.safetensors: the same as k.safetensors: 3 equal\n", ""
    )  # fmt: skip
    keras["conv/kernel"][1, 0, 4, 7] += 1.0
    keras["3/kernel"][3, 2] += 1.0
    save("k.safetensors", **keras)
    code, out, err = run("diff", "t.safetensors", "k.safetensors", *flags)
    assert code == 1
    assert "0.weight = conv/kernel  different  largest difference 1 at [7, 4, 1, 0]: " in out
    assert "3.weight = 3/kernel     different  largest difference 1 at [2, 3]: " in out


@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 1, 0), (0, 2, 1), (2, 0, 1)])
def test_turned_tensors_over_many_boxes(axes: tuple[int, ...]) -> None:
    a = RNG.normal(size=(300, 70, 90)).astype("f4")
    b = np.ascontiguousarray(a.transpose(axes))
    save("a.safetensors", pad=np.zeros(1, "i1"), w=a)
    save("b.safetensors", w=b)
    rename = Rename("w", "w", axes)
    found = diff_weights("a.safetensors", "b.safetensors", renames=[rename])
    assert statuses(found) == {"pad": "missing", "w": "equal"}
    place = [[299, 69, 89][axis] for axis in axes]
    b[tuple(place)] += 3.0
    with h5py.File("b.h5", "w") as file:
        file.create_dataset("w", data=b, chunks=(10, 10, 10), compression="gzip")
    for other in ("b.safetensors", "b.h5"):
        save("b.safetensors", w=b)
        found = diff_weights("a.safetensors", other, renames=[rename])
        gap = next(tensor.gap for tensor in found.tensors if tensor.name == "w")
        assert gap is not None
        assert (gap.index, gap.count) == ((299, 69, 89), 1)


@pytest.mark.parametrize("shape", [(7,), (1000, 900), (3, 3, 700, 800), (2, 100000)])
def test_boxes_cover_every_element_once(shape: tuple[int, ...]) -> None:
    axes = tuple(reversed(range(len(shape))))
    seen = np.zeros(shape, np.int8)
    for box in boxes(shape, axes):
        assert seen[box].size <= 1 << 18
        seen[box] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("chunked", [(True, False), (False, True), (True, True)])
def test_chunked_data_is_compared_on_either_side(chunked: tuple[bool, bool]) -> None:
    values = RNG.normal(size=(1500, 500)).astype("f4")
    for path, compressed in zip(("a.h5", "b.h5"), chunked, strict=True):
        options = {"chunks": (64, 100), "compression": "gzip"} if compressed else {}
        with h5py.File(path, "w") as file:
            file.create_dataset("w", data=values, **options)
    assert diff_weights("a.h5", "b.h5").equal
    with h5py.File("b.h5", "r+") as file:
        file["w"][1400, 499] = 9.0
        file["w"][3, 4] = 5.0
    (tensor,) = diff_weights("a.h5", "b.h5", workers=3).tensors
    assert tensor.gap is not None
    assert (tensor.gap.index, tensor.gap.other_value, tensor.gap.count) == ((1400, 499), 9.0, 2)


def test_big_endian_data_is_the_same_to_a_tolerance() -> None:
    values = RNG.normal(size=(15, 50)).astype("f4")
    for path, dtype in (("a.h5", "<f4"), ("b.h5", ">f4")):
        with h5py.File(path, "w") as file:
            file.create_dataset("w", data=values.astype(dtype))
    assert diff_weights("a.h5", "b.h5").equal


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (["a"], "--map: expected OLD=NEW with at most one * on each side, and perhaps :transpose "
         "or :(2,3,1,0), found 'a'"),
        (["=b"], "--map: expected OLD=NEW with at most one * on each side, and perhaps :transpose "
         "or :(2,3,1,0), found '=b'"),
        (["a*=b"], "--map: expected OLD=NEW with at most one * on each side, and perhaps "
         ":transpose or :(2,3,1,0), found 'a*=b'"),
        (["*a*=*b*"], "--map: expected OLD=NEW with at most one * on each side, and perhaps "
         ":transpose or :(2,3,1,0), found '*a*=*b*'"),
        (["q=b"], "--map: 'q' decides no name of the first file; known: a, b"),
        (["a=c", "*=c*:transpose"], None),
        (["a=b"], "--map: 'a' and 'b' would both be 'b'"),
        (["a=a:(0,2)"], "--map: 'a': [0, 2] is no order of the axes of shape [2, 3]"),
        (["a=a:(0)"], "--map: 'a': [0] is no order of the axes of shape [2, 3]"),
    ],
)  # fmt: skip
def test_maps_that_do_not_fit(maps: list[str], message: str | None, run: Run) -> None:
    save("a.safetensors", a=np.zeros((2, 3), "f4"), b=np.zeros(2, "f4"))
    flags = [part for text in maps for part in ("--map", text)]
    code, _, err = run("diff", "a.safetensors", "a.safetensors", *flags)
    assert (code, err) == ((1, "") if message is None else (2, f"glorot: {message}\n"))


def test_a_name_may_hold_a_colon() -> None:
    assert parse_rename("a:0=b:0") == Rename("a:0", "b:0")
    assert parse_rename("a=b:(1, 0)") == Rename("a", "b", (1, 0))


def test_what_numpy_cannot_read_is_compared_by_its_bytes(run: Run) -> None:
    header = json.dumps({"w": {"dtype": "F8_E8M0", "shape": [2], "data_offsets": [0, 2]}}).encode()
    Path("x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"ab")
    Path("y.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"ac")
    assert run("diff", "x.safetensors", "x.safetensors")[0] == 0
    code, out, _ = run("diff", "x.safetensors", "y.safetensors", "--json")
    assert code == 1
    (tensor,) = json.loads(out)["tensors"]
    assert (tensor["status"], tensor["index"], tensor["differing"]) == ("different", [1], 1)
    # What has no value has no distance, and no other order of axes.
    expected = (2, "", "glorot: x.safetensors: 'w': cannot read elements of dtype F8_E8M0\n")
    assert run("diff", "x.safetensors", "y.safetensors", "--tolerance", "1") == expected


@pytest.mark.parametrize("other", ["a.weights.h5", "a.safetensors"])
def test_what_keras_saved_is_compared_with_what_it_loaded(other: str, planned: Planned) -> None:
    plan = planned(**LAYERS)
    for path in ("saved.weights.h5", other):
        glorot.write_weights(plan, path)
    with h5py.File("saved.weights.h5", "r+") as file:
        del file.attrs["glorot"]  # Keras writes none
        file["layers/dense/vars/0"][0, 0] = 7.0
    for found in (diff_weights("saved.weights.h5", other), diff_weights(other, "saved.weights.h5")):
        assert statuses(found) == {
            "conv2d/kernel": "equal", "conv2d/bias": "equal",
            "dense/kernel": "different", "dense/bias": "equal",
        }  # fmt: skip


WHOLE = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"]


def diffed(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], tolerance: float | None) -> Diff:
    np.save("a.npy", a)
    np.save("b.npy", b)
    return diff_weights("a.npy", "b.npy", tolerance=tolerance, renames=[Rename("a", "b")])


@pytest.mark.parametrize("tolerance", [None, 0.0])
@pytest.mark.parametrize(
    ("dtypes", "value", "other", "apart"),
    [
        (("i8", "i8"), 2**53, 2**53 + 1, 1),
        (("u8", "u8"), 2**64 - 1, 2**64 - 2, 1),
        (("i8", "u8"), 2**53 + 1, 2**53, 1),
        (("i8", "u8"), -(2**63), 2**64 - 1, 2**64 - 1),
        (("i8", "u8"), -1, 2**64 - 1, 2**64 - 1),
        (("i8", "i8"), -(2**63), 2**63 - 1, 2**64 - 1),
        (("i8", "f8"), 2**53 + 1, 2.0**53, 1.0),
        (("f8", "i8"), 2.0**62, 2**62 - 1, 1.0),
        (("u8", "f4"), 2**64 - 1, 1.0, 2.0**64),
        (("i8", "f8"), -(2**60) - 3, -(2.0**60), 3.0),
        (("i8", "f8"), 3, 2.75, 0.25),
        (("i8", "f8"), 2, 2.75, 0.75),
        (("i1", "f2"), -128, 127.5, 255.5),
        (("?", "i1"), True, 2, 1),
    ],
)
def test_whole_numbers_are_compared_exactly(
    dtypes: tuple[str, str], value: float, other: float, apart: float, tolerance: float | None
) -> None:
    a, b = (np.array([7 if d != "?" else 0, v], d)
            for d, v in zip(dtypes, (value, other), strict=True))  # fmt: skip
    b[0] = a[0]
    found = diffed(a, b, tolerance)
    assert not found.equal
    gap = found.tensors[0].gap
    assert gap is not None
    assert (gap.largest, gap.index, gap.count, gap.beyond) == (apart, (1,), 1, 1)
    assert (gap.value, gap.other_value) == (value, other)
    assert diffed(a, a.astype(dtypes[0]), tolerance).equal


@pytest.mark.parametrize("dtype", WHOLE)
@pytest.mark.parametrize("other", [*WHOLE, "float32", "float64"])
def test_the_same_whole_numbers_are_equal_in_all_dtypes(dtype: str, other: str) -> None:
    values = np.array([0, 1])
    assert diffed(values.astype(dtype), values.astype(other), 0.0).equal


def test_a_tolerance_of_whole_numbers_is_exact_too() -> None:
    a, b = np.array([2**60, 5]), np.array([2**60 + 2**53 + 1, 5])
    assert not diffed(a, b, float(2**53)).equal
    assert diffed(a, b, float(2**53 + 2)).equal
    assert diffed(a, b, 1e300).equal
    assert not diffed(np.array([3]), np.array([5]), 1.5).equal
    assert diffed(np.array([3]), np.array([5]), 2.5).equal


def test_distances_are_those_of_fractions() -> None:
    """Compare 2,000 pairs near the bounds of all dtypes with exact arithmetic."""
    chance = random.Random(3)
    for _ in range(2000):
        x, y = (_near_a_bound(chance) for _ in range(2))
        exact = abs(Fraction(x.item()) - Fraction(y.item()))
        (off,) = distances(x.reshape(1), y.reshape(1))
        if off.dtype == np.uint64:
            assert int(off) == min(exact, 2**64 - 1)
        else:
            assert (off == 0) == (exact == 0)
            assert abs(Fraction(float(off)) - exact) <= exact * Fraction(1, 2**52)


def _near_a_bound(chance: random.Random) -> np.ndarray[Any, Any]:
    dtype = np.dtype(chance.choice(["i8", "u8", "i4", "f8", "f4"]))
    whole = chance.choice([0, 2**31, 2**53, 2**63, 2**64]) * chance.choice([1, -1])
    whole += chance.randrange(-3, 4)
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        return np.array(min(max(whole, int(bounds.min)), int(bounds.max)), dtype)
    return np.array(whole + chance.choice([0.0, 0.25, 0.5]), dtype)
