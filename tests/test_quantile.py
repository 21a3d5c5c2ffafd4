"""The normal quantile: its error, its oddness, its table, and the bits that define the stream."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import math
import runpy
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from glorot_cli.distributions import Distribution, Normal, TruncatedNormal
from glorot_cli.streams import aes_ctr, quantile

SCRIPT = Path(__file__).with_name("make_quantile_table.py")

Array = np.ndarray[Any, np.dtype[Any]]

# The words at which one polynomial ends and the next begins, in the centre and in the tail.
EDGES = [
    0, 1, 32_767, 32_768, 65_535, 65_536, 16_777_215, 16_777_216, 2**30, 2**31 - 2**26 - 1,
    2**31 - 2**26, 31_744 * 65_536 - 1, 31_744 * 65_536, 31_744 * 65_536 + 1, 2**31 - 65_537,
    2**31 - 65_536, 2**31 - 32_769, 2**31 - 257, 2**31 - 256, 2**31 - 17, 2**31 - 16, 2**31 - 9,
    2**31 - 5, 2**31 - 4, 2**31 - 3, 2**31 - 2, 2**31 - 1,
]  # fmt: skip


def some_words(count: int) -> Array:
    """Take edges, evenly spread words, and words ever nearer to the largest."""
    spread = np.linspace(0, 2**31 - 1, count).astype(np.int64)
    near = 2**31 - 1 - np.unique((2.0 ** np.linspace(0, 31, count)).astype(np.int64) - 1)
    positive = np.unique(np.concatenate([EDGES, spread, near]))
    return np.concatenate([positive, ~positive]).astype(np.int32)


def reference(word: int, low: mpf, high: mpf) -> mpf:
    """Return the quantile of a word whose probabilities are spread over (low, high)."""
    share = (mpf(int(word)) + mpf(2) ** 31 + mpf(1) / 2) / mpf(2) ** 32
    p = low + share * (high - low)
    return mp.sqrt(2) * mp.erfinv(2 * p - 1)


def cdf(z: float) -> mpf:
    return mp.erfc(-mpf(z) / mp.sqrt(2)) / 2


def drawn(words: Array, lines: Array) -> Array:
    return quantile.quantiles(words, lines).copy()


def relative_errors(words: Array, found: Array, low: mpf, high: mpf) -> Array:
    """Return the relative errors of quantiles rounded to float32."""
    return np.array(
        [
            float(mpf(float(np.float32(z))) / reference(word, low, high) - 1)
            for word, z in zip(words.tolist(), found.tolist(), strict=True)
        ]
    )


@pytest.fixture(autouse=True)
def _digits() -> Any:
    with mp.workdps(30):
        yield


def test_normal_quantiles_are_right_to_1e_7() -> None:
    words = some_words(700)
    found = drawn(words, quantile.normal_lines())
    # Rounding to float32 alone costs up to 6e-8.
    assert np.abs(relative_errors(words, found, mpf(0), mpf(1))).max() < 1e-7


def test_truncated_quantiles_are_right_to_1e_7() -> None:
    words = some_words(700)
    found = drawn(words, quantile.truncated_lines())
    errors = relative_errors(words, found, cdf(-2.0), cdf(2.0))
    assert np.abs(errors).max() < 1e-7
    assert np.abs(found).max() <= 2.0


@pytest.mark.parametrize(
    ("low", "high"),
    [(-1.0, 3.0), (-0.5, 0.25), (0.5, 2.5), (-4.0, -1.0), (2.0, 4.0), (-10.0, 10.0)],
)
def test_quantiles_between_other_bounds_are_right(low: float, high: float) -> None:
    words = some_words(150)
    shares = quantile.share_within(low), quantile.share_within(high)
    found = quantile.quantiles_between(words, *shares)
    expected = np.array([float(reference(w, cdf(low), cdf(high))) for w in words.tolist()])
    # Near 0 the error is absolute, for the probability itself was rounded.
    assert np.abs(found - expected).max() < 1.5e-7 * max(1.0, float(np.abs(expected).max()))


def test_the_extremes() -> None:
    words = np.array([0, -1, 2**31 - 1, -(2**31)], np.int32)
    normals = drawn(words, quantile.normal_lines()).astype(np.float32).tolist()
    assert normals == [
        2.9180993732502714e-10, -2.9180993732502714e-10, 6.337957859039307, -6.337957859039307
    ]  # fmt: skip
    truncated = drawn(words, quantile.truncated_lines()).astype(np.float32).tolist()
    assert truncated == [2.7853250261777873e-10, -2.7853250261777873e-10, 2.0, -2.0]


@pytest.mark.parametrize("lines", [quantile.normal_lines, quantile.truncated_lines])
def test_quantiles_are_odd(lines: Any) -> None:
    random = np.random.default_rng(1).integers(-(2**31), 2**31, 20_000, np.int32)
    words = np.concatenate([some_words(2000), random])[: quantile.CHUNK]
    assert np.array_equal(drawn(words, lines()), -drawn(~words, lines()))


@pytest.mark.parametrize("lines", [quantile.normal_lines, quantile.truncated_lines])
def test_quantiles_rise_with_their_word(lines: Any) -> None:
    words = np.sort(some_words(3000))
    found = drawn(words, lines()).astype(np.float32)
    assert np.all(np.diff(found) >= 0.0)


def test_symmetric_bounds_give_odd_quantiles() -> None:
    words = some_words(500)
    share = quantile.share_within(1.5)
    found = quantile.quantiles_between(words, -share, share)
    assert np.abs(found + quantile.quantiles_between(~words, -share, share)).max() < 1e-15


@pytest.mark.parametrize("z", [0.0, 1e-300, 0.1, -0.5, 1.0, 2.0, -2.0, 3.3, 5.0, 8.0, -8.99, 9.0])
def test_the_share_within_a_bound_is_the_error_function(z: float) -> None:
    with mp.workdps(60):
        assert quantile.share_within(z) == float(mp.erf(mpf(z) / mp.sqrt(2)))


@pytest.mark.parametrize(("z", "share"), [(9.5, 1.0), (-1e300, -1.0), (math.inf, 1.0)])
def test_far_bounds_hold_everything(z: float, share: float) -> None:
    assert quantile.share_within(z) == share


def test_two_sigmas_are_the_constant() -> None:
    assert quantile.share_within(2.0) == quantile.WITHIN_TWO


def test_the_table_is_what_its_script_makes() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as made:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    committed = resources.files("glorot_cli.streams").joinpath("quantile_table.txt")
    assert made.getvalue() == committed.read_text("ascii")


def test_the_table_is_the_definition() -> None:
    committed = resources.files("glorot_cli.streams").joinpath("quantile_table.txt")
    digest = hashlib.sha256(committed.read_bytes()).hexdigest()
    assert digest == "d5ae885b2566826a138a1c7764dead29dbdaf5716ff7b6013afcd9fe06c32cda"


def fill(law: Distribution, dtype: str, first: int, count: int, seed: int = 42) -> Array:
    out = np.empty(count, dtype)
    aes_ctr.drawer(law, (count,), seed, "w", dtype)(first, out)
    return out


LAWS: dict[str, tuple[Distribution, str]] = {
    "normal": (
        Normal(0.0, 1.0),
        "a3ae09eef97efab9501fbcd3e7605f100c90f352848fb5f5ace481fd7734a4fd",
    ),
    "mean": (Normal(0.5, 0.02), "42f116edc815f02fa5570a6178ab55a3da1da028977ac1443bba31ddaee73cf0"),
    "truncated": (
        TruncatedNormal(0.0, 1.0),
        "2221d97305ab8d63484159b5fc33374a64f0fe38b2ffc4ca07b184e027bf822a",
    ),
    "bounds": (
        TruncatedNormal(0.0, 1.0, -1.0, 3.0),
        "abb95b0d048420a771ccaf290d2cd1e9d98c0e16d0a51bc36305e7c9ba6ab504",
    ),
}


@pytest.mark.parametrize("law", LAWS)
def test_the_bits_of_the_stream(law: str) -> None:
    distribution, sha256 = LAWS[law]
    weights = fill(distribution, "float32", 0, 2**16)
    assert hashlib.sha256(weights.tobytes()).hexdigest() == sha256


def test_an_element_is_the_quantile_of_its_word() -> None:
    words = np.empty(5000, "<i4")
    aes_ctr.fill_words(aes_ctr.key_of(42, "w"), 0, words)
    z = drawn(words, quantile.normal_lines())
    expected = (0.5 + 0.02 * z).astype(np.float32)
    assert np.array_equal(fill(Normal(0.5, 0.02), "float32", 0, 5000), expected)


def test_float64_takes_the_high_half_of_its_long_word() -> None:
    words = np.empty(5000, "<i8")
    aes_ctr.fill_words(aes_ctr.key_of(42, "w"), 0, words)
    z = drawn((words >> 32).astype(np.int32), quantile.normal_lines())
    assert np.array_equal(fill(Normal(0.0, 0.25), "float64", 0, 5000), z * 0.25)
    assert np.array_equal(fill(Normal(-3.0, 0.25), "float64", 0, 5000), z * 0.25 - 3.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("law", LAWS)
def test_blocks_in_any_order_have_the_same_bits(law: str, dtype: str) -> None:
    distribution, size = LAWS[law][0], 3 * quantile.CHUNK + 17
    whole = fill(distribution, dtype, 0, size)
    pieces = np.empty(size, dtype)
    draw = aes_ctr.drawer(distribution, (size,), 42, "w", dtype)
    cuts = [0, 1, 5, 4096, quantile.CHUNK - 1, quantile.CHUNK, 2 * quantile.CHUNK + 3, size]
    for first, last in reversed(list(itertools.pairwise(cuts))):
        draw(first, pieces[first:last])
    assert pieces.tobytes() == whole.tobytes()


@given(
    st.sampled_from(sorted(LAWS)),
    st.sampled_from(["float32", "float64"]),
    st.integers(0, 2000),
    st.integers(1, 500),
)
def test_any_run_has_the_same_bits(law: str, dtype: str, first: int, count: int) -> None:
    whole = fill(LAWS[law][0], dtype, 0, 2500)
    run = fill(LAWS[law][0], dtype, first, count)
    assert run.tobytes() == whole[first : first + count].tobytes()


def test_no_fused_multiply_add_is_used() -> None:
    """Work a few elements out in exact arithmetic, rounding at each step."""
    from fractions import Fraction

    lines = quantile.normal_lines()
    for word in (12345, -987654321, 1_500_000_000, 65_536, -65_537):
        line = lines[(word >> 16) & 0xFFFF]
        product = float(Fraction(line.imag) * Fraction(word + 0.5))
        expected = float(Fraction(product) + Fraction(line.real))
        assert drawn(np.array([word], np.int32), lines)[0] == expected
