"""Kill runs at random moments, and say what they left: python -m tests.faults.kill --times 200."""

from __future__ import annotations

import argparse
import functools
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.faults.runs import OUTPUTS, SHARED, STOPS, Replacing, Resumed

# Delays go a little beyond the length of a run, so that its last moments are among them.
BEYOND = 1.05


def main() -> None:
    """Kill, stop, and print a tally of each; the first run that is not as it should be raises."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200, help="how often each is killed")
    parser.add_argument("--signals", type=int, default=40, help="how often each signal is sent")
    parser.add_argument("--steps", action="store_true", help="and at each step of a run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=[*OUTPUTS, *SHARED], default=None)
    asked = parser.parse_args()
    kinds = asked.only or [*OUTPUTS, *SHARED]
    with tempfile.TemporaryDirectory() as temporary:
        for kind in kinds:
            rng = random.Random(f"{asked.seed} {kind}")
            folder = Path(temporary, kind)
            if kind in SHARED:
                resumed = Resumed(folder, kind)
                repeat(f"SIGKILL, {kind}", resumed.kill, asked.times, rng, resumed.seconds)
                continue
            replacing = Replacing(folder, kind)
            if asked.steps:
                every_step(kind, Replacing(folder / "small", kind, 64, "40KB"))
            seconds = replacing.measure_forked()
            repeat(f"SIGKILL, {kind}", replacing.kill, asked.times, rng, seconds)
            seconds = replacing.measure()
            for number in STOPS:
                stop = functools.partial(replacing.stop, number)
                repeat(f"{number.name}, {kind}", stop, asked.signals, rng, seconds)


def every_step(kind: str, replacing: Replacing) -> None:
    """Kill or stop a run each time that it touches the file system, and print the tally."""
    last = replacing.steps()
    tally: Counter[str] = Counter()
    for step in range(1, last + 1):
        tally += replacing.kill_at(step)
    show(f"SIGKILL at each step, {kind}", tally)
    for number in STOPS:
        tally = Counter()
        for step in range(1, last + 1):
            tally += replacing.stop_at(number, step)
        show(f"{number.name} at each step, {kind}", tally)


def show(title: str, tally: Counter[str]) -> None:
    """Print how often there was what."""
    found = ", ".join(f"{count} {what}" for what, count in sorted(tally.items()))
    print(f"{title}: {found}", flush=True)


def repeat(
    title: str,
    once: Callable[[float], Counter[str]],
    times: int,
    rng: random.Random,
    seconds: float,
) -> None:
    """Do something after random delays, and print the tally."""
    tally: Counter[str] = Counter()
    started = time.monotonic()
    for _ in range(times):
        tally += once(rng.uniform(0.0, BEYOND * seconds))
    took = time.monotonic() - started
    show(f"{title}, runs of {seconds:.2f} s, in {took:.0f} s", tally)


if __name__ == "__main__":
    main()
