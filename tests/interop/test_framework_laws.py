"""Initialisers beside the frameworks' own: their laws by formula, and their draws by test."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.distributions import Distribution, Normal, TruncatedNormal, Uniform

pytestmark = pytest.mark.interop

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]

_SIZES = np.random.default_rng(30)


def _shape(rank: int) -> Shape:
    field = _SIZES.integers(1, 6, max(0, rank - 2)).tolist()
    return (*field, *_SIZES.integers(1, 300, 2).tolist())


# Ten matrices and twenty kernels of one, two and three spatial axes, in Keras's order of axes.
SHAPES: list[Shape] = [_shape(rank) for rank in (2, 2, 2, 3, 4, 5) for _ in range(5)]


def axes_of(shape: Shape) -> str:
    return "HWD"[: len(shape) - 2] + "IO"


def torch_shape(shape: Shape) -> Shape:
    return (shape[-1], shape[-2], *shape[:-2])


def torch_axes(shape: Shape) -> str:
    return "OI" + "HWD"[: len(shape) - 2]


def plan_of(initializer: object, shape: Shape, axes: str, **spec: Any) -> glorot.Plan:
    entry = {"shape": list(shape), "axes": axes, "initializer": initializer}
    return glorot.make_plan(glorot.load_spec({"seed": 2010, "tensors": {"w": entry}, **spec}))


def law_of(initializer: object, shape: Shape, axes: str, **spec: Any) -> Distribution:
    return plan_of(initializer, shape, axes, **spec)["w"].distribution


def test_there_are_thirty_shapes() -> None:
    assert len(SHAPES) == 30


# Keras: the real initialiser is asked for its configuration, and its compute_fans for the fans.

KERAS: list[tuple[str, dict[str, Any]]] = [
    ("glorot_uniform", {}),
    ("glorot_normal", {}),
    ("he_uniform", {}),
    ("he_normal", {}),
    ("lecun_uniform", {}),
    ("lecun_normal", {}),
    ("variance_scaling", {}),
    ("variance_scaling", {"scale": 0.3, "mode": "fan_out", "distribution": "uniform"}),
    ("variance_scaling", {"scale": 3.0, "mode": "fan_avg", "distribution": "untruncated_normal"}),
]


@pytest.mark.parametrize(("name", "arguments"), KERAS)
def test_laws_of_keras(keras: Any, name: str, arguments: dict[str, Any]) -> None:
    from keras.src.initializers.random_initializers import compute_fans

    real = keras.initializers.get({"class_name": name, "config": arguments})
    config = {"scale": real.scale, "mode": real.mode, "distribution": real.distribution}
    for shape in SHAPES:
        fan_in, fan_out = compute_fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}
        scale = config["scale"] / max(1.0, fan[config["mode"]])
        expected: Distribution
        if config["distribution"] == "uniform":
            limit = math.sqrt(3.0 * scale)
            expected = Uniform(-limit, limit)
        elif config["distribution"] == "truncated_normal":
            expected = TruncatedNormal(0.0, math.sqrt(scale) / 0.87962566103423978, -2.0, 2.0)
        else:
            expected = Normal(0.0, math.sqrt(scale))
        assert law_of({"name": name, **arguments}, shape, axes_of(shape)) == expected


def keras_arguments(keras: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Record what Keras's initialisers ask of its random functions."""
    from keras.src.initializers import random_initializers

    calls: list[dict[str, Any]] = []

    class Recorder:
        def __getattr__(self, function: str) -> Callable[..., None]:
            def record(shape: Shape, dtype: Any = None, seed: Any = None, **given: Any) -> None:
                calls.append({"function": function, **given})

            return record

    monkeypatch.setattr(random_initializers, "random", Recorder())
    return calls


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *KERAS,
        ("random_uniform", {}),
        ("random_uniform", {"minval": -1.0, "maxval": 3.0}),
        ("random_normal", {}),
        ("random_normal", {"mean": 1.0, "stddev": 0.3}),
        ("truncated_normal", {}),
        ("truncated_normal", {"mean": -1.0, "stddev": 0.3}),
    ],
)
def test_arguments_that_keras_draws_with(
    keras: Any, monkeypatch: pytest.MonkeyPatch, name: str, arguments: dict[str, Any]
) -> None:
    real = keras.initializers.get({"class_name": name, "config": arguments})
    calls = keras_arguments(keras, monkeypatch)
    for shape in SHAPES:
        calls.clear()
        real(shape, dtype="float32")
        law = law_of({"name": name, **arguments}, shape, axes_of(shape))
        match law:
            case Uniform(low=low, high=high):
                expected: dict[str, Any] = {"function": "uniform", "minval": low, "maxval": high}
            case Normal(centre=centre, stddev=stddev):
                expected = {"function": "normal", "mean": centre, "stddev": stddev}
            case TruncatedNormal(centre=centre, stddev=stddev, low=-2.0, high=2.0):
                expected = {"function": "truncated_normal", "mean": centre, "stddev": stddev}
        assert calls == [expected]


