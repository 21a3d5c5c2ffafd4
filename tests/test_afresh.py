"""Old files started afresh by the commands: what is guessed, kept, overridden and refused."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from glorot_cli.formats.reading import read_headers

Run = Callable[..., tuple[int, str, str]]
Array = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def save(**arrays: Array) -> None:
    named = {name.replace("__", "."): array for name, array in arrays.items()}
    safetensors.numpy.save_file(named, "old.safetensors", {"format": "pt", "author": "someone"})


def load(path: str = "new.safetensors") -> dict[str, Array]:
    return safetensors.numpy.load_file(path)


def old_model(**more: Array) -> None:
    random = np.random.default_rng(0)
    save(
        fc__weight=random.normal(size=(8, 16)).astype("f4"),
        fc__bias=random.normal(size=8).astype("f4"),
        norm__weight=random.normal(size=8).astype("f4"),
        norm__bias=random.normal(size=8).astype("f4"),
        **more,
    )


INV_FREQ = (1.0 / 10000 ** np.linspace(0, 1, 8)).astype("f4")


def test_what_is_not_drawn_keeps_its_bytes(run: Run) -> None:
    old_model(rotary__inv_freq=INV_FREQ, ids=np.arange(5), flags=np.array([3, 1], "u4"))
    code, out, err = run("init", "old.safetensors", "-o", "new.safetensors", "--seed", "1")
    assert code == 0
    assert err == (
        "note: 3 of 7 tensors kept from old.safetensors: flags, ids, rotary.inv_freq\n"
        "note: guessed by name: 1 bias torch_bias (convention of torch), 1 kernel "
        "kaiming_uniform(a sqrt(5)) (convention of torch), 1 bias zeros, 1 scale ones, 3 kept; "
        "glorot spec shows them all\n"
    )
    old, new = load("old.safetensors"), load()
    for name in ("rotary.inv_freq", "ids", "flags"):
        assert new[name].tobytes() == old[name].tobytes()
        assert new[name].dtype == old[name].dtype
    assert not np.array_equal(new["fc.weight"], old["fc.weight"])
    assert np.abs(new["fc.weight"]).max() <= 0.25
    assert np.abs(new["fc.bias"]).max() <= 0.25
    assert new["norm.weight"].tolist() == [1.0] * 8
    row = next(line for line in out.splitlines() if line.startswith("rotary.inv_freq"))
    assert " kept " in row
    assert f"{INV_FREQ.max():.4g}" in row
    with safetensors.safe_open("new.safetensors", "numpy") as file:
        assert file.metadata()["author"] == "someone"
        assert file.metadata()["format"] == "pt"
    assert run("verify", "new.safetensors", "--quiet")[0] == 0


def test_a_spec_says_keep_and_needs_a_base(run: Run) -> None:
    old_model(rotary__inv_freq=INV_FREQ)
    code, out, err = run("spec", "old.safetensors")
    assert code == 0
    assert "  - rotary.inv_freq: {shape: [8], keep: true}\n" in out or (
        "rotary.inv_freq: {shape: [8], keep: true}" in out
    )
    assert err.startswith("note: guessed by name: ")
    assert err.endswith(", 1 kept\n")
    Path("s.yaml").write_text(out, "utf-8")
    assert run("init", "s.yaml", "-o", "new.safetensors") == (
        2,
        "",
        "glorot: the spec keeps rotary.inv_freq as in an older file: give it with --base FILE\n",
    )
    assert not Path("new.safetensors").exists()
    code, _, err = run("init", "s.yaml", "--base", "old.safetensors", "-o", "new.safetensors")
    assert code == 0
    assert "note: 1 of 5 tensors kept from old.safetensors: rotary.inv_freq\n" in err
    assert load()["rotary.inv_freq"].tobytes() == INV_FREQ.tobytes()
    assert not np.array_equal(load()["fc.weight"], load("old.safetensors")["fc.weight"])
    # A spec checks the rest, and a drawn tensor only has keys of the drawing.
    assert run("verify", "new.safetensors", "--quiet")[0] == 0
    Path("s.yaml").write_text("tensors: {a: {shape: [2], keep: true, axes: O}}\n", "utf-8")
    assert run("plan", "s.yaml")[2] == (
        "glorot: s.yaml:1:39: tensors.a.axes: a tensor that is kept is not drawn, so it takes no "
        "axes\n"
    )
    Path("s.yaml").write_text("tensors: {a: {shape: [0], initializer: ones}}\n", "utf-8")
    assert "expected a positive integer below 2**40, found 0" in run("plan", "s.yaml")[2]
    Path("s.yaml").write_text("tensors: {a: {shape: [2], dtype: F4}}\n", "utf-8")
    assert "elements of F4 are not drawn; keep the tensor of a file" in run("plan", "s.yaml")[2]


def test_an_optimizer_s_state_is_left_out_kept_or_dropped(run: Run) -> None:
    moments = np.full((8, 16), 0.5, "f4")
    old_model(state__0__exp_avg_sq=moments, state__0__step=np.array(7.0, "f4"))
    left = "note: left out: 2 tensors of an optimizer's state (state.0.exp_avg_sq, state.0.step)\n"
    code, _, err = run("init", "old.safetensors", "-o", "new.safetensors")
    assert code == 0
    assert left in err
    assert len(load()) == 4
    code, _, err = run(
        "init", "old.safetensors", "--base", "old.safetensors", "--only", "fc.*",
        "--optimizer", "keep", "-o", "kept.safetensors",
    )  # fmt: skip
    assert code == 0
    assert "left out" not in err
    assert load("kept.safetensors")["state.0.exp_avg_sq"].tobytes() == moments.tobytes()
    code, _, err = run(
        "init", "old.safetensors", "--base", "old.safetensors", "--only", "fc.*",
        "--optimizer", "drop", "-o", "dropped.safetensors",
    )  # fmt: skip
    assert code == 0
    assert left in err
    assert len(load("dropped.safetensors")) == 4
    assert run("init", "old.safetensors", "--optimizer", "keep", "-o", "x.safetensors")[2] == (
        "glorot: --optimizer needs --base, the file whose optimizer's state it is\n"
    )


def test_an_optimizer_s_state_is_not_extra_to_statistics(run: Run) -> None:
    spec = {"seed": 1, "tensors": {"fc.weight": {"shape": [64, 32], "axes": "OI",
            "initializer": "glorot_uniform"}}}  # fmt: skip
    Path("s.json").write_text(json.dumps(spec), "utf-8")
    assert run("init", "s.json", "-o", "a.safetensors", "-q")[0] == 0
    arrays = load("a.safetensors")
    arrays["state.0.exp_avg"] = np.zeros((64, 32), "f4")
    safetensors.numpy.save_file(arrays, "b.safetensors")
    assert run("verify", "b.safetensors", "--spec", "s.json", "--statistics", "-q")[0] == 0
    assert run("verify", "b.safetensors", "--spec", "s.json", "-q")[0] == 1


def test_quantised_weights_cannot_be_started_afresh(run: Run) -> None:
    save(q__qweight=np.zeros((4, 4), "i4"), q__scales=np.ones((1, 4), "f2"),
         q__g_idx=np.zeros(4, "i4"), norm__weight=np.ones(4, "f4"))  # fmt: skip
    assert run("init", "old.safetensors", "-o", "new.safetensors") == (
        2,
        "",
        "glorot: old.safetensors holds quantised weights, 3 tensors (q.g_idx, q.qweight, "
        "q.scales): they cannot be drawn, so it cannot be started afresh; start from the model "
        "that was quantised\n",
    )
    code, out, _ = run("spec", "old.safetensors")
    assert code == 0
    assert out.count("keep: true") == 3
    code, *_ = run(
        "init", "old.safetensors", "--base", "old.safetensors", "--only", "norm.*",
        "-o", "new.safetensors", "-q",
    )  # fmt: skip
    assert code == 0


def test_overrides_come_before_all_else(run: Run) -> None:
    old_model(counter=np.array(3))
    code, out, err = run(
        "init", "old.safetensors", "--init", "*.weight={name: normal, std: 0.5}",
        "--init", "*.bias=ones", "--init", "fc.*=zeros", "--seed", "1", "-o", "new.safetensors",
        "--json",
    )  # fmt: skip
    assert code == 2
    assert err == (
        "glorot: --init: fc.*: the rule 'fc.*' decides no tensor: 'fc.bias' (and 1 more) is "
        "decided by the override '*.bias'\n"
    )
    code, out, err = run(
        "init", "old.safetensors", "--init", "fc.weight={name: normal, std: 0.5}",
        "--init", "*.bias=ones", "--seed", "1", "-o", "new.safetensors", "--json",
    )  # fmt: skip
    assert code == 0
    decided = {t["name"]: (t["initializer"], t["decided_by"]) for t in json.loads(out)["tensors"]}
    assert decided["fc.weight"] == ("normal", "the override 'fc.weight'")
    assert decided["norm.bias"] == decided["fc.bias"] == ("ones", "the override '*.bias'")
    # What an override decides is no guess.
    assert "guessed by name: 1 scale ones, 1 kept" in err
    with safetensors.safe_open("new.safetensors", "numpy") as file:
        claim = json.loads(file.metadata()["glorot"])
    assert claim["spec"]["overrides"] == [
        {"fc.weight": {"name": "normal", "std": 0.5}}, {"*.bias": "ones"},
    ]  # fmt: skip
    assert run("verify", "new.safetensors", "-q")[0] == 0
    # Before an entry's own keys, and before those of the spec itself.
    spec = {"seed": 1, "overrides": [{"a": "ones"}],
            "tensors": {"a": {"shape": [2], "initializer": "zeros"}}}  # fmt: skip
    Path("s.json").write_text(json.dumps(spec), "utf-8")
    assert json.loads(run("plan", "s.json", "--json")[1])["tensors"][0]["initializer"] == "ones"
    code, out, _ = run("plan", "s.json", "--json", "--init", "?=normal")
    assert (code, out) == (2, "")
    layers = {"input_shape": [4], "layers": [{"type": "Dense", "units": 3}]}
    Path("l.json").write_text(json.dumps(layers), "utf-8")
    code, out, _ = run("plan", "l.json", "--json", "--init", "*/kernel=he_normal")
    assert [t["initializer"] for t in json.loads(out)["tensors"]] == ["he_normal", "zeros"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--init", "a"], "--init: expected a glob and an initializer such as '*/kernel=he_normal'"
         ", found 'a'"),
        (["--init", "x.*=ones"], "the rule 'x.*' matches no tensor"),
        (["--init", "fc.weight=nope"], "unknown initializer 'nope'"),
        (["--init", "fc.weight=3"], "expected an initializer's name or a mapping with its name"),
        (["--start", "mlx"], "--start: expected keras, torch, jax, as-found, found 'mlx'"),
        (["--strict"], "--strict: guessed by name: 1 bias torch_bias (convention of torch)"),
    ],
)  # fmt: skip
def test_mistakes_of_options(options: list[str], message: str, run: Run) -> None:
    old_model()
    code, out, err = run("init", "old.safetensors", "-o", "new.safetensors", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert not Path("new.safetensors").exists()


def test_strict_allows_what_is_said(run: Run) -> None:
    save(a__weight=np.ones((4, 4), "f4"))
    command = ["init", "old.safetensors", "-o", "new.safetensors", "--strict", "-q"]
    assert run(*command)[0] == 2
    assert run(*command, "--init", "*=he_normal")[0] == 0


@pytest.mark.parametrize(
    ("start", "kernel", "bias"),
    [("keras", "glorot_uniform", "zeros"), ("torch", "kaiming_uniform", "torch_bias"),
     ("jax", "lecun_normal", "zeros")],
)  # fmt: skip
def test_a_start_is_chosen(start: str, kernel: str, bias: str, run: Run) -> None:
    old_model()
    code, out, err = run("plan", "old.safetensors", "--start", start, "--json")
    assert code == 0
    names = {t["name"]: t["initializer"] for t in json.loads(out)["tensors"]}
    assert (names["fc.weight"], names["fc.bias"], names["norm.bias"]) == (kernel, bias, "zeros")
    assert f"(convention of {start})" in err


def test_a_fresh_start_is_found_in_the_file(run: Run) -> None:
    spec = {
        "seed": 3,
        "tensors": {
            "a.weight": {"shape": [200, 100], "axes": "OI", "initializer": "he_normal"},
            "b.weight": {"shape": [100, 100], "axes": "OI",
                         "initializer": {"name": "normal", "std": 0.02}},
            "c.weight": {"shape": [64, 64], "axes": "OI", "initializer": "orthogonal"},
            "a.bias": {"shape": [200], "initializer": {"name": "constant", "value": 0.1}},
        },
    }  # fmt: skip
    Path("s.json").write_text(json.dumps(spec), "utf-8")
    assert run("init", "s.json", "-o", "ours.safetensors", "-q")[0] == 0
    safetensors.numpy.save_file(load("ours.safetensors"), "old.safetensors")
    code, out, _ = run("plan", "old.safetensors", "--start", "as-found", "--json")
    assert code == 0
    tensors = {t["name"]: t for t in json.loads(out)["tensors"]}
    assert abs(tensors["a.weight"]["expected_std"] - 0.1414) < 0.002
    assert abs(tensors["b.weight"]["expected_std"] - 0.02) < 0.0005
    assert tensors["c.weight"]["initializer"] == "orthogonal"
    assert tensors["a.bias"]["arguments"]["value"] == pytest.approx(0.1)
    trained = np.random.default_rng(0).standard_t(2, size=(200, 100)).astype("f4")
    save(a__weight=trained)
    assert run("plan", "old.safetensors", "--start", "as-found")[2] == (
        "glorot: --start as-found: old.safetensors is no fresh start: no known distribution fits "
        "a.weight; choose keras, torch or jax\n"
    )


def test_a_file_that_says_how_it_starts_takes_no_start(run: Run) -> None:
    Path("s.yaml").write_text("seed: 1\ntensors: {a: [2, 3]}\n", "utf-8")
    assert run("init", "s.yaml", "-o", "ours.safetensors", "-q")[0] == 0
    for path in ("s.yaml", "ours.safetensors"):
        assert run("plan", path, "--start", "torch")[2] == (
            "glorot: --start chooses for a file of which only names are known; "
            f"{path} says how it starts\n"
        )


# --- Copying ---

DTYPES = ["uint16", "uint32", "uint64", "complex64", "int8", "bool", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["plain", "chunked", "compressed", "big-endian"])
def test_any_element_of_hdf5_is_copied(dtype: str, kind: str, run: Run) -> None:
    values = (np.arange(60).reshape(20, 3) % 7).astype(dtype)
    if kind == "big-endian":
        values = values.astype(values.dtype.newbyteorder(">"))
    options: dict[str, Any] = {"chunked": {"chunks": (7, 2)},
                               "compressed": {"compression": "gzip", "shuffle": True}}  # fmt: skip
    with h5py.File("old.h5", "w") as file:
        file.create_dataset("w", data=values, **options.get(kind, {}))
        file["x/kernel"] = np.ones((4, 4), "f4")
        file["empty"] = np.zeros((0, 3), dtype)
    for output in ("new.h5", "new.safetensors"):
        command = ["init", "old.h5", "--base", "old.h5", "--only", "x/*", "-o", output, "-q"]
        assert run(*command)[0] == 0
        assert run("diff", "old.h5", output, "-q")[0] == 1
    with h5py.File("new.h5") as file:
        found, empty = file["w"][()], file["empty"][()]
    for array in (found, load()["w"]):
        assert np.array_equal(array, values)
        assert array.dtype == np.dtype(dtype)
    assert empty.shape == load()["empty"].shape == (0, 3)


def raw_safetensors(path: str, dtypes: dict[str, tuple[str, list[int], bytes]]) -> None:
    header, data = {}, b""
    for name, (code, shape, content) in dtypes.items():
        ends = [len(data), len(data) + len(content)]
        header[name] = {"dtype": code, "shape": shape, "data_offsets": ends}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_elements_that_nothing_decodes_are_copied_and_compared(run: Run) -> None:
    held = {
        "c": ("C64", [2], bytes(range(16))), "i": ("U16", [3], b"abcdef"),
        "f8": ("F8_E8M0", [5], b"12345"), "f4": ("F4", [2, 4], b"wxyz"),
        "f6": ("F6_E2M3", [4], b"123"), "none": ("F32", [0, 3], b""),
        "z.weight": ("F32", [2, 2], bytes(16)),
    }  # fmt: skip
    order = ["c", "z.weight", "i", "f8", "f6", "f4", "none"]
    raw_safetensors("old.safetensors", {name: held[name] for name in order})
    command = ["init", "old.safetensors", "-o", "new.safetensors", "--seed", "1"]
    code, _, err = run(*command)
    assert code == 0
    assert "note: 6 of 7 tensors kept from old.safetensors: " in err
    new = {t.name: t for t in read_headers("new.safetensors").tensors}
    content = Path("new.safetensors").read_bytes()
    for name, (_, shape, data) in held.items():
        if name != "z.weight":
            at = new[name].offset or 0
            assert content[at : at + len(data)] == data
            assert new[name].shape == tuple(shape)
    code, out, _ = run("diff", "old.safetensors", "new.safetensors", "--json")
    assert code == 1
    statuses = {t["name"]: t["status"] for t in json.loads(out)["tensors"]}
    assert statuses == dict.fromkeys(held, "equal") | {"z.weight": "different"}
    held["f4"] = ("F4", [2, 4], b"wxyZ")
    raw_safetensors("other.safetensors", {name: held[name] for name in order})
    code, out, _ = run("diff", "old.safetensors", "other.safetensors", "--json")
    different = [t for t in json.loads(out)["tensors"] if t["status"] != "equal"]
    assert [(t["name"], t["status"]) for t in different] == [("f4", "different")]
    assert run("verify", "new.safetensors", "-q")[0] == 0


def test_names_are_mapped(run: Run) -> None:
    save(_orig_mod__fc__weight=np.full((2, 2), 3.0, "f4"), _orig_mod__b=np.ones(2, "f4"))
    spec = {"seed": 1, "tensors": {"fc.weight": [2, 2], "b": [2]}}
    Path("s.json").write_text(json.dumps(spec), "utf-8")
    command = ["init", "s.json", "--base", "old.safetensors", "-o", "new.safetensors"]
    code, _, err = run(*command)
    assert code == 2
    assert "old.safetensors has no tensor 'fc.weight'" in err
    assert run(*command, "--map", "_orig_mod.*=*", "-q")[0] == 0
    assert load()["fc.weight"].tolist() == [[3.0, 3.0], [3.0, 3.0]]
    assert "decides no name of the first file" in run(*command, "--map", "module.*=*")[2]
    assert "bytes are kept as they are" in run(*command, "--map", "_orig_mod.*=*:transpose")[2]


def test_rows_are_drawn_anew(run: Run) -> None:
    old = np.full((10, 4), 9.0, "f4")
    save(wte=old, b=np.ones(3, "f4"))
    wte, b = {"shape": [10, 4], "initializer": "normal"}, {"shape": [3], "initializer": "ones"}
    spec = {"seed": 1, "tensors": {"wte": wte, "b": b}}
    Path("s.json").write_text(json.dumps(spec), "utf-8")
    command = ["init", "s.json", "--base", "old.safetensors", "-f", "-o", "new.safetensors"]
    assert run("init", "s.json", "-o", "drawn.safetensors", "-q")[0] == 0
    drawn = load("drawn.safetensors")["wte"]
    for text, rows in (("7:", slice(7, None)), (":2", slice(None, 2)), ("2:5", slice(2, 5)),
                       ("-1:", slice(-1, None))):  # fmt: skip
        assert run(*command, "--rows", f"wte={text}", "-q")[0] == 0
        expected = old.copy()
        expected[rows] = drawn[rows]
        np.testing.assert_array_equal(load()["wte"], expected)
    assert run("verify", "new.safetensors", "--quiet")[0] == 1  # nothing was checked
    for text, message in (
        ("wte=10:", "'wte' of shape [10, 4] has no rows 10:"),
        ("wte=5:11", "'wte' of shape [10, 4] has no rows 5:11"),
        ("wte=a:", "--rows: expected GLOB=START:STOP such as 'wte=50257:', found 'wte=a:'"),
        ("x=1:", "--rows: 'x' matches no tensor"),
    ):
        code, _, err = run(*command, "--rows", text)
        assert code == 2
        assert message in err


def test_the_table_shows_what_was_found(run: Run) -> None:
    save(a__weight=np.full((2, 2), 3.0, "f4"), b__weight=np.full((2, 2), 4.0, "f4"))
    command = ["init", "old.safetensors", "--base", "old.safetensors", "--only", "b.*"]
    code, out, _ = run(*command, "-o", "new.safetensors", "--seed", "1")
    assert code == 0
    (row,) = (line.split() for line in out.splitlines() if line.startswith("a.weight"))
    assert row[1:] == ["2x2", "float32", "kept", "3", "3", "3", "0"] or "kept" in row
    assert "kaiming_uniform" not in row
    code, out, _ = run(*command, "-o", "again.safetensors", "--seed", "1", "--json")
    kept = next(t for t in json.loads(out)["tensors"] if t["name"] == "a.weight")
    assert (kept["initializer"], kept["expected_std"], kept["fan_in"]) == ("kept", None, None)
    assert kept["statistics"]["mean"] == 3.0


def test_a_note_of_guesses_counts_each_kind_once(run: Run) -> None:
    old_model()
    code, _, err = run("plan", "old.safetensors")
    assert code == 0
    assert len(re.findall("guessed by name", err)) == 1


# --- Keras archives ---

DATA = Path(__file__).parent / "data" / "keras"


def test_an_archive_is_its_own_configuration(run: Run) -> None:
    config = (DATA / "shared.json").read_bytes()
    assert run("init", DATA / "shared.json", "-o", "old.keras", "--seed", "1", "-q")[0] == 0
    assert run("init", "old.keras", "-o", "new.keras", "--seed", "2", "-q")[0] == 0
    with zipfile.ZipFile("new.keras") as archive:
        assert archive.read("config.json") == config
    assert run("init", "old.keras", "-o", "new.weights.h5", "--seed", "2", "-q")[0] == 0
    assert run("diff", "new.keras", "new.weights.h5", "-q")[0] == 0
    assert run("diff", "new.keras", "old.keras", "-q")[0] == 1
    # What carries no spec of ours is read by its configuration.
    with zipfile.ZipFile("bare.keras", "w") as archive:
        archive.writestr("config.json", config)
    assert run("init", "bare.keras", "-o", "other.keras", "--seed", "2", "-q")[0] == 0
    assert run("diff", "new.keras", "other.keras", "-q")[0] == 0
    # A configuration may be given as an archive, too.
    command = ["init", DATA / "shared.json", "--config", "old.keras", "-o", "again.keras"]
    assert run(*command, "--seed", "2", "-q")[0] == 0
    assert run("diff", "new.keras", "again.keras", "-q")[0] == 0


def test_the_mean_tells_a_scale_from_an_offset(run: Run) -> None:
    with h5py.File("old.weights.h5", "w") as file:
        for name, first in (("uncentred", 1.1), ("unscaled", 0.1)):
            for number, value in enumerate((first, 0.3, 0.9)):
                file[f"layers/{name}/vars/{number}"] = np.full(8, value, "f4")
    assert run("init", "old.weights.h5", "-o", "new.weights.h5", "-q")[0] == 0
    with h5py.File("new.weights.h5") as file:
        found = {
            name: [float(file[f"layers/{name}/vars/{i}"][0]) for i in range(3)]
            for name in ("uncentred", "unscaled")
        }
    assert found == {"uncentred": [1.0, 0.0, 1.0], "unscaled": [0.0, 0.0, 1.0]}


# --- A config.json beside a file ---


def test_a_configuration_beside_a_file_says_how_it_starts(run: Run) -> None:
    config = {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 20, "n_embd": 8,
        "n_layer": 1, "n_head": 2, "n_positions": 4,
    }  # fmt: skip
    Path("model").mkdir()
    Path("model/config.json").write_text(json.dumps(config), "utf-8")
    assert run("init", "model/config.json", "-o", "made/", "--seed", "1", "-q")[0] == 0
    arrays = load("made/model.safetensors")
    safetensors.numpy.save_file(arrays, "model/model.safetensors")
    command = ["init", "model/model.safetensors", "-o", "new.safetensors", "--seed", "2"]
    code, _, err = run(*command)
    assert code == 0
    assert "note: initializers are those of gpt2, which model/config.json says\n" in err
    assert "guessed" not in err
    assert abs(load()["transformer.wte.weight"].std() - 0.02) < 0.004
    # Of other tensors than the configuration means, the names are what is known.
    del arrays["transformer.wpe.weight"]
    safetensors.numpy.save_file(arrays, "model/model.safetensors")
    code, _, err = run(*command, "-f")
    assert code == 0
    assert "guessed by name" in err
    # Of a type that is not known, the std.
    config = {"model_type": "unheard-of", "initializer_range": 0.5}
    Path("model/config.json").write_text(json.dumps(config), "utf-8")
    code, _, err = run(*command, "-f")
    assert code == 0
    assert "kernels normal(std 0.5) (initializer_range of config.json)" in err


# --- Keras 1 and 2 ---


def old_h5(path: str) -> None:
    """Write a whole model as Keras 2 does, an optimizer's state beside it."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = np.array([b"conv2d_1", b"dropout_1", b"dense_1"])
        for layer, shapes in (
            ("conv2d_1", {"kernel:0": (3, 3, 2, 4), "bias:0": (4,)}),
            ("dropout_1", {}),
            ("dense_1", {"kernel:0": (4, 2), "bias:0": (2,)}),
        ):
            group = root.create_group(layer)
            names = [f"{layer}/{name}" for name in shapes]
            group.attrs["weight_names"] = np.array([name.encode() for name in names])
            for name, shape in zip(names, shapes.values(), strict=True):
                group[name] = np.full(shape, 7.0, "f4")
        state = file.create_group("optimizer_weights")
        state.attrs["weight_names"] = np.array([b"Adam/dense_1/kernel/m:0"])
        state["Adam/dense_1/kernel/m:0"] = np.ones((4, 2), "f4")


