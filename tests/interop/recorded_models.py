"""Record many models, and hold each spec against its module: `python -m tests.interop...`.

    python -m tests.interop.recorded_models            all of them, some minutes
    python -m tests.interop.recorded_models vit llama  some
    python -m tests.interop.recorded_models --golden   and write tests/golden/recorded.json

Of each it says whether names, shapes and dtypes are those of state_dict(), whether the tensors of
two seeds fit their distributions, and how many have the bits of torch.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from glorot_cli import load_spec, make_plan
from glorot_cli.errors import GlorotError
from glorot_cli.recording import recorded
from glorot_cli.recording.checking import check_recording
from tests.interop.recorded_zoo import OWN

GOLDEN = Path(__file__).parent.parent / "golden" / "recorded.json"
# Small, and of every kind of draw whose bits are known.
IN_GOLDEN = ("nanogpt", "diffusion_unet", "vit", "forget_lstm", "bfloat16", "float64", "pieces",
    "seq2seq")  # fmt: skip
_SMALL: dict[str, Any] = {
    "vocab_size": 99, "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0,
    "max_position_embeddings": 40,
}  # fmt: skip
# Types that derive a key, and let nobody set it.
_DERIVED = {"head_dim": ("falcon",)}
# The class of each, and what makes it small beside the usual keys.
_TRANSFORMERS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", {}),
    "mistral": ("MistralForCausalLM", {"dtype": "bfloat16"}),
    "qwen2": ("Qwen2ForCausalLM", {}),
    "qwen3": ("Qwen3ForCausalLM", {"tie_word_embeddings": True}),
    "gemma": ("GemmaForCausalLM", {}),
    "gemma2": ("Gemma2ForCausalLM", {}),
    "phi": ("PhiForCausalLM", {}),
    "phi3": ("Phi3ForCausalLM", {}),
    "olmo2": ("Olmo2ForCausalLM", {}),
    "cohere": ("CohereForCausalLM", {"dtype": "float16"}),
    "stablelm": ("StableLmForCausalLM", {}),
    "starcoder2": ("Starcoder2ForCausalLM", {}),
    "mixtral": ("MixtralForCausalLM", {"num_local_experts": 4}),
    "qwen3_moe": ("Qwen3MoeForCausalLM", {"num_experts": 4, "moe_intermediate_size": 24}),
    "gpt2": ("GPT2LMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 40}),
    "gpt_neox": ("GPTNeoXForCausalLM", {}),
    "gptj": ("GPTJForCausalLM", {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4}),
    "bloom": ("BloomForCausalLM", {"n_layer": 2, "n_head": 4}),
    "falcon": ("FalconForCausalLM", {}),
    "opt": ("OPTForCausalLM", {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "bert": ("BertForMaskedLM", {}),
    "roberta": ("RobertaForMaskedLM", {}),
    "electra": ("ElectraForMaskedLM", {"embedding_size": 16}),
    "distilbert": ("DistilBertForMaskedLM", {"dim": 32, "n_layers": 2, "n_heads": 4,
        "hidden_dim": 56}),
    "t5": ("T5ForConditionalGeneration", {"d_model": 32, "d_kv": 8, "d_ff": 56, "num_layers": 2,
        "num_heads": 4}),
    "bart": ("BartForConditionalGeneration", {"d_model": 32, "encoder_layers": 2,
        "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}),
    "vit": ("ViTForImageClassification", {"image_size": 16, "patch_size": 4}),
    "dinov2": ("Dinov2Model", {"image_size": 14, "patch_size": 7}),
    "clip": ("CLIPModel", {"projection_dim": 16,
        "text_config": {**_SMALL, "eos_token_id": 2, "bos_token_id": 1},
        "vision_config": {"hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2,
            "num_attention_heads": 4, "image_size": 16, "patch_size": 8}}),
    "mamba": ("MambaForCausalLM", {"state_size": 8, "time_step_rank": 4}),
    "modernbert": ("ModernBertForMaskedLM", {"cls_token_id": 1, "sep_token_id": 2}),
    "resnet": ("ResNetForImageClassification", {"embedding_size": 8, "hidden_sizes": [8, 16],
        "depths": [1, 2], "layer_type": "basic"}),
}  # fmt: skip
_TORCHVISION = ("resnet18", "mobilenet_v2", "densenet121", "vit_b_16", "convnext_tiny",
    "efficientnet_b0", "swin_t")  # fmt: skip
_TIMM = ("vit_tiny_patch16_224", "resnet18", "convnext_atto", "mixer_s32_224",
    "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "mobilenetv3_small_050")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """Hold a model's name, where it is from, and the function that builds it."""

    name: str
    source: str
    build: Callable[[], Any]


