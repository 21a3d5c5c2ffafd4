"""Attention layers; kernels keep their heads as an axis."""

from __future__ import annotations

from typing import Literal

from glorot_cli.arguments import Axes, Dims, Init, InitializerChoice, Number, Seed, Size, Sizes
from glorot_cli.dialects.layer import (
    DEFAULT_GLOROT,
    DEFAULT_ONES,
    Built,
    Inputs,
    LayerError,
    Weight,
)
from glorot_cli.dialects.spatial import check_rate, known, spread
from glorot_cli.errors import shown
from glorot_cli.fans import Shape


def MultiHeadAttention(
    xs: Inputs,
    *,
    num_heads: Size,
    key_dim: Size,
    value_dim: Size | None = None,
    dropout: Number = 0.0,
    use_bias: bool = True,
    output_shape: Sizes | None = None,
    attention_axes: Axes | None = None,
    use_gate: bool = False,
    kernel_initializer: Init = "glorot_uniform",
    bias_initializer: Init = "zeros",
    seed: Seed | None = None,
) -> Built:
    """Attend from the first input (the query) to the second (the value), or to itself.

    A third input is the key. Query and key kernels are (d, heads, key), value (d, heads, value),
    output (heads, value, d).
    """
    check_rate(dropout, "dropout")
    query, value, key = _query_value_key(xs)
    value_dim = value_dim or key_dim
    outputs = (known(query, -1),) if output_shape is None else spread(output_shape, 1, None)
    sides = {
        "query": (known(query, -1), num_heads, key_dim),
        "key": (known(key, -1), num_heads, key_dim),
        "gate": (known(query, -1), num_heads, value_dim),
        "value": (known(value, -1), num_heads, value_dim),
    }
    if not use_gate:
        del sides["gate"]
    weights = []
    for name, shape in sides.items():
        # Keras keeps a public property for each but the gate.
        owner = "_gate_dense" if name == "gate" else f"{name}_dense"
        weights += _projection(name, shape, "IOO", owner, kernel_initializer, use_bias
                               and bias_initializer)  # fmt: skip
    weights += _projection(
        "attention_output",
        (num_heads, value_dim, *outputs),
        "II" + "O" * len(outputs),
        "output_dense",
        kernel_initializer,
        use_bias and bias_initializer,
    )
    return Built((*query[:-1], *outputs), weights)


def GroupQueryAttention(
    xs: Inputs,
    *,
    head_dim: Size,
    num_query_heads: Size,
    num_key_value_heads: Size,
    dropout: Number = 0.0,
    use_bias: bool = True,
    sliding_window: Size | None = None,
    use_gate: bool = False,
    kernel_initializer: Init = "glorot_uniform",
    bias_initializer: Init = "zeros",
    seed: Seed | None = None,
) -> Built:
    """Attend as MultiHeadAttention does, with fewer heads for keys and values."""
    check_rate(dropout, "dropout")
    if num_query_heads % num_key_value_heads:
        raise LayerError(
            f"{num_key_value_heads} heads of keys do not divide {num_query_heads} heads of queries",
            "num_key_value_heads",
        )
    query, value, key = _query_value_key(xs)
    d = known(query, -1)
    if value[-1] != d:
        raise LayerError(
            f"query and value must end in one size, found {shown(query)}, {shown(value)}"
        )
    sides = {
        "query": (d, num_query_heads, head_dim),
        "key": (known(key, -1), num_key_value_heads, head_dim),
        "gate": (d, num_query_heads, head_dim),
        "value": (known(value, -1), num_key_value_heads, head_dim),
    }
    if not use_gate:
        del sides["gate"]
    weights = []
    for name, shape in sides.items():
        weights += _projection(name, shape, "IOO", f"_{name}_dense", kernel_initializer,
                               use_bias and bias_initializer)  # fmt: skip
    weights += _projection("attention_output", (num_query_heads, head_dim, d), "IIO",
                           "_output_dense", kernel_initializer, use_bias
                           and bias_initializer)  # fmt: skip
    return Built(query, weights)


def Attention(
    xs: Inputs,
    *,
    use_scale: bool = False,
    score_mode: Literal["dot", "concat"] = "dot",
    dropout: Number = 0.0,
    seed: Seed | None = None,
) -> Built:
    """Attend by dot products, with at most two learned scalars."""
    query, value = _two(xs)
    weights = []
    if use_scale:
        weights.append(Weight("scale", (), None, DEFAULT_ONES))
    if score_mode == "concat":
        weights.append(Weight("concat_score_weight", (), None, DEFAULT_ONES))
    return Built((*query[:-1], value[-1]), weights)


def AdditiveAttention(xs: Inputs, *, use_scale: bool = True, dropout: Number = 0.0) -> Built:
    """Attend by sums, with a learned scale for each feature (Bahdanau et al., 2015)."""
    query, value = _two(xs)
    weights = []
    if use_scale:
        weights.append(Weight("scale", (known(query, -1),), None, DEFAULT_GLOROT))
    return Built((*query[:-1], value[-1]), weights)


def _projection(
    name: str, shape: Shape, roles: str, owner: str, kernel: InitializerChoice, bias: object
) -> list[Weight]:
    weights = [Weight(f"{name}/kernel", shape, roles, kernel, owner=owner)]
    if isinstance(bias, InitializerChoice):
        kept = shape[roles.index("O") :]
        weights.append(
            Weight(f"{name}/bias", kept, "O" * len(kept) if len(kept) > 1 else None, bias,
                   owner=owner)
        )  # fmt: skip
    return weights


def _query_value_key(xs: Inputs) -> tuple[Dims, Dims, Dims]:
    if not 1 <= len(xs) <= 3 or any(len(x) < 2 for x in xs):
        raise LayerError(
            "attention needs one to three inputs (query, value, key) of (steps, features), "
            f"found {', '.join(map(shown, xs))}"
        )
    query = xs[0]
    value = xs[1] if len(xs) > 1 else query
    return query, value, xs[2] if len(xs) > 2 else value


def _two(xs: Inputs) -> tuple[Dims, Dims]:
    if not 2 <= len(xs) <= 3 or any(len(x) < 2 for x in xs):
        raise LayerError(
            "attention needs two or three inputs (query, value, key) of (steps, features), "
            f"found {', '.join(map(shown, xs))}"
        )
    return xs[0], xs[1]
