"""Random Keras models: specs from a seeded generator, and the real models that they mean.

`random_model(keras, seed)` gives a model; `random_spec(seed)` the spec of the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

Entry = dict[str, Any]
Shape = tuple[int, ...]


def random_spec(seed: int) -> Entry:
    """Return a spec: one chain of layers, or a graph with branches, several inputs and outputs."""
    random = Random(f"model {seed}")
    if random.random() < 0.3:
        x, layers = chain(random, depth=0)
        return {"seed": seed, "input_shape": list(x), "layers": layers}
    inputs, layers, outputs = graph(random, depth=0, most_outputs=2)
    shapes = {name: list(shape) for name, shape in inputs.items()}
    return {"seed": seed, "inputs": shapes, "layers": layers, "outputs": outputs}


def random_model(keras: Any, seed: int) -> Any:
    """Build the real model of `random_spec(seed)`."""
    return model(keras, random_spec(seed))


def model(keras: Any, spec: Entry) -> Any:
    """Build the real model that a spec means."""
    if "input_shape" in spec:
        first = keras.Input(spec["input_shape"])
        return keras.Sequential([first, *(construct(keras, entry) for entry in spec["layers"])])
    return _functional(keras, spec["inputs"], spec["layers"], spec["outputs"], {})


def construct(keras: Any, entry: Mapping[str, Any]) -> Any:
    """Construct the real layer that an entry means, and the layers that it holds."""
    rest = {key: value for key, value in entry.items() if key not in ("type", "inputs")}
    if entry["type"] == "Functional":
        # Only a call tells the shapes of its inputs, so the random ones state them.
        layers, names, outputs = rest.pop("layers"), rest.pop("input_names"), rest.pop("outputs")
        return _functional(keras, dict(zip(names, rest.pop("shapes"), strict=True)), layers,
                           outputs, rest)  # fmt: skip
    arguments = {key: _argument(keras, key, value) for key, value in rest.items()}
    if entry["type"] == "Sequential":
        return keras.Sequential(arguments.pop("layers"), **arguments)
    return getattr(keras.layers, entry["type"])(**arguments)


def _argument(keras: Any, key: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_argument(keras, key, item) for item in value]
    if not isinstance(value, dict):
        return value
    if "type" in value:
        return construct(keras, value)
    if key.endswith("initializer"):
        arguments = dict(value)
        return keras.initializers.get(
            {"class_name": arguments.pop("name").title().replace("_", ""), "config": arguments}
        )
    return value


def _functional(
    keras: Any, shapes: Mapping[str, Any], layers: list[Entry], outputs: list[str], rest: Entry
) -> Any:
    inputs = {name: keras.Input(shape) for name, shape in shapes.items()}
    tensors = dict(inputs)
    made: dict[str, Any] = {}
    last = next(iter(tensors))
    for entry in layers:
        if "shared" in entry:
            layer, label = made[entry["shared"]], entry["name"]
        else:
            layer = construct(keras, entry)
            label = layer.name
            made[label] = layer
        called = [tensors[name] for name in entry.get("inputs", [last])]
        if type(layer).__name__ in ("MultiHeadAttention", "GroupedQueryAttention"):
            tensors[label] = layer(*(called if len(called) > 1 else called * 2))
        else:
            tensors[label] = layer(called if len(called) > 1 else called[0])
        last = label
    ends = [tensors[name] for name in outputs]
    return keras.Model(list(inputs.values()), ends if len(ends) > 1 else ends[0], **rest)


class Step(NamedTuple):
    """Hold a layer's entry and the shape that comes out of it."""

    entry: Entry
    output: Shape


Draw = Callable[[Random, Shape], Step]


def _some(random: Random, **choices: Any) -> Entry:
    return {
        name: random.choice(values) for name, values in choices.items() if random.random() < 0.4
    }


def _keeping(kind: str, needed: Entry | None = None, **choices: Any) -> Draw:
    """Make the step of a layer that keeps the shape."""
    return lambda random, x: Step({"type": kind, **(needed or {}), **_some(random, **choices)}, x)


def _dense(random: Random, x: Shape) -> Step:
    units = random.randint(1, 6)
    arguments = _some(
        random, use_bias=[False], activation=["relu"], kernel_initializer=["he_normal"]
    )
    return Step({"type": "Dense", "units": units, **arguments}, (*x[:-1], units))


def _filtered(kind: str, **choices: Any) -> Draw:
    """Make the step of a convolution that keeps the space."""

    def draw(random: Random, x: Shape) -> Step:
        filters = random.randint(1, 6)
        arguments = _some(random, use_bias=[False], **choices)
        entry = {"type": kind, "filters": filters, "kernel_size": random.randint(1, 3), **arguments}
        return Step({**entry, "padding": "same"}, (*x[:-1], filters))

    return draw


def _depthwise(random: Random, x: Shape) -> Step:
    entry = {"type": "DepthwiseConv2D", "kernel_size": 3, "padding": "same"}
    return Step({**entry, "depth_multiplier": 2}, (*x[:-1], 2 * x[-1]))


