"""The headers of weights in stores and on the web, read by ranges."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

from glorot_cli.errors import FormatError, shown
from glorot_cli.formats import safetensors, shards
from glorot_cli.formats.base import INDEX
from glorot_cli.formats.npy_header import LARGEST_HEADER, read_header
from glorot_cli.formats.remote import Remote
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.formats.table import NPY, SAFETENSORS

# As much is read at first: most headers are no longer.
_HEAD_BYTES = 1 << 17
# Headers of shards that are asked for at a time.
_AT_ONCE = 16


def read_headers(place: Remote) -> StoredFile:
    """Read the headers of an object, or of the shards of a checkpoint.

    Raises:
        FormatError: if there is none, it is of a format that is not read so, or it is damaged.
    """
    if place.suffix == ".npy":
        return _npy(place)
    if place.suffix == ".safetensors":
        return _safetensors(place)
    if place.name.endswith(".safetensors.index.json"):
        return _index(place)
    if not place.suffix or place.url.endswith("/"):
        if (place / INDEX).status() is not None:
            return _index(place / INDEX)
        if (place / shards.shard_name(0, 1)).status() is not None:
            return _safetensors(place / shards.shard_name(0, 1))
        raise FormatError(
            f"cannot read {place}: there is neither {INDEX} nor {shards.shard_name(0, 1)} in it"
        )
    raise FormatError(
        f"cannot read {place}: from stores and the web come .safetensors, their shards, and .npy; "
        "copy it to a disk"
    )


def _pinned(place: Remote) -> tuple[Remote, int]:
    """Return an object as it is now, and its size."""
    found = place.status()
    if found is None:
        raise FormatError(f"cannot read {place}: there is no such object")
    return Remote(place.url, found.version, found.size), found.size


def _safetensors(place: Remote) -> StoredFile:
    place, size = _pinned(place)
    head = bytes(place.read(0, _HEAD_BYTES))

    def read(offset: int, nbytes: int) -> bytes:
        if offset + nbytes <= len(head):
            return head[offset : offset + nbytes]
        rest = max(offset, len(head))
        return head[offset:] + bytes(place.read(rest, offset + nbytes - rest))

    return safetensors.read_header(place, size, read)


def _npy(place: Remote) -> StoredFile:
    place, size = _pinned(place)
    header = read_header(io.BytesIO(bytes(place.read(0, LARGEST_HEADER + 12))), str(place))
    if header.nbytes != size - header.start:
        raise FormatError(
            f"{place}: its header needs {header.nbytes} bytes, the file has {size - header.start}"
        )
    tensor = StoredTensor(
        place.name.removesuffix(".npy"),
        header.shape,
        header.dtype.name,
        header.start,
        header.nbytes,
        header.order,
        place,
    )
    return StoredFile(place, NPY, None, [tensor])


def _index(place: Remote) -> StoredFile:
    names = shards.parse_weight_map(place, place.text(shards.LARGEST_INDEX))
    for name in names.values():
        if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
            raise FormatError(f"{place}: expected a file beside it, found {shown(name)}")
    files = sorted(set(names.values()))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        read = dict(
            zip(files, pool.map(lambda f: _safetensors(place.parent / f), files), strict=True)
        )
    held = {file: each.by_name() for file, each in read.items()}
    tensors = []
    for name, file in names.items():
        found = held[file].get(name)
        if found is None:
            raise FormatError(f"{place}: {shown(file)} holds no tensor {shown(name)}")
        tensors.append(found.placed(read[file].path))
    provenance = next((each.provenance for each in read.values()), None)
    return StoredFile(place.parent, SAFETENSORS, provenance, tensors)
