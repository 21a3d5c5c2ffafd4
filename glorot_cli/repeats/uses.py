"""Which indices of a repetition a part of a spec uses: it is alike where these are."""

from __future__ import annotations

import re
from collections.abc import Mapping

from glorot_cli.expressions import Names

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Uses:
    """Know the words of all texts in a value, some of which may be indices."""

    def __init__(self, value: object, shared: Names) -> None:
        """Read a value; `shared` are names that are no indices."""
        words: set[str] = set()
        stack = [value]
        while stack:
            item = stack.pop()
            if isinstance(item, str):
                words.update(_WORD.findall(item))
            elif isinstance(item, Mapping):
                stack += item.values()
            elif isinstance(item, list | tuple):
                stack += item
        self._words = tuple(sorted(word for word in words if word not in shared))

    def of(self, names: Names) -> tuple[str, ...]:
        """Return a key that repetitions share only if the value comes to the same in them."""
        # As text, for 1 is true to Python.
        if not self._words:
            return ()
        return tuple([repr(names[word]) for word in self._words if word in names])
