"""Checkpoints in shards, as Hugging Face keeps them: safetensors files and an index of names."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath
from typing import Any

from glorot_cli.errors import FormatError, GlorotError, shown
from glorot_cli.formats import leavings, safetensors
from glorot_cli.formats.base import INDEX, Format
from glorot_cli.formats.sources import Place
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.formats.table import SAFETENSORS
from glorot_cli.formats.texts import MOST_TENSORS, TooManyError, parse_json
from glorot_cli.plan import Plan, PlannedTensor

LARGEST_INDEX = 128 << 20
LARGEST_CONFIG = 64 << 20
_SHARD = re.compile(r"model(-[0-9]{5,}-of-[0-9]{5,})?\.safetensors")
# As huggingface_hub and Keras cut them.
SHARD_SIZE = "5GB"
CONFIG = "config.json"
GENERATION = "generation_config.json"
# What a shard says of the texts that its run wrote beside it.
BESIDE = "beside"
# An expression of all names in such a folder.
NAMES = rf"{_SHARD.pattern}|{re.escape(INDEX)}|(generation_)?config\.json"
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

    There is at least one shard, and a larger tensor gets one of its own. `huggingface_hub` does the
    same, but that there such a tensor's shard comes before the one then open, which goes on after
    it.
    """
    shards: list[list[int]] = [[]]
    size = 0
    for index, tensor in enumerate(tensors):
        if shards[-1] and size + tensor.nbytes > largest:
            shards.append([])
            size = 0
        shards[-1].append(index)
        size += tensor.nbytes
    return shards


def shard_name(index: int, count: int) -> str:
    """Return the file name of a shard; the only one has no number."""
    return f"model-{index + 1:05d}-of-{count:05d}.safetensors" if count > 1 else "model.safetensors"


def is_shard(name: str) -> bool:
    """Tell whether a file's name is a shard's."""
    return _SHARD.fullmatch(name) is not None


def names_in(folder: Path) -> set[str]:
    """Return the names of files in a folder that are shards'."""
    return {f.name for f in folder.iterdir() if _SHARD.fullmatch(f.name) and f.is_file()}


