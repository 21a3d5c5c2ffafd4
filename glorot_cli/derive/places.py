"""Where a tensor stands in its model, by its name: its layer, its own word, what is beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from glorot_cli.fans import Shape
from glorot_cli.formats.stored import StoredTensor

# What a name ends in that says nothing: an output's number in TensorFlow, nnx's box of a variable.
_TAIL = re.compile(r"(:\d+)|([./](raw_)?value)$")
_VARIABLE = re.compile(r"(?:(?P<group>.*)/)?vars/(?P<number>\d+)")
# Keras 1 joins a layer's name and the variable's.
_KERAS_1 = re.compile(
    r"(?P<layer>.+)_(?P<leaf>[WUb](_[a-z])?|gamma|beta|running_mean|running_std|alphas|p|q|bias|"
    r"kernel|recurrent_kernel|moving_mean|moving_variance|embeddings)"
)
# Words above a tensor that say nothing of its layer.
_EMPTY = frozenset((
    "weight", "layer", "base_layer", "default", "module", "_orig_mod", "parametrizations", "vars",
    "~", "cell", "params", "model", "modules", "inner", "0", "value",
))  # fmt: skip


class Place(NamedTuple):
    """Hold a name's parts: what stands above a tensor, the nearest first, and its own word.

    `key` is what it has in common with the tensors of the same layer; `separator` stands between
    the parts.
    """

    key: str
    leaf: str
    above: tuple[str, ...]
    separator: str

    @property
    def layer(self) -> str:
        """The nearest word above that says something."""
        words = (part for part in self.above if part not in _EMPTY and not part.isdigit())
        return next(words, "")


class Surroundings:
    """Know all tensors of a file by the layers that they stand in."""

    def __init__(self, tensors: Sequence[StoredTensor], labels: Mapping[str, str]) -> None:
        self.places = _places(tensors, labels)
        self._layers: dict[str, dict[str, Shape]] = {}
        for tensor in tensors:
            place = self.places[tensor.name]
            self._layers.setdefault(place.key, {})[place.leaf] = tensor.shape

    def beside(self, place: Place) -> Mapping[str, Shape]:
        """Return the shapes of what stands in the same layer, by its own words."""
        return self._layers[place.key]

    def within(self, key: str) -> Mapping[str, Shape]:
        """Return the shapes of what stands in another layer; none where there is no such."""
        return self._layers.get(key, {})


def _places(tensors: Sequence[StoredTensor], labels: Mapping[str, str]) -> dict[str, Place]:
    found: dict[str, Place] = {}
    numbered: dict[str, list[tuple[int, StoredTensor]]] = {}
    for tensor in tensors:
        match = _VARIABLE.fullmatch(tensor.name)
        if match is None:
            found[tensor.name] = _place(tensor.name)
        else:
            group = match["group"] or ""
            numbered.setdefault(group, []).append((int(match["number"]), tensor))
    for group, variables in numbered.items():
        variables.sort(key=lambda variable: variable[0])
        above = tuple(reversed(re.split("/", group)))
        label = labels.get(group)
        words = [*([label] if label is not None else []), *above]
        # Of a part of a layer, those that are not there are taken for the like of the first.
        count = variables[-1][0] + 1 if variables[-1][0] < 8 else len(variables)
        shapes = [variables[0][1].shape] * max(count, len(variables))
        for place, (number, tensor) in enumerate(variables):
            shapes[number if number < len(shapes) else place] = tensor.shape
        leaves = variable_names(words, shapes)
        for place, (number, tensor) in enumerate(variables):
            leaf = leaves[number if number < len(shapes) else place]
            found[tensor.name] = Place(group, leaf, tuple(words), "/")
    return found


def _place(name: str) -> Place:
    text = _TAIL.sub("", name)
    parts = re.split(r"[./]", text)
    if len(parts) > 1 and parts[-1].isdigit() and not parts[-2].isdigit():
        # A list of parameters.
        parts = [*parts[:-2], parts[-2]]
    leaf = parts[-1]
    key = text[: len(text) - len(re.split(r"[./]", text)[-1])].rstrip("./")
    above = tuple(reversed(parts[:-1]))
    joined = _KERAS_1.fullmatch(leaf)
    if joined is not None and (not above or above[0] == joined["layer"]):
        key = f"{key}/{joined['layer']}"
        leaf, above = joined["leaf"], (joined["layer"], *above)
    return Place(key, leaf, above, "/" if "/" in name else ".")


# --- Keras's .weights.h5, where variables have numbers for names ---

# The words of a layer's class or name, and its variables in the order of their making.
_VARIABLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"seed_generator", ("state",)),
    (r"separable_conv", ("depthwise_kernel", "pointwise_kernel", "bias")),
    (r"depthwise_conv", ("depthwise_kernel", "bias")),
    (r"spectral_norm", ("vector_u", "vector_v")),
    (r"rms_?norm", ("scale",)),
    (r"(layer|group)_?norm|(^|_)(ln|gn)\d*(_|$)", ("gamma", "beta")),
    (r"layer_scale", ("gamma",)),
    (r"^normalization", ("mean", "variance", "count")),
    (r"p_?re_?lu", ("alpha",)),
    (r"embedding", ("embeddings", "reverse_embeddings")),
    (r"(^|_)(lstm|gru|rnn)|_cell$|^cell$", ("kernel", "recurrent_kernel", "bias")),
    (r"dense|conv\d?d", ("kernel", "bias")),
)
_BATCH_NORM = re.compile(r"batch_?norm|(^|_)bn\d*(_|$)")
_NORM = re.compile(r"norm|scale|gain")


def variable_names(words: Iterable[str], shapes: Sequence[Shape]) -> list[str]:
    """Name a layer's variables, by what the layer is called or else by their shapes.

    `words` are the name of the layer and those of the groups that it stands in, from the nearest.
    """
    near = [_snake(word) for word in list(words)[:2]]
    count = len(shapes)
    flat = all(len(shape) == 1 for shape in shapes) and len(set(shapes)) == 1
    for word in near:
        if flat and count > 1 and _BATCH_NORM.search(word):
            return _batch_norm(count)
        for pattern, names in _VARIABLES:
            if re.search(pattern, word) and _agree(names, shapes):
                return list(names[:count])
    return _by_shapes(near, shapes, flat=flat)


def _batch_norm(count: int) -> list[str]:
    """Name the variables of a batch normalization, some of which may have been left out."""
    names = {4: ["gamma", "beta"], 3: ["gamma_or_beta"]}.get(count, [])
    return [*names, "moving_mean", "moving_variance"][:count] + ["unknown"] * max(0, count - 4)


def _agree(names: Sequence[str], shapes: Sequence[Shape]) -> bool:
    """Tell whether there are no more variables than names, and kernels have axes."""
    if len(shapes) > len(names):
        return False
    ranks = {name: len(shape) for name, shape in zip(names, shapes, strict=False)}
    return all(rank > 1 for name, rank in ranks.items() if name.endswith(("kernel", "embeddings")))


def _by_shapes(words: Sequence[str], shapes: Sequence[Shape], *, flat: bool) -> list[str]:
    count = len(shapes)
    if flat and count in (3, 4):
        return _batch_norm(count)
    if flat and count == 2:
        return ["gamma", "beta"]
    if flat and count == 1:
        return ["gamma" if any(_NORM.search(word) for word in words) else "bias"]
    if (
        count == 3
        and [len(shape) for shape in shapes] == [2, 2, 1]
        and shapes[0][1] == shapes[1][1] == shapes[2][0]
        and shapes[1][0] * 4 == shapes[1][1]
    ):
        return ["kernel", "recurrent_kernel", "bias"]
    seen = dict.fromkeys(("kernel", "bias"), 0)
    names: list[str] = []
    for shape in shapes:
        word = "kernel" if len(shape) > 1 else "bias"
        if word == "kernel" and names and len(shape) == 2 and len(shapes[len(names) - 1]) == 3:
            word = "bias"  # of heads
        number = seen[word]
        names.append(word if not number else f"{word}_{number}")
        seen[word] += 1
    return names


def _snake(word: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word).lower()
