"""docs/streams.md against what is drawn: its program, worked example, vectors and table."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mpmath import mp, mpf

import glorot_cli as glorot
from glorot_cli.dtypes import PRECISIONS
from glorot_cli.streams import STREAMS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "streams.md").read_text("utf-8")
TABLE = Path(glorot.__file__).parent / "streams" / "quantile_table.txt"

Values = list[float]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the page's program where nothing but the table is, and return what it defines."""
    folder = tmp_path_factory.mktemp("program")
    shutil.copy(TABLE, folder)
    (text,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert "glorot_cli" not in text
    assert "numpy" not in text
    defined: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(text, "docs/streams.md", "exec"), defined)
    return defined


def drawn(law: object, shape: list[int], dtype: str, name: str = "w", seed: int = 42) -> Values:
    tensor = {"shape": shape, "axes": "IO", "dtype": dtype, "initializer": law}
    plan = glorot.make_plan(glorot.load_spec({"seed": seed, "tensors": {name: tensor}}))
    return [float(value) for value in glorot.draw(plan, name).reshape(-1)]


def table_below(heading: str) -> Iterator[list[str]]:
    """Give the cells of the rows of all tables of a section, headers left out."""
    section = re.split(r"^## ", PAGE.partition(f"\n## {heading}\n")[2], flags=re.MULTILINE)[0]
    for table in re.findall(r"(?:^\|.*\|\n)+", section, re.MULTILINE):
        for row in table.splitlines()[2:]:
            yield [cell.strip().strip("`") for cell in row.strip("|").split("|")]


DTYPES = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
SHAPE = [40, 25]
LAWS: list[tuple[dict[str, Any], Callable[[dict[str, Any], str], Values]]] = [
    *(
        (
            {"name": "uniform", "a": a, "b": b},
            lambda p, dtype, a=a, b=b: p["uniform"](42, "w", 1000, a, b, dtype),
        )
        for a, b in [(-0.25, 0.25), (-0.19127, 0.19127), (-0.1, 0.3), (0.0, 1.0), (-3.0, -1.5)]
    ),
    *(
        (
            {"name": "normal", "mean": mean, "std": std},
            lambda p, dtype, m=mean, s=std: p["normal"](42, "w", 1000, m, s, dtype),
        )
        for mean, std in [(0.0, 0.02), (0.5, 0.1), (-2.0, 3e-3), (0.0, 1.0)]
    ),
    (
        {"name": "truncated_normal", "mean": 0.5, "stddev": 0.1},
        lambda p, dtype: p["normal"](42, "w", 1000, 0.5, 0.1, dtype, (-2.0, 2.0)),
    ),
    *(
        (
            {"name": "trunc_normal", "mean": 0.25, "std": 0.5,
             "a": 0.25 + 0.5 * low, "b": 0.25 + 0.5 * high},
            lambda p, dtype, c=(low, high): p["normal"](42, "w", 1000, 0.25, 0.5, dtype, c),
        )
        for low, high in [(-1.0, 3.0), (0.5, 2.5), (-10.0, 10.0), (-4.0, -1.0)]
    ),
    (
        {"name": "sparse", "sparsity": 0.3, "std": 0.1},
        lambda p, dtype: p["sparse"](42, "w", (40, 25), 12, 0.1, dtype),
    ),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("law", "call"), LAWS, ids=lambda item: str(item) * isinstance(item, dict))
def test_the_program_draws_the_same_bits(
    program: dict[str, Any],
    law: dict[str, Any],
    call: Callable[[dict[str, Any], str], Values],
    dtype: str,
) -> None:
    assert call(program, dtype) == drawn(law, SHAPE, dtype)


def test_the_program_knows_every_dtype(program: dict[str, Any]) -> None:
    assert sorted(program["DTYPES"]) == sorted(PRECISIONS) == sorted(DTYPES)


@pytest.mark.parametrize(("seed", "name"), [(0, "é/kernel"), (2**64 - 1, "h.0.attn")])
def test_the_program_takes_any_seed_and_name(program: dict[str, Any], seed: int, name: str) -> None:
    found = program["uniform"](seed, name, 1000, -0.25, 0.25)
    assert found == drawn({"name": "uniform", "a": -0.25, "b": 0.25}, SHAPE, "float32", name, seed)


