"""The initialisers of torch.nn.init, with their parameters and defaults."""

from __future__ import annotations

import math
from typing import Literal

from glorot_cli.arguments import Number, Row, Size
from glorot_cli.distributions import (
    Normal,
    NormOf,
    Ones,
    Orthogonal,
    Pieces,
    SingularOf,
    Sparse,
    TruncatedNormal,
    Uniform,
)
from glorot_cli.initializers.gain import Gain, Nonlinearity, calculate_gain
from glorot_cli.initializers.kernel import Kernel, Per, matrix_sides, positive, uniform_between
from glorot_cli.initializers.steps import Step

# In standard deviations. No normal is as far out, so that a bound beyond cuts nothing.
FARTHEST_CUT = 1e6
# Each passes twice over the tensor.
MOST_ITERATIONS = 128

TorchMode = Literal["fan_in", "fan_out"]


def xavier_uniform(kernel: Kernel, *, gain: Gain = 1.0) -> Uniform:
    """U(-a, a), a = sqrt(3) * gain * sqrt(2 / (fan_in + fan_out)) (torch.nn.init)."""
    std = _xavier(kernel, gain)
    a = kernel.say("a", f"sqrt(3) * {std!r}", math.sqrt(3.0) * std)
    return Uniform(-a, a)


def xavier_normal(kernel: Kernel, *, gain: Gain = 1.0) -> Normal:
    """N(0, std**2), std = gain * sqrt(2 / (fan_in + fan_out)) (torch.nn.init)."""
    return Normal(0.0, _xavier(kernel, gain))


def _xavier(kernel: Kernel, gain: float) -> float:
    fan_in, fan_out = kernel.fans
    std = positive(gain, "gain") * math.sqrt(2.0 / float(fan_in + fan_out))
    return kernel.say("std", f"{gain!r} * sqrt(2 / ({fan_in} + {fan_out}))", std)


def kaiming_uniform(
    kernel: Kernel,
    *,
    a: Number = 0.0,
    mode: TorchMode = "fan_in",
    nonlinearity: Nonlinearity = "leaky_relu",
) -> Uniform:
    """U(-bound, bound), bound = sqrt(3) * gain / sqrt(fan) (He et al., 2015; torch.nn.init).

    gain is calculate_gain(nonlinearity, a): sqrt(2 / (1 + a**2)) for leaky_relu.
    """
    std = _kaiming(kernel, a, mode, nonlinearity)
    bound = kernel.say("bound", f"sqrt(3) * {std!r}", math.sqrt(3.0) * std)
    return Uniform(-bound, bound)


def kaiming_normal(
    kernel: Kernel,
    *,
    a: Number = 0.0,
    mode: TorchMode = "fan_in",
    nonlinearity: Nonlinearity = "leaky_relu",
) -> Normal:
    """N(0, std**2), std = gain / sqrt(fan) (He et al., 2015; torch.nn.init)."""
    return Normal(0.0, _kaiming(kernel, a, mode, nonlinearity))


def _kaiming(kernel: Kernel, a: float, mode: str, nonlinearity: str) -> float:
    fans = kernel.fans
    fan = fans.fan_in if mode == "fan_in" else fans.fan_out
    gain = calculate_gain(nonlinearity, a)
    kernel.say("gain", f"calculate_gain({nonlinearity}, {a!r})", positive(gain, "a gain"))
    return kernel.say("std", f"{gain!r} / sqrt({mode} {fan})", gain / math.sqrt(fan))


def trunc_normal(
    kernel: Kernel,
    *,
    mean: Number = 0.0,
    std: Number = 1.0,
    a: Number = -2.0,
    b: Number = 2.0,
) -> TruncatedNormal:
    """N(mean, std**2) cut to [a, b], which are values, not multiples of std (torch.nn.init)."""
    if not a < b:
        raise ValueError(f"expected a below b, found {a!r} and {b!r}")
    low, high = (a - mean) / positive(std, "std"), (b - mean) / std
    if low > 5.0 or high < -5.0:
        raise ValueError(f"[{a!r}, {b!r}] lies more than 5 std from the mean, found std {std!r}")
    if max(-low, high) > 10.0:
        text = f"[{a!r}, {b!r}] is absolute and cuts nothing at std {std!r}"
        kernel.steps.append(Step(text, "notice"))
    # The division's rounding must not let a value past a bound that cuts.
    while low > -FARTHEST_CUT and mean + std * low < a:
        low = math.nextafter(low, math.inf)
    while high < FARTHEST_CUT and mean + std * high > b:
        high = math.nextafter(high, -math.inf)
    return TruncatedNormal(mean, std, max(low, -FARTHEST_CUT), min(high, FARTHEST_CUT))


