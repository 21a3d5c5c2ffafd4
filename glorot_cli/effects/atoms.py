"""Distributions as weighted points, and expectations over Gaussians by quadrature."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from glorot_cli.effects.activations import Activation, Function, Values

# Beyond so many standard deviations a Gaussian's share is below 1e-18.
_REACH = 9.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_HERMITE, _HERMITE_WEIGHTS = np.polynomial.hermite_e.hermegauss(48)
_HERMITE_WEIGHTS = _HERMITE_WEIGHTS / _HERMITE_WEIGHTS.sum()
# Panels are as narrow near a kink as a function is that bends within 1/1000 of it.
_NEAR = np.array([sign * 4.0**power for power in range(-5, 6) for sign in (-1.0, 1.0)])
# So many points stand for a distribution that is no Gaussian.
_POINTS = 320


@dataclass(frozen=True, slots=True)
class Atoms:
    """A distribution of one number: points in any order, and their weights, which sum to 1."""

    points: Values
    weights: Values

    def expect(self, function: Function) -> float:
        """Return the mean of a function."""
        return float(np.sum(self.weights * function(self.points)))

    @property
    def mean(self) -> float:
        """The mean."""
        return float(np.sum(self.weights * self.points))

    @property
    def mean_square(self) -> float:
        """The mean of the square."""
        return float(np.sum(self.weights * self.points**2))

    @property
    def kurtosis(self) -> float:
        """The fourth central moment over the square of the variance; 3 of a Gaussian."""
        centred = (self.points - self.mean) ** 2
        variance = float(np.sum(self.weights * centred))
        return float(np.sum(self.weights * centred**2)) / variance**2 if variance > 0.0 else 3.0


def gaussian(mean: float, std: float, kinks: Iterable[float] = ()) -> Atoms:
    """Return quadrature points of a Gaussian: Gauss-Legendre on panels between kinks.

    Means of functions that are smooth between the kinks are right to about 1e-13.
    """
    if std == 0.0:
        return Atoms(np.array([mean]), np.array([1.0]))
    edges = [mean + std * np.linspace(-_REACH, _REACH, 19)]
    for kink in kinks:
        edges += [kink + _NEAR, np.array([kink])]
    ends = np.unique(np.clip(np.concatenate(edges), mean - _REACH * std, mean + _REACH * std))
    half = 0.5 * np.diff(ends)[:, None]
    points = (ends[:-1, None] + half * (1.0 + _NODES)).ravel()
    density = np.exp(-0.5 * ((points - mean) / std) ** 2)
    weights = (half * _WEIGHTS).ravel() * density
    return Atoms(points, weights / weights.sum())


def uniform(low: float, high: float) -> Atoms:
    """Return points of a uniform distribution."""
    nodes, weights = np.polynomial.legendre.leggauss(64)
    return Atoms(0.5 * (low + high) + 0.5 * (high - low) * nodes, 0.5 * weights)


def combined(
    function: Callable[[Values, Values], Values], left: Atoms, right: Atoms
) -> tuple[Values, Values]:
    """Return the values, and their weights, of a function of two independent numbers."""
    values = function(left.points[:, None], right.points[None, :])
    return values, left.weights[:, None] * right.weights[None, :]


def compressed(points: Values, weights: Values) -> Atoms:
    """Return fewer points with the same mean and mean square; near ones are joined.

    The parts are of equal share of 1 + x**2, so that the tails keep theirs.
    """
    points, weights = points.ravel(), weights.ravel()
    if points.size <= _POINTS:
        return Atoms(points, weights)
    order = np.argsort(points, kind="stable")
    points, weights = points[order], weights[order]
    scale = float(np.sum(weights * points**2)) or 1.0
    shares = np.cumsum(weights * (1.0 + points**2 / scale))
    part = np.minimum((shares / shares[-1] * _POINTS).astype(np.intp), _POINTS - 1)
    sums: Values = np.bincount(part, weights, _POINTS).astype(np.float64)
    kept = sums > 0.0
    means: Values = (
        np.bincount(part, weights * points, _POINTS).astype(np.float64)[kept] / sums[kept]
    )
    atoms = Atoms(means, sums[kept])
    # Joining took away the spread within the parts.
    variance = float(np.sum(weights * points**2)) - float(np.sum(weights * points)) ** 2
    left = atoms.mean_square - atoms.mean**2
    if left <= 0.0 or variance <= 0.0:
        return atoms
    return Atoms(atoms.mean + (means - atoms.mean) * np.sqrt(variance / left), atoms.weights)


def correlated(activation: Activation, mean: float, std: float, correlation: float) -> float:
    """Return E[f(u) f(v)] of two Gaussians of one mean and std, by their correlation."""
    return _pairs(activation.function, activation.kinks, mean, std, correlation)


def correlated_slopes(activation: Activation, mean: float, std: float, correlation: float) -> float:
    """Return E[f'(u) f'(v)] of two Gaussians of one mean and std, by their correlation."""
    return _pairs(activation.derivative, activation.kinks, mean, std, correlation)


def _pairs(
    function: Function, kinks: Iterable[float], mean: float, std: float, correlation: float
) -> float:
    correlation = min(1.0, max(-1.0, correlation))
    first = gaussian(mean, std, kinks)
    if std == 0.0 or correlation == 1.0:
        return first.expect(lambda x: function(x) ** 2)
    centre = mean + correlation * (first.points - mean)
    spread = std * np.sqrt(1.0 - correlation * correlation)
    second = function(centre[:, None] + spread * _HERMITE[None, :]) @ _HERMITE_WEIGHTS
    return float(np.sum(first.weights * function(first.points) * second))
