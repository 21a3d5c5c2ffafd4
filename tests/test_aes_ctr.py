"""The native stream: literal bits, `openssl` as witness, and any element drawn alone."""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import glorot_cli as glorot
from glorot_cli.distributions import Distribution, Uniform
from glorot_cli.fans import Fans, glorot_limit
from glorot_cli.streams import aes_ctr
from glorot_cli.workers import BLOCK_BYTES

Array = np.ndarray[Any, np.dtype[Any]]

VECTORS = [
    pytest.param(
        42, "dense/kernel", (100, 64), Fans(100, 64), 0.1912730139190015,
        ["996ee060", "fa23cc86", "6de38055"],
        [-0.1532677859067917, -0.00875695701688528, 0.16420888900756836],
        "582a06fde7246cc0eb659f5d058eb2f40d802708f0b2963744b19eb13527dd6c",
        id="dense",
    ),
    pytest.param(
        42, "dense_1/kernel", (64, 10), Fans(64, 10), 0.2847473987257497,
        ["508f6fdf", "42829edd", "f6247aa2"],
        [0.17921356856822968, 0.1479579508304596, -0.021928895264863968],
        "2f1f60caa2c2ab1b1b28b398941d686be8d7bf3e400711bdd5ed570987880956",
        id="dense_1",
    ),
    pytest.param(
        0, "conv2d/kernel", (3, 3, 8, 4), Fans(72, 36), 0.23570226039551584,
        ["0f4a2af0", "b322c052", "e4a3d614"],
        [0.028154850006103516, -0.14153966307640076, -0.0503813810646534],
        "d6de530385da342323adb6b7c2a04b026a3d9fcd0f584226bbb9d2e4fb5c8869",
        id="conv2d",
    ),
    pytest.param(
        18446744073709551615, "é/kernel", (5,), Fans(3, 2), 1.0954451150103324,
        ["7db10c5b", "41068e53", "fcd376f8"],
        [1.0756893157958984, 0.5564998984336853, -0.027163321152329445],
        "e031e4e1074d329c772f0fc63af725f88b8f8cb9146f6d4a3d8af81009731c8e",
        id="largest-seed-and-non-ascii",
    ),
]  # fmt: skip


def drawn(
    law: Distribution,
    shape: tuple[int, ...],
    seed: int,
    name: str,
    dtype: str,
    first: int,
    count: int,
) -> Array:
    """Draw the elements [first, first + count) of a tensor."""
    out = np.empty(count, f"<f{4 if dtype == 'float32' else 8}")
    aes_ctr.drawer(law, shape, seed, name, dtype)(first, out)
    return out


def openssl_bytes(seed: int, name: str, first: int, count: int) -> bytes:
    """Encrypt zeros from byte `first` on, a multiple of 16, with the key of the definition."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "openssl is the stream's witness and must be installed"
    key = hashlib.sha256(f"glorot/1\n{seed}\n{name}".encode()).hexdigest()[:32]
    command = [openssl, "enc", "-aes-128-ctr", "-K", key, "-iv", f"{first // 16:032x}"]
    return subprocess.run(command, input=bytes(count), capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("seed", "name", "shape", "fans", "limit", "words", "values", "sha256"), VECTORS
)
def test_vectors(
    seed: int,
    name: str,
    shape: tuple[int, ...],
    fans: Fans,
    limit: float,
    words: list[str],
    values: list[float],
    sha256: str,
) -> None:
    assert glorot_limit(fans) == limit
    first = np.empty(3, "<u4")
    aes_ctr.fill_words(aes_ctr.key_of(seed, name), 0, first)
    assert [f"{word:08x}" for word in first.tolist()] == words
    size = int(np.prod(shape))
    weights = drawn(Uniform(-limit, limit), shape, seed, name, "float32", 0, size)
    assert weights[:3].tolist() == values
    assert hashlib.sha256(weights.tobytes()).hexdigest() == sha256


def test_vectors_through_a_spec() -> None:
    spec = {
        "seed": 42,
        "input_shape": [100],
        "layers": [{"type": "Dense", "units": 64}, {"type": "Dense", "units": 10}],
    }
    plan = glorot.make_plan(glorot.load_spec(spec))
    digests = {
        name: hashlib.sha256(glorot.draw(plan, name).tobytes()).hexdigest()
        for name in ("dense/kernel", "dense_1/kernel")
    }
    assert digests == {
        "dense/kernel": "582a06fde7246cc0eb659f5d058eb2f40d802708f0b2963744b19eb13527dd6c",
        "dense_1/kernel": "2f1f60caa2c2ab1b1b28b398941d686be8d7bf3e400711bdd5ed570987880956",
    }


@pytest.mark.parametrize(("seed", "name"), [(42, "dense/kernel"), (2**64 - 1, "層/重み"), (0, "w")])
@pytest.mark.parametrize("first", [0, 16, 4096, (1 << 21) - 16, 1 << 36])
def test_words_are_those_of_openssl(seed: int, name: str, first: int) -> None:
    words = np.empty(1000, "<i4")
    aes_ctr.fill_words(aes_ctr.key_of(seed, name), first // 4, words)
    assert words.tobytes() == openssl_bytes(seed, name, first, 4000)


def test_words_beyond_one_block_are_those_of_openssl() -> None:
    count = BLOCK_BYTES // 4 + 1001
    words = np.empty(count, "<i4")
    aes_ctr.fill_words(aes_ctr.key_of(7, "w"), 0, words)
    assert words.tobytes() == openssl_bytes(7, "w", 0, 4 * count)


def test_float32_is_one_rounded_product_of_each_word() -> None:
    limit = glorot_limit(Fans(100, 64))
    words = struct.unpack("<500i", openssl_bytes(3, "w", 0, 2000))
    largest = np.float32(limit)
    if float(largest) > limit:
        largest = np.nextafter(largest, np.float32(0))
    scale = np.float32(float(largest) * 2.0**-31)
    expected = [float(np.float32(word) * scale) for word in words]
    weights = drawn(Uniform(-limit, limit), (500,), 3, "w", "float32", 0, 500)
    assert weights.tolist() == expected


def test_float64_is_one_rounded_product_of_each_long_word() -> None:
    limit = glorot_limit(Fans(100, 64))
    words = struct.unpack("<500q", openssl_bytes(3, "w", 0, 4000))
    expected = [float(word) * (limit * 2.0**-63) for word in words]
    weights = drawn(Uniform(-limit, limit), (500,), 3, "w", "float64", 0, 500)
    assert weights.tolist() == expected


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.2), (-0.1, 0.3), (-7.0, -6.0), (0.0, 1.0)])
def test_a_range_is_centre_and_half_in_float64(low: float, high: float) -> None:
    words = struct.unpack("<500i", openssl_bytes(3, "w", 0, 2000))
    centre, half = (low + high) / 2.0, (high - low) / 2.0
    expected = [float(np.float32(word * (half * 2.0**-31) + centre)) for word in words]
    weights = drawn(Uniform(low, high), (500,), 3, "w", "float32", 0, 500)
    assert weights.tolist() == expected


@pytest.fixture
def extreme_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every stream give its smallest and largest words in turn."""

    def fill(key: bytes, first: int, words: Array) -> None:
        words[0::2] = np.iinfo(words.dtype).min
        words[1::2] = np.iinfo(words.dtype).max

    monkeypatch.setattr(aes_ctr, "fill_words", fill)


