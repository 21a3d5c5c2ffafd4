"""Tensors of several kernels: which elements are whose, and each drawn by its own distribution.

Where a distribution draws all elements alike, each takes the word of its place in the tensor, as it
would without pieces. A kernel that is drawn otherwise is a tensor by itself, told by its number.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from glorot_cli.distributions import Distribution, Pieces, is_elementwise
from glorot_cli.dtypes import Array
from glorot_cli.fans import Shape
from glorot_cli.streams.request import Draw

# A call for a run of elements costs as much as drawing this many of them.
_CALL = 5000
# Kernels whose runs are shorter are gathered from a chunk, not run by run.
_SHORT = 256
_CHUNK = 1 << 18

Leaf = Callable[[Distribution, Shape, int | None], Draw]


class Runs(NamedTuple):
    """Hold runs of elements that are one kernel's each.

    `starts` and `stops` count from the first of all, `firsts` within the kernels.
    """

    starts: Array
    stops: Array
    kernels: Array
    firsts: Array

    def each(self) -> Iterator[tuple[int, int, int, int]]:
        """Give each run's start, stop, kernel and first element there."""
        yield from zip(*(column.tolist() for column in self), strict=True)


class _Axis(NamedTuple):
    """Hold an axis: its stride and size, the size of a part, and a part's strides."""

    stride: int
    size: int
    part: int
    within: int
    number: int


class Layout:
    """Know of a tensor's elements which kernel they are of."""

    def __init__(self, pieces: Pieces, shape: Shape) -> None:
        self.kernel_shape = pieces.kernel_shape(shape)
        cuts = {cut.axis: cut.count for cut in pieces.cuts}
        self._axes: list[_Axis] = []
        self.run, whole = 1, True
        stride = within = number = 1
        for axis in reversed(range(len(shape))):
            size, count = shape[axis], cuts.get(axis, 1)
            part = size // count
            self._axes.append(_Axis(stride, size, part, within, number))
            if whole:
                self.run = stride * part
            whole = whole and count == 1
            stride, within, number = stride * size, within * part, number * count
        # As many kernels take turns within a stretch of the tensor.
        self.turns, seen = 1, False
        for axis, size in enumerate(shape):
            self.turns *= cuts.get(axis, 1) if seen else 1
            seen = seen or size > cuts.get(axis, 1)

    def runs(self, first: int, size: int) -> Runs:
        """Return the runs of the elements [first, first + size)."""
        begins = np.arange(first // self.run, -(-(first + size) // self.run)) * self.run
        starts = np.maximum(begins, first)
        stops = np.minimum(begins + self.run, first + size)
        kernels, firsts = np.zeros_like(starts), np.zeros_like(starts)
        for axis in self._axes:
            at = starts // axis.stride % axis.size
            kernels += at // axis.part * axis.number
            firsts += at % axis.part * axis.within
        return Runs(starts - first, stops - first, kernels, firsts)

    def parts(self, first: int, size: int) -> Iterator[tuple[int, int, slice | Array]]:
        """Part elements by kernel: give its number, its first one among them, and their places."""
        for begin in range(0, size, _CHUNK):
            runs = self.runs(first + begin, min(_CHUNK, size - begin))
            if self.run >= _SHORT:
                for start, stop, kernel, at in runs.each():
                    yield kernel, at, slice(begin + start, begin + stop)
                continue
            lengths = runs.stops - runs.starts
            kernels = np.repeat(runs.kernels, lengths)
            order = np.argsort(kernels, kind="stable")
            ends = np.flatnonzero(np.diff(kernels[order], append=-1)) + 1
            lowest = np.repeat(runs.firsts - runs.starts, lengths)
            for low, high in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
                places = order[low:high]
                yield int(kernels[places[0]]), int(lowest[places[0]] + places[0]), begin + places


def kept(pieces: Pieces, shape: Shape) -> int:
    """Return how many kernels are kept at a time, where they are drawn as wholes."""
    # Blocks are drawn by several threads.
    return min(pieces.count, 4 * Layout(pieces, shape).turns)


def drawer(pieces: Pieces, shape: Shape, leaf: Leaf) -> Draw:
    """Return the function that draws any part of a tensor of several kernels.

    `leaf` makes the drawer of a law: of the tensor's shape where no kernel is named, or else of the
    kernel by that number.

    Raises:
        ValueError: if a law cannot be drawn.
    """
    alike = [law for law in dict.fromkeys(pieces.laws) if is_elementwise(law)]
    draws = [leaf(law, shape, None) for law in alike]
    layout = Layout(pieces, shape)
    numbers: dict[Distribution, int] = {law: number for number, law in enumerate(alike)}
    # Of each kernel, its place among those that are alike, or -1.
    chosen = np.array([numbers.get(law, -1) for law in pieces.laws])
    lock = threading.Lock()

    @functools.lru_cache(maxsize=kept(pieces, shape))
    def made(kernel: int) -> Draw:
        return leaf(pieces.law(kernel), layout.kernel_shape, kernel)

    def draw_kernels(first: int, out: Array) -> None:
        for kernel, at, places in layout.parts(first, out.size):
            if chosen[kernel if chosen.size > 1 else 0] >= 0:
                continue
            with lock:
                draw = made(kernel)
            if isinstance(places, slice):
                draw(at, out[places])
            else:
                values = np.empty(places.size, out.dtype)
                draw(at, values)
                out[places] = values

    def draw_alike(first: int, out: Array) -> None:
        runs = layout.runs(first, out.size)
        laws = chosen[runs.kernels] if chosen.size > 1 else np.zeros_like(runs.kernels)
        if layout.run * len(draws) >= _CALL:
            for law, (start, stop, _, _) in zip(laws.tolist(), runs.each(), strict=True):
                if law >= 0:
                    draws[law](first + start, out[start:stop])
            return
        lengths, values = runs.stops - runs.starts, np.empty_like(out)
        for law in np.unique(laws).tolist():
            if law >= 0:
                draws[law](first, values)
                np.copyto(out, values, where=np.repeat(laws == law, lengths))

    def draw(first: int, out: Array) -> None:
        if draws:
            for begin in range(0, out.size, _CHUNK):
                draw_alike(first + begin, out[begin : begin + _CHUNK])
        if (chosen < 0).any():
            draw_kernels(first, out)

    return draw