def test_an_old_model_of_keras_keeps_its_lists_of_names(run: Run) -> None:
    old_h5("old.h5")
    code, _, err = run("init", "old.h5", "-o", "new.h5", "--seed", "1")
    assert code == 0
    assert "left out: 1 tensor of an optimizer's state" in err
    assert "2 kernels glorot_uniform (convention of keras)" in err
    with h5py.File("new.h5") as file:
        root = file["model_weights"]
        assert [n.decode() for n in root.attrs["layer_names"]] == [
            "conv2d_1", "dropout_1", "dense_1",
        ]  # fmt: skip
        names = {layer: [n.decode() for n in root[layer].attrs["weight_names"]] for layer in root}
        assert names == {
            "conv2d_1": ["conv2d_1/kernel:0", "conv2d_1/bias:0"],
            "dropout_1": [],
            "dense_1": ["dense_1/kernel:0", "dense_1/bias:0"],
        }
        assert "optimizer_weights" not in file
        kernel = root["conv2d_1/conv2d_1/kernel:0"][()]
    assert 0.2 < np.abs(kernel).max() <= np.sqrt(6 / (18 + 36))


def test_an_old_model_of_keras_keeps_its_configuration(run: Run) -> None:
    old_h5("old.h5")
    # Longer than an attribute in an object's header may be.
    texts = {"model_config": json.dumps({"class_name": "Mine", "config": {"é": "x" * 70_000}}),
             "keras_version": "2.3.1", "backend": "tensorflow"}  # fmt: skip
    with h5py.File("old.h5", "a") as file:
        for number, (key, text) in enumerate(texts.items()):
            # Keras has written text and bytes.
            file.attrs[key] = text.encode() if number == 0 else text
        file.attrs["training_config"] = "{}"
        file["model_weights"].attrs["backend"] = "not of the root"
    assert run("init", "old.h5", "-o", "new.h5", "--seed", "1", "-q")[0] == 0
    with h5py.File("new.h5") as file:
        assert {key: file.attrs[key] for key in file.attrs if key != "glorot"} == texts
        assert list(file["model_weights"].attrs) == ["layer_names"]
    # Not where the file is of another kind.
    assert run("init", "old.h5", "-o", "new.safetensors", "--seed", "1", "-q")[0] == 0
    with safetensors.safe_open("new.safetensors", "numpy") as opened:
        assert "model_config" not in opened.metadata()


