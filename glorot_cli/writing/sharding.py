"""Writing a checkpoint shard by shard: by one process or many, at once or resumed."""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, Literal

from glorot_cli.errors import FormatError
from glorot_cli.formats import safetensors, shards
from glorot_cli.formats.base import INDEX, compact
from glorot_cli.formats.folders import check_folder, check_places, in_the_way, settle
from glorot_cli.formats.leavings import adopt_leavings, locked, sweep
from glorot_cli.formats.replacing import check_free, errors_named, exists, replacing
from glorot_cli.formats.sources import Place
from glorot_cli.moments import Moments
from glorot_cli.plan import Plan
from glorot_cli.streams.request import Draw
from glorot_cli.workers import Progress
from glorot_cli.writing.fill import fill
from glorot_cli.writing.ranks import Ranks, check_divisible

ALONE = Ranks(0, 1)
State = Literal["missing", "foreign", "another run's", "damaged", "whole"]


@dataclass(frozen=True, slots=True)
class ShardedPlan:
    """Hold a plan cut into shards: the folder, the tensors of each, and what each file carries.

    `beside` are texts that go into the folder too, by their names; `metadata` are an older file's,
    which stay.
    """

    plan: Plan
    folder: Path
    parts: tuple[tuple[int, ...], ...]
    provenance: Mapping[str, Any]
    beside: Mapping[str, bytes] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    def file(self, number: int) -> Path:
        """Return the path of a shard."""
        return self.folder / shards.shard_name(number, len(self.parts))

    def nbytes(self, number: int) -> int:
        """Return how many bytes of tensors a shard holds."""
        return sum(self.plan.tensors[index].nbytes for index in self.parts[number])

    def claim(self, number: int) -> dict[str, Any]:
        """Return what a shard carries, with the hashes of the texts that the same run writes."""
        claim = {**self.provenance, "shard": [number + 1, len(self.parts)]}
        if self.beside:
            claim[shards.BESIDE] = {name: shards.digest(text) for name, text in self.beside.items()}
        return claim

    def state(self, number: int) -> State:
        """Tell what is at a shard's path.

        A shard takes its name only once it is written, so its header is proof enough: its claim,
        and the tensors of this very cut. Of one that is cut short the claim alone decides.
        """
        file = self.file(number)
        if not os.path.lexists(file):
            return "missing"
        claim = shards.claim_of(file)
        if claim is None:
            return "foreign"
        if shards.without_beside(claim) != shards.without_beside(compact(self.claim(number))):
            return "another run's"
        try:
            stored = safetensors.read_headers(file).tensors
        except FormatError:
            return "damaged"
        planned = (self.plan.tensors[index] for index in self.parts[number])
        is_cut = {(t.name, t.shape, t.dtype) for t in planned} == {
            (t.name, t.shape, t.dtype) for t in stored
        }
        return "whole" if is_cut else "another run's"

    def names(self) -> list[PurePath]:
        """Return the names of the shards."""
        return [PurePath(self.file(number).name) for number in range(len(self.parts))]


def write_folder(
    sharded: ShardedPlan,
    kept: Mapping[str, Draw],
    *,
    ranks: Ranks | None,
    resume: bool,
    force: bool,
    workers: int | None,
    sync: bool,
    progress: Progress | None,
) -> list[Moments | None]:
    """Write shards into a folder that takes its name when all are there.

    It has its name at once where several processes share it, or an earlier run's is resumed.
    """
    plan, folder = sharded.plan, sharded.folder
    if ranks is not None:
        check_divisible(plan)
    write = functools.partial(
        write_shards, kept=kept, workers=workers, sync=sync, progress=progress
    )
    if ranks is None and not resume:
        nbytes = sum(tensor.nbytes for tensor in plan.tensors)
        with replacing(folder, nbytes, force=force, kind="folder", sync=sync) as temporary:
            sharded = _in_place_of(sharded)
            try:
                found = write(replace(sharded, folder=temporary))
            except FormatError as error:
                text = str(error).replace(str(temporary), str(folder))
                raise FormatError(text) from None
        return [found.get(tensor.name) for tensor in plan.tensors]
    with errors_named(folder):
        settle(folder)
        adopt_leavings(folder)
        _check_is_folder(folder)
        folder.mkdir(exist_ok=True)
        with locked(folder, shared=ranks is not None):
            sweep(folder, shards.NAMES)
            found = write(
                _without_what_is_there(sharded), ranks=ranks or ALONE, resume=resume, force=force
            )
    return [found.get(tensor.name) for tensor in plan.tensors]


