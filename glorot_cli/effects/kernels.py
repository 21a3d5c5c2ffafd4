"""Rules of layers with random kernels: dense, convolutions, embeddings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from glorot_cli.distributions import Uniform
from glorot_cli.effects.atoms import uniform
from glorot_cli.effects.drawn import Drawn, NotCoveredError, placed, then
from glorot_cli.effects.graph import Call
from glorot_cli.effects.pointwise import activated
from glorot_cli.effects.signals import Signal, Step, fresh, silent
from glorot_cli.effects.sums import Weights, mixed
from glorot_cli.effects.windows import Window, parts, window_of


def dense(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    kernel = drawn.name(call, "weight" if drawn.is_torch else "kernel")
    weights = drawn.weights(kernel, drawn.name(call, "bias"))
    size, features, space = call.inputs[0][-1], call.output[-1], call.inputs[0][:-1]
    step = then(
        placed(inputs[0], space, size),
        lambda x: mixed(x, weights, features, inputs=size, outputs=features),
    )
    return activated(call, step)


def _convolved(
    signal: Signal, weights: Weights, window: Window, features: int, inputs: float, outputs: float
) -> Step:
    space = signal.square.shape
    return mixed(
        signal, weights, features, inputs=inputs, outputs=outputs, forward=window.gather,
        backward=lambda square: window.scatter(square, space),
    )  # fmt: skip


def convolution(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    if call.text("padding_mode") not in (None, "zeros"):
        raise NotCoveredError(f"padding_mode {call.text('padding_mode')}")
    kernel = drawn.name(call, "weight" if drawn.is_torch else "kernel")
    weights = drawn.weights(kernel, drawn.name(call, "bias"))
    space, channels = parts(call, call.inputs[0], is_torch=drawn.is_torch)
    features = parts(call, call.output, is_torch=drawn.is_torch)[1]
    window = window_of(call, space, call.sizes("kernel_size", rank=len(space)))
    groups = call.count("groups", 1)
    step = then(
        placed(inputs[0], space, channels),
        lambda x: _convolved(x, weights, window, features, channels / groups, features / groups),
    )
    return activated(call, step)


def depthwise(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    weights = drawn.weights(drawn.name(call, "kernel"), drawn.name(call, "bias"))
    space, channels = parts(call, call.inputs[0], is_torch=drawn.is_torch)
    window = window_of(call, space, call.sizes("kernel_size", rank=len(space)))
    each = call.count("depth_multiplier")
    step = then(
        placed(inputs[0], space, channels),
        lambda x: _convolved(x, weights, window, channels * each, 1.0, each),
    )
    return activated(call, step)


def separable(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    depthwise = drawn.weights(drawn.name(call, "depthwise_kernel"), None)
    pointwise = drawn.weights(drawn.name(call, "pointwise_kernel"), drawn.name(call, "bias"))
    space, channels = parts(call, call.inputs[0], is_torch=drawn.is_torch)
    features = parts(call, call.output, is_torch=drawn.is_torch)[1]
    window = window_of(call, space, call.sizes("kernel_size", rank=len(space)))
    each = call.count("depth_multiplier")
    inner = channels * each
    step = then(
        placed(inputs[0], space, channels),
        lambda x: _convolved(x, depthwise, window, inner, 1.0, each),
    )
    step = then(step, lambda x: mixed(x, pointwise, features, inputs=inner, outputs=features))
    return activated(call, step)


def transposed(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    kernel = drawn.name(call, "weight" if drawn.is_torch else "kernel")
    weights = drawn.weights(kernel, drawn.name(call, "bias"))
    space, channels = parts(call, call.inputs[0], is_torch=drawn.is_torch)
    after, features = parts(call, call.output, is_torch=drawn.is_torch)
    size = call.sizes("kernel_size", rank=len(space))
    # The convolution that it is the transpose of goes from its output to its input.
    window = window_of(call, after, size)
    groups = call.count("groups", 1)
    step = then(
        placed(inputs[0], space, channels),
        lambda x: mixed(
            x, weights, features, inputs=channels / groups, outputs=features / groups,
            forward=lambda square: window.scatter(square, after),
            backward=lambda square: window.gather(square)[tuple(slice(n) for n in space)],
        ),
    )  # fmt: skip
    return activated(call, step)


def embedding(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    name = drawn.name(call, "weight" if drawn.is_torch else "embeddings")
    tensor = drawn.tensors.get(name)
    found = drawn.moments(name)
    if tensor is None or found is None:
        raise NotCoveredError(f"{name} is no tensor of its own")
    mean, square = found
    form = None
    if isinstance(tensor.distribution, Uniform) and square > 0.0:
        root = math.sqrt(square)
        half = tensor.distribution.std(tensor.shape) * math.sqrt(3.0)
        form = uniform((mean - half) / root, (mean + half) / root)
    alike = mean * mean / square if square > 0.0 else 0.0
    output = fresh(
        np.full(call.output[:-1], square), call.output[-1], mean=mean, position=alike,
        example=alike, form=form,
    )  # fmt: skip
    return output, lambda gradient: [silent(inputs[0])]
