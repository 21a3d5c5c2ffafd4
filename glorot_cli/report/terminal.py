"""What is printed for people, fitted to their terminal, and progress; the only importer of rich."""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from glorot_cli.errors import printable

Cells = list[str]


class Line(NamedTuple):
    """Hold the first cell of a table's line, and the others, which lines may share."""

    first: str
    rest: Cells


# Columns that stand and fall together.
Groups = Sequence[Sequence[str]]

GAP = 2
_INDENT = " " * 4
# A space within a cell, where a line is not to be broken; no printable text has it.
_BOUND = "\xa0"
PROGRESS_SECONDS = 1.0


def print_table(
    heads: list[tuple[str, bool]], rows: list[Cells], total: str, optional: Groups = ()
) -> int:
    """Print rows below heads, which say whether numbers stand in the column, and a last line.

    A terminal too narrow for all columns gets those of `optional` that fit, the first ones first.
    Returns how many columns were left out.
    """
    return print_lines(heads, (Line(first, rest) for first, *rest in rows), total, optional)


def print_lines(
    heads: list[tuple[str, bool]], rows: Iterable[Line], total: str, optional: Groups = ()
) -> int:
    """Print a table of many rows, of which most share all cells but the first."""
    first, *others = (head for head, _ in heads)
    lines = [Line(first, others), *_printable(rows)]
    if sys.stdout.isatty():
        return _print_on_terminal(heads, [[first, *rest] for first, rest in lines], total, optional)
    _print_texts(_aligned(heads, lines))
    print(total)
    return 0


def _printable(rows: Iterable[Line]) -> Iterator[Line]:
    cells: dict[int, tuple[Cells, Cells]] = {}
    for first, rest in rows:
        if id(rest) not in cells:
            cells[id(rest)] = rest, [*map(printable, rest)]
        yield Line(printable(first), cells[id(rest)][1])


def note_left_out(count: int) -> None:
    """Say on standard error that columns were left out, if any were."""
    if count:
        columns = "1 column" if count == 1 else f"{count} columns"
        left_out = f"{columns} left out at this width; --json or a pipe shows all"
        print(f"note: {left_out}", file=sys.stderr)


def _print_texts(texts: Iterator[str]) -> None:
    while some := list(itertools.islice(texts, 1000)):
        print("\n".join(some))


def _aligned(heads: Sequence[tuple[str, bool]], lines: list[Line]) -> Iterator[str]:
    """Write lines as format() counts, which is far faster than what a terminal needs."""
    rests = {id(line.rest): line.rest for line in lines}
    sides = zip(_widths([*rests.values()], len), heads[1:], strict=True)
    row = "".join(f"{' ' * GAP}{{:{'>' if right else '<'}{w}}}" for w, (_, right) in sides)
    texts = {key: row.format(*rest).rstrip() for key, rest in rests.items()}
    width = max(len(line.first) for line in lines)
    for first, rest in lines:
        text = texts[id(rest)]
        yield first.ljust(width) + text if text else first


def _padded(
    heads: Sequence[tuple[str, bool]], lines: list[Cells], width_of: Callable[[str], int]
) -> Iterator[str]:
    """Write lines as a terminal shows them, which has characters of several widths."""
    widths = _widths(lines, width_of)
    for line in lines:
        text = ""
        for cell, width, (_, right) in zip(line, widths, heads, strict=True):
            blank = " " * (width - width_of(cell))
            text += (blank + cell if right else cell + blank) + " " * GAP
        yield text.rstrip()


def _widths(lines: list[Cells], width_of: Callable[[str], int]) -> list[int]:
    return [max(map(width_of, column)) for column in zip(*lines, strict=True)]


def _print_on_terminal(
    heads: list[tuple[str, bool]], lines: list[Cells], total: str, optional: Groups
) -> int:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    room = console.width
    shown = _fitting([head for head, _ in heads], _widths(lines, cell_len), optional, room)
    # A cell that fits on a line of its own is not broken.
    whole = room - len(_INDENT)
    cells = [
        [line[i].replace(" ", _BOUND) if cell_len(line[i]) <= whole else line[i] for i in shown]
        for line in lines
    ]
    texts = [*_padded([heads[i] for i in shown], cells, cell_len), total]
    for index, text in enumerate(texts):
        style = "" if index else "bold"
        for line in _broken(text, room) if cell_len(text) > room else [text]:
            console.print(Text(line.replace(_BOUND, " "), style), soft_wrap=True)
    return len(heads) - len(shown)


def _fitting(heads: Cells, widths: list[int], optional: Groups, room: int) -> list[int]:
    """Return the places of the columns that a line of that length has room for."""
    shown = [i for i, head in enumerate(heads) if not any(head in group for group in optional)]
    for group in optional:
        more = sorted({*shown, *(i for i, head in enumerate(heads) if head in group)})
        if sum(widths[i] + GAP for i in more) - GAP <= room:
            shown = more
    return shown


def _broken(text: str, room: int) -> list[str]:
    """Break a line that is too long between words; a word that is too long stays whole."""
    return textwrap.wrap(
        text, room, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False
    )


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
