"""Range, mean and spread of an array, taken block by block and merged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Moments:
    """Hold the sums of a block about a centre, which is the same for all blocks of a tensor."""

    count: int
    minimum: float
    maximum: float
    centre: float
    total: float
    squares: float

    @classmethod
    def of(
        cls,
        block: Array,
        centre: float,
        scratch: Array | None = None,
        extremes: tuple[float, float] | None = None,
    ) -> Moments:
        """Take the moments of a flat, non-empty array of floats.

        `centre` near the mean keeps digits; `scratch`, if as long as the block, is used for it;
        `extremes` are the smallest and the largest element, where they are known.
        """
        import numpy as np

        centre = float(block.dtype.type(centre))
        if extremes is None:
            extremes = float(np.minimum.reduce(block)), float(np.maximum.reduce(block))
        low, high = extremes
        if low == high:
            offset = low - centre
            squares = block.size * (offset * offset)
            return cls(block.size, low, high, centre, block.size * offset, squares)
        if centre != 0.0:
            block = np.subtract(
                block,
                block.dtype.type(centre),
                out=None if scratch is None or scratch.size < block.size else scratch[: block.size],
            )
        total, squares = float(np.dot(block, _ones(block))), float(np.dot(block, block))
        if squares == math.inf and block.itemsize < 8 and -math.inf < low and high < math.inf:
            wide = block.astype(np.float64)
            total, squares = float(np.sum(wide)), float(np.dot(wide, wide))
        return cls(block.size, low, high, centre, total, squares)

    @classmethod
    def of_runs(cls, block: Array, starts: Sequence[int]) -> list[Moments]:
        """Take the moments, about 0, of each of the runs of elements that begin at `starts`."""
        import numpy as np

        lows = np.minimum.reduceat(block, starts).tolist()
        highs = np.maximum.reduceat(block, starts).tolist()
        wide = block.astype(np.float64)
        totals = np.add.reduceat(wide, starts).tolist()
        squares = np.add.reduceat(np.multiply(wide, wide, out=wide), starts).tolist()
        counts = np.diff(starts, append=block.size).tolist()
        return [
            # Sums of equal elements round, their products do not.
            cls(n, low, high, 0.0, n * low, n * (low * low))
            if low == high
            else cls(n, low, high, 0.0, total, square)
            for n, low, high, total, square in zip(
                counts, lows, highs, totals, squares, strict=True
            )
        ]

    def about(self, centre: float) -> Moments:
        """Return the same moments about another centre."""
        shift = self.centre - centre
        squares = self.squares + shift * (2.0 * self.total + self.count * shift)
        total = self.total + self.count * shift
        return Moments(self.count, self.minimum, self.maximum, centre, total, squares)

    def merged(self, other: Moments) -> Moments:
        """Join the moments of two blocks."""
        return Moments(
            self.count + other.count,
            _extreme(self.minimum, other.minimum, self.minimum < other.minimum),
            _extreme(self.maximum, other.maximum, self.maximum > other.maximum),
            self.centre,
            self.total + other.total,
            self.squares + other.squares,
        )

    @property
    def mean(self) -> float:
        """The mean, rounded to a hundred-thousandth of the spread, below which sums are noise."""
        mean = self.centre + self.total / self.count
        if self.minimum == self.maximum:
            return self.minimum
        spread = self._std
        if not (math.isfinite(mean) and math.isfinite(spread)) or spread == 0.0:
            return mean
        return round(mean, 5 - math.floor(math.log10(spread)))

    @property
    def std(self) -> float:
        """The standard deviation to four significant digits."""
        return significant(self._std)

    @property
    def _std(self) -> float:
        if self.minimum == self.maximum:
            return 0.0
        offset = self.total / self.count
        variance = self.squares / self.count - offset * offset
        return math.sqrt(max(variance, 0.0))


def _extreme(mine: float, other: float, mine_is_beyond: bool) -> float:
    """Choose between two extremes, keeping a NaN wherever it stands."""
    return mine if mine_is_beyond or math.isnan(mine) else other


_ONES: dict[str, Array] = {}


def _ones(block: Array) -> Array:
    import numpy as np

    ones = _ONES.get(block.dtype.str)
    if ones is None or ones.size < block.size:
        ones = _ONES[block.dtype.str] = np.ones(block.size, block.dtype)
    return ones[: block.size]


def significant(number: float, digits: int = 4) -> float:
    """Round to significant digits."""
    if number == 0.0 or not math.isfinite(number):
        return number
    return float(f"{number:.{digits - 1}e}")
