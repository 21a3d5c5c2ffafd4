"""Object stores: what is sent to one and read from it by ranges. Here it is in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.formats import remote
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.remote import Remote
from glorot_cli.workers import BLOCK_BYTES
from glorot_cli.writing.checkpoint import Checkpoint
from glorot_cli.writing.fill import Piece, Span
from glorot_cli.writing.remote import _Stream

store_module = pytest.importorskip("obstore.store")

Planned = Callable[..., glorot.Plan]
Run = Callable[..., tuple[int, str, str]]

SPEC = """\
seed: 5
tensors:
  a: {shape: [700, 900], axes: OI, initializer: glorot_uniform}
  b: {shape: [300], initializer: ones, dtype: float64}
  c: {shape: [600, 700], axes: OI, initializer: he_normal}
"""


@pytest.fixture(autouse=True)
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Work in an empty folder; let each bucket be one in memory."""
    made: dict[str, Any] = {}

    def store(root: str) -> Any:
        return made.setdefault(root, store_module.MemoryStore())

    monkeypatch.setattr(remote, "_store", store)
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SPEC)
    return made


def contents(url: str) -> bytes:
    return Remote(url).text(1 << 30)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_an_object_is_the_file(workers: str, run: Run) -> None:
    assert run("init", "s.yaml", "-o", "w.safetensors", "-q")[0] == 0
    options = ["-q", "--workers", workers]
    assert run("init", "s.yaml", "-o", "s3://bucket/a/w.safetensors", *options) == (0, "", "")
    assert contents("s3://bucket/a/w.safetensors") == Path("w.safetensors").read_bytes()
    assert run("verify", "-q", "s3://bucket/a/w.safetensors") == (0, "", "")
    assert run("diff", "-q", "w.safetensors", "s3://bucket/a/w.safetensors") == (0, "", "")
    assert run("diff", "-q", "s3://bucket/a/w.safetensors", "w.safetensors") == (0, "", "")
    turned = ["--map", "a=a:transpose"]
    assert run("diff", "-q", "s3://bucket/a/w.safetensors", "w.safetensors", *turned)[0] == 1
    code, out, _ = run("inspect", "--json", "s3://bucket/a/w.safetensors")
    local = json.loads(run("inspect", "--json", "w.safetensors")[1])
    found = json.loads(out)
    assert (code, found["files"][0]["tensors"]) == (0, local["files"][0]["tensors"])
    assert found["files"][0]["path"] == "s3://bucket/a/w.safetensors"
    assert run("spec", "s3://bucket/a/w.safetensors") == run("spec", "w.safetensors")
    assert run("plan", "s3://bucket/a/w.safetensors", "--seed", "5")[0] == 0


def test_an_object_that_is_there_is_refused(run: Run) -> None:
    url = "az://container/w.safetensors"
    assert run("init", "s.yaml", "-o", url, "-q")[0] == 0
    before = contents(url)
    command = ["init", "s.yaml", "--seed", "6", "-o", url, "-q"]
    assert run(*command) == (2, "", f"glorot: {url} exists; replace it with --force\n")
    assert contents(url) == before
    assert run(*command, "--force")[0] == 0
    assert contents(url) != before


def test_a_npy(run: Run) -> None:
    Path("one.yaml").write_text(
        "seed: 1\ntensors: {w: {shape: [30, 20], axes: OI, initializer: glorot_uniform}}\n"
    )
    assert run("init", "one.yaml", "-o", "w.npy", "-q")[0] == 0
    assert run("init", "one.yaml", "-o", "gs://bucket/w.npy", "-q")[0] == 0
    assert contents("gs://bucket/w.npy") == Path("w.npy").read_bytes()
    assert run("diff", "-q", "w.npy", "gs://bucket/w.npy")[0] == 0
    assert run("init", "s.yaml", "-o", "gs://bucket/v.npy")[2].startswith(
        "glorot: a .npy file holds one tensor, the plan has 3; "
    )


