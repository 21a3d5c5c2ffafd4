"""What a small spec or file may cost: each that asks for more is one line, and at once."""

from __future__ import annotations

import json
import re
import resource
import struct
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.checks.inspection import inspect_weights
from glorot_cli.derive.keras_graph import Call, Tensor, UnplacedError, in_order
from glorot_cli.errors import suggestion
from glorot_cli.formats.texts import DuplicateError, TooManyError, parse_json
from glorot_cli.report import documents
from glorot_cli.spec.source import parse

Run = Callable[..., tuple[int, str, str]]
REPEATED = "expected at most 250000 layers and 1000000 weights, found 1000000000 times"
RELU = {"type": "ReLU"}


def error_of(spec: dict[str, Any]) -> str:
    with pytest.raises(glorot.GlorotError) as caught:
        glorot.make_plan(glorot.load_spec({"seed": 1, **spec}))
    return str(caught.value).removeprefix("<spec>: ")


# Counts in a spec


@pytest.mark.parametrize(
    ("layer", "weights"),
    [
        ({"type": "RNN", "input_size": 1, "hidden_size": 1}, 4),
        ({"type": "GRU", "input_size": 1, "hidden_size": 1, "bidirectional": True}, 8),
        ({"type": "LSTM", "input_size": 1, "hidden_size": 2, "proj_size": 1}, 5),
        ({"type": "TransformerEncoder", "encoder_layer": RELU}, 0),
        ({"type": "TransformerDecoder", "decoder_layer": RELU}, 0),
    ],
)
def test_a_layer_that_repeats_itself(layer: dict[str, Any], weights: int) -> None:
    spec = {"dialect": "torch", "layers": [{**layer, "num_layers": 10**9}]}
    assert error_of(spec) == f"layers[0].num_layers: {REPEATED} {weights} weights"


@pytest.mark.parametrize(("stack", "weights"), [("encoder", 12), ("decoder", 18)])
def test_a_transformer_that_repeats_itself(stack: str, weights: int) -> None:
    layer = {"type": "Transformer", "d_model": 2, "nhead": 1, f"num_{stack}_layers": 10**9}
    spec = {"dialect": "torch", "layers": [layer]}
    assert error_of(spec) == f"layers[0].num_{stack}_layers: {REPEATED} {weights} weights"


def test_stacks_within_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glorot_cli.dialects.layer.MOST_LAYERS", 100)
    layer: dict[str, Any] = RELU
    for _ in range(8):
        layer = {"type": "TransformerEncoder", "encoder_layer": layer, "num_layers": 90}
    error = error_of({"dialect": "torch", "layers": [layer]})
    assert error.endswith(": expected at most 100 layers once repeated")


def nested(entry: dict[str, Any], times: int) -> dict[str, Any]:
    for index in "jk":
        entry = {"repeat": {index: times}, "entries": [entry]}
    return entry


TOO_OFTEN = "expected at most 1000000 entries once repeated, found 1000000000"


def test_the_product_of_nested_repeats() -> None:
    tensor = {"shape": [1], "initializer": "zeros", "repeat": {"i": 1000}}
    error = error_of({"tensors": [nested({"w{i}.{j}.{k}": tensor}, 1000)]})
    assert error == f"tensors[0].entries[0].entries[0].w{{i}}.{{j}}.{{k}}.repeat: {TOO_OFTEN}"
    error = error_of({"tensors": {"w{a}": {**tensor, "repeat": {"a": 10**3, "b": 10**6}}}})
    assert error == f"tensors.w{{a}}.repeat: {TOO_OFTEN}"
    layer: dict[str, Any] = {**RELU, "repeat": {"i": 1000}}
    error = error_of({"layers": [nested(layer, 1000)], "input_shape": [1]})
    assert error == f"layers[0].entries[0].entries[0].repeat: {TOO_OFTEN}"
    for index in "jk":
        layer = {"type": "Sequential", "repeat": {index: 1000}, "layers": [layer]}
    error = error_of({"layers": [layer], "input_shape": [1]})
    assert error == f"layers[0].layers[0].layers[0].repeat: {TOO_OFTEN}"


def test_repeats_that_depend_on_each_other_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glorot_cli.repeats.stamping.MOST_ENTRIES", 50)
    tensor = {"shape": [1], "initializer": "zeros", "repeat": {"j": [0, "i"]}}
    group = {"repeat": {"i": [1, 12]}, "entries": [{"w{i}.{j}": tensor}]}
    assert error_of({"tensors": [group]}).endswith("expected at most 50 entries once repeated")


