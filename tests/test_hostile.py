"""Hostile files: each is one clear line, takes little memory, and leads to no other file."""

from __future__ import annotations

import ctypes
import json
import math
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import xml.etree.ElementTree
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli import child
from glorot_cli.derive import derive_spec, spec_text
from glorot_cli.formats import hdf5_process, hdf5_walk, reader_process
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.stored import StoredFile
from glorot_cli.hdf5_reader import __main__ as reader
from glorot_cli.spec.source import parse
from glorot_cli.workers import BLOCK_BYTES
from tests.fuzz.commands import Opened, forget_peak, peak
from tests.fuzz.pool import run_cases
from tests.fuzz.seeds import KINDS
from tests.hostile.make import NAMES, VALUES, make_all, safetensors

Run = Callable[..., tuple[int, str, str]]

NO_HEADER = (
    "expected a weight file, found neither HDF5 nor .npy nor a safetensors header (its length reads"
)
ENTRY = "tensor 'w': expected a dtype, a shape, and offsets that fit"
NO_NPY = "not a .npy file: "
# What each file of tests/hostile/make.py comes to; None is a file that is read. After ... HDF5's
# library goes on in its own words.
LINES: dict[str, str | None] = {
    "bomb.h5": None,
    "bomb_chunk.h5": "'w': expected chunks of at most 256 MiB",
    "cut.h5": "HDF5 cannot read it: ...",
    "cycle.h5": None,
    "damaged_chunk.h5": "'w': HDF5 cannot read it: ...",
    "deep.h5": "expected at most 64 levels of groups",
    "external_data.h5": "'w' keeps its data in other files, which are not read",
    "external_link.h5": "'l' is a link, which is not followed",
    "many_links.h5": None,
    "names.h5": None,
    "one_chunk.h5": "'w' is stored in bytes that other data is stored in",
    "never_written.h5": "'w' declares 4398046511104 bytes, 0 are stored",
    "no_space.h5": "'w' has no shape, as HDF5's null dataspace allows",
    "other_floats.h5": None,
    "signature.h5": "HDF5 cannot read it: ...",
    "soft_link.h5": "'l' is a link, which is not followed",
    "virtual_data.h5": "'w' keeps its data in other files, which are not read",
    "alias.safetensors": "tensor 'w': a gap or an overlap before it",
    "axes.safetensors": "tensor 'w': expected at most 64 axes, found 65",
    "below.safetensors": ENTRY,
    "binary.safetensors": "expected a JSON header of safetensors",
    "cut.safetensors": "its header needs 77 bytes, the file has 73; is it cut short?",
    "cut_short.safetensors": "expected a JSON header of safetensors",
    "deep.safetensors": "expected a JSON header of safetensors",
    "digits.safetensors": "expected a JSON header of safetensors",
    "floats.safetensors": ENTRY,
    "gap.safetensors": "tensor 'w': a gap or an overlap before it",
    "list.safetensors": "expected a JSON object of at most 500000 tensors",
    "long_header.safetensors": f"{NO_HEADER} 9223372036854775808, in a file of 10 bytes)",
    "longer_than_allowed.safetensors": f"{NO_HEADER} 100000001, in a file of 10 bytes)",
    "many_values.safetensors": "a header of 12300028 bytes: expected at most 8000000 values",
    "names.safetensors": None,
    "negative.safetensors": ENTRY,
    "metadata_twice.safetensors": "duplicate key 'a'",
    "overflow.safetensors": "overflow computing buffer size from shape and/or element type",
    "overlap.safetensors": "tensor 'w': a gap or an overlap before it",
    "pictured.safetensors": None,
    "rest.safetensors": "its header needs 77 bytes, the file has 81; 4 bytes follow the last "
    "tensor",
    "true.safetensors": ENTRY,
    "surrogate.safetensors": "invalid JSON in header: unexpected end of hex escape at line 1 "
    "column 9",
    "twice.safetensors": "duplicate key 'w'",
    "wraps.safetensors": "tensor 'w': F32 [8589934592, 8589934592] needs 295147905179352825856 "
    "bytes, its offsets hold 8",
    "code.npy": f"{NO_NPY}its header is no description of an array",
    "digits.npy": f"{NO_NPY}its header is no description of an array",
    "huge.npy": "its header needs 4398046511104 bytes, the file has 4",
    "hundred_axes.npy": "expected at most 64 axes, found 65",
    "long.npy": f"{NO_NPY}expected a header of 1 to 10000 bytes, found 20001",
    "longer.npy": f"{NO_NPY}expected a header of 1 to 10000 bytes, found 4294967295",
    "not_a_size.npy": f"{NO_NPY}expected whole numbers for shape, found [true]",
    "objects.npy": "expected numbers, found dtype object",
    "overflow.npy": "expected less than 2**63 elements, found shape [1099511627776, 1099511627776]",
    "parentheses.npy": f"{NO_NPY}its header is no description of an array",
    "signs.npy": f"{NO_NPY}its header is no description of an array",
    "string_of_fields.npy": f"{NO_NPY}expected the dtype of numbers, found "
    "'f4,(1000000,1000000)f4'",
    "structured.npy": f"{NO_NPY}expected the dtype of numbers, found [['a', '<f4']]",
    "text.npy": "expected numbers, found dtype <U5",
    "void.npy": "expected numbers, found dtype |V0",
    "bomb.npz": None,
    "bzip2.npz": "'w': expected it stored or deflated, found another compression",
    "directory.npz": "expected an archive with a directory of at most 32 MiB",
    "elsewhere.npz": "'w' is not where the archive says",
    "encrypted.npz": "'w': it is encrypted",
    "lies.npz": "'w' declares 4194432 bytes, 82 are stored",
    "outside.npz": None,
    "short.npz": "'w': its header needs 96 bytes, the archive has 92",
    "twice.npz": "'w.npy' stands there twice",
    "deflated.keras": "expected model.weights.h5 stored as it is, found it compressed",
    "empty.keras": "expected a .keras archive with model.weights.h5",
    "longer.keras": "model.weights.h5 is longer than the archive",
    "no_weights.keras": "HDF5 cannot read it: ...",
    "link_folder/manifest.json": "'l.npy' lies outside the folder",
    "many_folder/manifest.json": "expected at most 8000000 values",
    "root_folder/manifest.json": "'/etc/passwd' lies outside the folder",
    "up_folder/manifest.json": "'../canary.npy' lies outside the folder",
    "dots_shards/model.safetensors.index.json": "expected a file beside it, found '..'",
    "root_shards/model.safetensors.index.json": "expected a file beside it, found '/etc/passwd'",
    "up_shards/model.safetensors.index.json": "expected a file beside it, found "
    "'../canary.safetensors'",
    "dots_shards/x.weights.json": "expected a file beside it, found '..'",
    "root_shards/x.weights.json": "expected a file beside it, found '/etc/passwd'",
    "up_shards/x.weights.json": "expected a file beside it, found '../canary.safetensors'",
    "brackets.yaml": "1:1001: not valid YAML: exceeded maximum nesting depth",
    "code.yaml": "2:15: tensors.w.shape[0]: \"__import__('os')\" calls the unknown "
    "function '__import__'; known: cos, exp, len, log, max, min, sin, sqrt",
    "dashes.yaml": "1:131: expected at most 64 levels of nesting",
    "digits.yaml": "1:7: expected a number of at most 400 digits, found 5000",
    "escape.yaml": "1:11: expected printable text, found character U+001B",
    "half.yaml": "2:6: not valid YAML: found invalid Unicode character escape code "
    "while parsing a quoted scalar, which began at 2:3",
    "huge.yaml": "2:15: tensors.w.shape[0]: expected a positive integer below 2**40, "
    "found 9223372036854775807",
    "laughs.yaml": "15:12: expected at most 100000 values through aliases",
    "markup.yaml": None,
    "merge.yaml": "1:1: expected layers or tensors, found neither",
    "object.yaml": "1:7: expected a value, found the tag "
    "'tag:yaml.org,2002:python/object/apply:os.system'; leave it out",
    "power.yaml": "2:15: tensors.w.shape[0]: '2**9**9' goes beyond 2**64",
    "questions.yaml": "1:131: expected at most 64 levels of nesting",
    "twice.yaml": "2:1: the key 'seed' stands already at 1:1",
    "two.yaml": "2:1: expected one document, found another",
    "up.yaml": "2:3: tensors.../w: expected a tensor name without empty, '.' or '..' parts, "
    "found '../w'",
}  # fmt: skip
# The file whose reading does not end has a test of its own.
ELSEWHERE = {"hang.h5", "canary.h5", "canary.npy", "canary.safetensors"}

