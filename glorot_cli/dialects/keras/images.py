"""Layers that change images in training, or their size; none of them has weights."""

from __future__ import annotations

from typing import Literal

from glorot_cli.arguments import Dims, Number, Seed, Size
from glorot_cli.dialects.layer import Built
from glorot_cli.dialects.spatial import DataFormat, join, split

Factor = Number | list[Number]
FillMode = Literal["reflect", "constant", "wrap", "nearest"]
Interpolation = Literal["nearest", "bilinear"]


def RandomFlip(
    x: Dims,
    *,
    mode: Literal["horizontal", "vertical", "horizontal_and_vertical"] = "horizontal_and_vertical",
    seed: Seed | None = None,
    data_format: DataFormat = "channels_last",
) -> Built:
    """Flip images in training."""
    return Built(x, [])


def RandomRotation(
    x: Dims,
    *,
    factor: Factor,
    fill_mode: FillMode = "reflect",
    interpolation: Interpolation = "bilinear",
    seed: Seed | None = None,
    fill_value: Number = 0.0,
    data_format: DataFormat = "channels_last",
) -> Built:
    """Rotate images in training."""
    return Built(x, [])


def RandomTranslation(
    x: Dims,
    *,
    height_factor: Factor,
    width_factor: Factor,
    fill_mode: FillMode = "reflect",
    interpolation: Interpolation = "bilinear",
    seed: Seed | None = None,
    fill_value: Number = 0.0,
    data_format: DataFormat = "channels_last",
) -> Built:
    """Move images in training."""
    return Built(x, [])


def RandomZoom(
    x: Dims,
    *,
    height_factor: Factor,
    width_factor: Factor | None = None,
    fill_mode: FillMode = "reflect",
    interpolation: Interpolation = "bilinear",
    seed: Seed | None = None,
    fill_value: Number = 0.0,
    data_format: DataFormat = "channels_last",
) -> Built:
    """Zoom into images in training."""
    return Built(x, [])


def RandomColor(
    x: Dims,
    *,
    factor: Factor,
    value_range: list[Number] = [0.0, 255.0],  # noqa: B006 (never changed)
    seed: Seed | None = None,
) -> Built:
    """Change the contrast or the brightness of images in training."""
    return Built(x, [])


def CenterCrop(
    x: Dims, *, height: Size, width: Size, data_format: DataFormat = "channels_last"
) -> Built:
    """Cut out the middle."""
    return _resized(x, height, width, data_format)


def RandomCrop(
    x: Dims,
    *,
    height: Size,
    width: Size,
    seed: Seed | None = None,
    data_format: DataFormat = "channels_last",
) -> Built:
    """Cut out a part in training, the middle otherwise."""
    return _resized(x, height, width, data_format)


def Resizing(
    x: Dims,
    *,
    height: Size,
    width: Size,
    interpolation: Literal[
        "nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area"
    ] = "bilinear",
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: Literal["constant"] = "constant",
    fill_value: Number = 0.0,
    antialias: bool = False,
    data_format: DataFormat = "channels_last",
) -> Built:
    """Scale images to a size."""
    return _resized(x, height, width, data_format)


def _resized(x: Dims, height: int, width: int, data_format: DataFormat) -> Built:
    _, channels = split(x, 2, data_format)
    return Built(join((height, width), channels, data_format), [])
