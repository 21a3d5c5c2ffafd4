"""The safetensors layout: a length, a JSON header, then the tensors without gaps."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from glorot_cli.errors import FormatError, pointer_hint, printable, shown
from glorot_cli.formats.base import Extent, Output, compact
from glorot_cli.formats.sources import Place
from glorot_cli.formats.stored import StoredFile, StoredTensor, check_shape
from glorot_cli.formats.table import SAFETENSORS
from glorot_cli.formats.texts import MOST_TENSORS, DuplicateError, TooManyError, parse_json
from glorot_cli.plan import Plan

LARGEST_HEADER = 100_000_000
# transformers 4 reads no file that does not name a framework.
FRAMEWORK = "pt"

# Each type's bits, and its name where NumPy has one; in the library's order: it sorts tensors by
# type, descending, and then by name.
_TYPES: dict[str, tuple[int, str | None]] = {
    "BOOL": (8, "bool"),
    "F4": (4, None),
    "F6_E2M3": (6, None),
    "F6_E3M2": (6, None),
    "U8": (8, "uint8"),
    "I8": (8, "int8"),
    "F8_E5M2": (8, "float8_e5m2"),
    "F8_E4M3": (8, "float8_e4m3fn"),
    "F8_E8M0": (8, None),
    "F8_E4M3FNUZ": (8, None),
    "F8_E5M2FNUZ": (8, None),
    "I16": (16, "int16"),
    "U16": (16, "uint16"),
    "F16": (16, "float16"),
    "BF16": (16, "bfloat16"),
    "I32": (32, "int32"),
    "U32": (32, "uint32"),
    "F32": (32, "float32"),
    "C64": (64, "complex64"),
    "F64": (64, "float64"),
    "I64": (64, "int64"),
    "U64": (64, "uint64"),
}
_RANK = {code: rank for rank, code in enumerate(_TYPES)}
# What NumPy has no name for keeps its code.
_NAMES = {code: name or code for code, (_, name) in _TYPES.items()}
_CODES = {name: code for code, name in _NAMES.items()}


def lay_out(output: Output) -> list[Extent]:
    """Write the header, with the bytes that the library would write, and place the tensors."""
    metadata = metadata_of(output.provenance, output.metadata)
    return lay_out_tensors(output.plan, range(len(output.plan.tensors)), metadata, output.path)


def metadata_of(provenance: Mapping[str, object], kept: Mapping[str, str]) -> dict[str, str]:
    """Return a file's texts: its framework and provenance, and those of an older file."""
    return {**kept, "format": FRAMEWORK, "glorot": compact(provenance)}


def lay_out_tensors(
    plan: Plan, indices: Iterable[int], metadata: Mapping[str, str], path: Path
) -> list[Extent]:
    """Write the header of some of a plan's tensors, and place them."""
    header, places = header_of(plan, indices, metadata)
    with path.open("r+b") as file:
        file.write(header)
    return [Extent(index, path, offset) for index, offset in places]


def header_of(
    plan: Plan, indices: Iterable[int], metadata: Mapping[str, str]
) -> tuple[bytes, list[tuple[int, int]]]:
    """Return the header of some of a plan's tensors, and where each starts, in the file's order.

    Raises:
        FormatError: if it is longer than the format allows.
    """
    tensors = plan.tensors
    order = sorted(
        indices, key=lambda i: (-_RANK[_CODES[tensors[i].dtype]], tensors[i].name.encode())
    )
    # As json.dumps would write it; but that takes a mapping for each tensor of a large plan.
    quoted = json.encoder.encode_basestring
    entries = [f'{{"__metadata__":{compact(metadata)}']
    places = []
    offset = 0
    for index in order:
        tensor = tensors[index]
        end = offset + tensor.nbytes
        shape = ",".join(map(str, tensor.shape))
        entries.append(
            f'{quoted(tensor.name)}:{{"dtype":"{_CODES[tensor.dtype]}","shape":[{shape}],'
            f'"data_offsets":[{offset},{end}]}}'
        )
        places.append((index, offset))
        offset = end
    text = (",".join(entries) + "}").encode()
    text += b" " * (-len(text) % SAFETENSORS.alignment)
    if len(text) > LARGEST_HEADER:
        raise FormatError(f"{len(places)} tensors need a header over safetensors' limit of 100 MB")
    start = 8 + len(text)
    header = len(text).to_bytes(8, "little") + text
    return header, [(index, start + offset) for index, offset in places]


def read_headers(path: Path) -> StoredFile:
    """Read names, shapes, dtypes and offsets of what the safetensors library accepts.

    Raises:
        FormatError: if the header breaks the format's rules.
    """
    size = path.stat().st_size
    with path.open("rb") as file:

        def read(offset: int, nbytes: int) -> bytes:
            file.seek(offset)
            return file.read(nbytes)

        return read_header(path, size, read)


