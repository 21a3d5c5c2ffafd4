"""Axis roles, the fans of a kernel by each framework's rule, and the limits that follow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

Shape = tuple[int, ...]
FanRule = Literal["exact", "keras", "keras-3.14", "torch", "jax"]
FAN_RULES: tuple[FanRule, ...] = get_args(FanRule)


class Fans(NamedTuple):
    """Count the inputs and the outputs that one unit of a kernel is connected to."""

    fan_in: int
    fan_out: int


def check_axes(axes: str, shape: Shape, fused: int = 1) -> None:
    """Check axis roles against a shape.

    One letter per axis: I input, O output (each may repeat), B a batch axis, any other letter a
    receptive-field axis. `fused` says how many equal kernels the one O axis holds side by side.

    Raises:
        ValueError: with what was expected and what was found.
    """
    if not (axes.isascii() and axes.isalpha() and axes.isupper()):
        raise ValueError(f"expected one capital letter per axis, such as HWIO, found {axes!r}")
    if len(axes) != len(shape):
        raise ValueError(
            f"expected {len(shape)} letters, one per axis of shape {list(shape)}, found {axes!r}"
        )
    if not {"I", "O"} & set(axes):
        raise ValueError(f"expected an input axis I or an output axis O, found {axes!r}")
    if fused > 1:
        if axes.count("O") != 1:
            raise ValueError(f"fused needs exactly one O axis, found {axes!r}")
        size = shape[axes.index("O")]
        if size % fused:
            raise ValueError(
                f"the O axis of size {size} does not divide into {fused} equal kernels"
            )


def exact_fans(shape: Shape, axes: str | None, fused: int = 1) -> Fans:
    """Count fans from axis roles, in either case; rank 0 or 1 without roles counts as in Keras.

    Raises:
        ValueError: if the rank is 2 or more and no roles are given.
    """
    if axes is None:
        if len(shape) > 1:
            raise ValueError(
                f"a tensor of shape {list(shape)} needs axes, one letter per axis "
                "(I input, O output, B batch, others receptive field), such as IO or HWIO"
            )
        return keras_fans(shape)
    receptive_field = inputs = outputs = 1
    for size, role in zip(shape, axes.upper(), strict=True):
        if role == "I":
            inputs *= size
        elif role == "O":
            outputs *= size
        elif role != "B":
            receptive_field *= size
    return Fans(inputs * receptive_field, outputs // fused * receptive_field)


def keras_fans(shape: Shape) -> Fans:
    """Count fans from the shape alone, as `keras.src.initializers.compute_fans` does."""
    if len(shape) == 0:
        return Fans(1, 1)
    if len(shape) == 1:
        return Fans(shape[0], shape[0])
    receptive_field = math.prod(shape[:-2])
    return Fans(shape[-2] * receptive_field, shape[-1] * receptive_field)


def _keras(shape: Shape, axes: str | None, fused: int) -> Fans:
    # Since 3.15 Keras's einsum layers tell the initialiser their axes: roles in small letters here.
    # An axis that input and output share is an output to them.
    if axes is not None and axes.islower():
        return exact_fans(shape, axes.replace("b", "o"))
    # Attention's roles say it too.
    if axes is not None and len(axes) > 2 and set(axes) == {"I", "O"}:
        return exact_fans(shape, axes)
    return keras_fans(shape)


def _torch(shape: Shape, axes: str | None, fused: int) -> Fans:
    if len(shape) < 2:
        raise ValueError(f"torch computes no fans below rank 2, found shape {list(shape)}")
    receptive_field = math.prod(shape[2:])
    return Fans(shape[1] * receptive_field, shape[0] * receptive_field)


def _jax(shape: Shape, axes: str | None, fused: int) -> Fans:
    if len(shape) < 2:
        raise ValueError(f"jax computes no fans below rank 2, found shape {list(shape)}")
    return keras_fans(shape)


_RULES: dict[FanRule, Callable[[Shape, str | None, int], Fans]] = {
    "exact": exact_fans,
    "keras": _keras,
    "keras-3.14": lambda shape, axes, fused: keras_fans(shape),
    "torch": _torch,
    "jax": _jax,
}


def count_fans(rule: FanRule, shape: Shape, axes: str | None = None, fused: int = 1) -> Fans:
    """Count fans by a rule: `exact` reads the axis roles, the others a framework's order of axes.

    Raises:
        ValueError: where the rule says nothing about such a shape.
    """
    return _RULES[rule](shape, axes, fused)


def uniform_limit(scale: float, fan: float) -> float:
    """Return the limit of Keras 3's uniform VarianceScaling, in its order of operations.

    `fan` is fan_in, fan_out or their mean. Other orders differ in the last bit for one n in seven.
    """
    s = scale / max(1.0, fan)
    return math.sqrt(3.0 * s)


def glorot_limit(fans: Fans) -> float:
    """Return the limit of Glorot and Bengio (2010), as computed by Keras 3's GlorotUniform."""
    return uniform_limit(1.0, (fans.fan_in + fans.fan_out) / 2.0)
