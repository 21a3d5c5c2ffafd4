"""Archives and sets of files that Keras loads, and bases that Keras saved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.cli import main
from glorot_cli.derive import derive_spec
from tests.interop import keras_models

# Keras's own saving meets NumPy's warning.
pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

MODELS = sorted(keras_models.MODELS)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named_weights(layers: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give each weight of a model's layers below the names of all models that hold it."""
    for layer in layers:
        name = f"{prefix}{layer.name}/"
        if hasattr(layer, "layers"):
            yield from named_weights(layer.layers, name)
            continue
        for weight in layer.weights:
            _, found, rest = f"/{weight.path}".partition(f"/{layer.name}/")
            assert found, weight.path
            yield name + rest, weight


def assert_holds(model: Any, plan: glorot.Plan) -> None:
    """Compare every weight of a model with the plan's, by name and bit for bit."""
    loaded = dict(named_weights(model.layers))
    assert sorted(loaded) == sorted(tensor.name for tensor in plan.tensors)
    assert len(loaded) == len(model.weights)
    for tensor in plan.tensors:
        found = np.asarray(loaded[tensor.name])
        expected = glorot.draw(plan, tensor.name)
        assert found.dtype == expected.dtype, tensor.name
        assert found.tobytes() == expected.tobytes(), tensor.name


def forward(model: Any) -> None:
    """Run a model once."""
    inputs = []
    for tensor in model.inputs:
        shape = [2, *(4 if size is None else size for size in tensor.shape[1:])]
        inputs.append(np.ones(shape, tensor.dtype))
    outputs = model(inputs if len(inputs) > 1 else inputs[0])
    for output in outputs if isinstance(outputs, list) else [outputs]:
        assert np.isfinite(np.asarray(output).astype(np.float32)).all()


def undraw(model: Any) -> None:
    for weight in model.weights:
        weight.assign(np.full(weight.shape, 7, weight.dtype))


@pytest.mark.parametrize("name", MODELS)
def test_keras_loads_an_archive(name: str, keras: Any) -> None:
    config = keras_models.DATA / f"{name}.json"
    arguments = ["init", str(config), "-o", "x.keras", "--config", str(config), "--seed", "5", "-q"]
    assert main(arguments) == 0
    model = keras.models.load_model("x.keras")
    plan = glorot.make_plan(glorot.load_spec({**derive_spec(config), "seed": 5}))
    # Layers built from a configuration have other names, so their places are compared.
    model.save_weights("again.weights.h5")
    assert len(model.weights) == len(plan.tensors)
    with h5py.File("again.weights.h5") as file:
        for tensor in plan.tensors:
            found = file[tensor.group][()]
            assert found.tobytes() == glorot.draw(plan, tensor.name).tobytes(), tensor.name
    forward(model)


@pytest.mark.parametrize("size", ["1B", "500B", "5GB"])
@pytest.mark.parametrize("name", MODELS)
def test_keras_loads_a_set(name: str, size: str, keras: Any) -> None:
    config = keras_models.DATA / f"{name}.json"
    arguments = ["-o", "x.weights.json", "--max-shard-size", size, "--seed", "5", "-q"]
    assert main(["init", str(config), *arguments]) == 0
    count = len(list(Path().glob("x_*.weights.h5")))
    assert (count == 1) if size == "5GB" else (count > 1 or size == "500B")
    model = keras_models.MODELS[name](keras)
    undraw(model)
    model.load_weights("x.weights.json")
    assert_holds(model, glorot.make_plan(glorot.load_spec({**derive_spec(config), "seed": 5})))


