"""The same cases by the frameworks themselves; Keras's backend is the process's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tests.golden.cases import Array, Case


def by_framework(case: Case) -> dict[str, Array]:
    """Draw a case's tensors by the framework."""
    stream, seed = case["stream"], case["seed"]
    if stream == "torch":
        return _by_torch(seed, case["tensors"])
    arrays = {}
    for index, tensor in enumerate(case["tensors"]):
        draw = _jax if stream == "jax" else _keras
        arrays[f"t{index}"] = draw(
            seed, tuple(tensor["shape"]), tensor["dtype"], tensor["initializer"]
        )
    return arrays


def versions() -> dict[str, str]:
    """Return the versions of whatever is loaded."""
    import platform
    import sys

    names: tuple[str, ...] = ("jax", "keras", "numpy", "tensorflow", "torch")
    loaded = {name: str(sys.modules[name].__version__) for name in names if name in sys.modules}
    return {**loaded, "python": platform.python_version(), "machine": platform.machine()}


def _keras(seed: int, shape: tuple[int, ...], dtype: str, chosen: Mapping[str, Any]) -> Array:
    import keras

    config = {key: value for key, value in chosen.items() if key != "name"}
    name = chosen["name"].title().replace("_", "")
    initializer = keras.initializers.deserialize(
        {"class_name": name, "config": {**config, "seed": seed}}
    )
    if keras.backend.backend() == "jax" and dtype == "float64":
        import jax

        with jax.enable_x64(True):
            return np.asarray(initializer(shape, dtype=dtype))
    return _array(initializer(shape, dtype=dtype))


def _jax(seed: int, shape: tuple[int, ...], dtype: str, chosen: Mapping[str, Any]) -> Array:
    import jax

    def drawn() -> Array:
        key, laws = jax.random.key(seed), jax.nn.initializers
        rest = {name: value for name, value in chosen.items() if name != "name"}
        match chosen["name"]:
            case "random_uniform":
                return np.asarray(jax.random.uniform(key, shape, dtype, *rest.values()))
            case "variance_scaling":
                return np.asarray(laws.variance_scaling(**rest)(key, shape, dtype))
            case name:
                return np.asarray(getattr(laws, name)()(key, shape, dtype))

    with jax.enable_x64(dtype == "float64"):
        return drawn()


def _by_torch(seed: int, tensors: list[Case]) -> dict[str, Array]:
    import torch

    torch.manual_seed(seed)
    arrays = {}
    for index, tensor in enumerate(tensors):
        rest = {key: value for key, value in tensor["initializer"].items() if key != "name"}
        law = getattr(torch.nn.init, f"{tensor['initializer']['name']}_")
        empty = torch.empty(tensor["shape"], dtype=getattr(torch, tensor["dtype"]))
        arrays[f"t{index}"] = _array(law(empty, **rest))
    return arrays


def keras_model(spec: Case, seed: int) -> dict[str, Array]:
    """Build a Keras model from a spec after set_random_seed, and return its weights by name."""
    import keras

    from tests.interop import random_models

    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(spec.get("dtype", "float32"))
    try:
        layers = [_seeded(entry) for entry in spec["layers"]]
        built = random_models.model(keras, {**spec, "layers": layers})
    finally:
        keras.config.set_dtype_policy("float32")
    return dict(_named(built.layers))


def _seeded(entry: Case) -> Case:
    """Give an entry's seed to its kernel's initialiser, as a spec means it."""
    if "seed" not in entry:
        return entry
    rest = {key: value for key, value in entry.items() if key != "seed"}
    return {**rest, "kernel_initializer": {"name": "glorot_uniform", "seed": entry["seed"]}}


def _named(layers: list[Any], prefix: str = "") -> Iterator[tuple[str, Array]]:
    for layer in layers:
        name = f"{prefix}{layer.name}/"
        if hasattr(layer, "layers"):
            yield from _named(layer.layers, name)
            continue
        for weight in layer.weights:
            _, _, rest = f"/{weight.path}".partition(f"/{layer.name}/")
            yield name + rest, _array(weight.value)


def torch_model(spec: Case, seed: int) -> dict[str, Array]:
    """Build torch modules from a spec after manual_seed, and return the state's tensors."""
    import torch

    from tests.interop import random_modules

    torch.manual_seed(seed)
    torch.set_default_dtype(getattr(torch, spec.get("dtype", "float32")))
    try:
        module = random_modules.construct(torch, {"type": "Sequential", "layers": spec["layers"]})
    finally:
        torch.set_default_dtype(torch.float32)
    return {name: _array(value) for name, value in module.state_dict().items()}


def random_keras_spec(seed: int, backend: str) -> Case | None:
    """Return a random model's spec, or None where it has laws that the stream does not draw."""
    from tests.interop import random_models

    def uniform(value: Any) -> Any:
        if isinstance(value, list):
            return [uniform(item) for item in value]
        if not isinstance(value, dict):
            return value
        entry = {key: uniform(item) for key, item in value.items()}
        if entry.get("type", "").startswith(("LSTM", "GRU", "SimpleRNN")):
            entry["recurrent_initializer"] = "glorot_uniform"
        if entry.get("kernel_initializer") == "he_normal":
            entry["kernel_initializer"] = "he_uniform"
        return entry

    spec = random_models.random_spec(seed)
    if backend == "numpy":
        return spec
    # Spectral normalisation has a truncated normal of its own.
    return None if "Spectral" in str(spec) else {**spec, "layers": uniform(spec["layers"])}


def _array(value: Any) -> Array:
    if type(value).__module__.startswith(("torch", "keras")) and hasattr(value, "detach"):
        import torch

        value = value.detach()
        if value.dtype == torch.bfloat16:
            import ml_dtypes

            bits: Array = value.view(torch.int16).numpy()
            return bits.view(ml_dtypes.bfloat16)
        result: Array = value.numpy()
        return result
    return np.asarray(value)
