"""Keras's networks: how layers are joined, and the order and the groups that they are stored in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from glorot_cli.arguments import Dims, checked_size
from glorot_cli.dialects.classes import class_of, find_type
from glorot_cli.dialects.following import scale_behind
from glorot_cli.dialects.keras.names import Counters, snake_case
from glorot_cli.dialects.keras.table import LAYERS
from glorot_cli.dialects.layer import (
    Built,
    Here,
    Layer,
    LayerEntry,
    Place,
    Tally,
    Weight,
    bind_layer,
    read_entry,
    within,
)
from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.repeats import stamp_layers
from glorot_cli.repeats.templates import fill_name
from glorot_cli.signatures import Table, signature_table, validated

# Keras gives these no dtype; here they hand theirs on to the layers within.
MODELS = ("Functional", "Sequential")


class SharedEntry(Table):
    """Hold an entry that calls an earlier layer again."""

    shared: str
    inputs: str | list[str] | None = None
    name: str | None = None


class Step(NamedTuple):
    """Hold one entry: the layer that it constructs, or the call of an earlier one."""

    place: Place
    layer: Layer | None
    shared: SharedEntry | None = None


class Node(NamedTuple):
    """Hold one call of a layer: its name, and the nodes it was called on. Inputs have no layer."""

    layer: str | None
    parents: tuple[str, ...]
    output: Dims


def place_layers(
    entries: Iterable[Place], inputs: Mapping[str, Dims], outputs: Sequence[str]
) -> list[Weight]:
    """Name the layers of a spec, let shapes flow through them, and give all their weights.

    Raises:
        SpecError: at the layer or the argument that does not fit.
    """
    steps = Dialect().steps(entries, ())
    weights = steps.join(inputs, outputs).weights if steps.steps else []
    counts: dict[str, int] = {}

    def group(owner: str | None) -> str | None:
        """Number the variables of each owner."""
        if owner is None:
            return None
        counts[owner] = counts.get(owner, -1) + 1
        return f"{owner}/vars/{counts[owner]}"

    placed = list(weights)
    # Keras keeps what is trained before what is not.
    for index in sorted(range(len(weights)), key=lambda index: not weights[index].trainable):
        weight = weights[index]
        placed[index] = weight._replace(
            layer=weight.name.partition("/")[0],
            group=group(weight.owner),
            also_group=group(weight.also),
        )
    return placed


class Dialect:
    """Construct the layers of one spec, counting their names across all its models."""

    def __init__(self) -> None:
        self.names = Counters()
        self.made, self.built = Tally(), Tally()

    def layer(self, place: Place) -> Layer:
        place = _with_input_shape(place)
        entry = read_entry(place, LayerEntry, "a layer", "{type: Dense, units: 4}")
        kind = find_type(entry.type, "keras", "layer", place.path)
        self.made.add(place.path)
        entry, function = entry.model_copy(update={"type": kind}), LAYERS[kind]
        # Inner layers are constructed before the one that holds them, and take their names first.
        arguments = bind_layer(function, entry, place, self, "keras")
        if isinstance(cells := arguments.get("cell"), list):
            arguments["cell"] = self._stacked(place, cells)
        if entry.name is None:
            name = self.names.next(snake_case(entry.type))
        else:
            name = _checked_name(entry.name, place.path)
        is_model = entry.type in MODELS
        return Layer(name, entry, place, function, arguments, self.built, gives_dtype=is_model)

    def _stacked(self, place: Place, cells: list[Layer]) -> Layer:
        """Hold the cells of an RNN as Keras does."""
        kind = "StackedRNNCells"
        name = self.names.next(snake_case(kind))
        return Layer(name, LayerEntry(type=kind), place, LAYERS[kind], {"cells": cells}, self.built)

    def network(self, items: object, place: Place, path: KeyPath) -> Steps:
        whole = (*place.path, *path)
        return self.steps(stamp_layers(items, place.names, whole), whole)

    def steps(self, entries: Iterable[Place], path: KeyPath) -> Steps:
        return Steps([self._step(place) for place in entries], path)

    def _step(self, place: Place) -> Step:
        if "shared" not in place.item:
            return Step(place, self.layer(place))
        entry = validated(SharedEntry, place.item, place.names, place.path, "a shared layer")
        return Step(place, None, entry)


@dataclass(frozen=True, slots=True)
class Steps:
    """Hold the layers of a model in the order of their construction."""

    steps: list[Step]
    path: KeyPath

    def join(self, inputs: Mapping[str, Dims], outputs: Sequence[str]) -> Built:
        """Let shapes flow, and return the output's and the weights of all layers.

        The weights' owners lead from the model to the layer that holds them, and their ranks are
        those of `model.layers`.

        Raises:
            SpecError: at the layer that its inputs do not fit, or that leads to no output.
        """
        nodes, built = self._called(inputs)
        _look_behind(nodes, built)
        ends = list(outputs) or _leaves(nodes)
        for end in ends:
            if end not in nodes:
                raise SpecError(
                    f"no layer is named {shown(end)}; {suggestion(end, nodes)}",
                    (*self.path, "outputs"),
                )
        weights = _stored(built, layer_order(nodes, ends))
        if self.path and len(ends) != 1:
            raise SpecError(f"expected a model of one output, found {len(ends)}", self.path)
        return Built(nodes[ends[0]].output, weights)

    def flow(
        self, inputs: Mapping[str, Dims]
    ) -> dict[str, tuple[Layer | None, tuple[str, ...], Dims]]:
        """Return each call's layer, what it is called on, and its output's shape, by its label.

        Raises:
            SpecError: at the layer that its inputs do not fit.
        """
        nodes, built = self._called(inputs)
        return {
            label: (built[node.layer][0] if node.layer else None, node.parents, node.output)
            for label, node in nodes.items()
        }

    def _called(
        self, inputs: Mapping[str, Dims]
    ) -> tuple[dict[str, Node], dict[str, tuple[Layer, list[Weight]]]]:
        """Call the layers in order; return the calls, and the layers with their weights."""
        nodes = {name: Node(None, (), shape) for name, shape in inputs.items()}
        built: dict[str, tuple[Layer, list[Weight]]] = {}
        last = next(iter(inputs)) if len(inputs) == 1 else None
        for step in self.steps:
            last = self._call(step, nodes, built, last)
        return nodes, built

    def _call(
        self,
        step: Step,
        nodes: dict[str, Node],
        built: dict[str, tuple[Layer, list[Weight]]],
        last: str | None,
    ) -> str:
        place, shared = step.place, step.shared
        layer = step.layer if shared is None else _again(shared.shared, built, place)
        assert layer is not None
        label = layer.name
        if shared is not None:
            label = shared.name or f"{layer.name}:{len(nodes)}"
        if label in nodes:
            raise SpecError(
                f"two layers are named {shown(label)}; give one of them another name",
                (*place.path, "name") if "name" in place.item else place.path,
            )
        said = layer.entry.inputs if shared is None else shared.inputs
        parents = _parents(said, nodes, last, layer, place)
        shapes = [nodes[parent].output for parent in parents]
        if layer.entry.input_shape is not None:
            # What else goes in, such as a mask, has no shape that matters.
            shapes = shapes[:1] if shared is not None else [layer.entry.input_shape]
        if not shapes:
            raise SpecError(
                "the first layer needs an input shape: give the spec input_shape: [...]",
                place.path,
            )
        try:
            made = layer.build(*shapes)
        except SpecError as error:
            inputs = [node.output for node in nodes.values() if node.layer is None]
            # Not for an argument that does not fit, nor for what stands deeper.
            if error.path == place.path and not self.path and (None,) in [x[:1] for x in inputs]:
                error.message += "; input_shape leaves the batch axis out"
            raise
        nodes[label] = Node(layer.name, tuple(parents), made.shape)
        if shared is None:
            built[layer.name] = layer, made.weights
        return label


def _look_behind(nodes: Mapping[str, Node], built: dict[str, tuple[Layer, list[Weight]]]) -> None:
    """Give the weights of each layer the scale of the activation behind it."""
    children: dict[str, list[str]] = {}
    for label, node in nodes.items():
        for parent in node.parents:
            children.setdefault(parent, []).append(label)

    def following(label: str) -> Iterator[Layer]:
        while len(children.get(label, ())) == 1:
            (label,) = children[label]
            name = nodes[label].layer
            if name is None:
                return
            yield built[name][0]

    for label, node in nodes.items():
        if node.layer == label and built[label][1]:
            layer, weights = built[label]
            scale = scale_behind(layer, following(label))
            placed = [w if w.scale is not None else w._replace(scale=scale) for w in weights]
            built[label] = layer, placed


def _with_input_shape(place: Place) -> Place:
    """Take `input_dim`, where it is no argument of the layer's own, for an input_shape of one."""
    size, kind = place.item.get("input_dim"), place.item.get("type")
    own = class_of(kind, "keras") if isinstance(kind, str) else None
    if size is None or own is None or "input_dim" in signature_table(LAYERS[own]).model_fields:
        return place
    path = (*place.path, "input_dim")
    if place.item.get("input_shape") is not None:
        raise SpecError("expected input_dim or input_shape, found both", path, at_key=True)
    try:
        shape = [checked_size(size, place.names)]
    except ValueError as error:
        raise SpecError(str(error), path) from None
    item = {key: value for key, value in place.item.items() if key != "input_dim"}
    return Here({**item, "input_shape": shape}, place.path, place.names, place.family)


