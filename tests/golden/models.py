"""Whole models: specs of the kinds that draw differently, for each framework."""

from __future__ import annotations

from typing import Any

Entry = dict[str, Any]


def _flat(size: int, *layers: Entry) -> Entry:
    return {"input_shape": [size], "layers": list(layers)}


_RECURRENT = {"recurrent_initializer": "glorot_uniform"}
_DENSE: Entry = {"type": "Dense", "units": 17}

# Orthogonal kernels depend on the LAPACK, so recurrent layers have others here.
KERAS: list[Entry] = [
    _flat(100, {"type": "Dense", "units": 64, "name": "hidden"}, {"type": "Dense", "units": 10}),
    _flat(33, {**_DENSE, "bias_initializer": "random_uniform"}, {"type": "Dropout", "rate": 0.5},
          {"type": "GaussianNoise", "stddev": 0.1}, {**_DENSE, "use_bias": False,
           "bias_initializer": "random_uniform"}, {**_DENSE, "seed": 7}, _DENSE),
    {
        "input_shape": [28, 28, 3],
        "layers": [
            {"type": "Conv2D", "filters": 8, "kernel_size": 3},
            {"type": "DepthwiseConv2D", "kernel_size": 3},
            {"type": "SeparableConv2D", "filters": 5, "kernel_size": [3, 1]},
            {"type": "BatchNormalization"},
            {"type": "Conv2DTranspose", "filters": 4, "kernel_size": 2,
             "kernel_initializer": "he_uniform"},
            {"type": "GlobalAveragePooling2D"},
            _DENSE,
        ],
    },
    {
        "input_shape": [9, 6],
        "layers": [
            {"type": "LSTM", "units": 5, "return_sequences": True, **_RECURRENT},
            {"type": "GRU", "units": 4, "return_sequences": True, **_RECURRENT},
            {"type": "Bidirectional",
             "layer": {"type": "LSTM", "units": 3, "return_sequences": True, **_RECURRENT}},
            {"type": "SimpleRNN", "units": 7, **_RECURRENT},
            _DENSE,
        ],
    },
    {
        "inputs": {"text": [11]},
        "layers": [
            {"type": "Embedding", "input_dim": 50, "output_dim": 8},
            {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 3, "dropout": 0.1},
            {"type": "Dense", "units": 8, "name": "mixed"},
            {"type": "GroupQueryAttention", "head_dim": 2, "num_query_heads": 4,
             "num_key_value_heads": 2},
            {"type": "Dense", "units": 3, "name": "end"},
        ],
        "outputs": ["end"],
    },
    {
        "inputs": {"a": [6], "b": [6]},
        "layers": [
            {"type": "Dense", "units": 5, "name": "left", "inputs": ["a"]},
            {"type": "Dense", "units": 5, "name": "right", "inputs": ["b"]},
            {"type": "Concatenate", "name": "both", "inputs": ["left", "right"]},
            {"type": "Dropout", "rate": 0.2, "name": "less", "inputs": ["both"]},
            {"type": "Dense", "units": 2, "name": "end", "inputs": ["less"]},
        ],
        "outputs": ["end"],
    },
    {
        "input_shape": [12, 4],
        "layers": [
            {"type": "Conv1D", "filters": 6, "kernel_size": 3, "padding": "causal"},
            {"type": "TimeDistributed", "layer": {"type": "Dense", "units": 5}},
            {"type": "RNN", "cell": [{"type": "LSTMCell", "units": 3, **_RECURRENT},
                                     {"type": "GRUCell", "units": 4, **_RECURRENT}]},
            _DENSE,
        ],
    },
    _flat(20, {"type": "Sequential", "layers": [_DENSE, {"type": "Dropout", "rate": 0.1}, _DENSE]},
          {"type": "Dense", "units": 9, "kernel_initializer": "lecun_uniform"}, _DENSE),
    _flat(513, {"type": "Dense", "units": 1025}, {"type": "PReLU"}, {"type": "Dense", "units": 33}),
    {"dtype": "float16", **_flat(64, _DENSE, {**_DENSE, "kernel_initializer": "he_uniform"})},
    {
        "inputs": {"a": [5, 6], "b": [7, 6]},
        "layers": [
            {"type": "AdditiveAttention", "name": "added", "inputs": ["a", "b"], "dropout": 0.3},
            {"type": "MultiHeadAttention", "num_heads": 3, "key_dim": 2, "use_gate": True,
             "name": "gated", "inputs": ["added"], "bias_initializer": "random_uniform"},
            {"type": "Bidirectional", "name": "both", "inputs": ["gated"],
             "layer": {"type": "LSTM", "units": 3, **_RECURRENT},
             "backward_layer": {"type": "LSTM", "units": 3, "go_backwards": True, **_RECURRENT}},
            {"type": "Dense", "units": 2, "name": "end", "inputs": ["both"]},
        ],
        "outputs": ["end"],
    },
    {
        "inputs": {"text": [5]},
        "layers": [
            {"type": "ReversibleEmbedding", "input_dim": 9, "output_dim": 4, "tie_weights": False},
            {"type": "RNN", "return_sequences": True,
             "cell": {"type": "StackedRNNCells",
                      "cells": [{"type": "SimpleRNNCell", "units": 3, **_RECURRENT},
                                {"type": "GRUCell", "units": 4, **_RECURRENT}]}},
            {"type": "Functional", "name": "inner", "input_names": ["x"], "outputs": ["dense_in"],
             "shapes": [[5, 4]],
             "layers": [{"type": "Dense", "units": 6, "name": "dense_in", "inputs": ["x"]}]},
            {"type": "Attention", "dropout": 0.2, "inputs": ["inner", "inner"]},
            {"type": "Dense", "units": 2, "name": "end"},
        ],
        "outputs": ["end"],
    },
    # Of its truncated normal, only NumPy's bits are known.
    _flat(6, {"type": "SpectralNormalization", "layer": _DENSE}, _DENSE),
]  # fmt: skip

