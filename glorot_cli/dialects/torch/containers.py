"""Modules that hold others."""

from __future__ import annotations

from glorot_cli.arguments import Size
from glorot_cli.dialects.layer import (
    Built,
    Flow,
    InnerLayer,
    InnerNetwork,
    Layer,
    Weight,
    check_repeated,
)

DRAWN_EACH = (
    "torch copies the first layer, so that all start alike; here each is drawn: "
    "copies: true makes copies"
)


def Sequential(x: Flow, *, layers: InnerNetwork) -> Built:
    """Apply modules one after the other; unnamed ones are named by their index."""
    built: Built = layers.chain(x)
    return built


def ModuleList(x: Flow, *, layers: InnerNetwork) -> Built:
    """Hold modules named by their index; shapes do not flow through."""
    built: Built = layers.gather()
    return built


def Module(x: Flow, *, layers: InnerNetwork) -> Built:
    """Hold named modules, as the attributes of a class do; shapes do not flow through."""
    built: Built = layers.gather(named=True)
    return built


def TransformerEncoder(
    x: Flow,
    *,
    encoder_layer: InnerLayer,
    num_layers: Size,
    norm: InnerLayer | None = None,
    enable_nested_tensor: bool = True,
    mask_check: bool = True,
    copies: bool = False,
) -> Built:
    """Repeat a layer; each has weights of its own, or, as in torch, `copies` of the first one's."""
    return stack(x, encoder_layer, num_layers, norm, copies=copies)


def TransformerDecoder(
    x: Flow,
    *,
    decoder_layer: InnerLayer,
    num_layers: Size,
    norm: InnerLayer | None = None,
    copies: bool = False,
) -> Built:
    """Repeat a layer; each has weights of its own, or, as in torch, `copies` of the first one's."""
    return stack(x, decoder_layer, num_layers, norm, copies=copies)


def stack(x: Flow, layer: Layer, count: int, norm: Layer | None, *, copies: bool) -> Built:
    """Give `count` layers and a normalisation the names that they have in a stack."""
    weights: list[Weight] = []
    for index in range(count):
        x, own = layer.build(x)
        check_repeated(count, len(own), "num_layers")
        weights += [
            w._replace(
                name=f"layers.{index}.{w.name}",
                copy_of=f"layers.0.{w.name}" if copies and index else None,
                # Once for all of them.
                note=DRAWN_EACH if index == 1 and not copies and w is own[0] else w.note,
            )
            for w in own
        ]
    if norm is not None:
        x, own = norm.build(x)
        weights += [w._replace(name=f"norm.{w.name}") for w in own]
    return Built(x, weights)
