"""Writing a plan's weights to a file: its format, its provenance, and what replaces what."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from glorot_cli.drawing import check_all
from glorot_cli.errors import FormatError, GlorotError, shown
from glorot_cli.formats import Format, check_plan, choose_format
from glorot_cli.formats.base import KerasNames, Output, compact
from glorot_cli.formats.checksums import Checksums
from glorot_cli.formats.folders import check_places, files_in
from glorot_cli.formats.remote import Remote, is_url
from glorot_cli.formats.replacing import check_set, errors_named, replacing, resolved
from glorot_cli.formats.shards import CONFIG, LARGEST_CONFIG, SHARD_SIZE, parse_size, split
from glorot_cli.formats.table import SHARDS
from glorot_cli.formats.texts import parse_json
from glorot_cli.moments import Moments
from glorot_cli.plan import Plan, PlannedTensor
from glorot_cli.streams import stream_claim
from glorot_cli.streams.request import Draw
from glorot_cli.workers import Progress
from glorot_cli.writing.fill import fill
from glorot_cli.writing.ranks import Ranks

if TYPE_CHECKING:
    from glorot_cli.writing.checkpoint import Checkpoint
    from glorot_cli.writing.sharding import ShardedPlan

FOR_SHARDS = "--resume and ranks are for shards: give --max-shard-size"
# Format 1 had no `per`: it took a tensor as one matrix where this one takes each kernel.
PROVENANCE_FORMAT = 2


class WriteOptions(TypedDict, total=False):
    """Hold options of `write_weights` that others pass on."""

    max_shard_size: str | None
    config: str | os.PathLike[str] | None
    beside: Mapping[str, bytes] | None
    workers: int | None
    force: bool
    sync: bool
    progress: Progress | None


def provenance(plan: Plan, base: Checkpoint | None = None) -> dict[str, Any]:
    """Return what a file carries, from which the plan can be made again.

    Of a base checkpoint it tells which tensors were drawn, not where the others came from.
    """
    entry: dict[str, Any] = {
        "format": PROVENANCE_FORMAT,
        "spec": plan.spec,
        "stream": stream_claim(plan.rng),
    }
    return entry if base is None else {**entry, "base": base.claim()}


def carried(chosen: Format, plan: Plan, base: Checkpoint | None) -> dict[str, Any]:
    """Return what a file of a format carries: nothing if that is longer than it can hold."""
    entry = provenance(plan, base)
    most = chosen.largest_provenance
    fits = chosen.holds_provenance and (most is None or len(compact(entry).encode()) <= most)
    return entry if fits else {}


def write_weights(
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
    workers: int | None = None,
    force: bool = False,
    sync: bool = True,
    progress: Progress | None = None,
    keras_names: KerasNames | None = None,
) -> list[Moments | None]:
    """Draw every tensor of a plan into a file, and return their moments in the plan's order.

    `format` overrides the path's ending; `max_shard_size` (such as 5GB) makes a folder of shards;
    `config` is a model's configuration to put beside or inside, and `beside` are more texts for a
    folder of shards, by their names; `base` gives the tensors that are kept rather than drawn;
    `ranks` writes one rank's shards only, and `resume` keeps those that are there, whose moments
    are None then; `workers` defaults to all cores and changes no byte; `sync` flushes to the disk
    before the file takes its name; `progress` is told the bytes written; `keras_names` are the
    lists by which Keras reads an .h5 of its older layout.

    Raises:
        FormatError: if the file cannot be written, or the format cannot hold the plan.
        GlorotError: if a tensor cannot be drawn.
    """
    chosen = choose_format(os.fspath(path), format, sharded=max_shard_size is not None)
    check_plan(chosen, plan)
    if is_url(path):
        from glorot_cli.writing.remote import write_remote

        return write_remote(
            plan,
            Remote(os.fspath(path)),
            chosen,
            max_shard_size=max_shard_size,
            config=config,
            beside=beside,
            base=base,
            ranks=ranks,
            resume=resume,
            workers=workers,
            force=force,
            progress=progress,
        )
    # A symbolic link is followed, so the files of a set are named after what it points to.
    with errors_named(Path(path)):
        target = resolved(Path(path))
    kept = check_drawable(plan, base)
    if chosen.kind == "shards" and max_shard_size is not None:
        from glorot_cli.writing.sharding import write_folder

        if base is not None and (resume or ranks is not None):
            check_base_is_elsewhere(base, target)
        return write_folder(
            plan_shards(plan, target, max_shard_size, config=config, beside=beside, base=base),
            kept,
            ranks=ranks,
            resume=resume,
            force=force,
            workers=workers,
            sync=sync,
            progress=progress,
        )
    if chosen.writer is None or resume or ranks is not None:
        raise GlorotError(FOR_SHARDS)
    writer = chosen.writer()
    output = Output(
        plan,
        carried(chosen, plan, base),
        target,
        target,
        parse_size(max_shard_size or SHARD_SIZE),
        read_configuration(chosen, config),
        metadata={} if base is None else base.file.metadata,
        keras_names=keras_names or {},
    )
    nbytes = sum(tensor.nbytes for tensor in plan.tensors)
    with replacing(
        Path(path), chosen.copies * nbytes, force=force, kind=chosen.kind, sync=sync
    ) as temporary:
        output = replace(output, path=temporary)
        extents = writer.lay_out(output)
        if chosen.kind == "set":
            check_set(temporary, target, force=force)
        elif chosen.kind == "folder":
            check_places(files_in(temporary), target)
        checksums = Checksums() if writer.checksums else None
        found = fill(
            plan,
            extents,
            kept,
            workers=workers,
            sync=sync,
            progress=progress,
            checksums=checksums,
        )
        if checksums is not None:
            output = replace(output, checksums=checksums.of_all(len(plan.tensors)))
        if writer.finish is not None:
            writer.finish(output)
    return list(found)


def check_drawable(plan: Plan, base: Checkpoint | None) -> dict[str, Draw]:
    """Check that a plan can be drawn, and return what reads the tensors that a base gives.

    Raises:
        GlorotError: if a tensor cannot be drawn, or the base does not fit.
    """
    kept = {} if base is None else base.drawers(plan)
    drawn = [tensor for tensor in plan.tensors if tensor.name not in kept]
    _check_no_base_is_missing(drawn)
    check_all(drawn)
    return kept


def _check_no_base_is_missing(drawn: Iterable[PlannedTensor]) -> None:
    """Check that nothing that is to be drawn should be copied from a base.

    Raises:
        GlorotError: if something should.
    """
    for tensor in drawn:
        if tensor.kept:
            raise GlorotError(
                f"the spec keeps {shown(tensor.name)} as it is in an older file: give it with "
                "--base"
            )


def check_base_is_elsewhere(base: Checkpoint, target: Path) -> None:
    """Check that no shard takes the place of one that others are still kept from.

    Raises:
        GlorotError: if the base is in the folder that is written shard by shard.
    """
    if any(Path(os.path.realpath(path)).parent == target for path in base.files.paths):
        raise GlorotError(
            f"the base is in {target}/, which is written shard by shard; write elsewhere"
        )


def plan_shards(
    plan: Plan,
    target: Path,
    max_shard_size: str,
    *,
    config: str | os.PathLike[str] | None,
    base: Checkpoint | None,
    beside: Mapping[str, bytes] | None = None,
) -> ShardedPlan:
    """Cut a plan into the shards of a folder.

    Each says which base it kept tensors of, by a hash of all that it holds: shards of two bases are
    not of one checkpoint.
    """
    # What few runs need is loaded by those.
    from glorot_cli.writing.sharding import ShardedPlan

    configuration = read_configuration(SHARDS, config)
    parts = tuple(map(tuple, split(plan.tensors, parse_size(max_shard_size))))
    claim = provenance(plan, base)
    if base is not None:
        claim["base"] = {**claim["base"], "sha256": base.files.digest()}
    metadata = {} if base is None else dict(base.file.metadata)
    texts = dict(beside or {})
    if configuration is not None:
        texts[CONFIG] = configuration
    return ShardedPlan(plan, target, parts, claim, texts, metadata)


def _configuration_text(path: Path) -> bytes:
    """Read a configuration from JSON, or out of a .keras archive."""
    import zipfile

    if zipfile.is_zipfile(path):
        from glorot_cli.formats import zips

        return zips.read_member(path, "config.json", LARGEST_CONFIG)
    if path.stat().st_size > LARGEST_CONFIG:
        raise FormatError(f"{path}: expected a configuration below 64 MiB")
    return path.read_bytes()


def read_configuration(chosen: Format, config: str | os.PathLike[str] | None) -> bytes | None:
    """Read and check a model's configuration before anything is drawn.

    Raises:
        GlorotError: if the format needs one that was not given, or takes none.
        FormatError: if it is none.
    """
    if config is None:
        if chosen.configuration == "keras":
            raise GlorotError(".keras needs the model's configuration: --config model.json")
        return None
    if chosen.configuration is None:
        raise GlorotError("--config is for .keras and for folders of shards")
    path = Path(config)
    try:
        if not path.is_file():
            problem = "it is not a regular file" if path.exists() else "there is no such file"
            raise FormatError(f"cannot read {config}: {problem}")
        text = _configuration_text(path)
    except OSError as error:
        raise FormatError(f"cannot read {config}: {error.strerror}") from None
    try:
        found = parse_json(text)
        is_right = isinstance(found, dict) and (
            chosen.configuration == "model"
            or ("class_name" in found and isinstance(found.get("config"), dict))
        )
    except ValueError:
        is_right = False
    if not is_right:
        kind = "Keras model" if chosen.configuration == "keras" else "model's configuration"
        raise FormatError(f"{config}: expected the JSON of a {kind}")
    return text
