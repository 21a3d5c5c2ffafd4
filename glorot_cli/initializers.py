"""Initialisers by their frameworks' names: fans and arguments to the law of a tensor's elements.

Each is a function whose keyword-only parameters are its framework's, with its defaults. Keras's
"normal" variants are truncated at two standard deviations, and keep that meaning here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from glorot_cli.arguments import InitializerChoice, Number, Size, bind, checked_number, checked_seed
from glorot_cli.distributions import (
    Constant,
    Distribution,
    Normal,
    Ones,
    Orthogonal,
    Sparse,
    TruncatedNormal,
    Uniform,
    is_random,
)
from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.expressions import Names
from glorot_cli.fans import FanRule, Fans, Shape, count_fans

# The stddev of a standard normal cut at two standard deviations, as Keras and JAX write it.
TRUNCATED_STDDEV = 0.87962566103423978

Mode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
TorchMode = Literal["fan_in", "fan_out"]
# Not "normal", which Keras takes for truncated and JAX for not.
Law = Literal["truncated_normal", "untruncated_normal", "uniform"]

# torch.nn.init.calculate_gain; leaky_relu's takes the slope.
GAINS = {
    "linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0, "conv_transpose3d": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0), "leaky_relu": math.sqrt(2.0 / (1 + 0.01**2)), "selu": 3.0 / 4,
}  # fmt: skip
Nonlinearity = Literal[
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu",
]  # fmt: skip


def _gain(value: object, info: ValidationInfo) -> float:
    if isinstance(value, str) and value.isidentifier() and value not in (info.context or {}):
        if value not in GAINS:
            hint = suggestion(value, GAINS)
            raise ValueError(f"expected a number or a nonlinearity, found {shown(value)}; {hint}")
        return GAINS[value]
    return checked_number(value, info)


Gain = Annotated[float, BeforeValidator(_gain), WithJsonSchema({"type": ["number", "string"]})]
"""A number, an expression, or the name of a nonlinearity, by `calculate_gain`."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """Describe the tensor that an initialiser is asked to fill.

    `steps` collects the arithmetic, for `explain`.
    """

    shape: Shape
    axes: str | None
    fused: int
    rule: FanRule
    steps: list[str] = field(default_factory=list, compare=False)

    @property
    def fans(self) -> Fans:
        """The fans by the kernel's rule; ValueError where the rule has none for this shape."""
        fans = count_fans(self.rule, self.shape, self.axes, self.fused)
        self.steps.append(f"fan_in = {fans.fan_in}, fan_out = {fans.fan_out} ({self.rule} rule)")
        return fans

    def say(self, name: str, formula: str, value: float) -> float:
        """Note a step of the arithmetic and return its value."""
        self.steps.append(f"{name} = {formula} = {value!r}")
        return value


def calculate_gain(nonlinearity: str, slope: float) -> float:
    """Return torch.nn.init.calculate_gain's value."""
    return math.sqrt(2.0 / (1 + slope**2)) if nonlinearity == "leaky_relu" else GAINS[nonlinearity]


def variance_scaling(
    kernel: Kernel,
    *,
    scale: Number = 1.0,
    mode: Mode = "fan_in",
    distribution: Law = "truncated_normal",
) -> Distribution:
    """Variance scale / fan, of a truncated normal, a normal or a uniform law.

    Keras 3 and jax.nn, in Keras's order: s = scale / max(1, fan); uniform limit sqrt(3 s);
    truncated stddev sqrt(s) / 0.87962566103423978, cut at two of them; normal stddev sqrt(s).
    fan is fan_in, fan_out, their mean (fan_avg), or jax's root of their product (fan_geo_avg).
    """
    if scale <= 0.0:
        raise ValueError(f"expected a scale above 0, found {scale!r}")
    fans = kernel.fans
    fan = {
        "fan_in": float(fans.fan_in),
        "fan_out": float(fans.fan_out),
        "fan_avg": (fans.fan_in + fans.fan_out) / 2.0,
        "fan_geo_avg": math.sqrt(fans.fan_in * fans.fan_out),
    }[mode]
    s = kernel.say("s", f"{scale!r} / max(1, {mode} {fan!r})", scale / max(1.0, fan))
    if distribution == "uniform":
        limit = kernel.say("limit", f"sqrt(3 * {s!r})", math.sqrt(3.0 * s))
        return Uniform(-limit, limit, variance=s)
    if distribution == "truncated_normal":
        stddev = math.sqrt(s) / TRUNCATED_STDDEV
        kernel.say("stddev", f"sqrt({s!r}) / {TRUNCATED_STDDEV!r}", stddev)
        return TruncatedNormal(0.0, stddev)
    return Normal(0.0, kernel.say("stddev", f"sqrt({s!r})", math.sqrt(s)))