@pytest.mark.parametrize("name", MODELS)
def test_a_base_of_keras_is_kept(name: str, keras: Any) -> None:
    config = keras_models.DATA / f"{name}.json"
    model = keras_models.MODELS[name](keras)
    undraw(model)
    model.save("old.keras")
    model.save_weights("old.weights.h5")
    model.save_weights("old.weights.json", max_shard_size=1e-6)
    for base in ("old.keras", "old.weights.h5", "old.weights.json"):
        output = f"{base}.new.weights.h5"
        arguments = ["init", str(config), "-o", output, "--base", base, "--seed", "5", "-q"]
        assert main(arguments) == 0
        for weight in model.weights:
            weight.assign(np.zeros(weight.shape, weight.dtype))
        model.load_weights(output)
        for path, weight in named_weights(model.layers):
            assert (np.asarray(weight) == 7).all(), path


def test_keras_s_own_files_are_specs(keras: Any) -> None:
    model = keras_models.recurrent(keras)
    model.save_weights("old.weights.h5")
    arguments = ["-o", "new.weights.h5", "--seed", "5", "-q"]
    assert main(["init", "old.weights.h5", *arguments]) == 0
    undraw(model)
    model.load_weights("new.weights.h5")
    for path, weight in named_weights(model.layers):
        assert not (np.asarray(weight) == 7).any(), path
        if path.endswith("bias"):
            # Keras's LSTM starts its forget gate, the second of four, at one.
            bias = np.asarray(weight)
            ones = np.repeat([0, 1, 0, 0], bias.size // 4) if bias.any() else 0 * bias
            assert (bias == ones).all(), path
            assert bias.any() == ("lstm" in path or "stacked_rnn_cells/first" in path), path


def test_a_subclassed_model_takes_raw_tensors_by_their_places(keras: Any) -> None:
    class Block(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.up = keras.layers.Dense(4)
            self.norm = keras.layers.LayerNormalization()

        def call(self, x: Any) -> Any:
            return self.norm(self.up(x))

    class Net(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = Block()
            self.head = keras.layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.head(self.first(x))

    places = {
        "first/up/vars/0": [3, 4], "first/up/vars/1": [4], "first/norm/vars/0": [4],
        "first/norm/vars/1": [4], "head/vars/0": [4, 2], "head/vars/1": [2],
    }  # fmt: skip
    law = {"name": "normal", "std": 1}
    tensors = {name: {"shape": shape, "initializer": law} for name, shape in places.items()}
    Path("s.json").write_text(json.dumps({"seed": 5, "tensors": tensors}), "utf-8")
    plan = glorot.make_plan(glorot.load_spec("s.json"))
    for output in ("x.weights.h5", "x.weights.json"):
        model = Net()
        model(np.ones((1, 3), "f4"))
        assert main(["init", "s.json", "-o", output, "-q"]) == 0
        model.load_weights(output)
        # Variables come in the order of their creation, layer by layer.
        weights = [*model.first.up.weights, *model.first.norm.weights, *model.head.weights]
        for tensor, weight in zip(plan.tensors, weights, strict=True):
            np.testing.assert_array_equal(np.asarray(weight), glorot.draw(plan, tensor.name))


def test_an_old_whole_model_is_loaded_as_one(keras: Any) -> None:
    inputs = keras.Input((4,))
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(3)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.ReLU()(hidden)))
    model.compile("adam", "mse")
    model.fit(np.ones((2, 4)), np.ones((2, 2)), verbose=0)
    undraw(model)
    model.save("old.h5")
    assert main(["init", "old.h5", "-o", "new.h5", "--seed", "5", "-q"]) == 0
    loaded = keras.models.load_model("new.h5")
    with h5py.File("new.h5") as file:
        kernel = file[f"model_weights/{model.layers[1].name}/{model.layers[1].name}/kernel"][()]
    for by_name in (None, False, True):
        if by_name is not None:
            undraw(loaded)
            loaded.load_weights("new.h5", by_name=by_name)
        assert np.asarray(loaded.layers[1].kernel).tobytes() == kernel.tobytes()
        for path, weight in named_weights(loaded.layers):
            assert not (np.asarray(weight) == 7).any(), path
