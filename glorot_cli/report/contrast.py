"""Tables and JSON of what starts do to a network."""

from __future__ import annotations

import math
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from glorot_cli.distributions import scale_of
from glorot_cli.effects.comparison import (
    Column,
    Comparison,
    Effect,
    advice,
    sentence,
)
from glorot_cli.effects.mean_field import LayerEffect
from glorot_cli.effects.measurement import Measured
from glorot_cli.report.bars import bar
from glorot_cli.report.documents import finite
from glorot_cli.report.tables import number, shape_text
from glorot_cli.report.terminal import GAP, print_table

Document = dict[str, Any]
Cells = list[str]


def comparison_document(found: Comparison) -> Document:
    """Return a comparison as JSON's data: for each kernel, what each initialiser means for it."""
    document: Document = {
        "initializers": found.names,
        "kernels": [
            {
                "name": row.tensor.name,
                "shape": list(row.tensor.shape),
                "fan_in": row.tensor.fans.fan_in if row.tensor.fans else None,
                "fan_out": row.tensor.fans.fan_out if row.tensor.fans else None,
                "laws": [_column(column) for column in row.columns],
            }
            for row in found.rows
        ],
        "batch": found.batch,
        "layers": None,
    }
    _multiply(document["kernels"])
    if found.batch is not None:
        document["layers"] = [
            {
                "name": label,
                "activation_std": [_root(m.activation_square) for m in _all(found, label)],
                "gradient_std": [_root(m.gradient_square) for m in _all(found, label)],
            }
            for label in found.effects[0].measured or ()
        ]
    return document


def _multiply(kernels: list[Document]) -> None:
    """Fill in the products of the gains, from the first kernel on and from the last one back."""
    for gain, product, rows in (
        ("forward_gain", "forward_product", kernels),
        ("backward_gain", "backward_product", kernels[::-1]),
    ):
        totals = [1.0] * len(kernels[0]["laws"])
        for row in rows:
            for index, law in enumerate(row["laws"]):
                totals[index] *= law[gain] if law[gain] is not None else math.inf
                law[product] = finite(totals[index])


def _column(column: Column) -> Document:
    return {
        "initializer": column.initializer,
        "limit": getattr(column.distribution, "limit", None),
        "stddev": getattr(column.distribution, "stddev", None),
        "std": column.std,
        "forward_gain": finite(column.forward),
        "backward_gain": finite(column.backward),
    }


def compare_document(found: Comparison) -> list[Document]:
    """Return what each start does to the network, the spec's own first."""
    return [
        {
            "initializer": effect.initializer,
            "layers": [_layer(effect, layer) for layer in effect.theory.layers],
            "activations": effect.activations,
            "gradients": effect.gradients,
            "cuts": list(effect.theory.cuts),
        }
        for effect in found.effects
    ]


def _layer(effect: Effect, layer: LayerEffect) -> Document:
    document: Document = {
        "name": layer.name,
        "activation_std": finite(layer.activation_std),
        "gradient_std": finite(layer.gradient_std),
        "chi": None if layer.chi is None else finite(layer.chi),
        "depth_scale": finite(layer.depth_scale),
        "activation_square": finite(layer.activation_square),
        "gradient_square": finite(layer.gradient_square),
    }
    if effect.measured is not None:
        measured = effect.measured[layer.label]
        document["measured"] = {
            "activation_square": finite(measured.activation_square),
            "activation_error": finite(measured.activation_error),
            "gradient_square": finite(measured.gradient_square),
            "gradient_error": finite(measured.gradient_error),
        }
    return document


def _all(found: Comparison, label: str) -> list[Measured]:
    return [effect.measured[label] for effect in found.effects if effect.measured is not None]


def _root(square: float) -> float | None:
    return finite(math.sqrt(square)) if square >= 0.0 else None


