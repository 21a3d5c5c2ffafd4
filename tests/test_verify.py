"""Redrawing and comparing: every flipped bit is found, and what init wrote is accepted."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors.numpy

import glorot_cli as glorot
from glorot_cli.checks.evidence import judge_weights
from glorot_cli.checks.verify import Verification, verify_weights
from glorot_cli.dtypes import DTYPES
from glorot_cli.formats import FORMATS
from glorot_cli.formats.reading import read_headers
from glorot_cli.writing.checkpoint import Checkpoint

Planned = Callable[..., glorot.Plan]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


LAYERS: dict[str, Any] = {
    "input_shape": [6, 6, 3],
    "layers": [
        {"type": "Conv2D", "filters": 5, "kernel_size": 3, "kernel_initializer": "he_normal"},
        {"type": "Flatten"},
        {"type": "Dense", "units": 7, "bias_initializer": {"name": "constant", "value": 0.5}},
    ],
}  # fmt: skip
ENTRY = {"shape": [31, 7], "axes": "IO", "initializer": "glorot_uniform"}
ONE: dict[str, Any] = {"tensors": {"w": ENTRY}}
OUTPUTS = {
    "safetensors": "w.safetensors", "keras": "w.weights.h5", "h5": "w.h5", "npy": "w.npy",
    "npy-folder": "w/", "shards": "s/",
}  # fmt: skip
CASES = [
    (name, dtype)
    for name in OUTPUTS
    for dtype in FORMATS["safetensors" if name == "shards" else name].dtypes
    if dtype in DTYPES
]


def written(name: str, dtype: str, planned: Planned) -> glorot.Plan:
    plan = planned(**(ONE if name == "npy" else LAYERS), dtype=dtype)
    options: dict[str, Any] = {"max_shard_size": "1KB"} if name == "shards" else {}
    glorot.write_weights(plan, OUTPUTS[name], **options)
    return plan


def statuses(found: Verification) -> dict[str, str]:
    return {tensor.name: tensor.status for tensor in found.tensors}


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_one_flipped_bit_anywhere_is_found(name: str, dtype: str, planned: Planned) -> None:
    plan = written(name, dtype, planned)
    given = plan if name == "npy" else None
    path = OUTPUTS[name]
    good = verify_weights(path, given)
    assert good.equal
    assert set(statuses(good)) == {tensor.name for tensor in plan.tensors}
    file = read_headers(path)
    chance = random.Random(f"{name} {dtype}")
    for stored in file.tensors:
        itemsize = stored.nbytes // int(np.prod(stored.shape))
        ends = [0, 8 * stored.nbytes - 1]
        for bit in [*ends, *(chance.randrange(8 * stored.nbytes) for _ in range(3))]:
            assert stored.offset is not None
            place, where = stored.offset + bit // 8, Path(stored.path or file.path)
            with where.open("r+b") as raw:
                raw.seek(place)
                byte = raw.read(1)[0]
                raw.seek(place)
                raw.write(bytes([byte ^ (1 << bit % 8)]))
            (wrong,) = [t for t in verify_weights(path, given).tensors if t.status != "equal"]
            assert wrong.status == "different"
            assert wrong.difference is not None
            assert wrong.shape == stored.shape
            index = np.unravel_index(bit // 8 // itemsize, stored.shape)
            assert wrong.difference.index == tuple(int(i) for i in index)
            assert wrong.difference.count == 1
            flipped = int(wrong.difference.expected_bits, 16) ^ int(wrong.difference.found_bits, 16)
            assert flipped == 1 << (bit % (8 * itemsize))
            with where.open("r+b") as raw:
                raw.seek(place)
                raw.write(bytes([byte]))
    assert verify_weights(path, given).equal


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("initializer", ["glorot_uniform", "he_normal", "orthogonal"])
def test_a_bit_in_a_later_block_is_found(workers: int, initializer: str, planned: Planned) -> None:
    shape = [1500, 1100] if initializer != "orthogonal" else [4000, 150]
    plan = planned(
        tensors={
            "a": {"shape": [100], "initializer": "zeros"},
            "w": {"shape": shape, "axes": "IO", "initializer": initializer},
        }
    )
    glorot.write_weights(plan, "x.safetensors")
    assert verify_weights("x.safetensors", workers=workers).equal
    data = bytearray(Path("x.safetensors").read_bytes())
    data[-2] ^= 0x40
    Path("x.safetensors").write_bytes(data)
    found = verify_weights("x.safetensors", workers=workers)
    assert statuses(found) == {"a": "equal", "w": "different"}
    difference = found.tensors[1].difference
    assert difference is not None
    assert difference.index == (shape[0] - 1, shape[1] - 1)


def test_differences_in_several_blocks_are_counted_together(planned: Planned) -> None:
    plan = planned(tensors={"w": {**ENTRY, "shape": [1000, 1500]}})
    glorot.write_weights(plan, "w.safetensors")
    stored = read_headers("w.safetensors").tensors[0]
    assert stored.offset is not None
    with Path("w.safetensors").open("r+b") as file:
        for element in (7, 8, 1_000_000, 1_499_999):
            file.seek(stored.offset + 4 * element)
            file.write(b"\0\0\0\0")
    (found,) = verify_weights("w.safetensors").tensors
    assert found.difference is not None
    assert (found.difference.count, found.difference.index) == (4, (0, 7))


def test_orthogonal_kernels_may_differ_by_a_step_of_the_dtype(planned: Planned, run: Run) -> None:
    plan = planned(tensors={"q": {"shape": [20, 30], "axes": "IO", "initializer": "orthogonal"}})
    values = glorot.draw(plan, "q")
    glorot.write_weights(plan, "q.npy")
    np.save("q.npy", np.nextafter(values, np.float32(np.inf)))
    assert statuses(verify_weights("q.npy", plan)) == {"q": "within tolerance"}
    values[3, 4] *= np.float32(1 + 2e-6)
    np.save("q.npy", values)
    found = verify_weights("q.npy", plan)
    assert statuses(found) == {"q": "different"}
    assert found.tensors[0].difference is not None
    assert found.tensors[0].difference.index == (3, 4)


def test_what_is_missing_extra_or_of_another_shape_or_dtype(planned: Planned, run: Run) -> None:
    plan = planned(**LAYERS)
    arrays = {t.name: glorot.draw(plan, t.name) for t in plan.tensors}
    del arrays["dense/bias"]
    arrays["conv2d/bias"] = arrays["conv2d/bias"].astype("f8")
    arrays["dense/kernel"] = np.ascontiguousarray(arrays["dense/kernel"].T)
    arrays["rogue\x1b[31m"] = np.zeros(3, "f4")
    safetensors.numpy.save_file(arrays, "x.safetensors")
    Path("spec.json").write_text(json.dumps({"seed": 42, **LAYERS}))
    code, out, err = run("verify", "x.safetensors", "spec.json")
    assert (code, err) == (1, "")
    assert out == (
        "name           status   what\n"
        "conv2d/bias    dtype    expected float32, found float64\n"
        "dense/kernel   shape    expected (80, 7), found (7, 80)\n"
        "dense/bias     missing\n"
        "rogue\\x1b[31m  extra\n"
        "x.safetensors: not as drawn from seed 42: 1 dtype, 1 equal, 1 extra, 1 missing, 1 shape\n"
    )


def test_the_first_difference_is_named_with_both_values(planned: Planned, run: Run) -> None:
    entry = {"shape": [2, 3], "initializer": {"name": "constant", "value": 0.5}}
    plan = planned(tensors={"w": entry})
    glorot.write_weights(plan, "x.safetensors")
    data = bytearray(Path("x.safetensors").read_bytes())
    data[-4:] = b"\0\0\0\x80"
    data[-12:-8] = b"\0\0\xc0\x7f"
    Path("x.safetensors").write_bytes(data)
    code, out, err = run("verify", "x.safetensors")
    assert (code, err) == (1, "")
    assert out == (
        "name  status     what\n"
        "w     different  at [1, 0]: expected 0.5 (0x3f000000), found nan (0x7fc00000); "
        "2 of 6 elements differ\n"
        "x.safetensors: not as drawn from seed 42: 1 different\n"
    )
    code, out, err = run("verify", "x.safetensors", "--json")
    assert json.loads(out) == {
        "equal": False,
        "seed": 42,
        "tensors": [
            {
                "name": "w", "status": "different", "shape": [2, 3], "dtype": "float32",
                "found_shape": [2, 3], "found_dtype": "float32", "index": [1, 0], "expected": 0.5,
                "found": None, "expected_bits": "0x3f000000", "found_bits": "0x7fc00000",
                "differing": 2,
            }
        ],
        "unchecked": 0,
    }  # fmt: skip
    assert run("verify", "x.safetensors", "--quiet") == (1, "", "")


def test_a_good_file_exits_with_0(planned: Planned, run: Run) -> None:
    glorot.write_weights(planned(**LAYERS), "w.weights.h5")
    assert run("verify", "w.weights.h5") == (
        0, "w.weights.h5: as drawn from seed 42: 4 equal\n", ""
    )  # fmt: skip
    assert run("verify", "w.weights.h5", "--quiet") == (0, "", "")
    code, out, _ = run("verify", "w.weights.h5", "--all")
    assert code == 0
    assert "dense/kernel   equal\n" in out
    code, out, _ = run("verify", "w.weights.h5", "--json")
    assert (code, json.loads(out)["equal"]) == (0, True)


def test_a_spec_is_compared_with_its_own_seed(planned: Planned, run: Run) -> None:
    glorot.write_weights(planned(**LAYERS), "w.h5")
    Path("spec.json").write_text(json.dumps(LAYERS))
    assert run("verify", "w.h5", "spec.json")[0] == 0  # the seed is the provenance's
    assert run("verify", "w.h5", "spec.json", "--seed", "42")[0] == 0
    assert run("verify", "w.h5", "spec.json", "--seed", "43")[0] == 1
    assert run("verify", "w.h5", "spec.json", "--dtype", "float64")[0] == 1
    with h5py.File("w.h5", "r+") as file:
        del file.attrs["glorot"]
    assert run("verify", "w.h5", "spec.json", "--seed", "42")[0] == 0
    assert run("verify", "w.h5", "spec.json") == (
        2, "",
        "glorot: the spec has no seed, so nothing can be drawn again; "
        "give --seed, or check the laws alone with --statistics\n",
    )  # fmt: skip
    assert run("verify", "w.h5") == (
        2, "",
        "glorot: w.h5 does not say which spec made it; give the spec, "
        "as in glorot verify FILE SPEC\n",
    )  # fmt: skip
    assert run("verify", "w.h5", "--seed", "3") == (
        2, "", "glorot: --seed, --rng, --dtype, --set and --init change a spec, and none is given\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spec": 3}, "its spec is no mapping"),
        ({"spec": None}, "it holds no spec"),
        ({"stream": {"name": "aes-ctr", "version": 99}},
         "drawn by the stream 'aes-ctr', version 99; this version draws by the stream 'aes-ctr', "
         "version 1"),
        ({"stream": None},
         "it names no stream; this version draws by the stream 'aes-ctr', version 1"),
        ({"stream": ["aes-ctr", 1]},
         "it names the stream ['aes-ctr', 1], no mapping; this version draws by the stream "
         "'aes-ctr', version 1"),
        ({"stream": {"name": "aes-ctr"}}, "its stream lacks 'version', here 1"),
        ({"stream": {"name": "aes-ctr", "version": 1, "claims": "x"}},
         "its stream has 'claims', which this version does not know"),
        ({"stream": {"name": "aes-ctr", "version": True}},
         "its stream's version is true, here 1"),
        ({"spec": {"seed": 1, "tensors": {"w": {"shape": [0]}}}}, None),
        ({"spec": ONE}, "its spec has no seed"),
    ],
)  # fmt: skip
def test_a_provenance_that_cannot_be_drawn_again(
    change: dict[str, Any], message: str | None, planned: Planned
) -> None:
    plan = planned(**ONE)
    claim = {"format": 1, "spec": plan.spec, "stream": {"name": "aes-ctr", "version": 1}, **change}
    arrays = {"w": glorot.draw(plan, "w")}
    safetensors.numpy.save_file(arrays, "x.safetensors", {"glorot": json.dumps(claim)})
    with pytest.raises(glorot.GlorotError) as caught:
        verify_weights("x.safetensors")
    assert str(caught.value).startswith("x.safetensors: its provenance: " + (message or ""))


def test_chunked_compressed_and_big_endian_data_is_compared_too(planned: Planned) -> None:
    plan = planned(tensors={"w": {"shape": [900, 700], "axes": "IO", "initializer": "he_uniform"}})
    values = glorot.draw(plan, "w")
    for options in ({"chunks": (100, 64), "compression": "gzip"}, {"dtype": ">f4"}):
        with h5py.File("w.h5", "w") as file:
            file.create_dataset("w", data=values, **options)
        assert verify_weights("w.h5", plan).equal
        with h5py.File("w.h5", "r+") as file:
            file["w"][899, 1] = 0.0
        (tensor,) = verify_weights("w.h5", plan).tensors
        assert tensor.difference is not None
        assert tensor.difference.index == (899, 1)


def test_what_was_kept_from_a_base_checkpoint_is_not_drawn(planned: Planned, run: Run) -> None:
    glorot.write_weights(planned(seed=1, **LAYERS), "old.safetensors")
    base = Checkpoint.read("old.safetensors", ("dense/*",))
    glorot.write_weights(planned(seed=2, **LAYERS), "new.safetensors", base=base)
    assert run("verify", "new.safetensors") == (
        0,
        "new.safetensors: as drawn from seed 2: 2 equal; "
        "2 of 4 not checked: kept from a base (conv2d/kernel, conv2d/bias)\n",
        "",
    )
    _, out, _ = run("verify", "new.safetensors", "--all")
    assert out == (
        "name           status     what\n"
        "conv2d/kernel  not drawn  "
        "kept from a base, so only its shape and dtype are compared\n"
        "conv2d/bias    not drawn  "
        "kept from a base, so only its shape and dtype are compared\n"
        "dense/kernel   equal\n"
        "dense/bias     equal\n"
        "new.safetensors: as drawn from seed 2: 2 equal; "
        "2 of 4 not checked: kept from a base (conv2d/kernel, conv2d/bias)\n"
    )
    code, out, _ = run("verify", "new.safetensors", "--json")
    document = json.loads(out)
    assert (code, document["equal"], document["unchecked"]) == (0, True, 2)
    assert run("verify", "new.safetensors", "--strict")[0] == 1
    assert run("verify", "new.safetensors", "--strict", "--statistics")[0] == 1
    assert run("verify", "new.safetensors", "--statistics")[1].endswith(
        "; 2 of 4 not checked: kept from a base (conv2d/kernel, conv2d/bias)\n"
    )


def test_with_a_spec_the_file_says_nothing_of_what_was_kept(planned: Planned, run: Run) -> None:
    glorot.write_weights(planned(seed=1, **LAYERS), "old.safetensors")
    base = Checkpoint.read("old.safetensors", ("dense/*",))
    glorot.write_weights(planned(seed=2, **LAYERS), "new.safetensors", base=base)
    Path("spec.json").write_text(json.dumps({"seed": 2, **LAYERS}))
    code, out, _ = run("verify", "new.safetensors", "spec.json", "--json")
    assert code == 1
    found = {t["name"]: t["status"] for t in json.loads(out)["tensors"]}
    assert found == {
        "conv2d/kernel": "different", "conv2d/bias": "equal",
        "dense/kernel": "equal", "dense/bias": "equal",
    }  # fmt: skip
    kept = ["verify", "new.safetensors", "--spec", "spec.json", "--kept", "conv2d/*"]
    assert run(*kept) == (
        0,
        "new.safetensors: as drawn from seed 2: 2 equal; "
        "2 of 4 not checked: named by --kept (conv2d/kernel, conv2d/bias)\n",
        "",
    )
    assert run(*kept, "--strict")[0] == 1
    assert run(*kept, "--kept", "conv3d/*") == (
        2, "",
        "glorot: --kept: 'conv3d/*' matches no tensor of the spec; did you mean 'conv2d/bias'?\n",
    )  # fmt: skip


def claiming(claim: dict[str, Any], arrays: dict[str, Any], path: str = "x.safetensors") -> None:
    """Write arrays with a provenance that says what it likes."""
    stream = {"name": "aes-ctr", "version": 1}
    text = json.dumps({"format": 1, "stream": stream, **claim})
    safetensors.numpy.save_file(arrays, path, {"glorot": text})


@pytest.mark.parametrize("base", [{"only": []}, {}, {"only": None}, {"only": ["x*"]}])
@pytest.mark.parametrize("statistics", [(), ("--statistics",)])
def test_no_file_can_switch_its_check_off(
    base: dict[str, Any], statistics: tuple[str, ...], planned: Planned, run: Run
) -> None:
    spec = {"seed": 42, **ONE}
    claiming({"spec": spec, "base": base}, {"w": np.zeros((31, 7), np.float32)})
    Path("spec.json").write_text(json.dumps(spec))
    code, out, _ = run("verify", "x.safetensors", "spec.json", "--json", *statistics)
    document = json.loads(out)
    assert (code, document["equal"], document["unchecked"]) == (1, False, 0)
    assert document["tensors"][0]["status"] in ("different", "alarm")
    code, out, _ = run("verify", "x.safetensors", "--json", *statistics)
    document = json.loads(out)
    assert (code, document["equal"], document["unchecked"]) == (1, False, 1)
    if not statistics:
        assert run("verify", "x.safetensors")[:2] == (
            1,
            "x.safetensors: not shown to be drawn from seed 42: none checked; "
            "1 of 1 not checked: kept from a base (w)\n",
        )


def test_a_file_decides_nothing_but_the_seed_of_a_spec_without_one(
    planned: Planned, run: Run
) -> None:
    values = glorot.draw(planned(seed=7, **ONE), "w")
    spec = {"seed": 7, "rng": "torch", "tensors": {"v": {"shape": [1], "initializer": "ones"}}}
    claiming({"spec": spec, "stream": 5, "base": {"only": []}}, {"w": values})
    Path("spec.json").write_text(json.dumps(ONE))
    assert run("verify", "x.safetensors", "spec.json") == (
        0, "x.safetensors: as drawn from seed 7, the file's own: 1 equal\n", ""
    )  # fmt: skip
    dense = {"type": "Dense", "units": 2}
    keras = {"rng": "keras-numpy", "input_shape": [3], "layers": [dense]}
    Path("keras.json").write_text(json.dumps(keras))
    claiming({"spec": {"seed": 2**40}}, {"w": values})
    code, out, err = run("verify", "x.safetensors", "keras.json")
    assert (code, out) == (2, "")
    assert err.startswith("glorot: x.safetensors: the seed in its provenance: ")


def test_a_provenance_of_many_globs_is_not_worked_through(planned: Planned) -> None:
    names = [f"w{i}" for i in range(2000)]
    spec = {"seed": 1, "tensors": {n: {"shape": [1], "initializer": "ones"} for n in names}}
    globs = [f"*{i}*x" for i in range(40_000)]
    claiming({"spec": spec, "base": {"only": globs}}, {n: np.ones(1, np.float32) for n in names})
    with pytest.raises(glorot.FormatError) as caught:
        verify_weights("x.safetensors")
    assert str(caught.value) == (
        "x.safetensors: its provenance: 40,000 globs are too many for 2,000 tensors"
    )
    glorot.inspect_weights("x.safetensors", headers=True)


def test_two_planned_tensors_at_one_place_are_not_both_found(planned: Planned) -> None:
    glorot.write_weights(planned(**LAYERS), "w.weights.h5")
    place = {"layers/dense/vars/1": {"shape": [7], "initializer": "ones"}}
    found = verify_weights("w.weights.h5", planned(**LAYERS, tensors=place))
    assert not found
    assert statuses(found) == {
        "conv2d/kernel": "equal", "conv2d/bias": "equal", "dense/kernel": "equal",
        "dense/bias": "equal", "layers/dense/vars/1": "missing",
    }  # fmt: skip


def test_what_is_found_is_true_only_if_it_is_equal(planned: Planned) -> None:
    glorot.write_weights(planned(**ONE), "a.safetensors")
    glorot.write_weights(planned(seed=3, **ONE), "b.safetensors")
    assert verify_weights("a.safetensors")
    assert not verify_weights("a.safetensors", planned(seed=3, **ONE))
    assert glorot.diff_weights("a.safetensors", "a.safetensors")
    assert not glorot.diff_weights("a.safetensors", "b.safetensors")
    assert judge_weights("a.safetensors")
    he = {"w": {**ENTRY, "initializer": "he_uniform"}}
    assert not judge_weights("a.safetensors", planned(tensors=he))


def test_whole_numbers_are_told_exactly(planned: Planned, run: Run) -> None:
    counter = {"shape": [1], "dtype": "int64", "initializer": {"name": "constant", "value": 5}}
    plan = planned(tensors={"n": counter})
    np.save("n.npy", np.array([2**53 + 1]))
    (found,) = verify_weights("n.npy", plan).tensors
    assert found.difference is not None
    assert (found.difference.expected, found.difference.found) == (5, 2**53 + 1)


def test_several_files_have_a_line_each(planned: Planned, run: Run) -> None:
    glorot.write_weights(planned(**ONE), "a.safetensors")
    glorot.write_weights(planned(seed=3, **ONE), "b.safetensors")
    Path("a.yaml").write_text(json.dumps({"seed": 42, **ONE}))
    a, b = "a.safetensors: as drawn from seed 42: 1 equal\n", "b.safetensors: as drawn from seed 3"
    assert run("verify", "a.safetensors", "b.safetensors") == (0, f"{a}{b}: 1 equal\n", "")
    code, out, err = run("verify", "a.safetensors", "b.safetensors", "--spec", "a.yaml")
    assert (code, err) == (1, "")
    assert out.startswith(a)
    assert out.endswith("b.safetensors: not as drawn from seed 42: 1 different\n")
    code, out, err = run("verify", "lost.h5", "b.safetensors", "a.safetensors", "--spec", "a.yaml")
    assert (code, err) == (2, "glorot: cannot read lost.h5: there is no such file\n")
    assert out.endswith(a)
    code, out, _ = run("verify", "lost.h5", "b.safetensors", "a.safetensors", "--json")
    document = json.loads(out)
    assert code == 2
    assert document["equal"] is False
    for each in document["files"][1:]:
        (tensor,) = each.pop("tensors")
        assert (tensor["name"], tensor["status"]) == ("w", "equal")
    assert document["files"] == [
        {"path": "lost.h5", "error": "cannot read lost.h5: there is no such file",
         "equal": False, "seed": None, "tensors": [], "unchecked": 0},
        {"path": "b.safetensors", "error": None, "equal": True, "seed": 3, "unchecked": 0},
        {"path": "a.safetensors", "error": None, "equal": True, "seed": 42, "unchecked": 0},
    ]  # fmt: skip
    code, out, _ = run("verify", "a.safetensors", "a.safetensors", "--json", "--statistics")
    assert (code, [sorted(each) for each in json.loads(out)["files"]]) == (
        0, [["equal", "error", "false_alarm", "path", "tensors", "unchecked"]] * 2
    )  # fmt: skip


def test_only_a_text_is_ever_the_spec_of_two_arguments(planned: Planned, run: Run) -> None:
    plan = planned(**LAYERS)
    Path("other").mkdir()
    spec = json.dumps({"seed": 42, **LAYERS})
    for name in ("w.safetensors", "w.weights.h5", "w.h5", "w/", "s/"):
        glorot.write_weights(plan, name, max_shard_size="1KB" if name == "s/" else None)
    np.savez("w.npz", w=np.zeros(3))
    shutil.copy("w.safetensors", "weights.yaml")
    for weights in ("w.weights.h5", "w.h5", "w", "s", "s/model.safetensors.index.json",
                    "weights.yaml"):  # fmt: skip
        shutil.copy("w.safetensors", "first.safetensors")
        code, out, err = run("verify", "first.safetensors", weights)
        assert (code, err, out.count("as drawn from seed 42: 4 equal\n")) == (0, "", 2)
    assert run("verify", "w.safetensors", "w.npz")[0] == 2  # which names no spec of its own
    for name in ("spec.yaml", "spec", "spec.h5", "spec.safetensors", "spec.json"):
        Path(name).write_text(spec)
        code, out, err = run("verify", "w.safetensors", name)
        assert (code, out, err) == (0, "w.safetensors: as drawn from seed 42: 4 equal\n", "")
    Path("link.npy").symlink_to("spec.yaml")
    assert run("verify", "w.safetensors", "link.npy")[:2] == (code, out)
    # Of three, none is a spec.
    code, out, err = run("verify", "w.safetensors", "w.h5", "spec.yaml")
    assert (code, out.count("4 equal")) == (2, 2)
    assert err.startswith("glorot: spec.yaml: expected a weight file, found text")


@pytest.mark.parametrize("name", ["config.json", "model"])
def test_a_keras_models_configuration_is_a_spec_of_two_arguments(
    name: str, planned: Planned, run: Run
) -> None:
    dense = {"class_name": "Dense", "config": {"name": "d", "units": 3}}
    entry = {"class_name": "InputLayer", "config": {"batch_shape": [None, 4], "name": "in"}}
    model = {"class_name": "Sequential", "config": {"name": "s", "layers": [entry, dense]}}
    Path(name).write_text(json.dumps(model))
    plan = planned(input_shape=[4], layers=[{"type": "Dense", "name": "d", "units": 3}])
    glorot.write_weights(plan, "w.h5")
    assert run("verify", "w.h5", name) == (
        0, "w.h5: as drawn from seed 42, the file's own: 2 equal\n", ""
    )  # fmt: skip
    assert run("verify", "w.h5", "--spec", name, "--seed", "1")[0] == 1


def test_a_spec_that_is_wrong_is_pointed_into(planned: Planned, run: Run) -> None:
    glorot.write_weights(planned(**ONE), "w.safetensors")
    Path("spec.txt").write_text("tensors:\n  w: {shape: [31, 7], initialiser: ones}\n")
    code, out, err = run("verify", "w.safetensors", "spec.txt")
    assert (code, out) == (2, "")
    assert err.startswith("glorot: spec.txt:2:23: tensors.w.initialiser: ")


@pytest.mark.parametrize("command", ["verify", "diff"])
def test_a_folder_that_holds_no_weights_is_not_walked(
    command: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def walked(self: Path, pattern: str) -> None:
        raise AssertionError(f"{self} is walked")

    monkeypatch.setattr(Path, "rglob", walked)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    other = ["/"] if command == "diff" else []
    assert run(command, "/", *other) == (
        2, "", "glorot: / is a folder without a manifest.json\n"
    )  # fmt: skip


def test_a_variable_with_two_places_is_found_at_either(planned: Planned) -> None:
    layer = {"type": "LSTM", "units": 3}
    plan = planned(input_shape=[4, 2], layers=[{"type": "Bidirectional", "layer": layer}])
    glorot.write_weights(plan, "w.weights.h5")
    assert verify_weights("w.weights.h5").equal


def test_shards_missing_a_file_are_a_mistake(planned: Planned, run: Run) -> None:
    written("shards", "float32", planned)
    first = sorted(Path("s").glob("*.safetensors"))[0]
    shutil.move(first, "elsewhere")
    code, out, err = run("verify", "s")
    assert (code, out) == (2, "")
    assert err == (
        f"glorot: s/model.safetensors.index.json: expected a file beside it, found '{first.name}'\n"
    )


def test_a_file_that_ends_early_is_a_mistake(planned: Planned) -> None:
    plan = planned(**ONE)
    glorot.write_weights(plan, "w.npy")
    file = read_headers("w.npy")
    Path("w.npy").write_bytes(Path("w.npy").read_bytes()[:-4])
    from glorot_cli.formats.blocks import each_block

    with pytest.raises(glorot.FormatError, match=r"^w\.npy: 'w': the file ends too early$"):
        each_block(file, file.tensors, lambda block: None)


@pytest.mark.parametrize(
    "rng", ["torch", "keras-numpy", "keras-jax", "keras-torch", "keras-tensorflow"]
)
def test_every_stream_is_drawn_again_whatever_the_order_of_blocks(
    rng: str, planned: Planned
) -> None:
    if rng == "torch":
        sizes = [(900, 800), (800, 3)]
        layers = [{"type": "Linear", "in_features": a, "out_features": b} for a, b in sizes]
        plan = planned(rng=rng, dialect="torch", layers=layers)
    else:
        layers = [{"type": "Dense", "units": 800, "seed": 5}, {"type": "Dense", "units": 3}]
        plan = planned(rng=rng, input_shape=[900], layers=layers)
    glorot.write_weights(plan, "x.safetensors")
    assert verify_weights("x.safetensors", workers=3).equal
    data = bytearray(Path("x.safetensors").read_bytes())
    data[-4 * 2000] ^= 1
    Path("x.safetensors").write_bytes(data)
    wrong = [t for t in verify_weights("x.safetensors", workers=3).tensors if t.difference]
    assert [t.difference.count for t in wrong if t.difference] == [1]


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize("name", ["s.yaml", "w.safetensors", "config.json"])
def test_a_git_lfs_pointer_is_neither_spec_nor_weights(run: Run, name: str, tmp_path: Path) -> None:
    good, pointer = tmp_path / "good.json", tmp_path / name
    good.write_text('{"a": [4]}', encoding="utf-8")
    pointer.write_text(POINTER, encoding="utf-8")
    out = tmp_path / "out.safetensors"
    assert run("init", good, "-o", out, "--seed", 1)[0] == 0
    hint = "it is a Git LFS pointer in place of the file; get the file with git lfs pull\n"
    assert run("verify", out, pointer) == (2, "", f"glorot: {pointer}:1:1: {hint}")
    assert run("plan", pointer) == (2, "", f"glorot: {pointer}:1:1: {hint}")
    assert run("verify", pointer) == (2, "", f"glorot: {pointer}: {hint}")
    assert run("init", good, "-o", tmp_path / "n.safetensors", "--base", pointer) == (
        2,
        "",
        f"glorot: {pointer}: {hint}",
    )
