"""Files that try to crash, to hang, to fill the memory or to have other files read.

    python -m tests.hostile.make FOLDER

writes them all; each is small. `tests/test_hostile.py` says what becomes of each.
"""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

VALUES = np.linspace(-1, 1, 24, dtype="f4").reshape(4, 6)
# A terminal's colours, rich's markup, a line's end, text from right to left, half a character.
NAMES = ("\x1b[31mred\x1b[0m", "[bold]x[/bold]", "a\nb", "\u202eabc", "\x9b0m", "a: {b}", "'")

Make = Callable[[], None]
FILES: dict[str, Make] = {}


def _file(make: Make) -> Make:
    """Register a function that writes what it is named after, in this folder."""
    FILES[make.__name__] = make
    return make


def _hdf5(name: str, **options: Any) -> h5py.File:
    return h5py.File(f"{name}.h5", "w", **options)


@_file
def hdf5_soft_link() -> None:
    with _hdf5("soft_link") as file:
        file["w"] = VALUES
        file["l"] = h5py.SoftLink("/w")


@_file
def hdf5_external_link() -> None:
    with _hdf5("external_link") as file:
        file["l"] = h5py.ExternalLink("canary.h5", "/secret")


@_file
def hdf5_external_data() -> None:
    with _hdf5("external_data") as file:
        file.create_dataset("w", (4, 6), "f4", external=[("canary.h5", 0, 96)])


@_file
def hdf5_virtual_data() -> None:
    with _hdf5("virtual_data") as file:
        layout = h5py.VirtualLayout((4, 6), "f4")
        layout[:] = h5py.VirtualSource("canary.h5", "secret", (4, 6))
        file.create_virtual_dataset("w", layout)


@_file
def hdf5_never_written() -> None:
    with _hdf5("never_written") as file:
        file.create_dataset("w", (2**40,), "f4", chunks=(1 << 20,))


@_file
def hdf5_no_space() -> None:
    with _hdf5("no_space") as file:
        file["w"] = h5py.Empty("f4")


@_file
def hdf5_cycle() -> None:
    with _hdf5("cycle") as file:
        file["g/w"] = VALUES
        file["g/again"] = file["g"]
        file["root"] = file["/"]


@_file
def hdf5_many_links() -> None:
    """Make 2**100 paths to one dataset."""
    with _hdf5("many_links") as file:
        file["w"] = VALUES
        below = file["/"].create_group("g0")
        for i in range(100):
            group = file.create_group(f"n{i}")
            group["a"], group["b"] = below, below
            below = group


@_file
def hdf5_deep() -> None:
    with _hdf5("deep") as file:
        group = file["/"]
        for _ in range(5000):
            group = group.create_group("g")


@_file
def hdf5_bomb() -> None:
    with _hdf5("bomb") as file:
        file.create_dataset("w", (1 << 24,), "f4", chunks=(1 << 24,), compression=9)
        file["w"].id.write_direct_chunk((0,), _zeros(1 << 26))


@_file
def hdf5_bomb_chunk() -> None:
    """Have one chunk of 4 GB, of which 2 MB are stored."""
    with _hdf5("bomb_chunk") as file:
        file.create_dataset("w", ((1 << 30) - 1,), "f4", chunks=((1 << 30) - 1,), compression=9)
        file["w"].id.write_direct_chunk((0,), bytes(1 << 22))


@_file
def hdf5_one_chunk() -> None:
    """Have 256 chunks of 4 MiB whose addresses are all that of the first: 1 GiB in some bytes."""
    size, count = 1 << 20, 256
    with _hdf5("one_chunk", libver="earliest") as file:
        dataset = file.create_dataset("w", (size * count,), "f4", chunks=(size,), compression=9)
        dataset.id.write_direct_chunk((0,), _zeros(4 * size))
        for number in range(1, count):
            dataset.id.write_direct_chunk((number * size,), b"\0")
        first = dataset.id.get_chunk_info(0)
    data, at = bytearray(Path("one_chunk.h5").read_bytes()), 0
    while (at := data.find(b"TREE", at)) >= 0:
        kind, level, used = struct.unpack_from("<BBH", data, at + 4)
        # A key of 24 bytes and an address for each child: the stored size stands first in the key.
        for place in range(at + 24, at + 24 + 32 * used, 32) if kind == 1 and level == 0 else ():
            struct.pack_into("<I", data, place, first.size)
            struct.pack_into("<Q", data, place + 24, first.byte_offset)
        at += 4
    Path("one_chunk.h5").write_bytes(data)


