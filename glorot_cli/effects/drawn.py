"""What a plan draws, as the rules of layers ask for it, and what those have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from glorot_cli.distributions import is_random
from glorot_cli.effects.graph import Call
from glorot_cli.effects.signals import Signal, Step
from glorot_cli.effects.steps import moved
from glorot_cli.effects.sums import Weights
from glorot_cli.fans import Shape
from glorot_cli.plan import PlannedTensor


class NotCoveredError(Exception):
    """Say why the theory does not cover a layer."""


class Drawn(NamedTuple):
    """The tensors of a plan by their names, and the dialect's mark between a layer and a weight.

    `batch` is the number of examples that batch normalisation sees; None is very many.
    """

    tensors: Mapping[str, PlannedTensor]
    mark: str
    batch: int | None = None

    def moments(self, name: str) -> tuple[float, float] | None:
        """Return a tensor's mean and mean square, None if there is no such tensor."""
        tensor = self.tensors.get(name)
        if tensor is None:
            return None
        mean, std = tensor.distribution.mean(tensor.shape), tensor.distribution.std(tensor.shape)
        return mean, std * std + mean * mean

    def weights(self, kernel: str, bias: str | None) -> Weights:
        """Return what a kernel and its bias are drawn from.

        Raises:
            NotCoveredError: if the kernel's elements are not random with the mean 0.
        """
        tensor = self.tensors.get(kernel)
        if tensor is None:
            raise NotCoveredError(f"{kernel} is no tensor of its own")
        mean, square = self.moments(kernel) or (0.0, 0.0)
        variance = square - mean * mean
        random = is_random(tensor.distribution)
        if square > 0.0 and (mean * mean > 1e-6 * variance or not random):
            raise NotCoveredError(f"{kernel} is not random with the mean 0")
        found = self.moments(bias) if bias is not None else None
        return Weights(variance, *(found or (0.0, 0.0)))

    def name(self, call: Call, weight: str) -> str:
        """Return the name of a call's weight."""
        return f"{call.name}{self.mark}{weight}"

    @property
    def is_torch(self) -> bool:
        """Whether the names are torch's."""
        return self.mark == "."


Rule = Callable[[Call, Sequence[Signal], Drawn], Step]


def then(step: Step, following: Callable[[Signal], Step]) -> Step:
    """Return two steps as one."""
    signal, pull = step
    output, back = following(signal)
    return output, lambda gradient: pull(back(gradient)[0])


def same(signal: Signal) -> Step:
    """Return the step that changes nothing."""
    return signal, lambda gradient: [gradient]


def placed(signal: Signal, space: Shape, features: int) -> Step:
    """Give a signal other positions, over which it is taken for even."""
    if signal.square.shape == space and signal.features == features:
        return same(signal)
    if signal.square.shape == space:
        return replace(signal, features=features), lambda gradient: [gradient]
    before = signal.square.shape
    return moved(
        signal,
        lambda square: np.full(space, float(np.mean(square))),
        lambda square: np.full(before, float(np.mean(square))),
        features=features,
        apart=not space,
    )