def test_layers_are_counted_through_all_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glorot_cli.dialects.layer.MOST_LAYERS", 50)
    inner = {"type": "Sequential", "repeat": {"i": [1, 12]}, "layers": [
        {"type": "ReLU", "repeat": {"j": [0, "i"]}}
    ]}  # fmt: skip
    for dialect in ("keras", "torch"):
        error = error_of({"dialect": dialect, "input_shape": [1], "layers": [inner]})
        assert error.endswith("expected at most 50 layers once repeated")


def test_as_many_indices_as_anybody_needs() -> None:
    tensor = {"shape": [1], "initializer": "zeros", "repeat": {f"i{n}": 1 for n in range(5000)}}
    assert error_of({"tensors": {"w{i0}": tensor}}) == (
        "tensors.w{i0}.repeat: expected at most 32 indices, found 5000"
    )


def test_names_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = {"shape": [1], "initializer": "zeros", "repeat": {"i": 10**6}}
    error = error_of({"tensors": {"x" * 5000 + "{i}": tensor}})
    assert error.endswith(
        ": expected names of at most 64 MiB in all, found 5003 letters repeated 1000000 times"
    )
    for place in ("dialects.layer", "plan.planner"):
        monkeypatch.setattr(f"glorot_cli.{place}.LARGEST_NAMES", 1000)
    layer = {"type": "Dense", "units": 1, "repeat": {"i": 6}, "name": "x" * 100 + "{i}"}
    error = error_of({"input_shape": [1], "layers": [layer]})
    assert error == "layers[0]: expected names of at most 0 MiB in all"
    group = {"repeat": {"i": [1, 4]}, "entries": [
        {"x" * 200 + "{i}.{j}": {**tensor, "repeat": {"j": [0, "i"]}}}
    ]}  # fmt: skip
    assert error_of({"tensors": [group]}).endswith("expected names of at most 0 MiB in all")


# Suggestions


def test_a_suggestion_among_many_long_names(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    def close(word: str, known: list[str], **options: object) -> list[str]:
        compared.append(sum(len(each) for each in known) * len(word))
        return []

    monkeypatch.setattr("difflib.get_close_matches", close)
    many = [f"{'ab' * 70}{n}" for n in range(100_000)]
    assert suggestion("ba" * 70, many).startswith("known: abab")
    assert suggestion("x" * 500, many, listed=1).startswith("known: abab")
    assert suggestion("x", ["y" * 500]) == "known: '" + "y" * 56 + "..."
    assert max(compared) < 3_000_000


def test_a_mistyped_name_is_found_among_many() -> None:
    many = [f"h.{n}.attn.weight" for n in range(100_000)]
    assert suggestion("h.77777.atn.weight", many) == "did you mean 'h.77777.attn.weight'?"


# Keras's configurations


def test_layers_in_reverse_order_take_no_pass_each() -> None:
    calls = [
        Call("l0", "l0", "ReLU", False, (Tensor("in", 0, [1]),), ()),
        *(
            Call(f"l{n}", f"l{n}", "ReLU", False, (Tensor(f"l{n - 1}", 0, [1]),), ())
            for n in range(1, 20_000)
        ),
    ]
    assert in_order(calls[::-1], ["in"], ["l19999"]) == calls
    with pytest.raises(UnplacedError, match=r"^l19999$"):
        in_order(calls[:0:-1], ["in"], ["l19999"])


def test_calls_are_placed_as_by_passes_over_what_is_left() -> None:
    def tensor(label: str) -> tuple[Tensor, ...]:
        return (Tensor(label, 0, [1]),)

    a = Call("a", "a", "ReLU", False, tensor("b"), ())
    b = Call("b", "b", "ReLU", False, tensor("in"), ())
    c = Call("c", "c", "ReLU", False, tensor("in"), ())
    again = Call("a", "a:1", "ReLU", False, tensor("c"), ())
    placed = in_order([again, a, b, c], ["in"], ["a", "a:1"])
    assert [call.label for call in placed] == ["b", "c", "a", "a:1"]


# Descriptors


def test_a_folder_of_more_files_than_may_be_open(tmp_path: Path, run: Run) -> None:
    names = {}
    for number in range(150):
        np.save(tmp_path / f"w{number}.npy", np.full(3, number, "f4"))
        names[f"w{number}"] = {"file": f"w{number}.npy"}
    (tmp_path / "manifest.json").write_text(json.dumps({"glorot": {}, "tensors": names}))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (140, limits[1]))
    try:
        code, _, err = run("diff", str(tmp_path), str(tmp_path))
        assert (code, err) == (0, "")
        code, _, err = run("inspect", str(tmp_path), "--sha256")
        assert (code, err) == (0, "")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


# Files that say the same twice


