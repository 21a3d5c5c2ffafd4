"""docs/clusters.md: torchrun and Dask as the page starts them, with small sizes."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import pages

pytestmark = pytest.mark.interop

BLOCKS = pages.named_blocks("clusters.md")


def torchrun(folder: Path) -> None:
    pages.ran(pages.small(BLOCKS["torchrun"]), folder)


def dask_cluster(folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def here(block: str) -> str:
        assert "8786" in block
        return block.replace("head", "127.0.0.1").replace("8786", port)

    with (
        started(here(BLOCKS["dask-scheduler"]) + " --no-dashboard", folder, "Scheduler at"),
        started(here(BLOCKS["dask-worker"]) + " --no-dashboard", folder, "Registered to"),
    ):
        pages.ran(pages.small(here(BLOCKS["dask-init"])), folder)


def dask_local(folder: Path) -> None:
    pages.ran(pages.small(BLOCKS["dask-local"]), folder)


RUNS: dict[str, Callable[[Path], None]] = {
    "torchrun": torchrun,
    "dask-scheduler": dask_cluster,
    "dask-worker": dask_cluster,
    "dask-init": dask_cluster,
    "dask-local": dask_local,
}


@contextmanager
def started(command: str, folder: Path, ready: str) -> Iterator[None]:
    """Run a command that serves, from when its log says that it is ready."""
    log = folder / f"{ready.split()[0]}.log"
    script = f"exec {command.replace(chr(10), ' ')} > {log.name} 2>&1"
    process = subprocess.Popen(["bash", "-c", script], cwd=folder, env=pages.environment(folder))
    try:
        end = time.monotonic() + 60
        while not (log.exists() and ready in log.read_text("utf-8")):
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < end, log.read_text("utf-8")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.mark.parametrize("run", {run.__name__: run for run in RUNS.values()}.values())
def test_a_command_writes_what_one_process_writes(
    tmp_path: Path, run: Callable[[Path], None]
) -> None:
    pages.copy_samples(tmp_path)
    run(tmp_path)
    command = "glorot init sample_specs/llama2_7b.yaml -o one --seed 42 --max-shard-size 1GB -q"
    pages.ran(pages.small(command), tmp_path)
    pages.ran("diff -r one llama", tmp_path)
    assert (tmp_path / "llama" / "model.safetensors.index.json").exists()
