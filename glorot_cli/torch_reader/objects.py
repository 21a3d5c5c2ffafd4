"""What a pickle of torch's builds: tensors as descriptions, and everything else inert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from glorot_cli.child import RefusedError

# Bytes of an element, by torch's name of the dtype without its prefix.
ITEM_SIZES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "complex128": 16, "complex64": 8,
    "complex32": 4, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint64": 8, "uint32": 4,
    "uint16": 2, "uint8": 1, "bool": 1, "float8_e4m3fn": 1, "float8_e5m2": 1,
    "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1, "float8_e8m0fnu": 1, "float4_e2m1fn_x2": 1,
    "bits8": 1, "bits16": 2,
}  # fmt: skip
# The dtypes of typed storages.
STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
    "QInt8Storage": "qint8", "QUInt8Storage": "quint8", "QInt32Storage": "qint32",
    "UntypedStorage": "uint8",
}  # fmt: skip
# What quantised elements are stored as.
QUANTISED = {"qint8": "int8", "quint8": "uint8", "qint32": "int32"}


@dataclass(frozen=True, slots=True)
class Name:
    """Be what a pickle names, which is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Built:
    """Be what a pickle builds of a name that means nothing here: its parts, and nothing that acts.

    `items` and `elements` are what it was given as a mapping or a list; `state` is its attributes.
    """

    __slots__ = ("arguments", "elements", "items", "name", "state")

    def __init__(self, name: object, arguments: tuple[Any, ...]) -> None:
        self.name = name
        self.arguments = arguments
        self.items: dict[Any, Any] = {}
        self.elements: list[Any] = []
        self.state: object = None


class Storage(NamedTuple):
    """Name where elements are: the storage's key, how its bytes were declared, and a first byte."""

    key: str
    dtype: str
    nbytes: int
    start: int = 0


class Tensor(NamedTuple):
    """Describe a tensor: where its first element is, in bytes, and its strides, in elements.

    `note` says what the bare numbers leave out.
    """

    storage: Storage
    dtype: str
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    note: str = ""


class Parts(NamedTuple):
    """Describe a sparse tensor by those that it is made of."""

    parts: dict[str, Any]
    note: str


class Absent(NamedTuple):
    """Be a tensor whose elements are not in the file, or are not understood, and say why."""

    reason: str


def storage(identity: object) -> Storage:
    """Read what stands for a storage in a pickle.

    Raises:
        RefusedError: if it is none.
    """
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
        raise RefusedError("its pickle refers to what is no storage of torch's")
    _, kind, key, _, count, *view = identity
    dtype = STORAGES.get(kind.name) if isinstance(kind, Name) else None
    if dtype is None or not isinstance(key, str) or not _is_count(count):
        raise RefusedError("its pickle has a storage of a kind that is not known")
    itemsize = ITEM_SIZES[QUANTISED.get(dtype, dtype)]
    start = 0
    if view and view[0] is not None:
        # Before torch 0.4 a storage could be a part of another.
        if not isinstance(view[0], tuple) or len(view[0]) != 3 or not _is_count(view[0][1]):
            raise RefusedError("its pickle has a view of a storage that is not understood")
        start = view[0][1] * itemsize
    return Storage(key, dtype, count * itemsize, start)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _sizes(value: object) -> tuple[int, ...]:
    if isinstance(value, list | tuple) and len(value) <= 64 and all(map(_is_count, value)):
        return tuple(value)
    raise RefusedError("its pickle has a tensor whose shape is not understood")


def _tensor(
    place: object, offset: object, size: object, strides: object, dtype: str, note: str = ""
) -> Tensor:
    shape, steps = _sizes(size), _sizes(strides)
    if not isinstance(place, Storage) or not _is_count(offset) or len(shape) != len(steps):
        raise RefusedError("its pickle has a tensor that is not understood")
    assert isinstance(offset, int)
    stored = QUANTISED.get(dtype, dtype)
    first = place.start + offset * ITEM_SIZES[stored]
    return Tensor(place, stored, first, shape, steps, note)


