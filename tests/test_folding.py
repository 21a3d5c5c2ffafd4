"""Regular names fold into repeats, irregular ones stay, and no name is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import glorot_cli as glorot
from glorot_cli.derive.folding import Folded, Named, fold, split_name

VECTOR = (3,)


def named(*names: str) -> list[Named]:
    return [Named(name, VECTOR, "float32") for name in names]


def short(folded: list[Folded]) -> list[str]:
    """Write each as its name and its ranges."""
    return [
        " ".join([each.name, *(f"{r.variable}={r.start}:{r.stop}" for r in each.repeats)])
        for each in folded
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a"], ["a"]),
        (["h.0.w", "h.1.w", "h.2.w"], ["h.{i}.w i=0:3"]),
        # Counting need not start at 0, and a gap parts a run.
        (["h.3.w", "h.4.w"], ["h.{i}.w i=3:5"]),
        (["h.0.w", "h.1.w", "h.3.w", "h.4.w", "h.9.w"],
         ["h.{i}.w i=0:2", "h.{i}.w i=3:5", "h.9.w"]),
        (["h.0.w"], ["h.0.w"]),
        # 10 comes after 9.
        ([f"h.{i}.w" for i in range(12)], ["h.{i}.w i=0:12"]),
        (["h.9.w", "h.10.w"], ["h.{i}.w i=9:11"]),
        # Several indices.
        ([f"l.{i}.e.{j}.w" for i in range(2) for j in range(3)], ["l.{i}.e.{j}.w i=0:2 j=0:3"]),
        (["l.0.e.0", "l.0.e.1", "l.1.e.0"], ["l.0.e.{j} j=0:2", "l.1.e.0"]),
        (["l.0.7", "l.1.7"], ["l.{i}.7 i=0:2"]),
        (["0.1.w", "1.1.w"], ["{i}.1.w i=0:2"]),
        (["0", "1"], ["{i} i=0:2"]),
        (["w.0", "w.1"], ["w.{i} i=0:2"]),
        (["a-0-w", "a-1-w"], ["a-{i}-w i=0:2"]),
        (["é0", "é1"], ["é{i} i=0:2"]),
        # Leading zeros would be lost.
        (["h.00.w", "h.01.w"], ["h.00.w", "h.01.w"]),
        (["h.0.01", "h.1.01"], ["h.0.01", "h.1.01"]),
        # Numbers inside of components are names.
        (["conv1.w", "conv2.w"], ["conv1.w", "conv2.w"]),
        (["ln_1.w", "ln_2.w"], ["ln_1.w", "ln_2.w"]),
        (["layer1.0.w", "layer1.1.w"], ["layer1.{i}.w i=0:2"]),
        (["1x.w", "2x.w", "x1.w"], ["1x.w", "2x.w", "x1.w"]),
        # But for the numbers of Keras's layers.
        (["dense/w", "dense_1/w", "dense_2/w"], ["dense/w", "dense_{i}/w i=1:3"]),
        (["a_1/b_1/w", "a_1/b_2/w"], ["a_1/b_{j}/w j=1:3"]),
        (["dense_01/w", "dense_02/w"], ["dense_01/w", "dense_02/w"]),
        (["layers/d/vars/0", "layers/d/vars/1"], ["layers/d/vars/0", "layers/d/vars/1"]),
        (["vars/0", "vars/1", "a.vars.0"], ["a.vars.0", "vars/0", "vars/1"]),
        # More digits than anyone counts to.
        (["h.1234567.w", "h.1234568.w"], ["h.1234567.w", "h.1234568.w"]),
        (["h.999998.w", "h.999999.w"], ["h.{i}.w i=999998:1000000"]),
        # Digits of other scripts are text.
        (["h.٠.w", "h.١.w", "h.²"], ["h.²", "h.٠.w", "h.١.w"]),
    ],
)  # fmt: skip
def test_names(names: list[str], expected: list[str]) -> None:
    assert short(fold(named(*names))) == expected
    assert short(fold(named(*reversed(names)))) == expected


def test_only_what_is_alike_folds() -> None:
    tensors = [
        Named("h.0.w", (3,), "float32"),
        Named("h.1.w", (3,), "float32"),
        Named("h.2.w", (4,), "float32"),
        Named("h.3.w", (4,), "float16"),
        Named("h.4.w", (4,), "float16"),
        Named("h.5.w", (4,), "float16", "zeros"),
    ]
    folded = fold(tensors)
    assert short(folded) == ["h.{i}.w i=0:2", "h.2.w", "h.{i}.w i=3:5", "h.5.w"]
    assert [(each.first, each.shape, each.dtype, each.kind) for each in folded] == [
        ("h.0.w", (3,), "float32", ""),
        ("h.2.w", (4,), "float32", ""),
        ("h.3.w", (4,), "float16", ""),
        ("h.5.w", (4,), "float16", "zeros"),
    ]


def test_layers_that_hold_more_stand_apart() -> None:
    names = ["h.0.a.0", "h.0.a.1", "h.1.a.0", "h.1.a.1", "h.2.a.0", "h.2.a.1", "h.2.a.2"]
    assert short(fold(named(*names))) == ["h.{i}.a.{j} i=0:2 j=0:2", "h.2.a.{j} j=0:3"]


def test_a_number_that_stands_twice_is_one_index() -> None:
    names = [f"conv2d_{i}/conv2d_{i}/{part}" for i in range(1, 13) for part in ("kernel", "bias")]
    assert short(fold(named("conv2d/conv2d/kernel", *names))) == [
        "conv2d/conv2d/kernel",
        "conv2d_{i}/conv2d_{i}/bias i=1:13",
        "conv2d_{i}/conv2d_{i}/kernel i=1:13",
    ]
    # With another index beside it, and where the two differ once.
    names = [f"h_{i}/e_{j}/h_{i}/w" for i in range(3) for j in range(2)]
    assert short(fold(named(*names))) == ["h_{i}/e_{j}/h_{i}/w i=0:3 j=0:2"]
    assert short(fold(named("a_1/a_1/w", "a_2/a_2/w", "a_3/a_4/w"))) == [
        "a_1/a_1/w",
        "a_2/a_2/w",
        "a_3/a_4/w",
    ]


def test_many_indices_have_their_own_names() -> None:
    name = ".".join(["{0}"] * 20)
    # One number many times is one index.
    (each,) = fold(named(name.format(0), name.format(1)))
    assert short([each]) == [".".join(["{i}"] * 20) + " i=0:2"]
    whole = ".".join(["0"] * 19)
    (each,) = fold(named(*(f"{whole}.{i}" for i in range(2))))
    assert short([each]) == [f"{whole}.{{l2}} l2=0:2"]
    # A name of more indices than that is left as it is, and is no deep recursion.
    long = ".".join(["0"] * 5000)
    assert [each.name for each in fold(named(long, f"{long}.1"))] == [long, f"{long}.1"]
    assert split_name(long) == (long,)


def test_ten_thousand_tensors_fold() -> None:
    tensors = named(
        *(f"h.{i}.e.{j}.{part}" for i in range(50) for j in range(50) for part in "abcd")
    )
    assert short(fold(tensors)) == [f"h.{{i}}.e.{{j}}.{part} i=0:50 j=0:50" for part in "abcd"]


PARTS = st.sampled_from(["h", "conv1", "0", "1", "2", "3", "10", "01", "x_1", "é", "ln_2"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).flatmap(
    lambda parts: st.sampled_from([".", "/", "_", "-"]).map(lambda mark: mark.join(parts))
)


@given(st.dictionaries(NAMES, st.tuples(st.sampled_from([(2,), (3,)]), st.sampled_from("ab"))))
def test_folded_names_stamp_out_the_same(tensors: dict[str, tuple[tuple[int, ...], str]]) -> None:
    folded = fold(Named(name, shape, "float32", kind) for name, (shape, kind) in tensors.items())
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    for each in folded:
        indices: list[dict[str, int]] = [{}]
        for r in each.repeats:
            indices = [{**i, r.variable: n} for i in indices for n in range(r.start, r.stop)]
        for values in indices:
            name = each.name.format(**values)
            assert name not in found
            found[name] = each.shape, each.kind
    assert found == tensors


@given(st.sets(NAMES, min_size=1))
def test_folded_names_are_a_spec(names: set[str]) -> None:
    entries = [
        {each.name: {"shape": [3], "initializer": "ones",
                     **({"repeat": {r.variable: [r.start, r.stop] for r in each.repeats}}
                        if each.repeats else {})}}
        for each in fold(named(*names))
    ]  # fmt: skip
    plan = glorot.make_plan(glorot.load_spec({"seed": 1, "tensors": entries}))
    assert {tensor.name for tensor in plan.tensors} == names
