"""What torch.save wrote: archives, TorchScript among them, and the older files, read unexecuted."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

from glorot_cli.errors import FormatError, shown
from glorot_cli.formats import zips
from glorot_cli.formats.reader_process import OpenFile, Process, Program
from glorot_cli.formats.stored import StoredFile, StoredTensor, check_shape
from glorot_cli.formats.strided import Strided
from glorot_cli.formats.table import TORCH
from glorot_cli.formats.texts import MOST_TENSORS
from glorot_cli.repeats import LARGEST_NAMES

# What the process that reads a pickle may take, beyond its own size, before it is ended.
LARGEST_MEMORY = 768 << 20
PROGRAM = Program(
    str(TORCH.process),
    LARGEST_MEMORY,
    "reading its pickle",
    "it is damaged, or has too much in it",
)
LARGEST_PICKLE = 256 << 20
PROVENANCE = ".data/glorot"
LARGEST_PROVENANCE = 16 << 20
DEEPEST = 64
MOST_OBJECTS = 8 * MOST_TENSORS
# What a file may declare for each byte that it has: an axis may be expanded without copies.
LARGEST_RATIO = 1032
SMALL = 1 << 20
# Seconds of processor time for a pickle, and more for each MiB: 70,000 tensors take 14 MB and 3 s.
PATIENCE = 10.0
PATIENCE_PER_MIB = 2.0
_PICKLE = "data.pkl"
_CONSTANTS = "constants.pkl"

_process = Process(PROGRAM)
# The first byte and the length of a storage in the file.
Place = tuple[int, int]


def is_archive(path: Path) -> bool:
    """Tell whether a zip file is one of torch's.

    Raises:
        FormatError: if its directory is larger than is read.
    """
    try:
        with zips.opened(path) as archive:
            return any(_is_pickle(name) for name in archive.namelist())
    except zips.DAMAGE:
        return False


def _is_pickle(name: str) -> bool:
    return name == _PICKLE or (name.endswith(f"/{_PICKLE}") and name.count("/") == 1)


def read_headers(path: Path, key: str | None = None) -> StoredFile:
    """Read names, shapes, dtypes and places of the weights, or of the mapping of a key.

    Raises:
        FormatError: if the file is damaged, or has no such key.
    """
    with path.open("rb") as raw:
        is_zip = raw.read(4) == b"PK\x03\x04"
        return (_Archive(path, raw) if is_zip else _Legacy(path, raw)).read(key)


class _Legacy:
    """Read pickles, and the storages that follow them."""

    order = "<"  # whatever machine wrote it

    def __init__(self, path: Path, raw: IO[bytes]) -> None:
        self.path = path
        self.size = raw.seek(0, 2)

    def read(self, key: str | None) -> StoredFile:
        found = _asked(self.path, 0, self.size, key, legacy=True)
        places = {name: (start, size) for name, (start, size) in found["storages"].items()}
        return _stored(self.path, self.size, found, places, self.order, None)


class _Archive:
    """Read the pickle of a zip file, and find the members that are its storages."""

    def __init__(self, path: Path, raw: IO[bytes]) -> None:
        self.path, self.raw = path, raw
        self.size = raw.seek(0, 2)
        try:
            with zips.opened(path) as archive:
                members = archive.infolist()
        except zips.DAMAGE as error:
            raise FormatError(f"{path}: not a file of torch's: {error}") from None
        self.members = {member.filename: member for member in members}
        if len(self.members) < len(members):
            raise FormatError(f"{path}: two of its members have the same name")
        if sum(member.compress_size for member in members) > self.size:
            raise FormatError(f"{path}: its members take more bytes than it has: some overlap")
        pickles = [name for name in self.members if _is_pickle(name)]
        if not pickles:
            raise FormatError(f"{path}: not a file of torch's: it has no {_PICKLE}")
        self.root = pickles[0][: -len(_PICKLE)]

    def read(self, key: str | None) -> StoredFile:
        found, folder = self._pickled(_PICKLE, key), "data"
        if not found["tensors"] and key is None and self.root + _CONSTANTS in self.members:
            # A frozen TorchScript module has its weights among the constants.
            found, folder = self._pickled(_CONSTANTS, key), "constants"
        keys = {entry[1] for entry in found["tensors"]}
        places = {each: self._place(f"{folder}/{each}") for each in keys}
        order = self._text("byteorder", 16) or "little"
        if order not in ("little", "big"):
            raise FormatError(
                f"{self.path}: expected byteorder little or big, found {shown(order)}"
            )
        provenance = self._text(PROVENANCE, LARGEST_PROVENANCE)
        swapped = ">" if order == "big" else "<"
        return _stored(self.path, self.size, found, places, swapped, provenance)

    def _pickled(self, name: str, key: str | None) -> dict[str, Any]:
        start, size = self._place(name)
        if size > LARGEST_PICKLE:
            raise FormatError(f"{self.path}: expected a {name} below {LARGEST_PICKLE >> 20} MiB")
        return _asked(self.path, start, size, key, legacy=False)

    def _place(self, name: str) -> Place:
        """Return where the bytes of a member start, and how many there are."""
        member = self.members.get(self.root + name)
        if member is None:
            raise FormatError(f"{self.path}: it has no {shown(name)}, which its pickle refers to")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise FormatError(
                f"{self.path}: expected {shown(name)} stored as it is, found it compressed"
            )
        start = zips.data_start(self.path, shown(name), member, self.raw)
        return start, member.file_size

    def _text(self, name: str, largest: int) -> str | None:
        if self.root + name not in self.members:
            return None
        start, size = self._place(name)
        if size > largest:
            return None
        self.raw.seek(start)
        return self.raw.read(size).decode("utf-8", "replace")


def _asked(path: Path, start: int, size: int, key: str | None, *, legacy: bool) -> dict[str, Any]:
    request = {
        "path": str(path.absolute()),
        "start": start,
        "size": size,
        "legacy": legacy,
        "key": key,
        "deepest": DEEPEST,
        "objects": MOST_OBJECTS,
        "tensors": MOST_TENSORS,
        "names": LARGEST_NAMES,
        "patience": PATIENCE + PATIENCE_PER_MIB * min(size, LARGEST_PICKLE) / (1 << 20),
    }
    return OpenFile(path, request, _process).listing()


def _stored(
    path: Path,
    size: int,
    found: dict[str, Any],
    places: dict[str, Place],
    order: str,
    provenance: str | None,
) -> StoredFile:
    tensors = []
    declared = 0
    for described in found["tensors"]:
        tensor = _tensor(path, places, order, *described)
        declared += tensor.nbytes
        if declared > LARGEST_RATIO * size + SMALL:
            raise FormatError(f"{path}: its tensors declare {declared} bytes, it has {size}")
        tensors.append(tensor)
    tensors.sort(key=lambda tensor: tensor.offset or 0)
    if len(tensors) == 1 and not tensors[0].name:
        # A lone tensor has no name.
        tensors = [StoredTensor(path.stem, *_fields(tensors[0])[1:])]
    notes = tuple(
        "".join(shown(part) if place % 2 else part for place, part in enumerate(note))
        for note in found["notes"]
    )
    return StoredFile(path, TORCH, provenance, tensors, notes)


def _fields(tensor: StoredTensor) -> tuple[Any, ...]:
    return tuple(getattr(tensor, name) for name in StoredTensor.__slots__)


def _tensor(
    path: Path,
    places: dict[str, Place],
    order: str,
    name: str,
    key: str,
    dtype: str,
    itemsize: int,
    first: int,
    shape: list[int],
    strides: list[int],
) -> StoredTensor:
    where = f"{path}: tensor {shown(name)}"
    sizes = tuple(shape)
    nbytes = check_shape(where, sizes, itemsize)
    start, held = places.get(key, (0, 0))
    last = sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) if nbytes else -1
    if nbytes and first + (last + 1) * itemsize > held:
        raise FormatError(
            f"{where}: it needs {first + (last + 1) * itemsize} bytes of storage {shown(key)}, "
            f"which has {held}"
        )
    steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    is_plain = not nbytes or all(
        size == 1 or step == own for size, step, own in zip(shape, strides, steps, strict=True)
    )
    if is_plain:
        return StoredTensor(name, sizes, dtype, start + first, nbytes, order)
    if nbytes > LARGEST_RATIO * held + SMALL:
        raise FormatError(f"{where}: it declares {nbytes} bytes, {held} are stored")
    slabs = Strided(path, name, start + first, sizes, tuple(strides), dtype, order)
    return StoredTensor(name, sizes, dtype, None, nbytes, order, None, slabs)
