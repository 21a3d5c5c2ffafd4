"""What starts do to networks: closed forms, published numbers, hand-made examples, and texts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.effects.activations import ACTIVATIONS, Activation, celu, elu, soft_shrink
from glorot_cli.effects.atoms import combined, compressed, correlated, gaussian
from glorot_cli.effects.attention import concentration
from glorot_cli.effects.comparison import compare, label_of
from glorot_cli.effects.graph import make_graph
from glorot_cli.effects.mean_field import LayerEffect, predict
from glorot_cli.effects.windows import Window
from glorot_cli.initializers.automatic import SCALES, scale_after
from tests.effect_cases import NETWORKS

Planned = Callable[..., glorot.Plan]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


ERF = Activation(
    np.vectorize(math.erf, otypes=[np.float64]),
    lambda x: 2.0 / math.sqrt(math.pi) * np.exp(-x * x),
    (),
)


def square(activation: Activation, q: float) -> float:
    return gaussian(0.0, math.sqrt(q), activation.kinks).expect(
        lambda x: activation.function(x) ** 2
    )


def slope(activation: Activation, q: float) -> float:
    atoms = gaussian(0.0, math.sqrt(q), activation.kinks)
    return atoms.expect(lambda x: activation.derivative(x) ** 2)


# Closed forms


@pytest.mark.parametrize("q", [1e-6, 0.3, 1.0, 7.0, 1e6])
def test_closed_forms(q: float) -> None:
    relu, linear = ACTIVATIONS["relu"], ACTIVATIONS["linear"]
    assert square(relu, q) == pytest.approx(q / 2, rel=1e-12)
    assert slope(relu, q) == pytest.approx(0.5, rel=1e-12)
    assert gaussian(0.0, math.sqrt(q), (0.0,)).expect(relu.function) == pytest.approx(
        math.sqrt(q / (2 * math.pi)), rel=1e-12
    )
    assert (square(linear, q), slope(linear, q)) == pytest.approx((q, 1.0), rel=1e-12)


@pytest.mark.parametrize("q", [1e-6, 0.3, 1.0, 7.0])
def test_closed_forms_of_erf(q: float) -> None:
    # Williams (1997).
    assert square(ERF, q) == pytest.approx(2 / math.pi * math.asin(2 * q / (1 + 2 * q)), rel=1e-12)
    assert slope(ERF, q) == pytest.approx(4 / math.pi / math.sqrt(1 + 4 * q), rel=1e-12)


@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.0, 0.4, 0.99, 1.0])
def test_correlations_of_relu_and_erf(rho: float) -> None:
    # The arc-cosine kernel (Cho and Saul, 2009), and Williams (1997).
    angle = math.acos(rho)
    relu = (math.sin(angle) + (math.pi - angle) * rho) / (2 * math.pi)
    assert correlated(ACTIVATIONS["relu"], 0.0, 1.0, rho) == pytest.approx(relu, abs=3e-3)
    assert correlated(ERF, 0.0, 1.0, rho) == pytest.approx(
        2 / math.pi * math.asin(2 * rho / 3), abs=1e-10
    )


@pytest.mark.parametrize("name", [*ACTIVATIONS, "celu(2)", "elu(0.5)", "soft_shrink(1)"])
def test_derivatives_are_those_of_small_differences(name: str) -> None:
    others = {"celu(2)": celu(2.0), "elu(0.5)": elu(0.5), "soft_shrink(1)": soft_shrink(1.0)}
    activation = others.get(name) or ACTIVATIONS[name]
    x = np.linspace(-7.03, 7.01, 400)
    x = x[[min((abs(each - kink) for kink in activation.kinks), default=1.0) > 1e-3 for each in x]]
    found = (activation.function(x + 1e-6) - activation.function(x - 1e-6)) / 2e-6
    assert activation.derivative(x) == pytest.approx(found, abs=1e-6, rel=1e-6)


# Published numbers


@pytest.mark.parametrize(("weights", "biases"), [(1.7603, 0.05), (1.05, 2.01e-5)])
def test_the_edge_of_chaos_of_tanh(weights: float, biases: float) -> None:
    # The variances that Xiao et al. (2018) and Pennington et al. (2017) give, to their digits: chi
    # is 1 at the fixed point of the mean square (Schoenholz et al., 2017).
    tanh, q = ACTIVATIONS["tanh"], 1.0
    for _ in range(4000):
        q = weights * square(tanh, q) + biases
    assert weights * slope(tanh, q) == pytest.approx(1.0, abs=2e-4)


def test_the_fixed_point_of_selu() -> None:
    # Klambauer et al. (2017): mean 0 and variance 1 stay.
    selu = ACTIVATIONS["selu"]
    assert square(selu, 1.0) == pytest.approx(1.0, rel=1e-12)
    assert gaussian(0.0, 1.0, selu.kinks).expect(selu.function) == pytest.approx(0.0, abs=1e-12)


def dense(plan: glorot.Plan) -> tuple[LayerEffect, ...]:
    return predict(make_graph(plan), {tensor.name: tensor for tensor in plan.tensors}).layers


def deep(initializer: object, activation: str = "relu", depth: int = 20) -> dict[str, Any]:
    layer = {"type": "Dense", "units": 256, "activation": activation,
             "kernel_initializer": initializer, "repeat": {"i": depth}}  # fmt: skip
    return {"input_shape": [256], "layers": [layer]}


def test_chi_of_relu(planned: Planned) -> None:
    # He et al. (2015): 2 / fan_in keeps the scale; Glorot's 1 / fan_in halves squares a layer.
    assert [layer.chi for layer in dense(planned(**deep("he_normal")))] == pytest.approx([1.0] * 20)
    layers = dense(planned(**deep("glorot_normal")))
    assert [layer.chi for layer in layers] == pytest.approx([0.5] * 20)
    assert layers[-1].activation_square == pytest.approx(0.5**20)
    assert layers[0].gradient_square == pytest.approx(0.5**19)
    assert layers[0].depth_scale == pytest.approx(1 / math.log(2))
    assert dense(planned(**deep("he_normal")))[0].depth_scale == math.inf


# The start that looks at the activation


@pytest.mark.parametrize("name", SCALES)
def test_scales_are_those_of_the_quadrature(name: str) -> None:
    assert SCALES[name] == pytest.approx(1.0 / square(ACTIVATIONS[name], 1.0), rel=1e-14)


def test_every_activation_has_a_scale() -> None:
    assert set(ACTIVATIONS) - set(SCALES) == {"celu", "leaky_relu"}
    assert scale_after("relu", 0.2) == pytest.approx(1 / square(ACTIVATIONS["leaky_relu"], 1.0))


def test_auto_keeps_the_mean_square_through_the_activation(planned: Planned) -> None:
    relu = dense(planned(**deep("auto", "relu", depth=3)))
    assert [layer.activation_square for layer in relu] == pytest.approx([1.0] * 3)
    # Sums come to have the variance 1, from whatever goes in.
    tanh = dense(planned(**deep("auto", "tanh", depth=40)))
    assert tanh[-1].activation_square == pytest.approx(1.0 / SCALES["tanh"], rel=1e-3)


def test_auto_looks_past_normalisations_at_the_layer_behind(planned: Planned) -> None:
    layers = [
        {"type": "Dense", "units": 8, "name": "a"},
        {"type": "BatchNormalization"},
        {"type": "Activation", "activation": "tanh"},
        {"type": "Dense", "units": 8, "name": "b"},
        {"type": "LeakyReLU", "negative_slope": 0.5},
        {"type": "Dense", "units": 8, "name": "c"},
        {"type": "Dense", "units": 8, "name": "d", "inputs": "c", "activation": "relu"},
        {"type": "Add", "inputs": ["c", "d"]},
        {"type": "Conv1D", "filters": 4, "kernel_size": 1, "name": "e", "activation": "softmax",
         "input_shape": [4, 8]},
    ]  # fmt: skip
    plan = planned(input_shape=[8], initializers=[{"*/kernel": "auto"}], layers=layers[:-1])
    found = {name: plan[f"{name}/kernel"].distribution.std((8, 8)) ** 2 * 8 for name in "abcd"}
    assert found == pytest.approx({"a": SCALES["tanh"], "b": 1.6, "c": 1.0, "d": 2.0})
    modules = [
        {"type": "Linear", "in_features": 8, "out_features": 8, "initializers": {"weight": "auto"}},
        {"type": "Dropout"},
        {"type": "GELU"},
        {"type": "Conv1d", "in_channels": 4, "out_channels": 2, "kernel_size": 3,
         "initializers": {"weight": "auto"}},
    ]  # fmt: skip
    plan = planned(dialect="torch", input_shape=[4, 8], layers=modules)
    assert plan["0.weight"].distribution.std((8, 8)) ** 2 * 8 == pytest.approx(SCALES["gelu"])
    assert plan["3.weight"].distribution.std((2, 4, 3)) ** 2 * 12 == pytest.approx(1.0)


def test_auto_needs_a_layer(run: Run) -> None:
    Path("raw.json").write_text(
        json.dumps({"tensors": {"w": {"shape": [3, 4], "axes": "IO", "initializer": "auto"}}})
    )
    code, out, err = run("plan", "raw.json")
    assert (code, out) == (2, "")
    assert err == (
        "glorot: raw.json:1:66: tensors.w.initializer: auto needs a layer, whose activation it "
        "looks at; this tensor has none, or one that is not known\n"
    )
    Path("deep.json").write_text(json.dumps({"seed": 1, **deep("auto", "tanh", depth=1)}))
    assert "auto(gain=1.593)" in run("plan", "deep.json")[1]


# Hand-made examples


def test_biases_are_part_of_the_mean_square(planned: Planned) -> None:
    normal = {"name": "random_normal", "stddev": 0.5}
    layer = {"type": "Dense", "units": 100, "kernel_initializer": "lecun_normal",
             "bias_initializer": normal}  # fmt: skip
    (found,) = dense(planned(input_shape=[50], layers=[layer]))
    assert found.activation_square == pytest.approx(1.25)
    assert found.activation_mean == 0.0
    constant = {**layer, "bias_initializer": {"name": "constant", "value": 0.5}}
    (found,) = dense(planned(input_shape=[50], layers=[constant]))
    assert (found.activation_square, found.activation_mean) == pytest.approx((1.25, 0.5))
    assert found.activation_std == pytest.approx(1.0)


def test_branches_add_and_gradients_come_back_along_both(planned: Planned) -> None:
    layers = [
        {"type": "Dense", "units": 80, "name": "a", "kernel_initializer": "lecun_normal"},
        {"type": "Dense", "units": 80, "name": "b", "kernel_initializer": "lecun_normal"},
        {"type": "Add", "inputs": ["a", "b"], "name": "s"},
        {"type": "Dense", "units": 80, "name": "c", "kernel_initializer": "lecun_normal"},
    ]
    a, b, c = dense(planned(input_shape=[80], layers=layers))
    assert [each.activation_square for each in (a, b, c)] == pytest.approx([1.0, 1.0, 2.0])
    assert [each.gradient_square for each in (a, b, c)] == pytest.approx([2.0, 1.0, 1.0])


def test_a_branch_that_starts_at_zero(planned: Planned) -> None:
    layers = [
        {"type": "Dense", "units": 80, "name": "a"},
        {"type": "Dense", "units": 80, "name": "b", "activation": "relu"},
        {"type": "Dense", "units": 80, "name": "z", "kernel_initializer": "zeros"},
        {"type": "Add", "inputs": ["a", "z"]},
    ]
    a, b, z = dense(planned(input_shape=[80], layers=layers))
    assert z.activation_square == 0.0
    assert (a.gradient_square, b.gradient_square, z.gradient_square) == pytest.approx((1, 0, 1))


def test_normalisations_set_the_scale(planned: Planned) -> None:
    for kind, mean_square in (("BatchNormalization", 1.0), ("LayerNormalization", 1.0)):
        layers = [
            {"type": "Dense", "units": 800, "activation": "relu"},
            {"type": kind, "epsilon": 0.0 if kind == "LayerNormalization" else 1e-12},
        ]
        (found,) = dense(planned(input_shape=[400], layers=layers))
        assert found.activation_square == pytest.approx(mean_square), kind
        assert found.activation_mean == pytest.approx(0.0, abs=1e-6)


def test_padding_loses_at_the_border(planned: Planned) -> None:
    layer = {"type": "Conv1D", "filters": 8, "kernel_size": 3, "padding": "same",
             "kernel_initializer": "lecun_normal"}  # fmt: skip
    (found,) = dense(planned(input_shape=[5, 4], layers=[layer]))
    # Three of five positions see all three taps, two see two.
    assert found.activation_square == pytest.approx((3 + 2 * 2 / 3) / 5)
    assert found.gradient_square == 1.0


def test_averages_of_independent_positions(planned: Planned) -> None:
    layers = [
        {"type": "Conv1D", "filters": 8, "kernel_size": 1, "kernel_initializer": "lecun_normal"},
        {"type": "GlobalAveragePooling1D"},
        {"type": "Dense", "units": 8, "kernel_initializer": "lecun_normal"},
    ]
    conv, last = dense(planned(input_shape=[10, 4], layers=layers))
    assert last.activation_square == pytest.approx(0.1)
    assert conv.gradient_square == pytest.approx(1 / 100)


def test_windows_gather_and_scatter() -> None:
    window = Window((2, 3), (2, 1), (1, 2), ((1, 0), (2, 2)))
    rng = np.random.default_rng(1)
    x = rng.normal(size=(5, 6))
    y = window.gather(x)
    dy = rng.normal(size=y.shape)
    assert y.shape == (3, 6)
    assert y[0, 0] == pytest.approx(x[0, 0] + x[0, 2])
    # One is the transpose of the other.
    assert np.sum(y * dy) == pytest.approx(np.sum(x * window.scatter(dy, x.shape)))


def test_fewer_points_keep_mean_and_mean_square() -> None:
    left = gaussian(0.3, 1.0, (0.0,))
    values, weights = combined(lambda a, b: np.maximum(a, 0.0) + b, left, gaussian(0.0, 0.5))
    atoms = compressed(values, weights)
    assert atoms.points.size <= 320
    assert atoms.mean == pytest.approx(float(np.sum(values * weights)), rel=1e-12)
    assert atoms.mean_square == pytest.approx(float(np.sum(values**2 * weights)), rel=1e-12)


def test_the_concentration_of_a_softmax() -> None:
    rng = np.random.default_rng(3)
    for variance, count in ((0.0, 7), (1.0, 8), (4.0, 30), (0.5, 300)):
        scores = np.exp(rng.normal(size=(20000, count)) * math.sqrt(variance))
        shares = scores / scores.sum(axis=1, keepdims=True)
        expected = float(np.mean(np.sum(shares**2, axis=1)))
        assert concentration(variance, count) == pytest.approx(expected, rel=0.03)


def test_torch_and_keras_models_within_others(planned: Planned) -> None:
    inner = [{"type": "Linear", "in_features": 4, "out_features": 3}, {"type": "ReLU"}]
    layers = [{"type": "Sequential", "layers": inner}, {"type": "Dropout"},
              {"type": "Linear", "in_features": 3, "out_features": 2}]  # fmt: skip
    found = dense(planned(dialect="torch", layers=layers))
    assert [(layer.name, layer.label) for layer in found] == [("0.0", "1"), ("2", "2")]
    keras = [{"type": "Dense", "units": 4, "activation": "swish"}, {"type": "ReLU"}]
    layers = [{"type": "Sequential", "layers": keras}, {"type": "Activation", "activation": "tanh"},
              {"type": "Dense", "units": 2, "activation": "softmax"}]  # fmt: skip
    found = dense(planned(input_shape=[3], layers=layers))
    assert [layer.name for layer in found] == ["sequential/dense", "dense_1"]
    assert found[-1].gradient_square == 1.0


# By layers of all kinds: what tests/interop/test_effects.py has measured, as it was predicted then

PREDICTED = {
    "convolutions and pooling": (0.98183172, 0.0026708581),
    "shapes": (1.3375154, 0.0015743954),
    "joins": (1.7777742, 0.44400953),
    "depthwise": (0.00022291691, 7.6174889e-07),
    "attention": (1.0935119, 1),
    "gated recurrent": (0.12528178, 0.22222222),
    "memory": (0.03605787, 0.22222222),
    "recurrent": (0.7087476, 0.22222222),
    "torch recurrent": (0.0050066111, 0.010640805),
    "torch": (0.0083719399, 1.4206441e-05),
    "encoder": (0.99999038, 0.92089532),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_predicted_as_they_were_when_they_were_measured(
    name: str, planned: Planned
) -> None:
    plan = planned(**NETWORKS[name])
    found = predict(make_graph(plan), {tensor.name: tensor for tensor in plan.tensors})
    assert found.cuts == ()
    layers = found.layers
    assert (layers[-1].activation_square, layers[0].gradient_square) == pytest.approx(
        PREDICTED[name], rel=1e-6
    )


# Side by side


def test_a_deep_relu_network_under_he_and_glorot(run: Run) -> None:
    Path("deep.json").write_text(json.dumps({"seed": 1, **deep("he_normal")}))
    code, out, err = run("plan", "deep.json", "--compare", "glorot_uniform", "--json")
    assert (code, err) == (0, "")
    spec, other = json.loads(out)["compare"]
    assert (spec["initializer"], spec["activations"], spec["gradients"]) == (
        "spec", "stable", "stable",
    )  # fmt: skip
    assert (other["initializer"], other["activations"], other["gradients"]) == (
        "glorot_uniform", "vanish", "vanish",
    )  # fmt: skip
    assert set(other["layers"][0]) >= {"name", "activation_std", "gradient_std", "chi"}
    assert [layer["chi"] for layer in other["layers"]] == pytest.approx([0.5] * 20)
    code, out, _ = run("plan", "deep.json", "--compare", "glorot_uniform")
    assert out.endswith(
        "spec: activations stay (1.00x a layer); gradients stay (1.00x a layer)\n"
        "glorot_uniform: activations shrink 1.41x a layer: below 1e-3 after 20 layers; gradients "
        "shrink 1.41x a layer: below 1e-3 after 20 layers\n"
        "spec fits this network best: chi is 1 (1 is the edge of chaos), activations change 1x and "
        "gradients 1x a layer\n"
    )


def test_choices_with_arguments(run: Run, planned: Planned) -> None:
    Path("deep.json").write_text(json.dumps({"seed": 1, **deep("he_normal", depth=2)}))
    flags = ["--compare", "{name: orthogonal, gain: sqrt(2)}, lecun_normal", "--compare", "spec"]
    code, out, err = run("plan", "deep.json", *flags, "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    names = ["spec", "orthogonal(gain=sqrt(2))", "lecun_normal"]
    assert [each["initializer"] for each in document["compare"]] == names
    assert document["comparison"]["initializers"] == names
    stds = [law["std"] for law in document["comparison"]["kernels"][0]["laws"]]
    assert stds == pytest.approx([math.sqrt(2 / 256), math.sqrt(2 / 256), 1 / 16])
    assert label_of({"name": "zeros"}) == "zeros"
    found = compare(planned(**deep("he_normal", depth=2)), [{"name": "normal", "std": 0.1}])
    assert found.effects[1].theory.layers[0].chi == pytest.approx(256 * 0.01 / 2)


def test_gains_of_kernels_and_their_products(run: Run) -> None:
    layers = [{"type": "Dense", "units": 64}, {"type": "Dense", "units": 10}]
    Path("mlp.json").write_text(json.dumps({"seed": 1, "input_shape": [100], "layers": layers}))
    _, out, _ = run("plan", "mlp.json", "--compare", "he_uniform", "--json")
    first, second = (row["laws"] for row in json.loads(out)["comparison"]["kernels"])
    assert first[0]["forward_gain"] == pytest.approx(2 * 100 / 164)
    assert first[1]["backward_gain"] == pytest.approx(1.28)
    assert second[1]["forward_product"] == pytest.approx(4.0)
    assert first[1]["backward_product"] == pytest.approx(1.28 * 20 / 64)


def test_raw_tensors_have_no_network(run: Run) -> None:
    entry = {"shape": [3, 4], "axes": "IO", "initializer": "he_normal"}
    Path("raw.json").write_text(json.dumps({"seed": 1, "tensors": {"w": entry}}))
    code, out, err = run("plan", "raw.json", "--compare", "glorot_normal")
    assert code == 0
    assert "fan_in x variance\nname  shape   spec  glorot_normal\nw     (3, 4)" in out
    assert err == (
        "note: the spec's tensors do not say how they are joined; effects need layers with a type, "
        "of the Keras or the torch dialect\n"
    )
    code, out, err = run("plan", "raw.json", "--batch", "4")
    assert (code, out) == (2, "")
    assert err.startswith("glorot: --batch: the spec's tensors do not say how they are joined; ")


def test_the_chain_is_cut_where_a_layer_is_not_covered(run: Run) -> None:
    layers = [{"type": "Dense", "units": 8}, {"type": "Reshape", "target_shape": [2, 4]},
              {"type": "Bidirectional", "layer": {"type": "LSTM", "units": 3}},
              {"type": "Dense", "units": 8}]  # fmt: skip
    Path("spec.json").write_text(json.dumps({"seed": 1, "input_shape": [8], "layers": layers}))
    code, out, err = run("plan", "spec.json", "--compare", "he_normal", "--json")
    assert code == 0
    assert err.endswith("note: the theory is cut at bidirectional: Bidirectional is not covered\n")
    (cut,) = json.loads(out)["compare"][0]["cuts"]
    assert cut == "bidirectional: Bidirectional is not covered"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--compare", "he_unifrm"],
         "--compare: unknown initializer 'he_unifrm'; did you mean 'he_uniform'?; "
         "for 'dense/kernel'"),
        (["--compare", "sparse"], "--compare: sparse needs 'sparsity'; for 'dense/kernel'"),
        (["--compare", "{gain: 2}"],
         "--compare: expected a name, or a mapping such as {name: orthogonal, gain: 2}, found "
         "'{gain: 2}'"),
        (["--seeds", "3"], "--model and --seeds are for --batch, which measures"),
    ],
)  # fmt: skip
def test_mistakes(flags: list[str], message: str, run: Run) -> None:
    Path("deep.json").write_text(json.dumps({"seed": 1, "input_shape": [4], "layers": [
        {"type": "Dense", "units": 3}]}))  # fmt: skip
    code, out, err = run("plan", "deep.json", *flags)
    assert (code, out) == (2, "")
    assert err.startswith(f"glorot: {message.split('; for')[0]}")


def test_nothing_to_compare(run: Run) -> None:
    Path("spec.json").write_text(
        json.dumps({"tensors": {"b": {"shape": [3], "initializer": "ones"}}})
    )
    assert run("plan", "spec.json", "--compare", "he_uniform") == (
        2, "", "glorot: the spec has no random kernels to compare\n"
    )  # fmt: skip
