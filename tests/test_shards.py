"""Checkpoints in shards: Hugging Face's folders and Keras's sets of files."""

from __future__ import annotations

import json
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
from glorot_cli.formats import folders, leavings, replacing
from glorot_cli.formats.base import compact
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.shards import parse_size, split
from glorot_cli.writing import weights

Run = Callable[..., tuple[int, str, str]]
Planned = Callable[..., glorot.Plan]

INDEX = "model.safetensors.index.json"
# 400, 40, 400, 40 and 20 bytes.
LAYERS: dict[str, Any] = {
    "input_shape": [10],
    "layers": [
        {"type": "Dense", "units": 10},
        {"type": "Dense", "units": 10},
        {"type": "Dense", "units": 1, "use_bias": False, "dtype": "float16"},
    ],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plan(planned: Planned) -> glorot.Plan:
    """Make the plan of the layers."""
    return planned(**LAYERS)


def contents(path: str) -> dict[str, bytes]:
    """Return the bytes of every file in a folder."""
    return {file.name: file.read_bytes() for file in sorted(Path(path).iterdir())}


def refusal(plan: glorot.Plan, output: str, **options: Any) -> str:
    with pytest.raises(glorot.GlorotError) as caught:
        glorot.write_weights(plan, output, **options)
    return str(caught.value)


def unreadable(path: str) -> str:
    with pytest.raises(glorot.FormatError) as caught:
        read_headers(path)
    return str(caught.value)


# Sizes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1B", 1), ("999999999999999B", 999_999_999_999_999), ("5KB", 5000), ("5kb", 5000),
        ("5MB", 5 * 10**6), ("5GB", 5 * 10**9), (" 5 GB ", 5 * 10**9), ("2TB", 2 * 10**12),
        ("1KiB", 1024), ("3MiB", 3 << 20), ("3GiB", 3 << 30), ("1TiB", 1 << 40),
        ("0.5GB", 500_000_000), ("1.5KiB", 1536), ("0.1MB", 100_000),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "5", "GB", "-5GB", "5G", "5XB", "5 G B", "1e3KB", "5GB5", ".5GB", "5.GB", "٥GB", "9" * 16],
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(glorot.GlorotError) as caught:
        parse_size(text)
    assert str(caught.value) == (
        f"--max-shard-size: expected a size such as 5GB or 512MiB, found {text!r}"
    )


def test_sizes_of_nothing() -> None:
    for text in ("0GB", "0.1B"):
        with pytest.raises(glorot.GlorotError) as caught:
            parse_size(text)
        assert str(caught.value) == f"--max-shard-size: expected at least a byte, found {text!r}"


# The split


@pytest.mark.parametrize(
    ("largest", "shards"),
    [
        (900, [[0, 1, 2, 3, 4]]),
        (899, [[0, 1, 2, 3], [4]]),
        (460, [[0, 1], [2, 3, 4]]),
        (440, [[0, 1], [2, 3], [4]]),
        (400, [[0], [1], [2], [3, 4]]),
        (399, [[0], [1], [2], [3, 4]]),
        (41, [[0], [1], [2], [3], [4]]),
        (1, [[0], [1], [2], [3], [4]]),
    ],
)
def test_the_split(plan: glorot.Plan, largest: int, shards: list[list[int]]) -> None:
    assert [tensor.nbytes for tensor in plan.tensors] == [400, 40, 400, 40, 20]
    assert split(plan.tensors, largest) == shards


@given(st.lists(st.integers(1, 30), max_size=20), st.integers(1, 40))
def test_any_split_keeps_the_order_and_the_limit(sizes: list[int], largest: int) -> None:
    tensors = {
        f"t{index}": {"shape": [size], "dtype": "float16", "initializer": "zeros"}
        for index, size in enumerate([*sizes, 1])
    }
    plan = glorot.make_plan(glorot.load_spec({"seed": 1, "tensors": tensors}))
    shards = split(plan.tensors, largest)
    assert [index for shard in shards for index in shard] == list(range(len(tensors)))
    totals = [sum(plan.tensors[index].nbytes for index in shard) for shard in shards]
    assert all(n <= largest or len(shard) == 1 for n, shard in zip(totals, shards, strict=True))
    # None of them could have taken the first of the next.
    for total, following in zip(totals, shards[1:], strict=False):
        assert total + plan.tensors[following[0]].nbytes > largest