# torch: the real function is called on a tensor that records how it is filled.


def torch_fills(
    torch: Any, monkeypatch: pytest.MonkeyPatch, function: str, shape: Shape, **arguments: Any
) -> list[tuple[str, float, float]]:
    """Record the last step of an initialiser: uniform_(a, b) or normal_(mean, std)."""
    fills: list[tuple[str, float, float]] = []
    for name in ("uniform_", "normal_"):

        def record(
            tensor: Any, first: float, second: float, *, generator: Any = None, name: str = name
        ) -> Any:
            fills.append((name, first, second))
            return tensor

        monkeypatch.setattr(torch.Tensor, name, record)
    getattr(torch.nn.init, function)(torch.empty(shape), **arguments)
    monkeypatch.undo()
    return fills


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("xavier_uniform", {}),
        ("xavier_uniform", {"gain": 0.7}),
        ("xavier_normal", {}),
        ("xavier_normal", {"gain": 5.0 / 3}),
        ("kaiming_uniform", {}),
        ("kaiming_uniform", {"a": math.sqrt(5)}),
        ("kaiming_uniform", {"mode": "fan_out", "nonlinearity": "relu"}),
        ("kaiming_normal", {}),
        ("kaiming_normal", {"mode": "fan_out", "nonlinearity": "tanh"}),
        ("kaiming_normal", {"a": 0.25, "nonlinearity": "leaky_relu"}),
        ("normal", {}),
        ("normal", {"mean": 2.0, "std": 0.02}),
        ("uniform", {}),
        ("uniform", {"a": -0.3, "b": 0.1}),
    ],
)
def test_laws_of_torch(
    torch: Any, monkeypatch: pytest.MonkeyPatch, name: str, arguments: dict[str, Any]
) -> None:
    for keras_shape in SHAPES:
        shape, axes = torch_shape(keras_shape), torch_axes(keras_shape)
        fills = torch_fills(torch, monkeypatch, f"{name}_", shape, **arguments)
        for fans in ("exact", "torch"):
            law = law_of({"name": name, **arguments}, shape, axes, fans=fans)
            match law:
                case Uniform(low=low, high=high):
                    assert fills == [("uniform_", low, high)]
                case Normal(centre=centre, stddev=stddev):
                    assert fills == [("normal_", centre, stddev)]
                case _:
                    pytest.fail(f"{law} is neither uniform nor normal")


def test_gains_of_torch(torch: Any) -> None:
    from glorot_cli.initializers import GAINS, calculate_gain

    for nonlinearity, gain in GAINS.items():
        assert torch.nn.init.calculate_gain(nonlinearity) == gain
    for slope in (0.0, 0.01, 0.25, 1.0, math.sqrt(5)):
        assert torch.nn.init.calculate_gain("leaky_relu", slope) == calculate_gain(
            "leaky_relu", slope
        )


