"""Layers that hold another layer."""

from __future__ import annotations

from typing import Literal

from glorot_cli.arguments import Dims, InitializerChoice, Size
from glorot_cli.dialects.layer import Built, InnerLayer, Layer, LayerError, Weight, within
from glorot_cli.errors import shown

MergeMode = Literal["concat", "sum", "ave", "mul"]


def TimeDistributed(x: Dims, *, layer: InnerLayer) -> Built:
    """Apply a layer to each step."""
    if len(x) < 2:
        raise LayerError(f"expected an input of (steps, features), found shape {shown(x)}")
    output, weights = layer.build(x[1:])
    return Built((x[0], *output), within(weights, layer.name, "layer"))


def Bidirectional(
    x: Dims,
    *,
    layer: InnerLayer,
    merge_mode: MergeMode | None = "concat",
    backward_layer: InnerLayer | None = None,
) -> Built:
    """Run a recurrent layer forwards and another backwards; of two outputs, the first is passed."""
    behind: Layer = layer if backward_layer is None else backward_layer
    for key, each in (("layer", layer), ("backward_layer", behind)):
        if "go_backwards" not in each.arguments:
            raise LayerError(f"expected a recurrent layer, found {each.entry.type}", key)
    _check_alike(layer, behind, backward_layer is not None)
    output, forward = layer.build(x)
    output_behind, backward = behind.build(x)
    if output != output_behind:
        raise LayerError(
            f"forwards gives shape {shown(output)}, backwards {shown(output_behind)}",
            "backward_layer",
        )
    if merge_mode == "concat":
        size = output[-1]
        output = (*output[:-1], None if size is None else 2 * size)
    ahead = f"forward_{layer.name.removeprefix('forward_')}"
    back = behind.name
    if backward_layer is None:
        back = f"backward_{layer.name.removeprefix('backward_')}"
    return Built(
        output,
        [
            *within(forward, ahead, "forward_layer"),
            *within(backward, back, "backward_layer"),
        ],
    )


def _check_alike(forward: Layer, backward: Layer, given: bool) -> None:
    """Check that two recurrent layers differ in their direction only."""
    if given and forward.arguments["go_backwards"] == backward.arguments["go_backwards"]:
        raise LayerError("of the two layers, one must go backwards", "backward_layer")
    for key in ("return_sequences", "return_state", "stateful"):
        if forward.arguments[key] != backward.arguments[key]:
            raise LayerError(f"the two layers differ in {key}", "backward_layer")


def SpectralNormalization(x: Dims, *, layer: InnerLayer, power_iterations: Size = 1) -> Built:
    """Divide a layer's kernel by its largest singular value (Miyato et al., 2018)."""
    output, weights = layer.build(x)
    kernel = next((w for w in weights if w.name in ("kernel", "embeddings")), None)
    if kernel is None:
        raise LayerError(f"{layer.entry.type} has neither a kernel nor embeddings", "layer")
    choice = InitializerChoice({"name": "truncated_normal", "stddev": 0.02}, (), given=False)
    vector = Weight(
        "vector_u", (1, kernel.shape[-1]), "IO", choice, trainable=False, dtype=kernel.dtype,
        kind="SpectralNormalization vector_u", path=kernel.path,
    )  # fmt: skip
    # Keras keeps the kernel as the wrapper's own variable too, and stores it in both places.
    held = within([kernel], layer.name, "layer")[0]._replace(also="")
    rest = within([weight for weight in weights if weight is not kernel], layer.name, "layer")
    return Built(output, [held, vector, *rest])
