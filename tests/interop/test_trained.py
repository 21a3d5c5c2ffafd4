"""Weights that were trained for a few steps are no known start any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

import glorot_cli as glorot

pytestmark = pytest.mark.interop

START = ("glorot_uniform", "he_normal", "orthogonal", "lecun_uniform")


@pytest.mark.parametrize("initializer", START)
def test_a_few_steps_make_a_start_unknown(
    initializer: str, torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = [(64, 200), (200, 150), (150, 10)]
    layers: list[dict[str, Any]] = []
    for a, b in sizes:
        layers += [
            {"type": "Linear", "in_features": a, "out_features": b, "bias": False,
             "initializers": {"weight": initializer}},
            {"type": "Tanh"},
        ]  # fmt: skip
    plan = glorot.make_plan(glorot.load_spec({"seed": 1, "dialect": "torch", "layers": layers}))
    state = {t.name: torch.from_numpy(glorot.draw(plan, t.name)) for t in plan.tensors}
    save(state, "start.safetensors")
    for tensor in glorot.inspect_weights("start.safetensors").tensors:
        assert initializer in [fit.distribution for fit in tensor.fits or ()], tensor.name
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        *(m for a, b in sizes for m in (torch.nn.Linear(a, b, bias=False), torch.nn.Tanh()))
    )
    model.load_state_dict(state)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    x, y = torch.randn(256, 64), torch.randint(0, 10, (256,))
    for _ in range(10):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    save({name: value.detach() for name, value in model.state_dict().items()}, "x.safetensors")
    for tensor in glorot.inspect_weights("x.safetensors").tensors:
        named = {fit.distribution for fit in tensor.fits or ()}
        assert initializer not in named, (tensor.name, tensor.fits)
        if initializer.endswith("uniform"):
            assert named == set(), (tensor.name, tensor.fits)


def save(state: dict[str, Any], path: str) -> None:
    safetensors.numpy.save_file({name: v.numpy().copy() for name, v in state.items()}, path)
