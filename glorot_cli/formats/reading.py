"""Opening a weight file that anyone wrote: what it is, by its first bytes."""

from __future__ import annotations

import os
from pathlib import Path

from glorot_cli.errors import FormatError
from glorot_cli.formats.base import Format
from glorot_cli.formats.foreign import foreign_kind
from glorot_cli.formats.remote import Remote, is_url
from glorot_cli.formats.stored import StoredFile
from glorot_cli.formats.table import FORMATS, H5, SAFETENSORS, TORCH


def read_headers(path: str | os.PathLike[str], key: str | None = None) -> StoredFile:
    """Read the headers of a weight file or of a folder of .npy.

    Of a file with several mappings of weights, `key` chooses one.

    Raises:
        FormatError: if it is none, breaks its format's rules, or has no such key.
    """
    if is_url(path):
        from glorot_cli.formats import remote_headers

        if key is not None:
            raise FormatError(f"{os.fspath(path)}: --key is for files of torch's on a disk")
        return remote_headers.read_headers(Remote(os.fspath(path)))
    path = Path(path)
    try:
        if (kind := foreign_kind(path)) is not None:
            raise FormatError(f"{path}: {kind}")
        head = b"" if path.is_dir() else _head(path)
        for each in FORMATS.values():
            if each is not SAFETENSORS and each.recognises(path, head):
                return each.read(path) if key is None else _read_key(each, path, key)
        if key is not None:
            return _read_key(SAFETENSORS, path, key)
        if path.suffix in H5.endings and head and head[8:9] != b"{":
            raise FormatError(f"{path}: its name says HDF5, its first bytes do not")
        # Its rules say best what is wrong with any other file.
        return SAFETENSORS.read(path)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror}") from None


def _read_key(found: Format, path: Path, key: str) -> StoredFile:
    if found.read_key is None or path.is_dir() or path.suffix == ".json":
        raise FormatError(f"{path}: --key is for the files that torch.save writes, and it is none")
    return found.read_key(path, key)


def is_torch(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is one that torch.save wrote."""
    if is_url(path):
        return False
    path = Path(path)
    return path.is_file() and TORCH.recognises(path, _head(path))


def _head(path: Path) -> bytes:
    if not path.is_file():
        problem = "it is not a regular file" if path.exists() else "there is no such file"
        raise FormatError(f"cannot read {path}: {problem}")
    with path.open("rb") as file:
        return file.read(16)