def check_output(sharded: ShardedPlan, *, ranks: Ranks | None, resume: bool, force: bool) -> None:
    """Check that `write_folder` will find nothing in its way, as things are now.

    Raises:
        FormatError: naming what is.
        GlorotError: if the ranks cannot share the plan.
    """
    folder = sharded.folder
    with errors_named(folder):
        settle(folder)
        if ranks is None and not resume:
            check_folder(folder, force=force)
            _in_place_of(sharded)
            return
        if ranks is not None:
            check_divisible(sharded.plan)
        _check_is_folder(folder)
        rank, world_size = ranks or ALONE
        mine = range(rank, len(sharded.parts), world_size)
        check_shards(_without_what_is_there(sharded), mine, force=force, resume=resume)


def _check_is_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise FormatError(f"cannot write {folder}/: it is a file")


def _in_place_of(sharded: ShardedPlan) -> ShardedPlan:
    """Return what takes the place of an earlier run's folder, if there is one.

    Raises:
        FormatError: if others' files are in the way.
    """
    check_places(sharded.names(), sharded.folder)
    ours = shards.written(sharded.folder) if sharded.folder.is_dir() else ()
    return _without_what_is_there(sharded, ours)


def _without_what_is_there(sharded: ShardedPlan, ours: Collection[PurePath] = ()) -> ShardedPlan:
    """Leave the texts that are there already; no other is replaced but those of an earlier run.

    Raises:
        FormatError: if there is another.
    """
    missing = {}
    for name, text in sharded.beside.items():
        place = sharded.folder / name
        if PurePath(name) in ours or not os.path.lexists(place):
            missing[name] = text
        elif not place.is_file() or place.read_bytes() != text:
            raise FormatError(f"{place} is not the {name} of these weights; move it away")
    return replace(sharded, beside=missing)


def write_shards(
    sharded: ShardedPlan,
    kept: Mapping[str, Draw],
    *,
    ranks: Ranks = ALONE,
    resume: bool = False,
    force: bool = False,
    workers: int | None = None,
    sync: bool = True,
    progress: Progress | None = None,
) -> dict[str, Moments | None]:
    """Write this rank's shards, and the index once all are there; return what was drawn.

    With `resume` a shard that is whole is kept. An older index goes before the first shard that it
    may speak of is replaced, so that nothing loads a mixture.

    Raises:
        FormatError: if a shard is there already and may not be replaced, or shards of another cut.
    """
    found: dict[str, Moments | None] = {}
    done = 0
    mine = range(ranks.rank, len(sharded.parts), ranks.world_size)
    missing = check_shards(sharded, mine, force=force, resume=resume)
    if missing:
        (sharded.folder / INDEX).unlink(missing_ok=True)
    for number in mine:
        part = part_of(sharded.plan, sharded.parts[number])
        if number in missing:
            try:
                moments = _write_shard(
                    sharded,
                    number,
                    part,
                    kept,
                    force=missing[number] != "missing",
                    workers=workers,
                    sync=sync,
                    progress=progress and functools.partial(_shifted, progress, done),
                )
            except FormatError:
                # A task that is thought lost may go on beside the one that took its place.
                if not (resume and sharded.state(number) == "whole"):
                    raise
                continue
            found.update(zip((tensor.name for tensor in part.tensors), moments, strict=True))
        done += sharded.nbytes(number)
    finish(sharded, force=force, sync=sync)
    return found


