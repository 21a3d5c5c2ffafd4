"""Rules: which initialiser decides a tensor, what no rule may do, and the errors of a spec."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import glorot_cli as glorot

Run = Callable[..., tuple[int, str, str]]
Planned = Callable[..., glorot.Plan]


def decided(plan: glorot.Plan) -> dict[str, tuple[str, str]]:
    return {t.name: (t.initializer, t.decided_by) for t in plan.tensors}


def test_authority_is_entry_then_rule_then_dialect(planned: Planned) -> None:
    plan = planned(
        input_shape=[3],
        initializers=[{"dense/bias": "ones"}, {"dense_1/*": "he_normal"}, {"*/*": "he_uniform"}],
        layers=[
            {"type": "Dense", "units": 4, "kernel_initializer": "lecun_normal"},
            {"type": "Dense", "units": 4, "bias_initializer": "zeros"},
            {"type": "Dense", "units": 4},
        ],
    )
    assert decided(plan) == {
        "dense/kernel": ("lecun_normal", "its entry"),
        "dense/bias": ("ones", "the rule 'dense/bias'"),
        "dense_1/kernel": ("he_normal", "the rule 'dense_1/*'"),
        "dense_1/bias": ("zeros", "its entry"),
        "dense_2/kernel": ("he_uniform", "the rule '*/*'"),
        "dense_2/bias": ("he_uniform", "the rule '*/*'"),
    }


def test_the_default_decides_what_no_rule_matches(planned: Planned) -> None:
    plan = planned(
        input_shape=[3],
        initializers=[{"dense/bias": "ones"}],
        layers=[{"type": "Dense", "units": 4}],
    )
    assert decided(plan) == {
        "dense/kernel": ("glorot_uniform", "the dialect's default"),
        "dense/bias": ("ones", "the rule 'dense/bias'"),
    }


def test_an_entry_that_says_the_default_still_decides(planned: Planned) -> None:
    layer = {"type": "Dense", "units": 4, "kernel_initializer": "glorot_uniform"}
    plan = planned(input_shape=[3], initializers=[{"*": "ones"}], layers=[layer])
    assert decided(plan) == {
        "dense/kernel": ("glorot_uniform", "its entry"),
        "dense/bias": ("ones", "the rule '*'"),
    }


@pytest.mark.parametrize(
    ("glob", "matched"),
    [
        ("*", ["a.bias", "a/b.bias", "a.b.Bias", "h.10.w", "h.1.w"]),
        ("*.bias", ["a.bias", "a/b.bias"]),
        ("a*bias", ["a.bias", "a/b.bias"]),
        ("a?b*", ["a/b.bias", "a.b.Bias", "a.bias"]),
        ("*Bias", ["a.b.Bias"]),
        ("*.[bB]ias", ["a.bias", "a/b.bias", "a.b.Bias"]),
        ("h.[0-9].w", ["h.1.w"]),
        ("h.[!2]*.w", ["h.10.w", "h.1.w"]),
        ("h.1.w", ["h.1.w"]),
        ("*/*", ["a/b.bias"]),
    ],
)
def test_globs_match_full_names(planned: Planned, glob: str, matched: list[str]) -> None:
    names = ["a.bias", "a/b.bias", "a.b.Bias", "h.10.w", "h.1.w"]
    tensors = {name: {"shape": [2]} for name in names}
    rules: list[dict[str, str]] = [{glob: "ones"}]
    if len(matched) < len(names):
        rules.append({"*": "zeros"})
    plan = planned(initializers=rules, tensors=tensors)
    assert sorted(t.name for t in plan.tensors if t.initializer == "ones") == sorted(matched)


@given(st.text(st.sampled_from("a*?[]!^-&|~\\.:(){}$+ "), min_size=1, max_size=12))
def test_any_glob_is_that_of_fnmatch(glob: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec = {"initializers": [{glob: "ones"}], "tensors": {"a.b": {"shape": [2]}}}
        (rule,) = glorot.load_spec(spec).rules
    for name in ("a.b", "a", "a*", "[a]", "a-b", "a\\", "a&&", "a.b\n"):
        assert (rule.pattern.match(name) is not None) == fnmatchcase(name, glob)


def test_a_glob_of_many_stars_ends(planned: Planned) -> None:
    name = "a" * 200
    plan = planned(
        initializers=[{"*a" * 40 + "b": "zeros"}, {"*": "ones"}],
        tensors={name: {"shape": [2]}, "a" * 50 + "b": {"shape": [2]}},
    )
    assert plan[name].initializer == "ones"


def test_the_first_rule_that_matches_decides(planned: Planned) -> None:
    rules = [{"h.0.*": "ones"}, {"*.bias": "zeros"}, {"*": "glorot_uniform"}]
    names = ["h.0.bias", "h.0.weight", "h.1.bias", "h.1.weight"]
    plan = planned(initializers=rules, tensors={name: {"shape": [2]} for name in names})
    assert {name: plan[name].initializer for name in names} == {
        "h.0.bias": "ones",
        "h.0.weight": "ones",
        "h.1.bias": "zeros",
        "h.1.weight": "glorot_uniform",
    }


def test_a_rule_uses_the_indices_of_the_tensor_it_matches(planned: Planned) -> None:
    plan = planned(
        dims={"layers": 3},
        initializers=[
            {"*.out": {"name": "normal", "std": "0.02 / sqrt(2*(i + 1))", "seed": "100 + i"}},
            {"*.e*": {"name": "normal", "std": "0.1*(i + 1) + e/1000"}},
        ],
        tensors=[
            {
                "repeat": {"i": "layers"},
                "entries": {
                    "h.{i}.out": {"shape": [4]},
                    "h.{i}.e{e}": {"shape": [4], "repeat": {"e": 2}},
                },
            }
        ],
    )
    found = {t.name: (t.arguments["std"], t.seed) for t in plan.tensors}
    assert found == {
        "h.0.out": (0.02 / 2.0**0.5, 100), "h.0.e0": (0.1, 42), "h.0.e1": (0.101, 42),
        "h.1.out": (0.02 / 2.0, 101), "h.1.e0": (0.2, 42), "h.1.e1": (0.201, 42),
        "h.2.out": (0.02 / 6.0**0.5, 102), "h.2.e0": (0.1 * 3, 42),
        "h.2.e1": (0.1 * 3 + 0.001, 42),
    }  # fmt: skip


def bits(plan: glorot.Plan) -> dict[str, bytes]:
    return {t.name: glorot.draw(plan, t.name).tobytes() for t in plan.tensors}


TRANSFORMER: dict[str, Any] = {
    "dims": {"d": 16, "layers": 2},
    "tensors": [
        {"wte": {"shape": [40, "d"], "axes": "IO"}},
        {
            "repeat": {"i": "layers"},
            "entries": {
                "h.{i}.attn.weight": {"shape": ["d", "3*d"], "axes": "IO", "fused": 3},
                "h.{i}.attn.bias": {"shape": ["3*d"]},
                "h.{i}.proj.weight": {"shape": ["d", "d"], "axes": "IO"},
                "h.{i}.proj.bias": {"shape": ["d"]},
            },
        },
    ],
}
RULES: list[dict[str, Any]] = [
    {"*.bias": "zeros"},
    {"*.proj.weight": {"name": "normal", "std": "0.02 / sqrt(2*layers)"}},
    {"h.0.*": "he_normal"},
    {"*": "glorot_uniform"},
]


@pytest.mark.parametrize("index", range(len(RULES)))
def test_changing_one_rule_changes_only_what_it_decides(planned: Planned, index: int) -> None:
    before = planned(initializers=RULES, **TRANSFORMER)
    ((glob, _),) = RULES[index].items()
    other = {glob: {"name": "random_uniform", "minval": -0.5}}
    after = planned(initializers=[*RULES[:index], other, *RULES[index + 1 :]], **TRANSFORMER)
    first, second = bits(before), bits(after)
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {t.name for t in before.tensors if t.decided_by == f"the rule {glob!r}"}
    assert changed


def test_adding_a_rule_changes_only_what_it_decides(planned: Planned) -> None:
    first = bits(planned(initializers=RULES, **TRANSFORMER))
    more = [{"h.1.attn.weight": "lecun_normal"}, *RULES]
    second = bits(planned(initializers=more, **TRANSFORMER))
    assert {name for name in first if first[name] != second[name]} == {"h.1.attn.weight"}


def test_changing_one_entry_changes_only_it(planned: Planned) -> None:
    def drawn(**more: Any) -> dict[str, bytes]:
        tensors: dict[str, Any] = {
            "a": {"shape": [8], "initializer": "glorot_uniform"},
            "b": {"shape": [8], "initializer": "glorot_uniform", **more},
            "c": {"shape": [8], "initializer": "glorot_uniform"},
        }
        return bits(planned(tensors=tensors))

    first = drawn()
    for more in ({"seed": 9}, {"dtype": "float64"}, {"initializer": "he_normal"}):
        second = drawn(**more)
        assert {name for name in first if first[name] != second[name]} == {"b"}


def test_a_rule_may_stand_where_fans_disagree(planned: Planned) -> None:
    """Say once for all repeats that the framework's fans of packed kernels give another limit."""
    entry = {"shape": [8, 24], "axes": "IO", "fused": 3, "fans": "keras", "repeat": {"i": 3}}
    plan = planned(initializers=[{"*": "glorot_uniform"}], tensors={"h.{i}.qkv": entry})
    assert plan.notices == (
        "h.0.qkv (and 2 more): the framework's fans (8, 24) give the limit 0.433, exact fans "
        "(8, 8) give 0.6124; choose with fans: exact",
    )
    plan = planned(initializers=[{"*": "glorot_normal"}], tensors={"h.{i}.qkv": entry})
    assert plan.notices == (
        "h.0.qkv (and 2 more): the framework's fans (8, 24) give the stddev 0.2842, exact fans "
        "(8, 8) give 0.4019; choose with fans: exact",
    )


