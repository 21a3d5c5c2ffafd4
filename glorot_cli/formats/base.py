"""What all formats share: extents, names in folders, and JSON with one spelling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

MANIFEST = "manifest.json"
INDEX = "model.safetensors.index.json"
LARGEST_MANIFEST = 256 << 20

Provenance = Mapping[str, Any]
Kind = Literal["file", "folder", "set"]


class Extent(NamedTuple):
    """Say where a tensor's bytes lie: the plan's index of it, the file, and the offset in it."""

    tensor: int
    path: Path
    offset: int


def compact(entry: Mapping[str, Any]) -> str:
    """Write JSON with sorted keys and no spaces."""
    return json.dumps(
        entry, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False
    )
