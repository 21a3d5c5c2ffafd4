"""Networks of many kinds of layers, of which theory and measurement are compared."""

from __future__ import annotations

from typing import Any


def conv(**more: Any) -> dict[str, Any]:
    return {"type": "Conv2D", "filters": 192, "kernel_size": 3, "padding": "same",
            "activation": "relu", "kernel_initializer": "he_normal", **more}  # fmt: skip


NETWORKS: dict[str, dict[str, Any]] = {
    "convolutions and pooling": {"input_shape": [12, 12, 32], "layers": [
        conv(), conv(strides=2), {"type": "MaxPooling2D"},
        conv(activation="tanh", padding="valid"),
        {"type": "GlobalAveragePooling2D"},
        {"type": "Dense", "units": 64}]},
    "shapes": {"input_shape": [8, 8, 64], "layers": [
        {"type": "ZeroPadding2D"}, conv(), {"type": "Cropping2D"}, {"type": "UpSampling2D"},
        conv(activation="gelu", strides=2), {"type": "AveragePooling2D", "pool_size": 2},
        {"type": "GroupNormalization", "groups": 4},
        {"type": "Conv2DTranspose", "filters": 128, "kernel_size": 2, "strides": 2},
        {"type": "Permute", "dims": [2, 1, 3]}, {"type": "GlobalMaxPooling2D"},
        {"type": "Dense", "units": 64}]},
    "joins": {"input_shape": [512], "layers": [
        {"type": "Dense", "units": 512, "name": "a", "activation": "relu"},
        {"type": "Dense", "units": 512, "name": "b", "inputs": "a"},
        {"type": "Dense", "units": 512, "name": "c", "inputs": "a"},
        {"type": "Maximum", "inputs": ["b", "c"], "name": "m"},
        {"type": "Dense", "units": 512, "name": "d", "inputs": "m"},
        {"type": "Dense", "units": 512, "name": "e", "inputs": "m"},
        {"type": "Average", "inputs": ["d", "e"], "name": "v"},
        {"type": "RMSNormalization"}, {"type": "PReLU"},
        {"type": "Dense", "units": 512, "name": "f"},
        {"type": "Subtract", "inputs": ["f", "d"]}, {"type": "Dense", "units": 64, "name": "g"}]},
    "depthwise": {"input_shape": [10, 10, 256], "layers": [
        conv(), {"type": "DepthwiseConv2D", "kernel_size": 3}, conv(kernel_size=1),
        {"type": "SeparableConv2D", "filters": 256, "kernel_size": 3},
        {"type": "Flatten"}, {"type": "Dropout", "rate": 0.2}, {"type": "Dense", "units": 64}]},
    "attention": {"input_shape": [24, 512], "layers": [
        {"type": "LayerNormalization", "name": "n"},
        {"type": "MultiHeadAttention", "num_heads": 8, "key_dim": 64, "inputs": ["n", "n"],
         "name": "at"},
        {"type": "Add", "inputs": ["input", "at"]}, {"type": "Dense", "units": 512}]},
    "gated recurrent": {"input_shape": [12, 256], "layers": [
        {"type": "GRU", "units": 512}, {"type": "Dense", "units": 64}]},
    "memory": {"input_shape": [12, 256], "layers": [
        {"type": "LSTM", "units": 512}, {"type": "Dense", "units": 64}]},
    "recurrent": {"input_shape": [12, 256], "layers": [
        {"type": "SimpleRNN", "units": 512, "return_sequences": True},
        {"type": "Dense", "units": 64}]},
    "torch recurrent": {"dialect": "torch", "input_shape": [8, 256], "layers": [
        {"type": "GRU", "input_size": 256, "hidden_size": 512, "batch_first": True},
        {"type": "GLU"}, {"type": "Linear", "out_features": 64}]},
    "torch": {"dialect": "torch", "input_shape": [3, 12, 12], "layers": [
        {"type": "Conv2d", "in_channels": 3, "out_channels": 256, "kernel_size": 3, "padding": 1},
        {"type": "BatchNorm2d", "num_features": 256}, {"type": "ReLU"},
        {"type": "AvgPool2d", "kernel_size": 2}, {"type": "Flatten"},
        {"type": "Linear", "out_features": 512}, {"type": "GELU"},
        {"type": "Linear", "out_features": 64}]},
    "encoder": {"dialect": "torch", "input_shape": [16, 512], "layers": [
        {"type": "TransformerEncoderLayer", "d_model": 512, "nhead": 8, "dim_feedforward": 1024,
         "norm_first": True},
        {"type": "TransformerEncoderLayer", "d_model": 512, "nhead": 8, "dim_feedforward": 1024,
         "batch_first": True, "activation": "gelu", "dropout": 0.0}]},
}  # fmt: skip
