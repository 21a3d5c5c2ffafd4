"""Writing a checkpoint shard by shard: by one process or many, at once or resumed."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glorot_cli.errors import FormatError
from glorot_cli.formats import safetensors, shards
from glorot_cli.formats.base import INDEX, compact, replacing
from glorot_cli.moments import Moments
from glorot_cli.plan import Plan
from glorot_cli.writing.fill import DrawerOf, Progress, fill
from glorot_cli.writing.ranks import Ranks

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


def write_shards(
    sharded: ShardedPlan,
    drawer_of: DrawerOf,
    *,
    ranks: Ranks = ALONE,
    resume: bool = False,
    force: bool = False,
    workers: int | None = None,
    sync: bool = True,
    progress: Progress | None = None,
) -> dict[str, Moments]:
    """Write this rank's shards, and the index once all are there; return what was drawn.

    With `resume` a shard that is whole is kept.

    Raises:
        FormatError: if a shard is there already and may not be replaced.
    """
    found: dict[str, Moments] = {}
    done = 0
    for number in range(ranks.rank, len(sharded.parts), ranks.world_size):
        part = _part(sharded.plan, sharded.parts[number])
        nbytes = sum(tensor.nbytes for tensor in part.tensors)
        if not (resume and sharded.is_whole(number)):
            moments = _write_shard(
                sharded,
                number,
                part,
                drawer_of,
                force=force or resume,
                workers=workers,
                sync=sync,
                progress=progress and functools.partial(_shifted, progress, done),
            )
            found.update(zip((tensor.name for tensor in part.tensors), moments, strict=True))
        done += nbytes
    finish(sharded, sync=sync)
    return found


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
    drawer_of: DrawerOf,
    *,
    force: bool,
    workers: int | None,
    sync: bool,
    progress: Progress | None,
) -> list[Moments]:
    nbytes = sum(tensor.nbytes for tensor in part.tensors)
    metadata = {"format": "pt", "glorot": compact(sharded.claim(number))}
    with replacing(sharded.file(number), nbytes, force=force, kind="file", sync=sync) as temporary:
        extents = safetensors.lay_out_tensors(part, range(len(part.tensors)), metadata, temporary)
        return fill(part, extents, drawer_of, workers=workers, sync=sync, progress=progress)
