"""What is printed for people, fitted to their terminal, and progress; the only importer of rich."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from glorot_cli.errors import printable

Cells = list[str]
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
    lines = [
        [head for head, _ in heads],
        *(row if "".join(row).isprintable() else [*map(printable, row)] for row in rows),
    ]
    if sys.stdout.isatty():
        return _print_on_terminal(heads, lines, total, optional)
    for line in _aligned(heads, lines, len):
        print(line)
    print(total)
    return 0


def note_left_out(count: int) -> None:
    """Say on standard error that columns were left out, if any were."""
    if count:
        columns = "1 column" if count == 1 else f"{count} columns"
        left_out = f"{columns} left out at this width; --json or a pipe shows all"
        print(f"note: {left_out}", file=sys.stderr)


def _aligned(
    heads: list[tuple[str, bool]], lines: list[Cells], width_of: Callable[[str], int]
) -> Iterator[str]:
    widths = _widths(lines, width_of)
    if width_of is len:
        # As format() counts; it is several times faster than what follows.
        sides = zip(widths, heads, strict=True)
        row = (" " * GAP).join(f"{{:{'>' if right else '<'}{w}}}" for w, (_, right) in sides)
        yield from (row.format(*line).rstrip() for line in lines)
        return
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
    texts = [*_aligned([heads[i] for i in shown], cells, cell_len), total]
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
