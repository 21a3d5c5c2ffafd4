"""The large sample specs: their sizes, their names, and small copies made by --set."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import glorot_cli as glorot

Run = Callable[..., tuple[int, str, str]]

SPECS = Path(__file__).resolve().parents[1] / "sample_specs"


class Sample(NamedTuple):
    """Hold a sample's counts, dims that make it small, and the count that they make."""

    parameters: int
    tensors: int
    dtype: str
    small: list[str]
    small_parameters: int


def gpt2(vocabulary: int, context: int, d: int, layers: int) -> int:
    block = (
        2 * d + (d * 3 * d + 3 * d) + (d * d + d) + 2 * d + (d * 4 * d + 4 * d) + (4 * d * d + d)
    )
    return vocabulary * d + context * d + layers * block + 2 * d


def llama(vocabulary: int, d: int, hidden: int, layers: int, key_value: int) -> int:
    block = 2 * d * d + 2 * key_value * d + 3 * hidden * d + 2 * d
    return 2 * vocabulary * d + layers * block + d


def mixtral(vocabulary: int, d: int, hidden: int, layers: int, key_value: int, experts: int) -> int:
    block = 2 * d * d + 2 * key_value * d + experts * d + experts * 3 * hidden * d + 2 * d
    return 2 * vocabulary * d + layers * block + d


def bert(vocabulary: int, context: int, d: int, layers: int) -> int:
    block = 4 * (d * d + d) + 2 * d + (d * 4 * d + 4 * d) + (4 * d * d + d) + 2 * d
    return (vocabulary + context + 2) * d + 2 * d + layers * block + d * d + d


SAMPLES = {
    "gpt2": Sample(
        124_439_808, 148, "float32",
        ["vocabulary=50", "context=8", "d=12", "layers=2"], gpt2(50, 8, 12, 2),
    ),
    "llama2_7b": Sample(
        6_738_415_616, 291, "bfloat16",
        ["vocabulary=50", "d=8", "hidden=24", "layers=2", "key_value=4"], llama(50, 8, 24, 2, 4),
    ),
    "mixtral_8x7b": Sample(
        46_702_792_704, 995, "bfloat16",
        ["vocabulary=50", "d=8", "hidden=24", "layers=2", "key_value=4", "experts=3"],
        mixtral(50, 8, 24, 2, 4, 3),
    ),
    "bert_base": Sample(
        109_482_240, 199, "float32",
        ["vocabulary=50", "context=8", "d=12", "layers=2"], bert(50, 8, 12, 2),
    ),
}  # fmt: skip


def test_the_formulas_give_the_published_counts() -> None:
    assert gpt2(50257, 1024, 768, 12) == SAMPLES["gpt2"].parameters
    assert llama(32000, 4096, 11008, 32, 4096) == SAMPLES["llama2_7b"].parameters
    assert mixtral(32000, 4096, 14336, 32, 1024, 8) == SAMPLES["mixtral_8x7b"].parameters
    assert bert(30522, 512, 768, 12) == SAMPLES["bert_base"].parameters


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_has_its_parameters(run: Run, name: str) -> None:
    code, out, err = run("plan", SPECS / f"{name}.yaml", "--json")
    assert (code, err) == (0, "")
    document, sample = json.loads(out), SAMPLES[name]
    itemsize = {"float32": 4, "bfloat16": 2}[sample.dtype]
    assert document["totals"] == {
        "parameters": sample.parameters,
        "trainable": sample.parameters,
        "bytes": sample.parameters * itemsize,
    }
    stored = [t for t in document["tensors"] if t["tied_to"] is None]
    assert len(stored) == sample.tensors
    assert {t["dtype"] for t in document["tensors"]} == {sample.dtype}
    assert all(t["fan_in"] is not None for t in stored if len(t["shape"]) > 1)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_fits_on_a_screen(name: str) -> None:
    assert len((SPECS / f"{name}.yaml").read_text("utf-8").splitlines()) < 60