def read_header(path: Place, size: int, read: Callable[[int, int], bytes]) -> StoredFile:
    """Do as `read_headers` does, of a file of so many bytes that `read` reads from an offset on.

    Raises:
        FormatError: if the header breaks the format's rules.
    """
    length = int.from_bytes(read(0, min(8, size)), "little")
    if size < 8 or length > min(size - 8, LARGEST_HEADER):
        raise FormatError(f"{path}: {_no_header(read(0, min(512, size)), length, size)}")
    try:
        header = parse_json(read(8, length), unique=True)
    except DuplicateError as error:
        raise FormatError(f"{path}: {error}") from None
    except TooManyError as error:
        raise FormatError(f"{path}: a header of {length} bytes: {error}") from None
    except ValueError:
        raise FormatError(f"{path}: expected a JSON header of safetensors") from None
    if not isinstance(header, dict) or len(header) > MOST_TENSORS:
        raise FormatError(f"{path}: expected a JSON object of at most {MOST_TENSORS} tensors")
    metadata = header.pop("__metadata__", None) or {}
    start = 8 + length
    if isinstance(path, Path):
        check(path, lambda: _hint(header, start, size))
    elif hint := _hint(header, start, size):
        raise FormatError(f"{path}: {hint}")
    tensors = [_stored(name, entry, path, start) for name, entry in header.items()]
    tensors.sort(key=lambda tensor: (tensor.offset, tensor.nbytes))
    return StoredFile(path, SAFETENSORS, metadata.get("glorot"), tensors, metadata=metadata)


def check(path: Path, hint: Callable[[], str] = str) -> None:
    """Have the safetensors library open a file, which validates its header.

    Raises:
        FormatError: with the hint, or else with the library's reason, if it refuses.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy"):
            pass
    except (SafetensorError, OSError) as error:
        reason = str(error).removeprefix("Error while deserializing header: ")
        raise FormatError(f"{path}: {hint() or printable(reason)}") from None


def finish(output: Output) -> None:
    """Have the library open what was written, before the file takes its name."""
    check(output.path)


def _no_header(start: bytes, length: int, size: int) -> str:
    """Say what a file is that holds no header of the length that its first bytes read."""
    if not size:
        return "the file is empty"
    if _is_text(start):
        return pointer_hint(start.decode("latin-1")) or (
            "expected a weight file, found text; "
            "if it is a spec: glorot plan SPEC, or glorot verify FILE --spec SPEC"
        )
    if size >= 8 and length <= LARGEST_HEADER and start[8:9] in (b"", b"{"):
        return f"its header takes {8 + length} bytes, the file has {size}; is it cut short?"
    return (
        "expected a weight file, found neither HDF5 nor .npy nor a safetensors header "
        f"(its length reads {length}, in a file of {size} bytes)"
    )


def _is_text(start: bytes) -> bool:
    try:
        # A character may be cut at the end.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)
    except UnicodeDecodeError:
        return False
    return "".join(text.split()).isprintable()


def _stored(name: str, entry: dict[str, Any], path: Place, start: int) -> StoredTensor:
    code, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    check_shape(f"{path}: tensor {shown(name)}", shape, 1)
    return StoredTensor(name, tuple(shape), _NAMES.get(code, code), start + begin, end - begin)


def _hint(header: dict[str, Any], start: int, size: int) -> str:
    """Explain the common reasons for which the library refuses a header."""
    ends: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        try:
            code, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            bits, nbytes = math.prod(shape) * _TYPES[code][0], end - begin
            if nbytes < 0 or not all(type(n) is int and n >= 0 for n in (*shape, begin)):
                raise ValueError
        except (KeyError, TypeError, ValueError):
            return f"tensor {shown(name)}: expected a dtype, a shape, and offsets that fit"
        if bits != nbytes * 8:
            needed = f"{shown(bits)} bits" if bits % 8 else f"{shown(bits // 8)} bytes"
            return (
                f"tensor {shown(name)}: {code} {shown(shape)} needs {needed}, "
                f"its offsets hold {nbytes}"
            )
        ends.append((begin, end, name))
    last = 0
    for begin, end, name in sorted(ends):
        if begin != last:
            return f"tensor {shown(name)}: a gap or an overlap before it"
        last = end
    more = size - start - last
    if not more:
        return ""
    follow = f"{more} byte{'s follow' if more > 1 else ' follows'} the last tensor"
    return (
        f"its header needs {start + last} bytes, the file has {size}; "
        f"{follow if more > 0 else 'is it cut short?'}"
    )
