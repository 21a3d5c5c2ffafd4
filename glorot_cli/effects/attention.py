"""Attention and torch's encoder layer at the start, when queries know nothing of keys."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from glorot_cli.effects.activations import ACTIVATIONS
from glorot_cli.effects.atoms import gaussian
from glorot_cli.effects.graph import Call
from glorot_cli.effects.joins import ADD, joined
from glorot_cli.effects.signals import Gradient, Signal, Step, even, fresh, silent, summed
from glorot_cli.effects.steps import elementwise, layer_normalized, thinned
from glorot_cli.effects.sums import Weights, mixed

WeightsOf = Callable[[str, str | None], Weights]


class Projections(NamedTuple):
    """The kernels of an attention, and the sizes of its heads."""

    query: Weights
    key: Weights
    value: Weights
    output: Weights
    heads: int
    width: int
    value_width: int


def multi_head(call: Call, inputs: Sequence[Signal], weights: WeightsOf, is_torch: bool) -> Step:
    """Attend from the first input to the second, or to itself."""
    if is_torch:
        size = call.count("embed_dim")
        kernels = _torch_projections(f"{call.name}.", size, call.count("num_heads"), weights)
    else:
        parts = [
            weights(f"{call.name}/{part}/kernel", f"{call.name}/{part}/bias")
            for part in ("query", "key", "value", "attention_output")
        ]
        width = call.count("key_dim")
        query, key, value, output = parts
        kernels = Projections(
            query, key, value, output, call.count("num_heads"), width,
            call.count("value_dim", width),
        )  # fmt: skip
    other = inputs[1] if len(inputs) > 1 else inputs[0]
    signal, pull = attend(inputs[0], other, kernels, call.output[-1])

    def back(gradient: Gradient) -> list[Gradient]:
        first, second = pull(gradient)
        if len(inputs) > 1:
            return [first, second, *map(silent, inputs[2:])]
        return [summed(inputs[0], [first, second])]

    return signal, back


def _torch_projections(prefix: str, size: int, heads: int, weights: WeightsOf) -> Projections:
    packed = weights(f"{prefix}in_proj_weight", f"{prefix}in_proj_bias")
    output = weights(f"{prefix}out_proj.weight", f"{prefix}out_proj.bias")
    return Projections(packed, packed, packed, output, heads, size // heads, size // heads)


def attend(query: Signal, value: Signal, kernels: Projections, features: int) -> Step:
    """Attend with weights of softmax over independent Gaussian scores.

    Queries and keys are independent at the start, so scores are Gaussian, and independent of the
    values, of which only the sum of the squares of a row's weights matters. The gradient goes
    through the values and, through the scores, to queries and keys.
    """
    count = max(1, value.square.size)
    inner, width = kernels.heads * kernels.width, kernels.heads * kernels.value_width
    q, _ = mixed(query, kernels.query, inner, inputs=query.features, outputs=inner)
    k, _ = mixed(value, kernels.key, inner, inputs=value.features, outputs=inner)
    v, _ = mixed(value, kernels.value, width, inputs=value.features, outputs=width)
    scores = q.level * k.level * (1.0 - k.position)
    share = concentration(scores, count)
    level = v.level * (share + (1.0 - share) * v.position)
    common = v.level * (1.0 / count + (1.0 - 1.0 / count) * v.position)
    seen = fresh(
        np.full(query.square.shape, level), width,
        position=common / level if level > 0.0 else 1.0,
        example=v.level * v.example / level if level > 0.0 else 1.0,
    )  # fmt: skip
    output, pull = mixed(seen, kernels.output, features, inputs=width, outputs=features)

    def back(gradient: Gradient) -> list[Gradient]:
        (inside,) = pull(gradient)
        level = inside.level
        rows = max(1, query.square.size)
        through_values = level * (share * rows / count + (rows / count) * (1.0 - 1.0 / rows)
                                  * inside.position)  # fmt: skip
        spread = v.level * (1.0 - v.position)
        to_queries = share * level * spread * k.level * (1.0 - k.position)
        to_keys = share * level * spread * q.level * rows / count
        at_query = kernels.query.variance * inner * to_queries
        at_value = (
            kernels.value.variance * width * through_values + kernels.key.variance * inner * to_keys
        )
        return [
            even(query, np.full(query.square.shape, at_query)),
            even(value, np.full(value.square.shape, at_value), inside.position),
        ]

    return output, back


def concentration(variance: float, count: int) -> float:
    """Return the mean sum of squares of a softmax over `count` Gaussians of this variance.

    By 1/S**2 = the integral of t exp(-t S) over t > 0, where S is the sum of the exponentials; 1 /
    count for equal ones, and about exp(variance) / count for very many.
    """
    if variance <= 0.0 or count == 1:
        return 1.0 / count
    spread = math.sqrt(variance)
    atoms = gaussian(0.0, spread)
    powers = np.exp(np.clip(atoms.points, -700.0, 700.0))
    logarithms = np.linspace(
        -math.log(count) - variance - 9.0 * spread - 4.0, 9.0 * spread + 6.0, 2000
    )
    times = np.exp(logarithms)[:, None]
    decays = np.exp(-times * powers)
    others = decays @ atoms.weights
    own = (decays * powers**2) @ atoms.weights
    step = logarithms[1] - logarithms[0]
    total = float(np.sum(times[:, 0] ** 2 * own * others ** (count - 1)) * step)
    return min(1.0, max(1.0 / count, count * total))


def encoder_layer(call: Call, x: Signal, weights: WeightsOf) -> Step:
    """Apply torch's TransformerEncoderLayer, with the normalisation before or after each part."""
    prefix = f"{call.name}."
    size, inner = call.count("d_model"), call.count("dim_feedforward")
    kernels = _torch_projections(f"{prefix}self_attn.", size, call.count("nhead"), weights)
    first = weights(f"{prefix}linear1.weight", f"{prefix}linear1.bias")
    second = weights(f"{prefix}linear2.weight", f"{prefix}linear2.bias")
    rate, epsilon = call.number("dropout"), call.number("layer_norm_eps")

    def normalized(signal: Signal) -> Step:
        return layer_normalized(signal, epsilon)

    def attended(signal: Signal) -> Step:
        output, pull = attend(signal, signal, kernels, size)
        return output, lambda gradient: [summed(signal, pull(gradient))]

    def widened(signal: Signal) -> Step:
        return mixed(signal, first, inner, inputs=size, outputs=inner)

    def activated(signal: Signal) -> Step:
        return elementwise(signal, ACTIVATIONS[call.text("activation") or "relu"])

    def narrowed(signal: Signal) -> Step:
        return mixed(signal, second, size, inputs=inner, outputs=size)

    def dropped(signal: Signal) -> Step:
        return thinned(signal, rate)

    branches: list[list[Callable[[Signal], Step]]] = [
        [attended, dropped],
        [widened, activated, dropped, narrowed, dropped],
    ]
    steps: list[Callable[[Signal], Step]] = []
    for branch in branches:
        if call.flag("norm_first"):
            steps.append(_residual([normalized, *branch]))
        else:
            steps += [_residual(branch), normalized]
    return in_turn(x, steps)


def _residual(branch: list[Callable[[Signal], Step]]) -> Callable[[Signal], Step]:
    def step(x: Signal) -> Step:
        inner, back = in_turn(x, branch)
        output, pull = joined(ADD, x, inner)

        def both(gradient: Gradient) -> list[Gradient]:
            straight, through = pull(gradient)
            return [summed(x, [straight, *back(through)])]

        return output, both

    return step


def in_turn(x: Signal, steps: Sequence[Callable[[Signal], Step]]) -> Step:
    """Apply steps one after the other."""
    pulls = []
    for step in steps:
        x, pull = step(x)
        pulls.append(pull)

    def back(gradient: Gradient) -> list[Gradient]:
        for pull in reversed(pulls):
            (gradient,) = pull(gradient)
        return [gradient]

    return x, back