_LINEAR: Entry = {"type": "Linear", "in_features": 12, "out_features": 12}


def _torch(*layers: Entry, **rest: Any) -> Entry:
    return {"dialect": "torch", "layers": list(layers), **rest}


TORCH: list[Entry] = [
    _torch({**_LINEAR, "in_features": 100}, {"type": "ReLU"}, {**_LINEAR, "bias": False}),
    _torch({"type": "Conv2d", "in_channels": 4, "out_channels": 6, "kernel_size": 3, "groups": 2},
           {"type": "BatchNorm2d", "num_features": 6},
           {"type": "ConvTranspose2d", "in_channels": 6, "out_channels": 5, "kernel_size": 2}),
    _torch({"type": "LSTM", "input_size": 7, "hidden_size": 5, "num_layers": 2,
            "bidirectional": True},
           {"type": "GRU", "input_size": 10, "hidden_size": 3}, _LINEAR),
    _torch({"type": "MultiheadAttention", "embed_dim": 12, "num_heads": 3}, _LINEAR),
    _torch({"type": "MultiheadAttention", "embed_dim": 8, "num_heads": 2, "kdim": 3, "vdim": 5,
            "add_bias_kv": True}, _LINEAR),
    _torch({"type": "TransformerEncoderLayer", "d_model": 12, "nhead": 2, "dim_feedforward": 30},
           {"type": "TransformerDecoderLayer", "d_model": 12, "nhead": 2, "dim_feedforward": 20}),
    _torch({"type": "Embedding", "num_embeddings": 101, "embedding_dim": 33, "padding_idx": 3},
           {"type": "Embedding", "num_embeddings": 3, "embedding_dim": 3},
           {"type": "EmbeddingBag", "num_embeddings": 5, "embedding_dim": 1}, _LINEAR),
    _torch({"type": "Module", "layers": [
        {"type": "Bilinear", "in1_features": 3, "in2_features": 4, "out_features": 5, "name": "a"},
        {"type": "RNNCell", "input_size": 4, "hidden_size": 9, "name": "b"},
        {"type": "ModuleList", "name": "c", "layers": [_LINEAR, {"type": "PReLU"}, _LINEAR]}]}),
    _torch({"type": "Conv1d", "in_channels": 16, "out_channels": 64, "kernel_size": 9},
           {"type": "Conv3d", "in_channels": 2, "out_channels": 3, "kernel_size": [1, 2, 3]},
           {"type": "Linear", "in_features": 1024, "out_features": 1031}),
    _torch(_LINEAR, {"type": "LSTM", "input_size": 5, "hidden_size": 4, "proj_size": 2},
           dtype="bfloat16"),
]  # fmt: skip
