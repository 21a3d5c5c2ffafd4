"""Attention and the layers of a transformer."""

from __future__ import annotations

from typing import Literal

from glorot_cli.arguments import Number, Size
from glorot_cli.dialects.layer import Built, Flow, LayerError, Weight, check_repeated
from glorot_cli.dialects.torch.linear import Linear, default, expect
from glorot_cli.dialects.torch.normalization import LayerNorm

ActivationName = Literal["relu", "gelu"]
DRAWN_EACH = (
    "torch copies what is no matrix from the first layer; here each is drawn: "
    "copies: true makes copies"
)


def MultiheadAttention(
    x: Flow,
    *,
    embed_dim: Size,
    num_heads: Size,
    dropout: Number = 0.0,
    bias: bool = True,
    add_bias_kv: bool = False,
    add_zero_attn: bool = False,
    kdim: Size | None = None,
    vdim: Size | None = None,
    batch_first: bool = False,
) -> Built:
    """Attend with query, key and value packed in one weight (3 d, d), unless their sizes differ."""
    if embed_dim % num_heads:
        raise LayerError(f"{num_heads} heads do not divide {embed_dim}", "num_heads")
    expect(x, -1, embed_dim, "embed_dim")
    d, law = embed_dim, default("xavier_uniform")
    if (kdim or d, vdim or d) == (d, d):
        weights = [Weight("in_proj_weight", (3 * d, d), "OI", law, fused=3)]
    else:
        sizes = {"q": d, "k": kdim or d, "v": vdim or d}
        weights = [Weight(f"{n}_proj_weight", (d, size), "OI", law) for n, size in sizes.items()]
    if bias:
        weights.append(Weight("in_proj_bias", (3 * d,), None, default("zeros")))
    if add_bias_kv:
        weights += [
            Weight(name, (1, 1, d), "BBO", default("xavier_normal"))
            for name in ("bias_k", "bias_v")
        ]
    out = Linear(None, in_features=d, out_features=d, bias=bias).weights
    weights += [
        w._replace(name=f"out_proj.{w.name}", initializer=default("zeros"))
        if w.name == "bias"
        else w._replace(name=f"out_proj.{w.name}")
        for w in out
    ]
    return Built(x, weights)


def TransformerEncoderLayer(
    x: Flow,
    *,
    d_model: Size,
    nhead: Size,
    dim_feedforward: Size = 2048,
    dropout: Number = 0.1,
    activation: ActivationName = "relu",
    layer_norm_eps: Number = 1e-05,
    batch_first: bool = False,
    norm_first: bool = False,
    bias: bool = True,
) -> Built:
    """Attend to itself, then pass through two linear maps."""
    return _transformer(x, ("self_attn",), d_model, nhead, dim_feedforward, bias)


def TransformerDecoderLayer(
    x: Flow,
    *,
    d_model: Size,
    nhead: Size,
    dim_feedforward: Size = 2048,
    dropout: Number = 0.1,
    activation: ActivationName = "relu",
    layer_norm_eps: Number = 1e-05,
    batch_first: bool = False,
    norm_first: bool = False,
    bias: bool = True,
) -> Built:
    """Attend to itself and to a memory, then pass through two linear maps."""
    attentions = ("self_attn", "multihead_attn")
    return _transformer(x, attentions, d_model, nhead, dim_feedforward, bias)


def Transformer(
    x: Flow,
    *,
    d_model: Size = 512,
    nhead: Size = 8,
    num_encoder_layers: Size = 6,
    num_decoder_layers: Size = 6,
    dim_feedforward: Size = 2048,
    dropout: Number = 0.1,
    activation: ActivationName = "relu",
    layer_norm_eps: Number = 1e-05,
    batch_first: bool = False,
    norm_first: bool = False,
    bias: bool = True,
    copies: bool = False,
) -> Built:
    """Stack encoder layers, then decoder layers; all matrices are drawn by xavier_uniform.

    With `copies` the rest of a layer is that of the first, as torch copies it.
    """
    stacks = {
        "encoder": (num_encoder_layers, ("self_attn",)),
        "decoder": (num_decoder_layers, ("self_attn", "multihead_attn")),
    }
    norm = LayerNorm(None, normalized_shape=d_model, bias=bias).weights
    weights: list[Weight] = []
    for stack, (count, attentions) in stacks.items():
        layer = _transformer(x, attentions, d_model, nhead, dim_feedforward, bias).weights
        check_repeated(count, len(layer), f"num_{stack}_layers")
        parts = {f"layers.{index}": layer for index in range(count)} | {"norm": norm}
        for part, own in parts.items():
            drawn = next((w for w in own if w.name.endswith("linear1.bias")), None)
            first = None if part in ("layers.0", "norm") else f"{stack}.layers.0"
            weights += [
                w._replace(
                    name=f"{stack}.{part}.{w.name}",
                    copy_of=f"{first}.{w.name}" if copies and first and len(w.shape) < 2 else None,
                    note="" if copies or part != "layers.1" or w is not drawn else DRAWN_EACH,
                )
                for w in own
            ]
    law = default("xavier_uniform")
    return Built(x, [w._replace(initializer=law) if len(w.shape) > 1 else w for w in weights])


def _transformer(
    x: Flow, attentions: tuple[str, ...], d: int, heads: int, hidden: int, bias: bool
) -> Built:
    if d % heads:
        raise LayerError(f"{heads} heads do not divide {d}", "nhead")
    parts = {
        **{
            name: MultiheadAttention(x, embed_dim=d, num_heads=heads, bias=bias)
            for name in attentions
        },
        "linear1": Linear(None, in_features=d, out_features=hidden, bias=bias),
        "linear2": Linear(None, in_features=hidden, out_features=d, bias=bias),
        **{
            f"norm{index}": LayerNorm(None, normalized_shape=d, bias=bias)
            for index in range(1, len(attentions) + 2)
        },
    }
    return Built(
        x,
        [
            weight._replace(name=f"{name}.{weight.name}")
            for name, part in parts.items()
            for weight in part.weights
        ],
    )
