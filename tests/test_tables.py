"""Tables on a terminal: whole columns, whole cells, no line longer than the terminal is wide."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

Run = Callable[..., tuple[int, str, str]]

SAMPLES = Path(__file__).parent.parent / "sample_specs"
MLP = SAMPLES / "mlp.yaml"
NOTE = re.compile(r"note: (\d+) columns? left out at this width; --json or a pipe shows all")
WIDTHS = (80, 120, 200)
END = b"\x04end"

MLP_PLAN = ("dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias")
HEADS = (
    "name", "shape", "dtype", "initializer", "fan_in", "fan_out", "limit/stddev", "min", "max",
    "mean", "std", "expected std", "forward gain", "backward gain",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def on_terminal(width: int, *arguments: object) -> tuple[list[str], str]:
    """Run a command on a terminal of that width; return its lines there, and standard error."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {name: text for name, text in os.environ.items() if name != "COLUMNS"}
    environment |= {"TERM": "xterm", "PYTHONUTF8": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "glorot_cli", *map(str, arguments)],
        stdin=slave, stdout=slave, stderr=subprocess.PIPE, env=environment,
    ) as process:  # fmt: skip
        # Linux may drop what a terminal still holds when its last writer closes it: a line of our
        # own after the command's last one says where to stop, and only then is it closed.
        ender = threading.Thread(target=lambda: (process.wait(), os.write(slave, END)))
        ender.start()
        written = b""
        while not written.endswith(END):
            written += os.read(master, 65536)
        ender.join()
        os.close(slave)
        os.close(master)
        assert process.stderr is not None
        errors = process.stderr.read().decode()
    written = written.removesuffix(END)
    return re.sub(r"\x1b\[[0-9;]*m", "", written.decode()).splitlines(), errors


def cells(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


def left_out(errors: str) -> int:
    found = NOTE.findall(errors)
    assert len(found) <= 1
    return int(found[0]) if found else 0


def assert_whole(lines: list[str], width: int, names: tuple[str, ...]) -> None:
    assert max(map(len, lines)) <= width
    starts = [cells(line)[0] for line in lines]
    assert [start for start in starts if start in names] == list(names)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_table_of_init_has_whole_columns(width: int, run: Run) -> None:
    command = ("init", MLP, "-o", "w.safetensors", "--force", "--seed", "42")
    lines, errors = on_terminal(width, *command)
    assert_whole(lines, width, MLP_PLAN)
    heads = cells(lines[0])
    assert heads == [head for head in HEADS if head in heads]
    assert left_out(errors) == len(HEADS) - len(heads) == {80: 7, 120: 3, 200: 0}[width]
    _, piped, _ = run(*command)
    # What is shown stands in a pipe too, in the same cells.
    full = piped.splitlines()
    assert lines[-1] == full[-1] == "7,114 parameters, 28.5 kB"
    for line, whole in zip(lines, full, strict=True):
        assert set(cells(line)) <= set(cells(whole))
    if width == 200:
        assert lines == full


def test_a_table_on_80_columns() -> None:
    lines, errors = on_terminal(80, "init", MLP, "-o", "w.safetensors", "--seed", "42")
    assert lines == [
        "name            shape      initializer     limit/stddev      min     max     std",
        "dense/kernel    (100, 64)  glorot_uniform        0.1913  -0.1913  0.1912  0.1104",
        "dense/bias      (64)       zeros                               0       0       0",
        "dense_1/kernel  (64, 10)   glorot_uniform        0.2847  -0.2844  0.2846  0.1654",
        "dense_1/bias    (10)       zeros                               0       0       0",
        "7,114 parameters, 28.5 kB",
    ]
    assert errors == "note: 7 columns left out at this width; --json or a pipe shows all\n"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "sample", ["vit_b16", "bert_base", "gpt2", "mixtral_8x7b", "resnet18_torch", "mobilenet_v1"]
)
def test_the_plan_of_a_sample(sample: str, width: int) -> None:
    lines, errors = on_terminal(width, "plan", SAMPLES / f"{sample}.yaml")
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("name ")
    assert lines[-1].endswith(("MB", "GB"))
    heads = cells(lines[0])
    assert {"name", "shape"} <= {*heads}
    assert left_out(errors) == 10 - len(heads)
    for line in lines[1:-1]:
        # No shape is broken, no name either: each is a cell, on a line with its row or below it.
        assert line.count("(") == line.count(")") <= 1
        assert line.startswith("    (") or re.match(r"[\w./{}-]+( x\d+)?(  |$)", line)


