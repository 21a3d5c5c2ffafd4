"""Odd values through every command: 300 fixed cases; `python -m tests.fuzz` runs any number."""

from __future__ import annotations

import json
import math
import random
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import glorot_cli as glorot
from glorot_cli.dialects.keras.table import LAYERS as KERAS_LAYERS
from glorot_cli.dialects.torch.table import LAYERS as TORCH_LAYERS
from glorot_cli.errors import shown
from glorot_cli.initializers import INITIALIZERS
from tests.fuzz import values
from tests.fuzz.cases import run_case

Run = Callable[..., tuple[int, str, str]]

PARTS, CASES = 10, 300


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("part", range(PARTS))
def test_fixed_cases(tmp_path: Path, part: int) -> None:
    codes: Counter[int | None] = Counter()
    for number in range(part, CASES, PARTS):
        result = run_case(tmp_path, values.KIND, 0, number)
        assert result.problem == "", f"--only values --case {number}: {result.command}"
        codes[result.code] += 1
    assert sum(codes.values()) == CASES // PARTS
    assert codes[0] >= 1, codes
    assert codes[2] >= 1, codes


def test_cases_reach_every_initializer_and_many_layers() -> None:
    seen: Counter[str] = Counter()

    def names(value: Any) -> None:
        for _, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(item, dict | list):
                names(item)
            elif isinstance(item, str):
                seen[item] += 1

    for number in range(2000):
        names(values.make_spec(random.Random(number)))
    assert set(INITIALIZERS) <= set(seen)
    assert len({name for name in seen if name in KERAS_LAYERS}) > 60
    assert len({name for name in seen if name in TORCH_LAYERS}) > 60


# Numbers that no JSON holds.


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "1e999"])
def test_a_number_that_nothing_reads_is_refused(run: Run, number: str) -> None:
    Path("x.yaml").write_text(
        "input_shape: [3]\nlayers:\n  - type: Dense\n    units: 2\n    use_bias: false\n"
        f"    bias_initializer: {{name: constant, value: {number}}}\n"
    )
    found = number.strip(".") if number != "1e999" else "inf"
    found = found.replace("-.", "-")
    for command in (["plan"], ["init", "-o", "w.safetensors"]):
        assert run(*command, "x.yaml") == (
            2,
            "",
            "glorot: x.yaml:6:47: layers[0].bias_initializer.value: expected a finite number, "
            f"found {found}\n",
        )
    assert not Path("w.safetensors").exists()


def test_a_number_of_many_digits_is_refused() -> None:
    spec: dict[str, Any] = {
        "input_shape": [3],
        "layers": [
            {"type": "Dense", "units": 2, "use_bias": False,
             "bias_initializer": {"name": "constant", "value": 10**5000}}
        ],
    }  # fmt: skip
    with pytest.raises(glorot.GlorotError) as caught:
        glorot.make_plan(glorot.load_spec(spec))
    assert str(caught.value) == (
        "<spec>: layers[0].bias_initializer.value: expected a number of at most 400 digits, "
        "found an integer of over 60 digits"
    )


@pytest.mark.parametrize(
    "cells", ["5", "null", "[]", "[5]", "{type: LSTMCell, units: 3}", "x", "[[]]", "{}"]
)
def test_cells_are_a_list_of_cells(run: Run, cells: str) -> None:
    Path("x.yaml").write_text(
        "input_shape: [4, 3]\n"
        f"layers: [{{type: RNN, cell: {{type: StackedRNNCells, cells: {cells}}}}}]\n"
    )
    code, out, err = run("plan", "x.yaml")
    assert (code, out, err.count("\n")) == (2, "", 1)
    if cells in ("[]", "{type: LSTMCell, units: 3}"):
        assert err == (
            "glorot: x.yaml:2:59: layers[0].cell.cells: expected a list of cells, found "
            "one or none\n"
        )
    else:
        assert "layers[0].cell.cells" in err


