"""The JSON Schema of a spec, from the same tables that validate it."""

from __future__ import annotations

from typing import Any

from glorot_cli.arguments import signature_table
from glorot_cli.dialects.keras_layers import LAYERS
from glorot_cli.dialects.layer import LayerEntry
from glorot_cli.initializers import CLASS_NAMES, INITIALIZERS
from glorot_cli.spec.model import SpecTable, TensorEntry

Schema = dict[str, Any]


def spec_schema() -> Schema:
    """Return the JSON Schema (2020-12) of a spec."""
    tensor = _object(TensorEntry)
    tensors = {"type": "object", "additionalProperties": {"$ref": "#/$defs/tensor"}}
    spec = _object(SpecTable)
    spec["properties"]["layers"] = {"type": "array", "items": {"$ref": "#/$defs/layer"}}
    spec["properties"]["tensors"] = {"anyOf": [tensors, {"type": "array", "items": tensors}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "glorot spec",
        **spec,
        "$defs": {
            "tensor": tensor,
            "layer": {"oneOf": [_layer(name) for name in LAYERS]},
            "initializer": _initializer(),
        },
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
        return {"$ref": f"#/$defs/{schema['$comment']}"}
    return {name: part for name, part in schema.items() if name not in ("title", "default")}


def _layer(name: str) -> Schema:
    own, common = _object(signature_table(LAYERS[name])), _object(LayerEntry)
    properties = {**common["properties"], "type": {"const": name}, **own["properties"]}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": ["type", *own["required"]],
    }


def _initializer() -> Schema:
    forms = []
    for name, function in INITIALIZERS.items():
        own = _object(signature_table(function))
        names = [name, *(alias for alias, snake in CLASS_NAMES.items() if snake == name)]
        own["properties"]["name"] = {"enum": names}
        own["properties"]["seed"] = {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}
        own["required"] = ["name", *own["required"]]
        forms.append(own)
    return {"anyOf": [{"enum": [*INITIALIZERS, *CLASS_NAMES]}, *forms]}
