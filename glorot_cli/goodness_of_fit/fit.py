"""A distribution that a tensor's elements fit."""

from __future__ import annotations

from typing import NamedTuple

# Distributions whose parameters are estimated from the elements.
FREE = ("uniform", "truncated_normal", "normal")


class Fit(NamedTuple):
    """Name a distribution that elements fit, with the least of its tests' p-values.

    The p-values are bounds from above, so `quality` is 1 where nothing speaks against it.
    """

    distribution: str
    quality: float
    parameters: dict[str, float]

    @property
    def law(self) -> str:
        """The name of the distribution, as version 1.0 called it."""
        return self.distribution
