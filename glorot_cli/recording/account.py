"""What is known of the elements of each storage while a module is built.

Elements are counted in the order in which they lie in memory: random calls fill that order.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

# Values without chance are computed for real up to so many elements.
LARGEST_KNOWN = 1 << 24


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Hold a random call: what it drew, of what arguments, into how many elements of what dtype.

    `where` is the storage that it filled and the first element there.
    """

    kind: str
    arguments: dict[str, float]
    shape: tuple[int, ...]
    count: int
    dtype: str
    scattered: bool = False
    where: tuple[int, int] | None = None


class Step(NamedTuple):
    """Hold an operation on each element; `number` is what it is done with, if anything."""

    operation: str
    number: float | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """Be the elements of a call from `first` on, after some steps; `turned` is a transpose."""

    call: Call
    dtype: str
    steps: tuple[Step, ...] = ()
    first: int = 0
    turned: bool = False

    def then(self, step: Step) -> Drawn:
        """Return what a further step makes of them."""
        return replace(self, steps=(*self.steps, step))


@dataclass(frozen=True, slots=True)
class Constant:
    """Be one number everywhere."""

    number: float | int | bool


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Be values that were computed: a flat real tensor, from `first` on."""

    values: Any
    first: int = 0


@dataclass(frozen=True, slots=True)
class Whole:
    """Be a tensor whose elements hang together, made of a call."""

    kind: Literal["orthogonal", "sparse", "factor", "triangle", "signs"]
    call: Call
    gain: float = 1.0
    sparsity: float = 0.0


@dataclass(frozen=True, slots=True)
class Opaque:
    """Be what no table here knows: the operations that made it, the last first."""

    operations: tuple[str, ...]
    calls: tuple[Call, ...] = ()


Value = Drawn | Constant | Known | Whole | Opaque
NOTHING = Opaque(("empty",))


class Region(NamedTuple):
    """Hold what the elements from `start` to `stop` are."""

    start: int
    stop: int
    value: Value


def shifted(value: Value, by: int) -> Value:
    """Return a value from a later element on."""
    if by and isinstance(value, Drawn | Known):
        return replace(value, first=value.first + by)
    return value


@dataclass(slots=True)
class Storage:
    """Hold the regions of a storage, in order and without a gap.

    `kept` keeps torch's own object, whose address would be given to another otherwise.
    """

    kept: Any
    size: int
    regions: list[Region] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.regions.append(Region(0, self.size, NOTHING))

    def write(self, start: int, stop: int, value: Value) -> None:
        """Put a value over a range."""
        if start >= stop:
            return
        found: list[Region] = []
        for region in self.regions:
            if region.start < start:
                found.append(region._replace(stop=min(region.stop, start)))
            if region.stop > stop:
                begin = max(region.start, stop)
                found.append(
                    Region(begin, region.stop, shifted(region.value, begin - region.start))
                )
        found.append(Region(start, stop, value))
        self.regions = sorted(found, key=lambda region: region.start)

    def read(self, start: int, stop: int) -> list[Region]:
        """Return the regions of a range, counted from its start."""
        found = []
        for region in self.regions:
            low, high = max(region.start, start), min(region.stop, stop)
            if low < high:
                found.append(
                    Region(low - start, high - start, shifted(region.value, low - region.start))
                )
        return merged(found)


def merged(regions: list[Region]) -> list[Region]:
    """Join neighbours that are one value."""
    found: list[Region] = []
    for region in regions:
        if found and _continues(found[-1], region):
            found[-1] = found[-1]._replace(stop=region.stop)
        else:
            found.append(region)
    return found


def _continues(before: Region, after: Region) -> bool:
    one, two = before.value, after.value
    if isinstance(one, Drawn) and isinstance(two, Drawn):
        return two == replace(one, first=one.first + before.stop - before.start)
    if isinstance(one, Known) and isinstance(two, Known):
        return one.values is two.values and two.first == one.first + before.stop - before.start
    return one == two
