"""The dialects: names, shapes and outputs of each family of layers, in literal text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.dialects.keras import network as keras
from glorot_cli.dialects.layer import Here
from glorot_cli.dialects.torch import network as torch

Planned = Callable[..., glorot.Plan]
Layer = dict[str, Any]
Shapes = dict[str, tuple[int, ...]]

DENSE = {"type": "Dense", "units": 3}
LSTM = {"type": "LSTM", "units": 2}
LINEAR = {"type": "Linear", "in_features": 4, "out_features": 3}


def layer(kind: str, **arguments: Any) -> Layer:
    return {"type": kind, **arguments}


def shapes(plan: glorot.Plan) -> Shapes:
    return {tensor.name: tensor.shape for tensor in plan.tensors}


# A layer, the shapes of its inputs, its output's shape, and its weights below its name.
KERAS: list[tuple[Layer, list[list[int | None]], tuple[int | None, ...], Shapes]] = [
    (layer("Dense", units=3), [[5, 4]], (5, 3), {"kernel": (4, 3), "bias": (3,)}),
    (layer("EinsumDense", equation="abc,cde->abde", output_shape=[None, 2, 3], bias_axes="de"),
     [[5, 4]], (None, 2, 3), {"kernel": (4, 2, 3), "bias": (2, 3)}),
    (layer("EinsumDense", equation="...x,xy->...y", output_shape=6, bias_axes="y"),
     [[4]], (6,), {"kernel": (4, 6), "bias": (6,)}),
    (layer("Embedding", input_dim=9, output_dim=2), [[None]], (None, 2), {"embeddings": (9, 2)}),
    (layer("ReversibleEmbedding", input_dim=9, output_dim=2, tie_weights=False), [[4]], (4, 2),
     {"embeddings": (9, 2), "reverse_embeddings": (2, 9)}),
    (layer("PReLU", shared_axes=[1, 2]), [[8, 7, 3]], (8, 7, 3), {"alpha": (1, 1, 3)}),
    (layer("Conv1D", filters=3, kernel_size=2, padding="causal", dilation_rate=2), [[9, 4]],
     (9, 3), {"kernel": (2, 4, 3), "bias": (3,)}),
    (layer("Conv2D", filters=6, kernel_size=[3, 2], strides=2, groups=2), [[9, None, 4]],
     (4, None, 6), {"kernel": (3, 2, 2, 6), "bias": (6,)}),
    (layer("Conv3D", filters=2, kernel_size=3, data_format="channels_first"), [[4, 5, 6, 7]],
     (2, 3, 4, 5), {"kernel": (3, 3, 3, 4, 2), "bias": (2,)}),
    (layer("Conv2DTranspose", filters=3, kernel_size=2, strides=2), [[5, 6, 4]], (10, 12, 3),
     {"kernel": (2, 2, 3, 4), "bias": (3,)}),
    (layer("DepthwiseConv2D", kernel_size=3, depth_multiplier=2), [[5, 6, 4]], (3, 4, 8),
     {"kernel": (3, 3, 4, 2), "bias": (8,)}),
    (layer("SeparableConv1D", filters=5, kernel_size=3, padding="same"), [[6, 4]], (6, 5),
     {"depthwise_kernel": (3, 4, 1), "pointwise_kernel": (1, 4, 5), "bias": (5,)}),
    (layer("BatchNormalization", scale=False, renorm=True), [[4]], (4,),
     {"beta": (4,), "moving_mean": (4,), "moving_variance": (4,), "moving_stddev": (4,),
      "renorm_mean": (4,), "renorm_stddev": (4,)}),
    (layer("LayerNormalization", axis=[2, 1]), [[5, 4]], (5, 4),
     {"gamma": (5, 4), "beta": (5, 4)}),
    (layer("LayerNormalization", scale=False, center=False), [[None]], (None,), {}),
    (layer("GroupNormalization", groups=2), [[5, 4]], (5, 4), {"gamma": (4,), "beta": (4,)}),
    (layer("RMSNormalization"), [[5, 4]], (5, 4), {"scale": (4,)}),
    (layer("Normalization"), [[5, 4]], (5, 4), {"mean": (4,), "variance": (4,), "count": ()}),
    (layer("SimpleRNN", units=2), [[5, 4]], (2,),
     {"simple_rnn_cell/kernel": (4, 2), "simple_rnn_cell/recurrent_kernel": (2, 2),
      "simple_rnn_cell/bias": (2,)}),
    (layer("LSTM", units=2, return_sequences=True), [[5, 4]], (5, 2),
     {"lstm_cell/kernel": (4, 8), "lstm_cell/recurrent_kernel": (2, 8), "lstm_cell/bias": (8,)}),
    (layer("GRU", units=2), [[5, 4]], (2,),
     {"gru_cell/kernel": (4, 6), "gru_cell/recurrent_kernel": (2, 6), "gru_cell/bias": (2, 6)}),
    (layer("GRU", units=2, reset_after=False), [[5, 4]], (2,),
     {"gru_cell/kernel": (4, 6), "gru_cell/recurrent_kernel": (2, 6), "gru_cell/bias": (6,)}),
    (layer("ConvLSTM2D", filters=2, kernel_size=3), [[None, 6, 6, 4]], (4, 4, 2),
     {"conv_lstm_cell/kernel": (3, 3, 4, 8), "conv_lstm_cell/recurrent_kernel": (3, 3, 2, 8),
      "conv_lstm_cell/bias": (8,)}),
    (layer("RNN", cell=layer("LSTMCell", units=2, use_bias=False)), [[5, 4]], (2,),
     {"lstm_cell/kernel": (4, 8), "lstm_cell/recurrent_kernel": (2, 8)}),
    (layer("RNN", cell=[layer("SimpleRNNCell", units=n, use_bias=False) for n in (2, 3)]),
     [[5, 4]], (3,),
     {"stacked_rnn_cells/simple_rnn_cell/kernel": (4, 2),
      "stacked_rnn_cells/simple_rnn_cell/recurrent_kernel": (2, 2),
      "stacked_rnn_cells/simple_rnn_cell_1/kernel": (2, 3),
      "stacked_rnn_cells/simple_rnn_cell_1/recurrent_kernel": (3, 3)}),
    (layer("Bidirectional", layer=layer("LSTM", units=2, use_bias=False)), [[5, 4]], (4,),
     {"forward_lstm/lstm_cell/kernel": (4, 8), "forward_lstm/lstm_cell/recurrent_kernel": (2, 8),
      "backward_lstm/lstm_cell/kernel": (4, 8),
      "backward_lstm/lstm_cell/recurrent_kernel": (2, 8)}),
    (layer("TimeDistributed", layer=DENSE), [[5, 4]], (5, 3),
     {"dense/kernel": (4, 3), "dense/bias": (3,)}),
    (layer("SpectralNormalization", layer=DENSE), [[4]], (3,),
     {"dense/kernel": (4, 3), "vector_u": (1, 3), "dense/bias": (3,)}),
    (layer("MultiHeadAttention", num_heads=2, key_dim=3, value_dim=1, use_bias=False),
     [[5, 4], [7, 6]], (5, 4),
     {"query/kernel": (4, 2, 3), "key/kernel": (6, 2, 3), "value/kernel": (6, 2, 1),
      "attention_output/kernel": (2, 1, 4)}),
    (layer("GroupQueryAttention", head_dim=3, num_query_heads=4, num_key_value_heads=2,
           use_bias=False), [[5, 4]], (5, 4),
     {"query/kernel": (4, 4, 3), "key/kernel": (4, 2, 3), "value/kernel": (4, 2, 3),
      "attention_output/kernel": (4, 3, 4)}),
    (layer("Attention", use_scale=True, score_mode="concat"), [[5, 4], [7, 4]], (5, 4),
     {"scale": (), "concat_score_weight": ()}),
    (layer("AdditiveAttention"), [[5, 4], [7, 4]], (5, 4), {"scale": (4,)}),
    (layer("Sequential", layers=[DENSE, layer("Dense", units=2)]), [[4]], (2,),
     {"dense/kernel": (4, 3), "dense/bias": (3,), "dense_1/kernel": (3, 2), "dense_1/bias": (2,)}),
    (layer("Functional", input_names=["a", "b"],
           layers=[{**DENSE, "inputs": "b"}, layer("Add", inputs=["a", "dense"])]),
     [[3], [4]], (3,), {"dense/kernel": (4, 3), "dense/bias": (3,)}),
    (layer("Add"), [[5, 3], [3]], (5, 3), {}),
    (layer("Concatenate", axis=1), [[5, 3], [2, 3]], (7, 3), {}),
    (layer("Dot", axes=[2, 1]), [[5, 3], [3, 4]], (5, 4), {}),
    (layer("UpSampling2D", size=[2, 3]), [[5, None, 3]], (10, None, 3), {}),
    (layer("Cropping1D", cropping=[1, 2]), [[5, 3]], (2, 3), {}),
    (layer("ZeroPadding2D", padding=[[0, 1], [2, 3]]), [[5, 5, 3]], (6, 10, 3), {}),
    (layer("Permute", dims=[3, 1, 2]), [[5, 6, 3]], (3, 5, 6), {}),
    (layer("RepeatVector", n=3), [[4]], (3, 4), {}),
    (layer("MaxPooling2D"), [[5, 5, 3]], (2, 2, 3), {}),
    (layer("AveragePooling1D", pool_size=3, strides=1, padding="same"), [[5, 3]], (5, 3), {}),
    (layer("AdaptiveMaxPooling2D", output_size=2), [[5, 5, 3]], (2, 2, 3), {}),
    (layer("GlobalMaxPooling1D", keepdims=True), [[5, 3]], (1, 3), {}),
    (layer("Resizing", height=4, width=6), [[5, 5, 3]], (4, 6, 3), {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "inputs", "output", "weights"), KERAS, ids=[case[0]["type"] for case in KERAS]
)
def test_a_keras_layer(
    entry: Layer,
    inputs: list[list[int | None]],
    output: tuple[int | None, ...],
    weights: Shapes,
    planned: Planned,
) -> None:
    names = [f"in{index}" for index in range(len(inputs))]
    plan = planned(
        inputs=dict(zip(names, inputs, strict=True)),
        layers=[{**entry, "name": "x", "inputs": names}],
    )
    assert shapes(plan) == {f"x/{name}": shape for name, shape in weights.items()}
    built = keras.Dialect().layer(Here(entry, (), {})).build(*map(tuple, inputs))
    assert (built.output, len(built.weights)) == (output, len(weights))


TORCH: list[tuple[Layer, tuple[int, ...] | None, tuple[int, ...] | None, Shapes]] = [
    (LINEAR, (5, 4), (5, 3), {"weight": (3, 4), "bias": (3,)}),
    (LINEAR, None, None, {"weight": (3, 4), "bias": (3,)}),
    (layer("Bilinear", in1_features=4, in2_features=2, out_features=3, bias=False), (4,), (3,),
     {"weight": (3, 4, 2)}),
    (layer("Embedding", num_embeddings=9, embedding_dim=2), (5,), (5, 2), {"weight": (9, 2)}),
    (layer("EmbeddingBag", num_embeddings=9, embedding_dim=2), (5,), (2,), {"weight": (9, 2)}),
    (layer("Conv2d", in_channels=4, out_channels=6, kernel_size=[3, 2], groups=2, padding=1),
     (4, 5, 5), (6, 5, 6), {"weight": (6, 2, 3, 2), "bias": (6,)}),
    (layer("ConvTranspose1d", in_channels=4, out_channels=6, kernel_size=3, stride=2, groups=2),
     (4, 5), (6, 11), {"weight": (4, 3, 3), "bias": (6,)}),
    (layer("BatchNorm1d", num_features=4), (4, 5), (4, 5),
     {"weight": (4,), "bias": (4,), "running_mean": (4,), "running_var": (4,),
      "num_batches_tracked": ()}),
    (layer("InstanceNorm1d", num_features=4), (4, 5), (4, 5), {}),
    (layer("LayerNorm", normalized_shape=[5, 4]), (5, 4), (5, 4),
     {"weight": (5, 4), "bias": (5, 4)}),
    (layer("RMSNorm", normalized_shape=4), (5, 4), (5, 4), {"weight": (4,)}),
    (layer("GroupNorm", num_groups=2, num_channels=4), (4, 5), (4, 5),
     {"weight": (4,), "bias": (4,)}),
    (layer("PReLU", num_parameters=4), (4, 5), (4, 5), {"weight": (4,)}),
    (layer("RNN", input_size=4, hidden_size=2, bias=False), (5, 4), (5, 2),
     {"weight_ih_l0": (2, 4), "weight_hh_l0": (2, 2)}),
    (layer("LSTM", input_size=4, hidden_size=3, proj_size=2, bias=False, bidirectional=True),
     (5, 4), (5, 4),
     {"weight_ih_l0": (12, 4), "weight_hh_l0": (12, 2), "weight_hr_l0": (2, 3),
      "weight_ih_l0_reverse": (12, 4), "weight_hh_l0_reverse": (12, 2),
      "weight_hr_l0_reverse": (2, 3)}),
    (layer("GRU", input_size=4, hidden_size=2, num_layers=2, bias=False), (5, 4), (5, 2),
     {"weight_ih_l0": (6, 4), "weight_hh_l0": (6, 2), "weight_ih_l1": (6, 2),
      "weight_hh_l1": (6, 2)}),
    (layer("LSTMCell", input_size=4, hidden_size=2), (4,), (2,),
     {"weight_ih": (8, 4), "weight_hh": (8, 2), "bias_ih": (8,), "bias_hh": (8,)}),
    (layer("MultiheadAttention", embed_dim=4, num_heads=2, add_bias_kv=True), (5, 4), (5, 4),
     {"in_proj_weight": (12, 4), "in_proj_bias": (12,), "bias_k": (1, 1, 4), "bias_v": (1, 1, 4),
      "out_proj.weight": (4, 4), "out_proj.bias": (4,)}),
    (layer("MultiheadAttention", embed_dim=4, num_heads=2, kdim=3, bias=False), (5, 4), (5, 4),
     {"q_proj_weight": (4, 4), "k_proj_weight": (4, 3), "v_proj_weight": (4, 4),
      "out_proj.weight": (4, 4)}),
    (layer("TransformerEncoder", num_layers=1,
           encoder_layer=layer("TransformerEncoderLayer", d_model=4, nhead=2, dim_feedforward=3,
                               bias=False),
           norm=layer("LayerNorm", normalized_shape=4, bias=False)), (5, 4), (5, 4),
     {"layers.0.self_attn.in_proj_weight": (12, 4), "layers.0.self_attn.out_proj.weight": (4, 4),
      "layers.0.linear1.weight": (3, 4), "layers.0.linear2.weight": (4, 3),
      "layers.0.norm1.weight": (4,), "layers.0.norm2.weight": (4,), "norm.weight": (4,)}),
    (layer("TransformerDecoder", num_layers=2, copies=True,
           decoder_layer=layer("TransformerDecoderLayer", d_model=2, nhead=1, dim_feedforward=3,
                               bias=False)), (5, 2), (5, 2),
     {f"layers.{index}.{name}": shape for index in (0, 1) for name, shape in {
         "self_attn.in_proj_weight": (6, 2), "self_attn.out_proj.weight": (2, 2),
         "multihead_attn.in_proj_weight": (6, 2), "multihead_attn.out_proj.weight": (2, 2),
         "linear1.weight": (3, 2), "linear2.weight": (2, 3), "norm1.weight": (2,),
         "norm2.weight": (2,), "norm3.weight": (2,)}.items()}),
    (layer("Linear", out_features=3), (5, 4), (5, 3), {"weight": (3, 4), "bias": (3,)}),
    (layer("LazyLinear", out_features=3, bias=False), (4,), (3,), {"weight": (3, 4)}),
    (layer("LazyConv1d", out_channels=6, kernel_size=3, groups=2), (4, 9), (6, 7),
     {"weight": (6, 2, 3), "bias": (6,)}),
    (layer("LazyConvTranspose1d", out_channels=6, kernel_size=3, groups=2), (4, 9), (6, 11),
     {"weight": (4, 3, 3), "bias": (6,)}),
    (layer("LazyBatchNorm1d", track_running_stats=False), (4, 9), (4, 9),
     {"weight": (4,), "bias": (4,)}),
    (layer("Sequential", layers=[LINEAR, layer("ReLU"), layer("PReLU", name="last")]),
     (4,), (3,), {"0.weight": (3, 4), "0.bias": (3,), "last.weight": (1,)}),
    (layer("ModuleList", layers=[LINEAR, LINEAR]), (4,), None,
     {"0.weight": (3, 4), "0.bias": (3,), "1.weight": (3, 4), "1.bias": (3,)}),
    (layer("Module", layers=[{**LINEAR, "name": "a"}]), None, None,
     {"a.weight": (3, 4), "a.bias": (3,)}),
    (layer("Flatten"), (4, 5, 6), (120,), {}),
    (layer("Unflatten", dim=1, unflattened_size=[2, -1]), (4,), (2, 2), {}),
    (layer("MaxPool2d", kernel_size=2, ceil_mode=True), (3, 5, 5), (3, 3, 3), {}),
    (layer("AvgPool1d", kernel_size=3, stride=1, padding=1), (3, 5), (3, 5), {}),
    (layer("AdaptiveAvgPool2d", output_size=1), (3, 5, 5), (3, 1, 1), {}),
    (layer("ZeroPad2d", padding=[1, 2, 3, 4]), (3, 5, 5), (3, 12, 8), {}),
    (layer("PixelShuffle", upscale_factor=2), (8, 5, 5), (2, 10, 10), {}),
    (layer("Upsample", scale_factor=2), (3, 5), (3, 10), {}),
    (layer("GLU", dim=1), (4, 5), (2, 5), {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "x", "output", "weights"), TORCH, ids=[case[0]["type"] for case in TORCH]
)
def test_a_torch_module(
    entry: Layer,
    x: tuple[int, ...] | None,
    output: tuple[int, ...] | None,
    weights: Shapes,
) -> None:
    built = torch.Dialect().layer(Here(entry, (), {})).build(x)
    assert built.output == output
    assert [(w.name, w.shape) for w in built.weights] == list(weights.items())


NESTED = {"type": "Functional", "layers": [{**DENSE, "name": n, "inputs": "input"} for n in "ab"]}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"layers": [DENSE, {"shared": "dens"}]},
         "layers[1].shared: no layer before this one is named 'dens'; did you mean 'dense'?"),
        ({"layers": [DENSE, {**DENSE, "inputs": ["dens"]}]},
         "layers[1].inputs: no layer before this one is named 'dens'; did you mean 'dense'?"),
        ({"input_shape": None, "inputs": {"a": [4], "b": [3]}, "layers": [DENSE]},
         "layers[0]: the model has several inputs: say which with inputs: [...]; a, b"),
        ({"outputs": ["dense_1"], "layers": [{**DENSE, "name": "side"}, DENSE,
                                             {**DENSE, "inputs": "input"}]},
         "layers[0]: the layer 'side' leads to no output"),
        ({"outputs": ["dens"], "layers": [DENSE]},
         "outputs: no layer is named 'dens'; did you mean 'dense'?"),
        ({"layers": [NESTED]}, "layers[0].layers: expected a model of one output, found 2"),
        ({"layers": [{**NESTED, "inputs": ["input", "input"]}]},
         "layers[0]: expected the inputs input, found 2"),
        ({"layers": [{**DENSE, "name": "a"}, {**DENSE, "name": "a"}]},
         "layers[1].name: two layers are named 'a'; give one of them another name"),
        ({"layers": [{**DENSE, "name": "a/b"}]},
         "layers[0].name: expected a layer name without '/', as Keras does, found 'a/b'"),
        ({"input_shape": None, "layers": [DENSE]},
         "layers[0]: the first layer needs an input shape: give the spec input_shape: [...]"),
        ({"layers": [layer("Denes", units=3)]},
         "layers[0].type: unknown layer type 'Denes'; did you mean 'Dense'?"),
        ({"layers": [layer("MyLayer")]},
         "layers[0].type: unknown layer type 'MyLayer'; if it has weights, write them under "
         "tensors, with their axes"),
        ({"layers": [{**DENSE, "inputs": ["input", "input"]}]},
         "layers[0]: Dense takes one input, found 2"),
        ({"layers": [layer("TimeDistributed", layer=DENSE)]},
         "layers[0]: expected an input of (steps, features), found shape [4]"),
        ({"layers": [layer("TimeDistributed", layer=layer("Dense", unit=3))]},
         "layers[0].layer.unit: unknown key for Dense; did you mean 'units'?"),
        ({"layers": [layer("TimeDistributed", layer="Dense")]},
         "layers[0].layer: expected a layer as a mapping, found 'Dense'"),
        ({"layers": [layer("Bidirectional", layer=DENSE)]},
         "layers[0].layer: expected a recurrent layer, found Dense"),
        ({"layers": [layer("Bidirectional", layer=LSTM, backward_layer=LSTM)]},
         "layers[0].backward_layer: of the two layers, one must go backwards"),
        ({"layers": [layer("RNN", cell=DENSE)], "input_shape": [5, 4]},
         "layers[0].cell: expected a cell, found Dense"),
        ({"layers": [layer("SpectralNormalization", layer=layer("ReLU"))]},
         "layers[0].layer: ReLU has neither a kernel nor embeddings"),
        ({"layers": [layer("Sequential", layers=[])]},
         "layers[0].layers: expected a list of layers, found []"),
        ({"layers": [layer("EinsumDense", equation="ab,bc", output_shape=3)]},
         "layers[0].equation: expected an equation such as ab,bc->ac or ...x,xy->...y, "
         "found 'ab,bc'"),
        ({"layers": [layer("AveragePooling1D")]},
         "layers[0]: AveragePooling1D needs 'pool_size', which is missing"),
        ({"layers": [layer("BatchNormalization", renorm=True,
                           moving_variance_initializer="he_normal")]},
         "layers[0].moving_variance_initializer: renorm needs a variance of zeros, ones or a "
         "constant of at least 0"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_keras_dialect(
    spec: dict[str, Any], message: str, planned: Planned
) -> None:
    whole = {"input_shape": [4], **spec}
    with pytest.raises(glorot.SpecError) as error:
        planned(**{key: value for key, value in whole.items() if value is not None})
    assert str(error.value) == f"<spec>: {message}"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"layers": [{**LINEAR, "name": "a.b"}]},
         "layers[0].name: expected a module name without '.', as torch does, found 'a.b'"),
        ({"layers": [{**LINEAR, "initializers": {"weigth": "zeros"}}]},
         "layers[0].initializers.weigth: Linear has no such weight; did you mean 'weight'?"),
        ({"layers": [{**LINEAR, "initializers": {"weight": 3}}]},
         "layers[0].initializers.weight: expected an initializer's name or a mapping with its "
         "name, found 3"),
        ({"layers": [{**LINEAR, "inputs": "x"}]},
         "layers[0].inputs: branches are for the Keras dialect; hold the parts in a Module"),
        ({"layers": [{**LINEAR, "name": "a"}, {**LINEAR, "name": "a"}]},
         "layers[1]: two modules are named 'a'; give one of them another name"),
        ({"layers": [LINEAR], "input_shape": [5]},
         "layers[0].in_features: expected 4, as in_features says, found an input of shape [5]"),
        ({"layers": [LINEAR], "outputs": ["0"]},
         "outputs: in the torch dialect shapes flow through one input and one output: give "
         "input_shape, or no shape at all"),
        ({"layers": [DENSE]},
         "layers[0].type: Dense is Keras's: set dialect: keras, or use type: Linear"),
        ({"layers": [{"units": 3}]},
         "layers[0]: a module needs 'type', which is missing, as in "
         "{type: Linear, in_features: 3, out_features: 4}"),
        ({"layers": [layer("Rescaling", scale=2)]},
         "layers[0].type: Rescaling is Keras's: set dialect: keras"),
        ({"layers": [layer("Lniear")]},
         "layers[0].type: unknown module type 'Lniear'; did you mean 'Linear'?"),
        ({"layers": [layer("Whatever")]},
         "layers[0].type: unknown module type 'Whatever'; if it has weights, write them under "
         "tensors, with their axes"),
        ({"layers": [layer("Module", layers=[LINEAR])]},
         "layers[0].layers[0]: a module within a Module needs a name"),
        ({"layers": [layer("ReLU", weight_norm=True)]},
         "layers[0].weight_norm: ReLU has no weight to part"),
        ({"layers": [{**LINEAR, "weight_norm": {"dim": 2}}]},
         "layers[0].weight_norm.dim: expected an axis of shape [3, 4], found 2"),
        ({"layers": [layer("ReLU", spectral_norm=True)]},
         "layers[0].spectral_norm: ReLU has no weight to part"),
        ({"layers": [{**LINEAR, "spectral_norm": {"dim": -3}}]},
         "layers[0].spectral_norm.dim: expected an axis of shape [3, 4], found -3"),
        ({"layers": [{**LINEAR, "spectral_norm": True, "weight_norm": True}]},
         "layers[0].spectral_norm: Linear has weight_norm too; give one of the two"),
        ({"layers": [{**LINEAR, "spectral_norm": {"n_power_iterations": 0}}]},
         "layers[0].spectral_norm.n_power_iterations: expected a positive integer below 2**40, "
         "found 0"),
        ({"layers": [{**LINEAR, "spectral_norm": 3}]},
         "layers[0].spectral_norm: expected true, false or a mapping of arguments, found 3"),
        ({"rng": "torch", "layers": [{**LINEAR, "spectral_norm": True}]},
         "layers[0].spectral_norm: the stream torch draws no singular vectors; leave out "
         "spectral_norm, or rng"),
        ({"layers": [layer("Linear", out_features=3)]},
         "layers[0]: no shape that is known flows in here; give in_features, or input_shape"),
        ({"layers": [layer("LazyConv2d", out_channels=3, kernel_size=1)]},
         "layers[0]: no shape that is known flows in here; give in_channels to the module that is "
         "not lazy, or input_shape"),
        ({"rng": "torch", "input_shape": [4], "layers": [layer("LazyLinear", out_features=3)]},
         "layers[0].type: the stream torch draws no LazyLinear: torch draws it at its first call, "
         "after all others; write Linear"),
        ({"layers": [layer("Embedding", num_embeddings=3, embedding_dim=2, padding_idx=3)]},
         "layers[0].padding_idx: no row 3 in a table of 3"),
        ({"layers": [layer("MultiheadAttention", embed_dim=3, num_heads=2)]},
         "layers[0].num_heads: 2 heads do not divide 3"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_torch_dialect(
    spec: dict[str, Any], message: str, planned: Planned
) -> None:
    with pytest.raises(glorot.SpecError) as error:
        planned(dialect="torch", **spec)
    assert str(error.value) == f"<spec>: {message}"


def test_unnamed_layers_count_per_class_and_wrapped_ones_count_too(planned: Planned) -> None:
    inner = layer("Bidirectional", layer={**LSTM, "return_sequences": True, "use_bias": False})
    named = layer("LSTM", units=1, name="own", use_bias=False, return_sequences=True)
    plan = planned(input_shape=[5, 4], layers=[inner, named, {**LSTM, "use_bias": False}])
    kernels = [t.name for t in plan.tensors if t.name.endswith("/kernel")]
    assert kernels == [
        "bidirectional/forward_lstm/lstm_cell/kernel",
        "bidirectional/backward_lstm/lstm_cell/kernel",
        "own/lstm_cell/kernel",
        "lstm_1/lstm_cell/kernel",
    ]


def test_layers_are_constructed_in_list_order_and_stored_by_depth(planned: Planned) -> None:
    # The short branch is constructed first, and stands after the long one in `model.layers`.
    plan = planned(
        input_shape=[4],
        layers=[
            {**DENSE, "name": "short"},
            {**DENSE, "name": "long_1", "inputs": "input"},
            {**DENSE, "name": "long_2"},
            layer("Add", inputs=["short", "long_2"]),
        ],
    )
    kernels = [t for t in plan.tensors if t.name.endswith("/kernel")]
    assert [t.name for t in kernels] == ["short/kernel", "long_1/kernel", "long_2/kernel"]
    by_rank = sorted(kernels, key=lambda tensor: tensor.rank)
    assert [(t.name, t.group) for t in by_rank] == [
        ("long_1/kernel", "layers/dense/vars/0"),
        ("short/kernel", "layers/dense_1/vars/0"),
        ("long_2/kernel", "layers/dense_2/vars/0"),
    ]


def test_a_shared_layer_is_as_deep_as_its_deepest_call(planned: Planned) -> None:
    plan = planned(
        input_shape=[3],
        layers=[
            {**DENSE, "name": "other"},
            {**DENSE, "name": "twice", "inputs": "input"},
            {"shared": "twice", "name": "again"},
            layer("Concatenate", inputs=["other", "again"]),
        ],
    )
    assert shapes(plan) == {
        "other/kernel": (3, 3), "other/bias": (3,), "twice/kernel": (3, 3), "twice/bias": (3,),
    }  # fmt: skip
    assert plan["twice/kernel"].group == "layers/dense/vars/0"
    assert plan["other/kernel"].group == "layers/dense_1/vars/0"


def test_models_within_keep_their_names_and_groups(planned: Planned) -> None:
    inner = layer("Sequential", layers=[DENSE])
    plan = planned(input_shape=[4], layers=[inner, {**inner, "name": "b"}, DENSE])
    assert [(t.name, t.group) for t in plan.tensors[::2]] == [
        ("sequential/dense/kernel", "layers/sequential/layers/dense/vars/0"),
        ("b/dense_1/kernel", "layers/sequential_1/layers/dense/vars/0"),
        ("dense_2/kernel", "layers/dense/vars/0"),
    ]


def test_what_is_trained_is_numbered_before_what_is_not(planned: Planned) -> None:
    plan = planned(input_shape=[4], layers=[layer("SpectralNormalization", layer=DENSE)])
    assert [(t.name.partition("/")[2], t.group, t.also_group) for t in plan.tensors] == [
        ("dense/kernel", "layers/spectral_normalization/layer/vars/0",
         "layers/spectral_normalization/vars/0"),
        ("vector_u", "layers/spectral_normalization/vars/1", None),
        ("dense/bias", "layers/spectral_normalization/layer/vars/1", None),
    ]  # fmt: skip


def test_a_normalised_kernel_is_one_dataset_with_two_names(
    planned: Planned, tmp_path: Path
) -> None:
    plan = planned(input_shape=[4], layers=[layer("SpectralNormalization", layer=DENSE)])
    glorot.write_weights(plan, tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5") as file:
        group = file["layers/spectral_normalization"]
        assert sorted(group["vars"]) == ["0", "1"]
        assert group["vars/0"] == group["layer/vars/0"]
        np.testing.assert_array_equal(
            group["vars/0"][()], glorot.draw(plan, "spectral_normalization/dense/kernel")
        )


def test_the_forget_gate_starts_open(planned: Planned) -> None:
    plan = planned(input_shape=[5, 4], layers=[LSTM])
    assert glorot.draw(plan, "lstm/lstm_cell/bias").tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    plan = planned(input_shape=[5, 4], layers=[{**LSTM, "unit_forget_bias": False}])
    assert glorot.draw(plan, "lstm/lstm_cell/bias").tolist() == [0] * 8


def test_the_forget_gate_starts_open_beside_a_random_bias(planned: Planned) -> None:
    entry = {**LSTM, "bias_initializer": {"name": "random_uniform", "minval": 2, "maxval": 3}}
    bias = glorot.draw(planned(input_shape=[5, 4], layers=[entry]), "lstm/lstm_cell/bias")
    assert bias[2:4].tolist() == [1, 1]
    assert (bias[[0, 1, 4, 5, 6, 7]] >= 2).all()


def test_a_renormalised_deviation_starts_at_the_root_of_the_variance(planned: Planned) -> None:
    variance = {"name": "constant", "value": 4.0}
    entry = layer("BatchNormalization", renorm=True, moving_variance_initializer=variance)
    plan = planned(input_shape=[2], layers=[entry])
    values = {t.name.partition("/")[2]: glorot.draw(plan, t.name)[0] for t in plan.tensors}
    assert values == {
        "gamma": 1, "beta": 0, "moving_mean": 0, "moving_variance": 4, "moving_stddev": 2,
        "renorm_mean": 0, "renorm_stddev": 2,
    }  # fmt: skip


def test_the_row_of_padding_is_zero(planned: Planned) -> None:
    entry = layer("Embedding", num_embeddings=4, embedding_dim=3, padding_idx=-2)
    rows = glorot.draw(planned(dialect="torch", layers=[entry]), "0.weight")
    assert (rows == 0).all(1).tolist() == [False, False, True, False]


def test_batches_are_counted_in_integers(planned: Planned) -> None:
    entry = layer("BatchNorm2d", num_features=2)
    plan = planned(dialect="torch", layers=[{**entry, "dtype": "float16"}], dtype="bfloat16")
    assert {t.name: (t.dtype, t.trainable) for t in plan.tensors} == {
        "0.weight": ("float16", True),
        "0.bias": ("float16", True),
        "0.running_mean": ("float16", False),
        "0.running_var": ("float16", False),
        "0.num_batches_tracked": ("int64", False),
    }
    assert glorot.draw(plan, "0.num_batches_tracked").tolist() == 0
    # A rule means weights, not counters.
    plan = planned(dialect="torch", layers=[entry], initializers=[{"*": "ones"}])
    assert glorot.draw(plan, "0.num_batches_tracked").tolist() == 0


def test_a_wrappers_dtype_is_its_own_and_a_models_is_handed_on(planned: Planned) -> None:
    wrapper = layer("SpectralNormalization", layer=DENSE, dtype="float16")
    plan = planned(input_shape=[4], layers=[wrapper])
    assert {t.dtype for t in plan.tensors} == {"float32"}
    own = layer("SpectralNormalization", layer={**DENSE, "dtype": "float16"})
    plan = planned(input_shape=[4], layers=[own])
    assert {t.dtype for t in plan.tensors} == {"float16"}
    plan = planned(input_shape=[4], layers=[layer("Sequential", layers=[DENSE], dtype="float16")])
    assert {t.dtype for t in plan.tensors} == {"float16"}


def test_torchs_defaults_are_torchs(planned: Planned) -> None:
    conv = layer("Conv2d", in_channels=4, out_channels=6, kernel_size=3)
    plan = planned(dialect="torch", layers=[conv, layer("GRU", input_size=2, hidden_size=4)])
    laws: dict[str, Any] = {t.name: t.distribution for t in plan.tensors}
    assert laws["0.weight"].limit == pytest.approx(1 / 6)
    assert laws["0.bias"].limit == pytest.approx(1 / 6)
    assert laws["1.weight_ih_l0"].limit == laws["1.bias_hh_l0"].limit == 0.5


def test_an_einsum_layer_counts_fans_by_its_axes(planned: Planned) -> None:
    # Keras's einsum layers name the axes of their kernels; by position the fans would be others.
    entries = [
        layer("EinsumDense", equation="ab,cb->ac", output_shape=3),
        layer("EinsumDense", equation="abc,bcd->abd", output_shape=[5, 6], input_shape=[5, 3]),
    ]
    plan = planned(input_shape=[4], layers=entries)
    assert [t.fans for t in plan.tensors] == [(4, 3), (3, 30)]
    exact = planned(input_shape=[4], layers=entries, fans="exact")
    assert [t.fans for t in exact.tensors] == [(4, 3), (3, 6)]