# No file is in this folder, so that each is noted which is opened.
_opened = Opened()
_opened.folder = "nowhere"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write every hostile file once."""
    folder = tmp_path_factory.mktemp("hostile")
    here = Path.cwd()
    os.chdir(folder)
    try:
        make_all()
    finally:
        os.chdir(here)
    return folder


@pytest.fixture(autouse=True)
def _inside(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)


def test_every_hostile_file_has_its_line() -> None:
    files = {str(path) for path in Path().rglob("*") if path.is_file()} - ELSEWHERE
    assert {name for name in files if not name.endswith("l.npy")} == set(LINES)


@pytest.mark.parametrize("name", LINES)
def test_a_hostile_file_is_one_line(name: str, run: Run) -> None:
    path = name.removesuffix("/manifest.json").removesuffix("/model.safetensors.index.json")
    command = "plan" if name.endswith(".yaml") else "inspect"
    forget_peak()
    before = peak()
    _opened.found.clear()
    _opened.watching = True
    code, out, err = run(command, path)
    _opened.watching = False
    # Far below the limit for a command of its own, which starts with 70 MB.
    assert peak() - before < 300 << 20
    line = LINES[name]
    separator = ":" if name.endswith(".yaml") and line is not None else ": "
    expected = "" if line is None else f"glorot: {name}{separator}{line}\n"
    if expected.endswith("...\n"):
        assert err.startswith(expected.removesuffix("...\n"))
        assert err.count("\n") == 1
    else:
        assert err == expected
    assert (code, bool(out)) == ((0, True) if line is None else (2, False))
    assert {Path(path).name for path in _opened.found} <= {Path(path).name, Path(name).name}


def test_a_file_that_hdf5_never_ends_to_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_walk, "PATIENCE", 0.6)
    monkeypatch.setattr(hdf5_walk, "PATIENCE_PER_MIB", 0.0)
    assert run("inspect", "hang.h5") == (
        2, "", "glorot: hang.h5: HDF5's library takes more than 1 s of processor time for it; "
        "it is damaged, or its chunks lie across the order of its elements\n",
    )  # fmt: skip


def test_memory_that_hdf5_may_not_have(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    small = hdf5_process.PROGRAM._replace(memory=40 << 20)
    monkeypatch.setattr(hdf5_process, "_process", reader_process.Process(small))
    code, out, err = run("inspect", "bomb.h5")
    assert (code, out) == (2, "")
    assert err.startswith("glorot: bomb.h5: 'w': HDF5 ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("kill -SEGV $$", "HDF5's library failed on it (signal 11); the file is damaged"),
        ("kill -ABRT $$", "HDF5's library failed on it (signal 6); the file is damaged"),
        ("exit 1", "HDF5's library failed on it (exit code 1); the file is damaged"),
        ("head -c 99 /dev/zero", "HDF5's library failed on it (exit code 0); the file is damaged"),
    ],
)
def test_how_a_process_ended_is_one_line(
    program: str, how: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{program}\n")
    script.chmod(0o755)
    monkeypatch.setattr(hdf5_process, "_process", reader_process.Process(hdf5_process.PROGRAM))
    monkeypatch.setattr(sys, "executable", str(script))
    assert run("inspect", "cycle.h5") == (2, "", f"glorot: cycle.h5: {how}\n")


def test_a_process_that_is_not_started_or_gone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = reader_process.Process(hdf5_process.PROGRAM)
    monkeypatch.setattr(hdf5_process, "_process", fresh)

    def living() -> subprocess.Popen[bytes]:
        assert fresh._process is not None
        return fresh._process

    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/none")
        assert run("inspect", "cycle.h5") == (
            2, "", "glorot: cycle.h5: cannot start a process to read it in: "
            "No such file or directory\n",
        )  # fmt: skip
    assert run("inspect", "cycle.h5")[0] == 0
    living().kill()
    living().wait()
    assert run("inspect", "cycle.h5")[0] == 0
    live = living()
    # Each file that is refused ends it, so that nothing of that file is left.
    assert run("inspect", "soft_link.h5")[0] == 2
    assert live.returncode == 0
    assert run("inspect", "cycle.h5")[0] == 0
    assert living() is not live
    fresh.stop()


def test_a_process_that_is_stopped_for_a_while_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = reader_process.Process(hdf5_process.PROGRAM)
    monkeypatch.setattr(hdf5_process, "_process", fresh)
    read_headers("cycle.h5")
    assert fresh._process is not None
    fresh._process.send_signal(signal.SIGSTOP)
    found: list[StoredFile] = []
    reader = threading.Thread(target=lambda: found.append(read_headers("bomb.h5")))
    reader.start()
    reader.join(0.05)
    assert not found
    fresh._process.send_signal(signal.SIGCONT)
    reader.join()
    assert [tensor.name for tensor in found[0].tensors] == ["w"]
    fresh.stop()


def test_processor_time_is_counted_over_all_blocks() -> None:
    file = hdf5_process.OpenFile(Path("bomb.h5"), hdf5_walk._request(Path("bomb.h5"), None))
    whole = file._left
    (described,) = file.listing()["tensors"]
    file.block(described[0], "w", 0, BLOCK_BYTES)
    assert whole - 5 < file._left < whole
    file._left = 0.0
    with pytest.raises(glorot.FormatError, match=r"takes more than 10 s of processor time for it"):
        file.block(described[0], "w", 1, BLOCK_BYTES)


def test_the_answers_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run here what otherwise runs in a process of its own."""
    limits: list[int] = []
    monkeypatch.setattr(child, "limit", lambda kind, value, most: limits.append(value))
    names = [*sorted(NAMES, key=str.encode), "\\xff"]
    files = ["names.h5", "cycle.h5", "bomb.h5", "many_links.h5", "never_written.h5", "cut.h5"]
    listings = [
        {**hdf5_walk._request(Path(name), None), "file": number}
        for number, name in enumerate(files)
    ]
    block = {"dataset": NAMES[1].encode().hex(), "number": 0}
    blocks = [{**listing, **block} for listing in listings]
    requests = [listings[0], *blocks[:5], blocks[0], *listings[3:]]
    answers = list(reader.answers(json.dumps(each) for each in requests))
    assert b"".join(kind for kind, _ in answers) == b"LDRRRRDLRR"
    assert [each[1] for each in json.loads(answers[0][1])["tensors"]] == names
    assert bytes(answers[1][1]) == bytes(answers[6][1]) == VALUES.tobytes()
    # Nothing may be opened but while a file is; of five files, the first was closed for the last.
    assert limits[1::2] == [0] * 9
    assert min(limits[::2]) > 0


