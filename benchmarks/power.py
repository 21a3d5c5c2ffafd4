"""Measure what `glorot verify --statistics` finds, and how often it cries wolf.

    python benchmarks/power.py             print both tables
    python benchmarks/power.py --write     put them into docs/verify.md

Of ten tensors in a file one is wrong, in one way at a time; the share of seeds at which that tensor
raises an alarm is the power. Files that are right, of many laws and dtypes, give the false alarms.
Every file is drawn by glorot, from the seeds 0, 1, 2, ...
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import glorot_cli as glorot
from glorot_cli.checks.evidence import judge_weights

PAGE = Path(__file__).resolve().parent.parent / "docs" / "verify.md"
ELEMENTS = (100, 1_000, 10_000, 100_000)
Tensors = dict[str, dict[str, Any]]


def entry(rows: int, columns: int, initializer: Any, **more: Any) -> dict[str, Any]:
    return {"shape": [rows, columns], "axes": "IO", "initializer": initializer, **more}


def normal(stddev: float) -> dict[str, Any]:
    return {"name": "random_normal", "stddev": stddev}


def truncated(stddev: float) -> dict[str, Any]:
    return {"name": "truncated_normal", "stddev": stddev}


def uniform(limit: float) -> dict[str, Any]:
    return {"name": "random_uniform", "minval": -limit, "maxval": limit}


# What the spec states, and what the file holds instead. Kernels have four times as many outputs as
# inputs.
WRONG: dict[str, tuple[Any, Any]] = {
    "He uniform for Glorot uniform": ("glorot_uniform", "he_uniform"),
    "He normal for Glorot normal": ("glorot_normal", "he_normal"),
    "swapped fans (He normal)": (
        "he_normal",
        {"name": "variance_scaling", "scale": 2.0, "mode": "fan_out"},
    ),
    "stddev 5 % too large, normal": (normal(0.02), normal(0.021)),
    "stddev 5 % too small, normal": (normal(0.02), normal(0.019)),
    "stddev 5 % too large, truncated normal": (truncated(0.02), truncated(0.021)),
    "limit 5 % too small, uniform": (uniform(0.1), uniform(0.095)),
    "torch's absolute bounds (-2, 2) for two sigmas": (
        truncated(0.02),
        {"name": "trunc_normal", "std": 0.02},
    ),
    "two sigmas for torch's absolute bounds (-2, 2)": (
        {"name": "trunc_normal", "std": 0.02},
        truncated(0.02),
    ),
    "normal for uniform, of the same stddev": (uniform(0.1), normal(0.1 / 3**0.5)),
    "uniform for truncated normal, of the same stddev": (
        truncated(0.02),
        uniform(0.02 * 0.87962566103423978 * 3**0.5),
    ),
}


def judged(stated: Tensors, held: Tensors, seed: int) -> set[str]:
    """Write what a file holds, and return the tensors that raise an alarm."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "w.safetensors")
        plan = glorot.make_plan(glorot.load_spec({"seed": seed, "tensors": held}))
        glorot.write_weights(plan, path, sync=False)
        spec = glorot.make_plan(glorot.load_spec({"seed": 0, "tensors": stated}))
        found = judge_weights(path, spec)
    return {tensor.header.name for tensor in found.tensors if tensor.alarms}


def power(stated: Any, held: Any, elements: int, seeds: int) -> float:
    rows = round((elements / 4) ** 0.5)
    shape = (rows, elements // rows)
    right = {f"t{i}": entry(*shape, stated) for i in range(9)}
    spec = {**right, "wrong": entry(*shape, stated)}
    file = {**right, "wrong": entry(*shape, held)}
    return sum("wrong" in judged(spec, file, seed) for seed in range(seeds)) / seeds


def shared(elements: int, scaled: bool, seeds: int) -> float:
    """Give two tensors the same words: those of one name and seed, under one law or two."""
    hits = 0
    columns = elements // 5
    shapes = {"a": (4, columns), "b": (5 if scaled else 4, columns)}
    tensors = {name: entry(*shape, "he_uniform") for name, shape in shapes.items()}
    plan = glorot.make_plan(glorot.load_spec({"seed": 0, "tensors": tensors}))
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "w.safetensors")
            glorot.write_weights(plan, path, sync=False)
            data = b""
            for shape in shapes.values():
                spec = {"seed": seed, "tensors": {"k": entry(*shape, "he_uniform")}}
                data += glorot.draw(glorot.make_plan(glorot.load_spec(spec)), "k").tobytes()
            path.write_bytes(path.read_bytes()[: -len(data)] + data)
            hits += any(tensor.alarms for tensor in judge_weights(path, plan).tensors)
    return hits / seeds


