"""Processes that run cases, each within a time, and are replaced where they die."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tests.fuzz.cases import run_case
from tests.fuzz.commands import Result

Case = tuple[str, int]
# Of the processor; on the clock a busy machine may take IDLE times as long.
SECONDS = 10.0
IDLE = 12.0


@dataclass
class Tally:
    """Count how cases ended."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[tuple[Case, str]] = field(default_factory=list)
    longest: tuple[float, Case | None] = (0.0, None)
    largest: tuple[int, Case | None] = (0, None)

    def add(self, case: Case, result: Result, seconds: float) -> None:
        """Count a case."""
        kind = case[0]
        self.outcomes[kind, "failed" if result.problem else f"exit {result.code}"] += 1
        if result.problem:
            self.failures.append((case, f"{result.command}\n{result.problem}"))
        self.longest = max(self.longest, (seconds, case), key=lambda each: each[0])
        self.largest = max(self.largest, (result.memory, case), key=lambda each: each[0])


class _Worker:
    def __init__(self, seed: int, folder: Path) -> None:
        self.case: Case | None = None
        self.started = self.used = 0.0
        context = multiprocessing.get_context("spawn")
        self.link, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, seed, folder), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, case: Case | None) -> None:
        self.case, self.started, self.used = (
            case,
            time.monotonic(),
            processor_time(self.process.pid),
        )
        self.link.send(case)

    def took(self) -> float:
        """Return the processor time that its case has taken, or a share of the clock's."""
        waited = (time.monotonic() - self.started) / IDLE
        return max(waited, processor_time(self.process.pid) - self.used)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.link.close()


def processor_time(pid: int | None) -> float:
    """Return the processor time of a process in seconds, where the system tells."""
    with suppress(OSError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _work(link: Connection, seed: int, folder: Path) -> None:
    # More than is allowed: this only keeps the machine alive.
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, 64 << 20))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.environ.setdefault("COLUMNS", "120")
    sys.stdin = Path(os.devnull).open()  # noqa: SIM115
    link.send(None)
    while (case := link.recv()) is not None:
        try:
            result = run_case(folder, case[0], seed, case[1])
        except Exception:
            result = Result(None, f"not a case: {traceback.format_exc()}", 0, "")
        link.send(result)


def run_cases(
    cases: Iterator[Case],
    seed: int,
    *,
    workers: int,
    seconds: float = SECONDS,
    said: Callable[[Case, str], None] = lambda case, problem: None,
) -> Tally:
    """Run cases, and tally how they end; `said` hears of each failure at once."""
    tally = Tally()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as top:
        numbers = iter(range(10**9))

        def started() -> _Worker:
            folder = Path(top) / str(next(numbers))
            folder.mkdir()
            return _Worker(seed, folder)

        def count(worker: _Worker, result: Result, taken: float) -> None:
            assert worker.case is not None
            tally.add(worker.case, result, taken)
            if result.problem:
                said(worker.case, f"{result.command}\n{result.problem}")

        busy = [started() for _ in range(workers)]
        try:
            while busy:
                ready = wait([worker.link for worker in busy], timeout=0.5)
                for worker in list(busy):
                    if worker.link in ready:
                        try:
                            result = worker.link.recv()
                        except (EOFError, OSError):
                            worker.process.join(5)
                            code = worker.process.exitcode
                            count(worker, Result(None, f"died: {code}", 0, ""), 0.0)
                            busy.remove(worker)
                            worker.end()
                            busy.append(started())
                            continue
                        if worker.case is not None:
                            count(worker, result, worker.took())
                        case = next(cases, None)
                        with suppress(BrokenPipeError):
                            worker.give(case)
                        if case is None:
                            worker.process.join()
                            busy.remove(worker)
                    elif worker.case is not None and (taken := worker.took()) > seconds:
                        used = processor_time(worker.process.pid) - worker.used
                        problem = f"took over {seconds} s, {used:.1f} s of the processor's"
                        count(worker, Result(None, problem, 0, ""), taken)
                        busy.remove(worker)
                        worker.end()
                        busy.append(started())
        finally:
            for worker in busy:
                worker.end()
    return tally
