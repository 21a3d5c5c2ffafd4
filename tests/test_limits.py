"""What a small spec or file may cost: each that asks for more is one line, and at once."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.derive.keras_graph import Call, Tensor, UnplacedError, in_order
from glorot_cli.errors import suggestion

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
    monkeypatch.setattr("glorot_cli.repeats.MOST_ENTRIES", 50)
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
