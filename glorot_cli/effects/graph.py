"""The calls of a spec's layers in the order of the flow, with what goes into each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from glorot_cli.arguments import Dims
from glorot_cli.dialects.keras.network import MODELS, Steps
from glorot_cli.dialects.keras.network import Dialect as KerasDialect
from glorot_cli.dialects.layer import Layer
from glorot_cli.dialects.spatial import margins, spread
from glorot_cli.dialects.torch.network import Dialect as TorchDialect
from glorot_cli.dialects.torch.network import Modules
from glorot_cli.errors import GlorotError
from glorot_cli.fans import Shape
from glorot_cli.plan import Plan
from glorot_cli.spec import load_spec

# The torch dialect's network is one chain, whose input has this name.
INPUT = "input"


class Call(NamedTuple):
    """One call of a layer: its label, the name above its weights, and the labels it is called on.

    Shapes are without the batch axis.
    """

    label: str
    name: str
    layer: Layer
    parents: tuple[str, ...]
    inputs: tuple[Shape, ...]
    output: Shape

    def flag(self, key: str) -> bool:
        """Return an argument that is true or false."""
        return bool(self.layer.arguments.get(key))

    def text(self, key: str) -> str | None:
        """Return an argument that is a word, None if it is not given."""
        value = self.layer.arguments.get(key)
        return value if isinstance(value, str) else None

    def number(self, key: str, default: float = 0.0) -> float:
        """Return an argument that is a number."""
        value = self.layer.arguments.get(key)
        return float(value) if isinstance(value, int | float) else default

    def count(self, key: str, default: int = 0) -> int:
        """Return an argument that is a whole number."""
        value = self.layer.arguments.get(key)
        return value if isinstance(value, int) else default

    def sizes(self, *keys: str, rank: int, default: int = 1) -> Shape:
        """Return one size for each axis, by the first of the keys that is given."""
        for key in keys:
            value = self.layer.arguments.get(key)
            if isinstance(value, int | tuple | list):
                return spread(value if isinstance(value, int) else tuple(value), rank, None)
        return (default,) * rank

    def pairs(self, key: str, rank: int) -> tuple[tuple[int, int], ...]:
        """Return what is put before and after each axis; nothing where no number says how much."""
        value = self.layer.arguments.get(key)
        if not isinstance(value, int | tuple | list):
            return ((0, 0),) * rank
        return tuple(margins(value if isinstance(value, int) else tuple(value), rank, key))


class Graph(NamedTuple):
    """A network: its dialect, its inputs' shapes, and its calls in the order of the flow."""

    dialect: str
    inputs: Mapping[str, Shape]
    calls: list[Call]


def make_graph(plan: Plan) -> Graph:
    """Return the calls of a plan's layers.

    Raises:
        GlorotError: if the spec has no layers that flow, or a shape that is not known.
    """
    spec = load_spec(plan.spec)
    entries = list(spec.layers())
    inputs = spec.inputs()
    if not entries:
        raise GlorotError(
            "the spec's tensors do not say how they are joined; effects need layers with a type, "
            "of the Keras or the torch dialect"
        )
    calls: list[Call] = []
    if spec.table.dialect == "keras":
        steps = KerasDialect().steps(entries, ())
        if not inputs:
            first = steps.steps[0].layer
            shape = None if first is None else first.entry.input_shape
            inputs = {INPUT: known(shape, "the network")}
        shapes = {label: known(shape, label) for label, shape in inputs.items()}
        _keras_calls(steps, {label: (label, shape) for label, shape in shapes.items()}, "", calls)
    else:
        modules = TorchDialect().modules(entries, ())
        shapes = {INPUT: _torch_input(modules, next(iter(inputs.values()), None))}
        _torch_calls(modules, INPUT, shapes[INPUT], "", calls)
    return Graph(spec.table.dialect, shapes, _without_softmax(calls))


def _without_softmax(calls: list[Call]) -> list[Call]:
    """Leave out a softmax at an output: losses take the gradient before it, at the logits."""
    used = {parent for call in calls for parent in call.parents}
    kept = []
    for call in calls:
        is_end = call.label not in used
        if is_end and call.layer.entry.type in ("Softmax", "LogSoftmax"):
            continue
        if is_end and call.text("activation") in ("softmax", "log_softmax"):
            arguments = {**call.layer.arguments, "activation": None}
            call = call._replace(layer=replace(call.layer, arguments=arguments))
            if call.layer.entry.type == "Activation":
                continue
        kept.append(call)
    return kept


def known(shape: Dims | None, owner: str = "the network") -> Shape:
    """Return a shape of which every size is known.

    Raises:
        GlorotError: if one is not.
    """
    if shape is None or None in shape:
        raise GlorotError(
            f"{owner} needs an input_shape of which every size is known; "
            "--set or the spec's input_shape gives it"
        )
    return tuple(size for size in shape if size is not None)


def _keras_calls(
    steps: Steps, inputs: Mapping[str, tuple[str, Shape]], prefix: str, calls: list[Call]
) -> dict[str, str]:
    """Add the calls of a model, and return the labels of its nodes."""
    flow = steps.flow({name: shape for name, (_, shape) in inputs.items()})
    labels = {name: label for name, (label, _) in inputs.items()}
    shapes = {name: shape for name, (_, shape) in inputs.items()}
    for node, (layer, parents, output) in flow.items():
        if layer is None:
            continue
        label, name = f"{prefix}{node}", f"{prefix}{layer.name}"
        shapes[node] = known(output, label)
        within = [(labels[parent], shapes[parent]) for parent in parents]
        if layer.entry.type in MODELS:
            inner, names = layer.arguments["layers"], layer.arguments.get("input_names")
            outputs = layer.arguments.get("outputs")
            assert isinstance(inner, Steps)
            names = names if isinstance(names, list) else ["input"]
            found = _keras_calls(inner, dict(zip(names, within, strict=True)), f"{name}/", calls)
            end = outputs[0] if isinstance(outputs, list) and outputs else list(found)[-1]
            labels[node] = found[end]
            continue
        labels[node] = label
        calls.append(
            Call(label, name, layer, tuple(parent for parent, _ in within),
                 tuple(shape for _, shape in within), shapes[node])
        )  # fmt: skip
    return labels


def _torch_input(modules: Modules, said: Dims | None) -> Shape:
    first = modules.layers[0]
    while first.entry.input_shape is None:
        inner = first.arguments.get("layers")
        if first.entry.type != "Sequential" or not isinstance(inner, Modules):
            break
        first = inner.layers[0]
    shape = said or first.entry.input_shape
    size = first.arguments.get("in_features")
    if shape is None and first.entry.type == "Linear" and isinstance(size, int):
        shape = (size,)
    if shape is None and first.entry.type == "Embedding":
        shape = ()
    return known(shape, "the network")


def _torch_calls(
    modules: Modules, label: str, shape: Shape, prefix: str, calls: list[Call]
) -> tuple[str, Shape]:
    for index, layer in enumerate(modules.layers):
        name = f"{prefix}{layer.name or index}"
        inner = layer.arguments.get("layers")
        if layer.entry.type == "Sequential" and isinstance(inner, Modules):
            label, shape = _torch_calls(inner, label, shape, f"{name}.", calls)
            continue
        output = layer.build(shape).output
        after = shape if output is None else known(output, name)
        calls.append(Call(name, name, layer, (label,), (shape,), after))
        label, shape = name, after
    return label, shape
