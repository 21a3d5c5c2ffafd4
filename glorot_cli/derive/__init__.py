"""Specs from what others made: a Keras model's configuration, or the shapes in a weight file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from glorot_cli.derive.text import spec_text
from glorot_cli.errors import FormatError

__all__ = [
    "Derived", "comments", "derive", "derive_spec", "describes_weights", "is_description",
    "spec_text",
]  # fmt: skip


def describes_weights(path: str) -> bool:
    """Tell whether a path is a weight file or a model's configuration, and not a spec."""
    file = Path(path)
    # Weights of that ending have a second one.
    if file.suffixes == [".json"] and file.is_file() and _start(file)[:1] == b"{":
        return is_keras_config(file)
    if is_description(path):
        return is_keras_config(file)
    from glorot_cli.formats import FORMATS
    from glorot_cli.formats.foreign import foreign_kind

    # What is no text may be weights by its name.
    endings = tuple(
        ending for each in FORMATS.values() for ending in (*each.endings, *each.other_endings)
    )
    if path.endswith(endings) or file.is_dir() or foreign_kind(file):
        return True
    return path.endswith(".json") and file.is_file() and is_keras_config(file)


def is_keras_config(path: Path) -> bool:
    """Tell whether a file is a .keras archive, or JSON that names a Keras class."""
    start = _start(path)
    return start[:4] == b"PK\x03\x04" or (start[:1] == b"{" and b'"class_name"' in start)


def _start(path: Path) -> bytes:
    """Read the first bytes of a file, without what may stand before a text."""
    with path.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()


def is_description(path: str) -> bool:
    """Tell by its content whether a regular file is a spec or a model's configuration.

    A weight file is neither, whatever its name, and no index of shards, folder or pipe is.
    """
    from glorot_cli.formats import shards
    from glorot_cli.formats.foreign import foreign_kind
    from glorot_cli.formats.texts import is_text

    file = Path(path)
    try:
        if not file.is_file():
            return False
        with file.open("rb") as opened:
            start = opened.read(4096)
        # A pickle starts so, and no text.
        if start.startswith(b"\x80") or not is_text(start):
            return False
        return not foreign_kind(file) and not shards.is_index(file)
    except OSError:
        return False


class Derived(NamedTuple):
    """Hold the spec of what a file describes, as plain data, and what else is to be said of it."""

    spec: dict[str, Any]
    notices: tuple[str, ...] = ()


def derive_spec(path: str | os.PathLike[str], key: str | None = None) -> dict[str, Any]:
    """Return the spec, as plain data, of what a file describes.

    `key` chooses the mapping of weights in a file of torch's.

    Raises:
        FormatError: if it is not a file that a spec can be made of.
    """
    return derive(path, key).spec


def derive(path: str | os.PathLike[str], key: str | None = None) -> Derived:
    """Do as `derive_spec` does, with what was left out or chosen.

    Raises:
        FormatError: if it is not a file that a spec can be made of.
    """
    # None of these is for a config.json or a spec, which most are.
    from glorot_cli.derive.keras_config import read_config, spec_of_config
    from glorot_cli.derive.weights import spec_of_weights
    from glorot_cli.formats import npz
    from glorot_cli.formats.foreign import foreign_kind
    from glorot_cli.formats.reading import is_torch, read_headers

    file = Path(path)
    try:
        is_config = file.is_file() and is_keras_config(file) and not npz.is_npz(file)
        is_config = is_config and key is None and not is_torch(file)
        if is_config and not foreign_kind(file):
            return Derived(_carried(file) or spec_of_config(read_config(file), str(file)))
    except OSError as error:
        raise FormatError(f"cannot read {file}: {error.strerror}") from None
    stored = read_headers(file, key)
    return Derived(spec_of_weights(stored), stored.notices)


def _carried(file: Path) -> dict[str, Any] | None:
    """Return the spec that the weights in a .keras archive carry, if there are such."""
    from glorot_cli.derive.weights import carried_spec
    from glorot_cli.formats.reading import read_headers

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
