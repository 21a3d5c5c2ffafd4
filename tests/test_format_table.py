"""What the table says of each format is so: one contract, which a new format joins by its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import glorot_cli as glorot
from glorot_cli.dtypes import DTYPES
from glorot_cli.formats import FORMATS, OPTIONS, Format, choose_format, reader_process
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.table import SAFETENSORS

Planned = Callable[..., glorot.Plan]
Run = Callable[..., tuple[int, str, str]]

# One tensor only, which every format can hold.
ONE: dict[str, Any] = {
    "dialect": "keras",
    "input_shape": [5],
    "layers": [{"type": "Dense", "units": 3, "use_bias": False}],
}
KERAS_MODEL = '{"class_name": "Sequential", "config": {}}'
WRITTEN = [each for each in FORMATS.values() if each.dtypes]


def output_of(form: Format) -> str:
    return f"w{form.endings[0]}" if form.endings and form.kind != "shards" else "w/"


def written(form: Format, plan: glorot.Plan) -> Path:
    options: dict[str, Any] = {}
    if form.configuration == "keras":
        Path("model.json").write_text(KERAS_MODEL, "utf-8")
        options["config"] = "model.json"
    if form.kind == "shards":
        options["max_shard_size"] = "1GB"
    glorot.write_weights(plan, output_of(form), **options)
    return Path(output_of(form))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("form", WRITTEN, ids=lambda form: str(form.name))
def test_a_format_is_chosen_by_its_ending_and_its_option(form: Format) -> None:
    for ending in form.endings:
        if form.kind != "shards":
            assert choose_format(f"d/w{ending}").name == form.name
    assert choose_format(output_of(form), sharded=form.kind == "shards").name == form.name
    if form.option is not None:
        assert choose_format("w.anything", form.option) is form


@pytest.mark.parametrize("form", WRITTEN, ids=lambda form: str(form.name))
def test_what_is_written_is_recognised_and_read(form: Format, planned: Planned) -> None:
    plan = planned(**ONE)
    path = written(form, plan)
    head = b"" if path.is_dir() else path.read_bytes()[:16]
    others = [
        each.name
        for each in FORMATS.values()
        if each.recognises(path, head) and each is not SAFETENSORS and each.read != form.read
    ]
    assert others == []
    assert form.recognises(path, head)
    file = read_headers(path)
    (stored,) = file.tensors
    (tensor,) = plan.tensors
    assert (stored.shape, stored.dtype) == (tensor.shape, tensor.dtype)
    names = {"nothing": "w", "places": tensor.group, "names": tensor.name, "either": tensor.name}
    assert stored.name == names[form.names]
    assert file.format.names == form.names
    assert file.format.axes == form.axes
    assert (file.provenance is not None) == form.holds_provenance
    assert stored.offset is not None
    assert stored.offset % form.alignment == 0
    assert glorot.verify_weights(path, None if form.holds_provenance else plan).equal


@pytest.mark.parametrize("form", WRITTEN, ids=lambda form: str(form.name))
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_format_holds_the_dtypes_that_it_lists_and_no_other(
    form: Format, dtype: str, planned: Planned
) -> None:
    plan = planned(**ONE, dtype=dtype)
    if dtype in form.dtypes:
        assert [each.dtype for each in read_headers(written(form, plan)).tensors] == [dtype]
        return
    with pytest.raises(glorot.FormatError, match=f"cannot hold {dtype}, the dtype of 'dense/"):
        written(form, plan)


@pytest.mark.parametrize("form", WRITTEN, ids=lambda form: str(form.name))
def test_a_process_reads_the_formats_that_have_one(
    form: Format, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(form, planned(**ONE))
    started: list[str] = []
    ask = reader_process.Process.ask

    def count(self: reader_process.Process, *arguments: Any) -> tuple[bytes, bytes, float]:
        started.append("asked")
        return ask(self, *arguments)

    monkeypatch.setattr(reader_process.Process, "ask", count)
    read_headers(path)
    assert bool(started) == (form.process is not None)


def test_help_and_info_name_every_format(run: Run) -> None:
    code, out, _ = run("init", "--help")
    assert code == 0
    assert f"{', '.join(OPTIONS)}: whatever" in " ".join(out.split())
    code, out, _ = run("info")
    assert code == 0
    assert all(form.title in out for form in FORMATS.values())


@pytest.mark.parametrize(
    ("output", "name"), [("w.weights.json", "npy"), ("w.weights.json", "keras"), ("w.npy", None)]
)
def test_shards_of_no_such_format_are_refused(
    output: str, name: str | None, planned: Planned
) -> None:
    message = (
        f"{output}: shards are .safetensors files in a folder, or Keras's .weights.json; "
        "end the output's name in / or .weights.json"
    )
    with pytest.raises(glorot.FormatError) as caught:
        glorot.write_weights(planned(**ONE), output, format=name, max_shard_size="1KB")
    assert str(caught.value) == message
