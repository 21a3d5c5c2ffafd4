"""Where each tensor's words lie in torch's stream, where a spec has the draws of the module."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from glorot_cli import streams
from glorot_cli.distributions import (
    Constant,
    Distribution,
    Normal,
    Orthogonal,
    Patched,
    Pieces,
    Sparse,
    TruncatedNormal,
    Uniform,
    is_random,
    leaves,
)
from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.initializers.kernel import Kernel
from glorot_cli.initializers.torch import normal, trunc_normal, uniform
from glorot_cli.repeats import STAMPS, fill_name, stamp_layers
from glorot_cli.signatures import validated
from glorot_cli.spec.draws import WORDS, DrawEntry
from glorot_cli.spec.model import Spec
from glorot_cli.streams.replay import Event, Part, Replay

if TYPE_CHECKING:
    from glorot_cli.plan.tensors import PlannedTensor

# The release whose draws the stream gives.
VERSION = "2.13"
_LAWS: dict[str, type] = {
    "uniform": Uniform, "normal": Normal, "trunc_normal": TruncatedNormal,
}  # fmt: skip


class _Call(NamedTuple):
    """Hold one random call: what it fills, if that is a tensor of the plan, and where it says so.

    `start` and `stop` are the elements of the tensor.
    """

    entry: DrawEntry
    path: KeyPath
    tensor: PlannedTensor | None
    size: int
    dtype: str
    start: int = 0
    stop: int = 0


def replayed(spec: Spec, planned: Mapping[str, PlannedTensor], seed: int) -> dict[str, Replay]:
    """Return what each random tensor of a plan is made of, by the spec's draws.

    Raises:
        SpecError: if they name what is not there, or do not come to a tensor's initializer.
    """
    table, fma = spec.table, spec.table.fma is not False
    calls = list(_calls(spec, planned))
    last = _last_calls(calls)
    found: dict[str, list[Part]] = {}
    position: tuple[int, ...] = ()
    turned: dict[str, bool] = {}
    for index, call in enumerate(calls):
        stays = last.get(index, False)
        if call.entry.draw in WORDS or call.entry.draw == "randperm":
            position = _passed(call, position, stays)
            continue
        event = Event(
            _law(call, stays), call.size, call.dtype, call.entry.scattered, call.entry.then
        )
        if stays and call.tensor is not None:
            parts = found.setdefault(call.tensor.name, [])
            parts[:] = _without(parts, call.start, call.stop)
            parts.append(Part(call.start, call.stop, event, position))
            turned[call.tensor.name] = call.entry.turned
        try:
            position = streams.advance(table.rng, event.request(seed, position, fma))
        except ValueError as error:
            raise SpecError(str(error), call.path) from None
    result = {}
    for name, tensor in planned.items():
        if tensor.tied_to is None and tensor.copy_of is None and is_random(tensor.distribution):
            result[name] = _whole(tensor, found.get(name, []), turned.get(name, False))
    return result


def _calls(spec: Spec, planned: Mapping[str, PlannedTensor]) -> Iterator[_Call]:
    for stamped in stamp_layers(spec.table.draws, spec.names, ("draws",)):
        path = stamped.path
        entry = validated(DrawEntry, stamped.item, stamped.names, path, "a draw", STAMPS)
        if (entry.of is None) == (entry.shape is None):
            raise SpecError("a draw has 'of', the tensors it filled, or else 'shape'", path)
        if entry.of is None:
            dtype = entry.dtype or spec.table.dtype
            yield _Call(entry, path, None, math.prod(entry.shape or ()), dtype)
            continue
        for template in entry.of:
            name = fill_name(template, stamped.names, (*path, "of"))
            tensor = planned.get(name)
            if tensor is None:
                hint = suggestion(name, list(planned)[:2000])
                raise SpecError(f"no tensor is named {shown(name)}; {hint}", (*path, "of"))
            while (other := tensor.tied_to or tensor.copy_of) is not None:
                tensor = planned[other]
            start, stop = _elements(tensor, entry, path)
            yield _Call(entry, path, tensor, stop - start, entry.dtype or tensor.dtype, start, stop)


def _elements(tensor: PlannedTensor, entry: DrawEntry, path: KeyPath) -> tuple[int, int]:
    if entry.rows is None:
        return 0, tensor.parameters
    start, stop = entry.rows
    rows = tensor.shape[0] if tensor.shape else 0
    if stop > rows:
        raise SpecError(
            f"expected rows of {shown(tensor.name)}, which has {rows}, found {list(entry.rows)}",
            (*path, "rows"),
        )
    size = math.prod(tensor.shape[1:])
    return start * size, stop * size


def _last_calls(calls: list[_Call]) -> dict[int, bool]:
    """Tell which calls leave anything in a tensor that later ones do not overwrite."""
    covered: dict[str, list[tuple[int, int]]] = {}
    stays = {}
    for index in reversed(range(len(calls))):
        call = calls[index]
        if call.tensor is None:
            continue
        after = covered.setdefault(call.tensor.name, [])
        stays[index] = not any(a <= call.start and call.stop <= b for a, b in after)
        after.append((call.start, call.stop))
        if call.start == 0 and call.stop == call.tensor.parameters:
            after[:] = [(call.start, call.stop)]
    return stays


def _passed(call: _Call, position: tuple[int, ...], stays: bool) -> tuple[int, ...]:
    """Return the position after a draw whose values are not known here."""
    if stays and call.tensor is not None and is_random(call.tensor.distribution):
        raise SpecError(
            f"the values of {call.entry.draw} are not known here, so {shown(call.tensor.name)} "
            "has no bits of torch",
            call.path,
        )
    words = call.size - 1 if call.entry.draw == "randperm" else call.size * WORDS[call.entry.draw]
    word, *rest = position or (0, -1)
    return (word + max(words, 0), *rest)


def _law(call: _Call, stays: bool) -> Distribution:
    """Return what a call draws: by its own arguments, or else by the tensor's initializer."""
    entry, kernel = call.entry, Kernel((call.size,), None, 1, "torch")
    given = {key: getattr(entry, key) for key in ("a", "b", "mean", "std")}
    has = {key: value for key, value in given.items() if value is not None}
    known = {"uniform": ("a", "b"), "normal": ("mean", "std")}.get(entry.draw, tuple(given))
    for key in has:
        if key not in known:
            raise SpecError(f"{entry.draw} takes {', '.join(known)}, not {key}", (*call.path, key))
    kind = _LAWS[entry.draw]
    if not has and stays and call.tensor is not None and not entry.then:
        random = [law for law in leaves(call.tensor.distribution) if is_random(law)]
        if [law for law in random if isinstance(law, kind)] == random and len(random) == 1:
            return random[0]
        if random:
            raise SpecError(
                f"{shown(call.tensor.name)} is {call.tensor.initializer}, which this draw is not; "
                f"give the draw its {', '.join(known)}",
                call.path,
            )
    try:
        if entry.draw == "uniform":
            return uniform(kernel, **has)
        if entry.draw == "normal":
            return normal(kernel, **has)
        if not has:
            raise ValueError("how many words trunc_normal takes depends on its mean, std, a and b")
        return trunc_normal(kernel, **has)
    except ValueError as error:
        raise SpecError(str(error), call.path) from None


