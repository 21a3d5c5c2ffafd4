"""Measure the table of targets: each a ratio within one run, the median of its rounds.

Files of 2 GB lie on a tmpfs, so that no disk has a say; start-up, which is that of `init` of the
small sample, is taken off all of glorot's arms and that of an empty process off the others'. Every
arm is a whole process, and all run by turns. With `--cpu` the cores' time counts instead of the
clock's, where other work shares the machine. A flushed checkpoint of 20 GB needs a disk: `--disk`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from compare import KERAS
from processes import (
    ROOT,
    Run,
    glorot,
    machine,
    measure,
    plain_write,
    remove,
    rest_disk,
    scratch_folder,
    write_json,
)

TENSORS, SIDE = 10, 7071
ELEMENTS = TENSORS * SIDE * SIDE  # 500 million: 2 GB of float32
SMALL = 100_000
TINY = 10_000

TORCH = """
import sys
import torch
from safetensors.torch import save_file
target, count, side, law, dtype = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]
torch.manual_seed(42)
fill = {"uniform": torch.nn.init.xavier_uniform_, "normal": lambda t: t.normal_(0.0, 0.02),
        "truncated": lambda t: torch.nn.init.trunc_normal_(t, std=0.02, a=-0.04, b=0.04)}[law]
save_file({f"w.{i}": fill(torch.empty(side, side, dtype=getattr(torch, dtype)))
           for i in range(count)}, target)
"""
READ = """
import os, sys
file, block = os.open(sys.argv[1], os.O_RDONLY), bytearray(1 << 21)
while os.readv(file, [block]):
    pass
"""
INITIALIZERS = {
    "uniform": "glorot_uniform",
    "normal": "{name: normal, std: 0.02}",
    "truncated": "{name: truncated_normal, stddev: 0.02}",
}
DTYPES = {"float32": 1, "bfloat16": 2}


class Target(NamedTuple):
    """Hold a ratio of two arms, and the limit that it is to keep, from above or from below."""

    work: str
    over: str
    under: str
    limit: float
    at_least: bool = False


TARGETS = (
    Target("uniform float32 / plain write", "uniform float32", "plain write", 1.25),
    Target("uniform bfloat16 / plain write", "uniform bfloat16", "plain write", 1.6),
    Target("normal float32 / plain write", "normal float32", "plain write", 1.7),
    Target("truncated float32 / plain write", "truncated float32", "plain write", 1.7),
    Target("normal bfloat16 / plain write", "normal bfloat16", "plain write", 2.3),
    Target("truncated bfloat16 / plain write", "truncated bfloat16", "plain write", 2.3),
    Target("inspect of bfloat16 / reading it", "inspect bfloat16", "read", 1.8),
)
PEERS = (
    Target("torch xavier_uniform_ / ours", "torch uniform float32", "uniform float32", 20, True),
    Target("torch normal_ float32 / ours", "torch normal float32", "normal float32", 9, True),
    Target("torch normal_ bfloat16 / ours", "torch normal bfloat16", "normal bfloat16", 9, True),
    Target("torch trunc_normal_ / ours", "torch truncated float32", "truncated float32", 25, True),
    Target("Keras on JAX, uniform / ours", "keras uniform float32", "uniform float32", 18, True),
)
# Of the time that NumPy's path takes.
CORE = {"uniform float32": 0.5, "normal float32": 0.25, "normal bfloat16": 0.25}


class Arms:
    """Run commands by turns, and keep what each took."""

    def __init__(self, folder: Path, *, cpu: bool) -> None:
        self.folder, self.cpu = folder, cpu
        self.runs: dict[str, list[Run]] = {}

    def run(self, name: str, command: list[str], made: Path | None = None) -> None:
        """Run a command once, and remove what it made."""
        self.runs.setdefault(name, []).append(measure(command))
        if made is not None:
            remove(made)

    def seconds(self, name: str) -> list[float]:
        """Return the time of each run of an arm, less a start."""
        began = "start" if self._is_ours(name) else "empty process"
        start = statistics.median(map(self._time, self.runs[began]))
        return [max(1e-3, self._time(run) - start) for run in self.runs[name]]

    def _time(self, run: Run) -> float:
        return run.cpu_seconds if self.cpu else run.seconds

    @staticmethod
    def _is_ours(name: str) -> bool:
        return not name.startswith(("torch", "keras", "plain", "read", "empty"))

    def ratio(self, over: str, under: str) -> float:
        """Return the median ratio of rounds; of arms with fewer rounds, of their medians."""
        first, second = self.seconds(over), self.seconds(under)
        if len(first) != len(second):
            return statistics.median(first) / statistics.median(second)
        return statistics.median(a / b for a, b in zip(first, second, strict=True))

    def peak(self) -> float:
        """Return the largest peak of glorot's own large files, in MB."""
        large = [f"{law} {dtype}" for law in INITIALIZERS for dtype in DTYPES]
        names = [name for name in (*large, "inspect bfloat16") if name in self.runs]
        return max(run.peak_bytes for name in names for run in self.runs[name]) / 1e6


