"""Starts that vary within a tensor, of docs/recipes.md, against their formulas in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = Mapping[str, Array]
RECIPES = Path(__file__).parent.parent / "docs" / "recipes.md"
SEED = 3


def block(name: str) -> str:
    """Return a recipe's spec."""
    return RECIPES.read_text("utf-8").partition(f"<!-- recipe: {name} -->\n```yaml\n")[2].partition(
        "```\n"
    )[0]  # fmt: skip


def drawn(spec: Mapping[str, Any]) -> dict[str, Array]:
    """Draw all tensors of a spec."""
    plan = glorot.make_plan(glorot.load_spec({"seed": SEED, **spec}))
    return {tensor.name: glorot.draw(plan, tensor.name) for tensor in plan.tensors}


def alone(name: str, shape: tuple[int, ...], initializer: Any, **more: Any) -> Array:
    """Draw a tensor of one kernel."""
    entry = {"shape": list(shape), "initializer": initializer, **more}
    return drawn({"tensors": {name: entry}})[name]


def is_orthogonal(kernel: Array, gain: float = 1.0) -> bool:
    matrix = kernel if kernel.shape[0] <= kernel.shape[1] else kernel.T
    return np.allclose(matrix @ matrix.T, gain**2 * np.eye(len(matrix)), atol=1e-5 * gain**2)


def forget_bias(found: Arrays) -> None:
    assert found["lstm.bias_ih_l0"].tolist() == [0.0] * 32 + [1.0] * 32 + [0.0] * 64
    gates = found["lstm.weight_hh_l0"].reshape(4, 32, 32)
    assert all(map(is_orthogonal, gates))
    assert len({gate.tobytes() for gate in gates}) == 4


def zero_queries(found: Arrays) -> None:
    q, k, v = found["attn.in_proj_weight"].reshape(3, 64, 64)
    name = "attn.in_proj_weight"
    # Each element has the word of its place, as if the whole tensor had one distribution.
    normals = alone(name, (192, 64), {"name": "normal", "std": 0.125}, axes="OI")
    limit = np.sqrt(6 / 128)
    uniform = alone(name, (192, 64), {"name": "uniform", "a": -limit, "b": limit}, axes="OI")
    assert not q.any()
    np.testing.assert_array_equal(k, normals[64:128])
    np.testing.assert_allclose(v, uniform[128:], rtol=1e-6)


def stacked_depth(found: Arrays) -> None:
    standard = alone("mlp.out", (6, 128, 32), "normal", axes="BIO", dtype="float32")
    std = 0.02 / np.sqrt(2.0 * (np.arange(6) + 1.0))
    expected = std[:, None, None] * standard.astype(np.float64)
    np.testing.assert_allclose(found["mlp.out"], expected, rtol=2e-7)
    assert all(map(is_orthogonal, found["mlp.gate"]))


def mamba(found: Arrays) -> None:
    expected = np.tile(np.log(np.arange(1.0, 17.0)), (64, 1)).astype(np.float32)
    np.testing.assert_array_equal(found["mixer.A_log"], expected)
    # Softplus gives the step sizes back, whose logarithm is an affine function of the words.
    steps = np.log(np.log1p(np.exp(found["mixer.dt_proj.bias"].astype(np.float64))))
    low, high = np.log(0.001), np.log(0.1)
    name = "mixer.dt_proj.bias"
    uniform = alone(name, (64,), {"name": "uniform", "a": -1, "b": 1}, dtype="float32")
    expected = (low + high) / 2 + uniform * (high - low) / 2
    np.testing.assert_allclose(steps, expected, rtol=1e-6)


def hippo(found: Arrays) -> None:
    root = np.sqrt(2.0 * np.arange(64) + 1.0)
    expected = -np.tril(root[:, None] * root, -1) - np.diag(np.arange(64) + 1.0)
    np.testing.assert_allclose(found["A"], expected, rtol=1e-7)
    np.testing.assert_allclose(found["B"], root, rtol=1e-7)


def rotary(found: Arrays) -> None:
    expected = 1.0 / 10000.0 ** (np.arange(0, 64, 2) / 64)
    np.testing.assert_allclose(found["rotary.inv_freq"], expected, rtol=1e-7)


def rwkv_ramp(found: Arrays) -> None:
    for layer in range(4):
        expected = -5 + 8 * (np.arange(64) / 63) ** (0.7 + 1.3 * layer / 3)
        np.testing.assert_allclose(found[f"blocks.{layer}.att.time_decay"], expected, rtol=1e-6)


def sinusoids(found: Arrays) -> None:
    position = np.arange(128.0)[:, None]
    angles = position / 10000.0 ** (2 * np.arange(16) / 32)
    paper = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(128, 32)
    np.testing.assert_allclose(found["paper"], paper, atol=1e-7)
    angles = position * np.exp(np.arange(16) * -(np.log(10000.0) / 15))
    halves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    np.testing.assert_allclose(found["tensor2tensor"][0], halves, atol=1e-7)
    halves[1] = 0.0
    np.testing.assert_allclose(found["fairseq"], halves, atol=1e-7)


def fixed_list(found: Arrays) -> None:
    assert found["sobel"].tolist() == [[[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]]]
    assert found["position_ids"].dtype == np.int64
    assert found["position_ids"].tolist() == [list(range(512))]


def bias_by_fans(found: Arrays) -> None:
    for name, count, fan_in in (("fc.bias", 32, 50), ("head.bias", 10, 32)):
        bound = 1 / np.sqrt(fan_in)
        expected = alone(name, (count,), {"name": "uniform", "a": -bound, "b": bound})
        np.testing.assert_allclose(found[name], expected, rtol=1e-6)


def weight_norm(found: Arrays) -> None:
    v = found["conv.weight_v"].astype(np.float64)
    expected = np.sqrt((v * v).sum(axis=(1, 2), keepdims=True)).astype(np.float32)
    np.testing.assert_array_equal(found["conv.weight_g"], expected)
    assert np.abs(found["conv.bias"]).max() <= 1 / np.sqrt(48)


STARTS: Mapping[str, Callable[[Arrays], None]] = {
    "forget_bias": forget_bias,
    "zero_queries": zero_queries,
    "stacked_depth": stacked_depth,
    "mamba": mamba,
    "hippo": hippo,
    "rotary": rotary,
    "rwkv_ramp": rwkv_ramp,
    "sinusoids": sinusoids,
    "fixed_list": fixed_list,
    "bias_by_fans": bias_by_fans,
    "weight_norm": weight_norm,
}


@pytest.mark.parametrize("name", STARTS)
def test_a_start_is_its_formula(name: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(f"seed: {SEED}\n{block(name)}", "utf-8")
    plan = glorot.make_plan(glorot.load_spec(path))
    STARTS[name]({tensor.name: glorot.draw(plan, tensor.name) for tensor in plan.tensors})