def _recurrent(random: Random, x: Shape) -> Step:
    kind, units = random.choice(["LSTM", "GRU", "SimpleRNN"]), random.randint(1, 5)
    entry: Entry = {"type": kind, "units": units, "return_sequences": True}
    entry |= _some(random, use_bias=[False])
    if random.random() < 0.3:
        return Step({"type": "Bidirectional", "layer": entry}, (x[0], 2 * units))
    return Step(entry, (x[0], units))


def _cells(random: Random, x: Shape) -> Step:
    units = [random.randint(1, 4) for _ in range(random.randint(1, 3))]
    cells = [{"type": random.choice(["LSTMCell", "GRUCell"]), "units": n} for n in units]
    cell = cells if len(cells) > 1 else cells[0]
    return Step({"type": "RNN", "cell": cell, "return_sequences": True}, (x[0], units[-1]))


def _wrapped(random: Random, x: Shape) -> Step:
    layer, output = random.choice([_dense, _batch_normalized])(random, x[1:])
    return Step({"type": "TimeDistributed", "layer": layer}, (x[0], *output))


def _batch_normalized(random: Random, x: Shape) -> Step:
    choices = {"scale": [False], "center": [False], "renorm": [True]}
    return Step({"type": "BatchNormalization", **_some(random, **choices)}, x)


def _spectral(random: Random, x: Shape) -> Step:
    layer, output = (_dense if len(x) < 3 else _filtered("Conv2D"))(random, x)
    return Step({"type": "SpectralNormalization", "layer": layer}, output)


