"""The steps by which an initialiser comes to a distribution, which `explain` shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Step:
    """Hold a step: arithmetic, a use of the fans, or what its user is told unasked."""

    text: str
    kind: Literal["arithmetic", "fans", "notice"] = "arithmetic"

    def __str__(self) -> str:
        """Return the line that `explain` prints."""
        return f"note: {self.text}" if self.kind == "notice" else self.text
