"""What inspect names as a start, and what it withholds: p-values, few elements, layers, padding."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import glorot_cli as glorot
from benchmarks import trained
from glorot_cli.checks.known_starts import Candidates, known_starts
from glorot_cli.goodness_of_fit.fit import Fit
from glorot_cli.goodness_of_fit.higher_moments import Standardised
from glorot_cli.goodness_of_fit.layers import layer_of
from glorot_cli.goodness_of_fit.structures import zero_rows, zero_runs

Array = np.ndarray[Any, np.dtype[Any]]
Run = Callable[..., tuple[int, str, str]]

# Fixed seeds: what follows are regression tests, not tests of chance.
RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def inspected(**arrays: Any) -> dict[str, Any]:
    held = {name: np.ascontiguousarray(a, np.float32) for name, a in arrays.items()}
    safetensors.numpy.save_file({n.replace("__", "."): a for n, a in held.items()}, "x.safetensors")
    return {tensor.name: tensor for tensor in glorot.inspect_weights("x.safetensors").tensors}


def names(**arrays: Any) -> dict[str, list[str]]:
    return {name: [fit.distribution for fit in t.fits] for name, t in inspected(**arrays).items()}


def test_an_old_name_stays() -> None:
    assert Fit("normal", 1.0, {}).law == "normal"


def test_five_values_close_together_are_no_uniform_kernel() -> None:
    # The limit of a kernel from 5 to 1 is 1.
    for values in ([0.0, 0.01, 0.02, 0.015, 0.005], [0.5, 0.51, 0.52, 0.515, 0.505]):
        for kernel in (np.array([values]), np.array([values]).T):
            assert names(w=kernel) == {"w": []}
    assert "glorot_uniform" in names(w=np.array([[-0.7, 0.2, 0.9, -0.3, 0.4]]))["w"]


def test_free_parameters_need_a_thousand_elements() -> None:
    for draw in (
        lambda n: RNG.normal(1.0, 0.3, n),
        lambda n: RNG.uniform(2.0, 3.0, n),
        lambda n: np.clip(RNG.normal(0.0, 0.3, n), -9, 9),
    ):
        found = inspected(few=draw(999), many=draw(1000))
        assert found["few"].fits == []
        assert found["few"].start.best is None
        assert len(found["many"].fits) == 1


@pytest.mark.parametrize("size", [1, 5, 64, 300, 999])
def test_trained_vectors_have_no_name(size: int) -> None:
    for spread in (1e-4, 0.02, 1.0):
        assert names(b=RNG.normal(0.0, spread, size)) == {"b": []}


def test_a_lone_element_is_a_constant_if_a_person_wrote_it() -> None:
    for value, name in ((0.0, "zeros"), (1.0, "ones"), (0.25, "constant"), (0.001, "constant")):
        assert names(s=np.full((), value)) == {"s": [name]}
    assert names(s=np.full(1, 0.0312741)) == {"s": []}
    assert names(s=np.full(2, 0.0312741)) == {"s": ["constant"]}


def cut_normal(low: float, high: float, size: int) -> Array:
    drawn = RNG.normal(size=40 * size)
    return drawn[(drawn > low) & (drawn < high)][:size]


@pytest.mark.parametrize(
    ("low", "high"),
    [(-1.0, 1.0), (-1.5, 1.5), (-2.0, 2.0), (-2.5, 2.5), (-3.0, 3.0), (-1.0, 2.0), (0.0, 2.0)],
)
def test_a_normal_cut_anywhere_is_truncated(low: float, high: float) -> None:
    for centre in (0.0, 0.7):
        (fit,) = inspected(w=centre + 0.02 * cut_normal(low, high, 30_000))["w"].fits
        assert fit.distribution == "truncated_normal"
        assert list(fit.parameters) == ["mean", "stddev", "low", "high"]
        assert fit.parameters["stddev"] == pytest.approx(0.02, rel=0.1)
        assert fit.parameters["low"] == pytest.approx(centre + 0.02 * low, abs=4e-4)
        assert fit.parameters["high"] == pytest.approx(centre + 0.02 * high, abs=4e-4)
        assert fit.parameters["mean"] == pytest.approx(centre, abs=3e-3)


def test_tails_speak_against_a_normal() -> None:
    # Kolmogorov and Smirnov's distance alone would let these pass.
    assert names(w=RNG.standard_t(6, 5000), v=RNG.normal(size=5000)) == {"w": [], "v": ["normal"]}
    heavy = Standardised.of(np.array([-1e200, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1e200]))
    assert heavy == pytest.approx((0.0, 4.0))


@pytest.mark.parametrize(
    ("rows", "text"), [((0,), "; row 0 zeros"), ((7,), "; row 7 zeros"), ((3, 4), "; 2 rows zeros")]
)
def test_padding_rows_stand_beside_the_start_of_the_rest(
    rows: tuple[int, ...], text: str, run: Run
) -> None:
    table = RNG.normal(0.0, 0.02, (1500, 40))
    table[list(rows)] = 0.0
    found = inspected(w=table)["w"]
    assert [fit.distribution for fit in found.fits] == ["normal"]
    assert found.fits[0].parameters == pytest.approx({"mean": 0.0, "stddev": 0.02}, rel=0.01)
    assert found.zero_rows == rows
    assert f"normal{text}" in run("inspect", "x.safetensors")[1]
    (tensor,) = json.loads(run("inspect", "x.safetensors", "--json")[1])["files"][0]["tensors"]
    assert tensor["zero_rows"] == list(rows)


def test_padding_of_what_is_not_about_zero() -> None:
    uniform = RNG.uniform(0.0, 1.0, (300, 20))
    ones = np.ones((5, 8))
    uniform[2] = ones[4] = 0.0
    found = inspected(u=uniform, o=ones)
    assert [f.distribution for f in found["u"].fits] == ["uniform"]
    assert [f.distribution for f in found["o"].fits] == ["ones"]
    assert (found["u"].zero_rows, found["o"].zero_rows) == ((2,), (4,))
    assert inspected(z=np.zeros((3, 4)))["z"].zero_rows == ()


@pytest.mark.parametrize("size", [1, 3, 4, 5, 7, 12, 30])
def test_zero_rows_are_found_whatever_the_blocks(size: int) -> None:
    values = RNG.normal(size=(6, 5))
    values[[0, 3, 5]] = 0.0
    values[4, :4] = 0.0
    flat = values.reshape(-1)
    runs = [zero_runs(flat[i : i + size], i, 5) for i in range(0, 30, size)]
    assert zero_rows(runs, 5) == (0, 3, 5)


@pytest.mark.parametrize(
    ("kernel", "bias"),
    [
        ("dense/kernel", "dense/bias"), ("0.weight", "0.bias"), ("w1", "b1"), ("W", "b"),
        ("fc1_weight", "fc1_bias"), ("lstm.weight_ih_l0", "lstm.bias_ih_l0"),
        ("attn.in_proj_weight", "attn.in_proj_bias"), ("coefs_0", "intercepts_0"),
        ("layers/dense/vars/0", "layers/dense/vars/1"), ("kernel:0", "bias:0"),
    ],
)  # fmt: skip
def test_a_layer_is_known_by_its_names(kernel: str, bias: str) -> None:
    assert layer_of(kernel) == layer_of(bias) is not None


@pytest.mark.parametrize("name", ["pos_embed", "model.cls_token", "he", "web", "a/w0/x"])
def test_other_names_have_no_layer(name: str) -> None:
    assert layer_of(name) is None


def test_a_kernel_beside_a_trained_bias_is_not_named(run: Run) -> None:
    limit = math.sqrt(6 / 160)
    kernel = RNG.uniform(-limit, limit, (60, 100))
    found = inspected(a__weight=kernel, a__bias=RNG.normal(0, 1e-3, 60), b__weight=kernel)
    start = found["a.weight"].start
    assert (start.fits, start.best.distribution, start.p_value) == ([], "glorot_uniform", 1.0)
    assert start.withheld_by == "a.bias"
    assert "glorot_uniform" in [fit.distribution for fit in found["b.weight"].fits]
    assert "not a known start, nor is a.bias  1" in run("inspect", "x.safetensors")[1]
    fresh = inspected(a__weight=kernel, a__bias=np.zeros(60))
    assert all(tensor.fits for tensor in fresh.values())


def test_a_bias_of_torch_takes_its_limit_from_the_weight() -> None:
    limit = 1 / math.sqrt(64)
    arrays = {
        "a__weight": RNG.uniform(-limit, limit, (40, 64)), "a__bias": RNG.uniform(-limit, limit, 40)
    }  # fmt: skip
    assert names(**arrays)["a.bias"] == ["torch_linear"]
    assert names(**{**arrays, "a__bias": arrays["a__bias"] * 3}) == {"a.bias": [], "a.weight": []}


def test_the_bias_of_an_lstm() -> None:
    bias = np.repeat([0.0, 1.0, 0.0, 0.0], 8)
    assert names(bias=bias) == {"bias": ["unit_forget_bias"]}
    assert names(bias=bias[::-1]) == {"bias": []}


def test_p_values_are_corrected_for_tests_and_tensors() -> None:
    def start(quality: float, others: int) -> Any:
        good = Candidates("g", 5000, [Fit("he_normal", 1.0, {})], True, None)
        fit = Fit("glorot_uniform", quality, {})
        return known_starts([Candidates("x", 5000, [fit], True, None), *[good] * others])[0]

    assert start(0.002, 0).p_value == pytest.approx(0.012)
    assert [bool(start(0.002, n).fits) for n in (0, 1)] == [True, True]
    assert [bool(start(0.0016, n).fits) for n in (0, 1)] == [False, True]
    assert start(0.0016, 0).best.distribution == "glorot_uniform"
    assert start(0.5, 9).p_value == 1.0


def test_weak_fits_do_not_stand_against_most_of_a_file() -> None:
    def named(size: int, name: str) -> bool:
        unknown = Candidates("u", 5000, [], True, None)
        one = Candidates("x", size, [Fit(name, 1.0, {})], True, None)
        return bool(known_starts([one, unknown, unknown])[0].fits)

    assert not named(999, "glorot_uniform")
    assert named(1000, "glorot_uniform")
    assert not named(9_999, "normal")
    assert named(10_000, "normal")


def test_small_networks_are_told_from_their_starts() -> None:
    # A regression test on two networks; benchmarks/trained.py trains 20.
    table = list(trained.confusion_table(2, (1, 50), show=False))[2:]
    assert table == [
        "| 0 | 4 of 4 | 1 of 1 | 5 of 5 | 2 of 2 |",
        "| 1 | 0 of 4 | 0 of 1 | 0 of 5 | 0 of 2 |",
        "| 50 | 0 of 4 | 0 of 1 | 0 of 5 | 0 of 2 |",
    ]
