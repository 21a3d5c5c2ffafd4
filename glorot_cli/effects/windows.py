"""Sums over the windows of convolutions and pooling, of a number at each position."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from glorot_cli.effects.activations import Values
from glorot_cli.effects.graph import Call
from glorot_cli.fans import Shape as Sizes


def parts(call: Call, shape: Sizes, *, is_torch: bool) -> tuple[Sizes, int]:
    """Return the spatial axes of a shape, and its channels."""
    first = is_torch or call.text("data_format") == "channels_first"
    return (shape[1:], shape[0]) if first else (shape[:-1], shape[-1])


@dataclass(frozen=True, slots=True)
class Window:
    """A window over spatial axes, and what is put before and after each of them."""

    size: Sizes
    strides: Sizes
    rates: Sizes
    margins: tuple[tuple[int, int], ...]

    @property
    def taps(self) -> int:
        """The number of positions within the window."""
        return int(np.prod(self.size))

    def gather(self, positions: Values) -> Values:
        """Sum what each window covers; outside there is nothing."""
        for axis in range(positions.ndim):
            positions = np.moveaxis(self._gather(np.moveaxis(positions, axis, 0), axis), 0, axis)
        return positions

    def scatter(self, windows: Values, space: Sizes) -> Values:
        """Sum at each position what the windows that cover it hold."""
        for axis, count in enumerate(space):
            moved = np.moveaxis(windows, axis, 0)
            windows = np.moveaxis(self._scatter(moved, axis, count), 0, axis)
        return windows

    def _gather(self, line: Values, axis: int) -> Values:
        before, after = self.margins[axis]
        line = np.pad(line, ((before, after), *((0, 0),) * (line.ndim - 1)))
        size, step, rate = self.size[axis], self.strides[axis], self.rates[axis]
        count = (line.shape[0] - (size - 1) * rate - 1) // step + 1
        total = np.zeros((count, *line.shape[1:]))
        for tap in range(size):
            total += line[tap * rate : tap * rate + (count - 1) * step + 1 : step]
        return total

    def _scatter(self, line: Values, axis: int, count: int) -> Values:
        before, after = self.margins[axis]
        size, step, rate = self.size[axis], self.strides[axis], self.rates[axis]
        # A transposed convolution may reach beyond what a convolution would cover.
        reach = (line.shape[0] - 1) * step + (size - 1) * rate + 1
        total = np.zeros((max(reach, before + count + after), *line.shape[1:]))
        for tap in range(size):
            start = tap * rate
            total[start : start + (line.shape[0] - 1) * step + 1 : step] += line
        return total[before : before + count]


def window_of(call: Call, space: Sizes, size: Sizes, stride: Sizes | None = None) -> Window:
    """Return a layer's window; `stride` is that of a layer that gives none."""
    rank = len(size)
    strides = call.sizes("strides", "stride", rank=rank) if stride is None else stride
    rates = call.sizes("dilation_rate", "dilation", rank=rank)
    widths = [(k - 1) * rate for k, rate in zip(size, rates, strict=True)]
    padding = call.text("padding")
    if padding == "causal":
        pairs = tuple((width, 0) for width in widths)
    elif padding == "same":
        totals = [
            max((math.ceil(n / step) - 1) * step + width + 1 - n, 0)
            for n, step, width in zip(space, strides, widths, strict=True)
        ]
        pairs = tuple((total // 2, total - total // 2) for total in totals)
    else:
        pairs = call.pairs("padding", rank)
    return Window(size, strides, rates, pairs)
