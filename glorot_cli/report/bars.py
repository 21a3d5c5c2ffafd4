"""Small bars of text: a number against the largest, and a histogram in one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_LENGTHS, _ASCII_LENGTHS = " ▏▎▍▌▋▊▉█", "    ####"
_HEIGHTS, _ASCII_HEIGHTS = " ▁▂▃▄▅▆▇█", " .:-=+*#"


def bar(value: float, top: float, width: int = 8) -> str:
    """Return a bar as long as the value is against `top`, in eighths of a letter."""
    marks = _LENGTHS if _draws_blocks() else _ASCII_LENGTHS
    if not top > 0.0 or not 0.0 <= value <= top:
        return " " * width
    steps = len(marks) - 1
    whole, rest = divmod(round(value / top * steps * width), steps)
    return (marks[steps] * whole + (marks[rest] if rest else "")).ljust(width)


def heights(counts: Sequence[int] | None) -> str:
    """Return a histogram in one line, in blocks or, where the terminal has none, in ASCII.

    What is far below the largest is blank, as the tails of a normal are.
    """
    marks = _HEIGHTS if _draws_blocks() else _ASCII_HEIGHTS
    top = max(counts or (0,))
    if counts is None or top == 0:
        return ""
    return "".join(marks[round(count / top * (len(marks) - 1))] for count in counts)


def _draws_blocks() -> bool:
    return (sys.stdout.encoding or "ascii").lower().replace("-", "").startswith("utf")
