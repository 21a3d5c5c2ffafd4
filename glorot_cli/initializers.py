"""Initialisers by their frameworks' names: fans and arguments to the law of a tensor's elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from glorot_cli.arguments import InitializerChoice, Number, bind, checked_seed
from glorot_cli.distributions import Constant, Distribution, Identity, Uniform, is_random
from glorot_cli.errors import KeyPath, SpecError, shown
from glorot_cli.fans import FanRule, Fans, Shape, count_fans, glorot_limit


@dataclass(frozen=True, slots=True)
class Kernel:
    """Describe the tensor that an initialiser is asked to fill."""

    shape: Shape
    axes: str | None
    fused: int
    rule: FanRule

    @property
    def fans(self) -> Fans:
        """The fans by the kernel's rule; ValueError where the rule has none for this shape."""
        return count_fans(self.rule, self.shape, self.axes, self.fused)


def glorot_uniform(kernel: Kernel) -> Uniform:
    """U(-limit, limit) with limit = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    limit = glorot_limit(kernel.fans)
    return Uniform(-limit, limit)


def random_uniform(kernel: Kernel, *, minval: Number = -0.05, maxval: Number = 0.05) -> Uniform:
    """U(minval, maxval) (Keras 3)."""
    if not minval < maxval:
        raise ValueError(f"expected minval below maxval, found {minval!r} and {maxval!r}")
    return Uniform(minval, maxval)


def zeros(kernel: Kernel) -> Constant:
    """0 everywhere."""
    return Constant(0.0)


def ones(kernel: Kernel) -> Constant:
    """1 everywhere."""
    return Constant(1.0)


def constant(kernel: Kernel, *, value: Number = 0.0) -> Constant:
    """One value everywhere."""
    return Constant(value)


def identity(kernel: Kernel, *, gain: Number = 1.0) -> Identity:
    """`gain` on the main diagonal of a matrix, 0 elsewhere (Keras 3)."""
    if len(kernel.shape) != 2:
        raise ValueError(f"identity needs a matrix, found shape {list(kernel.shape)}")
    return Identity(gain)


INITIALIZERS: dict[str, Callable[..., Distribution]] = {
    "glorot_uniform": glorot_uniform,
    "random_uniform": random_uniform,
    "zeros": zeros,
    "ones": ones,
    "constant": constant,
    "identity": identity,
}

# Keras accepts both cases: glorot_uniform and GlorotUniform.
CLASS_NAMES = {name.title().replace("_", ""): name for name in INITIALIZERS}


@dataclass(frozen=True, slots=True)
class Decided:
    """Hold the initialiser that decides a tensor: its name, all its arguments, and its law."""

    name: str
    arguments: dict[str, Any]
    distribution: Distribution
    seed: int | None
    uses_fans: bool


def decide(choice: InitializerChoice, kernel: Kernel, path: KeyPath) -> Decided:
    """Resolve what a spec says of an initialiser, for one tensor.

    Raises:
        SpecError: at the name or the argument that does not fit.
    """
    path = (*path, choice.key)
    name, given, at_name = _named(choice.value, path)
    function = INITIALIZERS.get(CLASS_NAMES.get(name, name))
    if function is None:
        raise SpecError(
            f"unknown initializer {shown(name)}; known: {', '.join(sorted(INITIALIZERS))}", at_name
        )
    seed = checked_seed(given.pop("seed", None), (*path, "seed"))
    arguments = bind(function, given, path, function.__name__)
    try:
        distribution = function(kernel, **arguments)
    except ValueError as error:
        raise SpecError(str(error), path) from None
    if seed is not None and not is_random(distribution):
        raise SpecError(f"{function.__name__} draws nothing, so it takes no seed", (*path, "seed"))
    return Decided(
        function.__name__, arguments, distribution, seed, "fans" in function.__code__.co_names
    )


def _named(value: object, path: KeyPath) -> tuple[str, dict[str, object], KeyPath]:
    if isinstance(value, str):
        return value, {}, path
    assert isinstance(value, Mapping)
    given = dict(value)
    name = given.pop("name", None)
    if not isinstance(name, str):
        raise SpecError("an initializer needs 'name', which is missing", path)
    return name, given, (*path, "name")
