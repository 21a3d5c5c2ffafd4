"""The tables of a plan and of an inspection: their columns, rows and folds."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from glorot_cli.distributions import Constant, Normal, scale_of
from glorot_cli.errors import natural_size, printable
from glorot_cli.fans import glorot_limit
from glorot_cli.goodness_of_fit.fit import FREE
from glorot_cli.moments import Moments
from glorot_cli.plan import Plan, PlannedTensor
from glorot_cli.report.bars import heights
from glorot_cli.report.documents import by_name
from glorot_cli.report.terminal import Cells, Groups, Line, note_left_out, print_lines, print_table

if TYPE_CHECKING:
    from glorot_cli.checks.inspection import InspectedTensor, Inspection

# So many tensors with NaN or infinity are listed under the table.
_MOST_NAMED = 20


class Row(NamedTuple):
    """A row of the plan's table: a tensor, or a repeat's tensors folded into one."""

    name: str
    tensor: PlannedTensor
    moments: Moments | None


# A column's head, whether numbers stand in it, and its text for a row.
Column = tuple[str, bool, Callable[[Row], str]]

_PLAN_COLUMNS: list[Column] = [
    ("name", False, lambda r: r.name),
    ("shape", False, lambda r: shape_text(r.tensor.shape)),
    ("dtype", False, lambda r: r.tensor.dtype),
    ("initializer", False, lambda r: _decision(r.tensor)),
    ("fan_in", True, lambda r: str(r.tensor.fans.fan_in) if r.tensor.fans else ""),
    ("fan_out", True, lambda r: str(r.tensor.fans.fan_out) if r.tensor.fans else ""),
    ("limit/stddev", True, lambda r: number(_scale(r.tensor))),
]
_DRAWN_COLUMNS: list[Column] = [
    ("min", True, lambda r: number(r.moments.minimum if r.moments else None)),
    ("max", True, lambda r: number(r.moments.maximum if r.moments else None)),
    ("mean", True, lambda r: number(r.moments.mean if r.moments else None)),
    ("std", True, lambda r: number(r.moments.std if r.moments else None)),
]
_EXPECTED_COLUMNS: list[Column] = [
    ("expected std", True, lambda r: number(_std(r.tensor))),
    ("forward gain", True, lambda r: _gain(r.tensor, r.tensor.fans and r.tensor.fans.fan_in)),
    ("backward gain", True, lambda r: _gain(r.tensor, r.tensor.fans and r.tensor.fans.fan_out)),
]

# The columns that a narrow terminal may leave out, the most important first.
_OPTIONAL: Groups = [
    ["initializer"],
    ["claim"],
    ["largest s", "smallest s", "expected s", "rank"],
    ["fits", "p"],
    ["limit/stddev"],
    ["min", "max"],
    ["std"],
    ["fan_in", "fan_out"],
    ["limit"],
    ["histogram"],
    ["dtype"],
    ["mean"],
    ["expected std"],
    ["forward gain", "backward gain"],
]


def print_plan(
    plan: Plan, moments: Sequence[Moments | None] | None = None, *, fold: bool = False
) -> None:
    """Print a row for each tensor, with statistics if it was drawn, and a row of totals.

    With `fold`, the tensors of one repeat that are alike share a row.
    """
    columns = [*_PLAN_COLUMNS, *(_DRAWN_COLUMNS if moments else []), *_EXPECTED_COLUMNS]
    found = by_name(plan, moments)
    rows = [Row(tensor.name, tensor, found.get(tensor.name)) for tensor in plan.entries]
    lines = _lines(_folded(rows) if fold else rows, columns)
    parameters, _, nbytes = plan.totals()
    total = f"{parameters:,} parameters, {natural_size(nbytes)}"
    heads = [(head, right) for head, right, _ in columns]
    note_left_out(print_lines(heads, lines, total, _optional({t.dtype for t in plan.entries})))


def _lines(rows: Iterable[Row], columns: Sequence[Column]) -> Iterator[Line]:
    """Write rows, those of tensors that differ in their names only from one of them."""
    written: dict[tuple[int, ...], Cells] = {}
    for row in rows:
        key = row.tensor.likeness
        if row.moments is not None or key not in written:
            written[key] = [text(row) for _, _, text in columns[1:]]
        yield Line(row.name, written[key])


def _optional(dtypes: set[str]) -> Groups:
    return _OPTIONAL if len(dtypes) < 2 else [["dtype"], *_OPTIONAL]


def _folded(rows: list[Row]) -> list[Row]:
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        t = row.tensor
        alike = (t.family or t.name, t.shape, t.dtype, t.distribution, t.fans, t.tied_to)
        groups.setdefault(alike, []).append(row)
    return [_fold(group) for group in groups.values()]


def _fold(group: list[Row]) -> Row:
    first, last = group[0], group[-1]
    if len(group) == 1:
        return first
    texts = re.split(r"\{[^{}]*\}", first.tensor.family)
    pattern = re.compile("(.*?)".join(map(re.escape, texts)))
    found, end = pattern.fullmatch(first.name), pattern.fullmatch(last.name)
    assert found is not None
    assert end is not None
    spans = [
        low if low == high else f"{{{low}..{high}}}"
        for low, high in zip(found.groups(), end.groups(), strict=True)
    ]
    if not all(map(str.isdigit, filter(None, (*found.groups(), *end.groups())))):
        matches = (pattern.fullmatch(row.name) for row in group)
        columns = zip(*(match.groups() for match in matches if match), strict=True)
        spans = [_span(list(dict.fromkeys(column))) for column in columns]
    name = "".join(text + span for text, span in zip(texts, [*spans, ""], strict=True))
    drawn = [row.moments for row in group if row.moments is not None]
    moments = functools.reduce(Moments.merged, drawn) if drawn else None
    return Row(f"{name} x{len(group)}", first.tensor, moments)


def _span(values: list[str]) -> str:
    """Write the values of an index: a range of numbers, or the words."""
    if len(values) == 1:
        return values[0]
    if all(map(str.isdigit, values)) or len(values) > 6:
        return f"{{{values[0]}..{values[-1]}}}"
    return f"{{{','.join(values)}}}"


def _decision(tensor: PlannedTensor) -> str:
    if tensor.tied_to is not None:
        return f"tied to {tensor.tied_to}"
    text = tensor.initializer
    if isinstance(tensor.distribution, Constant) and tensor.arguments:
        text = f"{text}({number(tensor.distribution.value)})"
    if text == "auto" and tensor.fans is not None and isinstance(tensor.distribution, Normal):
        gain = tensor.distribution.stddev * math.sqrt(tensor.fans.fan_in)
        text = f"auto(gain={number(gain)})"
    return f"{text}, not stored" if tensor.skipped else text


def _scale(tensor: PlannedTensor) -> float | None:
    if tensor.tied_to is not None or tensor.kept:
        return None
    return scale_of(tensor.distribution)


def _std(tensor: PlannedTensor) -> float | None:
    is_drawn = tensor.tied_to is None and not tensor.kept
    return tensor.distribution.std(tensor.shape) if is_drawn else None


def print_inspection(found: Inspection) -> None:
    """Print a file's name, what it claims to be, and a row for each tensor."""
    heads = [
        ("name", False), ("shape", False), ("dtype", False), ("fan_in", True), ("fan_out", True),
        ("limit", True), ("min", True), ("max", True), ("mean", True), ("std", True),
        ("histogram", False), ("fits", False), ("p", True), ("claim", False), ("sha256", False),
        ("largest s", True), ("smallest s", True), ("expected s", False), ("rank", True),
    ]  # fmt: skip
    rows = []
    for t in found.tensors:
        fans, m = t.fans, t.moments
        numbers = (m.minimum, m.maximum, m.mean, m.std) if m else (None,) * 4
        row = [t.name, shape_text(t.shape), t.dtype]
        row += [str(fans.fan_in), str(fans.fan_out)] if fans else ["", ""]
        row += [number(glorot_limit(fans) if fans else None), *map(number, numbers)]
        rows.append(
            [
                *row,
                heights(t.histogram),
                _fits(t),
                _p_value(t),
                _agreement(t),
                t.sha256 or "",
                *_singular(t),
            ]
        )
    print(printable(f"{found.path}: {found.format}, {_claim(found)}"))
    shown = [i for i in range(len(heads)) if i < 3 or any(row[i] for row in rows)]
    parameters = sum(math.prod(t.shape) for t in found.tensors)
    nbytes = sum(t.nbytes for t in found.tensors)
    left_out = print_table(
        [heads[i] for i in shown],
        [[row[i] for i in shown] for row in rows],
        f"{parameters:,} parameters, {natural_size(nbytes)}",
        _optional({t.dtype for t in found.tensors}),
    )
    others = [(t.name, t.moments.others) for t in found.tensors if t.moments and t.moments.others]
    for name, counted in others[:_MOST_NAMED]:
        print(printable(f"not finite: {name}: {counted}"))
    if len(others) > _MOST_NAMED:
        print(f"not finite: {len(others) - _MOST_NAMED} more tensors")
    note_left_out(left_out)


