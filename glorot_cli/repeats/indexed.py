"""The names that an expression of a repetition may use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from glorot_cli.expressions import Names, Value

# Few names are copied, which makes looking them up faster.
FEW_NAMES = 16


class Indexed(Mapping[str, Value]):
    """Be the names of one repetition: its own, and those of the spec, which all share."""

    __slots__ = ("own", "shared")

    def __init__(self, own: dict[str, Value], shared: Names) -> None:
        self.own = own
        self.shared = shared

    def __getitem__(self, name: str) -> Value:
        return self.own[name] if name in self.own else self.shared[name]

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self.shared

    def __iter__(self) -> Iterator[str]:
        yield from self.shared
        yield from self.own

    def __len__(self) -> int:
        return len(self.own) + len(self.shared)


def with_index(names: Names, index: str, value: Value) -> Names:
    """Give names one more."""
    if type(names) is Indexed:
        return Indexed({**names.own, index: value}, names.shared)
    if len(names) < FEW_NAMES:
        return {**names, index: value}
    return Indexed({index: value}, names)
