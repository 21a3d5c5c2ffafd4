"""Each recorded tensor as an entry of a spec, or as what no spec can say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from glorot_cli.dtypes import DTYPES, INTEGERS
from glorot_cli.recording.account import Constant, Drawn, Known, Opaque, Region, Whole
from glorot_cli.recording.module import Module, Recorded
from glorot_cli.recording.naming import Law, law_of, named
from glorot_cli.recording.places import of_constant, of_values

Entry = dict[str, Any]

# A tensor is cut into so many equal parts at most, to say which of them differ.
_MOST_PIECES = 64


class Unknown(NamedTuple):
    """Hold a tensor that no initializer is known to make, and why."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    reason: str


def entries_of(module: Module) -> tuple[dict[str, Entry], list[Unknown]]:
    """Return the entries of a module's tensors in order, and those that are not understood."""
    entries: dict[str, Entry] = {}
    unknown: list[Unknown] = []
    shapes = {tensor.name: tensor.shape for tensor in module.tensors}
    seen: list[Recorded] = []
    places: dict[tuple[Any, ...], str] = {}
    made: dict[tuple[Any, ...], str] = {}
    for tensor in module.tensors:
        place = (tensor.where, tensor.shape, tensor.turned) if tensor.where else None
        key = _likeness(tensor)
        if place is not None and place in places and 0 not in tensor.shape:
            entries[tensor.name] = {"tie": places[place]}
            if module.ties_are_stored:
                entries[tensor.name]["stored"] = True
            continue
        if key is not None and key in made:
            entries[tensor.name] = {"tie": made[key], "stored": True}
            continue
        found = entry_of(tensor, shapes)
        if isinstance(found, str):
            # In the plan, and in no file: what is not known is not made up.
            unknown.append(Unknown(tensor.name, tensor.shape, tensor.dtype, found))
        else:
            entries[tensor.name] = found
        if place is not None:
            places[place] = tensor.name
        if key is not None:
            made[key] = tensor.name
        seen.append(tensor)
    return entries, unknown


def _likeness(tensor: Recorded) -> tuple[Any, ...] | None:
    """Return what copies of a random tensor have in common; None where nothing is random."""
    if not any(isinstance(region.value, Drawn | Whole) for region in tensor.regions):
        return None
    if any(isinstance(region.value, Opaque | Known) for region in tensor.regions):
        return None
    return tensor.shape, tensor.dtype, tensor.turned, tuple(tensor.regions)


def entry_of(tensor: Recorded, shapes: Mapping[str, tuple[int, ...]]) -> Entry | str:
    """Return a tensor's entry, or the reason why there is none."""
    entry: Entry = {"shape": list(tensor.shape)}
    if tensor.axes is not None:
        entry["axes"] = tensor.axes
    if tensor.dtype not in (*DTYPES, *INTEGERS):
        return f"it is of dtype {tensor.dtype}, which a spec cannot ask for"
    if 0 in tensor.shape:
        return "it has no elements, which a spec cannot ask for"
    entry["dtype"] = tensor.dtype
    if tensor.norm is not None and any(isinstance(r.value, Opaque) for r in tensor.regions):
        entry["initializer"] = _of_norm(tensor)
        return entry
    if tensor.known is not None:
        found = _of_known(tensor)
        if found is None:
            return (
                f"its {math.prod(tensor.shape)} values are computed, follow from their places by "
                "no formula known here, and are too many to list"
            )
        entry["initializer"] = found
        return entry
    if not tensor.is_contiguous and not tensor.turned:
        return "its elements lie in another order than its axes"
    return _of_regions(tensor, entry, shapes)


def _of_norm(tensor: Recorded) -> Entry:
    assert tensor.norm is not None
    which, dim = tensor.norm
    if which in ("_u", "_v"):
        side = "left" if which == "_u" else "right"
        return {
            "name": "singular_vector_of",
            "tensor": "{stem.stem}.original",
            "dim": dim,
            "side": side,
        }
    whole = dim is None or dim == -1
    return {"name": "norm_of", "tensor": "{stem}." + which, "dim": None if whole else dim}


def _of_known(tensor: Recorded) -> Entry | str | None:
    values = tensor.known.detach()
    if values.dtype == torch.bool:
        values = values.to(torch.int64)
    is_whole = not values.dtype.is_floating_point
    array = values.to(torch.int64 if is_whole else torch.float64).numpy()

    def round_to(numbers: Any) -> Any:
        rounded = torch.from_numpy(numbers).to(values.dtype)
        return rounded.to(torch.int64 if is_whole else torch.float64).numpy()

    return of_values(array, round_to)


