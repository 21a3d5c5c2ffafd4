"""Layers in NumPy, forward and backward: what a start does to activations and to gradients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from glorot_cli.dtypes import Array

Pairs = tuple[tuple[int, int], ...]


class Step(Protocol):
    """Be a layer: from inputs to outputs, and from the outputs' gradients to the inputs'."""

    def forward(self, x: Array) -> Array: ...
    def backward(self, dy: Array) -> Array: ...


class Spread(NamedTuple):
    """Hold what a batch measured at a layer with weights.

    `activation` is the std of what comes out of its activation, `gradient` that of the gradient of
    what goes into the activation.
    """

    layer: str
    activation: float
    gradient: float


@dataclass
class Dense:
    """Multiply the last axis by a kernel (in, out), and add a bias."""

    name: str
    kernel: Array
    bias: Array | None

    def forward(self, x: Array) -> Array:
        y: Array = x @ self.kernel
        return y if self.bias is None else y + self.bias

    def backward(self, dy: Array) -> Array:
        dx: Array = dy @ self.kernel.T
        return dx


@dataclass
class Window:
    """Slide over space: its size, its steps, and what is put around the input.

    Arrays are (batch, *space, channels), or with `first` (batch, channels, *space).
    """

    size: tuple[int, ...]
    strides: tuple[int, ...]
    rates: tuple[int, ...]
    margins: Pairs
    first: bool = False

    def last(self, x: Array) -> Array:
        """Put the channels last."""
        return np.moveaxis(x, 1, -1) if self.first else x

    def back(self, x: Array) -> Array:
        """Put the channels back to where they were."""
        return np.moveaxis(x, -1, 1) if self.first else x

    def padded(self, x: Array, value: float) -> Array:
        return np.pad(x, ((0, 0), *self.margins, (0, 0)), constant_values=value)

    def places(self, space: Sequence[int]) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Give each place in the window, and the slice of a padded input that it sees."""
        counts = [
            (n - (k - 1) * rate - 1) // step + 1
            for n, k, step, rate in zip(space, self.size, self.strides, self.rates, strict=True)
        ]
        for place in itertools.product(*map(range, self.size)):
            starts = [at * rate for at, rate in zip(place, self.rates, strict=True)]
            seen = (
                slice(start, start + (count - 1) * step + 1, step)
                for start, count, step in zip(starts, counts, self.strides, strict=True)
            )
            yield place, (slice(None), *seen)

    def cropped(self, x: Array) -> Array:
        """Take away what was put around the input."""
        inner = (
            slice(low, n - high) for (low, high), n in zip(self.margins, x.shape[1:-1], strict=True)
        )
        return x[(slice(None), *inner)]


@dataclass
class Convolution:
    """Convolve with a kernel (*size, in / groups, out), and add a bias."""

    name: str
    window: Window
    kernel: Array
    bias: Array | None
    groups: int = 1
    _space: tuple[int, ...] = ()

    def forward(self, x: Array) -> Array:
        x = self.window.padded(self.window.last(x), 0.0)
        self._space = x.shape
        y: Array | None = None
        for place, seen in self.window.places(x.shape[1:-1]):
            part = self._by_group(x[seen], self.kernel[place])
            y = part if y is None else y + part
        assert y is not None
        return self.window.back(y if self.bias is None else y + self.bias)

    def backward(self, dy: Array) -> Array:
        dy = self.window.last(dy)
        dx = np.zeros(self._space, dy.dtype)
        for place, seen in self.window.places(self._space[1:-1]):
            dx[seen] += self._by_group(dy, self.kernel[place], back=True)
        return self.window.back(self.window.cropped(dx))

    def _by_group(self, x: Array, kernel: Array, back: bool = False) -> Array:
        """Multiply each group's channels by its columns of a kernel (in / groups, out)."""
        kernels = np.split(kernel, self.groups, axis=-1)
        parts = np.split(x, self.groups, axis=-1)
        products = (a @ (k.T if back else k) for a, k in zip(parts, kernels, strict=True))
        return np.concatenate(list(products), axis=-1)


@dataclass
class Pooling:
    """Keep the largest or the mean of each window."""

    window: Window
    largest: bool
    _seen: tuple[Any, ...] = ()

    def forward(self, x: Array) -> Array:
        x = self.window.padded(self.window.last(x), -math.inf if self.largest else 0.0)
        places = list(self.window.places(x.shape[1:-1]))
        best = x[places[0][1]].copy()
        chosen = np.zeros(best.shape, np.int32)
        for index, (_, seen) in enumerate(places[1:], 1):
            if not self.largest:
                best += x[seen]
                continue
            better = x[seen] > best
            best[better], chosen[better] = x[seen][better], index
        self._seen = x.shape, chosen
        return self.window.back(best if self.largest else best / len(places))

    def backward(self, dy: Array) -> Array:
        dy, (shape, chosen) = self.window.last(dy), self._seen
        dx = np.zeros(shape, dy.dtype)
        places = list(self.window.places(shape[1:-1]))
        for index, (_, seen) in enumerate(places):
            dx[seen] += np.where(chosen == index, dy, 0.0) if self.largest else dy / len(places)
        return self.window.back(self.window.cropped(dx))


