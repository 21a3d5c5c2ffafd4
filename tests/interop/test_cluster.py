"""Shards on Dask distributed: the same bytes, also when a worker is killed."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import glorot_cli as glorot
from glorot_cli.writing.cluster import write_with_client

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore")]

SPEC: dict[str, Any] = {
    "seed": 7,
    "dims": {"n": 60},
    "tensors": {
        "w.{i}": {
            "shape": [1024, 1024], "axes": "IO", "initializer": "glorot_normal",
            "repeat": {"i": "n"},
        }
    },
}  # fmt: skip


def hashes(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}


@pytest.fixture
def plan() -> glorot.Plan:
    return glorot.make_plan(glorot.load_spec(SPEC))


def test_a_worker_killed_in_the_middle_changes_nothing(plan: glorot.Plan, tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    glorot.write_weights(plan, tmp_path / "plain", max_shard_size="4MiB")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        pids = client.run(os.getpid)
        killed = threading.Event()

        def kill() -> None:
            while not list((tmp_path / "dask").glob("model-*")):
                time.sleep(0.005)
            os.kill(next(iter(pids.values())), signal.SIGKILL)
            killed.set()

        thread = threading.Thread(target=kill)
        thread.start()
        found = write_with_client(client, plan, tmp_path / "dask", max_shard_size="4MiB", workers=1)
        thread.join()
    assert killed.is_set()
    assert sum(moments is not None for moments in found) >= 58
    assert hashes(tmp_path / "dask") == hashes(tmp_path / "plain")


def test_a_local_cluster_by_the_command_line(plan: glorot.Plan, tmp_path: Path) -> None:
    from glorot_cli.writing.cluster import write_on_cluster

    glorot.write_weights(plan, tmp_path / "plain", max_shard_size="40MiB")
    found = write_on_cluster("local", plan, tmp_path / "dask", max_shard_size="40MiB")
    assert all(moments is not None for moments in found)
    assert hashes(tmp_path / "dask") == hashes(tmp_path / "plain")


def test_a_scheduler_that_is_not_there(plan: glorot.Plan, tmp_path: Path) -> None:
    from glorot_cli.writing.cluster import write_on_cluster

    with pytest.raises(glorot.GlorotError, match=r"^--dask: no scheduler answers at 'tcp://127"):
        write_on_cluster("tcp://127.0.0.1:9", plan, tmp_path / "x", max_shard_size="4MiB")
