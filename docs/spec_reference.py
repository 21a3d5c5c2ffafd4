"""Write docs/spec-reference.md from the tables that check a spec, and from nothing else.

Keys and their meanings are those of the pydantic models; arguments, their types and defaults those
of the functions of layers and initialisers, whose docstrings say what each is. `spec_reference()`
returns the page; `python docs/reference.py` writes it.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from glorot_cli import arguments
from glorot_cli.dialects import Dialect, layer
from glorot_cli.dialects.keras import core, network
from glorot_cli.dialects.keras.table import LAYERS as KERAS
from glorot_cli.dialects.torch.table import LAYERS as TORCH
from glorot_cli.dtypes import DTypeName, IntegerName
from glorot_cli.fans import FanRule
from glorot_cli.initializers import CLASS_NAMES, INITIALIZERS
from glorot_cli.initializers.gain import Gain, Nonlinearity
from glorot_cli.initializers.kernel import Per
from glorot_cli.initializers.placed import FormulaOf, GivenOf, Layout
from glorot_cli.signatures import Table
from glorot_cli.spec.model import Rng, ShapedEntry, SpecTable, TensorEntry

GUIDE = Path(__file__).with_name("spec.md")

# Types by name, each with what stands in a spec. Enumerations show their values by themselves.
TYPES: dict[str, tuple[Any, str]] = {
    "size": (arguments.Size, "an integer of at least 1, or an expression of numbers, params, "
             "dims and indices, such as `3*d`"),
    "sizes": (arguments.Sizes, "a size, for all axes or the only one, or a list of one for each"),
    "shape": (arguments.ShapeOf, "a list of sizes"),
    "open shape": (arguments.Dims, "a list of sizes, `null` where one is not known"),
    "margins": (arguments.Margins, "an integer of at least 0, for all sides; or a list of one for "
                "each axis, or of pairs, before and after"),
    "axes": (arguments.Axes, "an integer, or a list of them; what is below 0 counts from the end"),
    "row": (arguments.Row, "an integer of any sign, `null`, or an expression of these"),
    "number": (arguments.Number, "a number, or an expression such as `0.02 / sqrt(2*layers)`"),
    "exact number": (arguments.ExactNumber, "a number, or such an expression; an integer stays the "
                     "integer that it is"),
    "seed": (arguments.Seed, "an integer from 0 to 2**64 - 1, or an expression"),
    "gain": (Gain, "a number, or a nonlinearity, for the gain that torch gives it"),
    "initialiser": (arguments.Init, "the name of an [initialiser](#initialisers), a mapping of "
                    "`name` and its arguments, or a list of these for fused pieces"),
    "formula": (FormulaOf, "a number, or an expression of axis0, axis1, ..., the indices along the "
                "axes"),
    "numbers": (GivenOf, "a list of numbers, or of such lists"),
    "layer": (layer.InnerLayer, "a mapping, as an entry of `layers`"),
    "layer or layers": (layer.InnerLayers, "one such mapping, or a list of them"),
    "layers": (layer.InnerNetwork, "a list of layers, which make a network"),
}  # fmt: skip
ENUMERATIONS: dict[str, Any] = {
    "activation": core.ActivationName,
    "dialect": Dialect,
    "stream": Rng,
    "dtype": DTypeName,
    "whole-number dtype": IntegerName,
    "fan rule": FanRule,
    "nonlinearity": Nonlinearity,
    "kernel or tensor": Per,
    "layout": Layout,
}
# Keys whose items the models leave to be read one by one.
ITEMS = {
    "params": "mapping of name to any value",
    "dims": "mapping of name to size",
    "initializers": "list of mappings of one glob to initialiser",
    "layers": "list of layer, or of groups; or mapping of name to layer or shape",
    "tensors": "mapping of name to tensor or shape, or list of such mappings, of tensors with a "
    "name, and of groups",
    "repeat": "mapping of index to size, or to a list of start, stop and step",
    "each": "mapping of index to a list, or to an expression",
    "when": "boolean, or an expression",
}
# What else stands on an entry, and without it.
STAMPS = {"repeat": "once", "each": "once", "when": "`true`"}


def spec_reference() -> str:
    """Return the page."""
    parts = [
        "# Spec reference\n",
        "Written by `python docs/reference.py`, from the tables that check a spec.\n"
        "[spec.md](spec.md) explains all of it by example, and `glorot schema` prints it as a JSON "
        "Schema. A key or an\nargument that is not here is an error.\n",
        "## Types\n",
        table(["type", "what stands in a spec"], _types()),
        "## The top\n",
        keys(SpecTable, {}),
        "## Tensors\n",
        keys(TensorEntry, dict.fromkeys(STAMPS, "## Tensors")),
        "## Layers\n",
        "The keys of every Keras layer; its type's own arguments stand beside them.\n",
        keys(layer.LayerEntry, dict.fromkeys(STAMPS, "## Layers"), "## Layers"),
        "A layer that is said by its shape takes the keys of a tensor, and these:\n",
        shaped_keys(),
        "The keys of an entry that calls an earlier layer again:\n",
        keys(network.SharedEntry, {}, "### Branches", "## Layers"),
        "A torch module takes the same keys as a Keras layer but for `inputs`, and\n"
        "`initializers`, a mapping of its weights' names to initialisers.\n",
        "## Keras layers\n",
        *sections(KERAS),
        "## torch modules\n",
        *sections(TORCH),
        "## Initialisers\n",
        "Each takes a `seed` and `fans_of` too. Keras's have the names of their classes as well.\n"
        "[initializers.md](initializers.md) has all formulas and sources in one table.\n",
        *sections(_initializers()),
    ]
    return "\n".join(parts)


def table(headings: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table of Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def keys(model: type[Table], more: Mapping[str, str], *headings: str) -> str:
    """Return the table of a model's keys, and of `more` keys, which the guide has in a section.

    A key without a description of its own has that of the guide, from one of the sections.
    """
    rows = []
    for name, field in model.model_fields.items():
        hint = typing.get_type_hints(model, include_extras=True)[name]
        said = field.description or _from_guide(name, headings)
        default = "required" if field.is_required() else shown(field.default)
        rows.append([f"`{name}`", ITEMS.get(name) or kind(hint), default, said])
    for name, section in more.items():
        rows.append([f"`{name}`", ITEMS[name], STAMPS[name], _from_guide(name, [section])])
    return table(["key", "type", "default", "meaning"], rows)


def shaped_keys() -> str:
    """Return the table of the keys that only a layer with a shape has."""
    model = ShapedEntry
    rows = [
        [
            f"`{name}`",
            kind(typing.get_type_hints(model, include_extras=True)[name]),
            "required" if field.is_required() else shown(field.default),
            str(field.description),
        ]
        for name, field in model.model_fields.items()
        if name not in TensorEntry.model_fields
    ]
    return table(["key", "type", "default", "meaning"], rows)


def sections(known: Mapping[str, Callable[..., object]]) -> list[str]:
    """Return a section for each layer or initialiser, or for several that say the same."""
    groups: dict[str, list[str]] = {}
    for name, function in known.items():
        groups.setdefault(_arguments(function), []).append(name)
    return [f"### {', '.join(names)}\n\n{said}" for said, names in groups.items()]


def _arguments(function: Callable[..., object]) -> str:
    rows = [[f"`{name}`", kind(hint), default] for name, hint, default in _parameters(function)]
    said = f"{summary(function)}\n"
    return said + "\n" + table(["argument", "type", "default"], rows) if rows else said


def _parameters(function: Callable[..., object]) -> list[tuple[str, Any, str]]:
    hints = typing.get_type_hints(function, include_extras=True)
    return [
        (name, hints[name], "required" if p.default is p.empty else shown(p.default))
        for name, p in inspect.signature(function).parameters.items()
        if p.kind is p.KEYWORD_ONLY
    ]


def _types() -> list[list[str]]:
    rows = [[name, said] for name, (_, said) in TYPES.items()]
    for name, hint in ENUMERATIONS.items():
        rows.append([name, ", ".join(f"`{value}`" for value in typing.get_args(hint))])
    return rows


def _initializers() -> dict[str, Callable[..., object]]:
    """Return the function of each initialiser by its names."""
    names = {name: f"`{name}`" for name in INITIALIZERS}
    for class_name, name in CLASS_NAMES.items():
        names[name] += f", `{class_name}`"
    return {names[name]: initializer.function for name, initializer in INITIALIZERS.items()}


def _from_guide(key: str, headings: Iterable[str]) -> str:
    text = GUIDE.read_text("utf-8")
    for heading in headings:
        level = heading.split()[0]
        below = text.partition(f"\n{heading}\n")[2]
        here = re.split(rf"^#{{1,{len(level)}}} ", below, maxsplit=1, flags=re.MULTILINE)[0]
        row = re.search(rf"^\| `{key}` \| (.*?) \|", here, re.MULTILINE)
        if row and row[1] != "as above":
            said = re.sub(r"\[below\]\(#", f"[{GUIDE.name}]({GUIDE.name}#", row[1])
            return said[0].upper() + said[1:] + ("" if said.endswith(".") else ".")
    raise LookupError(f"{key} is described neither in its model nor in {GUIDE.name}")


def kind(hint: Any) -> str:
    """Return the name of a type, as the page has it."""
    for name, (known, _) in TYPES.items():
        if hint == known:
            return name
    for name, known in ENUMERATIONS.items():
        if hint == known:
            return name
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(kind(part) for part in inner)
    if origin is list:
        return f"list of {kind(inner[0])}"
    if origin is dict:
        return f"mapping of name to {kind(inner[1])}"
    plain = {bool: "boolean", int: "integer", str: "string", type(None): "`null`", Any: "any"}
    if hint in plain:
        return plain[hint]
    raise LookupError(f"no name for {hint!r}: add it to TYPES or ENUMERATIONS")


def shown(value: object) -> str:
    """Return a default as a spec would write it."""
    match value:
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case tuple() | list():
            text = str(list(value))
        case _:
            text = str(value)
    return f"`{text}`"


def summary(function: Callable[..., object]) -> str:
    """Return the first paragraph of a docstring, for Markdown."""
    text = " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*_|])", r"\\\1", part) for part in parts[::2]]  # outside of code
    return "`".join(parts)
