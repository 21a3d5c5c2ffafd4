"""What a weight file holds, whoever wrote it: statistics of each tensor, and the law it fits."""

from __future__ import annotations

import functools
import json
import math
import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from glorot_cli.dtypes import ITEM_SIZES, PRECISIONS
from glorot_cli.errors import GlorotError
from glorot_cli.fans import FanRule, Fans, Shape, check_axes, count_fans, glorot_limit
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.stored import BLOCK_BYTES, StoredFile, StoredTensor, block_count, read_block
from glorot_cli.moments import Moments
from glorot_cli.plan import PlannedTensor, is_selected, make_plan
from glorot_cli.spec import load_spec

# Whose order of axes to suppose where nobody says: most such files are that framework's.
_USUAL_RULE: dict[str, FanRule] = {
    "safetensors": "torch",
    "keras": "keras",
    "h5": "keras",
    "npy": "keras",
    "npy-folder": "keras",
}

# Chances of a false "other" for a true law: about 1e-6 for each of the four conditions.
_SIGMAS = 5.0
_LOG_CHANCE = 14.0


@dataclass(frozen=True, slots=True)
class InspectedTensor:
    """Hold what a file holds under a name; `moments` is None where there are no numbers to read."""

    name: str
    shape: Shape
    dtype: str
    nbytes: int
    fans: Fans | None
    moments: Moments | None
    fits: str | None


@dataclass(frozen=True, slots=True)
class Inspection:
    """Hold what `inspect_weights` found: the provenance is as the file claims it, or None."""

    path: str
    format: str
    provenance: dict[str, Any] | None
    tensors: list[InspectedTensor]


def inspect_weights(
    path: str | os.PathLike[str],
    *,
    fans: FanRule | None = None,
    axes: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    workers: int | None = None,
) -> Inspection:
    """Read a weight file in blocks and say of each tensor what it holds and which law it fits.

    Fans are the plan's where the file says which spec made it. Otherwise `axes` gives the roles of
    kernels of that rank, or `fans` a framework's rule (default: torch's for .safetensors, Keras's
    for the rest). `include` and `exclude` are globs on names.

    Raises:
        FormatError: if the file cannot be read.
    """
    file = read_headers(path)
    provenance = _provenance(file)
    planned = _planned(provenance, file.format)
    if axes is not None:
        _check_letters(axes)
    rule = fans or ("exact" if axes else _USUAL_RULE[file.format])
    chosen = [
        (tensor, planned.get(tensor.name))
        for tensor in file.tensors
        if is_selected(_name(tensor, planned), include, exclude)
    ]
    moments = _all_moments(file, chosen, workers)
    tensors = []
    for (tensor, plan), found in zip(chosen, moments, strict=True):
        count = _fans(tensor.shape, rule, axes) if plan is None or fans or axes else plan.fans
        name = tensor.name if plan is None else plan.name
        law = None if found is None else fit(found, count, tensor.dtype)
        tensors.append(
            InspectedTensor(name, tensor.shape, tensor.dtype, tensor.nbytes, count, found, law)
        )
    return Inspection(os.fspath(file.path), file.format, provenance, tensors)


def _check_letters(axes: str) -> None:
    try:
        check_axes(axes, (1,) * len(axes))
    except ValueError as error:
        raise GlorotError(f"axes: {error}") from None


def fit(moments: Moments, fans: Fans | None, dtype: str) -> str:
    """Name the law that the moments allow: zeros, ones, constant, glorot_uniform or other."""
    if moments.minimum == moments.maximum:
        return {0.0: "zeros", 1.0: "ones"}.get(moments.minimum, "constant")
    if fans is not None and _is_uniform(moments, glorot_limit(fans), dtype):
        return "glorot_uniform"
    return "other"


def _is_uniform(moments: Moments, limit: float, dtype: str) -> bool:
    n = moments.count
    mean = moments.centre + moments.total / n
    square = moments.squares / n + 2.0 * moments.centre * moments.total / n + moments.centre**2
    extreme = max(-moments.minimum, moments.maximum)
    rounding = 2.0 ** -PRECISIONS[dtype].fraction if dtype in PRECISIONS else 0.0
    return (
        extreme <= limit * (1.0 + rounding)
        and extreme >= limit * (1.0 - _LOG_CHANCE / n - rounding)
        and abs(mean) <= _SIGMAS * limit / math.sqrt(3.0 * n)
        and abs(square - limit * limit / 3.0)
        <= (_SIGMAS * math.sqrt(4.0 / 45.0 / n) + rounding) * limit * limit
    )


def _provenance(file: StoredFile) -> dict[str, Any] | None:
    try:
        claim = json.loads(file.provenance)
    except (TypeError, ValueError, RecursionError):
        return None
    return claim if isinstance(claim, dict) else None


def _planned(provenance: dict[str, Any] | None, format: str) -> dict[str, PlannedTensor]:
    """Make the plan of a file's provenance again, by the names that the format stores."""
    if provenance is None or not isinstance(provenance.get("spec"), dict):
        return {}
    try:
        tensors = make_plan(load_spec(provenance["spec"])).tensors
    except GlorotError:
        return {}
    return {t.group if format == "keras" and t.group else t.name: t for t in tensors}


def _name(tensor: StoredTensor, planned: dict[str, PlannedTensor]) -> str:
    plan = planned.get(tensor.name)
    return tensor.name if plan is None else plan.name


def _fans(shape: Shape, rule: FanRule, axes: str | None) -> Fans | None:
    if len(shape) < 2:
        return None
    try:
        if axes is not None:
            check_axes(axes, shape)
        return count_fans(rule, shape, axes)
    except ValueError:
        return None


def _all_moments(
    file: StoredFile,
    chosen: list[tuple[StoredTensor, PlannedTensor | None]],
    workers: int | None,
) -> list[Moments | None]:
    local = threading.local()

    def moments_of(task: tuple[StoredTensor, int]) -> Moments:
        tensor, index = task
        if not hasattr(local, "buffer"):
            local.buffer = np.empty(BLOCK_BYTES, np.uint8)
        if tensor.slabs is not None:
            return _merged(map(_moments, tensor.slabs()))
        return _moments(read_block(file, tensor, index, local.buffer))

    readable = [tensor.nbytes > 0 and _is_readable(tensor) for tensor, _ in chosen]
    tasks = [
        (tensor, index)
        for (tensor, _), numbers in zip(chosen, readable, strict=True)
        if numbers
        for index in range(1 if tensor.slabs is not None else block_count(tensor))
    ]
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        found = pool.map(moments_of, tasks)
        return [
            _merged(next(found) for _ in range(1 if t.slabs is not None else block_count(t)))
            if numbers
            else None
            for (t, _), numbers in zip(chosen, readable, strict=True)
        ]


def _merged(parts: Iterable[Moments]) -> Moments:
    return functools.reduce(Moments.merged, parts)


def _is_readable(tensor: StoredTensor) -> bool:
    return tensor.dtype in ITEM_SIZES


def _moments(block: np.ndarray[Any, np.dtype[Any]]) -> Moments:
    if block.dtype.itemsize < 4 or block.dtype.kind == "i":
        block = block.astype(np.float64 if block.dtype.kind == "i" else np.float32)
    block = np.asarray(block, block.dtype.newbyteorder("="))
    with np.errstate(over="ignore", invalid="ignore"):
        found = Moments.of(block, 0.0)
        mean = found.total / found.count
        if found.squares < 1.1 * found.count * mean * mean < math.inf:
            # The spread is small beside the mean: sums about 0 would lose its digits.
            found = Moments.of(block, float(block.dtype.type(mean))).about(0.0)
    return found
