"""The compiled loops give NumPy's bits, on every instruction set that this processor has."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.distributions import Distribution, Normal, TruncatedNormal, Uniform
from glorot_cli.dtypes import numpy_dtype
from glorot_cli.moments import Moments
from glorot_cli.streams import aes_ctr, kernels
from glorot_cli.streams.block_moments import block_moments

# A machine without a compiler has none; .ci/run builds them or fails.
pytest.importorskip("glorot_cli.streams._kernels")

SETS = ["avx512", "avx2", "portable"]
DTYPES = ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
DISTRIBUTIONS: list[Distribution] = [
    Uniform(-0.3, 0.3),
    Uniform(-0.1, 0.7),
    Uniform(2.0, 2.5),
    Normal(0.0, 0.02),
    Normal(0.5, 3.0),
    Normal(0.0, 2e-4),
    TruncatedNormal(0.0, 0.05),
    TruncatedNormal(-0.3, 0.02),
]
# Around the loops' own steps: 8 words, 16 lanes, 2048 values, 2**18 words.
SIZES = [1, 7, 8, 17, 2047, 2049, (1 << 18) + 5]


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Choose an instruction set, or `off`; skip what this processor has not."""

    def chosen(name: str) -> None:
        kernels.kernels.cache_clear()
        monkeypatch.setenv("GLOROT_KERNELS", name)
        module = importlib.import_module("glorot_cli.streams._kernels")
        if name != "off" and name not in dict(map(reversed, module.sets())):
            pytest.skip(f"this processor has no {name}")

    return chosen


@pytest.fixture(autouse=True)
def _forget() -> Any:
    yield
    kernels.kernels.cache_clear()


def drawn(distribution: Distribution, dtype: str, size: int) -> tuple[Any, Moments | None]:
    out = np.empty(size, numpy_dtype(dtype))
    moments = aes_ctr.drawer(distribution, (size,), 7, "w", dtype)(0, out)
    return out, moments


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_instruction_set_gives_numpys_bits(
    distribution: Distribution, dtype: str, choose: Callable[[str], None]
) -> None:
    choose("off")
    expected = {size: drawn(distribution, dtype, size)[0] for size in SIZES}
    module = importlib.import_module("glorot_cli.streams._kernels")
    for _, name in module.sets():
        choose(name)
        for size in SIZES:
            out, moments = drawn(distribution, dtype, size)
            assert out.tobytes() == expected[size].tobytes(), (name, size)
            assert moments is not None
            wide = out.astype(np.float64)
            assert (moments.count, moments.minimum, moments.maximum) == (
                size, wide.min(), wide.max(),
            )  # fmt: skip
            assert moments.mean == pytest.approx(wide.mean(), abs=2e-5 * wide.std(), rel=1e-6)
            assert moments.std == pytest.approx(wide.std(), rel=1e-3)


