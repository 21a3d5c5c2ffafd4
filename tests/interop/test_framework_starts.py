"""Starts within a tensor, against the framework that they are from."""

from __future__ import annotations

import numpy as np
import pytest

from glorot_cli.spec.source import parse
from tests.test_starts import block, drawn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.interop


def test_norms_are_those_of_weight_norm() -> None:
    spec = parse(block("weight_norm"), "spec.yaml").data
    assert isinstance(spec, dict)
    found = drawn(spec)
    module = torch.nn.Conv1d(16, 32, 3)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(found["conv.weight_v"]))
    module = torch.nn.utils.parametrizations.weight_norm(module)
    state = module.parametrizations.weight
    np.testing.assert_allclose(found["conv.weight_g"], state.original0.detach(), rtol=2e-7)
    np.testing.assert_array_equal(found["conv.weight_v"], state.original1.detach())


def test_a_bias_by_fans_is_that_of_a_linear_layer() -> None:
    torch.manual_seed(3)
    layer = torch.nn.Linear(50, 32)
    tensors = {
        "fc.weight": {
            "shape": [32, 50], "axes": "OI", "fans": "torch",
            "initializer": {"name": "kaiming_uniform", "a": "sqrt(5)"},
        },
        "fc.bias": {"shape": [32], "initializer": "torch_bias"},
    }  # fmt: skip
    found = drawn({"rng": "torch", "seed": 3, "tensors": tensors})
    np.testing.assert_array_equal(found["fc.weight"], layer.weight.detach())
    np.testing.assert_array_equal(found["fc.bias"], layer.bias.detach())