def test_numbers_that_numpy_has_not_are_converted() -> None:
    (tensor,) = read_headers("other_floats.h5").tensors
    assert tensor.slabs is not None
    assert np.concatenate(list(tensor.slabs())).tolist() == [1.0, 3.0]


@pytest.mark.parametrize("chunks", [1, 4096])
def test_chunks_are_joined_in_order(
    chunks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdf5_walk, "BLOCK_BYTES", 256)
    monkeypatch.setattr(hdf5_walk, "MOST_CHUNKS", chunks)
    rng = random.Random(0)
    for number in range(15):
        shape = tuple(rng.randrange(1, 12) for _ in range(rng.randrange(1, 5)))
        sides = tuple(rng.randrange(1, size + 1) for size in shape)
        values = np.arange(math.prod(shape)).reshape(shape).astype(rng.choice(("<i4", ">f8")))
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("w", data=values, chunks=sides, compression=1)
        (tensor,) = read_headers(path).tensors
        assert tensor.slabs is not None
        slabs = list(tensor.slabs())
        assert max(slab.nbytes for slab in slabs) <= 256
        assert np.concatenate(slabs).tolist() == values.reshape(-1).tolist()


IN_OPEN = 0x20  # of <sys/inotify.h>


def opened_files(watch: int) -> set[str]:
    """Read the names of a watched folder's files that any process opened."""
    names, events = set(), os.read(watch, 1 << 20)
    while events:
        _, _, _, length = struct.unpack_from("iIII", events)
        names.add(os.fsdecode(events[16 : 16 + length].rstrip(b"\0")))
        events = events[16 + length :]
    return names


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel has inotify")
def test_the_kernel_sees_no_other_file_opened() -> None:
    # HDF5's library opens files below Python's audit hooks.
    system = ctypes.CDLL(None)
    watch = system.inotify_init1(os.O_NONBLOCK)
    assert system.inotify_add_watch(watch, b".", IN_OPEN) > 0
    names = ["external_link.h5", "external_data.h5", "virtual_data.h5"]
    try:
        command = [sys.executable, "-m", "glorot_cli", "inspect"]
        for name in names:
            found = subprocess.run([*command, name], capture_output=True, text=True, check=False)
            assert found.stderr.startswith(f"glorot: {name}: ")
        assert opened_files(watch) - {""} == set(names)
        with h5py.File("canary.h5"):  # as a link that is followed would
            assert opened_files(watch) == {"canary.h5"}
    finally:
        os.close(watch)


