"""The native stream: AES-128 in counter mode, one word for each element.

The key is the first 16 bytes of SHA-256 of `glorot/1`, the seed and the tensor's name, each on a
line. Word i is bytes [4i, 4i + 4) of the encryption of zeros, as a little-endian signed integer;
float64 takes eight bytes. FIPS 197, SP 800-38A; as a generator it is ARS (Salmon et al., SC'11).
"""

from __future__ import annotations

import functools
import hashlib
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR

from glorot_cli import elementary
from glorot_cli.distributions import (
    Constant,
    Distribution,
    InverseSoftplus,
    LogUniform,
    Normal,
    Ones,
    Orthogonal,
    Patched,
    Pieces,
    Sparse,
    TruncatedNormal,
    Uniform,
    inverse_softplus,
)
from glorot_cli.dtypes import PRECISIONS, Array, largest_not_above, largest_within
from glorot_cli.fans import Shape
from glorot_cli.placed import ByIndex, Values
from glorot_cli.streams import fixed, kernels, pieces, quantile, whole
from glorot_cli.streams.float8 import round_float8
from glorot_cli.streams.request import Draw as Draw
from glorot_cli.streams.scratch import Scratch
from glorot_cli.workers import BLOCK_BYTES

_VALUES = Scratch()

NAME = "aes-ctr"
VERSION = 1


_ZEROS = bytes(BLOCK_BYTES)
# So many float32 stay in cache until they are rounded.
_CHUNK = 1 << 19


def key_of(seed: int, name: str) -> bytes:
    """Return a tensor's key."""
    return hashlib.sha256(f"glorot/{VERSION}\n{seed}\n{name}".encode()).digest()[:16]


