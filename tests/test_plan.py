"""The plan: every layer's tensors, their fans, how shapes flow, and what is said about fans."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import glorot_cli as glorot
from glorot_cli.fans import Fans

Run = Callable[..., tuple[int, str, str]]
Planned = Callable[..., glorot.Plan]

SAMPLES = Path(__file__).parent.parent / "sample_specs"

Tensors = dict[str, tuple[tuple[int, ...], Fans | None]]

# Layer, input shape, its tensors with their fans, and the size of its output.
LAYERS: dict[str, tuple[dict[str, Any], list[int], Tensors, int]] = {
    "Dense": (
        {"type": "Dense", "units": 5}, [3],
        {"dense/kernel": ((3, 5), Fans(3, 5)), "dense/bias": ((5,), None)}, 5,
    ),
    "Dense-of-a-sequence": (
        {"type": "Dense", "units": 5, "use_bias": False}, [7, 3],
        {"dense/kernel": ((3, 5), Fans(3, 5))}, 35,
    ),
    "Embedding": (
        {"type": "Embedding", "input_dim": 100, "output_dim": 8}, [6],
        {"embedding/embeddings": ((100, 8), Fans(100, 8))}, 48,
    ),
    "Conv1D-causal": (
        {"type": "Conv1D", "filters": 4, "kernel_size": 3, "padding": "causal"}, [9, 2],
        {"conv1d/kernel": ((3, 2, 4), Fans(6, 12)), "conv1d/bias": ((4,), None)}, 36,
    ),
    "Conv1D-dilated": (
        {"type": "Conv1D", "filters": 4, "kernel_size": 3, "dilation_rate": 2}, [9, 2],
        {"conv1d/kernel": ((3, 2, 4), Fans(6, 12)), "conv1d/bias": ((4,), None)}, 5 * 4,
    ),
    "Conv2D-valid": (
        {"type": "Conv2D", "filters": 4, "kernel_size": [3, 5], "strides": 2}, [10, 11, 8],
        {"conv2d/kernel": ((3, 5, 8, 4), Fans(120, 60)), "conv2d/bias": ((4,), None)}, 4 * 4 * 4,
    ),
    "Conv2D-same": (
        {"type": "Conv2D", "filters": 4, "kernel_size": 3, "strides": [2, 3], "padding": "same",
         "use_bias": False}, [10, 11, 8],
        {"conv2d/kernel": ((3, 3, 8, 4), Fans(72, 36))}, 5 * 4 * 4,
    ),
    "Conv2D-grouped": (
        {"type": "Conv2D", "filters": 4, "kernel_size": 3, "groups": 2}, [3, 3, 8],
        {"conv2d/kernel": ((3, 3, 4, 4), Fans(36, 36)), "conv2d/bias": ((4,), None)}, 4,
    ),
    "Conv2D-channels-first": (
        {"type": "Conv2D", "filters": 4, "kernel_size": 3, "data_format": "channels_first"},
        [8, 5, 6],
        {"conv2d/kernel": ((3, 3, 8, 4), Fans(72, 36)), "conv2d/bias": ((4,), None)}, 4 * 3 * 4,
    ),
    "Conv3D": (
        {"type": "Conv3D", "filters": 4, "kernel_size": 2}, [3, 4, 5, 8],
        {"conv3d/kernel": ((2, 2, 2, 8, 4), Fans(64, 32)), "conv3d/bias": ((4,), None)},
        2 * 3 * 4 * 4,
    ),
    "DepthwiseConv2D": (
        {"type": "DepthwiseConv2D", "kernel_size": 3, "depth_multiplier": 2}, [4, 5, 8],
        {"depthwise_conv2d/kernel": ((3, 3, 8, 2), Fans(72, 18)),
         "depthwise_conv2d/bias": ((16,), None)},
        2 * 3 * 16,
    ),
    "BatchNormalization": (
        {"type": "BatchNormalization"}, [4, 3],
        {f"batch_normalization/{name}": ((3,), None)
         for name in ("gamma", "beta", "moving_mean", "moving_variance")},
        12,
    ),
    "BatchNormalization-of-an-axis": (
        {"type": "BatchNormalization", "axis": 1, "scale": False, "center": False}, [4, 3],
        {f"batch_normalization/{name}": ((4,), None)
         for name in ("moving_mean", "moving_variance")},
        12,
    ),
    "LayerNormalization": (
        {"type": "LayerNormalization"}, [4, 3],
        {f"layer_normalization/{name}": ((3,), None) for name in ("gamma", "beta")}, 12,
    ),
    "MultiHeadAttention": (
        {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 3, "value_dim": 5}, [6, 8],
        {
            "multi_head_attention/query/kernel": ((8, 2, 3), Fans(8, 6)),
            "multi_head_attention/query/bias": ((2, 3), Fans(2, 3)),
            "multi_head_attention/key/kernel": ((8, 2, 3), Fans(8, 6)),
            "multi_head_attention/key/bias": ((2, 3), Fans(2, 3)),
            "multi_head_attention/value/kernel": ((8, 2, 5), Fans(8, 10)),
            "multi_head_attention/value/bias": ((2, 5), Fans(2, 5)),
            "multi_head_attention/attention_output/kernel": ((2, 5, 8), Fans(10, 8)),
            "multi_head_attention/attention_output/bias": ((8,), None),
        },
        48,
    ),
    "MultiHeadAttention-without-biases": (
        {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 3, "use_bias": False,
         "output_shape": 7}, [6, 8],
        {
            "multi_head_attention/query/kernel": ((8, 2, 3), Fans(8, 6)),
            "multi_head_attention/key/kernel": ((8, 2, 3), Fans(8, 6)),
            "multi_head_attention/value/kernel": ((8, 2, 3), Fans(8, 6)),
            "multi_head_attention/attention_output/kernel": ((2, 3, 7), Fans(6, 7)),
        },
        42,
    ),
    "Activation": ({"type": "Activation", "activation": "relu"}, [4, 3], {}, 12),
    "ReLU": ({"type": "ReLU", "max_value": 6}, [4, 3], {}, 12),
    "Softmax": ({"type": "Softmax"}, [4, 3], {}, 12),
    "Dropout": ({"type": "Dropout", "rate": 0.5}, [4, 3], {}, 12),
    "Flatten": ({"type": "Flatten"}, [4, 3], {}, 12),
    "Reshape": ({"type": "Reshape", "target_shape": [2, -1]}, [4, 3], {}, 12),
    "MaxPooling1D": ({"type": "MaxPooling1D"}, [7, 3], {}, 9),
    "MaxPooling2D": ({"type": "MaxPooling2D", "pool_size": 3, "strides": 1}, [7, 6, 3], {}, 60),
    "MaxPooling3D": ({"type": "MaxPooling3D"}, [4, 6, 7, 3], {}, 2 * 3 * 3 * 3),
    "AveragePooling1D": (
        {"type": "AveragePooling1D", "pool_size": 2, "padding": "same"}, [7, 3], {}, 12,
    ),
    "AveragePooling2D": (
        {"type": "AveragePooling2D", "pool_size": 2, "data_format": "channels_first"},
        [3, 6, 4], {}, 18,
    ),
    "AveragePooling3D": (
        {"type": "AveragePooling3D", "pool_size": [1, 2, 3]}, [2, 4, 6, 3], {}, 24,
    ),
    "GlobalMaxPooling1D": ({"type": "GlobalMaxPooling1D"}, [7, 3], {}, 3),
    "GlobalMaxPooling2D": ({"type": "GlobalMaxPooling2D", "keepdims": True}, [7, 6, 3], {}, 3),
    "GlobalMaxPooling3D": ({"type": "GlobalMaxPooling3D"}, [7, 6, 5, 3], {}, 3),
    "GlobalAveragePooling1D": ({"type": "GlobalAveragePooling1D"}, [7, 3], {}, 3),
    "GlobalAveragePooling2D": ({"type": "GlobalAveragePooling2D"}, [7, 6, 3], {}, 3),
    "GlobalAveragePooling3D": ({"type": "GlobalAveragePooling3D"}, [7, 6, 5, 3], {}, 3),
    "ZeroPadding2D": ({"type": "ZeroPadding2D", "padding": [[0, 1], [2, 3]]}, [4, 5, 3], {}, 150),
}  # fmt: skip


@pytest.mark.parametrize(("layer", "shape", "tensors", "outputs"), LAYERS.values(), ids=LAYERS)
def test_a_layer_has_its_tensors_and_its_output(
    layer: dict[str, Any], shape: list[int], tensors: Tensors, outputs: int, planned: Planned
) -> None:
    probe = [{"type": "Flatten", "name": "flat"}, {"type": "Dense", "name": "probe", "units": 1}]
    plan = planned(input_shape=shape, layers=[layer, *probe])
    found = {t.name: (t.shape, t.fans) for t in plan.tensors}
    assert found.pop("probe/kernel") == ((outputs, 1), Fans(outputs, 1))
    assert found.pop("probe/bias") == ((1,), None)
    assert found == tensors
    assert list(found) == list(tensors)


def test_statistics_are_not_trained(planned: Planned) -> None:
    layers = [{"type": "BatchNormalization"}, {"type": "Dense", "units": 2, "trainable": False}]
    plan = planned(input_shape=[3], layers=layers)
    assert {t.name.rpartition("/")[2]: t.trainable for t in plan.tensors} == {
        "gamma": True,
        "beta": True,
        "moving_mean": False,
        "moving_variance": False,
        "kernel": False,
        "bias": False,
    }


def test_unnamed_layers_count_per_class(planned: Planned) -> None:
    dense = {"type": "Dense", "units": 2, "use_bias": False}
    layers = [dense, {"type": "ReLU"}, dense, {**dense, "name": "hidden"}, dense]
    plan = planned(input_shape=[2], layers=layers)
    names = [t.name for t in plan.tensors]
    assert names == ["dense/kernel", "dense_1/kernel", "hidden/kernel", "dense_2/kernel"]


def test_places_in_the_keras_layout_count_named_layers_too(planned: Planned) -> None:
    dense = {"type": "Dense", "units": 2}
    plan = planned(input_shape=[2], layers=[{**dense, "name": "hidden"}, dense])
    assert [t.group for t in plan.tensors] == [
        "layers/dense/vars/0",
        "layers/dense/vars/1",
        "layers/dense_1/vars/0",
        "layers/dense_1/vars/1",
    ]


def test_a_layer_may_state_its_own_input(planned: Planned) -> None:
    dense = {"type": "Dense", "units": 2, "use_bias": False}
    plan = planned(layers=[{**dense, "input_shape": [3]}, {**dense, "input_shape": [7]}])
    assert [t.shape for t in plan.tensors] == [(3, 2), (7, 2)]


def test_an_unknown_size_passes_where_no_weight_depends_on_it(planned: Planned) -> None:
    layers = [
        {"type": "Conv2D", "filters": 4, "kernel_size": 3},
        {"type": "GlobalAveragePooling2D"},
        {"type": "Dense", "units": 2},
    ]
    plan = planned(input_shape=[None, None, 3], layers=layers)
    assert plan["dense/kernel"].shape == (4, 2)


def test_an_unknown_size_that_weights_need_is_an_error(planned: Planned) -> None:
    layers = [{"type": "Flatten"}, {"type": "Dense", "units": 2}]
    with pytest.raises(glorot.SpecError) as caught:
        planned(input_shape=[None, 3], layers=layers)
    assert str(caught.value) == (
        "<spec>: layers[1]: weights depend on the size of axis -1 of [null], which is null; "
        "input_shape leaves the batch axis out"
    )


def test_raw_tensors_follow_the_layers(planned: Planned) -> None:
    plan = planned(
        input_shape=[2],
        tensors=[{"z": {"shape": [3], "initializer": "ones"}},
                 {"a": {"shape": [8, 24], "axes": "IO", "fused": 3, "dtype": "float64",
                        "initializer": "glorot_uniform"}}],
        layers=[{"type": "Dense", "units": 3, "use_bias": False}],
    )  # fmt: skip
    assert [(t.name, t.fans, t.dtype, t.nbytes) for t in plan.tensors] == [
        ("dense/kernel", Fans(2, 3), "float32", 24),
        ("z", None, "float32", 12),
        ("a", Fans(8, 8), "float64", 1536),
    ]


def test_adding_a_layer_changes_no_other_tensor(planned: Planned) -> None:
    dense = {"type": "Dense", "units": 8}
    short = planned(input_shape=[8], layers=[{**dense, "name": "a"}])
    long = planned(input_shape=[8], layers=[dense, {**dense, "name": "a"}, dense])
    assert glorot.draw(short, "a/kernel").tobytes() == glorot.draw(long, "a/kernel").tobytes()


def test_an_unknown_tensor_is_a_key_error(planned: Planned) -> None:
    plan = planned(tensors={"w": {"shape": [3], "initializer": "ones"}})
    with pytest.raises(KeyError):
        plan["v"]


def test_the_seed_is_drawn_only_where_something_random_needs_it() -> None:
    dense = {"input_shape": [2], "layers": [{"type": "Dense", "units": 3}]}
    drawn = [glorot.make_plan(glorot.load_spec(dense)) for _ in range(2)]
    assert [plan.seed_was_drawn for plan in drawn] == [True, True]
    assert drawn[0].seed != drawn[1].seed
    assert drawn[0].spec["seed"] == drawn[0].seed
    ones = {"tensors": {"w": {"shape": [3], "initializer": "ones"}}}
    assert not glorot.make_plan(glorot.load_spec(ones)).seed_was_drawn
    assert not glorot.make_plan(glorot.load_spec({**dense, "seed": 0})).seed_was_drawn


@pytest.mark.parametrize(
    ("spec", "notices"),
    [
        (
            {"input_shape": [4, 4, 8], "layers": [
                {"type": "DepthwiseConv2D", "kernel_size": 3, "padding": "same"}] * 3},
            ["depthwise_conv2d/kernel (and 2 more): the framework's fans (72, 9) give the limit "
             "0.2722, exact fans (9, 9) give 0.5774; choose with fans: exact"],
        ),
        (
            {"input_shape": [4, 4, 8],
             "layers": [{"type": "Conv2D", "filters": 4, "kernel_size": 3, "groups": 2}]},
            ["conv2d/kernel: the framework's fans (36, 36) give the limit "
             "0.2887, exact fans (36, 18) give 0.3333; choose with fans: exact"],
        ),
        (
            {"dialect": "torch", "layers": [
                {"type": "TransformerEncoder", "num_layers": 24, "encoder_layer": {
                    "type": "TransformerEncoderLayer", "d_model": 64, "nhead": 4}}]},
            ["0.layers.0.self_attn.in_proj_weight (and 23 more): the framework's fans (64, 192) "
             "give the limit 0.1531, exact fans (64, 64) give 0.2165; choose with fans: exact",
             "0.layers.1.self_attn.in_proj_weight: torch copies the first layer, so that all start "
             "alike; here each is drawn: copies: true makes copies"],
        ),
        (
            {"dialect": "torch", "layers": [
                {"type": "MultiheadAttention", "embed_dim": 64, "num_heads": 4}] * 3},
            ["0.in_proj_weight (and 2 more): the framework's fans (64, 192) "
             "give the limit 0.1531, exact fans (64, 64) give 0.2165; choose with fans: exact"],
        ),
        (
            {"fans": "exact", "input_shape": [4, 4, 8],
             "layers": [{"type": "DepthwiseConv2D", "kernel_size": 3}]},
            [],
        ),
        ({"input_shape": [4], "layers": [{"type": "Dense", "units": 9}]}, []),
        (
            {"input_shape": [4, 8],
             "layers": [{"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 3}]},
            [],
        ),
        (
            # Fans 600 and 603: the limits differ by a quarter of a percent.
            {"fans": "jax", "tensors": {"w": {"shape": [1, 300, 303], "axes": "BIO",
                                              "initializer": "glorot_uniform"}}},
            [],
        ),
        (
            {"tensors": {
                "w.{i}": {"shape": [3, 4], "axes": "IJ", "initializer": "glorot_uniform",
                          "repeat": {"i": 2}},
                "u": {"shape": [3, 4], "axes": "OJ", "initializer": "he_normal"},
                "v": {"shape": [4], "axes": "I", "initializer": "glorot_uniform"},
                "n": {"shape": [3, 4], "axes": "IJ", "initializer": "ones"}}},
            ["w.0 (and 1 more): axes IJ has no output axis O: it counts one output",
             "u: axes OJ has no input axis I: it counts one input"],
        ),
    ],
)  # fmt: skip
def test_fans_that_may_surprise_are_said(
    spec: dict[str, Any], notices: list[str], planned: Planned
) -> None:
    assert list(planned(**spec).notices) == notices


def test_an_older_keras_counts_attention_otherwise(planned: Planned) -> None:
    attention = {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 3, "use_bias": False}
    plan = planned(input_shape=[6, 8], layers=[{**attention, "fans": "keras-3.14"}])
    assert [t.fans for t in plan.tensors] == [Fans(16, 24)] * 3 + [Fans(6, 16)]


# The text network: an embedding of 20,000 x 128, twice a convolution of 7 x 128 x 128 + 128, a
# dense layer of 128 x 128 + 128, one of 128 + 1: 2,560,000 + 2 x 114,816 + 16,512 + 129.
# The transformer block: norms 2 x 512; query, key, value and output 4 x 512 x 512; the gate and the
# hidden layer 512 x 4096; back 2048 x 512: 1,024 + 1,048,576 + 2,097,152 + 1,048,576.
@pytest.mark.parametrize(
    ("sample", "parameters", "trainable"),
    [
        ("mlp.yaml", 7_114, 7_114),
        ("lenet5.yaml", 61_706, 61_706),
        ("vgg16.yaml", 138_357_544, 138_357_544),
        ("mobilenet_v1.yaml", 4_253_864, 4_231_976),
        ("text_cnn.json", 2_806_273, 2_806_273),
        ("attention.yaml", 4_195_328, 4_195_328),
    ],
)
def test_sample_specs_have_the_parameters_of_the_real_models(
    sample: str, parameters: int, trainable: int, run: Run
) -> None:
    code, out, _ = run("plan", SAMPLES / sample, "--json")
    totals = {"parameters": parameters, "trainable": trainable, "bytes": 4 * parameters}
    assert (code, json.loads(out)["totals"]) == (0, totals)


@pytest.mark.parametrize(
    ("globs", "names"),
    [
        ([], ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]),
        (["--include", "*/bias"], ["dense/bias", "dense_1/bias"]),
        (["--include", "dense/*", "--include", "*_1/bias"],
         ["dense/kernel", "dense/bias", "dense_1/bias"]),
        (["--exclude", "*s/kernel", "--exclude", "dense/*"], ["dense_1/kernel", "dense_1/bias"]),
        (["--include", "dense*", "--exclude", "*bias"], ["dense/kernel", "dense_1/kernel"]),
        (["--include", "DENSE/*", "--include", "dense_?/[!k]*"], ["dense_1/bias"]),
    ],
)  # fmt: skip
def test_globs_choose_names(globs: list[str], names: list[str], run: Run) -> None:
    code, out, _ = run("plan", SAMPLES / "mlp.yaml", "--json", *globs)
    assert (code, [tensor["name"] for tensor in json.loads(out)["tensors"]]) == (0, names)


def test_plan_prints_a_table(run: Run) -> None:
    code, out, err = run("plan", SAMPLES / "mlp.yaml", "--seed", "42")
    assert (code, err) == (0, "")
    gap = " " * 53
    assert out == (
        "name            shape      dtype    initializer     fan_in  fan_out  limit/stddev"
        "  expected std  forward gain  backward gain\n"
        "dense/kernel    (100, 64)  float32  glorot_uniform     100       64        0.1913"
        "        0.1104          1.22         0.7805\n"
        f"dense/bias      (64)       float32  zeros{gap}0\n"
        "dense_1/kernel  (64, 10)   float32  glorot_uniform      64       10        0.2847"
        "        0.1644          1.73         0.2703\n"
        f"dense_1/bias    (10)       float32  zeros{gap}0\n"
        "7,114 parameters, 28.5 kB\n"
    )


def test_plan_in_json(run: Run) -> None:
    code, out, err = run("plan", SAMPLES / "mlp.yaml", "--json", "--seed", "42")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert list(document) == ["tensors", "totals", "seed", "rng"]
    assert (document["seed"], document["rng"]) == (42, "aes-ctr")
    kernel, bias = document["tensors"][:2]
    expected = {
        "name": "dense/kernel", "shape": [100, 64], "dtype": "float32",
        "initializer": "glorot_uniform", "arguments": {}, "fan_in": 100, "fan_out": 64,
        "limit": 0.1912730139190015, "parameters": 6400, "bytes": 25600, "trainable": True,
    }  # fmt: skip
    assert {key: kernel[key] for key in expected} == expected
    assert {key: bias[key] for key in ("fan_in", "fan_out", "limit")} == {
        "fan_in": None,
        "fan_out": None,
        "limit": None,
    }


def test_the_notice_goes_to_standard_error(run: Run, tmp_path: Path) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text("input_shape: [4, 4, 8]\nlayers: [{type: DepthwiseConv2D, kernel_size: 3}]\n")
    line = (
        "note: depthwise_conv2d/kernel: the framework's fans (72, 9) give the limit 0.2722, "
        "exact fans (9, 9) give 0.5774; choose with fans: exact\n"
    )
    code, out, err = run("plan", spec, "--json")
    assert (code, err) == (0, line)
    assert json.loads(out)["totals"]["parameters"] == 80
    assert run("plan", spec, "--quiet") == (0, "", "")


def test_a_tensor_is_looked_up_by_its_name_at_once(planned: Planned) -> None:
    plan = planned(tensors={f"w{n}": {"shape": [2], "initializer": "zeros"} for n in range(20)})
    assert all(plan[tensor.name] is tensor for tensor in plan.tensors)

    class Counted(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    assert plan[Counted("w19")].name == "w19"
    assert Counted.compared <= 2
    assert plan.of({"w3"})["w3"] is plan["w3"]
