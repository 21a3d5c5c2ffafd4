"""The table of several results of one run: a row for each, and the totals of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from glorot_cli.errors import natural_size
from glorot_cli.plan import Plan
from glorot_cli.report.terminal import Groups, note_left_out, print_table


class Row(NamedTuple):
    """Hold a result: where it went, and what it is of."""

    output: str
    spec: str
    seed: int
    dtype: str
    tensors: int
    parameters: int
    nbytes: int

    @classmethod
    def of(cls, output: str, spec: str, seed: int, dtype: str, plan: Plan) -> Row:
        """Take the counts from a plan, and let go of it."""
        parameters = sum(tensor.parameters for tensor in plan.tensors)
        nbytes = sum(tensor.nbytes for tensor in plan.tensors)
        return cls(output, spec, seed, dtype, len(plan.tensors), parameters, nbytes)


# A column's head, whether numbers stand in it, and its text for a row.
_COLUMNS: list[tuple[str, bool, Callable[[Row], str]]] = [
    ("output", False, lambda row: row.output),
    ("spec", False, lambda row: row.spec),
    ("seed", True, lambda row: str(row.seed)),
    ("dtype", False, lambda row: row.dtype),
    ("tensors", True, lambda row: f"{row.tensors:,}"),
    ("parameters", True, lambda row: f"{row.parameters:,}"),
    ("size", True, lambda row: natural_size(row.nbytes)),
]
# The columns that a narrow terminal may leave out, the most important first.
_OPTIONAL: Groups = [["seed"], ["dtype"], ["size"], ["parameters"], ["spec"], ["tensors"]]


def print_results(rows: Sequence[Row]) -> None:
    """Print a row for each result, and a last line of totals."""
    parameters, nbytes = sum(row.parameters for row in rows), sum(row.nbytes for row in rows)
    count = "1 result" if len(rows) == 1 else f"{len(rows):,} results"
    total = f"{count}, {parameters:,} parameters, {natural_size(nbytes)}"
    heads = [(head, right) for head, right, _ in _COLUMNS]
    cells = [[text(row) for _, _, text in _COLUMNS] for row in rows]
    note_left_out(print_table(heads, cells, total, _OPTIONAL))
