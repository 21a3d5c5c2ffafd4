"""Typed arguments: the field types of a spec, and a function's signature as its table of keys.

A layer or an initialiser is a function whose keyword-only parameters are the keys that a spec may
give it. Their annotations are the types below, so one signature is the validator, the JSON Schema
and the documentation.
"""

from __future__ import annotations

import functools
import inspect
import math
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, WithJsonSchema
from pydantic import ValidationError as PydanticError

from glorot_cli.errors import KeyPath, SpecError, shown, suggestion

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

LARGEST_SIZE = 2**40


def _integer(value: object, low: int, high: int, expected: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"expected {expected}, found {shown(value)}")
    return value


def _size(value: object) -> int:
    return _integer(value, 1, LARGEST_SIZE, "a positive integer below 2**40")


def _count(value: object) -> int:
    return _integer(value, 0, LARGEST_SIZE, "an integer of at least 0")


def _list(value: object, expected: str) -> list[object]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected {expected}, found {shown(value)}")
    if len(value) > 32:
        raise ValueError(f"expected at most 32 axes, found {len(value)}")
    return list(value)


def _shape(value: object) -> tuple[int, ...]:
    return tuple(_size(item) for item in _list(value, "a list of sizes"))


def _dims(value: object) -> tuple[int | None, ...]:
    items = _list(value, "a list of sizes")
    return tuple(None if item is None else _size(item) for item in items)


def _sizes(value: object) -> int | tuple[int, ...]:
    if isinstance(value, list | tuple):
        return tuple(_size(item) for item in value)
    return _size(value)


def _axes(value: object) -> int | tuple[int, ...]:
    if isinstance(value, list | tuple):
        return tuple(_integer(item, -LARGEST_SIZE, LARGEST_SIZE, "an integer") for item in value)
    return _integer(value, -LARGEST_SIZE, LARGEST_SIZE, "an integer or a list of integers")


def _margins(value: object) -> int | tuple[int | tuple[int, ...], ...]:
    if isinstance(value, list | tuple):
        return tuple(
            tuple(_count(n) for n in item) if isinstance(item, list | tuple) else _count(item)
            for item in value
        )
    return _count(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, found {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number, found {shown(value)}")
    return number


def _seed(value: object) -> int:
    return _integer(value, 0, 2**64 - 1, "an integer from 0 to 2**64 - 1")


def checked_seed(value: object, path: KeyPath) -> int | None:
    """Check a seed that may be absent.

    Raises:
        SpecError: if it is out of range.
    """
    try:
        return None if value is None else _seed(value)
    except ValueError as error:
        raise SpecError(str(error), path) from None


class InitializerChoice(NamedTuple):
    """Hold what a spec says of an initialiser, and the key that says it."""

    value: object
    key: str


def _initializer(value: object, info: ValidationInfo) -> InitializerChoice:
    if isinstance(value, InitializerChoice):
        return value
    if not isinstance(value, str | Mapping):
        raise ValueError(
            f"expected an initializer's name or a mapping with its name, found {shown(value)}"
        )
    return InitializerChoice(value, info.field_name or "initializer")


_INTEGER = {"type": "integer", "minimum": 1}
# Pydantic resolves references itself; `spec.schema` turns this mark into one.
_INITIALIZER = {"$comment": "initializer"}

Size = Annotated[int, BeforeValidator(_size), WithJsonSchema(_INTEGER)]
Sizes = Annotated[
    int | tuple[int, ...],
    BeforeValidator(_sizes),
    WithJsonSchema({"anyOf": [_INTEGER, {"type": "array", "items": _INTEGER}]}),
]
_COUNT = {"type": "integer", "minimum": 0}
Axes = Annotated[
    int | tuple[int, ...],
    BeforeValidator(_axes),
    WithJsonSchema(
        {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}
    ),
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
    tuple[int, ...], BeforeValidator(_shape), WithJsonSchema({"type": "array", "items": _INTEGER})
]
Dims = Annotated[
    tuple[int | None, ...],
    BeforeValidator(_dims),
    WithJsonSchema({"type": "array", "items": {"anyOf": [_INTEGER, {"type": "null"}]}}),
]
Number = Annotated[float, BeforeValidator(_number), WithJsonSchema({"type": "number"})]
Seed = Annotated[
    int,
    BeforeValidator(_seed),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 2**64 - 1}),
]
# Any to the type checker, so that a layer may write its default as plain text.
Init = Annotated[Any, BeforeValidator(_initializer), WithJsonSchema(_INITIALIZER)]


class Table(BaseModel):
    """Refuse unknown keys, and take no value for another type's."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, validate_default=True, allow_inf_nan=False
    )


@functools.cache
def signature_table(function: Callable[..., object]) -> type[Table]:
    """Return the table of a function's keyword-only parameters."""
    from pydantic import create_model

    hints = typing.get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    return create_model(function.__name__, __base__=Table, **fields)


def bind(
    function: Callable[..., object],
    given: Mapping[str, object],
    path: KeyPath,
    owner: str,
    extra_keys: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Check arguments against a function's signature and return all of them, defaults included.

    `extra_keys` are further known keys, for suggestions.

    Raises:
        SpecError: at the argument that does not fit; `owner` names the layer or initialiser.
    """
    table = validated(signature_table(function), given, path, owner, extra_keys)
    return {name: getattr(table, name) for name in type(table).model_fields}


def validated(
    table: type[Model], given: object, path: KeyPath, owner: str, extra_keys: tuple[str, ...] = ()
) -> Model:
    """Validate a mapping against a table.

    `extra_keys` are known keys that the table itself does not hold, for suggestions.

    Raises:
        SpecError: at the first value that does not fit.
    """
    try:
        return table.model_validate(given)
    except PydanticError as error:
        raise _spec_error(error.errors()[0], table, path, owner, extra_keys) from None


Model = typing.TypeVar("Model", bound=BaseModel)

_EXPECTED = {
    "bool_type": "true or false",
    "string_type": "a string",
    "int_type": "an integer",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "literal_error": "{expected}",
}


def _spec_error(
    details: ErrorDetails,
    table: type[BaseModel],
    path: KeyPath,
    owner: str,
    extra_keys: tuple[str, ...],
) -> SpecError:
    where, kind, context = (*path, *details["loc"]), details["type"], details.get("ctx", {})
    if kind == "missing":
        return SpecError(f"{owner} needs {where[-1]!r}, which is missing", where[:-1])
    if kind == "extra_forbidden":
        known = [*table.model_fields, *extra_keys]
        hint = suggestion(str(where[-1]), known)
        return SpecError(f"unknown key for {owner}; {hint}", where, at_key=True)
    if kind == "value_error":
        return SpecError(str(context["error"]), where)
    expected = _EXPECTED.get(kind, details["msg"]).format(**context)
    return SpecError(f"expected {expected}, found {shown(details['input'])}", where)