def check_shards(
    sharded: ShardedPlan, mine: Iterable[int], *, force: bool, resume: bool
) -> dict[int, State]:
    """Check that shards may be written, and fit, before the first one is.

    Return the state of those that are to be written. To resume a run replaces what is cut short,
    but no other run's shards, and nobody else's weights.

    Raises:
        FormatError: if something is in the way.
    """
    folder = sharded.folder
    if not folder.is_dir():
        return dict.fromkeys(mine, "missing")
    names = {sharded.file(number).name for number in range(len(sharded.parts))}
    for other in sorted(shards.names_in(folder) - names):
        raise FormatError(
            f"{folder}/ holds shards of another cut, such as {other}; remove them, or "
            "give --max-shard-size as it was"
        )
    states = {number: sharded.state(number) for number in range(len(sharded.parts))}
    for number, state in states.items():
        if state == "foreign":
            raise in_the_way(sharded.file(number))
    index = folder / INDEX
    text = shards.index_text(sharded.plan, sharded.parts).encode()
    if os.path.lexists(index) and not (index.is_file() and index.read_bytes() == text):
        check_places([PurePath(INDEX)], folder)
    mine = set(mine)
    for number, state in states.items():
        if state == "another run's" and not force and (resume or number not in mine):
            raise another(sharded.file(number))
    missing = {n: states[n] for n in sorted(mine) if not (resume and states[n] == "whole")}
    more = largest = 0
    for number, state in missing.items():
        file = sharded.file(number)
        if state != "missing" and not (force or resume):
            raise exists(file)
        largest = max(largest, sharded.nbytes(number))
        # An older one goes when its successor is complete.
        more += sharded.nbytes(number) - (file.stat().st_size if state != "missing" else 0)
    check_free(folder, max(more, largest))
    return missing


def another(file: Place) -> FormatError:
    """Return the refusal to replace a shard of another run."""
    return FormatError(
        f"{file} is of another run, with another spec, seed, base or size of shards; "
        "replace it with --force"
    )


def finish(sharded: ShardedPlan, *, force: bool, sync: bool) -> None:
    """Write the index, and what goes beside, once all shards are whole.

    Whoever writes the last shard writes them; two at once write the same bytes.

    Raises:
        FormatError: if another run has written a shard meanwhile.
    """
    count = len(sharded.parts)
    states = [sharded.state(number) for number in range(count)]
    if not force:
        for number, state in enumerate(states):
            if state in ("another run's", "foreign"):
                raise another(sharded.file(number))
    if any(state != "whole" for state in states):
        return
    texts = dict(sharded.beside)
    if count > 1:
        texts[INDEX] = shards.index_text(sharded.plan, sharded.parts).encode()
    for name, text in texts.items():
        place = sharded.folder / name
        try:
            with replacing(place, len(text), force=False, kind="file", sync=sync) as temporary:
                temporary.write_bytes(text)
        except FormatError:
            if not place.is_file() or place.read_bytes() != text:
                raise


def part_of(plan: Plan, indices: Sequence[int]) -> Plan:
    """Return a plan of some tensors only."""
    tensors = tuple(plan.tensors[index] for index in indices)
    return replace(plan, tensors=tensors, entries=tensors)


def _shifted(progress: Progress, done: int, written: int) -> None:
    progress(done + written)


def _write_shard(
    sharded: ShardedPlan,
    number: int,
    part: Plan,
    kept: Mapping[str, Draw],
    *,
    force: bool,
    workers: int | None,
    sync: bool,
    progress: Progress | None,
) -> list[Moments | None]:
    nbytes = sharded.nbytes(number)
    metadata = safetensors.metadata_of(sharded.claim(number), sharded.metadata)
    with replacing(sharded.file(number), nbytes, force=force, kind="file", sync=sync) as temporary:
        extents = safetensors.lay_out_tensors(part, range(len(part.tensors)), metadata, temporary)
        found = fill(part, extents, kept, workers=workers, sync=sync, progress=progress)
        safetensors.check(temporary)
    return found