def _tensor_v1(place: Any, offset: object, size: object, strides: object, *_: object) -> Any:
    return _tensor(place, offset, size, strides, place.dtype)


def _tensor_v2(
    place: Any, offset: object, size: object, strides: object, _: object, hooks: object = None,
    metadata: object = None,
) -> Any:  # fmt: skip
    if isinstance(metadata, dict) and (metadata.get("conj") or metadata.get("neg")):
        return Absent("is stored conjugated or negated")
    return _tensor(place, offset, size, strides, place.dtype)


def _tensor_v3(
    place: Any, offset: object, size: object, strides: object, _: object, hooks: object,
    dtype: object, metadata: object = None,
) -> Any:  # fmt: skip
    if not isinstance(dtype, Name) or dtype.name not in ITEM_SIZES:
        return Absent(f"is of a dtype that is not known, {dtype}")
    return _tensor(place, offset, size, strides, dtype.name)


def _qtensor(
    place: Any, offset: object, size: object, strides: object, parameters: object, *_: object
) -> Any:
    note = f"is quantised ({place.dtype}); shown are its whole numbers, before scale and zero point"
    return _tensor(place, offset, size, strides, place.dtype, note)


_SPARSE = {
    "torch.sparse_coo": ("indices", "values"),
    "torch.sparse_csr": ("crow_indices", "col_indices", "values"),
    "torch.sparse_csc": ("ccol_indices", "row_indices", "values"),
    "torch.sparse_bsr": ("crow_indices", "col_indices", "values"),
    "torch.sparse_bsc": ("ccol_indices", "row_indices", "values"),
}


def _sparse(layout: object, data: object) -> Any:
    names = _SPARSE.get(str(layout), ())
    if not isinstance(data, tuple) or not names or len(data) < len(names):
        return Absent("is sparse, in a layout that is not known")
    parts = dict(zip(names, data, strict=False))
    return Parts(parts, f"is sparse: {', '.join(names)} stand for it")


def _meta(*_: object) -> Any:
    return Absent("is on the meta device, so the file has no elements of it")


def _same(value: Any, *_: object) -> Any:
    return value


def _typed(function: object, _: object, arguments: object, state: object) -> Any:
    """Build a tensor of a class of its own, as the plain one that it is."""
    if isinstance(function, Name) and isinstance(arguments, tuple):
        return built(function, arguments)
    return Absent("is of a class that is not known")


def _pairs(value: Any = ()) -> Any:
    return dict(value)


def _layout(name: object) -> Any:
    return name


_UTILS = {
    "_rebuild_tensor": _tensor_v1,
    "_rebuild_tensor_v2": _tensor_v2,
    "_rebuild_tensor_v3": _tensor_v3,
    "_rebuild_qtensor": _qtensor,
    "_rebuild_parameter": _same,
    "_rebuild_parameter_with_state": _same,
    "_rebuild_sparse_tensor": _sparse,
    "_rebuild_sparse_csr_tensor": _sparse,
    "_rebuild_meta_tensor_no_storage": _meta,
}
# The few names that a pickle of torch's calls to build what is understood here.
BUILDERS = {
    **{Name("torch._utils", name): function for name, function in _UTILS.items()},
    Name("torch._tensor", "_rebuild_from_type_v2"): _typed,
    Name("torch.nn.parameter", "Parameter"): _same,
    Name("torch.serialization", "_get_layout"): _layout,
    Name("torch", "Size"): tuple,
    Name("collections", "OrderedDict"): _pairs,
    Name("torch.jit._pickle", "restore_type_tag"): _same,
    **{
        Name("torch.jit._pickle", f"build_{kind}list"): _same
        for kind in ("int", "tensor", "bool", "double")
    },
}


def built(name: object, arguments: tuple[Any, ...]) -> Any:
    """Return what a call means: a tensor, a mapping, or an inert object."""
    builder: Any = BUILDERS.get(name) if isinstance(name, Name) else None
    if builder is None:
        return Built(name, arguments)
    return builder(*arguments)