def claiming(text: str) -> None:
    header = {
        "__metadata__": {"glorot": text},
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    }
    raw = json.dumps(header).encode()
    Path("p.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(8))


SPEC = '"tensors": {"a": {"shape": [2], "initializer": "zeros"}}'


@pytest.mark.parametrize(
    "claim",
    [
        '{"x": NaN}',
        '{"x": -Infinity}',
        '{"x": [1, {"y": 1e999}]}',
        '{"x": ' + "[" * 480 + "]" * 480 + "}",
        '{"x": ' + '{"a": ' * 480 + "1" + "}" * 481,
        '{"x": ' + "1" * 5000 + "}",
        '{"spec": {"seed": 1, "dims": ' + '{"a": ' * 150 + "1" + "}" * 150 + ", " + SPEC + "}}",
        '{"spec": {"layers": '
        + '[{"type": "Sequential", "layers": ' * 60
        + "[]"
        + "}]" * 60
        + "}}",
        '{"spec": {"seed": 1e300, ' + SPEC + "}}",
        '{"spec": {"seed": 1' + "0" * 400 + ", " + SPEC + "}}",
        '{"base": {"only": 5}, "stream": {"name": [], "version": {}}, "spec": {' + SPEC + "}}",
    ],
    ids=lambda claim: claim[:20],
)
def test_a_provenance_of_any_values_is_one_line(run: Run, claim: str) -> None:
    claiming(claim)
    for command in ("inspect", "verify", "plan", "spec"):
        for options in ([], ["--json"]) if command != "spec" else ([],):
            code, out, err = run(command, "p.safetensors", *options)
            assert code in (0, 1, 2)
            assert err.count("\n") <= 1 or command == "spec"
            if options and code != 2:
                json.loads(out, parse_constant=lambda text: pytest.fail(text))


def test_a_claim_with_numbers_that_are_none_is_no_claim(run: Run) -> None:
    claiming('{"x": NaN}')
    code, out, _ = run("inspect", "p.safetensors", "--json")
    assert (code, json.loads(out)["files"][0]["provenance"]) == (0, None)


def test_statistics_hold_the_ends_of_float64() -> None:
    largest = math.nextafter(math.inf, 0.0)
    entry = {"shape": [3, 50], "dtype": "float64"}
    given = {"name": "uniform", "a": -largest, "b": largest}
    plan = glorot.make_plan(
        glorot.load_spec({"seed": 1, "tensors": {"w": {**entry, "initializer": given}}})
    )
    glorot.write_weights(plan, "w.safetensors")
    (tensor,) = glorot.inspect_weights("w.safetensors").tensors
    assert tensor.agrees
    assert tensor.moments is not None
    assert tensor.moments.std == pytest.approx(largest / math.sqrt(3.0), rel=0.1)


def test_a_list_of_any_depth_is_quoted(run: Run) -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert shown(deep) == "[[[[[...]]]]]"
    assert shown([[[[[]]]]]) == "[[[[[]]]]]"
    for _ in range(8):
        deep = [deep] * 10
    assert len(shown(deep)) == 60
    config = {"name": "d", "units": 3, "y": json.loads("[" * 480 + "]" * 480)}
    layers = [{"class_name": "InputLayer", "config": {"batch_shape": [None, 6]}},
              {"class_name": "Dense", "config": config}]  # fmt: skip
    model = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    Path("x.json").write_text(json.dumps(model))
    code, out, err = run("plan", "x.json")
    assert (code, out) == (2, "")
    assert err == ("glorot: x.json: Dense 'd': the argument 'y' = [[[[[...]]]]] is not supported\n")


@pytest.mark.parametrize("levels", [201, 900, 5000])
@pytest.mark.parametrize("key", ["x-note", "tensors", "layers"])
def test_data_of_any_depth_is_refused(key: str, levels: int) -> None:
    deep: Any = 1
    for level in range(levels):
        deep = [deep] if level % 2 else {"a": deep}
    with pytest.raises(glorot.GlorotError, match=r"^expected at most 200 levels of nesting$"):
        glorot.load_spec({"tensors": {}, key: deep})
