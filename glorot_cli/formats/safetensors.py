"""The safetensors layout: a length, a JSON header, then the tensors without gaps."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from glorot_cli.errors import FormatError, shown
from glorot_cli.formats.base import Extent, Provenance, compact
from glorot_cli.formats.stored import StoredFile, StoredTensor, check_shape
from glorot_cli.formats.texts import MOST_TENSORS, TooManyError, parse_json
from glorot_cli.plan import Plan

LARGEST_HEADER = 100_000_000

# In the library's order: it sorts by dtype, descending, and then by name. Item sizes in bits.
_BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
    "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
_RANK = {code: rank for rank, code in enumerate(_BITS)}
_CODES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "float8_e5m2": "F8_E5M2",
    "float8_e4m3fn": "F8_E4M3", "int16": "I16", "float16": "F16", "bfloat16": "BF16",
    "int32": "I32", "float32": "F32", "float64": "F64", "int64": "I64",
}  # fmt: skip
_NAMES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "F16": "float16",
    "BF16": "bfloat16", "I32": "int32", "U32": "uint32", "F32": "float32", "F64": "float64",
    "I64": "int64", "U64": "uint64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}  # fmt: skip


def lay_out(plan: Plan, provenance: Provenance, path: Path) -> list[Extent]:
    """Write the header, with the bytes that the library would write, and place the tensors."""
    return lay_out_tensors(plan, range(len(plan.tensors)), {"glorot": compact(provenance)}, path)


def lay_out_tensors(
    plan: Plan, indices: Iterable[int], metadata: Mapping[str, str], path: Path
) -> list[Extent]:
    """Write the header of some of a plan's tensors, and place them."""
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
    text += b" " * (-len(text) % 8)
    if len(text) > LARGEST_HEADER:
        raise FormatError(f"{len(places)} tensors need a header over safetensors' limit of 100 MB")
    with path.open("r+b") as file:
        file.write(len(text).to_bytes(8, "little") + text)
    return [Extent(index, path, 8 + len(text) + offset) for index, offset in places]


def read_headers(path: Path) -> StoredFile:
    """Read names, shapes, dtypes and offsets.

    Raises:
        FormatError: if the header breaks the format's rules.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, LARGEST_HEADER):
            file.seek(0)
            raise FormatError(f"{path}: {_no_header(file.read(512), length, size)}")
        try:
            header = parse_json(file.read(length))
        except TooManyError as error:
            raise FormatError(f"{path}: a header of {length} bytes: {error}") from None
        except ValueError:
            raise FormatError(f"{path}: expected a JSON header of safetensors") from None
    if not isinstance(header, dict) or len(header) > MOST_TENSORS:
        raise FormatError(f"{path}: expected a JSON object of at most {MOST_TENSORS} tensors")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict):
        raise FormatError(f"{path}: expected __metadata__ to be an object")
    tensors = sorted(
        (_stored(name, entry, path, 8 + length) for name, entry in header.items()),
        key=lambda tensor: (tensor.offset, tensor.nbytes),
    )
    _check_cover(path, tensors, 8 + length, size)
    return StoredFile(path, "safetensors", metadata.get("glorot"), tensors)


def _no_header(start: bytes, length: int, size: int) -> str:
    """Say what a file is that holds no header of the length that its first bytes read."""
    if not size:
        return "the file is empty"
    if _is_text(start):
        return (
            "expected a weight file, found text; "
            "if it is a spec: glorot plan SPEC, or glorot verify FILE SPEC"
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


def _stored(name: str, entry: Any, path: Path, start: int) -> StoredTensor:
    try:
        code, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [*shape, begin, end]
        if code not in _BITS or not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
            raise ValueError
        if end < begin:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise FormatError(
            f"{path}: tensor {shown(name)}: expected a dtype, a shape, and offsets that fit"
        ) from None
    check_shape(f"{path}: tensor {shown(name)}", shape, 1)
    bits = math.prod(shape) * _BITS[code]
    if bits != (end - begin) * 8:
        needed = f"{shown(bits)} bits" if bits % 8 else f"{shown(bits // 8)} bytes"
        raise FormatError(
            f"{path}: tensor {shown(name)}: {code} {shown(shape)} needs {needed}, "
            f"its offsets hold {end - begin}"
        )
    return StoredTensor(name, tuple(shape), _NAMES.get(code, code), start + begin, end - begin)


def _check_cover(path: Path, tensors: list[StoredTensor], start: int, size: int) -> None:
    for tensor in tensors:
        if tensor.offset != start:
            raise FormatError(f"{path}: tensor {shown(tensor.name)}: a gap or an overlap before it")
        start += tensor.nbytes
    if start != size:
        more = size - start
        hint = "is it cut short?"
        if more > 0:
            hint = f"{more} bytes follow" if more > 1 else "1 byte follows"
            hint += " the last tensor"
        raise FormatError(
            f"{path}: the header speaks of {start} bytes, the file has {size}; {hint}"
        )
