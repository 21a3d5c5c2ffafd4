"""Files that torch saves, read without it and without running what is in them."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import glorot_cli as glorot
from glorot_cli.dtypes import numpy_dtype
from glorot_cli.formats import reader_process, torch_file
from glorot_cli.formats.elements import Elements
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.stored import StoredFile
from glorot_cli.torch_reader import __main__ as reader
from tests.fuzz.commands import Opened

Run = Callable[..., tuple[int, str, str]]

DATA = Path(__file__).parent / "data" / "torch"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text())
# Three numbers that a file before torch 1.6 starts with: its magic, a version, and the machine.
HEAD = b"".join(pickle.dumps(each, 2) for each in (reader.MAGIC, 1001, {"little_endian": True}))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that has the files of torch's."""
    for name in EXPECTED:
        shutil.copy(DATA / f"{name}.pt", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def held(file: StoredFile) -> dict[str, Any]:
    """Return what a file holds, as `expected.json` says it."""
    found = {}
    with Elements(file) as elements:
        for tensor in file.tensors:
            values = elements.run(tensor, 0, int(np.prod(tensor.shape, dtype=int)))
            data = values.astype(numpy_dtype(tensor.dtype)).tobytes().hex()
            found[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data": data}
    return found


@pytest.mark.parametrize("name", EXPECTED)
def test_what_torch_saved_is_read(name: str) -> None:
    file = read_headers(f"{name}.pt")
    assert list(file.notices) == EXPECTED[name]["notices"]
    assert held(file) == EXPECTED[name]["tensors"]
    assert file.format.name == "torch"


@pytest.mark.parametrize("name", EXPECTED)
def test_the_process_gives_the_same_here(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run here what otherwise runs in a process of its own."""
    monkeypatch.setattr(reader, "let_run", lambda seconds: None)
    monkeypatch.setattr("glorot_cli.child.limit", lambda kind, value, most: None)

    def ask(process: Any, request: Any, kind: bytes, most: int) -> tuple[bytes, bytes, float]:
        ((found, payload),) = reader.answers([json.dumps(request)])
        return found, payload, 0.0

    monkeypatch.setattr(reader_process.Process, "ask", ask)
    assert held(read_headers(f"{name}.pt")) == EXPECTED[name]["tensors"]


def test_names_do_not_matter_but_for_commands_that_take_specs_too(run: Run) -> None:
    for name in ("w.pth", "pytorch_model.bin", "last.ckpt"):
        shutil.copy("state_dict.pt", name)
        code, out, _ = run("spec", name)
        assert (code, "first.weight" in out) == (0, True)
    shutil.copy("state_dict.old.pt", "without_ending")
    assert run("inspect", "--headers", "without_ending")[0] == 0


def test_inspect_says_what_it_took(run: Run) -> None:
    code, out, err = run("inspect", "checkpoint.pt")
    assert code == 0
    assert err == "note: the weights are those of 'model'\n"
    assert "norm.num_batches_tracked" in out
    assert "exp_avg" not in out
    assert run("inspect", "--quiet", "checkpoint.pt") == (0, "", "")


def test_a_key_chooses(run: Run) -> None:
    code, out, err = run("inspect", "--json", "--key", "optimizer.state", "checkpoint.pt")
    assert (code, err) == (0, "")
    assert [each["name"] for each in json.loads(out)["files"][0]["tensors"]] == ["0.exp_avg"]
    assert run("inspect", "--key", "model.norm", "checkpoint.pt") == (
        2, "", "glorot: checkpoint.pt: it has no key 'model.norm'; there are "
        "'kept, first.weight, first.bias, norm.weight, norm.bias, ...\n",
    )  # fmt: skip
    assert run("spec", "--key", "model", "checkpoint.pt")[0] == 0
    assert run("plan", "--key", "model", "checkpoint.pt")[0] == 0
    assert run("diff", "--key", "model", "checkpoint.pt", "state_dict.pt") == (
        2, "", "glorot: state_dict.pt: it has no key 'model'; there are "
        "'kept, first.weight, first.bias, norm.weight, norm.bias, ...\n",
    )  # fmt: skip


def test_a_key_of_no_torch_file_is_refused(run: Run) -> None:
    np.save("w.npy", np.ones(3))
    message = "glorot: w.npy: --key is for the files that torch.save writes, and it is none\n"
    for command in (["inspect", "w.npy"], ["verify", "w.npy"], ["diff", "w.npy", "w.npy"]):
        assert run(*command, "--key", "a") == (2, "", message)
    Path("s.yaml").write_text("seed: 1\ntensors: {w: {shape: [2], initializer: ones}}\n")
    assert run("plan", "s.yaml", "--key", "a")[2] == (
        "glorot: --key is for the files that torch.save writes, and s.yaml is none\n"
    )


def test_every_command_reads_them(run: Run) -> None:
    arrays = {
        name: np.frombuffer(bytes.fromhex(each["data"]), numpy_dtype(each["dtype"])).reshape(
            each["shape"]
        )
        for name, each in EXPECTED["state_dict"]["tensors"].items()
    }
    safetensors.numpy.save_file(arrays, "same.safetensors")
    for name in ("state_dict", "state_dict.old", "checkpoint", "module"):
        assert run("diff", "--quiet", f"{name}.pt", "same.safetensors")[0] == 0
    assert run("init", "state_dict.pt", "--seed", "1", "-o", "new.safetensors", "-q")[0] == 0
    code, _, err = run(
        "init", "new.safetensors", "--base", "state_dict.pt", "--only", "first.*",
        "-o", "n.safetensors",
    )  # fmt: skip
    assert (code, "6 of 8 tensors kept from state_dict.pt" in err) == (0, True)
    kept = read_headers("n.safetensors")
    assert held(kept)["norm.weight"] == EXPECTED["state_dict"]["tensors"]["norm.weight"]
    Path("s.yaml").write_text(run("spec", "state_dict.pt")[1])
    code, out, _ = run("verify", "--statistics", "--all", "state_dict.pt", "s.yaml")
    assert (code, "first.weight" in out) == (0, True)
    assert run("verify", "--statistics", "--kept", "*", "state_dict.pt", "s.yaml")[0] == 1


def test_axes_are_those_of_torch(run: Run) -> None:
    _, out, _ = run("inspect", "--json", "state_dict.pt")
    tensors = {each["name"]: each for each in json.loads(out)["files"][0]["tensors"]}
    assert (tensors["first.weight"]["fan_in"], tensors["first.weight"]["fan_out"]) == (5, 3)


def test_a_checkpoint_in_several_files(run: Run) -> None:
    Path("hf").mkdir()
    shutil.copy("state_dict.pt", "hf/pytorch_model-00001-of-00002.bin")
    shutil.copy("parameters.old.pt", "hf/pytorch_model-00002-of-00002.bin")
    names = {"first.weight": 1, "norm.running_mean": 1, "1": 2}
    files = {name: f"pytorch_model-0000{n}-of-00002.bin" for name, n in names.items()}
    index = Path("hf/pytorch_model.bin.index.json")
    index.write_text(json.dumps({"metadata": {}, "weight_map": files}))
    for path in ("hf", str(index)):
        assert [each.name for each in read_headers(path).tensors] == list(files)
        assert run("inspect", path)[0] == 0
    assert run("inspect", "--key", "a", "hf")[2] == (
        "glorot: hf: --key is for the files that torch.save writes, and it is none\n"
    )
    index.write_text(json.dumps({"weight_map": {"w": "../state_dict.pt"}}))
    assert run("inspect", "hf")[2] == (
        "glorot: hf/pytorch_model.bin.index.json: expected a file beside it, "
        "found '../state_dict.pt'\n"
    )
    index.unlink()
    Path("hf/pytorch_model.bin").write_bytes(Path("state_dict.pt").read_bytes())
    assert len(read_headers("hf").tensors) == 8


# Pickles that torch did not write


def archive(path: str, pickled: bytes, **members: bytes) -> None:
    """Write an archive as torch does, with a pickle and other members."""
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("archive/data.pkl", pickled)
        for name, data in members.items():
            out.writestr(f"archive/{name}", data)


def storage(key: str = "0", count: int = 4, kind: str = "FloatStorage") -> bytes:
    """Return the opcodes of a storage."""
    return (
        f"(X\x07\0\0\0storagectorch\n{kind}\nX".encode()
        + struct.pack("<I", len(key)) + key.encode() + b"X\x03\0\0\0cpu"
        + b"\x8a\x08" + struct.pack("<q", count) + b"tQ"
    )  # fmt: skip


def tensor(
    shape: tuple[int, ...], strides: tuple[int, ...], first: int = 0, **options: Any
) -> bytes:
    """Return the opcodes of a tensor."""
    numbers = [
        b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in each) + b"t"
        for each in (shape, strides)
    ]
    start = b"\x8a\x08" + struct.pack("<q", first)
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(**options) + start + b"".join(numbers)
        + b"\x89}tR"
    )  # fmt: skip


def mapping(**values: bytes) -> bytes:
    """Return a pickle of a mapping."""
    items = b"".join(b"X" + struct.pack("<I", len(k)) + k.encode() + v for k, v in values.items())
    return b"\x80\x02}(" + items + b"u."


class Harmful:
    """Write a file where it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


HARMFUL: dict[str, bytes] = {
    "reduce": pickle.dumps({"w": Harmful()}, 2),
    "frames": pickle.dumps({"w": Harmful()}, 4),
    "text": pickle.dumps({"w": Harmful()}, 0),
    "instance": b"\x80\x02(S'touch harmed'\nios\nsystem\n.",
    "object": b"\x80\x02(cos\nsystem\nS'touch harmed'\no.",
    "new": b"\x80\x02cos\nsystem\n(S'touch harmed'\nt\x81.",
    "built": b"\x80\x02cbuiltins\nopen\n(S'harmed'\nS'w'\ntRb.",
    "keywords": b"\x80\x04cos\nsystem\n(S'touch harmed'\nt}\x92.",
    "extension": b"\x80\x02\x82\x01.",
    "stack": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch harmed\x85R.",
    "nested": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\ncos\nsystem\n"
    b"(S'touch harmed'\nt}tR.",
}


@pytest.mark.parametrize("name", HARMFUL)
@pytest.mark.parametrize("old", [False, True])
def test_no_code_is_run(name: str, old: bool, run: Run, folder: Path) -> None:
    if old:
        Path("bad.pt").write_bytes(HEAD + HARMFUL[name] + pickle.dumps([], 2))
    else:
        archive("bad.pt", HARMFUL[name])
    before = {path.name for path in folder.iterdir()}
    for command in ("inspect", "spec"):
        code, out, err = run(command, "bad.pt")
        assert (code, err.count("\n") <= 1) in ((0, True), (2, True)), (out, err)
    assert {path.name for path in folder.iterdir()} == before


def test_the_harmful_pickles_would_do_harm(folder: Path) -> None:
    pickle.loads(HARMFUL["reduce"])
    assert Path("harmed").exists()


BOMBS: dict[str, tuple[bytes, str | None]] = {
    # The unpickler in C allocates gigabytes for these nine bytes.
    "memo": (b"\x80\x02Nr\xff\xff\xff\x0f.", None),
    "long": (b"\x80\x02\x8b\xff\xff\xff\x7f\x01.", "its pickle is cut short"),
    "bytes": (b"\x80\x03B\xff\xff\xff\x7f\x01.", "its pickle is cut short"),
    "frame": (b"\x80\x04\x95\xff\xff\xff\xff\0\0\0\0.", "its pickle is cut short"),
    "array": (b"\x80\x05\x96\xff\xff\xff\xff\0\0\0\0.", "its pickle "),
    "digits": (b"\x80\x02L" + b"9" * 100_000 + b"L\n.", "its pickle is damaged: Exceeds the limit"),
    "doubled": (b"\x80\x02]" + b"q\0]" + b"".join(
        b"q%c]h%ch%ce" % (i + 1, i, i) for i in range(0)) + b"a.", None),
    "laughs": (
        b"\x80\x02]q\0" + b"".join(
            b"](h" + bytes([i]) + (b"h" + bytes([i])) * 9 + b"eq" + bytes([i + 1])
            for i in range(12)
        ) + b".", "expected names of at most 64 MiB in all",
    ),
    "tuples": (b"\x80\x02)" + b"\x85" * 300_000 + b".", "expected at most 64 levels of mappings"),
    "lists": (b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".", "expected at most 64 levels"),
    "circle": (b"\x80\x02]q\0h\0a.", "expected at most 64 levels of mappings"),
    "hash": (b"\x80\x02}" + b")" + b"\x85" * 300_000 + b"Ns.", "reading its pickle failed on it ("),
    "empty": (b"", "its pickle is cut short"),
    "stop": (b".", "its pickle is damaged: "),
    "items": (b"\x80\x02]NNs.", "its pickle sets items of what is no mapping"),
    "append": (b"\x80\x02}Na.", "its pickle appends to what is no list"),
    "outside": (b"\x80\x02Pmine\n.", "its pickle refers to what is no storage of torch's"),
    "buffer": (b"\x80\x05\x97.", "its pickle asks for what is not in it"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_pickles_that_would_cost_much(name: str, run: Run, folder: Path) -> None:
    data, line = BOMBS[name]
    archive("bad.pt", data)
    code, out, err = run("inspect", "--headers", "bad.pt")
    if line is None:
        assert (code, err) == (0, "")
    else:
        assert (code, out) == (2, "")
        assert err.lower().startswith(f"glorot: bad.pt: {line}".lower())
        assert err.count("\n") == 1


TENSORS: dict[str, tuple[bytes, str]] = {
    "long": (tensor((5,), (1,)), "tensor 'w': it needs 20 bytes of storage '0', which has 16"),
    "far": (tensor((2,), (1,), 3), "tensor 'w': it needs 20 bytes of storage '0', which has 16"),
    "strides": (
        tensor((2, 2), (4, 1)),
        "tensor 'w': it needs 24 bytes of storage '0', which has 16",
    ),
    "expanded": (
        tensor((2**40,), (0,)), "tensor 'w': it declares 4398046511104 bytes, 16 are stored",
    ),
    "huge": (
        tensor((2**40, 2**40), (0, 0)),
        "tensor 'w': expected less than 2**63 elements, found shape [1099511627776, 1099511627776]",
    ),
    "negative": (tensor((-1,), (1,)), "its pickle has a tensor whose shape is not understood"),
    "backwards": (tensor((2,), (-1,)), "its pickle has a tensor whose shape is not understood"),
    "ranks": (tensor((2,), (1, 1)), "its pickle has a tensor that is not understood"),
    "many axes": (tensor((1,) * 65, (1,) * 65), "its pickle has a tensor whose shape is not unde"),
    "missing": (tensor((2,), (1,), key="9"), "it has no 'data/9', which its pickle refers to"),
    "kind": (tensor((2,), (1,), kind="os"), "its pickle has a storage of a kind that is not known"),
    "outside": (
        tensor((2,), (1,), key="../../x"), "it has no 'data/../../x', which its pickle refers to",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_are_not_there(name: str, run: Run) -> None:
    opcodes, line = TENSORS[name]
    archive("bad.pt", mapping(w=opcodes), **{"data/0": bytes(16)})
    code, out, err = run("inspect", "bad.pt")
    assert (code, out) == (2, "")
    assert err.startswith(f"glorot: bad.pt: {line}")


def test_many_views_of_one_storage_are_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_file, "SMALL", 0)
    monkeypatch.setattr(torch_file, "LARGEST_RATIO", 2)
    views = {f"w{i}": tensor((4,), (1,)) for i in range(400)}
    archive("bad.pt", mapping(**views), **{"data/0": bytes(16)})
    assert run("inspect", "bad.pt")[0] == 0
    views = {f"w{i}": tensor((1000,), (1,), count=1000) for i in range(60)}
    archive("bad.pt", mapping(**views), **{"data/0": bytes(4000)})
    size = Path("bad.pt").stat().st_size
    assert run("inspect", "bad.pt")[2].startswith("glorot: bad.pt: its tensors declare ")
    assert run("inspect", "bad.pt")[2].endswith(f" bytes, it has {size}\n")


def test_a_damaged_archive(run: Run) -> None:
    good = mapping(w=tensor((4,), (1,)))
    with zipfile.ZipFile("zipped.pt", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("archive/data.pkl", good)
        out.writestr("archive/data/0", bytes(16))
    assert run("inspect", "zipped.pt")[2] == (
        "glorot: zipped.pt: expected 'data.pkl' stored as it is, found it compressed\n"
    )
    archive("order.pt", good, **{"data/0": bytes(16), "byteorder": b"middle"})
    assert run("inspect", "order.pt")[2] == (
        "glorot: order.pt: expected byteorder little or big, found 'middle'\n"
    )
    archive("twice.pt", good, **{"data/0": bytes(16)})
    with zipfile.ZipFile("twice.pt", "a") as out, pytest.warns(UserWarning, match="Duplicate"):
        out.writestr("archive/data/0", bytes(16))
    assert run("inspect", "twice.pt")[2] == (
        "glorot: twice.pt: two of its members have the same name\n"
    )


def test_an_index_of_other_archives(run: Run) -> None:
    np.savez("pytorch_model-1.bin.npz", w=np.ones(3))
    Path("pytorch_model-1.bin.npz").rename("pytorch_model-1.bin")
    index = {"weight_map": {"w": "pytorch_model-1.bin"}}
    Path("pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert run("inspect", "pytorch_model.bin.index.json")[2] == (
        "glorot: pytorch_model-1.bin: not a file of torch's: it has no data.pkl\n"
    )


def test_a_file_of_the_older_form_that_is_cut(run: Run) -> None:
    whole = Path("state_dict.old.pt").read_bytes()
    for size in (len(whole) - 1, len(whole) - 300):
        Path("cut.pt").write_bytes(whole[:size])
        code, out, err = run("inspect", "cut.pt")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("glorot: cut.pt: it")
    other = pickle.dumps(reader.MAGIC, 2) + pickle.dumps(1002, 2) + pickle.dumps({}, 2)
    Path("other.pt").write_bytes(other)
    assert run("inspect", "other.pt")[2] == (
        "glorot: other.pt: it is not a file that torch.save wrote\n"
    )


def test_a_pickle_that_takes_too_long(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_file, "PATIENCE", 0.3)
    monkeypatch.setattr(torch_file, "PATIENCE_PER_MIB", 0.0)
    archive("slow.pt", b"\x80\x02" + b"N0" * 4_000_000 + b"N.")
    assert run("inspect", "slow.pt")[2] == (
        "glorot: slow.pt: reading its pickle takes more than 0 s of processor time for it; "
        "it is damaged, or has too much in it\n"
    )  # fmt: skip


def test_no_other_file_is_opened(run: Run) -> None:
    opened = Opened()
    opened.folder, opened.watching = str(Path.cwd()), True
    assert run("inspect", "state_dict.pt", "views.old.pt")[0] == 0
    opened.watching = False
    assert opened.found == set()


def test_a_name_that_is_not_printable_is_escaped(run: Run) -> None:
    archive("bad.pt", mapping(**{"\x1b[31m": tensor((9,), (1,))}), **{"data/0": bytes(16)})
    assert run("inspect", "bad.pt")[2].startswith("glorot: bad.pt: tensor '\\x1b[31m': it needs")


def test_two_tensors_of_a_name_are_refused(run: Run) -> None:
    inner = b"}(X\x01\0\0\0b" + tensor((4,), (1,)) + b"u"
    archive("bad.pt", mapping(**{"a.b": tensor((4,), (1,)), "a": inner}), **{"data/0": bytes(16)})
    assert run("inspect", "bad.pt")[2] == "glorot: bad.pt: two tensors are named 'a.b'\n"


def test_a_view_of_a_large_matrix_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glorot_cli.formats.strided.LARGEST_READ", 1 << 12)
    monkeypatch.setattr("glorot_cli.formats.strided.BLOCK_BYTES", 1 << 10)
    values = np.arange(300 * 200, dtype="<f4").reshape(300, 200)
    turned = tensor((200, 300), (1, 200), count=values.size)
    some = tensor((7, 100), (4000, 2), 1, count=values.size)
    archive("big.pt", mapping(t=turned, s=some), **{"data/0": values.tobytes()})
    found = {each.name: each for each in read_headers("big.pt").tensors}
    for name, expected in (("t", values.T), ("s", values[0:140:20, 1::2])):
        slabs = found[name].slabs
        assert slabs is not None
        parts = list(slabs())
        assert max(part.nbytes for part in parts) <= 1 << 10
        assert np.concatenate(parts).tobytes() == expected.tobytes()


def test_a_pickle_of_a_size_that_is_not_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_file, "LARGEST_PICKLE", 0)
    assert run("inspect", "views.pt")[2] == (
        "glorot: views.pt: expected a data.pkl below 0 MiB\n"
    )  # fmt: skip


def test_a_plain_pickle_is_none_of_torchs(run: Run) -> None:
    buffer = io.BytesIO()
    pickle.dump({"w": [1.0]}, buffer)
    Path("w.pkl").write_bytes(buffer.getvalue())
    code, out, err = run("inspect", "w.pkl")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_the_library_reads_them_too() -> None:
    with pytest.raises(glorot.FormatError, match="it has no key 'ema'"):
        read_headers("checkpoint.pt", "ema")
    assert glorot.inspect_weights("checkpoint.pt", key="model").notices == ()
