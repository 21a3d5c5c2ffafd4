"""Dense layers, embeddings, and what acts on each element."""

from __future__ import annotations

import re
from typing import Literal

from glorot_cli.arguments import Axes, Dims, Init, Number, Seed, Size
from glorot_cli.dialects.layer import Built, LayerError, Weight
from glorot_cli.dialects.spatial import check_rate, known
from glorot_cli.errors import shown

ActivationName = Literal[
    "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish",
    "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign",
    "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh", "tanh_shrink",
    "threshold",
]  # fmt: skip


def Dense(
    x: Dims,
    *,
    units: Size,
    activation: ActivationName | None = None,
    use_bias: bool = True,
    kernel_initializer: Init = "glorot_uniform",
    bias_initializer: Init = "zeros",
) -> Built:
    """Multiply by a kernel (in, units)."""
    weights = [Weight("kernel", (known(x, -1), units), "IO", kernel_initializer)]
    if use_bias:
        weights.append(Weight("bias", (units,), None, bias_initializer))
    return Built((*x[:-1], units), weights)


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
    match = re.fullmatch(r"(\.{3})?([A-Za-z]+)(\.{3})?,([A-Za-z]+)->(\.{3})?([A-Za-z]+)(\.{3})?",
                         equation)  # fmt: skip
    if match is None or (match[1], match[3]) != (match[5], match[7]) or (match[1] and match[3]):
        raise LayerError(
            f"expected an equation such as ab,bc->ac or ...x,xy->...y, found {shown(equation)}",
            "equation",
        )
    left, right, inputs, kernel, outputs = match[1], match[3], match[2], match[4], match[6]
    given = (None, *x)
    elided = len(given) - len(inputs)
    if elided < 0 or (elided and not (left or right)):
        raise LayerError(f"{shown(equation)} does not fit an input of shape {shown(x)}", "equation")
    result = [None, *([output_shape] if isinstance(output_shape, int) else output_shape)]
    # What the dots stand for is taken from the input; the batch is part of it on the left.
    if left:
        result[1:1] = given[1:elided]
        sizes = dict(zip(inputs, given[elided:], strict=True))
        offset = len(result) - len(outputs)
    else:
        sizes = dict(zip(inputs, given[: len(inputs)], strict=True))
        result += given[len(inputs) :] if elided else ()
        offset = 0
    named = result[offset : offset + len(outputs)]
    if len(named) != len(outputs) or len(result) - len(outputs) != elided:
        raise LayerError(
            f"{shown(output_shape)} does not fit the output of {shown(equation)}", "output_shape"
        )
    for index, axis in enumerate(outputs):
        size = named[index]
        if axis in sizes and size is None:
            named[index] = sizes[axis]
        elif axis in sizes and sizes[axis] is not None and sizes[axis] != size:
            raise LayerError(f"axis {axis} is {sizes[axis]} in the input", "output_shape")
    made = dict(zip(outputs, named, strict=True))
    shape, roles = [], ""
    for axis in kernel:
        size = made.get(axis, sizes.get(axis))
        if size is None:
            raise LayerError(f"the size of axis {axis} of the kernel is not known", "equation")
        shape.append(size)
        roles += "B" if axis in made and axis in sizes else "O" if axis in made else "I"
    weights = [Weight("kernel", tuple(shape), roles, kernel_initializer)]
    if bias_axes is not None:
        places = [outputs.find(axis) for axis in bias_axes]
        if not places or min(places) < 0:
            raise LayerError(f"{shown(bias_axes)} are not axes of the output", "bias_axes")
        bias = [made[axis] if axis in bias_axes else 1 for axis in outputs[min(places) :]]
        bias += [1] * (elided if right else 0)
        if None in bias:
            raise LayerError("the size of an axis of the bias is not known", "bias_axes")
        whole = tuple(size for size in bias if size is not None)
        weights.append(Weight("bias", whole, output_roles(whole), bias_initializer))
    full = [*result[:offset], *named, *result[offset + len(outputs) :]]
    return Built(tuple(full[1:]), weights)


def output_roles(shape: tuple[int, ...]) -> str | None:
    """Return the roles of what has outputs only; a vector needs none."""
    return "O" * len(shape) if len(shape) > 1 else None


def Embedding(
    x: Dims,
    *,
    input_dim: Size,
    output_dim: Size,
    embeddings_initializer: Init = "random_uniform",
    mask_zero: bool = False,
) -> Built:
    """Look up rows of a table (vocabulary, dim)."""
    table = Weight("embeddings", (input_dim, output_dim), "IO", embeddings_initializer)
    return Built((*x, output_dim), [table])


def Activation(x: Dims, *, activation: ActivationName) -> Built:
    """Apply a function to each element."""
    return Built(x, [])


def ReLU(
    x: Dims,
    *,
    max_value: Number | None = None,
    negative_slope: Number = 0.0,
    threshold: Number = 0.0,
) -> Built:
    """Cut off below the threshold."""
    for key, value in (
        ("max_value", max_value),
        ("negative_slope", negative_slope),
        ("threshold", threshold),
    ):
        if value is not None and value < 0.0:
            raise LayerError(f"expected a number of at least 0, found {value!r}", key)
    return Built(x, [])


def LeakyReLU(x: Dims, *, negative_slope: Number = 0.3) -> Built:
    """Scale what is below 0."""
    return Built(x, [])


def ELU(x: Dims, *, alpha: Number = 1.0) -> Built:
    """Bend what is below 0."""
    return Built(x, [])


def PReLU(x: Dims, *, alpha_initializer: Init = "zeros", shared_axes: Axes | None = None) -> Built:
    """Scale what is below 0 by a learned slope for each element; shared axes hold one."""
    shared = (shared_axes,) if isinstance(shared_axes, int) else shared_axes or ()
    if any(not 1 <= axis <= len(x) for axis in shared):
        raise LayerError(f"expected axes from 1 to {len(x)}, found {shown(shared)}", "shared_axes")
    shape = tuple(1 if axis + 1 in shared else known(x, axis) for axis in range(len(x)))
    return Built(x, [Weight("alpha", shape, output_roles(shape), alpha_initializer)])


def Softmax(x: Dims, *, axis: Axes = -1) -> Built:
    """Make the elements along an axis sum to one."""
    return Built(x, [])


def Dropout(
    x: Dims, *, rate: Number, noise_shape: Dims | None = None, seed: Seed | None = None
) -> Built:
    """Drop elements in training."""
    check_rate(rate, "rate")
    return Built(x, [])


def SpatialDropout(x: Dims, *, rate: Number, seed: Seed | None = None) -> Built:
    """Drop whole channels in training."""
    check_rate(rate, "rate")
    return Built(x, [])


def GaussianDropout(x: Dims, *, rate: Number, seed: Seed | None = None) -> Built:
    """Multiply by noise in training."""
    check_rate(rate, "rate")
    return Built(x, [])


def GaussianNoise(x: Dims, *, stddev: Number, seed: Seed | None = None) -> Built:
    """Add noise in training."""
    return Built(x, [])


def ActivityRegularization(x: Dims, *, l1: Number = 0.0, l2: Number = 0.0) -> Built:
    """Add to the loss."""
    return Built(x, [])


def Masking(x: Dims, *, mask_value: Number = 0.0) -> Built:
    """Mark the steps that hold a value."""
    return Built(x, [])


def Identity(x: Dims) -> Built:
    """Pass the input on."""
    return Built(x, [])


def Rescaling(x: Dims, *, scale: Number, offset: Number = 0.0) -> Built:
    """Multiply and add constants."""
    return Built(x, [])
