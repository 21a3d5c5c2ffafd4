"""The table of formats: all that the rest of the program knows of each.

What reads or writes a format is loaded where it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from glorot_cli.dtypes import INTEGERS, ITEM_SIZES, KEPT_BITS
from glorot_cli.formats.base import INDEX, TORCH_INDEX, TORCH_NAMES, Format, Writer

if TYPE_CHECKING:
    from glorot_cli.formats.stored import StoredFile

_UNSIGNED = ("uint16", "uint32", "uint64")
_KERAS_DTYPES = ("float64", "float32", "float16", "bfloat16", *INTEGERS, *_UNSIGNED)
_NUMPY_DTYPES = (
    "float64", "float32", "float16", *INTEGERS, *_UNSIGNED, "complex64", "complex128",
)  # fmt: skip
_SAFETENSORS_DTYPES = (*ITEM_SIZES, *(name for name in KEPT_BITS if name != "complex128"))
# Reading HDF5 is left to a process that may fail on a damaged file.
_HDF5_READER = "glorot_cli.hdf5_reader"


def _write_safetensors() -> Writer:
    from glorot_cli.formats import safetensors

    return Writer(safetensors.lay_out, safetensors.finish)


def _read_safetensors(path: Path) -> StoredFile:
    from glorot_cli.formats import safetensors

    return safetensors.read_headers(path)


def _is_safetensors(path: Path, head: bytes) -> bool:
    return path.is_file()  # its rules say what is wrong with any other file


SAFETENSORS = Format(
    "safetensors",
    ".safetensors",
    (".safetensors",),
    _is_safetensors,
    _read_safetensors,
    _write_safetensors,
    option="safetensors",
    dtypes=_SAFETENSORS_DTYPES,
    alignment=8,
    axes="torch",
)


def _write_keras() -> Writer:
    from glorot_cli.formats import hdf5

    return Writer(hdf5.lay_out_keras)


def _write_h5() -> Writer:
    from glorot_cli.formats import hdf5

    return Writer(hdf5.lay_out)


def _read_hdf5(path: Path) -> StoredFile:
    from glorot_cli.formats import hdf5_walk

    return hdf5_walk.read_headers(path)


def _is_hdf5(path: Path, head: bytes) -> bool:
    return head.startswith(b"\x89HDF\r\n\x1a\n")


# The reader tells these two apart.
KERAS = Format(
    "keras",
    ".weights.h5, Keras 3's layout",
    (".weights.h5",),
    _is_hdf5,
    _read_hdf5,
    _write_keras,
    option="keras",
    dtypes=_KERAS_DTYPES,
    names="places",
    process=_HDF5_READER,
)
H5 = Format(
    "h5",
    ".h5, a dataset for each tensor",
    (".h5", ".hdf5"),
    _is_hdf5,
    _read_hdf5,
    _write_h5,
    option="h5",
    names="either",
    process=_HDF5_READER,
    dtypes=_NUMPY_DTYPES,
)


def _write_keras_archive() -> Writer:
    from glorot_cli.formats import keras_archive

    return Writer(keras_archive.lay_out, keras_archive.finish)


def _read_keras_archive(path: Path) -> StoredFile:
    from glorot_cli.formats import keras_archive

    return keras_archive.read_headers(path)


def _is_zip(path: Path, head: bytes) -> bool:
    from glorot_cli.formats import zips

    return head.startswith(b"PK\x03\x04") and zips.is_zip(path)


def _is_keras_archive(path: Path, head: bytes) -> bool:
    return _is_zip(path, head) and not (_is_npz(path, head) or _is_torch(path, head))


KERAS_ARCHIVE = Format(
    "keras-archive",
    ".keras, a model and its weights",
    (".keras",),
    _is_keras_archive,
    _read_keras_archive,
    _write_keras_archive,
    kind="set",
    dtypes=_KERAS_DTYPES,
    copies=2,
    names="places",
    configuration="keras",
    process=_HDF5_READER,
)


def _write_keras_shards() -> Writer:
    from glorot_cli.formats import keras_shards

    return Writer(keras_shards.lay_out)


def _read_keras_shards(path: Path) -> StoredFile:
    from glorot_cli.formats import keras_shards

    return keras_shards.read_index(path)


def _is_keras_shards(path: Path, head: bytes) -> bool:
    return path.name.endswith(".weights.json") and path.is_file()


KERAS_SHARDS = Format(
    "keras-shards",
    ".weights.json, Keras 3's layout in shards",
    (".weights.json",),
    _is_keras_shards,
    _read_keras_shards,
    _write_keras_shards,
    kind="set",
    dtypes=_KERAS_DTYPES,
    names="places",
    process=_HDF5_READER,
)


def _write_npy() -> Writer:
    from glorot_cli.formats import npy

    return Writer(npy.lay_out)


def _read_npy(path: Path) -> StoredFile:
    from glorot_cli.formats import npy

    return npy.read_headers(path)


def _is_npy(path: Path, head: bytes) -> bool:
    return head.startswith(b"\x93NUMPY")


NPY = Format(
    "npy",
    ".npy, one tensor",
    (".npy",),
    _is_npy,
    _read_npy,
    _write_npy,
    option="npy",
    alignment=64,
    holds_provenance=False,
    names="nothing",
    dtypes=_NUMPY_DTYPES,
)


def _write_npy_folder() -> Writer:
    from glorot_cli.formats import npy

    return Writer(npy.lay_out_folder)


def _read_npy_folder(path: Path) -> StoredFile:
    from glorot_cli.formats import npy

    return npy.read_folder(path)


def _is_npy_folder(path: Path, head: bytes) -> bool:
    return path.is_dir() and not (_is_shards(path, head) or _is_torch(path, head))


NPY_FOLDER = Format(
    "npy-folder",
    "a folder of .npy",
    (),
    _is_npy_folder,
    _read_npy_folder,
    _write_npy_folder,
    kind="folder",
    alignment=64,
    dtypes=_NUMPY_DTYPES,
)


def _read_npz(path: Path) -> StoredFile:
    from glorot_cli.formats import npz

    return npz.read_headers(path)


def _is_npz(path: Path, head: bytes) -> bool:
    from glorot_cli.formats import npz

    return _is_zip(path, head) and npz.is_npz(path)


def _write_npz() -> Writer:
    from glorot_cli.formats import npz_archive

    return Writer(npz_archive.lay_out, npz_archive.finish, checksums=True)


NPZ = Format(
    "npz",
    ".npz, an archive of .npy",
    (".npz",),
    _is_npz,
    _read_npz,
    _write_npz,
    option="npz",
    alignment=64,
    largest_provenance=0xFFFF,
)


def _read_shards(path: Path) -> StoredFile:
    from glorot_cli.formats import shards

    return shards.read_folder(path) if path.is_dir() else shards.read_index(path)


def _is_shards(path: Path, head: bytes) -> bool:
    from glorot_cli.formats import shards

    if path.is_dir():
        return (path / INDEX).is_file() or bool(shards.names_in(path))
    is_index = path.name.endswith(".index.json") and not path.name.endswith(TORCH_INDEX)
    return is_index and path.is_file()


SHARDS = Format(
    "shards",
    "a folder of .safetensors shards",
    (".index.json",),
    _is_shards,
    _read_shards,
    kind="shards",
    dtypes=_SAFETENSORS_DTYPES,
    alignment=8,
    axes="torch",
    configuration="model",
)


def _read_torch(path: Path) -> StoredFile:
    from glorot_cli.formats import shards, torch_file

    if path.is_dir():
        names = (name for name in TORCH_NAMES if (path / name).is_file())
        path = path / next(names)
    if path.name.endswith(TORCH_INDEX):
        return shards.read_index(path, TORCH)
    return torch_file.read_headers(path)


def _read_torch_key(path: Path, key: str) -> StoredFile:
    from glorot_cli.formats import torch_file

    return torch_file.read_headers(path, key)


def _is_torch(path: Path, head: bytes) -> bool:
    from glorot_cli.formats import torch_file

    if path.is_dir():
        return not _is_shards(path, head) and any((path / n).is_file() for n in TORCH_NAMES)
    if path.name.endswith(TORCH_INDEX):
        return path.is_file()
    # Before its files were archives, torch wrote pickles, the first of them of this number. Before
    # it there may be a frame.
    is_legacy = head.startswith(b"\x80") and b"\x8a\nl\xfc\x9c" in head
    return is_legacy or (_is_zip(path, head) and torch_file.is_archive(path))


def _write_torch() -> Writer:
    from glorot_cli.formats import torch_archive

    return Writer(torch_archive.lay_out, torch_archive.finish, checksums=True)


TORCH = Format(
    "torch",
    ".pt, torch's own",
    (".pt", ".pth"),
    _is_torch,
    _read_torch,
    _write_torch,
    other_endings=(".bin", ".ckpt", TORCH_INDEX),
    read_key=_read_torch_key,
    option="torch",
    dtypes=tuple(ITEM_SIZES),
    alignment=64,
    axes="torch",
    process="glorot_cli.torch_reader",
)


def _read_onnx(path: Path) -> StoredFile:
    from glorot_cli.formats import onnx_file

    return onnx_file.read_headers(path)


def _is_onnx(path: Path, head: bytes) -> bool:
    return path.suffix == ".onnx" and path.is_file()  # protobuf has no mark of its own


ONNX = Format(
    "onnx",
    ".onnx, the initializers of a graph",
    (".onnx",),
    _is_onnx,
    _read_onnx,
    dtypes=(),
    axes="torch",
)

# In the order in which they are listed. `--format` chooses from those that have an option.
FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        SAFETENSORS, KERAS, H5, KERAS_ARCHIVE, KERAS_SHARDS, NPY, NPY_FOLDER, SHARDS, NPZ,
        TORCH, ONNX,
    )
}  # fmt: skip
OPTIONS = {each.option: each for each in FORMATS.values() if each.option is not None}
# Those whose files are written at once, and so chosen by a path's ending.
WRITTEN = tuple(each for each in FORMATS.values() if each.writer is not None)
