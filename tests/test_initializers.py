"""Initialisers: their exact laws, their draws, and what they refuse."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.distributions import (
    Constant,
    Distribution,
    Normal,
    Ones,
    Orthogonal,
    Sparse,
    TruncatedNormal,
    Uniform,
)
from glorot_cli.initializers import CLASS_NAMES, GAINS, INITIALIZERS, calculate_gain
from glorot_cli.streams import aes_ctr

Array = np.ndarray[Any, np.dtype[Any]]
Run = Callable[..., tuple[int, str, str]]
Planned = Callable[..., glorot.Plan]


def law_of(initializer: object, shape: Iterable[int] = (4, 6), axes: str = "IO") -> Distribution:
    entry = {"shape": list(shape), "axes": axes, "initializer": initializer}
    plan = glorot.make_plan(glorot.load_spec({"seed": 1, "tensors": {"w": entry}}))
    return plan["w"].distribution


def drawn(initializer: object, shape: Iterable[int], axes: str = "IO", **keys: Any) -> Array:
    entry = {"shape": list(shape), "axes": axes, "initializer": initializer, **keys}
    plan = glorot.make_plan(glorot.load_spec({"seed": 42, "tensors": {"w": entry}}))
    return glorot.draw(plan, "w")


def symmetric(limit: float) -> Uniform:
    return Uniform(-limit, limit)


def keras_limit(scale: float, fan: float) -> Uniform:
    s = scale / max(1.0, fan)
    return symmetric(math.sqrt(3.0 * s))


def keras_truncated(scale: float, fan: float) -> TruncatedNormal:
    s = scale / max(1.0, fan)
    return TruncatedNormal(0.0, math.sqrt(s) / 0.87962566103423978, -2.0, 2.0)


def xavier(gain: float, fan_in: int, fan_out: int) -> float:
    return gain * math.sqrt(2.0 / float(fan_in + fan_out))


def kaiming(gain: float, fan: int) -> float:
    return gain / math.sqrt(fan)


def vs(**keys: object) -> dict[str, object]:
    return {"name": "variance_scaling", **keys}


Law = Callable[[int, int], Distribution]

# In each framework's own order of operations: i is fan_in, o is fan_out.
BY_FANS: list[tuple[object, Law]] = [
    ("glorot_uniform", lambda i, o: keras_limit(1.0, (i + o) / 2.0)),
    ("glorot_normal", lambda i, o: keras_truncated(1.0, (i + o) / 2.0)),
    ("he_uniform", lambda i, o: keras_limit(2.0, i)),
    ("he_normal", lambda i, o: keras_truncated(2.0, i)),
    ("lecun_uniform", lambda i, o: keras_limit(1.0, i)),
    ("lecun_normal", lambda i, o: keras_truncated(1.0, i)),
    ("variance_scaling", lambda i, o: keras_truncated(1.0, i)),
    (vs(scale=0.5, mode="fan_out"), lambda i, o: keras_truncated(0.5, o)),
    (vs(scale=3, mode="fan_avg"), lambda i, o: keras_truncated(3.0, (i + o) / 2.0)),
    (vs(mode="fan_geo_avg"), lambda i, o: keras_truncated(1.0, math.sqrt(i * o))),
    (vs(scale=0.1, distribution="uniform"), lambda i, o: keras_limit(0.1, i)),
    (vs(mode="fan_geo_avg", distribution="uniform"),
     lambda i, o: keras_limit(1.0, math.sqrt(i * o))),
    (vs(scale=2.0, distribution="untruncated_normal"),
     lambda i, o: Normal(0.0, math.sqrt(2.0 / max(1.0, i)))),
    ("xavier_uniform", lambda i, o: symmetric(math.sqrt(3.0) * xavier(1.0, i, o))),
    ({"name": "xavier_uniform", "gain": 0.7},
     lambda i, o: symmetric(math.sqrt(3.0) * xavier(0.7, i, o))),
    ({"name": "xavier_uniform", "gain": "tanh"},
     lambda i, o: symmetric(math.sqrt(3.0) * xavier(5.0 / 3, i, o))),
    ("xavier_normal", lambda i, o: Normal(0.0, xavier(1.0, i, o))),
    ({"name": "xavier_normal", "gain": "relu"},
     lambda i, o: Normal(0.0, xavier(math.sqrt(2.0), i, o))),
    ("kaiming_uniform", lambda i, o: symmetric(math.sqrt(3.0) * kaiming(math.sqrt(2.0 / 1), i))),
    ({"name": "kaiming_uniform", "a": "sqrt(5)"},
     lambda i, o: symmetric(math.sqrt(3.0) * kaiming(math.sqrt(2.0 / (1 + math.sqrt(5) ** 2)), i))),
    ({"name": "kaiming_uniform", "mode": "fan_out", "nonlinearity": "selu"},
     lambda i, o: symmetric(math.sqrt(3.0) * kaiming(3.0 / 4, o))),
    ("kaiming_normal", lambda i, o: Normal(0.0, kaiming(math.sqrt(2.0), i))),
    ({"name": "kaiming_normal", "mode": "fan_out", "nonlinearity": "relu"},
     lambda i, o: Normal(0.0, kaiming(math.sqrt(2.0), o))),
    ({"name": "kaiming_normal", "nonlinearity": "linear", "a": 3},
     lambda i, o: Normal(0.0, kaiming(1.0, i))),
]  # fmt: skip
FANS = [(1, 1), (1, 2), (3, 5), (100, 64), (64, 10), (784, 128), (4096, 11008), (7, 1), (50257, 3)]


@pytest.mark.parametrize(("initializer", "law"), BY_FANS)
def test_laws_of_fans(initializer: object, law: Law) -> None:
    for fan_in, fan_out in FANS:
        assert law_of(initializer, (fan_in, fan_out)) == law(fan_in, fan_out)
        assert law_of(initializer, (fan_out, fan_in), "OI") == law(fan_in, fan_out)
        # A receptive field of 3 x 5 counts on both sides, four batches on none.
        assert law_of(initializer, (3, 5, fan_in, fan_out), "HWIO") == law(
            15 * fan_in, 15 * fan_out
        )
        assert law_of(initializer, (4, fan_in, fan_out), "BIO") == law(fan_in, fan_out)


def test_the_untruncated_normal_of_variance_scaling_is_not_cut() -> None:
    assert law_of(vs(distribution="untruncated_normal")) == Normal(0.0, 0.5)


def test_the_order_of_operations_is_the_frameworks() -> None:
    """Count how often a shorter formula would have another last bit."""
    keras = sum(
        law_of("glorot_uniform", (n, 1)) != symmetric(math.sqrt(6.0 / (n + 1)))
        for n in range(1, 301)
    )
    torch = sum(
        law_of("xavier_uniform", (n, 1)) != symmetric(math.sqrt(6.0 / (n + 1)))
        for n in range(1, 301)
    )
    assert (keras, torch) == (29, 123)


PLAIN: list[tuple[object, Distribution]] = [
    ("zeros", Constant(0.0)),
    ("ones", Constant(1.0)),
    ("constant", Constant(0.0)),
    ({"name": "constant", "value": -2.5}, Constant(-2.5)),
    ("random_uniform", Uniform(-0.05, 0.05)),
    ({"name": "random_uniform", "minval": 0, "maxval": 2}, Uniform(0.0, 2.0)),
    ("random_normal", Normal(0.0, 0.05)),
    ({"name": "random_normal", "mean": 1, "stddev": 0.5}, Normal(1.0, 0.5)),
    ("truncated_normal", TruncatedNormal(0.0, 0.05, -2.0, 2.0)),
    ({"name": "truncated_normal", "mean": 1, "stddev": 3}, TruncatedNormal(1.0, 3.0, -2.0, 2.0)),
    ("normal", Normal(0.0, 1.0)),
    ({"name": "normal", "mean": -1, "std": "0.02 / sqrt(2*12)"},
     Normal(-1.0, 0.02 / math.sqrt(24))),
    ("uniform", Uniform(0.0, 1.0)),
    ({"name": "uniform", "a": -3, "b": "1/3"}, Uniform(-3.0, 1 / 3)),
    ("trunc_normal", TruncatedNormal(0.0, 1.0, -2.0, 2.0)),
    ({"name": "trunc_normal", "mean": 1, "std": 0.5, "a": 0.5, "b": 3},
     TruncatedNormal(1.0, 0.5, -1.0, 4.0)),
    ({"name": "trunc_normal", "std": 0.02}, TruncatedNormal(0.0, 0.02, -100.0, 100.0)),
    ("identity", Ones(1.0, 4, 7)),
    ("eye", Ones(1.0, 4, 7)),
    ("orthogonal", Orthogonal(1.0)),
    ({"name": "orthogonal", "gain": "relu"}, Orthogonal(math.sqrt(2.0))),
    ({"name": "sparse", "sparsity": 0.3}, Sparse(0.01, 2)),
    ({"name": "sparse", "sparsity": 1, "std": 2}, Sparse(2.0, 4)),
]  # fmt: skip


@pytest.mark.parametrize(("initializer", "law"), PLAIN)
def test_laws_without_fans(initializer: object, law: Distribution) -> None:
    assert law_of(initializer) == law


def test_an_axis_order_that_begins_with_outputs_is_orthogonal_as_in_torch() -> None:
    assert law_of("orthogonal", (4, 6), "OI") == Orthogonal(1.0, first=True)
    assert law_of("orthogonal", (8, 4, 3, 3), "OIHW") == Orthogonal(1.0, first=True)
    assert law_of("orthogonal", (3, 3, 4, 8), "HWIO") == Orthogonal(1.0)
    assert law_of("delta_orthogonal", (3, 3, 4, 8), "HWIO") == Orthogonal(1.0, delta=True)


def test_the_gains_are_those_of_torch() -> None:
    assert GAINS == {
        "linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "conv_transpose1d": 1.0,
        "conv_transpose2d": 1.0, "conv_transpose3d": 1.0, "sigmoid": 1.0,
        "tanh": 1.6666666666666667, "relu": 1.4142135623730951, "leaky_relu": 1.4141428569978354,
        "selu": 0.75,
    }  # fmt: skip
    assert calculate_gain("leaky_relu", 0.2) == math.sqrt(2.0 / (1 + 0.2**2))
    assert calculate_gain("tanh", 0.2) == 5.0 / 3


def test_both_cases_of_keras_names_are_known(planned: Planned) -> None:
    assert CLASS_NAMES == {
        "Constant": "constant", "GlorotNormal": "glorot_normal", "GlorotUniform": "glorot_uniform",
        "HeNormal": "he_normal", "HeUniform": "he_uniform", "Identity": "identity",
        "LecunNormal": "lecun_normal", "LecunUniform": "lecun_uniform", "Ones": "ones",
        "Orthogonal": "orthogonal", "RandomNormal": "random_normal",
        "RandomUniform": "random_uniform", "TruncatedNormal": "truncated_normal",
        "VarianceScaling": "variance_scaling", "Zeros": "zeros",
    }  # fmt: skip
    for name, snake in CLASS_NAMES.items():
        for initializer in (name, {"name": name}):
            entry = {"shape": [4, 6], "axes": "IO", "initializer": initializer}
            tensor = planned(tensors={"w": entry})["w"]
            assert tensor.initializer == snake
            assert tensor.distribution == law_of(snake)


def test_short_and_full_form_mean_the_same(planned: Planned) -> None:
    plans = [
        planned(tensors={"w": {"shape": [4, 6], "axes": "IO", "initializer": initializer}})
        for initializer in ("he_uniform", {"name": "he_uniform"}, {"name": "HeUniform"})
    ]
    assert plans[0].tensors == plans[1].tensors == plans[2].tensors


# Draws.

SIDE = 1024
COUNT = SIDE * SIDE


def phi(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def uniform_cdf(low: float, high: float) -> Callable[[float], float]:
    return lambda x: (x - low) / (high - low)


def normal_cdf(mean: float, stddev: float) -> Callable[[float], float]:
    return lambda x: phi((x - mean) / stddev)


def truncated_cdf(
    mean: float, stddev: float, low: float = -2.0, high: float = 2.0
) -> Callable[[float], float]:
    return lambda x: (phi((x - mean) / stddev) - phi(low)) / (phi(high) - phi(low))


# Name and arguments; mean, variance and kurtosis; the distribution function.
Case = tuple[object, float, float, float, Callable[[float], float]]
TRUNCATED_KURTOSIS = 2.3655
N = float(SIDE)


def uniform_case(initializer: object, limit: float) -> Case:
    return initializer, 0.0, limit * limit / 3.0, 1.8, uniform_cdf(-limit, limit)


def normal_case(initializer: object, stddev: float, mean: float = 0.0) -> Case:
    return initializer, mean, stddev**2, 3.0, normal_cdf(mean, stddev)


def truncated_case(initializer: object, std: float) -> Case:
    cdf = truncated_cdf(0.0, std / 0.87962566103423978)
    return initializer, 0.0, std**2, TRUNCATED_KURTOSIS, cdf


DRAWS: list[Case] = [
    uniform_case("glorot_uniform", math.sqrt(6.0 / (2 * N))),
    truncated_case("glorot_normal", math.sqrt(2.0 / (2 * N))),
    uniform_case("he_uniform", math.sqrt(6.0 / N)),
    truncated_case("he_normal", math.sqrt(2.0 / N)),
    uniform_case("lecun_uniform", math.sqrt(3.0 / N)),
    truncated_case("lecun_normal", math.sqrt(1.0 / N)),
    truncated_case("variance_scaling", math.sqrt(1.0 / N)),
    normal_case(vs(distribution="untruncated_normal"), math.sqrt(1.0 / N)),
    uniform_case(vs(distribution="uniform", mode="fan_geo_avg"), math.sqrt(3.0 / N)),
    uniform_case("random_uniform", 0.05),
    normal_case("random_normal", 0.05),
    truncated_case("truncated_normal", 0.05 * 0.87962566103423978),
    uniform_case("xavier_uniform", math.sqrt(6.0 / (2 * N))),
    normal_case("xavier_normal", math.sqrt(2.0 / (2 * N))),
    uniform_case("kaiming_uniform", math.sqrt(6.0 / N)),
    normal_case("kaiming_normal", math.sqrt(2.0 / N)),
    normal_case({"name": "normal", "mean": -3, "std": 0.5}, 0.5, -3.0),
    ("uniform", 0.5, 1.0 / 12.0, 1.8, uniform_cdf(0.0, 1.0)),
    truncated_case("trunc_normal", 0.87962566103423978),
    normal_case({"name": "trunc_normal", "std": 0.02}, 0.02),
    # Their moments are by quadrature in 30 digits.
    ({"name": "trunc_normal", "a": -1, "b": 3}, 0.282786110727154, 0.6161417353578293, 2.7942,
     truncated_cdf(0.0, 1.0, -1.0, 3.0)),
    ({"name": "trunc_normal", "a": 1, "b": 3}, 1.510049513243984, 0.17345290492412205, 3.6146,
     truncated_cdf(0.0, 1.0, 1.0, 3.0)),
    normal_case("orthogonal", 1.0 / math.sqrt(N)),
    normal_case({"name": "sparse", "sparsity": 0, "std": 0.3}, 0.3),
]  # fmt: skip


def kolmogorov_smirnov(values: Array, cdf: Callable[[float], float]) -> float:
    """Return the distance from a law, at one in 64 of the sorted values."""
    ordered = np.sort(values)[32::64].tolist()
    expected = (np.arange(len(ordered)) * 64 + 32.5) / values.size
    return float(np.abs(np.array([cdf(x) for x in ordered]) - expected).max())


@pytest.mark.parametrize(("initializer", "mean", "variance", "kurtosis", "cdf"), DRAWS)
def test_a_draw_has_the_moments_and_the_shape_of_its_law(
    initializer: object,
    mean: float,
    variance: float,
    kurtosis: float,
    cdf: Callable[[float], float],
) -> None:
    """Compare 2**20 elements of one fixed seed: a regression test, which no seed can fail later.

    The bounds are 4 standard errors of the mean and of the variance, and 2 / sqrt(n), which a true
    law passes with a chance of 0.9993.
    """
    values = drawn(initializer, (SIDE, SIDE)).astype(np.float64).ravel()
    assert values.size == COUNT
    assert abs(values.mean() - mean) < 4.0 * math.sqrt(variance / COUNT)
    found = float(np.mean((values - mean) ** 2))
    assert abs(found - variance) < 4.0 * variance * math.sqrt((kurtosis - 1.0) / COUNT)
    assert kolmogorov_smirnov(values, cdf) < 2.0 / math.sqrt(COUNT)


def test_the_expected_moments_are_those_of_the_law() -> None:
    for initializer, mean, variance, _, _ in DRAWS:
        law, shape = law_of(initializer, (SIDE, SIDE)), (SIDE, SIDE)
        assert law.mean(shape) == pytest.approx(mean, rel=1e-9, abs=1e-12)
        assert law.std(shape) == pytest.approx(math.sqrt(variance), rel=1e-9)


def test_neighbours_are_not_correlated() -> None:
    """Regression test on fixed seeds: each correlation within 4 standard errors of 0."""
    for initializer in ("glorot_uniform", "random_normal", "truncated_normal"):
        values = drawn(initializer, (SIDE, SIDE)).astype(np.float64)
        values /= values.std()
        for lag in (1, 2, 3, 4, 1024):
            flat = values.ravel()
            assert abs(float(np.mean(flat[lag:] * flat[:-lag]))) < 4.0 / SIDE


# Laws of few values.


def test_identity_and_eye_are_small_literal_arrays() -> None:
    assert drawn({"name": "identity", "gain": 2.5}, (2, 3)).tolist() == [[2.5, 0, 0], [0, 2.5, 0]]
    assert drawn("eye", (3, 2)).tolist() == [[1, 0], [0, 1], [0, 0]]
    assert drawn("eye", (1, 1)).tolist() == [[1]]


def test_dirac_is_a_small_literal_array() -> None:
    assert drawn("dirac", (2, 2, 3), "OIH").tolist() == [
        [[0, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 0]],
    ]  # fmt: skip
    assert drawn({"name": "dirac", "groups": 2}, (4, 2, 2), "OIH").tolist() == [
        [[0, 1], [0, 0]], [[0, 0], [0, 1]], [[0, 1], [0, 0]], [[0, 0], [0, 1]],
    ]  # fmt: skip


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("field", [(1,), (3,), (4,), (3, 2), (1, 5), (2, 3, 4)])
def test_dirac_passes_each_channel_on(groups: int, field: tuple[int, ...]) -> None:
    for per_group, inputs in itertools.product((1, 2, 5), (1, 2, 3)):
        shape = (per_group * groups, inputs, *field)
        expected = np.zeros(shape)
        for group in range(groups):
            for channel in range(min(per_group, inputs)):
                centre = tuple(size // 2 for size in field)
                expected[(group * per_group + channel, channel, *centre)] = 1.0
        axes = "OI" + "HWD"[: len(field)]
        assert np.array_equal(drawn({"name": "dirac", "groups": groups}, shape, axes), expected)
        law = law_of({"name": "dirac", "groups": groups}, shape, axes)
        assert law.mean(shape) == pytest.approx(expected.mean())
        assert law.std(shape) == pytest.approx(expected.std())


@pytest.mark.parametrize("groups", [1, 3])
def test_dirac_in_blocks_is_dirac_in_one(groups: int) -> None:
    shape = (6, 3, 3, 5)
    law = law_of({"name": "dirac", "groups": groups}, shape, "OIHW")
    whole = drawn({"name": "dirac", "groups": groups}, shape, "OIHW").ravel()
    draw = aes_ctr.drawer(law, shape, 0, "w", "float32")
    for first in range(0, whole.size, 7):
        for count in (1, 2, 40, whole.size - first):
            out = np.empty(min(count, whole.size - first), np.float32)
            draw(first, out)
            assert np.array_equal(out, whole[first : first + out.size])


@pytest.mark.parametrize("gain", [1.0, 0.3])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((4, 9), "IO"), ((9, 4), "IO"), ((6, 6), "IO"), ((1, 5), "IO"), ((5, 1), "IO"),
        ((3, 3, 4, 8), "HWIO"), ((1, 1, 4, 8), "HWIO"), ((2, 3, 4), "IOO"),
        ((4, 9), "OI"), ((9, 4), "OI"), ((8, 4, 3, 3), "OIHW"), ((8, 2, 1, 2), "OIHW"),
    ],
)  # fmt: skip
def test_orthogonal_sides_are_orthogonal(shape: tuple[int, ...], axes: str, gain: float) -> None:
    weights = drawn({"name": "orthogonal", "gain": gain}, shape, axes, dtype="float64")
    assert weights.shape == shape
    if axes.startswith("O"):
        matrix = weights.reshape(shape[0], -1)
    else:
        matrix = weights.reshape(-1, shape[-1])
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    side = matrix.shape[1]
    assert np.abs(matrix.T @ matrix - gain**2 * np.eye(side)).max() < 1e-14
    expected = law_of({"name": "orthogonal", "gain": gain}, shape, axes).std(shape)
    assert math.sqrt(float(np.mean(weights**2))) == pytest.approx(expected, rel=1e-12)


def test_orthogonal_signs_make_the_law_even() -> None:
    """Regression test on fixed seeds: without R's signs it would lean to one side."""
    corners = [
        float(drawn({"name": "orthogonal", "seed": seed}, (2, 2))[0, 0]) for seed in range(400)
    ]
    assert 150 < sum(corner > 0.0 for corner in corners) < 250


