"""Cases for the frameworks' streams: what a spec says, and what glorot draws for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np

from glorot_cli import draw, load_spec, make_plan

Case = dict[str, Any]
Array = np.ndarray[Any, np.dtype[Any]]

STREAMS = ("keras-numpy", "keras-jax", "keras-torch", "keras-tensorflow", "torch", "jax")
BACKENDS = tuple(stream for stream in STREAMS if stream.startswith("keras-"))
DTYPES = ("float32", "float64", "float16", "bfloat16")
SEEDS = (0, 1, 42, 2**31, 2**32 - 1)
LARGEST_SEEDS = {"keras-torch": 2**64, "keras-tensorflow": 2**63, "torch": 2**64, "jax": 2**63}
# Odd sizes of every rank, and over a million elements.
SHAPES = (
    (7,), (1023,), (3, 5), (101, 37), (1, 1), (3, 3, 7), (1, 65, 33), (3, 3, 5, 9), (2, 1, 3, 17),
    (2, 3, 1, 5, 7), (3, 3, 3, 11, 13), (1009, 1031), (5, 7, 211, 149),
)  # fmt: skip
VALUES_SHOWN = 4


def random_case(stream: str, random: Random, most: int = 300_000) -> Case:
    """Draw a case: one tensor, or for torch several from one stream."""
    largest = LARGEST_SEEDS.get(stream, 2**32)
    seed = random.choice([*SEEDS, random.randrange(2**32), random.randrange(largest)])
    count = random.randint(1, 5) if stream == "torch" else 1
    return {
        "stream": stream,
        "seed": seed,
        "tensors": [_tensor(stream, random, most) for _ in range(count)],
    }


def _tensor(stream: str, random: Random, most: int) -> Case:
    rank = random.randint(1, 5)
    side = int(most ** (1 / rank))
    shape = [random.randint(1, side) for _ in range(rank)]
    dtype = random.choice(DTYPES)
    return {
        "shape": shape,
        "dtype": dtype,
        "initializer": _initializer(stream, random, rank, dtype),
    }


def _initializer(stream: str, random: Random, rank: int, dtype: str) -> Case:
    low = random.uniform(-1.0, 1.0)
    high = low + random.choice([random.uniform(0.001, 2.0), 10 ** random.uniform(-3.0, 1.0)])
    centre, spread = random.uniform(-1.0, 1.0), random.uniform(0.001, 2.0)
    if stream == "torch":
        choices: list[Case] = [{"name": "uniform", "a": low, "b": high}]
        if dtype == "float32":
            choices += [{"name": "normal", "mean": centre, "std": spread}, {"name": "normal"}]
        if rank > 1:
            choices += [
                {"name": "xavier_uniform", "gain": random.uniform(0.5, 2.0)},
                {"name": "kaiming_uniform", "a": random.choice([0.0, 5**0.5, 0.2])},
                {"name": "kaiming_uniform", "mode": "fan_out"},
            ]
        return random.choice(choices)
    choices = [{"name": "random_uniform", "minval": low, "maxval": high}]
    if stream != "jax" or rank > 1:
        modes = ["fan_in", "fan_out", "fan_avg", *(["fan_geo_avg"] if stream == "jax" else [])]
        scaled = {"scale": random.uniform(0.1, 3.0), "mode": random.choice(modes)}
        choices += [{"name": f"{name}_uniform"} for name in ("glorot", "he", "lecun")]
        choices.append({"name": "variance_scaling", **scaled, "distribution": "uniform"})
    normal = {"name": "random_normal", "mean": centre, "stddev": spread}
    if stream == "keras-numpy":
        choices += [normal, {**normal, "name": "truncated_normal"}, {"name": "he_normal"}]
    if stream == "keras-torch" and dtype == "float32":
        choices.append(normal)
    return random.choice(choices)


def fixed_cases() -> list[Case]:
    """Return the cases whose vectors are kept: each stream, dtype, seed and shape, and more."""
    random = Random("golden")
    cases = []
    for stream in STREAMS:
        for index, dtype in enumerate(DTYPES):
            for turn, seed in enumerate((*SEEDS, *(random.randrange(2**32) for _ in range(8)))):
                shape = list(SHAPES[(turn + 3 * index) % len(SHAPES)])
                chosen = _initializer(stream, random, len(shape), dtype)
                tensor = {"shape": shape, "dtype": dtype, "initializer": chosen}
                cases.append({"stream": stream, "seed": seed, "tensors": [tensor]})
    cases += [random_case("torch", random, 5000) for _ in range(20)]
    return cases


def spec_of(case: Case) -> Case:
    """Return the spec that means a case."""
    stream, seed = case["stream"], case["seed"]
    rule = stream.partition("-")[0]
    tensors = {
        f"t{index}": {**tensor, "fans": rule, **({} if stream == "torch" else {"seed": seed})}
        for index, tensor in enumerate(case["tensors"])
    }
    return {"rng": stream, "tensors": tensors, **({"seed": seed} if stream == "torch" else {})}


def drawn(spec: Mapping[str, Any]) -> dict[str, Array]:
    """Draw all tensors of a spec."""
    plan = make_plan(load_spec(spec))
    return {tensor.name: draw(plan, tensor.name) for tensor in plan.tensors}


def digest(array: Array) -> Case:
    """Return what is kept of an array: the SHA-256 of its bytes, and its first values' bytes."""
    data = np.ascontiguousarray(array).tobytes()
    first = data[: VALUES_SHOWN * array.itemsize]
    return {"sha256": hashlib.sha256(data).hexdigest(), "first": first.hex()}
