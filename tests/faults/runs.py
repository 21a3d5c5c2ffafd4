"""What is written over what, and how a run that was stopped is judged."""

from __future__ import annotations

import contextlib
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
from tests.faults.forked import Forked, at_step, counted, forked

# How each way of writing is asked for; what it replaces is a file, a folder or a set of files.
OUTPUTS = {
    "safetensors": ["-o", "w.safetensors"],
    "h5": ["-o", "w.h5"],
    "weights.h5": ["-o", "w.weights.h5"],
    "one npy": ["-o", "w.npy", "--set", "n=1"],
    "npy": ["-o", "w/"],
    "shards": ["-o", "w/", "--max-shard-size", "4MiB"],
}
SHARD_SIZE = ["--max-shard-size", "4MiB"]
# Ways that write within a folder, where a run is resumed rather than begun again.
SHARED = ("ranks", "resume", "dask")
SPEC = """
seed: 1
dims: {n: 6, d: %d}
tensors:
  "w{i}/vars/0": {shape: [d, d], axes: IO, initializer: glorot_uniform, repeat: {i: n}}
"""
START = "from glorot_cli.__main__ import run; run()"
# Python's own exit on a signal that comes before the command's first line.
EARLY = "before the command's first line"
# What others have in a folder, and what they put there while a run lasts.
OTHERS = {"tokenizer.json": "{}", "notes/run 1.txt": "loss 2.3", "w0/vars/README": "mine"}
LATE = "late.txt"


def digest(path: Path) -> str:
    """Return a hash of a file, or of what is not others' in a folder; of nothing it is empty."""
    if not path.exists():
        return ""
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    total = hashlib.sha256()
    for file in files:
        name = str(file.relative_to(path))
        if name not in (*OTHERS, LATE):
            total.update(f"{name}\0".encode())
            total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def put_others(folder: Path) -> None:
    """Put others' files into a folder."""
    for name, text in OTHERS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def check_others(*folders: Path, late: bool = False) -> None:
    """Check that each of others' files is in one of some folders, as it was."""
    for name, text in {**OTHERS, **({LATE: LATE} if late else {})}.items():
        found = [
            (folder / name).read_text("utf-8") for folder in folders if (folder / name).exists()
        ]
        assert found == [text], f"{name}: {found}"


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
        self.is_folder = self.target.is_dir()
        self.late = False
        if self.is_folder:
            put_others(self.target)
        self.target.rename(self.kept)
        self.restore()
        self.run()
        self.new = digest(self.target)
        self.check_others()
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

    def measure_forked(self) -> float:
        """Return how long a run takes in a fork, which has loaded what it uses."""
        os.chdir(self.folder / "work")
        assert main(self.arguments()) == 0
        started = time.monotonic()
        self.run()
        return time.monotonic() - started

    def restore(self) -> None:
        """Put the older file in its place, and nothing beside it."""
        shutil.rmtree(self.folder / "work")
        (self.folder / "work").mkdir()
        self.late = False
        copy = shutil.copytree if self.kept.is_dir() else shutil.copyfile
        copy(self.kept, self.target)

    def come_late(self) -> None:
        """Be another program, which writes to the folder while the run lasts."""
        if self.is_folder and not self.late:
            with contextlib.suppress(FileNotFoundError):  # for a moment it is not there
                (self.target / LATE).write_text(LATE, encoding="utf-8")
                self.late = True

    def check_others(self, *folders: Path) -> None:
        """Check that others' files are in the folder, or in others that are named."""
        if self.is_folder:
            check_others(self.target, *folders, late=self.late)

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
        process = Forked(self.arguments(), self.folder / "work")
        time.sleep(delay / 2)
        self.come_late()
        time.sleep(delay / 2)
        process.kill()
        ended = process.wait()
        assert ended in ((0, "", ""), (-signal.SIGKILL, "", "")), ended
        tally = Counter({"runs": 1, self.state(): 1})
        tally["ended before"] += ended.code == 0
        self.check_others(*(self.target.with_name(name) for name in self.leavings()))
        if self.leavings():
            self.run()
            self.check_others()
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
        self.check_others(*(self.target.with_name(name) for name in self.leavings()))
        tally = Counter({"runs": 1, self.state() if self.target.exists() else "put aside": 1})
        if self.leavings():
            self.run()
            self.check_others()
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
        self.check_others()
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
        self.check_others()
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


class Resumed:
    """Runs that write shards within a folder that others use too; one is killed, then resumed."""

    def __init__(self, folder: Path, kind: str, size: int = 1536) -> None:
        self.folder = folder
        self.kind = kind
        folder.mkdir(parents=True)
        (folder / "spec.yaml").write_text(SPEC % size, encoding="utf-8")
        os.chdir(folder)
        assert main(["init", "spec.yaml", "-o", "whole", "--quiet", *SHARD_SIZE]) == 0
        self.whole = digest(folder / "whole")
        started = time.monotonic()
        self.prepare()
        for process in self.runs():
            self.wait(process)
        self.seconds = time.monotonic() - started
        assert digest(folder / "out") == self.whole

    def start(self, *options: str) -> Forked:
        """Start a run in a fork, with its processes in a group of their own."""
        arguments = ["init", "spec.yaml", "-o", "out", "--quiet", *SHARD_SIZE, *options]
        return Forked(arguments, self.folder, os.setpgrp)

    def prepare(self) -> None:
        """Leave nothing in the folder but others' files."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        put_others(self.folder / "out")

    def runs(self, *more: str) -> list[Forked]:
        """Start what writes the folder together; the last is killed."""
        if self.kind == "ranks":
            return [self.start("--rank", str(n), "--world-size", "2", *more) for n in range(2)]
        return [
            self.start(*(["--resume"] if self.kind == "resume" else ["--dask", "local", *more]))
        ]

    def wait(self, process: Forked) -> None:
        """See a run end well."""
        ended = process.wait()
        assert ended == (0, "", ""), ended

    def kill(self, delay: float) -> Counter[str]:
        """Kill a run after a while, and resume it."""
        self.prepare()
        *others, killed = self.runs()
        time.sleep(delay / 2)
        (self.folder / "out" / LATE).write_text(LATE, encoding="utf-8")
        time.sleep(delay / 2)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(killed.pid, signal.SIGKILL)
        ended = killed.wait()
        for process in others:
            self.wait(process)
        check_others(self.folder / "out", late=True)
        names = [each.name for each in (self.folder / "out").iterdir()]
        tally = Counter({"runs": 1})
        tally["ended before"] += ended.code == 0
        tally["shards kept"] += sum(name.startswith("model-0") for name in names)
        tally["leavings, cleaned by the next run"] += any(name.startswith(".") for name in names)
        for process in self.runs("--resume"):
            self.wait(process)
        check_others(self.folder / "out", late=True)
        assert digest(self.folder / "out") == self.whole
        assert [each.name for each in self.folder.glob("out/.*")] == []
        tally["whole after --resume"] += 1
        return tally
