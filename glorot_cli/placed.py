"""Distributions without chance, whose elements follow from their place in the tensor."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from glorot_cli.expressions import Value, parsed
from glorot_cli.fans import Shape

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

# So many values are kept, or looked at to tell their mean; more are computed as they are drawn.
LARGEST_TABLE = 1 << 20
# So many places of a larger tensor stand for it.
SAMPLE = 1 << 16


def axis_names(rank: int) -> tuple[str, ...]:
    """Return the names of the indices along the axes: axis0, axis1, ..."""
    return tuple(f"axis{axis}" for axis in range(rank))


@dataclass(frozen=True, slots=True)
class ByIndex:
    """Hold an expression's value at each place, of axis0, axis1, ... and of `index`, their names.

    `names` are what else it uses.
    """

    text: str
    names: Mapping[str, Value] = field(hash=False)
    index: tuple[str | None, ...] = ()

    def values(self, shape: Shape, first: int, count: int) -> Array:
        """Return some elements in float64, from a first index on.

        Raises:
            ValueError: if the expression has no number there.
        """
        import numpy as np

        used = self._used(shape)
        places = self._places(shape, first, count)
        if math.prod(used.values()) > LARGEST_TABLE:
            return self._evaluated(places, count)
        where = np.zeros(count, np.int64)
        for axis, size in used.items():
            where = where * size + places[axis]
        return _table(self, shape)[where]

    def reach(self, shape: Shape, first: int, count: int) -> Array:
        """Return the sum of the indices that each element is computed from.

        Arithmetic of few bits gets a sine of a large index wrong by as much as its rounding.
        """
        import numpy as np

        return sum(self._places(shape, first, count).values(), np.zeros(count))

    def sample(self, shape: Shape) -> Array:
        """Return what the elements are made of: each value once for each place, or some of many."""
        if math.prod(self._used(shape).values()) <= LARGEST_TABLE:
            return _table(self, shape)
        return _sampled(self, shape)

    def mean(self, shape: Shape) -> float:
        return float(self.sample(shape).mean())

    def std(self, shape: Shape) -> float:
        return float(self.sample(shape).std())

    def _used(self, shape: Shape) -> dict[int, int]:
        """Return the axes whose index the expression uses, with their sizes."""
        words, index = parsed(self.text).names, self.index or (None,) * len(shape)
        return {
            axis: shape[axis]
            for axis, name in enumerate(axis_names(len(shape)))
            if name in words or index[axis] in words
        }

    def _places(self, shape: Shape, first: int, count: int) -> dict[int, Any]:
        """Return the indices of some elements along the axes that the expression uses."""
        import numpy as np

        at = np.arange(first, first + count)
        return {
            axis: at // math.prod(shape[axis + 1 :]) % shape[axis] for axis in self._used(shape)
        }

    def _evaluated(self, places: Mapping[int, Any], count: int) -> Array:
        from glorot_cli.array_expressions import evaluate_array

        indices = {f"axis{axis}": place for axis, place in places.items()}
        for axis, name in enumerate(self.index):
            if name is not None and axis in places:
                indices[name] = places[axis]
        return evaluate_array(self.text, self.names, indices, count)


@functools.lru_cache(maxsize=4)
def _sampled(law: ByIndex, shape: Shape) -> Array:
    """Return the values at places spread over a tensor that has more than a table holds."""
    import numpy as np

    at = np.arange(SAMPLE) * (math.prod(shape) // SAMPLE)
    return law._evaluated(dict(enumerate(np.unravel_index(at, shape))), SAMPLE)


@functools.lru_cache(maxsize=4)
def _table(law: ByIndex, shape: Shape) -> Array:
    """Return the values over the axes that an expression uses."""
    import numpy as np

    used = law._used(shape)
    count = math.prod(used.values())
    places = np.unravel_index(np.arange(count), tuple(used.values())) if used else ()
    return law._evaluated(dict(zip(used, places, strict=True)), count)


@dataclass(frozen=True, slots=True)
class Values:
    """Hold numbers that are given one by one, in C order; integers where float64 holds them not."""

    numbers: tuple[float, ...]

    def values(self, shape: Shape, first: int, count: int) -> Array:
        """Return some elements, from a first index on, in float64 or, to be exact, in int64."""
        import numpy as np

        found = self.numbers[first : first + count]
        if any(isinstance(number, int) for number in found) and all(map(_is_whole, found)):
            return np.array([int(number) for number in found], np.int64)
        return np.array(found, np.float64)

    def sample(self, shape: Shape) -> Array:
        """Return the elements."""
        return self.values(shape, 0, len(self.numbers))

    def mean(self, shape: Shape) -> float:
        return math.fsum(number / len(self.numbers) for number in self.numbers)

    def std(self, shape: Shape) -> float:
        mean = self.mean(shape)
        return math.hypot(*(x - mean for x in self.numbers)) / math.sqrt(len(self.numbers))


def _is_whole(number: float) -> bool:
    return -(2**63) <= number < 2**63 and number == math.floor(number)


Placed = ByIndex | Values
