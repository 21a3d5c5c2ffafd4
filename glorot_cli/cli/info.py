"""The command that says what a bug report needs to know."""

from __future__ import annotations

import json as json_module
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from glorot_cli.cli.options import JsonOption

LIBRARIES = (
    "cryptography", "h5py", "ml_dtypes", "numpy", "pydantic", "pyyaml", "rich", "safetensors",
    "typer", "distributed", "matplotlib",
)  # fmt: skip


def info(json: JsonOption = False) -> None:
    """Show the versions, kernels, formats and streams that a bug report needs."""
    found = _found()
    if json:
        print(json_module.dumps(found, ensure_ascii=False))
        return
    print(f"glorot {found['version']}")
    for key in ("python", "platform", "kernels"):
        print(f"{key}: {found[key]}")
    for key in ("libraries", "streams"):
        print(f"{key}: " + ", ".join(f"{name} {value}" for name, value in found[key].items()))
    print("formats: " + "; ".join(found["formats"].values()))


def _found() -> dict[str, Any]:
    from glorot_cli import __version__
    from glorot_cli.formats import FORMATS
    from glorot_cli.streams import STREAMS
    from glorot_cli.streams.kernels import kernels

    chosen = kernels()
    switched_off = os.environ.get("GLOROT_KERNELS") == "off"
    missing = "off by GLOROT_KERNELS" if switched_off else "not built"
    return {
        "version": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "kernels": chosen.name if chosen is not None else f"NumPy ({missing})",
        "libraries": {name: found for name in LIBRARIES if (found := _version(name)) is not None},
        "formats": {name: format.title for name, format in FORMATS.items()},
        "streams": {name: stream.version for name, stream in STREAMS.items()},
    }


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
