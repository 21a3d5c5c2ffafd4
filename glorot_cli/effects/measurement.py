"""Mean squares of activations and gradients measured in torch or Keras, with a plan's weights.

A spec's layers are the framework's own: their types and arguments go to torch.nn or to keras.layers
as they stand. Keras runs on its torch backend, so that one way of asking for gradients serves both.
"""

from __future__ import annotations

import importlib
import inspect
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glorot_cli.arguments import InitializerChoice
from glorot_cli.drawing import check, drawer
from glorot_cli.dtypes import numpy_dtype
from glorot_cli.effects.graph import Call, Graph
from glorot_cli.errors import GlorotError, shown, suggestion
from glorot_cli.fans import Shape
from glorot_cli.plan import PlannedTensor

HINT = "needs torch, and Keras for its specs: pip install 'glorot[effects]'"

# What a network is run as: the outputs of its calls by label, and the labels that nothing follows.
# A framework's module or tensor is Any here: neither is installed where this is checked.
Run = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Measured:
    """Mean squares at one layer, over a batch and over seeds, and the standard errors of these."""

    activation_square: float
    activation_error: float
    gradient_square: float
    gradient_error: float


def measure(
    graph: Graph,
    starts: Sequence[Mapping[str, PlannedTensor]],
    labels: Sequence[str],
    batch: int,
    seed: int,
) -> dict[str, Measured]:
    """Push random batches forward and backward through a network, once for each start.

    `labels` are the calls to look at. Inputs, and the gradient at the outputs, are standard
    normals; a table's inputs are indices of its rows. Layers act as in training.

    Raises:
        GlorotError: if the framework is missing, or cannot build a layer.
    """
    torch = _torch()
    found: dict[str, list[tuple[float, float]]] = {label: [] for label in labels}
    for index, tensors in enumerate(starts):
        torch.manual_seed(seed + index)
        run = _build(graph, tensors)
        values = run(_inputs(torch, graph, batch))
        _backpropagate(torch, graph, values, labels)
        for label in labels:
            value = values[label]
            gradient = value.grad
            found[label].append((
                float(value.detach().double().square().mean()),
                0.0 if gradient is None else float(gradient.double().square().mean()),
            ))  # fmt: skip
    return {label: _summary(pairs) for label, pairs in found.items()}


def _summary(pairs: list[tuple[float, float]]) -> Measured:
    values = np.array(pairs)
    errors = np.zeros(2)
    if len(pairs) > 1:
        errors = np.std(values, axis=0, ddof=1) / math.sqrt(len(pairs))
    means = np.mean(values, axis=0)
    return Measured(float(means[0]), float(errors[0]), float(means[1]), float(errors[1]))


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise GlorotError(f"--batch {HINT}") from None


def _keras() -> Any:
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
    try:
        keras = importlib.import_module("keras")
    except ImportError:
        raise GlorotError(f"--batch {HINT}") from None
    if keras.backend.backend() != "torch":
        raise GlorotError(
            f"--batch runs Keras on torch, found the backend {keras.backend.backend()}: set "
            "KERAS_BACKEND=torch before Keras is imported"
        )
    return keras


def _inputs(torch: Any, graph: Graph, batch: int) -> dict[str, Any]:
    rows = {
        parent: call.layer.arguments.get("input_dim") or call.layer.arguments.get("num_embeddings")
        for call in graph.calls
        if call.layer.entry.type == "Embedding"
        for parent in call.parents
    }
    return {
        label: torch.randint(rows[label], (batch, *shape)) if label in rows
        else torch.randn(batch, *shape)
        for label, shape in graph.inputs.items()
    }  # fmt: skip


def _backpropagate(
    torch: Any, graph: Graph, values: Mapping[str, Any], labels: Sequence[str]
) -> None:
    for label in labels:
        if values[label].requires_grad:
            values[label].retain_grad()
    used = {parent for call in graph.calls for parent in call.parents}
    ends = [values[call.label] for call in graph.calls if call.label not in used]
    total = sum((end * torch.randn_like(end)).sum() for end in ends)
    if not getattr(total, "requires_grad", False):
        raise GlorotError("--batch: the network has no weights that are trained")
    total.backward()


def draw(tensor: PlannedTensor) -> np.ndarray[Any, np.dtype[Any]]:
    """Return a tensor's elements in its shape, as float32."""
    check(tensor)
    out = np.empty(tensor.parameters, numpy_dtype(tensor.dtype))
    drawer(tensor)(0, out)
    with np.errstate(over="ignore"):
        return out.astype(np.float32, copy=False).reshape(tensor.shape)