def _fits(tensor: InspectedTensor) -> str:
    if tensor.fits is None:
        return ""
    if tensor.moments is not None and tensor.moments.others:
        return tensor.moments.others
    names = [fit.distribution for fit in tensor.fits]
    # A distribution that leaves its scale free says less.
    named = [name for name in names if name not in FREE] or names
    more = f" +{len(named) - 3}" if len(named) > 3 else ""
    if not named:
        other = tensor.start and tensor.start.withheld_by
        nor = f", nor is {other}" if other else ""
        return f"not a known start{nor}" if "float" in tensor.dtype else ""
    padding = tensor.zero_rows
    rows = f"; row {padding[0]} zeros" if padding else ""
    rows = f"; {len(padding)} rows zeros" if len(padding) > 1 else rows
    return ", ".join(named[:3]) + more + rows


def _singular(tensor: InspectedTensor) -> list[str]:
    """Write the singular values' ends, those of a random matrix, and the effective rank."""
    found = tensor.spectrum
    if found is None:
        return ["", "", "", ""]
    low, high = found.expected
    rank = "" if found.effective_rank is None else f"{found.effective_rank:.1f}"
    return [number(found.largest), number(found.smallest), f"{number(low)} to {number(high)}", rank]


def _p_value(tensor: InspectedTensor) -> str:
    """Write the p-value of the best fit, whether it is named or not."""
    found = None if tensor.start is None else tensor.start.p_value
    return "" if found is None else f"{found:.2g}"


def _agreement(tensor: InspectedTensor) -> str:
    if tensor.claim is None or tensor.agrees is None:
        return tensor.claim or ""
    return f"{tensor.claim}: {'agrees' if tensor.agrees else 'DISAGREES'}"


def _claim(found: Inspection) -> str:
    spec = (found.provenance or {}).get("spec")
    if not isinstance(spec, dict):
        return "without provenance"
    return f"claims seed {spec.get('seed')}"


def shape_text(shape: Sequence[int]) -> str:
    """Write a shape as (3, 4)."""
    return "(" + ", ".join(map(str, shape)) + ")"


def number(value: float | None) -> str:
    """Write a number to four significant digits, or nothing."""
    return "" if value is None else f"{value:.4g}"


def _gain(tensor: PlannedTensor, fan: int | None) -> str:
    if fan is None or tensor.tied_to is not None:
        return ""
    std = tensor.distribution.std(tensor.shape)
    return number(fan * std * std)
