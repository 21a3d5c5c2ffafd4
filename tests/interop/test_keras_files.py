"""Files that glorot wrote, loaded into real models by the frameworks' own readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from glorot_cli import Plan, draw, load_spec, make_plan, write_weights

pytestmark = pytest.mark.interop

SPECS = Path(__file__).resolve().parents[2] / "sample_specs"


def mlp(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((100,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def lenet5(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="tanh"),
            layers.Dense(84, activation="tanh"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def text_cnn(keras: Any) -> Any:
    layers = keras.layers
    tokens = keras.Input((400,), dtype="int32")
    x = layers.Embedding(20000, 128)(tokens)
    x = layers.Dropout(0.5)(x)
    x = layers.Conv1D(128, 7, strides=3, activation="relu")(x)
    x = layers.Conv1D(128, 7, strides=3, activation="relu")(x)
    x = layers.GlobalMaxPooling1D()(x)
    x = layers.Dense(128, activation="relu")(x)
    x = layers.Dropout(0.5)(x)
    return keras.Model(tokens, layers.Dense(1, activation="sigmoid", name="predictions")(x))


def vgg16(keras: Any) -> Any:
    return keras.applications.VGG16(weights=None)


def mobilenet_v1(keras: Any) -> Any:
    return keras.applications.MobileNet(weights=None)


class Sample(NamedTuple):
    """Name a sample spec, its real model, and the number of parameters of both."""

    spec: str
    build: Callable[[Any], Any]
    parameters: int


SAMPLES = [
    Sample("mlp.yaml", mlp, 7_114),
    Sample("lenet5.yaml", lenet5, 61_706),
    Sample("text_cnn.json", text_cnn, 2_806_273),
    Sample("vgg16.yaml", vgg16, 138_357_544),
    Sample("mobilenet_v1.yaml", mobilenet_v1, 4_253_864),
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give a folder whose files are removed at once, since pytest keeps some of its own."""
    yield tmp_path
    for path in tmp_path.iterdir():
        path.unlink()


def same_bits(a: Any, b: Any) -> bool:
    """Tell whether two arrays agree in shape, dtype and every bit."""
    a, b = np.asarray(a), np.asarray(b)
    return bool(
        a.shape == b.shape
        and a.dtype == b.dtype
        and np.array_equal(np.ravel(a).view(np.uint8), np.ravel(b).view(np.uint8))
    )


def assert_holds(model: Any, plan: Plan) -> None:
    """Check every weight of a Keras model against the plan, by name."""
    loaded = {v.path.removeprefix(f"{model.name}/"): v for v in model.weights}
    assert sorted(loaded) == sorted(t.name for t in plan.tensors)
    for tensor in plan.tensors:
        assert same_bits(loaded[tensor.name], draw(plan, tensor.name)), tensor.name


def assert_predicts(model: Any) -> None:
    """Check that the model runs forward and gives probabilities."""
    shape = model.input_shape[1:]
    batch = 1 if model.count_params() > 10**8 else 2
    random = np.random.default_rng(0)
    x: np.ndarray[Any, np.dtype[Any]]
    if model.inputs[0].dtype == "int32":
        x = random.integers(0, 20_000, (batch, *shape))
    else:
        x = random.random((batch, *shape), np.float32)
    y = model.predict(x, verbose=0)
    assert y.shape == (batch, *model.output_shape[1:])
    assert np.isfinite(y).all()
    if y.shape[-1] > 1:
        np.testing.assert_allclose(y.sum(-1), 1.0, rtol=1e-4)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.build.__name__)
def test_keras_loads_the_weights(sample: Sample, keras: Any, folder: Path) -> None:
    plan = make_plan(load_spec(SPECS / sample.spec, {"seed": 42}))
    model = sample.build(keras)
    assert model.count_params() == sum(t.parameters for t in plan.tensors) == sample.parameters
    for name in ("model.weights.h5", "model.h5"):
        for weight in model.weights:
            weight.assign(np.full(weight.shape, np.nan, np.float32))
        write_weights(plan, folder / name)
        model.load_weights(folder / name)
        (folder / name).unlink()
        assert_holds(model, plan)
    assert_predicts(model)


def test_keras_loads_h5_by_name(keras: Any, folder: Path) -> None:
    plan = make_plan(load_spec(SPECS / "lenet5.yaml", {"seed": 7}))
    write_weights(plan, folder / "model.h5")
    model = lenet5(keras)
    model.load_weights(folder / "model.h5", by_name=True)
    assert_holds(model, plan)


def test_keras_loads_attention_and_normalisation(keras: Any, folder: Path) -> None:
    spec = {
        "seed": 3,
        "input_shape": [5, 8],
        "layers": [
            {"type": "LayerNormalization"},
            {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 3, "value_dim": 4},
            {"type": "BatchNormalization", "scale": False},
            {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 3, "use_gate": True},
            {"type": "DepthwiseConv2D", "kernel_size": 3, "input_shape": [6, 6, 4]},
        ],
    }
    layers = keras.layers
    sequence, image = keras.Input((5, 8)), keras.Input((6, 6, 4))
    x = layers.LayerNormalization()(sequence)
    x = layers.MultiHeadAttention(2, 3, value_dim=4)(x, x)
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.MultiHeadAttention(2, 3, use_gate=True)(x, x)
    model = keras.Model([sequence, image], [x, layers.DepthwiseConv2D(3)(image)])
    plan = make_plan(load_spec(spec))
    for name in ("model.weights.h5", "model.h5"):
        for weight in model.weights:
            weight.assign(np.full(weight.shape, np.nan, np.float32))
        write_weights(plan, folder / name)
        model.load_weights(folder / name)
        assert_holds(model, plan)


@pytest.mark.parametrize("sample", SAMPLES[:3], ids=lambda sample: sample.build.__name__)
def test_torch_loads_safetensors(sample: Sample, torch: Any, folder: Path) -> None:
    from safetensors.torch import load_file

    plan = make_plan(load_spec(SPECS / sample.spec, {"seed": 42}))
    write_weights(plan, folder / "model.safetensors")
    loaded = load_file(folder / "model.safetensors")
    assert sorted(loaded) == sorted(t.name for t in plan.tensors)
    for name, tensor in loaded.items():
        assert tensor.dtype == torch.float32
        assert same_bits(tensor.numpy(), draw(plan, name)), name


def test_torch_module_takes_raw_tensors(torch: Any, folder: Path) -> None:
    from safetensors.torch import load_file

    spec = {
        "seed": 11,
        "tensors": {
            "0.weight": {"shape": [8, 3, 3, 3], "axes": "OIHW", "initializer": "glorot_uniform"},
            "0.bias": {"shape": [8], "initializer": "zeros"},
            "1.weight": {"shape": [8], "initializer": "ones"},
            "1.bias": {"shape": [8], "initializer": "zeros"},
            "4.weight": {"shape": [10, 288], "axes": "OI", "initializer": "glorot_uniform"},
            "4.bias": {"shape": [10], "initializer": "zeros"},
        },
    }
    plan = make_plan(load_spec(spec))
    write_weights(plan, folder / "model.safetensors")
    nn = torch.nn
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)
    )
    # For these two layouts torch's own rule for fans agrees with the roles of the axes.
    init = nn.init._calculate_fan_in_and_fan_out
    for name in ("0.weight", "4.weight"):
        assert plan[name].fans == init(module.state_dict()[name])
    module.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    for name, tensor in module.state_dict().items():
        assert same_bits(tensor.numpy(), draw(plan, name)), name
    assert module(torch.ones(2, 3, 8, 8)).shape == (2, 10)
