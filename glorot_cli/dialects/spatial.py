"""Arithmetic on shapes without the batch axis: channels, windows, margins."""

from __future__ import annotations

from typing import Literal

from glorot_cli.arguments import Dims, Margins
from glorot_cli.dialects.layer import LayerError
from glorot_cli.errors import shown

DataFormat = Literal["channels_last", "channels_first"]


def check_rate(rate: float, key: str) -> None:
    """Check the share of elements that a layer drops, or its deviation."""
    if not 0.0 <= rate <= 1.0:
        raise LayerError(f"expected a {key} from 0 to 1, found {rate!r}", key)


def check_rank(x: Dims, rank: int) -> None:
    """Check the number of an input's axes."""
    if len(x) != rank:
        raise LayerError(f"expected an input of {rank} axes, found shape {shown(x)}")


def known(x: Dims, axis: int) -> int:
    """Return the size of an axis that weights depend on."""
    if not x:
        raise LayerError("expected an input with at least one axis, found a scalar")
    size = x[axis]
    if size is None:
        raise LayerError(f"weights depend on the size of axis {axis} of {shown(x)}, which is null")
    return size


def feature_axis(x: Dims, axis: int) -> int:
    """Turn Keras's axis, which counts the batch axis, into an index of `x`."""
    index = axis - 1 if axis > 0 else len(x) + axis
    if axis == 0 or not 0 <= index < len(x):
        raise LayerError(f"axis {axis} is not an axis of an input of shape {shown(x)}", "axis")
    return index


def spread(size: int | tuple[int, ...], rank: int, key: str | None) -> tuple[int, ...]:
    """Turn one size, or one per axis, into one per axis."""
    sizes = (size,) * rank if isinstance(size, int) else size
    if key is not None and len(sizes) != rank:
        raise LayerError(f"expected one size or {rank}, found {shown(sizes)}", key)
    return sizes


def margins(padding: Margins, rank: int, key: str) -> list[tuple[int, int]]:
    """Turn one margin, one per axis, or a pair per axis into a pair per axis.

    The pair of a single axis stands by itself, as in Keras.
    """
    if isinstance(padding, int):
        per_axis: tuple[int | tuple[int, ...], ...] = (padding,) * rank
    elif rank == 1:
        per_axis = (tuple(n if isinstance(n, int) else -1 for n in padding),)
    else:
        per_axis = padding
    pairs = [(each, each) if isinstance(each, int) else each for each in per_axis]
    if len(pairs) != rank or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        expected = "a pair of sizes" if rank == 1 else f"{rank} sizes or {rank} pairs of sizes"
        raise LayerError(f"expected one size or {expected}, found {shown(padding)}", key)
    return [(pair[0], pair[1]) for pair in pairs]


def whole_margins(padding: Margins, rank: int, key: str) -> tuple[int, ...]:
    """Turn one margin, or one per axis, into one per axis."""
    sizes = (padding,) * rank if isinstance(padding, int) else padding
    whole = tuple(size for size in sizes if isinstance(size, int))
    if len(whole) != rank or len(sizes) != rank:
        raise LayerError(f"expected one size or {rank}, found {shown(padding)}", key)
    return whole


def split(x: Dims, rank: int, data_format: DataFormat) -> tuple[Dims, int | None]:
    """Part an input into its spatial axes and its number of channels."""
    if len(x) != rank + 1:
        raise LayerError(
            f"expected an input of {rank} spatial axes and channels, found shape {shown(x)}"
        )
    if data_format == "channels_first":
        return x[1:], x[0]
    return x[:-1], x[-1]


def split_known(x: Dims, rank: int, data_format: DataFormat) -> tuple[Dims, int]:
    """Part an input as `split` does, for a layer whose weights depend on the channels."""
    space, _ = split(x, rank, data_format)
    return space, known(x, 0 if data_format == "channels_first" else -1)


def join(space: Dims, channels: int | None, data_format: DataFormat) -> Dims:
    """Put spatial axes and channels together again."""
    return (channels, *space) if data_format == "channels_first" else (*space, channels)


def slide(
    space: Dims,
    size: tuple[int, ...],
    strides: int | tuple[int, ...],
    padding: str,
    dilation_rate: int | tuple[int, ...] = 1,
) -> Dims:
    """Count the positions of a window along each spatial axis."""
    rank = len(space)
    steps = spread(strides, rank, "strides")
    rates = spread(dilation_rate, rank, "dilation_rate")
    positions: list[int | None] = []
    for n, width, step, rate in zip(space, size, steps, rates, strict=True):
        if n is None:
            positions.append(None)
            continue
        free = n - (rate * (width - 1) + 1) if padding == "valid" else n - 1
        if free < 0:
            raise LayerError(
                f"a window of {shown(size)} with dilation {shown(rates)} is larger than the "
                f"input's {shown(space)}"
            )
        positions.append(free // step + 1)
    return tuple(positions)


def stretch(
    space: Dims,
    size: tuple[int, ...],
    strides: int | tuple[int, ...],
    padding: str,
    output_padding: tuple[int, ...] | None,
    dilation_rate: int | tuple[int, ...],
) -> Dims:
    """Count the outputs of a transposed convolution along each spatial axis, as Keras does."""
    rank = len(space)
    steps = spread(strides, rank, "strides")
    rates = spread(dilation_rate, rank, "dilation_rate")
    extra = (None,) * rank if output_padding is None else output_padding
    outputs: list[int | None] = []
    for n, width, step, rate, more in zip(space, size, steps, rates, extra, strict=True):
        reach = (width - 1) * rate + 1
        if n is None:
            outputs.append(None)
        elif padding == "valid":
            outputs.append(
                (n - 1) * step + reach + (max(reach, step) - reach if more is None else more)
            )
        elif more is None:
            outputs.append(n * step)
        else:
            outputs.append((n - 1) * step + reach % 2 + more)
    return tuple(outputs)
