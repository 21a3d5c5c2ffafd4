"""The types of a spec's values: each checks a value, and says so in the JSON Schema."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from glorot_cli.errors import KeyPath, SpecError, shown
from glorot_cli.expressions import (
    Names,
    evaluate,
    evaluate_exact,
    evaluate_integer,
    evaluate_real,
    exact,
)

if TYPE_CHECKING:
    pass

LARGEST_SIZE = 2**40


def _names(info: ValidationInfo) -> Names:
    return info.context or {}


def _integer(value: object, names: Names, low: int, high: int, expected: str) -> int:
    found = shown(value)
    if isinstance(value, str):
        value = evaluate_integer(value, names)
        found = f"{value} ({found})"
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"expected {expected}, found {found}")
    return value


POSITIVE = "a positive integer below 2**40"


def checked_size(value: object, names: Names) -> int:
    """Return a size, given as an integer or an expression; ValueError if it is not positive."""
    return _integer(value, names, 1, LARGEST_SIZE, POSITIVE)


def _size(value: object, info: ValidationInfo) -> int:
    return checked_size(value, _names(info))


def _list(value: object, expected: str) -> list[object]:
    """Return a list of sizes; a lone integer or dim stands for a list of one."""
    if isinstance(value, int | str) and not isinstance(value, bool) and "(" not in str(value):
        return [value]
    if not isinstance(value, list | tuple):
        if isinstance(value, str) and value.startswith("("):
            expected = "a list such as [8, 16]"
        raise ValueError(f"expected {expected}, found {shown(value)}")
    if len(value) > 32:
        raise ValueError(f"expected at most 32 axes, found {len(value)}")
    return list(value)


def _shape(value: object, info: ValidationInfo) -> tuple[int, ...]:
    """Return the sizes of a tensor; of one that is kept some may be 0."""
    items = _list(value, "a list of sizes")
    return _each(items, lambda item: _integer(item, _names(info), 0, LARGEST_SIZE, POSITIVE))


def _dims(value: object, info: ValidationInfo) -> tuple[int | None, ...]:
    items = _list(value, "a list of sizes")
    return _each(items, lambda item: None if item is None else checked_size(item, _names(info)))


def _sizes(value: object, info: ValidationInfo) -> int | tuple[int, ...]:
    if isinstance(value, list | tuple):
        return _each(value, lambda item: checked_size(item, _names(info)))
    return _size(value, info)


def _axes(value: object, info: ValidationInfo) -> int | tuple[int, ...]:
    wide = -LARGEST_SIZE, LARGEST_SIZE
    if isinstance(value, list | tuple):
        return _each(value, lambda item: _integer(item, _names(info), *wide, "an integer"))
    return _integer(value, _names(info), *wide, "an integer or a list of integers")


def _row(value: object, info: ValidationInfo) -> int | None:
    if isinstance(value, str):
        value = evaluate(value, _names(info))
    if value is None:
        return None
    return _integer(value, _names(info), -LARGEST_SIZE, LARGEST_SIZE, "an integer")


def _margins(value: object, info: ValidationInfo) -> int | tuple[int | tuple[int, ...], ...]:
    def margin(item: object) -> int:
        return _integer(item, _names(info), 0, LARGEST_SIZE, "an integer of at least 0")

    if isinstance(value, list | tuple):
        return _each(
            value,
            lambda item: _each(item, margin) if isinstance(item, list | tuple) else margin(item),
        )
    return margin(value)


def checked_number(value: object, info: ValidationInfo) -> float:
    """Return a finite number, given as such or as an expression; ValueError if it is neither."""
    if isinstance(value, str):
        return evaluate_real(value, _names(info))
    return _finite(value)


def exact_number(value: object, info: ValidationInfo) -> float:
    """Return a finite number as above, but an integer that float64 does not hold as it is."""
    if isinstance(value, str):
        return evaluate_exact(value, _names(info))
    number = _finite(value)
    return exact(value) if isinstance(value, int) else number


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, found {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, found {shown(value)}")
    return number


def _checked_seed(value: object, names: Names) -> int:
    return _integer(value, names, 0, 2**64 - 1, "an integer from 0 to 2**64 - 1")


def _seed(value: object, info: ValidationInfo) -> int:
    return _checked_seed(value, _names(info))


def checked_seed(value: object, names: Names, path: KeyPath) -> int | None:
    """Check a seed that may be absent.

    Raises:
        SpecError: if it is out of range.
    """
    try:
        return None if value is None else _checked_seed(value, names)
    except ValueError as error:
        raise SpecError(str(error), path) from None


class ItemError(ValueError):
    """Report an item of a list, by its index."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.path: KeyPath = (index,)


