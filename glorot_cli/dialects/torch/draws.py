"""The weights that constructing torch's modules draws, in order, by torch's own defaults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from glorot_cli.dialects.layer import Flow, Layer, Place, Weight
from glorot_cli.dialects.torch.linear import within_one_over_root
from glorot_cli.dialects.torch.network import Dialect, ModuleEntry, Modules
from glorot_cli.dialects.torch.parametrizations import DIRECTION, WEIGHT
from glorot_cli.errors import SpecError

_CONTAINERS = ("Module", "ModuleDict", "ModuleList", "Sequential")
_COPYING = ("Transformer", "TransformerDecoder", "TransformerEncoder")
# Where the attention of a module lies below it.
_ATTENTIONS = {
    "MultiheadAttention": ("",),
    "TransformerDecoderLayer": ("self_attn.", "multihead_attn."),
    "TransformerEncoderLayer": ("self_attn.",),
}


def defaults(entries: Iterable[Place], x: Flow) -> list[Weight]:
    """Return the weights of all modules in the order in which they are drawn.

    `x` is the shape that flows into the first, where it is known.

    Raises:
        SpecError: at a module in which torch starts several layers alike.
    """
    return list(_of_modules(Dialect().modules(entries, ()), "", x))


def _of_modules(modules: Modules, prefix: str, x: Flow, *, flows: bool = True) -> Iterator[Weight]:
    for index, layer in enumerate(modules.layers):
        below, kind = f"{prefix}{layer.name or index}.", layer.entry.type
        x = layer.entry.input_shape or x
        if kind in _CONTAINERS:
            through = kind == "Sequential"
            inner = x if through else None
            yield from _of_modules(layer.argument("layers", Modules), below, inner, flows=through)
        else:
            yield from (w._replace(name=below + w.name) for w in _drawn(layer, x))
        x = layer.build(x).output if flows and x is not None else None


def _drawn(layer: Layer, x: Flow) -> list[Weight]:
    kind = layer.entry.type
    if kind.startswith("Lazy") and not kind.startswith(("LazyBatchNorm", "LazyInstanceNorm")):
        raise SpecError(
            f"the stream torch draws no {kind}: torch draws it at its first call, after all "
            f"others; write {kind.removeprefix('Lazy')}",
            (*layer.place.path, "type"),
        )
    assert isinstance(layer.entry, ModuleEntry)
    if layer.entry.spectral_norm is not None:
        raise SpecError(
            "the stream torch draws no singular vectors; leave out spectral_norm, or rng",
            (*layer.place.path, "spectral_norm"),
            at_key=True,
        )
    if kind in _COPYING and layer.arguments.get("copies"):
        return _copied(layer, x)
    if kind in _COPYING:
        raise SpecError(
            f"the stream torch draws no {kind}: torch makes copies of its layers, which would "
            "start alike; write the layers out"
            + ("" if kind == "Transformer" else ", or say copies: true"),
            (*layer.place.path, "type"),
        )
    weights = layer.build(x).weights
    if layer.entry.weight_norm is not None:
        # What is drawn is the whole, in its place.
        weights = [w._replace(name=DIRECTION) if w.name == WEIGHT else w for w in weights]
    for prefix in _ATTENTIONS.get(kind, ()):
        weights = _attention_first(weights, prefix)
    return weights


def _copied(layer: Layer, x: Flow) -> list[Weight]:
    """Return what the one layer draws that torch then copies, and the normalisation."""
    key = "encoder_layer" if layer.entry.type == "TransformerEncoder" else "decoder_layer"
    inner = _drawn(layer.argument(key, Layer), x)
    return [w._replace(name=f"layers.0.{w.name}") for w in inner]


def _attention_first(weights: list[Weight], prefix: str) -> list[Weight]:
    """Move the output projection of attention before the rest, its bias drawn and later zeroed."""
    own = [weight for weight in weights if weight.name.startswith(prefix)]
    output = [weight for weight in own if weight.name.startswith(f"{prefix}out_proj.")]
    law = within_one_over_root(output[0].shape[1])
    drawn = [
        weight._replace(initializer=law) if weight.name.endswith(".bias") else weight
        for weight in output
    ]
    start, stop = weights.index(own[0]), weights.index(own[-1]) + 1
    rest = [weight for weight in own if weight not in output]
    return [*weights[:start], *drawn, *rest, *weights[stop:]]
