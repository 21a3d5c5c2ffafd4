"""The laws of a tensor's elements, which an initialiser comes to once its fans are known."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeGuard

from glorot_cli import elementary
from glorot_cli.fans import Shape
from glorot_cli.placed import Placed

if TYPE_CHECKING:
    from glorot_cli.streams.replay import Replay


@dataclass(frozen=True, slots=True)
class Uniform:
    """Spread evenly over [low, high].

    `variance` is what a scaled law's limit was computed from, for jax's stream, which rounds it
    to the tensor's dtype first.
    """

    low: float
    high: float
    variance: float | None = field(default=None, compare=False)

    @property
    def limit(self) -> float | None:
        """The bound of a symmetric range."""
        return self.high if self.low == -self.high else None

    @property
    def half(self) -> float:
        """Half the range's width, which may be wider than the largest number."""
        width = self.high - self.low
        return width / 2.0 if math.isfinite(width) else self.high / 2.0 - self.low / 2.0

    def mean(self, shape: Shape) -> float:
        return self.low + self.half

    def std(self, shape: Shape) -> float:
        return 2.0 * (self.half / math.sqrt(12.0))


@dataclass(frozen=True, slots=True)
class Normal:
    """Follow the normal law."""

    centre: float
    stddev: float

    def mean(self, shape: Shape) -> float:
        return self.centre

    def std(self, shape: Shape) -> float:
        return self.stddev


@dataclass(frozen=True, slots=True)
class TruncatedNormal:
    """Follow the normal law of `stddev`, cut to [low, high], both in multiples of stddev."""

    centre: float
    stddev: float
    low: float = -2.0
    high: float = 2.0

    def mean(self, shape: Shape) -> float:
        return self.centre + self.stddev * _truncated_moments(self.low, self.high)[0]

    def std(self, shape: Shape) -> float:
        return self.stddev * math.sqrt(_truncated_moments(self.low, self.high)[1])


@functools.lru_cache(256)
def _truncated_moments(low: float, high: float) -> tuple[float, float]:
    """Return the mean and the variance of the standard normal cut to [low, high]."""
    if low > 0.0:
        mean, variance = _truncated_moments(-high, -low)
        return -mean, variance
    if high - low < 0.5:
        return _narrow_moments(low, high)
    mass = (math.erf(high / math.sqrt(2.0)) - math.erf(low / math.sqrt(2.0))) / 2.0
    at_low, at_high = (math.exp(-x * x / 2.0) / math.sqrt(2.0 * math.pi) for x in (low, high))
    mean = (at_low - at_high) / mass
    return mean, 1.0 + (low * at_low - high * at_high) / mass - mean * mean


def _narrow_moments(low: float, high: float) -> tuple[float, float]:
    """Return the same by Simpson's rule about the middle, where the formula cancels."""
    middle, half = low + (high - low) / 2.0, (high - low) / 2.0
    steps = [(i / 32.0, 1.0 if abs(i) == 32 else 4.0 if i % 2 else 2.0) for i in range(-32, 33)]
    # In units of half the width, with the density relative to that at the middle.
    weights = [w * math.exp(-half * t * (middle + half * t / 2.0)) for t, w in steps]
    total = math.fsum(weights)
    mean = math.fsum(w * t for (t, _), w in zip(steps, weights, strict=True)) / total
    squares = (w * (t - mean) ** 2 for (t, _), w in zip(steps, weights, strict=True))
    return middle + half * mean, half * half * (math.fsum(squares) / total)


@dataclass(frozen=True, slots=True)
class LogUniform:
    """Spread the logarithm evenly over that of [low, high], both above 0."""

    low: float
    high: float

    @property
    def logarithm(self) -> Uniform:
        """The distribution of the logarithm."""
        return Uniform(elementary.log(self.low), elementary.log(self.high))

    def mean(self, shape: Shape) -> float:
        return self.high * self._moments()[0]

    def std(self, shape: Shape) -> float:
        return self.high * math.sqrt(self._moments()[1])

    def _moments(self) -> tuple[float, float]:
        """Return the mean and the variance in units of `high`, whose square may be no number."""
        ratio, width = self.low / self.high, math.log(self.high) - math.log(self.low)
        if width < 1e-4:
            # The logarithm is even so close to the values, and the formula cancels.
            return (1.0 + ratio) / 2.0, (1.0 - ratio) ** 2 / 12.0
        mean = (1.0 - ratio) / width
        return mean, max(0.0, (1.0 - ratio * ratio) / (2.0 * width) - mean * mean)