def _build(graph: Graph, tensors: Mapping[str, PlannedTensor]) -> Run:
    make = _keras_layer if graph.dialect == "keras" else _torch_module
    layers: dict[str, Any] = {}

    def run(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        values = dict(inputs)
        for call in graph.calls:
            given = [values[parent] for parent in call.parents]
            if call.name not in layers:
                layers[call.name] = make(call, tensors)
            values[call.label] = layers[call.name](*given)
        return values

    return run


def _arguments(call: Call) -> dict[str, Any]:
    """Return a layer's arguments but for its initialisers, whose tensors are drawn here."""
    given = {}
    for key, value in call.layer.arguments.items():
        if isinstance(value, InitializerChoice) or key.endswith("_initializer"):
            continue
        given[key] = value
    return given


_FROM_INPUT = {"in_features": -1, "in_channels": 0, "num_features": 0}


def _cannot(call: Call, error: Exception) -> GlorotError:
    return GlorotError(f"--batch: {call.label}: {call.layer.entry.type} cannot be built: {error}")


def _torch_module(call: Call, tensors: Mapping[str, PlannedTensor]) -> Callable[..., Any]:
    torch = _torch()
    kind = call.layer.entry.type.removeprefix("Lazy")
    arguments = _arguments(call)
    for key, axis in _FROM_INPUT.items():
        # A size that the spec leaves to the flow.
        if key in inspect.signature(getattr(torch.nn, kind)).parameters:
            arguments[key] = arguments.get(key) or call.inputs[0][axis]
    try:
        module = getattr(torch.nn, kind)(**arguments)
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise _cannot(call, error) from None
    prefix = f"{call.name}."
    own = {
        name.removeprefix(prefix): torch.from_numpy(draw(tensor))
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    missing = set(module.state_dict()) ^ set(own)
    if missing:
        raise GlorotError(f"--batch: {call.label}: the weight {shown(min(missing))} has no place")
    module.load_state_dict(own)
    turned = getattr(module, "batch_first", True) is False

    def apply(*inputs: Any) -> Any:
        if kind == "MultiheadAttention":
            inputs = inputs * 3
        given = [x.transpose(0, 1) for x in inputs] if turned else list(inputs)
        output = module(*given)
        output = output[0] if isinstance(output, tuple) else output
        return output.transpose(0, 1) if turned else output

    return apply


def _keras_layer(call: Call, tensors: Mapping[str, PlannedTensor]) -> Callable[..., Any]:
    keras = _keras()
    name = call.name.replace("/", "_")
    several = len(call.inputs) > 1 and "Attention" not in call.layer.entry.type
    try:
        layer = getattr(keras.layers, call.layer.entry.type)(name=name, **_arguments(call))
        # Joins take their inputs in one list, attention one after the other.
        shapes = [(None, *shape) for shape in call.inputs]
        layer.build(shapes if several else shapes[0]) if len(shapes) == 1 or several else None
        if len(shapes) > 1 and not several:
            layer.build(*shapes[:2])
    except (AttributeError, TypeError, ValueError) as error:
        raise _cannot(call, error) from None
    for variable in layer.weights:
        own = f"{call.name}/{variable.path.removeprefix(f'{name}/')}"
        if own in tensors:
            variable.assign(draw(tensors[own]))
        elif "seed_generator" not in variable.path:
            raise GlorotError(f"--batch: {call.label}: no tensor for the weight {shown(own)}")

    def apply(*inputs: Any) -> Any:
        options = {"training": True} if layer._call_has_training_arg else {}
        if several:
            return layer(list(inputs), **options)
        return layer(*inputs, **options)

    return apply


def measure_model(
    name: str,
    starts: Sequence[Mapping[str, PlannedTensor]],
    shape: Shape | None,
    batch: int,
    seed: int,
) -> dict[str, Measured]:
    """Measure a torch module of the user's own, at each of its modules that holds a kernel.

    `name` is MODULE:CALLABLE. What it returns is a module, or a pair of one and of the inputs to
    call it with; the plan's tensors are loaded into it by their names. `shape` is that of an
    example of standard normals, where the inputs are not given.

    Raises:
        GlorotError: if there is no such callable, or the module has other weights.
    """
    torch = _torch()
    build = _imported(name)
    found: dict[str, list[tuple[float, float]]] = {}
    for index, tensors in enumerate(starts):
        torch.manual_seed(seed + index)
        made = build()
        module, inputs = made if isinstance(made, tuple) else (made, None)
        if not isinstance(module, torch.nn.Module):
            raise GlorotError(f"--model: {name} returned {type(module).__name__}, no torch module")
        if inputs is None:
            if shape is None:
                raise GlorotError(
                    "--model: the spec has no input_shape; return a module and the inputs to call "
                    "it with"
                )
            inputs = (torch.randn(batch, *shape),)
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        _load(torch, name, module, tensors)
        outputs: dict[str, Any] = {}
        for label, inner in module.named_modules():
            if any(f"{label}.{key}" in tensors for key, value in inner.named_parameters(
                    recurse=False) if value.ndim > 1):  # fmt: skip
                inner.register_forward_hook(_keeper(outputs, label))
        module.train()
        end = module(*inputs)
        end = end[0] if isinstance(end, tuple) else end
        (end * torch.randn_like(end)).sum().backward()
        for label, value in outputs.items():
            gradient = value.grad
            found.setdefault(label, []).append((
                float(value.detach().double().square().mean()),
                0.0 if gradient is None else float(gradient.double().square().mean()),
            ))  # fmt: skip
    return {label: _summary(pairs) for label, pairs in found.items()}


def _keeper(outputs: dict[str, Any], label: str) -> Callable[..., None]:
    def keep(module: Any, inputs: Any, output: Any) -> None:
        output = output[0] if isinstance(output, tuple) else output
        if output.requires_grad:
            output.retain_grad()
            outputs[label] = output

    return keep


def _load(torch: Any, name: str, module: Any, tensors: Mapping[str, PlannedTensor]) -> None:
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    for key, tensor in tensors.items():
        if key not in shapes:
            hint = suggestion(key, shapes)
            raise GlorotError(f"--model: {name} has no weight {shown(key)}; {hint}")
        if shapes[key] != tensor.shape:
            raise GlorotError(
                f"--model: expected {shown(key)} of shape {list(tensor.shape)}, as the spec says, "
                f"found {list(shapes[key])}"
            )
    module.load_state_dict(
        {key: torch.from_numpy(draw(tensor)) for key, tensor in tensors.items()}, strict=False
    )


def _imported(name: str) -> Callable[[], Any]:
    where, mark, attribute = name.partition(":")
    if not (where and mark and attribute):
        raise GlorotError(f"--model: expected MODULE:CALLABLE, found {shown(name)}")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = importlib.import_module(where)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise GlorotError(f"--model: {error}") from None
    if not callable(found):
        raise GlorotError(f"--model: {name} is no callable")
    return found
