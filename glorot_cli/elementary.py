"""log, exp, sin, cos and powers with the same bits on every machine.

The results of a C library differ between machines in the last bit. These are made of + - * / on
float64 alone, which IEEE 754 defines, in pairs of numbers that hold about 100 bits, and rounded
once: the nearest float64 but for about one argument in 2**30, and then its neighbour.

Each takes a float or an array of float64; an array's elements have the bits that each alone has.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Real = TypeVar("Real", float, "Array")

# Numbers whose sum is meant; the first is that sum rounded to nearest.
Pair = tuple[Real, Real]


def log(x: Real) -> Real:
    """Return the natural logarithm of positive numbers; ValueError for any other."""
    _check(x, _all(x > 0.0), "positive finite")
    high, low = _log(x)
    return high + low


def exp(x: Real) -> Real:
    """Return the exponential; infinity beyond the largest float64."""
    _check(x, True, "finite")
    return _exp(x, 0.0 * x)


def power(x: Real, y: Real) -> Real:
    """Return positive numbers to some power; ValueError for any other.

    For arrays, both have the same shape.
    """
    _check(x, _all(x > 0.0), "positive finite")
    _check(y, True, "finite")
    high, low = _log(x)
    # Beyond these the result is infinite, or 0, whatever the exponent; so no product overflows.
    y = _clip(y, 2.0**80)
    return _exp(*_times((high, low), (y, 0.0 * y)))


def sin(x: Real) -> Real:
    """Return the sine of finite numbers; ValueError for any other."""
    return _circular(x, 0.0)


def cos(x: Real) -> Real:
    """Return the cosine of finite numbers; ValueError for any other."""
    return _circular(x, 1.0)


# --- What is done in another way for an array ---


def _all(condition: bool | NDArray[np.bool_]) -> bool:
    return condition if isinstance(condition, bool) else bool(condition.all())


def _check(x: Real, holds: bool, expected: str) -> None:
    if not holds or not _all(abs(x) < math.inf):
        raise ValueError(f"expected {expected} numbers")


def _either(condition: bool | NDArray[np.bool_], yes: Real, no: Real) -> Real:
    if isinstance(yes, float):
        return yes if condition else no
    import numpy as np

    return np.where(condition, yes, no)


def _clip(x: Real, bound: float) -> Real:
    return _either(x > bound, 0.0 * x + bound, _either(x < -bound, 0.0 * x - bound, x))


def _split_exponent(x: Real) -> tuple[Real, Real]:
    """Return m and e with x = m * 2**e and m in [sqrt(1/2), sqrt(2))."""
    if isinstance(x, float):
        mantissa, exponent = math.frexp(x)
        whole = float(exponent)
    else:
        import numpy as np

        mantissa, exponents = np.frexp(x)
        whole = exponents.astype(np.float64)
    small = mantissa < 0.7071067811865476
    return _either(small, 2.0 * mantissa, mantissa), _either(small, whole - 1.0, whole)


def _scaled(x: Real, exponent: Real) -> Real:
    """Return x * 2**exponent, rounded once if it is too small for all its bits."""
    if isinstance(x, float):
        try:
            return math.ldexp(x, int(exponent))
        except OverflowError:
            return math.inf
    import numpy as np

    with np.errstate(all="ignore"):
        return np.ldexp(x, exponent.astype(np.int32))


# --- Pairs (Dekker 1971; Hida, Li and Bailey 2001) ---


def _sum(a: Real, b: Real) -> Pair[Real]:
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _quick_sum(a: Real, b: Real) -> Pair[Real]:
    """Return a + b where a is the larger, or 0."""
    s = a + b
    return s, b - (s - a)


def _halves(a: Real) -> Pair[Real]:
    t = 134217729.0 * a
    high = t - (t - a)
    return high, a - high


def _product(a: Real, b: Real) -> Pair[Real]:
    p = a * b
    a1, a2 = _halves(a)
    b1, b2 = _halves(b)
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


def _plus(x: Pair[Real], y: Pair[Real]) -> Pair[Real]:
    s, e = _sum(x[0], y[0])
    t, f = _sum(x[1], y[1])
    s, e = _quick_sum(s, e + t)
    return _quick_sum(s, e + f)


def _times(x: Pair[Real], y: Pair[Real]) -> Pair[Real]:
    p, e = _product(x[0], y[0])
    return _quick_sum(p, e + (x[0] * y[1] + x[1] * y[0]))


def _over(x: Pair[Real], y: Pair[Real]) -> Pair[Real]:
    first = x[0] / y[0]
    rest = _plus(x, _times((-first, 0.0 * first), y))
    return _quick_sum(first, rest[0] / y[0])


# --- Series ---


def _reciprocals(numbers: Sequence[int]) -> list[tuple[float, float]]:
    """Return 1/n as a pair for each n; a division of integers is rounded to nearest."""
    pairs = []
    for n in numbers:
        high = 1 / n
        top, bottom = high.as_integer_ratio()
        pairs.append((high, (bottom - top * n) / (bottom * n)))
    return pairs


_FACTORIALS = [math.factorial(n) for n in range(32)]
_EXP = _reciprocals(_FACTORIALS[:28])
_SIN = _reciprocals([n if k % 2 == 0 else -n for k, n in enumerate(_FACTORIALS[1:30:2])])
_COS = _reciprocals([n if k % 2 == 0 else -n for k, n in enumerate(_FACTORIALS[0:30:2])])
_ATANH = _reciprocals(range(1, 51, 2))
# Terms that are this far down need no pair: 2**-37 of the result.
_EXP_PAIRS, _CIRCULAR_PAIRS, _ATANH_PAIRS = 11, 8, 8


def _series(terms: Sequence[tuple[float, float]], pairs: int, x: Pair[Real]) -> Pair[Real]:
    """Sum terms[k] * x**k, the first of them in pairs."""
    zero = 0.0 * x[0]
    tail = zero + terms[-1][0]
    for high, _ in terms[-2 : pairs - 1 : -1]:
        tail = tail * x[0] + high
    result = (tail, zero)
    for high, low in terms[pairs - 1 :: -1]:
        result = _plus(_times(result, x), (zero + high, zero + low))
    return result


# log(2) and pi / 2 in parts of so few bits that a whole number times a part is exact.
_LOG2 = (
    float.fromhex("0x1.62e42fefa3800p-1"),
    float.fromhex("0x1.ef35793c76000p-45"),
    float.fromhex("0x1.cc01f97b57a08p-87"),
)
_HALF_PI = tuple(
    map(
        float.fromhex,
        (
            "0x1.921fb50000000p+0", "0x1.110b460000000p-26", "0x1.1a62630000000p-54",
            "0x1.8a2e030000000p-81", "0x1.c1cd128000000p-107", "0x1.024e088000000p-135",
            "0x1.4cf98e804177dp-164",
        ),
    )
)  # fmt: skip
_ROUNDING = 1.5 * 2.0**52


def _whole(x: Real) -> Real:
    """Round to the nearest whole number, below 2**51."""
    return (x + _ROUNDING) - _ROUNDING


def _log(x: Real) -> Pair[Real]:
    mantissa, exponent = _split_exponent(x)
    zero = 0.0 * mantissa
    # log(m) = 2 atanh((m - 1) / (m + 1)); m - 1 is exact.
    s = _over((mantissa - 1.0, zero), _sum(mantissa, zero + 1.0))
    series = _times(_series(_ATANH, _ATANH_PAIRS, _times(s, s)), s)
    result = (2.0 * series[0], 2.0 * series[1])
    multiple = _plus((exponent * _LOG2[0], zero), _product(exponent, zero + _LOG2[1]))
    multiple = _plus(multiple, (exponent * _LOG2[2], zero))
    return _plus(multiple, result)


def _exp(high: Real, low: Real) -> Real:
    # Beyond these it is infinite or 0.
    inside = abs(high) < 800.0
    high = _clip(high, 800.0)
    low = _either(inside, low, 0.0 * low)
    zero = 0.0 * high
    count = _whole(high * 1.4426950408889634)
    r = _sum(high - count * _LOG2[0], -(count * _LOG2[1]))
    r = _plus(r, (-(count * _LOG2[2]), zero))
    r = _plus(r, (low, zero))
    result = _series(_EXP, _EXP_PAIRS, r)
    return _scaled(result[0] + result[1], count)


# --- Sine and cosine ---


def _circular(x: Real, quarter: float) -> Real:
    _check(x, True, "finite")
    quarters, r = _reduced(x)
    quarters = quarters + quarter
    square = _times(r, r)
    sine = _times(_series(_SIN, _CIRCULAR_PAIRS, square), r)
    cosine = _series(_COS, _CIRCULAR_PAIRS, square)
    quarters = quarters - 4.0 * _floor(quarters / 4.0)
    odd = (quarters == 1.0) | (quarters == 3.0)
    value = _either(odd, cosine[0] + cosine[1], sine[0] + sine[1])
    return _either(quarters >= 2.0, -value, value)


def _floor(x: Real) -> Real:
    whole = _whole(x)
    return _either(whole > x, whole - 1.0, whole)


def _reduced(x: Real) -> tuple[Real, Pair[Real]]:
    """Return the nearest multiple of pi / 2, counted up to multiples of 4, and what is left."""
    near = abs(x) < 2.0**26
    inside = _either(near, x, 0.0 * x)
    zero = 0.0 * inside
    count = _whole(inside * 0.6366197723675814)
    r = (inside - count * _HALF_PI[0], zero)
    for part in _HALF_PI[1:]:
        r = _plus(r, (-(count * part), zero))
    if _all(near):
        return count, r
    if isinstance(x, float):
        return _reduced_exactly(x)
    assert not isinstance(near, bool)
    for index in zip(*(~near).nonzero(), strict=True):
        count[index], (r[0][index], r[1][index]) = _reduced_exactly(float(x[index]))
    return count, r


def _reduced_exactly(x: float) -> tuple[float, Pair[float]]:
    """Do the same in integers, for numbers so large that the parts do not reach."""
    bits = 1200
    half_pi = _half_pi(bits)
    top, bottom = x.as_integer_ratio()
    scaled = (top << bits) // bottom
    count = (2 * scaled + half_pi) // (2 * half_pi)
    rest = scaled - count * half_pi
    high = rest / (1 << bits)
    part, whole = high.as_integer_ratio()
    low = (rest * whole - (part << bits)) / (whole << bits)
    return float(count % 4), (high, low)


@functools.cache
def _half_pi(bits: int) -> int:
    """Return pi / 2 times 2**bits, by Machin's formula: pi / 4 = 4 atan(1/5) - atan(1/239)."""
    one = 1 << (bits + 32)

    def arctangent(n: int) -> int:
        term, total, k = one // n, 0, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term //= n * n
            k += 2
        return total

    return (8 * arctangent(5) - 2 * arctangent(239)) >> 32


FUNCTIONS: dict[str, Callable[[float], float]] = {"log": log, "exp": exp, "sin": sin, "cos": cos}
