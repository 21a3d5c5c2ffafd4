"""A spec of the shapes in a weight file, with initialisers by convention.

Conventions, for the user to check: biases, betas and running means are zeros; other vectors are
ones; embeddings are normal with a stddev of 0.02; every other tensor is glorot_uniform. Axes are in
torch's order in safetensors files, and in Keras's elsewhere.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from glorot_cli.derive.folding import Folded, Named, Repeat, fold
from glorot_cli.dtypes import ITEM_SIZES, PRECISIONS
from glorot_cli.errors import FormatError, shown
from glorot_cli.fans import Shape
from glorot_cli.formats.stored import StoredFile

Entry = dict[str, Any]

CONVENTIONS: dict[str, Any] = {
    "zeros": "zeros",
    "ones": "ones",
    "embedding": {"name": "random_normal", "stddev": 0.02},
    "kernel": "glorot_uniform",
}
_ZERO = re.compile(r"(^|[./_])(bias\w*|beta|running_mean|moving_mean|b|num_batches_tracked)$")
_EMBEDDING = re.compile(r"(?i)embed|(^|[./])(wte|wpe|tok_emb|pos_emb|cls_token)([./]|$)")
# How many tensors make names for sizes worth their line.
_WORTH_DIMS = 8


def spec_of_weights(file: StoredFile) -> Entry:
    """Return the spec that a file says it was made from, or else one of its shapes.

    Raises:
        FormatError: if it holds a dtype that no spec can ask for.
    """
    said = _said(file)
    if said is not None:
        return said
    for tensor in file.tensors:
        if tensor.dtype not in ITEM_SIZES:
            raise FormatError(
                f"{file.path}: {shown(tensor.name)} is of dtype {tensor.dtype}, which a spec "
                f"cannot ask for; it can for {', '.join(ITEM_SIZES)}"
            )
    named = [Named(tensor.name, tensor.shape, tensor.dtype) for tensor in file.tensors]
    folded = fold(named)
    dtypes = Counter(tensor.dtype for tensor in named if tensor.dtype in PRECISIONS)
    dtype = dtypes.most_common(1)[0][0] if dtypes else "float32"
    sizes = _Sizes(folded)
    is_torch = file.format in ("safetensors", "shards")
    entries = _grouped(folded, lambda each: _entry(each, dtype, sizes, is_torch), sizes)
    spec: Entry = {"dims": sizes.dims} if sizes.dims else {}
    if dtype != "float32":
        spec["dtype"] = dtype
    return {**spec, "initializers": _rules(named), "tensors": entries}


def _said(file: StoredFile) -> Entry | None:
    try:
        spec = json.loads(file.provenance)["spec"]
    except (TypeError, ValueError, KeyError, RecursionError):
        return None
    return dict(spec) if isinstance(spec, Mapping) else None


def _class(name: str, shape: Shape, dtype: str) -> str:
    if dtype not in PRECISIONS or _ZERO.search(name):
        return "zeros"
    if _EMBEDDING.search(name) and len(shape) > 1:
        return "embedding"
    if len(shape) > 1:
        return "kernel"
    return _variable_class(name) or "ones"


def _variable_class(name: str) -> str | None:
    """Class a vector of Keras's `.weights.h5`, where variables have numbers for names."""
    match = re.search(r"([a-z0-9_]+?)(_[0-9]+)?/(?:\w+/)*vars/([0-9]+)$", name)
    if match is None:
        return None
    if "normalization" in match[1]:
        return "ones" if match[3] in ("0", "3") else "zeros"
    return "zeros"


def _rules(tensors: Sequence[Named]) -> list[Entry]:
    """Write as few globs as say which convention each tensor follows, each decided by the first."""
    classes = {tensor.name: _class(*tensor) for tensor in tensors}
    rules: list[Entry] = []
    decided: set[str] = set()
    for kind in ("zeros", "ones", "embedding"):
        globs: list[str] = []
        for name, own in classes.items():
            if own != kind or name in decided:
                continue
            glob = _glob(name, classes, decided)
            decided |= set(fnmatch.filter(classes, glob))
            globs.append(glob)
        rules += [{glob: CONVENTIONS[kind]} for glob in _widest(globs, list(classes))]
    if len(decided) < len(classes):
        rules.append({"*": CONVENTIONS["kernel"]})
    return rules


