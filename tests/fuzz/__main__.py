"""Break files, specs and their values at random, and check what every command makes of each.

python -m tests.fuzz --cases 20000 --seed 0 [--only spec,h5,values] [--case 17 --only h5]
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from pathlib import Path

from tests.fuzz.cases import run_case
from tests.fuzz.pool import Case, run_cases
from tests.fuzz.seeds import KINDS as FILES
from tests.fuzz.values import KIND

KINDS = (*FILES, KIND)


def _said(case: Case, problem: str) -> None:
    kind, number = case
    print(f"FAILED --only {kind} --case {number}: {problem}\n", flush=True)


def run() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20000, help="in all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help=f"some of {','.join(KINDS)}")
    parser.add_argument("--case", type=int, help="run this one of a kind, in this process")
    parser.add_argument("--keep", help="with --case: the folder to run it in")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    kinds = options.only.split(",") if options.only else list(KINDS)
    if options.case is not None:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(options.keep or folder)
            result = run_case(place, kinds[0], options.seed, options.case)
        print(result.command)
        print(result.problem or f"exit code {result.code}")
        return int(bool(result.problem))
    start = time.monotonic()
    numbered = itertools.product(range(-(-options.cases // len(kinds))), kinds)
    cases = ((kind, number) for number, kind in itertools.islice(numbered, options.cases))
    tally = run_cases(cases, options.seed, workers=options.workers, said=_said)
    print(f"{'kind':<12} {'exit 0':>7} {'exit 1':>7} {'exit 2':>7} {'failed':>7}")
    for kind in kinds:
        counts = [tally.outcomes[kind, each] for each in ("exit 0", "exit 1", "exit 2", "failed")]
        print(f"{kind:<12} " + " ".join(f"{count:>7}" for count in counts))
    seconds, case = tally.longest
    print(f"longest {seconds:.1f} s, {case}; most memory {tally.largest[0] >> 20} MiB, "
          f"{tally.largest[1]}; {time.monotonic() - start:.0f} s in all")  # fmt: skip
    return int(bool(tally.failures))


if __name__ == "__main__":
    raise SystemExit(run())
