"""Write 20 GB of bfloat16 shards of a Llama-shaped spec, beside a plain write of as many bytes.

Whole processes by turns, each with a rested disk. The plain arm writes files of the same sizes,
one after another, each allocated, written, flushed and renamed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

from processes import (
    LARGEST_MEMORY,
    PLAIN_WRITE,
    ROOT,
    Run,
    glorot,
    machine,
    measure,
    ratio,
    remove,
    rest_disk,
    scratch_folder,
    write_json,
)

SPEC = ROOT / "sample_specs" / "llama2_7b.yaml"
PLAIN_FOLDER = f"""
import os, subprocess, sys
folder, *sizes = sys.argv[1:]
os.mkdir(folder)
code = {PLAIN_WRITE!r}
for number, nbytes in enumerate(sizes):
    sys.argv[1:] = [f"{{folder}}/{{number}}.bin", nbytes, "flushed"]
    exec(code)
"""


def benchmark(folder: Path, layers: int, shard: str, rounds: int, rest: float) -> dict[str, Any]:
    """Measure both arms by turns and return the figures."""
    target, plain = folder / "model", folder / "plain"
    init = glorot(
        "init", SPEC, "-o", f"{target}/", "--seed", "42", "--dtype", "bfloat16",
        "--set", f"layers={layers}", "--max-shard-size", shard, "--quiet",
    )  # fmt: skip
    runs: dict[str, list[Run]] = {"init": [], "plain write": []}
    sizes: list[int] = []
    for _ in range(rounds):
        rest_disk(rest)
        runs["init"].append(measure(init))
        sizes = [file.stat().st_size for file in sorted(target.glob("*.safetensors"))]
        remove(target)
        rest_disk(rest)
        command = [sys.executable, "-c", PLAIN_FOLDER, str(plain), *map(str, sizes)]
        runs["plain write"].append(measure(command))
        remove(plain)
    seconds = {name: [run.seconds for run in each] for name, each in runs.items()}
    return {
        "machine": machine(),
        "rounds": rounds,
        "bytes": sum(sizes),
        "shards": len(sizes),
        "seconds": seconds,
        "median_seconds": {name: statistics.median(each) for name, each in seconds.items()},
        "ratio": ratio(seconds["init"], seconds["plain write"]),
        "peak_bytes": {name: max(run.peak_bytes for run in each) for name, each in runs.items()},
    }


def main() -> None:
    """Read the arguments, measure, and report; exit with 1 if the peak is above the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=49, help="49 layers make 20 GB")
    parser.add_argument("--shard", default="5GB", help="the largest shard")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rest", type=float, default=5.0, help="seconds before each run")
    parser.add_argument("--dir", type=Path, default=Path("tmp"), help="a folder with 22 GB free")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with scratch_folder(arguments.dir) as folder:
        figures = benchmark(
            folder, arguments.layers, arguments.shard, arguments.rounds, arguments.rest
        )
    print(f"{figures['bytes']:,} bytes in {figures['shards']} shards, {figures['rounds']} rounds")
    for name, seconds in figures["median_seconds"].items():
        print(f"  {name:12} {seconds:7.2f} s  peak {figures['peak_bytes'][name] / 1e6:6.1f} MB")
    print(f"ratio init / plain write: {figures['ratio']:.3f}")
    write_json(arguments.json, figures)
    if figures["peak_bytes"]["init"] > LARGEST_MEMORY:
        raise SystemExit(f"a peak of {figures['peak_bytes']['init']:,} bytes is above the target")


if __name__ == "__main__":
    main()
