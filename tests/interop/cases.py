"""Argument sets from a seeded generator, of which a layer must refuse some."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

Arguments = dict[str, Any]
Shape = tuple[int | None, ...]

DATA_FORMATS = ["channels_last", "channels_first"]
ACTIVATIONS = [None, "relu", "gelu", "softmax"]
INITIALIZERS: list[Any] = [
    "zeros",
    "ones",
    "glorot_normal",
    "he_uniform",
    "lecun_normal",
    "random_normal",
    "truncated_normal",
    "orthogonal",
    {"name": "constant", "value": 0.5},
    {"name": "random_uniform", "minval": -1.0, "maxval": 3.0},
    {"name": "variance_scaling", "scale": 2.0, "mode": "fan_out", "distribution": "uniform"},
]


class Case(NamedTuple):
    """Hold a layer's arguments and its inputs' shapes without the batch axis."""

    arguments: Arguments
    input_shape: Shape
    others: tuple[Shape, ...] = ()

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """All inputs' shapes."""
        return (self.input_shape, *self.others)


Generator = Callable[[Random], Case]


def sometimes(random: Random, **choices: Any) -> Arguments:
    """Give each argument with even odds, drawn from its choices; else leave the default."""
    return {
        name: random.choice(values) for name, values in choices.items() if random.random() < 0.5
    }


def initializers(random: Random, *names: str) -> Arguments:
    """Give each initialiser with even odds."""
    return sometimes(random, **{f"{name}_initializer": INITIALIZERS for name in names})


def size(random: Random, rank: int, high: int) -> int | list[int]:
    """Draw one size, or one for each axis, or rarely one too many."""
    if random.random() < 0.5:
        return random.randint(1, high)
    rank += random.random() < 0.05
    return [random.randint(1, high) for _ in range(rank)]


def image(
    random: Random,
    rank: int,
    data_format: str | None,
    channels: int | None = None,
    ragged: float = 0.05,
) -> Shape:
    """Draw an input of `rank` spatial axes, some unknown, or rarely one with an axis missing."""
    space: list[int | None] = [random.randint(4, 12) for _ in range(rank)]
    if random.random() < 0.2:
        space[random.randrange(rank)] = None
    if random.random() < ragged:
        space.pop()
    channels = channels or random.choice([1, 2, 4, 6, None])
    return (channels, *space) if data_format == "channels_first" else (*space, channels)


def features(random: Random, low: int = 1, high: int = 4) -> Shape:
    """Draw an input of `low` to `high` axes, whose first may be unknown."""
    sizes: list[int | None] = [random.randint(2, 7) for _ in range(random.randint(low, high))]
    if len(sizes) > 1 and random.random() < 0.3:
        sizes[0] = None
    return tuple(sizes)
