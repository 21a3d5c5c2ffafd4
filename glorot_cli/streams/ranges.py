"""Uniform values of the frameworks by the compiled loops: a word's bits, a step, a span, an end.

The NumPy code of each stream defines the bits; `Range` says what all of them have in common.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from glorot_cli.dtypes import Array
from glorot_cli.moments import Moments
from glorot_cli.streams import kernels
from glorot_cli.streams.request import Draw
from glorot_cli.streams.scratch import Scratch

_WORDS = Scratch()

_DTYPES = ("float32", "float16", "bfloat16")


class Range(NamedTuple):
    """Hold how a word becomes a value: `(word >> shift & mask) - offset`, times `scale`.

    That is multiplied by `span` and added to `least`: at once where it `fuses`, and with each step
    rounded to the dtype where it goes in `steps`, of which the first makes 1 to 0 if it `wraps`.
    What is below `floor` becomes that, and what is `last`, once rounded, becomes `first`. All
    numbers are of float32.
    """

    shift: int
    mask: int
    offset: int
    scale: float
    span: float = 1.0
    least: float = -0.0  # which adds nothing, not even to a sign
    fuses: bool = False
    steps: bool = False
    floor: float = -math.inf
    last: float = math.nan
    first: float = 0.0
    wraps: bool = False


def drawer(
    law: Range, mean: float, dtype: str, fill_words: Callable[[int, Array], None]
) -> Draw | None:
    """Return a drawer by the compiled loops, or None where there are none, or not of the dtype.

    `fill_words` writes the stream's words, uint32, from an index on; `mean` is the values', about
    which their moments are taken.
    """
    found = kernels.kernels()
    # Without end, 0 times it is no number, of which the loops know nothing.
    finite = all(map(math.isfinite, (law.scale, law.span, law.least)))
    if found is None or dtype not in _DTYPES or not finite:
        return None
    about = float(np.float32(mean))
    code, run, number = kernels.CODES[dtype], found.module.range, found.number

    def draw(first: int, out: Array) -> Moments | None:
        # The words lie where their values go, if both take as many bytes.
        words = out.view(np.uint32) if out.itemsize == 4 else _WORDS.array(out.size, np.uint32)
        fill_words(first, words)
        return kernels.measured(
            out.size, about, *run(number, words, out.view(np.uint8), code, *law, about)
        )

    return draw