def glorot_uniform(kernel: Kernel) -> Distribution:
    """U(-limit, limit), limit = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010; Keras 3)."""
    return variance_scaling(kernel, scale=1.0, mode="fan_avg", distribution="uniform")


def glorot_normal(kernel: Kernel) -> Distribution:
    """Truncated normal of std sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010; Keras 3)."""
    return variance_scaling(kernel, scale=1.0, mode="fan_avg", distribution="truncated_normal")


def he_uniform(kernel: Kernel) -> Distribution:
    """U(-limit, limit), limit = sqrt(6 / fan_in) (He et al., 2015; Keras 3)."""
    return variance_scaling(kernel, scale=2.0, mode="fan_in", distribution="uniform")


def he_normal(kernel: Kernel) -> Distribution:
    """Truncated normal of std sqrt(2 / fan_in) (He et al., 2015; Keras 3)."""
    return variance_scaling(kernel, scale=2.0, mode="fan_in", distribution="truncated_normal")


def lecun_uniform(kernel: Kernel) -> Distribution:
    """U(-limit, limit), limit = sqrt(3 / fan_in) (LeCun et al., 1998; Keras 3)."""
    return variance_scaling(kernel, scale=1.0, mode="fan_in", distribution="uniform")


def lecun_normal(kernel: Kernel) -> Distribution:
    """Truncated normal of std sqrt(1 / fan_in) (LeCun et al., 1998; Keras 3)."""
    return variance_scaling(kernel, scale=1.0, mode="fan_in", distribution="truncated_normal")


def random_uniform(kernel: Kernel, *, minval: Number = -0.05, maxval: Number = 0.05) -> Uniform:
    """U(minval, maxval) (Keras 3)."""
    return _range(minval, maxval, "minval", "maxval")


def random_normal(kernel: Kernel, *, mean: Number = 0.0, stddev: Number = 0.05) -> Normal:
    """N(mean, stddev**2) (Keras 3)."""
    return Normal(mean, _positive(stddev, "stddev"))


def truncated_normal(
    kernel: Kernel, *, mean: Number = 0.0, stddev: Number = 0.05
) -> TruncatedNormal:
    """N(mean, stddev**2) cut at two stddev from the mean (Keras 3); its own std is 0.88 stddev."""
    return TruncatedNormal(mean, _positive(stddev, "stddev"))


def zeros(kernel: Kernel) -> Constant:
    """0 everywhere."""
    return Constant(0.0)


def ones(kernel: Kernel) -> Constant:
    """1 everywhere."""
    return Constant(1.0)


def constant(kernel: Kernel, *, value: Number = 0.0) -> Constant:
    """One value everywhere (Keras 3)."""
    return Constant(value)


def identity(kernel: Kernel, *, gain: Number = 1.0) -> Ones:
    """`gain` on the main diagonal of a matrix, 0 elsewhere (Keras 3)."""
    rows, columns = _matrix(kernel, "identity")
    return Ones(gain, min(rows, columns), columns + 1)


def orthogonal(kernel: Kernel, *, gain: Gain = 1.0) -> Orthogonal:
    """Orthogonal rows or columns of length `gain` (Saxe et al., 2014; Keras 3, torch.nn.init).

    The last axis against the rest, as in Keras; where axes begin with O, the first, as in torch.
    The last bits hold for one BLAS library only.
    """
    if len(kernel.shape) < 2:
        raise ValueError(f"orthogonal needs two axes or more, found shape {list(kernel.shape)}")
    axes = kernel.axes or ""
    return Orthogonal(_positive(gain, "gain"), first=axes.startswith("O") and "I" in axes)