def test_a_bomb_is_not_kept_whole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glorot_cli.formats.elements.LARGEST_WHOLE", 1 << 20)
    with h5py.File("bomb_matrix.h5", "w") as file:
        file.create_dataset("w", data=np.zeros((1024, 512), "f4"), chunks=(64, 512), compression=1)
    np.save("turned.npy", np.zeros((512, 1024), "f4"))
    code, out, err = run("diff", "bomb_matrix.h5", "turned.npy", "--map", "w=turned:transpose")
    Path("bomb_matrix.h5").unlink()
    Path("turned.npy").unlink()
    assert (code, out, err) == (
        2, "", "glorot: bomb_matrix.h5: 'w' is stored in chunks or compressed; "
        "its axes are turned up to 1 MiB\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "value", "line"),
    [
        ("MOST_TENSORS", 8, "expected at most 8 datasets, whose names take at most 64 MiB"),
        ("LARGEST_NAMES", 10, "expected at most 500000 datasets, whose names take at most 0 MiB"),
        ("MOST_OBJECTS", 8, "expected at most 8 objects"),
    ],
)
def test_what_a_listing_may_hold(
    limit: str, value: int, line: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdf5_walk, limit, value)
    with h5py.File("nine.h5", "w") as file:
        for number in range(9):
            file[f"w{number}"] = VALUES
    assert run("inspect", "nine.h5") == (2, "", f"glorot: nine.h5: {line}\n")
    Path("nine.h5").unlink()


