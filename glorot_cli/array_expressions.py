"""Expressions of indices, evaluated for many elements at once: what `expressions` gives for each.

An index is an array of int64, one for each element; every other name is as elsewhere. Only the
elements that reach a branch are evaluated there, so that `0 if i == 0 else 1 / i` divides by no 0.
"""

from __future__ import annotations

import ast
import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from glorot_cli import elementary
from glorot_cli.dtypes import Array
from glorot_cli.errors import shown
from glorot_cli.expressions import LARGEST, Names, contains, expression_names, parsed, value_of

Result = Any

# Whole numbers beyond it are no float64.
LARGEST_WHOLE = 2**53


def evaluate_array(text: str, names: Names, indices: dict[str, Array], size: int) -> Array:
    """Evaluate an expression for `size` elements, given the index of each by its names.

    Raises:
        ValueError: with what was found instead of a number.
    """
    tree = parsed(text).tree
    try:
        found = _of(text, tree, names, indices)
    except ZeroDivisionError:
        raise ValueError(f"{shown(text)} divides by zero") from None
    values = _number(text, found)
    return np.broadcast_to(values, (size,)).astype(np.float64)


def _of(text: str, node: ast.expr, names: Names, indices: dict[str, Array]) -> Result:
    if indices.keys().isdisjoint(expression_names(text, node)):
        return value_of(text, node, names)
    of = functools.partial(_of, text, names=names, indices=indices)
    result: Result
    match node:
        case ast.Name(id=name):
            return indices[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            result = -_number(text, of(operand))
        case ast.UnaryOp(operand=operand):
            result = ~_truth(text, of(operand))
        case ast.BinOp(left=left, op=op, right=right):
            first, second = _number(text, of(left)), _number(text, of(right))
            result = _ARITHMETIC[type(op)](text, *np.broadcast_arrays(first, second))
        case ast.BoolOp(op=op, values=values):
            result = _joined(text, values, isinstance(op, ast.And), names, indices)
        case ast.Compare(left=left, ops=ops, comparators=others):
            result = _compared(text, of(left), ops, [of(other) for other in others])
        case ast.IfExp(test=test, body=body, orelse=other):
            result = _chosen(text, of(test), body, other, names, indices)
        case ast.Subscript(value=value, slice=key):
            result = _item(text, of(value), of(key))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            given = [_number(text, of(argument)) for argument in arguments]
            result = _FUNCTIONS[name](text, given)
        case _:
            raise ValueError(f"{shown(text)}: a list may not hold an index")
    return _bounded(text, result)


def _number(text: str, value: Result) -> Array:
    found = np.asarray(value)
    if found.dtype.kind not in "if" or isinstance(value, list):
        kind = "true or false" if found.dtype == bool else shown(value)
        raise ValueError(f"{shown(text)}: expected a number, found {kind}")
    return found


def _truth(text: str, value: Result) -> Array:
    found = np.asarray(False if value is None else value)
    if found.dtype != bool:
        raise ValueError(f"{shown(text)}: expected true or false; compare it, as in x != 0")
    return found


def _bounded(text: str, result: Array) -> Array:
    if result.dtype.kind == "f" and not (np.abs(result) <= LARGEST).all():
        raise ValueError(f"{shown(text)} goes beyond 2**64")
    if result.dtype.kind == "i" and not (np.abs(result) <= LARGEST_WHOLE).all():
        raise _too_large(text)
    return result


def _too_large(text: str) -> ValueError:
    return ValueError(f"{shown(text)} goes beyond 2**53 in whole numbers; write one with a decimal")


def _exact(function: Callable[[Any, Any], Any]) -> Callable[[str, Array, Array], Array]:
    """Return + - or *, whose whole numbers stay within those that float64 holds."""

    def apply(text: str, left: Array, right: Array) -> Array:
        if left.dtype.kind == right.dtype.kind == "i":
            rough = function(left.astype(np.float64), right.astype(np.float64))
            if not (np.abs(rough) <= LARGEST_WHOLE).all():
                raise _too_large(text)
        found: Array = function(left, right)
        return found

    return apply


def _over(function: Callable[[Any, Any], Any]) -> Callable[[str, Array, Array], Array]:
    def apply(text: str, left: Array, right: Array) -> Array:
        if (right == 0).any():
            raise ZeroDivisionError
        found: Array = function(left, right)
        return found

    return apply


def _floored(left: Array, right: Array) -> Array:
    found: Array = left // right
    whole = found.dtype.kind == "f" and (np.abs(found) <= LARGEST_WHOLE).all()
    return found.astype(np.int64) if whole else found


def _power(text: str, left: Array, right: Array) -> Array:
    whole = left.dtype.kind == right.dtype.kind == "i"
    result = np.ones(left.shape)
    base, exponent = left.astype(np.float64), right.astype(np.float64)
    if ((base == 0.0) & (exponent < 0.0)).any():
        raise ZeroDivisionError
    negative = (base < 0.0) & (exponent % 1.0 != 0.0)
    if negative.any():
        at = int(np.argmax(negative))
        raise ValueError(
            f"{shown(text)}: a negative number, {left.flat[at]!r}, has no power {right.flat[at]!r}"
        )
    result[(base == 0.0) & (exponent > 0.0)] = 0.0
    exact = (exponent >= 0.0) & whole
    some = ~exact & (base != 0.0) & (exponent != 0.0)
    magnitude = elementary.power(np.abs(base[some]), exponent[some])
    odd = (base[some] < 0.0) & (exponent[some] % 2.0 == 1.0)
    result[some] = np.where(odd, -magnitude, magnitude)
    if exact.any():
        pairs, places = np.unique(
            np.stack([left[exact], right[exact]]), axis=1, return_inverse=True
        )
        powers = [_whole_power(text, int(x), int(y)) for x, y in pairs.T]
        result[exact] = np.array(powers, np.float64)[places.reshape(-1)]
        if exact.all():
            return result.astype(np.int64)
    return result


def _whole_power(text: str, base: int, exponent: int) -> int:
    if (abs(base) > 1 and exponent > 64) or abs(base**exponent) > LARGEST_WHOLE:
        raise _too_large(text)
    return int(base**exponent)


_ARITHMETIC: dict[type[ast.operator], Callable[[str, Array, Array], Array]] = {
    ast.Add: _exact(operator.add),
    ast.Sub: _exact(operator.sub),
    ast.Mult: _exact(operator.mul),
    ast.Div: _over(operator.truediv),
    ast.FloorDiv: _over(_floored),
    ast.Mod: _over(operator.mod),
    ast.Pow: _power,
}
_ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _some(indices: dict[str, Array], where: Array) -> dict[str, Array]:
    return {name: index[where] for name, index in indices.items()}


def _joined(
    text: str, values: list[ast.expr], every: bool, names: Names, indices: dict[str, Array]
) -> Array:
    """Evaluate `and` or `or`: each further part for the elements that it decides alone."""
    size = next(iter(indices.values())).size
    result = np.full(size, every)
    for value in values:
        open_ = np.flatnonzero(result == every)
        if open_.size:
            found = _truth(text, _of(text, value, names, _some(indices, open_)))
            result[open_] = np.broadcast_to(found, open_.shape)
    return result


def _chosen(
    text: str,
    test: Result,
    body: ast.expr,
    other: ast.expr,
    names: Names,
    indices: dict[str, Array],
) -> Result:
    size = next(iter(indices.values())).size
    holds = np.broadcast_to(_truth(text, test), (size,))
    parts = [
        (places, np.asarray(_of(text, branch, names, _some(indices, places))))
        for places, branch in ((np.flatnonzero(holds), body), (np.flatnonzero(~holds), other))
        if places.size
    ]
    if any(found.dtype.kind not in "ifb" for _, found in parts):
        raise ValueError(f"{shown(text)}: expected numbers from both sides of 'else'")
    if len({found.dtype == bool for _, found in parts}) > 1:
        raise ValueError(f"{shown(text)}: expected two numbers or two conditions around 'else'")
    result = np.empty(size, np.result_type(*(found.dtype for _, found in parts)))
    for places, found in parts:
        result[places] = found
    return result


def _compared(text: str, left: Result, ops: Sequence[ast.cmpop], others: list[Result]) -> Array:
    result: Array = np.asarray(True)
    for op, right in zip(ops, others, strict=True):
        match op:
            case ast.Eq():
                holds = _same(left, right)
            case ast.NotEq():
                holds = ~_same(left, right)
            case ast.In() | ast.NotIn():
                holds = _contains(text, right, left)
                holds = ~holds if isinstance(op, ast.NotIn) else holds
            case _:
                holds = np.asarray(_ORDERS[type(op)](_number(text, left), _number(text, right)))
        result = result & holds
        left = right
    return result


def _same(left: Result, right: Result) -> Array:
    a, b = np.asarray(left), np.asarray(right)
    shape = np.broadcast_shapes(a.shape, b.shape)
    alike = (a.dtype == bool) == (b.dtype == bool) and {a.dtype.kind, b.dtype.kind} <= {*"ifb"}
    return np.broadcast_to(np.asarray(a == b) if alike else np.asarray(False), shape)


def _contains(text: str, whole: Result, part: Result) -> Array:
    if not isinstance(whole, list):
        contains(text, whole, 0)  # refuses it
    found = np.zeros(np.shape(part), bool)
    for item in whole:
        if isinstance(item, int | float | bool):
            found = found | _same(part, item)
    return found


def _item(text: str, whole: Result, key: Result) -> Array:
    if not isinstance(whole, list) or np.asarray(key).dtype.kind != "i":
        raise ValueError(f"{shown(text)}: {shown(whole)} has no item by an index")
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in whole):
        raise ValueError(f"{shown(text)}: expected a list of numbers, found {shown(whole)}")
    outside = (key < -len(whole)) | (key >= len(whole))
    if outside.any():
        at = int(key[np.argmax(outside)])
        raise ValueError(f"{shown(text)}: there is no item {at} among {len(whole)}")
    return _number(text, np.array(whole))[key]