@_file
def hdf5_other_floats() -> None:
    """Have a float32 whose exponents are biased by 126: twice the value of the same bits."""
    with _hdf5("other_floats") as file:
        kind = h5py.h5t.IEEE_F32LE.copy()
        kind.set_ebias(126)
        space = h5py.h5s.create_simple((2,))
        dataset = h5py.h5d.create(file.id, b"w", kind, space)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, 3], "f4"))


@_file
def hdf5_names() -> None:
    with _hdf5("names") as file:
        for name in NAMES:
            file[name] = VALUES
        root = file["/"].id
        h5py.h5d.create(root, b"\xff", h5py.h5t.IEEE_F32LE, h5py.h5s.create(h5py.h5s.SCALAR))


@_file
def hdf5_hang() -> None:
    """Have a text in a heap whose objects lead back to themselves, which HDF5 2.0 follows."""
    with _hdf5("hang") as file:
        file["w"] = VALUES
        file.attrs["glorot"] = "{}" * 20
    data = bytearray(Path("hang.h5").read_bytes())
    struct.pack_into("<Q", data, data.index(b"GCOL") + 24, 2**64 - 16)
    Path("hang.h5").write_bytes(data)


@_file
def hdf5_cut() -> None:
    with _hdf5("cut") as file:
        file["w"] = VALUES
    os.truncate("cut.h5", 1500)


