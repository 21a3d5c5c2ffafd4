"""Renames between two files' names, with the order of axes that goes with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from glorot_cli.errors import GlorotError, shown, suggestion
from glorot_cli.fans import Shape

Axes = tuple[int, ...]


class Rename(NamedTuple):
    """Turn a name, of which one `*` stands for any part, into another; `axes` None keeps them."""

    old: str
    new: str
    axes: Axes | str | None = None

    def applied(self, name: str) -> str | None:
        """Return the new name, or None where the old one does not match."""
        head, star, tail = self.old.partition("*")
        if not star:
            return self.new if name == self.old else None
        if len(name) < len(head) + len(tail) or not (name.startswith(head) and name.endswith(tail)):
            return None
        return self.new.replace("*", name[len(head) : len(name) - len(tail)])

    def order(self, shape: Shape) -> Axes:
        """Return the order in which the axes of a shape become the other file's.

        Raises:
            GlorotError: if the order is not one of so many axes.
        """
        if self.axes is None:
            return tuple(range(len(shape)))
        if isinstance(self.axes, str):
            return tuple(reversed(range(len(shape))))
        if sorted(self.axes) != list(range(len(shape))):
            raise GlorotError(
                f"--map: {shown(self.old)}: {shown(self.axes)} is no order of the axes of "
                f"shape {shown(shape)}"
            )
        return self.axes


def parse_rename(text: str, *, turns: bool = True) -> Rename:
    """Read OLD=NEW, OLD=NEW:transpose or OLD=NEW:(2,3,1,0); the last two only if it `turns` axes.

    Raises:
        GlorotError: if it is none of them.
    """
    old, equals, new = text.partition("=")
    axes: Axes | str | None = None
    match = re.fullmatch(r"(.*):\s*(transpose|\(\s*[0-9]+(?:\s*,\s*[0-9]+)*\s*,?\s*\))", new)
    if match is not None:
        new, order = match.groups()
        axes = order if order == "transpose" else tuple(map(int, re.findall("[0-9]+", order)))
    if not (equals and old and new) or old.count("*") > 1 or new.count("*") != old.count("*"):
        raise GlorotError(
            "--map: expected OLD=NEW with at most one * on each side, and perhaps :transpose or "
            f":(2,3,1,0), found {shown(text)}"
        )
    if axes is not None and not turns:
        raise GlorotError(f"--map: bytes are kept as they are, in no other order: {shown(text)}")
    return Rename(old, new, axes)


def renamed(
    names: Sequence[str], renames: Sequence[Rename]
) -> dict[str, tuple[str, Rename | None]]:
    """Return each name's new one, by the first rename that matches it.

    Raises:
        GlorotError: if a rename matches nothing, or two names become one.
    """
    result: dict[str, tuple[str, Rename | None]] = {}
    used: set[Rename] = set()
    taken: dict[str, str] = {}
    for name in names:
        new, rename = name, None
        for each in renames:
            found = each.applied(name)
            if found is not None:
                new, rename = found, each
                used.add(each)
                break
        if new in taken:
            raise GlorotError(
                f"--map: {shown(taken[new])} and {shown(name)} would both be {shown(new)}"
            )
        taken[new] = name
        result[name] = new, rename
    for each in renames:
        if each not in used:
            hint = suggestion(each.old, list(names)[:2000], listed=3)
            raise GlorotError(f"--map: {shown(each.old)} decides no name of the first file; {hint}")
    return result
