"""Specs of weight files and of Keras's configurations, and a spec's text."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given
from hypothesis import strategies as st

import glorot_cli as glorot
from glorot_cli.derive import comments, derive, derive_spec, spec_text
from glorot_cli.derive.conventions import UNKNOWN
from glorot_cli.derive.weights import spec_of_weights
from glorot_cli.formats import FORMATS
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.spec.source import parse
from tests import layouts

Run = Callable[..., tuple[int, str, str]]
Planned = Callable[..., glorot.Plan]

DATA = Path(__file__).parent / "data" / "keras"
SPECS = Path(__file__).parent.parent / "sample_specs"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stored(
    shapes: Mapping[str, layouts.Shape], dtype: str = "float32", format: str = "safetensors"
) -> StoredFile:
    """Return headers of a file; counters of batches are whole numbers."""
    tensors = [
        StoredTensor(name, shape, "int64" if "num_batches" in name else dtype, 0, 0)
        for name, shape in shapes.items()
    ]
    return StoredFile(Path("x"), FORMATS[format], None, tensors)


def read_back(spec: Mapping[str, Any], **overrides: Any) -> glorot.Plan:
    """Make the plan of a spec's text."""
    source = parse(spec_text(spec, ("A comment",)), "x.yaml")
    assert source.data == spec
    assert isinstance(source.data, dict)
    return glorot.make_plan(glorot.load_spec({**source.data, "seed": 1, **overrides}))


def derived(shapes: Mapping[str, layouts.Shape], **options: str) -> str:
    """Return a file's spec as text, once it has been read back."""
    file = stored(shapes, **options)
    found = spec_of_weights(file, UNKNOWN)
    spec, guesses = found.spec, found.guesses
    plan = read_back(spec)
    tensors = {t.name: (t.shape, t.dtype) for t in plan.tensors}
    assert tensors == {t.name: (t.shape, t.dtype) for t in file.tensors}
    assert len(tensors) == len(file.tensors)
    assert {t.name for t in plan.tensors if t.kept} == {*found.kept}
    for tensor in plan.tensors:
        if tensor.kept:
            continue
        expected = guesses[tensor.name].initializer
        if not isinstance(expected, list):
            name = expected if isinstance(expected, str) else expected["name"]
            assert tensor.initializer == name, tensor.name
    return spec_text(spec)


def rules(text: str) -> list[str]:
    """Return the lines of the initializers."""
    return text.partition("initializers:\n")[2].partition("tensors:")[0].splitlines()


def refusal(path: str | Path) -> str:
    with pytest.raises(glorot.GlorotError) as caught:
        derive_spec(path)
    return str(caught.value)


def save(**arrays: Any) -> None:
    safetensors.numpy.save_file(arrays, "x.safetensors")


# Weight files


@pytest.mark.parametrize(
    ("shapes", "options", "most_lines"),
    [
        (layouts.gpt2(), {}, 28),
        (layouts.llama(), {"dtype": "bfloat16"}, 23),
        (layouts.mixtral(), {"dtype": "bfloat16"}, 24),
        (layouts.qwen(), {"dtype": "float16"}, 30),
        (layouts.bert(), {}, 39),
        (layouts.vit(), {}, 37),
        (layouts.t5(), {}, 35),
        (layouts.resnet18(), {}, 96),
        (layouts.keras_convolutions(), {"format": "h5"}, 71),
        (layouts.keras_places(), {"format": "keras"}, 26),
    ],
    ids=["gpt2", "llama", "mixtral", "qwen", "bert", "vit", "t5", "resnet18", "h5", "weights.h5"],
)
def test_a_real_layout_gives_a_short_spec_of_the_same_tensors(
    shapes: layouts.Shapes, options: dict[str, str], most_lines: int
) -> None:
    text = derived(shapes, **options)
    assert len(text.splitlines()) <= most_lines
    assert len(rules(text)) <= 9
    assert max(map(len, text.splitlines())) < 130


def test_the_spec_of_mixtral_is_literal() -> None:
    assert derived(layouts.mixtral(), dtype="bfloat16") == (
        """dtype: bfloat16
dims: {d: 4096, layers: 32, experts: 8}
initializers:
  - '*.input_layernorm.weight': ones
  - '*.post_attention_layernorm.weight': ones
  - '*.norm.weight': ones
  - '*.embed_tokens.weight': {name: random_normal, stddev: 0.02}
  - '*': glorot_uniform
tensors:
  - lm_head.weight: {shape: [32000, d], axes: OI}
    model.embed_tokens.weight: {shape: [32000, d], axes: IO}
  - repeat: {i: layers}
    entries:
      model.layers.{i}.block_sparse_moe.experts.{j}.w1.weight: {shape: [14336, d], axes: OI, repeat: {j: experts}}
      model.layers.{i}.block_sparse_moe.experts.{j}.w2.weight: {shape: [d, 14336], axes: OI, repeat: {j: experts}}
      model.layers.{i}.block_sparse_moe.experts.{j}.w3.weight: {shape: [14336, d], axes: OI, repeat: {j: experts}}
      model.layers.{i}.block_sparse_moe.gate.weight: {shape: [8, d], axes: OI}
      model.layers.{i}.input_layernorm.weight: {shape: [d]}
      model.layers.{i}.post_attention_layernorm.weight: {shape: [d]}
      model.layers.{i}.self_attn.k_proj.weight: {shape: [1024, d], axes: OI}
      model.layers.{i}.self_attn.o_proj.weight: {shape: [d, d], axes: OI}
      model.layers.{i}.self_attn.q_proj.weight: {shape: [d, d], axes: OI}
      model.layers.{i}.self_attn.v_proj.weight: {shape: [1024, d], axes: OI}
  - model.norm.weight: {shape: [d]}
"""  # noqa: E501
    )


