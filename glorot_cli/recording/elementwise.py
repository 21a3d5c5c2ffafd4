"""Operators that treat every element alike, as steps after the draw that made the elements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch.utils._python_dispatch import _disable_current_modes

from glorot_cli.recording.account import Constant, Drawn, Region, Step, Value
from glorot_cli.recording.watch import Extent, Watch

Tensor: TypeAlias = torch.Tensor

_ALONE = ("exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "erfinv", "abs", "reciprocal",
    "sigmoid", "tanh", "square", "logit", "log2", "log10", "exp2", "softplus", "sin", "cos",
    "floor", "ceil", "round", "trunc", "relu")  # fmt: skip
_SOFTPLUS = (Step("negate"), Step("expm1"), Step("negate"), Step("log"))


def stepped(
    watch: Watch,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    target: Tensor,
    before: list[tuple[Tensor, list[Region]]],
) -> Value | None:
    """Return what an operator makes of elements that are drawn alike; None if it is no such."""
    name = name.removesuffix("_")
    operands = [_operand(watch, each, before) for each in args]
    drawn = [each for each in operands if isinstance(each, Drawn)]
    if not drawn or any(each is None for each in operands):
        return None
    one = drawn[0]
    if not _is_aligned(args, target):
        return None
    if one.dtype != one.call.dtype:
        return None  # a step after a cast
    if len(drawn) == 2:
        return _of_two(name, *drawn)
    steps = _steps(name, operands, kwargs)
    return None if steps is None else replace(one, steps=(*one.steps, *steps))


def _operand(
    watch: Watch, each: Any, before: list[tuple[Tensor, list[Region]]]
) -> Drawn | float | str | None:
    """Return a draw, a number, or None for anything else; text and flags are left as they are."""
    if each is None:
        return "none"
    if isinstance(each, str):
        return each
    if isinstance(each, int | float):
        return float(each)
    if not isinstance(each, torch.Tensor):
        return None
    regions = next((regions for other, regions in before if other is each), [])
    if len(regions) != 1:
        return None
    value = regions[0].value
    if isinstance(value, Drawn):
        return value
    if isinstance(value, Constant):
        return float(value.number)
    known = watch.known(each) if each.numel() == 1 else None
    with _disable_current_modes():
        return None if known is None else float(known.item())


def _is_aligned(args: tuple[Any, ...], target: Tensor) -> bool:
    """Tell whether a result has the elements of its operand in the same places."""
    to = Extent(target)
    for each in args:
        if isinstance(each, torch.Tensor) and each.numel() > 1:
            own = Extent(each)
            if own.shape != to.shape or not own.is_dense or own.order != to.order:
                return False
    return to.is_dense


def _of_two(name: str, one: Drawn, two: Drawn) -> Value | None:
    """Follow x + log(1 - exp(-x)), the inverse of softplus."""
    if name != "add" or one.call is not two.call:
        return None
    short, long = sorted((one, two), key=lambda each: len(each.steps))
    if long.steps == (*short.steps, *_SOFTPLUS):
        return short.then(Step("inverse_softplus"))
    return None


def _steps(name: str, operands: list[Any], kwargs: dict[str, Any]) -> list[Step] | None:
    numbers = [each for each in operands if isinstance(each, float)]
    is_first = isinstance(operands[0], Drawn)
    if name in _ALONE and is_first and not numbers:
        return [Step(name)]
    if name == "neg":
        return [Step("negate")]
    if name in ("clamp", "clip"):
        low = operands[1] if len(operands) > 1 else kwargs.get("min")
        high = operands[2] if len(operands) > 2 else kwargs.get("max")
        bounds = (("at_least", low), ("at_most", high))
        return [Step(what, float(x)) for what, x in bounds if isinstance(x, int | float)]
    if name in ("clamp_min", "clamp_max") and numbers:
        return [Step("at_least" if name == "clamp_min" else "at_most", numbers[0])]
    if len(numbers) != 1 and name != "pow":
        return None
    number = numbers[0] if numbers else 0.0
    alpha = float(kwargs.get("alpha", 1))
    if name == "mul":
        return [Step("multiply", number)]
    if name == "div" and is_first and kwargs.get("rounding_mode") is None:
        return [Step("divide", number)]
    if name == "add" and (is_first or alpha == 1.0):
        return [Step("add", number * alpha)]
    if name == "sub" and is_first:
        return [Step("add", -number * alpha)]
    if name in ("sub", "rsub") and alpha == 1.0:
        return [Step("negate"), Step("add", number)]
    if name == "pow" and is_first and numbers == [2.0]:
        return [Step("square")]
    return None
