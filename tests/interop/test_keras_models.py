"""Random Keras models take every weight that glorot writes for their specs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glorot_cli import draw, load_spec, make_plan, write_weights
from tests.interop import random_models

pytestmark = pytest.mark.interop

MODELS = 100


def named_weights(layers: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Walk a model's layers, and give each weight below the names of all models that hold it."""
    for layer in layers:
        name = f"{prefix}{layer.name}/"
        if hasattr(layer, "layers"):
            yield from named_weights(layer.layers, name)
            continue
        for weight in layer.weights:
            # What stands before the layer's name depends on where Keras built it.
            _, found, rest = f"/{weight.path}".partition(f"/{layer.name}/")
            assert found, weight.path
            yield name + rest, weight


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("seed", range(MODELS))
def test_random_model_takes_all_weights(seed: int, keras: Any, tmp_path: Path) -> None:
    spec = random_models.plain(random_models.random_spec(seed))
    plan = make_plan(load_spec(spec))
    model = random_models.random_model(keras, seed)
    expected = {tensor.name: draw(plan, tensor.name) for tensor in plan.tensors}
    for name in ("model.weights.h5", "model.h5")[: 1 + seed % 2]:
        for weight in model.weights:
            weight.assign(np.full(weight.shape, np.nan, np.float32))
        write_weights(plan, tmp_path / name)
        model.load_weights(tmp_path / name)
        loaded = dict(named_weights(model.layers))
        assert len(loaded) == len(model.weights)
        assert sorted(loaded) == sorted(expected)
        for key, weight in loaded.items():
            np.testing.assert_array_equal(np.asarray(weight), expected[key], err_msg=key)


def test_random_models_are_of_all_kinds() -> None:
    text = "".join(str(random_models.random_spec(seed)) for seed in range(MODELS))
    for kind in ("Sequential", "Functional", "shared", "in2", "SpectralNormalization", "RNN"):
        assert text.count(f"'{kind}'") > 5, kind
