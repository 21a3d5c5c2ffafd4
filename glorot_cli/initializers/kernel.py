"""What an initialiser is asked to fill, and the checks that they share."""

from __future__ import annotations

from dataclasses import dataclass, field

from glorot_cli.distributions import Uniform
from glorot_cli.fans import FanRule, Fans, Shape, count_fans


@dataclass(frozen=True, slots=True)
class Kernel:
    """Describe the tensor that an initialiser is asked to fill.

    `assumed` are the roles that its rank suggests, where the spec says no axes; exact fans count by
    them, and nothing else does. `steps` collects the arithmetic, for `explain`.
    """

    shape: Shape
    axes: str | None
    fused: int
    rule: FanRule
    assumed: str | None = None
    steps: list[str] = field(default_factory=list, compare=False)

    @property
    def fans(self) -> Fans:
        """The fans by the kernel's rule; ValueError where the rule has none for this shape."""
        fans = count_fans(self.rule, self.shape, self.counted_axes, self.fused)
        self.steps.append(f"fan_in = {fans.fan_in}, fan_out = {fans.fan_out} ({self.rule} rule)")
        return fans

    @property
    def counted_axes(self) -> str | None:
        """The roles that fans are counted by."""
        return self.assumed if self.axes is None and self.rule == "exact" else self.axes

    def say(self, name: str, formula: str, value: float) -> float:
        """Note a step of the arithmetic and return its value."""
        self.steps.append(f"{name} = {formula} = {value!r}")
        return value


def uniform_between(low: float, high: float, low_name: str, high_name: str) -> Uniform:
    if not low < high:
        raise ValueError(f"expected {low_name} below {high_name}, found {low!r} and {high!r}")
    return Uniform(low, high)


def positive(value: float, name: str) -> float:
    if value <= 0.0:
        raise ValueError(f"expected {name} above 0, found {value!r}")
    return value


def matrix_sides(kernel: Kernel, name: str) -> tuple[int, int]:
    if len(kernel.shape) != 2:
        raise ValueError(f"{name} needs a matrix, found shape {list(kernel.shape)}")
    return kernel.shape[0], kernel.shape[1]