def test_what_a_spec_may_hold(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("source", "composer"):
        monkeypatch.setattr(f"glorot_cli.spec.{module}.MOST_VALUES", 30)
    Path("wide.yaml").write_text("tensors:\n  w: {shape: [" + "1, " * 40 + "]}\n")
    Path("wide.json").write_text(json.dumps({"tensors": [[] for _ in range(200)]}))
    assert run("plan", "wide.yaml") == (
        2, "", "glorot: wide.yaml:2:84: expected a spec of at most 30 values\n"
    )  # fmt: skip
    assert run("plan", "wide.json") == (
        2, "", "glorot: wide.json:1:1: expected a spec of at most 30 values\n"
    )  # fmt: skip
    for name in ("wide.yaml", "wide.json"):
        Path(name).unlink()


# Names


def lines_of(text: str) -> list[str]:
    """Return the lines of an output, each of which is harmless."""
    lines = text.split("\n")
    assert all(line.isprintable() for line in lines)
    text.encode()
    return lines


@pytest.mark.parametrize("file", ["names.safetensors", "names.h5"])
def test_names_are_escaped_wherever_they_are_printed(file: str, run: Run) -> None:
    Path("w.yaml").write_text("seed: 1\ntensors:\n  w: {shape: [2], initializer: zeros}\n")
    for command in (
        ("inspect", file),
        ("inspect", "--json", file),
        ("verify", file, "w.yaml", "--all"),
        ("verify", file, "w.yaml", "--json"),
        ("diff", file, "canary.safetensors"),
        ("diff", file, "canary.safetensors", "--json"),
        ("diff", "canary.safetensors", file, "--all"),
    ):
        code, out, err = run(*command)
        assert (code, err) == (int(command[0] != "inspect"), "")
        text = "\n".join(lines_of(out))
        if "--json" in command:
            document = json.loads(out)
            tensors = (
                document["files"][0]["tensors"] if "files" in document else document["tensors"]
            )
            assert set(NAMES) <= {tensor["name"] for tensor in tensors}
        else:
            assert "\\x1b[31mred\\x1b[0m" in text
            assert "[bold]x[/bold]" in text
            assert "\\u202eabc" in text
    for command in (("spec", file), ("spec", "--json", file), ("init", file, "-o", "o.npy")):
        code, out, err = run(*command)
        assert (code, out) == (2, "")
        assert lines_of(err)[0].startswith(f"glorot: {file}: '")
        assert len(lines_of(err)) == 2


@pytest.mark.parametrize(
    "name",
    ["'", '"', "# c", "a # b", "- a", "? a", "a: b", ": a", "&a", "*a", "!!str a", "%a", "@a", "`a",
     "null", "~", "no", "012", "1e3", "0x1", ".inf", "<<", "a, b", "[a]", "]", "|", ">", "a ", " a",
     "é\U0001f600", "x" * 2000, "\\n", "$a$", "[bold]x[/bold]", "---", "..."],
)  # fmt: skip
def test_a_derived_spec_says_a_name_and_nothing_else(name: str) -> None:
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    safetensors("w", {name: entry}, bytes(24))
    derived = derive_spec("w.safetensors")
    text = spec_text(derived)
    Path("w.safetensors").unlink()
    assert parse(text, "w.yaml").data == derived
    plan = glorot.make_plan(glorot.load_spec(derived))
    assert [tensor.name for tensor in plan.tensors] == [name]


def test_a_picture_says_names_as_they_are(run: Run) -> None:
    # Formulas between dollars are matplotlib's, markup is SVG's; neither is in a name.
    assert run("plot", "pictured.safetensors", "-o", "o.svg") == (0, "", "")
    texts = {text for text in xml.etree.ElementTree.parse("o.svg").getroot().itertext() if text}
    Path("o.svg").unlink()
    assert {"$\\frac$", "a$b", "<b>&amp;</b>", "[bold]x[/bold]", "\\x9b0m"} <= texts
    assert all(text.isprintable() for text in texts if text.strip())


def test_a_configuration_says_nothing_that_moves_the_terminal(run: Run) -> None:
    layer = {"module": "keras.layers", "class_name": "Dense", "config": {"name": "d", "units": 2}}
    layer["config"]["kernel_initializer"] = "\u202e\x9b\U000e0001"  # type: ignore[index]
    config = {"class_name": "Sequential", "config": {"layers": [layer]}}
    Path("c.json").write_text(json.dumps(config))
    code, out, err = run("spec", "c.json")
    Path("c.json").unlink()
    assert (code, err) == (0, "")
    assert lines_of(out)[1:] == [
        '  - {type: Dense, name: d, units: 2, kernel_initializer: "\\u202e\\x9B\\U000E0001"}', ""
    ]  # fmt: skip
    assert parse(out, "c.yaml").data == {
        "layers": [{"type": "Dense", "name": "d", "units": 2,
                    "kernel_initializer": "\u202e\x9b\U000e0001"}]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (zipfile.ZIP_LZMA, "expected config.json stored or deflated"),
        (zipfile.ZIP_DEFLATED, "expected at most 8000000 values"),
    ],
)
def test_a_configuration_within_an_archive(kind: int, line: str, run: Run) -> None:
    with zipfile.ZipFile("x.keras", "w", kind) as archive:
        archive.writestr("config.json", b"[" + b"[]," * 4_100_000 + b"1]")
    assert run("spec", "x.keras") == (2, "", f"glorot: x.keras: {line}\n")
    Path("x.keras").unlink()


