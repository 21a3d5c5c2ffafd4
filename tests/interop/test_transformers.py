"""The large samples, loaded into transformers' own models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glorot_cli.cli import main

pytestmark = pytest.mark.interop

SPECS = Path(__file__).resolve().parents[2] / "sample_specs"


def written(name: str, output: Path, *options: str) -> dict[str, Any]:
    """Write a sample's weights and read them as torch does."""
    from safetensors.torch import load_file

    spec = str(SPECS / f"{name}.yaml")
    assert main(["init", spec, "-o", str(output), "--seed", "3", "--quiet", *options]) == 0
    weights: dict[str, Any] = load_file(output)
    return weights


def sets(**dims: int) -> list[str]:
    return [part for name, size in dims.items() for part in ("--set", f"{name}={size}")]


def load(model: Any, weights: dict[str, Any], tied: tuple[str, ...] = ()) -> None:
    """Load weights; nothing may be missing but what is tied, and nothing left over."""
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert unexpected == []
    assert [key for key in missing if key not in tied] == []
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert {key: tuple(value.shape) for key, value in weights.items()} == {
        key: shape for key, shape in shapes.items() if key not in tied
    }


def forward(torch: Any, model: Any, vocabulary: int) -> Any:
    tokens = torch.arange(10).reshape(2, 5) % vocabulary
    with torch.no_grad():
        logits = model.eval()(tokens).logits
    assert logits.shape == (2, 5, vocabulary)
    assert bool(torch.isfinite(logits).all())
    return logits


def test_gpt2_loads_with_its_head_tied(torch: Any, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    weights = written("gpt2", tmp_path / "gpt2.safetensors", "--dtype", "bfloat16")
    assert {value.dtype for value in weights.values()} == {torch.bfloat16}
    assert sum(value.numel() for value in weights.values()) == 124_439_808
    model: Any = GPT2LMHeadModel(GPT2Config()).to(torch.bfloat16)
    load(model, weights, tied=("lm_head.weight",))
    assert model.lm_head.weight is model.transformer.wte.weight
    assert torch.equal(model.lm_head.weight, weights["transformer.wte.weight"])
    assert sum(p.numel() for p in model.parameters()) == 124_439_808
    logits = forward(torch, model, 50257)
    # An untrained head of stddev 0.02 over 768 normalised inputs spreads by 0.02 * sqrt(768).
    assert float(logits.float().std()) == pytest.approx(0.02 * 768**0.5, rel=0.1)


def test_gpt2_loads_from_a_folder_as_a_checkpoint_does(torch: Any, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=50, n_positions=8, n_embd=12, n_layer=2, n_head=3)
    config.save_pretrained(tmp_path)
    dims = sets(vocabulary=50, context=8, d=12, layers=2)
    weights = written("gpt2", tmp_path / "model.safetensors", *dims)
    loaded: Any = GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    model, info = loaded
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()
    for key, value in weights.items():
        assert torch.equal(model.state_dict()[key], value)


def test_a_small_llama_loads(torch: Any, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    dims = sets(vocabulary=50, d=16, hidden=24, layers=2, key_value=8)
    weights = written("llama2_7b", tmp_path / "x.safetensors", *dims)
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config).to(torch.bfloat16)
    load(model, weights)
    forward(torch, model, 50)


def test_a_small_bert_loads(torch: Any, tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    dims = sets(vocabulary=50, context=8, d=12, layers=2)
    weights = written("bert_base", tmp_path / "x.safetensors", *dims)
    config = BertConfig(
        vocab_size=50, hidden_size=12, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=48, max_position_embeddings=8,
    )  # fmt: skip
    model: Any = BertModel(config)
    load(model, weights)
    with torch.no_grad():
        output = model.eval()(torch.arange(10).reshape(2, 5))
    assert output.last_hidden_state.shape == (2, 5, 12)
    assert bool(torch.isfinite(output.last_hidden_state).all())


def test_llama_has_the_names_of_transformers(torch: Any) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    import glorot_cli as glorot

    plan = glorot.make_plan(glorot.load_spec(SPECS / "llama2_7b.yaml", {"seed": 1}))
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig())
    assert {t.name: t.shape for t in plan.tensors} == {
        key: tuple(value.shape) for key, value in model.state_dict().items()
    }
