"""Singular values of a file's matrices, against NumPy's and against those of random ones."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.checks import spectra
from glorot_cli.checks.spectra import matrix_shape, spectrum_of

Planned = Callable[..., glorot.Plan]
Run = Callable[..., tuple[int, str, str]]

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_singular_values_by_hand() -> None:
    found = spectrum_of(np.diag([3.0, 1.0, 0.0]))
    assert (found.largest, found.smallest) == pytest.approx((3.0, 0.0))
    # Of shares 3/4 and 1/4.
    assert found.effective_rank == pytest.approx(math.exp(-0.75 * math.log(0.75) + math.log(4) / 4))
    assert found.deviation == pytest.approx(1.0)
    assert spectrum_of(np.zeros((2, 3))).deviation is None
    assert spectrum_of(np.zeros((2, 3))).effective_rank == 0.0


def test_a_random_matrix_fills_the_range_of_marchenko_and_pastur() -> None:
    found = spectrum_of(RNG.normal(size=(300, 900)) * 0.1)
    low, high = found.expected
    assert (low, high) == pytest.approx((3.0 - math.sqrt(3.0), 3.0 + math.sqrt(3.0)), rel=0.02)
    assert found.smallest == pytest.approx(low, rel=0.05)
    assert found.largest == pytest.approx(high, rel=0.05)


def test_a_large_matrix_has_its_largest_value_only(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = RNG.normal(size=(120, 150))
    matrix += 5.0 * np.outer(RNG.normal(size=120), RNG.normal(size=150))
    exact = spectrum_of(matrix)
    monkeypatch.setattr(spectra, "LARGEST_SIDE", 100)
    found = spectrum_of(matrix)
    assert found.largest == pytest.approx(exact.largest, rel=1e-6)
    assert (found.smallest, found.effective_rank, found.deviation) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "shape", "first", "expected"),
    [
        ("dense/kernel", (3, 5, 7), True, (15, 7)),
        ("conv.weight", (8, 3, 5), False, (8, 15)),
        ("w", (4, 6), True, (4, 6)),
        ("w", (2, 4, 6), False, (8, 6)),
        ("conv/kernel:0", (3, 5, 7), True, (15, 7)),
        ("bias", (4,), True, None),
        ("empty", (0, 4), True, None),
    ],
)
def test_outputs_stand_against_the_rest(
    name: str, shape: tuple[int, ...], first: bool, expected: tuple[int, int] | None
) -> None:
    assert matrix_shape(name, shape, outputs_first=first) == expected


@pytest.mark.parametrize("path", ["w.safetensors", "w.h5", "w.weights.h5"])
def test_inspect_takes_spectra_in_every_format(path: str, run: Run, planned: Planned) -> None:
    layers = [
        {"type": "Conv2D", "filters": 8, "kernel_size": 3, "name": "conv"},
        {"type": "Flatten"},
        {"type": "Dense", "units": 5, "name": "out", "kernel_initializer": "orthogonal"},
    ]
    plan = planned(input_shape=[4, 4, 2], layers=layers)
    glorot.write_weights(plan, path)
    code, out, _ = run("inspect", path, "--spectrum", "--json")
    assert code == 0
    found = {each["name"]: each["spectrum"] for each in json.loads(out)["files"][0]["tensors"]}
    values = np.linalg.svd(glorot.draw(plan, "conv/kernel").reshape(18, 8).astype("f8"))[1]
    assert found["conv/bias"] is None
    assert found["conv/kernel"]["largest"] == pytest.approx(values[0], rel=1e-12)
    assert found["conv/kernel"]["smallest"] == pytest.approx(values[-1], rel=1e-9)
    assert found["out/kernel"]["deviation"] < 1e-6
    assert found["out/kernel"]["effective_rank"] == pytest.approx(5.0)
    assert code == 0
    _, out, _ = run("inspect", path, "--spectrum")
    assert "largest s  smallest s  expected s" in out
    assert run("inspect", path, "--spectrum", "--headers") == (
        2, "", "glorot: --spectrum reads the elements, --headers does not: leave one of them out\n"
    )  # fmt: skip
