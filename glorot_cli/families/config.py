"""A model's config.json as Hugging Face keeps it: reading it, and setting its keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glorot_cli.dtypes import DTYPES
from glorot_cli.errors import GlorotError, KeyPath, SpecError, shown, suggestion
from glorot_cli.spec.source import parse

NAME = "config.json"
LARGEST = 16 << 20
# Deeper than any configuration; copying goes down as deep.
DEEPEST = 64
# Either decides shapes in a way that no family can know.
REFUSED = {
    "quantization_config": "quantised weights are no random start",
    "auto_map": "the model's own code decides its tensors",
}
# Lists of an item for each layer, which transformers checks.
_OF_LAYERS = ("layer_types", "mlp_layer_types", "no_rope_layers")
_DTYPE_KEYS = ("dtype", "torch_dtype")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Hold what a config.json says; errors point into its text, but for `set_keys`."""

    path: Path
    text: str
    data: Mapping[str, Any]
    set_keys: frozenset[str] = frozenset()

    @property
    def model_type(self) -> str:
        """The name that transformers knows the model's class by."""
        return str(self.data["model_type"])

    @property
    def architecture(self) -> str | None:
        """The class that the weights are for, if the configuration says so."""
        found = self.data.get("architectures")
        if not found:
            return None
        if isinstance(found, list) and isinstance(found[0], str):
            return found[0]
        raise self.refused(f"expected a list of class names, found {shown(found)}", "architectures")

    @property
    def transformers_major(self) -> int:
        """The major version of transformers that wrote the configuration; 0 if it does not say."""
        major = str(self.data.get("transformers_version", "")).partition(".")[0]
        return int(major) if major.isdecimal() and len(major) < 4 else 0

    @property
    def dtype(self) -> str:
        """The dtype of the weights; transformers 5 and 4 have different keys for it."""
        for key in _DTYPE_KEYS:
            found = self.data.get(key)
            if found is None:
                continue
            name = str(found).removeprefix("torch.")
            if name in DTYPES:
                return name
            hint = suggestion(name, DTYPES)
            raise self.refused(f"expected a dtype, found {shown(found)}; {hint}", key)
        return "float32"

    def get(self, key: str) -> tuple[bool, Any]:
        """Look up a key, dotted where it lies in a section, and tell whether it is there."""
        value: Any = self.data
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return False, None
            value = value[part]
        return True, value

    def refused(self, message: str, key: str = "") -> GlorotError:
        """Return the error at a key: at its place in the text, or where --set gave it."""
        if key in self.set_keys:
            return GlorotError(f"--set {key}: {message}")
        path: KeyPath = tuple(key.split(".")) if key else ()
        error = SpecError(message, path)
        try:
            return parse(self.text, str(self.path)).located(error)
        except SpecError:
            # Python's own reader takes more than JSON has: NaN, and control characters.
            error.where = str(self.path)
            return error

    def with_settings(self, settings: Mapping[str, Any], dtype: str | None = None) -> ModelConfig:
        """Set keys, dotted where they lie in a section, and the dtype."""
        data = json.loads(json.dumps(self.data))
        for key, value in settings.items():
            *sections, last = key.split(".")
            place = data
            for section in sections:
                place = place.setdefault(section, {})
                if not isinstance(place, dict):
                    raise GlorotError(f"--set {key}: {section!r} is no section of {self.path}")
            if key == "num_labels":
                _set_labels(place, value)
            elif value is None and key in REFUSED:
                place.pop(last, None)
            else:
                place[last] = value
            if last == "num_hidden_layers":
                _cut_to_layers(place, value, settings)
        if dtype is not None:
            there = [key for key in _DTYPE_KEYS if key in data] or [_DTYPE_KEYS[0]]
            data |= dict.fromkeys(there, dtype)
        return replace(self, data=data, set_keys=self.set_keys | settings.keys())

    def written(self) -> bytes:
        """Return the text of a config.json with these keys: as it was, if nothing was set."""
        if json.loads(self.text) == self.data:
            return self.text.encode()
        return (json.dumps(self.data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _cut_to_layers(place: dict[str, Any], layers: Any, settings: Mapping[str, Any]) -> None:
    """Leave a list of an item for each layer as many items as there are layers now.

    Raises:
        GlorotError: if it has fewer.
    """
    if not isinstance(layers, int):
        return
    for key in _OF_LAYERS:
        found = place.get(key)
        if key in settings or not isinstance(found, list):
            continue
        if len(found) < layers:
            raise GlorotError(
                f"--set num_hidden_layers: {key} has {len(found)} items only; set {key} too"
            )
        place[key] = found[: max(layers, 0)]


def _set_labels(place: dict[str, Any], count: Any) -> None:
    """Name the labels as transformers does, which counts the names."""
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 1_000_000:
        raise GlorotError(f"--set num_labels: expected a positive integer, found {shown(count)}")
    place.pop("num_labels", None)
    place["id2label"] = {str(index): f"LABEL_{index}" for index in range(count)}
    place["label2id"] = {f"LABEL_{index}": index for index in range(count)}


def read_config(path: Path) -> ModelConfig | None:
    """Read a JSON object with a model_type; None if a file is anything else.

    Raises:
        GlorotError: if it is one, and says what no random start has.
    """
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return None
        with path.open("rb") as file:
            if file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"{":
                return None
            file.seek(0)
            raw = file.read(LARGEST + 1)
        if b'"model_type"' not in raw:
            return None
        text = raw.decode("utf-8-sig")
        data = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("model_type"), str):
        return None
    config = ModelConfig(path, text, data)
    if _depth(data) > DEEPEST:
        raise config.refused(f"expected at most {DEEPEST} levels of nesting")
    return config


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= DEEPEST:
        depth += 1
        inner = [v.values() if isinstance(v, dict) else v for v in level]
        level = [v for each in inner for v in each if isinstance(v, dict | list)]
    return depth
