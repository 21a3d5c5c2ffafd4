"""Arithmetic in a spec: sizes such as 3*d, scales such as 0.02 / sqrt(2*layers), conditions.

An expression is total: it has no loops and no names but those given, its text and its numbers are
bounded, and its functions are those of `elementary`, so its value is the same on every machine.
docs/spec.md has the grammar.
"""

from __future__ import annotations

import ast
import functools
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from glorot_cli import elementary
from glorot_cli.errors import shown, suggestion

# What a name may stand for: whatever JSON can hold.
Value = Any
Names = Mapping[str, Value]

LONGEST = 200
LARGEST = 2**64

# What Python's parser may see: nothing that it would warn of, such as 1or 2.
_TOKENS = re.compile(
    r"(?: \s | [A-Za-z_]\w*(?![\w'\"]) | (?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])"
    r"| '[^'\"\\\n]*' | \"[^'\"\\\n]*\" | \*\*? | //? | [<>=!]= | [-+%()<>,\[\]] )*",
    re.ASCII | re.VERBOSE,
)
CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None}


class UnknownNameError(ValueError):
    """Report a name that is no param, no dim and no index."""

    def __init__(self, text: str, name: str, names: Names) -> None:
        known = suggestion(name, names) if names else "there are no dims"
        super().__init__(f"{shown(text)} uses the unknown name {name!r}; {known}")
        self.name = name


def evaluate(text: str, names: Names) -> Value:
    """Evaluate an expression.

    Raises:
        ValueError: with what was found instead.
    """
    if text in names:
        return _bounded(text, names[text])
    tree, used = parsed(text)
    for name in used:
        if name not in names and name not in CONSTANTS:
            raise UnknownNameError(text, name, names)
    try:
        return value_of(text, tree, names)
    except ZeroDivisionError:
        raise ValueError(f"{shown(text)} divides by zero") from None


def evaluate_integer(text: str, names: Names) -> int:
    """Evaluate an expression whose value is a whole number.

    Raises:
        ValueError: with what was found instead.
    """
    value = evaluate(text, names)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    hint = "; // divides" if "/" in text.replace("//", "") else ""
    raise ValueError(f"expected a whole number, found {shown(value)} ({shown(text)}){hint}")


def evaluate_real(text: str, names: Names) -> float:
    """Evaluate an expression whose value is a number.

    Raises:
        ValueError: with what was found instead.
    """
    return float(_real(text, names))


def evaluate_exact(text: str, names: Names) -> float:
    """Evaluate the same, but keep an integer that no float is.

    Raises:
        ValueError: with what was found instead.
    """
    return exact(_real(text, names))


def exact(number: float) -> float:
    """Return a number as a float or, where that would be another, as the integer that it is."""
    return number if isinstance(number, int) and float(number) != number else float(number)


def _real(text: str, names: Names) -> float:
    value = evaluate(text, names)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError(f"expected a number, found {shown(value)} ({shown(text)})")


def evaluate_condition(condition: object, names: Names) -> bool:
    """Evaluate what a `when` holds: true, false, or an expression of these.

    Raises:
        ValueError: with what was found instead.
    """
    if isinstance(condition, bool):
        return condition
    if not isinstance(condition, str):
        raise ValueError(f"expected true, false or an expression, found {shown(condition)}")
    return _truth(condition, evaluate(condition, names))


class Parsed(NamedTuple):
    """Hold an expression's tree, and the names that it uses."""

    tree: ast.expr
    names: tuple[str, ...]


@functools.lru_cache(maxsize=4096)
def parsed(text: str) -> Parsed:
    """Read an expression.

    Raises:
        ValueError: if it is none.
    """
    if len(text) > LONGEST:
        raise ValueError(f"expected an expression of at most {LONGEST} characters")
    if not _TOKENS.fullmatch(text):
        raise _refused(text)
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _refused(text) from None
    return Parsed(tree.body, tuple(dict.fromkeys(expression_names(text, tree.body))))


