"""Rules of layers that act on each element: activations, dropout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from glorot_cli.effects import activations as functions
from glorot_cli.effects.activations import ACTIVATIONS, ALIASES, Activation
from glorot_cli.effects.drawn import Drawn, NotCoveredError, Rule, same, then
from glorot_cli.effects.graph import Call
from glorot_cli.effects.signals import Signal, Step
from glorot_cli.effects.steps import elementwise, thinned
from glorot_cli.errors import shown


def named(name: str) -> Activation:
    """Return the activation of a name.

    Raises:
        NotCoveredError: if it does not act on each element alone.
    """
    name = ALIASES.get(name, name)
    if name not in ACTIVATIONS:
        raise NotCoveredError(f"the activation {shown(name)}")
    return ACTIVATIONS[name]


def activated(call: Call, step: Step) -> Step:
    """Apply the function that a layer's argument names."""
    function = call.text("activation")
    if function is None or function == "linear":
        return step
    return then(step, lambda signal: elementwise(signal, named(function)))


def of(make: Callable[[Call], Activation]) -> Rule:
    def rule(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
        return elementwise(inputs[0], make(call))

    return rule


def always(name: str) -> Rule:
    """Return the rule of a layer that is the function of a name."""
    return of(lambda call: ACTIVATIONS[name])


def activation(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    return activated(call, same(inputs[0]))


def relu(call: Call) -> Activation:
    """Return Keras's ReLU, or torch's.

    Raises:
        NotCoveredError: if it has a threshold, or a slope beside a largest value.
    """
    if call.number("threshold"):
        raise NotCoveredError("ReLU with a threshold")
    slope = call.number("negative_slope")
    if call.layer.arguments.get("max_value") is None:
        return functions.leaky_relu(slope)
    if slope:
        raise NotCoveredError("ReLU with max_value and negative_slope")
    return functions.clipped(0.0, call.number("max_value"))


def prelu(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    found = drawn.moments(drawn.name(call, "weight" if drawn.is_torch else "alpha")) or (0.25, 0.0)
    return elementwise(inputs[0], functions.leaky_relu(found[0]))


def dropout(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    return thinned(inputs[0], call.number("rate", call.number("p")))


def identity(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    return same(inputs[0])
