"""The dense layer whose kernel an einsum equation describes."""

from __future__ import annotations

import re
from typing import NamedTuple

from glorot_cli.arguments import Dims, Init, Size
from glorot_cli.dialects.keras.core import ActivationName, output_roles
from glorot_cli.dialects.layer import Built, LayerError, Weight
from glorot_cli.errors import shown

_FORM = re.compile(r"(\.{3})?([A-Za-z]+)(\.{3})?,([A-Za-z]+)->(\.{3})?([A-Za-z]+)(\.{3})?")

Sizes = dict[str, int | None]


def EinsumDense(
    x: Dims,
    *,
    equation: str,
    output_shape: Dims | Size,
    activation: ActivationName | None = None,
    bias_axes: str | None = None,
    kernel_initializer: Init = "glorot_uniform",
    bias_initializer: Init = "zeros",
) -> Built:
    """Multiply by a kernel as an einsum equation says; its first axis is the batch."""
    said = (output_shape,) if isinstance(output_shape, int) else output_shape
    inputs, kernel, outputs, trailing, output = _read(equation, x, said)
    # Small letters: this layer tells its initialiser the roles of the kernel's axes.
    roles = "".join(
        "i" if axis not in outputs else "b" if axis in inputs else "o" for axis in kernel
    )
    shape = _known([outputs.get(axis, inputs.get(axis)) for axis in kernel], "equation")
    weights = [Weight("kernel", shape, roles, kernel_initializer)]
    if bias_axes is not None:
        if not bias_axes or not set(bias_axes) <= set(outputs):
            raise LayerError(f"{shown(bias_axes)} are not axes of the output", "bias_axes")
        first = min(list(outputs).index(axis) for axis in bias_axes)
        sizes = [outputs[axis] if axis in bias_axes else 1 for axis in list(outputs)[first:]]
        shape = _known([*sizes, *[1] * trailing], "bias_axes")
        weights.append(Weight("bias", shape, output_roles(shape), bias_initializer))
    return Built(output, weights)


class _Equation(NamedTuple):
    """Hold the sizes of the axes of input and output, the kernel's axes, and the output's shape.

    `trailing` counts the axes that dots on the right stand for.
    """

    inputs: Sizes
    kernel: str
    outputs: Sizes
    trailing: int
    output: Dims


def _read(equation: str, x: Dims, said: Dims) -> _Equation:
    match = _FORM.fullmatch(equation)
    if match is None or (match[1], match[3]) != (match[5], match[7]) or (match[1] and match[3]):
        raise LayerError(
            f"expected an equation such as ab,bc->ac or ...x,xy->...y, found {shown(equation)}",
            "equation",
        )
    given = (None, *x)
    dots = len(given) - len(match[2])
    if dots < 0 or (dots and not (match[1] or match[3])):
        raise LayerError(f"{shown(equation)} does not fit an input of shape {shown(x)}", "equation")
    # What the dots stand for is taken from the input; the batch is part of it on the left.
    if match[1]:
        output = (None, *given[1:dots], *said)
        inputs, outputs = given[dots:], output[dots:]
    else:
        output = (None, *said, *given[len(match[2]) :])
        inputs, outputs = given[: len(match[2])], output[: len(output) - dots]
    if len(outputs) != len(match[6]):
        raise LayerError(f"{shown(said)} does not fit the output of {shown(equation)}",
                         "output_shape")  # fmt: skip
    sizes = dict(zip(match[2], inputs, strict=True))
    made = dict(zip(match[6], outputs, strict=True))
    for axis, size in made.items():
        if axis not in sizes and axis not in match[4]:
            raise LayerError(f"axis {axis} of the output comes from nowhere", "equation")
        if size is not None and sizes.get(axis, size) != size:
            raise LayerError(f"axis {axis} is {shown(sizes[axis])} in the input", "output_shape")
    return _Equation(sizes, match[4], made, dots if match[3] else 0, output[1:])


def _known(sizes: list[int | None], key: str) -> tuple[int, ...]:
    known = tuple(size for size in sizes if size is not None)
    if len(known) < len(sizes):
        raise LayerError(f"expected axes of known sizes, found {shown(sizes)}", key)
    return known