Item = typing.TypeVar("Item")


def _each(items: Iterable[object], check: Callable[[object], Item]) -> tuple[Item, ...]:
    found = []
    for index, item in enumerate(items):
        try:
            found.append(check(item))
        except ValueError as error:
            raise ItemError(str(error), index) from None
    return tuple(found)


class InitializerChoice(NamedTuple):
    """Hold what a spec says of an initialiser, and where; `given` is False for a default.

    The value is a name, a mapping with one, or a list of them, one for each fused piece.
    """

    value: object
    path: KeyPath
    given: bool = True


def is_initializer(value: object) -> bool:
    """Tell whether a value may name an initialiser, or those of fused pieces."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, str | Mapping) for item in value)
    return isinstance(value, str | Mapping)


def _initializer(value: object, info: ValidationInfo) -> InitializerChoice:
    if not is_initializer(value):
        raise ValueError(
            f"expected an initializer's name or a mapping with its name, found {shown(value)}"
        )
    return InitializerChoice(value, (info.field_name or "initializer",))


# A string is an expression of dims and indices.
_EXPRESSION = {"type": "string"}
_INTEGER = {"anyOf": [{"type": "integer", "minimum": 1}, _EXPRESSION]}
# Pydantic resolves references itself; `spec.schema` turns this mark into one.
_INITIALIZER = {"$comment": "initializer"}

Size = Annotated[int, BeforeValidator(_size), WithJsonSchema(_INTEGER)]
Sizes = Annotated[
    int | tuple[int, ...],
    BeforeValidator(_sizes),
    WithJsonSchema({"anyOf": [_INTEGER, {"type": "array", "items": _INTEGER}]}),
]
_ANY_INTEGER = {"type": ["integer", "string"]}
Row = Annotated[
    int | None,
    BeforeValidator(_row),
    WithJsonSchema({"type": ["integer", "string", "null"]}),
]
_COUNT = {"anyOf": [{"type": "integer", "minimum": 0}, _EXPRESSION]}
Axes = Annotated[
    int | tuple[int, ...],
    BeforeValidator(_axes),
    WithJsonSchema({"anyOf": [_ANY_INTEGER, {"type": "array", "items": _ANY_INTEGER}]}),
]
Margins = Annotated[
    int | tuple[int | tuple[int, ...], ...],
    BeforeValidator(_margins),
    WithJsonSchema(
        {
            "anyOf": [
                _COUNT,
                {
                    "type": "array",
                    "items": {"anyOf": [_COUNT, {"type": "array", "items": _COUNT}]},
                },
            ]
        }
    ),
]
ShapeOf = Annotated[
    tuple[int, ...],
    BeforeValidator(_shape),
    WithJsonSchema({"anyOf": [{"type": "array", "items": _INTEGER}, _INTEGER]}),
]
Dims = Annotated[
    tuple[int | None, ...],
    BeforeValidator(_dims),
    WithJsonSchema(
        {"anyOf": [{"type": "array", "items": {"anyOf": [_INTEGER, {"type": "null"}]}}, _INTEGER]}
    ),
]
Number = Annotated[
    float, BeforeValidator(checked_number), WithJsonSchema({"type": ["number", "string"]})
]
ExactNumber = Annotated[
    float | int,
    BeforeValidator(exact_number),
    WithJsonSchema({"type": ["number", "string"]}),
]
SEED_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 2**64 - 1}, _EXPRESSION]}
Seed = Annotated[int, BeforeValidator(_seed), WithJsonSchema(SEED_SCHEMA)]
# Any to the type checker, so that a layer may write its default as plain text.
Init = Annotated[Any, BeforeValidator(_initializer), WithJsonSchema(_INITIALIZER)]