@pytest.mark.parametrize("shape", [[12, 5], [5, 12]])
def test_an_orthogonal_kernel_is_what_the_page_says(
    program: dict[str, Any], shape: list[int]
) -> None:
    normals = np.array(program["normal"](42, "w", 60, 0.0, 1.0, "float64")).reshape(12, 5)
    q, r = np.linalg.qr(normals)
    q = q * (2.0 * np.sign(np.diagonal(r)))
    expected = (q if shape == [12, 5] else q.T).reshape(-1)
    found = drawn({"name": "orthogonal", "gain": 2.0}, shape, "float64")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_the_worked_example_is_what_is_drawn(program: dict[str, Any]) -> None:
    rows = list(table_below("Worked example"))
    uniforms, normals = rows[:4], rows[4:]
    shown = re.search(r"od -A n -t d4\n(.*)\n", PAGE)
    assert shown is not None
    words = [int(word) for word in shown[1].split()]
    assert [int(row[1]) for row in uniforms] == words
    assert [float(row[2]) for row in uniforms] == [float(np.float32(word)) for word in words]
    law = {"name": "uniform", "a": -0.25, "b": 0.25}
    assert [float(row[3]) for row in uniforms] == drawn(law, [2, 2], "float32", "embed")
    assert [float(row[2]) * 2.0**-33 for row in uniforms] == [float(row[3]) for row in uniforms]
    law = {"name": "normal", "std": 0.02}
    assert [float(row[5]) for row in normals] == drawn(law, [2, 2], "float32", "embed")
    for (_, j, slope, constant, z, element), word in zip(normals, words, strict=True):
        x = word + 0.5
        assert int(j) == math.floor(x / 65536)
        if slope:
            assert float(slope) * x + float(constant) == float(z)
        assert program["quantile"](x) == float(z)
        assert float(np.float32(float(z) * 0.02)) == float(element)
    assert "t = 9643938.5 has e = 23" in PAGE
    assert 2**31 - (words[3] + 0.5) == 9643938.5 == 2**23 * (1 + (2 + 0.39435291290283203) / 16)
    assert 16 * (23 + 1) + 2 == 386


def test_the_vectors_are_what_is_drawn() -> None:
    rows = list(table_below("Vectors"))
    assert len(rows) > 10
    for law, dtype, elements in rows:
        found = drawn(yaml.safe_load(law), [100, 64], dtype, "dense/kernel")
        assert [float(element) for element in elements.split(",")] == found[:3], law


def test_the_table_has_the_hash_that_the_page_gives() -> None:
    digest = hashlib.sha256(TABLE.read_bytes()).hexdigest()
    assert re.findall(r"`([0-9a-f]{64})`", PAGE) == [digest]


def upper_quantile(q: mpf) -> mpf:
    """Return the z with erfc(z / sqrt(2)) = q."""
    guess = mp.sqrt(-2 * mp.log(q)) - 1
    return mp.findroot(lambda z: mp.log(mp.erfc(z / mp.sqrt(2)) / q), guess, tol=1e-90)


@pytest.mark.parametrize("row", [0, 1, 57, 123, 124, 131, 510, 555])
def test_a_row_of_the_table_follows_from_what_the_page_says_of_it(row: int) -> None:
    with mp.workdps(50):
        degree = 7 if row == 0 else 8 if row < 124 else 5

        def function(s: mpf) -> mpf:
            if row < 124:
                z = mp.sqrt(2) * mp.erfinv((row + s) / 128)
                return z / s if row == 0 else z
            e, k = divmod(row - 124, 16)
            return upper_quantile(mpf(2) ** (e - 1) * (1 + (k + s) / 16) * mpf(2) ** -31)

        nodes = [
            (1 + mp.cos(mp.pi * (2 * n + 1) / (2 * degree + 2))) / 2 for n in range(degree + 1)
        ]
        matrix = mp.matrix([[node**power for power in range(degree + 1)] for node in nodes])
        solved = mp.lu_solve(matrix, mp.matrix([function(node) for node in nodes]))
        coefficients = [float(coefficient) for coefficient in solved]
    stored = [float.fromhex(c) for c in TABLE.read_text("ascii").splitlines()[row].split()]
    assert stored == ([0.0, *coefficients] if row == 0 else coefficients)


def test_the_page_lists_every_stream() -> None:
    listed = re.findall(r"^\| `([\w-]+)`", PAGE.partition("\n## ")[0], re.MULTILINE)
    assert listed == ["rng", *STREAMS]
