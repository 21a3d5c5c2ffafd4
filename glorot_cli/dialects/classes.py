"""The classes of a dialect by the names that people write, and hints where they are the other's."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from importlib import import_module
from typing import Literal

from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.signatures import signature_table

DialectName = Literal["keras", "torch"]

# What torch and Keras call otherwise.
_TWINS = (
    ("Linear", "Dense"),
    ("GroupNorm", "GroupNormalization"),
    ("LayerNorm", "LayerNormalization"),
    ("RMSNorm", "RMSNormalization"),
    ("MultiheadAttention", "MultiHeadAttention"),
    *((f"Conv{rank}d", f"Conv{rank}D") for rank in (1, 2, 3)),
    *((f"ConvTranspose{rank}d", f"Conv{rank}DTranspose") for rank in (1, 2, 3)),
    *((f"MaxPool{rank}d", f"MaxPooling{rank}D") for rank in (1, 2, 3)),
)


# Their arguments that differ in name alone.
_ARGUMENTS = (
    ("out_features", "units"),
    ("out_channels", "filters"),
    ("hidden_size", "units"),
    ("num_embeddings", "input_dim"),
    ("embedding_dim", "output_dim"),
    ("num_groups", "groups"),
    ("stride", "strides"),
    ("dilation", "dilation_rate"),
    ("bias", "use_bias"),
    ("eps", "epsilon"),
    ("p", "rate"),
)
_TITLES = {"keras": "Keras", "torch": "torch"}


def _in_other(
    pairs: Iterable[tuple[str, str]], other: DialectName, name: str, known: Collection[str]
) -> list[str]:
    """Return what the other dialect calls a name of this one, or the other way round."""
    ours = [pair if other == "torch" else pair[::-1] for pair in pairs]
    return [own for theirs, own in ours if theirs == name and own in known]


@functools.cache
def _classes(dialect: str) -> dict[str, str]:
    """Return a dialect's classes by their names in lower case without underscores."""
    layers = import_module(f"glorot_cli.dialects.{dialect}.table").LAYERS
    return {name.lower(): name for name in layers}


def class_of(kind: str, dialect: str) -> str | None:
    """Return a dialect's class of a name, which may be in snake case or in lower case."""
    classes = _classes(dialect)
    if classes.get(kind.lower()) == kind:
        return kind
    return classes.get(kind.replace("_", "")) if kind.islower() else None


def find_type(kind: str, dialect: DialectName, owner: str, path: KeyPath) -> str:
    """Return a dialect's class of a name, or else say that the other one has it.

    Raises:
        SpecError: if it has none.
    """
    found = class_of(kind, dialect)
    if found is not None:
        return found
    other: DialectName = "torch" if dialect == "keras" else "keras"
    known = _classes(dialect).values()
    theirs = class_of(kind, other)
    if theirs is not None:
        own = _in_other(_TWINS, other, theirs, known)
        use = f", or use type: {own[0]}" if own else ""
        message = f"{kind} is {_TITLES[other]}'s: set dialect: {other}{use}"
    else:
        hint = suggestion(kind, known)
        if kind in ("Input", "InputLayer"):
            hint = "give its shape as the spec's input_shape"
        elif hint.startswith("known"):
            hint = "if it has weights, write them under tensors, with their axes"
        message = f"unknown {owner} type {shown(kind)}; {hint}"
    raise SpecError(message, (*path, "type"))


def check_foreign(
    key: str, own: Collection[str], kind: str, dialect: DialectName, path: KeyPath
) -> None:
    """Check that an unknown argument is not one of the other dialect's class of that kind.

    Raises:
        SpecError: if it is.
    """
    other: DialectName = "torch" if dialect == "keras" else "keras"
    layers = import_module(f"glorot_cli.dialects.{other}.table").LAYERS
    twins = [kind, *(b if a == kind else a for a, b in _TWINS if kind in (a, b))]
    for twin in twins:
        if twin in layers and key in signature_table(layers[twin]).model_fields:
            names = _in_other(_ARGUMENTS, other, key, own)
            use = f", or use {names[0]}" if names else ""
            raise SpecError(
                f"{key} is an argument of {_TITLES[other]}'s {twin}: set dialect: {other}{use}",
                (*path, key),
                at_key=True,
            )
