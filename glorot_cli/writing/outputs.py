"""What is checked of every output before the first of several is drawn."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import NamedTuple

from glorot_cli.drawing import check
from glorot_cli.errors import FormatError, GlorotError
from glorot_cli.formats import check_plan, choose_format
from glorot_cli.formats.base import MANIFEST
from glorot_cli.formats.folders import check_folder, check_places, settle
from glorot_cli.formats.replacing import check_file, errors_named, resolved
from glorot_cli.formats.shards import SHARD_SIZE, parse_size
from glorot_cli.formats.table import KERAS_SHARDS
from glorot_cli.plan import Plan
from glorot_cli.writing.checkpoint import Checkpoint
from glorot_cli.writing.ranks import Ranks
from glorot_cli.writing.weights import (
    FOR_SHARDS,
    check_base_is_elsewhere,
    plan_shards,
    read_configuration,
)


class Place(NamedTuple):
    """Hold the files of an output, or its folder, and the bytes of its tensors."""

    files: tuple[Path, ...]
    nbytes: int


def check_output(
    plan: Plan,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    max_shard_size: str | None = None,
    config: str | os.PathLike[str] | None = None,
    beside: Mapping[str, bytes] | None = None,
    base: Checkpoint | None = None,
    ranks: Ranks | None = None,
    resume: bool = False,
    force: bool = False,
) -> Place:
    """Check that `write_weights` will find nothing in its way, as things are now.

    Raises:
        GlorotError: naming what is.
    """
    chosen = choose_format(os.fspath(path), format, sharded=max_shard_size is not None)
    check_plan(chosen, plan)
    with errors_named(Path(path)):
        target = resolved(Path(path))
    files = [target]
    if chosen.kind == "shards":
        # What few runs need is loaded by those.
        from glorot_cli.writing import sharding

        if base is not None and (resume or ranks is not None):
            check_base_is_elsewhere(base, target)
        size = max_shard_size or SHARD_SIZE
        sharded = plan_shards(plan, target, size, config=config, beside=beside, base=base)
        sharding.check_output(sharded, ranks=ranks, resume=resume, force=force)
    elif resume or ranks is not None:
        raise GlorotError(FOR_SHARDS)
    elif chosen.kind == "folder":
        read_configuration(chosen, config)
        with errors_named(target):
            settle(target)
            check_folder(target, force=force)
            names = [*(f"{tensor.name}.npy" for tensor in plan.tensors), MANIFEST]
            check_places(map(PurePath, names), target)
    else:
        read_configuration(chosen, config)
        if chosen is KERAS_SHARDS:
            from glorot_cli.formats import keras_shards

            largest = parse_size(max_shard_size or SHARD_SIZE)
            beside_it = keras_shards.files_of(plan, largest, target.name)
            files += [target.with_name(name) for name in beside_it]
        with errors_named(target):
            for file in files:
                check_file(file, force=force)
    return Place(tuple(files), chosen.copies * sum(tensor.nbytes for tensor in plan.tensors))


def check_draws(plan: Plan, base: Checkpoint | None) -> None:
    """Check what only drawing, or reading the base, would find.

    Raises:
        GlorotError: naming the first tensor that cannot be drawn or kept.
    """
    kept = {} if base is None else base.drawers(plan)
    for tensor in plan.tensors:
        if tensor.name not in kept:
            check(tensor)


def check_places_differ(places: Iterable[tuple[str, Place]]) -> None:
    """Check that no two outputs have a file in common, also by links.

    Raises:
        FormatError: naming two that have.
    """
    taken: dict[Path, str] = {}
    for name, place in places:
        for file in place.files:
            other = taken.setdefault(file, name)
            if other != name:
                raise FormatError(f"{other} and {name} would both be written to {file}")


def check_disk(places: Iterable[Place]) -> None:
    """Check that the file systems can take all of the outputs.

    Raises:
        FormatError: if one of them cannot.
    """
    needed: dict[int, int] = {}
    folders: dict[int, Path] = {}
    for place in places:
        folder = place.files[0].parent
        device = folder.stat().st_dev
        folders.setdefault(device, folder)
        needed[device] = needed.get(device, 0) + place.nbytes
    for device, folder in folders.items():
        free = shutil.disk_usage(folder).free
        if needed[device] > free:
            raise FormatError(
                f"cannot write all of it: {needed[device]:,} bytes are needed in {folder}, "
                f"{free:,} are free"
            )
