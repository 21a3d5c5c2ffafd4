"""The graph of a Functional model in Keras's words: which layer is called on what."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from glorot_cli.dialects.keras.network import Node, layer_order
from glorot_cli.dialects.keras.table import LAYERS
from glorot_cli.dialects.layer import takes_several

Config = Mapping[str, Any]

# What Keras calls these in its files, and what its users do.
CLASS_NAMES = {"GroupedQueryAttention": "GroupQueryAttention", "Model": "Functional"}
_ATTENTION = ("GroupQueryAttention", "MultiHeadAttention")
_MERGING = (
    "Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract",
)  # fmt: skip


class UnplacedError(Exception):
    """Report the label of a call on what is not there before it."""


class Tensor(NamedTuple):
    """Name an output of a call: which of them, and its shape without the batch axis.

    Keras 2 says no shapes.
    """

    label: str
    output: int
    shape: list[Any] | None


class Call(NamedTuple):
    """Hold one call of a layer, or of an operation such as x + y.

    `main` is what it is called on, in the order of a spec's `inputs`; `extra` are masks and states.
    """

    layer: str
    label: str
    kind: str
    is_operation: bool
    main: tuple[Tensor, ...]
    extra: tuple[Tensor, ...]

    @property
    def stands_in(self) -> bool:
        """Whether an Identity of its output's shape stands for it: it has no weights."""
        second = any(tensor.output for tensor in self.main)
        return self.is_operation or (second and self.kind in _MERGING)

    @property
    def takes_several(self) -> bool:
        """Whether all that it is called on has a shape that matters."""
        function = LAYERS.get(self.kind)
        return function is not None and takes_several(function)

    @property
    def states_shape(self) -> bool:
        """Whether its entry must say the shape of the one input that matters."""
        several = len(self.main) + len(self.extra) > 1
        return not self.takes_several and (several or self.main[0].output > 0)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What its entry names: not the masks of a layer whose inputs are counted."""
        drops = self.takes_several and not self.stands_in
        return self.main if drops else (*self.main, *self.extra)


def is_operation(layer: Config) -> bool:
    """Tell whether what stands among the layers is an operation of Keras's instead."""
    return str(layer.get("module")).startswith("keras.src.ops.")


def read_calls(layers: Sequence[Config]) -> list[Call]:
    """Read the calls of all layers but the inputs."""
    calls = []
    for layer in layers:
        if layer["class_name"] == "InputLayer":
            continue
        kind = str(CLASS_NAMES.get(layer["class_name"], layer["class_name"]))
        for index, node in enumerate(layer["inbound_nodes"]):
            main, extra = _called_on(node, kind)
            label = node_label(layer["name"], index)
            calls.append(Call(layer["name"], label, kind, is_operation(layer), main, extra))
    return calls


def _called_on(
    node: Config | list[Any], kind: str
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    if isinstance(node, list):
        return _called_on_2(node, kind)
    args, kwargs = node["args"], dict(node["kwargs"])
    named: list[Any] = []
    if kind in _ATTENTION:
        named = [kwargs.pop(key) for key in ("query", "value", "key") if key in kwargs]
    # A layer's other arguments are masks and states, whatever the way they are given.
    rest = [] if kind in _ATTENTION else args[1:]
    main = args if kind in _ATTENTION else args[:1]
    first, second = tuple(_tensors([main, named])), tuple(_tensors([rest, list(kwargs.values())]))
    return (first, second) if first else (second, ())


def _called_on_2(node: list[Any], kind: str) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Read a call as Keras 2 writes it: a list of layer, call, output and further arguments."""
    if node and isinstance(node[0], str):
        node = [node]
    several = kind in _MERGING or kind in _ATTENTION
    named: list[Tensor] = []
    extra: list[Tensor] = []
    for place, (name, number, output, *rest) in enumerate(node):
        first = several or place == 0
        (named if first else extra).append(Tensor(node_label(name, number), output, None))
        for value in rest[0].values() if rest else ():
            for each in (
                value
                if isinstance(value, list) and value and isinstance(value[0], list)
                else [value]
            ):
                if isinstance(each, list) and len(each) == 3 and isinstance(each[0], str):
                    more = Tensor(node_label(each[0], each[1]), each[2], None)
                    (named if kind in _ATTENTION else extra).append(more)
    return tuple(named), tuple(extra)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            name, node, output = value["config"]["keras_history"]
            yield Tensor(node_label(name, node), output, list(value["config"]["shape"][1:]))
        else:
            # Keras reads a mapping in the order of its keys.
            yield from _tensors([value[key] for key in sorted(value)])
    elif isinstance(value, list):
        for item in value:
            yield from _tensors(item)


def histories(nodes: Any, models: Collection[str] = ()) -> Iterator[str]:
    """Name the nodes of input or output layers, in whatever structure they stand.

    The calls of these `models` are counted from 1: their own making is the first.
    """
    if isinstance(nodes, Mapping):
        for key in sorted(nodes):
            yield from histories(nodes[key], models)
    elif not isinstance(nodes, list):
        raise TypeError(f"expected a list, found {nodes!r}")
    elif len(nodes) == 3 and isinstance(nodes[0], str) and isinstance(nodes[1], int):
        yield node_label(nodes[0], nodes[1] - (nodes[0] in models))
    else:
        for value in nodes:
            yield from histories(value, models)


def node_label(name: str, node: int) -> str:
    """Name a call of a layer."""
    return name if node == 0 else f"{name}:{node}"


def in_order(calls: Sequence[Call], inputs: Sequence[str], outputs: Sequence[str]) -> list[Call]:
    """Put calls behind all that they are called on, without operations that lead to no output.

    Raises:
        UnplacedError: with the label of a call that cannot be placed.
    """
    ready, placed = set(inputs), list[Call]()
    waiting: dict[str, list[int]] = {}

    def lacks(call: Call) -> str | None:
        labels = (tensor.label for tensor in call.inputs)
        if (label := next((label for label in labels if label not in ready), None)) is not None:
            return label
        return None if call.layer in ready or call.layer == call.label else call.layer

    # As passes over all that is left would place them: what a call sets free waits for the next
    # pass where it stands before that call.
    heap = [(0, number) for number in range(len(calls))]
    while heap:
        turn, number = heapq.heappop(heap)
        call = calls[number]
        if (label := lacks(call)) is not None:
            waiting.setdefault(label, []).append(number)
            continue
        ready.add(call.label)
        placed.append(call)
        for freed in waiting.pop(call.label, ()):
            heapq.heappush(heap, (turn + (freed < number), freed))
    if waiting:
        raise UnplacedError(calls[min(min(left) for left in waiting.values())].label)
    needed, kept = set(outputs), []
    for call in reversed(placed):
        if call.label in needed or not call.is_operation:
            needed.update(tensor.label for tensor in call.inputs)
            kept.append(call)
    return kept[::-1]


def masks_matter(calls: Sequence[Call], inputs: Sequence[str], outputs: Sequence[str]) -> bool:
    """Tell whether the order of `model.layers` depends on what the entries do not name."""
    if all(len(call.inputs) == len(call.main) + len(call.extra) for call in calls):
        return False
    operations = {call.layer for call in calls if call.is_operation}
    orders = []
    for with_masks in (True, False):
        nodes = {name: Node(None, (), ()) for name in inputs}
        for call in calls:
            tensors = (*call.main, *call.extra) if with_masks else call.inputs
            nodes[call.label] = Node(call.layer, tuple(tensor.label for tensor in tensors), ())
        orders.append([name for name in layer_order(nodes, outputs) if name not in operations])
    return orders[0] != orders[1]
