"""Opening a weight file that anyone wrote: what it is, by its first bytes."""

from __future__ import annotations

import os
from pathlib import Path

from glorot_cli.errors import FormatError
from glorot_cli.formats.foreign import foreign_kind
from glorot_cli.formats.stored import StoredFile
from glorot_cli.formats.table import FORMATS, H5, SAFETENSORS


def read_headers(path: str | os.PathLike[str]) -> StoredFile:
    """Read the headers of a weight file or of a folder of .npy.

    Raises:
        FormatError: if it is none, or breaks its format's rules.
    """
    path = Path(path)
    try:
        if (kind := foreign_kind(path)) is not None:
            raise FormatError(f"{path}: {kind}")
        head = b"" if path.is_dir() else _head(path)
        for each in FORMATS.values():
            if each is not SAFETENSORS and each.recognises(path, head):
                return each.read(path)
        if path.suffix in H5.endings and head and head[8:9] != b"{":
            raise FormatError(f"{path}: its name says HDF5, its first bytes do not")
        # Its rules say best what is wrong with any other file.
        return SAFETENSORS.read(path)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror}") from None


def _head(path: Path) -> bytes:
    if not path.is_file():
        problem = "it is not a regular file" if path.exists() else "there is no such file"
        raise FormatError(f"cannot read {path}: {problem}")
    with path.open("rb") as file:
        return file.read(16)