def spec(folder: Path, name: str, count: int, shape: str, dtype: str, law: str) -> Path:
    """Write a spec of tensors of one shape."""
    path = folder / f"{name}.yaml".replace(" ", "-")
    path.write_text(
        f"seed: 42\ndtype: {dtype}\ndims: {{n: {count}}}\ntensors:\n"
        f'  "w.{{i}}": {{shape: {shape}, axes: IO, repeat: {{i: n}}, '
        f"initializer: {INITIALIZERS[law]}}}\n",
        "utf-8",
    )
    return path


def init(path: Path, target: Path) -> list[str]:
    """Return the command that draws a spec and prints nothing."""
    return glorot("init", path, "-o", target, "--quiet")


def large_files(arms: Arms, rounds: int) -> None:
    """Write 2 GB by each distribution and dtype, beside a plain write; read and inspect one."""
    folder, target = arms.folder, arms.folder / "w.safetensors"
    specs = {
        f"{law} {dtype}": spec(
            folder, f"{law} {dtype}", TENSORS * DTYPES[dtype], f"[{SIDE}, {SIDE}]", dtype, law
        )
        for dtype in DTYPES
        for law in INITIALIZERS
    }
    kept = folder / "kept.safetensors"
    measure(init(specs["normal bfloat16"], kept))
    starts(arms)
    arms.runs.clear()
    for _ in range(rounds):
        starts(arms)
        plain = folder / "plain.bin"
        arms.run("plain write", plain_write(plain, 4 * ELEMENTS, "cached"), plain)
        for name, path in specs.items():
            arms.run(name, init(path, target), target)
        arms.run("read", [sys.executable, "-c", READ, str(kept)])
        arms.run("inspect bfloat16", glorot("inspect", kept, "--quiet"))
    kept.unlink()


def starts(arms: Arms) -> None:
    """Run what is taken off the others."""
    target = arms.folder / "mlp.safetensors"
    arms.run("start", init(ROOT / "sample_specs" / "mlp.yaml", target), target)
    arms.run("empty process", [sys.executable, "-c", "pass"])


def small_tensors(arms: Arms, rounds: int) -> None:
    """Write, and verify, many small tensors; inspect fewer."""
    folder, shape = arms.folder, "[16, 16]"
    many = spec(folder, "many", SMALL, shape, "float32", "uniform")
    tiny = spec(folder, "tiny", TINY, shape, "float32", "uniform")
    target, few = folder / "many.safetensors", folder / "few.safetensors"
    measure(init(tiny, few))
    for _ in range(rounds):
        starts(arms)
        arms.run("small .h5", init(many, folder / "many.h5"), folder / "many.h5")
        arms.run("small .safetensors", init(many, target))
        arms.run("verify small", glorot("verify", target, "--quiet"), target)
        arms.run("inspect tiny", glorot("inspect", few, "--quiet"))
    few.unlink()


def peers(arms: Arms, rounds: int) -> None:
    """Write the same files by torch and by Keras."""
    for _ in range(rounds):
        for target in PEERS:
            library, law, dtype = target.over.split()
            path = arms.folder / f"{library}.safetensors"
            count = str(TENSORS * DTYPES[dtype])
            code = TORCH if library == "torch" else KERAS
            last = [law, dtype] if library == "torch" else [law, "jax"]
            command = [sys.executable, "-c", code, str(path), count, str(SIDE), *last]
            arms.run(target.over, command, path)


