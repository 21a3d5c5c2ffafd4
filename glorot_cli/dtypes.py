"""Element types by name, and the largest value of one that stays within a limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import numpy as np

DTypeName = Literal["float32", "float64"]
DTYPES: tuple[DTypeName, ...] = get_args(DTypeName)

ITEM_SIZES: dict[str, int] = {"float32": 4, "float64": 8}


def numpy_dtype(name: str) -> np.dtype[np.generic]:
    """Return the little-endian NumPy dtype of that name."""
    import numpy as np

    return np.dtype(name).newbyteorder("<")


def largest_float32(limit: float) -> float:
    """Return the largest float32 not above `limit`."""
    import numpy as np

    nearest = np.float32(limit)
    if float(nearest) > limit:
        nearest = np.nextafter(nearest, np.float32(-math.inf))
    return float(nearest)