def test_the_rules_of_others_are_literal() -> None:
    assert rules(derived(layouts.gpt2())) == [
        "  - '*.bias': zeros",
        "  - '*.ln_1.weight': ones",
        "  - '*.ln_2.weight': ones",
        "  - '*.ln_f.weight': ones",
        "  - '*.wpe.weight': {name: random_normal, stddev: 0.02}",
        "  - '*.wte.weight': {name: random_normal, stddev: 0.02}",
        "  - '*': glorot_uniform",
    ]
    assert rules(derived(layouts.resnet18())) == [
        "  - '*.bias': zeros",
        "  - '*.num_batches_tracked': zeros",
        "  - '*.running_mean': zeros",
        "  - '*.running_var': ones",
        "  - bn1.weight: ones",
        "  - '*.bn1.weight': ones",
        "  - '*.bn2.weight': ones",
        "  - '*': glorot_uniform",
    ]
    assert rules(derived(layouts.keras_convolutions(), format="h5")) == [
        "  - '*/beta': zeros",
        "  - '*/moving_mean': zeros",
        "  - '*/bias': zeros",
        "  - '*/gamma': ones",
        "  - '*/moving_variance': ones",
        "  - '*': glorot_uniform",
    ]


def test_what_no_rule_can_say_stands_in_the_entry() -> None:
    chain = {"0.weight": (8, 3, 3, 3), "1.weight": (8,), "3.weight": (8, 8, 3, 3), "4.weight": (8,)}
    assert derived(chain) == (
        """initializers:
  - '*': glorot_uniform
tensors:
  - 0.weight: {shape: [8, 3, 3, 3], axes: OIHW}
    1.weight: {shape: [8], initializer: ones}
    3.weight: {shape: [8, 8, 3, 3], axes: OIHW}
    4.weight: {shape: [8], initializer: ones}
"""
    )
    assert "layer2.0.downsample.1.weight: {shape: [d], initializer: ones}" in derived(
        layouts.resnet18()
    )


def test_kernels_of_every_rank_have_axes() -> None:
    shapes = {f"w{rank}": tuple(range(2, 2 + rank)) for rank in range(8)}
    lines = [
        "w2: {shape: [2, 3], axes: OI}",
        "w3: {shape: [2, 3, 4], axes: OIW}",
        "w4: {shape: [2, 3, 4, 5], axes: OIHW}",
        "w5: {shape: [2, 3, 4, 5, 6], axes: OIDHW}",
        "w6: {shape: [2, 3, 4, 5, 6, 7], axes: OIBBBB}",
    ]
    text = derived(shapes)
    assert [line for line in lines if line in text] == lines
    text = derived(shapes, format="h5")
    for line in lines:
        axes = line.partition("axes: ")[2].strip("}")
        assert line.replace(axes, axes[2:] + "IO") in text
    assert "axes: BOI" in derived({"experts.up": (8, 3, 4)})
    assert "axes: BIO" in derived({"experts/up": (8, 3, 4)}, format="npy-folder")


@pytest.mark.parametrize(
    "name",
    ["w[0]", "w[a-z]", "w*", "w?", "a.*.w", "[", "]", "!", "a.[!x].bias", "a.w[0].bias", "#", "- a",
     "? a", "a: b", "a:", ":a", "no", "~", "null", "1e-3", "012", "0x1F", "1_000", "1:30", "=",
     "<<", "@", "`", "%x", "'", '"', "a'b", 'a"b', "\\", "a\\nb", " a", "a ", "a  b", "é.ü/層",
     "😀", "type", "shared", "layers", "tensors", "&a", "*a", "!a", "|", ">", ",", "a,b", "---",
     "..."],
)  # fmt: skip
def test_any_name_is_written_and_ruled(name: str) -> None:
    for shape in ((3,), (3, 4)):
        derived({name: shape})
        derived({name: shape, "b": (3,), "x.bias": (4,), "x.weight": (4, 3)})
        derived({f"{name}.0": shape, f"{name}.1": shape, name: shape})


LETTERS = st.characters(exclude_categories=["C", "Z"], exclude_characters="{}/")
TENSOR_NAMES = st.lists(
    st.one_of(
        st.text(LETTERS, min_size=1, max_size=6),
        st.sampled_from(["0", "1", "2", "weight", "bias", "norm", "embed", "[a]", "*", "a b"]),
    ),
    min_size=1, max_size=4,
).flatmap(
    lambda parts: st.sampled_from("./").map(lambda mark: mark.join(parts))
).filter(
    lambda name: all(part not in ("", ".", "..") for part in name.split("/"))
    and name not in ("repeat", "entries", "__metadata__") and name.isprintable()
)  # fmt: skip


@given(
    st.dictionaries(
        TENSOR_NAMES, st.lists(st.sampled_from([1, 3, 16, 64]), max_size=4).map(tuple), min_size=1
    )
)
def test_any_names_and_shapes(shapes: dict[str, tuple[int, ...]]) -> None:
    derived(shapes)


