"""Rules of layers with several inputs, and of gated units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from glorot_cli.effects.activations import ACTIVATIONS
from glorot_cli.effects.drawn import Drawn, NotCoveredError, Rule, same
from glorot_cli.effects.graph import Call
from glorot_cli.effects.joins import MULTIPLY, Join, joined
from glorot_cli.effects.signals import Gradient, Pullback, Signal, Step
from glorot_cli.effects.steps import concatenated, elementwise, scaled


def join(join: Join, *, mean: bool = False) -> Rule:
    def rule(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
        seen: frozenset[int] = frozenset()
        for signal in inputs:
            if signal.sources & seen:
                raise NotCoveredError(
                    "it joins two ways from one place of which one has no random kernel"
                )
            seen |= signal.sources
        output, back = same(inputs[0])
        for signal in inputs[1:]:
            output, back = _fold(output, back, signal, join)
        if not mean:
            return output, back
        final, last = scaled(output, 1.0 / len(inputs) ** 2)
        return final, lambda gradient: back(last(gradient)[0])

    return rule


def _fold(left: Signal, back: Pullback, right: Signal, join: Join) -> Step:
    output, pull = joined(join, left, right)

    def both(gradient: Gradient) -> list[Gradient]:
        first, second = pull(gradient)
        return [*back(first), second]

    return output, both


def concatenate(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    if call.count("axis", -1) not in (-1, len(call.output)):
        raise NotCoveredError("Concatenate along another axis than the last")
    return concatenated(list(inputs))


def glu(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    # The two halves of the channels are independent, and like each other.
    x = replace(inputs[0], features=inputs[0].features // 2)
    gate, back = elementwise(x, ACTIVATIONS["sigmoid"])
    output, pull = joined(MULTIPLY, x, gate)

    def both(gradient: Gradient) -> list[Gradient]:
        first, second = pull(gradient)
        through = back(second)[0]
        level = 0.5 * (first.square + through.square)
        return [Gradient(level, np.ones_like(x.form.points), gradient.position)]

    return output, both
