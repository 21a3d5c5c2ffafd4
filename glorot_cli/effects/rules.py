"""What each layer of the dialects does to signals: a table from its type to its rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glorot_cli.effects import activations as functions
from glorot_cli.effects import attention, kernels, merges, norms, pointwise, recurrent, shapes
from glorot_cli.effects.activations import ACTIVATIONS
from glorot_cli.effects.drawn import Drawn, Rule
from glorot_cli.effects.graph import Call
from glorot_cli.effects.joins import ADD, MAXIMUM, MINIMUM, MULTIPLY, SUBTRACT
from glorot_cli.effects.signals import Signal, Step


def _attention(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    return attention.multi_head(call, inputs, drawn.weights, drawn.is_torch)


def _encoder(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    return attention.encoder_layer(call, inputs[0], drawn.weights)


def _recurrent(call: Call, inputs: Sequence[Signal], drawn: Drawn) -> Step:
    return recurrent.layer(call, inputs[0], drawn.weights, drawn.tensors, drawn.is_torch)


def _rules(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


WEIGHTED: Mapping[str, Rule] = {
    **_rules("Dense Linear", kernels.dense),
    **_rules("Conv1D Conv2D Conv3D Conv1d Conv2d Conv3d", kernels.convolution),
    **_rules("DepthwiseConv1D DepthwiseConv2D", kernels.depthwise),
    **_rules("SeparableConv1D SeparableConv2D", kernels.separable),
    **_rules("Conv1DTranspose Conv2DTranspose Conv3DTranspose", kernels.transposed),
    **_rules("ConvTranspose1d ConvTranspose2d ConvTranspose3d", kernels.transposed),
    "Embedding": kernels.embedding,
    **_rules("MultiHeadAttention MultiheadAttention", _attention),
    "TransformerEncoderLayer": _encoder,
    **_rules("SimpleRNN LSTM GRU RNN", _recurrent),
}
"""Layers with random kernels: each has a line of its own in the results."""

CONTINUED: Mapping[str, Rule] = {
    **_rules(
        "BatchNormalization BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm", norms.batch_norm
    ),
    **_rules("LayerNormalization LayerNorm", norms.layer_norm),
    **_rules("RMSNormalization RMSNorm", norms.rms_norm),
    **_rules("GroupNormalization GroupNorm", norms.group_norm),
    **_rules("InstanceNorm1d InstanceNorm2d InstanceNorm3d", norms.instance_norm),
    "UnitNormalization": norms.unit_norm,
    "Activation": pointwise.activation,
    **_rules("ReLU", pointwise.of(pointwise.relu)),
    "ReLU6": pointwise.always("relu6"),
    "LeakyReLU": pointwise.of(lambda c: functions.leaky_relu(c.number("negative_slope"))),
    "ELU": pointwise.of(lambda c: functions.elu(c.number("alpha", 1.0))),
    "CELU": pointwise.of(lambda c: functions.celu(c.number("alpha", 1.0))),
    "SELU": pointwise.always("selu"),
    "GELU": pointwise.of(
        lambda c: ACTIVATIONS["gelu_tanh" if c.text("approximate") == "tanh" else "gelu"]
    ),
    "SiLU": pointwise.always("silu"),
    "Mish": pointwise.always("mish"),
    "Sigmoid": pointwise.always("sigmoid"),
    "LogSigmoid": pointwise.always("log_sigmoid"),
    "Tanh": pointwise.always("tanh"),
    "Tanhshrink": pointwise.always("tanh_shrink"),
    "Softsign": pointwise.always("softsign"),
    "Softplus": pointwise.of(lambda c: functions.softplus(c.number("beta", 1.0))),
    "Hardsigmoid": pointwise.always("hard_sigmoid"),
    "Hardswish": pointwise.always("hard_silu"),
    "Hardtanh": pointwise.of(lambda c: functions.clipped(c.number("min_val"), c.number("max_val"))),
    "Hardshrink": pointwise.of(lambda c: functions.hard_shrink(c.number("lambd"))),
    "Softshrink": pointwise.of(lambda c: functions.soft_shrink(c.number("lambd"))),
    "Threshold": pointwise.of(
        lambda c: functions.threshold(c.number("threshold"), c.number("value"))
    ),
    "PReLU": pointwise.prelu,
    **_rules(
        "Dropout AlphaDropout SpatialDropout1D SpatialDropout2D SpatialDropout3D", pointwise.dropout
    ),
    **_rules("Dropout1d Dropout2d Dropout3d FeatureAlphaDropout", pointwise.dropout),
    **_rules("Identity ActivityRegularization Masking", pointwise.identity),
}
"""Layers that belong to the one with a kernel before them: its line says what comes out of them."""

PASSED: Mapping[str, Rule] = {
    **_rules(
        "MaxPooling1D MaxPooling2D MaxPooling3D MaxPool1d MaxPool2d MaxPool3d", shapes.pooling
    ),
    **_rules("AveragePooling1D AveragePooling2D AveragePooling3D", shapes.pooling),
    **_rules("AvgPool1d AvgPool2d AvgPool3d", shapes.pooling),
    **_rules(
        "GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D", shapes.pooling
    ),
    **_rules("GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D", shapes.pooling),
    **_rules("AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d", shapes.pooling),
    **_rules("AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d", shapes.pooling),
    **_rules("Flatten Reshape Permute Unflatten", shapes.shaped),
    **_rules("ZeroPadding1D ZeroPadding2D ZeroPadding3D", shapes.padding),
    **_rules("Cropping1D Cropping2D Cropping3D", shapes.cropping),
    **_rules(
        "UpSampling1D UpSampling2D UpSampling3D Upsample UpsamplingNearest2d", shapes.upsampling
    ),
    "Add": merges.join(ADD),
    "Subtract": merges.join(SUBTRACT),
    "Multiply": merges.join(MULTIPLY),
    "Average": merges.join(ADD, mean=True),
    "Maximum": merges.join(MAXIMUM),
    "Minimum": merges.join(MINIMUM),
    "Concatenate": merges.concatenate,
    "GLU": merges.glu,
}
"""Layers between those."""

RULES: Mapping[str, Rule] = {**WEIGHTED, **CONTINUED, **PASSED}
