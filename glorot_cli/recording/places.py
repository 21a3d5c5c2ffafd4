"""Values without chance, as the initializer that comes to just these: constants, places, lists."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from glorot_cli.placed import ByIndex

Entry = dict[str, Any]
Array = np.ndarray[Any, np.dtype[Any]]

# So many numbers one by one are still a spec that people read.
MOST_VALUES = 256
# Whole numbers are short, and many tensors may share a list of them.
MOST_WHOLE = 4096
# Stands for the name that a list of values gets among the params.
LIST = "#list"
# Beyond these no formula is tried.
LARGEST = 1 << 22


def of_constant(number: float | int | bool) -> Entry | str:
    """Return the initializer of one number."""
    value = int(number) if isinstance(number, bool) else number
    if value in (0, 1):
        return "ones" if value else "zeros"
    return {"name": "constant", "value": value}


def of_values(values: Array, round_to: Any) -> Entry | str | None:
    """Return the initializer of a tensor's values, or None if they are too many to list.

    `values` are as float64 or int64 holds them; `round_to` rounds float64 to the tensor's dtype.
    """
    flat = values.reshape(-1)
    if not np.isfinite(flat).all():
        return None
    if flat.size and (flat == flat[0]).all():
        return of_constant(flat[0].item())
    if (diagonal := _diagonal(values)) is not None:
        return diagonal
    for text in _formulas(values) if values.size <= LARGEST else ():
        try:
            found = ByIndex(text, {}).values(values.shape, 0, values.size)
        except ValueError:
            continue
        if (round_to(found) == flat).all():
            return {"name": "by_index", "value": text}
    for axis in range(values.ndim):
        line = np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])
        whole = values.dtype.kind == "i" and line.shape[1] <= MOST_WHOLE
        short = len(line) > 1 and line.shape[1] <= MOST_VALUES
        if (short or (whole and flat.size > MOST_VALUES)) and (line == line[:1]).all():
            # The same along all other axes: a list to look them up in.
            return {"name": "by_index", "value": f"{LIST}[axis{axis}]", LIST: line[0].tolist()}
    if flat.size <= MOST_VALUES:
        return {"name": "values", "values": flat.tolist()}
    return None


def _diagonal(values: Array) -> Entry | str | None:
    """Tell an identity: of a matrix, or of a convolution's centre."""
    if values.ndim == 2:
        return "eye" if (values == np.eye(*values.shape)).all() else None
    if not 3 <= values.ndim <= 5 or values.size > LARGEST:
        return None
    for groups in range(1, values.shape[0] + 1):
        if values.shape[0] % groups:
            continue
        wanted = np.zeros_like(values)
        outputs = values.shape[0] // groups
        centre = tuple(size // 2 for size in values.shape[2:])
        for group in range(groups):
            for at in range(min(outputs, values.shape[1])):
                wanted[(group * outputs + at, at, *centre)] = 1
        if (values == wanted).all():
            return "dirac" if groups == 1 else {"name": "dirac", "groups": groups}
        if groups > 1024:
            break
    return None


def _formulas(values: Array) -> Iterator[str]:
    """Give formulas over one axis, or over the last two, that fit a few of the values."""
    for axis in range(values.ndim):
        size = values.shape[axis]
        if size < 2:
            continue
        line = np.moveaxis(values, axis, -1).reshape(-1, size)
        if not (line == line[:1]).all():
            continue
        yield from _of_line(line[0], f"axis{axis}")
    if values.ndim >= 2:
        yield from _of_matrix(values)


def _of_line(line: Array, i: str) -> Iterator[str]:
    first, step = _plain(line[0].item()), (line[1] - line[0]).item()
    if float(first) == int(first) and float(step) == int(step):
        yield _linear(i, int(step), int(first))
    size = len(line)
    last = _plain(line[-1].item())
    yield f"{first!r} + {i} * {(last - first)!r} / {size - 1}"
    yield f"{first!r} + {i} * {step!r}"
    count = math.exp(first) if abs(first) < 30 else 0.0
    offset = round(count)
    if line.dtype.kind == "f" and offset >= 1 and offset < 1 << 20:
        yield f"log({i} + {offset})"
        yield f"-log({i} + {offset})"
    if line.dtype.kind == "f" and first == 1 and 0 < last < 1:
        base_ = round(math.exp(-math.log(last) / (size - 1) * size))
        for base in (10000, 100, 1000, 500000, 1000000, base_):
            yield f"1 / {base!r} ** ({i} / {size})"
            yield f"{base!r} ** (-{i} / {size})"
            yield f"exp({i} * (-log({base!r}) / {size}))"
    if first < 0 and last < 0 and abs(first) == 1.0 and line.dtype.kind == "f":
        yield f"-({i} + 1)"


def _plain(number: float) -> float:
    """Return a whole number as such."""
    return int(number) if number == int(number) else number


def _linear(i: str, step: int, first: int) -> str:
    text = {1: i, -1: f"-{i}"}.get(step, f"{step} * {i}")
    return text if first == 0 else f"{text} + {first}" if first > 0 else f"{text} - {-first}"


def _of_matrix(values: Array) -> Iterator[str]:
    rows, columns = f"axis{values.ndim - 2}", f"axis{values.ndim - 1}"
    numbers = np.unique(values)
    if len(numbers) == 2:
        low, high = (_plain(number.item()) for number in numbers)
        for one, other in ((high, low), (low, high)):
            yield f"{one!r} if {columns} <= {rows} else {other!r}"
            yield f"{one!r} if {columns} < {rows} else {other!r}"
            yield f"{one!r} if {columns} == {rows} else {other!r}"
    size = values.shape[-1]
    for base in (10000,):
        angle = f"{rows} * exp(-2 * ({columns} // 2) * log({base!r}) / {size})"
        yield f"sin({angle}) if {columns} % 2 == 0 else cos({angle})"
    yield f"{rows} * {size} + {columns}"
    yield f"{columns} * {values.shape[-2]} + {rows}"
    yield f"{columns} - {rows}"
    yield f"{columns} - {rows} + {values.shape[-2] - 1}"
