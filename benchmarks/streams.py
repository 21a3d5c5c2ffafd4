"""Compare each framework's stream with the framework's own call, per core, in one run.

Every framework runs in a process of its own, on one core, where its call and ours draw 16 million
float32 by turns; figures are medians, and ratios are medians of each round's ratio. Run
`python benchmarks/streams.py [STREAM...]`; TensorFlow may lie in another environment: --python
names the interpreter that runs keras-tensorflow, which then needs what glorot needs too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SIDE = 4096
COUNT = SIDE * SIDE
BLOCK = 1 << 19
STREAMS = ("keras-numpy", "keras-jax", "keras-torch", "keras-tensorflow", "torch", "jax")
SEED = 42


def framework_call(stream: str) -> Callable[[], object]:
    """Return the framework's own draw, which is done when it returns."""
    if stream == "torch":
        import torch

        torch.set_num_threads(1)
        array = torch.empty(SIDE, SIDE)
        return lambda: torch.nn.init.xavier_uniform_(array)
    if stream == "jax":
        import jax

        key, draw = jax.random.key(SEED), jax.nn.initializers.glorot_uniform()
        return lambda: draw(key, (SIDE, SIDE)).block_until_ready()
    backend = stream.removeprefix("keras-")
    os.environ["KERAS_BACKEND"] = backend
    if backend == "torch":
        import torch

        torch.set_num_threads(1)
    if backend == "tensorflow":
        import tensorflow

        tensorflow.config.threading.set_intra_op_parallelism_threads(1)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    import keras

    initializer = keras.initializers.GlorotUniform(seed=SEED)

    def call() -> object:
        array: Any = initializer((SIDE, SIDE))
        return array.block_until_ready() if backend == "jax" else array

    return call


def our_call(stream: str) -> Callable[[], object]:
    """Return our draw, in blocks as a file is filled."""
    import numpy as np

    from glorot_cli import load_spec, make_plan
    from glorot_cli.drawing import drawer

    kernel = {"shape": [SIDE, SIDE], "axes": "IO", "initializer": "glorot_uniform"}
    seeds = {} if stream == "torch" else {"seed": SEED}
    spec = {"rng": stream, "seed": SEED, "tensors": {"kernel": {**kernel, **seeds}}}
    (tensor,) = make_plan(load_spec(spec)).tensors
    block = np.empty(BLOCK, np.float32)

    def call() -> None:
        draw = drawer(tensor)
        for first in range(0, COUNT, BLOCK):
            draw(first, block)

    return call


def measure(stream: str, rounds: int) -> dict[str, Any]:
    """Run both by turns, in this process, and return nanoseconds per element."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    arms = {"framework": framework_call(stream), "glorot": our_call(stream)}
    times: dict[str, list[float]] = {name: [] for name in arms}
    for index in range(rounds + 1):
        for name, call in arms.items():
            start = time.perf_counter()
            call()
            if index:  # the first round warms up
                times[name].append((time.perf_counter() - start) / COUNT * 1e9)
    ratios = [a / b for a, b in zip(times["glorot"], times["framework"], strict=True)]
    medians = {name: statistics.median(found) for name, found in times.items()}
    return {"stream": stream, **medians, "ratio": statistics.median(ratios)}


def main() -> None:
    """Run the chosen streams and print a table, or with --json a document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("streams", nargs="*", metavar="STREAM", help=", ".join(STREAMS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--python", default=sys.executable, help="runs keras-tensorflow")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(measure(chosen.streams[0], chosen.rounds)))
        return
    found = []
    for stream in chosen.streams or STREAMS:
        python = chosen.python if stream == "keras-tensorflow" else sys.executable
        command = [python, __file__, stream, "--child", "--rounds", str(chosen.rounds)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment |= {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
        child = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        found.append(json.loads(child.stdout.splitlines()[-1]))
        if not chosen.json:
            row = "{stream:17} {framework:6.2f} ns, glorot {glorot:6.2f}, ratio {ratio:.2f}"
            print(row.format_map(found[-1]), flush=True)
    if chosen.json:
        print(json.dumps({"elements": COUNT, "rounds": chosen.rounds, "streams": found}))


if __name__ == "__main__":
    main()