def claim_of(file: Path) -> str | None:
    """Return the provenance that a shard carries, be it whole or cut short; None of others' files.

    A link is others' too.
    """
    try:
        if file.is_symlink() or not file.is_file():
            return None
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > safetensors.LARGEST_HEADER:
                return None
            found = parse_json(opened.read(length))["__metadata__"]["glorot"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def digest(text: bytes) -> str:
    """Return the hash by which a shard knows a text beside it."""
    return hashlib.sha256(text).hexdigest()


def without_beside(claim: str) -> object:
    """Return a shard's provenance without what it says of the texts beside it."""
    try:
        found = parse_json(claim)
    except ValueError:
        return claim
    return {k: v for k, v in found.items() if k != BESIDE} if isinstance(found, dict) else claim


def _texts_of(folder: Path, shard: str) -> list[str]:
    """Return the names of the texts in a folder that the run that wrote a shard wrote too."""
    ours = []
    try:
        said = parse_json(claim_of(folder / shard) or "{}").get(BESIDE) or {}
        for name in (CONFIG, GENERATION):
            place = folder / name
            is_plain = place.is_file() and not place.is_symlink()
            if is_plain and digest(place.read_bytes()) == said.get(name):
                ours.append(name)
    except (OSError, ValueError, AttributeError):
        return []
    return ours


def written(folder: Path) -> list[PurePath]:
    """Return what glorot wrote of a folder's shards: the index first, the texts last."""
    unfinished = re.compile(leavings.pattern(NAMES, leavings.TEMPORARY))
    names = [file.name for file in folder.iterdir()]
    foreign = {name for name in names if _SHARD.fullmatch(name) and claim_of(folder / name) is None}
    ours = [
        name
        for name in sorted(names)
        if unfinished.fullmatch(name) or (_SHARD.fullmatch(name) and name not in foreign)
    ]
    if INDEX in names and not (folder / INDEX).is_symlink():
        with contextlib.suppress(FormatError, OSError):
            named = set(map(str, weight_map(folder / INDEX).values())) & set(names)
            if named and named <= set(ours):
                ours.insert(0, INDEX)
    if first := next((name for name in ours if _SHARD.fullmatch(name)), None):
        ours += _texts_of(folder, first)
    return [PurePath(name) for name in ours]


def are_complete(names: Collection[str]) -> bool:
    """Tell by the names in a folder whether it has an index, or the one shard that needs none."""
    return INDEX in names or shard_name(0, 1) in names


def is_complete(folder: Path) -> bool:
    """Tell whether a folder has an index, or the one shard that needs none."""
    return (folder / INDEX).is_file() or (folder / shard_name(0, 1)).is_file()


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


def read_index(path: Path, file_format: Format = SAFETENSORS) -> StoredFile:
    """Read the headers of all shards that an index names, which are files of one format.

    Raises:
        FormatError: if the index is damaged, names a file outside its folder, or a shard lacks a
            tensor.
    """
    shards: dict[str, StoredFile] = {}
    held: dict[str, dict[str, StoredTensor]] = {}
    tensors = []
    for name, files in weight_map(path).items():
        file = file_beside(path, files)
        if file not in shards:
            shards[file] = file_format.read(path.parent / file)
            held[file] = shards[file].by_name()
        found = held[file].get(name)
        if found is None:
            raise FormatError(f"{path}: {shown(file)} holds no tensor {shown(name)}")
        tensors.append(found.placed(shards[file].path))
    provenance = next((shard.provenance for shard in shards.values()), None)
    notices = tuple(notice for shard in shards.values() for notice in shard.notices)
    return StoredFile(path.parent, file_format, provenance, tensors, notices)


def is_index(path: Path) -> bool:
    """Tell by its content whether a text file is an index of shards.

    Raises:
        OSError: if it cannot be read.
    """
    if path.stat().st_size > LARGEST_INDEX:
        return False
    with path.open("rb") as file:
        if file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
            return False
        file.seek(0)
        text = file.read()
    if b'"weight_map"' not in text:
        return False
    try:
        found = parse_json(text)
    except ValueError:
        return False
    return isinstance(found, dict) and isinstance(found.get("weight_map"), dict)


def weight_map(path: Path) -> dict[str, Any]:
    """Read what an index says of which file holds what."""
    if path.stat().st_size > LARGEST_INDEX:
        raise FormatError(f"{path}: expected an index below {LARGEST_INDEX >> 20} MiB")
    return parse_weight_map(path, path.read_bytes())


def parse_weight_map(path: Place, text: bytes) -> dict[str, Any]:
    """Read what the text of an index says of which file holds what.

    Raises:
        FormatError: if it is none, or names too much.
    """
    try:
        found = dict(parse_json(text)["weight_map"].items())
    except TooManyError as error:
        raise FormatError(f"{path}: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FormatError(f"{path}: expected an index with a weight_map") from None
    if len(found) > MOST_TENSORS:
        raise FormatError(f"{path}: expected a weight_map of at most {MOST_TENSORS} names")
    return found


def file_beside(index: Path, name: object) -> str:
    """Check that a file is in an index's own folder; a link there is followed."""
    is_name = isinstance(name, str) and "\0" not in name and Path(name).name == name
    if is_name and (index.parent / str(name)).is_file():
        return str(name)
    raise FormatError(f"{index}: expected a file beside it, found {shown(name)}")


def read_folder(path: Path) -> StoredFile:
    """Read the headers of a folder that holds an index, or one file without.

    Raises:
        FormatError: if it holds neither.
    """
    if (path / INDEX).is_file():
        return read_index(path / INDEX)
    if not is_complete(path):
        raise FormatError(
            f"{path}/ holds shards without {INDEX}: not all of them are written; "
            "glorot init --resume goes on"
        )
    return safetensors.read_headers(path / "model.safetensors")