W = "tensors:\n  a.weight: {shape: [2, 3]}\n"
DENSE = "input_shape: [3]\nlayers:\n  - {type: Dense, units: 2}\n"

RULE_MISTAKES = [
    ('initializers:\n  - "*.bias": zeros\n  - "*": ones\n' + W,
     "2:5: initializers[0].*.bias: the rule '*.bias' matches no tensor; known: a.weight"),
    ('initializers:\n  - "*.Weight": zeros\n  - "*": ones\n' + W,
     "2:5: initializers[0].*.Weight: the rule '*.Weight' matches no tensor; "
     "did you mean 'a.weight'?"),
    ('initializers:\n  - "*": ones\n  - "*.weight": zeros\n' + W,
     "3:5: initializers[1].*.weight: the rule '*.weight' decides no tensor: 'a.weight' "
     "is decided by the rule '*'"),
    ('initializers:\n  - "*": ones\n  - "*": zeros\n' + W,
     "3:5: initializers[1].*: the rule '*' decides no tensor: 'a.weight' "
     "is decided by the rule '*'"),
    ('initializers:\n  - "*.weight": zeros\ntensors:\n'
     "  a.weight: {shape: [2], initializer: ones}\n  b.weight: {shape: [2], initializer: ones}\n",
     "2:5: initializers[0].*.weight: the rule '*.weight' decides no tensor: 'a.weight' "
     "(and 1 more) is decided by its entry"),
    ('initializers:\n  - "b": zeros\ntensors:\n'
     "  a: {shape: [2], initializer: ones}\n  b: {tie: a}\n",
     "2:5: initializers[0].b: the rule 'b' decides no tensor: 'b' is decided by its tie to 'a'"),
    ('initializers:\n  - "dense/*": zeros\ninput_shape: [3]\nlayers:\n'
     "  - {type: Dense, units: 2, kernel_initializer: ones, bias_initializer: ones}\n",
     "2:5: initializers[0].dense/*: the rule 'dense/*' decides no tensor: 'dense/kernel' "
     "(and 1 more) is decided by its entry"),
    ('initializers:\n  - "*.bias": zeros\n' + W + "  b.bias: {shape: [2]}\n",
     "4:13: tensors.a.weight: nothing says how 'a.weight' is initialised; give it an initializer, "
     "or a rule under initializers that matches it"),
    ("initializers:\n  - {a: zeros, b: ones}\n" + W,
     '2:5: initializers[0]: expected a rule of one glob, such as "*.bias": zeros, found a mapping'),
    ("initializers:\n  - {}\n" + W,
     '2:5: initializers[0]: expected a rule of one glob, such as "*.bias": zeros, found a mapping'),
    ("initializers:\n  - zeros\n" + W,
     '2:5: initializers[0]: expected a rule of one glob, such as "*.bias": zeros, found \'zeros\''),
    ('initializers:\n  "*": zeros\n' + W, "2:3: initializers: expected a list, found a mapping"),
    ('initializers:\n  - "*": 3\n' + W,
     "2:10: initializers[0].*: expected an initializer's name or a mapping with its name, found 3"),
    ('initializers:\n  - "*": zero\n' + W,
     "2:10: initializers[0].*: unknown initializer 'zero'; did you mean 'zeros'?; "
     "for the tensor 'a.weight'"),
    ('initializers:\n  - "*": {name: Zero}\n' + W,
     "2:17: initializers[0].*.name: unknown initializer 'Zero'; did you mean 'zeros'?; "
     "for the tensor 'a.weight'"),
    ('initializers:\n  - "*": {std: 3}\n' + W,
     "2:10: initializers[0].*: an initializer needs 'name', which is missing, as in "
     "{name: normal, std: 0.02}; "
     "for the tensor 'a.weight'"),
    ('initializers:\n  - "*": {name: normal, std: 0.02 / layer}\n' + W,
     "2:30: initializers[0].*.std: '0.02 / layer' uses the unknown name 'layer'; "
     "there are no dims; for the tensor 'a.weight'"),
    ('initializers:\n  - "*": {name: normal, std: 1 / (i + 1)}\n'
     'tensors:\n  "a.{i}": {shape: [2], repeat: {i: 2}}\n  b: {shape: [2]}\n',
     "2:30: initializers[0].*.std: '1 / (i + 1)' uses the unknown name 'i'; there are no dims; "
     "for the tensor 'b'"),
    ('initializers:\n  - "*": {name: normal, std: 1 / i}\n'
     'tensors:\n  "a.{i}": {shape: [2], repeat: {i: 2}}\n',
     "2:30: initializers[0].*.std: '1 / i' divides by zero; for the tensor 'a.0'"),
    ('initializers:\n  - "*": {name: normal, std: i}\n'
     'tensors:\n  "a.{i}": {shape: [2], repeat: {i: 2}}\n',
     "2:10: initializers[0].*: expected std above 0, found 0.0; for the tensor 'a.0'"),
    ('initializers:\n  - "*": {name: normal, stddev: 3}\n' + W,
     "2:25: initializers[0].*.stddev: unknown key for normal; did you mean 'std'?; "
     "for the tensor 'a.weight'"),
    ('initializers:\n  - "*": glorot_uniform\ntensors: {a: [1, 1, 1, 1, 2, 3]}\n',
     "2:10: initializers[0].*: a tensor of shape [1, 1, 1, 1, 2, 3] needs axes, one letter per "
     "axis (I input, O output, B batch, others receptive field), such as IO or HWIO; "
     "for the tensor 'a'"),
    ('initializers:\n  - "*": {name: zeros, seed: 3}\n' + W,
     "2:24: initializers[0].*.seed: zeros draws nothing, so it takes no seed; "
     "for the tensor 'a.weight'"),
    ('initializers:\n  - "*": {name: normal, seed: -3}\n' + W,
     "2:31: initializers[0].*.seed: expected an integer from 0 to 2**64 - 1, found -3; "
     "for the tensor 'a.weight'"),
]  # fmt: skip

