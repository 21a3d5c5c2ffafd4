"""Every layer type against the real Keras layer, over argument sets from a seeded generator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, get_args

import numpy as np
import pytest

from glorot_cli import SpecError, load_spec, make_plan
from glorot_cli.dialects.keras.core import ActivationName
from glorot_cli.dialects.keras.network import MODELS, Dialect
from glorot_cli.dialects.keras.table import LAYERS
from glorot_cli.dialects.layer import Here
from tests.interop import keras_cases, keras_sequence_cases, keras_shape_cases, random_models
from tests.interop.cases import Case, Shape
from tests.interop.comparison import Draw, Layer, Tensor, planned, runs

pytestmark = pytest.mark.interop

SETS = 12
GENERATORS = keras_cases.TABLE | keras_sequence_cases.TABLE | keras_shape_cases.TABLE
# What every layer takes.
COMMON: dict[str, list[Any]] = {
    "trainable": [True, False],
    "name": ["custom", "a/b"],
    "dtype": ["float16", "bfloat16"],
}
# These are called on each of their inputs, all others on a list.
ATTENTION = ("MultiHeadAttention", "GroupQueryAttention")


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Draw]]:
    """Record what Keras's initialisers compute, and let them return the record's place."""
    from keras import ops
    from keras.src.initializers import random_initializers

    draws: list[Draw] = []
    fans: list[tuple[int, int]] = []
    compute_fans = random_initializers.compute_fans

    def counted(*args: Any, **kwargs: Any) -> tuple[int, int]:
        fans.append(compute_fans(*args, **kwargs))
        return fans[-1]

    def recording(law: str) -> Any:
        def drawn(shape: Shape, *, dtype: str, seed: Any, **bounds: float) -> Any:
            first, second = bounds.values()
            draws.append(Draw(law, first, second, fans.pop() if fans else None))
            return ops.full(shape, -1.0 - len(draws), dtype)

        return drawn

    def orthogonal(self: Any, shape: Shape, dtype: str | None = None) -> Any:
        if len(shape) < 2:
            raise ValueError("orthogonal needs a matrix")
        draws.append(Draw("orthogonal", self.gain, 0.0, None))
        return ops.full(shape, -1.0 - len(draws), dtype)

    with monkeypatch.context() as patch:
        patch.setattr(random_initializers, "compute_fans", counted)
        for law in ("uniform", "normal", "truncated_normal"):
            patch.setattr(random_initializers.random, law, recording(law))
        patch.setattr(random_initializers.Orthogonal, "__call__", orthogonal)
        yield draws


def by_keras(
    keras: Any, kind: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> Layer | Exception:
    """Build the real layer, or return what Keras raises."""
    with recorded(monkeypatch) as draws:
        try:
            layer = random_models.construct(keras, {"type": kind, **case.arguments})
            output = _called(keras, kind, layer, case)
        except Exception as error:
            return error
    # Not `v.trainable`: a layer that is not trained keeps that from the layers inside it.
    trainable = {id(v) for v in layer.trainable_weights}
    tensors = [
        Tensor(v.path, tuple(v.shape), str(v.dtype), id(v) in trainable, _values(v, draws))
        for v in layer.weights
    ]
    return Layer(tensors, tuple(output))


def _called(keras: Any, kind: str, layer: Any, case: Case) -> Shape:
    """Call a layer on inputs, and return the shape of its first output without the batch axis."""
    if kind.endswith(("Cell", "Cells")):
        layer.build((None, *case.input_shape))
        return (layer.output_size,)
    inputs = [keras.Input(shape) for shape in case.shapes]
    if kind in ATTENTION:
        # Attention is asked to attend from a single input to itself.
        output = layer(*(inputs if len(inputs) > 1 else inputs * 2))
    else:
        output = layer(inputs if len(inputs) > 1 or kind in MERGES else inputs[0])
    first = output[0] if isinstance(output, list | tuple) else output
    return tuple(first.shape[1:])


MERGES = [name for name, function in LAYERS.items() if function.__code__.co_varnames[0] == "xs"]
MERGES.remove("Functional")


def _values(variable: Any, draws: list[Draw]) -> list[tuple[float | Draw, int]]:
    values = np.asarray(variable).astype(float).ravel().tolist()
    return runs([draws[int(-value) - 2] if value <= -2.0 else value for value in values])


def by_glorot(kind: str, case: Case) -> Layer | SpecError:
    """Plan the layer, or return what glorot raises."""
    entry = {"type": kind, **random_models.plain(case.arguments)}
    inputs = {f"in{index}": list(shape) for index, shape in enumerate(case.shapes)}
    try:
        layers = [{**entry, "inputs": list(inputs)}]
        plan = make_plan(load_spec({"seed": 1, "inputs": inputs, "layers": layers}))
    except SpecError as error:
        return error
    built = Dialect().layer(Here(entry, (), {})).build(*case.shapes)
    return Layer(planned(plan), built.shape)


def draw_case(kind: str, index: int) -> Case:
    """Return one of a layer's argument sets, always the same."""
    random = Random(f"{kind} {index}")
    case = GENERATORS[kind](random)
    for name, values in COMMON.items():
        # Keras lets these have less.
        if (kind.startswith("SpatialDropout") and name == "trainable") or (
            kind in MODELS and name == "dtype"
        ):
            continue
        if random.random() < 0.1:
            case.arguments[name] = random.choice(values)
    return case


def test_every_layer_has_a_generator() -> None:
    assert sorted(GENERATORS) == sorted(LAYERS)


@pytest.mark.parametrize("index", range(SETS))
@pytest.mark.parametrize("kind", GENERATORS)
def test_layer_is_kerass(
    kind: str, index: int, keras: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = draw_case(kind, index)
    real, ours = by_keras(keras, kind, case, monkeypatch), by_glorot(kind, case)
    if isinstance(real, Exception) or isinstance(ours, Exception):
        assert isinstance(real, Exception), f"only glorot refuses {case}: {ours}"
        assert isinstance(ours, Exception), f"only Keras refuses {case}: {real!r}"
    else:
        assert comparable(kind, case, ours) == comparable(kind, case, real)


def comparable(kind: str, case: Case, layer: Layer) -> Layer:
    """Leave out what Keras and glorot say differently of models.

    Keras leaves out the names of most models within, and lists the weights of a model in the order
    of `model.layers`.
    """
    if kind not in MODELS:
        return layer
    models = set(_models({"type": kind, **case.arguments}))

    def named(name: str) -> str:
        parts = name.split("/")
        return "/".join(p for p in parts if not {p, re.sub(r"_\d+$", "", p)} & models)

    tensors = [tensor._replace(name=named(tensor.name)) for tensor in layer.tensors]
    return layer._replace(tensors=sorted(tensors, key=lambda tensor: tensor.name))


def _models(entry: dict[str, Any]) -> Iterator[str]:
    if entry.get("type") in MODELS:
        yield entry.get("name", entry["type"].lower())
        for inner in entry["layers"]:
            yield from _models(inner)


def test_activations_are_kerass(keras: Any) -> None:
    from keras.src.activations import ALL_OBJECTS_DICT

    ours = set(get_args(ActivationName))
    assert all(callable(keras.activations.get(name)) for name in ours)
    # The gated unit halves the last axis, so it is no function of each element.
    assert set(ALL_OBJECTS_DICT) - ours == {"glu"}