def _without(parts: list[Part], start: int, stop: int) -> Iterator[Part]:
    """Give what is left of parts where a range is filled anew."""
    for part in parts:
        if part.start < start:
            yield part._replace(stop=min(part.stop, start))
        if part.stop > stop:
            begin = max(part.start, stop)
            yield part._replace(start=begin, first=part.first + begin - part.start)


def _whole(tensor: PlannedTensor, parts: list[Part], turned: bool) -> Replay:
    """Put the constants of a tensor's distribution over what was drawn."""
    for start, stop, value in _constants(tensor):
        parts[:] = _without(parts, start, stop)
        parts.append(Part(start, stop, None, value=value))
    parts.sort(key=lambda part: part.start)
    covered = 0
    for part in parts:
        if part.start == covered:
            covered = part.stop
    if covered < tensor.parameters:
        raise SpecError(_not_drawn(tensor), ("draws",), at_key=True)
    shape = (tensor.shape[1], tensor.shape[0]) if turned and len(tensor.shape) == 2 else None
    return Replay(tuple(parts), shape)


def _not_drawn(tensor: PlannedTensor) -> str:
    name = shown(tensor.name)
    if any(isinstance(law, Orthogonal) for law in leaves(tensor.distribution)):
        return (
            f"{name} is orthogonal, and the bits of a QR factorisation depend on LAPACK; "
            "the stream torch cannot draw it"
        )
    if any(isinstance(law, Sparse) for law in leaves(tensor.distribution)):
        return f"{name} is sparse, which the stream torch cannot draw"
    return f"no draw fills {name}, so its bits of torch are not known"


def _constants(tensor: PlannedTensor) -> Iterator[tuple[int, int, float]]:
    """Give the runs of elements that a distribution holds at a constant."""
    law = tensor.distribution
    if isinstance(law, Patched):
        yield law.start, law.stop, law.value
        law = law.law
    if not isinstance(law, Pieces):
        return
    if len(law.cuts) != 1 or law.cuts[0].axis != 0:
        raise SpecError(
            f"{shown(tensor.name)} has pieces along another axis than the first, which the stream "
            "torch cannot draw",
            ("draws",),
            at_key=True,
        )
    size = tensor.parameters // law.count
    for number in range(law.count):
        piece = law.law(number)
        if isinstance(piece, Constant):
            yield number * size, (number + 1) * size, piece.value