@_file
def hdf5_signature_alone() -> None:
    Path("signature.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))


@_file
def hdf5_damaged_chunk() -> None:
    with _hdf5("damaged_chunk") as file:
        file.create_dataset("w", data=VALUES, chunks=(4, 6), compression=9)
        place = file["w"].id.get_chunk_info(0).byte_offset
    data = bytearray(Path("damaged_chunk.h5").read_bytes())
    data[place + 2 : place + 20] = bytes(18)
    Path("damaged_chunk.h5").write_bytes(data)


def _zeros(count: int) -> bytes:
    import zlib

    return zlib.compress(bytes(count), 9)


def safetensors(name: str, header: object, data: bytes = b"", length: int | None = None) -> None:
    """Write a header and data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    Path(f"{name}.safetensors").write_bytes(struct.pack("<Q", length) + text + data)


def _entry(start: int, end: int, **other: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [(end - start) // 4], "data_offsets": [start, end], **other}


@_file
def safetensors_lengths() -> None:
    safetensors("long_header", {}, length=2**63)
    safetensors("longer_than_allowed", {}, length=100_000_001)
    safetensors("cut", {"w": _entry(0, 8)}, bytes(4))
    safetensors("rest", {"w": _entry(0, 8)}, bytes(12))
    safetensors("overlap", {"v": _entry(0, 8), "w": _entry(4, 12)}, bytes(12))
    safetensors("alias", {"v": _entry(0, 8), "w": _entry(0, 8)}, bytes(8))
    safetensors("gap", {"v": _entry(0, 4), "w": _entry(8, 12)}, bytes(12))
    safetensors("negative", {"w": _entry(0, 8, data_offsets=[8, 0])}, bytes(8))
    safetensors("below", {"w": _entry(0, 8, shape=[-1, -2])}, bytes(8))
    safetensors("overflow", {"w": _entry(0, 0, shape=[2**62, 2**62, 0])})
    safetensors("wraps", {"w": _entry(0, 8, shape=[2**33, 2**33])}, bytes(8))
    safetensors("axes", {"w": _entry(0, 4, shape=[1] * 65)}, bytes(4))
    safetensors("floats", {"w": _entry(0, 8, shape=[2.0])}, bytes(8))
    safetensors("true", {"w": _entry(0, 4, shape=[True])}, bytes(4))
    safetensors("digits", b'{"w": {"dtype": "F32", "shape": [' + b"9" * 5000 + b"]}}")


@_file
def safetensors_json() -> None:
    safetensors("deep", b'{"w": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    safetensors("many_values", b'{"__metadata__": {"a": [' + b"[]," * 4_100_000 + b"1]}}")
    safetensors("list", [])
    safetensors("binary", b"\xff\xfe\x00")
    safetensors("cut_short", b'{"w": {')
    entry = json.dumps(_entry(0, 4)).encode()
    safetensors("twice", b'{"w": ' + entry + b', "w": ' + entry + b"}", bytes(4))
    twice = b'{"__metadata__": {"a": "1", "a": "2"}, "w": ' + entry + b"}"
    safetensors("metadata_twice", twice, bytes(4))


@_file
def safetensors_names() -> None:
    tables = {
        "names": [*NAMES],
        "pictured": [*NAMES, "$\\frac$", "a$b", "<b>&amp;</b>"],
        "surrogate": ["\ud800"],
    }
    for file, names in tables.items():
        header = {name: _entry(96 * i, 96 * i + 96) for i, name in enumerate(names)}
        safetensors(file, header, VALUES.tobytes() * len(names))


def npy(name: str, header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> None:
    """Write a header and data."""
    text = header.encode("latin-1") + b"\n"
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    Path(f"{name}.npy").write_bytes(b"\x93NUMPY" + version + length + text + data)


_HEADER = "{'descr': %r, 'fortran_order': False, 'shape': %s}"


@_file
def npy_headers() -> None:
    npy("huge", _HEADER % ("<f4", (2**40,)), bytes(4))
    npy("overflow", _HEADER % ("<f4", (2**40, 2**40)), bytes(4))
    npy("hundred_axes", _HEADER % ("<f4", (1,) * 65), bytes(4))
    npy("void", _HEADER % ("|V0", (2**40,)))
    npy("objects", _HEADER % ("|O", (1,)), b"cos\nsystem\n(S'true'\ntR.")
    npy("text", _HEADER % ("<U5", (1,)), bytes(20))
    npy("structured", _HEADER % ([("a", "<f4")], (1,)), bytes(4))
    npy("string_of_fields", _HEADER % ("f4,(1000000,1000000)f4", (1,)), bytes(4))
    npy("code", "__import__('os').system('true')")
    npy("parentheses", "(" * 5000)
    npy("signs", "-" * 9000 + "1")
    npy("digits", _HEADER % ("<f4", "(" + "9" * 5000 + ",)"))
    npy("long", " " * 20_000, version=b"\x02\x00")
    npy("not_a_size", _HEADER % ("<f4", (True,)), bytes(4))
    Path("longer.npy").write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1))


def _zip(name: str, members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        for member, data in members.items():
            archive.writestr(zipfile.ZipInfo(member), data, kind)
    Path(name).write_bytes(out.getvalue())
    return out.getvalue()


def _array(values: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


@_file
def npz_archives() -> None:
    array = _array(VALUES)
    _zip("outside.npz", {"../../w.npy": array, "/etc/v.npy": array})
    _zip("bzip2.npz", {"w.npy": array}, zipfile.ZIP_BZIP2)
    _zip("short.npz", {"w.npy": array[:-4]}, zipfile.ZIP_DEFLATED)
    header = io.BytesIO()
    description = {"descr": "<f4", "fortran_order": False, "shape": (1 << 20,)}
    np.lib.format.write_array_header_1_0(header, description)
    bomb = header.getvalue() + bytes(1 << 22)
    _zip("bomb.npz", {"w.npy": bomb}, zipfile.ZIP_DEFLATED)
    data = bytearray(_zip("lies.npz", {"w.npy": bomb[:1000]}, zipfile.ZIP_DEFLATED))
    # The directory says what the array's header says, and the stored bytes do not.
    struct.pack_into("<L", data, data.rindex(b"PK\x01\x02") + 24, len(bomb))
    Path("lies.npz").write_bytes(data)
    data = bytearray(_zip("elsewhere.npz", {"w.npy": array}))
    struct.pack_into("<L", data, data.rindex(b"PK\x01\x02") + 42, 10)
    Path("elsewhere.npz").write_bytes(data)
    data = bytearray(_zip("encrypted.npz", {"w.npy": array}))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    Path("encrypted.npz").write_bytes(data)
    data = bytearray(_zip("directory.npz", {"w.npy": array}))
    struct.pack_into("<L", data, data.rindex(b"PK\x05\x06") + 12, 2**31)
    Path("directory.npz").write_bytes(data)
    twice = _zip("twice.npz", {"w.npy": array, "v.npy": array})
    Path("twice.npz").write_bytes(twice.replace(b"v.npy", b"w.npy"))


@_file
def keras_archives() -> None:
    with _hdf5("inner") as file:
        file["layers/dense/vars/0"] = VALUES
    weights = Path("inner.h5").read_bytes()
    Path("inner.h5").unlink()
    config = b'{"class_name": "Sequential", "config": {"layers": []}}'
    members = {"config.json": config, "model.weights.h5": weights}
    _zip("deflated.keras", members, zipfile.ZIP_DEFLATED)
    _zip("empty.keras", {"config.json": config})
    _zip("no_weights.keras", {**members, "model.weights.h5": b"x" * 100})
    data = bytearray(_zip("longer.keras", members))
    struct.pack_into("<2L", data, data.rindex(b"PK\x01\x02") + 20, *(2 * [10**9]))
    Path("longer.keras").write_bytes(data)


@_file
def folders() -> None:
    """Have folders that name files outside."""
    canary = _array(VALUES)
    Path("canary.npy").write_bytes(canary)
    for name, file in {"up": "../canary.npy", "root": "/etc/passwd", "link": "l.npy"}.items():
        folder = Path(f"{name}_folder")
        folder.mkdir()
        manifest = {"glorot": {}, "tensors": {"w": {"file": file}}}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (folder / "l.npy").symlink_to("../canary.npy")
    Path("many_folder").mkdir()
    Path("many_folder/manifest.json").write_bytes(b"[" + b"0," * 9_000_000 + b"0]")


@_file
def shards() -> None:
    """Have indices that name files outside."""
    safetensors("canary", {"w": _entry(0, 4)}, bytes(4))
    for name, file in {"up": "../canary.safetensors", "root": "/etc/passwd", "dots": ".."}.items():
        folder = Path(f"{name}_shards")
        folder.mkdir()
        index = {"metadata": {}, "weight_map": {"w": file}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        index = {"metadata": {}, "weight_map": {"/layers": file}}
        (folder / "x.weights.json").write_text(json.dumps(index))


@_file
def specs() -> None:
    """Have specs that try the same."""
    laughs = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
    )
    tensors = "tensors:\n  w: {shape: %s, axes: IO}\n"
    texts = {
        "laughs": laughs,
        "brackets": "[" * 100_000,
        "dashes": "- " * 100_000,
        "questions": "? " * 100_000,
        "object": "seed: !!python/object/apply:os.system [true]\n",
        "merge": "<<: {seed: 1}\n",
        "escape": "seed: 1 # \x1b[31m\n",
        "twice": "seed: 1\nseed: 2\n",
        "digits": f"seed: {'9' * 5000}\n",
        "two": "a: 1\n---\nb: 1\n",
        "power": tensors % "['2**9**9', 3]",
        "code": tensors % "[\"__import__('os')\", 3]",
        "huge": tensors % "[9223372036854775807, 9223372036854775807]",
        "up": "tensors:\n  ../w: {shape: [2]}\n",
        "markup": 'tensors:\n  "[bold]w[/bold]": {shape: [2], initializer: zeros}\n',
        "half": 'tensors:\n  "\\ud800": {shape: [2]}\n',
    }
    for name, text in texts.items():
        Path(f"{name}.yaml").write_text(text)


def make_all() -> None:
    """Write every file into this folder."""
    with h5py.File("canary.h5", "w") as file:
        file["secret"] = VALUES
    for make in FILES.values():
        make()


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    make_all()
