"""Random torch modules: specs from a seeded generator, and the real modules that they mean."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from random import Random
from typing import Any

Entry = dict[str, Any]


def random_spec(seed: int) -> Entry:
    """Return a spec of modules within modules."""
    random = Random(f"module {seed}")
    return {"seed": seed, "dialect": "torch", "layers": children(random, "Sequential", depth=0)}


def random_module(torch: Any, seed: int) -> Any:
    """Build the real module of `random_spec(seed)`."""
    return construct(torch, {"type": "Sequential", "layers": random_spec(seed)["layers"]})


def construct(torch: Any, entry: Mapping[str, Any]) -> Any:
    """Construct the real module that an entry means, and the modules that it holds."""
    own = ("type", "name", "layers")
    arguments = {key: _argument(torch, value) for key, value in entry.items() if key not in own}
    made = [construct(torch, inner) for inner in entry.get("layers", [])]
    names = [inner.get("name", str(i)) for i, inner in enumerate(entry.get("layers", []))]
    kind = getattr(torch.nn, entry["type"])
    match entry["type"]:
        case "Sequential":
            return kind(OrderedDict(zip(names, made, strict=True)))
        case "ModuleList":
            return kind(made)
        case "ModuleDict":
            return kind(dict(zip(names, made, strict=True)))
        case "Module":
            module = kind()
            for name, inner in zip(names, made, strict=True):
                module.add_module(name, inner)
            return module
    return kind(**arguments)


def _argument(torch: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        return construct(torch, value)
    return tuple(value) if isinstance(value, list) else value


def _leaf(random: Random) -> Entry:
    """Draw a module that holds weights, or none."""
    a, b = random.randint(1, 6), random.randint(1, 6)
    some = {"bias": False} if random.random() < 0.3 else {}
    width = {"d_model": 4, "nhead": 2, "dim_feedforward": a}
    return random.choice(
        [
            {"type": "Linear", "in_features": a, "out_features": b, **some},
            {"type": "Bilinear", "in1_features": a, "in2_features": b, "out_features": 2, **some},
            {"type": "Conv1d", "in_channels": a, "out_channels": b, "kernel_size": 3, **some},
            {"type": "Conv2d", "in_channels": 2 * a, "out_channels": 2 * b, "kernel_size": [3, 2],
             "groups": 2, **some},
            {"type": "ConvTranspose2d", "in_channels": a, "out_channels": b, "kernel_size": 2},
            {"type": "Embedding", "num_embeddings": 9, "embedding_dim": a, "padding_idx": 3},
            {"type": "LSTM", "input_size": a, "hidden_size": b + 1, "num_layers": 2, **some},
            {"type": "LSTM", "input_size": a, "hidden_size": 4, "proj_size": 2},
            {"type": "GRU", "input_size": a, "hidden_size": b, "bidirectional": True, **some},
            {"type": "LSTMCell", "input_size": a, "hidden_size": b, **some},
            {"type": "MultiheadAttention", "embed_dim": 4, "num_heads": 2, "kdim": a, **some},
            {"type": "TransformerEncoderLayer", **width, **some},
            {"type": "TransformerDecoderLayer", **width, **some},
            {"type": "BatchNorm2d", "num_features": a},
            {"type": "LayerNorm", "normalized_shape": [a, b], **some},
            {"type": "GroupNorm", "num_groups": 1, "num_channels": a},
            {"type": "RMSNorm", "normalized_shape": a},
            {"type": "PReLU", "num_parameters": a},
            {"type": "ReLU"},
            {"type": "Dropout", "p": 0.1},
        ]
    )  # fmt: skip


def children(random: Random, kind: str, depth: int) -> list[Entry]:
    """Draw what a container holds; a Module and a ModuleDict name all, a ModuleList none."""
    entries = []
    for index in range(random.randint(1, 6 if depth == 0 else 4)):
        entry = _leaf(random)
        if depth < 3 and random.random() < 0.35:
            inner = random.choice(["Sequential", "ModuleList", "Module", "ModuleDict"])
            entry = {"type": inner, "layers": children(random, inner, depth + 1)}
        named = {"Sequential": random.random() < 0.3, "ModuleList": False}.get(kind, True)
        entries.append({**entry, "name": f"part_{index}"} if named else entry)
    return entries