@pytest.mark.parametrize("name", SAMPLES)
def test_a_small_copy_is_written_and_read(run: Run, tmp_path: Path, name: str) -> None:
    from safetensors import safe_open

    sample, output = SAMPLES[name], tmp_path / "x.safetensors"
    dims = [part for dim in sample.small for part in ("--set", dim)]
    code, out, _ = run("init", SPECS / f"{name}.yaml", "-o", output, "--seed", 3, "--json", *dims)
    assert code == 0
    document = json.loads(out)
    assert document["totals"]["parameters"] == sample.small_parameters
    stored = {t["name"]: t["shape"] for t in document["tensors"] if t["tied_to"] is None}
    with safe_open(output, "numpy") as file:
        assert {key: file.get_slice(key).get_shape() for key in file.keys()} == stored  # noqa: SIM118
    code, out, err = run("inspect", output, "--json")
    assert (code, err) == (0, "")
    (found,) = json.loads(out)["files"]
    assert found["totals"]["parameters"] == sample.small_parameters
    by_name = {t["name"]: t for t in document["tensors"]}
    for tensor in found["tensors"]:
        assert tensor["dtype"] == sample.dtype
        assert tensor["statistics"] == by_name[tensor["name"]]["statistics"] or (
            tensor["statistics"]["std"]
            == pytest.approx(by_name[tensor["name"]]["statistics"]["std"], rel=1e-3)
        )


@pytest.mark.parametrize("name", SAMPLES)
def test_a_small_copy_is_made_again_from_its_own_spec(name: str) -> None:
    dims = {key: int(size) for key, _, size in (d.partition("=") for d in SAMPLES[name].small)}
    plan = glorot.make_plan(glorot.load_spec(SPECS / f"{name}.yaml", {"seed": 3}, dims))
    text = json.dumps(plan.spec, sort_keys=True)
    assert glorot.make_plan(glorot.load_spec(json.loads(text))).entries == plan.entries


def test_the_names_of_gpt2() -> None:
    plan = glorot.make_plan(glorot.load_spec(SPECS / "gpt2.yaml", {"seed": 1}))
    names = [tensor.name for tensor in plan.entries]
    assert names[:3] == [
        "transformer.wte.weight", "transformer.wpe.weight", "transformer.h.0.ln_1.weight",
    ]  # fmt: skip
    assert names[-4:] == [
        "transformer.h.11.mlp.c_proj.bias", "transformer.ln_f.weight", "transformer.ln_f.bias",
        "lm_head.weight",
    ]  # fmt: skip
    assert plan.entries[-1].tied_to == "transformer.wte.weight"
    assert plan.entries[-1].shape == (50257, 768)


def test_gpt2_scales_its_residual_projections() -> None:
    plan = glorot.make_plan(glorot.load_spec(SPECS / "gpt2.yaml", {"seed": 1}))
    for tensor in plan.tensors:
        if tensor.name.endswith("c_proj.weight"):
            assert tensor.arguments == {"mean": 0.0, "std": 0.02 / math.sqrt(24)}
        elif tensor.name.endswith(".bias"):
            assert tensor.initializer == "zeros"
        elif ".ln_" in tensor.name:
            assert tensor.initializer == "ones"
        else:
            assert tensor.arguments == {"mean": 0.0, "std": 0.02}


def test_mixtral_folds_its_experts_in_order() -> None:
    dims = {"layers": 2, "experts": 3}
    plan = glorot.make_plan(glorot.load_spec(SPECS / "mixtral_8x7b.yaml", {"seed": 1}, dims))
    names = [tensor.name for tensor in plan.entries]
    first = names.index("model.layers.0.block_sparse_moe.experts.0.w1.weight")
    assert names[first : first + 4] == [
        "model.layers.0.block_sparse_moe.experts.0.w1.weight",
        "model.layers.0.block_sparse_moe.experts.1.w1.weight",
        "model.layers.0.block_sparse_moe.experts.2.w1.weight",
        "model.layers.0.block_sparse_moe.experts.0.w2.weight",
    ]
