"""Arithmetic in a spec: sizes such as 3*d, and scales such as 0.02 / sqrt(2*layers)."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping

from glorot_cli.errors import shown, suggestion

Names = Mapping[str, int]

LONGEST = 200
LARGEST = 2**64

# What Python's parser may see: nothing that it would warn of, such as 1or 2.
_TOKENS = re.compile(
    r"(?: \s | [A-Za-z_]\w*(?!\w) | (?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])"
    r"| \*(?!\*) | //? | [-+()] )*",
    re.ASCII | re.VERBOSE,
)


class UnknownNameError(ValueError):
    """Report a name that is no dim and no index."""

    def __init__(self, text: str, name: str, names: Names) -> None:
        known = suggestion(name, names) if names else "there are no dims"
        super().__init__(f"{shown(text)} uses the unknown name {name!r}; {known}")
        self.name = name


def evaluate_integer(text: str, names: Names) -> int:
    """Evaluate an expression of integers, names, + - * // and parentheses.

    Raises:
        ValueError: with what was found instead.
    """
    return int(_Evaluator(text, names, real=False).value())


def evaluate_real(text: str, names: Names) -> float:
    """Evaluate an expression that may also hold decimals, / and sqrt().

    Raises:
        ValueError: with what was found instead.
    """
    return float(_Evaluator(text, names, real=True).value())


class _Evaluator:
    """Walk the syntax tree of one expression; every step is bounded, so all of it is."""

    def __init__(self, text: str, names: Names, *, real: bool) -> None:
        self._text = text
        self._names = names
        self._real = real

    def value(self) -> float:
        if len(self._text) > LONGEST:
            raise ValueError(f"expected an expression of at most {LONGEST} characters")
        if not _TOKENS.fullmatch(self._text):
            raise self._refused()
        try:
            tree = ast.parse(self._text.strip(), mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise self._refused() from None
        try:
            return self._of(tree.body)
        except ZeroDivisionError:
            raise ValueError(f"{shown(self._text)} divides by zero") from None

    def _of(self, node: ast.expr) -> float:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                if isinstance(number, float) and not self._real:
                    raise self._refused()
                result: float = number
            case ast.Name(id=name):
                if name not in self._names:
                    raise UnknownNameError(self._text, name, self._names)
                result = self._names[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                result = -self._of(operand)
            case ast.BinOp(left=left, op=op, right=right):
                result = self._binary(op, self._of(left), self._of(right))
            case ast.Call(func=ast.Name(id="sqrt"), args=[argument], keywords=[]) if self._real:
                radicand = self._of(argument)
                if radicand < 0:
                    raise ValueError(f"{shown(self._text)} takes the square root of {radicand!r}")
                result = math.sqrt(radicand)
            case _:
                raise self._refused()
        if not abs(result) <= LARGEST:
            raise ValueError(f"{shown(self._text)} goes beyond 2**64")
        return result

    def _binary(self, op: ast.operator, left: float, right: float) -> float:
        match op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.FloorDiv():
                return left // right
            case ast.Div() if self._real:
                return left / right
        raise self._refused()

    def _refused(self) -> ValueError:
        allowed = "numbers, dims, + - * // ( )" + (" / sqrt()" if self._real else "")
        hint = ""
        if self._text.startswith("(") and "," in self._text:
            hint = "; a list is written [8, 16]"
        elif not self._real and "/" in self._text.replace("//", ""):
            hint = "; // divides"
        return ValueError(f"expected an expression of {allowed}, found {shown(self._text)}{hint}")
