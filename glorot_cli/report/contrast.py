"""Tables and JSON of a comparison of initialisers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from glorot_cli.distributions import scale_of
from glorot_cli.gains.comparison import Column, Comparison
from glorot_cli.report.documents import finite
from glorot_cli.report.tables import number, shape_text
from glorot_cli.report.terminal import note_left_out, print_table

Document = dict[str, Any]


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
    if found.spreads is not None:
        document["layers"] = [
            {
                "name": spreads[0].layer,
                "activation_std": [finite(spread.activation) for spread in spreads],
                "gradient_std": [finite(spread.gradient) for spread in spreads],
            }
            for spreads in zip(*found.spreads, strict=True)
        ]
    return document


def _column(column: Column) -> Document:
    return {
        "initializer": column.initializer,
        "limit": getattr(column.distribution, "limit", None),
        "stddev": getattr(column.distribution, "stddev", None),
        "std": column.std,
        "forward_gain": finite(column.forward),
        "backward_gain": finite(column.backward),
        "forward_product": finite(column.forward_product),
        "backward_product": finite(column.backward_product),
    }


def print_comparison(found: Comparison) -> None:
    """Print what each initialiser means for each kernel, one table for each quantity."""
    texts: list[tuple[str, Callable[[Column], str]]] = [
        ("limit or stddev", lambda c: number(scale_of(c.distribution))),
        (
            "forward gain, fan_in x variance (and its product from the first kernel on)",
            lambda c: f"{number(c.forward)} ({number(c.forward_product)})",
        ),
        (
            "backward gain, fan_out x variance (and its product from the last kernel back)",
            lambda c: f"{number(c.backward)} ({number(c.backward_product)})",
        ),
    ]
    tables = []
    for title, text in texts:
        rows = [
            [row.tensor.name, shape_text(row.tensor.shape), *map(text, row.columns)]
            for row in found.rows
        ]
        tables.append((title, ["name", "shape"], rows))
    if found.spreads is not None:
        layers = list(zip(*found.spreads, strict=True))
        for what, key in (("activations", "activation"), ("gradients", "gradient")):
            rows = [
                [spreads[0].layer, *(number(getattr(spread, key)) for spread in spreads)]
                for spreads in layers
            ]
            title = f"std of {what}, of a random batch of {found.batch}"
            tables.append((title, ["layer"], rows))
    # Where not all initialisers fit, the last are left out.
    more = found.names[1:]
    optional = [*(more[:count] for count in range(1, len(more) + 1)), [*more, "shape"]]
    left_out = 0
    for title, firsts, rows in tables:
        print(title)
        heads = [*((head, False) for head in firsts), *((name, True) for name in found.names)]
        left_out = max(left_out, print_table(heads, rows, "", optional))
    note_left_out(left_out)
