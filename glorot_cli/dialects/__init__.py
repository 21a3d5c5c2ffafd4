"""Dialects: a framework's own layer names, tensor names, axis orders and default initialisers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Literal, cast, get_args

from glorot_cli.arguments import Dims
from glorot_cli.dialects.layer import Place, Weight

Dialect = Literal["keras", "torch"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

PlaceLayers = Callable[[Iterable[Place], Mapping[str, Dims], Sequence[str]], list[Weight]]


def place_layers(dialect: Dialect) -> PlaceLayers:
    """Return a dialect's way from the layers of a spec to their weights, loading it now."""
    network = import_module(f"glorot_cli.dialects.{dialect}.network")
    return cast(PlaceLayers, network.place_layers)
