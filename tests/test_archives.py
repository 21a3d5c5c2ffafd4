"""The zip files that glorot writes: .npz and torch's .pt, to the byte, and past four gigabytes."""

from __future__ import annotations

import hashlib
import io
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.formats import zip_layout
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.torch_pickle import state_dict

Planned = Callable[..., glorot.Plan]
Run = Callable[..., tuple[int, str, str]]

TENSORS: dict[str, Any] = {
    "w": {"shape": [300, 4], "axes": "OI", "initializer": "glorot_uniform"},
    "né/b": {"shape": [3], "initializer": "ones", "dtype": "float64"},
    "scalar": {"shape": [], "initializer": "zeros"},
    "half": {"shape": [2, 3], "axes": "OI", "initializer": "he_normal", "dtype": "float16"},
    "count": {"shape": [2], "initializer": "zeros", "dtype": "int64"},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_bytes_stay(planned: Planned) -> None:
    plan = planned(tensors=TENSORS)
    digests = {}
    for name in ("w.pt", "w.npz"):
        glorot.write_weights(plan, name)
        digests[name] = hashlib.sha256(Path(name).read_bytes()).hexdigest()
    assert digests == {"w.pt": PT, "w.npz": NPZ}


PT = "40f761fe1c91d76e5297ecb1a8bf52c8b2fb4bf29641f6a7ddb41bbe04de792b"
NPZ = "058168b1008bc9ed271121935ccaf1001d6cd66d493916be5a0d0671b16bc6e7"


def test_the_same_tensors_in_all_formats(planned: Planned) -> None:
    plan = planned(tensors=TENSORS)
    names = ["w.safetensors", "w.h5", "w.npz", "w.pt", "w.pth", "w/"]
    for name in names:
        glorot.write_weights(plan, name)
        assert glorot.diff_weights(names[0], name).equal
        assert glorot.verify_weights(name).equal


@pytest.mark.parametrize("name", ["w.pt", "w.npz"])
def test_every_member_is_aligned_and_has_its_checksum(name: str, planned: Planned) -> None:
    glorot.write_weights(planned(tensors=TENSORS), name)
    for tensor in read_headers(name).tensors:
        assert tensor.offset is not None
        assert tensor.offset % 64 == 0
    with zipfile.ZipFile(name) as archive:
        assert archive.testzip() is None
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {member.external_attr >> 16 for member in archive.infolist()} == {0o100644}


def test_a_byte_that_changes_is_seen_by_the_checksum(planned: Planned) -> None:
    glorot.write_weights(planned(tensors=TENSORS), "w.npz")
    data = bytearray(Path("w.npz").read_bytes())
    offset = read_headers("w.npz").by_name()["w"].offset
    assert offset is not None
    data[offset] ^= 1
    Path("bad.npz").write_bytes(data)
    with np.load("bad.npz") as archive, pytest.raises(zipfile.BadZipFile, match="Bad CRC-32"):
        archive["w"]


def test_a_loop_over_an_npz_sees_arrays_only(planned: Planned) -> None:
    plan = planned(tensors=TENSORS)
    glorot.write_weights(plan, "w.npz")
    with np.load("w.npz") as archive:
        assert list(archive) == [tensor.name for tensor in plan.tensors]
        for tensor in plan.tensors:
            array = archive[tensor.name]
            assert (array.shape, array.dtype) == (tensor.shape, tensor.dtype)
            assert array.tobytes() == glorot.draw(plan, tensor.name).tobytes()


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_what_numpy_has_no_name_for_is_refused(dtype: str, planned: Planned, folder: Path) -> None:
    plan = planned(tensors={"w": {"shape": [2], "initializer": "ones", "dtype": dtype}})
    with pytest.raises(glorot.FormatError) as caught:
        glorot.write_weights(plan, "w.npz")
    assert str(caught.value).startswith(
        f".npz cannot hold {dtype}, the dtype of 'w'; these can: .safetensors; "
    )
    assert ".pt, torch's own" in str(caught.value)
    assert list(folder.iterdir()) == []


def test_a_spec_that_a_comment_cannot_hold(run: Run) -> None:
    names = ", ".join(f"w{i}: {{shape: [1], initializer: random_normal}}" for i in range(1500))
    Path("s.yaml").write_text(f"tensors: {{{names}}}\n")
    code, _, err = run("init", "s.yaml", "-o", "w.npz", "--quiet")
    # Nothing else says which seed it was.
    assert (code, err.startswith("note: seed ")) == (0, True)
    assert read_headers("w.npz").provenance is None
    code, _, err = run("init", "s.yaml", "--seed", "1", "-o", "w.npz", "--force")
    assert (code, err) == (
        0, "note: w.npz does not say how it was drawn: its spec is longer than the 65535 bytes "
        "that a .npz file has for it\n",
    )  # fmt: skip
    assert run("verify", "w.npz", "s.yaml", "--seed", "1", "--quiet")[0] == 0
    Path("small.yaml").write_text("seed: 1\ntensors: {w: {shape: [1], initializer: ones}}\n")
    assert run("init", "small.yaml", "-o", "small.npz", "--quiet") == (0, "", "")
    assert run("verify", "small.npz", "--quiet")[0] == 0


def test_a_comment_of_others_is_none_of_ours(run: Run) -> None:
    for comment in (b"made by hand", b"{\xff", b"{}", b'{"spec": 3}'):
        with zipfile.ZipFile("w.npz", "w") as archive:
            raw = io.BytesIO()
            np.save(raw, np.ones(3, "f4"))
            archive.writestr("w.npy", raw.getvalue())
            archive.comment = comment
        assert run("inspect", "w.npz")[0] == 0
        assert run("spec", "w.npz")[0] == 0


class Named:
    """Stand for what a pickle names."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *arguments: Any) -> Any:
        return (self.name, *arguments)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


class Unpickler(pickle.Unpickler):
    """Show what a pickle builds."""

    def find_class(self, module: str, name: str) -> Any:
        return dict if name == "OrderedDict" else Named(f"{module}.{name}")

    def persistent_load(self, identity: Any) -> Any:
        return identity


def test_the_pickle_is_that_of_a_state_dict(planned: Planned) -> None:
    plan = planned(
        tensors={
            **TENSORS,
            "f8": {"shape": [4, 2], "axes": "OI", "initializer": "zeros", "dtype": "float8_e5m2"},
        }
    )
    pickled = state_dict(plan.tensors)
    pickletools.dis(pickled, io.StringIO())
    found = Unpickler(io.BytesIO(pickled)).load()
    assert list(found) == [tensor.name for tensor in plan.tensors]
    build, storage, *rest = found["w"]
    assert build == "torch._utils._rebuild_tensor_v2"
    assert storage == ("storage", Named("torch.FloatStorage"), "0", "cpu", 1200)
    assert rest == [0, (300, 4), (4, 1), False, {}]
    assert found["scalar"][2:] == (0, (), (), False, {})
    assert found["count"][1][1] == Named("torch.LongStorage")
    build, storage, *rest = found["f8"]
    assert build == "torch._utils._rebuild_tensor_v3"
    assert storage == ("storage", Named("torch.storage.UntypedStorage"), "5", "cpu", 8)
    assert rest == [0, (4, 2), (2, 1), False, {}, Named("torch.float8_e5m2")]


def test_numbers_of_any_size_are_pickled() -> None:
    from glorot_cli.formats.torch_pickle import _number

    for value in (0, 255, 256, 65535, 2**31 - 1, 2**31, 2**32, 2**40, 2**63 - 1):
        assert pickle.loads(b"\x80\x02" + _number(value) + b".") == value


def test_a_zip_past_four_gigabytes(tmp_path: Path) -> None:
    """Write headers only, into a file with holes."""
    members = [
        zip_layout.Member("a", b"start", 5 << 30),
        zip_layout.Member("b", b"small"),
        zip_layout.Member("c", b"", (1 << 32) - 1),
    ]
    layout = zip_layout.lay_out(members, b"said")
    path = tmp_path / "large.zip"
    with path.open("w+b") as file:
        zip_layout.write(file, layout)
        zip_layout.put_checksums(file, layout, [7, None, 9])
    with zipfile.ZipFile(path) as archive:
        assert archive.comment == b"said"
        found = archive.infolist()
        assert [m.file_size for m in found] == [member.size for member in members]
        assert [m.header_offset for m in found] == list(layout.headers)
        assert archive.read("b") == b"small"
        assert [m.extract_version for m in found] == [45, 45, 45]
        with archive.open("a") as opened:
            assert opened.read(5) == b"start"
    assert layout.data[2] > 1 << 32


def test_more_members_than_sixteen_bits_count(tmp_path: Path) -> None:
    layout = zip_layout.lay_out([zip_layout.Member(str(i), b"x") for i in range(65_536)])
    path = tmp_path / "many.zip"
    with path.open("w+b") as file:
        zip_layout.write(file, layout)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 65_536
        assert archive.read("65535") == b"x"


def test_a_name_that_zip_cannot_hold() -> None:
    with pytest.raises(glorot.FormatError, match="is too long for a zip file"):
        zip_layout.lay_out([zip_layout.Member("a" * 65_536, b"")])
