"""The compiled loops of the frameworks' streams give NumPy's bits, on every instruction set."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from glorot_cli.distributions import Distribution, Normal, Uniform
from glorot_cli.dtypes import numpy_dtype
from glorot_cli.moments import Moments
from glorot_cli.streams import box_muller, drawer, kernels, mersenne, philox, threefry, torch_cpu
from glorot_cli.streams.request import Request

# A machine without a compiler has none; .ci/run builds them or fails.
pytest.importorskip("glorot_cli.streams._kernels")

SETS = [name for _, name in importlib.import_module("glorot_cli.streams._kernels").sets()]
Choose = Callable[[str], None]
Array = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Iterator[Choose]:
    """Choose an instruction set, or `off`."""

    def chosen(name: str) -> None:
        kernels.kernels.cache_clear()
        torch_cpu._words.cache_clear()
        monkeypatch.setenv("GLOROT_KERNELS", name)

    yield chosen
    kernels.kernels.cache_clear()
    torch_cpu._words.cache_clear()


def drawn(stream: str, request: Request, parts: list[int]) -> tuple[bytes, list[Moments | None]]:
    """Draw a tensor in parts that begin at these elements."""
    size = request.shape[0]
    out = np.full(size, 7, numpy_dtype(request.dtype))
    with np.errstate(over="ignore", invalid="ignore"):
        draw = drawer(stream, request)
        found = [
            draw(start, out[start:stop])
            for start, stop in zip(parts, [*parts[1:], size], strict=True)
            if start < size
        ]
    return out.tobytes(), found


RANGES = [(-0.3, 0.3), (-0.1, 0.7), (2.0, 2.5), (0.0, 1.0), (-3e4, 7e4), (-1e-6, 2e-7)]
STREAMS = ["torch", "keras-torch", "keras-jax", "jax", "keras-tensorflow"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("stream", STREAMS)
def test_ranges_have_numpys_bits(stream: str, dtype: str, choose: Choose) -> None:
    for low, high in RANGES:
        for fma in (True, False):
            for size, parts in ((1, [0]), (2063, [0]), (5000, [0, 3, 2051])):
                request = Request(Uniform(low, high), (size,), 11, "w", dtype, (), fma)
                choose("off")
                expected, _ = drawn(stream, request, parts)
                for name in SETS:
                    choose(name)
                    bits, moments = drawn(stream, request, parts)
                    assert bits == expected, (name, low, high, fma, size)
                    if dtype != "float64" and size == 2063:
                        values = np.frombuffer(bits, numpy_dtype(dtype)).astype(np.float64)
                        check_moments(moments, values)


def check_moments(found: list[Moments | None], values: Array) -> None:
    if not np.isfinite(values).all():
        assert found == [None]  # the engine counts the finite ones
        return
    moments = Moments.joined(found)
    assert moments is not None
    assert (moments.count, moments.minimum, moments.maximum) == (
        values.size, values.min(), values.max(),
    )  # fmt: skip
    assert moments.mean == pytest.approx(values.mean(), abs=2e-5 * values.std(), rel=1e-6)
    assert moments.std == pytest.approx(values.std(), rel=1e-3)


def test_scaled_variances_of_jax_have_numpys_bits(choose: Choose) -> None:
    for dtype in ("float32", "float16", "bfloat16"):
        request = Request(Uniform(-0.7, 0.7, variance=0.16), (3001,), 2**33 + 5, "w", dtype)
        choose("off")
        expected, _ = drawn("jax", request, [0, 17])
        for name in SETS:
            choose(name)
            assert drawn("jax", request, [0, 17])[0] == expected, (name, dtype)


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 31, 2048, 2050, 5000])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("stream", ["torch", "keras-torch"])
def test_torchs_normal_values_have_numpys_bits(
    stream: str, dtype: str, size: int, choose: Choose
) -> None:
    if stream == "keras-torch" and dtype != "float32":
        pytest.skip("Keras draws float32 alone")
    laws: list[Distribution] = [Normal(0.0, 1.0), Normal(-0.3, 0.02)]
    for law in laws:
        for parts in ([0], [0, 16], [0, 5, 1033]):
            request = Request(law, (size,), 3, "w", dtype)
            choose("off")
            expected, _ = drawn(stream, request, parts)
            for name in SETS:
                choose(name)
                bits, moments = drawn(stream, request, parts)
                assert bits == expected, (name, parts)
                if size % 16 == 0 and parts == [0] and dtype != "float64":
                    values = np.frombuffer(bits, numpy_dtype(dtype)).astype(np.float64)
                    check_moments(moments, values)


def test_every_24th_of_the_words_makes_numpys_normal_values(choose: Choose) -> None:
    # All radii and all angles that 24 bits make, thinned, with both ends.
    steps = np.concatenate([np.arange(0, 1 << 24, 1021), np.arange((1 << 24) - 51, 1 << 24)])
    words = np.resize(steps.astype(np.uint32), 1 << 15) | np.uint32(0xA5000000)
    rng = np.random.default_rng(4)
    words = np.concatenate([words, words[rng.permutation(words.size)]])
    for dtype in ("float32", "float16", "bfloat16"):
        for mean, stddev in ((0.0, 1.0), (0.25, 3e4), (0.0, 1e-7)):
            out = np.empty(words.size, numpy_dtype(dtype))
            choose("off")
            with np.errstate(over="ignore"):
                assert box_muller.fill_normals(words, mean, stddev, out) is None
            expected = out.tobytes()
            for name in SETS:
                choose(name)
                out.fill(0.0)
                box_muller.fill_normals(words, mean, stddev, out)
                assert out.tobytes() == expected, (name, dtype, mean, stddev)


def test_words_have_numpys_bits(choose: Choose) -> None:
    for first in (0, 5, 2**32 - 1000, 2**40 + 3):
        found: dict[str, list[Array]] = {}
        for name in ("off", *SETS):
            choose(name)
            narrow, wide = np.empty(3000, np.uint32), np.empty(3000, np.uint64)
            threefry.fill_words((3, 2**32 - 1), first, narrow)
            threefry.fill_words64((3, 2**32 - 1), first, wide)
            fours = np.empty(3000, np.uint32)
            philox.fill_words((2**32 - 1, 9), (7, 2**31), first, fours)
            found[name] = [narrow, wide, fours]
        for name in SETS:
            for mine, other in zip(found[name], found["off"], strict=True):
                assert mine.tobytes() == other.tobytes(), (name, first)


def test_mersenne_goes_back_and_forth_as_numpy_does(choose: Choose) -> None:
    found: dict[str, list[bytes]] = {}
    for name in ("off", *SETS):
        choose(name)
        words, found[name] = mersenne.words_of(2**32 + 9), []
        for first, size in ((0, 3), (3, 700), (2_000_000, 1), (703, 1250), (10, 5)):
            out = np.empty(size, np.uint32)
            words.draw(first, out)
            found[name].append(out.tobytes())
    assert all(found[name] == found["off"] for name in SETS)


def test_buffers_are_checked() -> None:
    module = importlib.import_module("glorot_cli.streams._kernels")
    number = module.sets()[-1][0]
    words, values = np.zeros(32, np.uint32), np.zeros(32, np.float32)
    state = np.zeros(625, np.uint32)
    law = (0, 255, 0, 1.0, 1.0, 0.0, 0, 0, 0.0, 0.0, 0.0, 0, 0.0)
    wrong: list[tuple[Any, ...]] = [
        (module.mersenne, number, state[:-1], words),
        (module.mersenne, number, np.full(625, 625, np.uint32), words),
        (module.mersenne, number, state, words.view(np.uint8)[1:5]),
        (module.mersenne, 99, state, words),
        (module.threefry, number, 1, 2, 0, 5, words),
        (module.threefry, number, 1, 2, 0, 8, words[1:4]),
        (module.philox, number, 1, 2, 3, 4, 0, words[:6]),
        (module.box_muller, number, words[:31], values[:31], 0, 0.0, 1.0, 0.0),
        (module.box_muller, number, words, values[:16], 0, 0.0, 1.0, 0.0),
        (module.box_muller, number, words, values, 1, 0.0, 1.0, 0.0),
        (module.box_muller, number, words, values, 4, 0.0, 1.0, 0.0),
        (module.box_muller_double, number, words[:16], words[:16], 0.0, 1.0),
        (module.box_muller_double, number, words, np.zeros(32), 0.0, 1.0),
        (module.box_muller_double, 99, words, np.zeros(16), 0.0, 1.0),
        (module.range, number, words, values[:31], 0, *law),
        (module.range, number, words, values, -1, *law),
        (module.range, number, words, values, 0, 32, *law[1:]),
        (module.range, number, words, values, 0, 0, 2**31, *law[2:]),
    ]
    for call, *arguments in wrong:
        with pytest.raises(ValueError):
            call(*arguments)
    values.flags.writeable = False
    with pytest.raises((BufferError, TypeError, ValueError)):
        module.box_muller(number, words, values, 0, 0.0, 1.0, 0.0)
    with pytest.raises((BufferError, TypeError, ValueError)):
        module.threefry(number, 1, 2, 0, 4, values)
