"""The JSON Schema of a spec, from the same tables that validate it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from glorot_cli.arguments import SEED_SCHEMA
from glorot_cli.dialects.keras import table as keras
from glorot_cli.dialects.keras.names import snake_case
from glorot_cli.dialects.keras.network import SharedEntry
from glorot_cli.dialects.layer import Built, LayerEntry
from glorot_cli.dialects.torch import table as torch
from glorot_cli.dialects.torch.network import ModuleEntry
from glorot_cli.initializers import CLASS_NAMES, INITIALIZERS
from glorot_cli.repeats import STAMPS
from glorot_cli.signatures import signature_table
from glorot_cli.spec.model import ShapedEntry, SpecTable, TensorEntry
from glorot_cli.spec.plain import DESCRIPTION

Schema = dict[str, Any]

_CONDITION: Schema = {"type": ["boolean", "string"]}


def spec_schema() -> Schema:
    """Return the JSON Schema (2020-12) of a spec."""
    spec = _object(SpecTable)
    spec["properties"] |= {
        "name": {},
        "description": {},
        "$schema": {},
        "params": {"type": "object"},
        "dims": {"type": "object", "additionalProperties": _size()},
        "initializers": {
            "type": "array",
            "items": {
                **_by_name({"anyOf": [_reference("rule"), _reference("pieces")]}),
                "minProperties": 1,
                "maxProperties": 1,
            },
        },
        "layers": {"type": ["array", "object"]},
        "tensors": _reference("tensors"),
    }
    spec["patternProperties"] = {"^x-": {}}
    is_torch = {"properties": {"dialect": {"const": "torch"}}, "required": ["dialect"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "glorot spec",
        "if": _shapes(),
        "else": {
            **spec,
            "if": is_torch,
            "then": {"properties": {"layers": _reference("torch_layers")}},
            "else": {"properties": {"layers": _reference("keras_layers")}},
        },
        "$defs": {
            "initializer": _initializer(),
            "rule": _initializer({"when": _CONDITION}),
            "pieces": _pieces(),
            **_layers("keras", keras.LAYERS, LayerEntry, [_shared()]),
            **_layers("torch", torch.LAYERS, ModuleEntry, []),
            "repeat": _by_name({"anyOf": [*_size()["anyOf"], {"type": "array", "items": _size()}]}),
            "each": _by_name({"type": ["array", "string"]}),
            **_tensors(),
        },
    }


def _shapes() -> Schema:
    """Return the schema of a whole file of names and shapes."""
    sizes = {"type": "array", "items": {"type": "integer", "minimum": 1}}
    return {
        "type": "object",
        "properties": {
            **dict.fromkeys(SpecTable.model_fields, False),
            **{key: {"not": sizes} for key in DESCRIPTION},
        },
        "patternProperties": {"^x-": {"not": sizes}},
        "additionalProperties": {"anyOf": [sizes, {"type": "integer", "minimum": 1}]},
        # One list at least: a mapping of numbers alone is a spec with a mistake.
        "not": {"additionalProperties": {"type": ["integer", "string"]}},
    }


def _tensors() -> Schema:
    tensor, shaped = _object(TensorEntry), _object(ShapedEntry)
    tensor["properties"] |= _stamps()
    shaped["properties"] |= _stamps()
    shape = tensor["properties"]["shape"]
    named = _by_name({"anyOf": [_reference("tensor"), shape]})
    listed = {
        **tensor,
        "properties": {**tensor["properties"], "name": {"type": "string"}},
        "required": ["name"],
    }
    item = {"anyOf": [named, listed, _group(_reference("tensors"))]}
    return {
        "tensor": tensor,
        "shaped_layer": {**shaped, "required": ["shape"]},
        "tensors": {"anyOf": [named, {"type": "array", "items": item}]},
    }


def _layers(
    dialect: str,
    table: dict[str, Callable[..., Built]],
    entry: type[LayerEntry],
    others: list[Schema],
) -> Schema:
    kinds = [_layer(name, function, entry, dialect) for name, function in table.items()]
    group = _group(_reference(f"{dialect}_layers"))
    layer, shaped = _reference(f"{dialect}_layer"), _reference("shaped_layer")
    named = {"properties": {}, "required": ["name"], "allOf": [shaped]}
    shape = {"type": "array", "items": _size()}
    return {
        f"{dialect}_layer": {"anyOf": [*kinds, *others, named, group]},
        f"{dialect}_layers": {
            "anyOf": [
                {"type": "array", "items": layer},
                _by_name({"anyOf": [shape, shaped, layer]}),
            ]
        },
    }


def _by_name(value: Schema) -> Schema:
    return {"type": "object", "additionalProperties": value}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _size() -> Schema:
    return {"anyOf": [{"type": "integer"}, {"type": "string"}]}


def _shared() -> Schema:
    shared = _object(SharedEntry)
    shared["properties"] |= _stamps()
    return shared


def _group(entries: Schema) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {**_stamps(), "entries": entries},
        "required": ["entries"],
        "anyOf": [{"required": [key]} for key in STAMPS],
    }


def _object(table: type[Any], dialect: str = "keras") -> Schema:
    schema: Schema = table.model_json_schema(ref_template="#/$defs/{model}")
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            key: _property(value, dialect) for key, value in schema.get("properties", {}).items()
        },
        "required": schema.get("required", []),
    }


def _property(schema: Schema, dialect: str) -> Schema:
    """Turn the marks that stand for our own definitions into references."""
    mark = schema.get("$comment")
    if mark == "initializer":
        return _pieces_or_one()
    if mark is not None:
        return _reference(f"{dialect}_{mark}")
    kept = {name: part for name, part in schema.items() if name not in ("title", "default")}
    if "anyOf" in kept:
        kept["anyOf"] = [_property(part, dialect) for part in kept["anyOf"]]
    return kept


def _layer(
    name: str, function: Callable[..., Built], entry: type[LayerEntry], dialect: str
) -> Schema:
    own, common = _object(signature_table(function), dialect), _object(entry)
    properties = {**common["properties"], **own["properties"]}
    names = list(dict.fromkeys((name, snake_case(name), name.lower())))
    properties |= {"type": {"enum": names}, **_stamps()}
    if dialect == "keras":
        properties.setdefault("input_dim", _size())
    if "initializers" in properties:
        properties["initializers"] = _by_name(_pieces_or_one())
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": ["type", *own["required"]],
    }


def _pieces() -> Schema:
    return {"type": "array", "items": _reference("initializer"), "minItems": 2}


def _pieces_or_one() -> Schema:
    return {"anyOf": [_reference("initializer"), _reference("pieces")]}


def _stamps() -> Schema:
    """Return the keys that say how often an entry stands."""
    return {"each": _reference("each"), "repeat": _reference("repeat"), "when": _CONDITION}


def _initializer(further: Schema | None = None) -> Schema:
    forms = []
    for name, initializer in INITIALIZERS.items():
        own = _object(signature_table(initializer.function))
        names = [name, *(alias for alias, snake in CLASS_NAMES.items() if snake == name)]
        own["properties"]["name"] = {"enum": names}
        taken = {"seed": SEED_SCHEMA, "fans_of": {"type": "string"}}
        own["properties"] |= {**taken, **(further or {})}
        own["required"] = ["name", *own["required"]]
        forms.append(own)
    return {"anyOf": [{"enum": [*INITIALIZERS, *CLASS_NAMES]}, *forms]}
