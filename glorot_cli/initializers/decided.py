"""What an initialiser comes to for one tensor."""

from __future__ import annotations

from dataclasses import dataclass

from glorot_cli.distributions import Distribution
from glorot_cli.initializers.steps import Step


@dataclass(frozen=True, slots=True)
class Decided:
    """Hold the initialiser that decides a tensor: its name, all its arguments, and its law."""

    name: str
    arguments: dict[str, object]
    distribution: Distribution
    seed: int | None
    steps: list[Step]

    @property
    def uses_fans(self) -> bool:
        """Whether the law depends on the fans."""
        return any(step.kind == "fans" for step in self.steps)
