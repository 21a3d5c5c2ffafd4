"""Files that others wrote: every layout is read, what is damaged or hostile is one clear error."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors.numpy

import glorot_cli as glorot
from glorot_cli.formats.blocks import each_block
from glorot_cli.formats.hdf5_walk import read_headers as read_hdf5
from glorot_cli.formats.reading import read_headers

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(40, 50)).astype("f4")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(path: str) -> str:
    with pytest.raises(glorot.FormatError) as caught:
        glorot.inspect_weights(path)
    return str(caught.value)


def spreads(path: str) -> dict[str, float | None]:
    tensors = glorot.inspect_weights(path).tensors
    return {t.name: None if t.moments is None else t.moments.std for t in tensors}


SPREAD = float(f"{VALUES.std(dtype='f8'):.3e}")


# Any file

TEXT = (
    "expected a weight file, found text; "
    "if it is a spec: glorot plan SPEC, or glorot verify FILE --spec SPEC"
)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"PK\x03\x04" + b"\0" * 60, "its length reads 67324752, in a file of 64 bytes"),
        (b"\xff" * 64, "its length reads 18446744073709551615, in a file of 64 bytes"),
    ],
)
def test_what_is_no_weight_file(content: bytes, found: str) -> None:
    Path("x").write_bytes(content)
    assert refusal("x") == (
        f"x: expected a weight file, found neither HDF5 nor .npy nor a safetensors header ({found})"
    )


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "the file is empty"),
        (b"123", TEXT),
        ("seed: 1\nlayers: [{type: Dense, name: \u00e9}]\n".encode(), TEXT),
        # The 512 bytes that are looked at end within a character.
        (b"\xef\xbb\xbf" + "\u20ac".encode() * 500, TEXT),
        (b"\x10\x09\0\0\0\0\0\0{" + b" " * 91,
         "its header takes 2328 bytes, the file has 100; is it cut short?"),
        (b"\x10\x09\0\0\0\0\0\0",
         "its header takes 2328 bytes, the file has 8; is it cut short?"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "its pickle is cut short"),
    ],
)  # fmt: skip
def test_what_is_something_else_or_cut_short(content: bytes, found: str) -> None:
    Path("x").write_bytes(content)
    assert refusal("x") == f"x: {found}"


@pytest.mark.parametrize("name", ["x.h5", "x.hdf5", "x.weights.h5"])
@pytest.mark.parametrize("content", [b"seed: 1\n", b"\0" * 64, b"\x89HDF"])
def test_what_is_hdf5_by_its_name_only(name: str, content: bytes) -> None:
    Path(name).write_bytes(content)
    assert refusal(name) == f"{name}: its name says HDF5, its first bytes do not"


def test_an_empty_file_of_any_name() -> None:
    Path("x.h5").touch()
    assert refusal("x.h5") == "x.h5: the file is empty"


def test_a_pickle_of_torch() -> None:
    with zipfile.ZipFile("t.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
        archive.writestr("archive/data/0", bytes(8))
    assert refusal("t.pt") == "t.pt: its pickle is damaged: pop from empty list"


def test_what_is_no_file() -> None:
    os.mkfifo("pipe")
    Path("folder").mkdir()
    assert refusal("none") == "cannot read none: there is no such file"
    assert refusal("pipe") == "cannot read pipe: it is not a regular file"
    assert refusal("folder") == "folder is a folder without a manifest.json"


def test_a_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    Path("x").touch()
    monkeypatch.setattr(Path, "open", refuse)
    assert refusal("x") == "cannot read x: Permission denied"


def test_the_format_is_known_by_content_not_by_name() -> None:
    np.save("a.npy", VALUES)
    Path("a.npy").rename("a.safetensors")
    assert glorot.inspect_weights("a.safetensors").format == "npy"


# safetensors


def raw(header: object, data: bytes = b"") -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    Path("x").write_bytes(struct.pack("<Q", len(text)) + text + data)


def entry(start: int, end: int, **other: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [(end - start) // 4], "data_offsets": [start, end], **other}


def test_other_dtypes_are_listed_and_measured() -> None:
    names = ["float64", "float32", "float16", "int32", "int8", "uint8", "bool"]
    arrays = {name: np.array([1, 0, 1]).astype(name) for name in names}
    safetensors.numpy.save_file(arrays, "x", metadata={"format": "pt"})
    found = glorot.inspect_weights("x")
    assert found.provenance is None
    assert {t.name: (t.dtype, t.nbytes) for t in found.tensors} == {
        name: (name, array.nbytes) for name, array in arrays.items()
    }
    measured = {t.name for t in found.tensors if t.moments is not None}
    assert measured == set(names)


def test_types_that_numpy_has_not_are_listed() -> None:
    raw({"a": entry(0, 4, dtype="F8_E8M0", shape=[2, 2]), "b": entry(4, 6, dtype="F4", shape=[4])},
        bytes(6))  # fmt: skip
    found = [(t.name, t.dtype, t.nbytes, t.moments) for t in glorot.inspect_weights("x").tensors]
    assert found == [("a", "F8_E8M0", 4, None), ("b", "F4", 2, None)]


def test_empty_tensors_may_stand_anywhere() -> None:
    raw({"b": entry(0, 8), "a": entry(0, 0), "c": entry(8, 8, shape=[0, 7])}, bytes(8))
    tensors = glorot.inspect_weights("x").tensors
    found = [(t.name, t.shape, t.fits and t.fits[0].law) for t in tensors]
    assert found == [("a", (0,), None), ("b", (2,), "zeros"), ("c", (0, 7), None)]


@pytest.mark.parametrize(
    ("header", "size", "message"),
    [
        (b"{", 0, "expected a JSON header of safetensors"),
        (b"\xff\xff", 0, "expected a JSON header of safetensors"),
        (b"[" * 5000, 0, "expected a JSON header of safetensors"),
        ([], 0, "expected a JSON object of at most 500000 tensors"),
        ({"__metadata__": 3}, 0,
         "invalid JSON in header: invalid type: integer `3`, expected a map at line 1 column 18"),
        ({"__metadata__": {"a": 3}}, 0,
         "invalid JSON in header: invalid type: integer `3`, expected a string at line 1 "
         "column 24"),
        (b'{"a": 1, "a": 2}', 0, "duplicate key 'a'"),
        ({"a": entry(0, 8)}, 4,
         "its header needs 77 bytes, the file has 73; is it cut short?"),
        ({"a": entry(0, 8)}, 9,
         "its header needs 77 bytes, the file has 78; 1 byte follows the last tensor"),
        ({"a": entry(0, 8)}, 11,
         "its header needs 77 bytes, the file has 80; 3 bytes follow the last tensor"),
        ({"a": entry(4, 8)}, 8, "tensor 'a': a gap or an overlap before it"),
        ({"a": entry(0, 8), "b": entry(4, 12)}, 12, "tensor 'b': a gap or an overlap before it"),
        ({"a": entry(0, 8), "b": entry(0, 8)}, 8, "tensor 'b': a gap or an overlap before it"),
        ({"a": entry(0, 8, shape=[3])}, 8,
         "tensor 'a': F32 [3] needs 12 bytes, its offsets hold 8"),
        ({"a": entry(0, 320, shape=[10, 9])}, 320,
         "tensor 'a': F32 [10, 9] needs 360 bytes, its offsets hold 320"),
        ({"a": entry(0, 8, dtype="F4", shape=[17])}, 8,
         "tensor 'a': F4 [17] needs 68 bits, its offsets hold 8"),
        ({"a": entry(8, 0)}, 8, "tensor 'a': expected a dtype, a shape, and offsets that fit"),
        ({"a": entry(0, 8, shape=[-2, -1])}, 8,
         "tensor 'a': expected a dtype, a shape, and offsets that fit"),
        ({"a": entry(0, 8, shape=[True, 2])}, 8,
         "tensor 'a': expected a dtype, a shape, and offsets that fit"),
        ({"a": entry(0, 8, shape=[2.0])}, 8,
         "tensor 'a': expected a dtype, a shape, and offsets that fit"),
        ({"a": entry(0, 8, shape=None)}, 8,
         "tensor 'a': expected a dtype, a shape, and offsets that fit"),
        ({"a": entry(0, 8, dtype="F31")}, 8,
         "tensor 'a': expected a dtype, a shape, and offsets that fit"),
        ({"a": entry(0, 8, dtype=["F32"])}, 8,
         "tensor 'a': expected a dtype, a shape, and offsets that fit"),
        ({"a": entry(0, 8, data_offsets=[0])}, 8,
         "tensor 'a': expected a dtype, a shape, and offsets that fit"),
        ({"a": entry(0, 8, data_offsets=[0, 2**63])}, 8,
         "tensor 'a': F32 [2] needs 8 bytes, its offsets hold 9223372036854775808"),
        ({"a": 3}, 8, "tensor 'a': expected a dtype, a shape, and offsets that fit"),
        ({"a": {}}, 8, "tensor 'a': expected a dtype, a shape, and offsets that fit"),
    ],
)  # fmt: skip
def test_a_safetensors_header_that_lies(header: object, size: int, message: str) -> None:
    raw(header, bytes(size))
    assert refusal("x") == f"x: {message}"


@pytest.mark.parametrize("claim", ["3", "[1]", "{", '"text"', "[" * 100_000])
def test_a_provenance_that_is_none_is_ignored(claim: object) -> None:
    raw({"__metadata__": {"glorot": claim}})
    assert glorot.inspect_weights("x").provenance is None


@pytest.mark.parametrize(
    "spec",
    [None, [], {"layers": 3}, {"tensors": {"w": {"shape": [10**30], "initializer": "ones"}}}],
)
def test_a_claimed_spec_that_makes_no_plan_is_ignored(spec: object) -> None:
    raw({"__metadata__": {"glorot": json.dumps({"spec": spec})}, "w": entry(0, 8)}, bytes(8))
    found = glorot.inspect_weights("x")
    assert found.provenance == {"spec": spec}
    assert [[fit.law for fit in tensor.fits or ()] for tensor in found.tensors] == [["zeros"]]


def test_a_file_that_shrinks_while_it_is_read_is_an_error() -> None:
    safetensors.numpy.save_file({"a": VALUES}, "x")
    file = read_headers("x")
    os.truncate("x", 100)
    with pytest.raises(glorot.FormatError) as caught:
        each_block(file, file.tensors, lambda block: None)
    assert str(caught.value) == "x: 'a': the file ends too early"


def test_a_block_of_an_unknown_dtype_is_an_error() -> None:
    raw({"a": entry(0, 4, dtype="F8_E8M0", shape=[4])}, bytes(4))
    file = read_headers("x")
    with pytest.raises(glorot.FormatError) as caught:
        each_block(file, file.tensors, lambda block: None)
    assert str(caught.value) == "x: 'a': cannot read elements of dtype F8_E8M0"


# HDF5


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtype": ">f4"},
        {"dtype": "f8"},
        {"dtype": ">f8"},
        {"compression": "gzip"},
        {"chunks": (7, 13)},
        {"chunks": (40, 50), "shuffle": True, "fletcher32": True},
        {"dtype": ">f4", "compression": "lzf"},
        {"maxshape": (None, 50)},
    ],
    ids=str,
)
def test_every_layout_of_hdf5_is_read(options: dict[str, Any]) -> None:
    with h5py.File("x", "w") as file:
        file.create_dataset("a/b", data=VALUES, **options)
    assert spreads("x") == {"a/b": SPREAD}


def test_a_large_chunked_dataset_is_read_in_slabs() -> None:
    values = RNG.normal(size=(3, 600_000)).astype("f4")
    with h5py.File("x", "w") as file:
        file.create_dataset("w", data=values, chunks=(1, 100_000))
        file.create_dataset("s", data=np.float32(2), dtype="f4")
        file.create_dataset("v", data=values[0], compression="gzip", compression_opts=1)
    spread = float(f"{values.std(dtype='f8'):.3e}")
    row = float(f"{values[0].std(dtype='f8'):.3e}")
    assert spreads("x") == {"w": spread, "s": 0.0, "v": row}
    slabs = read_hdf5(Path("x")).tensors[2].slabs
    assert slabs is not None
    assert [slab.size for slab in slabs()] == [524_288, 75_712] * 3


def test_a_compact_scalar_is_read() -> None:
    with h5py.File("x", "w") as file:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create(h5py.h5s.SCALAR)
        dataset = h5py.h5d.create(file.id, b"s", h5py.h5t.IEEE_F32LE, space, creation)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(7, "f4"))
    assert spreads("x") == {"s": 0.0}


def test_hard_link_cycles_end_and_each_dataset_is_told_once() -> None:
    with h5py.File("x", "w") as file:
        file["g/w"] = VALUES
        file["g/again"] = file["g"]
        file["g/root"] = file["/"]
        file["v"] = file["g/w"]
        file["type"] = np.dtype("f4")
    assert spreads("x") == {"g/w": SPREAD}


def test_a_keras_file_is_known_by_its_group() -> None:
    with h5py.File("x", "w") as file:
        file["layers/dense/vars/0"] = VALUES
    assert glorot.inspect_weights("x").format == "keras"


def test_other_elements_are_listed_and_not_read() -> None:
    with h5py.File("x", "w") as file:
        file["i"] = np.arange(3, dtype="i4")
        file["c"] = np.zeros(3, "c8")
        file["t"] = ["a", "b"]
        file["p"] = np.zeros(2, [("x", "f4"), ("y", "i4")])
        file["o"] = np.zeros(2, "V2")
        file["e"] = np.zeros((0, 3), "f4")
    tensors = glorot.inspect_weights("x").tensors
    found = {t.name: (t.dtype, t.moments and t.moments.maximum) for t in tensors}
    assert found == {
        "c": ("complex64", None),
        "e": ("float32", None),
        "i": ("int32", 2.0),
        "o": ("|V2", None),
        "p": ("[('x', '<f4'), ('y', '<i4')]", None),
        "t": ("object", None),
    }
    for tensor in read_hdf5(Path("x")).tensors:
        # What NumPy holds but no statistics are of is copied as bytes.
        if tensor.name == "c":
            assert (tensor.slabs, tensor.nbytes) == (None, 24)
            assert tensor.offset is not None


def soft(file: Any) -> None:
    file["g/l"] = h5py.SoftLink("/w")


def external_link(file: Any) -> None:
    file["g/l"] = h5py.ExternalLink("/etc/passwd", "/w")


def external_data(file: Any) -> None:
    file.create_dataset("g/l", (9,), "u1", external=[("/etc/passwd", 0, 9)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((40, 50), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "w", (40, 50))
    file.create_virtual_dataset("g/l", layout)


def null(file: Any) -> None:
    file["g/l"] = h5py.Empty("f4")


def never_written(file: Any) -> None:
    file.create_dataset("g/l", (2**32,), "f4")


def never_written_chunks(file: Any) -> None:
    file.create_dataset("g/l", (2**40,), "f4", chunks=(1024,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (soft, "'g/l' is a link, which is not followed"),
        (external_link, "'g/l' is a link, which is not followed"),
        (external_data, "'g/l' keeps its data in other files, which are not read"),
        (virtual, "'g/l' keeps its data in other files, which are not read"),
        (null, "'g/l' has no shape, as HDF5's null dataspace allows"),
        (never_written, "'g/l' declares 17179869184 bytes, 0 are stored"),
        (never_written_chunks, "'g/l' declares 4398046511104 bytes, 0 are stored"),
    ],
)
def test_what_hdf5_does_not_hold_itself_is_refused(
    make: Callable[[Any], None], message: str
) -> None:
    with h5py.File("x", "w") as file:
        file["w"] = VALUES
        make(file)
    assert refusal("x") == f"x: {message}"


def test_groups_too_deep_are_refused() -> None:
    with h5py.File("x", "w") as file:
        file["/".join("g" * 70)] = VALUES
    assert refusal("x") == "x: expected at most 64 levels of groups"


def test_objects_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glorot_cli.formats.hdf5_walk.MOST_OBJECTS", 5)
    with h5py.File("x", "w") as file:
        for i in range(6):
            file[f"w{i}"] = i
    assert refusal("x") == "x: expected at most 5 objects"


def test_chunks_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glorot_cli.formats.hdf5_walk.LARGEST_CHUNK", 4 << 20)
    with h5py.File("x", "w") as file:
        file.create_dataset("w", data=np.zeros(2 << 20, "f4"), chunks=(2 << 20,))
    assert refusal("x") == "x: 'w': expected chunks of at most 4 MiB"


@pytest.mark.parametrize("size", [9, 100, 2000])
def test_hdf5_cut_short_is_one_line(size: int) -> None:
    with h5py.File("x", "w") as file:
        file["w"] = VALUES
    os.truncate("x", size)
    assert refusal("x").startswith("x: HDF5 cannot read it: ")


def test_damaged_chunks_are_one_line() -> None:
    with h5py.File("x", "w") as file:
        file.create_dataset("w", data=VALUES, compression="gzip")
        offset = file["w"].id.get_chunk_info(0).byte_offset
    content = bytearray(Path("x").read_bytes())
    content[offset + 10 : offset + 200] = bytes(190)
    Path("x").write_bytes(content)
    assert refusal("x").startswith("x: 'w': HDF5 cannot read it: ")


def test_a_provenance_that_is_no_text_is_ignored() -> None:
    with h5py.File("x", "w") as file:
        file.attrs["glorot"] = np.arange(3)
    assert glorot.inspect_weights("x").provenance is None


# npy


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> None:
    text = header.encode() + b"\n"
    Path("x").write_bytes(b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<f2"])
def test_every_float_of_numpy_is_read(dtype: str) -> None:
    np.save("x.npy", VALUES.astype(dtype))
    assert spreads("x.npy") == {"x": pytest.approx(SPREAD, rel=1e-3)}


def test_the_second_version_of_npy_is_read() -> None:
    with Path("x").open("wb") as file:
        np.lib.format.write_array(file, VALUES, version=(2, 0))
    assert spreads("x") == {"x": SPREAD}


def test_whole_numbers_are_listed() -> None:
    np.save("x.npy", np.arange(6, dtype="i4").reshape(2, 3))
    (tensor,) = glorot.inspect_weights("x.npy").tensors
    assert tensor.moments is not None
    assert (tensor.shape, tensor.dtype, tensor.moments.maximum) == ((2, 3), "int32", 5.0)


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': %s}"


@pytest.mark.parametrize(
    ("header", "size", "message"),
    [
        (HEADER % "(2, 3)", 20, "its header needs 24 bytes, the file has 20"),
        (HEADER % "(2, 3)", 25, "its header needs 24 bytes, the file has 25"),
        (HEADER % "(1099511627776, 1099511627776)", 4,
         "expected less than 2**63 elements, found shape [1099511627776, 1099511627776]"),
        (HEADER % "(-2, -2)", 16, "expected sizes of at least 0, found shape [-2, -2]"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", 8,
         "expected numbers, found dtype object"),
        ("{'descr': '|V2', 'fortran_order': False, 'shape': (2,)}", 4,
         "expected numbers, found dtype |V2"),
        ("{'descr': '<c8', 'fortran_order': False, 'shape': (2,)}", 16,
         "expected numbers, found dtype complex64"),
        ("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", 24,
         "expected elements in C order, found Fortran order; save np.ascontiguousarray(a) instead"),
    ],
)  # fmt: skip
def test_an_npy_header_that_lies(header: str, size: int, message: str) -> None:
    npy(header, bytes(size))
    assert refusal("x") == f"x: {message}"


@pytest.mark.parametrize(
    "header", ["{'descr': (", "{}", "3", "__import__('os')", "{'descr': '<f4'}"]
)
def test_an_npy_header_that_is_none(header: str) -> None:
    npy(header)
    assert refusal("x").startswith("x: not a .npy file: ")


def test_an_npy_version_that_is_not_known() -> None:
    npy(HEADER % "(2,)", bytes(8), b"\x03\x00")
    assert refusal("x") == "x: not a .npy file: expected version 1.0 or 2.0, found 3.0"


def test_a_pickle_is_not_opened() -> None:
    np.save("x.npy", np.array([print], object), allow_pickle=True)
    assert refusal("x.npy") == "x.npy: expected numbers, found dtype object"


def test_a_vector_has_no_order_of_axes() -> None:
    npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2,)}", bytes(8))
    assert spreads("x") == {"x": 0.0}


# Folders of npy


def manifest(content: object) -> None:
    Path("f").mkdir(exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    Path("f/manifest.json").write_text(text)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[" * 100_000, "3", [], {}, {"glorot": {}}, {"tensors": {}},
     {"glorot": {}, "tensors": []}, {"glorot": {}, "tensors": {"a": {}}},
     {"glorot": {}, "tensors": {"a": 3}}],
    ids=lambda content: str(content)[:20],
)  # fmt: skip
def test_a_manifest_that_is_none(content: object) -> None:
    manifest(content)
    assert refusal("f") == "f/manifest.json: expected a manifest of glorot's"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("../x.npy", "f/manifest.json: '../x.npy' lies outside the folder"),
        ("/etc/passwd", "f/manifest.json: '/etc/passwd' lies outside the folder"),
        ("link.npy", "f/manifest.json: 'link.npy' lies outside the folder"),
        ("a\0b", "f/manifest.json: expected a file's name, found 'a\\x00b'"),
        (3, "f/manifest.json: expected a file's name, found 3"),
        ("none.npy", "cannot read {here}/f/none.npy: No such file or directory"),
        ("pipe.npy", "cannot read {here}/f/pipe.npy: it is not a regular file"),
        ("manifest.json", "{here}/f/manifest.json: not a .npy file: "),
    ],
)
def test_a_manifest_that_points_elsewhere(file: object, message: str) -> None:
    np.save("x.npy", VALUES)
    manifest({"glorot": {}, "tensors": {"a": {"file": file}}})
    Path("f/link.npy").symlink_to(Path("x.npy").resolve())
    os.mkfifo("f/pipe.npy")
    assert refusal("f").startswith(message.format(here=Path.cwd()))


def test_a_manifest_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glorot_cli.formats.npy.LARGEST_MANIFEST", 1 << 20)
    manifest(" " * ((1 << 20) + 1))
    assert refusal("f") == "f/manifest.json: expected at most 1 MiB"
