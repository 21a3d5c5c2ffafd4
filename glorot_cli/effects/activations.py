"""Activation functions and their derivatives, by the names that Keras and torch give them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Function = Callable[[Values], Values]

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@dataclass(frozen=True, slots=True)
class Activation:
    """A function of each element, its derivative, and the points where either is not smooth."""

    function: Function
    derivative: Function
    kinks: tuple[float, ...] = (0.0,)
    monotone: bool = True


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _normal_cdf(x: Values) -> Values:
    return np.asarray(0.5 * (1.0 + _erf(x / math.sqrt(2.0))))


def _sigmoid(x: Values) -> Values:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _softplus(x: Values) -> Values:
    return np.logaddexp(x, 0.0)


def _times(gate: Function, slope: Function, kinks: tuple[float, ...] = (0.0,)) -> Activation:
    """Return x times a gate."""
    return Activation(lambda x: x * gate(x), lambda x: gate(x) + x * slope(x), kinks, False)


def _sigmoid_slope(x: Values) -> Values:
    return _sigmoid(x) * _sigmoid(-x)


def _gelu_tanh_gate(x: Values) -> Values:
    return 0.5 * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def _gelu_tanh_slope(x: Values) -> Values:
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)
    return 0.5 * (1.0 - np.tanh(inner) ** 2) * math.sqrt(2.0 / math.pi) * (1.0 + 0.134145 * x * x)


def leaky_relu(slope: float) -> Activation:
    """Return x, and slope times x below 0."""
    return Activation(
        lambda x: np.where(x > 0.0, x, slope * x), lambda x: np.where(x > 0.0, 1.0, slope)
    )


def elu(alpha: float = 1.0, scale: float = 1.0, rate: float = 1.0) -> Activation:
    """Return scale * x, and scale * alpha * (exp(x / rate) - 1) below 0."""
    return Activation(
        lambda x: scale * np.where(x > 0.0, x, alpha * np.expm1(np.minimum(x, 0.0) / rate)),
        lambda x: scale * np.where(x > 0.0, 1.0, alpha / rate * np.exp(np.minimum(x, 0.0) / rate)),
    )


def celu(alpha: float) -> Activation:
    """Return x, and alpha * (exp(x / alpha) - 1) below 0."""
    return elu(alpha, 1.0, alpha)


def clipped(low: float, high: float, slope: float = 1.0, offset: float = 0.0) -> Activation:
    """Return slope * x + offset, cut off at both ends."""
    kinks = tuple((end - offset) / slope for end in (low, high) if math.isfinite(end))
    return Activation(
        lambda x: np.clip(slope * x + offset, low, high),
        lambda x: np.where((slope * x + offset > low) & (slope * x + offset < high), slope, 0.0),
        kinks,
    )


def hard_shrink(size: float) -> Activation:
    """Return x, and 0 within `size` of 0."""
    return Activation(
        lambda x: np.where(np.abs(x) > size, x, 0.0),
        lambda x: np.where(np.abs(x) > size, 1.0, 0.0),
        (-size, size),
    )


def soft_shrink(size: float) -> Activation:
    """Return x moved towards 0 by at most `size`."""
    return Activation(
        lambda x: np.sign(x) * np.maximum(np.abs(x) - size, 0.0),
        lambda x: np.where(np.abs(x) > size, 1.0, 0.0),
        (-size, size),
    )


def threshold(cut: float, value: float) -> Activation:
    """Return x above `cut`, and a value elsewhere."""
    return Activation(
        lambda x: np.where(x > cut, x, value), lambda x: np.where(x > cut, 1.0, 0.0), (cut,),
        monotone=value <= cut,
    )  # fmt: skip


def softplus(beta: float = 1.0) -> Activation:
    """Return log(1 + exp(beta x)) / beta."""
    return Activation(lambda x: _softplus(beta * x) / beta, lambda x: _sigmoid(beta * x))


_HARD_SIGMOID = clipped(0.0, 1.0, 1 / 6, 0.5)

ACTIVATIONS: Mapping[str, Activation] = {
    "celu": elu(),
    "elu": elu(),
    "exponential": Activation(np.exp, np.exp, ()),
    "gelu": _times(_normal_cdf, lambda x: np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)),
    "gelu_tanh": _times(_gelu_tanh_gate, _gelu_tanh_slope),
    "hard_shrink": hard_shrink(0.5),
    "hard_sigmoid": _HARD_SIGMOID,
    "hard_silu": _times(_HARD_SIGMOID.function, _HARD_SIGMOID.derivative, (-3.0, 3.0)),
    "hard_tanh": clipped(-1.0, 1.0),
    "leaky_relu": leaky_relu(0.2),
    "linear": Activation(lambda x: x, np.ones_like, ()),
    "log_sigmoid": Activation(lambda x: -_softplus(-x), lambda x: _sigmoid(-x)),
    "mish": _times(
        lambda x: np.tanh(_softplus(x)),
        lambda x: (1.0 - np.tanh(_softplus(x)) ** 2) * _sigmoid(x),
    ),
    "relu": leaky_relu(0.0),
    "relu6": clipped(0.0, 6.0),
    "selu": elu(_SELU_ALPHA, _SELU_SCALE),
    "sigmoid": Activation(_sigmoid, _sigmoid_slope),
    "silu": _times(_sigmoid, _sigmoid_slope),
    "soft_shrink": soft_shrink(0.5),
    "softplus": softplus(),
    "softsign": Activation(lambda x: x / (1.0 + np.abs(x)), lambda x: (1.0 + np.abs(x)) ** -2.0),
    "squareplus": Activation(
        lambda x: 0.5 * (x + np.sqrt(x * x + 4.0)),
        lambda x: 0.5 * (1.0 + x / np.sqrt(x * x + 4.0)),
    ),
    "tanh": Activation(np.tanh, lambda x: 1.0 - np.tanh(x) ** 2),
    "tanh_shrink": Activation(lambda x: x - np.tanh(x), lambda x: np.tanh(x) ** 2),
}
"""The functions that Keras takes by name and that act on each element alone."""

ALIASES: Mapping[str, str] = {"swish": "silu", "hard_swish": "hard_silu"}
