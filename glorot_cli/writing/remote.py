"""Writing to object stores: blocks are drawn side by side and sent in the order of the object."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glorot_cli.dtypes import Array
from glorot_cli.errors import FormatError, GlorotError
from glorot_cli.formats import Format, npy, npy_header, safetensors, shards
from glorot_cli.formats.base import INDEX, Extent, compact
from glorot_cli.formats.remote import Remote
from glorot_cli.formats.remote_headers import read_headers
from glorot_cli.formats.replacing import exists
from glorot_cli.formats.table import NPY, SAFETENSORS, SHARDS
from glorot_cli.moments import Moments
from glorot_cli.plan import Plan
from glorot_cli.streams.request import Draw
from glorot_cli.workers import Progress
from glorot_cli.writing.fill import Span, pour
from glorot_cli.writing.ranks import Ranks, check_divisible
from glorot_cli.writing.sharding import ALONE, ShardedPlan, State, another, part_of

if TYPE_CHECKING:
    from obstore import WritableFile

    from glorot_cli.writing.checkpoint import Checkpoint

# What all extents of one object name: only that it is the same matters.
_HERE = Path()


class _Stream:
    """Hand spans to an object's writer in their order, from whichever thread drew them."""

    def __init__(self, writer: WritableFile) -> None:
        self._writer = writer
        self._turn = threading.Condition()
        self._next = 0
        self._failed = False

    def put(self, span: Span, buffer: Array) -> None:
        """Wait for the spans before, and send this one."""
        with self._turn:
            self._turn.wait_for(lambda: self._failed or self._next == span.number)
            if self._failed:
                raise GlorotError("another thread failed")
        for _, data in span.runs(buffer):
            self._writer.write(data.tobytes())
        with self._turn:
            self._next += 1
            self._turn.notify_all()

    def close(self, *, failed: bool) -> None:
        """Let nobody wait for a span that does not come."""
        with self._turn:
            self._failed |= failed
            self._turn.notify_all()


def _sent(
    plan: Plan,
    chosen: Format,
    claim: Mapping[str, Any],
    place: Remote,
    kept: Mapping[str, Draw],
    kept_texts: Mapping[str, str],
    *,
    workers: int | None,
    progress: Progress | None,
) -> list[Moments | None]:
    if chosen is NPY:
        (tensor,) = plan.tensors
        header = npy_header.header_bytes(tensor.shape, tensor.dtype)
        places = [(0, len(header))]
    else:
        metadata = safetensors.metadata_of(claim, kept_texts)
        header, places = safetensors.header_of(plan, range(len(plan.tensors)), metadata)
    # Spans are told apart by their files, and there is one.
    extents = [Extent(index, _HERE, offset) for index, offset in places]
    nbytes = len(header) + sum(tensor.nbytes for tensor in plan.tensors)
    with place.writer(nbytes) as writer:
        writer.write(header)
        stream = _Stream(writer)
        return pour(plan, extents, kept, lambda: stream, workers=workers, progress=progress)


def write_shards(
    sharded: ShardedPlan,
    place: Remote,
    kept: Mapping[str, Draw],
    *,
    ranks: Ranks | None,
    resume: bool,
    force: bool,
    workers: int | None,
    progress: Progress | None,
) -> list[Moments | None]:
    """Write this rank's shards as objects, and the index once all are there.

    Whoever writes the last shard writes the index; two at once write the same bytes. With `resume`
    a shard that is there is kept. An older index goes before the first shard that it may speak of
    is replaced.

    Raises:
        FormatError: if something is in the way.
    """
    plan, count = sharded.plan, len(sharded.parts)
    if ranks is not None:
        check_divisible(plan)
    rank, world_size = ranks or ALONE
    mine = range(rank, count, world_size)
    missing = _missing(sharded, place, mine, resume=resume, force=force)
    if missing:
        (place / INDEX).delete()
    found: dict[str, Moments | None] = {}
    done = 0
    for number in mine:
        if number in missing:
            part = part_of(plan, sharded.parts[number])
            moments = _sent(
                part,
                SHARDS,
                sharded.claim(number),
                place / shards.shard_name(number, count),
                kept,
                sharded.metadata,
                workers=workers,
                progress=progress and functools.partial(_shifted, progress, done),
            )
            found.update(zip((tensor.name for tensor in part.tensors), moments, strict=True))
        done += sharded.nbytes(number)
    _finish(sharded, place, force=force)
    return [found.get(tensor.name) for tensor in plan.tensors]


def _shifted(progress: Progress, done: int, written: int) -> None:
    progress(done + written)