def transformers_builder(kind: str) -> Callable[[], Any]:
    """Return the function that builds a small model of transformers."""
    declare_operators()
    import transformers

    name, given = _TRANSFORMERS[kind]
    own = "text_config" not in given
    small = {key: value for key, value in _SMALL.items() if kind not in _DERIVED.get(key, ())}
    config = transformers.CONFIG_MAPPING[kind].from_dict({**(small if own else {}), **given})
    made = getattr(transformers, name)

    def build() -> Any:
        return made._from_config(config)

    return build


def declare_operators() -> None:
    """Declare the compiled operators of torchvision, which do not load beside torch for CPUs."""
    global _LIBRARY
    if _LIBRARY is not None:
        return
    _LIBRARY = torch.library.Library("torchvision", "DEF")
    _LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for name in ("qnms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d"):
        for each in (name, f"_{name}_backward"):
            _LIBRARY.define(f"{each}(Tensor a) -> Tensor")


_LIBRARY: Any = None


def cases() -> Iterator[Case]:
    """Give the models that can be built here."""
    for name, build in OWN.items():
        yield Case(name, "own", build)
    for kind in _TRANSFORMERS:
        yield Case(f"transformers.{kind}", "transformers", transformers_builder(kind))
    try:
        declare_operators()
        import torchvision
    except (ImportError, RuntimeError):
        print("torchvision is not here: its models are left out", file=sys.stderr)
    else:
        for name in _TORCHVISION:
            build = getattr(torchvision.models, name)
            yield Case(f"torchvision.{name}", "torchvision", build)
    try:
        import timm
    except (ImportError, RuntimeError):
        print("timm is not here: its models are left out", file=sys.stderr)
    else:
        for name in _TIMM:
            yield Case(f"timm.{name}", "timm", functools.partial(timm.create_model, name))


def judged(case: Case) -> tuple[bool, bool, str]:
    """Record a model and check it; tell whether its spec holds and all bits are torch's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = recorded(lambda: case.build)
            result = check_recording(lambda: case.build, (), {}, found)
        except GlorotError as error:
            return False, False, str(error)
    unknown = [f"{each.name}: {each.reason}" for each in found.unknown]
    bits = sum("the bits of all" in line for line in result.lines) == 2
    lines = [line for line in result.lines if "every" not in line and "bits of all" not in line]
    return result.holds and not unknown, bits, "; ".join([*unknown, *lines])


def golden(builds: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Return specs, and the digests of what torch draws with a seed."""
    found = {}
    for name in IN_GOLDEN:
        spec = recorded(functools.partial(builds.get, name)).spec
        torch.manual_seed(11)
        state = builds[name]().state_dict()
        names = {tensor.name for tensor in make_plan(load_spec(spec)).tensors}
        digests = {key: digest(value) for key, value in state.items() if key in names}
        found[name] = {"spec": spec, "seed": 11, "sha256": digests}
    return found


def digest(tensor: torch.Tensor) -> str:
    """Return the SHA-256 of a tensor's bytes."""
    raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(raw.numpy().tobytes()).hexdigest()


def main(arguments: list[str]) -> int:
    """Check the models that are asked for, or all."""
    if "--golden" in arguments:
        made = {"made_with": f"torch {torch.__version__}", "models": golden(OWN)}
        GOLDEN.write_text(json.dumps(made, separators=(",", ":")) + "\n", "utf-8")
        return 0
    count = held = exact = 0
    for case in cases():
        if arguments and not any(name in case.name for name in arguments):
            continue
        start = time.perf_counter()
        holds, bits, said = judged(case)
        count, held, exact = count + 1, held + holds, exact + bits
        mark = "bits" if bits else "fits" if holds else "FAILS"
        print(f"{mark:6}{case.name:40}{time.perf_counter() - start:6.1f} s  {said}", flush=True)
    print(f"{count} models: {held} as recorded, {exact} in all bits")
    return 0 if held == count else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
