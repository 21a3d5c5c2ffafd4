"""Keras's description of a model (`model.to_json()`, or a .keras archive's) as a spec."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from glorot_cli.derive.derived import Derived
from glorot_cli.derive.keras_graph import (
    CLASS_NAMES,
    Call,
    UnplacedError,
    histories,
    in_order,
    masks_matter,
    read_calls,
)
from glorot_cli.derive.keras_values import (
    dtype_of,
    initializer_of,
    sequential_shape,
    without_batch,
)
from glorot_cli.derive.weightless import built_input, has_no_weights, keeps_shape, stated_output
from glorot_cli.dialects.keras.core import ActivationName
from glorot_cli.dialects.keras.table import LAYERS
from glorot_cli.errors import FormatError, listed, shown
from glorot_cli.formats import zips
from glorot_cli.formats.texts import TooManyError, parse_json

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


def spec_of_config(config: Config, path: str) -> Derived:
    """Turn a model's configuration into a spec in the Keras dialect.

    A layer that the dialect does not know is passed over, with a remark, where it has no weights
    and the configuration states or implies the shape that it leaves.

    Raises:
        FormatError: at any other layer that the dialect does not know.
    """
    reader = _Reader(path)
    try:
        return Derived(reader.model(config), remarks=reader.remarks())
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
        self.passed_over: list[str] = []

    def remarks(self) -> tuple[str, ...]:
        """Say which layers were passed over."""
        if not self.passed_over:
            return ()
        one = len(self.passed_over) == 1
        what, their = ("a layer", "its type is") if one else ("layers", "their types are")
        return (
            f"passed over as {what} without weights, for {their} not known: "
            f"{listed(self.passed_over, 20)}",
        )

    def model(self, config: Config) -> Entry:
        """Return the spec of a whole model."""
        inner = config["config"]
        if config["class_name"] == "Sequential":
            # Before Keras 2.2.3 the layers were all of it.
            inner = {"layers": inner} if isinstance(inner, list) else inner
            layers = inner["layers"]
            shape = sequential_shape(inner)
            spec: Entry = {} if shape is None else {"input_shape": shape}
            return {**spec, "layers": self.chain(layers, ends=True)}
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

    def chain(self, layers: list[Config], *, ends: bool = False) -> list[Entry]:
        """Return the entries of a Sequential, whose output nothing is called on if it `ends`."""
        layers = [layer for layer in layers if layer["class_name"] != "InputLayer"]
        entries = []
        for layer, after in zip(layers, [*layers[1:], None], strict=True):
            if self.is_known(layer):
                entries.append(self.layer(layer))
                continue
            shape = stated_output(layer) or (None if after is None else built_input(after))
            if shape is None and not keeps_shape(layer) and not (ends and after is None):
                raise FormatError(self._unknown(layer))
            entries.append(self.identity(layer, layer["config"]["name"], shape))
        return entries

    def is_known(self, layer: Config) -> bool:
        """Tell whether the dialect knows a layer, or whether it must, as none without weights."""
        return (_kind(layer) in LAYERS and _is_kerass(layer)) or not has_no_weights(layer)

    def identity(self, layer: Config, label: str, shape: Any) -> Entry:
        """Return the entry of what stands for a layer that is passed over."""
        name = f"{layer['config']['name']} ({layer['class_name']})"
        if name not in self.passed_over:
            self.passed_over.append(name)
        entry: Entry = {"type": "Identity", "name": label}
        return entry if shape is None else {**entry, "input_shape": shape}

    def graph(self, config: Config) -> tuple[list[Entry], dict[str, Any], list[str]]:
        """Return the entries of a Functional, each after what it is called on."""
        layers = {layer["name"]: layer for layer in config["layers"]}
        inputs = {
            name: without_batch(layers[name]["config"])
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
            elif not self.is_known(layers[call.layer]):
                entry = {**self.unknown_call(layers[call.layer], call, shapes), **named}
            elif call.label != call.layer:
                entry = {"shared": call.layer, "name": call.label, **named}
            else:
                entry = {**self.layer(layers[call.layer]), **named}
                if call.layer in stated and call.main[0].shape is not None:
                    entry["input_shape"] = call.main[0].shape
            entries.append(entry)
        return entries, inputs, outputs

    def unknown_call(self, layer: Config, call: Call, shapes: Mapping[str, Any]) -> Entry:
        """Return what stands for a call of a layer that is passed over."""
        shape = shapes.get(call.label) or stated_output(layer)
        keeps = keeps_shape(layer)
        if shape is None and keeps:
            shape = call.main[0].shape
        if shape is None and not keeps:
            raise FormatError(self._unknown(layer))
        entry = self.identity(layer, call.label, shape)
        # Of several whose shapes are not stated the output's is the one they are broadcast to.
        several = shape is None and len(call.inputs) > 1
        return {**entry, "type": "Add"} if several else entry

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
            raise FormatError(self._unknown(layer))
        entry: Entry = {"type": kind, "name": config["name"]}
        if config.get("trainable") is False:
            entry["trainable"] = False
        dtype = dtype_of(config.get("dtype"))
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
                return initializer_of(value)
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

    def _unknown(self, layer: Config) -> str:
        kind, name = str(layer["class_name"]), layer["config"].get("name", "layer")
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
