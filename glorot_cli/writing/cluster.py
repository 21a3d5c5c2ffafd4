"""Shards as tasks on Dask distributed: its scheduler, its retries and its dashboard."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glorot_cli.errors import GlorotError, shown
from glorot_cli.formats.shards import parse_size, split
from glorot_cli.moments import Moments
from glorot_cli.plan import Plan, make_plan
from glorot_cli.spec import load_spec
from glorot_cli.writing.ranks import Ranks
from glorot_cli.writing.weights import write_weights

if TYPE_CHECKING:
    from distributed import Client

RETRIES = 3


def write_on_cluster(
    address: str,
    plan: Plan,
    path: str | os.PathLike[str],
    *,
    max_shard_size: str,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> list[Moments | None]:
    """Write the shards of a plan on a cluster, whose workers share a file system.

    `address` is a scheduler's, such as tcp://host:8786, or `local`, which starts a worker for each
    core. `options` are those of `write_weights`. A shard that is whole is kept, so that a task, or
    a run, that is started again goes on where it ended.

    Raises:
        GlorotError: if there is no such scheduler, or the plan cannot be written.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise GlorotError("--dask needs the extra: pip install 'glorot[dask]'") from None
    if address == "local":
        with (
            LocalCluster(threads_per_worker=1, dashboard_address=":0") as cluster,
            Client(cluster) as client,
        ):
            return write_with_client(
                client, plan, path, max_shard_size=max_shard_size, progress=progress, **options
            )
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise GlorotError(f"--dask: no scheduler answers at {shown(address)}: {error}") from None
    with client:
        return write_with_client(
            client, plan, path, max_shard_size=max_shard_size, progress=progress, **options
        )


def write_with_client(
    client: Client,
    plan: Plan,
    path: str | os.PathLike[str],
    *,
    max_shard_size: str,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> list[Moments | None]:
    """Write the shards of a plan as tasks of a client, one for each shard."""
    from distributed import as_completed

    if plan.seed_was_drawn:
        raise GlorotError("--dask needs a seed, or each worker would draw its own: give --seed")
    parts = split(plan.tensors, parse_size(max_shard_size))
    sizes = [sum(plan.tensors[index].nbytes for index in part) for part in parts]
    target = str(Path(path).absolute())
    settings = {**options, "max_shard_size": max_shard_size}
    numbers = {
        client.submit(
            _write_shard, plan.spec, target, Ranks(number, len(parts)), settings,
            pure=False, retries=RETRIES, key=f"shard-{number}-{os.urandom(4).hex()}",
        ): number
        for number in range(len(parts))
    }  # fmt: skip
    found: list[Moments | None] = [None] * len(plan.tensors)
    done = 0
    for future in as_completed(list(numbers)):
        for index, moments in enumerate(future.result()):
            found[index] = moments or found[index]
        done += sizes[numbers[future]]
        if progress is not None:
            progress(done)
    return found


def _write_shard(
    spec: dict[str, Any], path: str, ranks: Ranks, settings: dict[str, Any]
) -> list[Moments | None]:
    """Write one shard, on a worker; the worker that finds all of them whole writes the index."""
    plan = make_plan(load_spec(spec))
    return write_weights(plan, path, ranks=ranks, resume=True, **settings)