def print_comparison(found: Comparison) -> None:
    """Print the scale of each kernel, then what each start does at each layer, then in words."""
    texts: list[tuple[str, Callable[[Column], str]]] = [
        ("std of the kernel", lambda c: number(c.std)),
    ]
    if not found.effects:
        texts += [
            ("limit or stddev", lambda c: number(scale_of(c.distribution))),
            ("fan_in x variance", lambda c: number(c.forward)),
            ("fan_out x variance", lambda c: number(c.backward)),
        ]
    for title, text in texts:
        rows = [
            [row.tensor.name, shape_text(row.tensor.shape), *map(text, row.columns)]
            for row in found.rows
        ]
        _print_columns(title, ["name", "shape"], found.names, rows)
    if not found.effects:
        return
    quantities: list[tuple[str, Callable[[LayerEffect], float | None]]] = [
        ("std of activations, in the wide limit", lambda layer: layer.activation_std),
        ("std of gradients, in the wide limit", lambda layer: layer.gradient_std),
        ("chi, the factor of a gradient's squared length", lambda layer: layer.chi),
        ("xi, the layers over which a gradient changes by e", lambda layer: layer.depth_scale),
    ]
    by_name = [effect.by_name for effect in found.effects]
    for title, quantity in quantities if found.layers else ():
        tops = [max((quantity(x) or 0.0 for x in each.values()), default=0.0) for each in by_name]
        rows = []
        for name in found.layers:
            at = [each.get(name) for each in by_name]
            values = [None if x is None else quantity(x) for x in at]
            cells = [_with_bar(value, top) for value, top in zip(values, tops, strict=True)]
            rows.append([name, *cells])
        _print_columns(title, ["layer"], found.names, rows)
    if found.batch is not None:
        for what in ("activation", "gradient"):
            title = f"root mean square of {what}s, measured: a batch of {found.batch}"
            title += f", {found.seeds} seeds" if found.seeds > 1 else ""
            rows = [
                [label, *(_measured(m, what) for m in _all(found, label))]
                for label in found.effects[0].measured or ()
            ]
            _print_columns(title, ["layer"], found.names, rows)
    sentences = [sentence(effect) for effect in found.effects if effect.theory.layers]
    sentences += filter(None, [advice(found)])
    for line in sentences:
        print(textwrap.fill(line, _room() or sys.maxsize, subsequent_indent="  "))


def _with_bar(value: float | None, top: float) -> str:
    if value is None or math.isnan(value):
        return ""
    if not sys.stdout.isatty() or not math.isfinite(value):
        return number(value)
    return f"{number(value)} {bar(value, top)}"


def _measured(measured: Measured, what: str) -> str:
    square = measured.activation_square if what == "activation" else measured.gradient_square
    error = measured.activation_error if what == "activation" else measured.gradient_error
    if square < 0.0 or not math.isfinite(square):
        return number(None)
    root = math.sqrt(square)
    return f"{number(root)} ±{number(error / (2.0 * root))}" if error and root else number(root)


def _room() -> int | None:
    """Return how wide the terminal is, None where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _print_columns(title: str, heads: Cells, names: Sequence[str], rows: list[Cells]) -> None:
    """Print a table, or several below each other where not all columns fit on the terminal."""
    firsts = len(heads)
    room = _room()
    widths = [
        max(len(text) for text in (name, *(row[firsts + index] for row in rows)))
        for index, name in enumerate(names)
    ]
    own = sum(max(len(row[index]) for row in [heads, *rows]) + GAP for index in range(firsts))
    start = 0
    while start < len(names):
        end, used = start + 1, own + widths[start]
        while end < len(names) and (room is None or used + GAP + widths[end] <= room):
            used += GAP + widths[end]
            end += 1
        print(title if start == 0 else f"{title}, continued")
        shown = [*((head, False) for head in heads), *((name, True) for name in names[start:end])]
        part = [[*row[:firsts], *row[firsts + start : firsts + end]] for row in rows]
        print_table(shown, part, "")
        start = end
