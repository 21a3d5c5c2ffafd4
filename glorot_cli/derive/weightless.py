"""Layers of a Keras model that no dialect knows and that have no weights: the shape they leave."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from glorot_cli.dialects.keras.core import ActivationName

Config = Mapping[str, Any]

# Keras's own layers that run a function.
_FUNCTIONS = ("Lambda", "SlicingOpLambda", "TFOpLambda", "TensorFlowOpLayer")
# Functions of TensorFlow whose output has the shape of their inputs, broadcast.
_ELEMENTWISE = frozenset((
    "abs", "add", "add_v2", "addv2", "cast", "clip_by_value", "cos", "divide", "dropout", "elu",
    "erf", "exp", "floor", "gelu", "identity", "leaky_relu", "log", "log1p", "maximum", "minimum",
    "mul", "multiply", "negative", "pow", "realdiv", "relu", "relu6", "round", "rsqrt", "selu",
    "sigmoid", "sign", "silu", "sin", "softmax", "softplus", "softsign", "sqrt", "square",
    "stop_gradient", "sub", "subtract", "swish", "tanh", "truediv",
))  # fmt: skip
# Layers of others that keep the shape, besides those that are named as an activation is.
_KEEPING = ("droppath", "fixeddropout", "hardswish", "stochasticdepth", "swish")
_ACTIVATIONS = frozenset(
    (*_KEEPING, *(str(name).replace("_", "") for name in get_args(ActivationName)))
)
# What a class that has weights is often called.
_WEIGHTED = re.compile(
    "affine|attention|bias|block|conv|dense|embed|encod|decod|expert|gru|learn|linear|lstm|"
    "memory|mixer|model|norm|position|prelu|parametric|project|rnn|recurrent|scale|token|train",
    re.IGNORECASE,
)
# What Keras says of every layer, and an argument that sizes nothing.
_OF_EVERY_LAYER = frozenset((
    "activity_regularizer", "autocast", "axis", "batch_input_shape", "batch_shape", "dtype",
    "name", "noise_shape", "seed", "trainable",
))  # fmt: skip


def is_function(layer: Config) -> bool:
    """Tell whether a layer is one of Keras's own that run a function."""
    module = str(layer.get("module") or "keras").partition(".")[0]
    return layer["class_name"] in _FUNCTIONS and module in ("keras", "tf_keras", "tensorflow")


def has_no_weights(layer: Config) -> bool:
    """Tell whether a layer's configuration is that of one without weights.

    A function has none. Nor has a class whose name is not that of a layer with weights and whose
    arguments size none: sizes, initializers, layers.
    """
    if is_function(layer):
        return True
    config = layer["config"]
    if _WEIGHTED.search(str(layer["class_name"])):
        return False
    return not any(
        _sizes_weights(key, value) for key, value in config.items() if key not in _OF_EVERY_LAYER
    )


def _sizes_weights(key: str, value: Any) -> bool:
    if key.endswith(("_initializer", "_regularizer", "_constraint", "units", "filters")):
        return True
    if isinstance(value, bool | float | str) or value is None:
        return False
    # Of whole numbers these are no width; of anything else nothing is known.
    return value not in (-1, 0, 1)


def keeps_shape(layer: Config) -> bool:
    """Tell whether the shape can only stay, but for broadcasting."""
    config = layer["config"]
    if is_function(layer):
        function = config.get("function")
        if layer["class_name"] == "TensorFlowOpLayer":
            node = config.get("node_def")
            function = node.get("op") if isinstance(node, Mapping) else None
        if layer["class_name"] == "Lambda" or not isinstance(function, str):
            return False
        return function.rpartition(".")[2].lower() in _ELEMENTWISE
    # A class that is registered has its package before its name.
    name = str(layer["class_name"]).rpartition(">")[2]
    return name.replace("_", "").lower() in _ACTIVATIONS


def stated_output(layer: Config) -> list[Any] | None:
    """Return the output shape, without the batch axis, that a Lambda's own argument states."""
    shape = layer["config"].get("output_shape") if layer["class_name"] == "Lambda" else None
    if isinstance(shape, Mapping) and shape.get("class_name") == "__tuple__":
        shape = shape.get("items")
    return list(shape) if isinstance(shape, list) and _is_shape(shape) else None


def built_input(layer: Config) -> list[Any] | None:
    """Return the input shape, without the batch axis, that a layer was built with."""
    build = layer.get("build_config")
    shape = build.get("input_shape") if isinstance(build, Mapping) else None
    return list(shape[1:]) if isinstance(shape, list) and shape and _is_shape(shape) else None


def _is_shape(sizes: list[Any]) -> bool:
    """Tell whether all of a list are sizes, of which some may be open."""
    return all(size is None or (type(size) is int and size > 0) for size in sizes)