def test_a_file_of_a_thousand_unlike_names_is_soon_done() -> None:
    random = Random(0)
    shapes: layouts.Shapes = {}
    for _ in range(1000):
        name = ".".join("".join(random.choices("abcdef", k=6)) for _ in range(3))
        shapes[name] = (4,) if random.random() < 0.5 else (4, 4)
    text = derived(shapes)
    assert len(rules(text)) <= 25
    assert text.count("initializer: ones") > 400


@pytest.mark.parametrize(
    ("name", "shape", "problem"),
    [
        ("a{i}", (3,), "has braces in its name"),
        ("a}", (3,), "has braces in its name"),
        ("repeat", (3,), "has a name of another meaning"),
        ("entries", (3,), "has a name of another meaning"),
        ("a\tb", (3,), "has a name that is not printable, or empty between two slashes"),
        ("a//b", (3,), "has a name that is not printable, or empty between two slashes"),
        ("../a", (3,), "has a name that is not printable, or empty between two slashes"),
        ("", (3,), "has a name that is not printable, or empty between two slashes"),
        ("\ud800", (3,), "has a name that is not printable, or empty between two slashes"),
        ("a", (1,) * 33, "has 33 axes"),
    ],
)
def test_what_a_spec_cannot_ask_for(name: str, shape: tuple[int, ...], problem: str) -> None:
    with pytest.raises(glorot.FormatError) as caught:
        spec_of_weights(stored({"fine": (3,), name: shape}))
    shown = repr(name)
    assert str(caught.value) == f"x: {shown} {problem}, which a spec cannot ask for"


def test_dtypes_that_a_spec_cannot_ask_for() -> None:
    np.save("x.npy", np.zeros(3, np.longdouble))
    name = np.dtype(np.longdouble).name
    assert refusal("x.npy") == f"x.npy: 'x' is of dtype {name}, which a spec cannot ask for"
    save()
    assert refusal("x.safetensors") == "x.safetensors holds no tensors"


def test_a_spec_has_the_dtype_that_most_tensors_have() -> None:
    save(a=np.zeros(3, ml_dtypes.bfloat16), b=np.zeros(3, ml_dtypes.bfloat16), c=np.zeros(3, "f8"),
         d=np.zeros(3, "i8"), e=np.zeros(3, "i8"), f=np.zeros(3, "i8"))  # fmt: skip
    spec = derive_spec("x.safetensors")
    assert spec["dtype"] == "bfloat16"
    entries = {name: entry for item in spec["tensors"] for name, entry in item.items()}
    assert {name: entry.get("dtype") for name, entry in entries.items()} == {
        "a": None, "b": None, "c": "float64", "d": "int64", "e": "int64", "f": "int64",
    }  # fmt: skip
    save(a=np.zeros(3, "i8"))
    assert "dtype" not in derive_spec("x.safetensors")


def test_a_folder_of_npy_and_of_shards_and_their_indices(planned: Planned) -> None:
    plan = planned(
        initializers=[{"*": "ones"}],
        tensors={"h.{i}.w": {"shape": [4, 5], "repeat": {"i": 6}}, "v": {"shape": [3]}},
    )
    glorot.write_weights(plan, "npy/")
    manifest = json.loads(Path("npy/manifest.json").read_text("utf-8"))
    manifest["glorot"] = {}
    Path("npy/manifest.json").write_text(json.dumps(manifest), "utf-8")
    glorot.write_weights(plan, "shards", max_shard_size="200B")
    for file in Path("shards").glob("*.safetensors"):
        arrays = safetensors.numpy.load_file(file)
        safetensors.numpy.save_file(arrays, file)
    expected = {t.name: t.shape for t in plan.tensors}
    for path in ("npy", "npy/", "shards", "shards/model.safetensors.index.json"):
        assert {t.name: t.shape for t in read_back(derive_spec(path)).tensors} == expected
        assert len(spec_text(derive_spec(path)).splitlines()) < 10


# Our own files


@pytest.mark.parametrize(
    "name",
    sorted(path.relative_to(SPECS).as_posix() for path in SPECS.rglob("*.*") if path.is_file()),
)
def test_a_sample_s_text_reads_back(name: str) -> None:
    spec = glorot.load_spec(SPECS / name)
    assert isinstance(spec.source.data, dict)
    for data in (spec.source.data, spec.canonical()):
        assert parse(spec_text(data), "x.yaml").data == data


@pytest.mark.parametrize(
    ("output", "options"),
    [
        ("x.safetensors", {}), ("x.weights.h5", {}), ("x.h5", {}), ("x/", {}),
        ("x.weights.json", {}), ("shards", {"max_shard_size": "1KB"}),
        ("x.keras", {"config": str(DATA / "shared.json")}),
    ],
)  # fmt: skip
def test_our_own_files_print_the_spec_that_they_carry(
    output: str, options: dict[str, str], run: Run
) -> None:
    plan = glorot.make_plan(glorot.load_spec(SPECS / "mlp.yaml", {"seed": 7}))
    glorot.write_weights(plan, output, **options)  # type: ignore[arg-type]
    assert derive_spec(output) == plan.spec
    code, out, err = run("spec", output)
    assert (code, err) == (0, "")
    assert out == (
        """seed: 7
dialect: keras
input_shape: [100]
layers:
  - {type: Dense, activation: relu, units: 64}
  - {type: Dense, activation: softmax, units: 10}
"""
    )
    Path("again.yaml").write_text(out, "utf-8")
    assert run("verify", output, "again.yaml", "--quiet")[0] == 0


