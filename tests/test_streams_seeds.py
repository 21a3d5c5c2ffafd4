"""Seeds and places in the frameworks' streams, and each thing that they refuse."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glorot_cli import SpecError, draw, load_spec, make_plan, write_weights
from glorot_cli.cli import main
from glorot_cli.distributions import Normal, TruncatedNormal, Uniform
from glorot_cli.streams import STREAMS, drawer
from glorot_cli.streams.in_order import InOrder
from glorot_cli.streams.request import Request
from glorot_cli.writing.weights import provenance

FRAMEWORKS = [name for name in STREAMS if name != "aes-ctr"]
KERNEL: dict[str, Any] = {"shape": [4, 5], "axes": "IO", "initializer": "glorot_uniform"}
DENSE: dict[str, Any] = {"type": "Dense", "units": 5}
LINEAR: dict[str, Any] = {"type": "Linear", "in_features": 4, "out_features": 5}
ATTENTION: dict[str, Any] = {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 3}


def planned(**spec: Any) -> Any:
    return make_plan(load_spec(spec))


def chain(rng: str, *layers: Any, **rest: Any) -> Any:
    return planned(rng=rng, seed=42, input_shape=[4], layers=list(layers), **rest)


def refused(**spec: Any) -> str:
    with pytest.raises(SpecError) as error:
        planned(**spec)
    return str(error.value).removeprefix("<spec>: ")


def seeds(plan: Any) -> dict[str, int]:
    return {t.name: t.seed for t in plan.tensors if t.name.endswith("kernel")}


def drawn_seeds(seed: int, count: int) -> list[int]:
    source = random.Random(seed)
    return [source.randint(1, 10**9) for _ in range(count)]


class TestSpecSeed:
    def test_keras_draws_a_seed_for_each_initializer(self) -> None:
        first, second = drawn_seeds(42, 2)
        plan = chain("keras-jax", DENSE, DENSE)
        assert seeds(plan) == {"dense/kernel": first, "dense_1/kernel": second}

    def test_a_dropout_draws_too(self) -> None:
        plan = chain("keras-jax", {"type": "Dropout", "rate": 0.5}, DENSE)
        assert seeds(plan) == {"dense/kernel": drawn_seeds(42, 2)[1]}

    def test_a_dropout_of_nothing_or_with_a_seed_draws_nothing(self) -> None:
        for layer in ({"rate": 0.0}, {"rate": 0.5, "seed": 3}):
            plan = chain("keras-jax", {"type": "Dropout", **layer}, DENSE)
            assert seeds(plan) == {"dense/kernel": drawn_seeds(42, 1)[0]}

    def test_an_entrys_seed_is_its_kernels_and_takes_no_draw(self) -> None:
        seeded = {**DENSE, "seed": 7, "bias_initializer": "random_uniform"}
        plan = chain("keras-jax", seeded, DENSE)
        bias, second = drawn_seeds(42, 2)
        assert seeds(plan) == {"dense/kernel": 7, "dense_1/kernel": second}
        assert plan["dense/bias"].seed == bias

    def test_an_initializers_seed_is_stronger_and_takes_no_draw_either(self) -> None:
        own = {**DENSE, "seed": 7, "kernel_initializer": {"name": "he_uniform", "seed": 8}}
        plan = chain("keras-jax", own, DENSE)
        assert seeds(plan) == {"dense/kernel": 8, "dense_1/kernel": drawn_seeds(42, 1)[0]}

    def test_a_rule_that_makes_a_kernel_constant_takes_its_draw(self) -> None:
        plan = chain("keras-jax", DENSE, DENSE, initializers=[{"dense/kernel": "zeros"}])
        assert plan["dense_1/kernel"].seed == drawn_seeds(42, 1)[0]

    def test_a_bias_that_is_not_there_draws_if_it_would_be_random(self) -> None:
        lost = {**DENSE, "use_bias": False, "bias_initializer": {"name": "random_normal"}}
        plan = chain("keras-jax", lost, DENSE)
        assert seeds(plan)["dense_1/kernel"] == drawn_seeds(42, 3)[2]
        kept = {**lost, "bias_initializer": {"name": "random_normal", "seed": 1}}
        plan = chain("keras-jax", kept, DENSE)
        assert seeds(plan)["dense_1/kernel"] == drawn_seeds(42, 2)[1]

    def test_none_is_drawn_from_what_set_random_seed_takes(self) -> None:
        plans = [planned(rng="keras-jax", input_shape=[4], layers=[DENSE]) for _ in range(40)]
        assert all(plan.seed < 2**32 and plan.seed_was_drawn for plan in plans)
        assert len({plan.seed for plan in plans}) == 40

    def test_torch_draws_on_through_all_tensors(self) -> None:
        plan = planned(rng="torch", seed=42, dialect="torch", layers=[LINEAR, LINEAR])
        assert [t.position[:1] for t in plan.tensors] == [(), (20,), (25,), (45,)]
        assert {t.seed for t in plan.tensors} == {42}

    def test_torch_constructs_all_before_what_a_spec_says_otherwise(self) -> None:
        other = {**LINEAR, "initializers": {"weight": "xavier_uniform", "bias": "zeros"}}
        raw = {"raw": {**KERNEL, "initializer": "uniform"}}
        plan = planned(rng="torch", seed=1, dialect="torch", layers=[other, LINEAR], tensors=raw)
        places = {t.name: t.position[:1] for t in plan.tensors}
        assert places == {
            "0.weight": (50,), "0.bias": (), "1.weight": (25,), "1.bias": (45,), "raw": (70,),
        }  # fmt: skip

    def test_one_that_decides_nothing_is_said_to(self) -> None:
        plan = planned(rng="jax", seed=1, tensors={"a": {**KERNEL, "seed": 7}})
        assert plan.notices == (
            "the spec's seed decides nothing: each random tensor has one of its own",
        )
        assert not planned(rng="jax", tensors={"a": {**KERNEL, "seed": 7}}).notices

    def test_one_that_is_not_needed_is_not_drawn(self) -> None:
        spec = {"rng": "jax", "tensors": {"a": {**KERNEL, "seed": 7}}}
        assert not planned(**spec).seed_was_drawn
        assert "seed" not in planned(**spec).spec


REFUSED: list[tuple[str, dict[str, Any]]] = [
    (
        "seed: the stream keras-jax takes a spec's seed from 0 to 2**32 - 1, as "
        "keras.utils.set_random_seed does, found 4294967296",
        {"rng": "keras-jax", "seed": 2**32, "input_shape": [4], "layers": [DENSE]},
    ),
    (
        "layers: the stream torch draws layers of the torch dialect, found the dialect keras",
        {"rng": "torch", "seed": 1, "input_shape": [4], "layers": [DENSE]},
    ),
    (
        "layers: the stream keras-numpy draws layers of the keras dialect, found the dialect torch",
        {"rng": "keras-numpy", "seed": 1, "dialect": "torch", "layers": [LINEAR]},
    ),
    (
        "fma: fma is for streams whose framework fuses multiply and add: keras-jax, torch, jax; "
        "keras-torch does not",
        {"rng": "keras-torch", "fma": False, "tensors": {"a": {**KERNEL, "seed": 1}}},
    ),
    (
        "fma: fma is for streams whose framework fuses multiply and add: keras-jax, torch, jax; "
        "aes-ctr does not",
        {"fma": True, "seed": 1, "tensors": {"a": KERNEL}},
    ),
    (
        "tensors.a: the stream keras-jax needs a seed for each random tensor: give 'a' one, "
        "such as seed: 7",
        {"rng": "keras-jax", "seed": 1, "tensors": {"a": KERNEL}},
    ),
    (
        "layers[0]: the stream jax needs a seed for each random tensor: give 'dense/kernel' one, "
        "such as seed: 7",
        {"rng": "jax", "input_shape": [4], "layers": [DENSE]},
    ),
    (
        "layers[0]: the stream jax needs a seed for each random tensor: give the initializer of "
        "'dense/bias' one, such as {name: ..., seed: 7}",
        {
            "rng": "jax",
            "input_shape": [4],
            "layers": [{**DENSE, "seed": 1, "bias_initializer": "random_uniform"}],
        },
    ),
    (
        "tensors.a: the stream torch is one for all tensors, so 'a' takes no seed of its own; "
        "seed the spec",
        {"rng": "torch", "seed": 1, "tensors": {"a": {**KERNEL, "seed": 7}}},
    ),
    (
        "layers[0]: the stream torch is one for all tensors, so '0.weight' takes no seed of its "
        "own; seed the spec",
        {"rng": "torch", "seed": 1, "dialect": "torch", "layers": [{**LINEAR, "seed": 7}]},
    ),
    (
        "layers[0].type: the stream torch draws no TransformerEncoder: torch makes copies of its "
        "layers, which would start alike; write the layers out, or say copies: true",
        {
            "rng": "torch",
            "seed": 1,
            "dialect": "torch",
            "layers": [
                {
                    "type": "TransformerEncoder",
                    "num_layers": 2,
                    "encoder_layer": {"type": "TransformerEncoderLayer", "d_model": 4, "nhead": 2},
                }
            ],
        },
    ),
    (
        "tensors.b: 'b' would be identical to 'a': the same seed 7, shape and distribution; "
        "give it another seed, or tie: a",
        {"rng": "keras-jax", "tensors": {n: {**KERNEL, "seed": 7} for n in "ab"}},
    ),
    (
        "layers[0]: 'multi_head_attention/key/kernel' would be identical to "
        "'multi_head_attention/query/kernel': the same seed 7, shape and distribution; "
        "give it another seed, or tie: multi_head_attention/query/kernel",
        {
            "rng": "keras-jax",
            "seed": 1,
            "input_shape": [4, 6],
            "layers": [{**ATTENTION, "seed": 7}],
        },
    ),
    (
        "layers[0]: 'lstm/lstm_cell/bias': the stream keras-jax draws no tensor whose middle holds "
        "a constant",
        {
            "rng": "keras-jax",
            "seed": 1,
            "input_shape": [4, 6],
            "layers": [
                {
                    "type": "LSTM",
                    "units": 3,
                    "recurrent_initializer": "he_uniform",
                    "bias_initializer": "random_uniform",
                }
            ],
        },
    ),
    (
        "layers[0]: '0.weight': the stream torch draws normal values with fma: true only",
        {
            "rng": "torch",
            "fma": False,
            "seed": 1,
            "dialect": "torch",
            "layers": [{"type": "Embedding", "num_embeddings": 5, "embedding_dim": 5}],
        },
    ),
    (
        "layers[0]: '0.weight': the stream torch cannot draw orthogonal values in float32; "
        "it draws uniform, normal and truncated normal values, and constants",
        {
            "rng": "torch",
            "seed": 1,
            "dialect": "torch",
            "layers": [{**LINEAR, "initializers": {"weight": "orthogonal"}}],
        },
    ),
]


@pytest.mark.parametrize(("message", "spec"), REFUSED)
def test_a_spec_is_refused(message: str, spec: dict[str, Any]) -> None:
    assert refused(**spec) == message


CAN = {
    "keras-numpy": "uniform, normal and truncated normal values, orthogonal kernels in float32, "
    "and constants",
    "keras-jax": "uniform values and constants",
    "keras-torch": "uniform values, normal values in float32, and constants",
    "keras-tensorflow": "uniform values and constants",
    "torch": "uniform, normal and truncated normal values, and constants",
    "jax": "uniform values and constants",
}
LAWS = {
    "normal": {"name": "random_normal"},
    "truncated normal": {"name": "glorot_normal"},
    "orthogonal": {"name": "orthogonal"},
    "sparse": {"name": "sparse", "sparsity": 0.5},
}


@pytest.mark.parametrize("stream", FRAMEWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("law", LAWS)
def test_a_law_is_drawn_or_refused_with_what_can_be(stream: str, dtype: str, law: str) -> None:
    seed = {} if stream == "torch" else {"seed": 7}
    tensor = {**KERNEL, "initializer": LAWS[law], "dtype": dtype, **seed}
    spec = {"rng": stream, "tensors": {"a": tensor}}
    in_all_dtypes = stream in ("keras-numpy", "torch")
    known = CAN[stream].replace("uniform, normal and", "uniform values, normal values and")
    is_drawn = f"{law} values" in known and (dtype == "float32" or in_all_dtypes)
    if is_drawn or (law, stream, dtype) == ("orthogonal", "keras-numpy", "float32"):
        planned(**spec)
    else:
        assert refused(**spec) == (
            f"tensors.a: 'a': the stream {stream} cannot draw {law} values in {dtype}; "
            f"it draws {CAN[stream]}"
        )


@pytest.mark.parametrize("stream", FRAMEWORKS)
def test_a_float_of_eight_bits_is_refused(stream: str) -> None:
    seed = {} if stream == "torch" else {"seed": 7}
    tensors = {"a": {**KERNEL, "dtype": "float8_e5m2", **seed}}
    assert refused(rng=stream, tensors=tensors) == (
        f"tensors.a: 'a': the stream {stream} draws float32, float64, float16, bfloat16, "
        "not float8_e5m2"
    )
    tensors["a"] = {**KERNEL, "dtype": "float8_e5m2", "initializer": "ones"}
    assert draw(planned(rng=stream, tensors=tensors), "a").astype(float).sum() == 20.0


@pytest.mark.parametrize(
    ("stream", "largest"),
    [
        ("keras-numpy", 2**32 - 1),
        ("keras-jax", 2**32 - 1),
        ("keras-torch", 2**64 - 1),
        ("keras-tensorflow", 2**63 - 1),
        ("jax", 2**63 - 1),
    ],
)
def test_a_seed_that_the_framework_refuses_is_refused(stream: str, largest: int) -> None:
    planned(rng=stream, tensors={"a": {**KERNEL, "seed": largest}})
    if largest < 2**64 - 1:
        assert refused(rng=stream, tensors={"a": {**KERNEL, "seed": largest + 1}}) == (
            f"tensors.a: 'a': the stream {stream} takes seeds up to {largest}, as its framework "
            f"does, found {largest + 1}"
        )


def test_tied_twins_and_twins_by_another_law_are_fine() -> None:
    tensors = {
        "a": {**KERNEL, "seed": 7},
        "b": {"tie": "a"},
        "c": {**KERNEL, "seed": 7, "initializer": "he_uniform"},
        "d": {**KERNEL, "seed": 7, "initializer": "ones", "shape": [5, 4]} | {"seed": None},
    }
    del tensors["d"]["seed"]
    plan = planned(rng="keras-numpy", tensors=tensors)
    assert [t.seed for t in plan.entries] == [7, 7, 7, 0]


@pytest.mark.parametrize("option", ["keras-mxnet", ""])
def test_an_unknown_stream_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "sample_specs/mlp.yaml", "--rng", option]) == 2
    assert capsys.readouterr().err == (
        "glorot: --rng: expected aes-ctr, keras-numpy, keras-jax, keras-torch, keras-tensorflow, "
        f"torch, jax, found {option!r}\n"
    )


class TestFiles:
    def test_provenance_names_the_stream_and_what_it_claims(self) -> None:
        found = provenance(chain("keras-jax", DENSE))
        assert found["stream"] == {
            "name": "keras-jax",
            "version": 1,
            "claims": "keras 3.15.1, jax 0.10.2, x86-64 CPU",
        }
        assert "claims" not in provenance(chain("aes-ctr", DENSE))["stream"]

    def test_fma_is_recorded_only_where_it_was_given(self) -> None:
        assert "fma" not in provenance(chain("keras-jax", DENSE))["spec"]
        assert provenance(chain("keras-jax", DENSE, fma=True))["spec"]["fma"] is True

    def test_fma_changes_half_of_the_values(self) -> None:
        fused, plain = (
            draw(chain("keras-jax", {**DENSE, "units": 5000}, fma=fma), "dense/kernel")
            for fma in (True, False)
        )
        assert 0.4 < (fused != plain).mean() < 0.6
        np.testing.assert_allclose(fused, plain, rtol=0.0, atol=1e-7)

    @pytest.mark.parametrize("stream", FRAMEWORKS)
    def test_workers_change_no_byte(self, stream: str, tmp_path: Path) -> None:
        each = {"shape": [1300, 1001], "axes": "IO", "initializer": "random_uniform"}
        if stream in ("keras-numpy", "torch"):
            each["initializer"] = "truncated_normal" if stream == "keras-numpy" else "normal"
        tensors = {
            name: each if stream == "torch" else {**each, "seed": index}
            for index, name in enumerate("cab")
        }
        plan = planned(rng=stream, seed=3, tensors=tensors)
        paths = [tmp_path / f"{workers}.safetensors" for workers in (1, 2, 5)]
        for workers, path in zip((1, 2, 5), paths, strict=True):
            write_weights(plan, path, workers=workers, sync=False)
        assert len({path.read_bytes() for path in paths}) == 1
        stored = paths[0].read_bytes()
        whole = b"".join(draw(plan, name).tobytes() for name in sorted(tensors))
        assert stored.endswith(whole)

    def test_the_option_is_the_specs_key(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        spec = tmp_path / "spec.json"
        text = {"seed": 42, "input_shape": [4], "layers": [DENSE]}
        spec.write_text(json.dumps(text))
        one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
        assert main(["init", str(spec), "-o", str(one), "-q", "--rng", "keras-torch"]) == 0
        spec.write_text(json.dumps({**text, "rng": "keras-torch"}))
        assert main(["init", str(spec), "-o", str(other), "-q"]) == 0
        assert one.read_bytes() == other.read_bytes()
        assert main(["verify", str(one), "-q"]) == 0
        assert main(["verify", str(one), str(spec), "-q", "--rng", "keras-jax"]) == 1
        capsys.readouterr()


PIECED = [Uniform(-0.5, 0.5), Uniform(0.25, 1.75), Normal(0.5, 2.0), TruncatedNormal(0.5, 2.0)]
PIECES = [(0, 5000), (4999, 5003), (1 << 18, (1 << 18) + 7), (123_457, 300_001), (3, 3)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("stream", FRAMEWORKS)
@pytest.mark.parametrize("law", PIECED, ids=lambda law: type(law).__name__)
def test_any_piece_can_be_drawn_alone(stream: str, law: Any, dtype: str) -> None:
    from glorot_cli.dtypes import numpy_dtype

    request = Request(law, (300_001,), 11, "t", dtype, (5, -1) if stream == "torch" else ())
    try:
        draw = drawer(stream, request)
    except ValueError:
        return
    whole = np.empty(300_001, numpy_dtype(dtype))
    draw(0, whole)
    for first, stop in PIECES:
        piece = np.empty(stop - first, numpy_dtype(dtype))
        draw(first, piece)
        assert piece.tobytes() == whole[first:stop].tobytes(), (first, stop)


def test_a_sequence_in_order_forgets_every_other_state_when_it_has_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from glorot_cli.streams import in_order

    monkeypatch.setattr(in_order, "MOST_STATES", 5)
    monkeypatch.setattr(in_order, "_SKIPPED", 10)

    class Counter:
        state = 0

    counter = Counter()

    def fill(out: Any) -> None:
        out[:] = np.arange(counter.state, counter.state + out.size)
        counter.state += out.size

    sequence = InOrder(counter, fill, np.int64)
    source = random.Random(1)
    for _ in range(300):
        first, out = source.randrange(1000), np.empty(source.randrange(1, 30), np.int64)
        sequence.draw(first, out)
        assert out.tolist() == list(range(first, first + out.size))
