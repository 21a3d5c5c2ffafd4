"""Tables for people and JSON for scripts; the only importer of rich."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from glorot_cli.errors import printable
from glorot_cli.fans import glorot_limit
from glorot_cli.formats.base import natural_size
from glorot_cli.moments import Moments
from glorot_cli.plan import Plan, PlannedTensor

if TYPE_CHECKING:
    from glorot_cli.inspection import InspectedTensor, Inspection

Document = dict[str, Any]
Row = list[str]

PROGRESS_SECONDS = 1.0


def plan_document(plan: Plan) -> Document:
    """Return the plan as JSON's data; a value that does not apply is null."""
    tensors = plan.tensors
    return {
        "tensors": [_tensor_document(tensor) for tensor in tensors],
        "totals": {
            "parameters": sum(t.parameters for t in tensors),
            "trainable": sum(t.parameters for t in tensors if t.trainable),
            "bytes": sum(t.nbytes for t in tensors),
        },
        "seed": plan.seed,
        "rng": plan.rng,
    }


def _tensor_document(tensor: PlannedTensor) -> Document:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "initializer": tensor.initializer,
        "arguments": tensor.arguments,
        "fan_in": tensor.fans.fan_in if tensor.fans else None,
        "fan_out": tensor.fans.fan_out if tensor.fans else None,
        "limit": getattr(tensor.distribution, "limit", None),
        "stddev": tensor.distribution.std(tensor.shape),
        "parameters": tensor.parameters,
        "bytes": tensor.nbytes,
        "trainable": tensor.trainable,
    }


def init_document(plan: Plan, moments: Sequence[Moments], output: str) -> Document:
    """Return the plan's document with what was drawn."""
    document = plan_document(plan)
    document["output"] = output
    for tensor, found in zip(document["tensors"], moments, strict=True):
        tensor["statistics"] = _statistics(found)
    return document


def _statistics(moments: Moments | None) -> Document | None:
    if moments is None:
        return None
    values = {
        "min": moments.minimum,
        "max": moments.maximum,
        "mean": moments.mean,
        "std": moments.std,
    }
    return {key: value if math.isfinite(value) else None for key, value in values.items()}


def inspect_document(inspections: Sequence[Inspection]) -> Document:
    """Return what files hold as JSON's data."""
    return {
        "files": [
            {
                "path": found.path,
                "format": found.format,
                "provenance": found.provenance,
                "tensors": [_inspected_document(tensor) for tensor in found.tensors],
                "totals": {
                    "parameters": sum(math.prod(t.shape) for t in found.tensors),
                    "bytes": sum(t.nbytes for t in found.tensors),
                },
            }
            for found in inspections
        ]
    }


def _inspected_document(tensor: InspectedTensor) -> Document:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "fan_in": tensor.fans.fan_in if tensor.fans else None,
        "fan_out": tensor.fans.fan_out if tensor.fans else None,
        "limit": glorot_limit(tensor.fans) if tensor.fans else None,
        "parameters": math.prod(tensor.shape),
        "bytes": tensor.nbytes,
        "statistics": _statistics(tensor.moments),
        "fits": tensor.fits,
    }


def print_json(document: Document) -> None:
    """Print one JSON document."""
    print(json.dumps(document, ensure_ascii=True, indent=2, allow_nan=False))


# A column's head, whether numbers stand in it, and its text for a tensor.
Column = tuple[str, bool, Callable[[PlannedTensor, Moments | None], str]]

_PLAN_COLUMNS: list[Column] = [
    ("name", False, lambda t, m: t.name),
    ("shape", False, lambda t, m: _shape(t.shape)),
    ("dtype", False, lambda t, m: t.dtype),
    ("initializer", False, lambda t, m: t.initializer),
    ("fan_in", True, lambda t, m: str(t.fans.fan_in) if t.fans else ""),
    ("fan_out", True, lambda t, m: str(t.fans.fan_out) if t.fans else ""),
    ("limit", True, lambda t, m: _number(getattr(t.distribution, "limit", None))),
]
_DRAWN_COLUMNS: list[Column] = [
    ("min", True, lambda t, m: _number(m.minimum if m else None)),
    ("max", True, lambda t, m: _number(m.maximum if m else None)),
    ("mean", True, lambda t, m: _number(m.mean if m else None)),
    ("std", True, lambda t, m: _number(m.std if m else None)),
]
_EXPECTED_COLUMNS: list[Column] = [
    ("expected std", True, lambda t, m: _number(t.distribution.std(t.shape))),
    ("forward gain", True, lambda t, m: _gain(t, t.fans.fan_in if t.fans else None)),
    ("backward gain", True, lambda t, m: _gain(t, t.fans.fan_out if t.fans else None)),
]


