"""What is written over what, and how a run that was stopped is judged."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from glorot_cli.cli import main
from tests.faults.forked import at_step, counted, forked

OUTPUTS = {
    "safetensors": ["-o", "w.safetensors"],
    "h5": ["-o", "w.h5"],
    "npy": ["-o", "w/"],
    "shards": ["-o", "w/", "--max-shard-size", "4MiB"],
}
SPEC = """
seed: 1
dims: {n: 6, d: %d}
tensors:
  "w.{i}": {shape: [d, d], axes: IO, initializer: glorot_uniform, repeat: {i: n}}
"""
START = "from glorot_cli.__main__ import run; run()"
# Python's own exit on a signal that comes before the command's first line.
EARLY = "before the command's first line"


def digest(path: Path) -> str:
    """Return a hash of a file, or of every file in a folder; of nothing it is empty."""
    if not path.exists():
        return ""
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(path)}\0".encode())
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _both(first: Callable[[], object], then: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        first()
        then()

    return run


def _listen() -> None:
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)


class Replacing:
    """A file of seed 1 in a folder of its own, which runs with seed 2 replace."""

    def __init__(self, folder: Path, kind: str, size: int = 1536, shard_size: str = "4MiB") -> None:
        self.folder = folder
        self.options = [shard_size if option == "4MiB" else option for option in OUTPUTS[kind]]
        (folder / "work").mkdir(parents=True)
        (folder / "spec.yaml").write_text(SPEC % size, encoding="utf-8")
        self.target = folder / "work" / self.options[1].rstrip("/")
        self.kept = folder / "old"
        self.run("1")
        self.old = digest(self.target)
        self.target.rename(self.kept)
        self.restore()
        self.run()
        self.new = digest(self.target)
        assert "" not in (self.old, self.new)
        assert self.old != self.new

    def arguments(self, seed: str = "2") -> list[str]:
        """Return the arguments of a run over what is there."""
        return ["init", "../spec.yaml", *self.options, "--seed", seed, "--quiet", "--force"]

    def start(self) -> subprocess.Popen[str]:
        """Start such a run, which hears signals even where this process does not."""
        return subprocess.Popen(
            [sys.executable, "-c", START, *self.arguments()],
            cwd=self.folder / "work",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_listen,
        )

    def run(self, seed: str = "2") -> None:
        """Do such a run to its end, in a fork."""
        ended = forked(self.arguments(seed), self.folder / "work")
        assert ended == (0, "", ""), ended

    def measure(self) -> float:
        """Return how long such a run takes, from the start of its process."""
        started = time.monotonic()
        self.start().communicate()
        return time.monotonic() - started

    def restore(self) -> None:
        """Put the older file in its place, and nothing beside it."""
        shutil.rmtree(self.folder / "work")
        (self.folder / "work").mkdir()
        copy = shutil.copytree if self.kept.is_dir() else shutil.copyfile
        copy(self.kept, self.target)

    def leavings(self) -> list[str]:
        """Return what stands beside the target."""
        return [each.name for each in self.target.parent.iterdir() if each != self.target]

    def state(self) -> str:
        """Say what the path holds, which is one of two.

        Raises:
            AssertionError: if it is neither.
        """
        found = digest(self.target)
        assert found in (self.old, self.new), f"{self.target} holds something else"
        return "old kept" if found == self.old else "new whole"

    def kill(self, delay: float) -> Counter[str]:
        """Kill a run after a while; judge what it left, and that the next run removes it."""
        if digest(self.target) != self.old or self.leavings():
            self.restore()
        process = self.start()
        time.sleep(delay)
        process.kill()
        said = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), said
        tally = Counter({"runs": 1, self.state(): 1})
        tally["ended before"] += process.returncode == 0
        if self.leavings():
            self.run()
            assert self.state() == "new whole"
            assert self.leavings() == []
            tally["leavings, cleaned by the next run"] += 1
        return tally

    def steps(self, before: Callable[[], object] = lambda: None) -> int:
        """Count the steps of a run, and load what it uses, so that none of that is among them."""
        os.chdir(self.folder / "work")
        assert main(self.arguments()) == 0
        self.restore()
        ended = forked(self.arguments(), self.folder / "work", _both(before, counted))
        assert ended[:2] == (0, "")
        self.restore()
        return int(ended.err)

    def kill_at(self, step: int, before: Callable[[], object] = lambda: None) -> Counter[str]:
        """Kill a run at a step; judge what it left, and that the next run removes it."""
        if digest(self.target) != self.old or self.leavings():
            self.restore()
        arm = at_step(step, signal.SIGKILL)
        ended = forked(self.arguments(), self.folder / "work", _both(before, arm))
        assert ended == (-signal.SIGKILL, "", ""), ended
        aside = any(name.endswith(".glorot-old") for name in self.leavings())
        tally = Counter({"runs": 1, "put aside" if aside else self.state(): 1})
        if self.leavings():
            self.run()
            assert self.state() == "new whole"
            assert self.leavings() == []
            tally["leavings, cleaned by the next run"] += 1
        return tally

    def stop_at(
        self, number: signal.Signals, step: int, before: Callable[[], object] = lambda: None
    ) -> Counter[str]:
        """Send a run a signal at a step; judge what it says and leaves, which is nothing."""
        if digest(self.target) != self.old:
            self.restore()
        arm = at_step(step, number)
        ended = forked(self.arguments(), self.folder / "work", _both(before, arm))
        assert ended == (128 + number, "", f"glorot: {STOPS[number]}\n"), ended
        assert self.leavings() == []
        return Counter({"runs": 1, self.state(): 1})

    def stop(self, number: signal.Signals, delay: float) -> Counter[str]:
        """Send a run a signal after a while; judge what it says and leaves, which is nothing."""
        if digest(self.target) != self.old:
            self.restore()
        process = self.start()
        time.sleep(delay)
        process.send_signal(number)
        began = time.monotonic()
        _, said = process.communicate()
        assert time.monotonic() - began < 5.0
        tally = Counter({"runs": 1, self.state(): 1})
        assert self.leavings() == [], self.leavings()
        line = f"glorot: {STOPS[number]}\n"
        if (process.returncode, said) == (128 + number, line):
            tally[f"{128 + number}, one line"] += 1
        elif (process.returncode, said) == (0, ""):
            tally["ended before"] += 1
        else:
            # Python itself was starting: no line of the command's had run.
            assert process.returncode == -number or "glorot_cli" not in said, said
            assert self.state() == "old kept"
            tally[EARLY] += 1
        return tally


STOPS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "hung up",
}


class Ranked:
    """Two ranks that write shards, of which one is killed."""

    def __init__(self, folder: Path, size: int = 1536) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        (folder / "spec.yaml").write_text(SPEC % size, encoding="utf-8")
        started = time.monotonic()
        self.wait(self.start("whole"))
        self.seconds = time.monotonic() - started
        self.whole = digest(folder / "whole")

    def start(self, output: str, *options: str) -> subprocess.Popen[str]:
        """Start a run of all ranks or of one."""
        command = [sys.executable, "-c", START, "init", "spec.yaml", "-o", output, "--quiet"]
        return subprocess.Popen(
            [*command, "--max-shard-size", "4MiB", *options],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def wait(self, process: subprocess.Popen[str]) -> None:
        """See a run end well."""
        said = process.communicate()
        assert (process.returncode, *said) == (0, "", ""), said

    def kill(self, delay: float) -> Counter[str]:
        """Kill one of two ranks after a while, and start it again with --resume."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        ranks = [self.start("out", "--rank", str(rank), "--world-size", "2") for rank in range(2)]
        time.sleep(delay)
        ranks[1].kill()
        ranks[1].communicate()
        self.wait(ranks[0])
        names = [each.name for each in (self.folder / "out").iterdir()]
        tally = Counter({"runs": 1})
        tally["ended before"] += ranks[1].returncode == 0
        tally["shards kept"] += sum(name.startswith("model-0") for name in names) - 3
        tally["leavings, cleaned by the next run"] += any(name.startswith(".") for name in names)
        self.wait(self.start("out", "--rank", "1", "--world-size", "2", "--resume"))
        assert digest(self.folder / "out") == self.whole
        tally["whole after --resume"] += 1
        return tally
