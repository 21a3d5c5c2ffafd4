"""The order in which transformers draws a model, for the types where it follows the tensors.

Each layer is drawn by its constructor (a Linear's kernel and bias by `uniform_`, an Embedding by
`normal_`), and when a PreTrainedModel's own constructor ends, each kernel of it once more, in the
order in which the layers were registered. A head comes after its base, which is a PreTrainedModel
itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from glorot_cli.distributions import Normal, Patched
from glorot_cli.errors import GlorotError
from glorot_cli.families import ModelConfig
from glorot_cli.plan import PlannedTensor

# The release whose draws these are.
RELEASE = "transformers 5.24.0"
_DECODER = ("*ForCausalLM", "*Model", "*ForSequenceClassification", "*ForTokenClassification")
_ENCODER = ("*Model", "*ForSequenceClassification", "*ForTokenClassification")
# Each was compared with transformers, bit for bit, in these classes.
KNOWN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("llama", "mistral", "qwen2", "qwen3", "granite", "smollm3", "gemma", "olmo", "seed_oss",
         "ernie4_5", "gpt_neox", "bloom", "mpt", "opt", "olmo2", "olmo3", "exaone4", "gemma2",
         "gemma3_text", "phi", "glm4", "starcoder2", "nemotron", "stablelm", "cohere", "cohere2"),
        _DECODER),
    **dict.fromkeys(("bert", "electra", "albert"), _ENCODER),
    **dict.fromkeys(("distilbert", "deberta-v2"), ("*Model", "*ForTokenClassification")),
}  # fmt: skip
_LAYER = re.compile(r"(?:^|[.])(?:layers?|h|blocks)[.]([0-9]+)[.]")
_HEADS = ("lm_head", "score", "classifier", "qa_outputs", "embed_out")
_EMBEDDINGS = ("embed_tokens", "embed_positions", "embed_in")
# Layers whose place among the others is not that of their tensors.
_ELSEWHERE = ("project_in", "project_out")


def draws_of_model(config: ModelConfig, tensors: Iterable[PlannedTensor]) -> list[dict[str, Any]]:
    """Return the draws of the model of a configuration, whose tensors are these.

    Raises:
        GlorotError: if the order in which transformers draws them is not known.
    """
    kind, architecture = config.model_type, config.architecture or "ForCausalLM"
    found = [tensor for tensor in tensors if tensor.tied_to is None]
    is_known = any(fnmatchcase(architecture, glob) for glob in KNOWN.get(kind, ()))
    parts = {part for tensor in found for part in tensor.name.split(".")}
    if not is_known or not parts.isdisjoint(_ELSEWHERE):
        raise GlorotError(
            f"{config.path}: the order in which transformers draws {architecture} of {kind} is not "
            f"known here, so --rng torch cannot give its bits; where torch is installed, glorot "
            f"record {config.path} -o net.yaml writes it down"
        )
    heads = [tensor for tensor in found if tensor.name.split(".")[0] in _HEADS]
    base = [tensor for tensor in found if tensor.name.split(".")[0] not in _HEADS]
    return [*_of_model(_by_layer(base)), *_of_model(heads)]


def _by_layer(tensors: list[PlannedTensor]) -> list[PlannedTensor]:
    """Put the tensors of a layer together, which a family may list part by part."""
    layers = [_LAYER.search(tensor.name) for tensor in tensors]
    inside = [at for at, found in enumerate(layers) if found]
    if not inside:
        return tensors
    middle = range(inside[0], inside[-1] + 1)

    def layer(at: int) -> int:
        found = layers[at]
        return -1 if found is None else int(found[1])

    ordered = sorted(middle, key=layer)
    return [*tensors[: middle.start], *(tensors[at] for at in ordered), *tensors[middle.stop :]]


def _of_model(tensors: list[PlannedTensor]) -> list[dict[str, Any]]:
    """Return the draws of one PreTrainedModel: of its constructor, then of its law."""
    names = {tensor.name for tensor in tensors}
    made: list[dict[str, Any]] = []
    for tensor in tensors:
        stem, _, last = tensor.name.rpartition(".")
        if last != "weight" or len(tensor.shape) != 2 or not _is_normal(tensor):
            continue
        layer = stem.split(".")[-1]
        kind = "normal" if layer in _EMBEDDINGS or "embeddings" in layer else "uniform"
        filled = [name for name in (tensor.name, f"{stem}.bias") if name in names]
        if made and made[-1]["draw"] == kind:
            made[-1]["of"] += filled
        else:
            made.append({"draw": kind, "of": filled})
    again = [tensor.name for tensor in tensors if _is_normal(tensor)]
    return [*made, *([{"draw": "normal", "of": again}] if again else [])]


def _is_normal(tensor: PlannedTensor) -> bool:
    law = tensor.distribution
    return isinstance(law.law if isinstance(law, Patched) else law, Normal)