@dataclass(frozen=True, slots=True)
class InverseSoftplus:
    """Hold what softplus, log(1 + exp(y)), takes to values of a log-uniform distribution."""

    of: LogUniform

    def mean(self, shape: Shape) -> float:
        return _mean(self._quantiles())

    def std(self, shape: Shape) -> float:
        return _deviation(self._quantiles())

    def _quantiles(self) -> list[float]:
        logs, count = self.of.logarithm, 1000
        steps = ((2 * i + 1) / count - 1.0 for i in range(count))
        middle = logs.low + logs.half
        # The exponential rounds, beyond the largest number too.
        powers = (math.exp(min(middle + logs.half * step, 709.0)) for step in steps)
        return [inverse_softplus(min(self.of.high, power)) for power in powers]


def _mean(values: Sequence[float]) -> float:
    """Return the mean of numbers whose sum may be none."""
    return math.fsum(value / len(values) for value in values)


def _deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of numbers whose squares may be none."""
    mean = _mean(values)
    return math.hypot(*(value - mean for value in values)) / math.sqrt(len(values))


def inverse_softplus(x: float) -> float:
    """Return log(exp(x) - 1)."""
    return x + math.log(-math.expm1(-x))


@dataclass(frozen=True, slots=True)
class Constant:
    """Hold one value everywhere; an integer only where float64 does not hold it."""

    value: float

    def mean(self, shape: Shape) -> float:
        return self.value

    def std(self, shape: Shape) -> float:
        return 0.0


@dataclass(frozen=True, slots=True)
class Ones:
    """Hold `gain` at few places and 0 elsewhere: `count` places, the first `start`, `step` apart.

    With `groups`, that many such runs follow each other, `stride` apart.
    """

    gain: float
    count: int
    step: int
    start: int = 0
    groups: int = 1
    stride: int = 0

    def mean(self, shape: Shape) -> float:
        return self.gain * self._share(shape)

    def std(self, shape: Shape) -> float:
        share = self._share(shape)
        return abs(self.gain) * math.sqrt(share - share * share)

    def _share(self, shape: Shape) -> float:
        return self.count * self.groups / math.prod(shape)


@dataclass(frozen=True, slots=True)
class Orthogonal:
    """Make the rows or the columns, whichever are fewer, orthogonal and of length `gain`.

    The tensor counts as a matrix of its last axis (or with `first`, its first) against the rest.
    With `delta` only the centre of the receptive field holds it, the rest is 0.
    """

    gain: float
    first: bool = False
    delta: bool = False

    def mean(self, shape: Shape) -> float:
        return 0.0

    def std(self, shape: Shape) -> float:
        if self.delta:
            return self.gain * math.sqrt(shape[-2] / math.prod(shape))
        side = shape[0] if self.first else shape[-1]
        return self.gain / math.sqrt(max(side, math.prod(shape) // side))


@dataclass(frozen=True, slots=True)
class Sparse:
    """Follow the normal law, but with `zeros` elements of each column at 0."""

    stddev: float
    zeros: int

    def mean(self, shape: Shape) -> float:
        return 0.0

    def std(self, shape: Shape) -> float:
        return self.stddev * math.sqrt(1.0 - self.zeros / shape[0])


@dataclass(frozen=True, slots=True)
class Derived:
    """Follow from another tensor.

    What that tensor is, is known once all are planned: `of` what it is drawn from, and the rest as
    in its own request.
    """

    tensor: str
    dim: int | None
    of: Distribution = Constant(0.0)
    shape: Shape = ()
    seed: int = 0
    dtype: str = "float32"
    rng: str = ""
    position: tuple[int, ...] = ()
    fma: bool = True
    replay: Replay | None = None


@dataclass(frozen=True, slots=True)
class NormOf(Derived):
    """Hold the 2-norms of another tensor's slices along `dim`, or with None its one norm."""

    def mean(self, shape: Shape) -> float:
        count = math.prod(self.shape) // (1 if self.dim is None else self.shape[self.dim])
        squares = self.of.mean(self.shape) ** 2 + self.of.std(self.shape) ** 2
        return math.sqrt(count * squares)

    def std(self, shape: Shape) -> float:
        """Return the spread of such norms, exact for many normal values."""
        return self.of.std(self.shape) / math.sqrt(2.0)