def _again(name: str, built: Mapping[str, tuple[Layer, list[Weight]]], place: Place) -> Layer:
    name = fill_name(name, place.names, (*place.path, "shared"))
    if name not in built:
        raise SpecError(
            f"no layer before this one is named {shown(name)}; {suggestion(name, built)}",
            (*place.path, "shared"),
        )
    return built[name][0]


def _parents(
    said: str | list[str] | None,
    nodes: Mapping[str, Node],
    last: str | None,
    layer: Layer,
    place: Place,
) -> list[str]:
    if said is None:
        if last is None and len(nodes) > 1 and layer.entry.input_shape is None:
            raise SpecError(
                f"the model has several inputs: say which with inputs: [...]; {', '.join(nodes)}",
                place.path,
            )
        return [] if last is None else [last]
    path = (*place.path, "inputs")
    names = [
        fill_name(name, place.names, path) for name in ([said] if isinstance(said, str) else said)
    ]
    if not names:
        raise SpecError("expected the names of layers, found none", path)
    for name in names:
        if name not in nodes:
            raise SpecError(
                f"no layer before this one is named {shown(name)}; {suggestion(name, nodes)}", path
            )
    return names


def _leaves(nodes: Mapping[str, Node]) -> list[str]:
    """Find the nodes that nothing is called on, in their order."""
    called = {parent for node in nodes.values() for parent in node.parents}
    leaves = [name for name, node in nodes.items() if name not in called and node.layer]
    return leaves or list(nodes)[-1:]