def one_core(rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return nanoseconds an element, and ratios to NumPy's path, as medians."""
    script = Path(__file__).with_name("one_core.py")
    found: dict[str, list[dict[str, float]]] = {"": [], "off": []}
    for _ in range(rounds):
        for kernels, each in found.items():
            environment = {**os.environ, "GLOROT_KERNELS": kernels}
            child = subprocess.run(
                [sys.executable, str(script)], env=environment, check=True, capture_output=True
            )
            each.append(json.loads(child.stdout))
    names = found[""][0]
    own = {name: statistics.median(each[name] for each in found[""]) for name in names}
    pairs = list(zip(found[""], found["off"], strict=True))
    ratios = {
        name: statistics.median(a[name] / b[name] for a, b in pairs)
        for name in names
        if name in found["off"][0]
    }
    return own, ratios


def flushed(disk: Path, rounds: int) -> tuple[float, float]:
    """Return the ratio of a flushed checkpoint of 20 GB to a plain write, and the peak in MB."""
    runs: list[tuple[Run, Run]] = []
    with scratch_folder(disk) as folder:
        path = spec(folder, "llama", 200, "[7071, 7071]", "bfloat16", "normal")
        for _ in range(rounds):
            pair = []
            for command, made in (
                (init(path, folder / "w.safetensors"), folder / "w.safetensors"),
                (plain_write(folder / "plain.bin", 400 * SIDE * SIDE), folder / "plain.bin"),
            ):
                rest_disk(2.0)
                pair.append(measure(command))
                remove(made)
            runs.append((pair[0], pair[1]))
    ratio = statistics.median(ours.seconds / plain.seconds for ours, plain in runs)
    return ratio, max(ours.peak_bytes for ours, _ in runs) / 1e6


def main() -> None:
    """Measure what is asked for, and print it beside the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-rounds", type=int, default=3, help="0 leaves torch and Keras out")
    parser.add_argument("--cpu", action="store_true", help="count the cores' time")
    parser.add_argument("--dir", type=Path, default=Path("/dev/shm"), help="a tmpfs")
    parser.add_argument("--disk", type=Path, help="also flush 20 GB to a disk here, once a round")
    parser.add_argument("--disk-rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    rows: list[tuple[str, float, str]] = []
    print(json.dumps(machine()), flush=True)
    with scratch_folder(arguments.dir) as folder:
        arms = Arms(folder, cpu=arguments.cpu)
        large_files(arms, arguments.rounds)
        peers(arms, arguments.peer_rounds)
        for target in (*TARGETS, *(PEERS if arguments.peer_rounds else ())):
            sign = "at least" if target.at_least else "at most"
            ratio = arms.ratio(target.over, target.under)
            rows.append((target.work, ratio, f"{sign} {target.limit}"))
        rows.append(("peak memory of these, MB", arms.peak(), "at most 110"))
        small_tensors(arms, arguments.rounds)
    for name, most in ((".safetensors", "10"), (".h5", "30")):
        each = statistics.median(arms.seconds(f"small {name}")) / SMALL * 1e6
        rows.append((f"100,000 tensors of 1 KB, {name}, us each", each, f"at most {most}"))
    rows.append(
        ("verify of them / init", arms.ratio("verify small", "small .safetensors"), "at most 1.5")
    )
    tiny = statistics.median(arms.seconds("inspect tiny"))
    rows.append(("inspect of 10,000 tiny tensors, s", tiny, "below 1"))
    own, ratios = one_core(arguments.rounds)
    for name, share in CORE.items():
        rows.append((f"one core: {name} / by NumPy", ratios[name], f"at most {share}"))
    for name, value in own.items():
        limit = "at most 3.5" if name == "rng: torch, normal float32" else ""
        rows.append((f"{name}, ns an element", value, limit))
    if arguments.disk is not None:
        ratio, peak = flushed(arguments.disk, arguments.disk_rounds)
        rows.append(("20 GB flushed / plain write, flushed", ratio, "at most 1.2"))
        rows.append(("its peak memory, MB", peak, "at most 110"))
    print("| work | found | target |\n| --- | ---: | ---: |")
    for work, value, limit in rows:
        print(f"| {work} | {value:.3g} | {limit} |")
    plain: dict[str, Any] = {
        "machine": machine(),
        "counted": "cores' time" if arguments.cpu else "the clock's",
        "rows": [{"work": work, "found": value, "target": limit} for work, value, limit in rows],
        "seconds": {name: arms.seconds(name) for name in arms.runs},
    }
    write_json(arguments.json, plain)


if __name__ == "__main__":
    main()
