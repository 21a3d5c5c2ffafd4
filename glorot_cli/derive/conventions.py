"""What frameworks start kernels, biases and embeddings with, and whose names a file has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from glorot_cli.derive.places import Surroundings
from glorot_cli.derive.starts import BIAS, EMBEDDING, KERNEL, Start, order_of
from glorot_cli.formats.stored import StoredTensor


class Convention(NamedTuple):
    """Hold the initializers of what a file's names do not decide, and why these."""

    kernel: Any
    embedding: Any
    bias: Any
    source: str = "convention"


_TORCH_KERNEL = {"name": "kaiming_uniform", "a": "sqrt(5)"}
# nn.Linear and nn.Embedding; Dense and Embedding of Keras; Dense and Embed of Flax.
CONVENTIONS: dict[str, Convention] = {
    "keras": Convention("glorot_uniform", "random_uniform", "zeros", "convention of keras"),
    "torch": Convention(
        _TORCH_KERNEL, {"name": "normal", "std": 1.0}, "torch_bias", "convention of torch"
    ),
    "jax": Convention(
        "lecun_normal",
        {"name": "variance_scaling", "mode": "fan_out", "distribution": "untruncated_normal"},
        "zeros",
        "convention of jax",
    ),
}
# Where no framework's names are found.
UNKNOWN = Convention("glorot_uniform", {"name": "random_normal", "stddev": 0.02}, "zeros")


def of_range(std: float) -> Convention:
    """Return the convention of transformers' models, from `initializer_range` of a config.json."""
    normal = {"name": "normal", "std": std}
    return Convention(normal, normal, "zeros", "initializer_range of config.json")


def initializer_of(start: Start, convention: Convention) -> Any:
    """Return what a tensor is initialised with; None if it is kept."""
    if not start.is_convention:
        return start.initializer
    words = {KERNEL: convention.kernel, EMBEDDING: convention.embedding, BIAS: convention.bias}
    if isinstance(start.initializer, str):
        return words[start.initializer]
    # An embedding that starts smaller than torch's own.
    return start.initializer if convention is CONVENTIONS["torch"] else convention.embedding


_KERAS_WORDS = frozenset((
    "gamma", "beta", "moving_mean", "moving_variance", "embeddings", "recurrent_kernel",
    "depthwise_kernel", "pointwise_kernel",
))  # fmt: skip
_TORCH_WORDS = re.compile(
    r"(in_proj_)?weight|weight_(v|orig)|weight_(ih|hh)(_l\d+)?(_reverse)?|original1?|running_var"
)
_JAX_TOPS = frozenset(("params", "batch_stats", "state"))


def dialect_of(tensors: Sequence[StoredTensor], others: Surroundings) -> str | None:
    """Tell whose names a file has, by the words of most of its kernels."""
    words: Counter[str] = Counter()
    tops, auto = set(), 0
    has_variables = False
    for tensor in tensors:
        place = others.places[tensor.name]
        words[place.leaf] += 1
        tops.add(place.above[-1] if place.above else "")
        # Flax's own names of layers: Dense_0, Conv_1.
        auto += any(re.fullmatch(r"[A-Z][A-Za-z]*_\d+", word) for word in place.above)
        has_variables |= place.separator == "/" and "/vars/" in f"/{tensor.name}"
    weights = sum(count for word, count in words.items() if _TORCH_WORDS.fullmatch(word))
    if weights > words["kernel"] + words["w"]:
        return "torch"
    if has_variables or any(tensor.name.endswith(":0") for tensor in tensors):
        return "keras"
    if words["w"] and not words["kernel"]:
        return "jax" if words["b"] or any("/~/" in each.name for each in tensors) else None
    if not _KERAS_WORDS.isdisjoint(words):
        return "keras"
    if words["kernel"]:
        dotted = any(others.places[t.name].separator == "." for t in tensors)
        scaled = words["scale"] or words["embedding"]
        return "jax" if auto or dotted or scaled or tops & _JAX_TOPS else "keras"
    return "keras" if any(re.fullmatch(r"[Wb](_[a-z])?", word) for word in words) else None


def settled_axes(axes: str | None, order: str) -> str | None:
    """Fill in the order of axes where neither a tensor's name nor what is beside it says it.

    `order` is the file's: `OI` or `IO`.
    """
    if axes is None or "??" not in axes:
        return axes
    field = axes.replace("??", "")
    if field.startswith("B") and axes.startswith("B"):
        return f"B{order}"
    return f"OI{field}" if order == "OI" else f"{field}IO"


def order_in(tensors: Sequence[StoredTensor], others: Surroundings, container: str) -> str:
    """Return the order of most kernels of a file that say theirs, or else the container's."""
    counts = Counter(order_of(others.places[t.name].leaf) for t in tensors if len(t.shape) > 1)
    if counts["OI"] == counts["IO"]:
        return "OI" if container == "torch" else "IO"
    return "OI" if counts["OI"] > counts["IO"] else "IO"