@pytest.mark.parametrize("name", SETS)
def test_the_words_at_the_ends_are_as_numpy_has_them(
    name: str, choose: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = [-(2**31), 2**31 - 1, 0, -1, 1, 2**31 - 2, 1 - 2**31, 65535, 65536, -65536, -65537]
    last = 31744 << 16  # where the tail begins
    words = np.array([*ends, last - 1, last, last + 1, -last - 1, -last, 1 - last], "<i4")
    monkeypatch.setattr(
        aes_ctr, "fill_words", lambda key, first, out: np.copyto(out, words[: out.size])
    )
    for distribution in DISTRIBUTIONS:
        for dtype in DTYPES:
            choose("off")
            expected, _ = drawn(distribution, dtype, words.size)
            choose(name)
            assert drawn(distribution, dtype, words.size)[0].tobytes() == expected.tobytes()


def test_every_float32_that_rounds_to_a_lower_precision_rounds_alike(
    choose: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Words are scaled by 2**-31 * limit, so a power of two gives every exponent down to 2**-31.
    steps = np.arange(-(1 << 31), 1 << 31, 4099).astype("<i4")
    small = np.arange(-(1 << 16), 1 << 16).astype("<i4")
    words = np.concatenate([steps, small, small << 8])
    monkeypatch.setattr(
        aes_ctr,
        "fill_words",
        lambda key, first, out: np.copyto(out, words[first : first + out.size]),
    )
    for dtype in DTYPES[1:]:
        choose("off")
        expected, _ = drawn(Uniform(-0.5, 0.5), dtype, words.size)
        choose("portable")
        assert drawn(Uniform(-0.5, 0.5), dtype, words.size)[0].tobytes() == expected.tobytes()


def test_files_and_statistics_are_the_same_on_both_paths(
    choose: Callable[[str], None], tmp_path: Path, planned: Callable[..., glorot.Plan]
) -> None:
    plan = planned(
        dtype="bfloat16",
        tensors={
            "a": {"shape": [700, 1000], "axes": "IO", "initializer": "he_normal"},
            "b": {"shape": [70, 1000], "axes": "IO", "initializer": "glorot_uniform"},
            "c": {"shape": [700], "initializer": {"name": "uniform", "a": 1, "b": 2}},
        },
    )
    found = {}
    for name in ("off", "portable"):
        choose(name)
        moments = glorot.write_weights(plan, tmp_path / f"{name}.safetensors")
        found[name] = [(m.minimum, m.maximum, m.mean, m.std) for m in moments if m is not None]
    off, compiled = ((tmp_path / f"{name}.safetensors").read_bytes() for name in found)
    assert off == compiled
    assert len(found["off"]) == 3
    assert found["off"] == found["portable"]


@pytest.mark.parametrize(
    ("words", "size", "dtype", "message"),
    [
        (4, 12, 0, "the buffers' sizes differ"),
        (4, 16, 9, "no such dtype"),
        (4, 16, 1, "no such dtype"),
        (4, 4, 4, "float8 needs its tables"),
    ],
)
def test_buffers_are_checked(words: int, size: int, dtype: int, message: str) -> None:
    module = importlib.import_module("glorot_cli.streams._kernels")
    number = module.sets()[-1][0]
    values = np.zeros(words, "<i4"), np.zeros(size, np.uint8)
    with pytest.raises(ValueError, match=message):
        module.uniform(number, *values, dtype, 1.0, 0.0, 0.0, 0, 0.0, 0.0, 0.0, b"", b"")
    values[1].flags.writeable = False
    with pytest.raises((BufferError, TypeError, ValueError)):
        module.uniform(number, *values, dtype, 1.0, 0.0, 0.0, 0, 0.0, 0.0, 0.0, b"", b"")
    with pytest.raises(ValueError, match="no such instruction set here"):
        module.moments(99, np.zeros(4, "f4"), 0, b"", 0.0)


STORED = [*DTYPES, "float64", "int8", "uint8", "bool", "int16", "int32", "int64"]


@pytest.mark.parametrize("dtype", STORED)
def test_the_moments_of_what_files_hold(dtype: str, choose: Callable[[str], None]) -> None:
    module = importlib.import_module("glorot_cli.streams._kernels")
    for size in (1, 15, 16, 17, 2048, 2049, 70_001):
        for spread in (0.05, 100.0):
            wide = np.random.default_rng(size).normal(spread / 10, spread, size)
            with np.errstate(over="ignore"):
                values = (wide > 0 if dtype == "bool" else wide).astype(numpy_dtype(dtype))
            exact = values.astype(np.float64)
            for centre in (0.0, 0.03125):
                for _, name in module.sets():
                    choose(name)
                    found = block_moments(values, centre)
                    if not np.isfinite(exact).all():
                        assert found is None
                        continue
                    assert found is not None
                    if found.minimum < found.maximum:
                        assert found.total == pytest.approx(
                            (exact - centre).sum(), rel=1e-4, abs=1e-3 * spread
                        )
                        assert found.squares == pytest.approx(
                            ((exact - centre) ** 2).sum(), rel=1e-5
                        )
                    expected = exact.min(), exact.max(), centre
                    assert (found.minimum, found.maximum, found.centre) == expected


def test_numpy_takes_the_moments_of_other_elements(choose: Callable[[str], None]) -> None:
    choose("portable")
    plain = np.ones(8, np.float32)
    assert block_moments(plain, 0.0) is not None
    for block in (
        np.array([1.0, np.nan], np.float32),
        np.array([1.0, np.inf, -np.inf], np.float16),
        np.array([1.0, 1e20], np.float32),
        np.array([1e-20, 2e-20]),
        plain.astype(">f4"),
        plain.astype(np.uint32),
        np.zeros(9, np.uint8)[1:].view(np.float32),
    ):
        assert block_moments(block, 0.0) is None
    choose("off")
    assert block_moments(plain, 0.0) is None


def test_runs_are_scaled_and_measured(choose: Callable[[str], None]) -> None:
    module = importlib.import_module("glorot_cli.streams._kernels")
    rng = np.random.default_rng(3)
    starts = np.array([0, 1, 1, 18, 2100, 7000])
    words = rng.integers(-(2**31), 2**31, 7001).astype(np.int32)
    scales = np.array([1.0, 2.0, 0.1, 1e20, 2.0**-31, -0.5], np.float32)
    repeated = np.repeat(scales, np.diff(starts, append=words.size))
    expected = words.astype(np.float32) * repeated
    for number, _ in module.sets():
        out, sums = words.copy(), np.empty((6, 4))
        module.runs(number, out, starts, scales, sums)
        values = out.view(np.float32)
        assert values.tobytes() == expected.tobytes()
        for (low, high, total, squares), start, stop in zip(
            sums.tolist(), starts, [*starts[1:], words.size], strict=True
        ):
            run = values[start:stop].astype(np.float64)
            if run.size:
                assert (low, high) == (run.min(), run.max())
            assert total == pytest.approx(run.sum(), rel=1e-9, abs=1e-6)
            assert squares == pytest.approx((run * run).sum(), rel=1e-9)
        for wrong in (starts - 1, starts[::-1].copy(), starts * 2, starts[:5]):
            with pytest.raises(ValueError):
                module.runs(number, out, wrong, scales, sums)
        with pytest.raises(ValueError):
            module.runs(number, out, starts, scales, sums[:5])
    with pytest.raises(ValueError, match="float8 needs its values"):
        module.moments(module.sets()[0][0], np.zeros(4, np.uint8), 4, b"", 0.0)
    with pytest.raises(ValueError, match="no such dtype"):
        module.moments(module.sets()[0][0], np.zeros(4, np.uint8), 10, b"", 0.0)


def test_an_unknown_instruction_set_is_one_line(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kernels.kernels.cache_clear()
    monkeypatch.setenv("GLOROT_KERNELS", "sse")
    (tmp_path / "s.yaml").write_text("seed: 1\ntensors: {w: {shape: [2], initializer: normal}}\n")
    code, _, err = run("init", tmp_path / "s.yaml", "-o", tmp_path / "w.safetensors")
    assert code == 2
    assert err.startswith("glorot: GLOROT_KERNELS: expected one of off, ")
    assert err.endswith("portable, found 'sse'\n")
