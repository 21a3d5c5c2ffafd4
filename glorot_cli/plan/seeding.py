"""What each tensor of a plan is drawn from in a framework's stream: its seed, or its place.

A spec's seed is the one that the framework's own call takes before a model is built, so tensors
get theirs in the order in which the framework would draw them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from glorot_cli import streams
from glorot_cli.arguments import InitializerChoice
from glorot_cli.dialects import keras_slots, torch_defaults
from glorot_cli.distributions import Patched, is_random
from glorot_cli.errors import KeyPath, SpecError, shown
from glorot_cli.initializers import Kernel, decide
from glorot_cli.spec.model import Spec
from glorot_cli.streams import STREAMS
from glorot_cli.streams.request import Request

if TYPE_CHECKING:
    from glorot_cli.dialects.keras.draws import Slot
    from glorot_cli.plan.tensors import PlannedTensor

_CONSTANTS = ("zeros", "ones", "constant", "identity", "Zeros", "Ones", "Constant", "Identity",
    "by_index", "sinusoid", "values", "eye", "dirac")  # fmt: skip


class Asked(NamedTuple):
    """Hold the seeds that a spec gives a tensor: its initialiser's own and its entry's.

    `by_default` says whether its dialect decides it.
    """

    own: int | None
    entry: int | None
    path: KeyPath
    by_default: bool


class Wanted(NamedTuple):
    """Hold a tensor to be drawn, and the seeds that the spec gives it.

    `in_layer` says whether its entry is a layer, `by_default` whether its dialect decides it.
    """

    request: Request
    path: KeyPath
    own: int | None
    entry: int | None
    in_layer: bool
    by_default: bool


class Origin(NamedTuple):
    """Hold where a tensor's words come from."""

    seed: int = 0
    position: tuple[int, ...] = ()


def seeded(
    spec: Spec, planned: Mapping[str, PlannedTensor], asked: Mapping[str, Asked], spec_seed: int
) -> tuple[dict[str, PlannedTensor], bool]:
    """Return a plan's tensors with where their words come from, and whether any uses the seed.

    Raises:
        SpecError: if a seed is missing or out of range, or the stream cannot draw a tensor.
    """
    table = spec.table
    rng, stream, fma = table.rng, STREAMS[table.rng], table.fma is not False
    wanted = {
        name: Wanted(
            Request(t.distribution, t.shape, 0, name, t.dtype, (), fma),
            asked[name].path,
            asked[name].own,
            asked[name].entry,
            not t.is_raw,
            asked[name].by_default,
        )
        for name, t in planned.items()
        if t.tied_to is None and t.copy_of is None and not t.skipped
    }
    if stream.shared and table.draws:
        return _replayed(spec, planned, wanted, spec_seed), True
    if stream.shared:
        uses_seed = True
        origins = by_position(rng, wanted, _defaults(spec, fma), spec_seed)
    else:
        slots = keras_slots(spec.layers(), spec.inputs(), table.outputs) if table.layers else ()
        origins, uses_seed = by_seeds(rng, wanted, slots, spec_seed)
    check_drawable(rng, wanted, origins)
    result = {}
    for name, tensor in planned.items():
        origin = origins.get(tensor.tied_to or tensor.copy_of or name, Origin())
        result[name] = tensor._replace(rng=rng, seed=origin.seed, position=origin.position, fma=fma)
    return result, uses_seed


def _replayed(
    spec: Spec, planned: Mapping[str, PlannedTensor], wanted: Mapping[str, Wanted], seed: int
) -> dict[str, PlannedTensor]:
    """Return the tensors with what they are made of, by the draws that the spec has."""
    from glorot_cli.plan.replaying import VERSION, replayed

    table = spec.table
    if table.torch not in (None, VERSION):
        raise SpecError(
            f"the draws are of torch {shown(table.torch)}, and the stream torch has the bits of "
            f"{VERSION}; record the module with that version",
            ("torch",),
        )
    _check_no_seeds(table.rng, wanted)
    found = replayed(spec, planned, seed)
    result = {}
    for name, tensor in planned.items():
        replay = found.get(tensor.tied_to or tensor.copy_of or name)
        tensor = tensor._replace(
            rng=table.rng, seed=seed, fma=table.fma is not False, replay=replay
        )
        result[name] = tensor
        if replay is not None and name in wanted:
            request = wanted[name].request._replace(seed=seed, replay=replay)
            try:
                streams.drawer(table.rng, request)
            except ValueError as error:
                raise SpecError(f"{shown(name)}: {error}", wanted[name].path) from None
    return result