def test_shards_and_their_index(run: Run, stores: dict[str, Any]) -> None:
    url, size = "s3://bucket/m/", ["--max-shard-size", "1MB"]
    assert run("init", "s.yaml", "-o", "m", *size, "-q")[0] == 0
    assert run("init", "s.yaml", "-o", url, *size, "-q") == (0, "", "")
    names = {file.name for file in Path("m").iterdir()}
    assert Remote(url).names() == names
    for name in names:
        assert contents(url + name) == Path("m", name).read_bytes()
    for place in (url, url.rstrip("/"), f"{url}model.safetensors.index.json"):
        assert run("verify", "-q", place)[0] == 0
    assert run("diff", "-q", "m", url)[0] == 0
    assert run("inspect", "--headers", "-q", url)[0] == 0
    first = f"{url}model-00001-of-00003.safetensors"
    again = ["init", "s.yaml", "-o", url, *size]
    assert run(*again) == (2, "", f"glorot: {first} exists; replace it with --force\n")
    assert run(*again, "--resume") == (0, "", "note: every shard of this run is there already\n")
    message = "is of another run, with another spec, seed, base or size of shards"
    assert run(*again, "--resume", "--seed", "6") == (
        2, "", f"glorot: {first} {message}; replace it with --force\n"
    )  # fmt: skip
    assert run("init", "s.yaml", "-o", url, "--max-shard-size", "1GB", "--force")[2] == (
        f"glorot: {url} holds shards of another cut, such as model-00001-of-00003.safetensors; "
        "remove them, or give --max-shard-size as it was\n"
    )
    assert run(*again, "--force", "--seed", "6", "-q")[0] == 0
    assert run("verify", "-q", url)[0] == 0
    assert run("diff", "-q", "m", url)[0] == 1


def test_a_run_that_ended_early_is_resumed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    url, size = "s3://bucket/m/", ["--max-shard-size", "1MB", "-q"]
    assert run("init", "s.yaml", "-o", "m", *size)[0] == 0
    for name in ("model-00002-of-00003.safetensors",):
        Remote(url + name).put(Path("m", name).read_bytes())
    assert run("inspect", url)[2] == (
        f"glorot: cannot read {url}: there is neither model.safetensors.index.json nor "
        "model.safetensors in it\n"
    )
    sent: list[str] = []
    writer = Remote.writer

    def noted(place: Remote, nbytes: int) -> Any:
        sent.append(place.name)
        return writer(place, nbytes)

    monkeypatch.setattr(Remote, "writer", noted)
    assert run("init", "s.yaml", "-o", url, *size, "--resume") == (0, "", "")
    assert sent == ["model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"]
    assert run("diff", "-q", "m", url)[0] == 0


def test_ranks_share_a_checkpoint(run: Run) -> None:
    url, size = "s3://bucket/m/", ["--max-shard-size", "1MB", "--world-size", "2"]
    code, _, err = run("init", "s.yaml", "-o", url, *size, "--rank", "1")
    assert (code, err) == (
        0, "note: 1 shards are there so far; the rank that writes the last adds the index\n"
    )  # fmt: skip
    assert run("init", "s.yaml", "-o", url, *size, "--rank", "0", "-q")[0] == 0
    assert run("verify", "-q", url)[0] == 0


def test_what_others_wrote_is_not_replaced(run: Run) -> None:
    url, size = "s3://bucket/m/", ["--max-shard-size", "1MB", "--force"]
    other = f"{url}model-00002-of-00003.safetensors"
    Remote(other).put(b"anything")
    assert run("init", "s.yaml", "-o", url, *size)[2] == (
        f"glorot: {other} was not written by glorot, so it is not replaced; move it away\n"
    )
    Remote(other).delete()
    Path("config.json").write_text("{}")
    Remote(f"{url}config.json").put(b'{"a": 1}')
    assert run("init", "s.yaml", "-o", url, *size, "--config", "config.json")[2] == (
        f"glorot: {url}config.json is not the config.json of these weights; move it away\n"
    )
    assert Remote(url).names() == {"config.json"}
    Remote(f"{url}config.json").delete()
    assert run("init", "s.yaml", "-o", url, *size, "--config", "config.json", "-q")[0] == 0
    assert contents(f"{url}config.json") == b"{}"


