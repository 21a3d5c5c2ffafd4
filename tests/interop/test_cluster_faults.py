"""Faults at Dask's workers, and of the cluster itself: one line at the client, nothing left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import glorot_cli as glorot
from glorot_cli.writing.cluster import write_on_cluster, write_with_client

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore")]

SPEC: dict[str, Any] = {
    "seed": 7,
    "dims": {"n": 40},
    "tensors": {
        "w.{i}": {
            "shape": [1024, 1024], "axes": "IO", "initializer": "glorot_normal",
            "repeat": {"i": "n"},
        }
    },
}  # fmt: skip


@pytest.fixture
def plan() -> glorot.Plan:
    return glorot.make_plan(glorot.load_spec(SPEC))


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def refusal(plan: glorot.Plan, output: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """Return the line of a run on a cluster of its own, which prints nothing else."""
    with pytest.raises(glorot.GlorotError) as caught:
        write_on_cluster("local", plan, output, max_shard_size="4MiB")
    assert capfd.readouterr() == ("", "")
    return str(caught.value)


def test_a_folder_that_is_missing_at_the_workers(
    plan: glorot.Plan, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert refusal(plan, tmp_path / "no" / "x", capfd) == (
        f"cannot write {tmp_path}/no/x: there is no folder {tmp_path}/no"
    )
    assert listing(tmp_path) == []


def test_a_disk_that_is_full_at_the_workers(
    plan: glorot.Plan, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=18m", "tmpfs", str(disk)]
    if subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("this process may not mount a small file system")
    try:
        said = refusal(plan, disk / "x", capfd)
        whole = listing(disk)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert said.startswith(f"cannot write {disk}/x")
    assert said.endswith((" are free", ": No space left on device"))
    # What is whole stays, so that a later run goes on; what is not does not.
    assert whole[0] == "model-00001-of-00040.safetensors"
    assert all(name == "x" or name.endswith(".safetensors") for name in whole)
    assert not any(name.startswith(".") for name in whole)


def _deadly() -> Any:
    """Return what ends a worker's process when a shard's task begins."""
    from distributed import WorkerPlugin

    class Deadly(WorkerPlugin):  # type: ignore[misc]
        def transition(self, key: object, start: str, finish: str, **_: object) -> None:
            if finish == "executing" and str(key).startswith("shard-"):
                os.kill(os.getpid(), signal.SIGKILL)

    return Deadly()


def test_workers_that_die_again_and_again(plan: glorot.Plan, tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(_deadly())
        with pytest.raises(glorot.GlorotError) as caught:
            write_with_client(client, plan, tmp_path / "x", max_shard_size="1GiB", workers=1)
    assert str(caught.value) == (
        "--dask: one worker after another ended while it wrote shard 1; their logs say why"
    )


@pytest.mark.parametrize(
    ("number", "word", "send"),
    [
        (signal.SIGINT, "interrupted", os.killpg),  # as a terminal does
        (signal.SIGTERM, "terminated", os.kill),
    ],
)
def test_a_signal_ends_the_cluster_too(
    number: signal.Signals,
    word: str,
    send: Callable[[int, int], None],
    plan: glorot.Plan,
    tmp_path: Path,
) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    command = [
        sys.executable, "-m", "glorot_cli", "init", "spec.json", "-o", "out",
        "--max-shard-size", "4MiB", "--dask", "local", "--quiet",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not list(tmp_path.glob("out/model-00003*")):
        time.sleep(0.005)
        assert process.poll() is None
    send(process.pid, number)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (128 + number, f"glorot: {word}\n")
    assert all(name.startswith("model-") for name in listing(tmp_path / "out"))
    for _ in range(100):  # nothing of its session is left
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("a process is left")


def test_no_worker_is_started_again_at_a_stop(tmp_path: Path) -> None:
    # Such a worker's start would be cut short, and its traceback follow the line.
    program = """
import sys, time
import psutil
from distributed import LocalCluster
from glorot_cli.writing.cluster import _end_workers, _is_worker, _local_cluster, Path
if __name__ == "__main__":
    cluster = _local_cluster(LocalCluster)
    def workers():
        return sum(map(_is_worker, psutil.Process().children()))
    before = workers()
    _end_workers([cluster], Path("x"))
    seen = []
    for _ in range(100):
        seen.append(workers())
        time.sleep(0.02)
    print(before > 0, max(seen), flush=True)
    import os
    os._exit(0)
"""
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("True 0\n", "")
