"""Old files of each framework, started afresh, spread as the framework's own fresh models.

`python -m tests.interop.test_afresh` prints the table: of each model the loss after ten steps, and
the least and the largest ratio of a layer's spread to that of the framework's own fresh model.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from glorot_cli.cli import main
from tests.interop import afresh_models as models

pytestmark = pytest.mark.interop
# What spreads less than this is nothing.
LEAST = 1e-6


class Outcome(NamedTuple):
    """Hold a model's loss after ten steps, and the range of its layers' ratios of spreads."""

    loss: float
    least: float
    largest: float


def outcome(trial: models.Trial, folder: Path) -> Outcome:
    ending = "" if trial.path.is_dir() else "".join(trial.path.suffixes)
    new = folder / f"new{ending}"
    assert main(["init", str(trial.path), "-o", str(new), "--seed", "7", "--quiet"]) == 0
    fresh = trial.fresh()
    spreads, loss = trial.started(new)
    assert spreads.keys() == fresh.keys()
    ratios = [
        spreads[name] / value if value > LEAST else 1.0 + spreads[name]
        for name, value in fresh.items()
    ]
    return Outcome(loss, min(ratios), max(ratios))


Make = Callable[[Path], models.Trial]


def trials() -> dict[tuple[str, str], Make]:
    """Return what makes each model's trial, by its framework and name."""
    found: dict[tuple[str, str], Make] = {}
    for kind in models.TRANSFORMERS:
        found["transformers", kind] = partial(models.transformers_trial, kind)
    for name, build in models.torch_models().items():
        found["torch", name] = partial(models.torch_trial, build)
    for name, build in models.keras_models().items():
        found["keras", name] = partial(models.keras_trial, build)
    for name, model in models.jax_models().items():
        found["jax", name] = partial(models.jax_trial, model)
    return found


def check(framework: str, folder: Path) -> None:
    checked = 0
    for (kind, name), make in trials().items():
        if kind == framework:
            inner = folder / name
            inner.mkdir()
            result = outcome(make(inner), inner)
            assert math.isfinite(result.loss), name
            assert 0.5 <= result.least <= result.largest <= 2.0, (name, result)
            checked += 1
    assert checked == 12


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("framework", ["keras", "torch", "jax", "transformers"])
def test_files_started_afresh_train_as_fresh_models(framework: str, tmp_path: Path) -> None:
    check(framework, tmp_path)


if __name__ == "__main__":
    print(f"{'framework':<13} {'model':<14} {'loss':>6}  ratio of spreads")
    with tempfile.TemporaryDirectory() as folder:
        for (framework, name), make in trials().items():
            inner = Path(folder) / framework / name
            inner.mkdir(parents=True)
            loss, least, largest = outcome(make(inner), inner)
            print(f"{framework:<13} {name:<14} {loss:6.3f}  {least:.2f} to {largest:.2f}")
