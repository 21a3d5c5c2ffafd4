"""MT19937 as torch uses it: 32-bit words in order, from a seed's low 32 bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from glorot_cli.dtypes import Array
from glorot_cli.streams.in_order import InOrder
from glorot_cli.streams.kernels import Kernels, kernels
from glorot_cli.streams.scratch import Scratch

_HALVES = Scratch()

CHUNK = 1 << 16


def words_of(seed: int) -> InOrder:
    """Return the words of a seed, uint32."""
    state: Any = np.random.RandomState(seed & 0xFFFFFFFF).get_state(legacy=False)
    found = kernels()
    if found is not None:
        compiled = _Compiled(found, np.append(state["state"]["key"], state["state"]["pos"]))
        return InOrder(compiled, compiled.fill, np.uint32)
    bits = np.random.MT19937(0)
    bits.state = {"bit_generator": "MT19937", "state": state["state"]}
    generator = np.random.Generator(bits)

    def fill(out: Array) -> None:
        for start in range(0, out.size, CHUNK):
            part = out[start : start + CHUNK]
            part[:] = generator.integers(0, 2**32, part.size, dtype=np.uint32)

    return InOrder(bits, fill, np.uint32)


class _Compiled:
    """Hold the 624 words of a state, and behind them how many are used up."""

    def __init__(self, found: Kernels, state: Array) -> None:
        self._kernels = found
        self._state = state.astype(np.uint32)

    @property
    def state(self) -> bytes:
        return self._state.tobytes()

    @state.setter
    def state(self, state: bytes) -> None:
        self._state = np.frombuffer(state, np.uint32).copy()

    def fill(self, out: Array) -> None:
        self._kernels.module.mersenne(self._kernels.number, self._state, out)


def draw_fractions(words: InOrder, first: int, out: Array) -> None:
    """Fill an array with integers below 2**24, or for float64 below 2**53, from a first word on.

    `out` is uint32 or uint64; one of those takes two words, the first of them the high one. Ask for
    a whole block at once: threads that take turns within blocks would make each other start anew.
    """
    if out.itemsize == 4:
        words.draw(first, out)
        np.bitwise_and(out, np.uint32(0xFFFFFF), out=out)
        return
    halves = _HALVES.array(2 * out.size, np.uint32)
    words.draw(first, halves)
    np.copyto(out, halves[0::2])
    np.left_shift(out, np.uint64(32), out=out)
    np.bitwise_or(out, halves[1::2], out=out)
    np.bitwise_and(out, np.uint64(2**53 - 1), out=out)
