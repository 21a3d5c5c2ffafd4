"""Dims, repeats, groups, ties and skips: what a short spec stamps out, and what it may not say."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import glorot_cli as glorot

Run = Callable[..., tuple[int, str, str]]
Planned = Callable[..., glorot.Plan]


def stamped(plan: glorot.Plan) -> list[tuple[str, tuple[int, ...]]]:
    return [(tensor.name, tensor.shape) for tensor in plan.entries]


def names(plan: glorot.Plan) -> list[str]:
    return [tensor.name for tensor in plan.entries]


def tensor(**keys: Any) -> dict[str, Any]:
    return {"shape": [2], "initializer": "ones", **keys}


def test_a_later_dim_uses_earlier_ones(planned: Planned) -> None:
    dims = {"d": 8, "heads": 2, "head": "d // heads", "hidden": "4*d - head"}
    plan = planned(dims=dims, tensors={"w": tensor(shape=["head", "hidden", "3*(d + 1)", 5])})
    assert stamped(plan) == [("w", (4, 28, 27, 5))]
    assert plan.spec["dims"] == {"d": 8, "heads": 2, "head": 4, "hidden": 28}


def test_set_overrides_a_dim_and_those_made_of_it(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "dims: {d: 768, hidden: 4*d, layers: 12}\n"
        'tensors: {"w.{i}": {shape: [d, hidden], initializer: ones, repeat: {i: layers}}}\n',
        encoding="utf-8",
    )
    code, out, err = run("plan", path, "--json", "--set", "d=3", "--set", "layers=2")
    assert (code, err) == (0, "")
    found = json.loads(out)["tensors"]
    assert [(t["name"], t["shape"]) for t in found] == [("w.0", [3, 12]), ("w.1", [3, 12])]
    code, out, err = run("plan", path, "--json", "--set", "hidden=5", "--set", "layers=1")
    assert [t["shape"] for t in json.loads(out)["tensors"]] == [[768, 5]]


@pytest.mark.parametrize(
    ("repeat", "expected"),
    [
        ({"i": 3}, ["w0", "w1", "w2"]),
        ({"i": "n"}, ["w0", "w1", "w2", "w3"]),
        ({"i": [2, 4]}, ["w2", "w3"]),
        ({"i": [0, 7, 3]}, ["w0", "w3", "w6"]),
        ({"i": [5, 0, -2]}, ["w5", "w3", "w1"]),
        ({"i": ["n - 1", -1, -1]}, ["w3", "w2", "w1", "w0"]),
        ({"i": [-2, 1]}, ["w-2", "w-1", "w0"]),
        ({"i": ["n", "2*n", "n // 2"]}, ["w4", "w6"]),
    ],
)
def test_bounds_of_a_repeat(planned: Planned, repeat: object, expected: list[str]) -> None:
    plan = planned(dims={"n": 4}, tensors={"w{i}": tensor(repeat=repeat)})
    assert names(plan) == expected


def test_the_last_index_varies_fastest(planned: Planned) -> None:
    entry = tensor(repeat={"i": 2, "e": [1, 4], "k": ["i", "i + 1"]})
    plan = planned(tensors={"h.{i}.expert.{e}.{k}": entry})
    assert names(plan) == [
        "h.0.expert.1.0", "h.0.expert.2.0", "h.0.expert.3.0",
        "h.1.expert.1.1", "h.1.expert.2.1", "h.1.expert.3.1",
    ]  # fmt: skip


def test_an_inner_bound_uses_an_outer_index(planned: Planned) -> None:
    plan = planned(tensors={"w.{i}.{j}": tensor(repeat={"i": 3, "j": "i + 1"})})
    assert names(plan) == ["w.0.0", "w.1.0", "w.1.1", "w.2.0", "w.2.1", "w.2.2"]


def test_expressions_use_the_index(planned: Planned) -> None:
    entry = tensor(
        shape=["d // (i + 1)", "2*i + 1"],
        axes="IO",
        initializer={"name": "normal", "std": "0.02 / sqrt(i + 1)", "mean": "i/4"},
        repeat={"i": 3},
    )
    plan = planned(dims={"d": 12}, tensors={"w.{i}": entry})
    assert stamped(plan) == [("w.0", (12, 1)), ("w.1", (6, 3)), ("w.2", (4, 5))]
    assert [t.arguments for t in plan.tensors] == [
        {"mean": 0.0, "std": 0.02 / 1.0},
        {"mean": 0.25, "std": 0.02 / 2.0**0.5},
        {"mean": 0.5, "std": 0.02 / 3.0**0.5},
    ]


def test_names_may_hold_dims_and_indices_more_than_once(planned: Planned) -> None:
    plan = planned(dims={"d": 8}, tensors={"{i}.w{d}.{i}{i}": tensor(repeat={"i": 2})})
    assert names(plan) == ["0.w8.00", "1.w8.11"]


def test_a_group_is_repeated_in_order(planned: Planned) -> None:
    plan = planned(
        tensors=[
            {"first": tensor(), "second": tensor()},
            {
                "repeat": {"i": 2},
                "entries": {"h.{i}.a": tensor(), "h.{i}.e.{k}": tensor(repeat={"k": "i + 1"})},
            },
            {"last": tensor()},
        ]
    )
    assert names(plan) == [
        "first", "second", "h.0.a", "h.0.e.0", "h.1.a", "h.1.e.0", "h.1.e.1", "last"
    ]  # fmt: skip


def test_groups_stand_in_groups(planned: Planned) -> None:
    inner = {"repeat": {"j": ["i", "i + 2"]}, "entries": [{"w.{i}.{j}": tensor()}]}
    group = {"repeat": {"i": [1, -1, -1]}, "entries": [{"a.{i}": tensor()}, inner]}
    assert names(planned(tensors=[group])) == ["a.1", "w.1.1", "w.1.2", "a.0", "w.0.0", "w.0.1"]


def test_layers_repeat(planned: Planned) -> None:
    plan = planned(
        dims={"d": 4},
        input_shape=[3],
        layers=[
            {"type": "Dense", "units": "d", "use_bias": False},
            {"type": "Dense", "units": "2*i + 1", "use_bias": False, "repeat": {"i": 2}},
            {"type": "Dense", "name": "out_{i}", "units": 2, "repeat": {"i": [5, 7]}},
        ],
    )
    assert stamped(plan) == [
        ("dense/kernel", (3, 4)), ("dense_1/kernel", (4, 1)), ("dense_2/kernel", (1, 3)),
        ("out_5/kernel", (3, 2)), ("out_5/bias", (2,)),
        ("out_6/kernel", (2, 2)), ("out_6/bias", (2,)),
    ]  # fmt: skip


def test_layers_stand_in_groups(planned: Planned) -> None:
    block = [
        {"type": "Dense", "name": "up_{i}", "units": "8*(i + 1)", "use_bias": False},
        {"repeat": {"j": 2}, "entries": [{"type": "LayerNormalization"}]},
        {"type": "Dense", "name": "down_{i}", "units": 3, "use_bias": False},
    ]
    plan = planned(input_shape=[3], layers=[{"repeat": {"i": 2}, "entries": block}])
    assert stamped(plan) == [
        ("up_0/kernel", (3, 8)),
        ("layer_normalization/gamma", (8,)), ("layer_normalization/beta", (8,)),
        ("layer_normalization_1/gamma", (8,)), ("layer_normalization_1/beta", (8,)),
        ("down_0/kernel", (8, 3)), ("up_1/kernel", (3, 16)),
        ("layer_normalization_2/gamma", (16,)), ("layer_normalization_2/beta", (16,)),
        ("layer_normalization_3/gamma", (16,)), ("layer_normalization_3/beta", (16,)),
        ("down_1/kernel", (16, 3)),
    ]  # fmt: skip


def test_layers_come_before_tensors(planned: Planned) -> None:
    layer = {"type": "Dense", "units": 2, "use_bias": False}
    plan = planned(tensors={"a": tensor()}, input_shape=[3], layers=[layer])
    assert names(plan) == ["dense/kernel", "a"]


def test_each_repetition_has_its_seed(planned: Planned) -> None:
    entry = tensor(shape=[64], initializer="glorot_uniform", seed="7 + i", repeat={"i": 3})
    plan = planned(tensors={"w.{i}": entry})
    assert [t.seed for t in plan.tensors] == [7, 8, 9]
    single = planned(seed=8, tensors={"w.1": tensor(shape=[64], initializer="glorot_uniform")})
    assert glorot.draw(plan, "w.1").tobytes() == glorot.draw(single, "w.1").tobytes()


def test_an_initializer_seed_goes_before_an_entry_seed(planned: Planned) -> None:
    initializer = {"name": "glorot_uniform", "seed": "20 + i"}
    entry = tensor(initializer=initializer, seed="7 + i", repeat={"i": 2})
    assert [t.seed for t in planned(tensors={"w.{i}": entry}).tensors] == [20, 21]


def test_a_seed_may_stand_on_a_layer(planned: Planned) -> None:
    layer = {"type": "Dense", "units": 4, "seed": "7 + i", "repeat": {"i": 2}}
    plan = planned(input_shape=[4], layers=[layer])
    assert [t.seed for t in plan.tensors] == [7, 7, 8, 8]


TIED = """\
seed: 3
tensors:
  - wte: {shape: [5, 2], axes: IO, initializer: glorot_uniform}
    buffer: {shape: [7], initializer: ones, skip: true}
  - "head.{i}": {tie: wte, repeat: {i: 2}}
  - "block.{i}": {shape: [3], initializer: zeros, repeat: {i: 2}}
  - repeat: {i: 2}
    entries: {"alias.{i}": {tie: "block.{i}", shape: [3]}}
