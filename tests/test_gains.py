"""Initialisers side by side, and batches pushed through a network, by hand-made examples."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.gains.chain import make_chain
from glorot_cli.gains.comparison import compare
from glorot_cli.gains.layers import (
    FUNCTIONS,
    Activation,
    Convolution,
    Dense,
    Pooling,
    Reshape,
    Step,
    Window,
    push,
)

Array = np.ndarray[Any, np.dtype[Any]]
Planned = Callable[..., glorot.Plan]
Run = Callable[..., tuple[int, str, str]]

RNG = np.random.default_rng(2)
MLP: dict[str, Any] = {
    "input_shape": [100],
    "layers": [
        {"type": "Dense", "units": 64, "activation": "relu"},
        {"type": "Dense", "units": 10},
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.json").write_text(json.dumps({"seed": 42, **MLP}))


# The gradients of every step, against differences


def window(first: bool = False, **changes: Any) -> Window:
    usual: dict[str, Any] = {
        "size": (3, 2), "strides": (2, 1), "rates": (1, 2), "margins": ((1, 0), (1, 2))
    }  # fmt: skip
    return Window(**{**usual, **changes}, first=first)


STEPS: dict[str, tuple[tuple[int, ...], Callable[[], Step]]] = {
    "dense": ((7,), lambda: Dense("d", RNG.normal(size=(7, 4)), RNG.normal(size=4))),
    "dense on a sequence": ((5, 7), lambda: Dense("d", RNG.normal(size=(7, 4)), None)),
    "convolution": ((6, 8, 4), lambda: Convolution("c", window(), RNG.normal(size=(3, 2, 4, 5)),
                                                   RNG.normal(size=5))),
    "groups": ((6, 8, 4), lambda: Convolution("c", window(), RNG.normal(size=(3, 2, 2, 6)), None,
                                              groups=2)),
    "channels first": ((4, 6, 8), lambda: Convolution("c", window(True),
                                                      RNG.normal(size=(3, 2, 4, 5)), None)),
    "largest": ((6, 8, 4), lambda: Pooling(window(), True)),
    "mean": ((4, 6, 8), lambda: Pooling(window(True), False)),
    "reshape": ((6, 8), lambda: Reshape((4, 12))),
    **{name: ((9,), lambda name=name: Activation(name, 0.3))  # type: ignore[misc]
       for name in FUNCTIONS},
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_gradients_are_those_of_small_differences(name: str) -> None:
    shape, make = STEPS[name]
    step = make()
    x = RNG.normal(size=(2, *shape))
    y = step.forward(x)
    dy = np.asarray(RNG.normal(size=y.shape))
    dx = step.backward(dy)
    assert dx.shape == x.shape
    for _ in range(12):
        place = tuple(int(RNG.integers(n)) for n in x.shape)
        near = []
        for change in (1e-6, -1e-6):
            moved = x.copy()
            moved[place] += change
            near.append(float(np.sum(step.forward(moved) * dy)))
        assert dx[place] == pytest.approx((near[0] - near[1]) / 2e-6, abs=1e-5)


def test_a_convolution_by_hand() -> None:
    kernel = np.arange(4.0).reshape(2, 2, 1, 1)
    step = Convolution("c", Window((2, 2), (1, 1), (1, 1), ((0, 0), (0, 0))), kernel, None)
    x = np.arange(9.0).reshape(1, 3, 3, 1)
    assert step.forward(x)[0, :, :, 0].tolist() == [[19.0, 25.0], [37.0, 43.0]]


def test_spreads_stand_behind_the_activation_and_before_it() -> None:
    kernel = np.eye(3) * 2.0
    steps: list[Step] = [Dense("a", kernel, None), Activation("relu"), Dense("b", kernel, None)]
    x = np.array([[1.0, -1.0, 3.0]])
    dy = np.array([[1.0, 2.0, 3.0]])
    (a, b) = push(steps, x, dy)
    assert a.activation == float(np.std([2.0, 0.0, 6.0]))
    assert b.activation == float(np.std([4.0, 0.0, 12.0]))
    assert b.gradient == float(np.std([1.0, 2.0, 3.0]))
    assert a.gradient == float(np.std([2.0, 0.0, 6.0]))


# Side by side


def test_limits_and_gains_side_by_side(planned: Planned) -> None:
    found = compare(planned(**MLP), ["he_uniform", "lecun_normal", "orthogonal"])
    assert found.names == ["spec", "he_uniform", "lecun_normal", "orthogonal"]
    first, second = found.rows
    assert first.tensor.name == "dense/kernel"
    own, he, lecun, orthogonal = first.columns
    assert own.initializer == "glorot_uniform"
    assert he.distribution == planned(
        input_shape=[100],
        layers=[{"type": "Dense", "units": 64, "kernel_initializer": "he_uniform"}],
    )["dense/kernel"].distribution  # fmt: skip
    assert own.forward == pytest.approx(2 * 100 / 164)
    assert own.backward == pytest.approx(2 * 64 / 164)
    assert (he.forward, lecun.forward) == pytest.approx((2.0, 1.0))
    assert (he.backward, orthogonal.forward) == pytest.approx((2 * 0.64, 1.0))
    assert second.columns[1].forward_product == pytest.approx(4.0)
    assert first.columns[1].backward_product == pytest.approx(1.28 * 20 / 64)
    assert second.columns[1].backward_product == pytest.approx(20 / 64)


def test_fans_of_packed_and_attention_kernels_are_the_plans(planned: Planned) -> None:
    layer = {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 4}
    spec = {"inputs": {"a": [5, 8]}, "layers": [{**layer, "inputs": ["a", "a"]}]}
    plan = planned(**spec)
    found = compare(plan, ["glorot_uniform"])
    for row in found.rows:
        assert row.columns[0].distribution == row.columns[1].distribution


def test_the_tables(run: Run) -> None:
    code, out, err = run("plan", "spec.json", "--compare", "he_uniform,lecun_normal")
    assert (code, err) == (0, "")
    assert out == (
        "limit or stddev\n"
        "name            shape        spec  he_uniform  lecun_normal\n"
        "dense/kernel    (100, 64)  0.1913      0.2449        0.1137\n"
        "dense_1/kernel  (64, 10)   0.2847      0.3062        0.1421\n"
        "\n"
        "forward gain, fan_in x variance (and its product from the first kernel on)\n"
        "name            shape              spec  he_uniform  lecun_normal\n"
        "dense/kernel    (100, 64)   1.22 (1.22)       2 (2)         1 (1)\n"
        "dense_1/kernel  (64, 10)   1.73 (2.109)       2 (4)         1 (1)\n"
        "\n"
        "backward gain, fan_out x variance (and its product from the last kernel back)\n"
        "name            shape                 spec       he_uniform     lecun_normal\n"
        "dense/kernel    (100, 64)  0.7805 (0.2109)       1.28 (0.4)       0.64 (0.1)\n"
        "dense_1/kernel  (64, 10)   0.2703 (0.2703)  0.3125 (0.3125)  0.1562 (0.1562)\n"
        "\n"
    )
    assert run("plan", "spec.json", "--compare", "he_uniform", "--quiet") == (0, "", "")


def test_the_measured_tables(run: Run) -> None:
    code, out, err = run("plan", "spec.json", "--batch", "8")
    assert (code, err) == (0, "")
    tables = out.partition("std of activations, of a random batch of 8\n")[2].split("\n\n")
    assert [line.split()[0] for line in tables[0].splitlines()] == ["layer", "dense", "dense_1"]
    assert tables[1].startswith("std of gradients, of a random batch of 8\nlayer  ")


def test_a_batch_keeps_its_scale_under_he_and_loses_it_under_a_small_stddev(run: Run) -> None:
    deep = {
        "input_shape": [200],
        "layers": [{"type": "Dense", "units": 200, "activation": "relu", "repeat": {"i": 12}}],
    }
    Path("deep.json").write_text(json.dumps({"seed": 1, **deep}))
    code, out, err = run(
        "plan", "deep.json", "--compare", "he_normal,random_normal", "--batch", "64", "--json"
    )
    assert (code, err) == (0, "")
    comparison = json.loads(out)["comparison"]
    assert comparison["initializers"] == ["spec", "he_normal", "random_normal"]
    assert comparison["batch"] == 64
    assert comparison["kernels"][0]["laws"][1]["initializer"] == "he_normal"
    assert len(comparison["kernels"][0]["laws"]) == 3
    last = comparison["layers"][-1]
    own, he, small = last["activation_std"]
    assert 0.2 < he < 2.0
    assert own < he / 20
    assert small < he / 20
    first = comparison["layers"][0]
    assert 0.2 < first["gradient_std"][1] < 2.0
    assert first["gradient_std"][0] < first["gradient_std"][1] / 20


def test_the_measured_gain_is_the_formulas(planned: Planned) -> None:
    wide = planned(input_shape=[600], layers=[{"type": "Dense", "units": 500}])
    (spread,) = (compare(wide, [], batch=200).spreads or [[]])[0]
    assert spread.activation == pytest.approx(math.sqrt(600 * 2 / 1100), rel=0.03)


def test_torch_layers_within_others(planned: Planned) -> None:
    inner = [{"type": "Linear", "in_features": 4, "out_features": 3}, {"type": "ReLU"}]
    layers = [{"type": "Sequential", "layers": inner}, {"type": "Dropout"},
              {"type": "Linear", "in_features": 3, "out_features": 2}]  # fmt: skip
    plan = planned(dialect="torch", layers=layers)
    chain = make_chain(plan)
    assert chain.input_shape == (4,)
    assert [spread.layer for spread in push(chain.steps, chain.batch(3, 0))] == ["0.0", "2"]


def test_keras_models_within_others(planned: Planned) -> None:
    inner = [{"type": "Dense", "units": 4, "activation": "swish"}, {"type": "ReLU"}]
    layers = [{"type": "Sequential", "layers": inner}, {"type": "Activation", "activation": "tanh"},
              {"type": "Dense", "units": 2}]  # fmt: skip
    chain = make_chain(planned(input_shape=[3], layers=layers))
    spreads = push(chain.steps, chain.batch(3, 0))
    assert [spread.layer for spread in spreads] == ["sequential/dense", "dense_1"]


DENSE = {"type": "Dense", "units": 2}
RUNS = (
    "cannot be run; Dense and convolution layers, activations, pooling, flattening and dropout can"
)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"input_shape": [4, 4], "layers": [{"type": "LSTM", "units": 3}]},
         f"--batch: lstm: LSTM {RUNS}"),
        ({"input_shape": [4], "layers": [DENSE, {**DENSE, "inputs": "input"}]},
         "--batch needs layers that stand one behind the other, from one input"),
        ({"inputs": {"a": [3], "b": [3]}, "layers": [{**DENSE, "inputs": "a"}],},
         "--batch needs layers that stand one behind the other, from one input"),
        ({"tensors": {"w": {"shape": [3, 4], "axes": "IO", "initializer": "he_normal"}}},
         "--batch needs layers that stand one behind the other, from one input"),
        ({"input_shape": [None, 4], "layers": [DENSE]},
         "--batch needs an input_shape of which every size is known"),
        ({"input_shape": [4], "layers": [{**DENSE, "activation": "hard_tanh"}]},
         "--batch: dense: the activation 'hard_tanh' cannot be run; these can: "
         + ", ".join(FUNCTIONS)),
        ({"input_shape": [4], "layers": [DENSE, {"type": "ReLU", "max_value": 3.0}]},
         f"--batch: re_lu: ReLU with max_value {RUNS}"),
        ({"input_shape": [4, 4, 1], "layers": [
            {"type": "Conv2D", "filters": 1, "kernel_size": 2},
            {"type": "AveragePooling2D", "pool_size": 2, "padding": "same"}]},
         f"--batch: average_pooling2d: AveragePooling2D with padding {RUNS}"),
        ({"dialect": "torch", "input_shape": [1, 9], "layers": [
            {"type": "Conv1d", "in_channels": 1, "out_channels": 1, "kernel_size": 2,
             "padding_mode": "circular"}]},
         f"--batch: 0: padding_mode circular {RUNS}"),
        ({"dialect": "torch", "input_shape": [1, 9], "layers": [
            {"type": "Conv1d", "in_channels": 1, "out_channels": 1, "kernel_size": 2},
            {"type": "AdaptiveAvgPool1d", "output_size": 2}]},
         f"--batch: 1: AdaptiveAvgPool1d to more than one place {RUNS}"),
        ({"dialect": "torch", "input_shape": [1, 9], "layers": [
            {"type": "Conv1d", "in_channels": 1, "out_channels": 1, "kernel_size": 2},
            {"type": "MaxPool1d", "kernel_size": 2, "ceil_mode": True}]},
         f"--batch: 1: MaxPool1d with ceil_mode {RUNS}"),
    ],
)  # fmt: skip
def test_networks_that_cannot_be_run(spec: dict[str, Any], message: str, run: Run) -> None:
    Path("spec.json").write_text(json.dumps({"seed": 1, **spec}))
    code, out, err = run("plan", "spec.json", "--batch", "4")
    assert (code, out) == (2, "")
    assert [line for line in err.splitlines() if not line.startswith("note: ")] == [
        f"glorot: {message}"
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("he_unifrm", "--compare: unknown initializer 'he_unifrm'; did you mean 'he_uniform'?"),
        ("sparse", "--compare: sparse needs 'sparsity'"),
    ],
)
def test_names_that_are_no_initializers(names: str, message: str, run: Run) -> None:
    code, out, err = run("plan", "spec.json", "--compare", names)
    assert (code, out) == (2, "")
    assert err.startswith(f"glorot: {message}")
    assert err.endswith("; for 'dense/kernel'\n")


def test_nothing_to_compare(run: Run) -> None:
    Path("spec.json").write_text(
        json.dumps({"tensors": {"b": {"shape": [3], "initializer": "ones"}}})
    )
    assert run("plan", "spec.json", "--compare", "he_uniform") == (
        2, "", "glorot: the spec has no random kernels to compare\n"
    )  # fmt: skip
