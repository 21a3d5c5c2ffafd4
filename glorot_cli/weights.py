"""Writing a plan's weights to a file: its format, its provenance, and what replaces what."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from glorot_cli.checkpoint import Checkpoint
from glorot_cli.drawing import check, drawer
from glorot_cli.errors import FormatError, GlorotError
from glorot_cli.fill import DrawerOf, Progress, fill
from glorot_cli.formats import Format, check_dtypes, choose_format
from glorot_cli.formats.base import replacing
from glorot_cli.formats.shards import parse_size
from glorot_cli.moments import Moments
from glorot_cli.plan import Plan
from glorot_cli.streams import aes_ctr


def provenance(plan: Plan, base: Checkpoint | None = None) -> dict[str, Any]:
    """Return what a file carries, from which the plan can be made again.

    Of a base checkpoint it tells which tensors were drawn, not where the others came from.
    """
    entry: dict[str, Any] = {
        "format": 1,
        "spec": plan.spec,
        "stream": {"name": plan.rng, "version": aes_ctr.VERSION},
    }
    return entry if base is None else {**entry, "base": base.claim()}


def write_weights(
    plan: Plan,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    max_shard_size: str | None = None,
    config: str | os.PathLike[str] | None = None,
    base: Checkpoint | None = None,
    workers: int | None = None,
    force: bool = False,
    sync: bool = True,
    progress: Progress | None = None,
) -> list[Moments]:
    """Draw every tensor of a plan into a file, and return their moments in the plan's order.

    `format` overrides the path's ending; `max_shard_size` (such as 5GB) makes a folder of shards;
    `config` is a model's configuration to put beside or inside; `base` gives the tensors that are
    kept rather than drawn; `workers` defaults to all cores and changes no byte; `sync` flushes to
    the disk before the file takes its name; `progress` is told the bytes written.

    Raises:
        FormatError: if the file cannot be written, or the format cannot hold the plan.
        GlorotError: if a tensor cannot be drawn.
    """
    chosen = choose_format(os.fspath(path), format, sharded=max_shard_size is not None)
    check_dtypes(chosen, plan)
    settings = _settings(chosen, path, max_shard_size, config)
    drawer_of: DrawerOf = drawer
    if base is not None:
        kept = base.drawers(plan)
        drawer_of = functools.partial(_kept_or_drawn, kept)
        checked = [tensor for tensor in plan.tensors if tensor.name not in kept]
    else:
        checked = list(plan.tensors)
    for tensor in checked:
        check(tensor)
    nbytes = sum(tensor.nbytes for tensor in plan.tensors)
    with replacing(Path(path), nbytes, force=force, kind=chosen.kind, sync=sync) as temporary:
        extents = chosen.lay_out(plan, provenance(plan, base), temporary, **settings)
        found = fill(plan, extents, drawer_of, workers=workers, sync=sync, progress=progress)
        if chosen.finish is not None:
            chosen.finish(temporary, config)
    return found


def _kept_or_drawn(kept: Any, tensor: Any) -> Any:
    return kept[tensor.name] if tensor.name in kept else drawer(tensor)


def _settings(
    chosen: Format,
    path: str | os.PathLike[str],
    max_shard_size: str | None,
    config: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    if config is not None:
        if chosen.finish is None:
            raise GlorotError("--config is for .keras and for folders of shards")
        if not Path(config).is_file():
            raise FormatError(f"cannot read {config}: there is no such file")
    elif chosen.name == "keras-archive":
        raise GlorotError(".keras needs the model's configuration: --config model.json")
    if chosen.name == "keras-shards":
        return {"largest": parse_size(max_shard_size or "5GB"), "target": Path(path).name}
    return {"largest": parse_size(max_shard_size)} if max_shard_size is not None else {}
