"""Several files of one run: the same bytes as each alone, all checked before one is drawn."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors

import glorot_cli as glorot
from glorot_cli.cli import main, results
from glorot_cli.plan import reseeded

Run = Callable[..., tuple[int, str, str]]

SAMPLES = Path(__file__).parent.parent / "sample_specs"
MLP = "mlp.yaml"
ONE = "{tensors: {a: {shape: [3, 4], axes: IO, initializer: glorot_uniform}}}"
CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 16,
    "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 12,
    "num_key_value_heads": 1, "dtype": "float32",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SAMPLES / MLP, MLP)


def written(text: str, name: str = "one.yaml") -> str:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text, "utf-8")
    return name


def hashes(folder: str | Path = ".") -> dict[str, str]:
    """Return a hash of each file below a folder, by its path there."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


# The same bytes as each alone

SPECS = {
    "layers": "{seed: 9, layers: [{type: Dense, input_shape: [7], units: 5}, "
    "{type: Dense, units: 3}]}",
    "own seeds": "{tensors: {a: {shape: [9], initializer: normal, seed: 5}, "
    "b: {shape: [9], initializer: normal}, c: {shape: [9], initializer: {name: normal, seed: 1}}}}",
    "derived": "{tensors: {w: {shape: [4, 6], initializer: normal}, "
    "v: {shape: [4, 6], axes: OI, initializer: normal}, "
    "g: {shape: [4, 1], initializer: {name: norm_of, tensor: v, dim: 0}}}}",
    "tied": "{tensors: {w: {shape: [4, 6], initializer: normal}, v: {tie: w}, "
    "u: {tie: w, stored: true}, s: {shape: [2], initializer: normal, skip: true}}}",
    "keras-jax": "{rng: keras-jax, layers: [{type: Dense, input_shape: [7], units: 5}, "
    "{type: Dense, units: 3}]}",
    "torch": "{rng: torch, dialect: torch, layers: ["
    "{type: Linear, in_features: 7, out_features: 5}, "
    "{type: Linear, in_features: 5, out_features: 3}]}",
    "repeats": "{dims: {d: 4}, tensors: {'h.{i}.{j}': {shape: [d, d], initializer: normal, "
    "repeat: {i: 2, j: 2}, dtype: bfloat16}}}",
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_each_file_has_the_bytes_that_it_has_alone(run: Run, spec: str) -> None:
    name = written(spec)
    Path("several").mkdir()
    Path("alone").mkdir()
    code, _, _ = run("init", name, "--seed", "2:4,7", "-o", "several/{seed}.safetensors")
    assert code == 0
    for seed in (2, 3, 7):
        assert run("init", name, "--seed", seed, "-o", f"alone/{seed}.safetensors")[0] == 0
    assert hashes("several") == hashes("alone")
    assert len(set(hashes("several").values())) == 3


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        (".h5", []), (".weights.h5", []), ("/", []), ("/", ["--max-shard-size", "20KB"]),
        (".weights.json", ["--max-shard-size", "20KB"]), ("/", ["--max-shard-size", "1GB"]),
        ("", ["--format", "keras"]),
    ],
)  # fmt: skip
def test_every_format_holds_the_same_bytes(run: Run, ending: str, options: list[str]) -> None:
    for folder in ("several", "alone"):
        Path(folder).mkdir()
    code, _, _ = run("init", MLP, *options, "--seed", "0:2", "-o", f"several/{{seed}}{ending}")
    assert code == 0
    for seed in (0, 1):
        run("init", MLP, *options, "--seed", seed, "-o", f"alone/{seed}{ending}")
    assert len(hashes("alone")) >= 2
    assert hashes("several") == hashes("alone")


