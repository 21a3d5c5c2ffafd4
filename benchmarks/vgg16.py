"""Compare `glorot init` of VGG16 with a plain flushed write of the same number of bytes.

Both are whole processes, started by turns; each allocates its file, writes it, flushes it to the
disk and renames it. Every run starts from a folder without the file and a disk that has had nothing
to write for a while: a disk that still works on what came before would favour one arm.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from processes import (
    LARGEST_MEMORY,
    ROOT,
    Run,
    glorot,
    machine,
    measure,
    measure_write,
    plain_write,
    scratch_folder,
    write_json,
)

SPEC = ROOT / "sample_specs" / "vgg16.yaml"
LARGEST_RATIO = 1.25


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def benchmark(folder: Path, rounds: int, rest: float) -> dict[str, Any]:
    """Measure all arms by turns and return the figures."""
    target = folder / "vgg16.safetensors"
    init = glorot("init", str(SPEC), "-o", str(target), "--seed", "42")
    measure(init)  # compiles bytecode, fills the page cache, and tells the number of bytes
    nbytes = target.stat().st_size
    target.unlink()
    plain = plain_write(target, nbytes)
    runs: dict[str, list[Run]] = {
        name: [] for name in ("init", "plain_write", "plan", "bare_python")
    }
    for _ in range(rounds):
        # Strictly by turns, so that each always finds the disk as the other left it: a second
        # write by the same arm is often much faster or slower than its first.
        runs["init"].append(measure_write(init, target, rest))
        runs["plain_write"].append(measure_write(plain, target, rest))
    for _ in range(rounds):
        runs["plan"].append(measure(glorot("plan", str(SPEC))))
        runs["bare_python"].append(measure([sys.executable, "-c", "pass"]))
    seconds = {name: [run.seconds for run in each] for name, each in runs.items()}
    ratios = [a / b for a, b in zip(seconds["init"], seconds["plain_write"], strict=True)]
    low, ratio, high = quartiles(ratios)
    return {
        "bytes": nbytes,
        "rounds": rounds,
        "rest_seconds": rest,
        "machine": machine(),
        "median_seconds": {name: statistics.median(each) for name, each in seconds.items()},
        "seconds": seconds,
        "ratio": {"median": ratio, "lower_quartile": low, "upper_quartile": high},
        "ratios": ratios,
        "peak_bytes": {name: max(run.peak_bytes for run in each) for name, each in runs.items()},
        "targets": {"ratio": LARGEST_RATIO, "peak_bytes": LARGEST_MEMORY},
    }


def show(figures: dict[str, Any]) -> None:
    """Print the figures for people."""
    ratio, seconds, peak = figures["ratio"], figures["median_seconds"], figures["peak_bytes"]
    print(f"{figures['bytes']:,} bytes, {figures['rounds']} rounds, medians of whole processes")
    for name, label in (
        ("init", "glorot init"),
        ("plain_write", "plain write"),
        ("plan", "glorot plan"),
        ("bare_python", "bare python"),
    ):
        every = figures["seconds"][name]
        print(
            f"  {label}  {seconds[name]:7.3f} s ({min(every):.3f} to {max(every):.3f})"
            f"  peak {peak[name] / 1e6:5.1f} MB"
        )
    print(
        f"ratio init / plain write: {ratio['median']:.3f} "
        f"(quartiles {ratio['lower_quartile']:.3f} to {ratio['upper_quartile']:.3f}; "
        f"target at most {LARGEST_RATIO})"
    )
    print(
        f"peak memory of glorot init: {peak['init'] / 1e6:.1f} MB "
        f"(target under {LARGEST_MEMORY / 1e6:.0f} MB)"
    )


def main() -> None:
    """Read the arguments, measure, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often each arm runs")
    parser.add_argument(
        "--rest", type=float, default=1.0, help="seconds that the disk rests before each write"
    )
    parser.add_argument(
        "--dir", type=Path, default=Path("tmp"), help="a folder on the disk to measure"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds: expected at least 1")
    with scratch_folder(arguments.dir) as folder:
        figures = benchmark(folder, arguments.rounds, arguments.rest)
    show(figures)
    write_json(arguments.json, figures)


if __name__ == "__main__":
    main()