def test_dtypes_that_differ_are_not_left_out_early() -> None:
    kernel = {"shape": [8, 8], "axes": "IO", "initializer": "glorot_uniform"}
    names = {dtype: f"a_rather_long_name_of_a_tensor_{dtype}" for dtype in ("float32", "bfloat16")}
    tensors = {name: {**kernel, "dtype": dtype} for dtype, name in names.items()}
    Path("mixed.json").write_text(json.dumps({"tensors": tensors}))
    lines, _ = on_terminal(80, "plan", "mixed.json", "--seed", "1")
    assert cells(lines[0])[:4] == ["name", "shape", "dtype", "initializer"]
    tensors[names["bfloat16"]]["dtype"] = "float32"
    Path("alike.json").write_text(json.dumps({"tensors": tensors}))
    lines, _ = on_terminal(80, "plan", "alike.json", "--seed", "1")
    assert cells(lines[0])[:4] == ["name", "shape", "initializer", "limit/stddev"]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_table_of_inspect(width: int, run: Run) -> None:
    run("init", MLP, "-o", "w.safetensors", "--seed", "42")
    lines, errors = on_terminal(width, "inspect", "w.safetensors")
    assert lines[0] == "w.safetensors: safetensors, claims seed 42"
    assert_whole(lines, width, tuple(sorted(MLP_PLAN)))
    assert left_out(errors) == 14 - len(cells(lines[1]))
    assert "glorot_uniform: agrees" in cells(lines[3])
    # A hash that was asked for is there, whole.
    lines, _ = on_terminal(width, "inspect", "w.safetensors", "--sha256")
    hashes = [line for line in lines if re.search(r"(^|  )[0-9a-f]{64}$", line)]
    assert len(hashes) == 4
    assert_whole(lines, width, tuple(sorted(MLP_PLAN)))


@pytest.mark.parametrize("width", WIDTHS)
def test_what_verify_and_diff_found_is_broken_between_words(width: int, run: Run) -> None:
    run("init", MLP, "-o", "a.safetensors", "--seed", "42")
    run("init", MLP, "-o", "b.safetensors", "--seed", "43")
    for command in (("verify", "a.safetensors", MLP, "--seed", "43"),
                    ("diff", "a.safetensors", "b.safetensors")):  # fmt: skip
        lines, errors = on_terminal(width, *command)
        assert errors == ""
        assert_whole(lines, width, ("dense/kernel", "dense_1/kernel"))
        _, piped, _ = run(*command)
        # The same words in the same order: none is split, and none is left out.
        assert " ".join(lines).split() == piped.split()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_goes_on_below_where_not_all_fit_side_by_side(width: int) -> None:
    others = "glorot_uniform,he_normal,lecun_normal,he_uniform,lecun_uniform,zeros"
    lines, errors = on_terminal(width, "plan", MLP, "--compare", others)
    assert max(map(len, lines)) <= width
    assert left_out(errors) == 0
    for quantity, first in (("std of the kernel", 2), ("std of activations", 1), ("chi, ", 1)):
        titles = [index for index, line in enumerate(lines) if line.startswith(quantity)]
        assert all(lines[index].endswith(", continued") for index in titles[1:])
        heads = [head for index in titles for head in cells(lines[index + 1])[first:]]
        assert heads == ["spec", *others.split(",")]
        assert len(titles) == {80: 2, 120: 1 + (quantity == "std of activations"), 200: 1}[width]


def test_a_name_wider_than_the_terminal_is_left_to_the_terminal() -> None:
    name = "n" * 90
    safetensors.numpy.save_file({name: np.zeros((3, 4), "f4")}, "w.safetensors")
    lines, errors = on_terminal(80, "inspect", "w.safetensors")
    assert lines == ["w.safetensors: safetensors, without provenance", "name", "    shape", name,
                     "    (3, 4)", "12 parameters, 48 B"]  # fmt: skip
    assert left_out(errors) > 0


def test_wide_characters_take_two_columns() -> None:
    names = ["層" * 20 + "/kernel", "b"]
    safetensors.numpy.save_file({name: np.ones((3, 4), "f4") for name in names}, "w.safetensors")
    lines, _ = on_terminal(80, "inspect", "w.safetensors")
    rows = {cells(line)[0]: line for line in lines}
    assert rows[names[0]].index("(3, 4)") + 20 == rows["b"].index("(3, 4)")
    assert len(rows[names[0]]) + 20 <= 80


# The summary


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"alarm": 1, "fits": 1}, "1 alarm, 1 fit"),
        ({"alarm": 2, "fits": 23}, "2 alarms, 23 fits"),
        ({"dtype": 1, "shape": 1, "missing": 1}, "1 dtype, 1 missing, 1 shape"),
        ({"dtype": 2, "shape": 3, "missing": 2}, "2 dtypes, 2 missing, 3 shapes"),
        ({"fits": 2, "not drawn": 23}, "2 fits, 23 not drawn"),
    ],
)
def test_a_summary_counts_in_words(counts: dict[str, int], text: str) -> None:
    from glorot_cli.report import verdicts

    statuses = [status for status, count in counts.items() for _ in range(count)]
    assert verdicts._counted(statuses) == text


def test_statistics_fold_what_was_kept_from_a_base(run: Run) -> None:
    Path("spec.yaml").write_text(MLP.read_text())
    run("init", "spec.yaml", "-o", "old.safetensors", "--seed", "1")
    run("init", "spec.yaml", "-o", "new.safetensors", "--seed", "2",
        "--base", "old.safetensors", "--only", "dense/*")  # fmt: skip
    code, out, _ = run("verify", "new.safetensors", "--statistics")
    assert (code, out) == (
        0,
        "new.safetensors: nothing speaks against the spec: "
        "2 fits (a good file alarms with a chance of at most 0.001); "
        "2 of 4 not checked: kept from a base (dense_1/kernel, dense_1/bias)\n",
    )
    _, out, _ = run("verify", "new.safetensors", "--statistics", "--all")
    assert [line.split("  ")[0] for line in out.splitlines()[1:-1]] == list(MLP_PLAN)
