"""torch's `uniform_`, `normal_` and `trunc_normal_`: one MT19937 stream through all of a model.

A request's position is the number of words that were drawn before its tensor, and where half of a
pair of normal values was left over.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from glorot_cli.distributions import (
    Constant,
    Normal,
    Ones,
    Patched,
    TruncatedNormal,
    Uniform,
)
from glorot_cli.dtypes import Array, numpy_dtype
from glorot_cli.streams import mersenne, ranges
from glorot_cli.streams.fused import fused_float32, fused_float64
from glorot_cli.streams.in_order import InOrder
from glorot_cli.streams.ranges import Range
from glorot_cli.streams.request import Draw, Request, check_framework, lazily, refusal
from glorot_cli.streams.scratch import Scratch
from glorot_cli.streams.torch_normal import Place, after, after_few
from glorot_cli.streams.torch_trunc import check_mass, contiguous, draw_rounds, place_after
from glorot_cli.streams.torch_wide import scattered_normals

_WHOLE = Scratch()

NAME = "torch"
CAN = "uniform, normal and truncated normal values, and constants"
LARGEST_SEED = 2**64 - 1


def drawer(request: Request) -> Draw:
    """Return the function that draws a random tensor's elements from a first index on.

    Raises:
        ValueError: if the framework refuses it, or its bits are not known here.
    """
    check_framework(request, NAME, LARGEST_SEED)
    match request.law:
        case Uniform(low=low, high=high):
            return lazily(lambda: _uniform(request, low, high))
        case Normal(centre=centre, stddev=stddev):
            _check_fused(request)
            count, place = math.prod(request.shape), Place(*request.position)
            if request.scattered:
                return lazily(
                    lambda: scattered_normals(_words(request.seed), place, count, centre, stddev)
                )
            return lazily(
                lambda: contiguous(
                    _words(request.seed), place, count, centre, stddev, request.dtype
                )
            )
        case TruncatedNormal():
            _check_fused(request)
            check_mass(request.law)
            law, count, place = request.law, math.prod(request.shape), Place(*request.position)
            return lazily(
                lambda: draw_rounds(_words(request.seed), place, count, law, request.dtype)
            )
    raise refusal(request, NAME, CAN)


def _check_fused(request: Request) -> None:
    if not request.fma:
        raise ValueError(f"the stream {NAME} draws normal values with fma: true only")


def advance(request: Request) -> tuple[int, ...]:
    """Return the position after a tensor.

    Raises:
        ValueError: if the stream cannot draw it.
    """
    place, count = Place(*request.position), math.prod(request.shape)
    law = request.law.law if isinstance(request.law, Patched) else request.law
    match law:
        case Uniform():
            words = count * 2 if request.dtype == "float64" else count
            return place._replace(word=place.word + words)
        case Normal() if request.scattered:
            return after_few(place, count)
        case Normal():
            return after(place, count, request.dtype)
        case TruncatedNormal():
            _check_fused(request)
            check_mass(law)
            return place_after(_words(request.seed), place, count, law, request.dtype)
        case Constant() | Ones():
            return place
    raise refusal(request, NAME, CAN)


@functools.lru_cache(maxsize=2)
def _words(seed: int) -> InOrder:
    """Return the words that all tensors of a seed share."""
    return mersenne.words_of(seed)


def _uniform(request: Request, low: float, high: float) -> Draw:
    begin = Place(*request.position).word
    if request.dtype == "float64":
        return _float64(request, begin, low, high)
    words, held = _words(request.seed), numpy_dtype(request.dtype)
    least, most = np.float32(low), np.float32(high)
    span = np.float32(most - least)
    symmetric = request.fma and least == -most
    first_value, last_value = least.astype(held), most.astype(held)
    if symmetric:
        law = Range(0, 0xFFFFFF, 1 << 23, float(most * np.float32(2.0**-23)))
    else:
        law = Range(0, 0xFFFFFF, 0, 2.0**-24, float(span), float(least), fuses=request.fma)
    if not symmetric or request.dtype != "float32":
        law = law._replace(last=float(last_value), first=float(first_value))
    compiled = ranges.drawer(
        law, (low + high) / 2.0, request.dtype, lambda first, out: words.draw(begin + first, out)
    )
    if compiled is not None:
        return compiled

    def draw(first: int, out: Array) -> None:
        whole = out if out.itemsize == 4 else _WHOLE.array(out.size, np.float32)
        mersenne.draw_fractions(words, begin + first, whole.view(np.uint32))
        for start in range(0, out.size, mersenne.CHUNK):
            part = out[start : start + mersenne.CHUNK]
            values = whole[start : start + mersenne.CHUNK]
            signed = values.view(np.int32)
            if symmetric:
                # fma(x, 2 L, -L) is L * (2 x - 1), whose second factor is exact.
                np.subtract(signed, np.int32(1 << 23), out=signed)
                np.copyto(values, signed, casting="unsafe")
                np.multiply(values, np.float32(most * np.float32(2.0**-23)), out=values)
            else:
                np.copyto(values, signed, casting="unsafe")
                np.multiply(values, np.float32(2.0**-24), out=values)
                if request.fma:
                    fused_float32(values, float(span), float(least), values)
                else:
                    np.multiply(values, span, out=values)
                    np.add(values, least, out=values)
            if whole is not out:
                np.copyto(part, values, casting="unsafe")
            if not symmetric or whole is not out:
                part[part == last_value] = first_value

    return draw


def _float64(request: Request, begin: int, low: float, high: float) -> Draw:
    words, span = _words(request.seed), high - low
    symmetric = request.fma and low == -high

    def draw(first: int, out: Array) -> None:
        mersenne.draw_fractions(words, begin + 2 * first, out.view(np.uint64))
        for start in range(0, out.size, mersenne.CHUNK):
            part = out[start : start + mersenne.CHUNK]
            signed = part.view(np.int64)
            if symmetric:
                np.subtract(signed, np.int64(1 << 52), out=signed)
                np.copyto(part, signed, casting="unsafe")
                np.multiply(part, high * 2.0**-52, out=part)
                continue
            np.copyto(part, signed, casting="unsafe")
            np.multiply(part, 2.0**-53, out=part)
            if request.fma:
                fused_float64(part, span, low, part)
            else:
                np.multiply(part, span, out=part)
                np.add(part, low, out=part)
            part[part == high] = low

    return draw
