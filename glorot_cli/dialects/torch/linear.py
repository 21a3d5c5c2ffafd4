"""Linear maps and embeddings, and torch's default initialisers for them."""

from __future__ import annotations

import math
from typing import Literal

from glorot_cli.arguments import InitializerChoice, Number, Size
from glorot_cli.dialects.layer import Built, Flow, LayerError, Weight
from glorot_cli.errors import shown
from glorot_cli.fans import Shape


def default(name: str, **arguments: object) -> InitializerChoice:
    """Name an initialiser that no key of the spec has named."""
    return InitializerChoice({"name": name, **arguments}, (), given=False)


def kaiming() -> InitializerChoice:
    """Return the default of linear and convolutional weights."""
    return default("kaiming_uniform", a=math.sqrt(5))


def within_one_over_root(size: int) -> InitializerChoice:
    """Return the uniform law on +-1 / sqrt(size)."""
    bound = 1 / math.sqrt(size)
    return default("uniform", a=-bound, b=bound)


def expect(x: Flow, axis: int, size: int, key: str) -> None:
    """Check the size of an input's axis against an argument, where the input is known."""
    if x is not None and (len(x) < abs(axis) or x[axis] not in (None, size)):
        raise LayerError(f"expected {size}, as {key} says, found an input of shape {shown(x)}", key)


def flowing(x: Flow, axis: int, key: str) -> int:
    """Return the size of an input's axis, which stands for an argument that is not given."""
    size = x[axis] if x else None
    if size is None:
        raise LayerError(f"no shape that is known flows in here; give {key}, or input_shape")
    return size


def Linear(
    x: Flow, *, in_features: Size | None = None, out_features: Size, bias: bool = True
) -> Built:
    """Multiply by a weight (out, in); what flows in says `in_features` where none is given."""
    if in_features is None:
        in_features = flowing(x, -1, "in_features")
    expect(x, -1, in_features, "in_features")
    weights = [Weight("weight", (out_features, in_features), "OI", kaiming())]
    if bias:
        weights.append(Weight("bias", (out_features,), None, within_one_over_root(in_features)))
    return Built(None if x is None else (*x[:-1], out_features), weights)


def Bilinear(
    x: Flow, *, in1_features: Size, in2_features: Size, out_features: Size, bias: bool = True
) -> Built:
    """Multiply two inputs by a weight (out, in1, in2)."""
    expect(x, -1, in1_features, "in1_features")
    law = within_one_over_root(in1_features)
    shape = (out_features, in1_features, in2_features)
    weights = [Weight("weight", shape, "OII", law)]
    if bias:
        weights.append(Weight("bias", (out_features,), None, law))
    return Built(None if x is None else (*x[:-1], out_features), weights)


def Embedding(
    x: Flow,
    *,
    num_embeddings: Size,
    embedding_dim: Size,
    padding_idx: int | None = None,
    max_norm: Number | None = None,
    norm_type: Number = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Built:
    """Look up rows of a table (vocabulary, dim); the row of `padding_idx` is 0."""
    weight = _table((num_embeddings, embedding_dim), padding_idx)
    return Built(None if x is None else (*x, embedding_dim), [weight])


def EmbeddingBag(
    x: Flow,
    *,
    num_embeddings: Size,
    embedding_dim: Size,
    max_norm: Number | None = None,
    norm_type: Number = 2.0,
    scale_grad_by_freq: bool = False,
    mode: Literal["sum", "mean", "max"] = "mean",
    sparse: bool = False,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Built:
    """Look up rows of a table (vocabulary, dim) and sum, average or compare them."""
    weight = _table((num_embeddings, embedding_dim), padding_idx)
    return Built(None if x is None else (embedding_dim,), [weight])


def _table(shape: Shape, padding_idx: int | None) -> Weight:
    patch = None
    if padding_idx is not None:
        if not -shape[0] <= padding_idx < shape[0]:
            raise LayerError(f"no row {padding_idx} in a table of {shape[0]}", "padding_idx")
        start = padding_idx % shape[0] * shape[1]
        patch = (start, start + shape[1], 0.0)
    return Weight("weight", shape, "IO", default("normal"), patch=patch)
