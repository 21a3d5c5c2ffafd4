"""The frameworks' own bits, kept as digests: no framework is installed where these run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.golden.cases import DTYPES, SEEDS, STREAMS, Case, digest, drawn, spec_of
from tests.interop.random_models import plain

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "golden" / "vectors.json").read_text()
)
CASES: list[Case] = [case for stream in STREAMS for case in VECTORS[stream]["cases"]]
MODELS: list[Case] = [case for stream in STREAMS for case in VECTORS[stream]["models"]]


def _name(case: Case) -> str:
    if "spec" in case:
        return f"{case['stream']}-{case['seed']}"
    first = case["tensors"][0]
    sizes = "x".join(map(str, first["shape"]))
    return (
        f"{case['stream']}-{first['initializer']['name']}-{sizes}-{first['dtype']}-{case['seed']}"
    )


def _check(spec: Case, digests: Case) -> None:
    arrays = drawn(spec)
    assert sorted(arrays) == sorted(digests)
    for name, expected in digests.items():
        found = digest(arrays[name])
        assert found["first"] == expected["first"], name
        assert found["sha256"] == expected["sha256"], name


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_tensors_have_the_frameworks_bits(case: Case) -> None:
    _check(spec_of(case), case["digests"])


@pytest.mark.parametrize("case", MODELS, ids=_name)
def test_models_have_the_frameworks_bits(case: Case) -> None:
    spec = {**plain(case["spec"]), "rng": case["stream"], "seed": case["seed"]}
    _check(spec, case["digests"])


def test_vectors_cover_what_they_should() -> None:
    assert len(CASES) >= 300
    assert len({json.dumps(case["spec"]) for case in MODELS}) >= 20
    for stream in STREAMS:
        own = [case for case in CASES if case["stream"] == stream]
        tensors = [tensor for case in own for tensor in case["tensors"]]
        assert {case["seed"] for case in own} >= set(SEEDS)
        assert {tensor["dtype"] for tensor in tensors} == set(DTYPES)
        assert {len(tensor["shape"]) for tensor in tensors} == {1, 2, 3, 4, 5}
        assert any(tensor["shape"] == [1009, 1031] for tensor in tensors)
    laws = Counter(t["initializer"]["name"] for case in CASES for t in case["tensors"])
    assert {"normal", "random_normal", "truncated_normal", "xavier_uniform"} <= laws.keys()
