"""Keras's description of a model (`model.to_json()`, or a .keras archive's) as a spec."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from glorot_cli.derive.keras_graph import (
    CLASS_NAMES,
    UnplacedError,
    histories,
    in_order,
    masks_matter,
    read_calls,
)
from glorot_cli.dialects.keras.core import ActivationName
from glorot_cli.dialects.keras.table import LAYERS
from glorot_cli.errors import FormatError, shown
from glorot_cli.formats import zips
from glorot_cli.formats.texts import TooManyError, parse_json
from glorot_cli.initializers import CLASS_NAMES as INITIALIZER_NAMES
from glorot_cli.initializers import INITIALIZERS

Config = Mapping[str, Any]
Entry = dict[str, Any]

LARGEST_CONFIG = 64 << 20
# A spec's text may be nested twice as deep as this, and some.
DEEPEST = 24
ACTIVATIONS: tuple[str, ...] = get_args(ActivationName)
MODELS = ("Sequential", "Functional", "Model")
# What Keras says of every layer, or of some, and no shape, name or initial value depends on.
_IMMATERIAL = frozenset((
    "activity_regularizer", "alpha_constraint", "alpha_regularizer", "autocast",
    "batch_input_shape", "batch_shape", "beta_constraint", "beta_regularizer",
    "bias_constraint", "bias_regularizer", "build_input_shape", "depthwise_constraint",
    "depthwise_regularizer", "embeddings_constraint", "embeddings_regularizer",
    "flash_attention", "gamma_constraint", "gamma_regularizer", "gptq_unpacked_column_size",
    "implementation", "input_length", "kernel_constraint", "kernel_regularizer", "lora_alpha",
    "lora_rank", "pointwise_constraint", "pointwise_regularizer", "quantization_config",
    "ragged", "recurrent_constraint", "recurrent_regularizer", "renorm_clipping",
    "renorm_momentum", "rms_scaling", "sliding_window", "sparse", "time_major", "use_cudnn",
    "weights", "zero_output_for_mask",
))  # fmt: skip


def read_config(path: Path) -> Config:
    """Read a model's configuration from JSON or from a .keras archive.

    Raises:
        FormatError: if it is neither.
    """
    try:
        if zips.is_zip(path):
            raw = zips.read_member(path, "config.json", LARGEST_CONFIG)
        else:
            if path.stat().st_size > LARGEST_CONFIG:
                raise FormatError(f"{path}: expected a configuration below 64 MiB")
            raw = path.read_bytes()
        config = parse_json(raw)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror}") from None
    except TooManyError as error:
        raise FormatError(f"{path}: {error}") from None
    except ValueError:
        raise FormatError(f"{path}: expected the JSON of a Keras model") from None
    if not isinstance(config, Mapping) or not isinstance(config.get("config"), Mapping):
        raise FormatError(f"{path}: expected the JSON of a Keras model")
    return config


def spec_of_config(config: Config, path: str) -> Entry:
    """Turn a model's configuration into a spec in the Keras dialect.

    Raises:
        FormatError: at a layer that the dialect does not know.
    """
    try:
        return _Reader(path).model(config)
    except KeyError as error:
        raise FormatError(
            f"{path}: expected a Keras 3 configuration, in which {shown(error.args[0])} is missing"
        ) from None
    except (TypeError, IndexError, AttributeError, ValueError):
        raise FormatError(
            f"{path}: expected a Keras 3 configuration, as model.to_json() writes it"
        ) from None


class _Reader:
    def __init__(self, path: str) -> None:
        self.path = path
        self.depth = 0

    def model(self, config: Config) -> Entry:
        """Return the spec of a whole model."""
        inner = config["config"]
        if config["class_name"] == "Sequential":
            layers = inner["layers"]
            shape = _sequential_shape(inner)
            spec: Entry = {} if shape is None else {"input_shape": shape}
            return {**spec, "layers": self.chain(layers)}
        if config["class_name"] not in MODELS:
            raise FormatError(
                f"{self.path}: {shown(config['class_name'])} is neither Sequential nor Functional; "
                "a subclassed model's configuration does not say its layers"
            )
        entries, inputs, outputs = self.graph(inner)
        spec = {"inputs": inputs}
        if len(inputs) == 1:
            (name,) = inputs
            spec = {"inputs": inputs} if name != "input" else {"input_shape": inputs[name]}
        return {**spec, "outputs": outputs, "layers": entries}

    def chain(self, layers: list[Config]) -> list[Entry]:
        """Return the entries of a Sequential."""
        return [self.layer(layer) for layer in layers if layer["class_name"] != "InputLayer"]

    def graph(self, config: Config) -> tuple[list[Entry], dict[str, Any], list[str]]:
        """Return the entries of a Functional, each after what it is called on."""
        layers = {layer["name"]: layer for layer in config["layers"]}
        inputs = {
            name: _without_batch(layers[name]["config"])
            for name in histories(config["input_layers"])
        }
        models = [name for name, each in layers.items() if _kind(each) == "Functional"]
        outputs = list(histories(config["output_layers"], models))
        calls = read_calls(list(layers.values()))
        try:
            ordered = in_order(calls, list(inputs), outputs)
        except UnplacedError as error:
            raise FormatError(
                f"{self.path}: the layer {shown(error.args[0])} is called on what is not there"
            ) from None
        if masks_matter(calls, list(inputs), outputs):
            raise FormatError(
                f"{self.path}: the order of the layers depends on masks, which a spec cannot say"
            )
        shapes = {tensor.label: tensor.shape for call in calls for tensor in call.main}
        stated = {call.layer for call in calls if call.states_shape}
        entries = []
        for call in ordered:
            named: Entry = {"inputs": [tensor.label for tensor in call.inputs]}
            if call.stands_in:
                shape = shapes.get(call.label, call.main[0].shape)
                entry = {"type": "Identity", "name": call.label, "input_shape": shape, **named}
            elif call.label != call.layer:
                entry = {"shared": call.layer, "name": call.label, **named}
            else:
                entry = {**self.layer(layers[call.layer]), **named}
                if call.layer in stated and call.main[0].shape is not None:
                    entry["input_shape"] = call.main[0].shape
            entries.append(entry)
        return entries, inputs, outputs

    def layer(self, layer: Config) -> Entry:
        """Return a layer's entry."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise FormatError(f"{self.path}: expected at most {DEEPEST} layers within layers")
        entry = self._layer(layer)
        self.depth -= 1
        return entry

    def _layer(self, layer: Config) -> Entry:
        kind = _kind(layer)
        config = layer["config"]
        if kind not in LAYERS or not _is_kerass(layer):
            raise FormatError(self._unknown(str(layer["class_name"]), config))
        entry: Entry = {"type": kind, "name": config["name"]}
        if config.get("trainable") is False:
            entry["trainable"] = False
        dtype = _dtype(config.get("dtype"))
        if (isinstance(dtype, str) and "int8" in dtype) or config.get("quantization_mode"):
            raise FormatError(
                f"{self.path}: the layer {shown(config['name'])} is quantised to int8, whose "
                "weights are not drawn; start from the model that was quantised"
            )
        if dtype not in (None, "float32"):
            entry["dtype"] = dtype
        if kind == "Sequential":
            return {**entry, "layers": self.chain(config["layers"])}
        if kind == "Functional":
            entries, inputs, outputs = self.graph(config)
            return {**entry, "input_names": list(inputs), "outputs": outputs, "layers": entries}
        return {**entry, **self.arguments(kind, config)}

    def arguments(self, kind: str, config: Config) -> Entry:
        """Return the arguments that differ from their defaults."""
        parameters = {
            name: parameter.default
            for name, parameter in inspect.signature(LAYERS[kind]).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        found: Entry = {}
        for key, value in config.items():
            if key in ("name", "trainable", "dtype"):
                continue
            if key not in parameters:
                if key in _IMMATERIAL or value in (None, False):
                    continue
                raise FormatError(
                    f"{self.path}: {kind} {shown(config['name'])}: the argument "
                    f"{shown(key)} = {shown(value)} is not supported"
                )
            value = self._value(kind, key, value)
            default = parameters[key]
            is_same = isinstance(value, list) and value and all(item == default for item in value)
            if value != default and not is_same:
                found[key] = value
        return found

    def _value(self, kind: str, key: str, value: Any) -> Any:
        if key.endswith("activation"):
            return self._activation(kind, value)
        if isinstance(value, Mapping) and "class_name" in value:
            if key.endswith("_initializer"):
                return _initializer(value)
            if value["class_name"] == "StackedRNNCells":
                return [self.layer(cell) for cell in value["config"]["cells"]]
            entry = self.layer(value)
            if kind == "Bidirectional" and key == "layer":
                # Keras has put the direction before the name already.
                entry["name"] = entry["name"].removeprefix("forward_")
            return entry
        return value

    def _activation(self, kind: str, value: Any) -> Any:
        """Return an activation's name, or that of none where it is a layer or a custom function."""
        if isinstance(value, Mapping) and value["class_name"] == "PReLU":
            raise FormatError(
                f"{self.path}: a PReLU as an activation has weights of its own, which is not "
                "supported; make it a layer"
            )
        none = "linear" if kind == "Activation" else None
        if isinstance(value, Mapping) or (value not in ACTIVATIONS and value is not None):
            return none
        return none if value == "linear" else value

    def _unknown(self, kind: str, config: Config) -> str:
        name = config.get("name", "layer")
        return (
            f"{self.path}: the layer {shown(name)} is of a type that is not known, {shown(kind)}; "
            f"write its weights under tensors, such as {name}/kernel: {{shape: [64, 10], axes: IO, "
            "initializer: glorot_uniform}"
        )


def _kind(layer: Config) -> str:
    return str(CLASS_NAMES.get(layer["class_name"], layer["class_name"]))


def _is_kerass(layer: Config) -> bool:
    """Tell whether a class is Keras's own, and none that someone registered by the same name."""
    module = str(layer.get("module") or "keras").partition(".")[0]
    return module in ("keras", "tf_keras", "tensorflow") and layer.get("registered_name") in (
        None,
        layer["class_name"],
    )


# What Keras 1 and 2 called these.
_OLD_NAMES = {
    "uniform": "random_uniform", "normal": "random_normal", "zero": "zeros", "one": "ones",
    "OrthogonalInitializer": "orthogonal", "IdentityInitializer": "identity",
}  # fmt: skip


def _initializer(value: Config) -> Any:
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


def _dtype(value: Any) -> Any:
    """Read a dtype or a policy's; a mixed policy keeps its variables in float32."""
    if isinstance(value, Mapping):
        value = value["config"]["name"]
    if isinstance(value, str) and value.startswith("mixed_"):
        return "float32"
    return value


def _without_batch(config: Config) -> Any:
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    return None if shape is None else list(shape[1:])


def _sequential_shape(config: Config) -> Any:
    first = config["layers"][0]
    if first["class_name"] == "InputLayer":
        return _without_batch(first["config"])
    # Keras 2 says it of the first layer.
    shape = config.get("build_input_shape") or first["config"].get("batch_input_shape")
    return None if shape is None else list(shape[1:])
