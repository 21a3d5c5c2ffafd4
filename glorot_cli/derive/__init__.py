"""Specs from what others made: a Keras model's configuration, or the shapes in a weight file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glorot_cli.derive.keras_config import is_keras_config, read_config, spec_of_config
from glorot_cli.derive.text import spec_text
from glorot_cli.derive.weights import carried_spec, spec_of_weights
from glorot_cli.errors import FormatError
from glorot_cli.formats import npz
from glorot_cli.formats.reading import read_headers

__all__ = ["comments", "derive_spec", "describes_weights", "spec_text"]


# Which files hold a description rather than a spec, by their names.
_ENDINGS = (
    ".safetensors", ".h5", ".hdf5", ".npy", ".npz", ".keras", ".index.json", ".weights.json",
)  # fmt: skip


def describes_weights(path: str) -> bool:
    """Tell whether a path is a weight file or a model's configuration, and not a spec."""
    file = Path(path)
    if path.endswith(_ENDINGS) or file.is_dir():
        return True
    return path.endswith(".json") and file.is_file() and is_keras_config(file)


def derive_spec(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the spec, as plain data, of what a file describes.

    Raises:
        FormatError: if it is not a file that a spec can be made of.
    """
    file = Path(path)
    try:
        if file.is_file() and is_keras_config(file) and not npz.is_npz(file):
            return _carried(file) or spec_of_config(read_config(file), str(file))
    except OSError as error:
        raise FormatError(f"cannot read {file}: {error.strerror}") from None
    return spec_of_weights(read_headers(file))


def _carried(file: Path) -> dict[str, Any] | None:
    """Return the spec that the weights in a .keras archive carry, if there are such."""
    try:
        stored = read_headers(file) if zipfile.is_zipfile(file) else None
    except FormatError:
        return None
    return None if stored is None else carried_spec(stored)


def comments(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a derived spec tells its reader first."""
    if "seed" in spec or "initializers" not in spec:
        return ()
    return (
        "Names, shapes and dtypes are the file's. Axes and initializers are conventions: check",
        "them before use.",
    )
