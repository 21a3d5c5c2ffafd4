"""Files of other kinds: each is named, with what to do, by every command alike."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]

TORCH = (
    "a folder of torch's files without an index, which glorot does not read; give one of its files "
    "at a time"
)
CHECKPOINT = (
    "a TensorFlow checkpoint, which glorot does not read; load it in TensorFlow or Keras and save "
    "its weights as .weights.h5 or .h5"
)
SAVED_MODEL = CHECKPOINT.replace("a TensorFlow checkpoint", "a TensorFlow SavedModel")
GGUF = (
    "a GGUF file, which glorot does not read; start from the .safetensors that it was converted "
    "from"
)
ONNX = "an ONNX model of another name, which glorot does not read; end its name in .onnx"
TFLITE = (
    "a TensorFlow Lite model, which glorot does not read; start from the model that it was "
    "converted from"
)
PICKLE = (
    "a pickle, which glorot does not read; load it where it comes from and save its arrays by "
    "safetensors.numpy.save_file"
)
MSGPACK = (
    "a msgpack file, as Flax writes it, which glorot does not read; restore it by "
    "flax.serialization.msgpack_restore and save its tree as .safetensors"
)
ORBAX = (
    "an Orbax checkpoint, which glorot does not read; restore it with orbax.checkpoint and save "
    "its tree as .safetensors"
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def torch_zip() -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("model/version", b"3\n")
    return raw.getvalue()


def tar() -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return raw.getvalue()


# An index of a checkpoint ends with LevelDB's magic number; data has no mark but its name.
LEVELDB = bytes(40) + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
FILES: dict[str, tuple[bytes, str]] = {
    "model.gguf": (b"GGUF\x03\0\0\0" + bytes(32), GGUF),
    "named.gguf": (b"\0\1\2\3" * 9, GGUF),
    "nameless": (b"\x08\x0a:\x10" + b"\x0a\x05" + bytes(30), ONNX),
    "model.tflite": (b"\x1c\0\0\0TFL3" + bytes(40), TFLITE),
    "data.pkl": (pickle.dumps({"w": [1.0, 2.0]}, protocol=2), PICKLE),
    "data4.pickle": (pickle.dumps({"w": [1.0, 2.0]}, protocol=4), PICKLE),
    "flax_model.msgpack": (b"\x81\xa6params\x81\xa5dense\x80", MSGPACK),
    "ckpt-1.index": (LEVELDB, CHECKPOINT),
    "ckpt-1.data-00000-of-00001": (bytes(64), CHECKPOINT),
    "ckpt-1": (b"", CHECKPOINT),
    "checkpoint": (b'model_checkpoint_path: "ckpt-1"\n', CHECKPOINT),
    "saved_model.pb": (b"\x08\x01\x12\x03abc", SAVED_MODEL),
    "w.npy.gz": (gzip.compress(b"x"), "a gzip file, which glorot does not read; unpack it first"),
    "w.tar": (tar(), "a tar archive, which glorot does not read; unpack it first"),
}


def made(name: str) -> str:
    content, said = FILES[name]
    if content:
        Path(name).write_bytes(content)
    else:
        Path(f"{name}.index").write_bytes(LEVELDB)
    return said


@pytest.mark.parametrize("name", FILES)
def test_every_command_says_the_same_of_a_file(name: str, run: Run) -> None:
    expected = (2, "", f"glorot: {name}: {made(name)}\n")
    Path("spec.yaml").write_text("seed: 1\ntensors: {w: [2, 3]}\n", "utf-8")
    commands = [
        ("inspect", name), ("verify", name), ("verify", name, "--spec", "spec.yaml"),
        ("diff", name, name), ("spec", name), ("init", name, "-o", "x.safetensors"),
        ("plan", name), ("init", "spec.yaml", "--base", name, "-o", "x.safetensors"),
    ]  # fmt: skip
    for command in commands:
        assert run(*command) == expected, command
    assert not Path("x.safetensors").exists()


FOLDERS = {
    "SavedModel": (["saved_model.pb", "variables/variables.index"], SAVED_MODEL),
    "TensorFlow": (["checkpoint", "ckpt-1.index", "ckpt-1.data-00000-of-00001"], CHECKPOINT),
    "Orbax": (["_METADATA", "manifest.ocdbt", "d/abc"], ORBAX),
    "Orbax of Flax": (["default/_METADATA", "default/manifest.ocdbt"], ORBAX),
    "torch": (["config.json", "consolidated.00.pth", "consolidated.01.pth"], TORCH),
    "Flax": (["config.json", "flax_model.msgpack"], MSGPACK),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_command_says_the_same_of_a_folder(kind: str, run: Run) -> None:
    names, said = FOLDERS[kind]
    for name in names:
        Path("folder", name).parent.mkdir(parents=True, exist_ok=True)
        Path("folder", name).write_bytes(b"{}")
    expected = (2, "", f"glorot: folder: {said}\n")
    for command in [
        ("inspect", "folder"), ("verify", "folder"), ("diff", "folder", "folder"),
    ]:  # fmt: skip
        assert run(*command) == expected, command
    if kind not in ("torch", "Flax"):
        assert run("spec", "folder") == expected
        assert run("init", "folder", "-o", "x.safetensors") == expected


def test_a_weight_file_beside_others_is_read(run: Run) -> None:
    spec = Path("spec.yaml")
    spec.write_text("seed: 1\ntensors: {w: [2, 3]}\n", "utf-8")
    folder = "model/"
    assert run("init", spec, "-o", folder, "--max-shard-size", "1GB", "-q")[0] == 0
    Path("model/pytorch_model.bin").write_bytes(torch_zip())
    Path("model/checkpoint").touch()
    assert run("verify", folder, "-q")[0] == 0
    # Of any length: what begins as a pickle does, and goes on as a header of safetensors.
    Path("x.yaml").write_text(
        "seed: 1\ntensors: {'w{i}': {shape: [2], initializer: zeros, repeat: {i: 30}}}\n", "utf-8"
    )
    assert run("init", "x.yaml", "-o", "x.safetensors", "-q")[0] == 0
    assert run("verify", "x.safetensors", "-q")[0] == 0
