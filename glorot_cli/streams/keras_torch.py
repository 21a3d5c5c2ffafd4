"""Keras's initialisers on its torch backend: `torch.rand` from a fresh MT19937, then two steps."""

from __future__ import annotations

import math

import numpy as np

from glorot_cli.distributions import Normal, Uniform
from glorot_cli.dtypes import Array, numpy_dtype
from glorot_cli.streams import mersenne, ranges
from glorot_cli.streams.ranges import Range
from glorot_cli.streams.request import Draw, Request, check_framework, lazily, refusal
from glorot_cli.streams.scratch import Scratch
from glorot_cli.streams.torch_normal import Place, normals

_FRACTIONS = Scratch()

NAME = "keras-torch"
CAN = "uniform values, normal values in float32, and constants"
LARGEST_SEED = 2**64 - 1


def drawer(request: Request) -> Draw:
    """Return the function that draws a random tensor's elements from a first index on.

    Raises:
        ValueError: if the framework refuses it, or its bits are not known here.
    """
    check_framework(request, NAME, LARGEST_SEED)
    match request.law:
        case Uniform(low=low, high=high) if request.dtype in ("float16", "bfloat16"):
            return lazily(lambda: _lower(request, low, high))
        case Uniform(low=low, high=high):
            return lazily(lambda: _uniform(request, low, high))
        case Normal(centre=centre, stddev=stddev) if request.dtype == "float32":
            count = math.prod(request.shape)
            return lazily(
                lambda: normals(mersenne.words_of(request.seed), Place(), count, centre, stddev)
            )
    raise refusal(request, NAME, CAN)


def _uniform(request: Request, low: float, high: float) -> Draw:
    words = mersenne.words_of(request.seed)
    wide = request.dtype == "float64"
    kind = np.float64 if wide else np.float32
    # Scaling by a power of two is exact, so it may come first.
    span, addend = kind(kind(high - low) * kind(2.0 ** (-53 if wide else -24))), kind(low)
    law = Range(0, 0xFFFFFF, 0, float(span), least=float(addend))
    compiled = ranges.drawer(law, (low + high) / 2.0, request.dtype, words.draw)
    if compiled is not None:
        return compiled

    def draw(first: int, out: Array) -> None:
        fractions = out.view(np.uint64 if wide else np.uint32)
        mersenne.draw_fractions(words, first * (2 if wide else 1), fractions)
        for start in range(0, out.size, mersenne.CHUNK):
            part = out[start : start + mersenne.CHUNK]
            signed = part.view(np.int64 if wide else np.int32)
            np.copyto(part, signed, casting="unsafe")
            np.multiply(part, span, out=part)
            np.add(part, addend, out=part)

    return draw


def _lower(request: Request, low: float, high: float) -> Draw:
    words = mersenne.words_of(request.seed)
    held = numpy_dtype(request.dtype)
    span, addend = np.float32(high - low), np.float32(np.float64(low).astype(held))
    law = Range(0, 0xFFFFFF, 0, 2.0**-24, float(span), float(addend), steps=True, wraps=True)
    compiled = ranges.drawer(law, (low + high) / 2.0, request.dtype, words.draw)
    if compiled is not None:
        return compiled

    def draw(first: int, out: Array) -> None:
        fractions = _FRACTIONS.array(out.size, np.uint32)
        mersenne.draw_fractions(words, first, fractions)
        for start in range(0, out.size, mersenne.CHUNK):
            part = out[start : start + mersenne.CHUNK]
            values = fractions[start : start + mersenne.CHUNK].astype(np.float32)
            np.multiply(values, np.float32(2.0**-24), out=values)
            np.copyto(part, values, casting="unsafe")
            np.copyto(values, part, casting="unsafe")
            values[values == 1.0] = 0.0
            np.multiply(values, span, out=values)
            np.copyto(part, values, casting="unsafe")
            np.copyto(values, part, casting="unsafe")
            np.add(values, addend, out=values)
            np.copyto(part, values, casting="unsafe")

    return draw
