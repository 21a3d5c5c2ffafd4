"""Several kernels in a tensor: lists for fused pieces, names of indices, each kernel by itself."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR
from safetensors import safe_open
from safetensors.numpy import save_file

import glorot_cli as glorot
from glorot_cli.distributions import Cut, Normal, Pieces, Uniform
from glorot_cli.drawing import drawer
from glorot_cli.dtypes import numpy_dtype
from glorot_cli.streams.pieces import Layout
from tests.test_starts import SEED, Array, alone, drawn, is_orthogonal

Run = Callable[..., tuple[int, str, str]]
NORMAL = {"name": "normal", "std": 0.5}


def one(entry: dict[str, Any], **top: Any) -> Array:
    return drawn({**top, "tensors": {"t": entry}})["t"]


def refused(entry: dict[str, Any], **top: Any) -> str:
    with pytest.raises(glorot.SpecError) as caught:
        glorot.make_plan(glorot.load_spec({"seed": 1, **top, "tensors": {"t": entry}}))
    return str(caught.value)


LAYOUTS: list[tuple[tuple[int, ...], tuple[Cut, ...]]] = [
    ((6, 5), (Cut(0, 3),)),
    ((5, 6), (Cut(1, 3),)),
    ((4, 3, 5), (Cut(0, 4, True),)),
    ((3, 4, 5), (Cut(1, 4, True),)),
    ((3, 5, 4), (Cut(2, 4, True),)),
    ((2, 3, 6, 4), (Cut(0, 2, True), Cut(2, 3))),
    ((2, 6, 3, 2), (Cut(0, 2, True), Cut(1, 2), Cut(3, 2, True))),
    ((1, 7), (Cut(0, 1, True),)),
]


@pytest.mark.parametrize(("shape", "cuts"), LAYOUTS)
def test_elements_are_parted_as_numpy_parts_them(
    shape: tuple[int, ...], cuts: tuple[Cut, ...]
) -> None:
    size = int(np.prod(shape))
    index = np.arange(size).reshape(shape)
    kernels, firsts = np.empty(size, int), np.empty(size, int)
    places = itertools.product(*(range(cut.count) for cut in cuts))
    for number, place in enumerate(places):
        part = index
        for cut, at in zip(cuts, place, strict=True):
            part = np.split(part, cut.count, axis=cut.axis)[at]
        kernels[part.reshape(-1)] = number
        firsts[part.reshape(-1)] = np.arange(part.size)
    layout = Layout(Pieces((Normal(0.0, 1.0),), cuts), shape)
    for first, stop in ((0, size), (1, size), (size // 3, size - 1)):
        seen = np.full((2, stop - first), -1)
        for kernel, at, where in layout.parts(first, stop - first):
            count = seen[0][where].size
            seen[0][where], seen[1][where] = kernel, np.arange(at, at + count)
        np.testing.assert_array_equal(seen[0], kernels[first:stop])
        np.testing.assert_array_equal(seen[1], firsts[first:stop])


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float8_e4m3fn"])
@pytest.mark.parametrize("axes", ["OI", "IO", "BOI", "BIO", "IOB", "OBI"])
@pytest.mark.parametrize("wide", [1, 160])
def test_any_block_of_a_tensor_of_pieces_is_the_same(dtype: str, axes: str, wide: int) -> None:
    sizes = {"B": 3, "O": 12 * wide, "I": 8}
    entry = {
        "shape": [sizes[role] for role in axes],
        "axes": axes,
        "fused": 4,
        "dtype": dtype,
        "initializer": ["zeros", "orthogonal", NORMAL, {"name": "uniform", "a": -1, "b": 3}],
    }
    plan = glorot.make_plan(glorot.load_spec({"seed": SEED, "tensors": {"t": entry}}))
    (tensor,) = plan.tensors
    whole = glorot.draw(plan, "t").reshape(-1)
    draw = drawer(tensor)
    for first, stop in ((0, 7), (5, 29), (40, 96), (whole.size - 9, whole.size)):
        part = np.empty(stop - first, numpy_dtype(dtype))
        draw(first, part)
        assert part.tobytes() == whole[first:stop].tobytes()
    pieces = np.split(whole.reshape(tensor.shape), 4, axis=axes.index("O"))
    assert not pieces[0].any()
    words = alone("t", tensor.shape, NORMAL, axes=axes, dtype=dtype)
    expected = np.split(words, 4, axis=axes.index("O"))[2]
    assert pieces[2].tobytes() == expected.tobytes()
    if dtype == "float64":
        batch = axes.find("B")
        kernels = [pieces[1]] if batch < 0 else np.moveaxis(pieces[1], batch, 0)
        assert all(map(is_orthogonal, kernels))


def test_an_orthogonal_kernel_has_the_key_of_its_number() -> None:
    found = one({"shape": [2, 4, 4], "axes": "BIO", "initializer": "orthogonal"})
    key = hashlib.sha256(b"glorot/1\n3\nt\n1").digest()[:16]
    stream = Cipher(AES128(key), CTR(bytes(16))).encryptor().update(bytes(8 * 16))
    words = np.frombuffer(stream, "<i8") >> 32
    from statistics import NormalDist

    p = (words.astype(np.float64) + 2.0**31 + 0.5) * 2.0**-32
    normals = np.array([NormalDist().inv_cdf(each) for each in p]).reshape(4, 4)
    q, r = np.linalg.qr(normals)
    np.testing.assert_allclose(found[1], q * np.sign(np.diagonal(r)), atol=1e-5)


@pytest.mark.parametrize(
    ("axes", "shape", "initializer"),
    [
        ("BIO", (3, 5, 5), "identity"),
        ("IBO", (5, 3, 5), "identity"),
        ("IOB", (5, 5, 3), "eye"),
        ("BOIHW", (3, 4, 4, 3, 3), "dirac"),
        ("BHWIO", (3, 3, 3, 4, 6), "delta_orthogonal"),
        ("HWIOB", (3, 3, 4, 6, 2), "delta_orthogonal"),
    ],
)
def test_each_kernel_along_a_batch_axis_is_as_one_alone(
    axes: str, shape: tuple[int, ...], initializer: str
) -> None:
    found = one({"shape": list(shape), "axes": axes, "initializer": initializer})
    batch = axes.index("B")
    for number, kernel in enumerate(np.moveaxis(found, batch, 0)):
        if initializer == "delta_orthogonal":
            centre = kernel[1, 1]
            assert is_orthogonal(centre)
            assert np.count_nonzero(kernel) == np.count_nonzero(centre)
            continue
        expected = alone("t", kernel.shape, initializer, axes=axes.replace("B", ""))
        np.testing.assert_array_equal(kernel, expected, str(number))


@pytest.mark.parametrize("initializer", ["orthogonal", "identity", "eye"])
def test_each_fused_piece_is_a_kernel(initializer: str) -> None:
    found = one({"shape": [6, 18], "axes": "IO", "fused": 3, "initializer": initializer})
    pieces = np.split(found, 3, axis=1)
    assert all(map(is_orthogonal, pieces))
    if initializer != "orthogonal":
        assert all((piece == np.eye(6)).all() for piece in pieces)


def test_dirac_of_a_grouped_convolution_is_that_of_its_groups() -> None:
    layer = {"type": "Conv2d", "in_channels": 8, "out_channels": 16, "kernel_size": 3, "groups": 4}
    top = {"dialect": "torch", "layers": [layer]}
    by_kernel = drawn({**top, "initializers": [{"*.weight": "dirac"}]})
    by_groups = drawn({**top, "initializers": [{"*.weight": {"name": "dirac", "groups": 4}}]})
    np.testing.assert_array_equal(by_kernel["0.weight"], by_groups["0.weight"])


def test_per_tensor_is_the_matrix_of_1_0_0() -> None:
    entry = {"shape": [4, 16, 16], "axes": "BIO"}
    whole = one({**entry, "initializer": {"name": "orthogonal", "per": "tensor"}})
    flat = alone("t", (64, 16), "orthogonal", axes="IO")
    np.testing.assert_array_equal(whole.reshape(64, 16), flat)
    np.testing.assert_array_equal(whole, one({**entry, "initializer": "orthogonal"}, per="tensor"))
    by_kernel = {"name": "orthogonal", "per": "kernel"}
    assert all(map(is_orthogonal, one({**entry, "initializer": by_kernel}, per="tensor")))


def test_keras_layers_and_framework_streams_take_the_tensor() -> None:
    layers = [{"type": "LSTM", "name": "lstm", "units": 8}]
    found = drawn({"input_shape": [5, 4], "layers": layers})["lstm/lstm_cell/recurrent_kernel"]
    assert is_orthogonal(found)
    entry = {"shape": [4, 4, 4], "axes": "BIO", "seed": 5, "initializer": "orthogonal"}
    np.testing.assert_array_equal(
        one(entry, rng="keras-numpy"), one(entry, rng="keras-numpy", per="tensor")
    )
    assert refused(entry, rng="keras-numpy", per="kernel") == (
        "<spec>: tensors.t: 't': the stream keras-numpy draws a tensor as one, not by its kernels"
    )


def test_pieces_without_chance_are_drawn_under_any_stream() -> None:
    entry = {
        "shape": [8],
        "axes": "O",
        "fused": 4,
        "initializer": ["zeros", "ones", "zeros", "ones"],
    }
    expected = [0.0, 0.0, 1.0, 1.0] * 2
    assert one(entry, rng="torch").tolist() == expected
    assert one(entry, rng="jax").tolist() == expected


def test_what_1_0_0_wrote_still_verifies(run: Run, tmp_path: Path) -> None:
    spec = {
        "seed": 3,
        "tensors": {"t": {"shape": [4, 16, 16], "axes": "BIO", "initializer": "orthogonal"}},
    }
    # The elements that 1.0.0 drew are the matrix of 64 x 16.
    values = alone("t", (64, 16), "orthogonal", axes="IO").reshape(4, 16, 16)
    claim = {"format": 1, "spec": spec, "stream": {"name": "aes-ctr", "version": 1}}
    old = tmp_path / "old.safetensors"
    save_file({"t": values}, old, {"glorot": json.dumps(claim)})
    assert run("verify", str(old))[0] == 0
    assert run("verify", str(old), "--statistics")[0] == 0
    save_file({"t": values}, old, {"glorot": json.dumps({**claim, "format": 2})})
    assert run("verify", str(old))[0] == 1
    save_file({"t": values}, old, {"glorot": json.dumps({**claim, "format": 3})})
    code, _, error = run("verify", str(old))
    assert code == 2
    assert "its provenance: it has the format 3; this version reads 1 and 2" in error


def test_statistics_see_each_kernel(run: Run, tmp_path: Path) -> None:
    spec = {
        "seed": 3,
        "tensors": {
            "orthogonal": {"shape": [4, 16, 16], "axes": "BIO", "initializer": "orthogonal"},
            "delta": {"shape": [2, 3, 3, 4, 8], "axes": "BHWIO", "initializer": "delta_orthogonal"},
            "qkv": {
                "shape": [64, 192], "axes": "IO", "fused": 3,
                "initializer": ["zeros", NORMAL, "glorot_uniform"],
            },
            "table": {
                "shape": [60, 64], "axes": "IO", "padding_idx": 7, "fused": 2,
                "initializer": ["ones", NORMAL],
            },
        },
    }  # fmt: skip
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec), "utf-8")
    good = tmp_path / "good.safetensors"
    assert run("init", str(path), "-o", str(good))[0] == 0
    assert run("verify", str(good), "--statistics")[0] == 0
    with safe_open(good, "numpy") as file:
        assert json.loads(file.metadata()["glorot"])["format"] == 2
        arrays = {name: file.get_tensor(name).copy() for name in file.keys()}  # noqa: SIM118
    arrays["orthogonal"][2] *= 1.5
    arrays["qkv"][0, 3] = 1.0
    arrays["qkv"][:, 64:128] *= 2.0
    arrays["table"][7, 40] = 0.5
    bad = tmp_path / "bad.safetensors"
    save_file(arrays, bad)
    code, out, _ = run("verify", str(bad), str(path), "--statistics")
    assert code == 1
    assert "kernel 2: products of its vectors are off" in out
    assert "kernel 0: expected 0 at [0, 3], found 1; 1 differ" in out
    assert "kernel 1: expected std 0.5, found" in out
    assert "kernel 1: 1 elements are not 0" in out


def test_a_padding_row_is_zero() -> None:
    entry = {"shape": [5, 3], "axes": "IO", "initializer": "normal"}
    plain = one(entry)
    for at in (2, -3, "5 - 3"):
        found = one({**entry, "padding_idx": at})
        assert found[2].tolist() == [0.0, 0.0, 0.0]
        np.testing.assert_array_equal(np.delete(found, 2, 0), np.delete(plain, 2, 0))


def test_an_index_names_any_axis() -> None:
    entry = {"shape": [4, 5, 6], "axes": "BIO"}
    spread = {"name": "normal", "std": "0.1 * (b + 1) * (o + 1)"}
    found = one({**entry, "index": ["b", None, "o"], "initializer": spread})
    standard = one({**entry, "initializer": "normal"}).astype(np.float64)
    std = 0.1 * np.arange(1, 5)[:, None, None] * np.arange(1, 7)
    np.testing.assert_allclose(found, std * standard, rtol=2e-7)
    gains = one({**entry, "index": "b", "initializer": {"name": "orthogonal", "gain": "b + 1"}})
    assert all(is_orthogonal(kernel, gain) for gain, kernel in enumerate(gains, 1))


def test_an_index_within_pieces() -> None:
    entry = {"shape": [3, 4, 8], "axes": "BIO", "fused": 2, "index": "layer"}
    found = one({**entry, "initializer": ["zeros", {"name": "constant", "value": "layer / 2"}]})
    expected = np.concatenate([np.zeros((3, 4, 4)), np.full((3, 4, 4), 0.5)], axis=2)
    expected[:, :, 4:] *= np.arange(3)[:, None, None]
    np.testing.assert_array_equal(found, expected)


PIECES = {"shape": [4, 9], "axes": "IO", "fused": 3}
MISTAKES: list[tuple[dict[str, Any], str]] = [
    (
        {**PIECES, "initializer": ["zeros", "ones"]},
        "expected 3 initializers, one for each fused piece, found 2",
    ),
    (
        {"shape": [4, 9], "axes": "IO", "initializer": ["zeros", "ones"]},
        "expected one initializer, found a list, which is for the pieces of a fused tensor",
    ),
    (
        {**PIECES, "initializer": ["zeros", "ones", {"name": "normal", "seed": 3}]},
        "a piece takes no seed of its own; seed the tensor",
    ),
    ({**PIECES, "initializer": ["zeros", "ones", "nrmal"]}, "unknown initializer 'nrmal'"),
    (
        {"shape": [4, 9], "axes": "IO", "index": "b", "initializer": "zeros"},
        "a lone name is for the one B axis, found axes 'IO'",
    ),
    (
        {"shape": [4, 9], "axes": "IO", "index": ["a"], "initializer": "zeros"},
        "expected a name or null for each of the 2 axes of shape [4, 9], found 1",
    ),
    (
        {"shape": [4, 9], "axes": "IO", "index": ["a", "a"], "initializer": "zeros"},
        "two axes have the index 'a'; choose another",
    ),
    (
        {"shape": ["d", 9], "axes": "IO", "index": ["d", None], "initializer": "zeros"},
        "the index 'd' is the name of a param, a dim or a repeat; choose another",
    ),
    (
        {"shape": [4, 9], "axes": "IO", "index": ["a-b", None], "initializer": "zeros"},
        "expected a name of letters, digits and _, found 'a-b'",
    ),
    (
        {
            "shape": [4, 9], "axes": "IO", "index": ["a", None],
            "initializer": {"name": "orthogonal", "gain": "a + 1"},
        },
        "the initializer sees whole kernels, which the index 'a' would cut up; "
        "it may vary along a B axis only",
    ),
    (
        {
            "shape": [400, 900], "axes": "IO", "index": ["a", "b"],
            "initializer": {"name": "constant", "value": "a + b"},
        },
        "expected at most 100000 indices, found 360000",
    ),
    (
        {"shape": [4], "initializer": "zeros", "padding_idx": 0},
        "padding_idx is for a table with a row for each index along its first axis, "
        "found shape [4]",
    ),
    (
        {"shape": [4, 9], "axes": "IO", "initializer": "ones", "padding_idx": 4},
        "expected a row from -4 to 3, found 4",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "message"), MISTAKES)
def test_mistakes_say_what_to_do(entry: dict[str, Any], message: str) -> None:
    assert message in refused(entry, dims={"d": 4})


def test_pieces_that_are_alike_are_one() -> None:
    entry = {**PIECES, "initializer": ["glorot_uniform"] * 3}
    plan = glorot.make_plan(glorot.load_spec({"seed": 1, "tensors": {"t": entry}}))
    assert isinstance(plan["t"].distribution, Uniform)
    assert plan["t"].fans == (4, 3)
