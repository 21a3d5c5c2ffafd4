"""Weight file formats: each lays out a header and says where every tensor's bytes go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from glorot_cli.dtypes import INTEGERS, ITEM_SIZES
from glorot_cli.errors import FormatError, shown
from glorot_cli.formats import hdf5, keras_archive, npy, safetensors
from glorot_cli.formats.base import Extent, Kind
from glorot_cli.formats.texts import MOST_TENSORS, MOST_VALUES
from glorot_cli.plan import Plan


class Format(NamedTuple):
    """Describe a format: its name, and how a plan is laid out in it at a path.

    Shards have no `lay_out`: each is a file of its own, written in its turn by `sharding`.
    `finish` completes what was filled, with the text of a model's configuration where the user gave
    one; `copies` says how often the bytes are on the disk at the same time.
    """

    name: str
    title: str
    lay_out: Callable[..., list[Extent]] | None
    finish: Callable[[Path, bytes | None], None] | None = None
    kind: Kind = "file"
    copies: int = 1
    holds_provenance: bool = True
    dtypes: tuple[str, ...] = ("float64", "float32", "float16", *INTEGERS)


_KERAS_DTYPES = ("float64", "float32", "float16", "bfloat16", *INTEGERS)

FORMATS: dict[str, Format] = {
    "safetensors": Format(
        "safetensors",
        ".safetensors",
        safetensors.lay_out,
        safetensors.finish,
        dtypes=tuple(ITEM_SIZES),
    ),
    "keras": Format(
        "keras",
        ".weights.h5, Keras 3's layout",
        hdf5.lay_out_keras,
        dtypes=_KERAS_DTYPES,
    ),
    "h5": Format("h5", ".h5, a dataset for each tensor", hdf5.lay_out),
    "keras-archive": Format(
        "keras-archive",
        ".keras, a model and its weights",
        keras_archive.lay_out,
        keras_archive.finish,
        kind="set",
        copies=2,
        dtypes=_KERAS_DTYPES,
    ),
    "keras-shards": Format(
        "keras-shards",
        ".weights.json, Keras 3's layout in shards",
        hdf5.lay_out_shards,
        kind="set",
        dtypes=_KERAS_DTYPES,
    ),
    "npy": Format("npy", ".npy, one tensor", npy.lay_out, holds_provenance=False),
    "npy-folder": Format("npy-folder", "a folder of .npy", npy.lay_out_folder, kind="folder"),
    "shards": Format(
        "shards",
        "a folder of .safetensors shards",
        None,
        kind="folder",
        dtypes=tuple(ITEM_SIZES),
    ),
}

# The longest ending that fits decides.
_ENDINGS = {
    ".safetensors": "safetensors",
    ".weights.h5": "keras",
    ".h5": "h5",
    ".hdf5": "h5",
    ".npy": "npy",
    ".keras": "keras-archive",
    ".weights.json": "keras-shards",
}


def choose_format(path: str, name: str | None = None, *, sharded: bool = False) -> Format:
    """Choose the format by name, or else by the ending of the path; shards go into a folder.

    Raises:
        FormatError: if neither says which.
    """
    folder = path.endswith("/") or Path(path).is_dir()
    if sharded and not path.endswith(".weights.json"):
        if name not in (None, "safetensors") or (Path(path).suffix and not folder):
            raise FormatError(
                f"{path}: shards are .safetensors files in a folder, or Keras's .weights.json; "
                "end the output's name in / or .weights.json"
            )
        return FORMATS["shards"]
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


def check_plan(chosen: Format, plan: Plan) -> None:
    """Check that a format can hold every dtype of a plan, and that what is written can be read.

    Raises:
        FormatError: naming the formats that can, or the most that are read.
    """
    count = len(plan.tensors)
    if count > MOST_TENSORS:
        raise FormatError(f"a file holds at most {MOST_TENSORS} tensors, the plan has {count}")
    if sum(len(tensor.shape) + 10 for tensor in plan.tensors) > MOST_VALUES:
        raise FormatError(f"a file's headers hold at most {MOST_VALUES} values")
    for tensor in plan.tensors:
        if tensor.dtype not in chosen.dtypes:
            able = [each.title for each in FORMATS.values() if tensor.dtype in each.dtypes]
            raise FormatError(
                f"{chosen.title.split(',')[0]} cannot hold {tensor.dtype}, the dtype of "
                f"{shown(tensor.name)}; these can: {'; '.join(able)}"
            )
