"""Object stores against a server on loopback: moto's for S3, with what may go wrong in between."""

from __future__ import annotations

import http.client
import http.server
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from glorot_cli.formats import remote
from glorot_cli.formats.remote import Remote

pytestmark = pytest.mark.interop

pytest.importorskip("obstore")
Run = Callable[..., tuple[int, str, str]]
BUCKET = "bucket"
SPEC = """\
seed: 5
tensors:
  a: {shape: [3000, 1700], axes: OI, initializer: glorot_uniform}
  b: {shape: [300], initializer: ones, dtype: float64}
  c: {shape: [3000, 1500], axes: OI, initializer: he_normal}
"""


@pytest.fixture(scope="module")
def moto() -> Iterator[int]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    made = http.client.HTTPConnection("127.0.0.1", port)
    made.request("PUT", f"/{BUCKET}")
    assert made.getresponse().status == 200
    yield port
    server.stop()


class Faults(http.server.BaseHTTPRequestHandler):
    """Pass requests on, but for some that fail first: by a 500, a cut connection, or slowly."""

    protocol_version = "HTTP/1.1"
    target = 0
    wanted: list[str] = []  # noqa: RUF012
    seen: list[str] = []  # noqa: RUF012

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append(f"{self.command} {self.path}")
        fault = self.wanted.pop() if self.wanted else ""
        if fault == "500":
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault == "cut":
            self.close_connection = True
            self.connection.close()
            return
        if fault == "slow":
            time.sleep(0.5)
        inner = http.client.HTTPConnection("127.0.0.1", self.target)
        inner.request(self.command, self.path, body, dict(self.headers))
        answer = inner.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_one  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """Take it that a client may be gone."""

    def handle_error(self, *_: Any) -> None:
        """Say nothing of it."""


@pytest.fixture
def store(moto: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Faults]]:
    """Work in an empty folder, with a server that fails as it is told."""
    Faults.target, Faults.wanted, Faults.seen = moto, [], []
    server = Server(("127.0.0.1", 0), Faults)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "name",
        "AWS_SECRET_ACCESS_KEY": "SECRET",
        "AWS_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    remote._store.cache_clear()
    monkeypatch.setattr(remote, "SMALLEST_PART", 5 << 20)
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SPEC)
    yield Faults
    remote._store.cache_clear()
    server.shutdown()
    server.server_close()


def uploads(port: int) -> bytes:
    inner = http.client.HTTPConnection("127.0.0.1", port)
    inner.request("GET", f"/{BUCKET}?uploads")
    return inner.getresponse().read()


def test_a_server_takes_and_gives_the_same_bytes(store: type[Faults], run: Run, moto: int) -> None:
    url = f"s3://{BUCKET}/plain/w.safetensors"
    assert run("init", "s.yaml", "-o", "w.safetensors", "-q")[0] == 0
    assert run("init", "s.yaml", "-o", url, "-q") == (0, "", "")
    assert Remote(url).text(1 << 30) == Path("w.safetensors").read_bytes()
    assert sum("partNumber" in each for each in store.seen) == 8
    assert run("diff", "-q", url, "w.safetensors") == (0, "", "")
    assert run("verify", "-q", url) == (0, "", "")
    assert run("init", "s.yaml", "-o", url)[2].endswith("exists; replace it with --force\n")
    store.seen.clear()
    assert run("inspect", "--headers", "-q", url)[0] == 0
    assert [each.split()[0] for each in store.seen] == ["HEAD", "GET"]
    assert b"<Upload>" not in uploads(moto)


@pytest.mark.parametrize("seed", range(4))
def test_faults_are_tried_again(seed: int, store: type[Faults], run: Run) -> None:
    chance = random.Random(seed)
    url = f"s3://{BUCKET}/faults{seed}/"
    faults = ["500", "cut", "slow", "", ""]
    store.wanted = [chance.choice(faults) for _ in range(14)]
    size = ["--max-shard-size", "20MB", "-q"]
    assert run("init", "s.yaml", "-o", "m", *size)[0] == 0
    assert run("init", "s.yaml", "-o", url, *size) == (0, "", "")
    store.wanted = [chance.choice(faults) for _ in range(14)]
    assert run("diff", "-q", "m", url) == (0, "", "")
    names = {file.name for file in Path("m").iterdir()}
    assert Remote(url).names() == names
    for name in names:
        assert Remote(url + name).text(1 << 30) == Path("m", name).read_bytes()


def test_a_server_that_only_fails_is_one_line(
    store: type[Faults], run: Run, moto: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "RETRIES", 2)
    remote._store.cache_clear()
    url = f"s3://{BUCKET}/never.safetensors"
    # The first two find that there is none, and start the upload.
    store.wanted = ["500"] * 40 + ["", ""]
    code, out, err = run("init", "s.yaml", "-o", url, "-q")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"glorot: cannot write {url}: ")
    assert "SECRET" not in err
    store.wanted = []
    assert Remote(url).status() is None


def test_a_killed_run_of_shards_is_resumed(store: type[Faults], run: Run) -> None:
    url, size = f"s3://{BUCKET}/killed/", ["--max-shard-size", "1KB"]
    assert run("init", "s.yaml", "-o", "m", *size, "-q")[0] == 0
    command = [sys.executable, "-m", "glorot_cli", "init", "s.yaml", "-o", url, *size, "-q"]
    store.wanted = ["slow"] * 60
    process = subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.PIPE)
    first = "model-00001-of-00003.safetensors"
    deadline = time.monotonic() + 60
    while first not in Remote(url).names() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    store.wanted = []
    there = Remote(url).names()
    assert first in there
    assert "model.safetensors.index.json" not in there
    before = Remote(url + first).status()
    assert run("init", "s.yaml", "-o", url, *size, "--resume", "-q") == (0, "", "")
    assert Remote(url + first).status() == before
    assert run("verify", "-q", url) == (0, "", "")
    assert run("diff", "-q", "m", url) == (0, "", "")


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Serve files, and parts of them."""

    def do_GET(self) -> None:
        data = Path(self.translate_path(self.path)).read_bytes()
        wanted = (self.headers.get("Range") or "bytes=0-").removeprefix("bytes=")
        first, _, last = wanted.partition("-")
        part = data[int(first) : int(last or len(data)) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_: Any) -> None:
        pass


def test_the_web_is_read(store: type[Faults], run: Run) -> None:
    assert run("init", "s.yaml", "-o", "w.safetensors", "-q")[0] == 0
    server = Server(("127.0.0.1", 0), Ranges)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/w.safetensors"
        assert run("diff", "-q", url, "w.safetensors") == (0, "", "")
        assert run("spec", url) == run("spec", "w.safetensors")
        assert run("inspect", f"{url}x")[0] == 2
    finally:
        server.shutdown()
        server.server_close()
