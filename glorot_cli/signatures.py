"""A function's signature as its table of keys, and what a value that does not fit is told.

A layer or an initialiser is a function whose keyword-only parameters are the keys that a spec may
give it. Their annotations are the types of `arguments`, so one signature is the validator, the JSON
Schema and the documentation.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict
from pydantic import ValidationError as PydanticError

from glorot_cli.arguments import InitializerChoice
from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.expressions import Names

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# An initialiser with an argument, for hints.
EXAMPLE = "{name: normal, std: 0.02}"


class Table(BaseModel):
    """Refuse unknown keys, and take no value for another type's."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, validate_default=True, allow_inf_nan=False
    )


@functools.cache
def hints(function: Callable[..., object]) -> dict[str, object]:
    """Return the types of a function's parameters, in their order, and of its result."""
    return typing.get_type_hints(function, include_extras=True)


@functools.cache
def signature_table(function: Callable[..., object]) -> type[Table]:
    """Return the table of a function's keyword-only parameters."""
    from pydantic import create_model

    found = hints(function)
    fields: dict[str, Any] = {
        name: (found[name], ... if parameter.default is parameter.empty else parameter.default)
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
) -> dict[str, object]:
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

# What else people call a key: the first of these that there is.
_IN = ("in_features", "in_channels", "input_size", "input_dim", "input_shape", "shape")
_OUT = ("out_features", "out_channels", "units", "filters", "hidden_size", "output_dim", "shape")
_INIT = (
    "kernel_initializer", "embeddings_initializer", "depthwise_initializer", "initializer",
    "initializers",
)  # fmt: skip
_KEYS = {
    "in": _IN, "n_in": _IN, "input_dim": _IN, "out": _OUT, "n_out": _OUT, "init": _INIT,
    "initializer": _INIT,
}  # fmt: skip

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
        near = next((key for key in _KEYS.get(str(where[-1]), ()) if key in known), None)
        hint = f"did you mean {near!r}?" if near else suggestion(str(where[-1]), known)
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
