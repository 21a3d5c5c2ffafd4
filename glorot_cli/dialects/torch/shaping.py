"""Modules without weights: what acts on each element, and what changes shapes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, Literal

from glorot_cli.arguments import Axes, Margins, Number, Size, Sizes
from glorot_cli.dialects.layer import Built, Flow, LayerError
from glorot_cli.dialects.spatial import spread, whole_margins
from glorot_cli.errors import shown

# The default of an argument that has none.
NEEDED = inspect.Parameter.empty


def Elementwise(x: Flow, *, inplace: bool = False) -> Built:
    """Apply a function to each element."""
    return Built(x, [])


def with_arguments(**defaults: tuple[Any, Any]) -> Callable[..., Built]:
    """Make the module that keeps shapes and takes these arguments: name -> (type, default)."""

    def Module(x: Flow, **arguments: object) -> Built:
        """Apply a function to each element."""
        return Built(x, [])

    keys = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=value)
        for name, (kind, value) in defaults.items()
    ]
    x = inspect.Parameter("x", inspect.Parameter.POSITIONAL_ONLY)
    Module.__signature__ = inspect.Signature([x, *keys])  # type: ignore[attr-defined]
    Module.__annotations__ = {name: kind for name, (kind, _) in defaults.items()}
    return Module


def Hardtanh(
    x: Flow, *, min_val: Number = -1.0, max_val: Number = 1.0, inplace: bool = False
) -> Built:
    """Cut off at both ends."""
    if min_val >= max_val:
        raise LayerError(
            f"expected min_val below max_val, found {min_val} and {max_val}", "min_val"
        )
    return Built(x, [])


def Identity(x: Flow) -> Built:
    """Keep the shape, and hold no weights."""
    return Built(x, [])


def Dropout(x: Flow, *, p: Number = 0.5, inplace: bool = False) -> Built:
    """Drop elements in training."""
    if not 0.0 <= p <= 1.0:
        raise LayerError(f"expected p from 0 to 1, found {p!r}", "p")
    return Built(x, [])


def Flatten(x: Flow, *, start_dim: int = 1, end_dim: int = -1) -> Built:
    """Join axes into one; axis 0 is the batch."""
    if x is None:
        return Built(None, [])
    rank = len(x) + 1
    start, end = (axis % rank if -rank <= axis < rank else -1 for axis in (start_dim, end_dim))
    if not 1 <= start <= end:
        raise LayerError(f"cannot flatten axes {start_dim} to {end_dim} of {shown(x)}", "start_dim")
    joined = x[start - 1 : end]
    size = None if None in joined else math.prod(n for n in joined if n is not None)
    return Built((*x[: start - 1], size, *x[end:]), [])


def Unflatten(x: Flow, *, dim: int, unflattened_size: Axes) -> Built:
    """Part an axis into several; axis 0 is the batch, one size may be -1."""
    if x is None:
        return Built(None, [])
    index = dim - 1 if dim > 0 else len(x) + dim
    sizes = (unflattened_size,) if isinstance(unflattened_size, int) else unflattened_size
    if not 0 <= index < len(x):
        raise LayerError(f"axis {dim} is not an axis of {shown(x)}", "dim")
    total, given = x[index], math.prod(size for size in sizes if size != -1)
    if total is None or total % given or (-1 not in sizes and total != given):
        raise LayerError(f"{total} does not part into {shown(sizes)}", "unflattened_size")
    parts = tuple(total // given if size == -1 else size for size in sizes)
    return Built((*x[:index], *parts, *x[index + 1 :]), [])


def Upsample(
    x: Flow,
    *,
    size: Sizes | None = None,
    scale_factor: Sizes | None = None,
    mode: Literal["nearest", "linear", "bilinear", "bicubic", "trilinear"] = "nearest",
    align_corners: bool | None = None,
) -> Built:
    """Enlarge all axes but the channels."""
    if (size is None) == (scale_factor is None):
        raise LayerError("expected size or scale_factor", "size")
    if x is None:
        return Built(None, [])
    rank = len(x) - 1
    if size is not None:
        return Built((x[0], *spread(size, rank, "size")), [])
    factors = spread(scale_factor or 1, rank, "scale_factor")
    grown = (None if n is None else n * f for n, f in zip(x[1:], factors, strict=True))
    return Built((x[0], *grown), [])


def Upsampling2d(x: Flow, *, size: Sizes | None = None, scale_factor: Sizes | None = None) -> Built:
    """Enlarge both axes of an image."""
    return Upsample(x, size=size, scale_factor=scale_factor)


def padding(rank: int) -> Callable[..., Built]:
    """Make the padding of `rank` spatial axes; pairs go from the last axis to the first."""

    def Pad(x: Flow, *, padding: Margins) -> Built:
        """Add elements before and after."""
        return _padded(x, rank, padding)

    return Pad


def constant_padding(rank: int) -> Callable[..., Built]:
    """Make the padding of `rank` spatial axes with a value."""

    def ConstantPad(x: Flow, *, padding: Margins, value: Number) -> Built:
        """Add a value before and after."""
        return _padded(x, rank, padding)

    return ConstantPad


def _padded(x: Flow, rank: int, padding: Margins) -> Built:
    sides = whole_margins(padding, 2 * rank, "padding")
    if x is None:
        return Built(None, [])
    sums = [first + second for first, second in zip(sides[::2], sides[1::2], strict=True)][::-1]
    grown = (None if n is None else n + more for n, more in zip(x[-rank:], sums, strict=True))
    return Built((*x[:-rank], *grown), [])


def PixelShuffle(x: Flow, *, upscale_factor: Size) -> Built:
    """Turn channels into space."""
    if x is None:
        return Built(None, [])
    square = upscale_factor**2
    if len(x) != 3 or x[0] is None or x[0] % square:
        raise LayerError(f"expected channels that {square} divides, found {shown(x)}")
    space = (None if n is None else n * upscale_factor for n in x[1:])
    return Built((x[0] // square, *space), [])


def PixelUnshuffle(x: Flow, *, downscale_factor: Size) -> Built:
    """Turn space into channels."""
    if x is None:
        return Built(None, [])
    if len(x) != 3 or any(n is not None and n % downscale_factor for n in x[1:]):
        raise LayerError(f"expected space that {downscale_factor} divides, found {shown(x)}")
    space = (None if n is None else n // downscale_factor for n in x[1:])
    return Built((None if x[0] is None else x[0] * downscale_factor**2, *space), [])


def ChannelShuffle(x: Flow, *, groups: Size) -> Built:
    """Change the order of channels."""
    if x is not None and x[0] is not None and x[0] % groups:
        raise LayerError(f"{groups} groups do not divide {x[0]} channels", "groups")
    return Built(x, [])


def GLU(x: Flow, *, dim: int = -1) -> Built:
    """Gate one half of an axis by the other."""
    if x is None:
        return Built(None, [])
    index = dim - 1 if dim > 0 else len(x) + dim
    size = x[index] if 0 <= index < len(x) else 1
    if size is not None and size % 2:
        raise LayerError(f"expected an axis of even size in {shown(x)}, found {dim}", "dim")
    return Built((*x[:index], None if size is None else size // 2, *x[index + 1 :]), [])