def test_models_of_configurations_are_folders_that_load(run: Run) -> None:
    for name in ("small", "wide.v2"):
        text = json.dumps(CONFIG | {"hidden_size": 16 + 2 * len(name)})
        written(text, f"{name}/config.json")
    for folder in ("several", "alone"):
        Path(folder).mkdir()
    code, out, _ = run(
        "init", "small", "wide.v2", "--dtype", "float32,bfloat16", "--seed", "1,2",
        "-o", "several/{stem}-{seed}-{dtype}/",
    )  # fmt: skip
    assert code == 0
    assert out.splitlines()[-1].startswith("8 results, ")
    for name in ("small", "wide.v2"):
        for seed in (1, 2):
            for dtype in ("float32", "bfloat16"):
                target = f"alone/{name}-{seed}-{dtype}/"
                run("init", name, "--dtype", dtype, "--seed", seed, "-o", target)
    assert hashes("several") == hashes("alone")
    assert len(hashes("alone")) == 16
    config = json.loads(Path("several/small-1-bfloat16/config.json").read_text("utf-8"))
    assert config["dtype"] == "bfloat16"


def test_a_weight_file_starts_afresh_with_several_seeds(run: Run) -> None:
    run("init", MLP, "--seed", 1, "-o", "old.safetensors")
    assert (
        run("init", "old.safetensors", "--seed", "3,4", "-o", "{stem}-{seed}.safetensors")[0] == 0
    )
    run("init", "old.safetensors", "--seed", 4, "-o", "alone.safetensors")
    found = hashes()
    assert found["old-4.safetensors"] == found["alone.safetensors"]
    assert found["old-3.safetensors"] != found["alone.safetensors"]


def test_tensors_are_kept_from_one_base_in_all(run: Run) -> None:
    run("init", MLP, "--seed", 1, "-o", "base.safetensors")
    options = ["--base", "base.safetensors", "--only", "dense/*"]
    code, _, err = run("init", MLP, *options, "--seed", "3,4", "-o", "{seed}.safetensors")
    assert code == 0
    assert err == (
        "note: 2 of 4 tensors kept from base.safetensors: dense_1/kernel, dense_1/bias\n"
    )
    run("init", MLP, *options, "--seed", 4, "-o", "alone.safetensors")
    assert hashes()["4.safetensors"] == hashes()["alone.safetensors"]


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_another_seed_makes_the_plan_that_the_spec_makes_with_it(path: Path) -> None:
    first, other = (glorot.make_plan(glorot.load_spec(path, {"seed": seed})) for seed in (1, 2))
    assert reseeded(first, 2) == other


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_another_seed_makes_the_same_plan_of_any_stream(spec: str) -> None:
    name = written(spec)
    first, other = (glorot.make_plan(glorot.load_spec(name, {"seed": s})) for s in (5, 2**32 - 1))
    assert reseeded(first, 2**32 - 1) == other
    assert reseeded(first, 5) is first


