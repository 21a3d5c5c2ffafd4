"""Keep, draw and resize parts of a large checkpoint, and report each run's time and peak memory.

A base of 2 GB in bfloat16 is written first, with an embedding of 128 Ki rows of 4096. Then `glorot
init --base` runs as a whole process: everything kept, a part of it drawn, the embedding grown by
rows and filled by each way, and an inner axis grown. A plain copy of the file stands beside them.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from processes import LARGEST_MEMORY, glorot, machine, measure, scratch_folder, write_json

SPEC = """\
seed: 1
dtype: bfloat16
dims: {{rows: {rows}, d: {width}, layers: {layers}}}
initializers:
  - "*": {{name: normal, std: 0.02}}
tensors:
  embed.weight: {{shape: [rows, d], axes: IO}}
  "layers.{{i}}.up.weight": {{shape: [4096, d], axes: OI, repeat: {{i: layers}}}}
"""
PLAIN_COPY = """
import os, shutil, sys
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
    shutil.copyfileobj(source, target, 1 << 21)
    target.flush()
    os.fsync(target.fileno())
"""


def benchmark(folder: Path, rows: int, layers: int) -> dict[str, Any]:
    """Measure every arm and return the figures."""

    def spec(name: str, rows: int = rows, width: int = 4096) -> str:
        path = folder / f"{name}.yaml"
        path.write_text(SPEC.format(rows=rows, width=width, layers=layers), encoding="utf-8")
        return str(path)

    base, target = folder / "base.safetensors", folder / "new.safetensors"
    init = glorot("init")
    same, more, wider = spec("same"), spec("more", rows + 256), spec("wider", width=4352)
    arms = {
        "the base itself": [*init, same, "-o", str(base), "--quiet"],
        "plain copy": [sys.executable, "-c", PLAIN_COPY, str(base), str(target)],
    }
    options = {
        "all kept": [same],
        "layers drawn": [same, "--only", "layers.*"],
        "rows, init": [more, "--resize", "embed.*=init"],
        "rows, mean": [more, "--resize", "embed.*=mean"],
        "rows, zeros": [more, "--resize", "embed.*=zeros"],
        "columns, mean": [wider, "--resize", "*=mean"],
    }
    for name, (path, *rest) in options.items():
        arms[name] = [*init, path, "-o", str(target), "--base", str(base), *rest, "--quiet"]
    runs = {}
    for name, command in arms.items():
        os.sync()
        runs[name] = measure(command)
        target.unlink(missing_ok=True)
    return {
        "bytes": base.stat().st_size,
        "machine": machine(),
        "runs": {name: run._asdict() for name, run in runs.items()},
        "target_peak_bytes": LARGEST_MEMORY,
    }


def main() -> None:
    """Read the arguments, measure, and report; exit with 1 if a peak is above the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=128 << 10, help="rows of the embedding")
    parser.add_argument("--layers", type=int, default=28, help="tensors of 34 MB beside it")
    parser.add_argument("--dir", type=Path, default=Path("tmp"), help="a folder with 5 GB free")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    with scratch_folder(arguments.dir) as folder:
        figures = benchmark(folder, arguments.rows, arguments.layers)
    print(f"a base of {figures['bytes']:,} bytes")
    for name, run in figures["runs"].items():
        print(f"  {name:16} {run['seconds']:7.2f} s  peak {run['peak_bytes'] / 1e6:6.1f} MB")
    write_json(arguments.json, figures)
    peaks = [run["peak_bytes"] for name, run in figures["runs"].items() if name != "plain copy"]
    if max(peaks) > LARGEST_MEMORY:
        raise SystemExit(f"a peak of {max(peaks):,} bytes is above {LARGEST_MEMORY:,}")


if __name__ == "__main__":
    main()
