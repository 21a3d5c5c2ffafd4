"""How often an entry stands, and with which indices, wherever it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from glorot_cli.errors import KeyPath, SpecError
from glorot_cli.expressions import Names, Value
from glorot_cli.repeats.indexed import Indexed, with_index
from glorot_cli.repeats.ranges import Range, holds, is_settled, ranges_of

# Nobody needs more, and each is a level of recursion.
MOST_INDICES = 32


class Repetition:
    """Repeat an entry for the indices around it, which have the same names wherever it stands.

    What depends on none of them is worked out once; `shared` are the names that are no indices,
    and `skip` is called with the path for each repetition that the entry's condition refuses.

    Raises:
        SpecError: if the entry's `each` or `repeat` is no mapping of indices.
    """

    def __init__(
        self, item: Mapping[str, Any], path: KeyPath, shared: Names, skip: Callable[[KeyPath], None]
    ) -> None:
        self._ranges = [_Values(range_, shared) for range_ in ranges_of(item, path)]
        self._condition = item.get("when")
        self._path = path
        self._shared = shared
        self._skip = skip
        # Whether the condition needs no index of the entry's own, and what it then comes to.
        self._is_outer: bool | None = None
        self._verdict: bool | None = None

    def of(self, names: Names) -> Iterator[Names]:
        """Give the names of each repetition that the entry's condition keeps.

        Raises:
            SpecError: at the range or the condition that makes no sense.
        """
        if self._condition is None:
            return self._repeated(0, names) if self._ranges else iter((names,))
        return self._kept(self._condition, names)

    def _kept(self, condition: object, names: Names) -> Iterator[Names]:
        here = (*self._path, "when")
        if self._is_outer is None:
            self._is_outer = is_settled(condition, names)
            if is_settled(condition, self._shared):
                self._verdict = holds(condition, names, here)
        # One answer is for all repetitions, of which there may be thousands.
        verdict = self._verdict
        if verdict is None and self._is_outer:
            verdict = holds(condition, names, here)
        if verdict is False:
            self._skip(self._path)
            return
        for inner in self._repeated(0, names) if self._ranges else (names,):
            if verdict or holds(condition, inner, here):
                yield inner
            else:
                self._skip(self._path)

    def _repeated(self, depth: int, names: Names) -> Iterator[Names]:
        """Give the names of each repetition: for each word all the numbers."""
        values, is_last = self._ranges[depth], depth == len(self._ranges) - 1
        if depth == 0:
            _check_count(len(self._ranges), names, values.range)
        index = values.range.name
        for value in values.of(names):
            inner = with_index(names, index, value)
            if is_last:
                yield inner
            else:
                yield from self._repeated(depth + 1, inner)


def _check_count(count: int, names: Names, first: Range) -> None:
    count += len(names.own) if type(names) is Indexed else 0
    if count > MOST_INDICES:
        message = f"expected at most {MOST_INDICES} indices, found {count}"
        raise SpecError(message, first.path[:-1])


class _Values:
    """Give the values of a range, worked out once if they depend on no index."""

    def __init__(self, range_: Range, shared: Names) -> None:
        self.range = range_
        self._is_shared = range_.is_settled(shared)
        self._found: Sequence[Value] | None = None

    def of(self, names: Names) -> Sequence[Value]:
        if self._found is not None:
            return self._found
        found = self.range.values(names)
        if self._is_shared:
            self._found = found
        return found