@dataclass(frozen=True, slots=True)
class SingularOf(Derived):
    """Hold the first left or right singular vector of another tensor, as the power method has it.

    The rows of the matrix are the other's slices along `dim`.
    """

    side: Literal["left", "right"] = "left"
    iterations: int = 16

    def mean(self, shape: Shape) -> float:
        return 0.0

    def std(self, shape: Shape) -> float:
        return 1.0 / math.sqrt(max(math.prod(shape), 1))


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut an axis into `count` equal parts; with `drops` they have size 1 and lose the axis."""

    axis: int
    count: int
    drops: bool = False


@dataclass(frozen=True, slots=True)
class Pieces:
    """Hold several kernels in one tensor, which `cuts` part, each with its own distribution.

    `laws` are those of the kernels in C order of the cuts, which are in order of their axes; a lone
    one is that of every kernel.
    """

    laws: tuple[Distribution, ...]
    cuts: tuple[Cut, ...]

    @property
    def count(self) -> int:
        """The number of kernels."""
        return math.prod(cut.count for cut in self.cuts)

    def law(self, number: int) -> Distribution:
        """Return the distribution of a kernel by its number."""
        return self.laws[number if len(self.laws) > 1 else 0]

    def kernel_shape(self, shape: Shape) -> Shape:
        """Return the shape of one kernel."""
        cuts = {cut.axis: cut for cut in self.cuts}
        return tuple(
            size // cuts[axis].count if axis in cuts else size
            for axis, size in enumerate(shape)
            if axis not in cuts or not cuts[axis].drops
        )

    def mean(self, shape: Shape) -> float:
        kernel = self.kernel_shape(shape)
        return _mean([law.mean(kernel) for law in self.laws])

    def std(self, shape: Shape) -> float:
        kernel, mean = self.kernel_shape(shape), self.mean(shape)
        spreads = (math.hypot(law.std(kernel), law.mean(kernel) - mean) for law in self.laws)
        return math.hypot(*spreads) / math.sqrt(len(self.laws))


@dataclass(frozen=True, slots=True)
class Patched:
    """Follow a law, but hold `value` at the elements from `start` to `stop`."""

    law: Distribution
    start: int
    stop: int
    value: float

    def mean(self, shape: Shape) -> float:
        share = (self.stop - self.start) / math.prod(shape)
        return (1.0 - share) * self.law.mean(shape) + share * self.value

    def std(self, shape: Shape) -> float:
        share, mean = (self.stop - self.start) / math.prod(shape), self.law.mean(shape)
        between = math.sqrt(share * (1.0 - share)) * (mean - self.value)
        return math.hypot(math.sqrt(1.0 - share) * self.law.std(shape), between)


Distribution = (
    Uniform
    | Normal
    | TruncatedNormal
    | LogUniform
    | InverseSoftplus
    | Constant
    | Ones
    | Placed
    | Orthogonal
    | Sparse
    | NormOf
    | SingularOf
    | Pieces
    | Patched
)


def is_random(distribution: Distribution) -> bool:
    """Tell whether a draw depends on the seed."""
    if isinstance(distribution, Patched):
        return is_random(distribution.law)
    if isinstance(distribution, Pieces):
        return any(map(is_random, set(distribution.laws)))
    return not isinstance(distribution, Constant | Ones | Placed | Derived)


def limit_of(distribution: Distribution) -> float | None:
    """Return the limit of a uniform distribution that has one."""
    return distribution.limit if isinstance(distribution, Uniform) else None


def stddev_of(distribution: Distribution) -> float | None:
    """Return the stddev that a distribution was asked for with, if it was."""
    if isinstance(distribution, Normal | TruncatedNormal | Sparse):
        return distribution.stddev
    return None


def scale_of(distribution: Distribution) -> float | None:
    """Return the limit, or else the stddev: what tells a layer's start in one number."""
    limit = limit_of(distribution)
    return stddev_of(distribution) if limit is None else limit


def leaves(distribution: Distribution) -> Iterator[Distribution]:
    """Give the distributions that a tensor's pieces have, each once."""
    if isinstance(distribution, Pieces):
        for law in dict.fromkeys(distribution.laws):
            yield from leaves(law)
    elif isinstance(distribution, Patched):
        yield from leaves(distribution.law)
    else:
        yield distribution


def is_elementwise(
    distribution: Distribution,
) -> TypeGuard[Uniform | Normal | TruncatedNormal | LogUniform | InverseSoftplus | Constant]:
    """Tell whether all elements are drawn alike, wherever they stand."""
    return isinstance(
        distribution,
        Uniform | Normal | TruncatedNormal | LogUniform | InverseSoftplus | Constant,
    )


def is_drawn_whole(distribution: Distribution) -> TypeGuard[Orthogonal | Sparse]:
    """Tell whether no element can be drawn without all the others."""
    return isinstance(distribution, Orthogonal | Sparse)
