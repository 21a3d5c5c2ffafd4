"""What starts do, as predicted and as torch and Keras measure it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.effect_networks import compared, network

pytestmark = pytest.mark.interop

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def conv(**more: Any) -> dict[str, Any]:
    return {"type": "Conv2D", "filters": 192, "kernel_size": 3, "padding": "same",
            "activation": "relu", "kernel_initializer": "he_normal", **more}  # fmt: skip


NETWORKS: dict[str, dict[str, Any]] = {
    "convolutions and pooling": {"input_shape": [12, 12, 32], "layers": [
        conv(), conv(strides=2), {"type": "MaxPooling2D"}, conv(activation="tanh"),
        {"type": "BatchNormalization"}, {"type": "GlobalAveragePooling2D"},
        {"type": "Dense", "units": 64}]},
    "depthwise": {"input_shape": [10, 10, 256], "layers": [
        conv(), {"type": "DepthwiseConv2D", "kernel_size": 3}, conv(kernel_size=1),
        {"type": "SeparableConv2D", "filters": 256, "kernel_size": 3},
        {"type": "Flatten"}, {"type": "Dropout", "rate": 0.2}, {"type": "Dense", "units": 64}]},
    "attention": {"input_shape": [24, 512], "layers": [
        {"type": "LayerNormalization", "name": "n"},
        {"type": "MultiHeadAttention", "num_heads": 8, "key_dim": 64, "inputs": ["n", "n"],
         "name": "at"},
        {"type": "Add", "inputs": ["input", "at"]}, {"type": "Dense", "units": 512}]},
    "recurrent": {"input_shape": [12, 256], "layers": [
        {"type": "SimpleRNN", "units": 512, "return_sequences": True},
        {"type": "Dense", "units": 64}]},
    "torch": {"dialect": "torch", "input_shape": [3, 12, 12], "layers": [
        {"type": "Conv2d", "in_channels": 3, "out_channels": 256, "kernel_size": 3, "padding": 1},
        {"type": "BatchNorm2d", "num_features": 256}, {"type": "ReLU"},
        {"type": "AvgPool2d", "kernel_size": 2}, {"type": "Flatten"},
        {"type": "Linear", "out_features": 512}, {"type": "GELU"},
        {"type": "Linear", "out_features": 64}]},
    "encoder": {"dialect": "torch", "input_shape": [16, 512], "layers": [
        {"type": "TransformerEncoderLayer", "d_model": 512, "nhead": 8, "dim_feedforward": 1024,
         "norm_first": True},
        {"type": "TransformerEncoderLayer", "d_model": 512, "nhead": 8, "dim_feedforward": 1024,
         "batch_first": True, "activation": "gelu", "dropout": 0.0}]},
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_do_what_is_predicted(name: str) -> None:
    count, off = compared(NETWORKS[name], 7)
    assert count >= 4
    assert off == []


@pytest.mark.parametrize("index", range(8))
def test_random_networks_do_what_is_predicted(index: int) -> None:
    words, spec = network(random.Random(f"small/{index}"))
    if len(spec["layers"]) > 40:
        spec = {**spec, "layers": [*spec["layers"][:36]]}
    count, off = compared(spec, index)
    assert (words, off) == (words, [])
    assert count >= 4


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
