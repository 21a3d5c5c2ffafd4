"""Rules of layers that move values or take them together: pooling, padding, reshaping."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from glorot_cli.effects.activations import Values
from glorot_cli.effects.drawn import Drawn, NotCoveredError, placed, then
from glorot_cli.effects.graph import Call
from glorot_cli.effects.signals import Gradient, Signal, Step
from glorot_cli.effects.steps import moved
from glorot_cli.effects.sums import averaged, largest
from glorot_cli.effects.windows import Window, parts, window_of


def pooling(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    kind = call.layer.entry.type
    space, channels = parts(call, call.inputs[0], is_torch=drawn.is_torch)
    step = placed(inputs[0], space, channels)
    window: Window | None = None
    if kind.startswith(("Global", "Adaptive")):
        if set(call.sizes("output_size", rank=len(space))) != {1}:
            raise NotCoveredError(f"{kind} to more than one position")
    elif call.flag("ceil_mode"):
        raise NotCoveredError(f"{kind} with ceil_mode")
    else:
        size = call.sizes("pool_size", "kernel_size", rank=len(space))
        given = call.layer.arguments.get("strides") or call.layer.arguments.get("stride")
        window = window_of(call, space, size, None if given else size)
    if "Max" in kind:
        step = then(step, lambda signal: largest(signal, window))
    else:
        padded = call.flag("count_include_pad")
        step = then(step, lambda signal: averaged(signal, window, padded=padded))
    after, features = (
        parts(call, call.output, is_torch=drawn.is_torch)
        if len(call.output) > 1
        else ((), call.output[0])
    )
    return then(step, lambda signal: placed(signal, after, features))


def shaped(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    """Give another shape: the channels stay last, or first in torch, or all becomes one axis."""
    output = call.output
    if len(output) <= 1:
        return placed(inputs[0], (), output[0] if output else 1)
    features = inputs[0].features
    if output[-1] == features and not (drawn.is_torch and output[0] == features):
        space = output[:-1]
    elif output[0] == features:
        space = output[1:]
    else:
        space, features = output[:-1], output[-1]
    if math.prod(space) == inputs[0].square.size and features == inputs[0].features:
        before = inputs[0].square.shape
        return moved(inputs[0], lambda q: q.reshape(space), lambda q: q.reshape(before))
    return placed(inputs[0], space, features)


def padding(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    space, channels = parts(call, call.inputs[0], is_torch=drawn.is_torch)
    after, _ = parts(call, call.output, is_torch=drawn.is_torch)
    pairs = call.pairs("padding", len(space))
    if tuple(n + low + high for n, (low, high) in zip(space, pairs, strict=True)) != after:
        raise NotCoveredError("padding of more axes than the spatial ones")
    inner = tuple(slice(low, low + n) for n, (low, _) in zip(space, pairs, strict=True))
    return then(
        placed(inputs[0], space, channels),
        lambda x: moved(x, lambda q: np.pad(q, pairs), lambda q: q[inner]),
    )


def cropping(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    space, channels = parts(call, call.inputs[0], is_torch=drawn.is_torch)
    pairs = call.pairs("cropping", len(space))
    inner = tuple(slice(low, n - high) for n, (low, high) in zip(space, pairs, strict=True))
    return then(
        placed(inputs[0], space, channels),
        lambda x: moved(x, lambda q: q[inner], lambda q: np.pad(q, pairs)),
    )


def upsampling(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    if (call.text("interpolation") or call.text("mode") or "nearest") != "nearest":
        raise NotCoveredError("upsampling that interpolates")
    space, channels = parts(call, call.inputs[0], is_torch=drawn.is_torch)
    after, _ = parts(call, call.output, is_torch=drawn.is_torch)
    factors = [m // n for m, n in zip(after, space, strict=True)]
    if any(n * factor != m for m, n, factor in zip(after, space, factors, strict=True)):
        raise NotCoveredError("upsampling by a factor that is not whole")

    def forward(square: Values) -> Values:
        for axis, factor in enumerate(factors):
            square = np.repeat(square, factor, axis)
        return square

    def step(x: Signal) -> Step:
        output, _ = moved(x, forward, forward)
        count = math.prod(factors)

        def pull(gradient: Gradient) -> list[Gradient]:
            square = gradient.square
            for axis, (n, factor) in enumerate(zip(space, factors, strict=True)):
                parts = (*square.shape[:axis], n, factor, *square.shape[axis + 1 :])
                square = square.reshape(parts).sum(axis + 1)
            square = square * (1.0 + (count - 1) * gradient.position)
            return [Gradient(square, gradient.form, gradient.position)]

        return output, pull

    return then(placed(inputs[0], space, channels), step)
