"""A spec of the shapes in a weight file, short enough to read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from glorot_cli.checks.pairing import pair
from glorot_cli.derive.conventions import INITIALIZERS, axes_of, family_of, kind_of, rules_for
from glorot_cli.derive.folding import VARIABLE, Folded, Named, Repeat, fold
from glorot_cli.dtypes import ITEM_SIZES, PRECISIONS
from glorot_cli.errors import FormatError, GlorotError, printable, shown
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.formats.texts import parse_json
from glorot_cli.plan import Plan, make_plan
from glorot_cli.spec import load_spec

Entry = dict[str, Any]

# How many tensors make names for sizes worth their line.
_WORTH_DIMS = 8
_WORTH_NAME = 3
_MOST_AXES = 32


def spec_of_weights(file: StoredFile) -> Entry:
    """Return the spec that a file says it was made from, or else one of its shapes.

    Raises:
        FormatError: if it holds what no spec can ask for.
    """
    said = carried_spec(file)
    if said is not None:
        return said
    if not file.tensors:
        raise FormatError(f"{file.path} holds no tensors")
    for tensor in file.tensors:
        problem = _problem(tensor)
        if problem is not None:
            raise FormatError(
                f"{file.path}: {shown(tensor.name)} {problem}, which a spec cannot ask for"
            )
    folded = fold(
        Named(t.name, t.shape, t.dtype, kind_of(t.name, t.shape, t.dtype)) for t in file.tensors
    )
    dtypes = Counter(tensor.dtype for tensor in file.tensors if tensor.dtype in PRECISIONS)
    dtype = dtypes.most_common(1)[0][0] if dtypes else "float32"
    sizes = _Sizes(folded)
    rules, alone = rules_for(folded)

    def entry_of(each: Folded) -> Entry:
        entry: Entry = {"shape": [sizes.size(size) for size in each.shape]}
        axes = axes_of(each.first, each.shape, each.kind, file.format.axes == "torch")
        if axes is not None:
            entry["axes"] = axes
        if each.dtype != dtype:
            entry["dtype"] = each.dtype
        if family_of(each) in alone:
            entry["initializer"] = INITIALIZERS[each.kind]
        return entry

    spec: Entry = {"dims": sizes.dims} if sizes.dims else {}
    if dtype != "float32":
        spec["dtype"] = dtype
    return {**spec, "initializers": rules, "tensors": _grouped(folded, entry_of, sizes)}


def carried_spec(file: StoredFile) -> Entry | None:
    """Return the spec in a file's provenance, or None where there is none.

    Raises:
        FormatError: if it is not one.
    """
    if not isinstance(file.provenance, str):
        return None
    try:
        spec = parse_json(file.provenance)["spec"]
    except (TypeError, ValueError, KeyError):
        return None
    if not isinstance(spec, Mapping):
        return None
    try:
        check_against(file, make_plan(load_spec(spec)))
    except GlorotError as error:
        raise FormatError(f"{file.path}: its provenance: {error}") from None
    except RecursionError:
        raise FormatError(f"{file.path}: its provenance is nested too deeply") from None
    return dict(spec)


def check_against(file: StoredFile, plan: Plan) -> None:
    """Check that a file holds the tensors that its provenance speaks of.

    Raises:
        GlorotError: at the first that it does not.
    """
    found = pair(file, plan, {})
    for tensor in (*found.found.values(), *found.extra):
        said = f"{tensor.dtype} of shape {shown(list(tensor.shape or ()))}"
        held = f"{tensor.found_dtype} of shape {shown(list(tensor.found_shape or ()))}"
        if tensor.status != "equal":
            said = "no such tensor" if tensor.status == "extra" else said
            held = "no such tensor" if tensor.status == "missing" else held
            raise GlorotError(
                f"it contradicts the file, so neither is followed: {shown(tensor.name)} is {said} "
                f"by the provenance, {held} in the file"
            )


def _problem(tensor: StoredTensor) -> str | None:
    """Say what no spec can ask for."""
    name = tensor.name
    if "{" in name or "}" in name:
        return "has braces in its name"
    if name in ("repeat", "entries", "__metadata__"):
        return "has a name of another meaning"
    if name != printable(name) or any(part in ("", ".", "..") for part in name.split("/")):
        return "has a name that is not printable, or empty between two slashes"
    if tensor.dtype not in ITEM_SIZES:
        return f"is of dtype {tensor.dtype}"
    if len(tensor.shape) > _MOST_AXES:
        return f"has {len(tensor.shape)} axes"
    if 0 in tensor.shape:
        return f"has shape {list(tensor.shape)}"
    return None


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
        word = _word(repeat)
        key = word, repeat.stop
        if repeat.start or repeat.stop < _WORTH_NAME or key in self._lengths:
            return
        name = word
        while name in self.dims or name == "sqrt" or VARIABLE.fullmatch(name):
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
        return self._lengths.get((_word(repeat), repeat.stop), repeat.stop)


def _word(repeat: Repeat) -> str:
    """Take the last word before an index as what it counts."""
    words = re.findall(r"[A-Za-z_][A-Za-z0-9_]*", repeat.prefix)
    return (words[-1].rstrip("_") if words else "") or "n"


def _grouped(
    folded: Sequence[Folded], entry_of: Callable[[Folded], Entry], sizes: _Sizes
) -> list[Entry]:
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
