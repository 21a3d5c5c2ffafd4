"""Range, mean and spread of an array, taken block by block and merged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Moments:
    """Hold the sums of a block about a centre, which is the same for all blocks of a tensor.

    `count`, the extremes and the sums are of the finite elements; `nan` and `inf` count the rest.
    `total` is in units of `scale`, a power of two, and `squares` in units of its square: neither
    squares of 1e-170 nor of 1e160 are numbers.
    """

    count: int
    minimum: float
    maximum: float
    centre: float
    total: float
    squares: float
    scale: float = 1.0
    nan: int = 0
    inf: int = 0

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
        if not (-math.inf < low and high < math.inf):
            return cls._of_finite(block, centre)
        scale = _scale_of(max(-low, high, abs(centre)))
        about = centre / scale
        if low == high:
            offset = low / scale - about
            squares = block.size * (offset * offset)
            return cls(block.size, low, high, centre, block.size * offset, squares, scale)
        if scale != 1.0:
            block = np.ldexp(block, 1 - math.frexp(scale)[1])
        if about != 0.0:
            block = np.subtract(
                block,
                block.dtype.type(about),
                out=None if scratch is None or scratch.size < block.size else scratch[: block.size],
            )
        total, squares = float(np.dot(block, _ones(block))), float(np.dot(block, block))
        return cls(block.size, low, high, centre, total, squares, scale)

    @classmethod
    def _of_finite(cls, block: Array, centre: float) -> Moments:
        """Take the moments of a block's finite elements, if it has any, and count the others."""
        import numpy as np

        finite = block[np.isfinite(block)]
        nan = int(np.count_nonzero(np.isnan(block)))
        inf = block.size - finite.size - nan
        if not finite.size:
            return cls(0, math.nan, math.nan, centre, 0.0, 0.0, 1.0, nan, inf)
        return replace(cls.of(finite, centre), nan=nan, inf=inf)

    @classmethod
    def of_sums(
        cls, count: int, low: float, high: float, centre: float, total: float, squares: float
    ) -> Moments:
        """Take sums about a centre; those of equal elements round, their products do not."""
        if low == high:
            offset = low - centre
            total, squares = count * offset, count * (offset * offset)
        return cls(count, low, high, centre, total, squares)

    @classmethod
    def of_runs(cls, block: Array, starts: Sequence[int]) -> list[Moments]:
        """Take the moments, about 0, of each of the runs of float32 that begin at `starts`."""
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
        if centre == self.centre:
            return self
        scale = max(self.scale, _scale_of(max(abs(self.centre), abs(centre))))
        total, squares = self._in(scale)
        shift = self.centre / scale - centre / scale
        squares += shift * (2.0 * total + self.count * shift)
        total += self.count * shift
        return replace(self, centre=centre, total=total, squares=squares, scale=scale)

    def merged(self, other: Moments) -> Moments:
        """Join the moments of two blocks."""
        # A block of nothing but its centre has no scale of its own.
        scale = max((part.scale for part in (self, other) if part.squares), default=1.0)
        total, squares = self._in(scale)
        other_total, other_squares = other._in(scale)
        mine, its = self, other
        if not mine.count or not its.count:
            mine = its = mine if mine.count else its
        return Moments(
            self.count + other.count,
            mine.minimum if mine.minimum < its.minimum else its.minimum,
            mine.maximum if mine.maximum > its.maximum else its.maximum,
            self.centre,
            total + other_total,
            squares + other_squares,
            scale,
            self.nan + other.nan,
            self.inf + other.inf,
        )

    def _in(self, scale: float) -> tuple[float, float]:
        """Return the sums in units of a scale that is not below their own, or of no matter."""
        if scale == self.scale:
            return self.total, self.squares
        ratio = self.scale / scale
        return self.total * ratio, self.squares * ratio * ratio

    @property
    def offset(self) -> float:
        """How far the mean is from the centre."""
        return self.total / self.count * self.scale

    @property
    def deviation(self) -> float:
        """The root of the mean square about the centre."""
        return math.sqrt(self.squares / self.count) * self.scale

    def relative_square(self, std: float) -> float:
        """Return the mean square about the centre in units of a variance, at most 1e100."""
        ratio = self.deviation / std
        return min(ratio * ratio, 1e100)

    @classmethod
    def joined(cls, blocks: Sequence[Moments | None]) -> Moments | None:
        """Join the moments of blocks in their order; None if those of any are not known."""
        joined: Moments | None = None
        for block in blocks:
            if block is None:
                return None
            joined = block if joined is None else joined.merged(block)
        return joined

    @property
    def mean(self) -> float:
        """The mean, rounded to a hundred-thousandth of the spread, below which sums are noise."""
        if self.minimum == self.maximum or not self.count:
            return self.minimum
        mean, spread = self.centre + self.offset, self.spread
        if spread == 0.0:
            return mean
        try:
            return round(mean, 5 - math.floor(math.log10(spread)))
        except OverflowError:  # rounded up, it would be beyond the largest number
            return mean

    @property
    def std(self) -> float:
        """The standard deviation to four significant digits."""
        return significant(self.spread)

    @property
    def others(self) -> str:
        """What is there beside the finite elements: `3 NaN, 1 inf`, or nothing."""
        counted = ((self.nan, "NaN"), (self.inf, "inf"))
        return ", ".join(f"{count:,} {name}" for count, name in counted if count)

    @property
    def spread(self) -> float:
        """The standard deviation, unrounded."""
        if not self.count:
            return math.nan
        if self.minimum == self.maximum:
            return 0.0
        offset = self.total / self.count
        variance = self.squares / self.count - offset * offset
        return math.sqrt(max(variance, 0.0)) * self.scale


def _scale_of(largest: float) -> float:
    """Return the power of two in whose units numbers up to `largest` are squared: mostly 1."""
    if largest == 0.0 or 2.0**-40 <= largest <= 2.0**40:
        return 1.0
    return math.ldexp(1.0, math.frexp(largest)[1] - 1)


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
    rounded = float(f"{number:.{digits - 1}e}")
    return rounded if math.isfinite(rounded) else number