# What is written


def test_the_index_is_literal(plan: glorot.Plan) -> None:
    glorot.write_weights(plan, "out", max_shard_size="460B")
    assert Path("out", INDEX).read_text("utf-8") == (
        """{
  "metadata": {
    "total_size": 900
  },
  "weight_map": {
    "dense/bias": "model-00001-of-00002.safetensors",
    "dense/kernel": "model-00001-of-00002.safetensors",
    "dense_1/bias": "model-00002-of-00002.safetensors",
    "dense_1/kernel": "model-00002-of-00002.safetensors",
    "dense_2/kernel": "model-00002-of-00002.safetensors"
  }
}
"""
    )


def test_shards_hold_what_draw_gives(plan: glorot.Plan) -> None:
    moments = glorot.write_weights(plan, "out/", max_shard_size="100B")
    assert len(moments) == 5
    files = [f"model-0000{n}-of-00004.safetensors" for n in (1, 2, 3, 4)]
    assert sorted(contents("out")) == [*files, INDEX]
    found: dict[str, Any] = {}
    for number, file in enumerate(files, 1):
        found |= safetensors.numpy.load_file(Path("out", file))
        with safetensors.safe_open(Path("out", file), "numpy") as opened:
            claim = compact({**weights.provenance(plan), "shard": [number, 4]})
            assert opened.metadata() == {"format": "pt", "glorot": claim}
    assert list(found) == [tensor.name for tensor in plan.tensors]
    for name, value in found.items():
        np.testing.assert_array_equal(value, glorot.draw(plan, name))


def test_the_same_spec_gives_the_same_bytes(plan: glorot.Plan, planned: Planned) -> None:
    glorot.write_weights(plan, "a", max_shard_size="460B", workers=1)
    glorot.write_weights(planned(**LAYERS), "b", max_shard_size="0.46KB", workers=4, sync=False)
    assert contents("a") == contents("b")


def test_workers_change_no_byte_of_large_shards(planned: Planned) -> None:
    spec = {"w{i}": {"shape": [700, 999], "axes": "IO", "repeat": {"i": 5}}}
    plan = planned(initializers=[{"*": "glorot_normal"}], tensors=spec)
    for workers in (1, 3):
        glorot.write_weights(plan, f"{workers}", max_shard_size="6MB", workers=workers)
    assert len(contents("1")) == 4
    assert contents("1") == contents("3")


def test_one_shard_has_no_number_and_no_index(plan: glorot.Plan) -> None:
    glorot.write_weights(plan, "out", max_shard_size="5GB")
    assert list(contents("out")) == ["model.safetensors"]
    assert [t.name for t in read_headers("out").tensors] == [
        t.name for t in read_headers("out/model.safetensors").tensors
    ]


def test_a_plan_without_tensors_is_one_empty_shard(planned: Planned) -> None:
    plan = planned(input_shape=[3], layers=[{"type": "Flatten"}])
    assert glorot.write_weights(plan, "out", max_shard_size="5GB") == []
    assert read_headers("out").tensors == []
    glorot.write_weights(plan, "x.weights.json")
    assert sorted(path.name for path in Path().glob("x*")) == [
        "x.weights.json",
        "x_00000.weights.h5",
    ]


def test_a_configuration_is_copied_beside_the_shards(plan: glorot.Plan) -> None:
    Path("c.json").write_bytes(b'{"model_type": "x"}\n\n')
    for size, shards in (("460B", 2), ("5GB", 1)):
        glorot.write_weights(plan, size, max_shard_size=size, config="c.json")
        assert len(list(Path(size).glob("*.safetensors"))) == shards
        assert Path(size, "config.json").read_bytes() == b'{"model_type": "x"}\n\n'