def test_a_base_is_streamed(run: Run) -> None:
    url = "s3://bucket/old.safetensors"
    assert run("init", "s.yaml", "-o", url, "-q")[0] == 0
    command = ["init", "s.yaml", "--seed", "9", "--base", url, "--only", "a"]
    code, _, err = run(*command, "-o", "new.safetensors")
    assert (code, f"2 of 3 tensors kept from {url}" in err) == (0, True)
    found = {name: read_headers(path).by_name() for name, path in (("new", "new.safetensors"),)}
    assert set(found["new"]) == {"a", "b", "c"}
    assert run("verify", "-q", "new.safetensors")[0] == 0
    # It may be replaced by what is made of it: all is read before the object is there.
    assert run(*command, "-o", url, "--force", "-q")[0] == 0
    assert run("diff", "-q", "new.safetensors", url)[0] == 0
    shards = ["-o", "s3://bucket/", "--max-shard-size", "1MB"]
    assert run(*command, *shards)[2] == (
        "glorot: the base is in s3://bucket/, which is written shard by shard\n"
    )
    assert Checkpoint.read(url).path == Remote(url)


def test_an_object_that_changes_while_it_is_read(run: Run) -> None:
    url = "s3://bucket/w.safetensors"
    assert run("init", "s.yaml", "-o", url, "-q")[0] == 0
    file = read_headers(url)
    assert run("init", "s.yaml", "--seed", "6", "-o", url, "-q", "--force")[0] == 0
    place = file.tensors[0].path or file.path
    assert isinstance(place, Remote)
    with pytest.raises(glorot.FormatError, match="it was replaced while it was read"):
        place.read(0, 10)


def test_what_is_not_written_to_stores(run: Run, stores: dict[str, Any]) -> None:
    for url in ("s3://bucket/w.h5", "s3://bucket/w.pt", "s3://bucket/w/"):
        assert run("init", "s.yaml", "-o", url) == (
            2, "", f"glorot: cannot write {url}: to stores go .safetensors, .npy and, with "
            "--max-shard-size, shards; write to a disk and copy it\n",
        )  # fmt: skip
    url = "https://host/w.safetensors"
    assert run("init", "s.yaml", "-o", url)[2] == (
        f"glorot: cannot write {url}: the web is read only; write to s3://, az://, gs://\n"
    )
    assert run("init", "s.yaml", "-o", "s3://bucket/w.safetensors", "--resume")[2] == (
        "glorot: --resume and ranks are for shards: give --max-shard-size\n"
    )
    assert run("inspect", "s3://bucket/w.h5")[2] == (
        "glorot: cannot read s3://bucket/w.h5: from stores and the web come .safetensors, their "
        "shards, and .npy; copy it to a disk\n"
    )
    assert run("inspect", "--key", "a", "s3://bucket/w.safetensors")[2] == (
        "glorot: s3://bucket/w.safetensors: --key is for files of torch's on a disk\n"
    )
    assert run("inspect", "s3://bucket/w.safetensors")[2] == (
        "glorot: cannot read s3://bucket/w.safetensors: there is no such object\n"
    )
    assert run("inspect", "s3:///w.safetensors")[2] == (
        "glorot: s3:///w.safetensors: expected a bucket or a host after ://\n"
    )


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "the file is empty"),
        (b"\x10\x09\0\0\0\0\0\0", "its header takes 2328 bytes, the file has 8; is it cut short?"),
        (b"\x02\0\0\0\0\0\0\0{}x", "1 byte follows the last tensor"),
        (b"\x02\0\0\0\0\0\0\0[]", "expected a JSON object of at most 500000 tensors"),
    ],
)
def test_damaged_headers(data: bytes, line: str, run: Run) -> None:
    Remote("s3://bucket/w.safetensors").put(data)
    code, out, err = run("inspect", "s3://bucket/w.safetensors")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert line in err