def _attention(random: Random, x: Shape) -> Step:
    entry: Entry = {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": random.randint(1, 4)}
    entry |= _some(random, use_gate=[True], use_bias=[False], output_shape=[3])
    return Step(entry, (*x[:-1], entry.get("output_shape", x[-1])))


def _grouped(random: Random, x: Shape) -> Step:
    heads = {"num_query_heads": 4, "num_key_value_heads": 2}
    return Step({"type": "GroupQueryAttention", "head_dim": random.randint(1, 3), **heads}, x)


def _embedded(random: Random, x: Shape) -> Step:
    return Step({"type": "Embedding", "input_dim": 9, "output_dim": 2}, (*x, 2))


def _ended(kind: str) -> Draw:
    """Make the step of a pooling over all space."""
    return lambda random, x: Step({"type": kind}, x[-1:])


PALETTES: dict[int, list[Draw]] = {
    1: [
        _dense, _dense, _batch_normalized, _spectral, _keeping("Dropout", {"rate": 0.5}),
        _keeping("LayerNormalization", scale=[False]), _keeping("PReLU"), _keeping("ReLU"),
        lambda random, x: Step({"type": "Reshape", "target_shape": [1, *x]}, (1, *x)),
        lambda random, x: Step({"type": "RepeatVector", "n": 3}, (3, *x)), _embedded,
    ],
    2: [
        _dense, _recurrent, _recurrent, _cells, _wrapped, _attention, _grouped, _filtered("Conv1D"),
        _filtered("SeparableConv1D"), _filtered("Conv1DTranspose"), _batch_normalized, _spectral,
        _keeping("RMSNormalization"), _keeping("GroupNormalization", {"groups": 1}, scale=[False]),
        _ended("GlobalAveragePooling1D"),
    ],
    3: [
        _filtered("Conv2D", kernel_initializer=["he_uniform"]), _filtered("SeparableConv2D"),
        _filtered("Conv2DTranspose"), _depthwise, _batch_normalized, _spectral, _wrapped,
        _keeping("PReLU", shared_axes=[[1, 2]]), _keeping("LayerNormalization", axis=[[1, 2]]),
        _ended("GlobalMaxPooling2D"), _keeping("Activation", {"activation": "relu"}),
    ],
}  # fmt: skip
# Keras's Sequential takes layers of one input only.
CHAINED = {
    rank: [draw for draw in draws if draw not in (_attention, _grouped)]
    for rank, draws in PALETTES.items()
}
# In a model, Keras keeps `trainable` from the layers within other layers.
FREEZABLE = ("BatchNormalization", "Conv2D", "Dense", "DepthwiseConv2D", "Embedding", "PReLU",
             "LayerNormalization", "SeparableConv1D")  # fmt: skip
INPUTS: list[Shape] = [(3,), (4,), (5, 3), (4, 2), (6, 6, 2), (4, 5, 3)]


def _layer(random: Random, x: Shape, depth: int, palettes: Mapping[int, list[Draw]]) -> Step:
    """Draw a layer, or a model of layers."""
    if depth < 2 and random.random() < 0.15:
        if random.random() < 0.5:
            layers, output = _chained(random, x, depth + 1)
            return Step({"type": "Sequential", "layers": layers}, output)
        return _nested(random, (x,), depth)
    return random.choice(palettes[len(x)])(random, x)


def _nested(random: Random, shapes: tuple[Shape, ...], depth: int) -> Step:
    inputs = {f"in{index}": shape for index, shape in enumerate(shapes)}
    layers, ends = _joined(random, inputs, depth + 1, most_outputs=1)
    ((name, output),) = ends.items()
    # Each Sequential that Keras builds takes one of the names functional, functional_1, ...
    entry = {
        "type": "Functional",
        "name": f"model_{random.randrange(10**9)}",
        "layers": layers,
        "input_names": list(inputs),
        "outputs": [name],
        "shapes": [list(shape) for shape in shapes],
    }
    return Step(entry, output)


def chain(random: Random, depth: int) -> tuple[Shape, list[Entry]]:
    """Draw an input's shape and layers one after the other."""
    x = random.choice(INPUTS)
    return x, _chained(random, x, depth)[0]


def _chained(random: Random, x: Shape, depth: int) -> tuple[list[Entry], Shape]:
    layers = []
    for _ in range(random.randint(1, 6 if depth == 0 else 3)):
        entry, x = _layer(random, x, depth, CHAINED)
        layers.append(entry)
    return layers, x


def graph(
    random: Random, depth: int, most_outputs: int
) -> tuple[dict[str, Shape], list[Entry], list[str]]:
    """Draw inputs, layers that branch and merge, and the names of the outputs."""
    count = random.choice([1, 1, 2, 3])
    inputs = {f"in{index}": random.choice(INPUTS) for index in range(count)}
    layers, ends = _joined(random, inputs, depth, most_outputs)
    return inputs, layers, list(ends)


def _joined(
    random: Random, inputs: Mapping[str, Shape], depth: int, most_outputs: int
) -> tuple[list[Entry], dict[str, Shape]]:
    """Draw layers on earlier ones, then join all ends that are too many."""
    shapes = dict(inputs)
    open_ends = set(inputs)
    layers: list[Entry] = []
    takes: dict[str, tuple[str, Shape]] = {}

    def add(step: Step, parents: list[str]) -> str:
        name = f"{'abc'[depth]}{len(layers)}"
        said = _some(random, trainable=[False]) if step.entry.get("type") in FREEZABLE else {}
        entry = {**step.entry, **said, "name": name, "inputs": parents}
        if "shared" in entry:
            del entry["type"]
        layers.append(entry)
        shapes[name] = step.output
        open_ends.difference_update(parents)
        open_ends.add(name)
        return name

    for _ in range(random.randint(2, 9 if depth == 0 else 4)):
        parent = random.choice(sorted(shapes))
        again = [name for name, (kind, x) in takes.items() if x == shapes[parent]]
        same = [name for name in shapes if shapes[name] == shapes[parent] and name != parent]
        if again and random.random() < 0.5:
            shared = random.choice(again)
            add(Step({"type": "", "shared": shared}, shapes[shared]), [parent])
        elif same and random.random() < 0.4:
            other = random.choice(same)
            kind = random.choice(["Add", "Multiply", "Average", "Maximum"])
            add(Step({"type": kind}, shapes[parent]), [parent, other])
        elif depth < 2 and random.random() < 0.1:
            other = random.choice(sorted(shapes))
            add(_nested(random, (shapes[parent], shapes[other]), depth), [parent, other])
        else:
            step = _layer(random, shapes[parent], depth, PALETTES)
            takes[add(step, [parent])] = step.entry["type"], shapes[parent]
    # Every input and every layer must lead to an output.
    while len(open_ends) > most_outputs or open_ends & set(inputs):
        ends = sorted(open_ends, key=lambda name: (name not in inputs, name))[:2]
        flat = [
            add(Step({"type": "Flatten"}, (_size(shapes[end]),)), [end])
            if len(shapes[end]) > 1 else end
            for end in ends
        ]  # fmt: skip
        if len(flat) == 1:
            add(_dense(random, shapes[flat[0]]), flat)
        else:
            total = sum(shapes[name][0] for name in flat)
            add(Step({"type": "Concatenate"}, (total,)), flat)
    outputs = {name: shapes[name] for name in sorted(open_ends)}
    _forget_names(random, layers, outputs)
    return layers, outputs


def _forget_names(random: Random, layers: list[Entry], ends: Mapping[str, Shape]) -> None:
    """Leave it to the framework to name layers that only the next one refers to."""
    said = [name for entry in layers for name in [*entry["inputs"], entry.get("shared")]]
    for entry, after in pairwise(layers):
        name = entry["name"]
        if (
            after["inputs"] == [name]
            and said.count(name) == 1
            and name not in ends
            and entry.get("type") != "Functional"
            and random.random() < 0.7
        ):
            del after["inputs"]
            if "shared" not in entry:
                del entry["name"]


def plain(value: Any) -> Any:
    """Leave out the shapes that nested models state for Keras."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: plain(item) for key, item in value.items() if key != "shapes"}


def _size(shape: Shape) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
