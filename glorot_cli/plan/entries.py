"""What a raw tensor's entry says of its axes: their indices' names, a padding row."""

from __future__ import annotations

import math
from collections.abc import Mapping

from glorot_cli.arguments import POSITIVE
from glorot_cli.dtypes import KEPT_BITS
from glorot_cli.errors import KeyPath, SpecError, shown
from glorot_cli.expressions import Names
from glorot_cli.params import check_identifier
from glorot_cli.spec.model import TensorEntry

_OF_KEPT = ("shape", "dtype", "keep")


def check_kept(entry: TensorEntry, item: Mapping[str, object], path: KeyPath) -> None:
    """Check that an entry that is drawn has elements of a dtype that is drawn, and no other key.

    Raises:
        SpecError: at what does not go with `keep`, or does without it only.
    """
    if entry.keep:
        for key in item:
            if key not in _OF_KEPT:
                raise SpecError(
                    f"a tensor that is kept is not drawn, so it takes no {key}",
                    (*path, key),
                    at_key=True,
                )
        return
    for axis, size in enumerate(entry.shape or ()):
        if not size:
            written = item.get("shape")
            text = written[axis] if isinstance(written, list) else written
            found = f"0 ({shown(text)})" if isinstance(text, str) else "0"
            raise SpecError(f"expected {POSITIVE}, found {found}", (*path, "shape", axis))
    if entry.dtype in KEPT_BITS:
        raise SpecError(
            f"elements of {entry.dtype} are not drawn; keep the tensor of a file with keep: true",
            (*path, "dtype"),
        )


def index_names(
    entry: TensorEntry, axes: str | None, names: Names, path: KeyPath
) -> tuple[str | None, ...]:
    """Return the names of the indices along an entry's axes, whose roles are `axes`, if any.

    Raises:
        SpecError: if they do not fit the axes, or are taken.
    """
    if entry.index is None or entry.shape is None:
        return ()
    path = (*path, "index")
    if isinstance(entry.index, str):
        if axes is None or axes.count("B") != 1:
            raise SpecError(
                f"a lone name is for the one B axis, found axes {axes!r}; "
                "give a list of one name or null for each axis",
                path,
            )
        given: list[str | None] = [entry.index if role == "B" else None for role in axes]
        places = {axes.index("B"): path}
    else:
        given = entry.index
        places = {axis: (*path, axis) for axis in range(len(given))}
    if len(given) != len(entry.shape):
        raise SpecError(
            f"expected a name or null for each of the {len(entry.shape)} axes of shape "
            f"{list(entry.shape)}, found {len(given)}",
            path,
        )
    for axis, name in enumerate(given):
        if name is None:
            continue
        check_identifier(name, places[axis], at_key=False)
        if name in names:
            raise SpecError(
                f"the index {name!r} is the name of a param, a dim or a repeat; choose another",
                places[axis],
            )
        if name in given[:axis]:
            raise SpecError(f"two axes have the index {name!r}; choose another", places[axis])
    return tuple(given)


def padding_row(entry: TensorEntry, path: KeyPath) -> tuple[int, int, float] | None:
    """Return the elements that an entry's padding row sets to 0, if it has one.

    Raises:
        SpecError: if there is no such row.
    """
    if entry.padding_idx is None or entry.shape is None:
        return None
    path, shape = (*path, "padding_idx"), entry.shape
    if len(shape) < 2 or (entry.axes or "").startswith("B"):
        raise SpecError(
            "padding_idx is for a table with a row for each index along its first axis, "
            f"found shape {list(shape)}" + (f" and axes {entry.axes}" if entry.axes else ""),
            path,
        )
    if not -shape[0] <= entry.padding_idx < shape[0]:
        raise SpecError(
            f"expected a row from {-shape[0]} to {shape[0] - 1}, found {shown(entry.padding_idx)}",
            path,
        )
    size = math.prod(shape[1:])
    start = entry.padding_idx % shape[0] * size
    return start, start + size, 0.0
