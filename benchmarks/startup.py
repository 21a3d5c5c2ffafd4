"""Say what `glorot init` of a small spec loads: modules and milliseconds, by package.

Each round runs `python -X importtime -m glorot_cli init`; a module's time is what it took itself,
without what it loads in turn, and the least of all rounds counts, since other processes only ever
add to it. The last line is the processor time of a whole run without -X importtime.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from processes import ROOT, glorot, write_json

# What each library brings with it; all else is Python's own.
PACKAGES = {
    "glorot_cli": ("glorot_cli",),
    "numpy": ("numpy",),
    "typer": ("typer", "click", "shellingham", "annotated_doc"),
    "pydantic": (
        "pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection",
    ),
    "cryptography": ("cryptography", "_cffi_backend", "_openssl"),
    "pyyaml": ("yaml", "_yaml"),
    "safetensors": ("safetensors",),
}  # fmt: skip
_LINE = re.compile(r"import time:\s*(\d+) \|\s*\d+ \|\s*(\S+)")


def package_of(module: str) -> str:
    """Return the library that brings a module, or python."""
    top = module.split(".")[0]
    return next((name for name, tops in PACKAGES.items() if top in tops), "python")


def loaded(command: list[str]) -> dict[str, int]:
    """Return the modules that a command loads, and the microseconds of each."""
    python, *arguments = command
    ended = subprocess.run(
        [python, "-X", "importtime", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return {module: int(taken) for taken, module in _LINE.findall(ended.stderr)}


def processor_seconds(command: list[str]) -> float:
    """Return the processor time of a command."""
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return float(ended.stdout)


def main() -> None:
    """Print the table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "w.safetensors")
        init = glorot("init", "sample_specs/mlp.yaml", "-o", target, "--seed", 1, "-q", "--force")
        loaded(init)  # compiles what was edited
        rounds = [loaded(init) for _ in range(options.rounds)]
        whole = min(processor_seconds(init) for _ in range(options.rounds))
    modules = Counter(map(package_of, rounds[-1]))
    times = dict.fromkeys(modules, 0.0)
    for name in rounds[-1]:
        times[package_of(name)] += min(found[name] for found in rounds if name in found) / 1000
    print("| | modules | ms |\n| --- | ---: | ---: |")
    for name in sorted(times, key=lambda name: -times[name]):
        print(f"| {name} | {modules[name]} | {times[name]:.0f} |")
    print(f"| all | {modules.total()} | {sum(times.values()):.0f} |")
    print(f"| the whole run, processor time | | {whole * 1000:.0f} |")
    write_json(options.json, {"modules": dict(modules), "milliseconds": times, "run": whole})


if __name__ == "__main__":
    main()
