"""Writing a checkpoint shard by shard: by one process or many, at once or resumed."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glorot_cli.errors import FormatError
from glorot_cli.formats import safetensors, shards
from glorot_cli.formats.base import INDEX, compact
from glorot_cli.formats.leavings import adopt_leavings, sweep
from glorot_cli.formats.replacing import check_free, errors_named, exists, replacing
from glorot_cli.moments import Moments
from glorot_cli.plan import Plan
from glorot_cli.streams.request import Draw
from glorot_cli.writing.fill import Progress, fill
from glorot_cli.writing.ranks import Ranks, check_divisible

ALONE = Ranks(0, 1)


@dataclass(frozen=True, slots=True)
class ShardedPlan:
    """Hold a plan cut into shards: the folder, the tensors of each, and what each file carries."""

    plan: Plan
    folder: Path
    parts: tuple[tuple[int, ...], ...]
    provenance: Mapping[str, Any]
    configuration: bytes | None = None

    def file(self, number: int) -> Path:
        """Return the path of a shard."""
        return self.folder / shards.shard_name(number, len(self.parts))

    def nbytes(self, number: int) -> int:
        """Return how many bytes of tensors a shard holds."""
        return sum(self.plan.tensors[index].nbytes for index in self.parts[number])

    def claim(self, number: int) -> dict[str, Any]:
        """Return what a shard carries."""
        return {**self.provenance, "shard": [number + 1, len(self.parts)]}

    def is_whole(self, number: int) -> bool:
        """Tell whether a shard is there, complete, and of this very plan.

        A shard takes its name only once it is written, so its header is proof enough.
        """
        try:
            stored = safetensors.read_headers(self.file(number))
        except (FormatError, OSError):
            return False
        return bool(stored.provenance == compact(self.claim(number)))


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

    It has its name at once where several processes share it, or an earlier run's is gone on with.
    """
    plan, folder = sharded.plan, sharded.folder
    write = functools.partial(
        write_shards, kept=kept, workers=workers, sync=sync, progress=progress
    )
    if ranks is None and not resume:
        nbytes = sum(tensor.nbytes for tensor in plan.tensors)
        with replacing(folder, nbytes, force=force, kind="folder", sync=sync) as temporary:
            try:
                found = write(replace(sharded, folder=temporary))
            except FormatError as error:
                text = str(error).replace(str(temporary), str(folder))
                raise FormatError(text) from None
    else:
        if ranks is not None:
            check_divisible(plan)
        with errors_named(folder):
            adopt_leavings(folder)
            if folder.exists() and not folder.is_dir():
                raise FormatError(f"cannot write {folder}/: it is a file")
            folder.mkdir(exist_ok=True)
            sweep(folder)
        found = write(sharded, ranks=ranks or ALONE, resume=resume, force=force)
    return [found.get(tensor.name) for tensor in plan.tensors]


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
) -> dict[str, Moments]:
    """Write this rank's shards, and the index once all are there; return what was drawn.

    With `resume` a shard that is whole is kept. An older index goes before the first shard that it
    may speak of is replaced, so that nothing loads a mixture.

    Raises:
        FormatError: if a shard is there already and may not be replaced, or shards of another cut.
    """
    found: dict[str, Moments] = {}
    done = 0
    mine = range(ranks.rank, len(sharded.parts), ranks.world_size)
    missing = {number for number in mine if not (resume and sharded.is_whole(number))}
    _check(sharded, sorted(missing), force=force, resume=resume)
    if missing:
        (sharded.folder / INDEX).unlink(missing_ok=True)
    for number in mine:
        part = _part(sharded.plan, sharded.parts[number])
        if number in missing:
            moments = _write_shard(
                sharded,
                number,
                part,
                kept,
                force=force or resume,
                workers=workers,
                sync=sync,
                progress=progress and functools.partial(_shifted, progress, done),
            )
            found.update(zip((tensor.name for tensor in part.tensors), moments, strict=True))
        done += sharded.nbytes(number)
    finish(sharded, sync=sync)
    return found


def _check(sharded: ShardedPlan, numbers: Sequence[int], *, force: bool, resume: bool) -> None:
    """Check that all of some shards may be written, and fit, before the first one is.

    To go on with a run may replace what another run of ours left, but nobody else's weights.
    """
    more = largest = 0
    names = {sharded.file(number).name for number in range(len(sharded.parts))}
    with errors_named(sharded.folder):
        for other in sorted(shards.names_in(sharded.folder) - names):
            raise FormatError(
                f"{sharded.folder}/ holds shards of another cut, such as {other}; remove them, or "
                "give --max-shard-size as it was"
            )
        for number in numbers:
            file = sharded.file(number)
            if file.exists() and not force:
                if not resume:
                    raise exists(file)
                if _is_foreign(file):
                    raise FormatError(
                        f"{file} was not written by glorot; replace it with --resume --force"
                    )
            largest = max(largest, sharded.nbytes(number))
            # An older one goes when its successor is complete.
            more += sharded.nbytes(number) - (file.stat().st_size if file.exists() else 0)
        check_free(sharded.folder, max(more, largest))


def _is_foreign(file: Path) -> bool:
    """Tell whether a shard is whole, and without our provenance."""
    try:
        return safetensors.read_headers(file).provenance is None
    except (FormatError, OSError):
        return False


def finish(sharded: ShardedPlan, *, sync: bool) -> bool:
    """Write the index and the configuration if all shards are whole, and say whether they are.

    Whoever writes the last shard writes them; two at once write the same bytes.
    """
    count = len(sharded.parts)
    if not all(sharded.is_whole(number) for number in range(count)):
        return False
    texts: dict[str, bytes] = {}
    if sharded.configuration is not None:
        texts["config.json"] = sharded.configuration
    if count > 1:
        texts[INDEX] = shards.index_text(sharded.plan, sharded.parts).encode()
    for name, text in texts.items():
        with replacing(
            sharded.folder / name, len(text), force=True, kind="file", sync=sync
        ) as temporary:
            temporary.write_bytes(text)
    return True


def _part(plan: Plan, indices: Sequence[int]) -> Plan:
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
) -> list[Moments]:
    nbytes = sharded.nbytes(number)
    metadata = {"format": "pt", "glorot": compact(sharded.claim(number))}
    with replacing(sharded.file(number), nbytes, force=force, kind="file", sync=sync) as temporary:
        extents = safetensors.lay_out_tensors(part, range(len(part.tensors)), metadata, temporary)
        found = fill(part, extents, kept, workers=workers, sync=sync, progress=progress)
        safetensors.check(temporary)
    return found
