"""Rules of normalisations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glorot_cli.effects.drawn import Drawn, then
from glorot_cli.effects.graph import Call
from glorot_cli.effects.signals import Signal, Step
from glorot_cli.effects.steps import centred, layer_normalized, scaled


def _affine(call: Call, step: Step, drawn: Drawn, scale: str, shift: str) -> Step:
    """Multiply by a normalisation's scale and add its offset."""
    _, square = drawn.moments(drawn.name(call, scale)) or (1.0, 1.0)
    mean, _ = drawn.moments(drawn.name(call, shift)) or (0.0, 0.0)
    return then(step, lambda signal: scaled(signal, square, shift=mean))


def _names(drawn: Drawn) -> tuple[str, str]:
    return ("weight", "bias") if drawn.is_torch else ("gamma", "beta")


def _epsilon(call: Call) -> float:
    return call.number("epsilon", call.number("eps", 1e-7))


def batch_norm(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    x = inputs[0]
    common = x.example * x.level
    squares = np.full(x.square.shape, max(x.level - common, 0.0) + _epsilon(call))
    kept = 1.0
    if drawn.batch is not None:
        # To the first order in 1/n: the mean of one over a sample variance, less what the
        # derivatives of mean and deviation take.
        kept += (x.form.kurtosis - 2.0) / (drawn.batch * x.square.size)
    step = centred(x, common, squares, kept)
    return _affine(call, step, drawn, *_names(drawn))


def instance_norm(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    x = inputs[0]
    count = max(1, x.square.size)
    common = x.level / count + x.position * x.level * (count - 1) / count
    squares = np.full(x.square.shape, max(x.level - common, 0.0) + _epsilon(call))
    step = centred(x, common, squares, max(0.0, 1.0 - 2.0 / count))
    return _affine(call, step, drawn, *_names(drawn))


def layer_norm(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    return _affine(call, layer_normalized(inputs[0], _epsilon(call)), drawn, *_names(drawn))


def group_norm(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    x = inputs[0]
    groups = call.count("groups", call.count("num_groups"))
    if groups in (-1, x.features):
        return instance_norm(call, inputs, drawn)
    centre = x.mean**2
    squares = np.full(x.square.shape, max(x.level - centre, 0.0) + _epsilon(call))
    count = x.features / groups * max(1, x.square.size)
    step = centred(x, centre, squares, max(0.0, 1.0 - 2.0 / count))
    return _affine(call, step, drawn, *_names(drawn))


def rms_norm(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    x = inputs[0]
    step = centred(x, 0.0, x.square + _epsilon(call), max(0.0, 1.0 - 1.0 / x.features))
    return _affine(call, step, drawn, "weight" if drawn.is_torch else "scale", "none")


def unit_norm(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    x = inputs[0]
    return centred(x, 0.0, x.square * x.features + 1e-12, max(0.0, 1.0 - 1.0 / x.features))
