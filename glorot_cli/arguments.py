"""Typed arguments: the field types of a spec, and a function's signature as its table of keys.

A layer or an initialiser is a function whose keyword-only parameters are the keys that a spec may
give it. Their annotations are the types below, so one signature is the validator, the JSON Schema
and the documentation.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, WithJsonSchema
from pydantic import ValidationError as PydanticError

from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.expressions import Names, evaluate_integer, evaluate_real

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

LARGEST_SIZE = 2**40
# An initialiser with an argument, for hints.
EXAMPLE = "{name: normal, std: 0.02}"


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


def checked_size(value: object, names: Names) -> int:
    """Return a size, given as an integer or an expression; ValueError if it is not positive."""
    return _integer(value, names, 1, LARGEST_SIZE, "a positive integer below 2**40")


def _size(value: object, info: ValidationInfo) -> int:
    return checked_size(value, _names(info))


def _list(value: object, expected: str) -> list[object]:
    if not isinstance(value, list | tuple):
        if isinstance(value, str) and value.startswith("("):
            expected = "a list such as [8, 16]"
        raise ValueError(f"expected {expected}, found {shown(value)}")
    if len(value) > 32:
        raise ValueError(f"expected at most 32 axes, found {len(value)}")
    return list(value)


def _shape(value: object, info: ValidationInfo) -> tuple[int, ...]:
    items = _list(value, "a list of sizes")
    return _each(items, lambda item: checked_size(item, _names(info)))


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
    """Hold what a spec says of an initialiser, and where; `given` is False for a default."""

    value: object
    path: KeyPath
    given: bool = True


def _initializer(value: object, info: ValidationInfo) -> InitializerChoice:
    if not isinstance(value, str | Mapping):
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
    tuple[int, ...], BeforeValidator(_shape), WithJsonSchema({"type": "array", "items": _INTEGER})
]
Dims = Annotated[
    tuple[int | None, ...],
    BeforeValidator(_dims),
    WithJsonSchema({"type": "array", "items": {"anyOf": [_INTEGER, {"type": "null"}]}}),
]
Number = Annotated[
    float, BeforeValidator(checked_number), WithJsonSchema({"type": ["number", "string"]})
]
SEED_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 2**64 - 1}, _EXPRESSION]}
Seed = Annotated[int, BeforeValidator(_seed), WithJsonSchema(SEED_SCHEMA)]
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
    names: Names,
    path: KeyPath,
    owner: str,
    extra_keys: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Check arguments against a function's signature and return all of them, defaults included.

    `owner` names the layer or initialiser; `extra_keys` are further known keys, for suggestions.

    Raises:
        SpecError: at the argument that does not fit.
    """
    bound = validated(signature_table(function), given, names, path, owner, extra_keys)
    arguments = {name: getattr(bound, name) for name in type(bound).model_fields}
    for name, value in arguments.items():
        if isinstance(value, InitializerChoice):
            arguments[name] = value._replace(path=(*path, *value.path), given=name in given)
    return arguments


def validated(
    table: type[Model],
    given: object,
    names: Names,
    path: KeyPath,
    owner: str,
    extra_keys: tuple[str, ...] = (),
) -> Model:
    """Validate a mapping against a table; `names` are the dims and indices of expressions.

    Raises:
        SpecError: at the first value that does not fit.
    """
    try:
        return table.model_validate(given, context=names)
    except PydanticError as error:
        # A misspelt key explains a missing one, so it comes first.
        found = sorted(error.errors(), key=lambda details: details["type"] != "extra_forbidden")
        raise _spec_error(found[0], table, given, path, owner, extra_keys) from None


def _inside(value: object, loc: tuple[int | str, ...]) -> KeyPath:
    """Follow a path of pydantic's, which also names the parts of a union, through what it is of."""
    path: KeyPath = ()
    for key in loc:
        try:
            value = value[key]  # type: ignore[index]
        except (TypeError, LookupError):
            continue
        path += (key,)
    return path


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

# What else people call a dtype.
_DTYPES = {
    "half": "float16", "fp16": "float16", "f16": "float16", "bf16": "bfloat16",
    "float": "float32", "single": "float32", "fp32": "float32", "f32": "float32",
    "double": "float64", "fp64": "float64", "f64": "float64",
}  # fmt: skip


def _parted(given: object) -> tuple[str, str] | None:
    """Find a value such as (8, 16), which YAML parts at its comma within braces.

    Returns:
        Its key, and what stands there instead.
    """
    items = given.items() if isinstance(given, Mapping) else ()
    if any(value is None and str(key).endswith(")") for key, value in items):
        for key, value in items:
            if isinstance(value, str) and value.startswith("("):
                return key, "a list such as [8, 16]"
            if isinstance(value, str) and "(" in value and key.endswith("initializer"):
                return key, f"a mapping such as {EXAMPLE}"
    return None


def _spec_error(
    details: ErrorDetails,
    table: type[BaseModel],
    given: object,
    path: KeyPath,
    owner: str,
    extra_keys: tuple[str, ...],
) -> SpecError:
    kind, context = details["type"], details.get("ctx", {})
    where = (*path, *_inside(given, details["loc"]))
    if kind == "missing":
        return SpecError(f"{owner} needs {details['loc'][-1]!r}, which is missing", where)
    if kind == "extra_forbidden" and (parted := _parted(given)) is not None:
        key, expected = parted
        assert isinstance(given, Mapping)
        return SpecError(f"expected {expected}, found {shown(given[key])}", (*path, key))
    if kind == "extra_forbidden" and str(where[-1]).endswith(("_regularizer", "_constraint")):
        return SpecError(
            "acts on training, not on initial weights; leave it out", where, at_key=True
        )
    if kind == "extra_forbidden":
        known = [*table.model_fields, *extra_keys]
        hint = suggestion(str(where[-1]), known)
        return SpecError(f"unknown key for {owner}; {hint}", where, at_key=True)
    if kind == "value_error":
        return SpecError(str(context["error"]), (*where, *getattr(context["error"], "path", ())))
    if kind == "literal_error" and isinstance(details["input"], str):
        known = [word.strip("'") for word in re.split(r", | or ", context["expected"])]
        meant = _DTYPES.get(details["input"])
        if len(known) > 8 or meant in known:
            hint = suggestion(details["input"], known)
            hint = f"did you mean {meant!r}?" if meant in known else hint
            return SpecError(f"unknown value {shown(details['input'])}; {hint}", where)
    expected = _EXPECTED.get(kind, details["msg"]).format(**context)
    hint = ""
    if kind == "bool_type" and str(details["input"]).lower() in ("yes", "no", "on", "off"):
        hint = "; YAML 1.2 has true and false only"
    return SpecError(f"expected {expected}, found {shown(details['input'])}{hint}", where)