def _refusing(
    function: Callable[[Array], Array], bad: Callable[[Array], Array], told: str
) -> Callable[[str, list[Array]], Array]:
    def apply(text: str, given: list[Array]) -> Array:
        (x,) = given
        wrong = bad(x)
        if wrong.any():
            raise ValueError(f"{shown(text)} takes the {told} of {x.flat[int(np.argmax(wrong))]!r}")
        return function(x.astype(np.float64))

    return apply


def _plain(function: Callable[[Array], Array]) -> Callable[[str, list[Array]], Array]:
    return lambda text, given: function(given[0].astype(np.float64))


def _extreme(choose: Callable[[Any, Any], Any]) -> Callable[[str, list[Array]], Array]:
    return lambda text, given: functools.reduce(choose, given)


def _length(text: str, given: list[Array]) -> Array:
    raise ValueError(f"{shown(text)}: expected a list in len()")


def _exp(x: Array) -> Array:
    # Beyond the bound in any case.
    return elementary.exp(np.minimum(x, 700.0))


_FUNCTIONS: dict[str, Callable[[str, list[Array]], Array]] = {
    "cos": _plain(elementary.cos),
    "exp": _plain(_exp),
    "len": _length,
    "log": _refusing(elementary.log, lambda x: x <= 0, "logarithm"),
    "max": _extreme(np.maximum),
    "min": _extreme(np.minimum),
    "sin": _plain(elementary.sin),
    "sqrt": _refusing(np.sqrt, lambda x: x < 0, "square root"),
}
assert math.exp(700.0) > LARGEST
