"""Provenance is the spec, draw order included: what it holds is enough to draw the file again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import glorot_cli as glorot
from glorot_cli.checks.claims import read_claim
from glorot_cli.checks.pairing import plan_of_file
from glorot_cli.formats.base import compact
from glorot_cli.formats.reading import read_headers

Planned = Callable[..., glorot.Plan]
Run = Callable[..., tuple[int, str, str]]
Entry = dict[str, Any]

# In an order that sorting changes, as all that stands in mappings here.
INDICES = ("z", "b", "y", "a")
# Each has a stream that draws the tensors of a model one after the other, or by their names.
STREAMS = {"torch": ["aes-ctr", "torch"], "keras": ["aes-ctr", "keras-numpy"]}


@st.composite
def repeats(draw: st.DrawFn, used: tuple[str, ...] = (), least: int = 0) -> dict[str, Any]:
    free = [index for index in INDICES if index not in used]
    chosen = draw(st.permutations(free))[: draw(st.integers(least, min(2, len(free))))]
    bounds = st.sampled_from([1, 2, [1, 3], [2, 0, -1], "n"])
    return {index: draw(bounds) for index in chosen}


@st.composite
def layers(
    draw: st.DrawFn, dialect: str, used: tuple[str, ...] = (), depth: int = 0, start: int = 0
) -> list[Entry]:
    """Give layers, groups and containers, which may all repeat over several indices."""
    found: list[Entry] = []
    for number in range(start, start + draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["layer", "layer", "group", "container"]))
        grouped = kind == "group" and depth < 2
        repeat = draw(repeats(used, least=int(grouped)))
        inner = (*used, *repeat)
        name = "_".join([f"l{depth}{number}", *(f"{{{index}}}" for index in inner)])
        entry: Entry
        if grouped:
            entry = {"entries": draw(layers(dialect, inner, depth + 1, 10 * (number + 1)))}
        elif kind == "container" and depth < 2:
            within = draw(layers(dialect, inner, depth + 1))
            kinds = (
                ["Sequential", "ModuleList", "ModuleDict"] if dialect == "torch" else ["Sequential"]
            )
            entry = {"type": draw(st.sampled_from(kinds)), "name": name, "layers": within}
        elif dialect == "torch":
            entry = {"type": "Linear", "name": name, "in_features": 2, "out_features": 2}
        else:
            entry = {"type": "Dense", "name": name, "units": 2}
        found.append({**entry, "repeat": repeat} if repeat else entry)
    return found


@st.composite
def tensors(draw: st.DrawFn, used: tuple[str, ...] = (), depth: int = 0) -> Any:
    """Give a mapping of tensors, or a list of mappings and groups."""
    numbers = draw(st.permutations(range(3)))[: draw(st.integers(1, 3))]
    if depth < 2 and draw(st.booleans()):
        parts = []
        for number in numbers:
            repeat = draw(repeats(used, least=1))
            name = "_".join([f"g{depth}{number}", *(f"{{{index}}}" for index in (*used, *repeat))])
            entries = {f"{name}.{key}": entry for key, entry in
                       draw(tensors((*used, *repeat), 2)).items()}  # fmt: skip
            parts.append({"repeat": repeat, "entries": entries})
        return parts
    found: dict[str, Entry] = {}
    for number in numbers:
        repeat = draw(repeats(used))
        name = "_".join([f"t{number}", *(f"{{{index}}}" for index in (*used, *repeat))])
        found[name] = {"shape": ["n", 2], "axes": "IO", "initializer": "he_normal"}
        if repeat:
            found[name]["repeat"] = repeat
    return found


@st.composite
def specs(draw: st.DrawFn) -> Entry:
    dialect = draw(st.sampled_from(sorted(STREAMS)))
    spec: Entry = {
        "seed": draw(st.integers(0, 2**32 - 1)),
        "dialect": dialect,
        "dims": {"n": 2},
        "layers": draw(layers(dialect)),
    }
    if dialect == "keras":
        spec["input_shape"] = [2]
    spec["rng"] = draw(st.sampled_from(STREAMS[dialect]))
    if spec["rng"] == "aes-ctr" and draw(st.booleans()):
        spec["tensors"] = draw(tensors())
    return spec


@settings(max_examples=150)
@given(spec=specs())
def test_any_spec_is_drawn_again_from_provenance_alone(spec: Entry) -> None:
    plan = glorot.make_plan(glorot.load_spec(spec))
    again = glorot.make_plan(glorot.load_spec(json.loads(compact(plan.spec))))
    assert again.entries == plan.entries
    assert again.spec == plan.spec


@settings(max_examples=40)
@given(spec=specs(), format=st.sampled_from(["w.safetensors", "w.h5", "w/"]))
def test_any_file_is_verified_from_provenance_alone(
    spec: Entry, format: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = str(tmp_path_factory.mktemp("files")) + "/" + format
    plan = glorot.make_plan(glorot.load_spec(spec))
    glorot.write_weights(plan, path)
    found = glorot.verify_weights(path)
    assert {tensor.status for tensor in found.tensors} == {"equal"}
    assert [tensor.name for tensor in found.tensors] == [tensor.name for tensor in plan.tensors]
    assert plan_of_file(path).tensors == plan.tensors


@pytest.mark.parametrize(
    "container", ["Sequential", "ModuleList", "ModuleDict", "Module"]
)  # fmt: skip
def test_a_layer_within_a_container_keeps_its_order_of_indices(
    container: str, planned: Planned, tmp_path: Path
) -> None:
    linear = {"type": "Linear", "in_features": 3, "out_features": 3}
    inner = [{**linear, "name": "{j}_{a}", "repeat": {"j": 2, "a": 2}}]
    plan = planned(
        dialect="torch", rng="torch", layers=[{"type": container, "name": "m", "layers": inner}]
    )
    names = ["m.0_0.weight", "m.0_1.weight", "m.1_0.weight", "m.1_1.weight"]
    assert [tensor.name for tensor in plan.tensors if tensor.name.endswith("weight")] == names
    path = tmp_path / "w.safetensors"
    glorot.write_weights(plan, path)
    assert glorot.verify_weights(path).equal
    claim = read_claim(read_headers(path))
    assert claim is not None
    assert claim["spec"]["layers"] == [
        {"type": container, "name": "m", "layers": [
            {"repeat": {"j": 2}, "entries": [{**linear, "name": "{j}_{a}", "repeat": {"a": 2}}]}
        ]}
    ]  # fmt: skip


# What a format, or Keras in it, uses itself; and what looks like it.
OWN_NAMES = [
    "layers", "vars", "model_weights", "optimizer_weights", "top_level_model_weights",
    "layer_names", "weight_names", "glorot", "manifest.json", "model.safetensors",
    "model.safetensors.index.json", "model-00001-of-00002.safetensors", "config.json",
    "metadata.json", "__metadata__", "seed_generator", "weight_map", "_layer", "tensors", "0",
]  # fmt: skip
OUTPUTS = ["w.safetensors", "w.weights.h5", "w.h5", "w/", "s/", "w.weights.json"]


def own_named(name: str, kind: str) -> Entry:
    if kind == "layer":
        dense = {"type": "Dense", "units": 2}
        return {"input_shape": [2], "layers": [{**dense, "name": name}, {**dense, "name": "other"}]}
    if kind == "nested":
        inner = {"type": "Dense", "units": 2, "name": "vars"}
        return {
            "input_shape": [2],
            "layers": [{"type": "Sequential", "name": name, "layers": [inner]}],
        }
    names = {"tensor": [name, "other"], "folder": [f"{name}/w", "other"]}[kind]
    return {"tensors": {each: {"shape": [3], "initializer": "ones"} for each in names}}


@pytest.mark.parametrize("kind", ["layer", "nested", "tensor", "folder"])
@pytest.mark.parametrize("name", OWN_NAMES)
def test_names_that_a_format_uses_itself_are_kept_or_refused(
    name: str, kind: str, planned: Planned, tmp_path: Path
) -> None:
    if (name, kind) == ("__metadata__", "tensor"):
        with pytest.raises(glorot.SpecError, match="'__metadata__' names no tensor"):
            planned(**own_named(name, kind))
        return
    plan = planned(**own_named(name, kind))
    refused = set()
    for output in OUTPUTS:
        path = tmp_path / output
        try:
            size = "20B" if output in ("s/", "w.weights.json") else None
            glorot.write_weights(plan, f"{tmp_path}/{output}", max_shard_size=size)
        except glorot.FormatError:
            assert not path.exists()
            refused.add(output)
            continue
        found = glorot.verify_weights(path)
        assert [(t.name, t.status) for t in found.tensors] == [
            (t.name, "equal") for t in plan.tensors
        ]
        inspected = glorot.inspect_weights(path, headers=True)
        assert {t.name for t in inspected.tensors} == {t.name for t in plan.tensors}
        assert inspected.format == {
            "w.weights.h5": "keras", "w.weights.json": "keras", "w.h5": "h5", "w/": "npy-folder",
            "w.safetensors": "safetensors", "s/": "safetensors",
        }[output] or (name, kind, output) == ("layers", "nested", "w.h5")  # fmt: skip
        assert glorot.diff_weights(path, tmp_path / "w.safetensors")
    is_raw = kind in ("tensor", "folder")
    expected = {"w.weights.h5", "w.weights.json"} if is_raw else set()
    if name == "manifest.json" and kind != "tensor":
        expected.add("w/")
    assert refused == expected


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"w": np.ones((3, 2), np.float32)},
         "'w' is float32 of shape [2, 3] by the provenance, float32 of shape [3, 2] in the file"),
        ({"w": np.ones((2, 3), np.float16)},
         "'w' is float32 of shape [2, 3] by the provenance, float16 of shape [2, 3] in the file"),
        ({"v": np.ones((2, 3), np.float32)},
         "'w' is float32 of shape [2, 3] by the provenance, no such tensor in the file"),
        ({"w": np.ones((2, 3), np.float32), "v": np.ones(1, np.float32)},
         "'v' is no such tensor by the provenance, float32 of shape [1] in the file"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", [("init", "-o", "new.h5"), ("plan",), ("spec",)])
def test_a_provenance_that_contradicts_its_file_is_not_followed(
    arrays: dict[str, Any], message: str, command: tuple[str, ...], run: Run, planned: Planned,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    plan = planned(tensors={"w": {"shape": [2, 3], "axes": "IO", "initializer": "he_normal"}})
    claim = compact({"format": 1, "spec": plan.spec, "stream": {"name": "aes-ctr", "version": 1}})
    safetensors.numpy.save_file(arrays, "w.safetensors", {"glorot": claim})
    name, *options = command
    assert run(name, "w.safetensors", *options) == (
        2, "",
        "glorot: w.safetensors: its provenance: it contradicts the file, so neither is followed: "
        f"{message}\n",
    )  # fmt: skip
    assert not Path("new.h5").exists()
