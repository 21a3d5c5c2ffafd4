"""Families of models: config.json, as Hugging Face keeps it, to a plain spec."""

from __future__ import annotations

from glorot_cli.families.config import NAME, ModelConfig, read_config
from glorot_cli.families.reader import (
    Family,
    family_of,
    keys_of,
    known_types,
    spec_of_config,
    tiny_settings,
)

__all__ = [
    "NAME",
    "Family",
    "ModelConfig",
    "family_of",
    "keys_of",
    "known_types",
    "read_config",
    "spec_of_config",
    "tiny_settings",
]
