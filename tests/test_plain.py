"""The plainest specs: names and shapes, and what they leave open."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import glorot_cli as glorot
from glorot_cli.cli.app import program
from glorot_cli.dialects.classes import class_of
from glorot_cli.dialects.keras.names import snake_case

Run = Callable[..., tuple[int, str, str]]

NONE = (
    "note: the spec names no initializer: glorot_uniform for tensors of rank 2 or more, zeros for "
    "the others; choose with initializer: at the top\n"
)


def planned(spec: Any, *, strict: bool = False) -> glorot.Plan:
    return glorot.make_plan(glorot.load_spec(spec), strict=strict)


def drawn(spec: Any) -> dict[str, tuple[list[int], str]]:
    return {t.name: (list(t.shape), t.initializer) for t in planned(spec).tensors}


def fans(spec: Any) -> dict[str, tuple[int, int] | None]:
    return {t.name: t.fans and (t.fans.fan_in, t.fans.fan_out) for t in planned(spec).tensors}


KERNELS = {
    "fc1/kernel": ([784, 256], "glorot_uniform"),
    "c/kernel": ([3, 3, 8, 16], "glorot_uniform"),
}
FORMS: list[tuple[dict[str, Any], dict[str, tuple[list[int], str]]]] = [
    ({"layers": [{"name": "fc1", "shape": [784, 256]},
                 {"name": "c", "type": "conv2d", "shape": [3, 3, 8, 16]}]}, KERNELS),
    ({"layers": {"fc1": [784, 256], "c": {"type": "Conv2D", "shape": [3, 3, 8, 16]}}}, KERNELS),
    ({"dialect": "torch", "layers": {"fc1": [256, 784]}},
     {"fc1.weight": ([256, 784], "glorot_uniform")}),
    ({"fc1": [784, 256], "b": [10], "s": []},
     {"fc1": ([784, 256], "glorot_uniform"), "b": ([10], "zeros"), "s": ([], "zeros")}),
    ({"fc1": [784, 256], "b": 10}, {"fc1": ([784, 256], "glorot_uniform"), "b": ([10], "zeros")}),
    ({"tensors": {"w": [2, 3], "b": 3}}, {"w": ([2, 3], "glorot_uniform"), "b": ([3], "zeros")}),
    ({"tensors": [{"name": "w", "shape": [2, 3]}, {"v": [4], "u": {"shape": 5}}]},
     {"w": ([2, 3], "glorot_uniform"), "v": ([4], "zeros"), "u": ([5], "zeros")}),
    ({"layers": [{"name": "a", "shape": [2, 3], "bias": True}]},
     {"a/kernel": ([2, 3], "glorot_uniform"), "a/bias": ([3], "zeros")}),
    ({"dialect": "torch", "layers": [{"name": "a", "shape": [3, 2], "bias": True}]},
     {"a.weight": ([3, 2], "glorot_uniform"), "a.bias": ([3], "zeros")}),
    ({"layers": {"a": {"type": "depthwise_conv2d", "shape": [3, 3, 8, 2], "bias": True}}},
     {"a/kernel": ([3, 3, 8, 2], "glorot_uniform"), "a/bias": ([16], "zeros")}),
    ({"initializer": "he_normal", "layers": {"a": {"shape": [2, 3], "bias": True}},
      "tensors": {"s": [4], "w": {"shape": [2, 2], "initializer": "ones"}}},
     {"a/kernel": ([2, 3], "he_normal"), "a/bias": ([3], "zeros"), "s": ([4], "zeros"),
      "w": ([2, 2], "ones")}),
    ({"dims": {"d": 4}, "layers": [{"repeat": {"i": 2}, "entries": [
        {"name": "l{i}", "shape": ["d", "d + i"], "bias": True}]}]},
     {"l0/kernel": ([4, 4], "glorot_uniform"), "l0/bias": ([4], "zeros"),
      "l1/kernel": ([4, 5], "glorot_uniform"), "l1/bias": ([5], "zeros")}),
    ({"layers": {"l{i}": {"shape": [2, 2], "repeat": {"i": 2}}}},
     {"l0/kernel": ([2, 2], "glorot_uniform"), "l1/kernel": ([2, 2], "glorot_uniform")}),
    ({"input_shape": [8], "layers": {"a": [8, 4], "b": {"type": "Dense", "units": 2}},
      "tensors": {"c": [3, 3]}},
     {"b/kernel": ([4, 2], "glorot_uniform"), "b/bias": ([2], "zeros"),
      "a/kernel": ([8, 4], "glorot_uniform"), "c": ([3, 3], "glorot_uniform")}),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "tensors"), FORMS)
def test_forms(spec: dict[str, Any], tensors: dict[str, tuple[list[int], str]]) -> None:
    assert drawn(spec) == tensors


@pytest.mark.parametrize("spec", [spec for spec, _ in FORMS])
def test_provenance_draws_the_same(spec: dict[str, Any]) -> None:
    plan = planned(spec)
    again = planned(json.loads(json.dumps(plan.spec, sort_keys=True)))
    assert again.tensors == plan.tensors
    assert again.spec == plan.spec


AXES: list[tuple[str, str | None, list[int], tuple[int, int]]] = [
    ("keras", None, [5, 7], (5, 7)),
    ("keras", None, [3, 5, 7], (15, 21)),
    ("keras", None, [3, 3, 5, 7], (45, 63)),
    ("keras", None, [2, 3, 3, 5, 7], (90, 126)),
    ("torch", None, [5, 7], (7, 5)),
    ("torch", None, [5, 7, 3], (21, 15)),
    ("torch", None, [5, 7, 3, 3], (63, 45)),
    ("torch", None, [5, 7, 2, 3, 3], (126, 90)),
    ("keras", "dense", [5, 7], (5, 7)),
    ("keras", "embedding", [5, 7], (5, 7)),
    ("keras", "conv1d", [3, 5, 7], (15, 21)),
    ("keras", "Conv2D", [3, 3, 5, 7], (45, 63)),
    ("keras", "conv3d", [2, 3, 3, 5, 7], (90, 126)),
    ("keras", "depthwise_conv2d", [3, 3, 5, 2], (9, 18)),
    ("keras", "conv2d_transpose", [3, 3, 7, 5], (45, 63)),
    ("torch", "linear", [5, 7], (7, 5)),
    ("torch", "dense", [5, 7], (7, 5)),
    ("torch", "conv2d", [5, 7, 3, 3], (63, 45)),
]


@pytest.mark.parametrize(("dialect", "kind", "shape", "expected"), AXES)
def test_axes(dialect: str, kind: str | None, shape: list[int], expected: tuple[int, int]) -> None:
    said = {} if kind is None else {"type": kind}
    entry = {"shape": shape, "initializer": "he_normal", **said}
    both = {"dialect": dialect, "layers": {"a": entry}, "tensors": {"b": entry}}
    assert list(fans(both).values()) == [expected, expected]
    assert len(planned(both).notices) == (kind is None)


def test_one_note_of_axes_and_strict(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "seed: 1\ninitializer: he_normal\nlayers:\n  a: [5, 7]\n  b: [3, 3, 5, 7]\n"
        "  c: {shape: [5, 7], initializer: ones}\n",
        encoding="utf-8",
    )
    note = (
        "note: a/kernel (and 1 more): axes taken by rank, IO, HWIO; say others with axes or type\n"
    )
    code, _, err = run("plan", path)
    assert (code, err) == (0, note)
    where = f"glorot: {path}:2:14: initializer: "
    message = (
        "a tensor of shape [5, 7] needs axes, one letter per axis (I input, O output, B batch, "
        "others receptive field), such as IO or HWIO\n"
    )
    assert run("plan", path, "--strict") == (2, "", where + message)
    out = tmp_path / "w.safetensors"
    assert run("init", path, "-o", out, "--strict")[0] == 2
    assert not out.exists()


def test_no_initializer_is_noted_in_one_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{"w": {}}'.replace("{}", "[4]"), encoding="utf-8")
    assert run("plan", path)[2] == NONE
    message = (
        f"glorot: {path}:1:7: tensors.w: nothing says how 'w' is initialised; give it an "
        "initializer, or a rule under initializers that matches it\n"
    )
    assert run("plan", path, "--strict") == (2, "", message)


def test_init_and_verify_end_with_what_they_guessed(run: Run, tmp_path: Path) -> None:
    path, out = tmp_path / "s.json", tmp_path / "w.safetensors"
    path.write_text('{"a": [3, 4], "b": [4], "c": [4, 5]}', encoding="utf-8")
    guessed = (
        "note: guessed: the initializer of 3 of 3 tensors (a, b, c), "
        "the axes of 2 of 3 tensors (a, c)"
    )
    assert run("init", path, "-o", out, "--seed", 1)[2].splitlines()[-1] == guessed
    verdict = f"{out}: as drawn from seed 1, the file's own: 3 equal\n"
    assert run("verify", out, path) == (0, verdict, guessed + "\n")
    assert run("verify", out) == (0, f"{out}: as drawn from seed 1: 3 equal\n", "")
    path.write_text('{"initializer": "he_normal", "tensors": {"a": [3, 4]}}', encoding="utf-8")
    assert run("init", path, "-fo", out)[2].splitlines()[-1] == (
        "note: guessed: the axes of 1 of 1 tensors (a)"
    )


@pytest.mark.parametrize(
    "named",
    [
        {"initializers": [{"v": "ones"}]},
        {"layers": [{"type": "Dense", "units": 2, "input_shape": [2], "bias_initializer": "ones"}]},
        {"layers": {"a": {"shape": [2, 2], "initializer": "ones"}}},
        {"tensors": {"w": [2, 2], "v": {"shape": [2], "initializer": "ones"}}},
    ],
)
def test_an_initializer_anywhere_leaves_the_rest_undecided(named: dict[str, Any]) -> None:
    spec = {"tensors": {"w": [2, 2], "v": [2]}, **named}
    with pytest.raises(glorot.GlorotError, match=r"nothing says how '[wv]' is initialised"):
        planned(spec)


def test_a_layer_keeps_its_default_and_the_note_says_so() -> None:
    spec = {
        "initializer": "he_normal",
        "input_shape": [4],
        "layers": [{"type": "Dense", "units": 2}],
    }
    plan = planned(spec)
    assert plan["dense/kernel"].initializer == "glorot_uniform"
    assert plan.notices == (
        "dense/kernel: the dialect's default decides, before the spec's initializer; "
        "a rule under initializers comes before both",
    )


def test_what_describes_a_spec_decides_nothing() -> None:
    plain = {"seed": 1, "layers": {"a": [2, 3]}}
    said = {"$schema": "x", "name": "net", "description": ["a", "b"], "x-made": {"by": [1]}}
    assert planned({**said, **plain}) == planned(plain)
    assert drawn({**said, "a": [2, 3]}) == {"a": ([2, 3], "glorot_uniform")}


def test_other_specs_keep_their_axes() -> None:
    """Only fans by the exact rule are counted by axes that nobody wrote."""
    entry = {"shape": [5, 7], "initializer": "orthogonal"}
    plan = planned({"dialect": "torch", "tensors": {"w": entry}})
    assert plan["w"].fans is None
    assert (
        plan["w"].distribution
        == glorot.make_plan(glorot.load_spec({"tensors": {"w": entry}}))["w"].distribution
    )


MISTAKES = [
    ("fc1: [784, 256]\nseed: 3\n",
     "1:1: fc1: expected a key of a spec; put 'fc1' and its shape under tensors"),
    ("name: [3, 4]\nfc1: [784, 256]\n",
     "1:1: name: expected a key of a spec; put 'name' and its shape under tensors"),
    ("fc1: [784, 0]\n",
     "1:12: tensors.fc1.shape[1]: expected a positive integer below 2**40, found 0"),
    ("layers:\n  - {shape: [2, 3]}\n",
     "2:5: layers[0]: a layer that has a shape needs 'name', which is missing"),
    ("layers:\n  - {name: a, shape: [2, 3], type: lstm}\n",
     "2:36: layers[0].type: no axes are known of the type 'lstm'; known: conv1d, "
     "conv1d_transpose, conv2d, conv2d_transpose, conv3d, conv3d_transpose, dense, "
     "depthwise_conv1d, depthwise_conv2d, embedding"),
    ("layers:\n  - {name: a, shape: [2, 3], type: conv2d}\n",
     "2:22: layers[0].shape: expected 4 sizes, one for each of the axes HWIO of a conv2d kernel, "
     "found the shape [2, 3]"),
    ("layers:\n  - {name: a, shape: [2], bias: true}\n",
     "2:33: layers[0].bias: a bias goes with one axis of outputs, found a shape without axes; "
     "write it as a tensor of its own"),
    ("layers:\n  a: {shape: [2, 3], axes: BI, bias: true}\n",
     "2:38: layers[0].bias: a bias goes with one axis of outputs, found the axes 'BI'; "
     "write it as a tensor of its own"),
    ("layers:\n  a: {shape: [2, 3, x]}\n",
     "2:21: layers[0].shape[2]: 'x' uses the unknown name 'x'; there are no dims"),
    ("layers:\n  a: {name: b, shape: [2, 3]}\n",
     "2:7: layers.a.name: the layer is named 'a' by its key; leave its name out"),
    ("layers:\n  a: {shape: [2, 3, 4], axes: IOO, initializer: ones}\n"
     "  b: {type: Dense, units: 2}\n",
     "3:6: layers[1]: the shape of 'a' does not say what comes out of it: "
     "give this layer its input_shape"),
    ("layers:\n  a: [2, 3]\n  b: {shape: [2, -3]}\n",
     "3:18: layers[1].shape[1]: expected a positive integer below 2**40, found -3"),
    ("tensors:\n  - {name: 7, shape: [2]}\n",
     "2:12: tensors[0].name: expected the name of a tensor, found 7"),
    ("tensors:\n  - {name: w, shape: [2], initialiser: ones}\n",
     "2:27: tensors[0].w.initialiser: unknown key for a tensor; did you mean 'initializer'?"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_mistakes(run: Run, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    assert run("plan", path) == (2, "", f"glorot: {path}:{message}\n")


@pytest.mark.parametrize("rng", ["torch", "jax", "keras-numpy"])
def test_a_layer_with_a_shape_is_drawn_as_a_raw_tensor(rng: str) -> None:
    entry: dict[str, Any] = {"shape": [3, 4], "initializer": "glorot_uniform"}
    if rng != "torch":
        entry["seed"] = 7
    first = planned({"seed": 1, "rng": rng, "layers": {"a": entry}})["a/kernel"]
    raw = planned({"seed": 1, "rng": rng, "tensors": {"a/kernel": entry}})["a/kernel"]
    assert first == raw


# Names of layers and of keys


SAME = [
    ("keras", {"type": "dense", "units": 2}, {"type": "Dense", "units": 2}),
    ("keras", {"type": "batch_normalization"}, {"type": "BatchNormalization"}),
    ("keras", {"type": "batchnormalization"}, {"type": "BatchNormalization"}),
    ("keras", {"type": "leaky_re_lu"}, {"type": "LeakyReLU"}),
    ("keras", {"type": "bidirectional", "layer": {"type": "gru", "units": 2}},
     {"type": "Bidirectional", "layer": {"type": "GRU", "units": 2}}),
    ("keras", {"type": "rnn", "cell": [{"type": "lstm_cell", "units": 2}]},
     {"type": "RNN", "cell": [{"type": "LSTMCell", "units": 2}]}),
    ("keras", {"type": "sequential", "layers": [{"type": "dense", "units": 2}]},
     {"type": "Sequential", "layers": [{"type": "Dense", "units": 2}]}),
    ("keras", {"type": "conv1d", "filters": 2, "kernel_size": 3},
     {"type": "Conv1D", "filters": 2, "kernel_size": 3}),
    ("torch", {"type": "linear", "in_features": 4, "out_features": 2},
     {"type": "Linear", "in_features": 4, "out_features": 2}),
    ("torch", {"type": "multihead_attention", "embed_dim": 4, "num_heads": 2},
     {"type": "MultiheadAttention", "embed_dim": 4, "num_heads": 2}),
    ("torch", {"type": "module_list", "layers": [{"type": "layer_norm", "normalized_shape": 4}]},
     {"type": "ModuleList", "layers": [{"type": "LayerNorm", "normalized_shape": 4}]}),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "plain", "classes"), SAME)
def test_a_type_in_lower_case_is_its_class(
    dialect: str, plain: dict[str, Any], classes: dict[str, Any]
) -> None:
    top: dict[str, Any] = {"seed": 1, "dialect": dialect}
    if dialect == "keras":
        top["input_shape"] = [5, 4]
    first = planned({**top, "layers": [plain]})
    assert first.tensors == planned({**top, "layers": [classes]}).tensors
    assert planned(first.spec).tensors == first.tensors


@pytest.mark.parametrize("dialect", ["keras", "torch"])
def test_every_class_has_a_name_in_lower_case(dialect: str) -> None:
    for name in import_module(f"glorot_cli.dialects.{dialect}.table").LAYERS:
        assert class_of(name, dialect) == name
        assert class_of(name.lower(), dialect) == name
        assert class_of(snake_case(name), dialect) in (name, None)
    assert class_of("Conv2d" if dialect == "keras" else "Conv2D", dialect) is None


def test_input_dim_is_an_input_shape_of_one() -> None:
    layer = {"type": "Dense", "units": 3}
    assert (
        planned({"seed": 1, "layers": [{**layer, "input_dim": 4}]}).tensors
        == planned({"seed": 1, "layers": [{**layer, "input_shape": 4}]}).tensors
        == planned({"seed": 1, "input_shape": 4, "layers": [layer]}).tensors
        == planned({"seed": 1, "input_shape": [4], "layers": [layer]}).tensors
    )
    table = {"type": "embedding", "input_dim": 7, "output_dim": 2, "input_shape": 3}
    assert drawn({"layers": [table]}) == {"embedding/embeddings": ([7, 2], "random_uniform")}


D = "input_shape: 4\nlayers:\n  - "
T = "dialect: torch\nlayers:\n  - "
HINTS = [
    (D + "{type: Conv2D, in_channels: 3}\n",
     "3:20: layers[0].in_channels: in_channels is an argument of torch's Conv2d: "
     "set dialect: torch"),
    (D + "{type: conv2d, out_channels: 3}\n",
     "3:20: layers[0].out_channels: out_channels is an argument of torch's Conv2d: "
     "set dialect: torch, or use filters"),
    (D + "{type: Dense, out_features: 3}\n",
     "3:19: layers[0].out_features: out_features is an argument of torch's Linear: "
     "set dialect: torch, or use units"),
    (D + "{type: LSTM, hidden_size: 3}\n",
     "3:18: layers[0].hidden_size: hidden_size is an argument of torch's LSTM: "
     "set dialect: torch, or use units"),
    (T + "{type: Linear, units: 3}\n",
     "3:20: layers[0].units: units is an argument of Keras's Dense: "
     "set dialect: keras, or use out_features"),
    (T + "{type: Conv2d, filters: 3}\n",
     "3:20: layers[0].filters: filters is an argument of Keras's Conv2D: "
     "set dialect: keras, or use out_channels"),
    (D + "{type: linear, out_features: 3}\n",
     "3:12: layers[0].type: linear is torch's: set dialect: torch, or use type: Dense"),
    (T + "{type: dense, units: 3}\n",
     "3:12: layers[0].type: dense is Keras's: set dialect: keras, or use type: Linear"),
    (D + "{type: Dense, units: 3, in: 3}\n",
     "3:29: layers[0].in: unknown key for Dense; did you mean 'input_shape'?"),
    (D + "{type: Dense, n_out: 3}\n",
     "3:19: layers[0].n_out: unknown key for Dense; did you mean 'units'?"),
    (D + "{type: Conv2D, out: 3}\n",
     "3:20: layers[0].out: unknown key for Conv2D; did you mean 'filters'?"),
    (D + "{type: Dense, units: 3, init: ones}\n",
     "3:29: layers[0].init: unknown key for Dense; did you mean 'kernel_initializer'?"),
    (T + "{type: Linear, n_in: 3, n_out: 3}\n",
     "3:20: layers[0].n_in: unknown key for Linear; did you mean 'in_features'?"),
    (T + "{type: Conv2d, in: 3}\n",
     "3:20: layers[0].in: unknown key for Conv2d; did you mean 'in_channels'?"),
    (T + "{type: Linear, in_features: 3, out_features: 3, init: ones}\n",
     "3:53: layers[0].init: unknown key for Linear; did you mean 'initializers'?"),
    ("tensors:\n  w: {shape: 3, init: ones}\n",
     "2:17: tensors.w.init: unknown key for a tensor; did you mean 'initializer'?"),
    ("init: ones\ntensors:\n  w: 3\n",
     "1:1: init: unknown key for a spec; did you mean 'initializer'?"),
    ("layers:\n  - {type: Dense, units: 3, input_dim: 4, input_shape: 4}\n",
     "2:29: layers[0].input_dim: expected input_dim or input_shape, found both"),
    ("layers:\n  - {type: Dense, units: 3, input_dim: 0}\n",
     "2:40: layers[0].input_dim: expected a positive integer below 2**40, found 0"),
    (D + "{type: Sequential, layers: [{name: a, shape: [2, 3]}]}\n",
     "3:43: layers[0].layers[0].shape: a layer that is said by its shape stands at the top of "
     "layers, or in a group there"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), HINTS)
def test_hints(run: Run, tmp_path: Path, text: str, message: str) -> None:
    test_mistakes(run, tmp_path, text, message)


# Anchors


def test_anchors_and_merges_are_what_they_stand_for(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "seed: 1\nx-base: &base {type: Dense, units: 4}\nx-more: &more {units: 5, dtype: float16}\n"
        "input_shape: 4\nlayers:\n  - *base\n  - {<<: *base, units: 3}\n"
        "  - {name: last, <<: [*more, *base]}\n  - &w {name: w, shape: &s [2, 2]}\n"
        "  - {<<: *w, name: v}\ntensors:\n  a: *s\n",
        encoding="utf-8",
    )
    base = {"type": "Dense", "units": 4}
    written = {
        "seed": 1,
        "input_shape": 4,
        "layers": [
            base,
            {**base, "units": 3},
            {**base, "units": 5, "dtype": "float16", "name": "last"},
            {"name": "w", "shape": [2, 2]},
            {"name": "v", "shape": [2, 2]},
        ],
        "tensors": {"a": [2, 2]},
    }
    plan = glorot.make_plan(glorot.load_spec(path))
    assert plan == planned(written)
    assert [t.name for t in plan.tensors][-3:] == ["w/kernel", "v/kernel", "a"]


def test_a_mistake_in_what_is_merged_is_where_it_stands(run: Run, tmp_path: Path) -> None:
    text = "x-a: &a {unitz: 4}\ninput_shape: 4\nlayers:\n  - {type: Dense, <<: *a}\n"
    test_mistakes(
        run,
        tmp_path,
        text,
        "1:10: layers[0].unitz: unknown key for Dense; did you mean 'units'?",
    )


def test_json_has_no_merges(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{"tensors": {"<<": [2]}}', encoding="utf-8")
    assert [t.name for t in glorot.make_plan(glorot.load_spec(path)).tensors] == ["<<"]


# The command line


def test_every_comparison_counts(run: Run) -> None:
    shapes = "sample_specs/mlp.yaml"
    several = run("plan", shapes, "--seed", 1, "--compare", "he_normal", "--compare", "ones")
    assert several[0] == 0
    assert several == run("plan", shapes, "--seed", 1, "--compare", "he_normal,ones")
    assert "he_normal" in several[1]


def test_a_completion_ends_with_0(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    # typer reads the variable when the program is made.
    program.cache_clear()
    assert run("--show-completion", "bash")[0] == 0
    code, out, _ = run("--install-completion", "bash")
    assert code == 0
    assert out.startswith("bash completion installed in")
    assert run("--show-completion", "sheel")[0] == 2
    program.cache_clear()