def print_plan(plan: Plan, moments: Sequence[Moments] | None = None) -> None:
    """Print a row for each tensor, with statistics if it was drawn, and a row of totals."""
    columns = [*_PLAN_COLUMNS, *(_DRAWN_COLUMNS if moments else []), *_EXPECTED_COLUMNS]
    found: Sequence[Moments | None] = moments or [None] * len(plan.tensors)
    rows = [
        [text(tensor, each) for _, _, text in columns]
        for tensor, each in zip(plan.tensors, found, strict=True)
    ]
    total = [""] * len(columns)
    parameters = sum(tensor.parameters for tensor in plan.tensors)
    nbytes = sum(tensor.nbytes for tensor in plan.tensors)
    total[0] = f"{parameters:,} parameters, {natural_size(nbytes)}"
    _print_table([(head, right) for head, right, _ in columns], rows, total)


def print_inspection(found: Inspection) -> None:
    """Print a file's name, what it claims to be, and a row for each tensor."""
    heads = [
        ("name", False), ("shape", False), ("dtype", False), ("fan_in", True), ("fan_out", True),
        ("limit", True), ("min", True), ("max", True), ("mean", True), ("std", True),
        ("fits", False),
    ]  # fmt: skip
    rows = []
    for t in found.tensors:
        fans, m = t.fans, t.moments
        numbers = (m.minimum, m.maximum, m.mean, m.std) if m else (None,) * 4
        row = [t.name, _shape(t.shape), t.dtype]
        row += [str(fans.fan_in), str(fans.fan_out)] if fans else ["", ""]
        row += [_number(glorot_limit(fans) if fans else None), *map(_number, numbers)]
        rows.append([*row, t.fits or ""])
    print(printable(f"{found.path}: {found.format}, {_claim(found)}"))
    total = [""] * len(heads)
    parameters = sum(math.prod(t.shape) for t in found.tensors)
    nbytes = sum(t.nbytes for t in found.tensors)
    total[0] = f"{parameters:,} parameters, {natural_size(nbytes)}"
    _print_table(heads, rows, total)


def _claim(found: Inspection) -> str:
    spec = (found.provenance or {}).get("spec")
    if not isinstance(spec, dict):
        return "without provenance"
    return f"claims seed {spec.get('seed')}"


def _shape(shape: Sequence[int]) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _gain(tensor: PlannedTensor, fan: int | None) -> str:
    if fan is None:
        return ""
    return _number(fan * tensor.distribution.std(tensor.shape) ** 2)


def _print_table(heads: list[tuple[str, bool]], rows: list[Row], total: Row) -> None:
    rows = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_rich(heads, rows, total)
        return
    lines = [[head for head, _ in heads], *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    for line in lines:
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, (_, right) in zip(line, widths, heads, strict=True)
        )
        print("  ".join(cells).rstrip())
    print(total[0])


def _print_rich(heads: list[tuple[str, bool]], rows: list[Row], total: Row) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_footer=False)
    for head, right in heads:
        table.add_column(head, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(highlight=False)
    console.print(table)
    console.print(Text(total[0]))


@contextmanager
def progress_bar(total: int, shown: bool) -> Iterator[Callable[[int], None] | None]:
    """Show bytes, rate and time left on a terminal, once work lasts."""
    if not shown or not sys.stderr.isatty():
        yield None
        return
    import time

    started = time.monotonic()
    bar: Any = None
    task: Any = None

    def update(done: int) -> None:
        nonlocal bar, task
        if bar is None:
            if time.monotonic() - started < PROGRESS_SECONDS:
                return
            bar, task = _rich_bar(total)
        bar.update(task, completed=done)

    try:
        yield update
    finally:
        if bar is not None:
            bar.stop()


def _rich_bar(total: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bar = Progress(
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    bar.start()
    return bar, bar.add_task("", total=total)