def test_one_plan_is_made_for_all_seeds(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    make = glorot.plan.make_plan

    def counted(spec: Any, **options: Any) -> glorot.Plan:
        made.append(spec)
        plan: glorot.Plan = make(spec, **options)
        return plan

    monkeypatch.setattr("glorot_cli.plan.make_plan", counted)
    monkeypatch.setattr("glorot_cli.plan.reseeding.make_plan", counted)
    assert run("init", MLP, "--seed", "0:100", "-o", "{seed}.safetensors", "-q") == (0, "", "")
    assert len(made) == 1
    assert len(list(Path().glob("*.safetensors"))) == 100


# Seeds, dtypes and names


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ("0:3", ["0", "1", "2"]),
        ("5:6", ["5"]),
        ("1,2,5", ["1", "2", "5"]),
        ("9, 0:2 ,4", ["9", "0", "1", "4"]),
        ("18446744073709551614:18446744073709551616",
         ["18446744073709551614", "18446744073709551615"]),
    ],
)  # fmt: skip
def test_seeds_are_ranges_without_their_end_and_lists(
    run: Run, seeds: str, expected: list[str]
) -> None:
    code, out, _ = run("init", MLP, "--seed", seeds, "-o", "{seed}.safetensors", "--json")
    assert code == 0
    assert [str(each["seed"]) for each in json.loads(out)["runs"]] == expected
    for seed in expected:
        with safetensors.safe_open(f"{seed}.safetensors", "np") as file:
            assert json.loads(file.metadata()["glorot"])["spec"]["seed"] == int(seed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", "x"], "--seed: expected an integer, a range such as 0:10 or a list such as "
         "1,2,5, found 'x'"),
        (["--seed", "1:"], "--seed: expected an integer, a range such as 0:10 or a list such as "
         "1,2,5, found '1:'"),
        (["--seed", "0:9:2"], "--seed: expected an integer, a range such as 0:10 or a list such as "
         "1,2,5, found '0:9:2'"),
        (["--seed", "1,,2"], "--seed: expected an integer, a range such as 0:10 or a list such as "
         "1,2,5, found '1,,2'"),
        (["--seed", "5:5"], "--seed: the range '5:5' is empty: A:B ends before B"),
        (["--seed", "7:3"], "--seed: the range '7:3' is empty: A:B ends before B"),
        (["--seed", "0:3,2"], "--seed: 2 stands twice"),
        (["--seed", "-1"], "--seed: expected an integer from 0 to 2**64 - 1, found -1"),
        (["--seed", "1,18446744073709551616"],
         "--seed: expected an integer from 0 to 2**64 - 1, found 18446744073709551616"),
        (["--seed", "0:18446744073709551617"],
         "--seed: expected an integer from 0 to 2**64 - 1, found 18446744073709551616"),
        (["--seed", "0:10001"], "--seed: expected at most 10,000 seeds in one run"),
        (["--seed", "0:6000", "--dtype", "float32,float16"],
         "expected at most 10,000 results in one run, found 12,000"),
        (["--dtype", "float16,float16"], "--dtype: float16 stands twice"),
        (["--dtype", "float16,floot"], "--dtype: expected float32, float64, float16, bfloat16, "
         "float8_e4m3fn, float8_e5m2, found 'floot'"),
        (["--dtype", "float16,"], "--dtype: expected float32, float64, float16, bfloat16, "
         "float8_e4m3fn, float8_e5m2, found ''"),
    ],
)  # fmt: skip
def test_seeds_and_dtypes_that_make_no_sense_are_one_line(
    run: Run, options: list[str], message: str
) -> None:
    code, out, err = run("init", MLP, *options, "-o", "{seed}{dtype}.safetensors")
    assert (code, out, err) == (2, "", f"glorot: {message}\n")
    assert list(hashes()) == [MLP]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("a.safetensors",
         "4 results need names of their own; put {dtype} and {seed} into 'a.safetensors'"),
        ("{seed}.h5", "4 results need names of their own; put {dtype} into '{seed}.h5'"),
        ("{dtype}.h5", "4 results need names of their own; put {seed} into '{dtype}.h5'"),
        ("{{seed}}{dtype}.h5",
         "4 results need names of their own; put {seed} into '{{seed}}{dtype}.h5'"),
        ("{sed}.h5", "expected one of {seed}, {stem}, {dtype}, found '{sed}' in '{sed}.h5'; "
         "write {{ or }} for a brace"),
        ("{seed.h5", "expected one of {seed}, {stem}, {dtype}, found '{' in '{seed.h5'; "
         "write {{ or }} for a brace"),
        ("seed}.h5", "expected one of {seed}, {stem}, {dtype}, found '}' in 'seed}.h5'; "
         "write {{ or }} for a brace"),
        ("{}.h5", "expected one of {seed}, {stem}, {dtype}, found '{}' in '{}.h5'; "
         "write {{ or }} for a brace"),
    ],
)  # fmt: skip
def test_several_results_need_names_of_their_own(run: Run, output: str, message: str) -> None:
    code, out, err = run("init", MLP, "--seed", "1,2", "--dtype", "float32,float16", "-o", output)
    assert (code, out, err) == (2, "", f"glorot: -o: {message}\n")
    assert list(hashes()) == [MLP]


def test_two_specs_of_one_stem_are_refused(run: Run) -> None:
    for folder in ("a", "b"):
        written(ONE, f"{folder}/net.yaml")
    code, out, err = run("init", "a/net.yaml", "b/net.yaml", "-o", "{stem}.safetensors")
    assert (code, out) == (2, "")
    assert err == (
        "glorot: -o: a/net.yaml and b/net.yaml would both be written to net.safetensors, since "
        "the stem of both is 'net'; rename one, or write each in a run of its own\n"
    )
    code, _, err = run("init", "a/net.yaml", "b/../a/net.yaml", "-o", "{stem}.safetensors")
    assert (code, err) == (2, "glorot: a spec stands twice: a/net.yaml and b/../a/net.yaml\n")
    code, _, err = run("init", "a/net.yaml", MLP, "-o", "x.safetensors")
    assert (code, err) == (
        2, "glorot: -o: 2 results need names of their own; put {stem} into 'x.safetensors'\n"
    )  # fmt: skip
    assert not list(Path().rglob("*.safetensors"))


