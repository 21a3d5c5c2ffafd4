"""Weight file formats: each lays out a header and says where every tensor's bytes go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from glorot_cli.errors import FormatError, shown
from glorot_cli.formats.base import Format
from glorot_cli.formats.table import (
    FORMATS,
    KERAS_SHARDS,
    NPY,
    NPY_FOLDER,
    OPTIONS,
    SAFETENSORS,
    SHARDS,
    WRITTEN,
)
from glorot_cli.formats.texts import MOST_TENSORS, MOST_VALUES

if TYPE_CHECKING:
    from glorot_cli.plan import Plan

__all__ = ["FORMATS", "OPTIONS", "Format", "check_plan", "choose_format"]


def choose_format(path: str, name: str | None = None, *, sharded: bool = False) -> Format:
    """Choose the format by name, or else by the ending of the path; shards go into a folder.

    Raises:
        FormatError: if neither says which.
    """
    folder = path.endswith("/") or Path(path).is_dir()
    if sharded:
        return _choose_sharded(path, name, folder=folder)
    if folder and name in (None, NPY.option):
        return NPY_FOLDER
    if name is not None:
        return OPTIONS[name]
    file = Path(path).name
    fitting = {
        ending: each
        for each in WRITTEN
        for ending in each.endings
        # Keras wants the dot before `weights.h5`.
        if file.endswith(ending) or (file == ending[1:] and file != "weights.h5")
    }
    if fitting:
        return fitting[max(fitting, key=len)]
    endings = ", ".join(ending for each in WRITTEN for ending in each.endings)
    raise FormatError(
        f"{path}: expected a name that ends in {endings} or /, found {shown(file)}; "
        "rename the output or choose with --format"
    )


def _choose_sharded(path: str, name: str | None, *, folder: bool) -> Format:
    """Choose what a checkpoint in several files is written as.

    Raises:
        FormatError: if there are no shards of such a name.
    """
    if name is None and path.endswith(KERAS_SHARDS.endings) and not folder:
        return KERAS_SHARDS
    if name in (None, SAFETENSORS.option) and (folder or not Path(path).suffix):
        return SHARDS
    raise FormatError(
        f"{path}: shards are .safetensors files in a folder, or Keras's .weights.json; "
        "end the output's name in / or .weights.json"
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
