"""Compare drawing normals on one core with NumPy's and torch's, in nanoseconds an element.

All arms run by turns in one process, on one thread; figures are medians over the rounds, and ratios
are medians of each round's ratio. torch must be installed: the extra `interop`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from glorot_cli.distributions import Normal, TruncatedNormal
from glorot_cli.streams import aes_ctr

ELEMENTS = 1 << 24
BLOCK = 1 << 19


def blocks(law: Normal | TruncatedNormal) -> Callable[[], None]:
    """Return a function that draws a law block by block, as `glorot init` does."""
    out = np.empty(BLOCK, np.float32)
    draw = aes_ctr.drawer(law, (ELEMENTS,), 42, "kernel", "float32")

    def run() -> None:
        for first in range(0, ELEMENTS, BLOCK):
            draw(first, out)

    return run


def main() -> None:
    """Measure, and print a line for each arm and each ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    import torch

    torch.set_num_threads(1)
    rng, array, tensor = np.random.default_rng(42), np.empty(BLOCK, np.float32), torch.empty(BLOCK)

    def numpy_normal() -> None:
        for _ in range(0, ELEMENTS, BLOCK):
            rng.standard_normal(dtype=np.float32, out=array)

    def torch_truncated() -> None:
        for _ in range(0, ELEMENTS, BLOCK):
            torch.nn.init.trunc_normal_(tensor, std=0.02, a=-0.04, b=0.04)

    arms: dict[str, Callable[[], None]] = {
        "glorot normal": blocks(Normal(0.0, 1.0)),
        "NumPy standard_normal": numpy_normal,
        "glorot truncated_normal": blocks(TruncatedNormal(0.0, 0.02)),
        "torch trunc_normal_": torch_truncated,
    }
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(rounds + 1):
        for name, run in arms.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    for name, each in seconds.items():
        print(f"{name}: {statistics.median(each) / ELEMENTS * 1e9:.2f} ns")
    for above, below, target in (
        ("glorot normal", "NumPy standard_normal", "at most 0.6"),
        ("torch trunc_normal_", "glorot truncated_normal", "at least 8"),
    ):
        ratios = [a / b for a, b in zip(seconds[above], seconds[below], strict=True)]
        print(f"{above} / {below}: {statistics.median(ratios):.2f} (target {target})")


if __name__ == "__main__":
    main()
