"""What work costs, in calls and not in seconds: per block of a large tensor, per small tensor."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import glorot_cli as glorot
from glorot_cli.checks.inspection import inspect_weights
from glorot_cli.checks.verify import verify_weights
from glorot_cli.dtypes import ITEM_SIZES
from glorot_cli.report import documents
from glorot_cli.report.tables import print_plan
from glorot_cli.streams.kernels import kernels
from glorot_cli.workers import BLOCK_BYTES

SMALL = {
    "seed": 1,
    "dims": {"n": 1},
    "tensors": {
        "block.{i}.w": {"shape": [8, 8], "axes": "IO", "repeat": {"i": "n"},
                        "initializer": "glorot_uniform"},
        "block.{i}.b": {"shape": [8], "repeat": {"i": "n"}, "initializer": "zeros"},
    },
}  # fmt: skip


def calls(work: Callable[[], object]) -> Counter[str]:
    """Count the calls that some work makes in all of its threads, by what is called."""
    counted: Counter[str] = Counter()

    def count(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            counted[frame.f_code.co_name] += 1
        elif event == "c_call":
            counted[argument.__name__] += 1

    threading.setprofile(count)
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return counted


def growth(work: Callable[[int], object], small: int, large: int) -> float:
    """Return how many calls each further thing costs, once what is first done is done."""
    work(small)
    few, many = (calls(functools.partial(work, n)).total() for n in (small, large))
    return (many - few) / (large - small)


def plan_of(count: int) -> glorot.Plan:
    return glorot.make_plan(glorot.load_spec(SMALL, dims={"n": count}))


def test_calls_for_each_further_small_tensor_of_a_plan() -> None:
    assert growth(plan_of, 100, 1100) / 2 < 42


EXPERTS = {
    "seed": 1,
    "params": {"base": {"word": "model."}, "dense": 1, "layers": 4, "n": 1},
    "initializers": [
        {"*norm.weight": "ones"},
        {"*.gate.weight": {"name": "zeros", "when": "dense > 0"}},
        {"*": {"name": "normal", "std": "1 / layers"}},
    ],
    "tensors": [
        {"a.norm.weight": {"shape": [2]}, "a.gate.weight": {"shape": [2]}},
        {"repeat": {"i": "layers"}, "when": "i >= dense", "entries": {
            "{base}{i}.{e}.{p}.weight": {"shape": [2, 2], "axes": "OI", "when": "n > 0 and i > 0",
                                         "repeat": {"e": "n"}, "each": {"p": ["gate_up", "down"]}},
        }},
    ],
}  # fmt: skip


def test_calls_for_each_further_expert() -> None:
    def planned(experts: int) -> glorot.Plan:
        return glorot.make_plan(glorot.load_spec(EXPERTS, dims={"n": experts}))

    assert len(planned(3).tensors) == 2 + 3 * 3 * 2
    assert growth(planned, 100, 600) / 6 < 50


def test_calls_for_each_further_tensor_that_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    plans = {n: plan_of(n) for n in (100, 600)}

    def table(n: int) -> None:
        print_plan(plans[n])

    def document(n: int) -> None:
        documents.print_json(documents.plan_parts(plans[n]))

    assert growth(table, 100, 600) / 2 < 27
    assert growth(document, 100, 600) / 2 < 29
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("name", "most"), [("w.safetensors", 84), ("w.h5", 85)])
def test_calls_for_each_further_small_tensor_of_a_file(
    tmp_path: Path, name: str, most: int
) -> None:
    plans = {n: plan_of(n) for n in (100, 1100)}

    def write(n: int) -> object:
        return glorot.write_weights(plans[n], tmp_path / name, force=True, sync=False)

    assert growth(write, 100, 1100) / 2 < most


def test_calls_for_each_further_small_tensor_that_is_verified(tmp_path: Path) -> None:
    for n in (100, 1100):
        glorot.write_weights(plan_of(n), tmp_path / f"{n}.safetensors", sync=False)
    assert growth(lambda n: verify_weights(tmp_path / f"{n}.safetensors"), 100, 1100) / 2 < 205


def test_calls_for_each_further_small_tensor_that_is_inspected(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for n in (100, 600):
        drawn = rng.uniform(-0.433, 0.433, (n, 16, 16)).astype(np.float32)
        tensors = {f"{i}.w": kernel for i, kernel in enumerate(drawn)}
        safetensors.numpy.save_file(tensors, tmp_path / f"{n}.safetensors")
    assert growth(lambda n: inspect_weights(tmp_path / f"{n}.safetensors"), 100, 600) < 880


@pytest.mark.parametrize(
    ("initializer", "dtype", "most"),
    [
        ("glorot_uniform", "float32", 115),
        ("he_normal", "bfloat16", 375),
        ("zeros", "float16", 58),
    ],
)
def test_calls_for_each_further_block_of_a_large_tensor(
    tmp_path: Path, initializer: str, dtype: str, most: int
) -> None:
    def plan(blocks: int) -> glorot.Plan:
        shape = [blocks, BLOCK_BYTES // ITEM_SIZES[dtype]]
        tensor = {"shape": shape, "axes": "IO", "initializer": initializer}
        spec = {"seed": 1, "dtype": dtype, "tensors": {"w": tensor}}
        return glorot.make_plan(glorot.load_spec(spec))

    plans = {n: plan(n) for n in (2, 10)}

    def write(n: int) -> object:
        path = tmp_path / "w.safetensors"
        return glorot.write_weights(plans[n], path, force=True, sync=False, workers=1)

    assert growth(write, 2, 10) < most


def test_a_large_file_is_written_and_read_in_whole_blocks(tmp_path: Path) -> None:
    tensor = {"shape": [8, BLOCK_BYTES // 4], "axes": "IO", "initializer": "glorot_uniform"}
    plan = glorot.make_plan(glorot.load_spec({"seed": 1, "tensors": {"w": tensor}}))
    path = tmp_path / "w.safetensors"
    counted = calls(lambda: glorot.write_weights(plan, path, sync=False))
    assert counted["pwrite"] == 8
    assert counted["create_encryption_ctx"] == 8
    assert calls(lambda: inspect_weights(path))["preadv"] == 8
    assert calls(lambda: verify_weights(path))["preadv"] == 8


LOOPS = (
    "uniform", "normal", "moments", "runs", "mersenne", "threefry", "philox", "box_muller", "range",
)  # fmt: skip


@pytest.mark.parametrize(
    ("tensor", "rng", "expected"),
    [
        ({"initializer": "glorot_uniform"}, "aes-ctr", {"uniform": 1}),
        ({"initializer": "he_normal", "dtype": "bfloat16"}, "aes-ctr", {"normal": 4}),
        ({"initializer": "kaiming_normal"}, "aes-ctr", {"normal": 1}),
        ({"initializer": "xavier_normal"}, "torch", {"mersenne": 1, "box_muller": 1}),
        ({"initializer": "xavier_uniform"}, "torch", {"mersenne": 1, "range": 1}),
        ({"initializer": "he_uniform", "seed": 7}, "jax", {"threefry": 1, "range": 1}),
    ],
)
def test_compiled_blocks_are_copied_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tensor: dict[str, Any],
    rng: str,
    expected: dict[str, int],
) -> None:
    chosen = kernels()
    if chosen is None:
        pytest.skip("there are no compiled loops")
    shape = [8, BLOCK_BYTES // ITEM_SIZES[tensor.get("dtype", "float32")]]
    spec = {"seed": 1, "rng": rng, "tensors": {"w": {"shape": shape, "axes": "IO", **tensor}}}
    plan = glorot.make_plan(glorot.load_spec(spec))
    path, copied, pwrite = tmp_path / "w.safetensors", 0, os.pwrite
    loops: Counter[str] = Counter()

    def write_and_count(descriptor: int, data: memoryview, offset: int) -> int:
        nonlocal copied
        copied += data.nbytes
        return pwrite(descriptor, data, offset)

    def run_and_count(name: str, loop: Callable[..., object], *arguments: object) -> object:
        loops[name] += 1
        return loop(*arguments)

    monkeypatch.setattr(os, "pwrite", write_and_count)
    for name in LOOPS:
        loop = getattr(chosen.module, name)
        monkeypatch.setattr(chosen.module, name, functools.partial(run_and_count, name, loop))
    counted = calls(lambda: glorot.write_weights(plan, path, sync=False, workers=1))
    assert copied == 8 * BLOCK_BYTES
    # Each block is drawn and measured by these loops alone: NumPy neither casts nor adds.
    assert loops == {name: 8 * times for name, times in expected.items()}
    for name in ("copyto", "astype", "reduce", "dot", "clip"):
        assert counted[name] < 8, name
