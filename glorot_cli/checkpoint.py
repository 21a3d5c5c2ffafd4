"""Part of a checkpoint: tensors kept from an older file, some of them grown or shrunk."""

from __future__ import annotations

import fnmatch
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from glorot_cli.drawing import drawer
from glorot_cli.dtypes import numpy_dtype
from glorot_cli.errors import GlorotError, shown, suggestion
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.stored import StoredFile, StoredTensor, read_elements
from glorot_cli.plan import Plan, PlannedTensor
from glorot_cli.streams.aes_ctr import Draw

Array = np.ndarray[Any, np.dtype[Any]]
Filling = Literal["init", "mean", "zeros"]
FILLINGS: tuple[Filling, ...] = get_args(Filling)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Hold an older file, the globs of what is drawn anew, and how resized tensors are filled.

    `resize` maps a glob to what its new elements hold: draws of their own law (`init`), the mean
    of the old ones along the resized axis, or zeros.
    """

    file: StoredFile
    only: tuple[str, ...]
    resize: Mapping[str, Filling] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        only: Sequence[str] = (),
        resize: Mapping[str, Filling] | None = None,
    ) -> Checkpoint:
        """Read a file's headers.

        Raises:
            FormatError: if it is no weight file.
        """
        return cls(read_headers(path), tuple(only), dict(resize or {}))

    def claim(self) -> dict[str, Any]:
        """Return what a file's provenance says of its base."""
        return {"only": list(self.only), "resize": dict(self.resize)}

    def drawers(self, plan: Plan) -> dict[str, Draw]:
        """Return, for each tensor that is kept, the function that reads it.

        Raises:
            GlorotError: if a glob matches nothing, or the file lacks a tensor of the plan.
        """
        names = [tensor.name for tensor in plan.tensors]
        for option, globs in (("--only", self.only), ("--resize", tuple(self.resize))):
            for glob in globs:
                if not fnmatch.filter(names, glob):
                    raise GlorotError(
                        f"{option}: {shown(glob)} matches no tensor; "
                        f"{suggestion(glob, names[:2000], listed=3)}"
                    )
        stored = self.file.by_name()
        return {
            tensor.name: self._kept(tensor, stored)
            for tensor in plan.tensors
            if not any(fnmatch.fnmatchcase(tensor.name, glob) for glob in self.only)
        }

    def _kept(self, tensor: PlannedTensor, stored: Mapping[str, StoredTensor]) -> Draw:
        # Keras's .weights.h5 stores variables by where they stand.
        found = stored.get(tensor.name) or stored.get(tensor.group or "")
        if found is None:
            raise GlorotError(
                f"{self.file.path} has no tensor {shown(tensor.name)}; "
                "draw it with --only, or take it out of the spec"
            )
        if found.dtype != tensor.dtype:
            raise GlorotError(
                f"{shown(tensor.name)} is {found.dtype} in {self.file.path} and {tensor.dtype} "
                "in the spec; its bytes can only be kept as they are"
            )
        if found.shape == tensor.shape:
            return _Reader(self.file, found)
        filling = next(
            (how for glob, how in self.resize.items() if fnmatch.fnmatchcase(tensor.name, glob)),
            None,
        )
        axes = [
            axis
            for axis, (old, new) in enumerate(zip(found.shape, tensor.shape, strict=False))
            if old != new
        ]
        if filling is None or len(found.shape) != len(tensor.shape) or len(axes) != 1:
            hint = "only one axis can be resized" if filling else "resize it with --resize"
            raise GlorotError(
                f"{shown(tensor.name)} has shape {list(found.shape)} in {self.file.path} and "
                f"{list(tensor.shape)} in the spec; {hint}"
            )
        return _Resized(tensor, found, _Reader(self.file, found), axes[0], filling)


class _Reader:
    """Read a stored tensor's elements as they are."""

    def __init__(self, file: StoredFile, tensor: StoredTensor) -> None:
        if tensor.slabs is not None or tensor.byte_order != "<":
            raise GlorotError(
                f"{file.path}: {shown(tensor.name)} is stored in chunks, compressed or big-endian; "
                "only plain bytes can be kept"
            )
        self.file = file
        self.tensor = tensor

    def __call__(self, first: int, out: Array) -> None:
        read_elements(self.file, self.tensor, first, out)


class _Resized:
    """Read a stored tensor into one whose axis is longer or shorter."""

    def __init__(
        self,
        tensor: PlannedTensor,
        stored: StoredTensor,
        reader: _Reader,
        axis: int,
        filling: Filling,
    ) -> None:
        self.reader = reader
        inner = math.prod(tensor.shape[axis + 1 :])
        self.old, self.new = stored.shape[axis] * inner, tensor.shape[axis] * inner
        self.inner = inner
        self.outer = math.prod(tensor.shape[:axis])
        self.dtype = numpy_dtype(tensor.dtype)
        self.draw = drawer(tensor) if filling == "init" else None
        self.mean = self._mean() if filling == "mean" and self.new > self.old else None

    def _mean(self) -> Array:
        """Take the mean of the old elements along the axis, a row at a time."""
        means = np.zeros((self.outer, self.inner))
        row = np.empty(self.inner, self.dtype)
        count = self.old // self.inner
        for outer in range(self.outer):
            for index in range(count):
                self.reader(outer * self.old + index * self.inner, row)
                means[outer] += row.astype(np.float64)
        return (means / count).astype(self.dtype)

    def __call__(self, first: int, out: Array) -> None:
        if self.draw is not None:
            self.draw(first, out)
        else:
            out.fill(0)
        kept = min(self.old, self.new)
        end = first + out.size
        for outer in range(first // self.new, -(-end // self.new)):
            start = outer * self.new
            self._put(first, out, start, start + kept, outer * self.old)
            if self.mean is not None:
                for row in range(start + kept, start + self.new, self.inner):
                    low, high = max(row, first), min(row + self.inner, end)
                    if low < high:
                        out[low - first : high - first] = self.mean[outer][low - row : high - row]

    def _put(self, first: int, out: Array, start: int, stop: int, source: int) -> None:
        """Read the old elements from `source` on into where [start, stop) meets the block."""
        low, high = max(start, first), min(stop, first + out.size)
        if low < high:
            self.reader(source + low - start, out[low - first : high - first])
