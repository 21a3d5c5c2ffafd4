"""Drawing a plan's tensors: the one way from a planned tensor to its elements."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from glorot_cli import streams
from glorot_cli.dtypes import Array, numpy_dtype
from glorot_cli.errors import GlorotError, natural_size, shown
from glorot_cli.fans import Shape
from glorot_cli.moments import Moments
from glorot_cli.plan import Plan, PlannedTensor
from glorot_cli.streams import aes_ctr, slab
from glorot_cli.streams.request import Draw, Request
from glorot_cli.streams.whole import bytes_needed


def drawer(tensor: PlannedTensor) -> Draw:
    """Return the function that fills a flat array with a tensor's elements from an index on."""
    return streams.drawer(tensor.rng, _request(tensor))


class Drawers:
    """Make each tensor's drawer once, and let go of it, with what it keeps, at its last elements.

    `kept` draws the tensors of those names in its own way.
    """

    def __init__(self, kept: Mapping[str, Draw] | None = None) -> None:
        self._kept = kept or {}
        self._made: dict[str, tuple[Draw, int]] = {}
        self._lock = threading.Lock()

    def of(self, tensor: PlannedTensor, count: int) -> Draw:
        """Return a tensor's drawer, from any thread, for the next so many of its elements."""
        if count == tensor.parameters:
            return self._new(tensor)
        with self._lock:
            draw, left = self._made.pop(tensor.name, (None, tensor.parameters))
            draw = draw or self._new(tensor)
            if left > count:
                self._made[tensor.name] = draw, left - count
        return draw

    def _new(self, tensor: PlannedTensor) -> Draw:
        return self._kept.get(tensor.name) or drawer(tensor)


def _request(tensor: PlannedTensor) -> Request:
    return Request(
        tensor.distribution,
        tensor.shape,
        tensor.seed,
        tensor.copy_of or tensor.name,
        tensor.dtype,
        tensor.position,
        tensor.fma,
        replay=tensor.replay,
    )


def is_small(tensor: PlannedTensor) -> bool:
    """Tell whether `draw_small` draws such a tensor."""
    return tensor.rng == streams.DEFAULT and slab.fits(
        tensor.distribution, tensor.dtype, tensor.nbytes
    )


def draw_small(
    tensors: Iterable[PlannedTensor], starts: Sequence[int], out: Array
) -> list[Moments]:
    """Draw small tensors side by side, at their starts in a flat array; return their moments."""
    named = [(t.distribution, t.seed, t.copy_of or t.name) for t in tensors]
    return slab.fill(named, starts, out)


def draw(plan: Plan, name: str) -> Array:
    """Draw one tensor of a plan into memory.

    Raises:
        GlorotError: if the plan has no such tensor (a KeyError as well), or its dtype holds no
            such values.
    """
    tensor = plan[name]
    check(tensor)
    out = np.empty(tensor.parameters, numpy_dtype(tensor.dtype))
    drawer(tensor)(0, out)
    return out.reshape(tensor.shape)


def check_all(tensors: Iterable[PlannedTensor]) -> None:
    """Check what only drawing would find, once for tensors that are alike.

    Raises:
        GlorotError: if a dtype holds no such values, or the memory does not suffice.
    """
    seen: set[tuple[int, str, Shape]] = set()
    for tensor in tensors:
        kind = id(tensor.distribution), tensor.dtype, tensor.shape
        if tensor.rng != streams.DEFAULT or kind not in seen:
            seen.add(kind)
            check(tensor)


def check(tensor: PlannedTensor) -> None:
    """Check what only drawing would find.

    Raises:
        GlorotError: if the dtype holds no such values, or the memory does not suffice.
    """
    try:
        if tensor.rng == streams.DEFAULT:
            aes_ctr.bounds(tensor.distribution, tensor.dtype)
        else:
            streams.drawer(tensor.rng, _request(tensor))
    except ValueError as error:
        raise GlorotError(f"{shown(tensor.name)}: {error}") from None
    needed = bytes_needed(tensor.distribution, tensor.shape)
    if needed:
        free = free_memory()
        if needed > free:
            raise GlorotError(
                f"{shown(tensor.name)}: {tensor.initializer} of shape {list(tensor.shape)} "
                f"needs {natural_size(needed)} of memory, {natural_size(free)} are free"
            )


def free_memory() -> int:
    """Return how many bytes of memory are free."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