def test_fans_of_torch(torch: Any) -> None:
    for keras_shape in SHAPES:
        shape = torch_shape(keras_shape)
        real = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
        for fans in ("exact", "torch"):
            tensor = plan_of("xavier_normal", shape, torch_axes(keras_shape), fans=fans)["w"]
            assert tensor.fans == real


@pytest.mark.parametrize("groups", [1, 2])
def test_dirac_is_that_of_torch(torch: Any, groups: int) -> None:
    for shape in [(4, 2, 3), (6, 3, 3, 5), (2, 7, 4, 1), (8, 2, 2, 3, 4)]:
        real = torch.nn.init.dirac_(torch.empty(shape), groups=groups).numpy()
        axes = "OI" + "HWD"[: len(shape) - 2]
        plan = plan_of({"name": "dirac", "groups": groups}, shape, axes)
        assert np.array_equal(glorot.draw(plan, "w"), real)


def test_eye_and_identity_are_those_of_the_frameworks(torch: Any, keras: Any) -> None:
    for shape in [(3, 5), (5, 3), (4, 4)]:
        ours = glorot.draw(plan_of("eye", shape, "OI"), "w")
        assert np.array_equal(ours, torch.nn.init.eye_(torch.empty(shape)).numpy())
        ours = glorot.draw(plan_of({"name": "identity", "gain": 2.0}, shape, "IO"), "w")
        assert np.array_equal(ours, np.asarray(keras.initializers.Identity(2.0)(shape)))


# JAX: the real function draws, and its bounds or scale show in the draw.


def jax_draw(name: str, shape: Shape, **arguments: Any) -> Array:
    import jax

    initializer = getattr(jax.nn.initializers, name)(**arguments)
    return np.asarray(initializer(jax.random.key(2010), shape, "float32"), np.float64)


def as_ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Write JAX's arguments as glorot's: its "normal" is the one that is not truncated."""
    law = {"normal": "untruncated_normal"}.get(arguments["distribution"], arguments["distribution"])
    return {"name": "variance_scaling", **arguments, "distribution": law}


def unit_draw(distribution: str, shape: Shape) -> Array:
    """Draw what JAX's variance_scaling draws before it scales."""
    import jax

    key = jax.random.key(2010)
    if distribution == "uniform":
        return np.asarray(jax.random.uniform(key, shape, "float32", -1), np.float64)
    if distribution == "normal":
        return np.asarray(jax.random.normal(key, shape, "float32"), np.float64)
    return np.asarray(jax.random.truncated_normal(key, -2, 2, shape, "float32"), np.float64)


@pytest.fixture
def jax_scales(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Array]:
    """Make JAX's random functions give ones, so that its draws show the scale."""
    from jax._src import random

    def ones(key: Any, *arguments: Any, **keywords: Any) -> Any:
        return np.float32(1.0)

    for name in ("uniform", "normal", "truncated_normal"):
        monkeypatch.setattr(random, name, ones)
    return jax_draw


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg", "fan_geo_avg"])
@pytest.mark.parametrize("distribution", ["uniform", "normal", "truncated_normal"])
def test_laws_of_jax(jax_scales: Callable[..., Array], mode: str, distribution: str) -> None:
    """Compare scales to four roundings: JAX works in float32, in another order."""
    arguments = {"scale": 1.7, "mode": mode, "distribution": distribution}
    initializer = as_ours(arguments)
    for shape in SHAPES:
        real = float(jax_scales("variance_scaling", shape, **arguments))
        for fans in ("exact", "jax"):
            match law_of(initializer, shape, axes_of(shape), fans=fans):
                case Uniform(low=low, high=high):
                    assert low == -high
                    assert high == pytest.approx(real, rel=4 * 2.0**-23)
                case Normal(stddev=stddev):
                    assert stddev == pytest.approx(real, rel=4 * 2.0**-23)
                case TruncatedNormal(stddev=stddev, low=low, high=high):
                    assert (low, high) == (-2.0, 2.0)
                    assert stddev == pytest.approx(real, rel=4 * 2.0**-23)


