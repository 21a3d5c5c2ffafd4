"""The laws of a tensor's elements, which an initialiser comes to once its fans are known."""

from __future__ import annotations

import math
from dataclasses import dataclass

from glorot_cli.fans import Shape


@dataclass(frozen=True, slots=True)
class Uniform:
    """Spread evenly over [low, high]."""

    low: float
    high: float

    @property
    def limit(self) -> float | None:
        """The bound of a symmetric range."""
        return self.high if self.low == -self.high else None

    def mean(self, shape: Shape) -> float:
        return self.low + (self.high - self.low) / 2.0

    def std(self, shape: Shape) -> float:
        return (self.high - self.low) / math.sqrt(12.0)


@dataclass(frozen=True, slots=True)
class Constant:
    """Hold one value everywhere."""

    value: float

    def mean(self, shape: Shape) -> float:
        return self.value

    def std(self, shape: Shape) -> float:
        return 0.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Hold `gain` on the main diagonal of a matrix and 0 elsewhere."""

    gain: float

    def mean(self, shape: Shape) -> float:
        return self.gain / max(shape)

    def std(self, shape: Shape) -> float:
        share = 1.0 / max(shape)
        return abs(self.gain) * math.sqrt(share - share * share)


Distribution = Uniform | Constant | Identity


def is_random(distribution: Distribution) -> bool:
    """Tell whether a draw depends on the seed."""
    return not isinstance(distribution, Constant | Identity)
