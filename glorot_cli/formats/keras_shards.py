"""Keras 3's layout in shards: .weights.h5 files, and an index of which holds which layer."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from glorot_cli.errors import FormatError, shown
from glorot_cli.formats.base import Extent, Output
from glorot_cli.formats.hdf5 import keras_place, lay_out_keras
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.formats.table import KERAS

if TYPE_CHECKING:
    from glorot_cli.plan import Plan


def lay_out(output: Output) -> list[Extent]:
    """Lay out Keras 3's layout in files `x_00000.weights.h5` and the index `x.weights.json`.

    A layer's variables stay together, as Keras reads them.
    """
    plan, target = output.plan, output.target.name
    shards = _shards(plan, output.largest)
    extents: list[Extent] = []
    weight_map: dict[str, str] = {}
    for number, (chosen, file_name) in enumerate(zip(shards, _names(target, shards), strict=True)):
        file = output.path / file_name
        part = replace(plan, tensors=tuple(plan.tensors[index] for index in chosen))
        claim = {**output.provenance, "shard": [number + 1, len(shards)]}
        for extent in lay_out_keras(replace(output, plan=part, provenance=claim, path=file)):
            extents.append(extent._replace(tensor=chosen[extent.tensor]))
        for tensor in part.tensors:
            for place in filter(None, (keras_place(tensor), tensor.also_group)):
                weight_map[f"/{_group_of(place)}"] = file.name
    total = sum(tensor.nbytes for tensor in plan.tensors)
    index_text = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (output.path / target).write_text(json.dumps(index_text, indent=2) + "\n", encoding="utf-8")
    return extents


def files_of(plan: Plan, largest: int, target: str) -> list[str]:
    """Return the names of the files that are laid out beside an index of a name."""
    return _names(target, _shards(plan, largest))


def _names(target: str, shards: list[list[int]]) -> list[str]:
    # As Keras derives them from the index's name.
    stem = Path(target).stem.replace(".weights", "")
    return [f"{stem}_{number:05d}.weights.h5" for number in range(len(shards))]


def _shards(plan: Plan, largest: int) -> list[list[int]]:
    """Part a plan's tensors into shards, those of a layer into one."""
    layers: dict[str, list[int]] = {}
    # What stands in two places keeps both together.
    above = {
        _group_of(keras_place(tensor)): _group_of(tensor.also_group)
        for tensor in plan.tensors
        if tensor.also_group is not None
    }
    for index, tensor in enumerate(plan.tensors):
        group = _group_of(keras_place(tensor))
        while group in above:
            group = above[group]
        layers.setdefault(group, []).append(index)
    shards: list[list[int]] = [[]]
    size = 0
    for indices in layers.values():
        nbytes = sum(plan.tensors[index].nbytes for index in indices)
        if shards[-1] and size + nbytes > largest:
            shards.append([])
            size = 0
        shards[-1] += indices
        size += nbytes
    return shards


def _group_of(place: str) -> str:
    """Return the group of the variables that a place is among."""
    return place.rpartition("/")[0]


def read_index(path: Path) -> StoredFile:
    """Read the headers of the .weights.h5 files that Keras's index names.

    Raises:
        FormatError: if the index is damaged, names a file outside its folder, or a file lacks a
            group.
    """
    # Writing needs no way to read.
    from glorot_cli.formats import hdf5_walk
    from glorot_cli.formats.shards import file_beside, weight_map

    shards: dict[str, StoredFile] = {}
    held: dict[str, dict[str, list[StoredTensor]]] = {}
    tensors: dict[str, StoredTensor] = {}
    taken: set[tuple[str, str]] = set()
    for group, files in weight_map(path).items():
        inner = group.strip("/") + "/"
        # Keras parts a group's variables where they are too large for one file.
        for each in files if isinstance(files, list) else [files]:
            file = file_beside(path, each)
            if (file, inner) in taken:
                continue
            taken.add((file, inner))
            if file not in shards:
                shards[file] = hdf5_walk.read_headers(path.parent / file)
                held[file] = _by_group(shards[file])
            if inner not in held[file]:
                raise FormatError(f"{path}: {shown(file)} holds no group {shown(group)}")
            found = held[file][inner]
            tensors.update((t.name, t.placed(shards[file].path)) for t in found)
    provenance = next((shard.provenance for shard in shards.values()), None)
    return StoredFile(path, KERAS, provenance, list(tensors.values()))


def _by_group(file: StoredFile) -> dict[str, list[StoredTensor]]:
    """Return the tensors below each group, by the group's name and a slash."""
    groups: dict[str, list[StoredTensor]] = {}
    for tensor in file.tensors:
        for match in re.finditer("/", tensor.name):
            groups.setdefault(tensor.name[: match.end()], []).append(tensor)
    return groups