def check_stream(spec: Spec, spec_seed: int) -> None:
    """Check what a spec says of its stream as a whole.

    Raises:
        SpecError: if the stream does not go with its seed, its layers or its `fma`.
    """
    table = spec.table
    rng, stream = table.rng, STREAMS[table.rng]
    if spec_seed >= streams.seeds_of(rng):
        raise SpecError(
            f"the stream {rng} takes a spec's seed from 0 to 2**32 - 1, as "
            f"keras.utils.set_random_seed does, found {spec_seed}",
            ("seed",),
        )
    is_foreign = stream.dialect not in (None, table.dialect)
    # A layer that has a shape is drawn as a raw tensor.
    if is_foreign and next(spec.layers(), None) is not None:
        raise SpecError(
            f"the stream {rng} draws layers of the {stream.dialect} dialect, "
            f"found the dialect {table.dialect}",
            ("layers",),
            at_key=True,
        )
    if table.fma is not None and not stream.fuses:
        fusing = ", ".join(name for name, each in STREAMS.items() if each.fuses)
        raise SpecError(
            f"fma is for streams whose framework fuses multiply and add: {fusing}; {rng} does not",
            ("fma",),
            at_key=True,
        )


def _defaults(spec: Spec, fma: bool) -> Iterator[tuple[str, Request]]:
    """Give what constructing a spec's modules draws, whatever draws their tensors afterwards."""
    table = spec.table
    x = next(iter(spec.inputs().values()), None)
    for weight in torch_defaults(spec.layers(), x) if table.layers else ():
        rule = weight.fans or table.fans or table.dialect
        kernel = Kernel(weight.shape, weight.axes, weight.fused, rule)
        law = decide(weight.initializer, kernel, weight.names).distribution
        if weight.patch is not None and not isinstance(law, Patched):
            law = Patched(law, *weight.patch)
        dtype = weight.dtype or table.dtype
        yield weight.name, Request(law, weight.shape, 0, weight.name, dtype, (), fma)


def by_seeds(
    rng: str, wanted: Mapping[str, Wanted], slots: Iterable[Slot], spec_seed: int
) -> tuple[dict[str, Origin], bool]:
    """Return the seed of each random tensor, and whether any comes from the spec's.

    `slots` are the places at which building the layers may draw one; a stream whose framework has
    no such seed of a model has none.

    Raises:
        SpecError: if a random tensor has no seed.
    """
    given = {name: each.own for name, each in wanted.items()}
    for name, each in wanted.items():
        if not each.in_layer and each.own is None:
            given[name] = each.entry
    found = list(slots)
    for slot in found:
        if slot.kernel and slot.name in given and given[slot.name] is None:
            given[slot.name] = wanted[slot.name].entry
    drawn = _drawn(found, given, wanted, spec_seed) if rng.startswith("keras-") else {}
    origins: dict[str, Origin] = {}
    for name, each in wanted.items():
        if not is_random(each.request.law):
            continue
        seed = given[name]
        if seed is None:
            seed = drawn.get(name)
        if seed is None:
            is_kernel = any(slot.kernel and slot.name == name for slot in found)
            raise SpecError(_no_seed(rng, name, each, is_kernel), each.path)
        origins[name] = Origin(seed)
    return origins, any(given[name] is None for name in origins)


