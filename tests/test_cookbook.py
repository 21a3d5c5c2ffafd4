"""docs/cookbook.md: every block that is not a console session does what the page says of it.

Blocks that need more than Python and coreutils are tested under the `interop` marker: make here,
and the frameworks and compilers in `tests/interop/test_cookbook_frameworks.py` and
`tests/interop/test_engines.py`.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests import pages

# Dozens of processes each: too slow for the plain suite.
pytestmark = pytest.mark.interop

PAGE = (pages.DOCS / "cookbook.md").read_text("utf-8")
BLOCKS = pages.named_blocks("cookbook.md")

START = "glorot init sample_specs/mlp.yaml -o start.safetensors --seed 42 --quiet"
PIN = "sha256sum start.safetensors > start.sha256"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pages.copy_samples(tmp_path)
    return tmp_path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(folder: Path) -> None:
    (folder / "Makefile").write_text(BLOCKS["makefile"], "utf-8")
    pages.ran(BLOCKS["make"], folder)
    weights = folder / "weights"
    assert sorted(path.name for path in weights.iterdir()) == [
        "lenet5.safetensors", "mlp.safetensors",
    ]  # fmt: skip
    first, times = digest(weights / "mlp.safetensors"), _times(weights)
    pages.ran("make", folder)
    assert _times(weights) == times
    pages.ran("touch sample_specs/mlp.yaml; make", folder)
    assert {name for name, time in _times(weights).items() if time != times[name]} == {
        "mlp.safetensors"
    }
    assert digest(weights / "mlp.safetensors") == first
    pages.ran("sed -i.old 's/^SEED := 42$/SEED := 43/' Makefile; make", folder)
    assert digest(weights / "mlp.safetensors") != first
    pages.ran("printf x >> weights/lenet5.safetensors; ! make check", folder)


def _times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def pin_check(folder: Path) -> None:
    assert START in PAGE
    assert PIN in PAGE
    pages.ran(f"{START}; {PIN}", folder)
    pages.ran(BLOCKS["pin-check"], folder)
    other = BLOCKS["pin-check"].replace("--seed 42", "--seed 43")
    assert pages.shell(other, folder).returncode == 1


def workflow(folder: Path) -> None:
    pages.ran(f"{START}; {PIN}; rm start.safetensors", folder)
    for spec in {*(folder / "sample_specs").glob("*.yaml")}:
        if spec.stem not in ("mlp", "gpt2"):
            spec.unlink()  # each takes a process, and other tests plan them all
    (job,) = yaml.safe_load(BLOCKS["workflow"])["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands.pop(0) == "python -m pip install glorot"  # the suite runs what is here
    for command in commands:
        pages.ran(command, folder)
    assert (folder / "start.safetensors").exists()
    # A spec that is not one fails the job.
    (folder / "sample_specs" / "zzz.yaml").write_text("layers: []\n", "utf-8")
    assert pages.shell(commands[0], folder).returncode == 2


def slurm_seeds(folder: Path) -> None:
    for task in ("1", "2"):
        pages.ran(BLOCKS["slurm-seeds"], folder, {"SLURM_ARRAY_TASK_ID": task})
    files = [folder / "runs" / f"seed-{seed}.safetensors" for seed in (1, 2)]
    assert len({digest(file) for file in files}) == 2
    pages.ran("glorot verify runs/seed-2.safetensors sample_specs/mlp.yaml --seed 2", folder)


def fixture(folder: Path) -> None:
    (folder / "test_weights.py").write_text(BLOCKS["fixture"], "utf-8")
    assert "1 passed" in pages.ran("python -m pytest -q test_weights.py", folder)


def two_formats(folder: Path) -> None:
    pages.ran(BLOCKS["two-formats"], folder)
    (folder / "to_torch.py").write_text(BLOCKS["to-torch"], "utf-8")
    pages.ran(f"{sys.executable} to_torch.py", folder)
    found = pages.ran(BLOCKS["diff-torch"], folder)
    assert found == "start-torch.safetensors: the same as start.weights.h5: 4 equal\n"
    # The other orders of axes, by convolutions of one to three dimensions.
    spec = """
    seed: 42
    layers:
      - {type: Conv1D, input_shape: [9, 3], filters: 4, kernel_size: 2}
      - {type: Conv2D, input_shape: [9, 9, 3], filters: 4, kernel_size: 2}
      - {type: Conv3D, input_shape: [9, 9, 9, 3], filters: 4, kernel_size: 2}
    """
    (folder / "conv.yaml").write_text(spec, "utf-8")
    pages.ran("glorot init conv.yaml -o start.safetensors --force --quiet", folder)
    pages.ran(f"{sys.executable} to_torch.py", folder)
    maps = {"conv1d": "(2,1,0)", "conv2d": "(2,3,1,0)", "conv3d": "(2,3,4,1,0)"}
    options = " ".join(f"--map '{n}.weight={n}/kernel:{axes}'" for n, axes in maps.items())
    pages.ran(
        f"glorot diff start-torch.safetensors start.safetensors {options} --map '*.bias=*/bias'",
        folder,
    )


RUNS: dict[str, Callable[[Path], None]] = {
    "makefile": make,
    "make": make,
    "pin-check": pin_check,
    "workflow": workflow,
    "slurm-seeds": slurm_seeds,
    "fixture": fixture,
    "two-formats": two_formats,
    "to-torch": two_formats,
    "diff-torch": two_formats,
}
NEEDS_MORE = {make}


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(run, id=name, marks=[pytest.mark.interop] if run in NEEDS_MORE else [])
        for name, run in {run.__name__: run for run in RUNS.values()}.items()
    ],
)
def test_a_block_does_what_the_page_says(folder: Path, run: Callable[[Path], None]) -> None:
    run(folder)


def test_the_page_names_no_host() -> None:
    assert not re.search(r"https?://", PAGE)
