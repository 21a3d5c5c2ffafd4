"""What starts do, as predicted and as torch and Keras measure it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.effect_cases import NETWORKS

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def test_networks_do_what_is_predicted() -> None:
    # In a process of its own: Keras has another backend here.
    command = [sys.executable, "-m", "tests.interop.effect_networks", "4", "0", "--small"]
    environment = {name: text for name, text in os.environ.items() if name != "KERAS_BACKEND"}
    found = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.endswith(f"{4 + len(NETWORKS)} of {4 + len(NETWORKS)} networks as "
                                 "predicted at every layer\n")  # fmt: skip


def test_a_module_of_the_users_own(run: Run) -> None:
    Path("mine.py").write_text(
        "import torch\n"
        "def build():\n"
        "    return torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(),\n"
        "                               torch.nn.Linear(512, 128))\n"
        "def pair():\n"
        "    return build(), torch.ones(4, 256)\n"
    )
    he = {"name": "kaiming_normal"}
    tensors = {
        f"{index}.weight": {"shape": shape, "axes": "OI", "initializer": he}
        for index, shape in ((0, [512, 256]), (2, [128, 512]))
    }
    biases = {f"{i}.bias": {"shape": [n], "initializer": "zeros"} for i, n in ((0, 512), (2, 128))}
    Path("spec.json").write_text(json.dumps({"seed": 1, "tensors": {**tensors, **biases}}))
    flags = ["--compare", "glorot_normal", "--batch", "64", "--seeds", "2", "--json"]
    code, out, err = run("plan", "spec.json", *flags, "--model", "mine:pair")
    assert (code, err) == (0, "")
    first, last = json.loads(out)["comparison"]["layers"]
    assert (first["name"], last["name"]) == ("0", "2")
    assert first["activation_std"][0] == pytest.approx(2**0.5, rel=0.1)
    assert last["activation_std"][0] == pytest.approx(2**0.5, rel=0.15)
    assert first["activation_std"][1] == pytest.approx((2 * 256 / 768) ** 0.5, rel=0.1)
    for model, message in (
        ("mine:build", "--model: the spec has no input_shape; return a module and the inputs"),
        ("mine:none", "--model: module 'mine' has no attribute 'none'"),
        ("absent:build", "--model: No module named 'absent'"),
        ("mine", "--model: expected MODULE:CALLABLE, found 'mine'"),
    ):
        code, out, err = run("plan", "spec.json", "--batch", "8", "--model", model)
        assert (code, out) == (2, "")
        assert err.startswith(f"glorot: {message}")
