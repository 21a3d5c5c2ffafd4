"""What steps without random weights do to a signal and to its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from glorot_cli.effects.activations import Activation, Values
from glorot_cli.effects.atoms import Atoms, correlated, correlated_slopes, gaussian
from glorot_cli.effects.signals import Gradient, Signal, Step, normalized

# Mean squares that differ over positions are taken at so many of their values.
_GRID = 33


def elementwise(signal: Signal, activation: Activation) -> Step:
    """Apply a function to each element."""
    level = signal.level
    root = math.sqrt(level)
    if signal.is_gaussian:
        mean = signal.mean
        points = gaussian(mean, math.sqrt(max(0.0, level - mean * mean)), activation.kinks)
    else:
        points = Atoms(signal.form.points * root, signal.form.weights)
    values = activation.function(points.points)
    slopes = activation.derivative(points.points) ** 2
    out_level = float(np.sum(points.weights * values**2))
    form = Atoms(values / math.sqrt(out_level) if out_level > 0.0 else values, points.weights)

    def gain(square: Values, function: Callable[[Values], Values], at_level: float) -> Values:
        """Return means at each position, by their values on a grid of mean squares."""
        none = float(np.sum(points.weights * function(np.zeros_like(points.points))))
        some = square[square > 0.0]
        if some.size == 0:
            return np.full(square.shape, none)
        low, high = float(np.min(some)), float(np.max(some))
        if high <= low * (1.0 + 1e-9):
            return np.where(square > 0.0, at_level, none)
        grid = np.geomspace(low, high, _GRID)
        means = [
            float(np.sum(points.weights * function(points.points * math.sqrt(each / level))))
            for each in grid
        ]
        found = np.interp(np.log(np.maximum(square, low)), np.log(grid), means)
        return np.where(square > 0.0, found, none)

    square = gain(signal.square, lambda x: activation.function(x) ** 2, out_level)
    mean_out = float(np.sum(points.weights * values))

    def shared(share: float) -> float:
        """Return the same share of what comes out, as of two Gaussians."""
        variance = level - signal.mean**2
        if out_level <= 0.0 or variance <= 1e-12 * level:
            return 1.0
        rho = (share * level - signal.mean**2) / variance
        ends = [
            correlated(activation, signal.mean, math.sqrt(variance), each)
            for each in (0.0, rho, 1.0)
        ]
        bent = (ends[1] - ends[0]) / (ends[2] - ends[0]) if ends[2] > ends[0] else rho
        return (mean_out**2 + (out_level - mean_out**2) * bent) / out_level

    output = Signal(
        square, form, signal.features, shared(signal.position), shared(signal.example),
        signal.sources, is_gaussian=False,
    )  # fmt: skip

    def pull(gradient: Gradient) -> list[Gradient]:
        back = gradient.form * slopes
        share = float(np.sum(points.weights * back))
        plain = float(np.sum(points.weights * slopes))
        # How the slope depends on the position's mean square, beside what the form says.
        rate = gain(signal.square, lambda x: activation.derivative(x) ** 2, plain)
        factor = rate * (share / plain if plain > 0.0 else 0.0)
        if signal.is_gaussian:
            order = np.argsort(points.points, kind="stable")
            back = np.interp(signal.form.points * root, points.points[order], back[order])
        shape, _ = normalized(signal, back)
        variance = max(0.0, level - signal.mean**2)
        alike = 0.0
        if gradient.position and plain > 0.0 and variance > 0.0:
            rho = (signal.position * level - signal.mean**2) / variance
            pair = correlated_slopes(activation, signal.mean, math.sqrt(variance), rho)
            alike = gradient.position * pair / plain
        return [Gradient(gradient.square * factor, shape, alike)]

    return output, pull


def scaled(signal: Signal, square: float, *, shift: float = 0.0) -> Step:
    """Multiply by numbers of this mean square, and add independent ones of the mean `shift`."""
    if shift == 0.0:
        output = replace(signal, square=signal.square * square)
    else:
        level = signal.level * square
        points = signal.form.points * math.sqrt(level) + shift
        total = float(np.sum(signal.form.weights * points**2))
        extra = total - level

        def share(each: float) -> float:
            return (each * level + extra) / total if total > 0.0 else 1.0

        output = replace(
            signal, square=signal.square * square + extra,
            form=Atoms(points / math.sqrt(total), signal.form.weights),
            position=share(signal.position), example=share(signal.example),
        )  # fmt: skip
    return output, lambda g: [Gradient(g.square * square, g.form, g.position)]


def centred(signal: Signal, mean_square: float, squares: Values, kept: float) -> Step:
    """Take away a part common to a group of values, and divide by the root of `squares`.

    `mean_square` is the mean square of what is taken away; `kept` is the share of the gradient that
    the derivatives of mean and deviation leave.
    """
    level = signal.level
    centre = signal.mean if mean_square > 0.0 else 0.0
    square = np.maximum(signal.square - mean_square, 0.0) / squares
    points = signal.form.points * math.sqrt(level) - centre
    total = float(np.sum(signal.form.weights * points**2))
    form = Atoms(points / math.sqrt(total) if total > 0.0 else points, signal.form.weights)
    left = level - mean_square

    def share(each: float) -> float:
        return (each * level - mean_square) / left if left > 1e-12 * level else 0.0

    output = replace(signal, square=square, form=form, position=share(signal.position),
                     example=share(signal.example))  # fmt: skip
    return output, lambda g: [Gradient(g.square * kept / squares, g.form, g.position)]


def layer_normalized(signal: Signal, epsilon: float) -> Step:
    """Normalise over the channels of each position (Ba et al., 2016)."""
    share = signal.form.mean**2
    squares = signal.square * (1.0 - share) + epsilon
    kept = max(0.0, 1.0 - 2.0 / signal.features)
    return centred(signal, share * signal.level, squares, kept)


def thinned(signal: Signal, rate: float) -> Step:
    """Drop a share of the values, and scale up the others."""
    if rate <= 0.0:
        return signal, lambda g: [g]
    kept = 1.0 - rate
    form = Atoms(
        np.append(signal.form.points / math.sqrt(kept), 0.0),
        np.append(signal.form.weights * kept, rate),
    )
    output = replace(
        signal, square=signal.square / kept, form=form, position=signal.position * kept,
        example=signal.example * kept, is_gaussian=False,
    )  # fmt: skip

    def pull(gradient: Gradient) -> list[Gradient]:
        shape, factor = normalized(signal, gradient.form[:-1])
        return [Gradient(gradient.square * factor / kept, shape, gradient.position)]

    return output, pull


def concatenated(signals: list[Signal]) -> Step:
    """Put channels side by side."""
    total = sum(signal.features for signal in signals)
    shares = [signal.features / total for signal in signals]
    square = np.asarray(sum(s * x.square for s, x in zip(shares, signals, strict=True)))
    level = float(np.mean(square))
    root = math.sqrt(level) if level > 0.0 else 1.0
    points = [x.form.points * math.sqrt(x.level) / root for x in signals]
    weights = [s * x.form.weights for s, x in zip(shares, signals, strict=True)]

    def share(values: list[float]) -> float:
        if level <= 0.0:
            return 1.0
        both = zip(shares, signals, values, strict=True)
        return sum(s * x.level * value for s, x, value in both) / level

    output = Signal(
        square, Atoms(np.concatenate(points), np.concatenate(weights)), total,
        share([x.position for x in signals]), share([x.example for x in signals]),
        frozenset().union(*(x.sources for x in signals)), is_gaussian=False,
    )  # fmt: skip
    ends = np.cumsum([x.form.points.size for x in signals])[:-1]

    def pull(gradient: Gradient) -> list[Gradient]:
        parts = []
        for signal, form in zip(signals, np.split(gradient.form, ends), strict=True):
            shape, factor = normalized(signal, form)
            parts.append(Gradient(gradient.square * factor, shape, gradient.position))
        return parts

    return output, pull


def moved(
    signal: Signal,
    forward: Callable[[Values], Values],
    backward: Callable[[Values], Values],
    *,
    features: int | None = None,
    position: float | None = None,
    apart: bool = False,
) -> Step:
    """Move values to other positions; `apart` says that their gradients are independent there."""
    output = replace(
        signal, square=forward(signal.square), features=features or signal.features,
        position=signal.position if position is None else position,
    )  # fmt: skip
    return output, lambda g: [Gradient(backward(g.square), g.form, 0.0 if apart else g.position)]