def test_a_spec_without_end(run: Run) -> None:
    line = "/dev/zero: expected a spec below 64 MiB of text"
    assert run("plan", "/dev/zero") == (2, "", f"glorot: {line}\n")


def test_an_index_of_many_groups(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File("many.weights.h5", "w") as file:
        for number in range(2000):
            file[f"layers/l{number}/vars/0"] = np.float32(0)
    groups = {"/" * number + "layers": "many.weights.h5" for number in range(2000)}
    groups |= {f"/layers/l{number}": "many.weights.h5" for number in range(2000)}
    Path("many.weights.json").write_text(json.dumps({"metadata": {}, "weight_map": groups}))
    code, out, err = run("inspect", "--headers", "many.weights.json", "--json")
    assert (code, err) == (0, "")
    assert len(json.loads(out)["files"][0]["tensors"]) == 2000
    monkeypatch.setattr("glorot_cli.formats.shards.MOST_TENSORS", 100)
    line = "many.weights.json: expected a weight_map of at most 100 names"
    assert run("inspect", "many.weights.json") == (2, "", f"glorot: {line}\n")
    for name in ("many.weights.h5", "many.weights.json"):
        Path(name).unlink()


# Fuzzing. `python -m tests.fuzz` runs as many cases as one likes.


def test_some_fuzzed_files_of_every_kind() -> None:
    cases = ((kind, number) for number in range(15) for kind in KINDS)
    tally = run_cases(cases, 2, workers=1)
    assert tally.failures == []
    assert sum(tally.outcomes.values()) == 15 * len(KINDS)
    assert {outcome for _, outcome in tally.outcomes} == {"exit 0", "exit 1", "exit 2"}
