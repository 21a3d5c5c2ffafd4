"""Signals in the wide limit, and what each kind of step does to them and to their gradients.

A signal says how one channel's value is distributed over networks and random inputs: its mean
square at each position, the form of its distribution, and how alike it is at two positions of an
example and in two examples. A step gives the signal that comes out, and a pullback, which turns
what is known of the gradient there into what is known of the gradient before it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from glorot_cli.effects.activations import Values
from glorot_cli.effects.atoms import Atoms, gaussian

_fresh = itertools.count()


@dataclass(frozen=True, slots=True)
class Signal:
    """What is known of the activations at one place of a network.

    `square` is the mean square at each position (no axis without positions), `form` the
    distribution over the root of the mean square, `features` the number of channels. `position` and
    `example` are E[x y] over E[x x], where y is the same channel at another position, or in
    another example. `sources` are the random kernels that the signal is a sum of, so that two
    signals without a common one are independent.
    """

    square: Values
    form: Atoms
    features: int
    position: float
    example: float
    sources: frozenset[int]
    is_gaussian: bool = True

    @property
    def level(self) -> float:
        """The mean square over all positions."""
        return float(np.mean(self.square))

    @property
    def mean(self) -> float:
        """The mean."""
        return self.form.mean * math.sqrt(self.level)


class Gradient(NamedTuple):
    """What is known of the gradient at a signal.

    `square` is its mean square at each position, `form` that of each of the signal's points over
    their mean, and `position` is E[g h] over E[g g] for two positions of an example.
    """

    square: Values
    form: Values
    position: float

    @property
    def level(self) -> float:
        """The mean square over all positions."""
        return float(np.mean(self.square))


Pullback = Callable[[Gradient], list[Gradient]]
Step = tuple[Signal, Pullback]


def fresh(
    square: Values,
    features: int,
    *,
    mean: float = 0.0,
    position: float = 0.0,
    example: float = 0.0,
    form: Atoms | None = None,
) -> Signal:
    """Return the signal of a sum with random weights that no other signal knows."""
    level = float(np.mean(square))
    share = mean / math.sqrt(level) if level > 0.0 else 0.0
    if form is None:
        form = gaussian(share, math.sqrt(max(0.0, 1.0 - share * share)) if level > 0.0 else 0.0)
        is_gaussian = True
    else:
        is_gaussian = False
    return Signal(square, form, features, position, example, frozenset((next(_fresh),)),
                  is_gaussian)  # fmt: skip


def even(signal: Signal, square: Values, position: float = 0.0) -> Gradient:
    """Return a gradient that does not depend on the value of the signal."""
    return Gradient(square, np.ones_like(signal.form.points), position)


def silent(signal: Signal) -> Gradient:
    """Return the gradient of what nothing depends on."""
    return even(signal, np.zeros_like(signal.square))


def summed(signal: Signal, gradients: list[Gradient]) -> Gradient:
    """Add gradients that come back along several ways, which random weights make independent."""
    if len(gradients) == 1:
        return gradients[0]
    square = np.sum([g.square for g in gradients], axis=0)
    levels = [g.level for g in gradients]
    total = sum(levels)
    if total <= 0.0:
        return silent(signal)
    form = sum(level * g.form for level, g in zip(levels, gradients, strict=True)) / total
    position = sum(level * g.position for level, g in zip(levels, gradients, strict=True)) / total
    return Gradient(square, np.asarray(form), position)


def normalized(signal: Signal, form: Values) -> tuple[Values, float]:
    """Return a gradient's form with the mean 1, and the mean that it had."""
    share = float(np.sum(signal.form.weights * form))
    return (form / share if share > 0.0 else np.ones_like(form)), share