def carrying(claim: object) -> None:
    text = claim if isinstance(claim, str) else json.dumps(claim)
    safetensors.numpy.save_file({"w": np.zeros(3, "f4")}, "x.safetensors", {"glorot": text})


@pytest.mark.parametrize(
    "claim", ["", "text", "[" * 100_000, [], {}, 3, {"spec": 3}, {"spec": []}, {"spec": None}]
)
def test_a_claim_without_a_spec_is_none(claim: object) -> None:
    carrying(claim)
    assert derive_spec("x.safetensors")["tensors"] == [{"w": {"shape": [3]}}]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "<spec>: expected layers or tensors, found neither"),
        ({"layers": [1]}, "<spec>: layers[0]: expected a layer as a mapping, found 1"),
        ({"tensors": 5}, "<spec>: tensors: expected a mapping of name to tensor, found 5"),
        ({"layers": 5}, "<spec>: layers: expected a list, found 5"),
    ],
)
def test_a_claim_of_a_wrong_spec(spec: object, message: str) -> None:
    carrying({"spec": spec})
    assert refusal("x.safetensors") == f"x.safetensors: its provenance: {message}"


def test_a_claim_that_is_nested_deeply() -> None:
    layer: dict[str, Any] = {"type": "Dense", "units": 2}
    for _ in range(220):
        layer = {"type": "Sequential", "layers": [layer]}
    carrying({"spec": {"input_shape": [2], "layers": [layer]}})
    assert refusal("x.safetensors") == (
        "x.safetensors: its provenance: expected at most 200 levels of nesting"
    )


# Afresh, from a file


def test_init_takes_any_file_as_a_spec(run: Run, folder: Path) -> None:
    arrays = {"h.0.w": np.ones((4, 5), "f4"), "h.1.w": np.ones((4, 5), "f4"),
              "v.bias": np.ones(3, "f2")}  # fmt: skip
    save(**arrays)
    with h5py.File("x.h5", "w") as file:
        for name, value in arrays.items():
            file[name.replace(".", "/")] = value
    with h5py.File("x.weights.h5", "w") as file:
        file["layers/dense/vars/0"], file["layers/dense/vars/1"] = arrays["h.0.w"], np.ones(5, "f4")
    np.save("x.npy", arrays["h.0.w"])
    Path("shards").mkdir()
    index = {"h.0.w": "a.safetensors", "h.1.w": "b.safetensors", "v.bias": "b.safetensors"}
    for shard in ("a.safetensors", "b.safetensors"):
        held = {name: value for name, value in arrays.items() if index[name] == shard}
        safetensors.numpy.save_file(held, f"shards/{shard}")
    Path("shards/model.safetensors.index.json").write_text(
        json.dumps({"weight_map": index}), "utf-8"
    )
    cases = [
        ("x.safetensors", "fresh.safetensors"),
        ("x.h5", "fresh.h5"),
        ("x.weights.h5", "fresh.weights.h5"),
        ("x.npy", "fresh.npy"),
        ("shards", "fresh/"),
        ("shards/model.safetensors.index.json", "folder.safetensors"),
    ]
    for source, output in cases:
        code, _, err = run("init", source, "-o", output, "--json", "--seed", "5")
        assert code == 0
        assert re.fullmatch(
            r"note: guessed by name: (1 bias zeros, )?[12] kernels? glorot_uniform "
            r"\(convention( of keras)?\)(, 1 bias zeros)?; glorot spec shows them all\n",
            err,
        )
        old, new = read_headers(source).tensors, read_headers(output).tensors
        if source != "x.npy":
            assert {(t.name, t.shape, t.dtype) for t in new} == {
                (t.name, t.shape, t.dtype) for t in old
            }
            assert run("verify", output, "--quiet")[0] == 0
        assert run("plan", source, "--json")[0] == 0


def test_init_from_our_own_file_draws_a_new_seed(run: Run) -> None:
    assert run("init", SPECS / "mlp.yaml", "-o", "a.safetensors", "--seed", "7", "-q")[0] == 0
    code, _, err = run("init", "a.safetensors", "-o", "b.safetensors", "--json")
    assert code == 0
    assert err.startswith("note: seed ")
    assert run("init", "a.safetensors", "-o", "c.safetensors", "--seed", "7", "-q")[0] == 0
    read = {name: Path(f"{name}.safetensors").read_bytes() for name in "abc"}
    assert read["a"] == read["c"] != read["b"]


def test_init_does_not_overwrite_what_it_reads(run: Run) -> None:
    save(w=np.ones((4, 5), "f4"))
    assert run("init", "x.safetensors", "-o", "x.safetensors", "-f") == (
        2,
        "",
        "glorot: -o: x.safetensors is the spec itself\n",
    )


def test_a_spec_of_a_file_says_that_it_is_a_convention(run: Run) -> None:
    save(**{"h.0.w": np.ones((4, 5), "f4"), "h.1.w": np.ones((4, 5), "f4")})
    assert run("spec", "x.safetensors") == (
        0,
        "# Names, shapes and dtypes are the file's. Axes and initializers are conventions: "
        """check
# them before use.
initializers:
  - '*': glorot_uniform
tensors:
  - repeat: {i: 2}
    entries:
      h.{i}.w: {shape: [4, 5], axes: IO}
""",
        "note: guessed by name: 2 kernels glorot_uniform (convention)\n",
    )
    code, out, _ = run("spec", "x.safetensors", "--json")
    assert code == 0
    assert json.loads(out) == derive_spec("x.safetensors")
    assert comments(derive(DATA / "shared.json")) == ()


