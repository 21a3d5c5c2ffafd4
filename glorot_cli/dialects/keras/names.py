"""How Keras names layers and the groups that it stores them in."""

from __future__ import annotations

import re
from collections import Counter

# The names that classes have in Keras's own code, by which it names and stores them.
_CLASS_NAMES = {"GroupQueryAttention": "GroupedQueryAttention"}


def snake_case(name: str) -> str:
    """Write a class name as Keras names its instances: Conv2D conv2d, ReLU re_lu."""
    name = re.sub(r"\W+", "", _CLASS_NAMES.get(name, name))
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


class Counters:
    """Give each base name its first free form: dense, dense_1, dense_2."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()

    def next(self, base: str) -> str:
        """Return the next name of a base."""
        count = self._given[base]
        self._given[base] += 1
        return f"{base}_{count}" if count else base
