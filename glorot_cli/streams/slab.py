"""Many small tensors of the native stream drawn side by side, then converted and scaled together.

For a tensor of a few kilobytes the calls cost more than the elements: here each takes one cipher,
and NumPy is called once for all of them. The bits are those of `aes_ctr`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR

from glorot_cli.distributions import Constant, Distribution, Uniform
from glorot_cli.dtypes import Array, largest_within
from glorot_cli.moments import Moments
from glorot_cli.streams.aes_ctr import key_of
from glorot_cli.streams.kernels import kernels

LARGEST = 1 << 14
_ZEROS = bytes(LARGEST)
_FROM_THE_START = CTR(bytes(16))


def fits(law: Distribution, dtype: str, nbytes: int) -> bool:
    """Tell whether a tensor may stand in a slab: a small one whose elements are words, scaled."""
    if dtype != "float32" or nbytes > LARGEST:
        return False
    return isinstance(law, Constant) or (isinstance(law, Uniform) and law.limit is not None)


def fill(
    tensors: Sequence[tuple[Distribution, int, str]], starts: Sequence[int], out: Array
) -> list[Moments]:
    """Draw tensors, each given by its law, seed and name, at their starts in a flat array.

    Returns the moments of each about 0.
    """
    words = out.view("<i4")
    raw = words.view(np.uint8).data
    scales: list[float] = []
    stops = [*starts[1:], out.size]
    for (law, seed, name), start, stop in zip(tensors, starts, stops, strict=True):
        if type(law) is Uniform:
            scales.append(_scale(law.high))
            cipher = Cipher(AES128(key_of(seed, name)), _FROM_THE_START)
            part = raw[4 * start : 4 * stop]
            cipher.encryptor().update_into(_ZEROS[: len(part)], part)
        else:
            assert isinstance(law, Constant)
            words[start:stop] = 1
            scales.append(law.value)
    compiled = kernels()
    if compiled is None:
        np.copyto(out, words, casting="unsafe")
        np.multiply(
            out, np.repeat(np.array(scales, np.float32), np.diff(stops, prepend=0)), out=out
        )
        return Moments.of_runs(out, starts)
    sums = np.empty((len(tensors), 4))
    begins = np.array(starts, np.int64)
    compiled.module.runs(compiled.number, out, begins, np.array(scales, np.float32), sums)
    counts = np.diff(begins, append=out.size).tolist()
    return [
        Moments.of_sums(count, low, high, 0.0, total, squares)
        for count, (low, high, total, squares) in zip(counts, sums.tolist(), strict=True)
    ]


# A large plan asks for few limits, many times.
@functools.lru_cache(maxsize=4096)
def _scale(limit: float) -> float:
    return float(np.float32(largest_within(limit, "float32") * 2.0**-31))
