"""ONNX files: initializers that are weights, in the file and beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from glorot_cli.formats.blocks import each_block
from glorot_cli.formats.reading import read_headers

onnx = pytest.importorskip("onnx")

Run = Callable[..., tuple[int, str, str]]
KERNEL = np.linspace(-1, 1, 12, dtype="f4").reshape(3, 4)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def array(name: str, values: Any, raw: bool = True) -> Any:
    """Return an initializer, as bytes or in a field of numbers."""
    if raw:
        return onnx.numpy_helper.from_array(np.asarray(values), name)
    dtype = onnx.helper.np_dtype_to_tensor_dtype(np.asarray(values).dtype)
    return onnx.helper.make_tensor(name, dtype, np.shape(values), np.ravel(values).tolist())


def saved(path: str, nodes: list[Any], initializers: list[Any], **options: Any) -> Any:
    """Save a graph, and return its model."""
    graph = onnx.helper.make_graph(nodes, "g", [], [], initializers)
    model = onnx.helper.make_model(graph)
    onnx.save_model(model, path, **options)
    return model


def held(path: str) -> dict[str, Any]:
    """Return what a file holds."""
    file = read_headers(path)
    blocks = each_block(file, file.tensors, lambda block: block.values.copy(), workers=1)
    return {
        tensor.name: np.concatenate([*parts, np.empty(0, parts[0].dtype)]).reshape(tensor.shape)
        for tensor, parts in zip(file.tensors, blocks, strict=True)
    }


def node(operator: str, *inputs: str) -> Any:
    return onnx.helper.make_node(operator, list(inputs), ["y"])


def test_shapes_scales_and_zero_points_are_no_weights(run: Run) -> None:
    nodes = [
        node("Gemm", "x", "kernel", "bias"),
        node("Reshape", "y", "to"),
        node("Slice", "y", "starts", "ends", "axes"),
        node("DequantizeLinear", "whole", "scale", "zero"),
        node("QLinearMatMul", "x", "s", "z", "quantised", "s", "z", "s", "z"),
        node("BatchNormalization", "x", "gamma", "beta", "mean", "var"),
        node("Gather", "table", "places"),
        node("LayerNormalization", "x", "norm"),
        onnx.helper.make_node("Fused", ["x", "w", "w_scale"], ["y"], domain="com.example"),
    ]
    weights = {
        "kernel": KERNEL, "bias": np.zeros(4, "f4"), "whole": np.arange(6, dtype="i1"),
        "quantised": np.arange(6, dtype="u1").reshape(2, 3), "gamma": np.ones(3, "f4"),
        "beta": np.zeros(3, "f4"), "mean": np.zeros(3, "f4"), "var": np.ones(3, "f4"),
        "table": KERNEL, "norm": np.ones(4, "f4"), "w": KERNEL, "unused": KERNEL,
    }  # fmt: skip
    others = {
        "to": np.array([2, -1]), "starts": np.array([0]), "ends": np.array([1]),
        "axes": np.array([0]), "scale": np.float32(0.1), "zero": np.int8(0),
        "s": np.float32(1), "z": np.uint8(0), "places": np.array([1]), "w_scale": np.float32(1),
    }  # fmt: skip
    saved("m.onnx", nodes, [array(n, v) for n, v in {**weights, **others}.items()])
    found = held("m.onnx")
    assert list(found) == list(weights)
    for name, values in weights.items():
        assert (found[name].dtype, found[name].tolist()) == (values.dtype, values.tolist())
    code, out, err = run("inspect", "m.onnx")
    assert (code, "kernel" in out) == (0, True)
    assert err == (
        "note: left out 10 initializers that hold shapes, indices, scales or zero points: "
        "'to', 'starts', 'ends' and 7 more\n"
    )


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    "dtype",
    ["f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "bfloat16",
     "float8_e4m3fn", "float8_e5m2"],
)  # fmt: skip
def test_every_dtype(dtype: str, raw: bool) -> None:
    import ml_dtypes

    kind = getattr(ml_dtypes, dtype, dtype)
    values = np.array([[0, 1, 2], [1, 0, 3]]).astype(kind)
    if not raw and np.dtype(kind).kind == "V":
        # A field of numbers holds the bits of narrow floats.
        tensor = array("w", values)
        bits = np.frombuffer(tensor.raw_data, f"u{np.dtype(kind).itemsize}")
        tensor.ClearField("raw_data")
        tensor.int32_data.extend(bits.tolist())
    else:
        tensor = array("w", values, raw)
    saved("m.onnx", [], [tensor])
    (found,) = held("m.onnx").values()
    assert found.dtype == values.dtype
    assert found.tobytes() == values.tobytes()


def test_weights_beside_the_file(run: Run) -> None:
    large = np.arange(5000, dtype="f4").reshape(50, 100)
    saved(
        "m.onnx", [], [array("a", large), array("b", KERNEL)], save_as_external_data=True,
        location="m.data", size_threshold=1000,
    )  # fmt: skip
    assert read_headers("m.onnx").by_name()["a"].path == Path("m.data").resolve()
    assert {name: each.tolist() for name, each in held("m.onnx").items()} == {
        "a": large.tolist(), "b": KERNEL.tolist(),
    }  # fmt: skip
    safetensors.numpy.save_file({"a": large, "b": KERNEL}, "m.safetensors")
    assert run("diff", "--quiet", "m.onnx", "m.safetensors") == (0, "", "")
    code, out, _ = run("spec", "--json", "m.onnx")
    assert code == 0
    shapes = {n: e["shape"] for group in json.loads(out)["tensors"] for n, e in group.items()}
    assert shapes == {"a": [50, 100], "b": [3, 4]}
    assert run("init", "m.onnx", "--seed", "1", "-o", "new.safetensors", "-q")[0] == 0
    Path("m.data").unlink()
    assert run("inspect", "m.onnx") == (
        2, "", "glorot: m.onnx: 'a': there is no file 'm.data' beside it\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../secret"}, "expected a file in its folder, found '../secret'"),
        ({"location": "/etc/passwd"}, "expected a file in its folder, found '/etc/passwd'"),
        ({"location": "link"}, "expected a file in its folder, found 'link'"),
        ({"location": ""}, "expected a file in its folder, found ''"),
        ({"location": "a\0b"}, "expected a file in its folder, found 'a\\x00b'"),
        ({"location": "d", "offset": "x"}, "expected whole numbers for offset and length"),
        ({"location": "d", "offset": "5"}, "it needs 48 bytes from 5 on in 'd', which has 48"),
        ({"location": "d", "offset": "-1"}, "it needs 48 bytes from -1 on in 'd', which has 48"),
        ({"location": "d", "length": "12"}, "it needs 48 bytes from 0 on in 'd', which has 48"),
    ],
)
def test_paths_stay_in_the_folder(
    entries: dict[str, str], message: str, run: Run, folder: Path
) -> None:
    (folder.parent / "secret").write_bytes(bytes(48))
    Path("link").symlink_to(folder.parent / "secret")
    Path("d").write_bytes(bytes(48))
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[3, 4], data_location=1)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    saved("m.onnx", [], [tensor])
    assert run("inspect", "m.onnx") == (2, "", f"glorot: m.onnx: 'w': {message}\n")


def test_damaged_files(run: Run) -> None:
    Path("empty.onnx").touch()
    assert run("inspect", "empty.onnx")[2] == (
        "glorot: empty.onnx: not an ONNX file: it has no graph\n"
    )
    Path("bad.onnx").write_bytes(b"\xff" * 40)
    code, out, err = run("inspect", "bad.onnx")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("glorot: bad.onnx: not an ONNX file: ")
    short = array("w", KERNEL)
    short.raw_data = short.raw_data[:-1]
    saved("short.onnx", [], [short])
    assert run("inspect", "short.onnx")[2] == (
        "glorot: short.onnx: 'w': expected 48 bytes, found 47\n"
    )
    few = array("w", KERNEL, raw=False)
    few.dims[0] = 4
    saved("few.onnx", [], [few])
    assert run("inspect", "few.onnx")[2] == "glorot: few.onnx: 'w': expected 16 numbers, found 12\n"
    saved("twice.onnx", [], [array("w", KERNEL), array("w", KERNEL)])
    assert run("inspect", "twice.onnx")[2] == (
        "glorot: twice.onnx: two initializers are named 'w'\n"
    )
    huge = array("w", KERNEL)
    huge.dims[:] = [2**40, 2**40]
    saved("huge.onnx", [], [huge])
    assert "expected less than 2**63 elements" in run("inspect", "huge.onnx")[2]


def test_what_is_no_number_is_said(run: Run) -> None:
    text = onnx.helper.make_tensor("words", onnx.TensorProto.STRING, [1], [b"x"])
    saved("m.onnx", [], [array("w", KERNEL), text])
    assert run("inspect", "m.onnx")[2] == (
        "note: left out 1 initializers that are sparse or hold texts or less than a byte each: "
        "'words'\n"
    )


def test_without_the_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    saved("m.onnx", [], [array("w", KERNEL)])
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert run("inspect", "m.onnx") == (
        2, "", "glorot: m.onnx: reading ONNX needs the extra: pip install 'glorot[onnx]'\n"
    )  # fmt: skip
