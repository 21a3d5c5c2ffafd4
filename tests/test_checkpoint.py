"""Parts of a checkpoint: what is kept byte for byte, what is drawn, and what changes its size."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import glorot_cli as glorot
from glorot_cli import drawing
from glorot_cli.dtypes import DTYPES, INTEGERS, numpy_dtype
from glorot_cli.formats.elements import Elements
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.stored import StoredFile
from glorot_cli.writing import base_files, checkpoint
from glorot_cli.writing.checkpoint import Checkpoint
from glorot_cli.writing.ranks import Ranks

Array = np.ndarray[Any, np.dtype[Any]]
Run = Callable[..., tuple[int, str, str]]
Planned = Callable[..., glorot.Plan]

LAYERS: dict[str, Any] = {
    "input_shape": [900],
    "layers": [
        {"type": "Dense", "units": 700, "name": "encoder"},
        {"type": "BatchNormalization", "name": "norm"},
        {"type": "Dense", "units": 10, "name": "classifier"},
    ],
}
KEPT = ["encoder/kernel", "encoder/bias", *(f"norm/{n}" for n in ("gamma", "beta"))]
ONE: dict[str, Any] = {"w": {"shape": [300, 40], "axes": "IO", "initializer": "glorot_uniform"}}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, so that names in messages are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def elements(path: str) -> dict[str, bytes]:
    """Read the bytes of every tensor of a file."""
    file = read_headers(path)
    return {tensor.name: stored(file, tensor.name).tobytes() for tensor in file.tensors}


def stored(file: StoredFile, name: str) -> Array:
    tensor = file.by_name()[name]
    with Elements(file) as elements:
        return elements.run(tensor, 0, math.prod(tensor.shape)).reshape(tensor.shape)


def write(plan: glorot.Plan, output: str, base: str, *only: str, **resize: Any) -> None:
    glorot.write_weights(plan, output, base=Checkpoint.read(base, only, resize), force=True)


def refusal(plan: glorot.Plan, base: str, *only: str, **resize: Any) -> str:
    with pytest.raises(glorot.GlorotError) as caught:
        write(plan, "out.safetensors", base, *only, **resize)
    assert not Path("out.safetensors").exists()
    return str(caught.value)


def saved(**arrays: Array) -> None:
    safetensors.numpy.save_file(arrays, "old.safetensors")


def raw(planned: Planned, shape: list[int], name: str = "w", **rest: Any) -> glorot.Plan:
    """Make the plan of one tensor."""
    entry: dict[str, Any] = {
        "shape": shape,
        "axes": "IO" + "F" * (len(shape) - 2),
        "initializer": "glorot_uniform",
    }
    if len(shape) < 2:
        entry = {"shape": shape, "initializer": {"name": "normal", "std": 1}}
    return planned(tensors={name: {**entry, **rest}})


# What is kept


OUTPUTS = ["x.safetensors", "x.weights.h5", "x.h5", "x/", "shards/", "x.keras", "x.weights.json"]


@pytest.mark.parametrize("old", OUTPUTS)
@pytest.mark.parametrize("new", OUTPUTS)
def test_any_format_keeps_the_bytes_of_any(old: str, new: str, planned: Planned) -> None:
    Path("c.json").write_text('{"class_name": "Sequential", "config": {}}', "utf-8")

    def options(path: str) -> dict[str, Any]:
        if path == "x.keras":
            return {"config": "c.json"}
        return {"max_shard_size": "1MB"} if path in ("shards/", "x.weights.json") else {}

    first = planned(**LAYERS)
    second = glorot.make_plan(glorot.load_spec({**LAYERS, "seed": 7}))
    for name in ("a", "b"):
        Path(name).mkdir()
    glorot.write_weights(first, f"a/{old}", **options(old))
    base = Checkpoint.read(f"a/{old}", ["classifier/*"])
    moments = glorot.write_weights(second, f"b/{new}", base=base, **options(new))
    file = read_headers(f"b/{new}")
    by_place = file.format.name == "keras"
    for tensor, found in zip(second.tensors, moments, strict=True):
        source = second if tensor.name.startswith("classifier") else first
        expected = glorot.draw(source, tensor.name)
        value = stored(file, str(tensor.group) if by_place else tensor.name)
        assert value.tobytes() == expected.tobytes(), tensor.name
        assert found is not None
        assert (found.minimum, found.maximum) == (expected.min(), expected.max())
    assert glorot.verify_weights(f"b/{new}").equal


@pytest.mark.parametrize("dtype", [*DTYPES, *INTEGERS])
def test_every_dtype_is_kept(dtype: str, planned: Planned) -> None:
    random = np.random.default_rng(0)
    size = numpy_dtype(dtype).itemsize
    bits = random.integers(0, 256, 3000 * size, np.uint8)
    if dtype == "bool":
        bits &= 1
    old = planned(tensors={"w": {"shape": [50, 60], "dtype": dtype, "initializer": "zeros"}})
    glorot.write_weights(old, "old.safetensors")
    whole = Path("old.safetensors").read_bytes()
    Path("old.safetensors").write_bytes(whole[: -len(bits)] + bits.tobytes())
    write(old, "new.safetensors", "old.safetensors")
    # Among the bits are those of infinities and of NaNs that say something.
    assert elements("new.safetensors") == {"w": bits.tobytes()}


def test_a_lone_npy_is_kept_whatever_its_name(planned: Planned) -> None:
    values = np.random.default_rng(0).normal(size=(300, 40)).astype("f4")
    np.save("something.npy", values)
    plan = planned(tensors=ONE)
    write(plan, "new.npy", "something.npy")
    np.testing.assert_array_equal(np.load("new.npy"), values)
    write(plan, "new.safetensors", "something.npy")
    assert elements("new.safetensors") == {"w": values.tobytes()}


def test_a_scalar_and_files_of_many_tensors_are_kept(planned: Planned) -> None:
    saved(**{f"t.{i}": np.array(i, "f4") for i in range(300)})
    plan = planned(tensors={"t.{i}": {"shape": [], "initializer": "ones", "repeat": {"i": 300}}})
    write(plan, "new.safetensors", "old.safetensors", "t.1*")
    found = elements("new.safetensors")
    for i in range(300):
        expected = np.float32(1 if str(i).startswith("1") else i)
        assert found[f"t.{i}"] == expected.tobytes()


def test_only_what_is_drawn_must_be_drawable(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    for module in (checkpoint, drawing):
        monkeypatch.setattr(module, "check", lambda tensor: checked.append(tensor.name))
    plan = planned(tensors={name: {"shape": [4], "initializer": "ones"} for name in "abcd"})
    arrays = {"a": np.zeros(4, "f4"), "b": np.zeros(3, "f4"), "c": np.zeros(3, "f4")}
    saved(**arrays, d=np.zeros(4, "f4"))
    write(plan, "x.safetensors", "old.safetensors", "d", b="init", c="zeros")
    assert checked == ["b", "d"]


def test_the_output_may_be_the_base(planned: Planned) -> None:
    plan = planned(tensors={**ONE, "v": {"shape": [3], "initializer": "ones"}})
    values = np.random.default_rng(0).normal(size=(300, 40)).astype("f4")
    saved(w=values, v=np.zeros(3, "f4"))
    base = Checkpoint.read("old.safetensors", ["v"])
    with pytest.raises(glorot.FormatError) as caught:
        glorot.write_weights(plan, "old.safetensors", base=base)
    found = f"{Path('old.safetensors').resolve()} exists; replace it with --force"
    assert str(caught.value) == found
    glorot.write_weights(plan, "old.safetensors", base=base, force=True)
    assert elements("old.safetensors") == {"w": values.tobytes(), "v": np.ones(3, "f4").tobytes()}


def test_the_output_may_be_the_folder_of_the_base(planned: Planned) -> None:
    plan = planned(**LAYERS)
    for output, size in (("shards", "1MB"), ("npy/", None), ("x.weights.json", "1MB")):
        glorot.write_weights(plan, output, max_shard_size=size)
        before = elements(output)
        again = glorot.make_plan(glorot.load_spec({**LAYERS, "seed": 9}))
        base = Checkpoint.read(output)
        glorot.write_weights(again, output, base=base, max_shard_size=size, force=True)
        assert elements(output) == before


def test_shards_are_of_one_base(planned: Planned) -> None:
    plan = planned(tensors={"v": {"shape": [3], "initializer": "ones"}, **ONE})
    values = np.zeros((300, 40), "f4")
    saved(w=values, v=np.zeros(3, "f4"))
    shutil.copy("old.safetensors", "a.safetensors")
    saved(w=values + 1, v=np.ones(3, "f4"))  # as large, with the same header
    os.utime("old.safetensors", ns=(0, Path("a.safetensors").stat().st_mtime_ns))
    a, b = Checkpoint.read("a.safetensors"), Checkpoint.read("old.safetensors")
    glorot.write_weights(plan, "out", base=a, max_shard_size="1B", ranks=Ranks(0, 2))
    line = (
        f"{Path('out').resolve()}/model-00001-of-00002.safetensors is of another run, with another "
        "spec, seed, base or size of shards; replace it with --force"
    )
    for ranks in (None, Ranks(0, 2), Ranks(1, 2)):
        with pytest.raises(glorot.FormatError) as caught:
            glorot.write_weights(plan, "out", base=b, max_shard_size="1B", ranks=ranks, resume=True)
        assert str(caught.value) == line
    with pytest.raises(glorot.FormatError):
        glorot.write_weights(plan, "out", max_shard_size="1B", resume=True)
    shutil.copy("a.safetensors", "copy.safetensors")  # the same base, elsewhere
    glorot.write_weights(
        plan, "out", base=Checkpoint.read("copy.safetensors"), max_shard_size="1B", resume=True
    )
    assert elements("out") == elements("a.safetensors")


def replaced(path: str) -> None:
    Path("new").write_bytes(bytes(Path(path).stat().st_size))
    Path("new").replace(path)


def written_to(path: str) -> None:
    with Path(path).open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"abcd")
    os.utime(path, ns=(0, 1))


@pytest.mark.parametrize("size", [None, "1B"])
def test_a_base_that_is_replaced_is_read_on(
    size: str | None, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(tensors=ONE)
    values = np.random.default_rng(0).normal(size=(300, 40)).astype("f4")
    saved(w=values)
    base = Checkpoint.read("old.safetensors")
    replaced("old.safetensors")
    output = "out" if size else "out.safetensors"
    glorot.write_weights(plan, output, base=base, max_shard_size=size)
    assert elements(output) == {"w": values.tobytes()}


@pytest.mark.parametrize("change", [replaced, written_to])
@pytest.mark.parametrize("held", [0, 64])
def test_a_base_that_changes_is_never_mixed(
    held: int, change: Any, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_files, "_MOST_HELD", held)
    plan = planned(tensors=ONE)
    saved(w=np.zeros((300, 40), "f4"))
    base = Checkpoint.read("old.safetensors")
    change("old.safetensors")
    if held and change is replaced:
        return
    with pytest.raises(glorot.FormatError) as caught:
        glorot.write_weights(plan, "out.safetensors", base=base)
    assert str(caught.value) == (
        "old.safetensors was replaced or written to while it was read; run it again"
    )
    assert not list(Path().glob("*out*"))


@pytest.mark.parametrize("name", ["old.safetensors", "old"])
def test_a_base_that_is_replaced_while_its_headers_are_read(
    name: str, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(w=np.zeros((300, 40), "f4"))
    if name == "old":
        glorot.write_weights(planned(tensors=ONE), "old", max_shard_size="5GB")
    read = read_headers

    def slowly(path: Path, key: str | None = None) -> StoredFile:
        monkeypatch.setattr(base_files, "read_headers", read)
        found = read(path)
        saved(x=np.zeros((300, 40), "f4"))
        if name == "old":
            shutil.copy("old.safetensors", "old/model.safetensors")
        return found

    monkeypatch.setattr(base_files, "read_headers", slowly)
    with pytest.raises(glorot.FormatError) as caught:
        Checkpoint.read(name)
    assert str(caught.value) == f"{name} was replaced or written to while it was read; run it again"


def test_a_base_of_many_files_holds_few_open(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {"w{i}": {"shape": [5], "initializer": "random_normal", "repeat": {"i": 70}}}
    plan = planned(tensors=spec)
    glorot.write_weights(plan, "old/")
    before = len(list(Path("/proc/self/fd").iterdir()))
    base = Checkpoint.read("old")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    glorot.write_weights(planned(tensors=spec, seed=9), "new/", base=base)
    assert elements("new") == elements("old")


def test_a_base_is_not_written_over_shard_by_shard(planned: Planned) -> None:
    plan = planned(tensors=ONE)
    glorot.write_weights(plan, "old", max_shard_size="5GB")
    before = elements("old")
    for ranks, resume in ((None, True), (Ranks(0, 1), False)):
        with pytest.raises(glorot.GlorotError) as caught:
            glorot.write_weights(
                plan, "old", base=Checkpoint.read("old"), max_shard_size="5GB", force=True,
                ranks=ranks, resume=resume,
            )  # fmt: skip
        assert str(caught.value) == (
            f"the base is in {Path('old').resolve()}/, which is written shard by shard; "
            "write elsewhere"
        )
    assert elements("old") == before


def test_a_file_says_what_was_drawn(planned: Planned) -> None:
    plan = planned(**LAYERS)
    glorot.write_weights(plan, "old.safetensors")
    wider = {**LAYERS, "layers": [*LAYERS["layers"][:2], {**LAYERS["layers"][2], "units": 12}]}
    new = glorot.make_plan(glorot.load_spec({**wider, "seed": 1}))
    write(new, "new.safetensors", "old.safetensors", "norm/*", "encoder/b*", **{"class*": "mean"})
    claim = json.loads(read_headers("new.safetensors").provenance)
    assert claim["base"] == {"only": ["norm/*", "encoder/b*"], "resize": {"class*": "mean"}}
    assert list(claim) == ["base", "format", "spec", "stream"]
    assert claim["spec"]["seed"] == 1
    found = {t.name: t.status for t in glorot.verify_weights("new.safetensors").tensors}
    assert found["classifier/kernel"] == found["encoder/kernel"] == "not drawn"
    assert found["norm/gamma"] == found["encoder/bias"] == "equal"


def test_without_a_base_a_file_says_nothing_of_one(planned: Planned) -> None:
    glorot.write_weights(planned(**LAYERS), "x.safetensors")
    assert list(json.loads(read_headers("x.safetensors").provenance)) == [
        "format",
        "spec",
        "stream",
    ]


def test_workers_change_no_byte(planned: Planned) -> None:
    old = np.random.default_rng(0).normal(size=(2000, 900)).astype("f4")
    saved(w=old, v=old[:1000])
    tensors = {
        "w": {**ONE["w"], "shape": [2500, 900]},
        "v": {**ONE["w"], "shape": [1000, 1100]},
    }
    plan = planned(tensors=tensors)
    for workers in (1, 3):
        base = Checkpoint.read("old.safetensors", (), {"w": "mean", "v": "init"})
        glorot.write_weights(plan, f"{workers}.safetensors", base=base, workers=workers)
    assert Path("1.safetensors").read_bytes() == Path("3.safetensors").read_bytes()


# Errors


def test_globs_that_match_nothing(planned: Planned) -> None:
    plan = planned(**LAYERS)
    glorot.write_weights(plan, "old.safetensors")
    assert refusal(plan, "old.safetensors", "clasifier/kernel") == (
        "--only: 'clasifier/kernel' matches no tensor; did you mean 'classifier/kernel'?"
    )
    assert refusal(plan, "old.safetensors", "norm/*", zzz="init") == (
        "--resize: 'zzz' matches no tensor; "
        "known: classifier/bias, classifier/kernel, encoder/bias, ..."
    )


def test_globs_of_resize_that_have_nothing_to_do(planned: Planned) -> None:
    saved(w=np.ones((2, 40), "f4"))
    plan = planned(tensors=ONE)
    assert refusal(plan, "old.safetensors", "w*", w="mean") == (
        "--resize: 'w' resizes no tensor: 'w' is drawn anew by --only 'w*'"
    )
    assert refusal(plan, "old.safetensors", **{"w*": "init", "?": "mean"}) == (
        "--resize: '?' resizes no tensor: 'w' is resized by 'w*'"
    )
    saved(w=np.ones((300, 40), "f4"))
    assert refusal(plan, "old.safetensors", w="mean") == (
        "--resize: 'w' resizes no tensor: 'w' has the spec's shape already"
    )


def test_tensors_that_do_not_fit(planned: Planned) -> None:
    plan = planned(tensors=ONE)
    saved(v=np.ones((300, 40), "f4"))
    assert refusal(plan, "old.safetensors") == (
        "old.safetensors has no tensor 'w'; draw it with --only, or take it out of the spec"
    )
    saved(w=np.ones((300, 40), "f2"))
    assert refusal(plan, "old.safetensors") == (
        "'w' is float16 in old.safetensors and float32 in the spec; "
        "its bytes can only be kept as they are"
    )
    for shape, hint in [
        ((200, 40), "resize it with --resize"),
        ((300, 41), "resize it with --resize"),
        ((200, 41), "only one axis can be resized"),
        ((300,), "only one axis can be resized"),
        ((300, 40, 1), "only one axis can be resized"),
        ((), "only one axis can be resized"),
    ]:
        saved(w=np.ones(shape, "f4"))
        message = (
            f"'w' has shape {list(shape)} in old.safetensors and [300, 40] in the spec; {hint}"
        )
        assert refusal(plan, "old.safetensors") == message
        if "only" in hint:
            assert refusal(plan, "old.safetensors", w="mean") == message
    saved(w=np.ones((0, 40), "f4"))
    assert refusal(plan, "old.safetensors", w="mean") == (
        "'w' has shape [0, 40] in old.safetensors: an empty axis has no mean"
    )


def test_files_that_are_no_base(planned: Planned) -> None:
    with pytest.raises(glorot.FormatError) as caught:
        Checkpoint.read("none.safetensors")
    assert str(caught.value) == "cannot read none.safetensors: there is no such file"


@pytest.mark.parametrize("kind", ["chunked", "compressed", "big-endian"])
def test_bytes_that_are_not_plain(kind: str, planned: Planned) -> None:
    values = np.arange(12000).reshape(300, 40).astype(">f4" if kind == "big-endian" else "<f4")
    options: dict[str, Any] = {
        "chunked": {"chunks": (10, 40)},
        "compressed": {"compression": "gzip"},
    }
    with h5py.File("old.h5", "w") as file:
        file.create_dataset("w", data=values, **options.get(kind, {}))
    plan = planned(tensors={**ONE, "v": {"shape": [2], "initializer": "ones"}})
    write(planned(tensors=ONE), "kept.safetensors", "old.h5")
    assert elements("kept.safetensors")["w"] == values.astype("<f4").tobytes()
    with h5py.File("old.h5", "a") as file:
        file["v"] = np.zeros(2, "f4")
    write(plan, "x.safetensors", "old.h5", "w")
    assert elements("x.safetensors")["v"] == bytes(8)


def test_a_base_that_is_cut_short_meanwhile(planned: Planned) -> None:
    saved(w=np.ones((300, 40), "f4"))
    base = Checkpoint.read("old.safetensors")
    os.truncate("old.safetensors", 1000)
    with pytest.raises(glorot.FormatError) as caught:
        glorot.write_weights(planned(tensors=ONE), "x.safetensors", base=base)
    line = "old.safetensors was replaced or written to while it was read; run it again"
    assert str(caught.value) == line
    assert [path.name for path in Path().iterdir()] == ["old.safetensors"]


# Sizes that change


def resized(
    planned: Planned, old: Array, shape: list[int], how: str, **rest: Any
) -> tuple[Array, Array]:
    """Return a resized tensor, and what its own law draws."""
    names = {"bfloat16": "bfloat16", "float16": "float16"}
    dtype = names.get(old.dtype.name, old.dtype.name)
    law = {} if dtype in DTYPES else {"initializer": "zeros"}
    plan = raw(planned, shape, dtype=dtype, **{**law, **rest})
    before = raw(planned, list(old.shape), dtype=dtype, **{**law, **rest})
    glorot.write_weights(before, "old.safetensors", force=True)
    file = read_headers("old.safetensors")
    offset = file.tensors[0].offset
    if offset is not None:
        with Path("old.safetensors").open("r+b") as out:
            out.seek(offset)
            out.write(old.tobytes())
    write(plan, "new.safetensors", "old.safetensors", w=how)
    return stored(read_headers("new.safetensors"), "w"), glorot.draw(plan, "w")


def expected(old: Array, new: Array, how: str) -> Array:
    """Make the same with whole arrays; `new` is what the law draws."""
    (axis,) = (i for i, (a, b) in enumerate(zip(old.shape, new.shape, strict=True)) if a != b)
    kept = [slice(min(a, b)) for a, b in zip(old.shape, new.shape, strict=True)]
    result = new.copy() if how == "init" else np.zeros_like(new)
    if how == "mean":
        total = old.astype(np.float64).sum(axis, keepdims=True)
        mean = total / old.shape[axis]
        mean = np.rint(mean) if old.dtype.kind in "biu" else mean
        result[...] = mean.astype(old.dtype)
    result[tuple(kept)] = old[tuple(kept)]
    return result


SHAPES = [
    ([30, 40], [50, 40]),
    ([50, 40], [30, 40]),
    ([30, 40], [30, 64]),
    ([30, 40], [30, 1]),
    ([1, 40], [2, 40]),
    ([7], [9]),
    ([9], [2]),
    ([5, 6, 7], [5, 9, 7]),
    ([5, 6, 7], [5, 2, 7]),
    ([5, 6, 7], [8, 6, 7]),
    ([5, 6, 7], [5, 6, 20]),
    # More than one block of 2 MiB, cut within a row.
    ([900, 1001], [1300, 1001]),
    ([900, 1001], [900, 1500]),
    ([3, 700, 501], [3, 900, 501]),
]


@pytest.mark.parametrize("how", ["init", "mean", "zeros"])
@pytest.mark.parametrize(("old", "new"), SHAPES)
def test_an_axis_grows_or_shrinks(
    old: list[int], new: list[int], how: str, planned: Planned
) -> None:
    values = np.random.default_rng(1).normal(3.0, size=old).astype("f4")
    found, drawn = resized(planned, values, new, how)
    np.testing.assert_array_equal(found, expected(values, drawn, how))


@pytest.mark.parametrize("how", ["init", "mean", "zeros"])
@pytest.mark.parametrize("read", [64, 4000, 20_000])
@pytest.mark.parametrize("longest", [1, 16, 1 << 18])
@pytest.mark.parametrize(("old", "new"), [([40, 50], [61, 50]), ([6, 20, 33], [6, 31, 33])])
def test_slabs_too_large_to_be_read_at_once(
    old: list[int], new: list[int], read: int, longest: int, how: str, planned: Planned,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(checkpoint, "_READ_BYTES", read)
    monkeypatch.setattr(checkpoint, "_LONGEST_MEAN", longest)
    monkeypatch.setattr(checkpoint, "_MOST_MEANS", 2)
    monkeypatch.setattr("glorot_cli.writing.fill.BLOCK_BYTES", 1 << 10)
    values = np.random.default_rng(1).integers(-50, 50, old).astype("f4")
    found, drawn = resized(planned, values, new, how)
    np.testing.assert_array_equal(found, expected(values, drawn, how))


@pytest.mark.parametrize("how", ["init", "mean", "zeros"])
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int64", "int8", "bool"])
def test_every_dtype_changes_its_size(dtype: str, how: str, planned: Planned) -> None:
    random = np.random.default_rng(2)
    values = random.integers(0, 2 if dtype == "bool" else 100, (12, 5)).astype(numpy_dtype(dtype))
    found, drawn = resized(planned, values, [20, 5], how)
    np.testing.assert_array_equal(found, expected(values, drawn, how))


def test_float8_changes_its_size(planned: Planned) -> None:
    for dtype in ("float8_e4m3fn", "float8_e5m2"):
        old = raw(planned, [10, 6], dtype=dtype)
        glorot.write_weights(old, "old.safetensors", force=True)
        plan = raw(planned, [15, 6], dtype=dtype)
        values, drawn = glorot.draw(old, "w"), glorot.draw(plan, "w")
        for how in ("init", "mean", "zeros"):
            write(plan, "new.safetensors", "old.safetensors", w=how)
            found = stored(read_headers("new.safetensors"), "w")
            assert found.tobytes() == expected(values, drawn, how).tobytes()


def test_infinities_and_nans_have_a_mean(planned: Planned) -> None:
    values = np.array([[1, np.inf, np.nan, np.inf], [2, 1, 1, -np.inf]], "f4")
    found, _ = resized(planned, values, [3, 4], "mean")
    np.testing.assert_array_equal(found[2], [1.5, np.inf, np.nan, np.nan])
    found, _ = resized(planned, np.full((2, 3), 3e38, "f4"), [3, 3], "mean")
    np.testing.assert_array_equal(found, np.full((3, 3), 3e38, "f4"))


def test_what_was_empty_grows(planned: Planned) -> None:
    saved(w=np.zeros((0, 40), "f4"))
    plan = planned(tensors=ONE)
    write(plan, "new.safetensors", "old.safetensors", w="init")
    assert elements("new.safetensors")["w"] == glorot.draw(plan, "w").tobytes()


def test_a_whole_law_fills_what_is_new(planned: Planned) -> None:
    values = np.random.default_rng(1).normal(size=(4, 6)).astype("f4")
    found, drawn = resized(planned, values, [7, 6], "init", initializer="orthogonal")
    np.testing.assert_array_equal(found[:4], values)
    np.testing.assert_array_equal(found[4:], drawn[4:])


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4).flatmap(
        lambda shape: st.tuples(
            st.just(shape), st.integers(0, len(shape) - 1), st.integers(1, 9)
        )
    ),
    st.sampled_from(["init", "mean", "zeros"]),
    st.integers(1, 200),
)  # fmt: skip
def test_any_axis_of_any_shape(case: tuple[list[int], int, int], how: str, read: int) -> None:
    old, axis, size = case
    new = [size if index == axis else n for index, n in enumerate(old)]
    if old == new:
        return

    def planned(**spec: Any) -> glorot.Plan:
        return glorot.make_plan(glorot.load_spec({"seed": 42, **spec}))

    values = np.random.default_rng(1).integers(-99, 99, old).astype("f4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "_READ_BYTES", read)
        found, drawn = resized(planned, values, new, how)
    np.testing.assert_array_equal(found, expected(values, drawn, how))


def test_a_vocabulary_grows_in_shards(planned: Planned) -> None:
    old = planned(tensors={"embed": {"shape": [100, 32], "initializer": "ones"},
                           "head": {"shape": [100, 32], "initializer": "ones"}})  # fmt: skip
    glorot.write_weights(old, "old", max_shard_size="5KB")
    law = {"name": "normal", "std": 0.02}
    plan = planned(tensors={"embed": {"shape": [128, 32], "initializer": law},
                            "head": {"shape": [128, 32], "initializer": law}})  # fmt: skip
    base = Checkpoint.read("old", (), {"embed": "mean", "*": "init"})
    glorot.write_weights(plan, "new", base=base, max_shard_size="5KB")
    file = read_headers("new")
    assert (stored(file, "embed") == 1.0).all()
    assert (stored(file, "head")[:100] == 1.0).all()
    np.testing.assert_array_equal(stored(file, "head")[100:], glorot.draw(plan, "head")[100:])


# The command


def test_the_command_keeps_and_resizes(run: Run, planned: Planned) -> None:
    glorot.write_weights(planned(**LAYERS), "old.safetensors")
    wider = {**LAYERS, "layers": [*LAYERS["layers"][:2], {**LAYERS["layers"][2], "units": 12}]}
    Path("s.json").write_text(json.dumps({"seed": 1, **wider}), "utf-8")
    head = ["init", "s.json", "-o", "new.safetensors", "--base", "old.safetensors"]
    code, _, err = run(*head, "--only", "norm/*", "--resize", "classifier/*=zeros")
    assert (code, err) == (
        0,
        "note: 4 of 8 tensors kept from old.safetensors: "
        "encoder/kernel, encoder/bias, classifier/kernel and 1 more\n",
    )
    file = read_headers("new.safetensors")
    assert not stored(file, "classifier/kernel")[:, 10:].any()
    old = elements("old.safetensors")
    assert {name for name, value in elements("new.safetensors").items() if old[name] == value} >= {
        *KEPT
    }
    assert run("verify", "new.safetensors", "--quiet")[0] == 0


def test_the_command_says_what_is_left_out(run: Run) -> None:
    saved(w=np.ones((300, 40), "f4"), **{f"x.{i}": np.ones(1, "f4") for i in range(5)})
    Path("s.json").write_text(json.dumps({"seed": 1, "tensors": ONE}), "utf-8")
    head = ["init", "s.json", "-f", "-o", "new.safetensors", "--base", "old.safetensors"]
    assert run(*head, "--json")[2] == (
        "note: left out of old.safetensors, for the spec does not name them: "
        "'x.0', 'x.1', 'x.2', ...\n"
        "note: 1 of 1 tensors kept from old.safetensors: w; nothing was drawn\n"
    )
    assert run(*head, "--quiet") == (0, "", "")
    tied = {"tensors": {**ONE, "x.{i}": {"tie": "w", "repeat": {"i": 4}}}}
    Path("s.json").write_text(json.dumps({"seed": 1, **tied}), "utf-8")
    assert run(*head, "--json")[2] == (
        "note: left out of old.safetensors, for the spec does not name them: 'x.4'\n"
        "note: 1 of 1 tensors kept from old.safetensors: w; nothing was drawn\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--only", "*"],
            "--only, --resize, --rows and --map need --base, the file that the rest is kept from",
        ),
        (
            ["--resize", "w"],
            "--only, --resize, --rows and --map need --base, the file that the rest is kept from",
        ),
        (
            ["--base", "old.safetensors", "--resize", "w"],
            "--resize: expected GLOB=init|mean|zeros, found 'w'",
        ),
        (
            ["--base", "old.safetensors", "--resize", "w=ones"],
            "--resize: expected GLOB=init|mean|zeros, found 'w=ones'",
        ),
        (
            ["--base", "old.safetensors", "--resize", "=mean"],
            "--resize: expected GLOB=init|mean|zeros, found '=mean'",
        ),
        (["--base", "none"], "cannot read none: there is no such file"),
        (
            ["--base", "old.safetensors", "--only", "v"],
            "--only: 'v' matches no tensor; known: w",
        ),
    ],
)
def test_mistakes_in_the_options(options: list[str], message: str, run: Run) -> None:
    saved(w=np.ones((300, 40), "f4"))
    Path("s.json").write_text(json.dumps({"seed": 1, "tensors": ONE}), "utf-8")
    head = ["init", "s.json", "-o", "new.safetensors"]
    assert run(*head, *options) == (2, "", f"glorot: {message}\n")
    assert not Path("new.safetensors").exists()


def test_a_base_is_its_own_spec(run: Run) -> None:
    values = np.random.default_rng(0).normal(size=(30, 40)).astype("f4")
    saved(**{"body.weight": values, "classifier.weight": values})
    code, _, err = run(
        "init", "old.safetensors", "--base", "old.safetensors", "--only", "classifier.*",
        "-o", "new.safetensors", "--seed", "1", "--quiet",
    )  # fmt: skip
    assert (code, err) == (0, "")
    found = elements("new.safetensors")
    assert found["body.weight"] == values.tobytes()
    assert found["classifier.weight"] != values.tobytes()
    shutil.copy("new.safetensors", "again.safetensors")
    assert run("verify", "again.safetensors", "--quiet")[0] == 0
