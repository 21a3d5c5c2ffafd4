"""Opening a weight file that anyone wrote: what it is, by its first bytes."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from glorot_cli.errors import FormatError
from glorot_cli.formats import hdf5_walk, keras_archive, npy, npy_header, npz, safetensors, shards
from glorot_cli.formats.base import INDEX
from glorot_cli.formats.stored import StoredFile

# What torch wrote before its files were zip archives: a pickle of its magic number.
TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF"


def read_headers(path: str | os.PathLike[str]) -> StoredFile:
    """Read the headers of a weight file or of a folder of .npy.

    Raises:
        FormatError: if it is none, or breaks its format's rules.
    """
    path = Path(path)
    try:
        if path.is_dir():
            is_checkpoint = (path / INDEX).is_file() or shards.names_in(path)
            return shards.read_folder(path) if is_checkpoint else npy.read_folder(path)
        if path.name.endswith(".index.json") and path.is_file():
            return shards.read_index(path)
        if path.name.endswith(".weights.json") and path.is_file():
            return shards.read_keras_index(path)
        if not path.is_file():
            problem = "it is not a regular file" if path.exists() else "there is no such file"
            raise FormatError(f"cannot read {path}: {problem}")
        with path.open("rb") as file:
            head = file.read(9)
        magic = head[:8]
        if magic == hdf5_walk.MAGIC:
            return hdf5_walk.read_headers(path)
        if magic[:6] == npy_header.MAGIC:
            return npy.read_headers(path)
        if magic[:4] == b"PK\x03\x04" and zipfile.is_zipfile(path):
            if npz.is_npz(path):
                return npz.read_headers(path)
            return keras_archive.read_headers(path)
        if magic == TORCH_MAGIC:
            raise FormatError(f"{path}: {keras_archive.TORCH_PICKLE}")
        if path.suffix in (".h5", ".hdf5") and head and head[8:] != b"{":
            raise FormatError(f"{path}: its name says HDF5, its first bytes do not")
        return safetensors.read_headers(path)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror}") from None
