"""Files of weights in formats that are not read: how to tell them, and what to do with them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from glorot_cli.formats import zips
from glorot_cli.formats.base import INDEX, MANIFEST, TORCH_NAMES


class Foreign(NamedTuple):
    """Name a kind of file, and say how to make of it one that is read."""

    title: str
    advice: str

    def __str__(self) -> str:
        return f"{self.title}, which glorot does not read; {self.advice}"


_TORCH_PARTS = Foreign(
    "a folder of torch's files without an index", "give one of its files at a time"
)
_TENSORFLOW = "load it in TensorFlow or Keras and save its weights as .weights.h5 or .h5"
_CHECKPOINT = Foreign("a TensorFlow checkpoint", _TENSORFLOW)
_SAVED_MODEL = Foreign("a TensorFlow SavedModel", _TENSORFLOW)
_ORBAX = Foreign(
    "an Orbax checkpoint", "restore it with orbax.checkpoint and save its tree as .safetensors"
)
_DISTRIBUTED = Foreign(
    "a checkpoint of torch.distributed",
    "join it by python -m torch.distributed.checkpoint.format_utils dcp_to_torch, "
    "and save it by safetensors.torch.save_file",
)
_ONNX = Foreign("an ONNX model of another name", "end its name in .onnx")
_TFLITE = Foreign("a TensorFlow Lite model", "start from the model that it was converted from")
_GGUF = Foreign("a GGUF file", "start from the .safetensors that it was converted from")
_PICKLE = Foreign(
    "a pickle", "load it where it comes from and save its arrays by safetensors.numpy.save_file"
)
_MSGPACK = Foreign(
    "a msgpack file, as Flax writes it",
    "restore it by flax.serialization.msgpack_restore and save its tree as .safetensors",
)
_ARCHIVE = "unpack it first"

# What stands where in a file, and nowhere else by chance.
_BYTES: tuple[tuple[int, bytes, Foreign], ...] = (
    (0, b"GGUF|GGML|ggjt|lmgg|tjgg", _GGUF),
    (4, b"TFL3", _TFLITE),
    # But for those that torch writes, which start with its number.
    (0, rb"\x80[\x02-\x05](?!.{0,9}\x8a\nl\xfc\x9c)[^\x00]", _PICKLE),
    (0, b"\x1f\x8b", Foreign("a gzip file", _ARCHIVE)),
    (0, b"BZh[1-9]", Foreign("a bzip2 file", _ARCHIVE)),
    (0, b"\xfd7zXZ\x00", Foreign("an xz file", _ARCHIVE)),
    (0, rb"\x28\xb5\x2f\xfd", Foreign("a Zstandard file", _ARCHIVE)),
    (0, b"7z\xbc\xaf\x27\x1c", Foreign("a 7z archive", _ARCHIVE)),
    (257, b"ustar", Foreign("a tar archive", _ARCHIVE)),
)
# What other files may begin with too, so that a name says more.
_LIKELY_BYTES: tuple[tuple[int, bytes, Foreign], ...] = (
    # The version of the format, and then the name of the producer, the graph or the domain.
    (0, rb"\x08[\x01-\x1f][\x12\x1a\x22\x2a\x32\x3a\x42]", _ONNX),
    # A map whose first key is a text.
    (0, rb"([\x81-\x8f]|\xde..|\xdf....)[\xa1-\xbf\xd9]", _MSGPACK),
)
# What ends a LevelDB table, which the index of a TensorFlow checkpoint is.
_LEVELDB_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
_HEAD = 262
# Where bytes say nothing, names do.
_NAMES: tuple[tuple[str, Foreign], ...] = (
    (r"saved_model\.pb(txt)?", _SAVED_MODEL),
    (r".+\.data-\d{5}-of-\d{5}", _CHECKPOINT),
    (r".+\.ckpt-\d+", _CHECKPOINT),
    (r".+\.tflite", _TFLITE),
    (r".+\.gguf", _GGUF),
    (r".+\.msgpack", _MSGPACK),
    (r".+\.distcp", _DISTRIBUTED),
)
# What a folder holds, if it is one of these, by names in it.
_FOLDERS: tuple[tuple[str, Foreign], ...] = (
    (r"saved_model\.pb(txt)?", _SAVED_MODEL),
    (r"_CHECKPOINT_METADATA|_METADATA|manifest\.ocdbt|_sharding|.*\.orbax-checkpoint.*", _ORBAX),
    (r"\.metadata|.+\.distcp", _DISTRIBUTED),
    (r"checkpoint|.+\.data-\d{5}-of-\d{5}", _CHECKPOINT),
    (r"(pytorch_model|consolidated).*\.(bin|pth?)", _TORCH_PARTS),
    (r"flax_model.*\.msgpack(\.index\.json)?", _MSGPACK),
)
# A text that only TensorFlow writes.
_POINTER = b"model_checkpoint_path:"


def foreign_kind(path: Path) -> Foreign | None:
    """Tell what a file, a folder or the beginning of files' names is, if it is known but not read.

    First and last bytes tell files of any name.
    """
    try:
        if path.is_dir():
            return _folder(path)
        if not path.is_file():
            named = path.name and Path(f"{path}.index").is_file()
            return _CHECKPOINT if named else None
        return None if zips.is_zip(path) else _file(path)
    except OSError:
        return None


def _file(path: Path) -> Foreign | None:
    with path.open("rb") as file:
        head = file.read(_HEAD)
        size = file.seek(0, 2)
        file.seek(max(0, size - len(_LEVELDB_END)))
        end = file.read()
    if head[8:9] == b"{":
        return None  # a header of safetensors, of any length
    if (found := _by_bytes(_BYTES, head)) is not None:
        return found
    if end == _LEVELDB_END or head.startswith(_POINTER):
        return _CHECKPOINT
    if path.suffix == ".onnx":
        return None
    by_name = (each for name, each in _NAMES if re.fullmatch(name, path.name))
    return next(by_name, None) or _by_bytes(_LIKELY_BYTES, head)


def _by_bytes(table: tuple[tuple[int, bytes, Foreign], ...], head: bytes) -> Foreign | None:
    found = (f for at, pattern, f in table if re.match(pattern, head[at:], re.DOTALL))
    return next(found, None)


def _folder(path: Path) -> Foreign | None:
    """Tell what a folder is; an Orbax checkpoint may lie one level deeper."""
    names = {each.name for each in path.iterdir()}
    if names & {INDEX, MANIFEST, *TORCH_NAMES} or any(
        name.endswith(".safetensors") for name in names
    ):
        return None
    for pattern, foreign in _FOLDERS:
        if any(re.fullmatch(pattern, name) for name in names):
            return foreign
    for inner in {"default", "state", "params"} & names:
        if {"_METADATA", "manifest.ocdbt", "_sharding"} & set(os.listdir(path / inner)):  # noqa: PTH208
            return _ORBAX
    return None
