"""Measure how time and memory grow: with the parameters, with the tensors, and when reading.

Whole processes by turns. `write` runs `glorot init` from a million parameters to five thousand
million, in float8 so that the disk suffices, and takes the start-up of a tiny spec off. `tensors`
does the same for 100,000 tensors of 1 KB. `read` sets `verify` and `inspect` beside a plain read of
the file, and `verify` beside reading and drawing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

from processes import Run, glorot, machine, measure, measure_write, scratch_folder, write_json

SIDE = 4096
# Parameters -> how many square tensors of the side.
SIZES = {
    "1e6": (1, 1000),
    "1e7": (1, 3162),
    "1e8": (6, SIDE),
    "1e9": (60, SIDE),
    "5e9": (298, SIDE),
}
TENSORS = 100_000
LARGE = {"float32": 30, "bfloat16": 60}

PLAIN_READ = """
import os, sys
file, block = os.open(sys.argv[1], os.O_RDONLY), bytearray(1 << 21)
while os.readv(file, [block]):
    pass
"""


def spec(folder: Path, name: str, count: int, shape: str, dtype: str) -> Path:
    """Write a spec of some tensors of one shape."""
    path = folder / f"{name}.yaml"
    path.write_text(
        f"seed: 42\ndtype: {dtype}\ndims: {{n: {count}}}\ninitializers: [{{'*': glorot_uniform}}]\n"
        f'tensors:\n  "w.{{i}}": {{shape: {shape}, axes: IO, repeat: {{i: n}}}}\n'
    )
    return path


def init(path: Path, target: Path) -> list[str]:
    """Return the command that draws a spec and prints nothing."""
    return glorot("init", path, "-o", target, "--quiet")


def write(folder: Path, rounds: int, rest: float) -> dict[str, dict[str, float]]:
    """Measure each size; the seconds for a thousand million parameters leave start-up out."""
    target = folder / "w.safetensors"
    runs: dict[str, list[Run]] = {name: [] for name in SIZES}
    starts: list[float] = []
    tiny = spec(folder, "tiny", 1, "[1, 1]", "float8_e4m3fn")
    specs = {
        name: spec(folder, name, count, f"[{side}, {side}]", "float8_e4m3fn")
        for name, (count, side) in SIZES.items()
    }
    for _ in range(rounds):
        starts.append(measure_write(init(tiny, target), target, rest).seconds)
        for name, path in specs.items():
            runs[name].append(measure_write(init(path, target), target, rest))
    start = statistics.median(starts)
    found = {}
    for name, each in runs.items():
        count, side = SIZES[name]
        seconds = statistics.median(run.seconds for run in each)
        found[name] = {
            "seconds": seconds,
            "seconds_per_1e9": (seconds - start) / (count * side * side) * 1e9,
            "peak_mb": max(run.peak_bytes for run in each) / 1e6,
        }
    return found


def tensors(folder: Path, rounds: int, rest: float) -> dict[str, dict[str, float]]:
    """Measure 100,000 small tensors; the microseconds for each leave start-up out."""
    many = spec(folder, "many", TENSORS, "[16, 16]", "float32")
    one = spec(folder, "one", 1, "[16, 16]", "float32")
    found = {}
    for ending in ("safetensors", "h5"):
        target = folder / f"w.{ending}"
        runs, starts = [], []
        for _ in range(rounds):
            starts.append(measure_write(init(one, target), target, rest).seconds)
            runs.append(measure_write(init(many, target), target, rest))
        seconds = statistics.median(run.seconds for run in runs)
        found[ending] = {
            "seconds": seconds,
            "microseconds_each": (seconds - statistics.median(starts)) / TENSORS * 1e6,
            "peak_mb": max(run.peak_bytes for run in runs) / 1e6,
        }
    return found


def read(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Measure verify and inspect of 2 GB in the page cache, less the start-up of a tiny file's."""
    found = {}
    tiny = folder / "tiny.safetensors"
    measure(init(spec(folder, "tiny", 1, "[1, 1]", "float32"), tiny))
    for dtype, count in LARGE.items():
        path = spec(folder, dtype, count, f"[{SIDE}, {SIDE}]", dtype)
        target, again = folder / f"{dtype}.safetensors", folder / "again.safetensors"
        measure(init(path, target))
        seconds: dict[str, list[float]] = {}
        peaks: dict[str, int] = {}
        for turn in range(rounds + 1):
            for name, command in {
                "read": [sys.executable, "-c", PLAIN_READ, str(target)],
                "draw": init(path, again),
                "verify": glorot("verify", target, "--quiet"),
                "inspect": glorot("inspect", target, "--quiet"),
                "start of draw": init(folder / "tiny.yaml", again),
                "start of verify": glorot("verify", tiny, "--quiet"),
                "start of inspect": glorot("inspect", tiny, "--quiet"),
            }.items():
                run = measure(command)
                again.unlink(missing_ok=True)
                if turn:
                    seconds.setdefault(name, []).append(run.seconds)
                    peaks[name] = max(peaks.get(name, 0), run.peak_bytes)
        middle = {name: statistics.median(each) for name, each in seconds.items()}
        own = {name: middle[name] - middle[f"start of {name}"] for name in ("verify", "inspect")}
        drawing = middle["draw"] - middle["start of draw"]
        found[dtype] = {
            **middle,
            "verify / (read + draw)": own["verify"] / (middle["read"] + drawing),
            "inspect / read": own["inspect"] / middle["read"],
            "verify_peak_mb": peaks["verify"] / 1e6,
            "inspect_peak_mb": peaks["inspect"] / 1e6,
        }
        target.unlink()
    return found


def main() -> None:
    """Read the arguments, measure, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=("write", "tensors", "read"),
                        default=["write", "tensors", "read"])  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rest", type=float, default=1.0, help="seconds before each write")
    parser.add_argument("--dir", type=Path, default=Path("tmp"), help="a folder with 6 GB free")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"machine": machine(), "rounds": arguments.rounds}
    with scratch_folder(arguments.dir) as folder:
        if "write" in arguments.parts:
            figures["write"] = write(folder, arguments.rounds, arguments.rest)
        if "tensors" in arguments.parts:
            figures["tensors"] = tensors(folder, arguments.rounds, arguments.rest)
        if "read" in arguments.parts:
            figures["read"] = read(folder, arguments.rounds)
    for part in arguments.parts:
        print(f"\n{part}")
        for name, row in figures[part].items():
            print(f"  {name:12}", "  ".join(f"{key} {value:.3g}" for key, value in row.items()))
    write_json(arguments.json, figures)


if __name__ == "__main__":
    main()
