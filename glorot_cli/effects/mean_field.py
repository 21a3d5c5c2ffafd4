"""Mean-field theory: mean squares of activations and gradients in the wide limit, layer by layer.

Poole et al. (2016) and Schoenholz et al. (2017) for dense layers, He et al. (2015) for ReLU, Xiao
et al. (2018) for convolutions, Yang and Schoenholz (2017) for residual networks, Yang et al. (2019)
for batch normalisation, Klambauer et al. (2017) for SELU. Inputs and the gradient at the outputs
are standard normal, and layers act as in training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glorot_cli.effects.drawn import Drawn, NotCoveredError
from glorot_cli.effects.graph import Graph
from glorot_cli.effects.rules import CONTINUED, RULES, WEIGHTED
from glorot_cli.effects.signals import Gradient, Pullback, Signal, even, fresh, summed
from glorot_cli.fans import Shape
from glorot_cli.plan import PlannedTensor


@dataclass(frozen=True, slots=True)
class LayerEffect:
    """What a start does at one layer with random weights, with its norm and activation.

    `label` is the call that gives what the mean squares are of. `chi` is the factor by which the
    layer multiplies the squared length of a gradient, over the ratio of its numbers of elements
    (1 at the edge of chaos); None of an embedding.
    """

    name: str
    label: str
    activation_square: float
    activation_mean: float
    gradient_square: float
    chi: float | None

    @property
    def activation_std(self) -> float:
        """The standard deviation of the activations."""
        return math.sqrt(max(0.0, self.activation_square - self.activation_mean**2))

    @property
    def gradient_std(self) -> float:
        """The standard deviation of the gradient, whose mean is 0."""
        return math.sqrt(self.gradient_square)

    @property
    def depth_scale(self) -> float:
        """The number of such layers over which a gradient changes by a factor of e."""
        if self.chi is None or self.chi <= 0.0:
            return math.nan
        logarithm = abs(math.log(self.chi))
        return math.inf if logarithm < 1e-12 else 1.0 / logarithm


@dataclass(frozen=True, slots=True)
class MeanField:
    """The effect at each layer, and where and why the chain is cut."""

    layers: tuple[LayerEffect, ...]
    cuts: tuple[str, ...]


def predict(
    graph: Graph, tensors: Mapping[str, PlannedTensor], batch: int | None = None
) -> MeanField:
    """Return what a plan's tensors do to the activations and gradients of a network.

    `batch` is the number of examples over which batch normalisation is corrected, else very many.

    Where a layer is not covered the chain is cut: what comes out of it, and the gradient before it,
    are standard normal again.
    """
    # Spreads that leave all numbers are infinite, or not a number, in the results.
    with np.errstate(all="ignore"):
        return _predicted(graph, tensors, batch)


def _predicted(graph: Graph, tensors: Mapping[str, PlannedTensor], batch: int | None) -> MeanField:
    drawn = Drawn(tensors, "/" if graph.dialect == "keras" else ".", batch)
    signals: dict[str, Signal] = {
        label: _standard(shape, graph) for label, shape in graph.inputs.items()
    }
    pulls: dict[str, Pullback] = {}
    chis: dict[str, float | None] = {}
    owners: dict[str, str] = {}
    ends: dict[str, str] = {}
    names: dict[str, str] = {}
    cuts: list[str] = []
    cut_before: set[str] = set()
    for call in graph.calls:
        inputs = [signals[parent] for parent in call.parents]
        rule = RULES.get(call.layer.entry.type.removeprefix("Lazy"))
        try:
            if rule is None:
                raise NotCoveredError(f"{call.layer.entry.type} is not covered")
            signal, pull = rule(call, inputs, drawn)
        except (NotCoveredError, ValueError) as error:
            cuts.append(f"{call.label}: {error}")
            signals[call.label] = _standard(call.output, graph)
            cut_before |= set(call.parents)
            continue
        signals[call.label], pulls[call.label] = signal, pull
        factor = _factor(signal, pull, inputs[0])
        kind = call.layer.entry.type.removeprefix("Lazy")
        if kind in WEIGHTED:
            owners[call.label], names[call.label] = call.label, call.name
            ends[call.label] = call.label
            chis[call.label] = None if kind == "Embedding" else factor
        elif kind in CONTINUED and owners.get(call.parents[0]):
            owner = owners[call.parents[0]]
            # Only where one call follows another: a branch has ends of its own.
            if ends[owner] == call.parents[0]:
                owners[call.label], ends[owner] = owner, call.label
                chi = chis[owner]
                chis[owner] = None if chi is None else chi * factor
    gradients = _backward(graph, signals, pulls, cut_before)
    layers = [
        LayerEffect(
            names[label], end, signals[end].level, signals[end].mean, gradients[end].level,
            chis[label],
        )
        for label, end in ends.items()
    ]  # fmt: skip
    return MeanField(tuple(layers), tuple(cuts))


def _standard(shape: Shape, graph: Graph) -> Signal:
    """Return standard normals of a shape, whose channels are the last axis, or torch's first."""
    first = graph.dialect == "torch" and len(shape) > 2
    space = shape[1:] if first else shape[:-1]
    return fresh(np.ones(space), (shape[0] if first else shape[-1]) if shape else 1)


def _factor(signal: Signal, pull: Pullback, before: Signal) -> float:
    """Return the factor of a gradient's squared length, over the ratio of numbers of elements."""
    back = pull(even(signal, np.ones_like(signal.square)))[0]
    elements = before.features * before.square.size / (signal.features * signal.square.size)
    return back.level * elements


def _backward(
    graph: Graph,
    signals: Mapping[str, Signal],
    pulls: Mapping[str, Pullback],
    cut_before: set[str],
) -> dict[str, Gradient]:
    """Return the gradient at each call's output, from standard normals at what nothing follows."""
    arriving: dict[str, list[Gradient]] = {}
    gradients: dict[str, Gradient] = {}
    used = {parent for call in graph.calls for parent in call.parents}

    def settle(label: str) -> Gradient:
        signal = signals[label]
        found = arriving.get(label, [])
        if label not in used or label in cut_before:
            found = [*found, even(signal, np.ones_like(signal.square))]
        gradients[label] = summed(signal, found) if found else even(
            signal, np.zeros_like(signal.square)
        )  # fmt: skip
        return gradients[label]

    for call in reversed(graph.calls):
        gradient = settle(call.label)
        if call.label in pulls:
            parts = pulls[call.label](gradient)
            for parent, part in zip(call.parents, parts, strict=True):
                arriving.setdefault(parent, []).append(part)
    return gradients
