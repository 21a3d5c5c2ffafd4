"""Convolutions: plain, transposed, depthwise and separable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from glorot_cli.arguments import Dims, Init, Margins, Size, Sizes
from glorot_cli.dialects.keras.core import ActivationName
from glorot_cli.dialects.layer import Built, LayerError, Weight
from glorot_cli.dialects.spatial import (
    DataFormat,
    join,
    slide,
    split_known,
    spread,
    stretch,
    whole_margins,
)
from glorot_cli.errors import shown

Padding = Literal["valid", "same"]
CausalPadding = Literal["valid", "same", "causal"]


def convolution(rank: int) -> Callable[..., Built]:
    """Make the convolution over `rank` spatial axes."""

    def Conv(
        x: Dims,
        *,
        filters: Size,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: CausalPadding = "valid",
        data_format: DataFormat = "channels_last",
        dilation_rate: Sizes = 1,
        groups: Size = 1,
        activation: ActivationName | None = None,
        use_bias: bool = True,
        kernel_initializer: Init = "glorot_uniform",
        bias_initializer: Init = "zeros",
    ) -> Built:
        """Convolve with a kernel (*kernel_size, in / groups, filters)."""
        space, channels = split_known(x, rank, data_format)
        if channels % groups:
            raise LayerError(f"{groups} groups do not divide {channels} input channels", "groups")
        if filters % groups:
            raise LayerError(f"{groups} groups do not divide {filters} filters", "groups")
        size = spread(kernel_size, rank, "kernel_size")
        check_steps(strides, dilation_rate, rank)
        space = slide(space, size, strides, padding, dilation_rate)
        kernel = (*size, channels // groups, filters)
        weights = [Weight("kernel", kernel, field(rank) + "IO", kernel_initializer, fused=groups)]
        if use_bias:
            weights.append(Weight("bias", (filters,), None, bias_initializer))
        return Built(join(space, filters, data_format), weights)

    if rank > 1:
        Conv.__annotations__["padding"] = Padding  # causal padding is over time
    return Conv


def transposed_convolution(rank: int) -> Callable[..., Built]:
    """Make the transposed convolution over `rank` spatial axes."""

    def ConvTranspose(
        x: Dims,
        *,
        filters: Size,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Padding = "valid",
        output_padding: Margins | None = None,
        data_format: DataFormat = "channels_last",
        dilation_rate: Sizes = 1,
        activation: ActivationName | None = None,
        use_bias: bool = True,
        kernel_initializer: Init = "glorot_uniform",
        bias_initializer: Init = "zeros",
    ) -> Built:
        """Convolve backwards with a kernel (*kernel_size, filters, in)."""
        space, channels = split_known(x, rank, data_format)
        size = spread(kernel_size, rank, "kernel_size")
        check_steps(strides, dilation_rate, rank)
        extra = check_output_padding(output_padding, strides, rank)
        space = stretch(space, size, strides, padding, extra, dilation_rate)
        kernel = (*size, filters, channels)
        weights = [Weight("kernel", kernel, field(rank) + "OI", kernel_initializer)]
        if use_bias:
            weights.append(Weight("bias", (filters,), None, bias_initializer))
        return Built(join(space, filters, data_format), weights)

    return ConvTranspose


def depthwise_convolution(rank: int) -> Callable[..., Built]:
    """Make the depthwise convolution over `rank` spatial axes."""

    def DepthwiseConv(
        x: Dims,
        *,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Padding = "valid",
        depth_multiplier: Size = 1,
        data_format: DataFormat = "channels_last",
        dilation_rate: Sizes = 1,
        activation: ActivationName | None = None,
        use_bias: bool = True,
        depthwise_initializer: Init = "glorot_uniform",
        bias_initializer: Init = "zeros",
    ) -> Built:
        """Convolve each channel by itself with a kernel (*kernel_size, in, multiplier)."""
        space, channels = split_known(x, rank, data_format)
        size = spread(kernel_size, rank, "kernel_size")
        space = slide(space, size, strides, padding, dilation_rate)
        kernel = (*size, channels, depth_multiplier)
        filters = channels * depth_multiplier
        weights = [Weight("kernel", kernel, field(rank) + "BO", depthwise_initializer)]
        if use_bias:
            weights.append(Weight("bias", (filters,), None, bias_initializer))
        return Built(join(space, filters, data_format), weights)

    return DepthwiseConv


def separable_convolution(rank: int) -> Callable[..., Built]:
    """Make the depthwise convolution over `rank` axes that a pointwise one follows."""

    def SeparableConv(
        x: Dims,
        *,
        filters: Size,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Padding = "valid",
        data_format: DataFormat = "channels_last",
        dilation_rate: Sizes = 1,
        depth_multiplier: Size = 1,
        activation: ActivationName | None = None,
        use_bias: bool = True,
        depthwise_initializer: Init = "glorot_uniform",
        pointwise_initializer: Init = "glorot_uniform",
        bias_initializer: Init = "zeros",
    ) -> Built:
        """Convolve with (*kernel_size, in, multiplier), then (1, ..., in * multiplier, out)."""
        space, channels = split_known(x, rank, data_format)
        size = spread(kernel_size, rank, "kernel_size")
        space = slide(space, size, strides, padding, dilation_rate)
        depthwise = (*size, channels, depth_multiplier)
        pointwise = (*(1,) * rank, channels * depth_multiplier, filters)
        weights = [
            Weight("depthwise_kernel", depthwise, field(rank) + "BO", depthwise_initializer),
            Weight("pointwise_kernel", pointwise, field(rank) + "IO", pointwise_initializer),
        ]
        if use_bias:
            weights.append(Weight("bias", (filters,), None, bias_initializer))
        return Built(join(space, filters, data_format), weights)

    return SeparableConv


def field(rank: int) -> str:
    """Return the letters of a receptive field's axes."""
    return "DHW"[-rank:]


def check_steps(strides: int | tuple[int, ...], rates: int | tuple[int, ...], rank: int) -> None:
    """Check that a window is not both moved and spread by more than one."""
    if max(spread(strides, rank, "strides")) > 1 and max(spread(rates, rank, "dilation_rate")) > 1:
        raise LayerError("strides and dilation_rate cannot both be above 1", "dilation_rate")


def check_output_padding(
    padding: int | tuple[int | tuple[int, ...], ...] | None,
    strides: int | tuple[int, ...],
    rank: int,
) -> tuple[int, ...] | None:
    """Check that less than a stride is added, and return the addition for each axis."""
    if padding is None:
        return None
    sizes = whole_margins(padding, rank, "output_padding")
    steps = spread(strides, rank, "strides")
    if any(size >= step for size, step in zip(sizes, steps, strict=True)):
        raise LayerError(
            f"expected less than the strides {shown(steps)}, found {shown(sizes)}", "output_padding"
        )
    return sizes