def _missing(
    sharded: ShardedPlan, place: Remote, mine: range, *, resume: bool, force: bool
) -> set[int]:
    """Return the shards that are to be written, before the first one is.

    Raises:
        FormatError: if there are others' objects, another cut's, or some that may not be replaced.
    """
    names = place.names()
    states = _states(sharded, place, names)
    own = {shards.shard_name(number, len(sharded.parts)) for number in states}
    for other in sorted(name for name in names if shards.is_shard(name) and name not in own):
        raise FormatError(
            f"{place} holds shards of another cut, such as {other}; remove them, or "
            "give --max-shard-size as it was"
        )
    for number, state in states.items():
        file = place / shards.shard_name(number, len(sharded.parts))
        if state == "foreign":
            raise FormatError(
                f"{file} was not written by glorot, so it is not replaced; move it away"
            )
        if state == "another run's" and not force and (resume or number not in mine):
            raise another(file)
        if state != "missing" and number in mine and not (force or resume):
            raise exists(file)
    if not (force or resume) and INDEX in names and len(mine) == len(sharded.parts):
        raise exists(place / INDEX)
    for name, text in sharded.beside.items():
        if name in names and (place / name).text(shards.LARGEST_CONFIG) != text:
            raise FormatError(f"{place / name} is not the {name} of these weights; move it away")
    return {n for n in mine if not (resume and states[n] == "whole")}


def _states(sharded: ShardedPlan, place: Remote, names: set[str]) -> dict[int, State]:
    count = len(sharded.parts)
    return {
        number: _state(sharded, number, place / shards.shard_name(number, count))
        if shards.shard_name(number, count) in names
        else "missing"
        for number in range(count)
    }


def _state(sharded: ShardedPlan, number: int, file: Remote) -> State:
    """Tell what an object is: it is there as a whole, so its header is proof enough."""
    try:
        stored = read_headers(file)
    except FormatError:
        return "foreign"
    if not isinstance(stored.provenance, str):
        return "foreign"
    said = shards.without_beside(stored.provenance)
    if said != shards.without_beside(compact(sharded.claim(number))):
        return "another run's"
    planned = (sharded.plan.tensors[index] for index in sharded.parts[number])
    is_cut = {(t.name, t.shape, t.dtype) for t in planned} == {
        (t.name, t.shape, t.dtype) for t in stored.tensors
    }
    return "whole" if is_cut else "another run's"


def _finish(sharded: ShardedPlan, place: Remote, *, force: bool) -> None:
    """Write what goes beside, and the index last, once all shards are there.

    Raises:
        FormatError: if another run has written a shard meanwhile.
    """
    count = len(sharded.parts)
    states = _states(sharded, place, place.names())
    for number, state in states.items():
        if state in ("another run's", "foreign") and not force:
            raise another(place / shards.shard_name(number, count))
    if any(state != "whole" for state in states.values()):
        return
    for name, text in sharded.beside.items():
        (place / name).put(text)
    if count > 1:
        (place / INDEX).put(shards.index_text(sharded.plan, sharded.parts).encode())


def write_remote(
    plan: Plan,
    place: Remote,
    chosen: Format,
    *,
    max_shard_size: str | None,
    config: str | os.PathLike[str] | None,
    beside: Mapping[str, bytes] | None,
    base: Checkpoint | None,
    ranks: Ranks | None,
    resume: bool,
    workers: int | None,
    force: bool,
    progress: Progress | None,
) -> list[Moments | None]:
    """Draw a plan into an object, or into shards and their index; nothing is on the local disk.

    The options are those of `write_weights`.

    Raises:
        FormatError: if it cannot be written there.
        GlorotError: if a tensor cannot be drawn.
    """
    from glorot_cli.writing.weights import (
        FOR_SHARDS,
        carried,
        check_drawable,
        plan_shards,
        read_configuration,
    )

    if not place.is_writable:
        raise FormatError(
            f"cannot write {place}: the web is read only; write to s3://, az://, gs://"
        )
    if chosen not in (SAFETENSORS, NPY, SHARDS):
        raise FormatError(
            f"cannot write {place}: to stores go .safetensors, .npy and, with --max-shard-size, "
            "shards; write to a disk and copy it"
        )
    kept = check_drawable(plan, base)
    if chosen is SHARDS and max_shard_size is not None:
        if base is not None and any(
            isinstance(each, Remote) and each.parent.url == f"{place.url.rstrip('/')}/"
            for each in base.files.paths
        ):
            raise GlorotError(f"the base is in {place}, which is written shard by shard")
        sharded = plan_shards(plan, _HERE, max_shard_size, config=config, beside=beside, base=base)
        return write_shards(
            sharded,
            place,
            kept,
            ranks=ranks,
            resume=resume,
            force=force,
            workers=workers,
            progress=progress,
        )
    if resume or ranks is not None:
        raise GlorotError(FOR_SHARDS)
    read_configuration(chosen, config)
    if chosen is NPY:
        npy.check_one(plan)
    if not force and place.status() is not None:
        raise exists(place)
    claim = carried(chosen, plan, base)
    texts = {} if base is None else base.file.metadata
    return _sent(plan, chosen, claim, place, kept, texts, workers=workers, progress=progress)
