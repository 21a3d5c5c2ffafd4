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


STARTS: Mapping[str, Callable[[Arrays], None]] = {
    "forget_bias": forget_bias,
    "zero_queries": zero_queries,
    "stacked_depth": stacked_depth,
}


@pytest.mark.parametrize("name", STARTS)
def test_a_start_is_its_formula(name: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(f"seed: {SEED}\n{block(name)}", "utf-8")
    plan = glorot.make_plan(glorot.load_spec(path))
    STARTS[name]({tensor.name: glorot.draw(plan, tensor.name) for tensor in plan.tensors})
