"""Many small tensors of the native stream drawn side by side, then converted and scaled together.

For a tensor of a few kilobytes the calls cost more than the elements: here each takes one cipher,
and NumPy is called once for all of them. The bits are those of `aes_ctr`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR

from glorot_cli.distributions import Constant, Distribution, Uniform
from glorot_cli.dtypes import Array, largest_within
from glorot_cli.streams.aes_ctr import key_of

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
) -> None:
    """Draw tensors, each given by its law, seed and name, at their starts in a flat array."""
    words = out.view("<i4")
    raw = words.view(np.uint8).data
    scales = np.empty(len(tensors), np.float32)
    stops = [*starts[1:], out.size]
    for index, ((law, seed, name), start, stop) in enumerate(
        zip(tensors, starts, stops, strict=True)
    ):
        if isinstance(law, Constant):
            words[start:stop] = 1
            scales[index] = law.value
        else:
            assert isinstance(law, Uniform)
            scales[index] = np.float32(largest_within(law.high, "float32") * 2.0**-31)
            cipher = Cipher(AES128(key_of(seed, name)), _FROM_THE_START)
            nbytes = 4 * (stop - start)
            cipher.encryptor().update_into(_ZEROS[:nbytes], raw[4 * start : 4 * stop])
    np.copyto(out, words, casting="unsafe")
    np.multiply(out, np.repeat(scales, np.diff(stops, prepend=0)), out=out)