@pytest.mark.usefixtures("extreme_words")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_weight_exceeds_its_limit(dtype: str) -> None:
    rounds_up = 0
    for fan_sum in range(2, 3002):
        limit = glorot_limit(Fans(1, fan_sum - 1))
        weights = drawn(Uniform(-limit, limit), (2,), 0, "w", dtype, 0, 2)
        assert float(weights.min()) >= -limit
        assert float(weights.max()) <= limit
        rounds_up += float(np.float32(limit)) > limit
    # Rounding the limit to the nearest float32 would have broken it this often.
    assert rounds_up == 1534


@pytest.mark.usefixtures("extreme_words")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("low", "high"),
    [(0.1, 0.2), (-0.1, 0.3), (0.7, 0.7000002), (-1e-3, 3e9), (-0.3, -0.1), (1e-30, 0.1), (0, 0.1)],
)
def test_a_range_is_never_left(low: float, high: float, dtype: str) -> None:
    weights = drawn(Uniform(low, high), (2,), 0, "w", dtype, 0, 2)
    assert low <= float(weights[0]) < float(weights[1]) <= high


LAWS: dict[str, object] = {
    "glorot_uniform": "glorot_uniform",
    "range": {"name": "random_uniform", "minval": -0.1, "maxval": 0.3},
    "identity": {"name": "identity", "gain": 3.0},
    "constant": {"name": "constant", "value": 0.5},
}
ROWS, COLUMNS = 37, 53


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("law", LAWS)
@given(first=st.integers(0, ROWS * COLUMNS - 1), count=st.integers(1, ROWS * COLUMNS))
def test_any_run_of_elements_can_be_drawn_alone(
    law: str, dtype: str, first: int, count: int
) -> None:
    entry = {"shape": [ROWS, COLUMNS], "axes": "IO", "dtype": dtype, "initializer": LAWS[law]}
    plan = glorot.make_plan(glorot.load_spec({"seed": 9, "tensors": {"w": entry}}))
    whole = glorot.draw(plan, "w").ravel()
    count = min(count, whole.size - first)
    tensor = plan["w"]
    run = drawn(tensor.distribution, tensor.shape, 9, "w", dtype, first, count)
    assert run.tobytes() == whole[first : first + count].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_runs_across_blocks_are_slices_of_the_whole(dtype: str) -> None:
    law, size = Uniform(-0.25, 0.25), 700_001
    whole = drawn(law, (size,), 5, "w", dtype, 0, size)
    for first in (1, 3, 262_143, 524_287, 524_289, 699_998):
        run = drawn(law, (size,), 5, "w", dtype, first, size - first)
        assert run.tobytes() == whole[first:].tobytes()


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (1, 7), (7, 1)])
def test_identity_is_that_of_numpy(shape: tuple[int, int]) -> None:
    entry = {"shape": list(shape), "axes": "IO", "initializer": {"name": "identity", "gain": -2}}
    plan = glorot.make_plan(glorot.load_spec({"tensors": {"w": entry}}))
    assert np.array_equal(glorot.draw(plan, "w"), -2.0 * np.eye(*shape))


def test_seed_and_name_each_make_another_stream() -> None:
    keys = {aes_ctr.key_of(seed, name) for seed in (0, 1, 10) for name in ("a", "b", "0\na")}
    assert len(keys) == 9


def test_an_entry_seed_replaces_the_seed_of_the_spec() -> None:
    def weights(spec_seed: int, **entry: object) -> bytes:
        tensor = {"shape": [64], "initializer": "glorot_uniform", **entry}
        plan = glorot.make_plan(glorot.load_spec({"seed": spec_seed, "tensors": {"w": tensor}}))
        return glorot.draw(plan, "w").tobytes()

    assert weights(1, seed=7) == weights(2, seed=7) == weights(7)
    assert weights(1, initializer={"name": "glorot_uniform", "seed": 7}) == weights(7)
    assert weights(1) != weights(7)
