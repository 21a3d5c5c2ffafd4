"""Layers that join several inputs into one; none of them has weights."""

from __future__ import annotations

import functools

from glorot_cli.arguments import Axes, Dims
from glorot_cli.dialects.layer import Built, Inputs, LayerError
from glorot_cli.dialects.spatial import feature_axis
from glorot_cli.errors import shown


def Merge(xs: Inputs) -> Built:
    """Add, multiply, average or compare inputs of shapes that broadcast."""
    return Built(functools.reduce(_broadcast, xs), [])


def Subtract(xs: Inputs) -> Built:
    """Take the second input from the first."""
    if len(xs) != 2:
        raise LayerError(f"expected two inputs, found {len(xs)}")
    return Built(_broadcast(*xs), [])


def _broadcast(a: Dims, b: Dims) -> Dims:
    rank = max(len(a), len(b))
    output: list[int | None] = []
    # Keras lets axes broadcast from the last on, and an unknown size stay unknown.
    for m, n in zip(*((0,) * (rank - len(x)) + x for x in (a, b)), strict=True):
        if 0 in (m, n):
            output.append(n if m == 0 else m)
        elif m is None or n is None:
            output.append(None)
        elif m == n or 1 in (m, n):
            output.append(max(m, n))
        else:
            raise LayerError(f"inputs of shapes {shown(a)} and {shown(b)} do not broadcast")
    return tuple(output)


def Concatenate(xs: Inputs, *, axis: int = -1) -> Built:
    """Put inputs one after the other along an axis."""
    first = xs[0]
    batch = axis in (0, -len(first) - 1)
    index = -1 if batch else feature_axis(first, axis)
    for x in xs[1:]:
        same = len(x) == len(first) and all(
            a == b or None in (a, b) or place == index
            for place, (a, b) in enumerate(zip(x, first, strict=True))
        )
        if not same:
            raise LayerError(f"shapes {', '.join(map(shown, xs))} differ beside axis {axis}")
    sizes = [] if batch else [x[index] for x in xs]
    rest = list(first)
    if not batch:
        rest[index] = None if None in sizes else sum(size for size in sizes if size is not None)
    return Built(tuple(rest), [])


def Dot(xs: Inputs, *, axes: Axes, normalize: bool = False) -> Built:
    """Take dot products of two inputs along an axis of each."""
    if len(xs) != 2:
        raise LayerError(f"expected two inputs, found {len(xs)}")
    pair = (axes, axes) if isinstance(axes, int) else axes
    if len(pair) != 2:
        raise LayerError(f"expected one axis or two, found {shown(axes)}", "axes")
    indices = [feature_axis(x, axis) for x, axis in zip(xs, pair, strict=True)]
    sizes = [x[index] for x, index in zip(xs, indices, strict=True)]
    if sizes[0] != sizes[1]:
        raise LayerError(f"axes of sizes {shown(sizes)} have no dot product", "axes")
    left, right = ((*x[:index], *x[index + 1 :]) for x, index in zip(xs, indices, strict=True))
    return Built((*left, *right) or (1,), [])
