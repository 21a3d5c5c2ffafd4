"""Initialisers whose elements follow from their place: formulas, positions, lists of values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from glorot_cli.arguments import Number, checked_number, exact_number
from glorot_cli.errors import shown
from glorot_cli.expressions import Names, UnknownNameError, parsed
from glorot_cli.initializers.kernel import Kernel
from glorot_cli.initializers.steps import Step
from glorot_cli.placed import ByIndex, Values, axis_names


class Formula(NamedTuple):
    """Hold an expression that is evaluated at each place, and the names of its spec."""

    text: str
    names: Names


def _formula(value: object, info: ValidationInfo) -> Formula:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected a number or an expression, found {shown(value)}")
    text = value if isinstance(value, str) else repr(checked_number(value, info))
    parsed(text)
    return Formula(text, info.context or {})


FormulaOf = Annotated[
    Any, BeforeValidator(_formula), WithJsonSchema({"type": ["number", "string"]})
]


def _items(value: object, info: ValidationInfo) -> Iterator[float]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _items(item, info)
    else:
        yield exact_number(value, info)


def _shape(value: object) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        return ()
    inner = {_shape(item) for item in value}
    if len(inner) > 1:
        raise ValueError("expected nested lists of equal lengths")
    return (len(value), *(inner.pop() if inner else ()))


class Given(NamedTuple):
    """Hold numbers, and the shape that their lists have."""

    numbers: tuple[float, ...]
    shape: tuple[int, ...]


def _given(value: object, info: ValidationInfo) -> Given:
    if isinstance(value, str):
        value = (info.context or {}).get(value, value)  # a param that is a list
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a list of numbers, found {shown(value)}")
    return Given(tuple(_items(value, info)), _shape(value))


GivenOf = Annotated[Any, BeforeValidator(_given), WithJsonSchema({"type": ["array", "string"]})]


def by_index(kernel: Kernel, *, value: FormulaOf) -> ByIndex:
    """`value` at each place, an expression of axis0, axis1, ..., the indices along the axes.

    The names that the tensor's `index` gives may stand for them. The value is a float64, rounded
    once to the tensor's dtype.
    """
    text, names = value
    index = {*axis_names(len(kernel.shape)), *filter(None, kernel.index)}
    used = {}
    for name in parsed(text).names:
        if name in index:
            if name in names:
                raise ValueError(
                    f"{name!r} is an index here, and the name of a dim or of a repeat's index; "
                    "rename that"
                )
        elif name in names:
            used[name] = names[name]
        elif name not in ("true", "false", "null"):
            raise UnknownNameError(text, name, {**names, **dict.fromkeys(sorted(index), 0)})
    found = ByIndex(text, used, kernel.index)
    _check(found, kernel)
    kernel.steps.append(Step(f"at each place: {text}"))
    return found


def _check(found: ByIndex, kernel: Kernel) -> None:
    """Compute the first element and the last, so that most mistakes show before all others."""
    for first in (0, math.prod(kernel.shape) - 1):
        found.values(kernel.shape, first, 1)


Layout = Literal["halves", "interleaved"]


def sinusoid(
    kernel: Kernel, *, base: Number = 10000.0, layout: Layout = "halves", offset: Number = 0.0
) -> ByIndex:
    """Sines and cosines of position / base**(2 i / d) (Vaswani et al., 2017).

    A position is an index along the last axis but one, plus `offset`; d is the last axis.
    `layout: halves` is tensor2tensor's and fairseq's: h = d // 2 sines, then h cosines, of
    frequencies base**(-i / (h - 1)), and a last 0 where d is odd; fairseq's row of padding is the
    entry's padding_idx. `layout: interleaved` is the paper's: a sine, its cosine, the next sine,
    of frequencies base**(-2 i / d).
    """
    shape = kernel.shape
    if len(shape) < 2:
        raise ValueError(f"sinusoid needs positions and channels, found shape {list(shape)}")
    if base <= 0.0:
        raise ValueError(f"expected a base above 0, found {base!r}")
    p, c = f"(axis{len(shape) - 2} + offset)", f"axis{len(shape) - 1}"
    size = shape[-1]
    names: Mapping[str, Any] = {"offset": offset, "base": base}
    if layout == "interleaved":
        angle = f"{p} * exp(-2 * ({c} // 2) * log(base) / {size})"
        text = f"sin({angle}) if {c} % 2 == 0 else cos({angle})"
    else:
        half = size // 2
        angle = f"{p} * exp(-({c} % {max(half, 1)}) * (log(base) / {max(half - 1, 1)}))"
        text = f"sin({angle}) if {c} < {half} else cos({angle}) if {c} < {2 * half} else 0"
    kernel.steps.append(Step(f"at each place: {text}"))
    return ByIndex(text, names)


def values(kernel: Kernel, *, values: GivenOf) -> Values:
    """Numbers one by one, in C order: a list, or lists within lists of the tensor's shape."""
    numbers, shape = values
    if shape != kernel.shape and not (len(shape) == 1 and len(numbers) == math.prod(kernel.shape)):
        raise ValueError(
            f"expected {math.prod(kernel.shape)} values, for shape {list(kernel.shape)}, "
            f"found {len(numbers)}" + (f" in lists of {list(shape)}" if len(shape) > 1 else "")
        )
    return Values(numbers)