@pytest.mark.parametrize("name", ["glorot", "he", "lecun"])
def test_presets_of_jax(jax_scales: Callable[..., Array], name: str) -> None:
    for shape in SHAPES[::3]:
        law = law_of(f"{name}_uniform", shape, axes_of(shape))
        assert isinstance(law, Uniform)
        real = float(jax_scales(f"{name}_uniform", shape))
        assert law.high == pytest.approx(real, rel=4 * 2.0**-23)
        cut = law_of(f"{name}_normal", shape, axes_of(shape))
        assert isinstance(cut, TruncatedNormal)
        real = float(jax_scales(f"{name}_normal", shape))
        assert cut.stddev == pytest.approx(real, rel=4 * 2.0**-23)


@pytest.mark.parametrize("distribution", ["uniform", "normal", "truncated_normal"])
def test_the_support_of_jax(distribution: str) -> None:
    """Check on real draws that what JAX draws lies where the law allows it."""
    arguments = {"scale": 1.7, "mode": "fan_geo_avg", "distribution": distribution}
    initializer = as_ours(arguments)
    for shape in ((40, 30), (3, 5, 4, 7)):
        real = np.abs(jax_draw("variance_scaling", shape, **arguments))
        match law_of(initializer, shape, axes_of(shape)):
            case Uniform(high=high):
                assert 0.9 * high < real.max() <= high * (1 + 2.0**-23)
            case TruncatedNormal(stddev=stddev):
                assert 1.8 * stddev < real.max() <= 2.0 * stddev * (1 + 2.0**-22)
            case Normal(stddev=stddev):
                assert 2.5 * stddev < real.max() < 6.0 * stddev


