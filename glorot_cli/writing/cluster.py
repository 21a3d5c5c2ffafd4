"""Shards as tasks on Dask distributed: its scheduler, its retries and its dashboard."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from glorot_cli.errors import GlorotError, explained, shown
from glorot_cli.formats.leavings import at_a_stop, sweep
from glorot_cli.formats.replacing import errors_named, resolved
from glorot_cli.formats.shards import NAMES, SHARD_SIZE
from glorot_cli.moments import Moments
from glorot_cli.plan import Plan, make_plan
from glorot_cli.spec import load_spec
from glorot_cli.writing.checkpoint import Checkpoint, Filling
from glorot_cli.writing.ranks import Ranks, check_divisible
from glorot_cli.writing.sharding import check_shards
from glorot_cli.writing.weights import WriteOptions, plan_shards, write_weights

if TYPE_CHECKING:
    from distributed import Client

RETRIES = 3
# Seconds to wait for a scheduler to say that it is one.
PATIENCE = 8


def write_on_cluster(
    address: str,
    plan: Plan,
    path: str | os.PathLike[str],
    *,
    base: Checkpoint | None = None,
    resume: bool = False,
    **options: Unpack[WriteOptions],
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
    target = Path(path).absolute()
    with _hushed():
        if address == "local":
            started: list[Any] = []
            with at_a_stop(lambda: _end_workers(started, target)):
                try:
                    with (
                        _local_cluster(LocalCluster) as cluster,
                        Client(cluster) as client,
                    ):
                        started.append(cluster)
                        return write_with_client(
                            client,
                            plan,
                            target,
                            base=base,
                            resume=resume,
                            **options,
                        )
                finally:
                    # The workers have ended, some in the middle of a shard.
                    _sweep(target)
        with _connected(address) as client:
            return write_with_client(client, plan, target, base=base, resume=resume, **options)


def _connected(address: str) -> Client:
    """Connect to a scheduler, after something at that address has said that it is one.

    Raises:
        GlorotError: if nothing does in time, or something else answers.
    """
    from distributed import Client

    try:
        asyncio.run(_ask(address))
        return Client(address, timeout="5s")
    except TimeoutError:
        problem = f"no answer within {PATIENCE} seconds"
    # What is no scheduler sends bytes that the library takes for anything.
    except Exception as error:
        problem = next(iter(str(error).splitlines()), type(error).__name__)
        if isinstance(error, MemoryError):
            problem = "what answers speaks another protocol"
    raise GlorotError(f"--dask: no scheduler answers at {shown(address)}: {problem}")


async def _ask(address: str) -> None:
    from distributed.comm import connect
    from distributed.core import send_recv
    from distributed.security import Security

    security = Security().get_connection_args("client")
    if address.startswith(("tls://", "wss://")) and not security.get("ssl_context"):
        raise ValueError("there are no certificates in Dask's configuration")
    async with asyncio.timeout(PATIENCE):
        comm = await connect(address, timeout=PATIENCE, **security)
        try:
            found = await send_recv(comm, op="identity", reply=True)
        finally:
            comm.abort()
    if not isinstance(found, dict) or found.get("type") != "Scheduler":
        raise ValueError("what answers is no scheduler")


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep the library from logging what becomes one line here."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)


def _local_cluster(make: Callable[..., Any]) -> Any:
    """Start a worker for each core, which leave a Ctrl-C and its line to this process."""
    # The process that keeps count of semaphores warns of those that it has to remove.
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    resource_tracker.ensure_running()  # which later would let signals through again
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        return make(threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _end_workers(clusters: list[Any], target: Path) -> None:
    """End the workers of this process, also those that are only being started."""
    import psutil
    from distributed import Status

    for cluster in clusters:
        for nanny in cluster.workers.values():
            nanny.status = Status.closing  # or it would start its worker again
    # A worker whose start is cut short prints a traceback, so that none may outlive this loop.
    while workers := [each for each in psutil.Process().children() if _is_worker(each)]:
        for each in workers:
            with contextlib.suppress(psutil.Error):
                each.kill()
        psutil.wait_procs(workers, timeout=1)
    _sweep(target)


def _is_worker(process: Any) -> bool:
    """Tell a worker from what keeps count of semaphores, which ends after them."""
    import psutil

    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _sweep(target: Path) -> None:
    with contextlib.suppress(OSError):
        sweep(Path(os.path.realpath(target)), NAMES)


def write_with_client(
    client: Client,
    plan: Plan,
    path: str | os.PathLike[str],
    *,
    base: Checkpoint | None = None,
    resume: bool = False,
    **options: Unpack[WriteOptions],
) -> list[Moments | None]:
    """Write the shards of a plan as tasks of a client, one for each shard.

    What is there already is checked here, as for any other run. The workers then keep the shards of
    this plan that are whole: a task may be started again.
    """
    from distributed import as_completed

    check_divisible(plan)
    target, config = Path(path).absolute(), options.get("config")
    force, progress = options.get("force", False), options.pop("progress", None)
    with errors_named(target):
        target = resolved(target)
        size = options.get("max_shard_size") or SHARD_SIZE
        sharded = plan_shards(plan, target, size, config=config, base=base)
        check_shards(sharded, range(len(sharded.parts)), force=force, resume=resume)
    settings: WriteOptions = {**options, "config": config and Path(config).absolute()}
    kept = None if base is None else base.settings()
    numbers = {
        client.submit(
            _write_shard, plan.spec, target, Ranks(number, len(sharded.parts)), kept, settings,
            pure=False, retries=RETRIES, key=f"shard-{number}-{os.urandom(4).hex()}",
        ): number
        for number in range(len(sharded.parts))
    }  # fmt: skip
    found: list[Moments | None] = [None] * len(plan.tensors)
    done = 0
    try:
        for future in as_completed(list(numbers)):
            drawn = _result(future, numbers[future] + 1)
            for index, moments in enumerate(drawn):
                found[index] = moments or found[index]
            done += sharded.nbytes(numbers[future])
            if progress is not None:
                progress(done)
    except BaseException:
        client.cancel(list(numbers))
        raise
    return found


def _result(future: Any, number: int) -> list[Moments | None]:
    """Wait for a shard; what went wrong at a worker, or with one, becomes one line."""
    from distributed import KilledWorker

    try:
        found = future.result()
    except KilledWorker:
        raise GlorotError(
            f"--dask: one worker after another ended while it wrote shard {number}; "
            "their logs say why"
        ) from None
    except (CancelledError, OSError):
        raise GlorotError(
            "--dask: the scheduler was lost; start it again, and this run with --resume"
        ) from None
    except ImportError as error:
        raise GlorotError(f"--dask: a worker cannot load what it needs: {error}") from None
    if isinstance(found, str):
        raise GlorotError(found)
    return list(found)


def _write_shard(
    spec: dict[str, Any],
    path: Path,
    ranks: Ranks,
    kept: tuple[Path, tuple[str, ...], dict[str, Filling], str | None] | None,
    settings: WriteOptions,
) -> list[Moments | None] | str:
    """Write one shard, on a worker; the worker that finds all of them whole writes the index.

    What could not be written it says in a line, which is no reason for a scheduler to try again.
    """
    try:
        plan = make_plan(load_spec(spec))
        base = None if kept is None else Checkpoint.read(*kept)
        return write_weights(plan, path, ranks=ranks, resume=True, base=base, **settings)
    except Exception as error:
        line = explained(error)
        if line is None:
            raise
        return line
