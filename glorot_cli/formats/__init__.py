"""Weight file formats: each lays out a header and says where every tensor's bytes go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from glorot_cli.dtypes import ITEM_SIZES
from glorot_cli.errors import FormatError, shown
from glorot_cli.formats import hdf5, npy, safetensors
from glorot_cli.formats.base import Extent
from glorot_cli.plan import Plan


class Format(NamedTuple):
    """Describe a format: its name, and how a plan is laid out in it at a path."""

    name: str
    title: str
    lay_out: Callable[[Plan, str, Path], list[Extent]]
    is_folder: bool = False
    holds_provenance: bool = True
    dtypes: tuple[str, ...] = ("float64", "float32", "float16", "int64")


FORMATS: dict[str, Format] = {
    "safetensors": Format(
        "safetensors", ".safetensors", safetensors.lay_out, dtypes=tuple(ITEM_SIZES)
    ),
    "keras": Format(
        "keras",
        ".weights.h5, Keras 3's layout",
        hdf5.lay_out_keras,
        dtypes=("float64", "float32", "float16", "bfloat16"),
    ),
    "h5": Format("h5", ".h5, a dataset for each tensor", hdf5.lay_out),
    "npy": Format("npy", ".npy, one tensor", npy.lay_out, holds_provenance=False),
    "npy-folder": Format("npy-folder", "a folder of .npy", npy.lay_out_folder, is_folder=True),
}

# The longest ending that fits decides.
_ENDINGS = {
    ".safetensors": "safetensors",
    ".weights.h5": "keras",
    ".h5": "h5",
    ".hdf5": "h5",
    ".npy": "npy",
}


def choose_format(path: str, name: str | None = None) -> Format:
    """Choose the format by name, or else by the ending of the path.

    Raises:
        FormatError: if neither says which.
    """
    folder = path.endswith("/") or Path(path).is_dir()
    if name == "npy":
        return FORMATS["npy-folder" if folder else "npy"]
    if name is not None:
        return FORMATS[name]
    if folder:
        return FORMATS["npy-folder"]
    file = Path(path).name
    for ending, key in _ENDINGS.items():
        if file.endswith(ending) or file == ending[1:]:
            return FORMATS[key if file != "weights.h5" else "h5"]
    endings = ", ".join(_ENDINGS)
    raise FormatError(
        f"{path}: expected a name that ends in {endings} or /, found {shown(Path(path).name)}; "
        "rename the output or choose with --format"
    )


def check_dtypes(chosen: Format, plan: Plan) -> None:
    """Check that a format can hold every dtype of a plan.

    Raises:
        FormatError: naming the formats that can.
    """
    for tensor in plan.tensors:
        if tensor.dtype not in chosen.dtypes:
            able = [each.title for each in FORMATS.values() if tensor.dtype in each.dtypes]
            raise FormatError(
                f"{chosen.title.split(',')[0]} cannot hold {tensor.dtype}, the dtype of "
                f"{shown(tensor.name)}; these can: {'; '.join(able)}"
            )
