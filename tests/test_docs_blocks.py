"""No block of the documents is left out: each is run, planned, or an exception with its reason.

Console sessions are run by `python docs/reference.py --check`, which goes through README and all
of docs. The other blocks are run by the tests that are listed here.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import glorot_cli as glorot
from tests import pages, test_clusters_page, test_config_json, test_cookbook
from tests.interop import test_cluster_docs, test_cookbook_frameworks, test_engines

ALL = [block for path in pages.PAGES for block in pages.blocks_of(path)]
# Blocks that have a name, by page, as the tests that run them list them.
RUN = {
    "clusters.md": {*test_clusters_page.RUNS, *test_cluster_docs.RUNS},
    "huggingface.md": test_config_json.RUNS,
    "cookbook.md": {*test_cookbook.RUNS, *test_cookbook_frameworks.RUNS, *test_engines.RUNS},
}
# Python without a name: one session or program a page, and the test that runs it.
PYTHON = {
    "README.md": "tests/test_docs.py",
    "streams.md": "tests/test_streams_page.py",
    "framework-bits.md": "tests/interop/test_bits.py",
}
# What is not run by a test, by the start of its first line, and why.
EXCEPTIONS = {
    ("README.md", "python3 -m venv .venv && .venv/bin/pip install . "): ".ci/run runs both lines",
    ("CONTRIBUTING.md", "python3 -m venv .venv && .venv/bin/pip install -e"): "sets up a checkout",
    ("CONTRIBUTING.md", ".venv/bin/ruff check"): "these are the checks, the tests among them",
    ("speed.md", "pip install '.[interop]'"): "benchmarks take up to an hour, and 22 GB of disk",
    ("record.md", "glorot record 'torchvision.models:resnet50'"): (
        "needs torch; tests/interop/test_recording.py runs such commands"
    ),
    ("formats.md", 'state = torch.load("x.pt"'): "tests/interop/test_archives.py loads such files",
    ("record.md", "glorot record 'torchvision"): (
        "torchvision need not be there; tests/interop/test_recording.py records other modules"
    ),
    (
        "formats.md",
        "glorot init llama.yaml -o s3",
    ): "needs a bucket; tests/test_stores.py writes to stores",
    ("framework-bits.md", "python tests/golden/make_golden.py --fresh 500"): (
        "takes all frameworks and many minutes; tests/interop/test_bits.py runs it with fewer cases"
    ),
}


def init_from_a_configuration(folder: Path) -> None:
    shutil.copy(pages.ROOT / "tests" / "data" / "keras" / "branches.json", folder / "model.json")


def init_with_a_base(folder: Path) -> None:
    old = {
        "seed": 1,
        "tensors": {
            f"{name}.weight": {"shape": [4, 4], "axes": "OI", "initializer": "he_normal"}
            for name in ("body", "classifier")
        },
    }
    glorot.write_weights(glorot.make_plan(glorot.load_spec(old)), folder / "old.safetensors")


def init_with_rules(folder: Path) -> None:
    state = {"a.weight": np.ones((4, 3), "f4"), "a.bias": np.ones(4, "f4")}
    save_file(state, folder / "old.safetensors")


def init_with_a_resize(folder: Path) -> None:
    pages.copy_samples(folder)
    (folder / "sample_specs" / "llama2_7b.yaml").rename(folder / "llama.yaml")
    # A vocabulary of 32,000, as the block has it, but narrow.
    sizes = {"vocabulary": 32000, "d": 4, "hidden": 4}
    plan = glorot.make_plan(glorot.load_spec(folder / "llama.yaml", {"seed": 1}, sizes))
    glorot.write_weights(plan, folder / "old", max_shard_size="100KB")
    text = (folder / "llama.yaml").read_text("utf-8")
    (folder / "llama.yaml").write_text(
        text.replace("d: 32, hidden: 64", "d: 4, hidden: 4"), "utf-8"
    )


def diff_with_maps(folder: Path) -> None:
    layers = [
        {"type": "Conv2D", "name": "conv", "filters": 4, "kernel_size": 3},
        {"type": "Flatten"},
        {"type": "Dense", "name": "fc", "units": 2, "bias_initializer": "random_normal"},
    ]
    spec = {"seed": 1, "input_shape": [8, 8, 3], "layers": layers}
    plan = glorot.make_plan(glorot.load_spec(spec))
    glorot.write_weights(plan, folder / "keras.weights.h5")
    with h5py.File(folder / "keras.weights.h5") as file:
        assert "layers" in file
    orders = {"conv/kernel": (3, 2, 0, 1), "fc/kernel": (1, 0)}
    state = {}
    for tensor in plan.tensors:
        value = glorot.draw(plan, tensor.name)
        name = tensor.name.replace("/kernel", ".weight").replace("/", ".")
        axes = orders.get(tensor.name, range(value.ndim))
        state[name] = np.ascontiguousarray(value.transpose(axes))
    save_file(state, folder / "torch.safetensors")


def init_many_files(folder: Path) -> None:
    (folder / "specs").mkdir()
    for name in ("spec.yaml", "specs/a.yaml", "specs/b.yaml"):
        (folder / name).write_text("fc: [4, 3]\n", "utf-8")
    for kind in ("llama", "qwen2"):
        config = {"model_type": kind, "hidden_size": 16, "intermediate_size": 16, "vocab_size": 16,
                  "num_hidden_layers": 1, "num_attention_heads": 2}  # fmt: skip
        model = folder / kind.removesuffix("2")
        model.mkdir()
        (model / "config.json").write_text(json.dumps(config), "utf-8")


# Commands that stand indented, by their start, and what they find in their folder.
INDENTED: dict[tuple[str, str], Callable[[Path], None]] = {
    ("formats.md", "glorot init spec.yaml --seed 0:100"): init_many_files,
    ("formats.md", "glorot init model.json"): init_from_a_configuration,
    ("formats.md", "glorot init old.safetensors --base"): init_with_a_base,
    ("checkpoints.md", "glorot init old.safetensors -o new"): init_with_rules,
    ("formats.md", "glorot init llama.yaml --set"): init_with_a_resize,
    ("verify.md", "glorot diff torch.safetensors"): diff_with_maps,
}


def is_excepted(block: pages.Block) -> bool:
    return any(
        block.page == page and block.first_line.startswith(start) for page, start in EXCEPTIONS
    )


def is_accounted_for(block: pages.Block) -> bool:
    if block.name is not None and block.page == "recipes.md":
        return block.kind == "yaml"  # planned here, and compared in tests/test_recipes.py
    if block.name is not None:
        return block.name in RUN.get(block.page, ())
    if block.kind == "console":
        return block.page != "CONTRIBUTING.md"
    if block.kind == "indented" and any(
        block.page == page and block.text.startswith(start) for page, start in INDENTED
    ):
        return True
    return (
        block.kind == "yaml"  # planned below
        or block.kind == "diff"  # compared below with the files that it names
        or block.kind == "text"  # what is printed
        or (block.kind == "python" and block.page in PYTHON)
        or is_excepted(block)
    )


@pytest.mark.parametrize(
    "block", [block for block in ALL if block.kind == "diff"], ids=lambda block: block.page
)
def test_what_a_diff_adds_stands_in_the_file_that_it_names(block: pages.Block) -> None:
    file = ""
    for line in block.text.splitlines():
        if line.startswith("+++ b/"):
            file = (pages.ROOT / line.removeprefix("+++ b/")).read_text("utf-8")
        elif line.startswith("+"):
            assert line[1:].strip() in file, line


def test_no_block_is_left_out() -> None:
    assert [block for block in ALL if not is_accounted_for(block)] == []
    assert len(ALL) > 80


def test_nothing_is_listed_that_is_not_there() -> None:
    for page, names in RUN.items():
        assert {block.name for block in ALL if block.page == page} - {None} == names
    for table in (EXCEPTIONS, INDENTED):
        for page, start in table:
            found = [b for b in ALL if b.page == page and b.first_line.startswith(start)]
            assert len(found) == 1, start
    for page, test in PYTHON.items():
        assert page in (pages.ROOT / test).read_text("utf-8")
        assert any(block.page == page and block.kind == "python" for block in ALL)


SPECS = [b for b in ALL if b.kind == "yaml" and (b.name is None or b.page == "recipes.md")]


@pytest.mark.parametrize("block", SPECS, ids=lambda block: f"{block.page}: {block.first_line}")
def test_an_example_of_a_spec_makes_a_plan(block: pages.Block, tmp_path: Path) -> None:
    spec = tmp_path / "example.yaml"
    spec.write_text(block.text, "utf-8")
    assert glorot.make_plan(glorot.load_spec(spec)).tensors


@pytest.mark.parametrize("key", INDENTED, ids=lambda key: key[1])
def test_an_indented_command_works(key: tuple[str, str], tmp_path: Path) -> None:
    (block,) = [b for b in ALL if b.page == key[0] and b.text.startswith(key[1])]
    assert block.kind == "indented"
    INDENTED[key](tmp_path)
    pages.ran(block.text, tmp_path)


def test_a_vocabulary_grows_as_the_page_of_formats_says(tmp_path: Path) -> None:
    (block,) = [b for b in ALL if b.text.startswith("glorot init llama.yaml --set")]
    init_with_a_resize(tmp_path)
    pages.ran(block.text.replace("5GB", "1GB"), tmp_path)
    new = load_file(tmp_path / "new" / "model.safetensors")
    assert new["model.embed_tokens.weight"].shape == (32256, 4)
    assert new["lm_head.weight"].shape == (32256, 4)


def test_the_console_sessions_of_every_page_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(pages.DOCS))
    run = importlib.import_module("reference").with_sessions()
    assert {block.page for block in ALL if block.kind == "console"} <= {path.name for path in run}
