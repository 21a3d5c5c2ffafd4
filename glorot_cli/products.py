"""What a spec's repeats come to at least, found by multiplying before anything is expanded."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from glorot_cli.errors import KeyPath, SpecError
from glorot_cli.expressions import Names
from glorot_cli.repeats import LARGEST_NAMES, MOST_ENTRIES, ranges_of


def check_products(items: object, names: Names, path: KeyPath) -> None:
    """Check that a list of layers or tensors comes to no more than a plan may hold.

    A range that depends on another index, or that is wrong, counts as one repetition here:
    expanding it counts what it comes to, and says what is wrong.

    Raises:
        SpecError: at the first entry that is repeated too often, or whose name gets too long so.
    """
    _count(items, names, path, 1)


def _count(items: object, names: Names, path: KeyPath, times: int) -> None:
    if not isinstance(items, list | Mapping):
        return
    pairs = items.items() if isinstance(items, Mapping) else enumerate(items)
    for key, item in pairs:
        if not isinstance(item, Mapping):
            continue
        here = (*path, key)
        often = times
        with suppress(SpecError):
            for range_ in ranges_of(item, here):
                with suppress(SpecError):
                    often *= len(range_.values(names))
        if often > MOST_ENTRIES and "entries" not in item:
            raise SpecError(
                f"expected at most {MOST_ENTRIES} entries once repeated, found {often}",
                (*here, "repeat"),
            )
        name = item.get("name") if isinstance(key, int) else key
        if isinstance(name, str) and often * len(name) > LARGEST_NAMES:
            raise SpecError(
                f"expected names of at most {LARGEST_NAMES >> 20} MiB in all, "
                f"found {len(name)} letters repeated {often} times",
                here,
            )
        for inner in ("entries", "layers"):
            _count(item.get(inner), names, (*here, inner), often)
        if isinstance(key, int) and not {"entries", "type", "layers"} & item.keys():
            _count(item, names, here, often)  # a mapping in a list of tensors