def test_members_of_an_archive_that_overlap(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "many.npz"
    np.savez(path, w000=np.zeros(1000, "f4"))
    data = path.read_bytes()
    start, end = data.rindex(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    entries = b"".join(data[start:end].replace(b"w000", b"w%03d" % n) for n in range(200))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 200, 200, len(entries), start, 0)
    path.write_bytes(data[:start] + entries + tail)
    assert run("inspect", path) == (
        2, "", f"glorot: {path}: its members take more bytes than it has: some overlap\n"
    )  # fmt: skip


def test_a_file_that_a_manifest_lists_twice(tmp_path: Path, run: Run) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    tensors = {name: {"file": "a.npy"} for name in "ab"}
    (tmp_path / "manifest.json").write_text(json.dumps({"glorot": {}, "tensors": tensors}))
    line = f"{tmp_path}/manifest.json: 'a.npy' is the file of 'a' and of 'b'"
    assert run("inspect", tmp_path) == (2, "", f"glorot: {line}\n")


# Work


def test_directives_before_a_spec() -> None:
    with pytest.raises(glorot.SpecError) as caught:
        parse("%TAG !a! x\n" * 100_000 + "---\na: 1\n", "x.yaml")
    assert str(caught.value) == "x.yaml:17:1: expected at most 16 directives such as %YAML"
    assert parse("%YAML 1.2\n---\na: |\n  %TAG\n", "x.yaml").data == {"a": "%TAG\n"}


def test_rules_times_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glorot_cli.plan.choices.MOST_MATCHES", 5000)
    rules = [{f"*{n}x": "zeros"} for n in range(100)] + [{"*": "zeros"}]
    tensors = {"w{i}": {"shape": [1], "repeat": {"i": 100}}}
    assert error_of({"initializers": rules, "tensors": tensors}) == (
        "initializers: expected rules that match all names within 5000 trials; "
        "give initializers on entries, or fewer rules"
    )


def test_numbers_before_a_tensor_in_a_stream_that_all_share() -> None:
    tensor = {"initializer": {"name": "random_uniform"}}
    spec = {
        "seed": 1, "rng": "torch",
        "tensors": {"a": {**tensor, "shape": [2**39]}, "b": {**tensor, "shape": [3]}},
    }  # fmt: skip
    plan = glorot.make_plan(glorot.load_spec(spec))
    with pytest.raises(glorot.GlorotError) as caught:
        glorot.draw(plan, "b")
    assert str(caught.value) == (
        "the stream is drawn from its start on, and 549755813888 numbers come before this "
        "tensor's; expected at most 2**33"
    )


def test_json_is_printed_an_entry_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    spec = {"seed": 1, "tensors": {"é{i}": {"shape": [2], "initializer": "ones",
                                            "repeat": {"i": 3}}}}  # fmt: skip
    plan = glorot.make_plan(glorot.load_spec(spec))
    documents.print_json(documents.plan_parts(plan))
    whole = json.dumps(documents.plan_document(plan), indent=2) + "\n"
    assert capsys.readouterr().out == whole
    cases: tuple[dict[str, Any], ...] = ({}, {"a": []}, {"a": {"b": [1, {}]}, "c": None})
    for document in cases:
        documents.print_json(document)
        assert capsys.readouterr().out == json.dumps(document, indent=2) + "\n"
    documents.print_json({"a": iter(())})
    assert capsys.readouterr().out == '{\n  "a": []\n}\n'


def test_samples_are_smaller_where_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glorot_cli.checks.inspection.MOST_KEPT", 4000)
    path = tmp_path / "w.npz"
    np.savez(path, *[np.linspace(0, 1, 5000, dtype="f4") for _ in range(5)])
    for tensor in inspect_weights(path, samples=True).tensors:
        assert tensor.sample is not None
        assert tensor.sample.size == 715
        assert (tensor.sample[0], sum(tensor.histogram or [])) == (0.0, 5000)
    assert all(tensor.sample is None for tensor in inspect_weights(path).tensors)


def test_the_documented_limits_are_the_codes() -> None:
    text = (Path(__file__).parents[1] / "docs" / "limits.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w.]+)\.(\w+)` \| ([\d,]+)( MiB)? \|", text, re.MULTILINE)
    assert len(rows) == text.count("\n| `") == 36
    for module, name, value, unit in rows:
        found = getattr(import_module(f"glorot_cli.{module}"), name)
        assert found == int(value.replace(",", "")) << (20 if unit else 0), name


# What is written is read


def test_what_is_written_is_read(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tmp_path / "w.yaml"
    tensor = '  "w{i}": {shape: [1, 1, 1], initializer: zeros, repeat: {i: 100}}\n'
    spec.write_text(f"seed: 1\ntensors:\n{tensor}")
    for name in ("w.safetensors", "w.h5", "w/"):
        output = f"{tmp_path}/{name}"
        with monkeypatch.context() as patch:
            patch.setattr("glorot_cli.formats.MOST_TENSORS", 99)
            assert run("init", spec, "-o", output) == (
                2, "", "glorot: a file holds at most 99 tensors, the plan has 100\n"
            )  # fmt: skip
            patch.setattr("glorot_cli.formats.MOST_TENSORS", 100)
            patch.setattr("glorot_cli.formats.MOST_VALUES", 1299)
            assert run("init", spec, "-o", output) == (
                2, "", "glorot: a file's headers hold at most 1299 values\n"
            )  # fmt: skip
        assert run("init", spec, "-o", output, "-q")[0] == 0
        # The most that the writer allows is enough for the reader.
        with monkeypatch.context() as patch:
            for module in ("hdf5_walk", "npy", "safetensors", "texts"):
                patch.setattr(f"glorot_cli.formats.{module}.MOST_TENSORS", 101)
            patch.setattr("glorot_cli.formats.texts.MOST_VALUES", 1300)
            patch.setattr("glorot_cli.formats.texts.MOST_KEYS", 600)
            assert run("verify", output)[0] == 0


@pytest.mark.parametrize("text", [b'{"a": 1' + b',"b":2' * 9 + b"}", b'{"a" :1' + b',"b" :2' * 9])
def test_keys_are_counted(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glorot_cli.formats.texts.MOST_KEYS", 9)
    with pytest.raises(TooManyError, match=r"^expected at most 9 keys$"):
        parse_json(text)


def test_a_key_that_stands_twice_among_many() -> None:
    text = "{" + ",".join(f'"{n}":0' for n in range(200_000)) + ',"7":1}'
    with pytest.raises(DuplicateError, match=r"^duplicate key '7'$"):
        parse_json(text, unique=True)


@pytest.mark.parametrize("kind", ["h5", "npz"])
def test_a_claim_of_orthogonal_for_few_bytes(kind: str, tmp_path: Path, run: Run) -> None:
    spec = tmp_path / "w.yaml"
    spec.write_text(
        "seed: 1\ndtype: float16\ntensors:\n"
        "  w: {shape: [4096, 4096], axes: IO, initializer: orthogonal}\n"
    )
    path = tmp_path / f"w.{kind}"
    zeros = np.zeros((4096, 4096), "f2")
    if kind == "npz":
        np.savez_compressed(path, w=zeros)
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("w", data=zeros, chunks=(1024, 4096), compression=9)
    code, out, err = run("verify", path, spec)
    assert (code, out) == (2, "")
    assert re.fullmatch(
        rf"glorot: {path}: 'w' is to be orthogonal, and its 33554432 bytes are compressed to \d+, "
        r"which no random elements are; not drawn\n",
        err,
    )


def test_names_of_the_spec_are_not_copied_for_each_repetition() -> None:
    spec = {
        "seed": 1, "dims": {f"d{n}": 1 for n in range(900)}, "dialect": "torch",
        "layers": [{"type": "ReLU", "repeat": {"i": 2}}, {"repeat": {"i": 2}, "entries": [
            {"type": "Linear", "in_features": "i+j", "out_features": "d7", "bias": False,
             "name": "l{i}{j}", "repeat": {"j": [1, 3]}},
        ]}],
    }  # fmt: skip
    loaded = glorot.load_spec(spec)
    places = list(loaded.layers())
    assert [dict(place.names.own) for place in places] == [  # type: ignore[attr-defined]
        {"i": 0}, {"i": 1}, *({"i": i, "j": j} for i in (0, 1) for j in (1, 2)),
    ]  # fmt: skip
    assert len({id(place.names.shared) for place in places}) == 1  # type: ignore[attr-defined]
    assert [tensor.shape for tensor in glorot.make_plan(loaded).tensors] == [
        (1, 1), (1, 2), (1, 2), (1, 3),
    ]  # fmt: skip


def test_indices_of_groups_within_groups_are_counted() -> None:
    entry: dict[str, Any] = {"w{a0}": {"shape": [1], "initializer": "zeros"}}
    for index in "abcdefghijklm":
        entry = {"repeat": {f"{index}{n}": 1 for n in range(4)}, "entries": [entry]}
    error = error_of({"tensors": [entry]})
    assert error.endswith(".repeat: expected at most 32 indices, found 36")
    entry = {"each": {"p": ["q"] * 2000}, "repeat": {"i": 2000}, "shape": [1]}
    assert error_of({"tensors": {"{p}{i}": entry}}).endswith(
        "expected at most 1000000 entries once repeated, found 4000000"
    )
