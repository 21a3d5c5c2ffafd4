"""Whole processes, timed by turns on a disk that has rested: what the benchmarks of files share."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LARGEST_MEMORY = 150_000_000
# An installed package has its bytecode; a checkout gets it from the run that warms up.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Allocate, write and rename as `glorot init` does, by two threads: one alone is slower on some
# machines. argv: the file, its bytes, flushed or cached.
PLAIN_WRITE = """
import os, sys, threading
target, nbytes, flush = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "flushed"
size = 1 << 21
block = memoryview(b"\\x3f" * size)
file = os.open(target + ".tmp", os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o666)
if hasattr(os, "posix_fallocate"):
    os.posix_fallocate(file, 0, nbytes)
def write(first):
    for start in range(first, nbytes, 2 * size):
        at, stop = start, min(start + size, nbytes)
        while at < stop:
            at += os.pwrite(file, block[: stop - at], at)
threads = [threading.Thread(target=write, args=(first,)) for first in (0, size)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if flush:
    os.fsync(file)
os.close(file)
os.rename(target + ".tmp", target)
"""


class Run(NamedTuple):
    """Hold what one process took: wall time, the peak of its own memory, and its cores' time."""

    seconds: float
    peak_bytes: int
    cpu_seconds: float


def glorot(*arguments: object) -> list[str]:
    """Return the command line of glorot under this interpreter."""
    return [sys.executable, "-m", "glorot_cli", *map(str, arguments)]


def plain_write(target: Path, nbytes: int, flush: str = "flushed") -> list[str]:
    """Return the command line of a plain write."""
    return [sys.executable, "-c", PLAIN_WRITE, str(target), str(nbytes), flush]


def measure(command: Sequence[str]) -> Run:
    """Run a command to its end.

    The peak is the kernel's, for this child alone. A child starts with its parent's peak, which is
    why the benchmarks import little.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:5]} ended with exit code {process.returncode}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Run(seconds, peak, usage.ru_utime + usage.ru_stime)


def measure_write(command: Sequence[str], target: Path, rest: float) -> Run:
    """Run a command that writes `target`, with a rested disk before and no file after."""
    rest_disk(rest)
    run = measure(command)
    remove(target)
    return run


def rest_disk(seconds: float) -> None:
    """Let the disk finish what it was given, and rest."""
    os.sync()
    time.sleep(seconds)


def remove(target: Path) -> None:
    """Remove a file or a folder."""
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink()


def ratio(numerators: Iterable[float], denominators: Iterable[float]) -> float:
    """Return the median of each round's ratio."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def machine() -> dict[str, Any]:
    """Say what the figures were measured on."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line for line in lines if line.startswith("model name")).split(": ")[1]
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Give a folder of its own within `parent`, and leave nothing behind."""
    made = not parent.exists()
    parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix="glorot-benchmark-") as folder:
            yield Path(folder).resolve()
    finally:
        if made:
            parent.rmdir()


def write_json(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write the figures to a file, if there is one to write to."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
