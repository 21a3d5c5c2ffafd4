"""The native stream: AES-128 in counter mode, one word for each element.

The key is the first 16 bytes of SHA-256 of `glorot/1`, the seed and the tensor's name, each on a
line. Word i is bytes [4i, 4i + 4) of the encryption of zeros, as a little-endian signed integer;
float64 takes eight bytes. FIPS 197, SP 800-38A; as a generator it is ARS (Salmon et al., SC'11).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR

from glorot_cli.distributions import Constant, Distribution, Identity, Uniform
from glorot_cli.dtypes import largest_float32
from glorot_cli.fans import Shape

NAME = "aes-ctr"
VERSION = 1

BLOCK_BYTES = 1 << 21
_ZEROS = bytes(BLOCK_BYTES)

Array = np.ndarray[Any, np.dtype[Any]]
Draw = Callable[[int, Array], None]


def key_of(seed: int, name: str) -> bytes:
    """Return a tensor's key."""
    return hashlib.sha256(f"glorot/{VERSION}\n{seed}\n{name}".encode()).digest()[:16]


def fill_words(key: bytes, first: int, words: Array) -> None:
    """Write the words [first, first + len(words)) of a key's stream into a flat integer array."""
    skipped = first * words.itemsize % 16
    if skipped:
        # A cipher starts at a multiple of 16 bytes: draw the words before too, and drop them.
        lead = skipped // words.itemsize
        whole = np.empty(words.size + lead, words.dtype)
        fill_words(key, first - lead, whole)
        words[:] = whole[lead:]
        return
    cipher = Cipher(AES128(key), CTR((first * words.itemsize // 16).to_bytes(16, "big")))
    encryptor = cipher.encryptor()
    raw = memoryview(words.data).cast("B")
    for start in range(0, len(raw), BLOCK_BYTES):
        piece = raw[start : start + BLOCK_BYTES]
        encryptor.update_into(_ZEROS[: len(piece)] if len(piece) < BLOCK_BYTES else _ZEROS, piece)


def drawer(distribution: Distribution, shape: Shape, seed: int, name: str, dtype: str) -> Draw:
    """Return the function that fills a flat array with the elements from a first index on.

    It keeps no state: any element can be drawn alone, on any thread.
    """
    if isinstance(distribution, Constant):
        value = distribution.value
        return lambda first, out: out.fill(value)
    if isinstance(distribution, Identity):
        return _identity(distribution.gain, shape)
    key = key_of(seed, name)
    if distribution.limit is not None:
        return _symmetric(distribution.limit, key, dtype)
    return _range(distribution, key, dtype)


def _identity(gain: float, shape: Shape) -> Draw:
    rows, columns = shape
    step, end = columns + 1, min(rows, columns) * (columns + 1)

    def draw(first: int, out: Array) -> None:
        out.fill(0.0)
        out[-first % step : max(0, end - first) : step] = gain

    return draw


def _symmetric(limit: float, key: bytes, dtype: str) -> Draw:
    scale: np.floating[Any]
    if dtype == "float64":
        integer, scale = "<i8", np.float64(limit * 2.0**-63)
    else:
        integer, scale = "<i4", np.float32(largest_float32(limit) * 2.0**-31)

    def draw(first: int, out: Array) -> None:
        words = out.view(integer)
        fill_words(key, first, words)
        np.copyto(out, words, casting="unsafe")
        np.multiply(out, scale, out=out)

    return draw


def _range(law: Uniform, key: bytes, dtype: str) -> Draw:
    half, centre = (law.high - law.low) / 2.0, (law.low + law.high) / 2.0
    if dtype == "float64":
        integer, scale, low, high = "<i8", half * 2.0**-63, law.low, law.high
    else:
        integer, scale = "<i4", half * 2.0**-31
        low, high = -largest_float32(-law.low), largest_float32(law.high)
    if not low <= high or not math.isfinite(half):
        raise ValueError(f"no {dtype} lies from {law.low!r} to {law.high!r}")

    def draw(first: int, out: Array) -> None:
        words = out.view(integer)
        fill_words(key, first, words)
        values = words.astype(np.float64)
        np.multiply(values, scale, out=values)
        np.add(values, centre, out=values)
        np.copyto(out, values, casting="unsafe")
        np.clip(out, low, high, out=out)

    return draw
