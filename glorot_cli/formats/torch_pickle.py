"""The pickle of a state_dict, as torch.save writes it: an OrderedDict of tensors over storages."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable

from glorot_cli.dtypes import ITEM_SIZES
from glorot_cli.fans import Shape
from glorot_cli.plan import PlannedTensor

_STORAGES = {
    "float64": "DoubleStorage", "float32": "FloatStorage", "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage", "int64": "LongStorage", "int32": "IntStorage",
    "int16": "ShortStorage", "int8": "CharStorage", "uint8": "ByteStorage", "bool": "BoolStorage",
}  # fmt: skip
_PROTO, _STOP = b"\x80\x02", b"."
_MARK, _TUPLE, _EMPTY_TUPLE, _REDUCE, _PERSISTENT = b"(", b"t", b")", b"R", b"Q"
_FALSE, _SET_ITEMS = b"\x89", b"u"


class _Writer:
    """Write opcodes; what stands in every tensor is put into the memo, and taken from there."""

    def __init__(self) -> None:
        self.parts = [_PROTO]
        self._memo: dict[bytes, int] = {}

    def put(self, *parts: bytes) -> None:
        self.parts += parts

    def again(self, text: bytes) -> None:
        """Write what a memo can stand for."""
        if text in self._memo:
            self.put(b"h", bytes([self._memo[text]]))
            return
        self._memo[text] = len(self._memo)
        self.put(text, b"q", bytes([self._memo[text]]))

    def name(self, module: str, name: str) -> None:
        self.again(f"c{module}\n{name}\n".encode())


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def _number(value: int) -> bytes:
    if value < 2**31:
        return b"J" + struct.pack("<i", value) if value > 255 else b"K" + bytes([value])
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little")
    return b"\x8a" + bytes([len(raw)]) + raw


def state_dict(tensors: Iterable[PlannedTensor]) -> bytes:
    """Write the pickle; the storage of a tensor is the record of its number."""
    out = _Writer()
    out.name("collections", "OrderedDict")
    out.put(_EMPTY_TUPLE, _REDUCE, _MARK)
    for index, tensor in enumerate(tensors):
        out.put(_text(tensor.name))
        _tensor(out, index, tensor)
    out.put(_SET_ITEMS, _STOP)
    return b"".join(out.parts)


def _tensor(out: _Writer, index: int, tensor: PlannedTensor) -> None:
    # Storages of the newer dtypes have none, and count bytes.
    kind = _STORAGES.get(tensor.dtype)
    out.name("torch._utils", "_rebuild_tensor_v2" if kind else "_rebuild_tensor_v3")
    out.put(_MARK, _MARK)
    out.again(_text("storage"))
    if kind:
        out.name("torch", kind)
    else:
        out.name("torch.storage", "UntypedStorage")
    out.put(_text(str(index)))
    out.again(_text("cpu"))
    count = math.prod(tensor.shape)
    out.put(_number(count if kind else count * ITEM_SIZES[tensor.dtype]), _TUPLE, _PERSISTENT)
    out.put(_number(0))
    for sizes in (tensor.shape, _strides(tensor.shape)):
        out.put(_MARK, *map(_number, sizes), _TUPLE)
    out.put(_FALSE)
    out.name("collections", "OrderedDict")
    out.put(_EMPTY_TUPLE, _REDUCE)
    if not kind:
        out.name("torch", tensor.dtype)
    out.put(_TUPLE, _REDUCE)


def _strides(shape: Shape) -> list[int]:
    """Return torch's strides of a contiguous tensor, which take an empty axis for one of 1."""
    return [math.prod(max(size, 1) for size in shape[axis + 1 :]) for axis in range(len(shape))]
