"""What --batch measures, against torch's autograd and Keras's forward pass on the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.gains.chain import make_chain
from glorot_cli.gains.layers import push

pytestmark = pytest.mark.interop

CASES: dict[str, tuple[list[int], list[dict[str, Any]]]] = {
    "linear": ([20], [
        {"type": "Linear", "in_features": 20, "out_features": 30},
        {"type": "Tanh"},
        {"type": "Linear", "in_features": 30, "out_features": 25, "bias": False},
        {"type": "GELU"},
        {"type": "Dropout", "p": 0.0},
        {"type": "Linear", "in_features": 25, "out_features": 8},
        {"type": "Softmax", "dim": -1},
    ]),
    "convolutions": ([4, 13, 12], [
        {"type": "Conv2d", "in_channels": 4, "out_channels": 6, "kernel_size": 3, "padding": 1,
         "groups": 2},
        {"type": "ReLU"},
        {"type": "MaxPool2d", "kernel_size": 2},
        {"type": "Conv2d", "in_channels": 6, "out_channels": 8, "kernel_size": [3, 2],
         "stride": [2, 1], "dilation": [1, 2]},
        {"type": "LeakyReLU", "negative_slope": 0.1},
        {"type": "AvgPool2d", "kernel_size": 2, "stride": 1},
        {"type": "Flatten"},
        {"type": "Linear", "in_features": 24, "out_features": 5},
    ]),
    "one axis": ([3, 40], [
        {"type": "Conv1d", "in_channels": 3, "out_channels": 6, "kernel_size": 5,
         "padding": "same"},
        {"type": "SiLU"},
        {"type": "MaxPool1d", "kernel_size": 3, "stride": 2, "padding": 1},
        {"type": "Sequential", "layers": [
            {"type": "Conv1d", "in_channels": 6, "out_channels": 4, "kernel_size": 3},
            {"type": "ELU", "alpha": 0.7},
        ]},
        {"type": "AdaptiveAvgPool1d", "output_size": 1},
        {"type": "Flatten"},
        {"type": "Linear", "in_features": 4, "out_features": 3},
        {"type": "Softplus"},
    ]),
    "three axes": ([2, 6, 7, 8], [
        {"type": "Conv3d", "in_channels": 2, "out_channels": 3, "kernel_size": [2, 3, 3],
         "padding": [0, 1, 1]},
        {"type": "SELU"},
        {"type": "AdaptiveMaxPool3d", "output_size": 1},
        {"type": "Flatten"},
        {"type": "Linear", "in_features": 3, "out_features": 4},
        {"type": "Softsign"},
        {"type": "Linear", "in_features": 4, "out_features": 4},
        {"type": "Sigmoid"},
        {"type": "Linear", "in_features": 4, "out_features": 4},
        {"type": "ReLU6"},
    ]),
}  # fmt: skip


def module(torch: Any, layer: dict[str, Any]) -> Any:
    arguments = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in layer.items()
        if key != "type"
    }
    if layer["type"] == "Sequential":
        return torch.nn.Sequential(*(module(torch, inner) for inner in layer["layers"]))
    return getattr(torch.nn, layer["type"])(**arguments)


@pytest.mark.parametrize("name", CASES)
def test_spreads_agree_with_autograd(name: str, torch: Any) -> None:
    shape, layers = CASES[name]
    spec = {"seed": 3, "dialect": "torch", "input_shape": shape, "layers": layers}
    plan = glorot.make_plan(glorot.load_spec(spec))
    model = torch.nn.Sequential(*(module(torch, layer) for layer in layers))
    model.load_state_dict(
        {tensor.name: torch.from_numpy(glorot.draw(plan, tensor.name)) for tensor in plan.tensors}
    )
    chain = make_chain(plan)
    x = chain.batch(16, seed=1)
    outputs: dict[str, Any] = {}
    flat = [(path, each) for path, each in model.named_modules() if not list(each.children())]
    for path, each in flat:

        def keep(_: Any, __: Any, output: Any, path: str = path) -> None:
            output.retain_grad()
            outputs[path] = output

        each.register_forward_hook(keep)
    y = model(torch.from_numpy(x))
    dy = np.random.default_rng(5).standard_normal(tuple(y.shape), np.float32)
    y.backward(torch.from_numpy(dy))
    found = push(chain.steps, x, dy)
    weighted = [path for path, each in flat if list(each.parameters())]
    assert [spread.layer for spread in found] == weighted
    paths = [path for path, _ in flat]
    acting = (torch.nn.MaxPool1d, torch.nn.MaxPool2d, torch.nn.Flatten, torch.nn.AvgPool2d,
              torch.nn.AdaptiveAvgPool1d, torch.nn.AdaptiveMaxPool3d)  # fmt: skip
    for spread in found:
        place = paths.index(spread.layer)
        after = place + 1 < len(flat) and not isinstance(flat[place + 1][1], acting)
        gradient = outputs[spread.layer].grad
        assert gradient is not None
        activation = outputs[paths[place + 1] if after else spread.layer]
        expected = float(activation.detach().double().std(correction=0))
        assert spread.activation == pytest.approx(expected, rel=1e-4)
        expected = float(gradient.double().std(correction=0))
        assert spread.gradient == pytest.approx(expected, rel=1e-4)


KERAS: list[dict[str, Any]] = [
    {"type": "Conv2D", "filters": 6, "kernel_size": 3, "strides": 2, "padding": "same",
     "activation": "relu"},
    {"type": "Conv2D", "filters": 8, "kernel_size": [2, 3], "groups": 2, "activation": "elu"},
    {"type": "MaxPooling2D", "pool_size": 2, "padding": "same"},
    {"type": "Conv2D", "filters": 4, "kernel_size": 2, "dilation_rate": 2, "padding": "same",
     "activation": "leaky_relu"},
    {"type": "GlobalAveragePooling2D"},
    {"type": "Dense", "units": 9, "activation": "gelu"},
    {"type": "Reshape", "target_shape": [3, 3]},
    {"type": "Conv1D", "filters": 5, "kernel_size": 2, "padding": "causal", "activation": "selu"},
    {"type": "Flatten"},
    {"type": "Dense", "units": 7, "activation": "swish"},
    {"type": "LeakyReLU"},
    {"type": "Dense", "units": 6, "activation": "softmax"},
]  # fmt: skip


def test_spreads_agree_with_keras(keras: Any) -> None:
    spec = {"seed": 4, "input_shape": [15, 14, 4], "layers": KERAS}
    plan = glorot.make_plan(glorot.load_spec(spec))
    layers = [
        getattr(keras.layers, layer["type"])(
            **{
                key: tuple(value) if isinstance(value, list) else value
                for key, value in layer.items()
                if key != "type"
            }
        )
        for layer in KERAS
    ]
    model = keras.Sequential([keras.Input((15, 14, 4)), *layers])
    model.set_weights([glorot.draw(plan, tensor.name) for tensor in plan.tensors])
    chain = make_chain(plan)
    x = chain.batch(32, seed=1)
    found = iter(push(chain.steps, x))
    y: Any = x
    for layer, after in zip(layers, [*layers[1:], None], strict=True):
        y = layer(y)
        if layer.weights:
            shown = after(y) if isinstance(after, keras.layers.LeakyReLU) else y
            expected = float(np.std(keras.ops.convert_to_numpy(shown), dtype=np.float64))
            assert next(found).activation == pytest.approx(expected, rel=1e-4)
    assert next(found, None) is None