def test_a_configuration_in_the_folder_that_is_replaced(plan: glorot.Plan) -> None:
    Path("c.json").write_text("{}", "utf-8")
    glorot.write_weights(plan, "out", max_shard_size="5GB", config="c.json")
    again = "out/config.json"
    glorot.write_weights(plan, "out", max_shard_size="460B", config=again, force=True)
    assert Path("out/config.json").read_text("utf-8") == "{}"
    assert not Path("out/model.safetensors").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read c.json: there is no such file"),
        ("[]", "c.json: expected the JSON of a model's configuration"),
        ("{", "c.json: expected the JSON of a model's configuration"),
        ("[" * 100_000, "c.json: expected the JSON of a model's configuration"),
    ],
)
def test_a_wrong_configuration_is_said_before_anything_is_drawn(
    text: str | None, message: str, plan: glorot.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "fill", None)
    if text is not None:
        Path("c.json").write_text(text, "utf-8")
    assert refusal(plan, "out", max_shard_size="1KB", config="c.json") == message
    assert not Path("out").exists()


def test_configurations_that_are_no_files(plan: glorot.Plan, folder: Path) -> None:
    os.mkfifo("pipe")
    found = refusal(plan, "out", max_shard_size="1KB", config="pipe")
    assert found == "cannot read pipe: it is not a regular file"
    found = refusal(plan, "out", max_shard_size="1KB", config=folder)
    assert found == f"cannot read {folder}: it is not a regular file"


def test_a_configuration_goes_with_shards_and_archives_only(plan: glorot.Plan) -> None:
    Path("c.json").write_text("{}", "utf-8")
    for output in ("x.safetensors", "x.h5", "x/", "x.weights.json"):
        found = refusal(plan, output, config="c.json")
        assert found == "--config is for .keras and for folders of shards"


@pytest.mark.parametrize(
    ("output", "format"), [("x.safetensors", None), ("x.h5", None), ("x/", "npy"), ("x/", "h5")]
)
def test_shards_go_into_a_folder(output: str, format: str | None, plan: glorot.Plan) -> None:
    assert refusal(plan, output, format=format, max_shard_size="1KB") == (
        f"{output}: shards are .safetensors files in a folder, or Keras's .weights.json; "
        "end the output's name in / or .weights.json"
    )


# What replaces what


def test_force_replaces_shards_by_others(plan: glorot.Plan) -> None:
    glorot.write_weights(plan, "out", max_shard_size="1B")
    assert len(contents("out")) == 6
    found = refusal(plan, "out", max_shard_size="5GB")
    assert found == f"{Path('out').resolve()} is not empty; replace it with --force"
    glorot.write_weights(plan, "out", max_shard_size="5GB", force=True)
    assert list(contents("out")) == ["model.safetensors"]
    glorot.write_weights(plan, "out/", force=True, max_shard_size="460B")
    assert len(contents("out")) == 3


OTHERS = {
    "tokenizer.json": "{}",
    "README.md": "what others wrote",
    "model-1-of-2.safetensors": "",
    "logs/run 1/events": "",
    "w.npy": "",
}


def put_others(folder: str) -> None:
    """Put others' files into a folder, an empty folder and a link."""
    for name, text in OTHERS.items():
        Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
        Path(folder, name).write_text(text)
    Path(folder, "empty").mkdir()
    Path(folder, "link").symlink_to("nowhere")


def check_others(folder: str) -> None:
    """Check that they are there, as they were."""
    for name, text in OTHERS.items():
        assert Path(folder, name).read_text() == text
    assert list(Path(folder, "empty").iterdir()) == []
    assert Path(folder, "link").readlink() == Path("nowhere")


