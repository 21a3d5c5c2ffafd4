"""The draws of a recorded module: each random call of torch in its order, and what it filled."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from glorot_cli.arguments import Number, ShapeOf, checked_number
from glorot_cli.dtypes import DTypeName, IntegerName
from glorot_cli.errors import shown
from glorot_cli.expressions import evaluate_integer
from glorot_cli.signatures import Table
from glorot_cli.streams.replay import OPERATIONS, Step

Known = Literal["uniform", "normal", "trunc_normal"]
# How many words each element takes, of draws whose values are in no tensor.
WORDS = {
    "random": 1, "random64": 2, "bernoulli": 2, "bernoulli_of": 1, "exponential": 2, "cauchy": 2,
    "geometric": 2,
}  # fmt: skip
Drawn = Literal[
    "uniform", "normal", "trunc_normal", "randperm", "random", "random64", "bernoulli",
    "bernoulli_of", "exponential", "cauchy", "geometric",
]  # fmt: skip


def _names(value: object) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not items or not all(isinstance(x, str) for x in items):
        raise ValueError(f"expected a tensor's name, or a list of names, found {shown(value)}")
    return tuple(items)


def _steps(value: object, info: ValidationInfo) -> tuple[Step, ...]:
    found: list[Step] = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict) or len(item) != 1 or next(iter(item)) not in OPERATIONS:
            raise ValueError(
                f"expected steps such as [{{multiply: 0.02}}], of {', '.join(OPERATIONS)}, "
                f"found {shown(item)}"
            )
        ((operation, number),) = item.items()
        found.append(Step(operation, checked_number(number, info)))
    return tuple(found)


def _rows(value: object, info: ValidationInfo) -> tuple[int, int]:
    bounds = value if isinstance(value, list) else []
    found = [evaluate_integer(x, info.context or {}) if isinstance(x, str) else x for x in bounds]
    if len(found) != 2 or not all(type(x) is int for x in found) or not 0 <= found[0] < found[1]:
        raise ValueError(f"expected the first row and the one after the last, found {shown(value)}")
    return found[0], found[1]


NamesOf = Annotated[
    Any,
    BeforeValidator(_names),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
RowsOf = Annotated[
    Any,
    BeforeValidator(_rows),
    WithJsonSchema({"type": "array", "items": {"type": ["integer", "string"]}}),
]
StepsOf = Annotated[Any, BeforeValidator(_steps), WithJsonSchema({"type": "array"})]


class DrawEntry(Table):
    """Hold what `draws` says of one random call, or of like calls one after another."""

    draw: Drawn = Field(description="What torch drew.")
    of: NamesOf | None = Field(
        None,
        description="The tensors that were filled, one call for each; the last draw of a tensor is "
        "the one that stays.",
    )
    shape: ShapeOf | None = Field(
        None, description="The shape of what is in no tensor, instead of names."
    )
    dtype: DTypeName | IntegerName | None = Field(
        None, description="The dtype of the draw; null is the tensor's, or the spec's."
    )
    a: Number | None = Field(None, description="uniform's and trunc_normal's lower bound.")
    b: Number | None = Field(None, description="uniform's and trunc_normal's upper bound.")
    mean: Number | None = Field(None, description="normal's and trunc_normal's mean.")
    std: Number | None = Field(None, description="normal's and trunc_normal's deviation.")
    rows: RowsOf | None = Field(
        None,
        description="The first row that was filled, and the one after the last; null is all rows.",
    )
    scattered: bool = Field(False, description="Whether the elements lay apart in memory.")
    turned: bool = Field(
        False, description="Whether the tensor is the transpose of what was drawn."
    )
    then: StepsOf = Field(
        default=[],
        description="What was computed of each element: a list of add, multiply, divide, at_least "
        "and at_most, each with its number.",
    )