def delta_orthogonal(kernel: Kernel, *, scale: Number = 1.0) -> Orthogonal:
    """An orthogonal matrix at the centre of a convolution's kernel (Xiao et al., 2018; jax.nn)."""
    shape = kernel.shape
    if not 3 <= len(shape) <= 5:
        raise ValueError(f"delta_orthogonal needs 3 to 5 axes, found shape {list(shape)}")
    if shape[-1] < shape[-2]:
        raise ValueError(f"delta_orthogonal needs out >= in, found shape {list(shape)}")
    return Orthogonal(_positive(scale, "scale"), delta=True)


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
    std = _positive(gain, "gain") * math.sqrt(2.0 / float(fan_in + fan_out))
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
    kernel.say("gain", f"calculate_gain({nonlinearity}, {a!r})", gain)
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
    low, high = (a - mean) / _positive(std, "std"), (b - mean) / std
    if low > 5.0 or high < -5.0:
        raise ValueError(f"[{a!r}, {b!r}] lies more than 5 std from the mean, found std {std!r}")
    if max(-low, high) > 10.0:
        kernel.steps.append(f"note: [{a!r}, {b!r}] is absolute and cuts nothing at std {std!r}")
    # The division's rounding must not let a value past a bound.
    while mean + std * low < a:
        low = math.nextafter(low, math.inf)
    while mean + std * high > b:
        high = math.nextafter(high, -math.inf)
    return TruncatedNormal(mean, std, low, high)


def normal(kernel: Kernel, *, mean: Number = 0.0, std: Number = 1.0) -> Normal:
    """N(mean, std**2) (torch.nn.init)."""
    return Normal(mean, _positive(std, "std"))


def uniform(kernel: Kernel, *, a: Number = 0.0, b: Number = 1.0) -> Uniform:
    """U(a, b) (torch.nn.init); Keras's alias `uniform` is random_uniform here."""
    return _range(a, b, "a", "b")


def eye(kernel: Kernel) -> Ones:
    """1 on the main diagonal of a matrix, 0 elsewhere (torch.nn.init)."""
    rows, columns = _matrix(kernel, "eye")
    return Ones(1.0, min(rows, columns), columns + 1)


def dirac(kernel: Kernel, *, groups: Size = 1) -> Ones:
    """1 where a convolution passes its input channels on, 0 elsewhere (torch.nn.init).

    For kernels in torch's order, (out, in / groups, *field).
    """
    shape = kernel.shape
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
    return Ones(1.0, min(outputs, shape[1]), step, centre, groups, stride)


def sparse(kernel: Kernel, *, sparsity: Number, std: Number = 0.01) -> Sparse:
    """N(0, std**2), ceil(sparsity * rows) of each column 0 (Martens, 2010; torch.nn.init)."""
    rows, _ = _matrix(kernel, "sparse")
    if not 0.0 <= sparsity <= 1.0:
        raise ValueError(f"expected a sparsity from 0 to 1, found {sparsity!r}")
    return Sparse(_positive(std, "std"), math.ceil(sparsity * rows))


def _range(low: float, high: float, low_name: str, high_name: str) -> Uniform:
    if not low < high:
        raise ValueError(f"expected {low_name} below {high_name}, found {low!r} and {high!r}")
    return Uniform(low, high)


def _positive(value: float, name: str) -> float:
    if value <= 0.0:
        raise ValueError(f"expected {name} above 0, found {value!r}")
    return value


def _matrix(kernel: Kernel, name: str) -> tuple[int, int]:
    if len(kernel.shape) != 2:
        raise ValueError(f"{name} needs a matrix, found shape {list(kernel.shape)}")
    return kernel.shape[0], kernel.shape[1]


class Initializer(NamedTuple):
    """Name an initialiser's function and the framework that it is from."""

    function: Callable[..., Distribution]
    source: str


