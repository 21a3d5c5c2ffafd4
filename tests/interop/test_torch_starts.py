"""torch's modules whose starts need more than a shape: lazy ones, copies, grouped transposes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.streams.singular import power_method
from tests.test_starts import drawn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.interop

LAYER = {"type": "TransformerEncoderLayer", "d_model": 8, "nhead": 2, "dim_feedforward": 16}
DECODER = {**LAYER, "type": "TransformerDecoderLayer"}


def same(spec: dict[str, Any], module: Any) -> None:
    """Check a spec's bits against a module's."""
    found = drawn({"dialect": "torch", "rng": "torch", "seed": 5, **spec})
    state = module.state_dict()
    assert sorted(found) == sorted(state)
    for name, value in state.items():
        np.testing.assert_array_equal(found[name], value.numpy(), name)


def test_copies_are_those_of_a_transformer_encoder() -> None:
    torch.manual_seed(5)
    inner = torch.nn.TransformerEncoderLayer(8, 2, 16)
    # The layer is constructed before the stack that copies it.
    stack = torch.nn.TransformerEncoder(
        inner, 3, norm=torch.nn.LayerNorm(8), enable_nested_tensor=False
    )
    module = torch.nn.Sequential(stack, torch.nn.Linear(8, 2))
    encoder = {
        "type": "TransformerEncoder", "encoder_layer": LAYER, "num_layers": 3, "copies": True,
        "norm": {"type": "LayerNorm", "normalized_shape": 8},
    }  # fmt: skip
    same({"layers": [encoder, {"type": "Linear", "in_features": 8, "out_features": 2}]}, module)


def test_copies_are_those_of_a_transformer_decoder() -> None:
    torch.manual_seed(5)
    inner = torch.nn.TransformerDecoderLayer(8, 2, 16)
    module = torch.nn.Sequential(torch.nn.TransformerDecoder(inner, 2))
    decoder = {
        "type": "TransformerDecoder", "decoder_layer": DECODER, "num_layers": 2, "copies": True,
    }  # fmt: skip
    same({"layers": [decoder]}, module)


def test_a_transformer_copies_what_is_no_matrix() -> None:
    sizes = {"d_model": 8, "nhead": 2, "num_encoder_layers": 3, "num_decoder_layers": 2}
    module = torch.nn.Transformer(**sizes, dim_feedforward=16, batch_first=True)
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    layer = {"type": "Transformer", "name": "t", "dim_feedforward": 16, "copies": True, **sizes}
    found = drawn({"dialect": "torch", "layers": [layer]})
    assert sorted(found) == sorted(f"t.{name}" for name in state)

    def alike(arrays: dict[str, Any], prefix: str) -> set[str]:
        return {
            name
            for name in (key.removeprefix(prefix) for key in arrays)
            if name.startswith("encoder.layers.1.")
            and np.array_equal(
                arrays[prefix + name], arrays[prefix + name.replace("layers.1", "layers.0")]
            )
        }

    assert alike(found, "t.") == alike(state, "")


def test_a_linear_without_in_features_takes_what_flows_in() -> None:
    torch.manual_seed(5)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 7), torch.nn.Linear(7, 2)
    )
    layers = [
        {"type": "Conv2d", "in_channels": 3, "out_channels": 4, "kernel_size": 3},
        {"type": "Flatten"},
        {"type": "Linear", "out_features": 7},
        {"type": "Linear", "out_features": 2},
    ]
    same({"input_shape": [3, 8, 8], "layers": layers}, module)


def test_lazy_modules_have_the_weights_of_torch() -> None:
    module = torch.nn.Sequential(
        torch.nn.LazyConv2d(4, 3, groups=1), torch.nn.LazyBatchNorm2d(),
        torch.nn.LazyConvTranspose2d(6, 2), torch.nn.LazyInstanceNorm2d(),
        torch.nn.Flatten(), torch.nn.LazyLinear(5),
    )  # fmt: skip
    module(torch.zeros(2, 3, 8, 8))
    layers = [
        {"type": "LazyConv2d", "out_channels": 4, "kernel_size": 3}, {"type": "LazyBatchNorm2d"},
        {"type": "LazyConvTranspose2d", "out_channels": 6, "kernel_size": 2},
        {"type": "LazyInstanceNorm2d"}, {"type": "Flatten"},
        {"type": "LazyLinear", "out_features": 5},
    ]  # fmt: skip
    spec = {"dialect": "torch", "input_shape": [3, 8, 8], "seed": 1, "layers": layers}
    plan = glorot.make_plan(glorot.load_spec(spec))
    found = {tensor.name: tensor.shape for tensor in plan.tensors}
    assert found == {name: tuple(value.shape) for name, value in module.state_dict().items()}


def test_an_initializer_fills_a_padding_row_as_in_torch() -> None:
    embedding = {"type": "Embedding", "num_embeddings": 9, "embedding_dim": 4, "padding_idx": 2}
    torch.manual_seed(5)
    same({"layers": [embedding]}, torch.nn.Sequential(torch.nn.Embedding(9, 4, padding_idx=2)))
    torch.manual_seed(5)
    module = torch.nn.Sequential(torch.nn.Embedding(9, 4, padding_idx=2))
    torch.nn.init.normal_(module[0].weight, std=0.02)
    rule = {"*.weight": {"name": "normal", "std": 0.02}}
    same({"layers": [embedding], "initializers": [rule]}, module)


def test_exact_fans_of_a_grouped_transpose_are_those_of_a_group() -> None:
    groups, inputs, outputs = 4, 8, 12
    module = torch.nn.ConvTranspose1d(inputs, outputs, 3, groups=groups, bias=False)
    # Through stride 1 an output is connected to so many inputs, far from the edges.
    with torch.no_grad():
        module.weight.fill_(1.0)
        fan_in = module(torch.ones(1, inputs, 20))[0, 0, 10].item()
    x = torch.ones(1, inputs, 20, requires_grad=True)
    module(x).sum().backward()
    fan_out = x.grad[0, 0, 10].item()
    layer = {
        "type": "ConvTranspose1d", "in_channels": inputs, "out_channels": outputs,
        "kernel_size": 3, "groups": groups, "fans": "exact",
    }  # fmt: skip
    spec = {"dialect": "torch", "seed": 1, "layers": [layer]}
    plan = glorot.make_plan(glorot.load_spec(spec))
    assert plan["0.weight"].fans == (fan_in, fan_out)


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_parts_a_weight_as_torch_does(dim: int | None) -> None:
    torch.manual_seed(5)
    norm = torch.nn.utils.parametrizations.weight_norm
    module = torch.nn.Sequential(
        norm(torch.nn.Conv1d(4, 6, 3), dim=dim), torch.nn.ReLU(), norm(torch.nn.Linear(7, 2))
    )
    layers = [
        {
            "type": "Conv1d", "in_channels": 4, "out_channels": 6, "kernel_size": 3,
            "weight_norm": {"dim": dim},
        },
        {"type": "ReLU"},
        {"type": "Linear", "in_features": 7, "out_features": 2, "weight_norm": True},
    ]  # fmt: skip
    found = drawn({"dialect": "torch", "rng": "torch", "seed": 5, "layers": layers})
    state = module.state_dict()
    assert list(found) == list(state)
    for name, value in state.items():
        assert found[name].shape == tuple(value.shape)
        # torch sums in float32.
        tolerance = 3e-7 if name.endswith("original0") else 0.0
        np.testing.assert_allclose(found[name], value.numpy(), rtol=tolerance)


def test_spectral_norm_has_the_tensors_and_the_iterations_of_torch() -> None:
    norm = torch.nn.utils.parametrizations.spectral_norm
    modules = [
        norm(torch.nn.Conv2d(3, 5, 3), n_power_iterations=3),
        norm(torch.nn.ConvTranspose1d(4, 6, 3)),
        norm(torch.nn.Linear(7, 2, bias=False)),
        norm(torch.nn.LayerNorm(4)),
        norm(torch.nn.Embedding(9, 4)),
    ]
    layers = [
        {"type": "Conv2d", "in_channels": 3, "out_channels": 5, "kernel_size": 3,
         "spectral_norm": {"n_power_iterations": 3}},
        {"type": "ConvTranspose1d", "in_channels": 4, "out_channels": 6, "kernel_size": 3,
         "spectral_norm": True},
        {"type": "Linear", "in_features": 7, "out_features": 2, "bias": False,
         "spectral_norm": True},
        {"type": "LayerNorm", "normalized_shape": 4, "spectral_norm": True},
        {"type": "Embedding", "num_embeddings": 9, "embedding_dim": 4, "spectral_norm": True},
    ]  # fmt: skip
    found = drawn({"dialect": "torch", "seed": 5, "layers": layers})
    module = torch.nn.Sequential(*modules)
    state = module.state_dict()
    assert list(found) == list(state)
    assert {name: value.shape for name, value in found.items()} == {
        name: tuple(value.shape) for name, value in state.items()
    }
    module.load_state_dict({name: torch.from_numpy(value) for name, value in found.items()})
    # From the same start and the same weight both come to the same vectors.
    matrix = torch.from_numpy(found["0.parametrizations.weight.original"]).double()
    start = np.random.default_rng(1).normal(size=27)

    def fill(tensor: Any, mean: float, std: float) -> Any:
        return tensor.copy_(torch.from_numpy(start[: tensor.numel()]))

    conv = torch.nn.Conv2d(3, 5, 3, dtype=torch.float64)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        conv.weight.copy_(matrix)
        patch.setattr(torch.Tensor, "normal_", fill)
        norm(conv, n_power_iterations=3)
    u, v = power_method(matrix.numpy().reshape(5, -1), start, 18)
    np.testing.assert_allclose(u, conv.parametrizations.weight[0]._u.numpy(), rtol=1e-9)
    np.testing.assert_allclose(v, conv.parametrizations.weight[0]._v.numpy(), rtol=1e-9)
