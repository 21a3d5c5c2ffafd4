"""The draws of recorded modules: torch's bits without torch, and what is said of a wrong list."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glorot_cli import SpecError, draw, load_spec, make_plan
from glorot_cli.recording.folding import Group, Leaf, fold

RECORDED = json.loads((Path(__file__).parent / "golden" / "recorded.json").read_text("utf-8"))


@pytest.mark.parametrize("name", RECORDED["models"])
def test_a_recorded_module_is_drawn_with_the_bits_of_torch(name: str) -> None:
    found = RECORDED["models"][name]
    plan = make_plan(load_spec(found["spec"], {"seed": found["seed"], "rng": "torch"}))
    drawn = {
        tensor.name: hashlib.sha256(draw(plan, tensor.name).tobytes()).hexdigest()
        for tensor in plan.tensors
    }
    assert drawn == found["sha256"]


def test_any_part_of_a_replayed_tensor_has_the_same_elements() -> None:
    from glorot_cli.drawing import drawer

    spec = {
        "seed": 3,
        "rng": "torch",
        "tensors": {
            "a": {"shape": [40], "initializer": {"name": "trunc_normal", "a": -1, "b": 1}},
            "b": {"shape": [37], "dtype": "bfloat16", "initializer": "normal"},
        },
        "draws": [{"draw": "trunc_normal", "of": "a"}, {"draw": "normal", "of": ["b"]}],
    }
    plan = make_plan(load_spec(spec))
    for tensor in plan.tensors:
        whole = draw(plan, tensor.name)
        parts = np.empty_like(whole)
        for start in reversed(range(0, whole.size, 7)):
            drawer(tensor)(start, parts[start : start + 7])
        assert whole.tobytes() == parts.tobytes()
        if tensor.name == "a":
            assert abs(whole).max() <= 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"draws": [{"draw": "normal", "of": "b"}]}, "no tensor is named 'b'"),
        ({"draws": [{"draw": "normal", "of": "a", "shape": [3]}]}, "a draw has 'of'"),
        (
            {"draws": [{"draw": "uniform", "of": "a"}]},
            "'a' is normal, which this draw is not; give the draw its a, b",
        ),
        (
            {"draws": [{"draw": "uniform", "shape": [3]}]},
            "no draw fills 'a', so its bits of torch are not known",
        ),
        (
            {"draws": [{"draw": "normal", "of": "a", "rows": [2, 9]}]},
            "expected rows of 'a', which has 4, found [2, 9]",
        ),
        (
            {"draws": [{"draw": "exponential", "of": "a"}]},
            "the values of exponential are not known here",
        ),
        ({"draws": [{"draw": "normal", "of": "a", "b": 1}]}, "normal takes mean, std, not b"),
        (
            {"draws": [{"draw": "normal", "of": "a", "then": [{"power": 2}]}]},
            "expected steps such as",
        ),
        (
            {"torch": "2.4", "draws": [{"draw": "normal", "of": "a"}]},
            "the draws are of torch '2.4', and the stream torch has the bits of 2.13",
        ),
        (
            {
                "tensors": {"a": {"shape": [4, 4], "axes": "OI", "initializer": "orthogonal"}},
                "draws": [{"draw": "normal", "shape": [4, 4]}],
            },
            "the bits of a QR factorisation depend on LAPACK",
        ),
        (
            {"draws": [{"draw": "trunc_normal", "of": "a"}, {"draw": "normal", "of": "a"}]},
            "how many words trunc_normal takes depends on its mean, std, a and b",
        ),
        (
            {
                "draws": [
                    {"draw": "trunc_normal", "mean": 0, "std": 1, "a": 2, "b": 3, "shape": [9]},
                    {"draw": "normal", "of": "a"},
                ]
            },
            "torch accepts uniform values by a float32 logarithm",
        ),
    ],
)
def test_draws_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    spec = {
        "seed": 3,
        "rng": "torch",
        "tensors": {"a": {"shape": [4, 4], "initializer": "normal"}},
        **changes,
    }
    with pytest.raises(SpecError) as caught:
        make_plan(load_spec(spec))
    assert message in str(caught.value)


def test_other_streams_do_not_look_at_draws() -> None:
    spec = {"seed": 3, "tensors": {"a": {"shape": [4], "initializer": "normal"}}}
    plan = make_plan(load_spec({**spec, "torch": "1.0", "draws": [{"draw": "nonsense"}]}))
    assert draw(plan, "a").tobytes() == draw(make_plan(load_spec(spec)), "a").tobytes()


def test_entries_fold_within_entries_and_keep_their_order() -> None:
    names = [
        name
        for layer in range(3)
        for name in (
            f"h.{layer}.norm",
            *(f"h.{layer}.e.{expert}.{part}" for expert in range(4) for part in ("up", "down")),
        )
    ]
    folded = fold([Leaf(("embed",)), *(Leaf((name,)) for name in names), Leaf(("head",))])
    assert folded == [
        Leaf(("embed",)),
        Group(
            "i",
            0,
            3,
            1,
            (
                Leaf(("h.{i}.norm",)),
                Group("j", 0, 4, 1, (Leaf(("h.{i}.e.{j}.up",)), Leaf(("h.{i}.e.{j}.down",)))),
            ),
        ),
        Leaf(("head",)),
    ]


def test_indices_that_step_fold_and_others_do_not() -> None:
    steps = fold([Leaf((f"net.{i}.weight",)) for i in (0, 2, 4)])
    assert steps == [Group("i", 0, 5, 2, (Leaf(("net.{i}.weight",)),))]
    apart = [Leaf((f"net.{i}.weight",)) for i in (0, 2, 3)]
    assert fold(apart) == apart
    other = [Leaf((f"net.{i}.weight",), i % 2) for i in range(4)]
    assert fold(other) == other
