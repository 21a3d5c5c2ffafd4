"""What layers and modules without weights make of a shape, and the shapes that they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from glorot_cli.dialects.keras import core, merging
from glorot_cli.dialects.layer import LayerError
from glorot_cli.dialects.torch import shaping

Shape = tuple[int | None, ...]


@pytest.mark.parametrize(
    ("module", "given", "arguments", "made"),
    [
        ("Identity", (3, 4), {}, (3, 4)),
        ("Elementwise", (3, 4), {"inplace": True}, (3, 4)),
        ("Hardtanh", (3, 4), {"min_val": -2.0}, (3, 4)),
        ("Dropout", (3, 4), {"p": 0.1}, (3, 4)),
        ("Flatten", (3, 4, 5), {}, (60,)),
        ("Flatten", (3, 4, 5), {"end_dim": 2}, (12, 5)),
        ("Flatten", (3, 4, 5), {"start_dim": -2}, (3, 20)),
        ("Flatten", (3, None, 5), {}, (None,)),
        ("Flatten", None, {}, None),
        ("Unflatten", (12, 5), {"dim": 1, "unflattened_size": (3, 4)}, (3, 4, 5)),
        ("Unflatten", (12, 5), {"dim": -2, "unflattened_size": (-1, 6)}, (2, 6, 5)),
        ("Unflatten", None, {"dim": 1, "unflattened_size": (5,)}, None),
        ("Upsample", (3, 4, 5), {"size": 7}, (3, 7, 7)),
        ("Upsample", (3, 4, None), {"scale_factor": (2, 3)}, (3, 8, None)),
        ("Upsample", None, {"scale_factor": 2}, None),
        ("Upsampling2d", (3, 4, 5), {"scale_factor": 2}, (3, 8, 10)),
        ("PixelShuffle", (12, 4, None), {"upscale_factor": 2}, (3, 8, None)),
        ("PixelShuffle", None, {"upscale_factor": 2}, None),
        ("PixelUnshuffle", (3, 8, 10), {"downscale_factor": 2}, (12, 4, 5)),
        ("PixelUnshuffle", (None, 8, None), {"downscale_factor": 2}, (None, 4, None)),
        ("PixelUnshuffle", None, {"downscale_factor": 2}, None),
        ("ChannelShuffle", (6, 4, 4), {"groups": 3}, (6, 4, 4)),
        ("ChannelShuffle", None, {"groups": 3}, None),
        ("GLU", (3, 8), {}, (3, 4)),
        ("GLU", (6, 8), {"dim": 1}, (3, 8)),
        ("GLU", (None, 8), {"dim": 1}, (None, 8)),
        ("GLU", None, {}, None),
    ],
)
def test_what_a_torch_module_makes_of_a_shape(
    module: str, given: Shape | None, arguments: dict[str, Any], made: Shape | None
) -> None:
    built = getattr(shaping, module)(given, **arguments)
    assert (built.output, built.weights) == (made, [])


@pytest.mark.parametrize(
    ("rank", "given", "margins", "made"),
    [
        (1, (3, 4), (1, 2), (3, 7)),
        (2, (3, 4, 5), (1, 2, 3, 4), (3, 11, 8)),  # the last axis first
        (2, (3, None, 5), 1, (3, None, 7)),
        (2, None, 1, None),
    ],
)
def test_what_torch_padding_makes_of_a_shape(
    rank: int, given: Shape | None, margins: Any, made: Shape | None
) -> None:
    assert shaping.padding(rank)(given, padding=margins).output == made
    assert shaping.constant_padding(rank)(given, padding=margins, value=1.0).output == made


@pytest.mark.parametrize(
    ("module", "given", "arguments", "message", "path"),
    [
        ("Hardtanh", (3,), {"min_val": 1.0},
         "expected min_val below max_val, found 1.0 and 1.0", ("min_val",)),
        ("Dropout", (3,), {"p": 1.5}, "expected p from 0 to 1, found 1.5", ("p",)),
        ("Flatten", (3, 4), {"start_dim": 0},
         "cannot flatten axes 0 to -1 of [3, 4]", ("start_dim",)),
        ("Flatten", (3, 4), {"start_dim": 2, "end_dim": 1},
         "cannot flatten axes 2 to 1 of [3, 4]", ("start_dim",)),
        ("Unflatten", (12,), {"dim": 2, "unflattened_size": 3},
         "axis 2 is not an axis of [12]", ("dim",)),
        ("Unflatten", (12,), {"dim": 1, "unflattened_size": (5, -1)},
         "12 does not part into [5, -1]", ("unflattened_size",)),
        ("Unflatten", (12,), {"dim": 1, "unflattened_size": (3, 2)},
         "12 does not part into [3, 2]", ("unflattened_size",)),
        ("Upsample", (3, 4), {}, "expected size or scale_factor", ("size",)),
        ("Upsample", (3, 4), {"size": 2, "scale_factor": 2},
         "expected size or scale_factor", ("size",)),
        ("PixelShuffle", (6, 4, 4), {"upscale_factor": 2},
         "expected channels that 4 divides, found [6, 4, 4]", ()),
        ("PixelUnshuffle", (6, 4, 5), {"downscale_factor": 2},
         "expected space that 2 divides, found [6, 4, 5]", ()),
        ("ChannelShuffle", (5, 4), {"groups": 3}, "3 groups do not divide 5 channels", ("groups",)),
        ("GLU", (3, 5), {}, "expected an axis of even size in [3, 5], found -1", ("dim",)),
    ],
)  # fmt: skip
def test_what_a_torch_module_refuses(
    module: str, given: Shape, arguments: dict[str, Any], message: str, path: tuple[str, ...]
) -> None:
    with pytest.raises(LayerError) as caught:
        getattr(shaping, module)(given, **arguments)
    assert (str(caught.value), caught.value.path) == (message, path)


@pytest.mark.parametrize(
    ("layer", "arguments"),
    [
        (core.Activation, {"activation": "relu"}),
        (core.ReLU, {"max_value": 6.0}),
        (core.LeakyReLU, {}),
        (core.ELU, {}),
        (core.Softmax, {}),
        (core.Dropout, {"rate": 0.5}),
        (core.SpatialDropout1D, {"rate": 0.5}),
        (core.spatial_dropout(1), {"rate": 0.5}),
        (core.GaussianDropout, {"rate": 0.5}),
        (core.GaussianNoise, {"stddev": 0.5}),
        (core.ActivityRegularization, {"l1": 0.1}),
        (core.Masking, {}),
        (core.Identity, {}),
        (core.Rescaling, {"scale": 2.0}),
    ],
)
def test_keras_layers_that_keep_the_shape(layer: Any, arguments: dict[str, Any]) -> None:
    built = layer((None, 4), **arguments)
    assert (built.output, built.weights) == ((None, 4), [])


@pytest.mark.parametrize(
    ("layer", "arguments", "message", "path"),
    [
        (core.ReLU, {"threshold": -1.0}, "expected a number of at least 0, found -1.0",
         ("threshold",)),
        (core.LeakyReLU, {"negative_slope": -1.0}, "expected a number of at least 0, found -1.0",
         ("negative_slope",)),
        (core.PReLU, {"shared_axes": (1, 3)}, "expected axes from 1 to 2, found [1, 3]",
         ("shared_axes",)),
    ],
)  # fmt: skip
def test_what_a_keras_layer_refuses(
    layer: Any, arguments: dict[str, Any], message: str, path: tuple[str, ...]
) -> None:
    with pytest.raises(LayerError) as caught:
        layer((5, 4), **arguments)
    assert (str(caught.value), caught.value.path) == (message, path)


@pytest.mark.parametrize(
    ("layer", "given", "arguments", "made"),
    [
        (merging.Merge, ((3, 4), (3, 4), (3, 4)), {}, (3, 4)),
        (merging.Merge, ((3, 4), (4,)), {}, (3, 4)),
        (merging.Merge, ((3, 1), (1, 4)), {}, (3, 4)),
        (merging.Merge, ((None, 4), (3, 4)), {}, (None, 4)),
        (merging.Subtract, ((3, 4), (3, 4)), {}, (3, 4)),
        (merging.Concatenate, ((3, 4), (3, 5)), {}, (3, 9)),
        (merging.Concatenate, ((3, 4), (2, 4)), {"axis": 1}, (5, 4)),
        (merging.Concatenate, ((3, 4), (None, 4)), {"axis": 1}, (None, 4)),
        (merging.Concatenate, ((3, 4), (3, 4)), {"axis": 0}, (3, 4)),  # along the batch
        (merging.Dot, ((3, 4), (5, 4)), {"axes": 2}, (3, 5)),
        (merging.Dot, ((4,), (4,)), {"axes": 1}, (1,)),
        (merging.Dot, ((3, 4), (4, 5)), {"axes": (2, 1)}, (3, 5)),
    ],
)
def test_what_joined_inputs_come_to(
    layer: Any, given: tuple[Shape, ...], arguments: dict[str, Any], made: Shape
) -> None:
    built = layer(given, **arguments)
    assert (built.output, built.weights) == (made, [])


@pytest.mark.parametrize(
    ("layer", "given", "arguments", "message"),
    [
        (merging.Merge, ((3, 4), (3, 5)), {},
         "inputs of shapes [3, 4] and [3, 5] do not broadcast"),
        (merging.Subtract, ((3,), (3,), (3,)), {}, "expected two inputs, found 3"),
        (merging.Concatenate, ((3, 4), (2, 4)), {}, "shapes [3, 4], [2, 4] differ beside axis -1"),
        (merging.Dot, ((3,),), {"axes": 1}, "expected two inputs, found 1"),
        (merging.Dot, ((3,), (3,)), {"axes": (1, 1, 1)},
         "expected one axis or two, found [1, 1, 1]"),
        (merging.Dot, ((3,), (4,)), {"axes": 1}, "axes of sizes [3, 4] have no dot product"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_join(
    layer: Any, given: tuple[Shape, ...], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(LayerError) as caught:
        layer(given, **arguments)
    assert str(caught.value) == message
