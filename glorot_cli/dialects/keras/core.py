"""Dense layers, embeddings, and what acts on each element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from glorot_cli.arguments import Axes, Dims, Init, Number, Seed, Size
from glorot_cli.dialects.layer import Built, LayerError, Weight
from glorot_cli.dialects.spatial import DataFormat, check_rank, check_rate, known
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


def ReversibleEmbedding(
    x: Dims,
    *,
    input_dim: Size,
    output_dim: Size,
    tie_weights: bool = True,
    embeddings_initializer: Init = "random_uniform",
    mask_zero: bool = False,
    reverse_dtype: str | None = None,
    logit_soft_cap: Number | None = None,
) -> Built:
    """Look up rows as Embedding does, and the reverse, by a table of its own if not tied."""
    shape = input_dim, output_dim
    weights = [Weight("embeddings", shape, "IO", embeddings_initializer)]
    if not tie_weights:
        weights.append(Weight("reverse_embeddings", shape[::-1], "IO", embeddings_initializer))
    return Built((*x, output_dim), weights)


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
    if negative_slope < 0.0:
        raise LayerError(
            f"expected a number of at least 0, found {negative_slope!r}", "negative_slope"
        )
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


def SpatialDropout1D(x: Dims, *, rate: Number, seed: Seed | None = None) -> Built:
    """Drop whole channels of steps in training."""
    check_rate(rate, "rate")
    check_rank(x, 2)
    return Built(x, [])


def spatial_dropout(rank: int) -> Callable[..., Built]:
    """Make the dropout of whole channels over `rank` spatial axes."""

    def SpatialDropout(
        x: Dims,
        *,
        rate: Number,
        data_format: DataFormat = "channels_last",
        seed: Seed | None = None,
    ) -> Built:
        """Drop whole channels in training."""
        check_rate(rate, "rate")
        check_rank(x, rank + 1)
        return Built(x, [])

    return SpatialDropout


def GaussianDropout(x: Dims, *, rate: Number, seed: Seed | None = None) -> Built:
    """Multiply by noise in training."""
    check_rate(rate, "rate")
    return Built(x, [])


def GaussianNoise(x: Dims, *, stddev: Number, seed: Seed | None = None) -> Built:
    """Add noise in training."""
    check_rate(stddev, "stddev")
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