def fill_words(key: bytes, first: int, words: Array) -> None:
    """Write the words [first, first + len(words)) of a key's stream into a flat integer array."""
    skipped = first * words.itemsize % 16
    if skipped:
        # A cipher starts at a multiple of 16 bytes: draw the words before too, and drop them.
        lead = skipped // words.itemsize
        more = np.empty(words.size + lead, words.dtype)
        fill_words(key, first - lead, more)
        words[:] = more[lead:]
        return
    cipher = Cipher(AES128(key), CTR((first * words.itemsize // 16).to_bytes(16, "big")))
    encryptor = cipher.encryptor()
    raw = memoryview(words.data).cast("B")
    for start in range(0, len(raw), BLOCK_BYTES):
        piece = raw[start : start + BLOCK_BYTES]
        encryptor.update_into(_ZEROS[: len(piece)] if len(piece) < BLOCK_BYTES else _ZEROS, piece)


def drawer(distribution: Distribution, shape: Shape, seed: int, name: str, dtype: str) -> Draw:
    """Return the function that fills a flat array with the elements from a first index on.

    Any element can be drawn alone, on any thread; only laws that are drawn whole keep a state.

    Raises:
        ValueError: if the dtype holds no such values.
    """
    key = key_of(seed, name)
    if isinstance(distribution, Uniform | Normal | TruncatedNormal):
        fill = functools.partial(fill_words, key)
        compiled = kernels.drawer(distribution, shape, dtype, bounds(distribution, dtype), fill)
        if compiled is not None:
            return compiled
    match distribution:
        case Constant(value=value):
            return fixed.constant(value, dtype)
        case Patched():
            inner = drawer(distribution.law, shape, seed, name, dtype)
            return fixed.patched(inner, distribution, dtype)
        case Pieces():
            bounds(distribution, dtype)

            def leaf(law: Distribution, of: Shape, kernel: int | None) -> Draw:
                # No name has a line's end, so no other tensor has a kernel's key.
                told = name if kernel is None else f"{name}\n{kernel}"
                return drawer(law, of, seed, told, dtype)

            return pieces.drawer(distribution, shape, leaf)
        case Ones():
            return fixed.ones(distribution, dtype)
        case ByIndex() | Values():
            return fixed.placed(distribution, shape, dtype)
        case LogUniform() | InverseSoftplus():
            exact = _log_uniform(distribution, key, dtype)
        case Uniform(limit=float()) if dtype in ("float32", "float64"):
            return _symmetric(distribution.high, key, dtype)
        case Orthogonal() | Sparse():
            exact = _whole(distribution, shape, key)
        case Uniform():
            exact = _uniform(distribution, key, dtype)
        case Normal() | TruncatedNormal():
            exact = _normal(distribution, key, dtype)
    low, high = bounds(distribution, dtype)
    if dtype in ("float32", "float64") and isinstance(distribution, Normal):
        return exact
    return _rounded(exact, low, high, dtype)


# A large plan asks for few laws, many times.
@functools.lru_cache(maxsize=4096)
def bounds(distribution: Distribution, dtype: str) -> tuple[float, float]:
    """Return the smallest and the largest value of a dtype that a law allows.

    Raises:
        ValueError: if it allows none, or none but 0.
    """
    if isinstance(distribution, Patched):
        return bounds(distribution.law, dtype)
    if isinstance(distribution, Pieces):
        found = [bounds(law, dtype) for law in dict.fromkeys(distribution.laws)]
        return min(low for low, _ in found), max(high for _, high in found)
    if dtype not in PRECISIONS:
        return -math.inf, math.inf
    largest = PRECISIONS[dtype].largest
    match distribution:
        case Uniform(low=low, high=high):
            pass
        case LogUniform(low=low, high=high):
            pass
        case InverseSoftplus(of=LogUniform(low=low, high=high)):
            low, high = inverse_softplus(low), inverse_softplus(high)
        case TruncatedNormal(centre=centre, stddev=stddev, low=low, high=high):
            low, high = centre + stddev * low, centre + stddev * high
        case Normal(centre=centre, stddev=stddev) if abs(centre) + stddev > largest:
            raise ValueError(
                f"the mean {centre!r} and the stddev {stddev!r} lie beyond the largest {dtype}, "
                f"{largest!r}"
            )
        case _:
            return -largest, largest
    least, most = -largest_not_above(-low, dtype), largest_not_above(high, dtype)
    if not least <= most or (least == most == 0.0):
        raise ValueError(f"{dtype} has no values from {low!r} to {high!r}, or only 0")
    return max(least, -largest), min(most, largest)


def _symmetric(limit: float, key: bytes, dtype: str) -> Draw:
    scale: np.floating[Any]
    if dtype == "float64":
        integer, scale = "<i8", np.float64(limit * 2.0**-63)
    else:
        integer, scale = "<i4", np.float32(largest_within(limit, "float32") * 2.0**-31)

    def draw(first: int, out: Array) -> None:
        words = out.view(integer)
        fill_words(key, first, words)
        np.copyto(out, words, casting="unsafe")
        np.multiply(out, scale, out=out)

    return draw


def _uniform(law: Uniform, key: bytes, dtype: str) -> Draw:
    """Draw a range into float32, or into float64 for a float64 tensor."""
    if law.limit is not None:
        return _symmetric(law.limit, key, "float32")
    half, centre = (law.high - law.low) / 2.0, (law.low + law.high) / 2.0
    integer, scale = ("<i8", half * 2.0**-63) if dtype == "float64" else ("<i4", half * 2.0**-31)

    def draw(first: int, out: Array) -> None:
        words = out.view(integer)
        fill_words(key, first, words)
        values = words.astype(np.float64)
        np.multiply(values, scale, out=values)
        np.add(values, centre, out=values)
        np.copyto(out, values, casting="unsafe")
        np.clip(out, law.low, law.high, out=out)

    return draw


def _log_uniform(law: LogUniform | InverseSoftplus, key: bytes, dtype: str) -> Draw:
    """Draw the logarithm evenly, and take it back, in float64; rounded once."""
    logs = (law if isinstance(law, LogUniform) else law.of).logarithm
    middle, half = logs.low + logs.half, logs.half
    scale = half * (2.0**-63 if dtype == "float64" else 2.0**-31)
    integer = "<i8" if dtype == "float64" else "<i4"

    def draw(first: int, out: Array) -> None:
        for start in range(0, out.size, fixed.CHUNK):
            part = out[start : start + fixed.CHUNK]
            words = np.empty(part.size, integer)
            fill_words(key, first + start, words)
            values = elementary.exp(words.astype(np.float64) * scale + middle)
            if isinstance(law, InverseSoftplus):
                values = inverse_softpluses(values)
            np.copyto(part, values, casting="unsafe")

    return draw


def inverse_softpluses(x: Array) -> Array:
    """Return log(exp(x) - 1) of float64 values, good where x is small too."""
    # (exp(x) - 1) / x by Horner's rule below a half, where the difference would cancel.
    small = np.minimum(x, 0.5)
    series = np.ones_like(small)
    for n in range(20, 1, -1):
        series = 1.0 + series * small / n
    below = elementary.log(small * series)
    large = np.maximum(x, 0.5)
    above = large + elementary.log(1.0 - elementary.exp(-large))
    return np.where(x < 0.5, below, above)


def _normal(law: Normal | TruncatedNormal, key: bytes, dtype: str) -> Draw:
    """Draw mean + stddev * z into float32 or, for a float64 tensor, into float64."""
    quantiles = _quantiles(law)
    # No word of 32 bits is further out than 6.34 standard deviations.
    largest = PRECISIONS["float64" if dtype == "float64" else "float32"].largest
    fits = abs(law.centre) + 6.4 * law.stddev <= largest

    def draw(first: int, out: Array) -> None:
        words = out.view("<i8" if out.itemsize == 8 else "<i4")
        fill_words(key, first, words)
        if out.itemsize == 8:
            words = (words >> 32).astype(np.int32)
        for start in range(0, out.size, quantile.CHUNK):
            stop = start + quantile.CHUNK
            z = quantiles(words[start:stop])
            if not fits:
                low, high = (
                    (-largest - law.centre) / law.stddev,
                    (largest - law.centre) / law.stddev,
                )
                np.clip(z, low, high, out=z)
            np.multiply(z, law.stddev, out=z)
            if law.centre != 0.0:
                np.add(z, law.centre, out=z)
            np.copyto(out[start:stop], z, casting="unsafe")

    return draw


def _quantiles(law: Normal | TruncatedNormal) -> Callable[[Array], Array]:
    if isinstance(law, Normal):
        return lambda words: quantile.quantiles(words, quantile.normal_lines())
    if (law.low, law.high) == (-2.0, 2.0):
        return lambda words: quantile.quantiles(words, quantile.truncated_lines())
    low, high = quantile.share_within(law.low), quantile.share_within(law.high)
    return lambda words: quantile.quantiles_between(words, low, high)


def _rounded(draw_float32: Draw, low: float, high: float, dtype: str) -> Draw:
    """Clip to values that the tensor's dtype holds, which rounding then keeps, and round."""

    def draw(first: int, out: Array) -> None:
        if out.itemsize >= 4:
            draw_float32(first, out)
            np.clip(out, low, high, out=out)
            return
        for start in range(0, out.size, _CHUNK):
            part = out[start : start + _CHUNK]
            values = _VALUES.array(part.size, np.float32)
            draw_float32(first + start, values)
            np.clip(values, low, high, out=values)
            if out.itemsize == 1:
                round_float8(values, dtype, part)
            else:
                np.copyto(part, values, casting="unsafe")

    return draw


def _whole(law: Orthogonal | Sparse, shape: Shape, key: bytes) -> Draw:
    @functools.cache
    def made() -> Array:
        if isinstance(law, Orthogonal):
            normals = np.empty(math.prod(whole.normal_shape(law, shape)))
            _normal(Normal(0.0, 1.0), key, "float64")(0, normals)
            return whole.orthogonal(law, shape, normals).reshape(-1)
        # Word i ranks element i within its column, the words after all of those make the normals.
        size = math.prod(shape)
        ranks, normals = np.empty(size, "<i4"), np.empty(size, np.float32)
        fill_words(key, 0, ranks)
        _normal(Normal(0.0, law.stddev), key, "float32")(size, normals)
        return whole.sparse(law, normals.reshape(shape), ranks.reshape(shape)).reshape(-1)

    lock = threading.Lock()

    def draw(first: int, out: Array) -> None:
        with lock:
            values = made()
        np.copyto(out, values[first : first + out.size], casting="unsafe")

    return draw
