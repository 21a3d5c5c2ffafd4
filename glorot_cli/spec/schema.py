"""The JSON Schema of a spec, from the same tables that validate it."""

from __future__ import annotations

from typing import Any

from glorot_cli.arguments import SEED_SCHEMA, signature_table
from glorot_cli.dialects.keras.network import SharedEntry
from glorot_cli.dialects.keras.table import LAYERS
from glorot_cli.dialects.layer import LayerEntry
from glorot_cli.initializers import CLASS_NAMES, INITIALIZERS
from glorot_cli.spec.model import SpecTable, TensorEntry

Schema = dict[str, Any]


def spec_schema() -> Schema:
    """Return the JSON Schema (2020-12) of a spec."""
    tensor = _object(TensorEntry)
    tensor["properties"]["repeat"] = _reference("repeat")
    tensors = {"type": "object", "additionalProperties": _reference("tensor")}
    spec = _object(SpecTable)
    spec["properties"] |= {
        "dims": {"type": "object", "additionalProperties": _size()},
        "initializers": {
            "type": "array",
            "items": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": _reference("initializer"),
            },
        },
        "layers": _reference("layers"),
        "tensors": _reference("tensors"),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "glorot spec",
        **spec,
        "$defs": {
            "initializer": _initializer(),
            "layer": {
                "anyOf": [
                    *(_layer(name) for name in LAYERS),
                    _shared(),
                    _group(_reference("layers")),
                ]
            },
            "layers": {"type": "array", "items": _reference("layer")},
            "repeat": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {
                    "anyOf": [*_size()["anyOf"], {"type": "array", "items": _size()}]
                },
            },
            "tensor": tensor,
            "tensors": {
                "anyOf": [
                    tensors,
                    {
                        "type": "array",
                        "items": {"anyOf": [tensors, _group(_reference("tensors"))]},
                    },
                ]
            },
        },
    }


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _size() -> Schema:
    return {"anyOf": [{"type": "integer"}, {"type": "string"}]}


def _shared() -> Schema:
    shared = _object(SharedEntry)
    shared["properties"]["repeat"] = _reference("repeat")
    return shared


def _group(entries: Schema) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {"repeat": _reference("repeat"), "entries": entries},
        "required": ["repeat", "entries"],
    }


def _object(table: type[Any]) -> Schema:
    schema: Schema = table.model_json_schema(ref_template="#/$defs/{model}")
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            key: _property(value) for key, value in schema.get("properties", {}).items()
        },
        "required": schema.get("required", []),
    }


def _property(schema: Schema) -> Schema:
    if "$comment" in schema:
        return _reference(schema["$comment"])
    return {name: part for name, part in schema.items() if name not in ("title", "default")}


def _layer(name: str) -> Schema:
    own, common = _object(signature_table(LAYERS[name])), _object(LayerEntry)
    properties = {**common["properties"], **own["properties"]}
    properties |= {"type": {"const": name}, "repeat": _reference("repeat")}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": ["type", *own["required"]],
    }


def _initializer() -> Schema:
    forms = []
    for name, initializer in INITIALIZERS.items():
        own = _object(signature_table(initializer.function))
        names = [name, *(alias for alias, snake in CLASS_NAMES.items() if snake == name)]
        own["properties"]["name"] = {"enum": names}
        own["properties"]["seed"] = SEED_SCHEMA
        own["required"] = ["name", *own["required"]]
        forms.append(own)
    return {"anyOf": [{"enum": [*INITIALIZERS, *CLASS_NAMES]}, *forms]}
