"""`jax.random.uniform` on a CPU: a word of Threefry for each element, in any order."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from glorot_cli.dtypes import PRECISIONS, Array, numpy_dtype
from glorot_cli.streams import ranges, threefry
from glorot_cli.streams.fused import fused_float32, fused_float64
from glorot_cli.streams.ranges import Range
from glorot_cli.streams.request import Draw
from glorot_cli.streams.scratch import Scratch

_VALUES = Scratch()
_WORDS = Scratch()

# Where in a word the random bits of a fraction lie: by how much it is shifted, then the mask.
_PLACES = {
    "float32": (9, 0x7FFFFF), "float64": (12, 2**52 - 1), "float16": (6, 0x3FF),
    "bfloat16": (1, 0x7F),
}  # fmt: skip


def uniform(key: threefry.Key, low: float, high: float, dtype: str, fma: bool) -> Draw:
    """Draw `jax.random.uniform(key, shape, dtype, low, high)`."""
    held = numpy_dtype(dtype)
    least, most = _cast(low, held), _cast(high, held)
    if dtype in ("float16", "bfloat16"):
        return _in_steps(key, least, most, dtype)
    if fma and least == -most:
        # fma(f, 2 L, -L) is L * (2 f - 1), whose second factor is exact.
        return scaled(key, most, dtype)
    unit, kind = _unit(key, dtype), held.type
    span = kind(most) - kind(least)
    step = 2.0 ** -PRECISIONS[dtype].fraction
    law = Range(*_PLACES[dtype], 0, step, float(span), least, fuses=fma, floor=least)
    compiled = _compiled(key, law, (low + high) / 2.0, dtype)
    if compiled is not None:
        return compiled

    def draw(first: int, out: Array) -> None:
        for start in range(0, out.size, threefry.CHUNK):
            part = out[start : start + threefry.CHUNK]
            unit(first + start, part)
            if not fma:
                np.multiply(part, span, out=part)
                np.add(part, kind(least), out=part)
            elif dtype == "float32":
                fused_float32(part, float(span), least, part)
            else:
                fused_float64(part, float(span), least, part)
            np.maximum(part, kind(least), out=part)

    return draw


def scaled(key: threefry.Key, scale: float, dtype: str) -> Draw:
    """Draw `jax.random.uniform(key, shape, dtype, -1) * scale`, with a scale of that dtype."""
    bits = PRECISIONS[dtype].fraction
    held = numpy_dtype(dtype)
    factor = scale * 2.0 ** (1 - bits)
    law = Range(*_PLACES[dtype], 1 << (bits - 1), factor)
    compiled = _compiled(key, law, 0.0, dtype)
    if compiled is not None:
        return compiled

    def draw(first: int, out: Array) -> None:
        for start in range(0, out.size, threefry.CHUNK):
            part = out[start : start + threefry.CHUNK]
            words = _fractions(key, first + start, part.size, dtype)
            signed = words.view(np.int64 if words.itemsize == 8 else np.int32)
            np.subtract(signed, signed.dtype.type(1 << (bits - 1)), out=signed)
            if part.itemsize >= 4:
                np.copyto(part, signed, casting="unsafe")
                np.multiply(part, held.type(factor), out=part)
            else:
                # Exact in float32: both factors are short.
                values = signed.astype(np.float32)
                np.multiply(values, np.float32(factor), out=values)
                np.copyto(part, values, casting="unsafe")

    return draw


def _compiled(key: threefry.Key, law: Range, about: float, dtype: str) -> Draw | None:
    return ranges.drawer(law, about, dtype, functools.partial(threefry.fill_words, key))


def _in_steps(key: threefry.Key, least: float, most: float, dtype: str) -> Draw:
    """Multiply and add in float32, each rounded to the dtype."""
    held = numpy_dtype(dtype)
    unit, span = _unit(key, dtype), np.float32(_cast(most - least, held))
    step = 2.0 ** -PRECISIONS[dtype].fraction
    law = Range(*_PLACES[dtype], 0, step, float(span), least, steps=True, floor=least)
    compiled = _compiled(key, law, (least + most) / 2.0, dtype)
    if compiled is not None:
        return compiled

    def draw(first: int, out: Array) -> None:
        for start in range(0, out.size, threefry.CHUNK):
            part = out[start : start + threefry.CHUNK]
            values = _VALUES.array(part.size, np.float32)
            unit(first + start, values)
            np.multiply(values, span, out=values)
            np.copyto(part, values, casting="unsafe")
            np.copyto(values, part, casting="unsafe")
            np.add(values, np.float32(least), out=values)
            np.maximum(values, np.float32(least), out=values)
            np.copyto(part, values, casting="unsafe")

    return draw


def _unit(key: threefry.Key, dtype: str) -> Draw:
    """Draw [0, 1): into float32 for the lower precisions."""
    step = 2.0 ** -PRECISIONS[dtype].fraction

    def draw(first: int, out: Array) -> None:
        words = _fractions(key, first, out.size, dtype)
        np.copyto(out, words, casting="unsafe")
        np.multiply(out, out.dtype.type(step), out=out)

    return draw


def _fractions(key: threefry.Key, first: int, size: int, dtype: str) -> Array:
    """Draw the integers whose bits are the fraction's; lower precisions keep a word's low bits."""
    if dtype == "float64":
        words = _WORDS.array(size, np.uint64)
        threefry.fill_words64(key, first, words)
        np.right_shift(words, np.uint64(12), out=words)
        return words
    words = _WORDS.array(size, np.uint32)
    threefry.fill_words(key, first, words)
    if dtype == "float32":
        np.right_shift(words, np.uint32(9), out=words)
    elif dtype == "float16":
        np.bitwise_and(words, np.uint32(0xFFFF), out=words)
        np.right_shift(words, np.uint32(6), out=words)
    else:
        np.bitwise_and(words, np.uint32(0xFF), out=words)
        np.right_shift(words, np.uint32(1), out=words)
    return words


def _cast(value: float, dtype: np.dtype[Any]) -> float:
    return float(np.float64(value).astype(dtype))