@pytest.mark.parametrize("size", ["5GB", "460B", "1B"])
@pytest.mark.parametrize("cannot_exchange", [False, True])
def test_force_leaves_what_glorot_did_not_write(
    size: str, cannot_exchange: bool, plan: glorot.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    if cannot_exchange:
        monkeypatch.setattr(folders, "_exchange", lambda *_: False)
    glorot.write_weights(plan, "out", max_shard_size="460B")
    put_others("out")
    glorot.write_weights(plan, "out", max_shard_size=size, force=True)
    check_others("out")
    assert glorot.verify_weights("out").equal
    ours = {path.name for path in Path("out").iterdir()} - {name.split("/")[0] for name in OTHERS}
    count = {"5GB": 1, "460B": 3, "1B": 6}[size]
    assert len(ours - {"empty", "link"}) == count
    assert [path.name for path in Path().iterdir()] == ["out"]


def test_force_leaves_what_appears_during_the_run(
    plan: glorot.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    glorot.write_weights(plan, "out", max_shard_size="460B")
    flush = replacing._flush

    def others(path: Path) -> None:
        monkeypatch.setattr(replacing, "_flush", flush)
        put_others("out")
        flush(path)

    monkeypatch.setattr(replacing, "_flush", others)
    glorot.write_weights(plan, "out", max_shard_size="1B", force=True)
    check_others("out")
    assert [path.name for path in Path().iterdir()] == ["out"]


def test_a_weight_file_that_appears_during_the_run_is_not_replaced(
    plan: glorot.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    glorot.write_weights(plan, "out", max_shard_size="460B")
    before = contents("out")
    trained = Path("out/model-00001-of-00005.safetensors")
    flush = replacing._flush

    def others(path: Path) -> None:
        safetensors.numpy.save_file({"w": np.ones(3)}, trained, {"format": "pt"})
        flush(path)

    monkeypatch.setattr(replacing, "_flush", others)
    assert refusal(plan, "out", max_shard_size="1B", force=True) == (
        f"{trained.resolve()} was not written by glorot, so it is not replaced; move it away"
    )
    trained.unlink()
    assert contents("out") == before
    assert [path.name for path in Path().iterdir()] == ["out"]


@pytest.mark.parametrize("size", ["5GB", "1B"])
@pytest.mark.parametrize("name", ["model.safetensors", "model-00001-of-00005.safetensors", INDEX])
def test_weights_of_others_are_never_replaced(name: str, size: str, plan: glorot.Plan) -> None:
    Path("out").mkdir()
    if name == INDEX:
        index(w="gone.safetensors")
    else:
        safetensors.numpy.save_file({"w": np.ones(3)}, Path("out", name), {"format": "pt"})
    before = contents("out")
    assert refusal(plan, "out", max_shard_size=size, force=True) == (
        f"{Path('out', name).resolve()} was not written by glorot, so it is not replaced; "
        "move it away"
    )
    assert contents("out") == before
    assert [path.name for path in Path().iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["model-00002-of-00002.safetensors", "model.safetensors", INDEX])
def test_a_folder_of_npy_is_not_written_where_others_shards_would_be_read(
    name: str, plan: glorot.Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == INDEX:
        Path("out").mkdir()
        index(w="gone.safetensors")
    else:
        glorot.write_weights(plan, "out", max_shard_size="460B")
        safetensors.numpy.save_file({"w": np.ones(3)}, Path("out", name), {"format": "pt"})
    before = contents("out")
    message = (
        f"{Path('out', name).resolve()} was not written by glorot, so it is not replaced; "
        "move it away"
    )
    with monkeypatch.context() as patch:
        patch.setattr(weights, "fill", None)
        assert refusal(plan, "out/", force=True) == message
    assert contents("out") == before
    assert [path.name for path in Path().iterdir()] == ["out"]
    # None is written where they come while it is drawn, either.
    glorot.write_weights(plan, "new/")
    before = contents_within("new")
    flush = replacing._flush

    def others(path: Path) -> None:
        shutil.copy(Path("out", name), Path("new", name))
        flush(path)

    monkeypatch.setattr(replacing, "_flush", others)
    assert refusal(plan, "new/", force=True) == message.replace("/out/", "/new/")
    Path("new", name).unlink()
    assert contents_within("new") == before
    assert glorot.verify_weights("new").equal


def contents_within(path: str) -> dict[str, bytes]:
    """Return the bytes of every file in a folder and those within."""
    return {str(file): file.read_bytes() for file in Path(path).rglob("*") if file.is_file()}


def test_every_array_of_ours_is_replaced(planned: Planned) -> None:
    kinds = ["float16", "float32", "float64", "bool", "int8", "uint8", "int32", "int64"]
    shapes: list[list[int]] = [[], [3], [2, 3, 4]]
    tensors = {
        f"{kind}/{len(shape)}": {"shape": shape, "dtype": kind, "initializer": "ones"}
        for kind in kinds
        for shape in shapes
    }
    glorot.write_weights(planned(tensors=tensors), "out/")
    assert len(contents_within("out")) == 25
    glorot.write_weights(
        planned(tensors={"w": {"shape": [2], "initializer": "ones"}}), "out/", force=True
    )
    assert sorted(contents_within("out")) == ["out/manifest.json", "out/w.npy"]


@pytest.mark.parametrize(
    "mine",
    [
        np.ones(11, np.float32), np.ones((10, 1), np.float32), np.ones(10, np.float64),
        np.ones(10, ">f4"), np.ones(10, np.int32), np.array(["a", "b"]),
    ],
)  # fmt: skip
def test_an_array_saved_over_one_of_ours_is_its_owners(mine: Any, plan: glorot.Plan) -> None:
    glorot.write_weights(plan, "out/")
    saved = Path("out/dense/bias.npy")
    np.save(saved, mine)
    before = contents_within("out")
    assert refusal(plan, "out/", force=True) == (
        f"{saved.resolve()} was not written by glorot, so it is not replaced; move it away"
    )
    assert contents_within("out") == before
    glorot.write_weights(plan, "out/", force=True, max_shard_size="460B")
    assert glorot.verify_weights("out").equal
    np.testing.assert_array_equal(np.load(saved), mine)
    assert [file.name for file in Path("out").rglob("*.npy")] == ["bias.npy"]


def test_a_configuration_of_others_is_never_replaced(plan: glorot.Plan) -> None:
    Path("c.json").write_text("{}", "utf-8")
    Path("out").mkdir()
    Path("out/config.json").write_text('{"mine": 1}')
    for more in ({"force": True}, {"resume": True}, {"resume": True, "force": True}):
        assert refusal(plan, "out", max_shard_size="460B", config="c.json", **more) == (
            f"{Path('out').resolve()}/config.json is not the config.json of these weights; "
            "move it away"
        )
    assert list(contents("out")) == ["config.json"]
    glorot.write_weights(plan, "out", max_shard_size="460B", force=True)
    assert Path("out/config.json").read_text() == '{"mine": 1}'


def test_force_goes_from_a_folder_of_npy_to_shards_and_back(plan: glorot.Plan) -> None:
    glorot.write_weights(plan, "out/")
    put_others("out")
    Path("out/dense/notes").write_text("mine")
    glorot.write_weights(plan, "out/", force=True, max_shard_size="5GB")
    check_others("out")
    assert [path.name for path in Path("out/dense").iterdir()] == ["notes"]
    assert not Path("out/dense_1").exists()
    glorot.write_weights(plan, "out/", force=True, format="npy")
    check_others("out")
    assert Path("out/dense/notes").read_text() == "mine"
    assert glorot.verify_weights("out").equal
    assert not Path("out/model.safetensors").exists()


@pytest.mark.parametrize("inner", ["", "/logs"])
def test_a_mount_point_is_not_replaced(
    inner: str, plan: glorot.Plan, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = folder.parent / "mounts"
    mounts.write_text(f"36 35 98:0 / {folder}/o\\040ut{inner} rw,noatime - ext4 /dev/sda rw\n")
    monkeypatch.setattr(folders, "_MOUNTS", mounts)
    monkeypatch.setattr(weights, "fill", None)
    Path("o ut/logs").mkdir(parents=True)
    place = "it is a mount point; write to a folder in it"
    if inner:
        place = "'logs' is a mount point; write to a folder beside it"
    for size in (None, "5GB"):
        assert refusal(plan, "o ut/", force=True, max_shard_size=size) == (
            f"cannot replace {folder}/o ut/: {place}"
        )
    assert [path.name for path in folder.rglob("*")] == ["o ut", "logs"]


def test_names_that_begin_alike_are_of_others_runs(plan: glorot.Plan) -> None:
    long = "a" * 41
    for name in ("model.v2", long + "b"):
        dead = Path(leavings.beside(Path(name), leavings.TEMPORARY))
        old = Path(leavings.beside(Path(name), leavings.OLD))
        for path in (dead, old):
            path.mkdir()
            (path / "model-00001-of-00002.safetensors").touch()
    before = sorted(Path().rglob("*"))
    for output in ("model", long + "c"):
        for resume, force in ((False, False), (True, False), (False, True)):
            glorot.write_weights(plan, output, max_shard_size="5GB", resume=resume, force=force)
            assert list(contents(output)) == ["model.safetensors"]
        shutil.rmtree(output)
    assert sorted(Path().rglob("*")) == before


def test_nothing_is_left_when_drawing_fails(
    plan: glorot.Plan, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(weights, "fill", fail)
    monkeypatch.setattr("glorot_cli.writing.sharding.fill", fail)
    for output in ("out", "x.weights.json"):
        with pytest.raises(KeyboardInterrupt):
            glorot.write_weights(plan, output, max_shard_size="460B")
    assert list(folder.iterdir()) == []


# Reading


def test_an_index_a_folder_and_a_folder_of_links_read_alike(plan: glorot.Plan) -> None:
    glorot.write_weights(plan, "out", max_shard_size="460B")
    # As in the cache of huggingface_hub, where names are links to blobs.
    Path("snapshot").mkdir()
    Path("blobs").mkdir()
    for file in Path("out").iterdir():
        shutil.copy(file, Path("blobs", f"x{file.name}"))
        Path("snapshot", file.name).symlink_to(Path("blobs", f"x{file.name}").resolve())
    expected = {t.name: (t.shape, t.dtype) for t in plan.tensors}
    for path in ("out", f"out/{INDEX}", "snapshot", f"snapshot/{INDEX}"):
        stored = read_headers(path).tensors
        assert {t.name: (t.shape, t.dtype) for t in stored} == expected
        assert glorot.verify_weights(path).equal
        found = {t.name: t.moments for t in glorot.inspect_weights(path).tensors}
        assert {name for name, moments in found.items() if moments is None} == set()


def index(**weight_map: object) -> None:
    Path("out", INDEX).write_text(json.dumps({"weight_map": weight_map}), "utf-8")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../x.safetensors", "'../x.safetensors'"),
        ("/etc/passwd", "'/etc/passwd'"),
        ("sub/x.safetensors", "'sub/x.safetensors'"),
        ("missing.safetensors", "'missing.safetensors'"),
        ("sub", "'sub'"),
        ("..", "'..'"),
        (".", "'.'"),
        ("", "''"),
        ("a\0b", "'a\\x00b'"),
        ("\ud800", "'\\ud800'"),
        (7, "7"),
        (None, "null"),
        ([], "[]"),
        (["model.safetensors"], "['model.safetensors']"),
        ({}, "a mapping"),
    ],
)
def test_an_index_names_files_beside_it(name: object, shown: str, plan: glorot.Plan) -> None:
    glorot.write_weights(plan, "out", max_shard_size="5GB")
    for place in ("x.safetensors", "out/sub/x.safetensors"):
        Path(place).parent.mkdir(exist_ok=True)
        shutil.copy("out/model.safetensors", place)
    index(w=name)
    assert unreadable("out") == f"out/{INDEX}: expected a file beside it, found {shown}"


def test_an_index_of_a_tensor_that_is_not_there(plan: glorot.Plan) -> None:
    glorot.write_weights(plan, "out", max_shard_size="5GB")
    index(**{"dense/kernel": "model.safetensors", "w": "model.safetensors"})
    assert unreadable("out") == f"out/{INDEX}: 'model.safetensors' holds no tensor 'w'"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": []}', "[" * 100_000, "\xff"]
)
def test_an_index_that_is_none(text: str) -> None:
    Path("out").mkdir()
    Path("out", INDEX).write_text(text, "latin-1")
    assert unreadable("out") == f"out/{INDEX}: expected an index with a weight_map"
    Path("x.weights.json").write_text(text, "latin-1")
    assert unreadable("x.weights.json") == "x.weights.json: expected an index with a weight_map"


def test_an_index_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glorot_cli.formats.shards.LARGEST_INDEX", 1 << 20)
    Path("out").mkdir()
    Path("out", INDEX).write_bytes(b" " * ((1 << 20) + 1))
    assert unreadable("out") == f"out/{INDEX}: expected an index below 1 MiB"


def test_a_shard_that_is_cut_short(plan: glorot.Plan) -> None:
    glorot.write_weights(plan, "out", max_shard_size="460B")
    path = Path("out/model-00002-of-00002.safetensors")
    size = path.stat().st_size
    os.truncate(path, size - 1)
    assert unreadable("out") == (
        f"{path}: its header needs {size} bytes, the file has {size - 1}; is it cut short?"
    )


def test_a_name_too_long_for_the_system(plan: glorot.Plan) -> None:
    glorot.write_weights(plan, "out", max_shard_size="5GB")
    index(w="x" * 300)
    assert unreadable("out") == "cannot read out: File name too long"


# Keras's sets


def test_a_set_of_keras_has_files_and_an_index(plan: glorot.Plan, folder: Path) -> None:
    glorot.write_weights(plan, "x.weights.json", max_shard_size="460B")
    names = ["x.weights.json", "x_00000.weights.h5", "x_00001.weights.h5"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert Path("x.weights.json").read_text("utf-8") == (
        """{
  "metadata": {
    "total_size": 900
  },
  "weight_map": {
    "/layers/dense/vars": "x_00000.weights.h5",
    "/layers/dense_1/vars": "x_00001.weights.h5",
    "/layers/dense_2/vars": "x_00001.weights.h5"
  }
}
"""
    )
    found: list[bytes] = []
    for number, name in enumerate(names[1:], 1):
        with h5py.File(name) as file:
            claim = compact({**weights.provenance(plan), "shard": [number, 2]})
            assert file.attrs["glorot"] == claim
            found += [file[t.group][()].tobytes() for t in plan.tensors if t.group in file]
    assert found == [glorot.draw(plan, tensor.name).tobytes() for tensor in plan.tensors]


def test_a_set_of_keras_is_byte_stable_and_reads_back(plan: glorot.Plan) -> None:
    for name in ("a", "b"):
        Path(name).mkdir()
        glorot.write_weights(plan, f"{name}/x.weights.json", max_shard_size="1B", workers=1)
    assert contents("a") == contents("b")
    assert glorot.verify_weights("a/x.weights.json").equal
    file = read_headers("a/x.weights.json")
    assert (file.format.name, len(file.tensors)) == ("keras", 5)


def test_the_default_size_of_a_set_is_keras_s(plan: glorot.Plan, folder: Path) -> None:
    glorot.write_weights(plan, "x.weights.json")
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["x.weights.json", "x_00000.weights.h5"]


def test_a_layer_that_stands_in_two_places_is_in_the_index_twice(planned: Planned) -> None:
    inner = {"type": "SpectralNormalization", "layer": {"type": "Dense", "units": 3}}
    plan = planned(input_shape=[4], layers=[inner, {"type": "Dense", "units": 2}])
    assert (plan.tensors[0].group, plan.tensors[0].also_group) == (
        "layers/spectral_normalization/layer/vars/0",
        "layers/spectral_normalization/vars/0",
    )
    glorot.write_weights(plan, "x.weights.json", max_shard_size="60B")
    assert json.loads(Path("x.weights.json").read_text("utf-8"))["weight_map"] == {
        "/layers/dense/vars": "x_00001.weights.h5",
        "/layers/spectral_normalization/layer/vars": "x_00000.weights.h5",
        "/layers/spectral_normalization/vars": "x_00000.weights.h5",
    }


def test_a_set_is_refused_where_one_of_its_files_exists(
    plan: glorot.Plan, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("x_00001.weights.h5").write_bytes(b"mine")
    with monkeypatch.context() as patch:
        patch.setattr(weights, "fill", None)
        found = refusal(plan, "x.weights.json", max_shard_size="460B")
    assert found == f"{folder}/x_00001.weights.h5 exists; replace it with --force"
    assert [path.name for path in folder.iterdir()] == ["x_00001.weights.h5"]
    glorot.write_weights(plan, "x.weights.json", max_shard_size="460B", force=True)
    assert glorot.verify_weights("x.weights.json").equal
    found = refusal(plan, "x.weights.json", max_shard_size="460B")
    assert found == f"{folder}/x.weights.json exists; replace it with --force"


def test_a_set_does_not_take_the_place_of_a_folder(plan: glorot.Plan, folder: Path) -> None:
    Path("x_00000.weights.h5").mkdir()
    found = refusal(plan, "x.weights.json", force=True)
    assert found == f"cannot write {folder}/x_00000.weights.h5: it is a folder"
    assert [path.name for path in folder.iterdir()] == ["x_00000.weights.h5"]


def test_an_interrupted_move_leaves_no_index_of_a_mixture(
    plan: glorot.Plan, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    glorot.write_weights(plan, "x.weights.json", max_shard_size="460B")
    original = Path.replace
    moved = []

    def replace(self: Path, target: Path) -> Path:
        moved.append(self.name)
        if len(moved) == 2:
            raise OSError(5, "Input/output error")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    found = refusal(plan, "x.weights.json", max_shard_size="460B", force=True)
    assert found == f"cannot write {folder}/x.weights.json: Input/output error"
    assert moved == ["x_00000.weights.h5", "x_00001.weights.h5"]
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["x_00000.weights.h5", "x_00001.weights.h5"]


def test_a_link_to_an_index_is_followed(plan: glorot.Plan, folder: Path) -> None:
    Path("real").mkdir()
    Path("link.weights.json").symlink_to(folder / "real" / "x.weights.json")
    glorot.write_weights(plan, "link.weights.json", max_shard_size="460B")
    assert list(contents("real")) == ["x.weights.json", "x_00000.weights.h5", "x_00001.weights.h5"]


def test_raw_tensors_have_no_place_in_a_set(planned: Planned) -> None:
    plan = planned(tensors={"w": {"shape": [2], "initializer": "ones"}})
    assert refusal(plan, "x.weights.json") == (
        "Keras's .weights.h5 holds layers only, and 'w' is a raw tensor; "
        "write .h5 or .safetensors instead"
    )


def test_raw_tensors_named_as_places_have_theirs(planned: Planned) -> None:
    names = ["encoder/norm/vars/0", "encoder/norm/vars/1", "head/vars/0", "vars/0"]
    plan = planned(tensors={name: {"shape": [2], "initializer": "ones"} for name in names})
    glorot.write_weights(plan, "x.weights.h5")
    with h5py.File("x.weights.h5") as file:
        assert [file[name][()].tolist() for name in names] == [[1.0, 1.0]] * 4
    glorot.write_weights(plan, "y.weights.json", max_shard_size="16B")
    assert json.loads(Path("y.weights.json").read_text("utf-8"))["weight_map"] == {
        "/encoder/norm/vars": "y_00000.weights.h5",
        "/head/vars": "y_00001.weights.h5",
        "/vars": "y_00001.weights.h5",
    }
    assert glorot.verify_weights("y.weights.json").equal


def test_a_set_whose_index_is_wrong(plan: glorot.Plan) -> None:
    glorot.write_weights(plan, "x.weights.json", max_shard_size="460B")
    path = Path("x.weights.json")

    def said(**weight_map: object) -> str:
        path.write_text(json.dumps({"weight_map": weight_map}), "utf-8")
        return unreadable("x.weights.json")

    assert said(**{"/layers/dense/vars": "../x"}) == (
        "x.weights.json: expected a file beside it, found '../x'"
    )
    assert said(**{"/layers/dense_1/vars": "x_00000.weights.h5"}) == (
        "x.weights.json: 'x_00000.weights.h5' holds no group '/layers/dense_1/vars'"
    )
    # Keras lists several files of one group.
    both = ["x_00000.weights.h5", "x_00001.weights.h5"]
    assert said(**{"/layers/dense/vars": both}) == (
        "x.weights.json: 'x_00001.weights.h5' holds no group '/layers/dense/vars'"
    )


# The command


def test_the_command_writes_shards(run: Run, folder: Path) -> None:
    Path("s.json").write_text(json.dumps({"seed": 42, **LAYERS}), "utf-8")
    Path("c.json").write_text("{}", "utf-8")
    code, out, err = run(
        "init", "s.json", "-o", "out", "--max-shard-size", "460B", "--config", "c.json", "--json"
    )
    assert (code, err) == (0, "")
    assert json.loads(out)["output"] == "out"
    assert len(contents("out")) == 4
    assert run("verify", "out", "--quiet") == (0, "", "")
    assert run("init", "s.json", "-o", "y", "--max-shard-size", "5") == (
        2,
        "",
        "glorot: --max-shard-size: expected a size such as 5GB or 512MiB, found '5'\n",
    )
