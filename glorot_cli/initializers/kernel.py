"""What an initialiser is asked to fill, and the checks that they share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from glorot_cli.distributions import Cut, Ones, Orthogonal, Pieces, Uniform
from glorot_cli.fans import FanRule, Fans, Shape, count_fans
from glorot_cli.initializers.steps import Step

Per = Literal["kernel", "tensor"]


@dataclass(frozen=True, slots=True)
class Kernel:
    """Describe the tensor that an initialiser is asked to fill.

    `assumed` are the roles that its rank suggests, where the spec says no axes; exact fans count by
    them, and nothing else does. `per` says what an initialiser of whole kernels sees where nothing
    else does: each by itself, or the tensor. `index` names the indices along the axes that
    expressions may use. `donor` is the kernel whose fans count instead. `scale` is
    1 / E[f(z)**2] of the activation f behind its layer, for a standard normal z. `steps`
    collects the arithmetic, for `explain`.
    """

    shape: Shape
    axes: str | None
    fused: int
    rule: FanRule
    assumed: str | None = None
    per: Per = "kernel"
    index: tuple[str | None, ...] = ()
    donor: Kernel | None = None
    scale: float | None = None
    fused_role: str = "O"
    steps: list[Step] = field(default_factory=list, compare=False)

    @property
    def fans(self) -> Fans:
        """The fans by the kernel's rule; ValueError where the rule has none for this shape."""
        fans = self.count()
        rule = f"{self.rule} rule" if self.donor is None else f"{self.donor.rule} rule, by fans_of"
        text = f"fan_in = {fans.fan_in}, fan_out = {fans.fan_out} ({rule})"
        self.steps.append(Step(text, "fans"))
        return fans

    def count(self) -> Fans:
        """Count the fans, without a word; ValueError where the rule has none for this shape."""
        if self.donor is not None:
            return self.donor.count()
        if self.rule == "exact" and self.fused > 1 and self.axes is not None:
            return self.piece().count()
        return count_fans(self.rule, self.shape, self.counted_axes, self.fused)

    @property
    def counted_axes(self) -> str | None:
        """The roles that fans are counted by."""
        return self.assumed if self.axes is None and self.rule == "exact" else self.axes

    @property
    def fused_axis(self) -> int:
        """The axis along which `fused` kernels stand side by side."""
        return 0 if self.axes is None else self.axes.upper().index(self.fused_role)

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """What parts the tensor into its kernels: its B axes, and the pieces of its fused axis."""
        batch = [axis for axis, role in enumerate((self.axes or "").upper()) if role == "B"]
        cuts = [Cut(axis, self.shape[axis], drops=True) for axis in batch]
        if self.fused > 1:
            cuts.append(Cut(self.fused_axis, self.fused))
        return tuple(sorted(cuts, key=lambda cut: cut.axis))

    def piece(self) -> Kernel:
        """Return one of the fused pieces."""
        cut = Cut(self.fused_axis, self.fused)
        return replace(self, shape=Pieces((), (cut,)).kernel_shape(self.shape), fused=1)

    def alone(self, per: Per | None) -> Kernel:
        """Return the kernel that an initialiser of whole kernels sees, without what is beside."""
        if (per or self.per) == "tensor" or not self.cuts:
            return self
        axes = self.axes and "".join(role for role in self.axes if role.upper() != "B")
        return replace(self, shape=Pieces((), self.cuts).kernel_shape(self.shape), axes=axes)

    def of_each(self, law: Ones | Orthogonal, per: Per | None) -> Ones | Orthogonal | Pieces:
        """Return the distribution of the tensor whose every kernel has that one."""
        if (per or self.per) == "tensor" or not self.cuts:
            return law
        return Pieces((law,), self.cuts)

    def say(self, name: str, formula: str, value: float) -> float:
        """Note a step of the arithmetic and return its value."""
        self.steps.append(Step(f"{name} = {formula} = {value!r}"))
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
