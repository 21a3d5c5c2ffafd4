"""Tensors that follow from another: stored copies, and norms."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import glorot_cli as glorot
from tests.test_starts import drawn

Run = Callable[..., tuple[int, str, str]]
V = {"shape": [5, 4, 3], "axes": "OIW", "initializer": {"name": "kaiming_uniform", "a": "sqrt(5)"}}


def refused(**tensors: Any) -> str:
    with pytest.raises(glorot.SpecError) as caught:
        glorot.make_plan(glorot.load_spec({"seed": 1, "tensors": tensors}))
    return str(caught.value)


@pytest.mark.parametrize("rng", ["aes-ctr", "torch", "keras-numpy"])
def test_a_stored_tie_is_a_copy(run: Run, tmp_path: Path, rng: str) -> None:
    seed = {"seed": 7} if rng == "keras-numpy" else {}
    spec = {
        "rng": rng,
        "seed": 3,
        "tensors": {
            "head": {"tie": "wte", "stored": True},
            "wte": {"shape": [9, 40], "axes": "OI", "initializer": "glorot_uniform", **seed},
            "other": {"tie": "wte"},
        },
    }
    path, out = tmp_path / "spec.json", tmp_path / "w.safetensors"
    path.write_text(json.dumps(spec), "utf-8")
    assert run("init", str(path), "-o", str(out))[0] == 0
    arrays = load_file(out)
    assert sorted(arrays) == ["head", "wte"]
    assert arrays["head"].tobytes() == arrays["wte"].tobytes()
    assert run("verify", str(out))[0] == 0
    assert run("verify", str(out), "--statistics")[0] == 0
    plan = json.loads(run("plan", str(path), "--json")[1])
    assert [(t["name"], t["tied_to"], t["decided_by"]) for t in plan["tensors"]] == [
        ("head", None, "its tie to 'wte'"),
        ("wte", None, "its entry"),
        ("other", "wte", "its entry"),
    ]
    assert plan["totals"]["parameters"] == 720


def test_small_copies_are_drawn_together_too(run: Run, tmp_path: Path) -> None:
    # Small uniform tensors of the native stream share a slab.
    tensors = {
        f"t{i}": {"shape": [3, 4], "axes": "OI", "initializer": "glorot_uniform"} for i in range(4)
    }
    spec = {"seed": 3, "tensors": {**tensors, "copy": {"tie": "t2", "stored": True}}}
    path, out = tmp_path / "spec.json", tmp_path / "w.safetensors"
    path.write_text(json.dumps(spec), "utf-8")
    assert run("init", str(path), "-o", str(out))[0] == 0
    arrays = load_file(out)
    assert arrays["copy"].tobytes() == arrays["t2"].tobytes() == drawn(spec)["t2"].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("dim", [0, 1, -1, None])
def test_norms_are_those_of_the_slices(dtype: str, dim: int | None) -> None:
    place = None if dim is None else dim % 3
    kept = [size if axis == place else 1 for axis, size in enumerate([5, 4, 3])]
    norms = {"name": "norm_of", "tensor": "v", "dim": dim}
    found = drawn({"dtype": dtype, "tensors": {"g": {"shape": kept, "initializer": norms}, "v": V}})
    wide = found["v"].astype(np.float64)
    axes = tuple(axis for axis in range(3) if axis != place)
    expected = np.sqrt((wide * wide).sum(axis=axes, keepdims=True))
    np.testing.assert_allclose(
        found["g"].astype(np.float64), expected, rtol=2.0**-8 if dtype == "bfloat16" else 1e-7
    )


def test_norms_of_a_framework_stream_and_of_more_than_a_chunk() -> None:
    v = {"shape": [700, 500], "axes": "OI", "initializer": "xavier_uniform"}
    norms = {"shape": [700, 1], "initializer": {"name": "norm_of", "tensor": "v"}}
    for rng in ("aes-ctr", "torch"):
        found = drawn({"rng": rng, "tensors": {"first": v, "v": v, "g": norms}})
        np.testing.assert_allclose(
            found["g"], np.linalg.norm(found["v"], axis=1, keepdims=True), rtol=1e-6
        )


def test_repeated_norms_are_each_of_its_own() -> None:
    norms = {"name": "norm_of", "tensor": "{stem}.v"}
    entries = [
        {
            "repeat": {"i": 3},
            "entries": {
                "{i}.g": {"shape": [5], "initializer": norms},
                "{i}.v": {**V, "fans": "torch"},
                "{i}.named": {"shape": [5], "initializer": {**norms, "tensor": "{i}.v"}},
            },
        }
    ]
    found = drawn({"tensors": entries})
    for index in range(3):
        expected = np.linalg.norm(found[f"{index}.v"].reshape(5, -1), axis=1)
        np.testing.assert_allclose(found[f"{index}.g"], expected, rtol=1e-6)
        np.testing.assert_array_equal(found[f"{index}.g"], found[f"{index}.named"])


def test_norms_by_other_words_are_no_alarm(run: Run, tmp_path: Path) -> None:
    spec = {
        "seed": 3,
        "tensors": {
            "g": {"shape": [5, 1, 1], "initializer": {"name": "norm_of", "tensor": "v"}},
            "v": V,
        },
    }
    path, out = tmp_path / "spec.json", tmp_path / "w.safetensors"
    path.write_text(json.dumps(spec), "utf-8")
    arrays = drawn({**spec, "seed": 4})
    save_file(arrays, out)
    assert run("verify", str(out), str(path), "--statistics")[0] == 0
    arrays["g"][2] = np.nan
    save_file(arrays, out)
    assert run("verify", str(out), str(path), "--statistics")[0] == 1


def test_mistakes_say_what_to_do() -> None:
    assert "stored is for a tied tensor, which is a copy then" in refused(v={**V, "stored": True})
    copies = {"a": {"tie": "v", "stored": True}, "b": {"tie": "a"}}
    assert "'a' is tied or skipped itself; tie to what is drawn" in refused(v=V, **copies)

    def norms(tensor: str, shape: list[int], dim: int | None = 0) -> dict[str, Any]:
        return {"shape": shape, "initializer": {"name": "norm_of", "tensor": tensor, "dim": dim}}

    assert "no tensor 'w' has norms; known: v" in refused(v=V, g=norms("w", [5, 1, 1]))
    assert "no tensor 'g' has norms" in refused(v=V, g=norms("g", [5, 1, 1]))
    assert ("expected the shape [5, 1, 1] or [5] for the norms of 'v', found [5, 1]") in refused(
        v=V, g=norms("v", [5, 1])
    )
    assert "expected a dim of 'v', whose shape is [5, 4, 3], found 3" in refused(
        v=V, g=norms("v", [5], 3)
    )


@pytest.mark.parametrize("copies", [True, False])
def test_copies_of_a_torch_layer_are_stored(run: Run, tmp_path: Path, copies: bool) -> None:
    inner = {"type": "TransformerEncoderLayer", "d_model": 4, "nhead": 1, "dim_feedforward": 8}
    encoder = {"type": "TransformerEncoder", "encoder_layer": inner, "num_layers": 3}
    spec = {"seed": 1, "dialect": "torch", "layers": [{**encoder, "copies": copies}]}
    path, out = tmp_path / "spec.json", tmp_path / "w.safetensors"
    path.write_text(json.dumps(spec), "utf-8")
    code, _, error = run("init", str(path), "-o", str(out))
    assert code == 0
    note = "0.layers.1.self_attn.in_proj_weight: torch copies the first layer, so that all start"
    assert (note in error) is not copies
    arrays = load_file(out)
    pairs = [
        np.array_equal(value, arrays[name.replace("layers.2", "layers.0")])
        for name, value in arrays.items()
        if name.startswith("0.layers.2.") and value.std() > 0.0
    ]
    assert len(pairs) == 6
    assert all(pairs) if copies else not any(pairs)
    assert run("verify", str(out))[0] == 0
    assert run("verify", str(out), "--statistics")[0] == 0


def test_weight_norm_parts_a_module_into_norms_and_direction() -> None:
    linear = {"type": "Linear", "in_features": 4, "out_features": 3, "weight_norm": {"dim": -1}}
    layers = [{**linear, "initializers": {"weight": "xavier_normal"}}]
    found = drawn({"dialect": "torch", "layers": layers})
    below = "0.parametrizations.weight.original"
    assert list(found) == ["0.bias", f"{below}0", f"{below}1"]
    direction = found[f"{below}1"]
    np.testing.assert_allclose(
        found[f"{below}0"], np.linalg.norm(direction, axis=0, keepdims=True), rtol=1e-6
    )
    rule = {"*.original1": "zeros"}
    zeros = drawn({"dialect": "torch", "layers": [linear], "initializers": [rule]})
    assert not zeros[f"{below}0"].any()


CONV = {"type": "Conv2d", "in_channels": 3, "out_channels": 8, "kernel_size": 3}
UP = {"type": "ConvTranspose1d", "in_channels": 4, "out_channels": 6, "kernel_size": 3}


def matrix(weight: Any, dim: int) -> Any:
    rows = np.moveaxis(weight.astype(np.float64), dim, 0)
    return rows.reshape(len(rows), -1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("module", "dim"), [(CONV, 0), (UP, 1)])
def test_spectral_norm_keeps_the_first_singular_vectors(
    module: dict[str, Any], dim: int, seed: int
) -> None:
    # Enough iterations for the vectors to converge.
    layer = {**module, "spectral_norm": {"n_power_iterations": 100}}
    found = drawn({"seed": seed, "dialect": "torch", "layers": [layer]})
    below = "0.parametrizations.weight"
    assert list(found) == ["0.bias", f"{below}.original", f"{below}.0._u", f"{below}.0._v"]
    plain = drawn({"seed": seed, "dialect": "torch", "layers": [module]})
    assert found[f"{below}.original"].shape == plain["0.weight"].shape
    rows = matrix(found[f"{below}.original"], dim)
    u, v = (found[f"{below}.0.{name}"].astype(np.float64) for name in ("_u", "_v"))
    assert (u.shape, v.shape) == ((rows.shape[0],), (rows.shape[1],))
    np.testing.assert_allclose([u @ u, v @ v], 1.0, rtol=1e-6)
    np.testing.assert_allclose(u @ rows @ v, np.linalg.svd(rows, compute_uv=False)[0], rtol=1e-3)


def test_both_singular_vectors_have_one_start() -> None:
    for seed in range(4):
        layer = {**CONV, "spectral_norm": True}
        found = drawn({"seed": seed, "dtype": "float64", "dialect": "torch", "layers": [layer]})
        below = "0.parametrizations.weight"
        right = found[f"{below}.0._u"] @ matrix(found[f"{below}.original"], 0)
        right /= np.linalg.norm(right)
        np.testing.assert_allclose(found[f"{below}.0._v"], right, rtol=1e-9)


def test_singular_vectors_need_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    w = {"shape": [100, 50], "initializer": "normal"}
    u = {"shape": [100], "initializer": {"name": "singular_vector_of", "tensor": "w"}}
    plan = glorot.make_plan(glorot.load_spec({"seed": 1, "tensors": {"w": w, "u": u}}))
    monkeypatch.setattr("glorot_cli.drawing.free_memory", lambda: 150_000)
    with pytest.raises(glorot.GlorotError) as caught:
        glorot.draw(plan, "u")
    assert str(caught.value) == (
        "'u': singular_vector_of of shape [100] needs 200.0 kB of memory, 150.0 kB are free"
    )


def test_spectral_norm_iterates_as_often_as_torch() -> None:
    values = {"name": "values", "values": [[1.0, 0.0], [0.0, 0.9]]}
    below = "0.parametrizations.weight.original"

    def ratio(**iterations: int) -> float:
        start = {"name": "singular_vector_of", "tensor": below, "side": "right", **iterations}
        tensors = {
            below: {"shape": [2, 2], "initializer": values},
            "v": {"shape": [2], "initializer": start},
        }
        found = drawn({"dtype": "float64", "tensors": tensors})["v"]
        return float(found[1] / found[0])

    # Each iteration multiplies it by the squared ratio of the singular values.
    np.testing.assert_allclose(ratio(iterations=16) / ratio(iterations=1), 0.9**30, rtol=1e-12)
    assert ratio() == ratio(iterations=16)
    linear = {"type": "Linear", "in_features": 2, "out_features": 2}
    for said, iterations in [(True, 16), ({"n_power_iterations": 1}, 16), ({"dim": 0}, 16),
                             ({"n_power_iterations": 3}, 18)]:  # fmt: skip
        layer = {**linear, "spectral_norm": said, "initializers": {"weight": values}}
        found = drawn({"dtype": "float64", "dialect": "torch", "layers": [layer]})
        v = found["0.parametrizations.weight.0._v"]
        assert v[1] / v[0] == ratio(iterations=iterations)


def test_singular_vectors_of_zeros_and_of_large_values_are_finite() -> None:
    for std in (0.0, 1e300):
        w = {"shape": [5, 4], "initializer": {"name": "constant", "value": std}}
        vectors = {
            side: {"shape": [size], "initializer": {
                "name": "singular_vector_of", "tensor": "w", "side": side}}
            for side, size in (("left", 5), ("right", 4))
        }  # fmt: skip
        found = drawn({"dtype": "float64", "tensors": {"w": w, **vectors}})
        for side, size in (("left", 5), ("right", 4)):
            expected = size**-0.5 if std else 0.0
            np.testing.assert_allclose(np.abs(found[side]), expected, rtol=1e-12)


def test_spectral_norm_verifies_and_other_vectors_are_no_alarm(run: Run, tmp_path: Path) -> None:
    layers = [{**CONV, "spectral_norm": True}, {**UP, "spectral_norm": {"dim": -1}}]
    layers += [{"type": "LayerNorm", "normalized_shape": 4, "spectral_norm": True}]
    spec = {"seed": 1, "dialect": "torch", "layers": layers}
    path, out = tmp_path / "spec.json", tmp_path / "w.safetensors"
    path.write_text(json.dumps(spec), "utf-8")
    assert run("init", str(path), "-o", str(out))[0] == 0
    assert run("verify", str(out))[0] == 0
    arrays = load_file(out)
    assert [name for name in arrays if name.startswith("2.")] == [
        "2.bias",
        "2.parametrizations.weight.original",
    ]
    assert arrays["1.parametrizations.weight.0._v"].shape == (24,)
    arrays = drawn({**spec, "seed": 2})
    save_file(arrays, out)
    assert run("verify", str(out), str(path), "--statistics")[0] == 0
    arrays["0.parametrizations.weight.0._u"][2] = 1.5
    save_file(arrays, out)
    assert run("verify", str(out), str(path), "--statistics")[0] == 1


def test_mistakes_with_singular_vectors_say_what_to_do() -> None:
    def vector(tensor: str, size: int, **arguments: Any) -> dict[str, Any]:
        start = {"name": "singular_vector_of", "tensor": tensor, **arguments}
        return {"shape": [size], "initializer": start}

    assert "no tensor 'w' has singular vectors; known: v" in refused(v=V, u=vector("w", 5))
    assert "expected the shape [5] for the singular vectors of 'v', found [4]" in refused(
        v=V, u=vector("v", 4)
    )
    assert "expected the shape [15] for the singular vectors of 'v', found [5]" in refused(
        v=V, u=vector("v", 5, dim=1, side="right")
    )
    assert "expected two axes or more for singular vectors, found shape [3] of 'b'" in refused(
        b={"shape": [3], "initializer": "zeros"}, u=vector("b", 3)
    )
    assert "expected at most 128 iterations, found 129" in refused(
        v=V, u=vector("v", 5, iterations=129)
    )
    assert "expected an axis as dim, found null" in refused(v=V, u=vector("v", 5, dim=None))
    spec = glorot.load_spec({"rng": "torch", "tensors": {"v": V, "u": vector("v", 5)}})
    with pytest.raises(glorot.SpecError) as caught:
        glorot.make_plan(spec)
    assert "the stream torch draws no singular vectors; leave out rng" in str(caught.value)
