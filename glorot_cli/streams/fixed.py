"""What no stream draws: constants, few ones among zeros, a range of a tensor set to a value."""

from __future__ import annotations

from contextlib import AbstractContextManager

from glorot_cli.distributions import Ones, Patched
from glorot_cli.dtypes import INTEGER_RANGES, PRECISIONS, Array, numpy_dtype
from glorot_cli.errors import GlorotError
from glorot_cli.fans import Shape
from glorot_cli.placed import ByIndex, Placed
from glorot_cli.streams.request import Draw

# So many float64 stay in cache.
CHUNK = 1 << 16


def constant(value: float, dtype: str) -> Draw:
    """Return the function that fills any part of a tensor with one value.

    Raises:
        ValueError: if the dtype does not reach it.
    """
    held = _held(value, dtype)
    return lambda first, out: out.fill(held)


def ones(law: Ones, dtype: str) -> Draw:
    """Return the function that draws any part of a tensor of few ones.

    Raises:
        ValueError: if the dtype does not reach their value.
    """
    gain = _held(law.gain, dtype)

    def draw(first: int, out: Array) -> None:
        out.fill(0.0)
        for group in range(law.groups):
            start = law.start + group * law.stride
            end = start + law.count * law.step
            begin = start if first <= start else first + (start - first) % law.step
            out[begin - first : max(0, end - first) : law.step] = gain

    return draw


def placed(law: Placed, shape: Shape, dtype: str) -> Draw:
    """Return the function that computes any part of a tensor from its elements' places.

    Raises:
        ValueError: if an element that it looks at has no value, or none that the dtype holds.
    """
    is_checked = isinstance(law, ByIndex) or dtype not in PRECISIONS
    is_checked = is_checked or not PRECISIONS[dtype].has_infinity
    if is_checked:
        check_values(law.sample(shape), dtype)

    def draw(first: int, out: Array) -> None:
        for start in range(0, out.size, CHUNK):
            part = out[start : start + CHUNK]
            try:
                values = law.values(shape, first + start, part.size)
                if is_checked:
                    check_values(values, dtype)
            except ValueError as error:
                raise GlorotError(str(error)) from None
            if is_checked:
                rounded_once(values, dtype, part)
            else:
                with _to_infinity():
                    rounded_once(values, dtype, part)

    return draw


def check_values(values: Array, dtype: str) -> None:
    """Check that a dtype holds some numbers, but for its rounding.

    Raises:
        ValueError: if it does not.
    """
    if dtype in INTEGER_RANGES:
        low, high = INTEGER_RANGES[dtype]
        wrong = (values % 1.0 != 0.0) | ~((values >= low) & (values < high + 1))
        text = f"{dtype} holds whole numbers from {low} to {high}, found"
    else:
        largest = PRECISIONS[dtype].largest
        wrong = ~(abs(values) <= largest)
        text = f"{dtype} holds no number beyond {largest!r}, found"
    if wrong.any():
        raise ValueError(f"{text} {float(values[wrong.argmax()])!r}")


def rounded_once(values: Array, dtype: str, out: Array) -> None:
    """Round float64 values to a dtype, to nearest even."""
    import numpy as np

    from glorot_cli.streams.float8 import round_float8

    if dtype not in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        np.copyto(out, values, casting="unsafe")
        return
    # The way is by float32, rounded to odd, which a second rounding cannot be misled by.
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    bits = single.view(np.uint32)
    beyond = np.abs(single.astype(np.float64)) > np.abs(values)
    inexact = single.astype(np.float64) != values
    bits -= beyond.astype(np.uint32)
    bits |= inexact.astype(np.uint32)
    if out.itemsize == 1:
        round_float8(single, dtype, out)
    else:
        np.copyto(out, single, casting="unsafe")


def _to_infinity() -> AbstractContextManager[object]:
    """Let constants become infinite without NumPy's warning; the plan has a notice."""
    import numpy as np

    return np.errstate(over="ignore")


def patched(inner: Draw, law: Patched, dtype: str) -> Draw:
    """Return the function that draws by `inner` and then sets the patch.

    Raises:
        ValueError: if the dtype does not reach the patch's value.
    """
    value = _held(law.value, dtype)

    def draw(first: int, out: Array) -> None:
        inner(first, out)
        out[max(0, law.start - first) : max(0, law.stop - first)] = value

    return draw


def _held(value: float, dtype: str) -> float:
    precision = PRECISIONS.get(dtype)
    if precision is None or abs(value) <= precision.largest:
        return value
    if not precision.has_infinity:
        raise ValueError(f"{value!r} is beyond the largest {dtype}, {precision.largest!r}")
    import numpy as np

    with _to_infinity():
        return float(np.array(float(value)).astype(numpy_dtype(dtype)))
