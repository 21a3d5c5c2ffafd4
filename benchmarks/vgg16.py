"""Compare `glorot init` of VGG16 with a plain flushed write of the same number of bytes.

Both are whole processes, started by turns; each allocates its file, writes it, flushes it to the
disk and renames it. Every run starts from a folder without the file and a disk that has had nothing
to write for a while: a disk that still works on what came before would favour one arm.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "sample_specs" / "vgg16.yaml"
BLOCK_BYTES = 1 << 21
LARGEST_RATIO = 1.25
LARGEST_MEMORY = 150_000_000

PLAIN_WRITE = f"""
import os, sys
target, nbytes = sys.argv[1], int(sys.argv[2])
block = memoryview(b"\\x3f" * {BLOCK_BYTES})
file = os.open(target + ".tmp", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
if hasattr(os, "posix_fallocate"):
    os.posix_fallocate(file, 0, nbytes)
at = 0
while at < nbytes:
    at += os.pwrite(file, block[: nbytes - at], at)
os.fsync(file)
os.close(file)
os.rename(target + ".tmp", target)
"""


class Run(NamedTuple):
    """Hold what one process took: wall time and the peak of its own memory."""

    seconds: float
    peak_bytes: int


def glorot(*arguments: str) -> list[str]:
    """Return the command line of glorot under this interpreter."""
    return [sys.executable, "-m", "glorot_cli", *arguments]


def measure(command: Sequence[str]) -> Run:
    """Run a command to its end.

    The peak is the kernel's, for this child alone. A child starts with its parent's peak, which is
    why this script imports little.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:4]} ended with exit code {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(seconds, usage.ru_maxrss * unit)


def measure_write(command: Sequence[str], target: Path, nbytes: int, rest: float) -> Run:
    """Run a command that writes `target`, with a rested disk before and no file after."""
    os.sync()
    time.sleep(rest)
    try:
        run = measure(command)
        if target.stat().st_size != nbytes:
            raise SystemExit(f"{target} has {target.stat().st_size} bytes instead of {nbytes}")
        return run
    finally:
        target.unlink(missing_ok=True)
        target.with_name(target.name + ".tmp").unlink(missing_ok=True)


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
    plain = [sys.executable, "-c", PLAIN_WRITE, str(target), str(nbytes)]
    runs: dict[str, list[Run]] = {
        name: [] for name in ("init", "plain_write", "plan", "bare_python")
    }
    for _ in range(rounds):
        # Strictly by turns, so that each always finds the disk as the other left it: a second
        # write by the same arm is often much faster or slower than its first.
        runs["init"].append(measure_write(init, target, nbytes, rest))
        runs["plain_write"].append(measure_write(plain, target, nbytes, rest))
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
        "machine": {
            "cores": os.cpu_count(),
            "platform": platform.platform(),
            "python": platform.python_version(),
        },
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
    made = not arguments.dir.exists()
    arguments.dir.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=arguments.dir, prefix="glorot-benchmark-") as folder:
            figures = benchmark(Path(folder).resolve(), arguments.rounds, arguments.rest)
    finally:
        if made:
            arguments.dir.rmdir()
    show(figures)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
