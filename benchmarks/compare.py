"""Compare `glorot init` with a plain write and with NumPy, torch and Keras, as whole processes.

Every arm writes a file of the same tensors. In each round all arms of a case run by turns; figures
are medians over the rounds, and ratios are medians of each round's ratio. `flushed` arms end with
an fsync on both sides, `cached` ones on neither. The frameworks must be installed: the extra
`interop`. Run `python benchmarks/compare.py --help` for smaller selections.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from processes import (
    ROOT,
    Run,
    glorot,
    machine,
    measure_write,
    plain_write,
    ratio,
    scratch_folder,
    write_json,
)

# name -> (number of tensors, their side): every size is as near as squares come.
SIZES = {"1e6": (1, 1000), "1e8": (6, 4096), "5e8": (30, 4096), "5e9": (298, 4096)}
ITEM_SIZES = {"float32": 4, "bfloat16": 2, "float8_e4m3fn": 1}
LAWS = {"uniform": "glorot_uniform", "truncated": "truncated_normal"}

GLOROT = """
import sys
import glorot_cli as glorot
spec, target, workers, flush = sys.argv[1:]
glorot.write_weights(glorot.make_plan(glorot.load_spec(spec)), target, force=True,
                     workers=int(workers) or None, sync=flush == "flushed")
"""

NUMPY = """
import sys
import numpy as np
from safetensors.numpy import save_file
target, count, side = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng, limit = np.random.default_rng(42), (3 / side) ** 0.5
save_file({f"w.{i}": rng.uniform(-limit, limit, (side, side)).astype(np.float32)
           for i in range(count)}, target)
"""

TORCH = """
import sys
import torch
from safetensors.torch import save_file
target, count, side, law, dtype = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]
torch.manual_seed(42)
fill = {"uniform": torch.nn.init.xavier_uniform_,
        "truncated": lambda t: torch.nn.init.trunc_normal_(t, std=0.02, a=-0.04, b=0.04)}[law]
save_file({f"w.{i}": fill(torch.empty(side, side, dtype=getattr(torch, dtype)))
           for i in range(count)}, target)
"""

KERAS = """
import os, sys
target, count, side, law, backend = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]
os.environ["KERAS_BACKEND"] = backend
import keras
import numpy as np
from safetensors.numpy import save_file
kinds = {"uniform": keras.initializers.GlorotUniform,
         "truncated": lambda seed: keras.initializers.TruncatedNormal(stddev=0.02, seed=seed)}
save_file({f"w.{i}": np.array(keras.ops.convert_to_numpy(kinds[law](seed=i)((side, side))))
           for i in range(count)}, target)