def power_table(seeds: int) -> Iterator[str]:
    yield "| what is wrong | " + " | ".join(f"{n:,}" for n in ELEMENTS) + " |"
    yield "| --- |" + " --- |" * len(ELEMENTS)
    for what, (stated, held) in WRONG.items():
        shares = [power(stated, held, n, seeds) for n in ELEMENTS]
        yield f"| {what} | " + " | ".join(f"{share:.0%}" for share in shares) + " |"
    for what, scaled in (
        ("one seed for two equal tensors", False),
        ("one seed for two tensors of other fans", True),
    ):
        shares = [shared(n, scaled, seeds) for n in ELEMENTS]
        yield f"| {what} | " + " | ".join(f"{share:.0%}" for share in shares) + " |"


GOOD = (
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "kaiming_normal", "orthogonal",
    normal(0.02), truncated(0.02), {"name": "trunc_normal", "std": 0.5, "a": -0.5, "b": 1.0},
    {"name": "uniform"}, {"name": "sparse", "sparsity": 0.1},
)  # fmt: skip
DTYPES = ("float32", "float64", "float16", "bfloat16", "float8_e4m3fn")
SHAPES = ((1, 2), (2, 3), (8, 8), (30, 40), (120, 90))


def good_file() -> Tensors:
    """Return tensors of many laws, dtypes and sizes."""
    return {
        f"{i}-{dtype}-{rows}x{columns}": entry(rows, columns, law, dtype=dtype)
        for i, law in enumerate(GOOD)
        for dtype in DTYPES
        for rows, columns in SHAPES
    }


def false_alarms(
    seeds: int, rates: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 0.5)
) -> dict[float, int]:
    """Count the good files that raise an alarm at each stated rate."""
    tensors = good_file()
    tested = sum(each["initializer"] != "orthogonal" for each in tensors.values())
    counts = dict.fromkeys(rates, 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "w.safetensors")
        for seed in range(seeds):
            plan = glorot.make_plan(glorot.load_spec({"seed": seed, "tensors": tensors}))
            glorot.write_weights(plan, path, sync=False, force=True)
            found = judge_weights(path, plan, false_alarm=max(rates))
            chances = [alarm.chance for tensor in found.tensors for alarm in tensor.alarms]
            for rate in rates:
                # The threshold is in proportion to the rate.
                counts[rate] += min(chances, default=1.0) < rate / (4 * tested)
    return counts


def alarm_table(seeds: int) -> Iterator[str]:
    yield f"| stated for a file of {len(good_file())} tensors | files with an alarm, of {seeds:,} |"
    yield "| --- | --- |"
    for rate, count in false_alarms(seeds).items():
        yield f"| {rate:g} | {count} ({count / seeds:.2%}) |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=1000, help="good files; a fifth for power")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/verify.md")
    arguments = parser.parse_args()
    tables = {
        "power": "\n".join(power_table(max(1, arguments.seeds // 5))),
        "alarms": "\n".join(alarm_table(arguments.seeds)),
    }
    for name, table in tables.items():
        print(table + "\n")
        if arguments.write:
            head, mark, rest = PAGE.read_text("utf-8").partition(f"<!-- {name} -->\n")
            tail = rest.partition(f"<!-- /{name} -->")[2]
            PAGE.write_text(f"{head}{mark}{table}\n<!-- /{name} -->{tail}", "utf-8")


if __name__ == "__main__":
    main()
