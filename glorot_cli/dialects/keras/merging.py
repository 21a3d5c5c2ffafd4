"""Layers that join several inputs into one; none of them has weights."""

from __future__ import annotations

from glorot_cli.arguments import Axes, Dims
from glorot_cli.dialects.layer import Built, LayerError
from glorot_cli.dialects.spatial import feature_axis
from glorot_cli.errors import shown


def Merge(xs: tuple[Dims, ...]) -> Built:
    """Add, multiply, average or compare inputs of shapes that broadcast."""
    if len(xs) < 2:
        raise LayerError(f"expected two inputs or more, found {len(xs)}")
    rank = max(map(len, xs))
    output = []
    for sizes in zip(*((1,) * (rank - len(x)) + tuple(x) for x in xs), strict=True):
        fixed = {size for size in sizes if size is not None and size != 1}
        if len(fixed) > 1:
            raise LayerError(f"inputs of shapes {', '.join(map(shown, xs))} do not broadcast")
        output.append(fixed.pop() if fixed else None if None in sizes else 1)
    return Built(tuple(output), [])


def Concatenate(xs: tuple[Dims, ...], *, axis: int = -1) -> Built:
    """Put inputs one after the other along an axis."""
    if not xs:
        raise LayerError("expected inputs to concatenate")
    first = xs[0]
    index = feature_axis(first, axis)
    for x in xs[1:]:
        same = len(x) == len(first) and all(
            a == b or None in (a, b) or place == index
            for place, (a, b) in enumerate(zip(x, first, strict=True))
        )
        if not same:
            raise LayerError(f"shapes {', '.join(map(shown, xs))} differ beside axis {axis}")
    sizes = [x[index] for x in xs]
    total = None if None in sizes else sum(size for size in sizes if size is not None)
    rest = [
        next((x[place] for x in xs if x[place] is not None), None) for place in range(len(first))
    ]
    return Built((*rest[:index], total, *rest[index + 1 :]), [])


def Dot(xs: tuple[Dims, ...], *, axes: Axes, normalize: bool = False) -> Built:
    """Take dot products of two inputs along an axis of each."""
    if len(xs) != 2:
        raise LayerError(f"expected two inputs, found {len(xs)}")
    pair = (axes, axes) if isinstance(axes, int) else axes
    if len(pair) != 2:
        raise LayerError(f"expected one axis or two, found {shown(axes)}", "axes")
    indices = [feature_axis(x, axis) for x, axis in zip(xs, pair, strict=True)]
    sizes = [x[index] for x, index in zip(xs, indices, strict=True)]
    if None not in sizes and sizes[0] != sizes[1]:
        raise LayerError(f"axes of sizes {shown(sizes)} have no dot product", "axes")
    left, right = ((*x[:index], *x[index + 1 :]) for x, index in zip(xs, indices, strict=True))
    return Built((*left, *right) or (1,), [])