def test_outputs_that_links_make_one_are_refused(run: Run) -> None:
    Path("1.safetensors").symlink_to("2.safetensors")
    code, _, err = run("init", MLP, "--seed", "1,2", "-o", "{seed}.safetensors", "--force")
    place = Path("2.safetensors").absolute()
    assert (code, err) == (
        2, f"glorot: 1.safetensors and 2.safetensors would both be written to {place}\n"
    )  # fmt: skip
    assert not place.exists()


def test_an_output_that_is_any_of_the_specs_is_refused(run: Run) -> None:
    for seed, name in enumerate("ab"):
        run("init", MLP, "--seed", seed, "-o", f"{name}.safetensors")
    before = hashes()
    code, _, err = run(
        "init", "a.safetensors", "b.safetensors", "-o", "{stem}.safetensors", "--force"
    )
    assert (code, err) == (2, "glorot: -o: a.safetensors is the spec itself\n")
    assert hashes() == before


def test_placeholders_are_filled_for_one_result_too(run: Run) -> None:
    name = written("{seed: 3, dtype: float16, tensors: {a: {shape: [2], initializer: normal}}}")
    assert run("init", name, "-o", "{stem}-{seed}-{dtype}-{{}}.npy", "-q") == (0, "", "")
    assert run("init", name, "--seed", "8:9", "-o", "range.npy", "-q") == (0, "", "")
    # Braces that are no placeholder stay, as they did before there were any.
    assert run("init", name, "-o", "{x}.npy", "-q") == (0, "", "")
    assert {path.name for path in Path().glob("*.npy")} == {
        "one-3-float16-{}.npy", "range.npy", "{x}.npy",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "stem"),
    [
        ("a/net.yaml", "net"), ("net.v2.json", "net.v2"), ("-", "stdin"),
        ("folder.v2", "folder.v2"), ("folder.v2/", "folder.v2"),
        ("folder.v2/inner/..", "folder.v2"), ("plain", "plain"),
    ],
)  # fmt: skip
def test_a_stem_is_a_files_without_its_ending_or_a_folders_name(spec: str, stem: str) -> None:
    Path("folder.v2/inner").mkdir(parents=True)
    assert results.stem_of(spec) == stem


def test_a_seed_that_is_drawn_is_one_for_a_spec(run: Run) -> None:
    spec = written(ONE)
    code, out, err = run(
        "init", spec, MLP, "--dtype", "float32,float64", "-o", "{stem}-{dtype}.h5", "--json"
    )
    assert code == 0
    one, same, other, same_as_other = (each["seed"] for each in json.loads(out)["runs"])
    assert one == same != other == same_as_other
    assert err == f"note: one.yaml: seed {one} was drawn\nnote: mlp.yaml: seed {other} was drawn\n"


