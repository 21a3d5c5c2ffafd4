"""A spec's layers as a chain that a batch can be pushed through: which ones, and with what."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from glorot_cli.dialects.layer import Layer
from glorot_cli.dialects.spatial import margins, spread
from glorot_cli.drawing import check, drawer
from glorot_cli.dtypes import Array, numpy_dtype
from glorot_cli.errors import GlorotError, shown
from glorot_cli.fans import Shape
from glorot_cli.gains.layers import (
    FUNCTIONS,
    Activation,
    Convolution,
    Dense,
    Pairs,
    Pooling,
    Reshape,
    Step,
    Window,
)
from glorot_cli.plan import Plan, PlannedTensor
from glorot_cli.spec import load_spec

Kernels = Callable[[PlannedTensor], PlannedTensor]

_IDENTITIES = ("Activity", "Alpha", "Dropout", "Feature", "Gaussian", "Identity", "Masking",
               "SpatialDropout")  # fmt: skip
# Layers that are one of gains' functions, with what torch and Keras call its slope.
_ACTIVATIONS = {
    "relu": "relu", "relu6": "relu6", "leakyrelu": "leaky_relu", "elu": "elu", "selu": "selu",
    "gelu": "gelu", "silu": "silu", "sigmoid": "sigmoid", "tanh": "tanh", "softplus": "softplus",
    "softsign": "softsign", "softmax": "softmax",
}  # fmt: skip
# Keras's names of functions that have another one, and the slopes that its functions have.
_ALIASES = {"swish": "silu"}
_SLOPES = {"leaky_relu": 0.2, "elu": 1.0}


class Chain(NamedTuple):
    """Hold the layers of a network, one behind the other, and the shape of an example."""

    steps: list[Step]
    input_shape: Shape

    def batch(self, size: int, seed: int) -> Array:
        """Draw a batch of standard normals."""
        rng = np.random.default_rng([seed, 0])
        return rng.standard_normal((size, *self.input_shape), np.float32)


def make_chain(plan: Plan, changed: Kernels = lambda tensor: tensor) -> Chain:
    """Draw the weights of a plan's layers, and put the layers one behind the other.

    `changed` may give a tensor another law.

    Raises:
        GlorotError: if the network branches, or has layers that cannot be run.
    """
    spec = load_spec(plan.spec)
    dialect = spec.table.dialect
    network = import_module(f"glorot_cli.dialects.{dialect}.network").Dialect()
    if dialect == "keras":
        layers = list(_keras_layers(network.steps(spec.layers(), ()).steps, ""))
    else:
        layers = list(_torch_layers(network.modules(spec.layers(), ()).layers, ""))
    inputs = spec.inputs()
    if not layers or len(inputs) > 1:
        raise GlorotError("--batch needs layers that stand one behind the other, from one input")
    builder = _Builder(plan, changed, channels_first=dialect == "torch")
    shape = _input_shape(layers, next(iter(inputs.values()), None))
    steps: list[Step] = []
    flow: tuple[int | None, ...] = shape
    for name, layer in layers:
        steps += builder.steps(name, layer, tuple(n or 0 for n in flow))
        flow = layer.build(flow).shape
    return Chain(steps, shape)


def _keras_layers(steps: Any, prefix: str) -> Iterator[tuple[str, Layer]]:
    last = None
    for step in steps:
        layer = step.layer
        if layer is None or layer.entry.inputs not in (None, last, [last]):
            raise GlorotError(
                "--batch needs layers that stand one behind the other, from one input"
            )
        last = layer.name
        if layer.entry.type == "Sequential":
            yield from _keras_layers(layer.arguments["layers"].steps, f"{prefix}{layer.name}/")
        else:
            yield f"{prefix}{layer.name}", layer


def _torch_layers(layers: Any, prefix: str) -> Iterator[tuple[str, Layer]]:
    for index, layer in enumerate(layers):
        name = f"{prefix}{layer.name or index}"
        if layer.entry.type == "Sequential":
            yield from _torch_layers(layer.arguments["layers"].layers, f"{name}.")
        else:
            yield name, layer


def _input_shape(layers: list[tuple[str, Layer]], said: Any) -> Shape:
    first = layers[0][1]
    shape = first.entry.input_shape or said
    if shape is None and first.arguments.get("in_features"):
        shape = (first.arguments["in_features"],)
    if shape is None or None in shape:
        raise GlorotError("--batch needs an input_shape of which every size is known")
    return tuple(shape)


class _Builder:
    """Turn layers into steps, with the weights of a plan."""

    def __init__(self, plan: Plan, changed: Kernels, *, channels_first: bool) -> None:
        self.tensors = {tensor.name: tensor for tensor in plan.tensors}
        self.changed = changed
        self.torch = channels_first

    def steps(self, name: str, layer: Layer, shape: Shape) -> Iterator[Step]:
        kind, arguments = layer.entry.type, layer.arguments
        lower = kind.lower()
        if kind in ("Dense", "Linear"):
            kernel = self._weight(name, "weight" if self.torch else "kernel")
            yield Dense(name, kernel.T if self.torch else kernel, self._bias(name))
            yield from self._activation(name, layer)
        elif lower.startswith("conv") and lower[4:] in ("1d", "2d", "3d"):
            yield self._convolution(name, layer, shape)
            yield from self._activation(name, layer)
        elif kind == "Activation":
            yield from self._activation(name, layer)
        elif lower in _ACTIVATIONS:
            yield self._layer_activation(name, kind, _ACTIVATIONS[lower], arguments)
        elif "pool" in lower:
            yield from self._pooling(name, layer, shape)
        elif kind in ("Flatten", "Reshape"):
            yield Reshape(_known(layer.build(shape).output))
        elif not kind.startswith(_IDENTITIES):
            raise _unknown(name, kind)

    def _weight(self, layer: str, weight: str) -> Array:
        name = layer + (f".{weight}" if self.torch else f"/{weight}")
        if name not in self.tensors:
            raise _unknown(layer, "a weight that is parametrized")
        tensor = self.changed(self.tensors[name])
        check(tensor)
        out = np.empty(tensor.parameters, numpy_dtype(tensor.dtype))
        drawer(tensor)(0, out)
        with np.errstate(over="ignore"):  # as of the activations that follow from it
            return out.astype(np.float32, copy=False).reshape(tensor.shape)

    def _bias(self, layer: str) -> Array | None:
        name = f"{layer}.bias" if self.torch else f"{layer}/bias"
        return self._weight(layer, "bias") if name in self.tensors else None

    def _activation(self, name: str, layer: Layer) -> Iterator[Step]:
        said = layer.arguments.get("activation")
        if said in (None, "linear"):
            return
        function = _ALIASES.get(str(said), str(said))
        if function not in FUNCTIONS:
            raise GlorotError(
                f"--batch: {name}: the activation {shown(said)} cannot be run; these can: "
                f"{', '.join(FUNCTIONS)}"
            )
        yield Activation(function, _SLOPES.get(function, 0.0))

    def _layer_activation(
        self, name: str, kind: str, function: str, arguments: Mapping[str, Any]
    ) -> Step:
        slope = arguments.get("negative_slope", arguments.get("alpha", 1.0))
        usual = {"max_value": None, "threshold": (0.0, 20.0), "beta": 1.0, "approximate": "none"}
        for key, value in usual.items():
            allowed = value if isinstance(value, tuple) else (value,)
            if key in arguments and arguments[key] not in allowed:
                raise _unknown(name, f"{kind} with {key}")
        if function == "relu" and slope and "negative_slope" in arguments:
            function = "leaky_relu"
        return Activation(function, slope)

    def _convolution(self, name: str, layer: Layer, shape: Shape) -> Step:
        arguments: dict[str, Any] = layer.arguments
        rank = int(layer.entry.type[4])
        kernel = self._weight(name, "weight" if self.torch else "kernel")
        if self.torch:
            if arguments["padding_mode"] != "zeros":
                raise _unknown(name, f"padding_mode {arguments['padding_mode']}")
            kernel = np.moveaxis(kernel, (0, 1), (-1, -2))
        window = self._window(layer, shape, rank, kernel.shape[:rank])
        return Convolution(name, window, kernel, self._bias(name), arguments["groups"])

    def _window(self, layer: Layer, shape: Shape, rank: int, size: tuple[int, ...]) -> Window:
        arguments: dict[str, Any] = layer.arguments
        strides = arguments.get("strides", arguments.get("stride", 1)) or size
        steps = spread(strides, rank, "strides")
        rates = spread(arguments.get("dilation_rate", arguments.get("dilation", 1)), rank, None)
        first = self.torch or arguments.get("data_format") == "channels_first"
        space = shape[1:] if first else shape[:-1]
        pairs = _margins(arguments.get("padding", 0), space, size, steps, rates)
        return Window(size, steps, rates, pairs, first)

    def _pooling(self, name: str, layer: Layer, shape: Shape) -> Iterator[Step]:
        arguments: dict[str, Any] = layer.arguments
        kind = layer.entry.type
        rank, largest = int(kind[-2]), "Max" in kind
        first = self.torch or arguments.get("data_format") == "channels_first"
        space = shape[1:] if first else shape[:-1]
        if kind.startswith(("Global", "Adaptive")):
            if set(spread(arguments.get("output_size", 1), rank, None)) != {1}:
                raise _unknown(name, f"{kind} to more than one place")
            yield Pooling(Window(space, (1,) * rank, (1,) * rank, ((0, 0),) * rank, first), largest)
            output = _known(layer.build(shape).output)
            if len(output) < rank + 1:
                yield Reshape(output)
            return
        if kind.startswith("LP") or arguments.get("ceil_mode"):
            raise _unknown(name, f"{kind} with ceil_mode" if "ceil_mode" in arguments else kind)
        size = spread(arguments.get("pool_size") or arguments["kernel_size"], rank, None)
        window = self._window(layer, shape, rank, size)
        if not largest and any(map(any, window.margins)) and not self.torch:
            raise _unknown(name, f"{kind} with padding")
        yield Pooling(window, largest)


def _margins(padding: Any, space: Shape, size: Shape, steps: Shape, rates: Shape) -> Pairs:
    """Return what is put before and after each axis."""
    rank = len(size)
    widths = [(k - 1) * rate for k, rate in zip(size, rates, strict=True)]
    if padding == "causal":
        return tuple((width, 0) for width in widths)
    if padding == "same":
        totals = [
            max((math.ceil(n / step) - 1) * step + width + 1 - n, 0)
            for n, step, width in zip(space, steps, widths, strict=True)
        ]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple(margins(0 if padding == "valid" else padding, rank, "padding"))


def _known(shape: Any) -> Shape:
    return tuple(int(n) for n in shape)


def _unknown(name: str, kind: str) -> GlorotError:
    return GlorotError(
        f"--batch: {name}: {kind} cannot be run; Dense and convolution layers, activations, "
        "pooling, flattening and dropout can"
    )