@pytest.mark.parametrize(
    "shape", [(3, 4, 8), (4, 5, 5), (3, 3, 2, 7), (2, 5, 1, 1), (3, 1, 2, 3, 3)]
)
def test_delta_orthogonal_has_a_matrix_at_its_centre(shape: tuple[int, ...]) -> None:
    axes = "HWD"[: len(shape) - 2] + "IO"
    weights = drawn({"name": "delta_orthogonal", "scale": 3}, shape, axes, dtype="float64")
    centre = tuple((size - 1) // 2 for size in shape[:-2])
    matrix = weights[centre]
    assert np.abs(matrix @ matrix.T - 9.0 * np.eye(shape[-2])).max() < 1e-13
    assert np.count_nonzero(weights) == np.count_nonzero(matrix)
    expected = law_of({"name": "delta_orthogonal", "scale": 3}, shape, axes).std(shape)
    assert math.sqrt(float(np.mean(weights**2))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_whole_laws_do_not_depend_on_blocks(dtype: str, tmp_path: Path) -> None:
    initializers = {"o": "orthogonal", "s": {"name": "sparse", "sparsity": 0.5}}
    tensors = {
        name: {"shape": [1000, 300], "axes": "IO", "dtype": dtype, "initializer": initializer}
        for name, initializer in initializers.items()
    }
    plan = glorot.make_plan(glorot.load_spec({"seed": 1, "tensors": tensors}))
    files = []
    for workers in (1, 4):
        path = tmp_path / f"{workers}.safetensors"
        glorot.write_weights(plan, path, workers=workers, sync=False)
        files.append(path.read_bytes())
    assert files[0] == files[1]
    for name in initializers:
        assert glorot.draw(plan, name).tobytes() in files[0]


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.25, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("shape", [(10, 4), (7, 30), (1, 5), (200, 3)])
def test_sparse_columns_have_exactly_so_many_zeros(shape: tuple[int, int], sparsity: float) -> None:
    weights = drawn({"name": "sparse", "sparsity": sparsity}, shape)
    zeros = np.count_nonzero(weights == 0.0, axis=0)
    assert zeros.tolist() == [math.ceil(sparsity * shape[0])] * shape[1]


def test_sparse_zeros_are_spread_over_the_rows() -> None:
    """Regression test on fixed seeds: each row within 5 standard errors of its share."""
    weights = drawn({"name": "sparse", "sparsity": 0.25}, (16, 4096))
    zeros = np.count_nonzero(weights == 0.0, axis=1)
    assert zeros.sum() == 4 * 4096
    assert np.abs(zeros - 1024).max() < 5.0 * math.sqrt(4096 * 0.25 * 0.75)


def test_the_bits_of_sparse_and_dirac() -> None:
    digests = {
        name: hashlib.sha256(drawn(initializer, shape, axes).tobytes()).hexdigest()[:16]
        for name, initializer, shape, axes in [
            ("sparse", {"name": "sparse", "sparsity": 0.5}, (64, 64), "IO"),
            ("dirac", {"name": "dirac", "groups": 2}, (8, 4, 3, 3), "OIHW"),
        ]
    }
    assert digests == {"sparse": "833eb0b3cd29ed0b", "dirac": "36839d3169215de4"}


# Bounds.


@pytest.fixture
def extreme_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every stream give its smallest and largest words in turn."""

    def fill(key: bytes, first: int, words: Array) -> None:
        words[0::2] = np.iinfo(words.dtype).min
        words[1::2] = np.iinfo(words.dtype).max

    monkeypatch.setattr(aes_ctr, "fill_words", fill)


@pytest.mark.usefixtures("extreme_words")
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_truncated_bounds_are_never_exceeded(dtype: str) -> None:
    random = np.random.default_rng(3)
    for _ in range(300):
        std = float(10.0 ** random.uniform(-3, 1))
        mean = float(random.uniform(-3, 3)) * std
        a = mean + std * float(random.uniform(-4, 2))
        b = a + std * float(random.uniform(0.1, 4))
        initializer = {"name": "trunc_normal", "mean": mean, "std": std, "a": a, "b": b}
        values = drawn(initializer, (2,), "O", dtype=dtype).astype(np.float64)
        assert a <= values[0] <= values[1] <= b
        initializer = {"name": "truncated_normal", "mean": mean, "stddev": std}
        values = drawn(initializer, (2,), "O", dtype=dtype).astype(np.float64)
        assert mean - 2.0 * std <= values[0] < values[1] <= mean + 2.0 * std


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_absolute_bounds_hold_to_the_last_bit(dtype: str) -> None:
    """Check bounds whose division by std rounds outwards, in float64."""
    for std in (0.1, 0.3, 0.7, 1e-3, 3.0):
        for b in np.linspace(0.1, 4.9, 49).tolist():
            law = law_of({"name": "trunc_normal", "std": std, "a": -b * std, "b": b * std})
            assert isinstance(law, TruncatedNormal)
            assert law.stddev * law.high <= b * std
            low, high = aes_ctr.bounds(law, dtype)
            assert -b * std <= low < high <= b * std


# Mistakes.

KNOWN = "known: " + ", ".join(INITIALIZERS)
MATRIX, VECTOR = "shape: [4, 6], axes: IO", "shape: [4]"
CONV, KERNEL = "shape: [3, 3, 4, 6], axes: HWIO", "shape: [3, 6, 4], axes: HIO"

MISTAKES: list[tuple[str, str, str, str]] = [
    (MATRIX, "glorot", "",
     "unknown initializer 'glorot'; did you mean 'glorot_uniform' or 'glorot_normal'?"),
    (MATRIX, "Xavier", "",
     "unknown initializer 'Xavier'; did you mean 'xavier_uniform' or 'xavier_normal'?"),
    (MATRIX, "foo", "", f"unknown initializer 'foo'; {KNOWN}"),
    (MATRIX, "XavierUniform", "",
     "unknown initializer 'XavierUniform'; did you mean 'xavier_uniform'?"),
    (MATRIX, "3", "", "expected an initializer's name or a mapping with its name, found 3"),
    (MATRIX, "{stddev: 1}", "",
     "an initializer needs 'name', which is missing, as in {name: normal, std: 0.02}"),
    (MATRIX, "{name: variance_scaling, scale: 0}", "", "expected a scale above 0, found 0.0"),
    (MATRIX, "{name: variance_scaling, scale: -1}", "", "expected a scale above 0, found -1.0"),
    (MATRIX, "{name: variance_scaling, mode: fan}", "mode",
     "expected 'fan_in', 'fan_out', 'fan_avg' or 'fan_geo_avg', found 'fan'"),
    (MATRIX, "{name: variance_scaling, distribution: gamma}", "distribution",
     "expected 'truncated_normal', 'untruncated_normal' or 'uniform', found 'gamma'"),
    (MATRIX, "{name: variance_scaling, distribution: normal}", "distribution",
     "expected 'truncated_normal', 'untruncated_normal' or 'uniform', found 'normal'"),
    (MATRIX, "{name: glorot_uniform, gain: 1}", "gain*",
     "unknown key for glorot_uniform; known: fans_of, name, seed"),
    (MATRIX, "{name: random_uniform, minval: 1, maxval: 1}", "",
     "expected minval below maxval, found 1.0 and 1.0"),
    (MATRIX, "{name: random_normal, stddev: 0}", "", "expected stddev above 0, found 0.0"),
    (MATRIX, "{name: random_normal, std: 1}", "std*",
     "unknown key for random_normal; did you mean 'stddev'?"),
    (MATRIX, "{name: truncated_normal, stddev: -1}", "", "expected stddev above 0, found -1.0"),
    (MATRIX, "{name: constant, value: .inf}", "value", "expected a finite number, found inf"),
    (MATRIX, "{name: constant, value: .nan}", "value", "expected a finite number, found nan"),
    (MATRIX, "{name: constant, value: true}", "value", "expected a number, found true"),
    (MATRIX, "{name: constant, value: [1]}", "value", "expected a number, found [1]"),
    (VECTOR, "identity", "", "identity needs a matrix, found shape [4]"),
    (CONV, "identity", "", "identity needs a matrix, found shape [3, 3, 4, 6]"),
    (VECTOR, "eye", "", "eye needs a matrix, found shape [4]"),
    (VECTOR, "orthogonal", "", "orthogonal needs two axes or more, found shape [4]"),
    (MATRIX, "{name: orthogonal, gain: 0}", "", "expected gain above 0, found 0.0"),
    (MATRIX, "{name: orthogonal, gain: rel}", "gain",
     "expected a number or a nonlinearity, found 'rel'; did you mean 'relu'?"),
    (MATRIX, "{name: orthogonal, gain: 2*relu}", "gain",
     "'2*relu' uses the unknown name 'relu'; there are no dims"),
    (MATRIX, "delta_orthogonal", "", "delta_orthogonal needs 3 to 5 axes, found shape [4, 6]"),
    (KERNEL, "delta_orthogonal", "", "delta_orthogonal needs out >= in, found shape [3, 6, 4]"),
    (CONV, "{name: delta_orthogonal, scale: -1}", "", "expected scale above 0, found -1.0"),
    (MATRIX, "{name: xavier_uniform, gain: 0}", "", "expected gain above 0, found 0.0"),
    (MATRIX, "{name: xavier_normal, gain: swish}", "gain",
     "expected a number or a nonlinearity, found 'swish'; known: conv1d, conv2d, conv3d, "
     "conv_transpose1d, conv_transpose2d, conv_transpose3d, leaky_relu, linear, relu, selu, "
     "sigmoid, tanh"),
    (MATRIX, "{name: kaiming_uniform, mode: fan_avg}", "mode",
     "expected 'fan_in' or 'fan_out', found 'fan_avg'"),
    (MATRIX, "{name: kaiming_normal, nonlinearity: gelu}", "nonlinearity",
     "unknown value 'gelu'; did you mean 'selu'?"),
    (MATRIX, "{name: trunc_normal, a: 2, b: 2}", "", "expected a below b, found 2.0 and 2.0"),
    (MATRIX, "{name: trunc_normal, std: 0}", "", "expected std above 0, found 0.0"),
    (MATRIX, "{name: trunc_normal, std: 0.1, a: 1, b: 2}", "",
     "[1.0, 2.0] lies more than 5 std from the mean, found std 0.1"),
    (MATRIX, "{name: trunc_normal, mean: 9}", "",
     "[-2.0, 2.0] lies more than 5 std from the mean, found std 1.0"),
    (MATRIX, "{name: normal, std: 0}", "", "expected std above 0, found 0.0"),
    (MATRIX, "{name: uniform, a: 1, b: 0}", "", "expected a below b, found 1.0 and 0.0"),
    (MATRIX, "dirac", "", "dirac needs 3 to 5 axes, found shape [4, 6]"),
    (CONV, "{name: dirac, groups: 2}", "", "2 groups do not divide the 3 outputs"),
    (CONV, "{name: dirac, groups: 0}", "groups",
     "expected a positive integer below 2**40, found 0"),
    (MATRIX, "sparse", "", "sparse needs 'sparsity', which is missing"),
    (MATRIX, "{name: sparse, sparsity: 1.5}", "", "expected a sparsity from 0 to 1, found 1.5"),
    (MATRIX, "{name: sparse, sparsity: 0.5, std: 0}", "", "expected std above 0, found 0.0"),
    (VECTOR, "{name: sparse, sparsity: 0.5}", "", "sparse needs a matrix, found shape [4]"),
    (MATRIX, "{name: ones, seed: 3}", "seed*", "ones draws nothing, so it takes no seed"),
    ("shape: [1, 1, 1, 1, 4, 6]", "he_uniform", "",
     "a tensor of shape [1, 1, 1, 1, 4, 6] needs axes, one letter per axis "
     "(I input, O output, B batch, others receptive field), such as IO or HWIO"),
    ("shape: [4], fans: torch", "xavier_uniform", "",
     "torch computes no fans below rank 2, found shape [4]"),
]  # fmt: skip


@pytest.mark.parametrize(("tensor", "initializer", "key", "message"), MISTAKES)
def test_mistakes(
    run: Run, tmp_path: Path, tensor: str, initializer: str, key: str, message: str
) -> None:
    """Write one mistake, marked by its key, or by its key's own place where a star follows."""
    line = f"  w: {{{tensor}, initializer: {initializer}}}"
    start = line.index("initializer: ") + len("initializer: ")
    column, where = start + 1, "tensors.w.initializer"
    if key:
        name = key.removesuffix("*")
        column = line.index(f"{name}: ", start) + 1
        column += 0 if key.endswith("*") else len(f"{name}: ")
        where += f".{name}"
    path = tmp_path / "x.yaml"
    path.write_text(f"tensors:\n{line}\n", encoding="utf-8")
    assert run("plan", path) == (2, "", f"glorot: {path}:2:{column}: {where}: {message}\n")


def test_absolute_bounds_far_beyond_the_stddev_are_noticed(planned: Planned) -> None:
    entry = {"shape": [4], "initializer": {"name": "trunc_normal", "std": 0.02}}
    assert planned(tensors={"w.{i}": {**entry, "repeat": {"i": 3}}}).notices == (
        "w.0 (and 2 more): [-2.0, 2.0] is absolute and cuts nothing at std 0.02",
    )
    entry = {"shape": [4], "initializer": {"name": "trunc_normal", "std": 0.5}}
    assert planned(tensors={"w": entry}).notices == ()


def test_orthogonal_kernels_are_noticed(planned: Planned) -> None:
    entry = {"shape": [4, 4], "axes": "IO", "initializer": "orthogonal"}
    assert planned(tensors={"w": entry}).notices == (
        "w: orthogonal kernels have the same bits only with the same BLAS library",
    )


def test_a_kernel_too_large_for_memory_is_refused(planned: Planned, tmp_path: Path) -> None:
    entry = {"shape": [2**20, 2**20], "axes": "IO", "initializer": "orthogonal"}
    plan = planned(tensors={"w": entry})
    with pytest.raises(glorot.GlorotError) as caught:
        glorot.draw(plan, "w")
    assert str(caught.value).startswith(
        "'w': orthogonal of shape [1048576, 1048576] needs 35.2 TB of memory, "
    )
    with pytest.raises(glorot.GlorotError):
        glorot.write_weights(plan, tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []


# What is explained.

GLOROT = """\
glorot_uniform, named as in Keras

U(-limit, limit), limit = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010; Keras 3).
"""
TRUNC = """\
trunc_normal, named as in torch

N(mean, std**2) cut to [a, b], which are values, not multiples of std (torch.nn.init).

parameters:
  mean = 0.0
  std = 1.0
  a = -2.0
  b = 2.0
"""
SPARSE = """\
sparse, named as in torch

N(0, std**2), ceil(sparsity * rows) of each column 0 (Martens, 2010; torch.nn.init).

parameters:
  sparsity, required
  std = 0.01
"""
CALCULATE_GAIN = """\
calculate_gain (torch.nn.init): the values that a gain may be given as by name
  linear: 1.0
  conv1d: 1.0
  conv2d: 1.0
  conv3d: 1.0
  conv_transpose1d: 1.0
  conv_transpose2d: 1.0
  conv_transpose3d: 1.0
  sigmoid: 1.0
  tanh: 1.6666666666666667
  relu: 1.4142135623730951
  leaky_relu: 1.4141428569978354
  selu: 0.75
  leaky_relu of another slope a: sqrt(2 / (1 + a**2))
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("glorot_uniform", GLOROT),
        ("GlorotUniform", GLOROT),
        ("trunc_normal", TRUNC),
        ("sparse", SPARSE),
        ("calculate_gain", CALCULATE_GAIN),
    ],
)
def test_an_initializer_is_explained(run: Run, name: str, text: str) -> None:
    assert run("explain", name) == (0, text, "")


def test_every_initializer_is_explained(run: Run) -> None:
    for name, initializer in INITIALIZERS.items():
        code, out, err = run("explain", name)
        assert (code, err) == (0, "")
        assert out.startswith(f"{name}, named as in {initializer.source}\n\n")


def test_an_unknown_initializer_is_not_explained(run: Run) -> None:
    message = "glorot: unknown initializer 'zero'; did you mean 'zeros'?\n"
    assert run("explain", "zero") == (2, "", message)


SPEC = """\
seed: 7
dims: {d: 8, layers: 2}
initializers:
  - "*.bias": zeros
  - "*.proj.weight": {name: normal, std: 0.02 / sqrt(2*layers)}
input_shape: [3]
layers:
  - {type: Dense, units: 5}
tensors:
  emb: {shape: [10, d], axes: IO, initializer: {name: he_normal, seed: 9}}
  "h.{i}.proj.weight": {shape: [d, d], axes: IO, repeat: {i: layers}}
  "h.{i}.proj.bias": {shape: [d], repeat: {i: layers}}
  head: {tie: emb}
  conv: {shape: [3, 3, 4, 8], axes: HWIO, initializer: {name: kaiming_uniform, a: 1}}
  tanh: {shape: [4, 8], axes: IO, initializer: {name: xavier_normal, gain: tanh}}
"""
EXPLAINED = {
    "dense/kernel": """\
dense/kernel: shape [3, 5], float32
  glorot_uniform(), decided by the dialect's default
  fan_in = 3, fan_out = 5 (keras rule)
  s = 1.0 / max(1, fan_avg 4.0) = 0.25
  limit = sqrt(3 * 0.25) = 0.8660254037844386
  expected std 0.5
  drawn from aes-ctr with seed 7
""",
    "emb": """\
emb: shape [10, 8], float32
  he_normal(), decided by its entry
  fan_in = 10, fan_out = 8 (exact rule)
  s = 2.0 / max(1, fan_in 10.0) = 0.2
  stddev = sqrt(0.2) / 0.8796256610342398 = 0.508413539202729
  expected std 0.4472135954999579
  drawn from aes-ctr with seed 9
""",
    "h.1.proj.weight": """\
h.1.proj.weight: shape [8, 8], float32
  normal(mean=0.0, std=0.01), decided by the rule '*.proj.weight'
  std = 0.02 / sqrt(2*layers) = 0.01
  expected std 0.01
  drawn from aes-ctr with seed 7
""",
    "h.1.proj.bias": """\
h.1.proj.bias: shape [8], float32
  zeros(), decided by the rule '*.bias'
  expected std 0.0
""",
    "head": "head: shape [10, 8], float32, tied to emb: not drawn, stored or counted\n",
    "conv": """\
conv: shape [3, 3, 4, 8], float32
  kaiming_uniform(a=1.0, mode='fan_in', nonlinearity='leaky_relu'), decided by its entry
  fan_in = 36, fan_out = 72 (exact rule)
  gain = calculate_gain(leaky_relu, 1.0) = 1.0
  std = 1.0 / sqrt(fan_in 36) = 0.16666666666666666
  bound = sqrt(3) * 0.16666666666666666 = 0.28867513459481287
  expected std 0.16666666666666666
  drawn from aes-ctr with seed 7
""",
    "tanh": """\
tanh: shape [4, 8], float32
  xavier_normal(gain=1.6666666666666667), decided by its entry
  gain = tanh = 1.6666666666666667
  fan_in = 4, fan_out = 8 (exact rule)
  std = 1.6666666666666667 * sqrt(2 / (4 + 8)) = 0.6804138174397717
  expected std 0.6804138174397717
  drawn from aes-ctr with seed 7
""",
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_a_tensor_is_explained(run: Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(SPEC, encoding="utf-8")
    assert run("explain", name, "--spec", path) == (0, EXPLAINED[name], "")


def test_set_changes_what_is_explained(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(SPEC, encoding="utf-8")
    code, out, _ = run("explain", "h.7.proj.weight", "--spec", path, "--set", "layers=8")
    assert code == 0
    assert "std=0.005" in out


def test_an_unknown_tensor_is_not_explained(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(SPEC, encoding="utf-8")
    assert run("explain", "embed", "--spec", path) == (
        2,
        "",
        "glorot: no tensor is named 'embed'; did you mean 'emb'?\n",
    )
