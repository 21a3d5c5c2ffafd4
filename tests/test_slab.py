"""Small tensors drawn side by side: the bits are those of the native stream, one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import glorot_cli as glorot
from glorot_cli.distributions import Constant, Distribution, Normal, Uniform
from glorot_cli.moments import Moments
from glorot_cli.streams import aes_ctr, slab


def test_a_slab_holds_what_each_tensor_draws_alone() -> None:
    laws: list[Distribution] = [
        Uniform(-0.5, 0.5),
        Constant(0.1),
        Uniform(-3e38, 3e38),
        Constant(-0.0),
        Uniform(-1, 1),
    ]
    counts = [7, 3, 4096, 1, 64]
    tensors = [(law, 2**64 - 1, f"t.{index}") for index, law in enumerate(laws)]
    starts = np.cumsum([0, *counts[:-1]]).tolist()
    out = np.full(sum(counts), np.nan, np.float32)
    slab.fill(tensors, starts, out)
    for (law, seed, name), start, count in zip(tensors, starts, counts, strict=True):
        alone = np.empty(count, np.float32)
        aes_ctr.drawer(law, (count,), seed, name, "float32")(0, alone)
        assert out[start : start + count].tobytes() == alone.tobytes()


@pytest.mark.parametrize(
    ("law", "dtype", "nbytes", "fits"),
    [
        (Uniform(-1, 1), "float32", slab.LARGEST, True),
        (Uniform(-1, 1), "float32", slab.LARGEST + 4, False),
        (Uniform(-1, 2), "float32", 4, False),
        (Uniform(-1, 1), "float64", 8, False),
        (Uniform(-1, 1), "bfloat16", 2, False),
        (Normal(0.0, 1.0), "float32", 4, False),
        (Constant(1.0), "float32", 4, True),
    ],
)
def test_what_may_stand_in_a_slab(
    law: Uniform | Normal | Constant, dtype: str, nbytes: int, fits: bool
) -> None:
    assert slab.fits(law, dtype, nbytes) is fits


def test_moments_of_runs_are_those_of_each_run() -> None:
    values = np.random.default_rng(1).uniform(-3, 3, 1000).astype(np.float32)
    values[10:20] = 0.1
    values[998:] = 3e38, -3e38
    starts = [0, 10, 20, 21, 998]
    runs = Moments.of_runs(values, starts)
    for run, start, stop in zip(runs, starts, [*starts[1:], 1000], strict=True):
        part = values[start:stop].astype(np.float64)
        assert (run.count, run.minimum, run.maximum) == (part.size, part.min(), part.max())
        assert run.mean == pytest.approx(part.mean(), rel=1e-4, abs=1e-6)
        assert run.std == pytest.approx(part.std(), rel=1e-3, abs=0.0)
    assert (runs[1].mean, runs[1].std) == (float(np.float32(0.1)), 0.0)


@pytest.mark.parametrize("ending", [".safetensors", ".h5", "/"])
@pytest.mark.parametrize("workers", [1, 3])
def test_small_and_large_tensors_of_all_dtypes_share_a_file(
    tmp_path: Path, ending: str, workers: int
) -> None:
    laws = ["glorot_uniform", "zeros", {"name": "truncated_normal", "stddev": 0.5}]
    half = "bfloat16" if ending == ".safetensors" else "float16"
    dtypes = ["float32", "float64", half, "int8"]
    tensors = {
        f"t{number}.{dtype}": {
            "shape": [1 + number % 5, 1 + number * number], "axes": "IO", "dtype": dtype,
            "initializer": "zeros" if dtype == "int8" else laws[number % 3],
        }
        for number in range(60)
        for dtype in dtypes
    }  # fmt: skip
    tensors["large"] = {"shape": [1000, 1000], "axes": "IO", "initializer": "glorot_uniform"}
    plan = glorot.make_plan(glorot.load_spec({"seed": 3, "tensors": tensors}))
    moments = glorot.write_weights(plan, f"{tmp_path}/w{ending}", workers=workers)
    assert glorot.verify_weights(f"{tmp_path}/w{ending}").equal
    for tensor, found in zip(plan.tensors, moments, strict=True):
        drawn = glorot.draw(plan, tensor.name).astype(np.float64)
        assert found is not None
        assert (found.minimum, found.maximum) == (drawn.min(), drawn.max())
        assert found.mean == pytest.approx(drawn.mean(), rel=1e-3, abs=1e-5)
        assert found.std == pytest.approx(drawn.std(), rel=1e-3)
    if ending == ".safetensors":
        loaded = load_file(f"{tmp_path}/w{ending}")
        for tensor in plan.tensors:
            drawn = glorot.draw(plan, tensor.name)
            assert loaded[tensor.name].tobytes() == drawn.tobytes()