def _of_regions(
    tensor: Recorded, entry: Entry, shapes: Mapping[str, tuple[int, ...]]
) -> Entry | str:
    laws: list[Law | Constant | Whole] = []
    for region in tensor.regions:
        found = _of_region(region)
        if isinstance(found, str):
            return found
        laws.append(found)
    if len(set(map(str, laws))) == 1:
        entry["initializer"] = _named(laws[0], tensor, shapes)
        return entry
    if any(isinstance(law, Whole) for law in laws):
        return "it is orthogonal or sparse in a part only"
    row = _padding_row(tensor, laws)
    if row is not None:
        entry["padding_idx"] = row
        law = next(law for law in laws if isinstance(law, Law))
        entry["initializer"] = _named(law, tensor, shapes)
        return entry
    return _of_pieces(tensor, entry, laws)


def _of_region(region: Region) -> Law | Constant | Whole | str:
    value = region.value
    match value:
        case Constant():
            return value
        case Drawn():
            law = law_of(value)
            if law is not None:
                return law
            given = value.call.arguments
            if value.call.kind == "normal" and given["std"] == 0.0 and not value.steps:
                return Constant(given["mean"])
            if value.call.kind == "uniform" and given["a"] == given["b"] and not value.steps:
                return Constant(given["a"])
            steps = ", ".join(step.operation for step in value.steps)
            return f"it is drawn by {value.call.kind}" + (f", then {steps}" if steps else "")
        case Whole(kind="orthogonal" | "sparse"):
            return value
        case Known():
            return "a part of it is computed, and another drawn"
        case Whole():
            return f"it is the {value.kind} of a QR factorisation"
        case Opaque(operations=("empty",)):
            return "nothing initialises it: it holds whatever the memory held"
    assert isinstance(value, Opaque)
    drawn = ", ".join(dict.fromkeys(call.kind for call in value.calls))
    by = " after ".join(value.operations)
    return f"it is made by {by}" + (f", of {drawn} values" if drawn else "")


def _named(
    law: Law | Constant | Whole, tensor: Recorded, shapes: Mapping[str, tuple[int, ...]]
) -> Entry | str:
    if isinstance(law, Constant):
        return of_constant(law.number)
    if isinstance(law, Whole):
        if law.kind == "orthogonal":
            return "orthogonal" if law.gain == 1.0 else {"name": "orthogonal", "gain": law.gain}
        return {"name": "sparse", "sparsity": law.sparsity, "std": law.gain}
    fan_in = None
    stem, _, last = tensor.name.rpartition(".")
    if last == "bias" and len(tensor.shape) == 1:
        weight = shapes.get(f"{stem}.weight", ())
        fan_in = math.prod(weight[1:]) if len(weight) > 1 else None
    return named(law, tensor.shape, fan_in)


def _padding_row(tensor: Recorded, laws: Sequence[Law | Constant | Whole]) -> int | None:
    """Return the one row of a table that is 0."""
    constants = [
        region
        for region, law in zip(tensor.regions, laws, strict=True)
        if isinstance(law, Constant)
    ]
    size = math.prod(tensor.shape[1:])
    if len(tensor.shape) != 2 or len(constants) != 1 or tensor.turned:
        return None
    others = {str(law) for law in laws if not isinstance(law, Constant)}
    start, stop, value = constants[0]
    assert isinstance(value, Constant)
    if len(others) != 1 or value.number != 0 or stop - start != size or start % size:
        return None
    return start // size


def _of_pieces(
    tensor: Recorded, entry: Entry, laws: Sequence[Law | Constant | Whole]
) -> Entry | str:
    """Cut a tensor along its first axis into equal parts, each with an initializer."""
    rows = tensor.shape[0] if tensor.shape else 1
    size = math.prod(tensor.shape[1:])
    bounds = [region.start for region in tensor.regions[1:]]
    if tensor.turned or any(bound % size for bound in bounds):
        return "parts of it that are no rows are initialised otherwise than the rest"
    step = math.gcd(rows, *(bound // size for bound in bounds))
    count = rows // step
    if count > _MOST_PIECES:
        return (
            f"rows of it are initialised otherwise than the rest, in no {_MOST_PIECES} equal parts"
        )
    shape = (step, *tensor.shape[1:])
    pieces: list[Entry | str] = []
    for number in range(count):
        at = number * step * size
        law = next(
            law
            for region, law in zip(tensor.regions, laws, strict=True)
            if region.start <= at < region.stop
        )
        pieces.append(of_constant(law.number) if isinstance(law, Constant) else _plain(law, shape))
    entry["axes"] = "O" + ("I" * (len(tensor.shape) > 1)) + "HWD"[: max(0, len(tensor.shape) - 2)]
    entry["fused"] = count
    entry["initializer"] = pieces
    return entry


def _plain(law: Law | Constant | Whole, shape: tuple[int, ...]) -> Entry | str:
    assert isinstance(law, Law)
    return named(law, (math.prod(shape),))