"""


def test_ties_and_skips_are_shown_and_not_counted(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(TIED, encoding="utf-8")
    code, out, err = run("plan", path, "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    found = [(t["name"], t["shape"], t["tied_to"], t["skipped"]) for t in document["tensors"]]
    assert found == [
        ("wte", [5, 2], None, False),
        ("buffer", [7], None, True),
        ("head.0", [5, 2], "wte", False),
        ("head.1", [5, 2], "wte", False),
        ("block.0", [3], None, False),
        ("block.1", [3], None, False),
        ("alias.0", [3], "block.0", False),
        ("alias.1", [3], "block.1", False),
    ]
    assert document["totals"] == {"parameters": 16, "trainable": 16, "bytes": 64}


def test_ties_and_skips_stand_in_the_table(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(TIED, encoding="utf-8")
    code, out, err = run("plan", path)
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert "ones, not stored" in rows["buffer"]
    assert "tied to wte" in rows["head.0"]
    assert "tied to block.1" in rows["alias.1"]
    assert out.splitlines()[-1] == "16 parameters, 64 B"


def test_ties_and_skips_are_not_stored(run: Run, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    path = tmp_path / "x.yaml"
    path.write_text(TIED, encoding="utf-8")
    code, out, _ = run("init", path, "-o", tmp_path / "x.safetensors", "--json")
    assert code == 0
    assert sorted(load_file(tmp_path / "x.safetensors")) == ["block.0", "block.1", "wte"]
    drawn = {t["name"]: t["statistics"] is not None for t in json.loads(out)["tensors"]}
    assert [name for name, has in drawn.items() if has] == ["wte", "block.0", "block.1"]


def test_a_tie_may_stand_before_what_it_is_tied_to(planned: Planned) -> None:
    plan = planned(tensors={"head": {"tie": "wte"}, "wte": tensor(dtype="float16")})
    assert [(t.name, t.dtype) for t in plan.entries] == [("head", "float16"), ("wte", "float16")]
    assert [t.name for t in plan.tensors] == ["wte"]


T = "tensors:\n  w: {shape: [2], initializer: ones}\n"
IDENTIFIER = "expected a name of letters, digits and _, found"
SIZE = "expected a positive integer below 2**40, found"
BOUNDS = "expected n, [start, stop] or [start, stop, step], found"
TAKEN = "is the name of a param, a dim or an outer index; choose another"

DIM_MISTAKES = [
    ("dims: [1]\n" + T, "1:7: dims: expected a mapping of at most 1000 names to sizes, found [1]"),
    ("dims: null\n" + T,
     "1:7: dims: expected a mapping of at most 1000 names to sizes, found null"),
    ("dims: {d: 0}\n" + T, f"1:11: dims.d: {SIZE} 0"),
    ("dims: {d: -4}\n" + T, f"1:11: dims.d: {SIZE} -4"),
    ("dims: {d: 1.5}\n" + T, f"1:11: dims.d: {SIZE} 1.5"),
    ("dims: {d: yes}\n" + T, "1:11: dims.d: 'yes' uses the unknown name 'yes'; there are no dims"),
    ("dims: {d: true}\n" + T, f"1:11: dims.d: {SIZE} true"),
    ("dims: {d: [4]}\n" + T, f"1:11: dims.d: {SIZE} [4]"),
    ("dims: {d: 1099511627777}\n" + T, f"1:11: dims.d: {SIZE} 1099511627777"),
    ("dims: {d: 4, e: d - 4}\n" + T, f"1:17: dims.e: {SIZE} 0 ('d - 4')"),
    ("dims: {e: 2*d, d: 4}\n" + T,
     "1:11: dims.e: 'd' stands after 'e'; a dim may use only those before it"),
    ("dims: {a: 1, e: 2*d, d: 4}\n" + T,
     "1:17: dims.e: 'd' stands after 'e'; a dim may use only those before it"),
    ("dims: {d: heads*8, heads: 4}\n" + T,
     "1:11: dims.d: 'heads' stands after 'd'; a dim may use only those before it"),
    ("dims: {d: 2*d}\n" + T,
     "1:11: dims.d: 'd' is made of itself; a dim may use only those before it"),
    ("dims: {d: 8 / 2}\n" + T,
     "1:11: dims.d: expected a whole number, found 4.0 ('8 / 2'); // divides"),
    ("dims: {2x: 4}\n" + T, f"1:8: dims.2x: {IDENTIFIER} '2x'"),
    ("dims: {d-model: 4}\n" + T, f"1:8: dims.d-model: {IDENTIFIER} 'd-model'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), DIM_MISTAKES)
def test_mistakes_in_dims(run: Run, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    assert run("plan", path) == (2, "", f"glorot: {path}:{message}\n")


def test_a_thousand_dims_at_most(planned: Planned) -> None:
    with pytest.raises(glorot.SpecError) as caught:
        planned(dims={f"d{i}": 1 for i in range(1001)}, tensors={"w": tensor()})
    assert str(caught.value) == (
        "<spec>: dims: expected a mapping of at most 1000 names to sizes, found a mapping"
    )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("dd=3", "--set dd: there is no such param or dim; did you mean 'd'?"),
        ("zzz=3", "--set zzz: there is no such param or dim; known: d"),
        ("d=x", "--set d: 'x' uses the unknown name 'x'; there are no dims"),
        ("d", "--set: expected a name and a value such as d=1024, found 'd'"),
        ("d=", "--set: expected a name and a value such as d=1024, found 'd='"),
        ("=3", "--set: expected a name and a value such as d=1024, found '=3'"),
        ("d=[", "--set d:2:1: not valid YAML: did not find expected node content"),
        ("d=[3]", "--set d: expected a positive integer below 2**40, found [3]"),
        ("d=null", "--set d: expected a positive integer below 2**40, found null"),
        ("d=1e3", "--set d: expected a positive integer below 2**40, found 1000.0"),
        ("d=-3", "--set d: expected a positive integer below 2**40, found -3"),
        ("d=0", "--set d: expected a positive integer below 2**40, found 0"),
        ("d=9999999999999",
         "--set d: expected a positive integer below 2**40, found 9999999999999"),
    ],
)  # fmt: skip
def test_mistakes_in_set(run: Run, tmp_path: Path, option: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("dims: {d: 4}\n" + T, encoding="utf-8")
    found = run("plan", path, "--set", option)
    assert found == (2, "", f"glorot: {message.format(path)}\n")


def test_set_where_there_are_no_dims(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(T, encoding="utf-8")
    message = "glorot: --set d: there is no such param or dim; the spec has none\n"
    assert run("plan", path, "--set", "d=3") == (2, "", message)


def repeated(repeat: str, head: str = "") -> str:
    return f'{head}tensors:\n  "w.{{i}}": {{shape: [2], initializer: ones, repeat: {repeat}}}\n'


REPEAT_MISTAKES = [
    (repeated("[1]"),
     "2:52: tensors.w.{i}.repeat: expected a mapping such as {i: layers}, found [1]"),
    (repeated("3"), "2:52: tensors.w.{i}.repeat: expected a mapping such as {i: layers}, found 3"),
    (repeated("{}"),
     "2:52: tensors.w.{i}.repeat: expected a mapping such as {i: layers}, found a mapping"),
    (repeated("null"), "2:3: tensors.w.{i}: {i} is not an index; the entry has no repeat"),
    (repeated("{j: 3}"), "2:3: tensors.w.{i}: {i} is not an index; known: j"),
    (repeated("{i: -1}"), "2:56: tensors.w.{i}.repeat.i: expected a count of at least 0, found -1"),
    (repeated("{i: [0, 3, 0]}"), "2:56: tensors.w.{i}.repeat.i: expected a step other than 0"),
    (repeated("{i: [0, 1, 2, 3]}"), f"2:56: tensors.w.{{i}}.repeat.i: {BOUNDS} [0, 1, 2, 3]"),
    (repeated("{i: [3]}"), f"2:56: tensors.w.{{i}}.repeat.i: {BOUNDS} [3]"),
    (repeated("{i: [1,2,3,4,5,6,7,8,9,10,11]}"),
     f"2:56: tensors.w.{{i}}.repeat.i: {BOUNDS} a list of 11 items"),
    (repeated("{i: 1.5}"),
     "2:56: tensors.w.{i}.repeat.i: expected an integer or an expression, found 1.5"),
    (repeated("{i: true}"),
     "2:56: tensors.w.{i}.repeat.i: expected an integer or an expression, found true"),
    (repeated("{i: {a: 1}}"),
     "2:56: tensors.w.{i}.repeat.i: expected an integer or an expression, found a mapping"),
    (repeated("{i: layers}"),
     "2:56: tensors.w.{i}.repeat.i: 'layers' uses the unknown name 'layers'; there are no dims"),
    (repeated("{i: layer}", "dims: {layers: 2}\n"),
     "3:56: tensors.w.{i}.repeat.i: 'layer' uses the unknown name 'layer'; "
     "did you mean 'layers'?"),
    (repeated("{i: d+}"),
     "2:56: tensors.w.{i}.repeat.i: expected an expression such as 3*d or "
     "0.02 / sqrt(2*layers), found 'd+'"),
    (repeated("{i: 1000001}"),
     "2:56: tensors.w.{i}.repeat.i: expected at most 1000000 repetitions, found 1000001"),
    (repeated("{i: 99999999999999999999999}"),
     "2:56: tensors.w.{i}.repeat.i: expected at most 1000000 repetitions, "
     "found 99999999999999999999999"),
    (repeated("{i: [10, -99999999999999999999999, -7]}"),
     "2:56: tensors.w.{i}.repeat.i: expected at most 1000000 repetitions, "
     "found 14285714285714285714287"),
    (repeated("{i: %s}" % ("9" * 300)),
     "2:56: tensors.w.{i}.repeat.i: expected at most 1000000 repetitions, "
     "found an integer of over 60 digits"),
    (repeated("{i: 2}", "dims: {i: 3}\n"),
     f"3:53: tensors.w.{{i}}.repeat.i: the index 'i' {TAKEN}"),
    (repeated("{i-: 2}"), f"2:53: tensors.w.{{i}}.repeat.i-: {IDENTIFIER} 'i-'"),
    (repeated("{i: 2, j: 2}"),
     "2:12: tensors.w.{i}: two tensors are named 'w.0'; does the name lack {j}?"),
    ("tensors:\n  w: {shape: [2], initializer: ones, repeat: {i: 2}}\n",
     "2:6: tensors.w: two tensors are named 'w'; does the name lack {i}?"),
    ("tensors:\n  - a: {shape: [2], initializer: ones}\n  - a: {shape: [2], tie: b}\n",
     "3:8: tensors[1].a: two tensors are named 'a'"),
    ('tensors:\n  "w.{i}": {shape: [2], initializer: ones}\n',
     "2:3: tensors.w.{i}: {i} is not an index; the entry has no repeat"),
    ('tensors:\n  "w.{i": {shape: [2], initializer: ones, repeat: {i: 2}}\n',
     "2:3: tensors.w.{i: expected indices in pairs of braces, such as h.{i}"),
    ('tensors:\n  "w.{{i}}": {shape: [2], initializer: ones, repeat: {i: 2}}\n',
     "2:3: tensors.w.{{i}}: expected indices in pairs of braces, such as h.{i}"),
    ('tensors:\n  "w.{}": {shape: [2], initializer: ones, repeat: {i: 2}}\n',
     "2:3: tensors.w.{}: {} is not an index; known: i"),
    ('tensors:\n  "a{i}": {shape: [i], initializer: ones, repeat: {i: 2}}\n',
     "2:20: tensors.a{i}.shape[0]: expected a positive integer below 2**40, found 0 ('i')"),
    ('tensors:\n  "a{i}": {shape: [2], initializer: uniform, seed: i, repeat: {i: [-1, 2]}}\n',
     "2:52: tensors.a{i}.seed: expected an integer from 0 to 2**64 - 1, found -1 ('i')"),
]  # fmt: skip

GROUP_MISTAKES = [
    ("tensors: 3\n", "1:10: tensors: expected a mapping of name to tensor, found 3"),
    ("tensors: {w: x}\n", "1:14: tensors.w: expected a tensor as a mapping, found 'x'"),
    ("tensors: [3]\n", "1:11: tensors[0]: expected a mapping of name to tensor, found 3"),
    ("tensors:\n  - entries: {w: {shape: [2], initializer: ones}}\n",
     "2:5: tensors[0]: a group needs 'repeat', 'each' or 'when', which are missing"),
    ("tensors:\n  - repeat: null\n    entries: {w: {shape: [2], initializer: ones}}\n",
     "2:5: tensors[0]: a group needs 'repeat', 'each' or 'when', which are missing"),
    ('tensors:\n  - repeat: {i: 2}\n    dtype: float16\n    entries: {"w{i}": {shape: [2]}}\n',
     "3:5: tensors[0].dtype: a group has repeat, each, when and entries only; "
     "this key belongs to an entry"),
    ("tensors:\n  - repeat: {i: 2}\n    entries: 3\n",
     "3:14: tensors[0].entries: expected a mapping of name to tensor, found 3"),
    ("tensors:\n  - repeat: {i: 1000000}\n    entries: []\n",
     "3:14: tensors[0].entries: expected entries to repeat, found none"),
    ("tensors:\n  - repeat: {i: 1000000}\n    entries: [{}, {}]\n",
     "3:14: tensors[0].entries: expected entries to repeat, found none"),
    ("tensors:\n  - repeat: {i: 1000000}\n    entries:\n"
     "      - {repeat: {j: 1000000}, entries: {}}\n",
     "4:41: tensors[0].entries[0].entries: expected entries to repeat, found none"),
    ('tensors:\n  - repeat: {i: 2}\n    entries:\n      - repeat: {i: 3}\n'
     '        entries: {"w{i}": {shape: [2]}}\n',
     f"4:18: tensors[0].entries[0].repeat.i: the index 'i' {TAKEN}"),
    ("tensors:\n  repeat: {i: 2}\n  entries: {w: {shape: [2]}}\n",
     "2:3: tensors.repeat: no tensor may be named 'repeat'; a group stands in a list of tensors"),
    ("tensors:\n  a: {shape: [2], initializer: ones}\n  entries: {shape: [2]}\n",
     "3:3: tensors.entries: no tensor may be named 'entries'; "
     "a group stands in a list of tensors"),
    ("layers: {a: 1}\n", "1:13: layers.a: expected a layer as a mapping, or its shape, found 1"),
    ("input_shape: [2]\nlayers: [3]\n", "2:10: layers[0]: expected a layer as a mapping, found 3"),
    ("input_shape: [2]\nlayers:\n  - {repeat: {i: 2}, entries: {type: Dense, units: 2}}\n",
     "3:38: layers[0].entries.type: expected a layer as a mapping, or its shape, found 'Dense'"),
    ("input_shape: [2]\nlayers:\n  - {repeat: {i: 2}, entries: []}\n",
     "3:31: layers[0].entries: expected entries to repeat, found none"),
    ("input_shape: [2]\nlayers:\n  - {repeat: {i: 2}, type: Dense, entries: []}\n",
     "3:22: layers[0].type: a group has repeat, each, when and entries only; "
     "this key belongs to an entry"),
    ("input_shape: [2]\nlayers:\n  - {entries: [{type: Dense, units: 2}]}\n",
     "3:5: layers[0]: a group needs 'repeat', 'each' or 'when', which are missing"),
    ('input_shape: [2]\nlayers:\n  - {type: Dense, units: 2, name: "d{j}", repeat: {i: 2}}\n',
     "3:35: layers[0].name: {j} is not an index; known: i"),
    ("input_shape: [2]\nlayers:\n  - {type: Dense, units: 2, name: d, repeat: {i: 2}}\n",
     "3:35: layers[0].name: two layers are named 'd'; give one of them another name"),
    ("input_shape: [2]\nlayers:\n  - {type: Dense, units: i - 1, repeat: {i: [2, 0, -1]}}\n",
     "3:26: layers[0].units: expected a positive integer below 2**40, found 0 ('i - 1')"),
]  # fmt: skip

A = "tensors:\n  a: {shape: [2], initializer: ones}\n"
TIE_MISTAKES = [
    (A + "  b: {tie: aa}\n", "3:12: tensors.b.tie: no tensor is named 'aa'; did you mean 'a'?"),
    (A + "  b: {tie: a}\n  c: {tie: b}\n",
     "4:12: tensors.c.tie: 'b' is tied or skipped itself; tie to what is drawn"),
    ("tensors:\n  a: {tie: a}\n",
     "2:12: tensors.a.tie: 'a' is tied or skipped itself; tie to what is drawn"),
    ("tensors:\n  a: {tie: b}\n  b: {tie: a}\n",
     "2:12: tensors.a.tie: 'b' is tied or skipped itself; tie to what is drawn"),
    (A + "  s: {shape: [2], initializer: ones, skip: true}\n  b: {tie: s}\n",
     "4:12: tensors.b.tie: 's' is tied or skipped itself; tie to what is drawn"),
    (A + "  b: {tie: a, initializer: ones}\n",
     "3:15: tensors.b.initializer: a tied tensor is not drawn, so it takes no initializer"),
    (A + "  b: {tie: a, shape: [3]}\n",
     "3:12: tensors.b.tie: expected the shape of 'a', [2], found [3]"),
    (A + '  b: {tie: "a{i}"}\n',
     "3:12: tensors.b.tie: {i} is not an index; the entry has no repeat"),
    (A + "  b: {tie: 3}\n", "3:12: tensors.b.tie: expected a string, found 3"),
    (A + "  b: {initializer: ones}\n", "3:6: tensors.b: a tensor needs 'shape', which is missing"),
    (A + "  b: {shape: [2], initializer: ones, skip: yes}\n",
     "3:44: tensors.b.skip: expected true or false, found 'yes'; "
     "YAML 1.2 has true and false only"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REPEAT_MISTAKES + GROUP_MISTAKES + TIE_MISTAKES)
def test_mistakes(run: Run, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    assert run("plan", path) == (2, "", f"glorot: {path}:{message}\n")


def test_a_million_entries_at_most(monkeypatch: pytest.MonkeyPatch, planned: Planned) -> None:
    monkeypatch.setattr("glorot_cli.repeats.stamping.MOST_ENTRIES", 10)
    entry = tensor(repeat={"i": 3, "j": 4})
    with pytest.raises(glorot.SpecError) as caught:
        planned(tensors={"w{i}.{j}": entry})
    assert str(caught.value) == (
        "<spec>: tensors.w{i}.{j}: expected at most 10 entries once repeated"
    )


def again(plan: glorot.Plan) -> glorot.Plan:
    """Make a plan again of what a file would carry of it."""
    return glorot.make_plan(glorot.load_spec(json.loads(json.dumps(plan.spec, sort_keys=True))))


def assert_same_after_sorting(plan: glorot.Plan) -> None:
    other = again(plan)
    assert other.spec == plan.spec
    assert other.entries == plan.entries
    assert other.notices == plan.notices
    for found in plan.tensors:
        first, second = glorot.draw(plan, found.name), glorot.draw(other, found.name)
        assert first.tobytes() == second.tobytes()


PROVENANCE: list[dict[str, Any]] = [
    {"tensors": {"z": tensor(), "a": tensor(), "m": tensor()}},
    {"tensors": {"only": tensor()}},
    {"dims": {"z": 2, "a": "z + 1"}, "tensors": {"w": tensor(shape=["a", "z"])}},
    {"tensors": {"w.{z}.{a}": tensor(repeat={"z": 2, "a": 3})}},
    {"tensors": {"w.{z}.{a}.{m}": tensor(repeat={"z": 2, "a": "z + 1", "m": ["a", "a + 2"]})}},
    {"tensors": [{"z": tensor(), "a": tensor()}, {"b": tensor()}]},
    {
        "tensors": [
            {"zz": tensor()},
            {
                "repeat": {"z": 2, "a": ["z", "z + 2"]},
                "entries": {
                    "z.{z}.{a}": tensor(),
                    "a.{z}.{a}": tensor(),
                    "b.{z}.{a}.{y}.{x}": tensor(repeat={"y": 2, "x": 2}),
                },
            },
            {"aa": {"tie": "zz"}, "a0": tensor(skip=True)},
        ]
    },
    {
        "tensors": [
            {
                "repeat": {"z": 2},
                "entries": [{"repeat": {"a": 2, "Z": 2}, "entries": {"w{z}{a}{Z}": tensor()}}],
            }
        ]
    },
    {
        "input_shape": [3],
        "layers": [
            {"type": "Dense", "name": "d_{z}{a}", "units": "z + a + 1", "repeat": {"z": 2, "a": 2}},
            {
                "repeat": {"z": 2, "a": 2},
                "entries": [
                    {"type": "Dense", "units": "2*z + a + 1"},
                    {"type": "Dense", "units": 3},
                ],
            },
            {"type": "Dense", "units": 2, "repeat": {"b": 2}},
        ],
    },
    {
        "initializers": [
            {"z*": "ones"},
            {"*.b": {"name": "normal", "std": "0.1 / (i + 1)"}},
            {"*": "glorot_uniform"},
        ],
        "dtype": "float64",
        "fans": "keras",
        "tensors": {
            "z": {"shape": [2]},
            "{i}.b": {"shape": [4], "repeat": {"i": [3, 0, -1]}, "seed": "i"},
            "a": {"shape": [2, 3], "dtype": "float16"},
        },
    },
    {"dims": {"n": 2}, "seed": "n + 5", "tensors": {"w": tensor(initializer="glorot_uniform")}},
]  # fmt: skip


@pytest.mark.parametrize("spec", PROVENANCE)
def test_a_plan_survives_sorted_keys(planned: Planned, spec: dict[str, Any]) -> None:
    assert_same_after_sorting(planned(**spec))


def test_set_survives_too() -> None:
    spec = {"seed": 1, "dims": {"d": 4, "h": "2*d"}, "tensors": {"w": tensor(shape=["h"])}}
    plan = glorot.make_plan(glorot.load_spec(spec, dims={"d": 3}))
    assert plan["w"].shape == (6,)
    assert_same_after_sorting(plan)


INDICES = st.sampled_from(["a", "b", "k", "z", "Q"])
REPEATS = st.dictionaries(INDICES, st.integers(1, 3), min_size=1, max_size=3)


@st.composite
def entries(draw: st.DrawFn, number: Iterator[int], outer: tuple[str, ...], depth: int) -> Any:
    """Write tensors as a mapping, or as a list with groups; no name comes twice."""

    def repeat() -> dict[str, int]:
        return {key: bound for key, bound in draw(REPEATS).items() if key not in outer}

    def mapping() -> dict[str, Any]:
        result = {}
        for _ in range(draw(st.integers(1, 3))):
            indices = repeat() if draw(st.booleans()) else {}
            # Not in the order of their sorted names.
            name = f"{next(number) * 7919 % 1009}"
            name += "".join(f".{{{key}}}" for key in (*outer, *indices))
            entry = tensor(initializer="glorot_uniform")
            result[name] = {**entry, "repeat": indices} if indices else entry
        return result

    def item() -> Any:
        indices = repeat()
        if depth == 0 or not indices or draw(st.booleans()):
            return mapping()
        inner = draw(entries(number, (*outer, *indices), depth - 1))
        return {"repeat": indices, "entries": inner}

    if draw(st.booleans()):
        return mapping()
    return [item() for _ in range(draw(st.integers(1, 3)))]


@given(st.data())
def test_any_nesting_survives_sorted_keys(data: st.DataObject) -> None:
    tensors = data.draw(entries(itertools.count(), (), 2))
    plan = glorot.make_plan(glorot.load_spec({"seed": 5, "tensors": tensors}))
    other = again(plan)
    assert other.entries == plan.entries
    assert other.spec == plan.spec
