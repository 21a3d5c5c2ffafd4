"""What no stream draws: constants, few ones among zeros, a range of a tensor set to a value."""

from __future__ import annotations

from glorot_cli.distributions import Ones, Patched
from glorot_cli.dtypes import PRECISIONS
from glorot_cli.streams.request import Array, Draw


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
    if dtype in PRECISIONS and abs(value) > PRECISIONS[dtype].largest:
        raise ValueError(f"{value!r} is beyond the largest {dtype}, {PRECISIONS[dtype].largest!r}")
    return value