def test_standard_input_is_read_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(Path(MLP).read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    output = "{stem}-{seed}-{dtype}.safetensors"
    options = ["--seed", "1,2", "--dtype", "float32,float16", "-q"]
    assert run("init", "-", *options, "-o", output) == (0, "", "")
    assert run("init", MLP, *options, "-o", output) == (0, "", "")
    found = hashes()
    for seed in (1, 2):
        for dtype in ("float32", "float16"):
            ending = f"{seed}-{dtype}.safetensors"
            assert found[f"stdin-{ending}"] == found[f"mlp-{ending}"]
    code, _, err = run("init", "-", "-", "-o", "{stem}.h5")
    assert (code, err) == (2, "glorot: a spec stands twice: -\n")


def test_a_mistake_in_a_text_from_standard_input_has_its_place(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"tensors:\n  a:\n    shape: [2]\n    initializer: {name: normal, stddev: 1e-8}\n"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    code, _, err = run("init", "-", "--dtype", "float32,float16", "-o", "{dtype}.h5")
    assert code == 2
    assert err.startswith("glorot: <stdin>:4:")
    assert not hashes().keys() - {MLP}


# What is refused before anything is drawn


@pytest.mark.parametrize(
    ("pattern", "options", "there", "message"),
    [
        ("{seed}.safetensors", [], "2.safetensors", "{here}/2.safetensors exists"),
        ("{seed}.h5", [], "2.h5", "{here}/2.h5 exists"),
        ("{seed}/", [], "2/a", "{here}/2 is not empty"),
        ("{seed}/", ["--max-shard-size", "20KB"], "2/a", "{here}/2 is not empty"),
        ("{seed}.weights.json", ["--max-shard-size", "20KB"], "2_00001.weights.h5",
         "{here}/2_00001.weights.h5 exists"),
        ("{seed}.weights.json", ["--max-shard-size", "20KB"], "2.weights.json",
         "{here}/2.weights.json exists"),
    ],
)  # fmt: skip
def test_what_exists_is_refused_before_anything_is_drawn(
    run: Run, tmp_path: Path, pattern: str, options: list[str], there: str, message: str
) -> None:
    written("mine", there)
    code, out, err = run("init", MLP, "--seed", "0:3", "-o", pattern, *options)
    assert (code, out) == (2, "")
    assert err == f"glorot: {message.format(here=tmp_path)}; replace it with --force\n"
    assert hashes().keys() == {MLP, there}
    if "/" not in there:
        assert run("init", MLP, "--seed", "0:3", "-o", pattern, *options, "--force")[0] == 0
        assert Path(there).read_bytes() != b"mine"


def test_files_of_others_are_not_replaced_by_force_either(run: Run, tmp_path: Path) -> None:
    Path("2/dense").mkdir(parents=True)
    written("mine", "2/dense/kernel.npy")
    code, _, err = run("init", MLP, "--seed", "0:3", "-o", "{seed}/", "--force")
    assert (code, err) == (
        2,
        f"glorot: {tmp_path}/2/dense/kernel.npy was not written by glorot, so it is not replaced; "
        "move it away\n",
    )
    assert hashes().keys() == {MLP, "2/dense/kernel.npy"}


def test_folders_of_outputs_are_made_and_taken_back_after_a_mistake(run: Run) -> None:
    command = ("init", MLP, "--seed", "0:2", "-q")
    code, _, err = run(*command, "-o", "new/{seed}/w.txt")
    assert code == 2
    assert "expected a name that ends in" in err
    assert not Path("new").exists()
    assert run(*command, "-o", "new/{seed}/w.safetensors") == (0, "", "")
    assert sorted(hashes()) == [MLP, "new/0/w.safetensors", "new/1/w.safetensors"]
    code, _, err = run("init", MLP, "--seed", "0:2", "-o", "other/{seed}.safetensors")
    assert (code, err) == (0, "note: made the folder other\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "mlp.yaml/{seed}.h5"], "cannot write {here}/mlp.yaml/1.h5: "
         "there is no folder {here}/mlp.yaml"),
        (["-o", "{seed}.txt"], "1.txt: expected a name that ends in .safetensors, .weights.h5, "
         ".h5, .hdf5, .keras, .weights.json, .npy, .npz, .pt, .pth or /, found '1.txt'; rename the "
         "output or choose with --format"),
        (["-o", "{seed}/", "--dask", "local", "--max-shard-size", "1GB"],
         "--dask writes one result in a run: give one spec, seed and dtype"),
        (["-o", "{seed}.safetensors", "--resume"],
         "--resume and ranks are for shards: give --max-shard-size"),
        (["-o", "{seed}.safetensors", "--rank", "0", "--world-size", "2"],
         "--resume and ranks are for shards: give --max-shard-size"),
        (["-o", "{seed}.h5", "--dtype", "bfloat16"], ".h5 cannot hold bfloat16, the dtype of "
         "'dense/kernel'; these can: .safetensors; .weights.h5, Keras 3's layout; .keras, a model "
         "and its weights; .weights.json, Keras 3's layout in shards; a folder of .safetensors "
         "shards; .pt, torch's own"),
        (["-o", "{seed}.safetensors", "--rng", "keras-jax", "--seed", "4294967295:4294967297"],
         "overrides: seed: the stream keras-jax takes a spec's seed from 0 to 2**32 - 1, as "
         "keras.utils.set_random_seed does, found 4294967296"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_one_line(
    run: Run, tmp_path: Path, options: list[str], message: str
) -> None:
    code, out, err = run("init", MLP, "--seed", "1,2", *options)
    assert (code, out, err) == (2, "", f"glorot: {message.format(here=tmp_path)}\n")
    assert list(hashes()) == [MLP]


def test_a_disk_too_small_for_all_is_told_of_first(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A result has 28,456 bytes.
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=60_000))
    assert run("init", MLP, "--seed", "0:2", "-o", "{seed}.safetensors", "-q")[0] == 0
    code, out, err = run("init", MLP, "--seed", "2:5", "-o", "{seed}.safetensors")
    assert (code, out) == (2, "")
    assert err == (
        f"glorot: cannot write all of it: 85,368 bytes are needed in {tmp_path}, 60,000 are free\n"
    )
    assert hashes().keys() == {MLP, "0.safetensors", "1.safetensors"}


# A failure in the middle


def failing_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the disk fail once a file of some name is to be laid out."""
    from glorot_cli.formats import safetensors as format

    lay_out = format.lay_out_tensors

    def failing(plan: Any, indices: Any, metadata: Any, path: Path) -> Any:
        if f".{name}." in path.name:
            raise OSError(5, "Input/output error", str(path))
        return lay_out(plan, indices, metadata, path)

    monkeypatch.setattr(format, "lay_out_tensors", failing)


def test_the_first_failure_stops_and_names_what_was_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(monkeypatch, "2.safetensors")
    code, out, err = run("init", MLP, "--seed", "0:5", "-o", "{seed}.safetensors")
    assert code == 2
    assert err == (
        f"glorot: cannot write {tmp_path}/2.safetensors: Input/output error; "
        "2 of 5 were written before it: 0.safetensors, 1.safetensors\n"
    )
    assert [line.split()[0] for line in out.splitlines()] == [
        "output", "0.safetensors", "1.safetensors", "2",
    ]  # fmt: skip
    assert hashes().keys() == {MLP, "0.safetensors", "1.safetensors"}


def test_a_document_of_a_run_that_failed_is_whole(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(monkeypatch, "1.safetensors")
    code, out, err = run("init", MLP, "--seed", "0:5", "-o", "{seed}.safetensors", "--json")
    assert code == 2
    assert "; 1 of 5 were written before it: 0.safetensors\n" in err
    assert [each["output"] for each in json.loads(out)["runs"]] == ["0.safetensors"]


def test_of_many_that_were_written_the_first_and_last_are_named(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(monkeypatch, "30.safetensors")
    code, _, err = run("init", MLP, "--seed", "0:40", "-o", "{seed}.safetensors", "-q")
    assert code == 2
    assert err.endswith("; 30 of 40 were written before it: 0.safetensors to 29.safetensors\n")


def test_a_failure_of_the_first_is_the_line_that_it_is_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(monkeypatch, "0.safetensors")
    code, out, err = run("init", MLP, "--seed", "0:5", "-o", "{seed}.safetensors")
    message = f"glorot: cannot write {tmp_path}/0.safetensors: Input/output error\n"
    assert (code, out, err) == (2, "", message)


def test_a_mistake_in_a_later_spec_is_found_before_the_first_is_drawn(run: Run) -> None:
    bad = written("tensors:\n  a: {shape: [2], initializer: nothing}\n")
    code, out, err = run("init", MLP, bad, "-o", "{stem}.safetensors")
    assert (code, out) == (2, "")
    assert err.startswith("glorot: one.yaml:2:32: ")
    assert hashes().keys() == {MLP, bad}


def test_a_bug_is_no_failure_of_one_result(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("glorot_cli.writing.weights.fill", broken)
    with pytest.raises(ZeroDivisionError):
        main(["init", MLP, "--seed", "0:2", "-o", "{seed}.safetensors"])


# Shards


def test_ranks_write_their_shards_of_every_result(run: Run) -> None:
    options = ["--seed", "0:2", "--max-shard-size", "20KB", "--world-size", "2", "-q"]
    for rank in (0, 1):
        code, _, _ = run("init", MLP, *options, "-o", "{seed}", "--rank", rank)
        assert code == 0
    run("init", MLP, "--seed", 1, "--max-shard-size", "20KB", "-o", "alone", "-q")
    assert hashes("1") == hashes("alone")
    assert len(hashes("0")) == 3


def test_a_rank_says_once_that_others_are_to_come(run: Run) -> None:
    options = ["--max-shard-size", "20KB", "--world-size", "2", "--rank", "0"]
    code, _, err = run("init", MLP, *options, "--seed", "0:5", "-o", "{seed}")
    assert code == 0
    assert err == (
        "note: shards are missing so far in 0, 1, 2 and 2 more; the rank that writes the last adds "
        "the index\n"
    )


def test_resuming_writes_what_is_missing_of_every_result(run: Run) -> None:
    options = ["--seed", "0:3", "--max-shard-size", "20KB", "--resume", "-o", "{seed}"]
    assert run("init", MLP, *options, "-q") == (0, "", "")
    whole = hashes()
    Path("1/model-00002-of-00002.safetensors").unlink()
    code, out, err = run("init", MLP, *options)
    assert code == 0
    assert err == "note: every shard of this run is there already in 0, 2\n"
    assert out.splitlines()[-1] == "3 results, 21,342 parameters, 85.4 kB"
    assert hashes() == whole
    # Another run's shards are not taken for these, nor replaced, and nothing is written before.
    run("init", MLP, "--seed", 9, "--max-shard-size", "20KB", "-o", "2", "--force", "-q")
    Path("0/model-00001-of-00002.safetensors").unlink()
    before = hashes()
    code, _, err = run("init", MLP, *options)
    assert code == 2
    assert "/2/model-00001-of-00002.safetensors is of another run, " in err
    assert hashes() == before


# What is printed


def test_one_table_has_a_row_for_each_and_the_totals(run: Run) -> None:
    one = written(ONE)
    code, out, err = run(
        "init", MLP, one, "--seed", "7", "--dtype", "float32,float16", "-o", "{stem}-{dtype}.npy",
        "--format", "safetensors",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert out == (
        "output           spec      seed  dtype    tensors  parameters     size\n"
        "mlp-float32.npy  mlp.yaml     7  float32        4       7,114  28.5 kB\n"
        "mlp-float16.npy  mlp.yaml     7  float16        4       7,114  14.2 kB\n"
        "one-float32.npy  one.yaml     7  float32        1          12     48 B\n"
        "one-float16.npy  one.yaml     7  float16        1          12     24 B\n"
        "4 results, 14,252 parameters, 42.8 kB\n"
    )


def test_one_document_has_what_each_run_alone_prints(run: Run) -> None:
    _, out, _ = run("init", MLP, "--seed", "3:5", "-o", "{seed}.safetensors", "--json")
    document = json.loads(out)
    assert list(document) == ["runs"]
    for each, seed in zip(document["runs"], (3, 4), strict=True):
        _, out, _ = run("init", MLP, "--seed", seed, "-o", f"{seed}.safetensors", "--json", "-f")
        assert each == {"spec": MLP, "dtype": "float32", **json.loads(out)}


def test_notes_are_given_once_and_name_their_spec(run: Run) -> None:
    first = written("{tensors: {a: {shape: [3, 4], initializer: orthogonal}}}", "first.yaml")
    second = written("{tensors: {b: {shape: [3, 4], initializer: orthogonal}}}", "second.yaml")
    code, _, err = run("init", first, "--seed", "0:9", "-o", "{seed}.safetensors")
    assert code == 0
    assert len(err.splitlines()) == len(set(err.splitlines())) == 1
    code, _, err = run("init", first, second, "--seed", "0:3", "-o", "{stem}{seed}.safetensors")
    assert [line.split(":")[1].strip() for line in err.splitlines()] == [first, second]
