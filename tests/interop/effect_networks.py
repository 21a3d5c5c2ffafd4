"""Random networks whose predicted mean squares are compared with those that Keras measures.

python -m tests.interop.effect_networks COUNT SEED [--small]

With --small the networks have at most 8 layers, and those of tests/effect_cases.py are tried too.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import glorot_cli as glorot
from glorot_cli.effects.graph import make_graph
from glorot_cli.effects.mean_field import predict
from glorot_cli.effects.measurement import measure
from tests.effect_cases import NETWORKS

Entry = dict[str, Any]

WIDTH, BATCH, SEEDS = 512, 64, 10
FUNCTIONS = ("relu", "tanh", "gelu", "silu", "elu", "selu", "leaky_relu", "softplus")
STARTS: tuple[Any, ...] = (
    "he_normal", "he_uniform", "lecun_normal", "glorot_uniform",
    {"name": "orthogonal", "gain": 1.3}, {"name": "variance_scaling", "scale": 1.5},
)  # fmt: skip
DEPTHS, SMALL = (5, 8, 12, 20, 30, 60), (5, 8)
# As rare under Student's t of 9 degrees of freedom as 4 standard errors are under a normal.
STUDENT = 6.9
NORMS = ("BatchNormalization", "LayerNormalization", "RMSNormalization")


class Off(NamedTuple):
    """Hold a mean square that is not as predicted: its layer and kind, and both numbers."""

    layer: str
    kind: str
    predicted: float
    measured: float
    error: float


def network(rng: random.Random, depths: Sequence[int] = DEPTHS) -> tuple[str, Entry]:
    """Return a random network of 5 to 60 dense layers, and what it is, in a few words."""
    depth = rng.choice(depths)
    function, start = rng.choice(FUNCTIONS), rng.choice(STARTS)
    norm = rng.choice((None, None, *NORMS))
    kind = rng.choice(("chain", "chain", "before", "after", "gated", "two branches"))
    bias = rng.choice(("zeros", {"name": "random_normal", "stddev": 0.2}))

    def dense(name: str, **more: Any) -> Entry:
        return {"type": "Dense", "units": WIDTH, "name": name, "kernel_initializer": start,
                "bias_initializer": bias, **more}  # fmt: skip

    def activation(name: str, source: str) -> Entry:
        return {"type": "Activation", "activation": function, "name": name, "inputs": source}

    layers: list[Entry] = [dense("stem", inputs="input")]
    last = "stem"
    for i in range(depth - 1 if kind == "chain" else max(1, (depth - 1) // 2)):
        at = last
        if norm is not None and kind != "after":
            layers.append({"type": norm, "name": f"n{i}", "inputs": at})
            at = f"n{i}"
        if kind == "chain":
            layers += [activation(f"f{i}", at), dense(f"d{i}")]
            last = f"d{i}"
        elif kind == "gated":
            layers += [
                dense(f"g{i}", inputs=at, activation=function),
                dense(f"u{i}", inputs=at),
                {"type": "Multiply", "name": f"m{i}", "inputs": [f"g{i}", f"u{i}"]},
                dense(f"o{i}"),
            ]
            last = f"o{i}"
        elif kind == "two branches":
            layers += [
                dense(f"a{i}", inputs=at, activation=function),
                dense(f"b{i}", inputs=at),
                {"type": "Concatenate", "name": f"c{i}", "inputs": [f"a{i}", f"b{i}"]},
                dense(f"o{i}"),
            ]
            last = f"o{i}"
        else:
            if kind == "before":
                layers.append(activation(f"f{i}", at))
                at = f"f{i}"
            layers += [
                dense(f"a{i}", inputs=at, activation=function),
                dense(f"b{i}"),
                {"type": "Add", "name": f"s{i}", "inputs": [last, f"b{i}"]},
            ]
            last = f"s{i}"
            if kind == "after":
                if norm is not None:
                    layers.append({"type": norm, "name": f"n{i}"})
                    last = f"n{i}"
                layers.append(activation(f"f{i}", last))
                last = f"f{i}"
    layers.append(dense("head", inputs=last))
    words = f"{kind}, {depth} layers, {function}, {start}, {norm}"
    return words, {"input_shape": [WIDTH], "layers": layers}


def compared(spec: Entry, seed: int, errors: float = 4.0) -> tuple[int, list[Off]]:
    """Return how many mean squares were compared, and those off by more than 5 % and `errors`."""
    plans = [
        glorot.make_plan(glorot.load_spec({**spec, "seed": seed + index}))
        for index in range(SEEDS)
    ]  # fmt: skip
    starts = [{tensor.name: tensor for tensor in plan.tensors} for plan in plans]
    graph = make_graph(plans[0])
    layers = predict(graph, starts[0], BATCH).layers
    found = measure(graph, starts, [layer.label for layer in layers], BATCH, seed)
    off = []
    for layer in layers:
        at = found[layer.label]
        for kind, predicted, measured, error in (
            ("activation", layer.activation_square, at.activation_square, at.activation_error),
            ("gradient", layer.gradient_square, at.gradient_square, at.gradient_error),
        ):
            if abs(predicted - measured) > max(0.05 * measured, errors * error):
                off.append(Off(layer.label, kind, predicted, measured, error))
    return 2 * len(layers), off


def main(count: int, seed: int, *, small: bool) -> int:
    """Compare random networks, and print what is off."""
    depths = SMALL if small else DEPTHS
    networks = [network(random.Random(f"{seed}/{index}"), depths) for index in range(count)]
    networks += list(NETWORKS.items()) if small else []
    good = 0
    for index, (words, spec) in enumerate(networks):
        started = time.monotonic()
        total, off = compared(spec, 1000 * seed + index, STUDENT if small else 4.0)
        good += not off
        took = time.monotonic() - started
        print(f"{index:3} {len(off):3} of {total:3} off  {took:5.1f} s  {words}", flush=True)
        for each in off[:3]:
            print(f"      {each.layer} {each.kind}: predicted {each.predicted:.4g}, measured "
                  f"{each.measured:.4g} +- {each.error:.2g}")  # fmt: skip
    print(f"{good} of {len(networks)} networks as predicted at every layer")
    return 0 if good == len(networks) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), small="--small" in sys.argv))
