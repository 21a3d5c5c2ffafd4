"""Values in a Keras configuration: initializers, dtypes and shapes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from glorot_cli.initializers import CLASS_NAMES as INITIALIZER_NAMES
from glorot_cli.initializers import INITIALIZERS

Config = Mapping[str, Any]

# What Keras 1 and 2 called these.
_OLD_NAMES = {
    "uniform": "random_uniform", "normal": "random_normal", "zero": "zeros", "one": "ones",
    "OrthogonalInitializer": "orthogonal", "IdentityInitializer": "identity",
}  # fmt: skip


def initializer_of(value: Config) -> Any:
    """Read an initializer, without the arguments that are its defaults."""
    name = str(value["class_name"])
    name = name.removesuffix("Initializer").removesuffix("V2")
    snake = str(INITIALIZER_NAMES.get(name, _OLD_NAMES.get(name, name)))
    parameters = (
        inspect.signature(INITIALIZERS[snake].function).parameters
        if (snake in INITIALIZERS)
        else {}
    )
    arguments = {
        key: item
        for key, item in value["config"].items()
        if item is not None
        and key not in ("input_axes", "output_axes")
        and not (key in parameters and parameters[key].default == item)
    }
    return {"name": snake, **arguments} if arguments else snake


def dtype_of(value: Any) -> Any:
    """Read a dtype or a policy's; a mixed policy keeps its variables in float32."""
    if isinstance(value, Mapping):
        value = value["config"]["name"]
    if isinstance(value, str) and value.startswith("mixed_"):
        return "float32"
    return value


def without_batch(config: Config) -> Any:
    """Return an input layer's shape without the batch axis, or None where it says none."""
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    return None if shape is None else list(shape[1:])


def sequential_shape(config: Config) -> Any:
    """Return the input shape of a Sequential without the batch axis, or None where it says none."""
    first = config["layers"][0]
    if first["class_name"] == "InputLayer":
        return without_batch(first["config"])
    # Keras 2 says it of the first layer.
    shape = config.get("build_input_shape") or first["config"].get("batch_input_shape")
    return None if shape is None else list(shape[1:])
