"""Keras's description of a model (`model.to_json()`, or a .keras archive's) as a spec."""

from __future__ import annotations

import inspect
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from glorot_cli.dialects.keras.table import LAYERS
from glorot_cli.errors import FormatError, printable, shown
from glorot_cli.initializers import CLASS_NAMES, INITIALIZERS

Config = Mapping[str, Any]
Entry = dict[str, Any]

LARGEST_CONFIG = 256 << 20
MODELS = ("Sequential", "Functional", "Model")
_ATTENTION = ("GroupQueryAttention", "MultiHeadAttention")
_CLASS_NAMES = {"GroupedQueryAttention": "GroupQueryAttention", "Model": "Functional"}
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


def is_keras_config(path: Path) -> bool:
    """Tell whether a file is a .keras archive, or JSON that names a Keras class."""
    with path.open("rb") as file:
        start = file.read(4096)
    return start[:4] == b"PK\x03\x04" or (start.lstrip()[:1] == b"{" and b'"class_name"' in start)


def read_config(path: Path) -> Config:
    """Read a model's configuration from JSON or from a .keras archive.

    Raises:
        FormatError: if it is neither.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                member = archive.getinfo("config.json")
                if member.file_size > LARGEST_CONFIG:
                    raise FormatError(f"{path}: expected a config.json below 256 MiB")
                raw = archive.read(member)
        else:
            if path.stat().st_size > LARGEST_CONFIG:
                raise FormatError(f"{path}: expected a configuration below 256 MiB")
            raw = path.read_bytes()
        config = json.loads(raw)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror}") from None
    except (KeyError, zipfile.BadZipFile):
        raise FormatError(f"{path}: expected a .keras archive with a config.json") from None
    except (ValueError, RecursionError):
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
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise FormatError(
            f"{path}: expected a Keras 3 configuration: {printable(str(error))} is out of place"
        ) from None


class _Reader:
    def __init__(self, path: str) -> None:
        self.path = path

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
        inputs: dict[str, Any] = {}
        pending: list[tuple[Entry, str]] = []
        shapes = {
            layer["name"]: _without_batch(layer["config"])
            for layer in config["layers"]
            if layer["class_name"] == "InputLayer"
        }
        for name in _histories(config["input_layers"]):
            inputs[name] = shapes[name]
        for layer in config["layers"]:
            if layer["class_name"] == "InputLayer":
                continue
            for index, node in enumerate(layer["inbound_nodes"]):
                label = _label(layer["name"], index)
                parents = list(_parents(node, layer["class_name"]))
                if index == 0:
                    entry = {**self.layer(layer), "inputs": parents}
                else:
                    entry = {"shared": layer["name"], "name": label, "inputs": parents}
                pending.append((entry, label))
        return _sorted(pending, set(inputs)), inputs, list(_histories(config["output_layers"]))

    def layer(self, layer: Config) -> Entry:
        """Return a layer's entry."""
        kind = _CLASS_NAMES.get(layer["class_name"], layer["class_name"])
        config = layer["config"]
        if kind not in LAYERS or layer.get("registered_name") is not None:
            raise FormatError(self._unknown(str(layer["class_name"]), config))
        entry: Entry = {"type": kind, "name": config["name"]}
        if config.get("trainable") is False:
            entry["trainable"] = False
        dtype = _dtype(config.get("dtype"))
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
            if value != parameters[key]:
                found[key] = value
        return found

    def _value(self, kind: str, key: str, value: Any) -> Any:
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
        if key == "activation" and value == "linear":
            return None
        return list(value) if isinstance(value, tuple) else value

    def _unknown(self, kind: str, config: Config) -> str:
        name = config.get("name", "layer")
        return (
            f"{self.path}: the layer {shown(name)} is of a type that is not known, {shown(kind)}; "
            f"write its weights under tensors, such as {name}/kernel: {{shape: [64, 10], axes: IO, "
            "initializer: glorot_uniform}"
        )


def _initializer(value: Config) -> Any:
    name = str(value["class_name"])
    snake = str(CLASS_NAMES.get(name, name))
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
    shape = config.get("build_input_shape")
    return None if shape is None else list(shape[1:])


def _histories(layers: Any) -> Iterator[str]:
    """Name the nodes of input or output layers, in whatever structure they stand."""
    if isinstance(layers, Mapping):
        for value in layers.values():
            yield from _histories(value)
    elif len(layers) == 3 and isinstance(layers[0], str) and isinstance(layers[1], int):
        yield _label(layers[0], layers[1])
    else:
        for value in layers:
            yield from _histories(value)


def _label(name: str, node: int) -> str:
    return name if node == 0 else f"{name}:{node}"


def _parents(node: Config, kind: str) -> Iterator[str]:
    """Name the nodes that a layer is called on, in the order of its arguments."""
    kwargs = node["kwargs"]
    if _CLASS_NAMES.get(kind, kind) in _ATTENTION:
        order = ("query", "value", "key")
        rest = [value for key, value in kwargs.items() if key not in order]
        yield from _tensors([node["args"], [kwargs[key] for key in order if key in kwargs], rest])
    else:
        yield from _tensors([node["args"], list(kwargs.values())])


def _tensors(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            name, node, _ = value["config"]["keras_history"]
            yield _label(name, node)
        else:
            yield from _tensors(list(value.values()))
    elif isinstance(value, list):
        for item in value:
            yield from _tensors(item)


def _sorted(pending: list[tuple[Entry, str]], ready: set[str]) -> list[Entry]:
    """Put entries behind all that they are called on, and keep their order otherwise."""
    entries: list[Entry] = []
    while pending:
        waiting = []
        for entry, label in pending:
            known = all(parent in ready for parent in entry["inputs"])
            if known and entry.get("shared", label) in ready | {label}:
                ready.add(label)
                entries.append(entry)
            else:
                waiting.append((entry, label))
        if len(waiting) == len(pending):
            raise ValueError(f"the layer {waiting[0][1]}")
        pending = waiting
    return entries