def test_what_is_no_description(run: Run, folder: Path) -> None:
    Path("text.json").write_text("{}", "utf-8")
    Path("empty").mkdir()
    assert refusal("none") == "cannot read none: there is no such file"
    assert refusal("empty") == "empty is a folder without a manifest.json"
    assert refusal("text.json").startswith("text.json: expected a weight file, found text; ")
    for path in ("none.safetensors", "none.keras", "none.index.json", "none.weights.json"):
        found = run("init", path, "-o", "x.h5")
        assert found == (2, "", f"glorot: cannot read {path}: there is no such file\n")
    os.mkfifo("pipe.h5")
    assert refusal("pipe.h5") == "cannot read pipe.h5: it is not a regular file"


# A spec's text

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(
        ["1e-3", "no", "yes", "on", "~", "null", "true", "{i}", "*", "*.bias", ":", "a: b", "a:b",
         "=", "<<", "012", "0o7", "0x1f", "0b1", "1_000", "1:30", ".5", "5.", "-", "- a", "?",
         "? a", "#", "a #b", " a", "a ", "", "\n", "a\nb", "a\n", "\t", "\x85", "\u2028", "\ufeff",
         "é", "😀", "'", '"', "\\", "2001-01-01", ".inf", "-.inf", ".nan", "+1", "1.", "&a", "!a",
         "@", "`", "%", "|", ">", ",", "[a]", "layers", "entries", "type", "x" * 2000]
    ),
)  # fmt: skip
PRINTABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
KEYS = st.one_of(
    PRINTABLE, st.sampled_from(["1e-3", "no", "~", "{i}", "*", ":", "=", "<<", "a: b", "x" * 2000])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.dictionaries(KEYS, VALUES, max_size=3)
LAYER_LISTS = st.recursive(
    st.lists(ENTRIES.map(lambda entry: {"type": "X", **entry}), min_size=1, max_size=3),
    lambda inner: st.lists(
        st.one_of(
            inner.map(lambda layers: {"type": "Sequential", "layers": layers, "name": "x"}),
            inner.map(lambda layers: {"repeat": {"i": 3}, "entries": layers}),
        ),
        min_size=1, max_size=2,
    ),
    max_leaves=5,
)  # fmt: skip
TENSORS = st.one_of(
    st.dictionaries(KEYS, ENTRIES, max_size=4),
    st.lists(
        st.one_of(
            st.dictionaries(KEYS, ENTRIES, max_size=3),
            st.dictionaries(KEYS, ENTRIES, max_size=3).map(
                lambda entries: {"repeat": {"i": 3}, "entries": entries}
            ),
        ),
        max_size=3,
    ),
)


@given(st.fixed_dictionaries({}, optional={
    "seed": SCALARS, "dims": ENTRIES, "layers": LAYER_LISTS, "tensors": TENSORS,
    "initializers": st.lists(st.dictionaries(KEYS, SCALARS, min_size=1, max_size=1), max_size=3),
}).filter(bool))  # fmt: skip
@example({"initializers": [{"layers": "zeros"}, {"type": "ones"}, {"entries": {"name": "x"}}]})
@example({"tensors": [{"layers": {"shape": [3]}, "type": {"shape": []}}, {"shared": {}}]})
@example({"tensors": [{}, {"repeat": {"i": 2}, "entries": {}}], "layers": []})
@example({"layers": [{"type": "Sequential", "layers": []}]})
def test_any_text_reads_back(spec: dict[str, Any]) -> None:
    assert parse(spec_text(spec, ("a comment", "")), "x.yaml").data == spec


def test_what_stands_twice_is_written_twice() -> None:
    shape = [3, 4]
    spec = {"tensors": {"a": {"shape": shape, "other": shape}}}
    assert spec_text(spec) == "tensors:\n  a: {shape: [3, 4], other: [3, 4]}\n"


# Keras's configurations

CONFIGS = sorted(path.stem for path in DATA.glob("*.json"))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_gives_the_recorded_spec(name: str) -> None:
    spec = derive_spec(DATA / f"{name}.json")
    assert spec_text(spec) == (DATA / f"{name}.yaml").read_text("utf-8")
    assert read_back(spec).tensors


def test_every_kind_of_configuration_is_recorded() -> None:
    assert CONFIGS == [
        "attention", "branches", "mixed", "nested", "recurrent", "sequential", "shared", "states",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("branches", {
            "right/kernel": (6, 4), "right/bias": (4,), "left/kernel": (8, 4), "left/bias": (4,),
            "score/kernel": (4, 1), "score/bias": (1,), "side/kernel": (4, 2), "side/bias": (2,),
        }),
        ("nested", {
            "block/up/kernel": (5, 6), "block/up/bias": (6,), "block/down/kernel": (6, 5),
            "block/down/bias": (5,), "inner/one/kernel": (4, 2), "inner/one/bias": (2,),
            "head/kernel": (7, 3), "head/bias": (3,),
        }),
        ("shared", {"tower/kernel": (7, 4), "out/kernel": (8, 1), "out/bias": (1,)}),
        ("states", {
            "encoder/lstm_cell/kernel": (5, 16), "encoder/lstm_cell/recurrent_kernel": (4, 16),
            "encoder/lstm_cell/bias": (16,), "decoder/lstm_cell/kernel": (6, 16),
            "decoder/lstm_cell/recurrent_kernel": (4, 16), "decoder/lstm_cell/bias": (16,),
            "out/kernel": (4, 3), "out/bias": (3,),
        }),
    ],
)  # fmt: skip
def test_a_configuration_has_its_model_s_tensors(
    name: str, shapes: dict[str, tuple[int, ...]]
) -> None:
    plan = read_back(derive_spec(DATA / f"{name}.json"))
    assert {t.name: t.shape for t in plan.tensors} == shapes