"""


class Arm(NamedTuple):
    """Hold a command, and the path that it writes, which goes before the next arm runs."""

    command: list[str]
    target: Path


def spec_text(size: str, dtype: str, law: str) -> str:
    """Return the generated spec of a case."""
    count, side = SIZES[size]
    initializer = "glorot_uniform" if law == "uniform" else "{name: truncated_normal, stddev: 0.02}"
    return (
        f"seed: 42\ndtype: {dtype}\ndims: {{n: {count}, side: {side}}}\ntensors:\n"
        f'  "w.{{i}}": {{shape: [side, side], axes: IO, repeat: {{i: n}}, '
        f"initializer: {initializer}}}\n"
    )


def arms(
    folder: Path, size: str, dtype: str, law: str, flush: str, *, peers: bool, formats: bool
) -> dict[str, Arm]:
    """Return the arms of a case by their names; the plain write comes first."""
    count, side = SIZES[size]
    nbytes = count * side * side * ITEM_SIZES[dtype]
    spec = folder / f"{size}-{dtype}-{law}.yaml"
    spec.write_text(spec_text(size, dtype, law), encoding="utf-8")
    python = sys.executable

    def arm(name: str, code: str, *arguments: object) -> Arm:
        return Arm([python, "-c", code, str(folder / name), *map(str, arguments)], folder / name)

    def ours(name: str, workers: int) -> Arm:
        command = [python, "-c", GLOROT, str(spec), f"{folder}/{name}", str(workers), flush]
        return Arm(command, folder / name)

    target = folder / "plain.bin"
    found = {"plain write": Arm(plain_write(target, nbytes, flush), target)}
    found["glorot"] = ours("glorot.safetensors", 0)
    found["glorot, 1 worker"] = ours("one.safetensors", 1)
    if (os.cpu_count() or 1) > 2:
        found["glorot, 2 workers"] = ours("two.safetensors", 2)
    if formats and dtype != "bfloat16":
        found["glorot .h5"] = ours("glorot.h5", 0)
        found["glorot .npy"] = ours("glorot-npy/", 0)
    if peers:
        if law == "uniform" and dtype == "float32":
            found["NumPy"] = arm("numpy.safetensors", NUMPY, count, side)
        found["torch"] = arm("torch.safetensors", TORCH, count, side, law, dtype)
        if dtype == "float32":
            for backend in ("jax", "torch"):
                name = f"keras-{backend}.safetensors"
                found[f"Keras on {backend}"] = arm(name, KERAS, count, side, law, backend)
    return found


def compare(case: dict[str, Arm], rounds: int, rest: float) -> dict[str, dict[str, float]]:
    """Run all arms by turns, once to warm up and then `rounds` times, and return their figures."""
    runs: dict[str, list[Run]] = {name: [] for name in case}
    for turn in range(rounds + 1):
        for name, arm in case.items():
            run = measure_write(arm.command, arm.target, rest)
            if turn or rounds == 0:
                runs[name].append(run)
    own = [run.seconds for run in runs["glorot"]]
    plain = [run.seconds for run in runs["plain write"]]
    return {
        name: {
            "seconds": statistics.median(run.seconds for run in each),
            "fastest": min(run.seconds for run in each),
            "slowest": max(run.seconds for run in each),
            "peak_mb": max(run.peak_bytes for run in each) / 1e6,
            "to_plain_write": ratio([run.seconds for run in each], plain),
            "to_glorot": ratio([run.seconds for run in each], own),
        }
        for name, each in runs.items()
    }


def show(title: str, nbytes: int, figures: dict[str, dict[str, float]]) -> None:
    """Print a case as a Markdown table."""
    print(f"\n### {title}, {nbytes / 1e9:.2f} GB\n")
    print("| arm | seconds | GB/s | peak MB | x plain write | x glorot |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, row in figures.items():
        print(
            f"| {name} | {row['seconds']:.2f} ({row['fastest']:.2f} to {row['slowest']:.2f}) "
            f"| {nbytes / 1e9 / row['seconds']:.2f} | {row['peak_mb']:.0f} "
            f"| {row['to_plain_write']:.2f} | {row['to_glorot']:.2f} |"
        )
    sys.stdout.flush()


def start_up(rounds: int) -> dict[str, float]:
    """Measure starting up against bare Python and against importing NumPy; return the ratios."""
    python = sys.executable
    mlp = str(ROOT / "sample_specs" / "mlp.yaml")
    with tempfile.TemporaryDirectory() as folder:
        init = ["init", mlp, "-o", f"{folder}/w.safetensors", "--force", "--quiet", "--seed", "1"]
        commands = {
            "bare python": [python, "-c", "pass"],
            "import numpy": [python, "-c", "import numpy"],
            "glorot --version": glorot("--version"),
            "glorot plan": glorot("plan", mlp, "--quiet"),
            "glorot init": glorot(*init),
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(rounds + 1):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
                if turn:
                    seconds[name].append(time.perf_counter() - start)
    return {
        "--version / bare python": ratio(seconds["glorot --version"], seconds["bare python"]),
        "plan / import numpy": ratio(seconds["glorot plan"], seconds["import numpy"]),
        "init / import numpy": ratio(seconds["glorot init"], seconds["import numpy"]),
    }


def main() -> None:
    """Read the arguments, measure, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["1e6", "1e8", "5e8"])
    parser.add_argument("--dtypes", nargs="+", choices=ITEM_SIZES, default=["float32", "bfloat16"])
    parser.add_argument("--laws", nargs="+", choices=LAWS, default=["uniform", "truncated"])
    parser.add_argument("--flush", nargs="+", choices=("flushed", "cached"), default=None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rest", type=float, default=1.0, help="seconds before each run")
    parser.add_argument("--no-peers", action="store_true", help="only glorot and the plain write")
    parser.add_argument("--no-formats", action="store_true", help="only .safetensors")
    parser.add_argument("--dir", type=Path, default=Path(), help="a folder on the disk to measure")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"machine": machine(), "rounds": arguments.rounds, "cases": {}}
    print(json.dumps(results["machine"]))
    results["start_up"] = start_up(max(arguments.rounds, 5))
    for name, times in results["start_up"].items():
        print(f"{name}: {times:.2f}")
    with scratch_folder(arguments.dir) as folder:
        for size in arguments.sizes:
            for dtype in arguments.dtypes:
                for law in arguments.laws:
                    for flush in arguments.flush or ("flushed", "cached"):
                        # Peers do not flush, so they stand beside the arms that do not either.
                        case = arms(
                            folder, size, dtype, law, flush,
                            peers=flush == "cached" and not arguments.no_peers,
                            formats=not arguments.no_formats,
                        )  # fmt: skip
                        figures = compare(case, arguments.rounds, arguments.rest)
                        title = f"{size} parameters, {dtype}, {law}, {flush}"
                        count, side = SIZES[size]
                        show(title, count * side * side * ITEM_SIZES[dtype], figures)
                        results["cases"][title] = figures
                        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