@dataclass
class Reshape:
    """Give the elements of each example another shape."""

    shape: tuple[int, ...]
    _before: tuple[int, ...] = ()

    def forward(self, x: Array) -> Array:
        self._before = x.shape
        return x.reshape(len(x), *self.shape)

    def backward(self, dy: Array) -> Array:
        return dy.reshape(self._before)


@dataclass
class Activation:
    """Apply a function to each element, or softmax to the last axis."""

    name: str
    slope: float = 0.0
    _seen: tuple[Array, Array] = field(default_factory=lambda: (np.empty(0), np.empty(0)))

    def forward(self, x: Array) -> Array:
        y = FUNCTIONS[self.name][0](x, self.slope)
        self._seen = x, y
        return y

    def backward(self, dy: Array) -> Array:
        x, y = self._seen
        if self.name == "softmax":
            dx: Array = y * (dy - np.sum(dy * y, axis=-1, keepdims=True))
        else:
            dx = dy * FUNCTIONS[self.name][1](x, y, self.slope)
        return dx


_SELU_SCALE, _SELU_ALPHA = 1.0507009873554804934, 1.6732632423543772848
_erf: Callable[[Array], Array] = np.vectorize(math.erf, otypes=[float])


def _sigmoid(x: Array) -> Array:
    y: Array = 0.5 * (1.0 + np.tanh(0.5 * x))
    return y


def _phi(x: Array) -> Array:
    share: Array = 0.5 * (1.0 + _erf(x / math.sqrt(2.0)).astype(x.dtype))
    return share


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: Array = e / e.sum(axis=-1, keepdims=True)
    return shares


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0.0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def _gelu_slope(x: Array) -> Array:
    density: Array = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    slope: Array = _phi(x) + x * density
    return slope


# A function of x and a slope, and its derivative of x, the function's value and the slope.
FUNCTIONS: dict[str, tuple[Callable[..., Array], Callable[..., Any]]] = {
    "linear": (lambda x, a: x, lambda x, y, a: 1.0),
    "relu": (lambda x, a: np.maximum(x, 0.0), lambda x, y, a: x > 0.0),
    "relu6": (lambda x, a: np.clip(x, 0.0, 6.0), lambda x, y, a: (x > 0.0) & (x < 6.0)),
    "leaky_relu": (
        lambda x, a: np.where(x > 0.0, x, a * x),
        lambda x, y, a: np.where(x > 0.0, 1.0, a).astype(x.dtype),
    ),
    "elu": (_elu, lambda x, y, a: np.where(x > 0.0, 1.0, y + a).astype(x.dtype)),
    "selu": (
        lambda x, a: _SELU_SCALE * _elu(x, _SELU_ALPHA),
        lambda x, y, a: np.where(x > 0.0, _SELU_SCALE, y + _SELU_SCALE * _SELU_ALPHA).astype(
            x.dtype
        ),
    ),
    "gelu": (lambda x, a: x * _phi(x), lambda x, y, a: _gelu_slope(x)),
    "silu": (
        lambda x, a: x * _sigmoid(x),
        lambda x, y, a: _sigmoid(x) * (1.0 + x * (1.0 - _sigmoid(x))),
    ),
    "sigmoid": (lambda x, a: _sigmoid(x), lambda x, y, a: y * (1.0 - y)),
    "tanh": (lambda x, a: np.tanh(x), lambda x, y, a: 1.0 - y * y),
    "softplus": (
        lambda x, a: np.logaddexp(x, np.zeros((), x.dtype)),
        lambda x, y, a: _sigmoid(x),
    ),
    "softsign": (lambda x, a: x / (1.0 + np.abs(x)), lambda x, y, a: 1.0 / (1.0 + np.abs(x)) ** 2),
    "exponential": (lambda x, a: np.exp(x), lambda x, y, a: y),
    "softmax": (lambda x, a: _softmax(x), lambda x, y, a: y),
}


def push(steps: Sequence[Step], x: Array, dy: Array | None = None, seed: int = 0) -> list[Spread]:
    """Push a batch forward and gradients backward, and return the spreads at layers with weights.

    The gradient that comes in at the end is `dy`, or standard normals.
    """
    activations: dict[int, float] = {}
    last: int | None = None
    with np.errstate(over="ignore", invalid="ignore"):
        for index, step in enumerate(steps):
            x = step.forward(x)
            if isinstance(step, Dense | Convolution):
                last = index
            elif not isinstance(step, Activation):
                last = None
            if last is not None:
                activations[last] = _std(x)
        if dy is None:
            dy = np.asarray(np.random.default_rng([seed, 1]).standard_normal(x.shape), x.dtype)
        gradients: dict[int, float] = {}
        for index in reversed(range(len(steps))):
            gradients[index] = _std(dy)
            dy = steps[index].backward(dy)
    return [
        Spread(step.name, activations[index], gradients[index])
        for index, step in enumerate(steps)
        if isinstance(step, Dense | Convolution)
    ]


def _std(x: Array) -> float:
    return float(np.std(x, dtype=np.float64))
