"""Params and dims: the values that a spec gives names to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from glorot_cli.arguments import checked_size
from glorot_cli.errors import GlorotError, KeyPath, SpecError, shown, suggestion
from glorot_cli.expressions import Names, UnknownNameError, Value, evaluate

MOST_NAMES = 1000
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A mapping with these keys only says what a param is where nothing sets it, and where null does.
_CASES = {"absent", "null"}


def check_identifier(name: object, path: KeyPath, *, at_key: bool = True) -> None:
    """Check that expressions can use a name.

    Raises:
        SpecError: if it has other characters than letters, digits and _.
    """
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
        raise SpecError(
            f"expected a name of letters, digits and _, found {shown(name)}", path, at_key=at_key
        )


def check_overrides(params: object, dims: object, overrides: Mapping[str, object]) -> None:
    """Check that values from outside are for params or dims that there are.

    Raises:
        GlorotError: at the first that is for none.
    """
    known = [name for named in (params, dims) if isinstance(named, Mapping) for name in named]
    for name in overrides:
        if name not in known:
            hint = suggestion(name, known) if known else "the spec has none"
            raise GlorotError(f"--set {name}: there is no such param or dim; {hint}")


def evaluate_params(
    params: object, overrides: Mapping[str, object], origin: str = "--set "
) -> dict[str, Value]:
    """Evaluate named values of any kind in order, each by the ones before it.

    A string is an expression, but in `overrides` a word; `origin` says where these are from.

    Raises:
        SpecError: at the param that has no value.
    """
    known: dict[str, Value] = {}
    for name, given in _named(params, "params", "values").items():
        check_identifier(name, ("params", name))
        try:
            known[name] = _param(name, given, known, overrides)
        except ValueError as error:
            given_by = origin if name in overrides else ""
            raise _refused(error, name, ("param", params), given_by) from None
    return known


def evaluate_dims(
    dims: object, params: Mapping[str, Value], overrides: Mapping[str, object]
) -> dict[str, int]:
    """Evaluate named sizes in order, each by the params and the sizes before it.

    Raises:
        SpecError: at the dim that is not a size.
    """
    known = dict(params)
    sizes: dict[str, int] = {}
    for name, size in _named(dims, "dims", "sizes").items():
        path = ("dims", name)
        check_identifier(name, path)
        if name in params:
            message = f"{name!r} is a param already; a name stands in params or in dims"
            raise SpecError(message, path, at_key=True)
        try:
            known[name] = sizes[name] = checked_size(overrides.get(name, size), known)
        except ValueError as error:
            given_by = "--set " if name in overrides else ""
            raise _refused(error, name, ("dim", dims), given_by) from None
    return sizes


def _named(values: object, key: str, what: str) -> Mapping[str, object]:
    if not isinstance(values, Mapping) or len(values) > MOST_NAMES:
        raise SpecError(
            f"expected a mapping of at most {MOST_NAMES} names to {what}, found {shown(values)}",
            (key,),
        )
    return values


def _refused(error: ValueError, name: str, named: tuple[str, object], origin: str) -> GlorotError:
    """Say what is wrong with a value, and where it is from."""
    if origin:
        return GlorotError(f"{origin}{name}: {error}")
    kind, values = named
    message = str(error)
    if isinstance(error, UnknownNameError):
        assert isinstance(values, Mapping)
        if error.name == name:
            message = f"{name!r} is made of itself; a {kind} may use only those before it"
        elif error.name in values:
            message = f"{error.name!r} stands after {name!r}; a {kind} may use only those before it"
    return SpecError(message, (f"{kind}s", name))


def _param(name: str, given: object, known: Names, overrides: Mapping[str, object]) -> Value:
    absent, null = given, None
    if isinstance(given, Mapping) and given and given.keys() <= _CASES:
        if "absent" not in given and name not in overrides:
            raise ValueError("expected a value for 'absent', or one that is set, found none")
        absent, null = given.get("absent"), given.get("null")
    if name not in overrides:
        return _given(absent, known)
    value = overrides[name]
    return _given(null, known) if value is None else _literal(value)


def _given(value: object, known: Names) -> Value:
    if isinstance(value, str):
        return evaluate(value, known)
    if isinstance(value, Mapping) and value.keys() == {"word"}:
        return _literal(value["word"])
    return _literal(value)


def _literal(value: object) -> Value:
    """Check that a value is one that JSON has, and copy it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"expected a finite number, found {shown(value)}")
        return value
    if isinstance(value, list | tuple):
        return [_literal(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _literal(item) for key, item in value.items()}
    raise ValueError(f"expected a value that JSON has, found {shown(value)}")


def written_param(value: Value) -> Value:
    """Write a value as what a spec gives for it."""
    special = isinstance(value, Mapping) and value and value.keys() <= {*_CASES, "word"}
    return {"word": value} if isinstance(value, str) or special else value
