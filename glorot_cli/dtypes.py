"""Element types by name, and the largest value of one that stays within a limit."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

if TYPE_CHECKING:
    import numpy as np

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

DTypeName = Literal["float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
# Counters and indices, which hold constants only.
IntegerName = Literal["int64", "int32", "int16", "int8", "uint8", "bool"]
# What a file may hold, and no spec asks for but to keep it as it is. Names in capitals are those of
# safetensors, for which NumPy has none.
KeptName = Literal[
    "uint16", "uint32", "uint64", "complex64", "complex128", "F4", "F6_E2M3", "F6_E3M2", "F8_E8M0",
    "F8_E4M3FNUZ", "F8_E5M2FNUZ",
]  # fmt: skip
DTYPES: tuple[DTypeName, ...] = get_args(DTypeName)
INTEGERS: tuple[IntegerName, ...] = get_args(IntegerName)


class Precision(NamedTuple):
    """Describe a floating type: bytes, bits of its fraction, largest and smallest positive.

    `has_infinity` says what becomes of larger numbers.
    """

    itemsize: int
    fraction: int
    largest: float
    smallest: float
    has_infinity: bool = True


PRECISIONS: dict[str, Precision] = {
    "float64": Precision(8, 52, (2 - 2.0**-52) * 2.0**1023, 2.0**-1074),
    "float32": Precision(4, 23, (2 - 2.0**-23) * 2.0**127, 2.0**-149),
    "float16": Precision(2, 10, 65504.0, 2.0**-24),
    "bfloat16": Precision(2, 7, (2 - 2.0**-7) * 2.0**127, 2.0**-133),
    "float8_e4m3fn": Precision(1, 3, 448.0, 2.0**-9, has_infinity=False),
    "float8_e5m2": Precision(1, 2, 57344.0, 2.0**-16),
}
# The bytes, the least and the greatest value of each integer type.
_INTEGERS: dict[str, tuple[int, int, int]] = {
    "int64": (8, -(2**63), 2**63 - 1),
    "int32": (4, -(2**31), 2**31 - 1),
    "int16": (2, -(2**15), 2**15 - 1),
    "int8": (1, -128, 127),
    "uint8": (1, 0, 255),
    "bool": (1, 0, 1),
}
INTEGER_RANGES = {name: (least, most) for name, (_, least, most) in _INTEGERS.items()}
# A spec asks for floats; the frameworks' counters are integers.
ITEM_SIZES: dict[str, int] = {
    **{name: precision.itemsize for name, precision in PRECISIONS.items()},
    **{name: itemsize for name, (itemsize, _, _) in _INTEGERS.items()},
}
# How many bits elements take of which nothing is known but that.
KEPT_BITS: dict[str, int] = {
    "uint16": 16, "uint32": 32, "uint64": 64, "complex64": 64, "complex128": 128, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
}  # fmt: skip


def bytes_of(count: int, dtype: str) -> int:
    """Return how many bytes so many elements take."""
    if dtype in ITEM_SIZES:
        return count * ITEM_SIZES[dtype]
    return -(-count * KEPT_BITS[dtype] // 8)


def unit_bytes(dtype: str) -> int:
    """Return how many bytes are read or written at once: of an element, or of several small."""
    return ITEM_SIZES.get(dtype) or max(1, KEPT_BITS[dtype] // 8)


@functools.cache
def numpy_dtype(name: str, order: str = "<") -> np.dtype[Any]:
    """Return the NumPy dtype of that name, little-endian unless the order is `>`.

    Raises:
        TypeError: if NumPy has none.
    """
    import numpy as np

    if order == ">":
        return numpy_dtype(name).newbyteorder(">")

    if name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        import ml_dtypes

        lower: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return lower
    return np.dtype(name).newbyteorder("<")


# A large plan asks for few limits, many times.
@functools.lru_cache(maxsize=4096)
def largest_within(limit: float, name: str) -> float:
    """Return the largest value of a dtype that is not above a limit of at least 0."""
    import numpy as np

    precision = PRECISIONS[name]
    if limit >= precision.largest:
        return precision.largest
    nearest = np.array([limit], np.float64).astype(numpy_dtype(name))
    if float(nearest[0]) > limit:
        # One step down: the bits of positive floats are ordered as integers.
        bits = nearest.view(f"<u{precision.itemsize}")
        bits -= 1
    return float(nearest[0])


def largest_not_above(bound: float, name: str) -> float:
    """Return the largest value of a dtype that is not above a bound of any sign."""
    if bound >= 0.0:
        return largest_within(bound, name)
    return -_smallest_not_below(-bound, name)


def _smallest_not_below(bound: float, name: str) -> float:
    """Return the smallest value of a dtype that is not below a positive bound."""
    import numpy as np

    below = largest_within(bound, name)
    if below == bound:
        return below
    up = np.array([below], np.float64).astype(numpy_dtype(name))
    bits = up.view(f"<u{PRECISIONS[name].itemsize}")
    bits += 1
    return float(up[0])
