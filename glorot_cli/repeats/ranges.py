"""What says how often an entry stands: indices and what they run through, and conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from glorot_cli.errors import KeyPath, SpecError, shown
from glorot_cli.expressions import (
    CONSTANTS,
    Names,
    Value,
    evaluate,
    evaluate_condition,
    evaluate_integer,
    parsed,
)
from glorot_cli.params import check_identifier

MOST_ENTRIES = 1_000_000
# Of the names of a plan's tensors together.
LARGEST_NAMES = 64 << 20
# The keys that say how often an entry stands, and not what it is; the first two hold indices.
RANGES = ("each", "repeat")
STAMPS = (*RANGES, "when")


def holds(condition: object, names: Names, path: KeyPath) -> bool:
    """Tell whether a condition is true.

    Raises:
        SpecError: if it is neither true nor false.
    """
    try:
        return evaluate_condition(condition, names)
    except ValueError as error:
        raise SpecError(str(error), path) from None


class Range(NamedTuple):
    """Hold an index, where it stands, and what it runs through."""

    name: str
    path: KeyPath
    bounds: object

    def values(self, names: Names) -> Sequence[Value]:
        """Return the values of the index.

        Raises:
            SpecError: if its bounds make no sense.
        """
        check_identifier(self.name, self.path)
        if self.name in names:
            raise SpecError(
                f"the index {self.name!r} is the name of a param, a dim or an outer index; "
                "choose another",
                self.path,
                at_key=True,
            )
        if self.path[-2] == "each":
            return _listed(self.bounds, names, self.path)
        return _range(self.bounds, names, self.path)

    def is_settled(self, names: Names) -> bool:
        """Tell whether the values depend on no more than some names."""
        parts = self.bounds if isinstance(self.bounds, list) else [self.bounds]
        # The items of a list in `each` are words, and no expressions.
        is_words = self.path[-2] == "each" and isinstance(self.bounds, list)
        return is_words or all(is_settled(part, names) for part in parts)


_EXAMPLES = ("{p: [q, k, v]}", "{i: layers}")


def ranges_of(item: Mapping[str, Any], path: KeyPath) -> Iterator[Range]:
    """Give the indices of an entry, the outermost first.

    Raises:
        SpecError: if `each` or `repeat` is no mapping of indices.
    """
    for key, example in zip(RANGES, _EXAMPLES, strict=True):
        indices = item.get(key)
        if indices is None:
            continue
        here = (*path, key)
        if not isinstance(indices, Mapping) or not indices:
            raise SpecError(f"expected a mapping such as {example}, found {shown(indices)}", here)
        for index, bounds in indices.items():
            yield Range(index, (*here, index), bounds)


def is_settled(expression: object, names: Names) -> bool:
    """Tell whether an expression needs no more than some names; what is none has one answer too."""
    try:
        used = parsed(expression).names if isinstance(expression, str) else ()
    except ValueError:
        return True
    return all(name in names or name in CONSTANTS for name in used)


def _listed(items: object, names: Names, path: KeyPath) -> list[Value]:
    found = items
    if isinstance(items, str):
        try:
            found = evaluate(items, names)
        except ValueError as error:
            raise SpecError(str(error), path) from None
    if not isinstance(found, list):
        raise SpecError(f"expected a list such as [q, k, v], found {shown(found)}", path)
    return found


def _range(bounds: object, names: Names, path: KeyPath) -> range:
    counts = not isinstance(bounds, list)
    parts = [0, bounds] if not isinstance(bounds, list) else bounds
    try:
        if not 2 <= len(parts) <= 3:
            raise ValueError(
                f"expected n, [start, stop] or [start, stop, step], found {shown(parts)}"
            )
        numbers = [_bound(part, names) for part in parts]
        if len(numbers) == 3 and numbers[2] == 0:
            raise ValueError("expected a step other than 0")
    except ValueError as error:
        raise SpecError(str(error), path) from None
    found = range(*numbers)
    if counts and numbers[1] < 0:
        raise SpecError(f"expected a count of at least 0, found {shown(numbers[1])}", path)
    # len() would overflow.
    count = -(-(found.stop - found.start) // found.step)
    if count > MOST_ENTRIES:
        raise SpecError(f"expected at most {MOST_ENTRIES} repetitions, found {shown(count)}", path)
    return found


def _bound(value: object, names: Names) -> int:
    if isinstance(value, str):
        return evaluate_integer(value, names)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected an integer or an expression, found {shown(value)}")
    return value
