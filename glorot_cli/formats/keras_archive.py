"""The .keras archive: a model's configuration and its weights, stored in a zip file."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

from glorot_cli.errors import FormatError
from glorot_cli.formats import hdf5
from glorot_cli.formats.base import Extent, Output
from glorot_cli.formats.stored import StoredFile

WEIGHTS = "model.weights.h5"
# The earliest date that zip knows: the same spec gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
# The version whose layout is written; Keras asks that there be one.
KERAS_VERSION = "3.15.1"


def lay_out(output: Output) -> list[Extent]:
    """Lay out the weights in a folder, under the archive's name for now."""
    return hdf5.lay_out_keras(replace(output, path=output.path / output.target.name))


def finish(output: Output) -> None:
    """Turn the weights in a folder into an archive of the same name."""
    path, config = output.path, output.configuration
    assert config is not None
    (weights,) = path.iterdir()
    metadata = json.dumps({"keras_version": KERAS_VERSION, "date_saved": "1980-01-01@00:00:00"})
    archive = path / "archive"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for name, content in (("metadata.json", metadata.encode()), ("config.json", config)):
            zipped.writestr(_entry(name), content)
        entry = _entry(WEIGHTS)
        entry.file_size = weights.stat().st_size
        with weights.open("rb") as source, zipped.open(entry, "w") as out:
            shutil.copyfileobj(source, out, 1 << 21)
    archive.replace(weights)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.external_attr = 0o644 << 16
    return entry


def read_headers(path: Path) -> StoredFile:
    """Read the headers of the weights in an archive, which are stored as they are.

    Raises:
        FormatError: if there are none, or they are compressed or damaged.
    """
    # Writing needs no way to read.
    from glorot_cli.formats import hdf5_walk, zips

    try:
        with zips.opened(path) as archive:
            member = archive.getinfo(WEIGHTS)
    except KeyError:
        raise FormatError(f"{path}: expected a .keras archive with {WEIGHTS}") from None
    except zips.DAMAGE as error:
        raise FormatError(f"{path}: not a .keras archive: {error}") from None
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        raise FormatError(f"{path}: expected {WEIGHTS} stored as it is, found it compressed")
    with path.open("rb") as file:
        start = zips.data_start(path, WEIGHTS, member, file)
    return hdf5_walk.read_headers(path, (start, member.file_size))
