"""One contract for every format, read back by libraries that are not ours, and what each adds."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
import safetensors.numpy

import glorot_cli as glorot
from glorot_cli.errors import natural_size, shown
from glorot_cli.formats import choose_format
from glorot_cli.formats.base import compact
from glorot_cli.writing import weights

Array = np.ndarray[Any, np.dtype[Any]]
Planned = Callable[..., glorot.Plan]

# More than one block of 2 MiB, several tensors that share one, two dtypes, a name outside ASCII.
LAYERS: dict[str, Any] = {
    "input_shape": [1100],
    "layers": [
        {"type": "Dense", "units": 500},
        {"type": "BatchNormalization", "name": "né"},
        {"type": "Dense", "units": 30, "dtype": "float64", "bias_initializer": "ones"},
    ],
}
ONE: dict[str, Any] = {
    "tensors": {"w": {"shape": [1100, 500], "axes": "IO", "initializer": "glorot_uniform"}}
}


def read_safetensors(path: Path, plan: glorot.Plan) -> dict[str, Array]:
    return safetensors.numpy.load_file(path)


def read_keras(path: Path, plan: glorot.Plan) -> dict[str, Array]:
    with h5py.File(path) as file:
        return {tensor.name: file[tensor.group][()] for tensor in plan.tensors}


def read_h5(path: Path, plan: glorot.Plan) -> dict[str, Array]:
    with h5py.File(path) as file:
        return {tensor.name: file[tensor.name][()] for tensor in plan.tensors}


def read_npy(path: Path, plan: glorot.Plan) -> dict[str, Array]:
    return {plan.tensors[0].name: np.load(path)}


def read_folder(path: Path, plan: glorot.Plan) -> dict[str, Array]:
    files = sorted(path.rglob("*.npy"))
    return {str(file.relative_to(path))[:-4]: np.load(file) for file in files}


def read_npz(path: Path, plan: glorot.Plan) -> dict[str, Array]:
    with np.load(path) as archive:
        return dict(archive)


def read_torch(path: Path, plan: glorot.Plan) -> dict[str, Array]:
    """Read what torch's records are, in the order of the pickle's names."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.read("archive/byteorder") == b"little"
        for index, tensor in enumerate(plan.tensors):
            data = archive.read(f"archive/data/{index}")
            found[tensor.name] = np.frombuffer(data, tensor.dtype).reshape(tensor.shape)
    return found


