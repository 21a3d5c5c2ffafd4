"""The .keras archive: what is in the zip, its bytes, and archives that are damaged."""

from __future__ import annotations

import contextlib
import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.formats.base import compact
from glorot_cli.formats.reading import read_headers
from glorot_cli.writing import weights

Run = Callable[..., tuple[int, str, str]]
Planned = Callable[..., glorot.Plan]

LAYERS: dict[str, Any] = {
    "input_shape": [30],
    "layers": [
        {"type": "Dense", "units": 20, "name": "né"},
        {"type": "BatchNormalization"},
        {"type": "Dense", "units": 5, "dtype": "bfloat16"},
    ],
}
CONFIG = b'{"class_name": "Sequential", "config": {"layers": []}}  \n'
MEMBERS = ["metadata.json", "config.json", "model.weights.h5"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a configuration in it."""
    monkeypatch.chdir(tmp_path)
    Path("c.json").write_bytes(CONFIG)
    return tmp_path


@pytest.fixture
def plan(planned: Planned) -> glorot.Plan:
    """Make the plan of the layers."""
    return planned(**LAYERS)


def refusal(plan: glorot.Plan, output: str, **options: Any) -> str:
    with pytest.raises(glorot.GlorotError) as caught:
        glorot.write_weights(plan, output, **options)
    return str(caught.value)


def unreadable(path: str) -> str:
    with pytest.raises(glorot.FormatError) as caught:
        read_headers(path)
    return str(caught.value)


def test_the_zip_holds_three_files(plan: glorot.Plan, folder: Path) -> None:
    glorot.write_weights(plan, "x.keras", config="c.json")
    assert sorted(path.name for path in folder.iterdir()) == ["c.json", "x.keras"]
    with zipfile.ZipFile("x.keras") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == MEMBERS
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {member.external_attr >> 16 for member in archive.infolist()} == {0o644}
        assert archive.read("metadata.json") == (
            b'{"keras_version": "3.15.1", "date_saved": "1980-01-01@00:00:00"}'
        )
        assert archive.read("config.json") == CONFIG
        archive.extract("model.weights.h5")
    glorot.write_weights(plan, "alone.weights.h5")
    assert Path("model.weights.h5").read_bytes() == Path("alone.weights.h5").read_bytes()


def test_the_same_spec_gives_the_same_bytes(plan: glorot.Plan, planned: Planned) -> None:
    glorot.write_weights(plan, "a.keras", config="c.json", workers=1)
    glorot.write_weights(planned(**LAYERS), "b.keras", config="c.json", workers=3, sync=False)
    assert Path("a.keras").read_bytes() == Path("b.keras").read_bytes()


def test_an_archive_reads_back(plan: glorot.Plan) -> None:
    glorot.write_weights(plan, "x.keras", config="c.json")
    file = read_headers("x.keras")
    assert file.format.name == "keras"
    assert file.provenance == compact(weights.provenance(plan))
    assert [t.name for t in file.tensors] == sorted(str(t.group) for t in plan.tensors)
    assert glorot.verify_weights("x.keras").equal
    whole = Path("x.keras").read_bytes()
    stored = file.by_name()
    for tensor in plan.tensors:
        found = stored[str(tensor.group)]
        assert found.offset is not None
        data = whole[found.offset : found.offset + found.nbytes]
        assert data == glorot.draw(plan, tensor.name).tobytes()


def test_chunks_in_an_archive_are_read(folder: Path) -> None:
    values = np.arange(3_000_000, dtype="f4").reshape(1000, 3000)
    with h5py.File("model.weights.h5", "w") as file:
        file.create_dataset("layers/dense/vars/0", data=values, chunks=(10, 3000))
        file.create_dataset("layers/dense/vars/1", data=values[0].astype(">f4"))
    with zipfile.ZipFile("x.keras", "w") as archive:
        archive.write("model.weights.h5")
    found = {t.name: t.moments for t in glorot.inspect_weights("x.keras").tensors}
    for name, maximum in (("layers/dense/vars/0", 2_999_999.0), ("layers/dense/vars/1", 2999.0)):
        moments = found[name]
        assert moments is not None
        assert moments.maximum == maximum


def test_force_replaces_an_archive(plan: glorot.Plan, folder: Path) -> None:
    Path("x.keras").write_bytes(b"old")
    found = refusal(plan, "x.keras", config="c.json")
    assert found == f"{folder}/x.keras exists; replace it with --force"
    assert Path("x.keras").read_bytes() == b"old"
    glorot.write_weights(plan, "x.keras", config="c.json", force=True)
    assert glorot.verify_weights("x.keras").equal


def test_a_link_to_an_archive_is_followed(plan: glorot.Plan, folder: Path) -> None:
    Path("real").mkdir()
    Path("real/y.keras").write_bytes(b"old")
    Path("x.keras").symlink_to(folder / "real" / "y.keras")
    glorot.write_weights(plan, "x.keras", config="c.json", force=True)
    assert Path("x.keras").is_symlink()
    assert [path.name for path in Path("real").iterdir()] == ["y.keras"]
    assert glorot.verify_weights("real/y.keras").equal


def test_nothing_is_left_when_packing_fails(
    plan: glorot.Plan, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    Path("x.keras").write_bytes(b"old")
    monkeypatch.setattr(shutil, "copyfileobj", fail)
    found = refusal(plan, "x.keras", config="c.json", force=True)
    assert found == f"cannot write {folder}/x.keras: No space left on device"
    assert sorted(path.name for path in folder.iterdir()) == ["c.json", "x.keras"]
    assert Path("x.keras").read_bytes() == b"old"


def test_twice_the_bytes_must_be_free(plan: glorot.Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    nbytes = sum(tensor.nbytes for tensor in plan.tensors)
    usage = shutil.disk_usage(".")._replace(free=2 * nbytes - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert f"{2 * nbytes:,} bytes are needed" in refusal(plan, "x.keras", config="c.json")


def test_an_archive_needs_a_configuration(plan: glorot.Plan) -> None:
    assert refusal(plan, "x.keras") == (
        ".keras needs the model's configuration: --config model.json"
    )


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "3", '"class_name"', '["class_name"]', '{"class_name": "Sequential"}',
     '{"class_name": "Sequential", "config": []}', "[" * 100_000],
)  # fmt: skip
def test_a_wrong_configuration_is_said_before_anything_is_drawn(
    text: str, plan: glorot.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "fill", None)
    Path("c.json").write_text(text, "utf-8")
    found = refusal(plan, "x.keras", config="c.json")
    assert found == "c.json: expected the JSON of a Keras model"


def test_a_configuration_that_is_too_large(
    plan: glorot.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "LARGEST_CONFIG", 10)
    found = refusal(plan, "x.keras", config="c.json")
    assert found == "c.json: expected a configuration below 64 MiB"


def test_a_configuration_that_may_not_be_read(
    plan: glorot.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    found = refusal(plan, "x.keras", config="c.json")
    assert found == "cannot read c.json: Permission denied"


def test_raw_tensors_have_no_place(planned: Planned, folder: Path) -> None:
    plan = planned(tensors={"w": {"shape": [2], "initializer": "ones"}})
    assert refusal(plan, "x.keras", config="c.json") == (
        "Keras's .weights.h5 holds layers only, and 'w' is a raw tensor; "
        "write .h5 or .safetensors instead"
    )
    assert [path.name for path in folder.iterdir()] == ["c.json"]


# Damaged archives


def test_an_archive_without_weights() -> None:
    with zipfile.ZipFile("x.keras", "w") as archive:
        archive.writestr("config.json", CONFIG)
    assert unreadable("x.keras") == "x.keras: expected a .keras archive with model.weights.h5"


def test_compressed_weights(plan: glorot.Plan) -> None:
    glorot.write_weights(plan, "model.weights.h5")
    with zipfile.ZipFile("x.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write("model.weights.h5")
    assert unreadable("x.keras") == (
        "x.keras: expected model.weights.h5 stored as it is, found it compressed"
    )


def test_weights_that_are_no_hdf5() -> None:
    with zipfile.ZipFile("x.keras", "w") as archive:
        archive.writestr("model.weights.h5", b"no" * 100)
    assert unreadable("x.keras").startswith("x.keras: HDF5 cannot read it: ")


def test_a_directory_that_lies(plan: glorot.Plan) -> None:
    glorot.write_weights(plan, "x.keras", config="c.json")
    whole = bytearray(Path("x.keras").read_bytes())
    entry = whole.rindex(b"PK\x01\x02")
    (offset,) = struct.unpack_from("<L", whole, entry + 42)
    struct.pack_into("<L", whole, entry + 42, offset + 1)
    Path("moved.keras").write_bytes(whole)
    assert unreadable("moved.keras") == (
        "moved.keras: model.weights.h5 is not where the archive says"
    )
    struct.pack_into("<L", whole, entry + 42, 0xFFFFFFF0)
    Path("away.keras").write_bytes(whole)
    assert unreadable("away.keras") == "away.keras: model.weights.h5 is not where the archive says"
    struct.pack_into("<L", whole, entry + 42, offset)
    struct.pack_into("<2L", whole, entry + 20, 1 << 30, 1 << 30)
    Path("longer.keras").write_bytes(whole)
    assert unreadable("longer.keras") == (
        "longer.keras: model.weights.h5 is longer than the archive"
    )


def test_every_cut_of_an_archive_is_one_clear_error(planned: Planned) -> None:
    small = planned(input_shape=[2], layers=[{"type": "Dense", "units": 2}])
    glorot.write_weights(small, "x.keras", config="c.json")
    size = Path("x.keras").stat().st_size
    whole = Path("x.keras").read_bytes()
    for end in (*range(0, size, 97), *range(size - 40, size)):
        Path("cut.keras").write_bytes(whole[:end])
        assert unreadable("cut.keras").startswith("cut.keras: ")


def test_flipped_bytes_of_the_directory_are_one_clear_error(planned: Planned) -> None:
    small = planned(input_shape=[2], layers=[{"type": "Dense", "units": 2}])
    glorot.write_weights(small, "x.keras", config="c.json")
    whole = Path("x.keras").read_bytes()
    start = whole.index(b"PK\x01\x02")
    for place in range(start, len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        Path("bad.keras").write_bytes(damaged)
        # Whatever is not an error of ours fails here.
        with contextlib.suppress(glorot.FormatError):
            read_headers("bad.keras")


# The command


def test_the_command_writes_an_archive(run: Run) -> None:
    Path("s.json").write_text(json.dumps({"seed": 42, **LAYERS}), "utf-8")
    code, out, err = run("init", "s.json", "-o", "x.keras", "--config", "c.json", "--quiet")
    assert (code, out, err) == (0, "", "")
    assert run("verify", "x.keras", "--quiet") == (0, "", "")
    assert zipfile.is_zipfile("x.keras")