def _refused(text: str) -> ValueError:
    hint = "; a list is written [8, 16]" if text.startswith("(") and "," in text else ""
    return ValueError(
        f"expected an expression such as 3*d or 0.02 / sqrt(2*layers), found {shown(text)}{hint}"
    )


def expression_names(text: str, node: ast.expr) -> list[str]:
    """Return the names that an expression uses; refuse what is none."""
    match node:
        case ast.Constant(value=int() | float() | str() as constant):
            if isinstance(constant, bool):
                raise _refused(text)
            return []
        case ast.Name(id=name):
            return [name]
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            parts = [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            parts = [left, right]
        case ast.BoolOp(values=values):
            parts = values
        case ast.Compare(left=left, ops=ops, comparators=others) if not any(
            isinstance(op, ast.Is | ast.IsNot) for op in ops
        ):
            parts = [left, *others]
        case ast.IfExp(test=test, body=body, orelse=other):
            parts = [test, body, other]
        case ast.Subscript(value=value, slice=key) if not isinstance(key, ast.Slice | ast.Tuple):
            parts = [value, key]
        case ast.List(elts=items):
            parts = items
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            if name not in _FUNCTIONS:
                hint = suggestion(name, _FUNCTIONS)
                raise ValueError(f"{shown(text)} calls the unknown function {name!r}; {hint}")
            if name not in ("min", "max") and len(arguments) != 1:
                raise ValueError(f"{shown(text)}: expected one argument of {name}()")
            if not arguments:
                raise ValueError(f"{shown(text)}: expected an argument of {name}()")
            parts = arguments
        case _:
            raise _refused(text)
    return [name for part in parts for name in expression_names(text, part)]


def _bounded(text: str, value: Value) -> Value:
    if isinstance(value, int | float) and not abs(value) <= LARGEST:
        raise ValueError(f"{shown(text)} goes beyond 2**64")
    return value


def value_of(text: str, node: ast.expr, names: Names) -> Value:
    """Evaluate a part of an expression that `parsed` has read."""
    of = functools.partial(value_of, text, names=names)
    match node:
        case ast.Constant(value=constant):
            result: Value = constant
        case ast.Name(id=name):
            result = names[name] if name in names else CONSTANTS[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            result = -_number(text, of(operand))
        case ast.UnaryOp(operand=operand):
            result = not _truth(text, of(operand))
        case ast.BinOp(left=left, op=op, right=right):
            first, second = _number(text, of(left)), _number(text, of(right))
            try:
                result = _ARITHMETIC[type(op)](first, second)
            except ValueError as error:
                raise ValueError(f"{shown(text)}: {error}") from None
        case ast.BoolOp(op=ast.And(), values=values):
            result = all(_truth(text, of(value)) for value in values)
        case ast.BoolOp(values=values):
            result = any(_truth(text, of(value)) for value in values)
        case ast.Compare(left=left, ops=ops, comparators=others):
            result = _compared(text, of(left), ops, (of(other) for other in others))
        case ast.IfExp(test=test, body=body, orelse=other):
            result = of(body if _truth(text, of(test)) else other)
        case ast.Subscript(value=value, slice=key):
            result = _item(text, of(value), of(key))
        case ast.List(elts=items):
            result = [of(item) for item in items]
        case ast.Call(func=ast.Name(id=name), args=arguments):
            result = _FUNCTIONS[name](text, [of(argument) for argument in arguments])
        case _:
            raise _refused(text)
    return _bounded(text, result)


def _number(text: str, value: Value) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError(f"{shown(text)}: expected a number, found {shown(value)}")


def _truth(text: str, value: Value) -> bool:
    if isinstance(value, bool) or value is None:
        return bool(value)
    hint = "; compare it, as in x != 0" if isinstance(value, int | float) else ""
    raise ValueError(f"{shown(text)}: expected true or false, found {shown(value)}{hint}")


def _floored(left: float, right: float) -> int | float:
    # Beyond the bound it may be infinite, which is no integer.
    found = left // right
    return int(found) if abs(found) <= LARGEST else found


def _power(left: float, right: float) -> int | float:
    if isinstance(left, int) and isinstance(right, int) and right >= 0:
        if abs(left) > 1 and right > 64:
            return math.inf
        return int(left ** min(right, 64 + right % 2))
    if right == 0:
        return 1.0
    if left == 0:
        if right < 0:
            raise ZeroDivisionError
        return 0.0
    magnitude = elementary.power(abs(float(left)), float(right))
    if left > 0:
        return magnitude
    if right % 1 != 0:
        raise ValueError(f"a negative number, {left!r}, has no power {right!r}")
    return -magnitude if right % 2 == 1 else magnitude


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], int | float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: _floored,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _compared(text: str, left: Value, ops: list[ast.cmpop], others: Any) -> bool:
    for op, right in zip(ops, others, strict=True):
        match op:
            case ast.Eq():
                holds = _same(left, right)
            case ast.NotEq():
                holds = not _same(left, right)
            case ast.In():
                holds = contains(text, right, left)
            case ast.NotIn():
                holds = not contains(text, right, left)
            case _:
                holds = _ORDERS[type(op)](_number(text, left), _number(text, right))
        if not holds:
            return False
        left = right
    return True


def _same(left: Value, right: Value) -> bool:
    # To Python, true is 1.
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def contains(text: str, whole: Value, part: Value) -> bool:
    """Evaluate `in`.

    Raises:
        ValueError: if nothing can be in it.
    """
    if isinstance(whole, list):
        return any(_same(part, item) for item in whole)
    if isinstance(whole, str | dict) and isinstance(part, str):
        return part in whole
    raise ValueError(f"{shown(text)}: expected a list after 'in', found {shown(whole)}")


def _item(text: str, whole: Value, key: Value) -> Value:
    if isinstance(whole, list) and isinstance(key, int) and not isinstance(key, bool):
        if -len(whole) <= key < len(whole):
            return whole[key]
        raise ValueError(f"{shown(text)}: there is no item {key} among {len(whole)}")
    if isinstance(whole, dict) and isinstance(key, str):
        if key in whole:
            return whole[key]
        raise ValueError(f"{shown(text)}: there is no {key!r}; {suggestion(key, whole)}")
    raise ValueError(f"{shown(text)}: {shown(whole)} has no item {shown(key)}")


def _sqrt(text: str, x: int | float) -> float:
    if x < 0:
        raise ValueError(f"{shown(text)} takes the square root of {x!r}")
    return math.sqrt(x)


def _log(text: str, x: int | float) -> float:
    if x <= 0:
        raise ValueError(f"{shown(text)} takes the logarithm of {x!r}")
    return elementary.log(float(x))


def _length(text: str, values: list[Value]) -> int:
    if isinstance(values[0], list | dict):
        return len(values[0])
    raise ValueError(f"{shown(text)}: expected a list, found {shown(values[0])}")


def _of_numbers(choose: Callable[[list[float]], float]) -> Callable[[str, list[Value]], Value]:
    def chosen(text: str, values: list[Value]) -> Value:
        if len(values) == 1 and isinstance(values[0], list):
            values = values[0]
        if not values:
            raise ValueError(f"{shown(text)}: expected numbers, found an empty list")
        return choose([_number(text, value) for value in values])

    return chosen


def _of_one(function: Callable[[str, float], float]) -> Callable[[str, list[Value]], Value]:
    return lambda text, values: function(text, _number(text, values[0]))


_FUNCTIONS: dict[str, Callable[[str, list[Value]], Value]] = {
    "cos": _of_one(lambda _, x: elementary.cos(float(x))),
    "exp": _of_one(lambda _, x: elementary.exp(float(x))),
    "len": _length,
    "log": _of_one(_log),
    "max": _of_numbers(max),
    "min": _of_numbers(min),
    "sin": _of_one(lambda _, x: elementary.sin(float(x))),
    "sqrt": _of_one(_sqrt),
}
