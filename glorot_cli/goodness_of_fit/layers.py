"""What a tensor's layer says of it, by names: which tensors start, and are trained, together."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from glorot_cli.distributions import Uniform
from glorot_cli.fans import Shape

# A name's last part, around the word that says what a tensor is to its layer.
_ROLE = re.compile(
    r"(?P<layer>.*?)(?:^|(?<=[./_-]))"
    r"(?:weights?|kernels?|biase?s?|gamma|beta|w|b|coefs|intercepts)"
    r"(?P<index>(?:_ih|_hh)?(?:_l\d+(?:_reverse)?)?[._]?\d*(?::0)?)",
    re.IGNORECASE,
)
# Keras's .weights.h5 numbers a layer's variables.
_PLACE = re.compile(r"(?P<layer>.*/vars)/\d+")
_RECURRENT = re.compile(r"(?P<layer>.*?)(?:weight|bias)_(?:ih|hh)(?P<index>(?:_l\d+(_reverse)?)?)")
_BIAS = re.compile(r"(?P<layer>(?:.*\.)?)bias")


def layer_of(name: str) -> str | None:
    """Return what the names of a layer's kernel and bias have in common, if a name is one's."""
    place = _PLACE.fullmatch(name)
    if place is not None:
        return place["layer"]
    found = _ROLE.fullmatch(name)
    return None if found is None else found["layer"] + found["index"]


def torch_starts(name: str, shapes: Mapping[str, Shape]) -> Iterator[tuple[str, Uniform]]:
    """Give the starts that torch takes from another tensor's shape: of biases and recurrent cells.

    `shapes` are those of all the file's tensors.
    """
    recurrent, bias = _RECURRENT.fullmatch(name), _BIAS.fullmatch(name)
    if recurrent is not None:
        hidden: Shape = shapes.get(f"{recurrent['layer']}weight_hh{recurrent['index']}", ())
        if len(hidden) == 2 and hidden[1]:
            limit = 1.0 / math.sqrt(hidden[1])
            yield "torch_recurrent", Uniform(-limit, limit)
    elif bias is not None:
        weight: Shape = shapes.get(f"{bias['layer']}weight", ())
        inputs = math.prod(weight[1:])
        if len(weight) >= 2 and inputs:
            limit = 1.0 / math.sqrt(inputs)
            yield "torch_linear", Uniform(-limit, limit)


def witnesses(unnamed: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Return the names whose layer has a tensor of no known start, and one such tensor for each."""
    layers: dict[str, list[str]] = defaultdict(list)
    for name in unnamed:
        layer = layer_of(name)
        if layer is not None:
            layers[layer].append(name)
    found = {}
    for name in names:
        others = [other for other in layers.get(layer_of(name) or "", ()) if other != name]
        if others and layer_of(name) is not None:
            found[name] = others[0]
    return found
