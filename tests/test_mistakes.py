"""What users get wrong: one complete line that says where, what was expected and what was found."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import glorot_cli as glorot

Run = Callable[..., tuple[int, str, str]]

DENSE = "input_shape: [3]\nlayers:\n  - {type: Dense, units: 2, "
CONV = "input_shape: [8, 8, 4]\nlayers:\n  - {type: Conv2D, filters: 2, "

# A spec in YAML, and the line that follows the file's name.
YAML: dict[str, tuple[str, str]] = {
    "empty": ("", ":1:1: expected a spec, found an empty text"),
    "a-list": ("- 1\n", ":1:1: expected a mapping with layers or tensors, found [1]"),
    "a-word": ("Dense\n", ":1:1: expected a mapping with layers or tensors, found 'Dense'"),
    "nothing-to-draw": ("seed: 3\n", ":1:1: expected layers or tensors, found neither"),
    "no-layers": ("layers: []\n", ":1:1: expected layers or tensors, found neither"),
    "duplicate-key": (
        "seed: 1\nlayers: []\nseed: 2\n",
        ":3:1: the key 'seed' stands already at 1:1",
    ),
    "tab": (
        "seed: 1\nlayers:\n\t- {type: Dense}\n",
        ":3:1: not valid YAML: found character that cannot start any token; "
        "indent with spaces, not tabs",
    ),
    "unclosed": (
        "layers: [{type: Dense, units: 3\n",
        ":2:1: not valid YAML: did not find expected ',' or '}' "
        "while parsing a flow mapping, which began at 1:10",
    ),
    "indentation": (
        "seed: 1\n layers: []\n",
        ":2:8: not valid YAML: mapping values are not allowed in this context",
    ),
    "unquoted-glob": (
        "initializers:\n  - *.bias: zeros\n",
        ":2:6: not valid YAML: did not find expected alphabetic or numeric character "
        "while scanning an alias, which began at 2:5; a name with {i} or * needs quotes",
    ),
    "unquoted-braces": (
        "tensors:\n  {i}.w: {shape: [2]}\n",
        ":2:3: expected a key, found a mapping; a name with {i} needs quotes",
    ),
    "anchor": (
        "layers: &all []\ntensors: *al\n",
        ":2:10: no anchor &al is whole before this alias; "
        'a glob such as "*.bias" needs quotes',
    ),
    "tag": (
        "seed: !!python/name:os.system 1\n",
        ":1:7: expected a value, found the tag 'tag:yaml.org,2002:python/name:os.system'; "
        "leave it out",
    ),
    "two-documents": ("seed: 1\n---\nseed: 2\n", ":2:1: expected one document, found another"),
    "misspelt-key": ("seeed: 1\nlayers: []\n", ":1:1: seeed: unknown key for a spec; "
                     "did you mean 'seed'?"),
    "negative-seed": (
        "seed: -1\nlayers: [{type: Flatten}]\n",
        ":1:7: seed: expected an integer from 0 to 2**64 - 1, found -1",
    ),
    "seed-beyond-64-bits": (
        "seed: 18446744073709551616\nlayers: [{type: Flatten}]\n",
        ":1:7: seed: expected an integer from 0 to 2**64 - 1, found 18446744073709551616",
    ),
    "seed-true": (
        "seed: true\nlayers: [{type: Flatten}]\n",
        ":1:7: seed: expected an integer from 0 to 2**64 - 1, found true",
    ),
    "seed-with-a-point": (
        "seed: 1.0\nlayers: [{type: Flatten}]\n",
        ":1:7: seed: expected an integer from 0 to 2**64 - 1, found 1.0",
    ),
    "no-is-a-word": (
        DENSE + "use_bias: no}\n",
        ":3:39: layers[0].use_bias: expected true or false, found 'no'; "
        "YAML 1.2 has true and false only",
    ),
    "layers-as-a-mapping": (
        "input_shape: [3]\nlayers: {Dense: 3}\n",
        ":2:17: layers.Dense: expected a layer as a mapping, or its shape, found 3",
    ),
    "layer-as-a-word": (
        "input_shape: [3]\nlayers:\n  - Dense\n",
        ":3:5: layers[0]: expected a layer as a mapping, found 'Dense'",
    ),
    "no-type": (
        "input_shape: [3]\nlayers:\n  - units: 3\n",
        ":3:5: layers[0]: a layer needs 'type', which is missing, "
        "as in {type: Dense, units: 4}",
    ),
    "type-as-a-key": (
        "input_shape: [3]\nlayers:\n  - Dense: {units: 4}\n",
        ":3:5: layers[0]: a layer needs 'type', which is missing, "
        "as in {type: Dense, units: 4}",
    ),
    "class-name": (
        "input_shape: [3]\nlayers:\n  - {class_name: Dense, config: {units: 4}}\n",
        ":3:5: layers[0]: a layer needs 'type', which is missing, "
        "as in {type: Dense, units: 4}",
    ),
    "type-of-torch": (
        "input_shape: [3]\nlayers:\n  - {type: Linear, out_features: 4}\n",
        ":3:12: layers[0].type: Linear is torch's: set dialect: torch, or use type: Dense",
    ),
    "type-of-torch-alone": (
        "input_shape: [3]\nlayers:\n  - {type: Unflatten}\n",
        ":3:12: layers[0].type: Unflatten is torch's: set dialect: torch",
    ),
    "type-of-keras": (
        "dialect: torch\nlayers:\n  - {type: Conv2DTranspose}\n",
        ":3:12: layers[0].type: Conv2DTranspose is Keras's: set dialect: keras, "
        "or use type: ConvTranspose2d",
    ),
    "input-layer": (
        "layers:\n  - {type: InputLayer, shape: [3]}\n",
        ":2:12: layers[0].type: unknown layer type 'InputLayer'; "
        "give its shape as the spec's input_shape",
    ),
    "type-a-number": (
        "input_shape: [3]\nlayers:\n  - type: 3\n",
        ":3:11: layers[0].type: expected a string, found 3",
    ),
    "misspelt-type": (
        "input_shape: [3]\nlayers:\n  - units: 3\n    type: Dens\n",
        ":4:11: layers[0].type: unknown layer type 'Dens'; did you mean 'Dense'?",
    ),
    "no-input-shape": (
        "layers:\n  - {type: Dense, units: 3}\n",
        ":2:5: layers[0]: the first layer needs an input shape: "
        "give the spec input_shape: [...]",
    ),
    "input-shape-a-number": (
        "input_shape: 1.5\nlayers:\n  - {type: Dense, units: 3}\n",
        ":1:14: input_shape: expected a list of sizes, found 1.5",
    ),
    "input-a-scalar": (
        "input_shape: []\nlayers:\n  - {type: Dense, units: 3}\n",
        ":3:5: layers[0]: expected an input with at least one axis, found a scalar",
    ),
    "input-size-unknown": (
        "input_shape: [null]\nlayers:\n  - {type: Dense, units: 3}\n",
        ":3:5: layers[0]: weights depend on the size of axis -1 of [null], which is null; "
        "input_shape leaves the batch axis out",
    ),
    "input-shape-with-the-batch": (
        "input_shape: [null, 28, 28, 1]\nlayers:\n"
        "  - {type: Conv2D, filters: 4, kernel_size: 3}\n",
        ":3:5: layers[0]: expected an input of 2 spatial axes and channels, "
        "found shape [null, 28, 28, 1]; input_shape leaves the batch axis out",
    ),
    "steps-unknown": (
        "input_shape: [null, 8]\nlayers:\n  - {type: Dense, units: 3}\n"
        "  - {type: GaussianNoise, stddev: -1}\n",
        ":4:35: layers[1].stddev: expected a stddev from 0 to 1, found -1.0",
    ),
    "no-space-after-a-colon": (
        "input_shape:[10]\nlayers:\n  - {type: Dense, units: 3}\n",
        ":2:7: not valid YAML: mapping values are not allowed in this context; "
        "is a space missing after a colon above?",
    ),
    "no-space-after-a-number's-colon": (
        "seed:3\ninput_shape: [10]\n",
        ":2:12: not valid YAML: mapping values are not allowed in this context; "
        "is a space missing after a colon above?",
    ),
    "no-units": (
        "input_shape: [3]\nlayers:\n  - {type: Flatten}\n  - {type: Dense}\n",
        ":4:5: layers[1]: Dense needs 'units', which is missing",
    ),
    "no-unit": (
        "input_shape: [3]\nlayers:\n  - {type: Dense, units: 0}\n",
        ":3:26: layers[0].units: expected a positive integer below 2**40, found 0",
    ),
    "size-beyond-everything": (
        "input_shape: [3]\nlayers:\n  - {type: Dense, units: 1099511627777}\n",
        ":3:26: layers[0].units: expected a positive integer below 2**40, found 1099511627777",
    ),
    "misspelt-argument": (
        DENSE + "use_bais: true}\n",
        ":3:29: layers[0].use_bais: unknown key for Dense; did you mean 'use_bias'?",
    ),
    "layer-name-with-a-slash": (
        DENSE + "name: a/b}\n",
        ":3:35: layers[0].name: expected a layer name without '/', as Keras does, found 'a/b'",
    ),
    "initializer-without-a-name": (
        DENSE + "kernel_initializer: {value: 1}}\n",
        ":3:49: layers[0].kernel_initializer: an initializer needs 'name', which is missing, "
        "as in {name: normal, std: 0.02}",
    ),
    "initializer-as-a-key": (
        DENSE + "kernel_initializer: {normal: {std: 0.02}}}\n",
        ":3:49: layers[0].kernel_initializer: an initializer needs 'name', which is missing, "
        "as in {name: normal, std: 0.02}",
    ),
    "initializer-as-a-call": (
        "initializers:\n  - \"*\": normal(0, 0.02)\ntensors: {w: {shape: [3]}}\n",
        ":2:10: initializers[0].*: unknown initializer 'normal(0, 0.02)'; "
        "write its arguments as in {name: normal, std: 0.02}; for the tensor 'w'",
    ),
    "initializer-as-a-call-within-braces": (
        DENSE + "kernel_initializer: normal(0, 0.02)}\n",
        ":3:49: layers[0].kernel_initializer: expected a mapping such as "
        "{name: normal, std: 0.02}, found 'normal(0'",
    ),
    "initializer-by-halves": (
        DENSE + "kernel_initializer: xavier}\n",
        ":3:49: layers[0].kernel_initializer: unknown initializer 'xavier'; "
        "did you mean 'xavier_uniform' or 'xavier_normal'?",
    ),
    "dtype-half": (
        DENSE + "dtype: half}\n",
        ":3:36: layers[0].dtype: unknown value 'half'; did you mean 'float16'?",
    ),
    "dtype-bf16": (
        "dtype: bf16\nlayers: []\n",
        ":1:8: dtype: unknown value 'bf16'; did you mean 'bfloat16'?",
    ),
    "dtype-of-a-tensor": (
        "tensors: {w: {shape: [3], initializer: zeros, dtype: float}}\n",
        ":1:54: tensors.w.dtype: unknown value 'float'; did you mean 'float32'?",
    ),
    "input-dim-of-a-spec": (
        "input_dim: 4\nlayers: [{type: Dense, units: 3}]\n",
        ":1:1: input_dim: unknown key for a spec; did you mean 'input_shape'?",
    ),
    "input-dim-of-a-torch-layer": (
        "dialect: torch\nlayers: [{type: Linear, input_dim: 4, out_features: 3}]\n",
        ":2:25: layers[0].input_dim: unknown key for Linear; did you mean 'in_features'?",
    ),
    "initializer-a-number": (
        DENSE + "kernel_initializer: 7}\n",
        ":3:49: layers[0].kernel_initializer: expected an initializer's name or a mapping "
        "with its name, found 7",
    ),
    "range-upside-down": (
        DENSE + "kernel_initializer: {name: random_uniform, minval: 1, maxval: 0}}\n",
        ":3:49: layers[0].kernel_initializer: expected minval below maxval, found 1.0 and 0.0",
    ),
    "misspelt-initializer-argument": (
        DENSE + "kernel_initializer: {name: constant, valu: 1}}\n",
        ":3:66: layers[0].kernel_initializer.valu: unknown key for constant; "
        "did you mean 'value'?",
    ),
    "infinite-constant": (
        DENSE + "kernel_initializer: {name: constant, value: .inf}}\n",
        ":3:73: layers[0].kernel_initializer.value: expected a finite number, found inf",
    ),
    "identity-of-a-vector": (
        DENSE + "bias_initializer: identity}\n",
        ":3:47: layers[0].bias_initializer: identity needs a matrix, found shape [2]",
    ),
    "initializer-seed": (
        DENSE + "kernel_initializer: {name: random_uniform, seed: -7}}\n",
        ":3:78: layers[0].kernel_initializer.seed: expected an integer from 0 to 2**64 - 1, "
        "found -7",
    ),
    "kernel-of-three-axes": (
        CONV + "kernel_size: [3, 3, 3]}\n",
        ":3:45: layers[0].kernel_size: expected one size or 2, found [3, 3, 3]",
    ),
    "groups-of-the-input": (
        CONV + "kernel_size: 3, groups: 3}\n",
        ":3:56: layers[0].groups: 3 groups do not divide 4 input channels",
    ),
    "groups-of-the-filters": (
        CONV + "kernel_size: 3, groups: 4}\n",
        ":3:56: layers[0].groups: 4 groups do not divide 2 filters",
    ),
    "window-too-large": (
        CONV + "kernel_size: 9}\n",
        ":3:5: layers[0]: a window of [9, 9] with dilation [1, 1] is larger than "
        "the input's [8, 8]",
    ),
    "strides-and-dilation": (
        CONV + "kernel_size: 2, strides: 2, dilation_rate: 2}\n",
        ":3:75: layers[0].dilation_rate: strides and dilation_rate cannot both be above 1",
    ),
    "wrong-rank": (
        "input_shape: [8, 4]\nlayers:\n  - {type: Conv2D, filters: 3, kernel_size: 2}\n",
        ":3:5: layers[0]: expected an input of 2 spatial axes and channels, found shape [8, 4]",
    ),
    "unknown-padding": (
        CONV + "kernel_size: 2, padding: full}\n",
        ":3:57: layers[0].padding: expected 'valid' or 'same', found 'full'",
    ),
    "unknown-padding-over-time": (
        "input_shape: [8, 4]\nlayers:\n"
        "  - {type: Conv1D, filters: 2, kernel_size: 2, padding: Same}\n",
        ":3:57: layers[0].padding: expected 'valid', 'same' or 'causal', found 'Same'",
    ),
    "kernel-size-in-parentheses": (
        CONV + "kernel_size: (3, 3)}\n",
        ":3:45: layers[0].kernel_size: expected a list such as [8, 16], found '(3'",
    ),
    "three-margins": (
        "input_shape: [8, 8, 4]\nlayers:\n  - {type: ZeroPadding2D, padding: [1, 2, 3]}\n",
        ":3:36: layers[0].padding: expected one size or 2 sizes or 2 pairs of sizes, "
        "found [1, 2, 3]",
    ),
    "reshape-does-not-divide": (
        "input_shape: [8, 8, 4]\nlayers:\n  - {type: Reshape, target_shape: [5, -1]}\n",
        ":3:35: layers[0].target_shape: 256 elements of shape [8, 8, 4] do not fit into [5, -1]",
    ),
    "reshape-with-two-unknowns": (
        "input_shape: [8]\nlayers:\n  - {type: Reshape, target_shape: [-1, -1]}\n",
        ":3:35: layers[0].target_shape: expected positive sizes and at most one -1, found [-1, -1]",
    ),
    "dropout-rate": (
        "input_shape: [8]\nlayers:\n  - {type: Dropout, rate: 1.5}\n",
        ":3:27: layers[0].rate: expected a rate from 0 to 1, found 1.5",
    ),
    "axis-beyond-the-input": (
        "input_shape: [8]\nlayers:\n  - {type: BatchNormalization, axis: 3}\n",
        ":3:38: layers[0].axis: axis 3 is not an axis of an input of shape [8]",
    ),
    "axis-of-the-batch": (
        "input_shape: [8]\nlayers:\n  - {type: LayerNormalization, axis: 0}\n",
        ":3:38: layers[0].axis: axis 0 is not an axis of an input of shape [8]",
    ),
    "too-many-letters": (
        "tensors:\n  w: {shape: [8, 3], axes: IOO, initializer: glorot_uniform}\n",
        ":2:28: tensors.w.axes: expected 2 letters, one per axis of shape [8, 3], found 'IOO'",
    ),
    "small-letters": (
        "tensors:\n  w: {shape: [8, 3], axes: io, initializer: glorot_uniform}\n",
        ":2:28: tensors.w.axes: expected one capital letter per axis, such as HWIO, found 'io'",
    ),
    "neither-input-nor-output": (
        "tensors:\n  w: {shape: [8, 3], axes: HW, initializer: glorot_uniform}\n",
        ":2:28: tensors.w.axes: expected an input axis I or an output axis O, found 'HW'",
    ),
    "no-axes": (
        "tensors:\n  w: {shape: [1, 1, 1, 1, 8, 3], initializer: glorot_uniform}\n",
        ":2:47: tensors.w.initializer: a tensor of shape [1, 1, 1, 1, 8, 3] needs axes, "
        "one letter per axis (I input, O output, B batch, others receptive field), "
        "such as IO or HWIO",
    ),
    "axes-a-number": (
        "tensors:\n  w: {shape: [8, 3], axes: 7, initializer: glorot_uniform}\n",
        ":2:28: tensors.w.axes: expected a string, found 7",
    ),
    "fused-does-not-divide": (
        "tensors:\n  w: {shape: [8, 3], axes: IO, fused: 2, initializer: glorot_uniform}\n",
        ":2:28: tensors.w.axes: the O axis of size 3 does not divide into 2 equal kernels",
    ),
    "fused-without-axes": (
        "tensors:\n  w: {shape: [8], fused: 2, initializer: glorot_uniform}\n",
        ":2:26: tensors.w.fused: fused needs axes, one letter per axis",
    ),
    "no-shape": (
        "tensors:\n  w: {axes: IO, initializer: glorot_uniform}\n",
        ":2:6: tensors.w: a tensor needs 'shape', which is missing",
    ),
    "shape-a-number": (
        "tensors:\n  w: {shape: true, initializer: zeros}\n",
        ":2:14: tensors.w.shape: expected a list of sizes, found true",
    ),
    "shape-in-parentheses": (
        "tensors:\n  w:\n    shape: (8, 16)\n    initializer: zeros\n",
        ":3:12: tensors.w.shape: expected a list such as [8, 16], found '(8, 16)'",
    ),
    "shape-in-parentheses-within-braces": (
        "tensors:\n  w: {shape: (8, 16, 4), initializer: zeros}\n",
        ":2:14: tensors.w.shape: expected a list such as [8, 16], found '(8'",
    ),
    "size-with-a-slash": (
        "dims: {width: 8}\ntensors:\n  w: {shape: [width/2], initializer: zeros}\n",
        ":3:15: tensors.w.shape[0]: expected a whole number, found 4.0 ('width/2'); "
        "// divides",
    ),
    "dims-out-of-order": (
        "dims: {d: heads*8, heads: 4}\ntensors: {w: {shape: [d], initializer: zeros}}\n",
        ":1:11: dims.d: 'heads' stands after 'd'; a dim may use only those before it",
    ),
    "too-many-axes": (
        f"tensors:\n  w: {{shape: {[1] * 33}, initializer: zeros}}\n",
        ":2:14: tensors.w.shape: expected at most 32 axes, found 33",
    ),
    "unknown-rule": (
        "fans: pytorch\ntensors:\n  w: {shape: [3], initializer: zeros}\n",
        ":1:7: fans: expected 'exact', 'keras', 'keras-3.14', 'torch' or 'jax', found 'pytorch'",
    ),
    "a-rule-without-fans": (
        "fans: torch\ntensors: {w: {shape: [3], initializer: glorot_uniform}}\n",
        ":2:40: tensors.w.initializer: torch computes no fans below rank 2, found shape [3]",
    ),
    "name-that-climbs": (
        "tensors:\n  a/../b: {shape: [3], initializer: zeros}\n",
        ":2:3: tensors.a/../b: expected a tensor name without empty, '.' or '..' parts, "
        "found 'a/../b'",
    ),
    "name-with-an-escape": (
        'tensors:\n  "a\\e[31mb": {shape: [3], initializer: zeros}\n',
        ":2:3: tensors.a\\x1b[31mb: expected a printable tensor name, found 'a\\x1b[31mb'",
    ),
    "reserved-name": (
        "tensors:\n  __metadata__: {shape: [3], initializer: zeros}\n",
        ":2:3: tensors.__metadata__: '__metadata__' names no tensor, but .safetensors' own",
    ),
    "tensor-named-as-a-layer's": (
        "input_shape: [2]\nlayers: [{type: Dense, units: 3}]\n"
        "tensors:\n  dense/bias: {shape: [3], initializer: zeros}\n",
        ":4:15: tensors.dense/bias: two tensors are named 'dense/bias'",
    ),
    "tensors-a-list-of-numbers": (
        "tensors:\n  - 3\n",
        ":2:5: tensors[0]: expected a mapping of name to tensor, found 3",
    ),
    "tensor-a-number": (
        "tensors: {w: 3.5}\n",
        ":1:14: tensors.w: expected a tensor as a mapping, found 3.5",
    ),
    "trainable-a-number": (
        DENSE + "trainable: 1}\n",
        ":3:40: layers[0].trainable: expected true or false, found 1",
    ),
    "not-printable": ("seed: \x01\n", ":1:7: expected printable text, found character U+0001"),
}  # fmt: skip

JSON: dict[str, tuple[str, str]] = {
    "empty": ("", ":1:1: not valid JSON: Expecting value"),
    "unquoted-word": ('{\n  "seed": tru\n}', ":2:11: not valid JSON: Expecting value"),
    "not-a-number": ('{"seed": NaN}', ":1:10: not valid JSON: found NaN"),
    "text-after-it": ('{"seed": 1} x', ":1:13: not valid JSON: Extra data"),
    "duplicate-key": ('{"seed": 1, "seed": 2}', ":1:13: the key 'seed' stands already at 1:2"),
    "long-integer": (
        '{"seed": ' + "9" * 5000 + "}",
        ":1:10: expected a number of at most 400 digits, found 5000",
    ),
    "deep": ("[" * 100_000, ":1:1: not valid JSON: nested too deeply"),
    "units": (
        '{"input_shape": [3],\n\t"layers": [{"type": "Dense", "units": -2}]}',
        ":2:40: layers[0].units: expected a positive integer below 2**40, found -2",
    ),
    "after-an-escaped-pair": (
        '{"tensors": {"\\ud83d\\ude00": {"shape": [0], "initializer": "ones"}}}',
        ":1:41: tensors.😀.shape[0]: expected a positive integer below 2**40, found 0",
    ),
    "after-an-escaped-slash": (
        '{"tensors": {"a\\/b": {"shape": [0], "initializer": "ones"}}}',
        ":1:33: tensors.a/b.shape[0]: expected a positive integer below 2**40, found 0",
    ),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("text", "message"), YAML.values(), ids=YAML)
def test_a_mistake_in_yaml_is_one_line(text: str, message: str, run: Run) -> None:
    Path("bad.yaml").write_text(text, "utf-8")
    assert run("plan", "bad.yaml") == (2, "", f"glorot: bad.yaml{message}\n")


@pytest.mark.parametrize(("text", "message"), JSON.values(), ids=JSON)
def test_a_mistake_in_json_is_one_line(text: str, message: str, run: Run) -> None:
    Path("bad.json").write_text(text, "utf-8")
    assert run("plan", "bad.json") == (2, "", f"glorot: bad.json{message}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"seeed: 1\n", ":1:1: seeed: unknown key for a spec; did you mean 'seed'?"),
        (b'{"seed": -1, "layers": [{"type": "Flatten"}]}',
         ":1:10: seed: expected an integer from 0 to 2**64 - 1, found -1"),
        (b"seed: \xff\n", ":1:7: expected UTF-8 text, found the byte 0xff"),
    ],
)  # fmt: skip
def test_a_mistake_on_standard_input_is_one_line(
    text: bytes, message: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert run("plan", "-") == (2, "", f"glorot: <stdin>{message}\n")


def test_init_says_the_same_and_writes_nothing(run: Run) -> None:
    text, message = YAML["no-units"]
    Path("bad.yaml").write_text(text, "utf-8")
    code, out, err = run("init", "bad.yaml", "-o", "w.safetensors")
    assert (code, out, err) == (2, "", f"glorot: bad.yaml{message}\n")
    assert [path.name for path in Path().iterdir()] == ["bad.yaml"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.yaml", "cannot read the spec 'nowhere.yaml': No such file or directory"),
        (".", ". is a folder without a manifest.json"),
    ],
)
def test_a_spec_that_cannot_be_read(spec: str, message: str, run: Run) -> None:
    assert run("plan", spec) == (2, "", f"glorot: {message}\n")


TWO = "seed: 1\ninput_shape: [2]\nlayers: [{type: Dense, units: 3}]\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan"], "Missing argument 'SPEC'."),
        (["init", "two.yaml"], "Missing option '--output' / '-o'."),
        (["init", "two.yaml", "-o", "-"],
         "-o: expected a path; weights are not written to standard output"),
        (["init", "two.yaml", "-o", ""],
         "-o: expected a path; weights are not written to standard output"),
        (["init", "two.yaml", "-o", "./two.yaml", "--format", "npy"],
         "-o: ./two.yaml is the spec itself"),
        (["init", "two.yaml", "-o", "w.bin"],
         "w.bin: expected a name that ends in .safetensors, .weights.h5, .h5, .hdf5, .keras, "
         ".weights.json, .npy, .npz, .pt, .pth or /, found 'w.bin'; rename the output or choose "
         "with --format"),
        (["init", "two.yaml", "-o", "w.h5", "--format", "hdf5"],
         "--format: expected safetensors, keras, h5, npy, npz, torch, found 'hdf5'"),
        (["init", "two.yaml", "-o", "w.npy"],
         "a .npy file holds one tensor, the plan has 2; "
         "end the output's name in / for a folder of .npy, or choose .safetensors or .h5"),
        (["plan", "two.yaml", "--seed", "-1"],
         "--seed: expected an integer from 0 to 2**64 - 1, found -1"),
        (["plan", "two.yaml", "--seed", "18446744073709551616"],
         "--seed: expected an integer from 0 to 2**64 - 1, found 18446744073709551616"),
        (["fans", "3,x"], "expected positive sizes such as 3,3,64,128, found '3,x'"),
        (["fans", "3,0"], "expected positive sizes such as 3,3,64,128, found '3,0'"),
        (["fans", ""], "expected positive sizes such as 3,3,64,128, found ''"),
        (["fans", "9" * 5000],
         "expected positive sizes such as 3,3,64,128, found '" + "9" * 56 + "..."),
        (["fans", "3,4"],
         "a tensor of shape [3, 4] needs axes, one letter per axis (I input, O output, B batch, "
         "others receptive field), such as IO or HWIO"),
        (["fans", "3,4", "--axes", "IOO"],
         "expected 2 letters, one per axis of shape [3, 4], found 'IOO'"),
        (["fans", "3,4", "--fused", "2"], "--fused needs --axes"),
        (["fans", "3,4", "--fans", "tf"],
         "--fans: expected exact, keras, keras-3.14, torch, jax, found 'tf'"),
        (["inspect"], "Missing argument 'FILE...'."),
        (["inspect", "nowhere"], "cannot read nowhere: there is no such file"),
        (["inspect", "two.yaml", "--fans", "tf"],
         "--fans: expected exact, keras, keras-3.14, torch, jax, found 'tf'"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_usage_is_one_line(arguments: list[str], message: str, run: Run) -> None:
    Path("two.yaml").write_text(TWO, "utf-8")
    assert run(*arguments) == (2, "", f"glorot: {message}\n")
    assert [path.name for path in Path().iterdir()] == ["two.yaml"]


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["plna"], "glorot: No such command 'plna'."),
        (["plan", "two.yaml", "--sed", "3"], "glorot: No such option: --sed"),
        (["plan", "two.yaml", "--seed", "x"], "glorot: Invalid value for '--seed': "),
        (["init", "two.yaml", "-o", "w.h5", "--workers", "0"],
         "glorot: Invalid value for '--workers': "),
    ],
)  # fmt: skip
def test_what_typer_refuses_is_one_line_too(arguments: list[str], start: str, run: Run) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(start)
    assert err.count("\n") == 1


def test_a_mistake_in_an_override_is_not_in_the_file() -> None:
    Path("two.yaml").write_text(TWO, "utf-8")
    for overrides, message in (
        ({"sed": 42}, "overrides: sed: unknown key for a spec; did you mean 'seed'?"),
        ({"seed": -1}, "overrides: seed: expected an integer from 0 to 2**64 - 1, found -1"),
    ):
        with pytest.raises(glorot.SpecError) as caught:
            glorot.load_spec("two.yaml", overrides)
        assert str(caught.value) == message
    spec = glorot.load_spec("two.yaml", {"layers": [{"type": "Dense"}]})
    with pytest.raises(glorot.SpecError) as caught:
        glorot.make_plan(spec)
    assert str(caught.value) == "overrides: layers[0]: Dense needs 'units', which is missing"


def test_a_tensor_that_a_plan_has_not() -> None:
    Path("two.yaml").write_text(TWO, "utf-8")
    plan = glorot.make_plan(glorot.load_spec("two.yaml"))
    message = "no tensor is named 'dense/kernal'; did you mean 'dense/kernel'?"
    for mistake in (lambda: plan["dense/kernal"], lambda: glorot.draw(plan, "dense/kernal")):
        with pytest.raises(glorot.GlorotError) as caught:
            mistake()
        assert isinstance(caught.value, KeyError)
        assert str(caught.value) == message


def test_a_plan_is_made_of_a_spec() -> None:
    with pytest.raises(TypeError) as caught:
        glorot.make_plan("two.yaml")  # type: ignore[arg-type]
    assert str(caught.value) == "expected a Spec, as load_spec returns, found 'two.yaml'"


def test_integers_of_numpy_are_integers(tmp_path: Path) -> None:
    """Take them in mappings, overrides and dims, and write them into the file as any others."""
    spec = {
        "seed": np.uint64(2**64 - 1),
        "dims": {"d": np.int32(3)},
        "input_shape": (np.int64(2),),
        "layers": [{"type": "Dense", "units": "d"}],
    }
    plan = glorot.make_plan(glorot.load_spec(spec, {"fma": None}, {"d": np.int8(4)}))
    assert (plan.seed, plan["dense/kernel"].shape) == (2**64 - 1, (2, 4))
    glorot.write_weights(plan, tmp_path / "w.safetensors")
    assert glorot.verify_weights(tmp_path / "w.safetensors").equal
