"""Sums with random weights, and averages and extremes over positions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from glorot_cli.effects.activations import Values
from glorot_cli.effects.atoms import Atoms, combined, compressed, gaussian
from glorot_cli.effects.signals import Gradient, Signal, Step, even, fresh, normalized
from glorot_cli.effects.windows import Window

Positions = Callable[[Values], Values]


@dataclass(frozen=True, slots=True)
class Weights:
    """What a kernel and its bias are drawn from: variance, and the bias's mean and mean square."""

    variance: float
    bias_mean: float = 0.0
    bias_square: float = 0.0


def mixed(
    signal: Signal,
    weights: Weights,
    features: int,
    *,
    inputs: float,
    outputs: float,
    forward: Positions = lambda x: x,
    backward: Positions = lambda x: x,
) -> Step:
    """Sum over channels and positions with random weights (Poole et al., 2016; Xiao et al., 2018).

    Each output sums `inputs` channels at the positions of `forward`, which adds their mean squares;
    each input reaches `outputs` channels at the positions of `backward`.
    """
    gain = weights.variance * inputs
    reached = forward(signal.square)
    square = gain * reached + weights.bias_square
    level = float(np.mean(square))

    def share(each: float) -> float:
        if level <= 0.0:
            return 1.0
        return (gain * float(np.mean(reached)) * each + weights.bias_square) / level

    output = fresh(square, features, mean=weights.bias_mean, position=share(signal.position),
                   example=share(signal.example))  # fmt: skip

    def pull(gradient: Gradient) -> list[Gradient]:
        back = weights.variance * outputs * backward(gradient.square)
        return [even(signal, back, gradient.position)]

    return output, pull


def averaged(signal: Signal, window: Window | None, *, padded: bool = False) -> Step:
    """Average over windows, or over all positions; of `padded` ones the zeros outside count.

    What comes out is taken for Gaussian.
    """
    space = signal.square.shape
    if window is None:
        count: Values = np.array(float(math.prod(space)))
        total: Values = np.asarray(np.sum(signal.square))
        size: Values = count
    else:
        count = window.gather(np.ones(space))
        total = window.gather(signal.square)
        size = np.full_like(count, float(window.taps)) if padded else count
    alike = signal.position
    square = total / size**2 * (1.0 + (count - 1.0) * alike)
    level = float(np.mean(square))
    inside = float(np.mean((count / size) ** 2))

    def share(each: float) -> float:
        return min(1.0, each * signal.level * inside / level) if level > 0.0 else 1.0

    mean = signal.mean * float(np.mean(count / size))
    centre = mean / math.sqrt(level) if level > 0.0 else 0.0
    form = gaussian(centre, math.sqrt(max(0.0, 1.0 - centre * centre)) if level > 0.0 else 0.0)
    output = replace(signal, square=square, form=form, position=share(alike),
                     example=share(signal.example), is_gaussian=True)  # fmt: skip
    windows = int(np.size(count))

    def pull(gradient: Gradient) -> list[Gradient]:
        each = gradient.square / size**2
        back = np.full(space, float(each)) if window is None else window.scatter(each, space)
        position = gradient.position + (1.0 - gradient.position) / max(windows, 1)
        return [even(signal, back, position)]

    return output, pull


def largest(signal: Signal, window: Window | None) -> Step:
    """Keep the largest value of each window, as of Gaussians that are alike in pairs."""
    space = signal.square.shape
    taps = math.prod(space) if window is None else window.taps
    order = np.argsort(signal.form.points, kind="stable")
    points, weights = signal.form.points[order], signal.form.weights[order]
    below = np.cumsum(weights) - 0.5 * weights
    mean = signal.form.mean
    alike = (signal.position - mean * mean) / (1.0 - mean * mean) if mean * mean < 1.0 else 1.0
    alike = min(1.0, max(0.0, alike))
    normal = gaussian(0.0, 1.0)
    share = np.cumsum(normal.weights)
    private = Atoms(normal.points * math.sqrt(1.0 - alike), np.diff(share**taps, prepend=0.0))
    common = Atoms(normal.points * math.sqrt(alike), normal.weights)
    values, chances = combined(np.add, private, common)
    top = compressed(values, chances)
    ranks = np.interp(top.points, normal.points, share - 0.5 * normal.weights)
    found = np.interp(ranks, below, points)
    gain = float(np.sum(top.weights * found**2))
    form = Atoms(found / math.sqrt(gain) if gain > 0.0 else found, top.weights)
    if window is None:
        square: Values = np.asarray(np.mean(signal.square)) * gain
    else:
        square = window.gather(signal.square) / window.gather(np.ones(space)) * gain
    centre = form.mean

    def shared(each: float) -> float:
        part = (each - mean * mean) / (1.0 - mean * mean) if mean * mean < 1.0 else 1.0
        return centre**2 + (1.0 - centre**2) * part

    output = replace(signal, square=square, form=form, position=shared(signal.position),
                     example=shared(signal.example), is_gaussian=False)  # fmt: skip
    windows = int(np.size(square))

    def pull(gradient: Gradient) -> list[Gradient]:
        # A value is its window's largest as often as the others are below it.
        chance = below ** ((taps - 1) * (1.0 - alike))
        at = np.argsort(found, kind="stable")
        back = np.empty_like(points)
        back[order] = chance * np.interp(points, found[at], gradient.form[at])
        shape, _ = normalized(signal, back)
        if window is None:
            square = np.full(space, float(gradient.square) / taps)
        else:
            square = window.scatter(gradient.square / window.gather(np.ones(space)), space)
        position = gradient.position / taps if windows > 1 else gradient.position / taps**2
        return [Gradient(square, shape, position)]

    return output, pull
