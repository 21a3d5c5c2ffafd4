"""The compiled inner loops, where they were built: NumPy's bits in one pass, with the moments.

`GLOROT_KERNELS=off` leaves them out, and the name of an instruction set chooses it. Nothing here
defines a bit: the NumPy code of `aes_ctr`, `quantile` and `float8` does.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import numpy as np

from glorot_cli.distributions import Distribution, Normal, TruncatedNormal, Uniform
from glorot_cli.dtypes import PRECISIONS, Array, largest_within, numpy_dtype
from glorot_cli.errors import GlorotError, shown
from glorot_cli.fans import Shape
from glorot_cli.moments import Moments
from glorot_cli.streams import quantile
from glorot_cli.streams.float8 import table
from glorot_cli.streams.request import Draw
from glorot_cli.streams.scratch import Scratch

_WORDS = Scratch()

# So many words stay in a core's second cache until they are values.
WORDS = 1 << 18
# Within these the squares of float32 neither overflow nor vanish; beyond, NumPy scales them.
LEAST_STD, MOST_STD = 1e-15, 1e15

# The loops' names of the dtypes that they draw.
CODES = {"float32": 0, "float16": 2, "bfloat16": 3, "float8_e4m3fn": 4, "float8_e5m2": 4}
_NOTHING = b""


class Kernels(NamedTuple):
    """Hold the compiled module and the instruction set that it is to use."""

    module: ModuleType
    number: int
    name: str


@functools.cache
def kernels() -> Kernels | None:
    """Return what was built, or None where nothing was or `GLOROT_KERNELS` is `off`.

    Raises:
        GlorotError: if `GLOROT_KERNELS` names an instruction set that this processor has not.
    """
    asked = os.environ.get("GLOROT_KERNELS", "")
    if asked == "off":
        return None
    try:
        from glorot_cli.streams import _kernels
    except ImportError:
        sets: list[tuple[int, str]] = []
    else:
        sets = _kernels.sets()
    for number, name in sets:
        if asked in ("", name):
            return Kernels(_kernels, number, name)
    if asked:
        known = ", ".join(["off", *(name for _, name in sets)])
        raise GlorotError(f"GLOROT_KERNELS: expected one of {known}, found {shown(asked)}")
    return None


def drawer(
    distribution: Distribution,
    shape: Shape,
    dtype: str,
    bounds: tuple[float, float],
    fill_words: Callable[[int, Array], None],
) -> Draw | None:
    """Return a drawer by the compiled loops, or None for what they do not draw.

    `fill_words` writes the stream's words from an index on; `bounds` are the smallest and the
    largest value that the dtype and the distribution allow.
    """
    found = kernels()
    if found is None or dtype not in CODES:
        return None
    tables = _float8(dtype) if dtype.startswith("float8") else (_NOTHING, _NOTHING)
    about = float(np.float32(distribution.mean(shape)))
    code, (low, high) = CODES[dtype], bounds
    clips = int(dtype != "float32" or not isinstance(distribution, Normal))
    match distribution:
        case Uniform(limit=None):
            # Scaled in float64, centred, and rounded once.
            half = (distribution.high - distribution.low) / 2.0 * 2.0**-31
            centre = (distribution.low + distribution.high) / 2.0
            arguments = (0.0, half, centre, clips, low, high, about, *tables)
            run = functools.partial(found.module.uniform, found.number)
        case Uniform():
            scale = largest_within(distribution.high, "float32") * 2.0**-31
            clips = int(dtype != "float32")
            arguments = (scale, 0.0, 0.0, clips, low, high, about, *tables)
            run = functools.partial(found.module.uniform, found.number)
        case Normal() | TruncatedNormal(low=-2.0, high=2.0):
            if abs(distribution.centre) + 6.4 * distribution.stddev > PRECISIONS["float32"].largest:
                return None
            lines, tail = _lines(isinstance(distribution, Normal))
            arguments = (
                lines, tail, distribution.stddev, distribution.centre, clips, low, high, about,
                *tables,
            )  # fmt: skip
            run = functools.partial(found.module.normal, found.number)
        case _:
            return None
    std = distribution.std(shape)

    def draw(first: int, out: Array) -> Moments | None:
        if out.itemsize == 4:  # the words lie where their values go
            return loop(first, out, out.view(np.int32))
        moments: list[Moments | None] = []
        for start in range(0, out.size, WORDS):
            part = out[start : start + WORDS]
            moments.append(loop(first + start, part, _WORDS.array(part.size, np.int32)))
        return Moments.joined(moments)

    def loop(first: int, out: Array, words: Array) -> Moments | None:
        fill_words(first, words)
        sums = run(words, out.view(np.uint8), code, *arguments)
        return measured(out.size, about, *sums) if LEAST_STD < std < MOST_STD else None

    return draw


def measured(
    count: int, about: float, least: float, most: float, total: float, squares: float
) -> Moments | None:
    """Return the moments of what the loops drew, or None where float32 does not hold the sums."""
    largest = max(-least, most, abs(about))
    if not (LEAST_STD < largest < MOST_STD or largest == 0.0):
        return None
    return Moments.of_sums(count, least, most, about, total, squares)


@functools.cache
def _lines(whole: bool) -> tuple[Array, Array]:
    lines = quantile.normal_lines() if whole else quantile.truncated_lines()
    return lines.view(np.float64).view(np.uint8), quantile.tail_rows().view(np.uint8)


@functools.cache
def _float8(dtype: str) -> tuple[Array, Array]:
    values = np.arange(256, dtype=np.uint8).view(numpy_dtype(dtype)).astype(np.float32)
    return table(dtype), values.view(np.uint8)