def test_what_an_initializer_says_is_kept() -> None:
    spec = derive_spec(DATA / "sequential.json")
    plan = read_back(spec)
    assert (plan["conv2d/kernel"].initializer, plan["conv2d/kernel"].seed) == ("he_normal", 3)
    assert plan["conv2d_transpose/bias"].initializer == "ones"
    assert not plan["out/kernel"].trainable
    plan = read_back(derive_spec(DATA / "mixed.json"))
    assert (plan["mixed/kernel"].dtype, plan["half/kernel"].dtype) == ("float32", "bfloat16")


def test_an_archive_is_its_configuration() -> None:
    config = (DATA / "shared.json").read_bytes()
    with zipfile.ZipFile("x.keras", "w") as archive:
        archive.writestr("config.json", config)
    assert derive_spec("x.keras") == derive_spec(DATA / "shared.json")
    with zipfile.ZipFile("x.keras", "w") as archive:
        archive.writestr("other", config)
    assert refusal("x.keras") == "x.keras: expected a .keras archive with a config.json"
    Path("x.keras").write_bytes(b"PK\x03\x04" + bytes(50))
    assert refusal("x.keras") == "x.keras: expected the JSON of a Keras model"


def test_an_archive_of_someone_else_is_its_configuration_too(planned: Planned) -> None:
    config = DATA / "shared.json"
    plan = read_back(derive_spec(config))
    glorot.write_weights(plan, "model.weights.h5")
    with h5py.File("model.weights.h5", "a") as file:
        del file.attrs["glorot"]
    with zipfile.ZipFile("x.keras", "w") as archive:
        archive.write(config, "config.json")
        archive.write("model.weights.h5")
    assert derive_spec("x.keras") == derive_spec(config)


def test_a_configuration_may_begin_with_a_byte_order_mark(run: Run) -> None:
    Path("x.json").write_bytes(b"\xef\xbb\xbf\n" + (DATA / "shared.json").read_bytes())
    assert derive_spec("x.json") == derive_spec(DATA / "shared.json")
    assert run("init", "x.json", "-o", "x.weights.h5", "-q", "--seed", "1")[0] == 0


def config(name: str = "shared") -> Any:
    return json.loads((DATA / f"{name}.json").read_text("utf-8"))


def said(data: object, name: str = "x.json") -> str:
    Path(name).write_text(json.dumps(data), "utf-8")
    return refusal(name)


def changed(name: str, layer: int, **changes: Any) -> Any:
    """Return a configuration of which one layer is another."""
    data = config(name)
    data["config"]["layers"][layer] |= changes
    return data


def without_shapes(data: Any) -> Any:
    """Return the configuration of a Sequential as Keras 2 writes it, which says no inner shapes."""
    for layer in data["config"]["layers"]:
        layer.pop("build_config", None)
    return data


LIMITS = "write its weights under tensors, such as"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            without_shapes(changed("sequential", 1, class_name="Lambda", config={"name": "f"})),
            f"the layer 'f' is of a type that is not known, 'Lambda'; {LIMITS} f/kernel: "
            "{shape: [64, 10], axes: IO, initializer: glorot_uniform}",
        ),
        (
            changed("sequential", 8, registered_name="mine>Dense"),
            f"the layer 'out' is of a type that is not known, 'Dense'; {LIMITS} out/kernel: "
            "{shape: [64, 10], axes: IO, initializer: glorot_uniform}",
        ),
        (
            changed("sequential", 8, module="mine.layers"),
            f"the layer 'out' is of a type that is not known, 'Dense'; {LIMITS} out/kernel: "
            "{shape: [64, 10], axes: IO, initializer: glorot_uniform}",
        ),
        (
            changed("sequential", 8, config={"name": "out", "units": 3, "lora_matrix": [1]}),
            "Dense 'out': the argument 'lora_matrix' = [1] is not supported",
        ),
        (
            changed("sequential", 8, config={"name": "out", "units": 3, "activation": {
                "class_name": "PReLU", "config": {}}}),
            "a PReLU as an activation has weights of its own, which is not supported; "
            "make it a layer",
        ),
        (
            {"class_name": "MyModel", "config": {"layers": []}},
            "'MyModel' is neither Sequential nor Functional; "
            "a subclassed model's configuration does not say its layers",
        ),
        ({"class_name": "Sequential", "config": []}, "expected the JSON of a Keras model"),
        ({"class_name": "Sequential"}, "expected the JSON of a Keras model"),
        (
            {"class_name": "Sequential", "config": {}},
            "expected a Keras 3 configuration, in which 'layers' is missing",
        ),
        (
            {"class_name": "Sequential", "config": {"layers": []}},
            "expected a Keras 3 configuration, as model.to_json() writes it",
        ),
        (
            {"class_name": "Sequential", "config": {"layers": [3]}},
            "expected a Keras 3 configuration, as model.to_json() writes it",
        ),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_one_clear_error(data: Any, message: str) -> None:
    assert said(data) == f"x.json: {message}"