def _drawn(
    slots: list[Slot],
    given: Mapping[str, int | None],
    wanted: Mapping[str, Wanted],
    spec_seed: int,
) -> dict[str, int]:
    """Draw as Keras does: `random.Random(seed).randint(1, 10**9)` at each place that draws."""
    from random import Random

    source = Random(spec_seed)
    drawn: dict[str, int] = {}
    for slot in slots:
        if slot.same_as:
            same = given.get(slot.same_as)
            drawn[slot.name] = drawn.get(slot.same_as, 0) if same is None else same
        elif _draws(slot, given, wanted):
            seed = source.randint(1, 10**9)
            if slot.used and slot.name:
                drawn[slot.name] = seed
    return drawn


def _draws(slot: Slot, given: Mapping[str, int | None], wanted: Mapping[str, Wanted]) -> bool:
    """Tell whether an initialiser is random and unseeded; a dropout always draws."""
    if slot.name in wanted:
        return given[slot.name] is None and is_random(wanted[slot.name].request.law)
    return slot.choice is None or _is_unseeded(slot.choice)


def _is_unseeded(choice: InitializerChoice) -> bool:
    value = choice.value
    if isinstance(value, Mapping):
        return value.get("name") not in _CONSTANTS and value.get("seed") is None
    return value not in _CONSTANTS


def _no_seed(rng: str, name: str, wanted: Wanted, is_kernel: bool) -> str:
    start = f"the stream {rng} needs a seed for each random tensor: give "
    if wanted.in_layer and not is_kernel:
        return f"{start}the initializer of {shown(name)} one, such as {{name: ..., seed: 7}}"
    return f"{start}{shown(name)} one, such as seed: 7"


def by_position(
    rng: str,
    wanted: Mapping[str, Wanted],
    defaults: Iterable[tuple[str, Request]],
    spec_seed: int,
) -> dict[str, Origin]:
    """Return where each random tensor begins in the one stream that all share.

    First every module is constructed, which draws its `defaults`; then the tensors are drawn that
    something else decides, in the plan's order.

    Raises:
        SpecError: if an entry has a seed of its own.
    """
    _check_no_seeds(rng, wanted)
    position: tuple[int, ...] = ()
    origins: dict[str, Origin] = {}
    for name, request in _in_order(wanted, defaults):
        known = wanted.get(name)
        if known is not None and known.request.law == request.law:
            origins[name] = Origin(spec_seed, position)
        try:
            position = streams.advance(rng, request._replace(position=position))
        except ValueError as error:
            path = () if known is None else known.path
            raise SpecError(f"{shown(name)}: {error}", path) from None
    return origins


def _check_no_seeds(rng: str, wanted: Mapping[str, Wanted]) -> None:
    for name, each in wanted.items():
        if each.own is not None or each.entry is not None:
            raise SpecError(
                f"the stream {rng} is one for all tensors, so {shown(name)} takes no seed of its "
                "own; seed the spec",
                each.path,
            )


def _in_order(
    wanted: Mapping[str, Wanted], defaults: Iterable[tuple[str, Request]]
) -> Iterator[tuple[str, Request]]:
    for name, request in defaults:
        if is_random(request.law):
            yield name, request
    for name, each in wanted.items():
        if is_random(each.request.law) and not each.by_default:
            yield name, each.request


def check_drawable(rng: str, wanted: Mapping[str, Wanted], origins: Mapping[str, Origin]) -> None:
    """Check that the stream can draw every tensor, and none twice.

    Raises:
        SpecError: at the tensor that it cannot draw, or that would be another's twin.
    """
    seen: dict[tuple[object, ...], str] = {}
    for name, each in wanted.items():
        request = each.request
        if not is_random(request.law):
            continue
        request = request._replace(seed=origins[name].seed, position=origins[name].position)
        try:
            streams.drawer(rng, request)
        except ValueError as error:
            raise SpecError(f"{shown(name)}: {error}", each.path) from None
        same = seen.setdefault((request.law, request.shape, request.seed, request.position), name)
        if same != name:
            raise SpecError(
                f"{shown(name)} would be identical to {shown(same)}: the same seed "
                f"{request.seed}, shape and distribution; give it another seed, or tie: {same}",
                each.path,
            )
