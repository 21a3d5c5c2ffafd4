"""What an HDF5 file holds, by a walk over hard links only, and the blocks of its datasets."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glorot_cli.child import RefusedError

LONGEST_LABEL = 1000
# What Keras says of a whole model in the root of its older layout, besides lists of names.
MODEL_TEXTS = ("model_config", "keras_version", "backend")
Shape = tuple[int, ...]
Request = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut a shape into runs along one axis, in C order; a shape that holds nothing has none."""

    shape: Shape
    axis: int
    step: int
    count: int

    def index(self, number: int) -> tuple[int | slice, ...]:
        """Return which elements a run holds."""
        if not self.shape:
            return ()
        size = self.shape[self.axis]
        outer, inner = divmod(number, -(-size // self.step))
        index: list[int | slice] = [
            slice(inner * self.step, min((inner + 1) * self.step, size)),
        ]
        for size in reversed(self.shape[: self.axis]):
            outer, place = divmod(outer, size)
            index.insert(0, place)
        return tuple(index)

    def elements(self, number: int) -> int:
        """Count the elements of a run."""
        rows = 1
        for part in self.index(number):
            rows *= part.stop - part.start if isinstance(part, slice) else 1
        return rows * math.prod(self.shape[self.axis + 1 :])


def cut(shape: Shape, itemsize: int, largest: int) -> Cut:
    """Cut a shape into runs of at most so many bytes, or of an element."""
    if not shape or not math.prod(shape):
        return Cut(shape, 0, 1, math.prod(shape))
    axis = 0
    while axis < len(shape) - 1 and math.prod(shape[axis + 1 :]) * itemsize > largest:
        axis += 1
    step = max(1, largest // (math.prod(shape[axis + 1 :]) * itemsize))
    return Cut(shape, axis, step, math.prod(shape[:axis]) * -(-shape[axis] // step))


def _parts(
    runs: Cut, number: int, itemsize: int, largest: int
) -> Iterator[tuple[int | slice, ...]]:
    """Cut a run once more, into runs of at most so many bytes."""
    index = runs.index(number)
    if not index or runs.elements(number) * itemsize <= largest:
        yield index
        return
    whole = index[-1]
    assert isinstance(whole, slice)
    inner = cut((whole.stop - whole.start, *runs.shape[runs.axis + 1 :]), itemsize, largest)
    for place in range(inner.count):
        first, *others = inner.index(place)
        if isinstance(first, slice):
            yield (*index[:-1], slice(whole.start + first.start, whole.start + first.stop))
        else:
            yield (*index[:-1], whole.start + first, *others)


class _Part(io.RawIOBase):
    """Be a part of a file, read-only."""

    def __init__(self, raw: io.BufferedReader, start: int, size: int) -> None:
        self._raw = raw
        self._start = start
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: max(0, self._size - self._at)]
        self._raw.seek(self._start + self._at)
        count = self._raw.readinto(view)
        self._at += count
        return count


@contextlib.contextmanager
def opened(path: str, window: tuple[int, int] | None) -> Iterator[Any]:
    """Open a file, or what lies within it from one byte on and is so long."""
    import h5py

    if window is None:
        with h5py.File(path, "r", locking=False) as file:
            yield file
        return
    with Path(path).open("rb") as raw, h5py.File(_Part(raw, *window), "r") as file:
        yield file


# Open datasets of all files by their file and path, the last used last, and how large their caches
# of chunks may get.
Kept = dict[tuple["Walk", str], tuple[Any, int]]


class Walk:
    """Walk a file depth first, each object once by its address, links in their natural order."""

    def __init__(self, file: Any, request: Request, kept: Kept) -> None:
        self._request = request
        self._root = file["/"].id
        self._types: dict[str, Any] = {}
        self._counted = self._stored = 0
        self._labels: dict[str, str] = {}
        self._attributes: dict[str, dict[str, list[str] | str]] = {}
        self._kept = kept

    def listing(self) -> dict[str, Any]:
        """Return what a file holds.

        Raises:
            RefusedError: if it holds what would lead to other files, or more than is allowed.
        """
        tensors = [self._described(path, item) for path, item in self._datasets()]
        # A layer may be named `layers`; Keras's layout has its variables in groups named `vars`.
        has_layers = self._root.links.exists(b"layers")
        in_places = not tensors or any("/vars/" in f"/{name}" for _, name, *_ in tensors)
        layout = "keras" if has_layers and in_places else "h5"
        return {
            "layout": layout,
            "provenance": self._provenance(),
            "tensors": tensors,
            "labels": self._labels,
            "attributes": self._attributes,
        }

    def _datasets(self) -> Iterator[tuple[bytes, Any]]:
        import h5py

        request, names, count = self._request, 0, 0
        seen = {h5py.h5o.get_info(self._root).addr}
        stack = self._links(b"", self._root)
        while stack:
            path, group, link = stack.pop()
            path = path + b"/" + link if path else link
            name = _text(path)
            info = group.links.get_info(link)
            if info.type != h5py.h5l.TYPE_HARD:
                raise RefusedError("", name, " is a link, which is not followed")
            if info.u in seen:
                continue
            seen.add(info.u)
            item = h5py.h5o.open(group, link)
            if isinstance(item, h5py.h5g.GroupID):
                if path.count(b"/") > request["deepest"]:
                    raise RefusedError(f"expected at most {request['deepest']} levels of groups")
                stack += self._links(path, item)
            elif isinstance(item, h5py.h5d.DatasetID):
                names, count = names + len(path), count + 1
                if names > request["names"] or count > request["tensors"]:
                    raise RefusedError(
                        f"expected at most {request['tensors']} datasets, whose names take at "
                        f"most {request['names'] >> 20} MiB"
                    )
                yield path, item

    def _links(self, path: bytes, group: Any) -> list[tuple[bytes, Any, bytes]]:
        self._note(_text(path), group)
        links: list[bytes] = []
        room = self._request["objects"] - self._counted

        def take(link: bytes) -> bool | None:
            links.append(link)
            return True if len(links) > room else None

        group.links.iterate(take)
        self._counted += len(links)
        if len(links) > room:
            raise RefusedError(f"expected at most {self._request['objects']} objects")
        return [(path, group, link) for link in sorted(links, key=_natural, reverse=True)]

    def _note(self, path: str, group: Any) -> None:
        """Take what Keras says of a group: its layer's name, or the names of what it holds."""
        import h5py

        if h5py.h5a.get_num_attrs(group) == 0:
            return
        attributes = h5py.Group(group).attrs
        if path == "vars" or path.endswith("/vars"):
            label = _plain_text(attributes, "name")
            if label is not None:
                self._labels[path.removesuffix("vars").rstrip("/")] = label
            return
        for key in MODEL_TEXTS if path == "" else ():
            text = _plain_text(attributes, key, self._request["provenance"])
            if text is not None:
                self._attributes.setdefault(path, {})[key] = text
        for key in ("layer_names", "weight_names"):
            found = _names(attributes, key)
            if found is not None:
                self._attributes.setdefault(path, {})[key] = found

    def _described(self, path: bytes, dataset: Any) -> list[Any]:
        import h5py

        name = _text(path)
        creation = dataset.get_create_plist()
        if creation.get_layout() == h5py.h5d.VIRTUAL or creation.get_external_count():
            raise RefusedError("", name, " keeps its data in other files, which are not read")
        shape = dataset.shape
        if shape is None:
            raise RefusedError("", name, " has no shape, as HDF5's null dataspace allows")
        dtype = dataset.dtype
        nbytes = math.prod(shape) * dtype.itemsize
        stored = dataset.get_storage_size()
        self._stored += stored
        if self._stored > self._request["size"]:
            # Chunks of which several are the same bytes would cost more than the file's size says.
            raise RefusedError("", name, " is stored in bytes that other data is stored in")
        offset = dataset.get_offset()
        is_bfloat16 = _is_bfloat16(dataset, dtype)
        plain = is_bfloat16 or (dtype.kind in "biufc" and self._is_plain(dataset, dtype))
        lies = f" declares {nbytes} bytes, {stored} are stored"
        if not plain or (nbytes and offset is None):
            if nbytes > self._request["ratio"] * max(stored, 1):
                raise RefusedError("", name, lies)
            offset = -1
        elif nbytes != stored:
            raise RefusedError("", name, lies)
        known = "bfloat16" if is_bfloat16 else dtype.name if dtype.kind in "biufc" else str(dtype)
        order = ">" if dtype.byteorder == ">" else "<"
        key = path.hex() if offset == -1 else ""
        return [key, name, shape, known, offset, nbytes, order, stored]

    def _is_plain(self, dataset: Any, dtype: Any) -> bool:
        """Tell whether NumPy's type is the stored one, bit for bit."""
        import h5py

        key = dtype.str
        if key not in self._types:
            self._types[key] = h5py.h5t.py_create(dtype)
        return bool(dataset.get_type().equal(self._types[key]))

    def _provenance(self) -> str | None:
        import h5py

        if not h5py.h5a.exists(self._root, b"glorot"):
            return None
        attribute = h5py.h5a.open(self._root, b"glorot")
        if attribute.shape != () or not isinstance(attribute.get_type(), h5py.h5t.TypeStringID):
            return None
        found = h5py.Group(self._root).attrs["glorot"]
        return (
            found if isinstance(found, str) and len(found) <= self._request["provenance"] else None
        )

    def block(self, path: str, number: int) -> Any:
        """Return the bytes of one block of a dataset, which its path in a listing names.

        Raises:
            RefusedError: if the elements are no numbers, or the chunks too large.
        """
        import numpy as np

        dataset = self._dataset(path)
        itemsize = dataset.dtype.itemsize
        runs = cut(dataset.shape, itemsize, self._request["block"])
        largest = self._request["chunks"] * (dataset.chunks or (1 << 20,))[-1] * itemsize
        parts = [dataset[part] for part in _parts(runs, number, itemsize, largest)]
        # As bytes, for joining arrays makes their order the machine's.
        raw = [np.ascontiguousarray(part).reshape(-1).view(np.uint8) for part in parts]
        return np.concatenate(raw).data

    def _dataset(self, path: str) -> Any:
        import h5py

        key = self, path
        if key in self._kept:
            self._kept[key] = self._kept.pop(key)
            return self._kept[key][0]
        raw = bytes.fromhex(path)
        chunk = self._chunk_bytes(h5py.Dataset(h5py.h5d.open(self._root, raw)))
        # Blocks go across chunks: a row of these is kept, so that each is unpacked once.
        largest = self._request["chunk"]
        room = max(chunk, largest // 4)
        while sum(cache for _, cache in self._kept.values()) + room > largest + largest // 4:
            del self._kept[next(iter(self._kept))]
        # A dataset's cache is that of its first opening, which is over by now.
        access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
        access.set_chunk_cache(10007, room, 1.0)
        dataset = h5py.Dataset(h5py.h5d.open(self._root, raw, access))
        self._kept[key] = dataset, room
        return dataset

    def _chunk_bytes(self, dataset: Any) -> int:
        """Return the size of a dataset's chunks.

        Raises:
            RefusedError: if it is too large, or the elements are no numbers.
        """
        if dataset.dtype.kind not in "biufc":
            raise RefusedError(f"cannot read elements of dtype {dataset.dtype}")
        largest = self._request["chunk"]
        nbytes: int = math.prod(dataset.chunks or (1,)) * dataset.dtype.itemsize
        if nbytes > largest:
            raise RefusedError(f"expected chunks of at most {largest >> 20} MiB")
        return nbytes


def _natural(link: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Order names as people do: 2 before 10."""
    parts = re.split(rb"([0-9]{1,18})", link)
    return [(int(p) if i % 2 else 0, b"" if i % 2 else p) for i, p in enumerate(parts)], link


def _plain_text(attributes: Any, key: str, longest: int = LONGEST_LABEL) -> str | None:
    """Return an attribute that is a text, and not too long."""
    try:
        found = attributes.get(key)
    except (OSError, TypeError, ValueError):
        return None
    found = found.decode("utf-8", "replace") if isinstance(found, bytes) else found
    return str(found) if isinstance(found, str) and len(found) <= longest else None


def _names(attributes: Any, key: str) -> list[str] | None:
    """Return a list of names, which Keras parts over several attributes where it is long."""
    parts = [key] if key in attributes else []
    while not parts or parts[-1] != key:
        part = f"{key}{len(parts)}"
        if part not in attributes:
            break
        parts.append(part)
    found: list[str] = []
    for part in parts:
        try:
            values = attributes[part].reshape(-1).tolist()
        except (AttributeError, OSError, TypeError, ValueError):
            return None
        for value in values:
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            if not isinstance(text, str):
                return [] if not values else None
            found.append(text)
    return found if parts else None


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _is_bfloat16(dataset: Any, dtype: Any) -> bool:
    """Tell whether a dataset is what Keras writes for bfloat16: two opaque bytes, so labelled."""
    import h5py

    if dtype.str != "|V2" or dtype.names or not h5py.h5a.exists(dataset, b"dtype"):
        return False
    return bool(h5py.Dataset(dataset).attrs["dtype"] == "bfloat16")