def keras_2(*layers: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a Sequential of Keras 2 of some layers between two Dense."""
    first = {"units": 3, "batch_input_shape": [None, 4]}
    named = [
        {"class_name": kind, "config": {"name": f"layer_{i}", **more}}
        for i, (kind, more) in enumerate((("Dense", first), *layers, ("Dense", {"units": 2})))
    ]
    return {"class_name": "Sequential", "config": {"name": "s", "layers": named}}


@pytest.mark.parametrize(
    ("layer", "width"),
    [
        (("Lambda", {"function": ["code", None, None], "output_shape": [6]}), 6),
        (("Lambda", {"output_shape": {"class_name": "__tuple__", "items": [5]}}), 5),
        (("TFOpLambda", {"function": "math.multiply"}), 3),
        (("TensorFlowOpLayer", {"node_def": {"op": "Relu"}}), 3),
        (("HardSwish", {"trainable": True}), 3),
        (("FixedDropout", {"rate": 0.2, "noise_shape": None, "seed": 7}), 3),
    ],
)
def test_a_layer_without_weights_is_passed_over(
    layer: tuple[str, dict[str, Any]], width: int, run: Run
) -> None:
    Path("x.json").write_text(json.dumps(keras_2(layer)), "utf-8")
    code, out, err = run("plan", "x.json", "--json")
    assert code == 0
    assert err == (
        "note: passed over as a layer without weights, for its type is not known: layer_1 "
        f"({layer[0]})\n"
    )
    shapes = {t["name"]: t["shape"] for t in json.loads(out)["tensors"]}
    assert shapes == {
        "layer_0/kernel": [4, 3], "layer_0/bias": [3], "layer_2/kernel": [width, 2],
        "layer_2/bias": [2],
    }  # fmt: skip


@pytest.mark.parametrize(
    "layer",
    [
        ("Lambda", {}),
        ("Lambda", {"output_shape": [[3], [3]]}),
        ("Lambda", {"output_shape": ["code", None, None]}),
        ("TFOpLambda", {"function": "reshape"}),
        ("Mystery", {}),
        # These may have weights, whatever is said of shapes.
        ("Swish", {"beta_initializer": "ones"}),
        ("Swish", {"units": 1}),
        ("Swish", {"sizes": [3, 4]}),
    ],
)
def test_a_layer_whose_shape_nothing_states_is_an_error(layer: tuple[str, Any]) -> None:
    message = said(keras_2(layer))
    assert message.startswith(
        f"x.json: the layer 'layer_1' is of a type that is not known, '{layer[0]}'; {LIMITS} "
    )


@pytest.mark.parametrize("kind", ["LayerScale", "MyDense", "TokenMixer", "PatchEncoder"])
def test_a_name_may_say_that_a_layer_has_weights(kind: str) -> None:
    data = keras_2((kind, {}))
    data["config"]["layers"][2]["build_config"] = {"input_shape": [None, 3]}
    assert "'layer_1' is of a type that is not known" in said(data)


def test_what_follows_states_the_shape_of_an_unknown_layer() -> None:
    data = keras_2(("Mystery", {"factor": 0.5}), ("Mystery", {}))
    for layer, shape in zip(data["config"]["layers"][2:], ([None, 7], [None, 5]), strict=True):
        layer["build_config"] = {"input_shape": shape}
    spec = derive_spec("x.json") if said_nothing(data) else {}
    assert [entry.get("input_shape") for entry in spec["layers"]] == [None, [7], [5], None]
    assert read_back(spec)["layer_3/kernel"].shape == (5, 2)


def said_nothing(data: object) -> bool:
    return Path("x.json").write_text(json.dumps(data), "utf-8") > 0


def test_calls_of_an_unknown_layer_stand_in_a_graph() -> None:
    def made(kind: str, name: str, *nodes: Any, **more: Any) -> dict[str, Any]:
        return {"class_name": kind, "name": name, "config": {"name": name, **more},
                "inbound_nodes": list(nodes)}  # fmt: skip

    layers = [
        made("InputLayer", "x", batch_input_shape=[None, 8]),
        made("Dense", "a", [["x", 0, 0, {}]], units=4),
        made("TFOpLambda", "op", ["a", 0, 0, {"y": 2.0}], function="math.multiply"),
        made("TFOpLambda", "sum", ["op", 0, 0, {"y": ["a", 0, 0]}], function="__operators__.add"),
        made("Swish", "swish", [["sum", 0, 0, {}]], [["x", 0, 0, {}]]),
        made("Dense", "b", [["swish", 0, 0, {}]], units=3),
        made("Dense", "c", [["swish", 1, 0, {}]], units=2),
    ]
    inner = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]],
             "output_layers": [["b", 0, 0], ["c", 0, 0]]}  # fmt: skip
    assert said_nothing({"class_name": "Functional", "config": inner})
    plan = read_back(derive_spec("x.json"))
    assert {t.name: t.shape for t in plan.tensors if t.name.endswith("kernel")} == {
        "a/kernel": (8, 4), "b/kernel": (4, 3), "c/kernel": (8, 2),
    }  # fmt: skip
    layers[2]["config"]["function"] = "reshape"
    message = said({"class_name": "Functional", "config": inner})
    assert "the layer 'op' is of a type that is not known, 'TFOpLambda'" in message


def test_an_archive_s_weights_show_that_an_unknown_layer_has_some(planned: Planned) -> None:
    data = keras_2(("Mystery", {}))
    data["config"]["layers"][2]["build_config"] = {"input_shape": [None, 3]}
    assert said_nothing(data)
    for weighs in (False, True):
        glorot.write_weights(read_back(derive_spec("x.json")), "model.weights.h5")
        with h5py.File("model.weights.h5", "a") as file:
            del file.attrs["glorot"]
            if weighs:
                file["layers/mystery/vars/0"] = np.ones(3, "f4")
        with zipfile.ZipFile("x.keras", "w") as archive:
            archive.write("x.json", "config.json")
            archive.write("model.weights.h5")
        if not weighs:
            assert derive_spec("x.keras") == derive_spec("x.json")
            Path("model.weights.h5").unlink()
    assert refusal("x.keras") == (
        "x.keras: a layer of a type that is not known has weights, layers/mystery/vars/0; write a "
        "spec that has them under tensors"
    )


def test_variables_are_in_the_order_of_their_numbers() -> None:
    with h5py.File("x.weights.h5", "w", track_order=False) as file:
        for number in (10, 2, 0, 11, 1):
            file[f"layers/mystery/vars/{number}"] = np.ones(number + 1, "f4")
    names = [f"layers/mystery/vars/{number}" for number in (0, 1, 2, 10, 11)]
    assert [tensor.name for tensor in read_headers("x.weights.h5").tensors] == names
    assert [tensor.name for tensor in read_back(derive_spec("x.weights.h5")).tensors] == names


def test_a_layer_that_is_called_on_itself() -> None:
    data = config()
    tower = next(each for each in data["config"]["layers"] if each["name"] == "tower")
    tensor = tower["inbound_nodes"][0]["args"][0]
    tensor["config"]["keras_history"][0] = "tower"
    assert said(data) == "x.json: the layer 'tower' is called on what is not there"


def test_models_that_are_nested_deeply() -> None:
    layer = config("sequential")
    for _ in range(40):
        layer = {"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
    assert said(layer) == "x.json: expected at most 24 layers within layers"


def test_json_that_is_nested_deeply() -> None:
    Path("x.json").write_text('{"class_name": ' + "[" * 100_000, "utf-8")
    assert refusal("x.json") == "x.json: expected the JSON of a Keras model"


def test_a_configuration_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glorot_cli.derive.keras_config.LARGEST_CONFIG", 100)
    shutil.copy(DATA / "shared.json", "x.json")
    assert refusal("x.json") == "x.json: expected a configuration below 64 MiB"
    with zipfile.ZipFile("x.keras", "w") as archive:
        archive.write("x.json", "config.json")
    assert refusal("x.keras") == "x.keras: expected a config.json below 0 MiB"


def test_masks_that_order_the_layers() -> None:
    data = config("attention")
    layers = {layer["name"]: layer for layer in data["config"]["layers"]}
    # A mask that is made of a layer which nothing else is called on.
    kwargs = layers["mha"]["inbound_nodes"][0]["kwargs"]
    kwargs["attention_mask"]["config"]["keras_history"] = ["early", 0, 0]
    early = json.loads(json.dumps(layers["norm"]))
    early["name"] = early["config"]["name"] = "early"
    early["inbound_nodes"][0]["args"][0]["config"]["keras_history"] = ["x", 0, 0]
    data["config"]["layers"].append(early)
    assert said(data) == (
        "x.json: the order of the layers depends on masks, which a spec cannot say"
    )


def places(value: Any) -> list[tuple[Any, Any]]:
    """List every key of every mapping and every index of every list."""
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    found = [(value, key) for key, _ in items]
    for _, item in items:
        if isinstance(item, dict | list):
            found += places(item)
    return found


REPLACEMENTS: list[Any] = [None, True, -1, 0, 1.5, 10**30, "", "x", "{i}", [], {}, [[]], {"a": 1},
                           {"class_name": "Dense"}, {"class_name": "__keras_tensor__"}]  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_broken_configurations_are_errors_of_ours(name: str, run: Run) -> None:
    random = Random(f"broken {name}")
    text = (DATA / f"{name}.json").read_text("utf-8")
    count = len(places(json.loads(text)))
    for _ in range(150):
        data = json.loads(text)
        container, key = places(data)[random.randrange(count)]
        if random.random() < 0.3:
            del container[key]
        else:
            container[key] = random.choice(REPLACEMENTS)
        Path("x.json").write_text(json.dumps(data), "utf-8")
        try:
            spec = derive_spec("x.json")
            assert parse(spec_text(spec), "x.yaml").data == spec
            glorot.make_plan(glorot.load_spec({**spec, "seed": 1}))
        except glorot.GlorotError:
            continue


def test_broken_weight_files_are_errors_of_ours() -> None:
    save(**{"h.0.w": np.ones((4, 5), "f4"), "h.1.w": np.ones((4, 5), "f4")})
    whole = Path("x.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", whole)
    random = Random("broken headers")
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[8 + random.randrange(length)] = random.choice(b'{}[]":,.0aZ\\ /*\xff')
        Path("x.safetensors").write_bytes(damaged)
        try:
            spec = derive_spec("x.safetensors")
            assert parse(spec_text(spec), "x.yaml").data == spec
            glorot.make_plan(glorot.load_spec({**spec, "seed": 1}))
        except glorot.GlorotError:
            continue