SPEC_MISTAKES = [
    ("seeds: 3\n" + DENSE, "1:1: seeds: unknown key for a spec; did you mean 'seed'?"),
    ("seed: -1\n" + DENSE, "1:7: seed: expected an integer from 0 to 2**64 - 1, found -1"),
    ("seed: 18446744073709551616\n" + DENSE,
     "1:7: seed: expected an integer from 0 to 2**64 - 1, found 18446744073709551616"),
    ("seed: 1.0\n" + DENSE, "1:7: seed: expected an integer from 0 to 2**64 - 1, found 1.0"),
    ("dtype: float23\n" + DENSE,
     "1:8: dtype: expected 'float32', 'float64', 'float16', 'bfloat16', 'float8_e4m3fn' or "
     "'float8_e5m2', found 'float23'"),
    ("seed: 3\n", "1:1: expected layers or tensors, found neither"),
    ("[1]\n", "1:1: expected a mapping with layers or tensors, found [1]"),
    ("tensors:\n  a: {shape: [2, 3], axes: IO, initialiser: ones}\n",
     "2:32: tensors.a.initialiser: unknown key for a tensor; did you mean 'initializer'?"),
    ("tensors:\n  a: {shape: 3.0, initializer: ones}\n",
     "2:14: tensors.a.shape: expected a list of sizes, found 3.0"),
    ("tensors:\n  a: {shape: [2, 3], axes: I, initializer: ones}\n",
     "2:28: tensors.a.axes: expected 2 letters, one per axis of shape [2, 3], found 'I'"),
    ("tensors:\n  a: {shape: [2, 3], axes: io, initializer: ones}\n",
     "2:28: tensors.a.axes: expected one capital letter per axis, such as HWIO, found 'io'"),
    ("tensors:\n  a: {shape: [2, 3], axes: HW, initializer: ones}\n",
     "2:28: tensors.a.axes: expected an input axis I or an output axis O, found 'HW'"),
    ("tensors:\n  a: {shape: [2, 4], axes: IO, fused: 3, initializer: ones}\n",
     "2:28: tensors.a.axes: the O axis of size 4 does not divide into 3 equal kernels"),
    ("tensors:\n  a: {shape: [2, 4], axes: OO, fused: 2, initializer: ones}\n",
     "2:28: tensors.a.axes: fused needs exactly one O axis, found 'OO'"),
    ("tensors:\n  a: {shape: [2, 3], fused: 3, initializer: ones}\n",
     "2:29: tensors.a.fused: fused needs axes, one letter per axis"),
    ("tensors:\n  a: {shape: [2], fans: pytorch, initializer: ones}\n",
     "2:25: tensors.a.fans: expected 'exact', 'keras', 'keras-3.14', 'torch' or 'jax', "
     "found 'pytorch'"),
    ("tensors:\n  a/../b: {shape: [2], initializer: ones}\n",
     "2:3: tensors.a/../b: expected a tensor name without empty, '.' or '..' parts, "
     "found 'a/../b'"),
    ("tensors:\n  a//b: {shape: [2], initializer: ones}\n",
     "2:3: tensors.a//b: expected a tensor name without empty, '.' or '..' parts, found 'a//b'"),
    ("tensors:\n  __metadata__: {shape: [2], initializer: ones}\n",
     "2:3: tensors.__metadata__: '__metadata__' names no tensor, but .safetensors' own"),
    ("input_shape: [3]\nlayers:\n  - {type: Dense, units: 2, name: a/b}\n",
     "3:35: layers[0].name: expected a layer name without '/', as Keras does, found 'a/b'"),
    ("input_shape: [3]\nlayers:\n  - {type: Dense, units: 2, name: a}\n"
     "  - {type: Dense, units: 2, name: a}\n",
     "4:35: layers[1].name: two layers are named 'a'; give one of them another name"),
    (DENSE + "tensors:\n  dense/bias: {shape: [2], initializer: ones}\n",
     "5:15: tensors.dense/bias: two tensors are named 'dense/bias'"),
    ("tensors:\n  a: {shape: [1099511627775, 1099511627775], initializer: ones}\n",
     "2:6: tensors.a: the tensors have too many elements for any file"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), RULE_MISTAKES + SPEC_MISTAKES)
def test_mistakes(run: Run, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    assert run("plan", path) == (2, "", f"glorot: {path}:{message}\n")


def test_a_name_with_an_index_needs_quotes(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("tensors:\n  {i}.w: {shape: [2], initializer: ones}\n", encoding="utf-8")
    code, out, err = run("plan", path)
    assert (code, out) == (2, "")
    assert re.fullmatch(
        re.escape(f"glorot: {path}:2:") + r"\d+: .*; a name with \{i\}( or \*)? needs quotes\n", err
    )


def test_the_unused_rule_is_said_before_the_file_is_written(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text('initializers:\n  - "*.bias": zeros\n' + DENSE, encoding="utf-8")
    code, out, err = run("init", path, "-o", tmp_path / "x.safetensors")
    assert (code, out) == (2, "")
    assert err == (
        f"glorot: {path}:2:5: initializers[0].*.bias: the rule '*.bias' matches no tensor; "
        "known: dense/bias, dense/kernel\n"
    )
    assert not (tmp_path / "x.safetensors").exists()


def test_init_says_what_plan_says(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("tensors:\n  a: {shape: [2], initializer: he}\n", encoding="utf-8")
    assert run("init", path, "-o", tmp_path / "x.safetensors") == run("plan", path)
