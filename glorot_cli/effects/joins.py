"""Joins of two signals: sums, products and extremes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from glorot_cli.effects.activations import Values
from glorot_cli.effects.atoms import Atoms, combined, compressed, gaussian
from glorot_cli.effects.signals import Gradient, Signal, Step, normalized


class Join(NamedTuple):
    """A function of two values, and the squares of its derivatives."""

    function: Callable[[Values, Values], Values]
    left: Callable[[Values, Values], Values]
    right: Callable[[Values, Values], Values]


def _one(a: Values, b: Values) -> Values:
    return np.ones(np.broadcast_shapes(a.shape, b.shape))


ADD = Join(lambda a, b: a + b, _one, _one)
SUBTRACT = Join(lambda a, b: a - b, _one, _one)
MULTIPLY = Join(
    lambda a, b: a * b,
    lambda a, b: np.broadcast_to(b**2, np.broadcast_shapes(a.shape, b.shape)),
    lambda a, b: np.broadcast_to(a**2, np.broadcast_shapes(a.shape, b.shape)),
)
MAXIMUM = Join(
    lambda a, b: np.maximum(a, b),
    lambda a, b: np.where(a >= b, 1.0, 0.0),
    lambda a, b: np.where(a < b, 1.0, 0.0),
)
MINIMUM = Join(
    lambda a, b: np.minimum(a, b),
    lambda a, b: np.where(a <= b, 1.0, 0.0),
    lambda a, b: np.where(a > b, 1.0, 0.0),
)


def joined(join: Join, a: Signal, b: Signal) -> Step:
    """Join two independent signals, whose positions may broadcast."""
    left = Atoms(a.form.points * math.sqrt(a.level), a.form.weights)
    right = Atoms(b.form.points * math.sqrt(b.level), b.form.weights)
    values, weights = combined(join.function, left, right)
    level = float(np.sum(weights * values**2))
    is_sum = join in (ADD, SUBTRACT)
    sign = -1.0 if join is SUBTRACT else 1.0
    is_gaussian = is_sum and a.is_gaussian and b.is_gaussian
    root = math.sqrt(level) if level > 0.0 else 1.0
    if is_gaussian:
        mean = (a.mean + sign * b.mean) / root
        form = gaussian(mean, math.sqrt(max(0.0, 1.0 - mean * mean)) if level > 0.0 else 0.0)
    else:
        form = compressed(values / root, weights)
    space = np.broadcast_shapes(a.square.shape, b.square.shape)
    if is_sum:
        square = a.square + b.square + 2.0 * sign * a.mean * b.mean
    elif a.level > 0.0 and b.level > 0.0:
        square = level * (a.square / a.level) * (b.square / b.level)
    else:
        square = np.full(space, level)
    square = np.broadcast_to(square, space)

    def share(first: float, second: float) -> float:
        if level <= 0.0:
            return 1.0
        if is_sum:
            both = first * a.level + second * b.level + 2.0 * sign * a.mean * b.mean
            return both / level
        if join is MULTIPLY:
            return first * second
        alike = 0.5 * (_centred_share(a, first) + _centred_share(b, second))
        mean = form.mean
        return mean * mean + (1.0 - mean * mean) * alike

    output = Signal(
        square, form, max(a.features, b.features), share(a.position, b.position),
        share(a.example, b.example), a.sources | b.sources, is_gaussian,
    )  # fmt: skip

    def pull(gradient: Gradient) -> list[Gradient]:
        order = np.argsort(form.points, kind="stable")
        at = np.interp(values / root, form.points[order], gradient.form[order])
        parts = []
        for signal, slopes, axis, other in (
            (a, join.left, 1, right.weights), (b, join.right, 0, left.weights),
        ):  # fmt: skip
            back = at * slopes(left.points[:, None], right.points[None, :])
            along = back @ other if axis == 1 else other @ back
            shape, factor = normalized(signal, along)
            square = gradient.square * factor
            if join is MULTIPLY:
                partner = b if signal is a else a
                if partner.level > 0.0:
                    square = square * partner.square / partner.level
            position = gradient.position
            if join is MULTIPLY:
                position *= (b if signal is a else a).position
            parts.append(_folded(Gradient(square, shape, position), signal.square.shape))
        return parts

    return output, pull


def _centred_share(signal: Signal, share: float) -> float:
    mean = signal.form.mean
    return (share - mean * mean) / (1.0 - mean * mean) if mean * mean < 1.0 - 1e-12 else 1.0


def _folded(gradient: Gradient, space: tuple[int, ...]) -> Gradient:
    """Sum the gradient over positions that a signal was repeated along."""
    square, position = gradient.square, gradient.position
    if square.shape == space:
        return gradient
    space = (1,) * (square.ndim - len(space)) + space
    axes = tuple(axis for axis, size in enumerate(space) if size == 1 < square.shape[axis])
    count = math.prod(square.shape[axis] for axis in axes)
    square = np.sum(square, axis=axes, keepdims=True) * (1.0 + (count - 1) * position)
    return Gradient(square.reshape(list(space)), gradient.form, position)