@pytest.mark.parametrize("value", [np.arange(3), np.array([b"a", b"b"]), 3.5])
def test_a_configuration_that_is_no_text_is_left(value: Any, run: Run) -> None:
    old_h5("old.h5")
    with h5py.File("old.h5", "a") as file:
        file.attrs["model_config"] = value
    assert run("init", "old.h5", "-o", "new.h5", "--seed", "1", "-q")[0] == 0
    with h5py.File("new.h5") as file:
        assert list(file.attrs) == ["glorot"]


def configured_h5(*more: dict[str, Any], **config: Any) -> None:
    """Write a whole model whose configuration says its starts."""
    layers = [
        layer("Conv2D", "conv2d_1", filters=4, kernel_size=[3, 3],
              batch_input_shape=[None, 8, 8, 2],
              kernel_initializer={"class_name": "HeNormal", "config": {"seed": None}}),
        layer("GlobalAveragePooling2D", "pool"),
        *more,
        layer("Dense", "dense_1", units=2, **config),
    ]  # fmt: skip
    old_h5("old.h5")
    with h5py.File("old.h5", "a") as file:
        model = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
        file.attrs["model_config"] = json.dumps(model)


CONSTANT = {"class_name": "Constant", "config": {"value": 0.5}}
NORMAL = {"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 0.7, "seed": None}}


def test_a_whole_model_s_configuration_says_how_it_starts(run: Run) -> None:
    configured_h5(bias_initializer=CONSTANT, kernel_initializer=NORMAL)
    code, out, err = run("plan", "old.h5", "--json", "--strict")
    assert code == 0
    assert err.startswith("note: 4 initializers are those of the model_config in old.h5\n")
    assert "guessed" not in err
    tensors = {t["name"]: t for t in json.loads(out)["tensors"]}
    kinds = {name.removeprefix("model_weights/"): t["initializer"] for name, t in tensors.items()}
    assert kinds == {
        "conv2d_1/conv2d_1/kernel:0": "he_normal", "conv2d_1/conv2d_1/bias:0": "zeros",
        "dense_1/dense_1/kernel:0": "random_normal", "dense_1/dense_1/bias:0": "constant",
    }  # fmt: skip
    assert run("init", "old.h5", "-o", "new.h5", "--seed", "1", "-q")[0] == 0
    with h5py.File("new.h5") as file:
        root = file["model_weights"]
        assert root["dense_1/dense_1/bias:0"][()].tolist() == [0.5, 0.5]
        # Beyond what the convention of Keras would give: 1 / sqrt(1).
        assert np.abs(root["dense_1/dense_1/kernel:0"][()]).max() > 0.5
    # A convention that is asked for comes first.
    code, out, err = run("plan", "old.h5", "--json", "--start", "keras")
    assert "model_config" not in err
    assert "2 kernels glorot_uniform" in err


def test_a_configuration_that_is_of_no_use_is_said(run: Run) -> None:
    mystery = layer("Mystery", "what", size=3)
    configured_h5(mystery, kernel_initializer=NORMAL)
    code, _, err = run("plan", "old.h5", "--json")
    assert code == 0
    assert err.startswith(
        "note: weights start by their names, for their model is not known: old.h5: model_config: "
        "the layer 'what' is of a type that is not known, 'Mystery'\n"
    )
    assert "2 kernels glorot_uniform (convention of keras)" in err
    for text in ("{", "[]", "3", '{"class_name": "Sequential", "config": []}', "[" * 5000):
        with h5py.File("old.h5", "a") as file:
            file.attrs["model_config"] = text
        code, _, err = run("plan", "old.h5", "--json")
        assert code == 0
        assert "note: weights start by their names, for their model is not known: old.h5: " in err
        assert "2 kernels glorot_uniform (convention of keras)" in err


def test_layers_of_other_shapes_start_by_their_names(run: Run) -> None:
    configured_h5(layer("Dense", "dense_0", units=7), kernel_initializer=NORMAL)
    code, _, err = run("plan", "old.h5", "--json")
    assert code == 0
    assert "note: 2 initializers are those of the model_config in old.h5\n" in err
    assert "1 bias zeros, 1 kernel glorot_uniform (convention of keras)" in err


def layer(kind: str, name: str, nodes: Any = None, **config: Any) -> dict[str, Any]:
    found = {"class_name": kind, "name": name, "config": {"name": name, **config}}
    return found if nodes is None else {**found, "inbound_nodes": nodes}


def test_a_configuration_of_keras_2_is_read(run: Run) -> None:
    orthogonal = {"class_name": "OrthogonalInitializer", "config": {"gain": 1.0, "seed": None}}
    layers = [
        layer("InputLayer", "input_1", [], batch_input_shape=[None, 8]),
        layer("Dense", "a", [[["input_1", 0, 0, {}]]], units=4),
        layer("Dense", "b", [[["input_1", 0, 0, {}]]], units=3, kernel_initializer=orthogonal),
        layer("Concatenate", "c", [[["a", 0, 0, {}], ["b", 0, 0, {}]]]),
        layer("Dense", "d", [[["c", 0, 0, {}]]], units=2),
    ]
    inner = {"name": "m", "layers": layers, "input_layers": [["input_1", 0, 0]],
             "output_layers": [["d", 0, 0]]}  # fmt: skip
    model = {"class_name": "Functional", "config": inner, "keras_version": "2.8.0"}
    Path("m.json").write_text(json.dumps(model), "utf-8")
    code, out, _ = run("plan", "m.json", "--json")
    assert code == 0
    kernels = {t["name"]: (t["shape"], t["initializer"]) for t in json.loads(out)["tensors"]}
    assert kernels["b/kernel"] == ([8, 3], "orthogonal")
    assert kernels["d/kernel"] == ([7, 2], "glorot_uniform")
    first = layer("Dense", "dense_1", units=3, batch_input_shape=[None, 5])
    model = {"class_name": "Sequential", "config": {"name": "s", "layers": [first]}}
    Path("s.json").write_text(json.dumps(model), "utf-8")
    code, out, _ = run("plan", "s.json", "--json")
    assert json.loads(out)["tensors"][0]["shape"] == [5, 3]
    first["config"]["dtype"] = {"class_name": "QuantizedDTypePolicy",
                                "config": {"name": "int8_from_float32"}}  # fmt: skip
    Path("s.json").write_text(json.dumps(model), "utf-8")
    assert run("plan", "s.json")[2] == (
        "glorot: s.json: the layer 'dense_1' is quantised to int8, whose weights are not drawn; "
        "start from the model that was quantised\n"
    )
