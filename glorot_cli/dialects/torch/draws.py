"""The weights that constructing torch's modules draws, in order, by torch's own defaults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from glorot_cli.dialects.layer import Layer, Place, Weight
from glorot_cli.dialects.torch.linear import within_one_over_root
from glorot_cli.dialects.torch.network import Dialect, Modules
from glorot_cli.errors import SpecError

_CONTAINERS = ("Module", "ModuleDict", "ModuleList", "Sequential")
_COPYING = ("Transformer", "TransformerDecoder", "TransformerEncoder")
# Where the attention of a module lies below it.
_ATTENTIONS = {
    "MultiheadAttention": ("",),
    "TransformerDecoderLayer": ("self_attn.", "multihead_attn."),
    "TransformerEncoderLayer": ("self_attn.",),
}


def defaults(entries: Iterable[Place]) -> list[Weight]:
    """Return the weights of all modules in the order in which they are drawn.

    Raises:
        SpecError: at a module in which torch starts several layers alike.
    """
    return list(_of_modules(Dialect().modules(entries, ()), ""))


def _of_modules(modules: Modules, prefix: str) -> Iterator[Weight]:
    for index, layer in enumerate(modules.layers):
        below = f"{prefix}{layer.name or index}."
        if layer.entry.type in _CONTAINERS:
            yield from _of_modules(layer.arguments["layers"], below)
        else:
            yield from (replace(w, name=below + w.name) for w in _drawn(layer))


def _drawn(layer: Layer) -> list[Weight]:
    kind = layer.entry.type
    if kind in _COPYING:
        raise SpecError(
            f"the stream torch draws no {kind}: torch makes copies of its layers, which would "
            "start alike; write the layers out",
            (*layer.place.path, "type"),
        )
    weights = layer.build(None).weights
    for prefix in _ATTENTIONS.get(kind, ()):
        weights = _attention_first(weights, prefix)
    return weights


def _attention_first(weights: list[Weight], prefix: str) -> list[Weight]:
    """Move the output projection of attention before the rest, its bias drawn and later zeroed."""
    own = [weight for weight in weights if weight.name.startswith(prefix)]
    output = [weight for weight in own if weight.name.startswith(f"{prefix}out_proj.")]
    law = within_one_over_root(output[0].shape[1])
    drawn = [
        replace(weight, initializer=law) if weight.name.endswith(".bias") else weight
        for weight in output
    ]
    start, stop = weights.index(own[0]), weights.index(own[-1]) + 1
    rest = [weight for weight in own if weight not in output]
    return [*weights[:start], *drawn, *rest, *weights[stop:]]
