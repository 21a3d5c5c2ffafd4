"""Models within a model."""

from __future__ import annotations

from glorot_cli.arguments import Dims
from glorot_cli.dialects.layer import Built, InnerNetwork, Inputs, LayerError


def Sequential(x: Dims, *, layers: InnerNetwork) -> Built:
    """Apply layers one after the other."""
    built: Built = layers.join({"input": x}, ())
    return built


def Functional(
    xs: Inputs,
    *,
    layers: InnerNetwork,
    input_names: list[str] = ["input"],  # noqa: B006 (never changed)
    outputs: list[str] | None = None,
) -> Built:
    """Apply layers joined by their `inputs`; `input_names` are what they call the model's own."""
    if len(input_names) != len(xs):
        raise LayerError(f"expected the inputs {', '.join(input_names)}, found {len(xs)}")
    built: Built = layers.join(dict(zip(input_names, xs, strict=True)), outputs or ())
    return built