def _widest(globs: Sequence[str], names: Sequence[str]) -> list[str]:
    """Drop the globs whose names another one matches too."""
    found = {glob: frozenset(fnmatch.filter(names, glob)) for glob in globs}
    return [glob for glob in globs if not any(found[glob] < wider for wider in found.values())]


def _glob(name: str, classes: Mapping[str, str], decided: set[str]) -> str:
    """Find the shortest ending of a name that only tensors of its class have."""
    parts = re.split(r"([./])", name)
    for start in range(len(parts) - 1, -1, -1):
        ending = "".join("*" if part.isdigit() else part for part in parts[start:])
        glob = ending if start == 0 else f"*{ending}"
        matched = fnmatch.filter(classes, glob)
        if all(classes[each] == classes[name] for each in matched if each not in decided):
            return glob
    return name


def _axes(name: str, shape: Shape, kind: str, is_torch: bool) -> str | None:
    rank = len(shape)
    if rank < 2:
        return None
    if kind == "embedding" and rank == 2:
        return "IO"
    field = "DHW"[-(rank - 2) :] if 2 < rank < 6 else "B" * (rank - 2)
    if rank == 3 and "expert" in name:
        field = "B"
        return "BOI" if is_torch else "BIO"
    return f"OI{field}" if is_torch else f"{field}IO"


class _Sizes:
    """Name the sizes that a regular network repeats: its width, and how often it repeats what."""

    def __init__(self, folded: Sequence[Folded]) -> None:
        self.dims: dict[str, int] = {}
        self._lengths: dict[tuple[str, int], str] = {}
        self.width: int | None = None
        if len(folded) < _WORTH_DIMS:
            return
        counts = Counter(size for each in folded for size in each.shape if size > 8)
        if counts:
            size, count = counts.most_common(1)[0]
            if count > 2:
                self.width = size
                self.dims["d"] = size
        for each in folded:
            for repeat in each.repeats:
                self._name(repeat)

    def _name(self, repeat: Repeat) -> None:
        words = re.findall(r"[A-Za-z_][A-Za-z0-9_]*", repeat.prefix)
        word = words[-1] if words else "n"
        key = word, repeat.stop
        if repeat.start or key in self._lengths:
            return
        name = word
        while name in self.dims or name in ("i", "j", "k", "l", "m", "n", "o", "p", "sqrt"):
            name += "_"
        self.dims[name] = repeat.stop
        self._lengths[key] = name

    def size(self, size: int) -> int | str:
        """Write a size, as a multiple of the width where it is one."""
        if self.width is not None and size % self.width == 0 and size // self.width <= 8:
            times = size // self.width
            return "d" if times == 1 else f"{times}*d"
        return size

    def bounds(self, repeat: Repeat) -> int | str | list[int]:
        """Write a repeat's range."""
        if repeat.start:
            return [repeat.start, repeat.stop]
        words = re.findall(r"[A-Za-z_][A-Za-z0-9_]*", repeat.prefix)
        return self._lengths.get((words[-1] if words else "n", repeat.stop), repeat.stop)


def _entry(each: Folded, dtype: str, sizes: _Sizes, is_torch: bool) -> Entry:
    kind = _class(each.name, each.shape, each.dtype)
    entry: Entry = {"shape": [sizes.size(size) for size in each.shape]}
    axes = _axes(each.name, each.shape, kind, is_torch)
    if axes is not None:
        entry["axes"] = axes
    if each.dtype != dtype:
        entry["dtype"] = each.dtype
    return entry


def _grouped(folded: Sequence[Folded], entry_of: Any, sizes: _Sizes) -> list[Entry]:
    """Put entries that repeat together into a group, and the others into mappings between."""
    result: list[Entry] = []
    groups: dict[Repeat, Entry] = {}
    for each in folded:
        entry, repeats = entry_of(each), each.repeats
        outer, inner = (repeats[0] if repeats else None), repeats[1:]
        if inner:
            entry["repeat"] = {repeat.variable: sizes.bounds(repeat) for repeat in inner}
        if outer is None:
            if not result or "entries" in result[-1]:
                result.append({})
            result[-1][each.name] = entry
            continue
        if outer not in groups:
            groups[outer] = {}
            result.append(
                {"repeat": {outer.variable: sizes.bounds(outer)}, "entries": groups[outer]}
            )
        groups[outer][each.name] = entry
    return result