INITIALIZERS: dict[str, Initializer] = {
    "constant": Initializer(constant, "Keras"),
    "delta_orthogonal": Initializer(delta_orthogonal, "JAX"),
    "dirac": Initializer(dirac, "torch"),
    "eye": Initializer(eye, "torch"),
    "glorot_normal": Initializer(glorot_normal, "Keras"),
    "glorot_uniform": Initializer(glorot_uniform, "Keras"),
    "he_normal": Initializer(he_normal, "Keras"),
    "he_uniform": Initializer(he_uniform, "Keras"),
    "identity": Initializer(identity, "Keras"),
    "kaiming_normal": Initializer(kaiming_normal, "torch"),
    "kaiming_uniform": Initializer(kaiming_uniform, "torch"),
    "lecun_normal": Initializer(lecun_normal, "Keras"),
    "lecun_uniform": Initializer(lecun_uniform, "Keras"),
    "normal": Initializer(normal, "torch"),
    "ones": Initializer(ones, "Keras"),
    "orthogonal": Initializer(orthogonal, "Keras"),
    "random_normal": Initializer(random_normal, "Keras"),
    "random_uniform": Initializer(random_uniform, "Keras"),
    "sparse": Initializer(sparse, "torch"),
    "trunc_normal": Initializer(trunc_normal, "torch"),
    "truncated_normal": Initializer(truncated_normal, "Keras"),
    "uniform": Initializer(uniform, "torch"),
    "variance_scaling": Initializer(variance_scaling, "Keras"),
    "xavier_normal": Initializer(xavier_normal, "torch"),
    "xavier_uniform": Initializer(xavier_uniform, "torch"),
    "zeros": Initializer(zeros, "Keras"),
}
# Keras accepts both cases: glorot_uniform and GlorotUniform.
CLASS_NAMES = {
    name.title().replace("_", ""): name
    for name, initializer in INITIALIZERS.items()
    if initializer.source == "Keras"
}


@dataclass(frozen=True, slots=True)
class Decided:
    """Hold the initialiser that decides a tensor: its name, all its arguments, and its law."""

    name: str
    arguments: dict[str, Any]
    distribution: Distribution
    seed: int | None
    steps: list[str]

    @property
    def uses_fans(self) -> bool:
        """Whether the law depends on the fans."""
        return any(step.startswith("fan_in") for step in self.steps)


def find_initializer(name: str, path: KeyPath = ()) -> str:
    """Return an initialiser's snake-case name.

    Raises:
        SpecError: if there is none of that name.
    """
    snake = CLASS_NAMES.get(name, name)
    if snake not in INITIALIZERS:
        hint = suggestion(name, INITIALIZERS, listed=0)
        near = f" {hint}" if hint.startswith("did") else ""
        raise SpecError(
            f"unknown initializer {shown(name)};{near} known: {', '.join(INITIALIZERS)}", path
        )
    return snake


def decide(choice: InitializerChoice, kernel: Kernel, names: Names) -> Decided:
    """Resolve what a spec says of an initialiser, for one tensor.

    Raises:
        SpecError: at the name or the argument that does not fit.
    """
    path = choice.path
    given: dict[str, object] = {}
    if isinstance(choice.value, str):
        name = find_initializer(choice.value, path)
    else:
        assert isinstance(choice.value, Mapping)
        given = dict(choice.value)
        said = given.pop("name", None)
        if not isinstance(said, str):
            raise SpecError("an initializer needs 'name', which is missing", path)
        name = find_initializer(said, (*path, "name"))
    seed = checked_seed(given.pop("seed", None), names, (*path, "seed"))
    function = INITIALIZERS[name].function
    arguments = bind(function, given, names, path, name, ("name", "seed"))
    for key, value in given.items():
        if isinstance(value, str) and isinstance(arguments[key], float):
            kernel.say(key, value, arguments[key])
    try:
        distribution = function(kernel, **arguments)
    except ValueError as error:
        raise SpecError(str(error), path) from None
    if seed is not None and not is_random(distribution):
        raise SpecError(f"{name} draws nothing, so it takes no seed", (*path, "seed"), at_key=True)
    return Decided(name, arguments, distribution, seed, kernel.steps)