@pytest.mark.parametrize("shape", [(3, 4, 8), (4, 5, 5), (3, 2, 2, 7), (2, 5, 3, 1, 1)])
def test_delta_orthogonal_is_where_that_of_jax_is(shape: Shape) -> None:
    real = jax_draw("delta_orthogonal", shape, scale=2.0)
    plan = plan_of({"name": "delta_orthogonal", "scale": 2.0}, shape, axes_of(shape))
    ours = glorot.draw(plan, "w")
    assert np.array_equal(ours != 0.0, real != 0.0)
    rows = [np.asarray(w[tuple((n - 1) // 2 for n in shape[:-2])]) for w in (ours, real)]
    for matrix in rows:
        assert matrix @ matrix.T == pytest.approx(4.0 * np.eye(shape[-2]), abs=1e-5)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (3, 3, 4, 8), (1, 1, 4, 8)])
def test_orthogonal_sides_are_those_of_the_frameworks(keras: Any, torch: Any, shape: Shape) -> None:
    def sides(weights: Array) -> tuple[bool, bool]:
        matrix = weights.reshape(-1, weights.shape[-1]).astype(np.float64)
        return (
            np.allclose(matrix @ matrix.T, 4.0 * np.eye(len(matrix)), atol=1e-5),
            np.allclose(matrix.T @ matrix, 4.0 * np.eye(matrix.shape[1]), atol=1e-5),
        )

    ours = glorot.draw(plan_of({"name": "orthogonal", "gain": 2.0}, shape, axes_of(shape)), "w")
    real = np.asarray(keras.initializers.Orthogonal(2.0, seed=1)(shape))
    assert sides(ours) == sides(real) == sides(jax_draw("orthogonal", shape, scale=2.0))
    flipped = torch_shape(shape)
    plan = plan_of({"name": "orthogonal", "gain": 2.0}, flipped, torch_axes(shape))
    ours = glorot.draw(plan, "w").reshape(flipped[0], -1).T
    tensor = torch.nn.init.orthogonal_(torch.empty(flipped), 2.0)
    assert sides(ours) == sides(tensor.numpy().reshape(flipped[0], -1).T)


# Two-sample tests. Each draws 2**16 values on either side, with fixed seeds; a pair of equal laws
# is called different with a chance of one in a million: sqrt(-log(1e-6 / 2) / 2) * sqrt(2 / n).

COUNT = 1 << 16
THRESHOLD = math.sqrt(-math.log(1e-6 / 2.0) / 2.0) * math.sqrt(2.0 / COUNT)
SIDE = 256


def distance(first: Array, second: Array) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples."""
    first, second = np.sort(first.ravel()), np.sort(second.ravel())
    points = np.concatenate([first, second])
    return float(
        np.abs(
            np.searchsorted(first, points, "right") / first.size
            - np.searchsorted(second, points, "right") / second.size
        ).max()
    )


def ours(initializer: object, axes: str = "IO") -> Array:
    return glorot.draw(plan_of(initializer, (SIDE, SIDE), axes), "w")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("glorot_uniform", {}), ("glorot_normal", {}), ("he_uniform", {}), ("he_normal", {}),
        ("lecun_uniform", {}), ("lecun_normal", {}), ("random_uniform", {}), ("random_normal", {}),
        ("truncated_normal", {}), ("truncated_normal", {"mean": 1.0, "stddev": 3.0}),
        ("variance_scaling", {"distribution": "untruncated_normal"}), ("orthogonal", {"gain": 2.0}),
    ],
)  # fmt: skip
def test_draws_of_keras(keras: Any, name: str, arguments: dict[str, Any]) -> None:
    config = {"seed": 7, **arguments}
    real = keras.initializers.get({"class_name": name, "config": config})((SIDE, SIDE))
    assert distance(ours({"name": name, **arguments}), np.asarray(real)) < THRESHOLD


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("xavier_uniform", {}), ("xavier_normal", {"gain": 2.0}), ("kaiming_uniform", {"a": 1.0}),
        ("kaiming_normal", {}), ("normal", {"mean": 1.0, "std": 0.3}), ("uniform", {}),
        ("trunc_normal", {}), ("trunc_normal", {"std": 0.02}),
        ("trunc_normal", {"mean": 0.5, "std": 0.7, "a": -1.0, "b": 1.0}),
        ("trunc_normal", {"a": 1.0, "b": 3.0}), ("sparse", {"sparsity": 0.3, "std": 2.0}),
        ("orthogonal", {}),
    ],
)  # fmt: skip
def test_draws_of_torch(torch: Any, name: str, arguments: dict[str, Any]) -> None:
    torch.manual_seed(7)
    real = torch.empty(SIDE, SIDE)
    getattr(torch.nn.init, f"{name}_")(real, **arguments)
    mine = ours({"name": name, **arguments}, "OI")
    assert distance(mine, real.numpy()) < THRESHOLD
    if name == "sparse":
        zeros = [np.count_nonzero(w == 0.0, axis=0).tolist() for w in (mine, real.numpy())]
        assert zeros[0] == zeros[1]


@pytest.mark.parametrize("mode", ["fan_avg", "fan_geo_avg"])
@pytest.mark.parametrize("distribution", ["uniform", "normal", "truncated_normal"])
def test_draws_of_jax(mode: str, distribution: str) -> None:
    arguments = {"scale": 2.0, "mode": mode, "distribution": distribution}
    real = jax_draw("variance_scaling", (SIDE, SIDE), **arguments)
    assert distance(ours(as_ours(arguments)), real) < THRESHOLD


def test_the_two_sample_test_can_tell_laws_apart(torch: Any) -> None:
    torch.manual_seed(7)
    real = torch.nn.init.normal_(torch.empty(SIDE, SIDE), std=0.02).numpy()
    assert distance(ours({"name": "truncated_normal", "stddev": 0.02}), real) > THRESHOLD
    assert distance(ours({"name": "normal", "std": 0.0205}), real) < 2 * THRESHOLD
    assert distance(ours({"name": "normal", "std": 0.0215}), real) > THRESHOLD
