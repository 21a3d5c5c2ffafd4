"""Params, conditions and words: `params`, `when`, `each`, empty ranges, and rules for these."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import pytest

import glorot_cli as glorot
from glorot_cli.spec.schema import spec_schema
from glorot_cli.spec.source import parse
from tests import pages

jsonschema: Any = import_module("jsonschema")  # it comes without types
Run = Callable[..., tuple[int, str, str]]
Planned = Callable[..., glorot.Plan]

W = {"w": {"shape": [2], "initializer": "zeros"}}


def tensor(**more: Any) -> dict[str, Any]:
    return {"shape": [2], "initializer": "zeros", **more}


def names(plan: glorot.Plan) -> list[str]:
    return [t.name for t in plan.tensors]


def params_of(given: dict[str, Any], **set_: Any) -> dict[str, Any]:
    return glorot.load_spec({"params": given, "tensors": W}, dims=set_).params


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (3, 3), (2.5, 2.5), (True, True), (None, None), ("2 * 3", 6), ("n", 4), ("n / 8", 0.5),
        ({"word": "relu"}, "relu"), ({"word": "n"}, "n"), ({"word": [1]}, [1]),
        ([1, "a"], [1, "a"]),
        ({"k": "n"}, {"k": "n"}), ("[n, 2 * n]", [4, 8]), ("kind == 'full'", True),
        ({"absent": 32, "null": "n"}, 32), ({"absent": "2 * n", "null": 1}, 8),
        ({"absent": {"word": "a"}}, "a"), ({}, {}), ("'full' if n > 3 else 'none'", "full"),
    ],
)  # fmt: skip
def test_values_of_params(given: object, value: object) -> None:
    found = params_of({"n": 4, "kind": {"word": "full"}, "x": given})["x"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("given", "set_", "value"),
    [
        (3, 5, 5), (3, "n", "n"), (3, None, None), (3, [1, "b"], [1, "b"]), (3, {"a": 1}, {"a": 1}),
        ({"absent": 32, "null": "n"}, None, 4), ({"absent": 32, "null": "n"}, 7, 7),
        ({"absent": 32}, None, None), ({"null": 1}, None, 1), ({"word": "relu"}, "gelu", "gelu"),
    ],
)  # fmt: skip
def test_what_is_set_replaces_a_param(given: object, set_: object, value: object) -> None:
    found = params_of({"n": 4, "x": given, "y": "x"}, x=set_)
    assert found == {"n": 4, "x": value, "y": value}


def test_set_reads_yaml_for_params_and_dims(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "params: {act: {word: relu}, scale: 1, kinds: []}\ndims: {d: 2, e: 2*d}\n"
        'tensors:\n  "{act}.{k}":\n    shape: [e]\n    each: {k: kinds}\n'
        "    initializer: {name: constant, value: scale}\n",
        encoding="utf-8",
    )
    options = ["act=gelu", "scale=5e-1", "kinds=[a, 1]", "d=3*2"]
    sets = [part for option in options for part in ("--set", option)]
    code, out, _ = run("plan", path, "--json", *sets)
    found = json.loads(out)["tensors"]
    assert code == 0
    assert [(t["name"], t["shape"], t["stddev"]) for t in found] == [
        ("gelu.a", [12], None), ("gelu.1", [12], None),
    ]  # fmt: skip
    plan = glorot.make_plan(glorot.load_spec(path, dims={"scale": 0.5, "kinds": ["a"]}))
    assert plan["relu.a"].arguments["value"] == 0.5
    assert run("plan", path) == (
        2, "", f"glorot: {path}:1:1: conditions and empty ranges leave no entry of the spec\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("params: 3", "1:9: params: expected a mapping of at most 1000 names to values, found 3"),
        ("params: {a-b: 3}",
         "1:10: params.a-b: expected a name of letters, digits and _, found 'a-b'"),
        ("params: {a: b}", "1:13: params.a: 'b' uses the unknown name 'b'; there are no dims"),
        ("params: {a: 2*a}",
         "1:13: params.a: 'a' is made of itself; a param may use only those before it"),
        ("params: {a: b, b: 1}",
         "1:13: params.a: 'b' stands after 'a'; a param may use only those before it"),
        ("params: {a: d}\ndims: {d: 2}",
         "1:13: params.a: 'd' uses the unknown name 'd'; there are no dims"),
        ("params: {a: relu}", "1:13: params.a: 'relu' uses the unknown name 'relu'; "
         "there are no dims"),
        ("params: {a: {null: 3}}",
         "1:13: params.a: expected a value for 'absent', or one that is set, found none"),
        ("params: {a: .inf}", "1:13: params.a: expected a finite number, found inf"),
        ("params: {a: [.nan]}", "1:13: params.a: expected a finite number, found nan"),
        ("params: {a: 1e30}\ndims: {d: a // 2}", "2:11: dims.d: 'a // 2' goes beyond 2**64"),
        ("params: {d: 1}\ndims: {d: 2}",
         "2:8: dims.d: 'd' is a param already; a name stands in params or in dims"),
        ("params: {x: 2.5}\ndims: {d: 2*x}",
         "2:11: dims.d: expected a whole number, found 5.0 ('2*x')"),
        ("params: {i: 1}\ntensors: {a: {shape: [2], repeat: {i: 2}}}",
         "2:36: tensors.a.repeat.i: the index 'i' is the name of a param, a dim or an outer index; "
         "choose another"),
        ("params: {p: 1}\ntensors: {a: {shape: [2], each: {p: [q]}}}",
         "2:34: tensors.a.each.p: the index 'p' is the name of a param, a dim or an outer index; "
         "choose another"),
        ("tensors: {a: {shape: [2], each: {p: 3}}}",
         "1:37: tensors.a.each.p: expected a list such as [q, k, v], found 3"),
        ("params: {l: 3}\ntensors: {a: {shape: [2], each: {p: l}}}",
         "2:37: tensors.a.each.p: expected a list such as [q, k, v], found 3"),
        ("tensors: {a: {shape: [2], each: [p]}}",
         "1:33: tensors.a.each: expected a mapping such as {p: [q, k, v]}, found ['p']"),
        ('tensors: {"a{p}": {shape: [2], each: {p: [1.5]}}}',
         "1:11: tensors.a{p}: {p} is 1.5, expected a word or a whole number"),
        ("tensors: {a: {shape: [2], when: 3}}",
         "1:33: tensors.a.when: expected true, false or an expression, found 3"),
        ("tensors: {a: {shape: [2], when: b}}",
         "1:33: tensors.a.when: 'b' uses the unknown name 'b'; there are no dims"),
        ("params: {b: 1}\ntensors: {a: {shape: [2], when: b}}",
         "2:33: tensors.a.when: 'b': expected true or false, found 1; compare it, as in x != 0"),
        ("tensors: {a: {shape: [2], when: 'i > 0', repeat: {j: 2}}}",
         "1:33: tensors.a.when: 'i > 0' uses the unknown name 'i'; known: j"),
        ("tensors: {a: {shape: [2], when: false}}",
         "1:1: conditions and empty ranges leave no entry of the spec"),
        ("input_shape: [2]\nlayers: [{type: Dense, units: 2, when: 1 > 2}]",
         "1:1: conditions and empty ranges leave no entry of the spec"),
        ("initializers: [{'*': {name: zeros, when: 1}}]\ntensors: {a: {shape: [2]}}",
         "1:42: initializers[0].*.when: expected true, false or an expression, found 1"),
        ("initializers: [{'*': {name: zeros, when: i > 0}}]\ntensors: {a: {shape: [2]}}",
         "1:42: initializers[0].*.when: 'i > 0' uses the unknown name 'i'; there are no dims"),
        ("initializers: [{'*': {name: zeros, when: 1 > 2}}]\ntensors: {a: {shape: [2]}}",
         "2:14: tensors.a: nothing says how 'a' is initialised; give it an initializer, "
         "or a rule under initializers that matches it"),
    ],
)  # fmt: skip
def test_mistakes(run: Run, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    if "tensors" not in text and "layers" not in text:
        text += "\ntensors: {w: {shape: [2], initializer: zeros}}"
    path.write_text(text + "\n", encoding="utf-8")
    assert run("plan", path) == (2, "", f"glorot: {path}:{message}\n")


def test_a_million_repetitions_of_nothing_at_most(
    monkeypatch: pytest.MonkeyPatch, planned: Planned
) -> None:
    monkeypatch.setattr("glorot_cli.repeats.stamping.MOST_ENTRIES", 10)
    inner = {"repeat": {"j": 4}, "entries": {"a{i}{j}": tensor(when="i < 0")}}
    with pytest.raises(glorot.SpecError) as caught:
        planned(tensors=[{"repeat": {"i": 4}, "entries": [inner]}])
    assert str(caught.value) == (
        "<spec>: tensors[0].entries[0]: expected at most 10 repetitions of nothing"
    )


def test_conditions_on_entries_groups_and_indices(planned: Planned) -> None:
    plan = planned(
        params={"head": {"word": "lm"}, "sparse": [1, 3], "none": None},
        tensors=[
            {"a": tensor(when="head == 'lm'"), "b": tensor(when=False), "c": tensor(when="none")},
            {
                "repeat": {"i": 4},
                "when": "i in sparse",
                "entries": {"h.{i}.e.{e}": tensor(repeat={"e": 3}, when="e < i")},
            },
            {"when": True, "entries": {"d": tensor()}},
            {"when": "head == 'none'", "entries": {"x": {"shape": ["no sense"]}}},
        ],
    )
    assert names(plan) == ["a", "h.1.e.0", "h.3.e.0", "h.3.e.1", "h.3.e.2", "d"]


def test_words_come_outside_of_numbers_and_choose_their_bounds(planned: Planned) -> None:
    plan = planned(
        params={"towers": ["text", "vision"]},
        tensors={
            "{t}.{i}.{p}": tensor(
                each={"t": "towers", "p": ["q", "k"]}, repeat={"i": "2 if t == 'text' else 1"}
            )
        },
    )
    assert names(plan) == [
        "text.0.q", "text.1.q", "text.0.k", "text.1.k", "vision.0.q", "vision.0.k",
    ]  # fmt: skip
    nested = planned(
        tensors=[{"repeat": {"i": 2}, "entries": {"{i}.{p}": tensor(each={"p": ["q", "k"]})}}]
    )
    assert names(nested) == ["0.q", "0.k", "1.q", "1.k"]


def test_words_and_params_stand_in_names_shapes_and_ties(planned: Planned) -> None:
    plan = planned(
        params={"base": {"word": "model."}, "sizes": {"q": 4, "k": 2}},
        tensors={
            "{base}{p}": {"shape": ["sizes[p]"], "initializer": "ones", "each": {"p": ["q", "k"]}},
            "{base}tied": {"tie": "{base}q"},
        },
    )
    assert {t.name: t.shape for t in plan.entries} == {
        "model.q": (4,), "model.k": (2,), "model.tied": (4,),
    }  # fmt: skip


def test_ranges_of_nothing(planned: Planned) -> None:
    plan = planned(
        dims={"n": 1},
        tensors=[
            W,
            {"a.{i}": tensor(repeat={"i": "n - 1"}), "b.{i}": tensor(repeat={"i": [3, 1]})},
            {"c.{i}.{j}": tensor(repeat={"i": 2, "j": "i"}), "d.{p}": tensor(each={"p": []})},
            {"repeat": {"i": 0}, "entries": {"e": tensor()}},
        ],
    )
    assert names(plan) == ["w", "c.1.0"]


def test_layers_take_conditions_and_words(planned: Planned) -> None:
    plan = planned(
        params={"deep": False},
        input_shape=[4],
        layers=[
            {"type": "Dense", "name": "{p}", "units": 4, "each": {"p": ["a", "b"]}},
            {"type": "Dense", "name": "c", "units": 4, "when": "deep"},
            {"when": "deep", "entries": [{"type": "Dense", "units": 9}]},
            {"type": "Dense", "units": 2, "when": "not deep"},
        ],
    )
    assert names(plan)[::2] == ["a/kernel", "b/kernel", "dense/kernel"]
    torch = planned(
        dialect="torch",
        params={"norm": False},
        layers=[
            {
                "type": "Module",
                "name": "block",
                "layers": [
                    {"type": "LayerNorm", "name": "norm", "normalized_shape": 4, "when": "norm"},
                    {"type": "Linear", "name": "fc", "in_features": 4, "out_features": 4},
                ],
            }
        ],
        initializers=[{"block.norm.weight": "zeros"}, {"*.bias": "ones"}],
    )
    assert names(torch) == ["block.fc.weight", "block.fc.bias"]


def test_rules_take_conditions_on_the_indices_of_what_they_match(planned: Planned) -> None:
    plan = planned(
        params={"distilled": False},
        initializers=[
            {"h.*": {"name": "ones", "when": "i == 0"}},
            {"h.*": {"name": "zeros", "when": "distilled"}},
            {"h.*": {"name": "constant", "value": "i / 2", "when": "not distilled"}},
        ],
        tensors={"h.{i}": {"shape": [2], "repeat": {"i": 3}}},
    )
    assert [(t.initializer, t.decided_by) for t in plan.tensors] == [
        ("ones", "the rule 'h.*'"), ("constant", "the rule 'h.*'"), ("constant", "the rule 'h.*'"),
    ]  # fmt: skip
    assert [t.arguments for t in plan.tensors[1:]] == [{"value": 0.5}, {"value": 1.0}]


REMOVED: list[tuple[dict[str, Any], str]] = [
    ({"tensors": {"head.bias": {"shape": [2], "when": False}}}, "head.bias"),
    ({"tensors": {"head.bias": {"shape": [2], "when": False}}}, "*.bias"),
    ({"tensors": {"h.{i}.b": {"shape": [2], "repeat": {"i": 0}}}}, "h.*.b"),
    ({"tensors": {"h.{i}.b": {"shape": [2], "repeat": {"i": 0}}}}, "h.7.b"),
    ({"tensors": {"h.{p}.b": {"shape": [2], "each": {"p": []}}}}, "h.[qk].b"),
    ({"tensors": {"h.{i}.b": {"shape": [2], "repeat": {"i": 4}, "when": "i > 4"}}}, "h.3.b"),
    ({"tensors": [{"repeat": {"i": 0}, "entries": {"h.{i}.{e}": {"shape": [2],
      "repeat": {"e": "i + 1"}}}}]}, "h.?.0"),
    ({"tensors": [{"when": False, "entries": [{"repeat": {"i": 2}, "entries": {"h.{i}":
      {"shape": ["no // 0"]}}}]}]}, "h.1"),
    ({"input_shape": [2], "layers": [{"type": "Dense", "name": "head", "units": 2,
      "when": False}]}, "head/kernel"),
    ({"input_shape": [2], "layers": [{"type": "Dense", "units": 2, "when": False}]}, "dense/bias"),
    ({"dialect": "torch", "layers": [{"type": "Sequential", "name": "m", "when": False,
      "layers": [{"type": "Linear", "in_features": 2, "out_features": 2}]}]}, "m.0.bias"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "glob"), REMOVED)
def test_a_rule_is_used_by_what_is_removed(
    planned: Planned, spec: dict[str, Any], glob: str
) -> None:
    tensors = spec.get("tensors", {})
    spec["tensors"] = [W, *(tensors if isinstance(tensors, list) else [tensors])]
    assert names(planned(**spec, initializers=[{glob: "ones"}])) == ["w"]


@pytest.mark.parametrize(
    ("glob", "message"),
    [
        ("head.weight", "matches no tensor; known: w"),
        ("h.4.b", "matches no tensor; known: w"),
        ("own.b", "matches no tensor; known: w"),
        ("tied.b", "matches no tensor; known: w"),
        ("head/*", "matches no tensor; known: w"),
        ("w", "decides no tensor: 'w' is decided by its entry"),
    ],
)
def test_a_rule_for_nothing_is_an_error_still(planned: Planned, glob: str, message: str) -> None:
    gone: dict[str, Any] = {
        "head.bias": {"shape": [2], "when": False},
        "h.{i}.b": {"shape": [2], "repeat": {"i": 4}, "when": False},
        "own.b": tensor(when=False),
        "tied.b": {"tie": "w", "when": False},
    }
    with pytest.raises(glorot.SpecError) as caught:
        planned(initializers=[{glob: "ones"}], tensors=[W, gone])
    assert str(caught.value) == f"<spec>: initializers[0].{glob}: the rule {glob!r} {message}"


def test_a_rule_behind_another_for_what_is_removed_is_an_error(planned: Planned) -> None:
    gone = {"head.bias": {"shape": [2], "when": False}}
    rules = [{"*.bias": "ones"}, {"head.*": "zeros"}]
    with pytest.raises(glorot.SpecError, match="the rule 'head\\.\\*' matches no tensor"):
        planned(initializers=rules, tensors=[W, gone])


def test_the_spec_in_a_file_means_the_same(planned: Planned) -> None:
    plan = planned(
        params={
            "z": {"word": "model."}, "a": {"absent": 2, "null": 1}, "list": ["x", 1],
            "like": {"word": {"word": "x"}}, "odd": {"word": {"absent": 1}}, "n": "a + 1",
        },
        dims={"d": "2 * n"},
        initializers=[
            {"*.0": {"name": "zeros", "when": "i == 0"}},
            {"*": {"name": "normal", "std": "0.5 ** n"}},
        ],
        tensors=[
            {"{z}{p}.{i}": {"shape": ["d"], "each": {"p": "list", "k": [1]}, "repeat": {"i": "a"},
             "when": "i < 1 or p == 'x'"}},
            {"each": {"y": ["v", "u"]}, "repeat": {"b": 2, "c": 2}, "when": "b != c",
             "entries": {"{y}{b}{c}": {"shape": [2]}}},
        ],
    )  # fmt: skip
    other = glorot.make_plan(glorot.load_spec(json.loads(json.dumps(plan.spec, sort_keys=True))))
    assert names(plan) == [
        "model.x.0", "model.x.1", "model.1.0", "v01", "v10", "u01", "u10",
    ]  # fmt: skip
    assert other.entries == plan.entries
    assert other.spec == plan.spec
    assert plan.spec["params"] == {
        "z": {"word": "model."}, "a": 2, "list": ["x", 1], "like": {"word": {"word": "x"}},
        "odd": {"word": {"absent": 1}}, "n": 3,
    }  # fmt: skip
    jsonschema.validate(plan.spec, spec_schema())


def test_words_fold_into_one_row(planned: Planned, capsys: pytest.CaptureFixture[str]) -> None:
    from glorot_cli.report.tables import print_plan

    plan = planned(
        params={"base": {"word": "model."}},
        tensors={"{base}h.{i}.{p}": tensor(each={"p": ["q", "k", "v"]}, repeat={"i": 3})},
    )
    print_plan(plan, fold=True)
    assert "model.h.{0..2}.{q,k,v} x9" in capsys.readouterr().out


@pytest.mark.parametrize(
    "broken",
    [
        {"tensors": [{"when": 3, "entries": {"a": {"shape": [2]}}}]},
        {"tensors": [{"entries": {"a": {"shape": [2]}}}]},
        {"tensors": {"a": {"shape": [2], "each": {"p": 3}}}},
        {"initializers": [{"*": {"name": "zeros", "when": 3}}], "tensors": W},
        {"params": [], "tensors": W},
    ],
)
def test_the_schema_knows_the_forms(broken: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, spec_schema())


def test_the_examples_of_the_docs() -> None:
    blocks = [b.text for b in pages.blocks_of(pages.DOCS / "spec.md") if "params:" in b.text]
    specs = [cast(dict[str, Any], parse(text, "x.yaml").data) for text in blocks]
    first, second = (glorot.make_plan(glorot.load_spec(spec)) for spec in specs)
    assert [t.name for t in first.tensors[:3]] == ["model.embed", "model.0.q", "model.0.k"]
    assert first["model.0.k"].shape == (32, 64)
    assert len(first.tensors) == 1 + 2 * 2 + 3 + 2 + 1
    null = glorot.load_spec(specs[0], dims={"kv_heads": None})
    assert glorot.make_plan(null)["model.0.k"].shape == (64, 64)
    assert second["head.bias"].initializer == "zeros"
    assert "head.weight" not in names(second)
