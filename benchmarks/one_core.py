"""Draw with moments on one core, with the compiled loops and without: nanoseconds an element.

Run by `targets.py` in a process of its own, by turns with `GLOROT_KERNELS=off`; prints JSON.
"""

from __future__ import annotations

import json
import os
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from glorot_cli.distributions import Distribution, Normal, Uniform
from glorot_cli.dtypes import numpy_dtype
from glorot_cli.moments import Moments
from glorot_cli.streams import drawer
from glorot_cli.streams.request import Request

BLOCK_BYTES = 1 << 21
ROUNDS = 15
CASES: dict[str, tuple[str, Distribution, str]] = {
    "uniform float32": ("aes-ctr", Uniform(-0.1, 0.1), "float32"),
    "normal float32": ("aes-ctr", Normal(0.0, 0.02), "float32"),
    "normal bfloat16": ("aes-ctr", Normal(0.0, 0.02), "bfloat16"),
    "rng: torch, normal float32": ("torch", Normal(0.0, 0.02), "float32"),
    "rng: torch, uniform float32": ("torch", Uniform(-0.1, 0.1), "float32"),
    "rng: jax, uniform float32": ("jax", Uniform(-0.1, 0.1), "float32"),
}


def nanoseconds(stream: str, law: Distribution, dtype: str) -> float:
    """Return the least time of some blocks, each drawn and measured."""
    out = np.empty(BLOCK_BYTES // numpy_dtype(dtype).itemsize, numpy_dtype(dtype))
    draw, best = drawer(stream, Request(law, (1 << 30,), 42, "kernel", dtype)), float("inf")
    for turn in range(ROUNDS):
        start = time.thread_time()
        if draw(turn * out.size, out) is None:
            Moments.of(out if dtype == "float32" else out.astype(np.float32), 0.0)
        best = min(best, time.thread_time() - start)
    return best / out.size * 1e9


def torch_normal() -> float | None:
    """Return the least time of torch's own `normal_`, if it is installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    tensor, best = torch.empty(BLOCK_BYTES // 4), float("inf")
    for _ in range(ROUNDS):
        start = time.thread_time()
        tensor.normal_(0.0, 0.02)
        best = min(best, time.thread_time() - start)
    return best / tensor.numel() * 1e9


if __name__ == "__main__":
    found = {name: nanoseconds(*case) for name, case in CASES.items()}
    own = torch_normal() if os.environ.get("GLOROT_KERNELS") != "off" else None
    print(json.dumps(found if own is None else {**found, "torch's own normal_": own}))
