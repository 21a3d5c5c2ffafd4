"""Checkpoints in shards, as Hugging Face keeps them: safetensors files and an index of names."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from glorot_cli.errors import FormatError, GlorotError, shown
from glorot_cli.formats import safetensors
from glorot_cli.formats.base import INDEX, Extent, Provenance, compact
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.plan import Plan, PlannedTensor

LARGEST_INDEX = 256 << 20
_UNITS = {
    "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip


def parse_size(text: str) -> int:
    """Read a size such as 5GB (10**9 bytes each) or 512MiB.

    Raises:
        GlorotError: if it is none.
    """
    match = re.fullmatch(r"\s*([0-9]{1,15})(\.[0-9]{1,6})?\s*([A-Za-z]+)\s*", text)
    if match is None or match[3].upper() not in _UNITS:
        raise GlorotError(
            f"--max-shard-size: expected a size such as 5GB or 512MiB, found {shown(text)}"
        )
    size = int(float(match[1] + (match[2] or "")) * _UNITS[match[3].upper()])
    if size < 1:
        raise GlorotError(f"--max-shard-size: expected at least a byte, found {shown(text)}")
    return size


def split(tensors: Sequence[PlannedTensor], largest: int) -> list[list[int]]:
    """Part tensors, in their order, into shards of at most `largest` bytes.

    A larger tensor gets a shard of its own. As `huggingface_hub` does it, but that there such a
    tensor's shard comes before the one then open, which goes on after it.
    """
    shards: list[list[int]] = []
    size = largest + 1
    for index, tensor in enumerate(tensors):
        if size + tensor.nbytes > largest:
            shards.append([])
            size = 0
        shards[-1].append(index)
        size += tensor.nbytes
    return shards


def shard_name(index: int, count: int) -> str:
    """Return the file name of a shard; the only one has no number."""
    return f"model-{index + 1:05d}-of-{count:05d}.safetensors" if count > 1 else "model.safetensors"


def lay_out(plan: Plan, provenance: Provenance, path: Path, largest: int) -> list[Extent]:
    """Write the shards' headers, and the index where there are several, and place the tensors."""
    shards = split(plan.tensors, largest)
    extents: list[Extent] = []
    for number, shard in enumerate(shards):
        file = path / shard_name(number, len(shards))
        file.touch()
        metadata = {
            "format": "pt",
            "glorot": compact({**provenance, "shard": [number + 1, len(shards)]}),
        }
        extents += safetensors.lay_out_tensors(plan, shard, metadata, file)
    if len(shards) > 1:
        (path / INDEX).write_text(index_text(plan, shards), encoding="utf-8")
    return extents


def finish(path: Path, config: str | os.PathLike[str] | None) -> None:
    """Put a copy of a model's configuration beside its shards."""
    if config is not None:
        shutil.copyfile(config, path / "config.json")


def index_text(plan: Plan, shards: Sequence[Sequence[int]]) -> str:
    """Return the index of shards: which file holds which tensor."""
    names = {
        plan.tensors[index].name: shard_name(number, len(shards))
        for number, shard in enumerate(shards)
        for index in shard
    }
    total = sum(tensor.nbytes for tensor in plan.tensors)
    document = {"metadata": {"total_size": total}, "weight_map": dict(sorted(names.items()))}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def read_index(path: Path) -> StoredFile:
    """Read the headers of all shards that an index names.

    Raises:
        FormatError: if the index is damaged, names a file outside its folder, or a shard lacks a
            tensor.
    """
    if path.stat().st_size > LARGEST_INDEX:
        raise FormatError(f"{path}: expected an index below {LARGEST_INDEX >> 20} MiB")
    try:
        weight_map = json.loads(path.read_bytes())["weight_map"]
        names = {str(name): str(file) for name, file in weight_map.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FormatError(f"{path}: expected an index with a weight_map") from None
    root = path.parent.resolve()
    shards: dict[str, StoredFile] = {}
    held: dict[str, dict[str, StoredTensor]] = {}
    tensors = []
    for name, file in names.items():
        if file not in shards:
            shard = (root / file).resolve() if "\0" not in file else root
            if shard.parent != root or not shard.is_file():
                raise FormatError(f"{path}: expected a file beside it, found {shown(file)}")
            shards[file] = safetensors.read_headers(shard)
            held[file] = shards[file].by_name()
        found = held[file].get(name)
        if found is None:
            raise FormatError(f"{path}: {file} holds no tensor {shown(name)}")
        tensors.append(found.placed(shards[file].path))
    provenance = next((shard.provenance for shard in shards.values()), None)
    return StoredFile(path.parent, "safetensors", provenance, tensors)


def read_folder(path: Path) -> StoredFile:
    """Read the headers of a folder that holds an index, or one file without.

    Raises:
        FormatError: if it holds neither.
    """
    if (path / INDEX).is_file():
        return read_index(path / INDEX)
    return safetensors.read_headers(path / "model.safetensors")