def normal(kernel: Kernel, *, mean: Number = 0.0, std: Number = 1.0) -> Normal:
    """N(mean, std**2) (torch.nn.init)."""
    return Normal(mean, positive(std, "std"))


def uniform(kernel: Kernel, *, a: Number = 0.0, b: Number = 1.0) -> Uniform:
    """U(a, b) (torch.nn.init); Keras's alias `uniform` is random_uniform here."""
    return uniform_between(a, b, "a", "b")


def eye(kernel: Kernel, *, per: Per | None = None) -> Ones | Orthogonal | Pieces:
    """1 on the main diagonal of a matrix, 0 elsewhere (torch.nn.init).

    `per: kernel` gives each kernel its diagonal, along B axes and in fused pieces; `per: tensor`
    the tensor one.
    """
    rows, columns = matrix_sides(kernel.alone(per), "eye")
    return kernel.of_each(Ones(1.0, min(rows, columns), columns + 1), per)


def dirac(
    kernel: Kernel, *, groups: Size = 1, per: Per | None = None
) -> Ones | Orthogonal | Pieces:
    """1 where a convolution passes its input channels on, 0 elsewhere (torch.nn.init).

    For kernels in torch's order, (out, in / groups, *field). `per: kernel` does so for each kernel,
    along B axes and in fused pieces, which takes the place of groups.
    """
    per = per or ("tensor" if groups > 1 else None)
    shape = kernel.alone(per).shape
    if not 3 <= len(shape) <= 5:
        raise ValueError(f"dirac needs 3 to 5 axes, found shape {list(shape)}")
    if shape[0] % groups:
        raise ValueError(f"{groups} groups do not divide the {shape[0]} outputs")
    outputs, field = shape[0] // groups, math.prod(shape[2:])
    centre = 0
    for size in shape[2:]:
        centre = centre * size + size // 2
    step = (shape[1] + 1) * field
    stride = outputs * shape[1] * field
    return kernel.of_each(Ones(1.0, min(outputs, shape[1]), step, centre, groups, stride), per)


def sparse(kernel: Kernel, *, sparsity: Number, std: Number = 0.01) -> Sparse:
    """N(0, std**2), ceil(sparsity * rows) of each column 0 (Martens, 2010; torch.nn.init)."""
    rows, _ = matrix_sides(kernel, "sparse")
    if not 0.0 <= sparsity <= 1.0:
        raise ValueError(f"expected a sparsity from 0 to 1, found {sparsity!r}")
    return Sparse(positive(std, "std"), math.ceil(sparsity * rows))


def norm_of(kernel: Kernel, *, tensor: str, dim: Row = 0) -> NormOf:
    """The 2-norm of each slice of another tensor along `dim`, or with null of all of it.

    torch.nn.utils.weight_norm's g, whose v is the other: the kernel that they make is v itself.
    {stem} in the name is this one's up to its last . or /.
    """
    return NormOf(tensor, dim)


def singular_vector_of(
    kernel: Kernel,
    *,
    tensor: str,
    dim: Row = 0,
    side: Literal["left", "right"] = "left",
    iterations: Size = 16,
) -> SingularOf:
    """The first singular vector of another tensor by the power method, from a random start.

    torch.nn.utils.spectral_norm's u (left) and v (right): the other counts as a matrix whose rows
    are its slices along `dim`. Names are as for norm_of, and {stem.stem} is the stem of the stem.
    """
    if dim is None:
        raise ValueError("expected an axis as dim, found null")
    if iterations > MOST_ITERATIONS:
        raise ValueError(f"expected at most {MOST_ITERATIONS} iterations, found {iterations}")
    return SingularOf(tensor, dim, side=side, iterations=iterations)


def torch_bias(kernel: Kernel) -> Uniform:
    """U(-bound, bound), bound = 1 / sqrt(fan_in), of the kernel beside it (torch's layers).

    The fans are those of the tensor that `fans_of` names, by default of "{stem}.weight".
    """
    if kernel.donor is None:
        raise ValueError("torch_bias needs fans_of, the name of a kernel")
    fan_in = kernel.fans.fan_in
    bound = kernel.say("bound", f"1 / sqrt({fan_in})", 1.0 / math.sqrt(fan_in))
    return Uniform(-bound, bound)
