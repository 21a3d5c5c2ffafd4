"""Keras 3.15's layers: one function each, its keyword-only parameters Keras's own.

To add a layer, write its function (input shape and arguments in; output shape and weights out) and
give it a line in LAYERS. Defaults are Keras's. Shapes leave the batch axis out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from glorot_cli.arguments import (
    Axes,
    Dims,
    Init,
    Margins,
    Number,
    Seed,
    Size,
    Sizes,
)
from glorot_cli.dialects.layer import Built, LayerError, Weight
from glorot_cli.dialects.spatial import (
    DataFormat,
    feature_axis,
    join,
    known,
    margins,
    slide,
    split,
    split_known,
    spread,
)
from glorot_cli.errors import shown

Padding = Literal["valid", "same"]
ActivationName = Literal[
    "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish",
    "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign",
    "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh", "tanh_shrink",
    "threshold",
]  # fmt: skip


def check_rate(rate: float, key: str) -> None:
    """Check the share of elements that a layer drops."""
    if not 0.0 <= rate <= 1.0:
        raise LayerError(f"expected a rate from 0 to 1, found {rate!r}", key)


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
    inputs = known(x, -1)
    weights = [Weight("kernel", (inputs, units), "IO", kernel_initializer)]
    if use_bias:
        weights.append(Weight("bias", (units,), None, bias_initializer))
    return Built((*x[:-1], units), weights)


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


def convolution(rank: int) -> Callable[..., Built]:
    """Make the convolution over `rank` spatial axes."""

    def Conv(
        x: Dims,
        *,
        filters: Size,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Literal["valid", "same", "causal"] = "valid",
        data_format: DataFormat = "channels_last",
        dilation_rate: Sizes = 1,
        groups: Size = 1,
        activation: ActivationName | None = None,
        use_bias: bool = True,
        kernel_initializer: Init = "glorot_uniform",
        bias_initializer: Init = "zeros",
    ) -> Built:
        """Convolve with a kernel (*kernel_size, in / groups, filters)."""
        if padding == "causal" and rank > 1:
            raise LayerError("causal padding is for Conv1D only", "padding")
        space, channels = split_known(x, rank, data_format)
        if channels % groups:
            raise LayerError(f"{groups} groups do not divide {channels} input channels", "groups")
        if filters % groups:
            raise LayerError(f"{groups} groups do not divide {filters} filters", "groups")
        size = spread(kernel_size, rank, "kernel_size")
        rates = spread(dilation_rate, rank, "dilation_rate")
        if max(spread(strides, rank, "strides")) > 1 and max(rates) > 1:
            raise LayerError("strides and dilation_rate cannot both be above 1", "dilation_rate")
        space = slide(space, size, strides, padding, rates)
        axes = "DHW"[-rank:] + "IO"
        kernel = (*size, channels // groups, filters)
        weights = [Weight("kernel", kernel, axes, kernel_initializer, fused=groups)]
        if use_bias:
            weights.append(Weight("bias", (filters,), None, bias_initializer))
        return Built(join(space, filters, data_format), weights)

    return Conv


def DepthwiseConv2D(
    x: Dims,
    *,
    kernel_size: Sizes,
    strides: Sizes = 1,
    padding: Padding = "valid",
    depth_multiplier: Size = 1,
    data_format: DataFormat = "channels_last",
    dilation_rate: Sizes = 1,
    activation: ActivationName | None = None,
    use_bias: bool = True,
    depthwise_initializer: Init = "glorot_uniform",
    bias_initializer: Init = "zeros",
) -> Built:
    """Convolve each channel by itself with a kernel (h, w, in, multiplier)."""
    space, channels = split_known(x, 2, data_format)
    size = spread(kernel_size, 2, "kernel_size")
    space = slide(space, size, strides, padding, dilation_rate)
    kernel = (*size, channels, depth_multiplier)
    weights = [Weight("kernel", kernel, "HWBO", depthwise_initializer)]
    if use_bias:
        weights.append(Weight("bias", (channels * depth_multiplier,), None, bias_initializer))
    return Built(join(space, channels * depth_multiplier, data_format), weights)


def BatchNormalization(
    x: Dims,
    *,
    axis: int = -1,
    momentum: Number = 0.99,
    epsilon: Number = 0.001,
    center: bool = True,
    scale: bool = True,
    beta_initializer: Init = "zeros",
    gamma_initializer: Init = "ones",
    moving_mean_initializer: Init = "zeros",
    moving_variance_initializer: Init = "ones",
    synchronized: bool = False,
) -> Built:
    """Normalise over the batch, with moving statistics that are not trained."""
    shape = (known(x, feature_axis(x, axis)),)
    weights = []
    if scale:
        weights.append(Weight("gamma", shape, None, gamma_initializer))
    if center:
        weights.append(Weight("beta", shape, None, beta_initializer))
    for name, choice in (
        ("moving_mean", moving_mean_initializer),
        ("moving_variance", moving_variance_initializer),
    ):
        weights.append(Weight(name, shape, None, choice, trainable=False))
    return Built(x, weights)


def LayerNormalization(
    x: Dims,
    *,
    axis: Axes = -1,
    epsilon: Number = 0.001,
    center: bool = True,
    scale: bool = True,
    beta_initializer: Init = "zeros",
    gamma_initializer: Init = "ones",
) -> Built:
    """Normalise over the given axes of each sample."""
    axes = (axis,) if isinstance(axis, int) else sorted(axis)
    shape = tuple(known(x, feature_axis(x, each)) for each in axes)
    roles = "O" * len(shape) if len(shape) > 1 else None
    weights = []
    if scale:
        weights.append(Weight("gamma", shape, roles, gamma_initializer))
    if center:
        weights.append(Weight("beta", shape, roles, beta_initializer))
    return Built(x, weights)


def MultiHeadAttention(
    x: Dims,
    *,
    num_heads: Size,
    key_dim: Size,
    value_dim: Size | None = None,
    dropout: Number = 0.0,
    use_bias: bool = True,
    output_shape: Sizes | None = None,
    attention_axes: Axes | None = None,
    use_gate: bool = False,
    kernel_initializer: Init = "glorot_uniform",
    bias_initializer: Init = "zeros",
    seed: Seed | None = None,
) -> Built:
    """Attend from the input to itself.

    Query and key kernels are (d, heads, key), value (d, heads, value), output (heads, value, d).
    """
    if len(x) < 2:
        raise LayerError(f"MultiHeadAttention needs an input (steps, features), found {shown(x)}")
    check_rate(dropout, "dropout")
    inputs = known(x, -1)
    value_dim = value_dim or key_dim
    outputs = (inputs,) if output_shape is None else spread(output_shape, 1, None)
    sizes = {"query": key_dim, "key": key_dim, "value": value_dim}
    if use_gate:
        sizes = {"query": key_dim, "key": key_dim, "gate": value_dim, "value": value_dim}
    weights = []
    for name, size in sizes.items():
        kernel = (inputs, num_heads, size)
        # Keras keeps a public property for each but the gate.
        owner = "_gate_dense" if name == "gate" else f"{name}_dense"
        weights.append(Weight(f"{name}/kernel", kernel, "IOO", kernel_initializer, owner=owner))
        if use_bias:
            bias = (num_heads, size)
            weights.append(Weight(f"{name}/bias", bias, "OO", bias_initializer, owner=owner))
    name, owner = "attention_output", "output_dense"
    output_kernel = (num_heads, value_dim, *outputs)
    roles = "II" + "O" * len(outputs)
    weights.append(Weight(f"{name}/kernel", output_kernel, roles, kernel_initializer, owner=owner))
    if use_bias:
        roles_of_bias = "O" * len(outputs) if len(outputs) > 1 else None
        weights.append(
            Weight(f"{name}/bias", outputs, roles_of_bias, bias_initializer, owner=owner)
        )
    return Built((*x[:-1], *outputs), weights)


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


def Softmax(x: Dims, *, axis: Axes = -1) -> Built:
    """Make the elements along an axis sum to one."""
    return Built(x, [])


def Dropout(
    x: Dims, *, rate: Number, noise_shape: Dims | None = None, seed: Seed | None = None
) -> Built:
    """Drop elements in training."""
    check_rate(rate, "rate")
    return Built(x, [])


def Flatten(x: Dims, *, data_format: DataFormat = "channels_last") -> Built:
    """Join all axes into one."""
    return Built((None if None in x else math.prod(n for n in x if n is not None),), [])


def Reshape(x: Dims, *, target_shape: Axes) -> Built:
    """Give the elements another shape; one size may be -1."""
    target = (target_shape,) if isinstance(target_shape, int) else target_shape
    sizes = [size for size in target if size != -1]
    if len(sizes) < len(target) - 1 or any(size < 1 for size in sizes):
        raise LayerError(
            f"expected positive sizes and at most one -1, found {shown(target)}", "target_shape"
        )
    if None in x:
        return Built(tuple(None if size == -1 else size for size in target), [])
    total, given = math.prod(n for n in x if n is not None), math.prod(sizes)
    if total % given or (given != total and len(sizes) == len(target)):
        raise LayerError(
            f"{total} elements of shape {shown(x)} do not fit into {shown(target)}", "target_shape"
        )
    return Built(tuple(total // given if size == -1 else size for size in target), [])


def pooling(rank: int) -> Callable[..., Built]:
    """Make the maximum or average pooling over `rank` spatial axes."""

    def Pooling(
        x: Dims,
        *,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: Padding = "valid",
        data_format: DataFormat = "channels_last",
    ) -> Built:
        """Keep one value of each window."""
        space, channels = split(x, rank, data_format)
        size = spread(pool_size, rank, "pool_size")
        space = slide(space, size, size if strides is None else strides, padding)
        return Built(join(space, channels, data_format), [])

    return Pooling


def global_pooling(rank: int) -> Callable[..., Built]:
    """Make the maximum or average over all of `rank` spatial axes."""

    def GlobalPooling(
        x: Dims, *, data_format: DataFormat = "channels_last", keepdims: bool = False
    ) -> Built:
        """Keep one value of each channel."""
        _, channels = split(x, rank, data_format)
        return Built(join((1,) * rank if keepdims else (), channels, data_format), [])

    return GlobalPooling


def ZeroPadding2D(
    x: Dims,
    *,
    padding: Margins = 1,
    data_format: DataFormat = "channels_last",
) -> Built:
    """Add rows and columns of zeros."""
    space, channels = split(x, 2, data_format)
    padded = tuple(
        None if n is None else n + sum(side)
        for n, side in zip(space, margins(padding, 2), strict=True)
    )
    return Built(join(padded, channels, data_format), [])


LAYERS: dict[str, Callable[..., Built]] = {
    "Activation": Activation,
    "AveragePooling1D": pooling(1),
    "AveragePooling2D": pooling(2),
    "AveragePooling3D": pooling(3),
    "BatchNormalization": BatchNormalization,
    "Conv1D": convolution(1),
    "Conv2D": convolution(2),
    "Conv3D": convolution(3),
    "Dense": Dense,
    "DepthwiseConv2D": DepthwiseConv2D,
    "Dropout": Dropout,
    "Embedding": Embedding,
    "Flatten": Flatten,
    "GlobalAveragePooling1D": global_pooling(1),
    "GlobalAveragePooling2D": global_pooling(2),
    "GlobalAveragePooling3D": global_pooling(3),
    "GlobalMaxPooling1D": global_pooling(1),
    "GlobalMaxPooling2D": global_pooling(2),
    "GlobalMaxPooling3D": global_pooling(3),
    "LayerNormalization": LayerNormalization,
    "MaxPooling1D": pooling(1),
    "MaxPooling2D": pooling(2),
    "MaxPooling3D": pooling(3),
    "MultiHeadAttention": MultiHeadAttention,
    "ReLU": ReLU,
    "Reshape": Reshape,
    "Softmax": Softmax,
    "ZeroPadding2D": ZeroPadding2D,
}
