"""Layers that change shapes and have no weights: pooling, padding, reshaping."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from glorot_cli.arguments import Axes, Dims, Margins, Size, Sizes
from glorot_cli.dialects.layer import Built, LayerError
from glorot_cli.dialects.spatial import DataFormat, join, margins, slide, split, spread
from glorot_cli.errors import shown

Padding = Literal["valid", "same"]


def Flatten(x: Dims, *, data_format: DataFormat = "channels_last") -> Built:
    """Join all axes into one."""
    return Built((None if None in x else math.prod(n for n in x if n is not None),), [])


def Reshape(x: Dims, *, target_shape: Axes) -> Built:
    """Give the elements another shape; one size may be -1."""
    target = (target_shape,) if isinstance(target_shape, int) else target_shape
    sizes = [size for size in target if size != -1]
    if len(sizes) < len(target) - 1 or any(size < 1 for size in sizes):
        raise LayerError(
            f"expected positive sizes and at most one -1, found {shown(target)}", "target_shape"
        )
    if None in x:
        return Built(tuple(None if size == -1 else size for size in target), [])
    total, given = math.prod(n for n in x if n is not None), math.prod(sizes)
    if total % given or (given != total and len(sizes) == len(target)):
        raise LayerError(
            f"{total} elements of shape {shown(x)} do not fit into {shown(target)}", "target_shape"
        )
    return Built(tuple(total // given if size == -1 else size for size in target), [])


def max_pooling(rank: int) -> Callable[..., Built]:
    """Make the maximum pooling over `rank` spatial axes."""

    def MaxPooling(
        x: Dims,
        *,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: Padding = "valid",
        data_format: DataFormat = "channels_last",
    ) -> Built:
        """Keep the largest value of each window."""
        return _pooled(x, rank, pool_size, strides, padding, data_format)

    return MaxPooling


def average_pooling(rank: int) -> Callable[..., Built]:
    """Make the average pooling over `rank` spatial axes."""

    def AveragePooling(
        x: Dims,
        *,
        pool_size: Sizes,
        strides: Sizes | None = None,
        padding: Padding = "valid",
        data_format: DataFormat = "channels_last",
    ) -> Built:
        """Keep the mean of each window."""
        return _pooled(x, rank, pool_size, strides, padding, data_format)

    return AveragePooling


def _pooled(
    x: Dims,
    rank: int,
    pool_size: int | tuple[int, ...],
    strides: int | tuple[int, ...] | None,
    padding: Padding,
    data_format: DataFormat,
) -> Built:
    space, channels = split(x, rank, data_format)
    size = spread(pool_size, rank, "pool_size")
    space = slide(space, size, size if strides is None else strides, padding)
    return Built(join(space, channels, data_format), [])


def global_pooling(rank: int) -> Callable[..., Built]:
    """Make the maximum or average over all of `rank` spatial axes."""

    def GlobalPooling(
        x: Dims, *, data_format: DataFormat = "channels_last", keepdims: bool = False
    ) -> Built:
        """Keep one value of each channel."""
        _, channels = split(x, rank, data_format)
        return Built(join((1,) * rank if keepdims else (), channels, data_format), [])

    return GlobalPooling


def adaptive_pooling(rank: int) -> Callable[..., Built]:
    """Make the pooling over `rank` spatial axes to a fixed size."""

    def AdaptivePooling(
        x: Dims, *, output_size: Sizes, data_format: DataFormat = "channels_last"
    ) -> Built:
        """Keep one value of each of `output_size` windows."""
        _, channels = split(x, rank, data_format)
        return Built(join(spread(output_size, rank, "output_size"), channels, data_format), [])

    return AdaptivePooling


def zero_padding(rank: int) -> Callable[..., Built]:
    """Make the padding of `rank` spatial axes with zeros."""

    def ZeroPadding(
        x: Dims, *, padding: Margins = 1, data_format: DataFormat = "channels_last"
    ) -> Built:
        """Add zeros before and after."""
        space, channels = split(x, rank, data_format)
        sides = margins(padding, rank, "padding")
        padded = (
            None if n is None else n + sum(side) for n, side in zip(space, sides, strict=True)
        )
        return Built(join(tuple(padded), channels, data_format), [])

    return ZeroPadding


def Cropping1D(x: Dims, *, cropping: Margins = 1) -> Built:
    """Cut off before and after."""
    return _cropped(x, 1, cropping, "channels_last")


def cropping(rank: int, default: Margins) -> Callable[..., Built]:
    """Make the cropping of `rank` spatial axes, two or more."""

    def Cropping(
        x: Dims, *, cropping: Margins = default, data_format: DataFormat = "channels_last"
    ) -> Built:
        """Cut off before and after."""
        return _cropped(x, rank, cropping, data_format)

    return Cropping


def _cropped(x: Dims, rank: int, cropping: Margins, data_format: DataFormat) -> Built:
    space, channels = split(x, rank, data_format)
    cropped = []
    for n, side in zip(space, margins(cropping, rank, "cropping"), strict=True):
        if n is not None and n <= sum(side):
            raise LayerError(f"nothing is left of size {n} cut by {sum(side)}", "cropping")
        cropped.append(None if n is None else n - sum(side))
    return Built(join(tuple(cropped), channels, data_format), [])


def UpSampling1D(x: Dims, *, size: Size = 2) -> Built:
    """Repeat steps."""
    return _grown(x, 1, size, "channels_last")


def UpSampling2D(
    x: Dims,
    *,
    size: Sizes = 2,
    data_format: DataFormat = "channels_last",
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"] = "nearest",
) -> Built:
    """Repeat rows and columns."""
    return _grown(x, 2, size, data_format)


def UpSampling3D(x: Dims, *, size: Sizes = 2, data_format: DataFormat = "channels_last") -> Built:
    """Repeat planes, rows and columns."""
    return _grown(x, 3, size, data_format)


def _grown(x: Dims, rank: int, size: int | tuple[int, ...], data_format: DataFormat) -> Built:
    space, channels = split(x, rank, data_format)
    factors = spread(size, rank, "size")
    grown = (None if n is None else n * factor for n, factor in zip(space, factors, strict=True))
    return Built(join(tuple(grown), channels, data_format), [])


def Permute(x: Dims, *, dims: Axes) -> Built:
    """Change the order of the axes, which count from 1."""
    order = (dims,) if isinstance(dims, int) else dims
    if sorted(order) != list(range(1, len(x) + 1)):
        raise LayerError(f"expected an order of 1 to {len(x)}, found {shown(order)}", "dims")
    return Built(tuple(x[axis - 1] for axis in order), [])


def RepeatVector(x: Dims, *, n: Size) -> Built:
    """Repeat a vector as steps."""
    if len(x) != 1:
        raise LayerError(f"expected a vector, found shape {shown(x)}")
    return Built((n, *x), [])