def test_an_index_stays_in_its_folder(run: Run) -> None:
    url = "s3://bucket/m/model.safetensors.index.json"
    for name in ("../w.safetensors", "", "..", 3):
        Remote(url).put(json.dumps({"weight_map": {"w": name}}).encode())
        assert run("inspect", "s3://bucket/m/")[2] == (
            f"glorot: {url}: expected a file beside it, found {name!r}\n"
        )


def test_a_long_header_is_read_in_two_parts(run: Run) -> None:
    tensors = ", ".join(f"tensor_of_a_long_name_{i}: [2]" for i in range(3000))
    Path("many.yaml").write_text(f"seed: 1\ntensors: {{{tensors}}}\n")
    assert run("init", "many.yaml", "-o", "s3://bucket/w.safetensors", "-q")[0] == 0
    assert len(read_headers("s3://bucket/w.safetensors").tensors) == 3000


def test_an_error_while_drawing_leaves_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fails(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise glorot.GlorotError("no more")

    monkeypatch.setattr("glorot_cli.writing.remote._Stream.put", fails)
    assert run("init", "s.yaml", "-o", "s3://bucket/w.safetensors", "-q") == (
        2, "", "glorot: no more\n"
    )  # fmt: skip
    assert Remote("s3://bucket/w.safetensors").status() is None


class Sent:
    """Note what is sent."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def span(number: int) -> tuple[Span, Any]:
    buffer = np.full(BLOCK_BYTES, number, np.uint8)
    return Span(Path(), [Piece(0, 0, 4, 4 * number, 0, False)], 4, number), buffer


def test_spans_wait_for_their_turn() -> None:
    sent = Sent()
    stream = _Stream(sent)  # type: ignore[arg-type]
    threads = [threading.Thread(target=stream.put, args=span(n)) for n in (2, 1)]
    for thread in threads:
        thread.start()
    assert sent.data == b""
    stream.put(*span(0))
    for thread in threads:
        thread.join()
    assert sent.data == b"\0\0\0\0\1\1\1\1\2\2\2\2"


def test_nobody_waits_for_a_span_that_failed() -> None:
    stream = _Stream(Sent())  # type: ignore[arg-type]
    errors: list[BaseException] = []

    def put() -> None:
        try:
            stream.put(*span(1))
        except glorot.GlorotError as error:
            errors.append(error)

    thread = threading.Thread(target=put)
    thread.start()
    stream.close(failed=True)
    thread.join(5)
    assert len(errors) == 1


def test_parts_are_large_and_few(monkeypatch: pytest.MonkeyPatch) -> None:
    import obstore

    asked: list[int] = []
    original = obstore.open_writer

    def open_writer(store: Any, key: str, *, buffer_size: int, max_concurrency: int) -> Any:
        asked.append(buffer_size)
        return original(store, key, buffer_size=1 << 20, max_concurrency=max_concurrency)

    monkeypatch.setattr(obstore, "open_writer", open_writer)
    for nbytes in (1, 100 << 30, 1 << 40):
        with Remote("s3://bucket/x").writer(nbytes) as writer:
            writer.write(b"x")
    assert asked == [16 << 20, 16 << 20, -(-(1 << 40) // 10_000)]


def test_reasons_carry_no_credentials() -> None:
    error = ValueError("failed at https://host/x?sig=SECRET&se=1 after 3 tries\n\nDebug source: y")
    assert remote._reason(error) == "failed at https://host/x after 3 tries"
