"""Faults at Dask's workers, and of the cluster itself: one line at the client, nothing left."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import glorot_cli as glorot
from glorot_cli.writing.checkpoint import Checkpoint
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


@contextmanager
def answering(what: bytes | None) -> Iterator[str]:
    """Listen on a port of this machine: send something, or nothing at all, or hang up."""
    held: list[socket.socket] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(20)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    held.append(connection)
                    if what is None:
                        connection.close()
                    elif what:
                        connection.sendall(what)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("scheme", "what", "line"),
    [
        ("tcp", b"", "no answer within 8 seconds"),
        ("tcp", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
         "what answers speaks another protocol"),
        ("tcp", b"SSH-2.0-OpenSSH_9.6\r\n", "what answers speaks another protocol"),
        ("tls", b"", "there are no certificates in Dask's configuration"),
        ("wss", b"", "there are no certificates in Dask's configuration"),
    ],
)  # fmt: skip
def test_an_address_without_a_scheduler(
    scheme: str,
    what: bytes,
    line: str,
    plan: glorot.Plan,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    started = time.monotonic()
    with answering(what) as place, pytest.raises(glorot.GlorotError) as caught:
        write_on_cluster(f"{scheme}://{place}", plan, tmp_path / "x", max_shard_size="4MiB")
    assert str(caught.value) == f"--dask: no scheduler answers at '{scheme}://{place}': {line}"
    assert time.monotonic() - started < 15
    assert capfd.readouterr() == ("", "")
    assert listing(tmp_path) == []


def test_a_port_that_hangs_up(plan: glorot.Plan, tmp_path: Path) -> None:
    with answering(None) as place, pytest.raises(glorot.GlorotError) as caught:
        write_on_cluster(place, plan, tmp_path / "x", max_shard_size="4MiB")
    assert str(caught.value).startswith(f"--dask: no scheduler answers at '{place}': ")


def test_a_worker_is_no_scheduler(plan: glorot.Plan, tmp_path: Path) -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, processes=False, protocol="tcp", dashboard_address=":0", silence_logs=50
    ) as cluster:
        address = next(iter(cluster.workers.values())).address
        with pytest.raises(glorot.GlorotError) as caught:
            write_on_cluster(address, plan, tmp_path / "x", max_shard_size="4MiB")
    assert str(caught.value) == (
        f"--dask: no scheduler answers at '{address}': what answers is no scheduler"
    )


def test_a_scheduler_that_dies(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps({**SPEC, "dims": {"n": 200}}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    module = [sys.executable, "-m"]
    commands = [
        [*module, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port],
        [*module, "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1"],
    ]
    with ExitStack() as stack:
        servers = []
        for command in commands:
            servers.append(
                subprocess.Popen(
                    [*command, "--no-dashboard"],
                    cwd=tmp_path,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
            stack.callback(servers[-1].wait)
            stack.callback(os.killpg, servers[-1].pid, signal.SIGKILL)
            time.sleep(2.0)
        process = subprocess.Popen(
            [*module, "glorot_cli", "init", "spec.json", "-o", "out", "--max-shard-size", "4MiB",
             "--dask", f"127.0.0.1:{port}", "--quiet"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while not list(tmp_path.glob("out/model-00003*")):
            time.sleep(0.005)
            assert process.poll() is None, process.communicate()
        servers[0].kill()
        said = process.communicate(timeout=30)
    line = "--dask: the scheduler was lost; start it again, and this run with --resume"
    assert (process.returncode, *said) == (2, "", f"glorot: {line}\n")


# What is there already


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Start workers in another folder than this process."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        Client(cluster) as connected,
    ):
        connected.run(os.chdir, "/")
        yield connected


def small(seed: int) -> glorot.Plan:
    return glorot.make_plan(glorot.load_spec({**SPEC, "dims": {"n": 3}, "seed": seed}))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_finished_checkpoint_is_replaced_only_by_force(client: Any, tmp_path: Path) -> None:
    output = tmp_path / "x"
    glorot.write_weights(small(1), output, max_shard_size="4MiB")
    (output / "tokenizer.json").write_text("{}")
    first = output / "model-00001-of-00003.safetensors"

    def refused(seed: int, **options: Any) -> str:
        before = contents(output)
        with pytest.raises(glorot.GlorotError) as caught:
            write_with_client(client, small(seed), output, max_shard_size="4MiB", **options)
        assert contents(output) == before
        return str(caught.value)

    for seed in (1, 2):
        assert refused(seed) == f"{first} exists; replace it with --force"
    assert refused(2, resume=True).startswith(f"{first} is of another run")
    found = write_with_client(client, small(1), output, max_shard_size="4MiB", resume=True)
    assert found == [None] * 3
    write_with_client(client, small(2), output, max_shard_size="4MiB", force=True)
    glorot.write_weights(small(2), tmp_path / "y", max_shard_size="4MiB")
    assert contents(output) == {**contents(tmp_path / "y"), "tokenizer.json": b"{}"}
    first.write_bytes(b"trained elsewhere")
    assert refused(2, force=True) == (
        f"{first} was not written by glorot, so it is not replaced; move it away"
    )


def test_paths_are_those_of_this_process(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.json").write_text("{}")
    glorot.write_weights(small(1), "old.safetensors")
    base = Checkpoint.read("old.safetensors", ["w.1"])
    options: dict[str, Any] = {"max_shard_size": "4MiB", "config": "config.json", "base": base}
    write_with_client(client, small(2), "dask", **options)
    glorot.write_weights(small(2), "plain", **options)
    assert contents(Path("dask")) == contents(Path("plain"))
    assert Path("dask/config.json").read_text() == "{}"


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
