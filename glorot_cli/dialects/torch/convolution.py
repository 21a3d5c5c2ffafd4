"""Convolutions and pooling; shapes are (channels, *space)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from glorot_cli.arguments import Margins, Number, Size, Sizes
from glorot_cli.dialects.layer import Built, Flow, LayerError, Weight
from glorot_cli.dialects.spatial import spread, whole_margins
from glorot_cli.dialects.torch.linear import expect, kaiming, within_one_over_root
from glorot_cli.errors import shown

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


def convolution(rank: int) -> Callable[..., Built]:
    """Make the convolution over `rank` spatial axes."""

    def Conv(
        x: Flow,
        *,
        in_channels: Size,
        out_channels: Size,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Margins | Literal["valid", "same"] = 0,
        dilation: Sizes = 1,
        groups: Size = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
    ) -> Built:
        """Convolve with a weight (out, in / groups, *kernel_size)."""
        _check_groups(in_channels, out_channels, groups)
        size = spread(kernel_size, rank, "kernel_size")
        shape = (out_channels, in_channels // groups, *size)
        weights = [Weight("weight", shape, "OI" + "DHW"[-rank:], kaiming(), fused=groups)]
        fan_in = in_channels // groups
        for n in size:
            fan_in *= n
        if bias:
            weights.append(Weight("bias", (out_channels,), None, within_one_over_root(fan_in)))
        space = _space(x, rank, in_channels)
        if space is None:
            return Built(None, weights)
        if padding == "same":
            if max(spread(stride, rank, "stride")) > 1:
                raise LayerError("padding 'same' needs a stride of 1", "padding")
            return Built((out_channels, *space), weights)
        margin = 0 if padding == "valid" else padding
        return Built((out_channels, *_slide(space, size, stride, margin, dilation)), weights)

    return Conv


def transposed_convolution(rank: int) -> Callable[..., Built]:
    """Make the transposed convolution over `rank` spatial axes."""

    def ConvTranspose(
        x: Flow,
        *,
        in_channels: Size,
        out_channels: Size,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Margins = 0,
        output_padding: Margins = 0,
        groups: Size = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: Literal["zeros"] = "zeros",
    ) -> Built:
        """Convolve backwards with a weight (in, out / groups, *kernel_size)."""
        _check_groups(in_channels, out_channels, groups)
        size = spread(kernel_size, rank, "kernel_size")
        fan_in = out_channels // groups
        for n in size:
            fan_in *= n
        roles = "IO" + "DHW"[-rank:]
        shape = (in_channels, out_channels // groups, *size)
        weights = [Weight("weight", shape, roles, kaiming(), fused=groups, fused_role="I")]
        if bias:
            weights.append(Weight("bias", (out_channels,), None, within_one_over_root(fan_in)))
        space = _space(x, rank, in_channels)
        if space is None:
            return Built(None, weights)
        steps, rates = spread(stride, rank, "stride"), spread(dilation, rank, "dilation")
        extra = whole_margins(output_padding, rank, "output_padding")
        margin = whole_margins(padding, rank, "padding")
        if any(e >= max(s, r) for e, s, r in zip(extra, steps, rates, strict=True)):
            raise LayerError(
                f"expected less than stride or dilation, found {shown(extra)}", "output_padding"
            )
        outputs = [
            None if n is None else (n - 1) * s - 2 * p + r * (k - 1) + e + 1
            for n, k, s, r, p, e in zip(space, size, steps, rates, margin, extra, strict=True)
        ]
        return Built((out_channels, *outputs), weights)

    return ConvTranspose


def max_pooling(rank: int) -> Callable[..., Built]:
    """Make the maximum over windows of `rank` spatial axes."""

    def MaxPool(
        x: Flow,
        *,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Margins = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> Built:
        """Keep the largest value of each window."""
        return _pooled(x, rank, kernel_size, stride, padding, dilation, ceil_mode)

    return MaxPool


def average_pooling(rank: int) -> Callable[..., Built]:
    """Make the mean over windows of `rank` spatial axes."""

    def AvgPool(
        x: Flow,
        *,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Margins = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> Built:
        """Keep the mean of each window."""
        return _pooled(x, rank, kernel_size, stride, padding, 1, ceil_mode)

    return AvgPool


def power_pooling(rank: int) -> Callable[..., Built]:
    """Make the mean of powers over windows of `rank` spatial axes."""

    def LPPool(
        x: Flow,
        *,
        norm_type: Number,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        ceil_mode: bool = False,
    ) -> Built:
        """Keep the norm of each window."""
        return _pooled(x, rank, kernel_size, stride, 0, 1, ceil_mode)

    return LPPool


def adaptive_pooling(rank: int) -> Callable[..., Built]:
    """Make the pooling of `rank` spatial axes to a fixed size."""

    def AdaptivePool(x: Flow, *, output_size: Sizes) -> Built:
        """Keep one value of each of `output_size` windows."""
        size = spread(output_size, rank, "output_size")
        space = _space(x, rank, None)
        return Built(None if space is None or x is None else (x[0], *size), [])

    return AdaptivePool


def _check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    if in_channels % groups or out_channels % groups:
        raise LayerError(
            f"{groups} groups do not divide {in_channels} and {out_channels} channels", "groups"
        )


def _space(x: Flow, rank: int, channels: int | None) -> tuple[int | None, ...] | None:
    if x is None:
        return None
    if len(x) != rank + 1:
        raise LayerError(f"expected an input (channels and {rank} axes), found shape {shown(x)}")
    if channels is not None:
        expect(x, -rank - 1, channels, "in_channels")
    return x[1:]


def _slide(
    space: tuple[int | None, ...],
    size: tuple[int, ...],
    stride: int | tuple[int, ...],
    padding: Margins,
    dilation: int | tuple[int, ...],
    *,
    ceil_mode: bool = False,
) -> list[int | None]:
    rank = len(space)
    steps, rates = spread(stride, rank, "stride"), spread(dilation, rank, "dilation")
    outputs: list[int | None] = []
    for n, k, s, r, p in zip(
        space, size, steps, rates, whole_margins(padding, rank, "padding"), strict=True
    ):
        if n is None:
            outputs.append(None)
            continue
        free = n + 2 * p - (r * (k - 1) + 1)
        count = -(-free // s) + 1 if ceil_mode else free // s + 1
        if count < 1:
            raise LayerError(f"a window of {shown(size)} is larger than the input's {shown(space)}")
        # The last window must start inside the input or its left margin.
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        outputs.append(count)
    return outputs


def _pooled(
    x: Flow,
    rank: int,
    kernel_size: int | tuple[int, ...],
    stride: int | tuple[int, ...] | None,
    padding: Margins,
    dilation: int | tuple[int, ...],
    ceil_mode: bool,
) -> Built:
    size = spread(kernel_size, rank, "kernel_size")
    space = _space(x, rank, None)
    if space is None or x is None:
        return Built(None, [])
    steps = size if stride is None else stride
    for k, p in zip(size, whole_margins(padding, rank, "padding"), strict=True):
        if p > k // 2:
            raise LayerError(f"expected at most half of the window {shown(size)}", "padding")
    return Built((x[0], *_slide(space, size, steps, padding, dilation, ceil_mode=ceil_mode)), [])