def npz_provenance(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.comment.decode()


def torch_provenance(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read("archive/.data/glorot").decode()


def carried(plan: glorot.Plan) -> str:
    return compact(weights.provenance(plan))


def safetensors_provenance(path: Path) -> str:
    with safetensors.safe_open(path, "numpy") as file:
        return str(file.metadata()["glorot"])


def hdf5_provenance(path: Path) -> str:
    with h5py.File(path) as file:
        return str(file.attrs["glorot"])


def folder_provenance(path: Path) -> str:
    claim = json.loads((path / "manifest.json").read_text("utf-8"))["glorot"]
    return json.dumps(claim, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


class Case(NamedTuple):
    """A format: an output's name, a spec that it can hold, and who else reads it."""

    output: str
    spec: dict[str, Any]
    read: Callable[[Path, glorot.Plan], dict[str, Array]]
    claim: Callable[[Path], str] | None


CASES = {
    "safetensors": Case("w.safetensors", LAYERS, read_safetensors, safetensors_provenance),
    "keras": Case("w.weights.h5", LAYERS, read_keras, hdf5_provenance),
    "h5": Case("w.h5", LAYERS, read_h5, hdf5_provenance),
    "npy": Case("w.npy", ONE, read_npy, None),
    "npz": Case("w.npz", LAYERS, read_npz, npz_provenance),
    "torch": Case("w.pt", LAYERS, read_torch, torch_provenance),
    "npy-folder": Case("w/", LAYERS, read_folder, folder_provenance),
}


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def listing(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def contents(path: Path) -> dict[str, bytes]:
    """Return the bytes of a file, or of every file in a folder."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def write(plan: glorot.Plan, output: str, **options: Any) -> dict[str, bytes]:
    glorot.write_weights(plan, output, **options)
    return contents(Path(output))


def test_others_read_what_draw_gives(case: Case, planned: Planned) -> None:
    plan = planned(**case.spec)
    moments = glorot.write_weights(plan, case.output)
    found = case.read(Path(case.output), plan)
    assert set(found) == {tensor.name for tensor in plan.tensors}
    for tensor, each in zip(plan.tensors, moments, strict=True):
        expected = glorot.draw(plan, tensor.name)
        array = found[tensor.name]
        assert (array.shape, array.dtype) == (tensor.shape, expected.dtype)
        assert array.tobytes() == expected.tobytes()
        assert each is not None
        assert (each.count, each.minimum, each.maximum) == (
            tensor.parameters,
            float(expected.min()),
            float(expected.max()),
        )
        assert each.std == pytest.approx(float(expected.std(dtype="f8")), rel=1e-3)


def test_the_same_spec_gives_the_same_bytes(case: Case, planned: Planned) -> None:
    first = write(planned(**case.spec), case.output, workers=1)
    for workers in (1, 2, 7, None):
        again = write(planned(**case.spec), case.output, workers=workers, force=True, sync=False)
        assert again == first


def test_another_seed_gives_other_bytes(case: Case, planned: Planned) -> None:
    first = write(planned(**case.spec), case.output)
    assert write(planned(**case.spec, seed=43), case.output, force=True) != first


def test_statistics_do_not_depend_on_workers(case: Case, planned: Planned) -> None:
    plan = planned(**case.spec)
    found = [
        glorot.write_weights(plan, case.output, workers=workers, force=True) for workers in (1, 5)
    ]
    assert found[0] == found[1]


def test_provenance_makes_the_plan_again(case: Case, planned: Planned) -> None:
    plan = planned(**case.spec)
    glorot.write_weights(plan, case.output)
    if case.claim is None:
        assert b"glorot" not in Path(case.output).read_bytes()[:128]
        return
    text = case.claim(Path(case.output))
    assert text == carried(plan)
    claim = json.loads(text)
    assert list(claim) == ["format", "spec", "stream"]
    assert claim["format"] == 2
    assert claim["stream"] == {"name": "aes-ctr", "version": 1}
    assert glorot.make_plan(glorot.load_spec(claim["spec"])).tensors == plan.tensors


def test_an_existing_output_is_refused(case: Case, planned: Planned, folder: Path) -> None:
    plan = planned(**case.spec)
    before = write(plan, case.output)
    with pytest.raises(glorot.FormatError) as caught:
        glorot.write_weights(planned(**case.spec, seed=1), case.output)
    problem = "is not empty" if case.output.endswith("/") else "exists"
    name = case.output.rstrip("/")
    assert str(caught.value) == f"{folder / name} {problem}; replace it with --force"
    assert contents(Path(case.output)) == before
    assert listing(folder) == [name]


ERRORS: list[BaseException] = [
    KeyboardInterrupt(),
    RuntimeError("a bug"),
    OSError(errno.ENOSPC, "No space left on device"),
]


@pytest.mark.parametrize("error", ERRORS, ids=["ctrl-c", "bug", "full-disk"])
@pytest.mark.parametrize("existing", [False, True])
def test_nothing_is_left_behind(
    case: Case,
    error: BaseException,
    existing: bool,
    planned: Planned,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = planned(**case.spec)
    before = write(plan, case.output) if existing else {}

    def fail(*_: object) -> int:
        raise error

    name = case.output.rstrip("/")
    monkeypatch.setattr(os, "pwrite", fail)
    expected = glorot.FormatError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected) as caught:
        glorot.write_weights(plan, case.output, force=True)
    if isinstance(error, OSError):
        assert str(caught.value) == f"cannot write {folder / name}: No space left on device"
    assert listing(folder) == ([name] if existing else [])
    assert contents(folder / name) == before


def test_an_interrupt_in_the_waiting_thread_leaves_nothing(
    case: Case, planned: Planned, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("threading.Thread.join", interrupt)
    with pytest.raises(KeyboardInterrupt):
        glorot.write_weights(planned(**case.spec), case.output)
    monkeypatch.undo()
    assert listing(folder) == []


@pytest.mark.parametrize("limit", [1, 20_000, 1_000_000])
def test_a_full_disk_is_one_line(case: Case, limit: int, folder: Path, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"seed": 1, **case.spec}))

    script = (
        "import resource, runpy; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
        "runpy.run_module('glorot_cli', run_name='__main__')"
    )
    command = [sys.executable, "-c", script, "init", str(spec), "-o", case.output]
    ended = subprocess.run(command, capture_output=True, text=True)
    target = folder / case.output.rstrip("/")
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        2,
        "",
        f"glorot: cannot write {target}: File too large\n",
    )
    assert listing(folder) == []


def test_a_dead_run_is_cleaned_up_and_a_live_one_is_not(
    case: Case, planned: Planned, folder: Path
) -> None:
    name = case.output.rstrip("/")
    dead, live = (folder / f".{name}.{word}.glorot-tmp" for word in ("0badf00d", "deadbeef"))
    other = folder / ".v.h5.0badf00d.glorot-tmp"
    for path in (dead, live, other):
        if case.output.endswith("/"):
            path.mkdir()
            (path / "half.npy").touch()
        else:
            path.touch()
    lock = os.open(live, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        glorot.write_weights(planned(**case.spec), case.output)
        assert listing(folder) == sorted([name, live.name, other.name])
    finally:
        os.close(lock)


def test_progress_counts_up_to_the_bytes_of_the_tensors(case: Case, planned: Planned) -> None:
    plan = planned(**case.spec)
    counts: list[int] = []
    glorot.write_weights(plan, case.output, progress=counts.append)
    total = sum(tensor.nbytes for tensor in plan.tensors)
    assert counts == sorted(counts)
    assert all(0 <= count <= total for count in counts)


def test_a_plan_without_tensors_is_a_file_without_tensors(planned: Planned) -> None:
    plan = planned(input_shape=[3], layers=[{"type": "Flatten"}])
    for name in ("w.safetensors", "w.weights.h5", "w.h5", "w/"):
        assert glorot.write_weights(plan, name) == []
        assert glorot.inspect_weights(name).tensors == []


def test_a_symbolic_link_is_followed(planned: Planned, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "real.h5").write_bytes(b"old")
    (folder / "w.h5").symlink_to(tmp_path / "real.h5")
    glorot.write_weights(planned(**ONE), "w.h5", force=True)
    assert (folder / "w.h5").is_symlink()
    with h5py.File(tmp_path / "real.h5") as file:
        assert list(file) == ["w"]


def test_a_new_file_has_the_usual_permissions(planned: Planned) -> None:
    mask = os.umask(0o027)
    try:
        glorot.write_weights(planned(**ONE), "w.h5")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(Path("w.h5").stat().st_mode) == 0o640


def test_a_name_of_many_bytes_is_no_problem(planned: Planned, folder: Path) -> None:
    name = "層" * 80 + ".h5"
    glorot.write_weights(planned(**ONE), name)
    assert listing(folder) == [name]


def refusal(plan: glorot.Plan, output: str, **options: Any) -> str:
    with pytest.raises(glorot.FormatError) as caught:
        glorot.write_weights(plan, output, **options)
    return str(caught.value)


def test_outputs_that_cannot_be(planned: Planned, folder: Path) -> None:
    plan = planned(**ONE)
    (folder / "d.h5").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "mine.txt").touch()
    (folder / "file").touch()
    os.mkfifo(folder / "pipe.h5")
    there = f"cannot write {folder}"
    before = listing(folder)
    assert refusal(plan, "none/w.h5") == f"{there}/none/w.h5: there is no folder {folder}/none"
    assert refusal(plan, "d.h5", format="h5", force=True) == f"{there}/d.h5: it is a folder"
    assert refusal(plan, "pipe.h5", force=True) == f"{there}/pipe.h5: it is not a regular file"
    assert refusal(plan, "file/", force=True) == f"{there}/file/: it is a file"
    assert refusal(plan, "full/") == f"{folder}/full is not empty; replace it with --force"
    assert listing(folder) == before


def test_a_disk_too_small_is_said_before_the_first_byte(
    planned: Planned, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(folder)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert refusal(planned(**ONE), "w.h5") == (
        f"cannot write {folder}/w.h5: 2,200,000 bytes are needed, 1,000,000 are free"
    )
    assert listing(folder) == []


def test_a_folder_that_may_not_be_written(
    planned: Planned, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("glorot_cli.formats.leavings.create", refuse)
    monkeypatch.setattr(Path, "iterdir", refuse)
    assert refusal(planned(**ONE), "w.h5") == f"cannot write {folder}/w.h5: Permission denied"


@pytest.mark.parametrize(
    ("number", "writes"), [(errno.EOPNOTSUPP, True), (errno.ENOSPC, False), (errno.EDQUOT, False)]
)
def test_file_systems_that_reserve_nothing(
    number: int, writes: bool, planned: Planned, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    plan = planned(**ONE)
    if writes:
        glorot.write_weights(plan, "w.npy")
        assert np.load("w.npy").tobytes() == glorot.draw(plan, "w").tobytes()
    else:
        assert refusal(plan, "w.npy") == f"cannot write {folder}/w.npy: {os.strerror(number)}"
        assert listing(folder) == []


def test_a_flush_that_fails_is_not_forgotten(
    planned: Planned, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", lose)
    monkeypatch.setattr("glorot_cli.writing.fill.FLUSH_SECONDS", 0.0)
    assert refusal(planned(**ONE), "w.npy") == f"cannot write {folder}/w.npy: Input/output error"
    assert listing(folder) == []


@pytest.mark.parametrize(
    ("path", "name", "chosen"),
    [
        ("a.safetensors", None, "safetensors"),
        ("a.weights.h5", None, "keras"),
        ("a.b.weights.h5", None, "keras"),
        ("weights.h5", None, "h5"),
        ("d/weights.h5", None, "h5"),
        ("a.h5", None, "h5"),
        ("a.hdf5", None, "h5"),
        ("a.npy", None, "npy"),
        ("a/", None, "npy-folder"),
        (".", None, "npy-folder"),
        ("a.bin", "npy", "npy"),
        ("a/", "npy", "npy-folder"),
        ("a.h5", "keras", "keras"),
        ("a.npy", "safetensors", "safetensors"),
    ],
)
def test_the_ending_chooses_unless_a_name_does(path: str, name: str | None, chosen: str) -> None:
    assert choose_format(path, name).name == chosen


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (553_430_176, "553.4 MB"),
     (14_400_000_000, "14.4 GB"), (5 * 10**15, "5000.0 TB")],
)  # fmt: skip
def test_sizes_for_people(nbytes: int, text: str) -> None:
    assert natural_size(nbytes) == text


# safetensors

MANY: dict[str, Any] = {
    "tensors": [
        {f"block.{i:04d}.weight": {"shape": [1 + i % 7, 3], "axes": "IO",
                                   "initializer": "glorot_uniform"}}
        for i in range(2000)
    ]
}  # fmt: skip
MIXED: dict[str, Any] = {
    "tensors": [
        {name: {"shape": shape, "dtype": dtype, "initializer": {"name": "constant", "value": 3}}}
        for name, shape, dtype in [
            ("z", [2, 3], "float32"), ("a", [], "float64"), ('quoted "é" \\ b', [1], "float32"),
            ("b", [5], "float64"), ("Z", [1, 1, 1], "float32"), ("層", [2], "float32"),
        ]
    ]
}  # fmt: skip


@pytest.mark.parametrize("spec", [LAYERS, ONE, MANY, MIXED], ids=["layers", "one", "many", "mixed"])
def test_safetensors_has_the_bytes_of_the_library(spec: dict[str, Any], planned: Planned) -> None:
    plan = planned(**spec)
    glorot.write_weights(plan, "w.safetensors")
    tensors = {tensor.name: glorot.draw(plan, tensor.name) for tensor in plan.tensors}
    expected = safetensors.numpy.save(tensors, metadata={"glorot": carried(plan)})
    # The library writes several texts of metadata in any order.
    length = int.from_bytes(expected[:8], "little")
    header = expected[8 : 8 + length].rstrip()
    header = header.replace(b'{"glorot":', b'{"format":"pt","glorot":', 1)
    header += b" " * (-len(header) % 8)
    expected = len(header).to_bytes(8, "little") + header + expected[8 + length :]
    assert Path("w.safetensors").read_bytes() == expected


def test_a_header_beyond_the_limit_is_refused(
    planned: Planned, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr("glorot_cli.formats.safetensors.LARGEST_HEADER", 1000)
    message = "2000 tensors need a header over safetensors' limit of 100 MB"
    assert refusal(planned(**MANY), "w.safetensors") == message
    assert listing(folder) == []


# HDF5


def test_many_small_tensors_go_into_hdf5(planned: Planned) -> None:
    plan = planned(**MANY)
    glorot.write_weights(plan, "w.h5")
    with h5py.File("w.h5") as file:
        for tensor in plan.tensors[::97]:
            assert file[tensor.name][()].tobytes() == glorot.draw(plan, tensor.name).tobytes()


def test_h5_names_layers_and_weights_as_keras_reads_them(planned: Planned) -> None:
    glorot.write_weights(planned(**LAYERS), "w.h5")
    with h5py.File("w.h5") as file:
        assert file.attrs["layer_names"].tolist() == [b"dense", "né".encode(), b"dense_1"]
        assert file["dense"].attrs["weight_names"].tolist() == [b"kernel", b"bias"]
        names = file["né"].attrs["weight_names"].tolist()
        assert names == [b"gamma", b"beta", b"moving_mean", b"moving_variance"]


def test_h5_puts_what_is_trained_first(planned: Planned) -> None:
    attention = {"type": "MultiHeadAttention", "num_heads": 1, "key_dim": 2}
    glorot.write_weights(planned(input_shape=[4, 3], layers=[attention]), "w.h5")
    with h5py.File("w.h5") as file:
        names = file["multi_head_attention"].attrs["weight_names"].tolist()
    assert names[:2] == [b"query/kernel", b"query/bias"]
    assert names[-1] == b"attention_output/bias"


def test_h5_without_layers_names_none(planned: Planned) -> None:
    glorot.write_weights(planned(**ONE), "w.h5")
    with h5py.File("w.h5") as file:
        assert list(file.attrs) == ["glorot"]


def test_long_attribute_lists_are_split_as_keras_does(planned: Planned) -> None:
    names = [f"{'layer' * 12}_{i:04d}" for i in range(2000)]
    layers = [{"type": "Dense", "units": 1, "name": name} for name in names]
    glorot.write_weights(planned(input_shape=[1], layers=layers), "w.h5")
    with h5py.File("w.h5") as file:
        parts = [file.attrs[f"layer_names{i}"] for i in range(len(file.attrs) - 1)]
        assert len(parts) == 3
        assert all(part.nbytes <= 64512 for part in parts)
        assert [name.decode() for part in parts for name in part] == names


def test_provenance_over_64_kilobytes_fits(planned: Planned) -> None:
    plan = planned(**MANY)
    assert len(carried(plan)) > 1 << 16
    glorot.write_weights(plan, "w.h5")
    assert hdf5_provenance(Path("w.h5")) == carried(plan)


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a/b")])
def test_a_name_that_is_a_group_too_is_refused_in_hdf5(
    names: tuple[str, str], planned: Planned, folder: Path
) -> None:
    plan = planned(tensors=[{name: {"shape": [1], "initializer": "ones"}} for name in names])
    longer = max(names, key=len) if len(names[0]) < len(names[1]) else names[1]
    assert refusal(plan, "w.h5") == (
        f"in HDF5 '{longer}' would be a dataset and a group; rename a tensor"
    )
    assert listing(folder) == []


def test_the_keras_layout_holds_no_layers_of_torch(planned: Planned) -> None:
    embedding = {"type": "Embedding", "name": "embed", "num_embeddings": 3, "embedding_dim": 2}
    assert refusal(planned(dialect="torch", layers=[embedding]), "w.weights.h5") == (
        ".weights.h5 holds Keras's layers, and 'embed.weight' is of the torch dialect; "
        "write .h5 or .safetensors"
    )


def test_the_keras_layout_holds_layers_only(planned: Planned) -> None:
    assert refusal(planned(**ONE), "w.weights.h5") == (
        "Keras's .weights.h5 holds layers only, and 'w' is a raw tensor; "
        "write .h5 or .safetensors instead"
    )


def test_scalars_go_into_every_format(planned: Planned) -> None:
    plan = planned(tensors={"s": {"shape": [], "initializer": {"name": "constant", "value": 0.5}}})
    for name in ("w.safetensors", "w.h5", "w.npy", "w/"):
        glorot.write_weights(plan, name)
        (tensor,) = glorot.inspect_weights(name).tensors
        assert (tensor.shape, tensor.fits and tensor.fits[0].law) == ((), "constant")


@pytest.mark.parametrize(
    ("prose", "number"),
    [("Can't write (file write failed: errno = 27, error message = 'x'\n, buf = 0x1)", errno.EFBIG),
     ("Unable to do anything", errno.EIO)],
)  # fmt: skip
def test_the_prose_of_the_hdf5_library_is_cut_to_the_system_error(
    prose: str, number: int, planned: Planned, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(prose)

    monkeypatch.setattr(h5py, "File", fail)
    assert refusal(planned(**ONE), "w.h5") == f"cannot write {folder}/w.h5: {os.strerror(number)}"
    assert listing(folder) == []


# npy


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [[], [3], [3, 5], [2, 3, 5]])
def test_npy_has_the_bytes_of_numpy(shape: list[int], dtype: str, planned: Planned) -> None:
    entry = {"shape": shape, "dtype": dtype,
             "initializer": {"name": "random_uniform", "minval": 0, "maxval": 1}}  # fmt: skip
    plan = planned(tensors={"w": entry})
    glorot.write_weights(plan, "w.npy")
    np.save("expected.npy", glorot.draw(plan, "w"))
    assert Path("w.npy").read_bytes() == Path("expected.npy").read_bytes()


def test_a_folder_has_a_file_for_each_tensor_and_a_manifest(planned: Planned) -> None:
    entries = {"b/w": {"shape": [2, 3], "axes": "IO", "initializer": "glorot_uniform"},
               "a": {"shape": [1], "initializer": "ones", "dtype": "float64"}}  # fmt: skip
    plan = planned(tensors=entries)
    glorot.write_weights(plan, "w/")
    assert sorted(contents(Path("w"))) == ["a.npy", "b/w.npy", "manifest.json"]
    text = Path("w/manifest.json").read_text("utf-8")
    manifest = json.loads(text)
    assert manifest["tensors"] == {
        "a": {"dtype": "float64", "file": "a.npy", "shape": [1]},
        "b/w": {"dtype": "float32", "file": "b/w.npy", "shape": [2, 3]},
    }
    assert text == json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def test_a_folder_of_ours_is_replaced_whole(planned: Planned, folder: Path) -> None:
    glorot.write_weights(planned(**LAYERS), "w/")
    after = write(planned(**ONE), "w/", force=True)
    assert sorted(after) == ["manifest.json", "w.npy"]
    assert listing(folder) == ["w"]


def test_an_empty_folder_needs_no_force(planned: Planned, folder: Path) -> None:
    (folder / "w").mkdir()
    assert sorted(write(planned(**ONE), "w")) == ["manifest.json", "w.npy"]


def test_a_folder_whose_disk_is_full_is_one_line(
    planned: Planned, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("glorot_cli.formats.npy._write_header", fail)
    assert refusal(planned(**ONE), "w/") == f"cannot write {folder}/w: No space left on device"
    assert listing(folder) == []


def test_a_folder_that_cannot_be_moved_in_stays_as_it_was(
    planned: Planned, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write(planned(**ONE), "w/")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if target.name == "w" and ".glorot-tmp" in self.name and (self / "né").exists():
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    message = f"cannot write {folder}/w: Input/output error"
    assert refusal(planned(**LAYERS), "w/", force=True) == message
    assert contents(Path("w")) == before
    assert listing(folder) == ["w"]


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/a", "a//b", ".", "a/."])
def test_names_that_would_leave_the_folder_never_reach_it(name: str, planned: Planned) -> None:
    with pytest.raises(glorot.SpecError) as caught:
        planned(tensors={name: {"shape": [1], "initializer": "ones"}})
    assert str(caught.value) == (
        f"<spec>: tensors.{name}: expected a tensor name without empty, '.' or '..' parts, "
        f"found '{name}'"
    )


def test_a_tensor_that_is_a_folder_of_others_is_refused(planned: Planned, folder: Path) -> None:
    names = ("a.npy/b", "a")
    plan = planned(tensors=[{name: {"shape": [1], "initializer": "ones"}} for name in names])
    assert refusal(plan, "w/") == "'a' is a tensor and a folder of others"
    assert listing(folder) == []


def test_a_name_too_long_for_a_file_is_refused(planned: Planned, folder: Path) -> None:
    plan = planned(tensors={"a" * 300: {"shape": [1], "initializer": "ones"}})
    quoted = "'" + "a" * 56 + "..."
    message = f"cannot name a file after the tensor {quoted}: File name too long"
    assert refusal(plan, "w/") == message
    assert listing(folder) == []


def test_a_file_that_the_library_refuses_does_not_take_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, planned: Callable[..., glorot.Plan]
) -> None:
    # A gap before the second tensor, which only a fault of ours could write.
    plan = planned(tensors={n: {"shape": [2], "initializer": "zeros"} for n in "ab"})
    monkeypatch.setattr(glorot.plan.PlannedTensor, "nbytes", property(lambda tensor: 12))
    monkeypatch.setattr("glorot_cli.writing.weights.fill", lambda *_, **__: [])
    with pytest.raises(glorot.GlorotError, match="invalid shape, data type, or offset for tensor"):
        glorot.write_weights(plan, tmp_path / "w.safetensors")
    assert not list(tmp_path.glob("*safetensors*"))


@pytest.mark.parametrize("locking", ["TRUE", "BEST_EFFORT", "1"])
def test_hdf5_is_written_whatever_its_locking(locking: str, tmp_path: Path) -> None:
    # The library reads the environment when it is loaded.
    spec = tmp_path / "w.yaml"
    spec.write_text("seed: 1\ntensors:\n  w: {shape: [2], initializer: ones}\n")
    command = [sys.executable, "-m", "glorot_cli", "init", str(spec), "-o", str(tmp_path / "w.h5")]
    environment = {**os.environ, "HDF5_USE_FILE_LOCKING": locking}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


FOLDED = [("W", "w"), ("a/W", "a/w"), ("\u00e9", "e\u0301"), ("stra\u00dfe", "STRASSE")]


@pytest.mark.parametrize(("one", "other"), FOLDED)
def test_names_that_are_one_file_on_a_disk_that_folds_them(
    one: str, other: str, planned: Planned, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {name: {"shape": [3], "initializer": "ones"} for name in (one, other)}
    plan = planned(tensors=spec)
    glorot.write_weights(plan, "w/")  # this one does not
    assert glorot.verify_weights("w").equal
    shutil.rmtree("w")
    original = Path.open

    def folding(path: Path, mode: str = "r", *values: Any, **more: Any) -> Any:
        name = unicodedata.normalize("NFC", unicodedata.normalize("NFD", path.name).casefold())
        return original(path.with_name(name), mode, *values, **more)

    monkeypatch.setattr(Path, "open", folding)
    monkeypatch.setattr(weights, "fill", None)
    assert refusal(plan, "w/") == (
        f"{shown(one)} and {shown(other)} are one file on this disk, which ignores case or the "
        "form of accents; rename one, or choose .safetensors or .h5"
    )
    assert listing(folder) == []
