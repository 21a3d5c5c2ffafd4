"""What all formats share: what one is, extents, names in folders, and JSON with one spelling."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from glorot_cli.dtypes import INTEGERS

if TYPE_CHECKING:
    from glorot_cli.formats.stored import StoredFile
    from glorot_cli.plan import Plan

MANIFEST = "manifest.json"
INDEX = "model.safetensors.index.json"
# What a folder of Hugging Face's has of torch's own files, the index first.
TORCH_INDEX = ".bin.index.json"
TORCH_NAMES = (f"pytorch_model{TORCH_INDEX}", "pytorch_model.bin")
LARGEST_MANIFEST = 256 << 20

# The lists of names in Keras's older layout, by their groups and then by their own names.
KerasNames = Mapping[str, Mapping[str, list[str] | str]]
Provenance = Mapping[str, Any]
# What is written: a file, a folder, files beside each other, or shards, each in its turn.
Kind = Literal["file", "folder", "set", "shards"]


class Extent(NamedTuple):
    """Say where a tensor's bytes lie: the plan's index of it, the file, and the offset in it."""

    tensor: int
    path: Path
    offset: int


@dataclass(frozen=True, slots=True)
class Output:
    """Hold what is written: a plan, what the file says of it, and where.

    `path` is the temporary file or folder, `target` the name that it takes. `largest` is how many
    bytes a file of a set holds; `configuration` is the text of a model's, where the user gave one;
    `checksums` are the CRC-32 of each tensor's bytes, where the writer asks for them; `metadata`
    are texts of an older file that stay, and `keras_names` the lists and texts in one of Keras's.
    """

    plan: Plan
    provenance: Provenance
    path: Path
    target: Path
    largest: int
    configuration: bytes | None = None
    checksums: tuple[int, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    keras_names: KerasNames = field(default_factory=dict)


class Writer(NamedTuple):
    """Hold how a format is written: lay out headers, and complete what was filled.

    `checksums` asks for those of the tensors, to complete it with.
    """

    lay_out: Callable[[Output], list[Extent]]
    finish: Callable[[Output], None] | None = None
    checksums: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """Describe a format: its names, what it can hold, and how it is written and read.

    `title` starts with what errors call it. The longest of the `endings` that fits a path decides;
    what is only read may have `other_endings`;
    `option` is its name for `--format`. `writer` loads what writes it, if anything does: shards are
    each a file of its own. `recognises` is given a path and a file's first bytes, none of a folder;
    `read` reads headers, and `read_key` those of one of several mappings in a file.

    `dtypes` are those that it is written in. `copies` says how often the bytes are on the disk at
    the same time. Tensors' first bytes lie at a multiple of `alignment` in their file, where it is
    the only one. `names` says what a file calls its tensors: by their names, by their places in
    Keras's layout, either, or nothing; `axes` whose order of axes a kernel in it has, where nothing
    says so. A provenance of more than `largest_provenance` bytes is left out. `configuration` is
    whose configuration goes with it. `process` is the module that a process of its own runs to read
    it.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path], StoredFile]
    writer: Callable[[], Writer] | None = None
    other_endings: tuple[str, ...] = ()
    read_key: Callable[[Path, str], StoredFile] | None = None
    option: str | None = None
    kind: Kind = "file"
    dtypes: tuple[str, ...] = ("float64", "float32", "float16", *INTEGERS)
    copies: int = 1
    alignment: int = 1
    holds_provenance: bool = True
    largest_provenance: int | None = None
    names: Literal["names", "places", "either", "nothing"] = "names"
    axes: Literal["torch", "keras"] = "keras"
    configuration: Literal["model", "keras"] | None = None
    process: str | None = None


def compact(entry: Mapping[str, Any]) -> str:
    """Write JSON with sorted keys and no spaces."""
    return json.dumps(
        entry, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False
    )
