"""The .keras archive: a model's configuration and its weights, stored in a zip file."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

from glorot_cli.errors import FormatError
from glorot_cli.formats.base import TEMPORARY

# The earliest date that zip knows: the same spec gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
# The version whose layout is written; Keras asks that there be one.
KERAS_VERSION = "3.15.1"


def finish(path: Path, config: str | os.PathLike[str] | None) -> None:
    """Turn a written .weights.h5 into a .keras archive of the same path.

    Raises:
        FormatError: if the configuration is not a Keras model's.
    """
    assert config is not None
    text = Path(config).read_bytes()
    try:
        if "class_name" not in json.loads(text):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise FormatError(f"{config}: expected the JSON of a Keras model") from None
    metadata = json.dumps({"keras_version": KERAS_VERSION, "date_saved": "1980-01-01@00:00:00"})
    archive = path.with_name(path.name.removesuffix(TEMPORARY) + "-zip" + TEMPORARY)
    try:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
            for name, content in (("metadata.json", metadata.encode()), ("config.json", text)):
                zipped.writestr(_entry(name), content)
            with path.open("rb") as weights:
                entry = _entry("model.weights.h5")
                entry.file_size = path.stat().st_size
                with zipped.open(entry, "w", force_zip64=entry.file_size > 2**31) as out:
                    shutil.copyfileobj(weights, out, 1 << 21)
        archive.replace(path)
    finally:
        archive.unlink(missing_ok=True)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.external_attr = 0o644 << 16
    return entry
