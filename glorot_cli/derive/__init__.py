"""Specs from what others made: a Keras model's configuration, or the shapes in a weight file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from glorot_cli.derive.keras_config import is_keras_config, read_config, spec_of_config
from glorot_cli.derive.text import spec_text
from glorot_cli.errors import FormatError

__all__ = ["derive_spec", "spec_text"]


def derive_spec(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the spec, as plain data, of what a file describes.

    Raises:
        FormatError: if it is not a file that a spec can be made of.
    """
    file = Path(path)
    if not file.is_file():
        raise FormatError(f"cannot read {file}: there is no such file")
    if not is_keras_config(file):
        raise FormatError(f"{file}: expected a Keras model's JSON or a .keras archive")
    return spec_of_config(read_config(file), str(file))