def _stored(built: Mapping[str, tuple[Layer, list[Weight]]], order: Sequence[str]) -> list[Weight]:
    """Say where a model stores the weights of its layers; the result keeps their construction."""
    groups, stored, weights = Counters(), {}, []
    for position, name in enumerate(order):
        stored[name] = position, groups.next(snake_case(built[name][0].entry.type))
    for name, (layer, own) in built.items():
        if name not in stored:
            raise SpecError(f"the layer {shown(name)} leads to no output", layer.place.path)
        position, group = stored[name]
        ranked = [
            weight._replace(
                rank=(position, *(weight.rank or (index,))),
                family=f"{layer.place.family or name}/{weight.family or weight.name}",
            )
            for index, weight in enumerate(own)
        ]
        weights += within(ranked, name, f"layers/{group}")
    return weights


def layer_order(nodes: Mapping[str, Node], outputs: Sequence[str]) -> list[str]:
    """Order layers as `model.layers`: by their distance from the outputs, then as first met.

    A layer's depth is the longest way from any call of it to an output; layers of one depth stand
    as a depth-first walk from the outputs meets them.
    """
    met, finished = _walk(nodes, outputs)
    depths: dict[str, int] = {}
    layer_depths: dict[str, int] = {}
    for name in reversed(finished):
        node = nodes[name]
        key = node.layer or name
        depth = max(depths.get(name, 0), layer_depths.get(key, 0))
        depths[name] = layer_depths[key] = depth
        for parent in node.parents:
            depths[parent] = max(depth + 1, depths.get(parent, 0))
    layers = {node.layer for node in nodes.values() if node.layer is not None}
    ordered = sorted(layer_depths, key=lambda name: (-layer_depths[name], met[name]))
    return [name for name in ordered if name in layers]


def _walk(nodes: Mapping[str, Node], outputs: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Walk depth first from the outputs: when each layer is first met, and nodes as finished."""
    met: dict[str, int] = {}
    finished: list[str] = []
    seen: set[str] = set()
    for output in outputs:
        stack = [(output, False)]
        while stack:
            name, is_finished = stack.pop()
            if is_finished:
                finished.append(name)
                continue
            if name in seen:
                continue
            seen.add(name)
            met.setdefault(nodes[name].layer or name, len(met))
            stack.append((name, True))
            stack += [(parent, False) for parent in reversed(nodes[name].parents)]
    return met, finished


def _checked_name(name: str, path: KeyPath) -> str:
    if not name or "/" in name:
        raise SpecError(
            f"expected a layer name without '/', as Keras does, found {shown(name)}",
            (*path, "name"),
        )
    return name
