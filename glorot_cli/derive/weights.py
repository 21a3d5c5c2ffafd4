"""A spec of the shapes in a weight file, short enough to read."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from glorot_cli.checks.pairing import pair
from glorot_cli.derive.conventions import (
    CONVENTIONS,
    UNKNOWN,
    Convention,
    dialect_of,
    initializer_of,
    order_in,
    settled_axes,
)
from glorot_cli.derive.derived import Derived, Guess
from glorot_cli.derive.folding import VARIABLE, Folded, Named, Repeat, fold
from glorot_cli.derive.places import Surroundings
from glorot_cli.derive.rules import family_of, rules_for, spelled
from glorot_cli.derive.starts import QUANTISED, Start, Subject, axes_of, start_of
from glorot_cli.dtypes import ITEM_SIZES, KEPT_BITS, PRECISIONS
from glorot_cli.errors import FormatError, GlorotError, printable, shown
from glorot_cli.formats.elements import Elements
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.formats.texts import parse_json
from glorot_cli.optimizer_state import optimizer_state
from glorot_cli.plan import Plan, make_plan
from glorot_cli.spec import load_spec

Entry = dict[str, Any]

# How many tensors make names for sizes worth their line.
_WORTH_DIMS = 8
_WORTH_NAME = 3
_MOST_AXES = 32


def spec_of_weights(
    file: StoredFile,
    convention: Convention | None = None,
    found: Mapping[str, Any] | None = None,
    *,
    with_state: bool = False,
) -> Derived:
    """Return the spec that a file says it was made from, or else one of its shapes.

    `convention` says what names do not; None is that of the framework whose names they are. `found`
    are the initializers of tensors whose own elements say them. `with_state` keeps an optimizer's
    state, which is left out otherwise.

    Raises:
        FormatError: if it holds what no spec can ask for.
    """
    said = carried_spec(file)
    if said is not None:
        return Derived(said, notices=file.notices)
    if not file.tensors:
        raise FormatError(f"{file.path} holds no tensors")
    state = optimizer_state(tensor.name for tensor in file.tensors)
    tensors = [tensor for tensor in file.tensors if tensor.name not in state]
    if not tensors:
        raise FormatError(f"{file.path} holds an optimizer's state, and no weights")
    chosen = [*tensors, *(t for t in file.tensors if with_state and t.name in state)]
    for tensor in chosen:
        problem = _problem(tensor)
        if problem is not None:
            raise FormatError(
                f"{file.path}: {shown(tensor.name)} {problem}, which a spec cannot ask for"
            )
    guesses = _guesses(file, tensors, convention, found or {})
    left = () if with_state else tuple(sorted(state, key=lambda name: name))
    kept = tuple(t.name for t in chosen if t.name not in guesses or guesses[t.name].is_kept)
    named = [_named(t, guesses.get(t.name)) for t in chosen]
    return Derived(
        _spec(named, kept),
        {name: each.guess for name, each in guesses.items() if not each.is_kept},
        kept,
        tuple(name for name, each in guesses.items() if each.is_quantised),
        left,
        file.notices,
        attributes=file.attributes,
    )


def _mean(file: StoredFile, tensor: StoredTensor) -> float:
    """Return the mean of a vector's elements, or 0 where they cannot be read.

    Batch normalization scales by about 1 and adds about 0, trained or not.
    """
    try:
        with Elements(file) as elements:
            return float(elements.run(tensor, 0, math.prod(tensor.shape)).astype("f8").mean())
    except (GlorotError, OSError):
        return 0.0


class _Guessed(NamedTuple):
    guess: Guess
    axes: str | None
    more: Mapping[str, Any]
    is_kept: bool
    is_quantised: bool


def _guesses(
    file: StoredFile,
    tensors: Sequence[StoredTensor],
    convention: Convention | None,
    found: Mapping[str, Any],
) -> dict[str, _Guessed]:
    """Guess how each tensor starts."""
    others = Surroundings(tensors, file.labels)
    if convention is None:
        dialect = dialect_of(tensors, others)
        convention = UNKNOWN if dialect is None else CONVENTIONS[dialect]
    order = order_in(tensors, others, file.format.axes)
    guesses = {}
    for tensor in tensors:
        subject = Subject(tensor, others.places[tensor.name], others)
        start = start_of(subject)
        if subject.leaf == "gamma_or_beta" and _mean(file, tensor) > 0.5:
            start = Start("scales", "ones")
        if tensor.name in found and not start.is_kept:
            axes = start.axes or (axes_of(subject) if len(tensor.shape) > 1 else None)
            start = Start("tensors", found[tensor.name], axes)
        guesses[tensor.name] = _guessed(tensor, start, convention, order)
    return guesses


def _guessed(tensor: StoredTensor, start: Start, convention: Convention, order: str) -> _Guessed:
    initializer = initializer_of(start, convention)
    more = dict(start.more)
    name = initializer.get("name") if isinstance(initializer, Mapping) else initializer
    if name != "torch_bias" or more.get("fans_of") == "{stem}.weight":
        more.pop("fans_of", None)
    axes = settled_axes(start.axes, order)
    if axes is not None and len(axes) != len(tensor.shape):
        # A name that means a kernel, on what is none.
        start, initializer, axes, more = Start("scales", "ones"), "ones", None, {}
    if initializer in ("zeros", "ones"):
        axes = None
    return _Guessed(
        Guess(start.noun, initializer, convention.source if start.is_convention else ""),
        axes,
        more,
        start.is_kept,
        start is QUANTISED,
    )


def _named(tensor: StoredTensor, guessed: _Guessed | None) -> Named:
    """Return a tensor with its initializer, or without one where it is kept."""
    if guessed is None or guessed.is_kept:
        return Named(tensor.name, tensor.shape, tensor.dtype, "", {"keep": True})
    more = {**({} if guessed.axes is None else {"axes": guessed.axes}), **guessed.more}
    return Named(tensor.name, tensor.shape, tensor.dtype, spelled(guessed.guess.initializer), more)


def _spec(named: Sequence[Named], kept: Sequence[str]) -> Entry:
    """Return a spec of tensors, with rules for their initializers."""
    folded = fold(named)
    left = frozenset(kept)
    drawn = Counter(t.dtype for t in named if t.dtype in PRECISIONS and t.name not in left)
    dtype = drawn.most_common(1)[0][0] if drawn else "float32"
    sizes = _Sizes(folded)
    rules, alone = rules_for(folded)

    def entry_of(each: Folded) -> Entry:
        entry: Entry = {"shape": [sizes.size(size) for size in each.shape], **each.more}
        if each.dtype != dtype:
            entry["dtype"] = each.dtype
        if each.kind and family_of(each) in alone:
            entry["initializer"] = parse_json(each.kind)
        return entry

    spec: Entry = {"dims": sizes.dims} if sizes.dims else {}
    if dtype != "float32":
        spec["dtype"] = dtype
    if rules:
        spec["initializers"] = rules
    return {**spec, "tensors": _grouped(folded, entry_of, sizes)}


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


def left_out(file: StoredFile, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the numbers in a .keras archive that no layer of a spec has; a generator's are none."""
    planned = make_plan(load_spec(spec)).tensors
    places = {place for t in planned for place in (t.group, t.also_group)}
    state = optimizer_state(tensor.name for tensor in file.tensors)
    return tuple(
        tensor.name
        for tensor in file.tensors
        if tensor.dtype in PRECISIONS and tensor.name not in state and tensor.name not in places
    )


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
    if tensor.dtype not in ITEM_SIZES and tensor.dtype not in KEPT_BITS:
        return f"is of dtype {tensor.dtype}"
    if len(tensor.shape) > _MOST_AXES:
        return f"has {len(tensor.shape)} axes"
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
