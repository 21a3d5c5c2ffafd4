"""Sequences that can only be drawn from their start on, served at any place all the same."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from glorot_cli.dtypes import Array
from glorot_cli.errors import GlorotError

_SKIPPED = 1 << 18
MOST_STATES = 4096
# Numbers to pass over for one piece, some 20 s.
MOST_PASSED = 2**33


class InOrder:
    """Serve pieces of a sequence of numbers; in order they cost nothing more.

    `generator` has a `state` that can be read and set; `fill` takes the sequence's next numbers
    from it into an array of `dtype`. States on the way are kept, so that a piece from before, or
    one that another thread asks for too early, is found again without a new start.
    """

    def __init__(self, generator: Any, fill: Callable[[Array], None], dtype: Any) -> None:
        self._generator = generator
        self._fill = fill
        self._dtype = np.dtype(dtype)
        self._lock = threading.Lock()
        self._at = 0
        self._places = [0]
        self._states = [generator.state]
        self._apart = _SKIPPED

    def draw(self, first: int, out: Array) -> None:
        """Fill an array with the numbers from a first index on."""
        with self._lock:
            if self._at != first:
                self._seek(first)
            self._take(out)

    def _seek(self, first: int) -> None:
        known = bisect.bisect_right(self._places, first) - 1
        if self._at > first or self._places[known] > self._at:
            self._at, self._generator.state = self._places[known], self._states[known]
        if first - self._at > MOST_PASSED:
            raise GlorotError(
                f"the stream is drawn from its start on, and {first - self._at} numbers come "
                f"before this tensor's; expected at most 2**{MOST_PASSED.bit_length() - 1}"
            )
        if self._at < first:
            # A piece before the one that is asked for is likely to be asked for next.
            self._remember(0)
            passed = np.empty(min(first - self._at, _SKIPPED), self._dtype)
            while self._at < first:
                self._take(passed[: first - self._at])

    def _take(self, out: Array) -> None:
        self._fill(out)
        self._at += out.size
        self._remember(self._apart)

    def _remember(self, apart: int) -> None:
        if self._at <= self._places[-1] + apart or self._at == self._places[-1]:
            return
        self._places.append(self._at)
        self._states.append(self._generator.state)
        if len(self._places) > MOST_STATES:
            del self._places[1::2], self._states[1::2]
            self._apart *= 2
