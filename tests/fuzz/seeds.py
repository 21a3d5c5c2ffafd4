"""What is mutated: small files of every format and layout, and small specs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import glorot_cli as glorot

LAYERS: dict[str, Any] = {
    "seed": 7,
    "input_shape": [6],
    "layers": [
        {"type": "Dense", "units": 5, "name": "a", "activation": "relu"},
        {"type": "BatchNormalization"},
        {"type": "Dense", "units": 2, "kernel_initializer": "he_normal"},
    ],
}
TENSORS: dict[str, Any] = {
    "seed": 7,
    "dims": {"d": 4, "n": 2},
    "initializers": [{"*.b": "zeros"}, {"*": {"name": "normal", "std": "0.02 / sqrt(2*n)"}}],
    "tensors": [
        {"wte": {"shape": [7, "d"], "axes": "IO"}},
        {
            "repeat": {"i": "n"},
            "entries": {
                "h.{i}.w": {"shape": ["d", "3*d"], "axes": "IO", "fused": 3},
                "h.{i}.b": {"shape": ["d"]},
            },
        },
        {"head": {"tie": "wte"}},
    ],
}
SPECS = {
    "layers.yaml": """\
dialect: keras
input_shape: [8, 8, 3]
seed: 1
layers:
  - {type: Conv2D, filters: 4, kernel_size: 3, activation: relu, kernel_initializer: he_normal}
  - {type: MaxPooling2D}
  - {type: Flatten}
  - type: Sequential
    name: "inner"
    layers:
      - {type: Dense, units: 3, kernel_initializer: {name: VarianceScaling, scale: 2.0}}
  - {type: LayerNormalization, trainable: false, dtype: float16}
""",
    "graph.yaml": """\
inputs: {x: [5], y: [5]}
outputs: [out]
layers:
  - {type: Dense, name: a, units: 4, inputs: x}
  - {shared: a, name: b, inputs: y}
  - {type: Add, name: s, inputs: [a, b]}
  - {type: Dense, name: out, units: 2, inputs: s}
""",
    "torch.yaml": """\
dialect: torch
rng: torch
seed: 3
input_shape: [3, 8, 8]
layers:
  - {type: Conv2d, out_channels: 4, kernel_size: 3}
  - {type: BatchNorm2d}
  - {type: Flatten}
  - {type: Linear, out_features: 2, bias: false}
""",
    "tensors.yaml": """\
# Tensors that are written out.
dims: {d: 8, heads: 2, layers: 3}
seed: 12345678901234567890
fans: exact
initializers:
  - "*.norm": ones
  - "*.out": {name: normal, std: 0.02 / sqrt(2*layers)}
  - "*": {name: truncated_normal, std: 2e-2, a: -0.04, b: 0.04}
tensors:
  - wte: {shape: [16, d], axes: IO}
  - repeat: {i: layers}
    entries:
      "h.{i}.norm": {shape: [d]}
      "h.{i}.qkv": {shape: [d, 3*d], axes: IO, fused: 3, dtype: bfloat16}
      "h.{i}.out": {shape: [heads, d//heads, d], axes: IIO}
  - lm_head: {tie: wte}
""",
}

Make = Callable[[Path], None]


def spec_seeds(folder: Path) -> None:
    """Write specs as YAML, and two as JSON."""
    for name, text in SPECS.items():
        (folder / name).write_text(text)
    (folder / "layers.json").write_text(json.dumps(LAYERS, indent=1))
    (folder / "tensors.json").write_text(json.dumps(TENSORS))


def _plan(spec: dict[str, Any]) -> glorot.Plan:
    return glorot.make_plan(glorot.load_spec(spec))


def safetensors_seeds(folder: Path) -> None:
    """Write our own, and one of no provenance and many dtypes."""
    glorot.write_weights(_plan(LAYERS), str(folder / "layers.safetensors"))
    glorot.write_weights(_plan(TENSORS), str(folder / "tensors.safetensors"))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, size in {"BF16": 2, "F8_E4M3": 1, "I64": 8, "BOOL": 1, "F64": 8, "F4": 1}.items():
        shape = [2, 4] if name == "F4" else [2, 2]
        end = at + 4 * size
        header[f"x.{name}"] = {"dtype": name, "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    data = len(text).to_bytes(8, "little") + text + bytes(range(at))
    (folder / "foreign.safetensors").write_bytes(data)


def npy_seeds(folder: Path) -> None:
    """Write single arrays, and a folder of them."""
    np.save(folder / "f4.npy", np.linspace(-1, 1, 12, dtype="f4").reshape(3, 4))
    np.save(folder / "f8.npy", np.linspace(-1, 1, 6).astype(">f8"))
    with (folder / "i2.npy").open("wb") as file:
        np.lib.format.write_array(file, np.arange(6, dtype="i2").reshape(1, 6), version=(2, 0))
    glorot.write_weights(_plan(TENSORS), f"{folder}/folder/")


def npz_seeds(folder: Path) -> None:
    """Write archives, one of them compressed."""
    arrays = {"a/w": np.linspace(-1, 1, 12, dtype="f4").reshape(3, 4), "b": np.zeros(5, ">f8")}
    np.savez(folder / "plain.npz", **arrays)  # type: ignore[arg-type]
    np.savez_compressed(folder / "deflated.npz", **arrays)  # type: ignore[arg-type]


def h5_seeds(folder: Path) -> None:
    """Write our two layouts, and others' with chunks, filters, attributes and links."""
    glorot.write_weights(_plan(LAYERS), str(folder / "layers.h5"))
    glorot.write_weights(_plan(LAYERS), str(folder / "layers.weights.h5"))
    values = np.linspace(-1, 1, 24, dtype="f4").reshape(4, 6)
    for name, version in (("old.h5", "earliest"), ("new.h5", "latest")):
        with h5py.File(folder / name, "w", libver=version) as file:
            file["plain"] = values
            file["g/scalar"] = np.float64(3)
            file["g/big"] = values.astype(">f8")
            file["g/again"] = file["plain"]
            options = {"compression": "gzip", "shuffle": True, "fletcher32": True}
            file.create_dataset("g/zip", data=values, chunks=(2, 3), **options)
            file.create_dataset("lzf", data=values, chunks=(4, 2), compression="lzf")
            file.create_dataset("growing", data=values, maxshape=(None, 6), chunks=(1, 6))
            file["half"] = np.zeros(3, "V2")
            file["half"].attrs["dtype"] = "bfloat16"
            file["text"] = "a text of variable length"
            file.attrs["glorot"] = json.dumps({"spec": {"tensors": {}}})
            file.attrs["layer_names"] = ["plain", "g"]
    with h5py.File(folder / "links.h5", "w") as file:
        file["w"] = values
        file["soft"] = h5py.SoftLink("/w")
        file["out"] = h5py.ExternalLink("/etc/passwd", "/w")
    with h5py.File(folder / "outside.h5", "w") as file:
        file.create_dataset("w", (4, 6), "f4", external=[("/etc/passwd", 0, 96)])
        layout = h5py.VirtualLayout((4, 6), "f4")
        layout[:] = h5py.VirtualSource("/etc/hostname", "w", (4, 6))
        file.create_virtual_dataset("v", layout)


def keras_seeds(folder: Path) -> None:
    """Write an archive, and models' configurations."""
    dense = {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"name": "d", "units": 3, "trainable": True, "kernel_initializer": None},
        "build_config": {"input_shape": [None, 6]},
    }
    start = {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {"batch_shape": [None, 6], "name": "input"},
    }
    config = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "s", "layers": [start, dense]},
    }
    (folder / "sequential.json").write_text(json.dumps(config))
    sample = Path(__file__).parents[2] / "sample_specs" / "keras_functional.json"
    (folder / "functional.json").write_bytes(sample.read_bytes())
    (folder / "c.json").write_text(json.dumps(config))
    plan = _plan(LAYERS)
    glorot.write_weights(plan, str(folder / "model.keras"), config=str(folder / "c.json"))
    (folder / "c.json").unlink()


def shards_seeds(folder: Path) -> None:
    """Write a folder of shards, and Keras's set of files."""
    glorot.write_weights(_plan(TENSORS), f"{folder}/hf/", max_shard_size="200B")
    (folder / "keras").mkdir()
    glorot.write_weights(_plan(LAYERS), f"{folder}/keras/x.weights.json", max_shard_size="100B")


def torch_seeds(folder: Path) -> None:
    """Copy what torch saved, and write a file of our own."""
    for path in sorted((Path(__file__).parents[1] / "data" / "torch").glob("*.pt")):
        (folder / path.name).write_bytes(path.read_bytes())
    glorot.write_weights(_plan(TENSORS), str(folder / "tensors.pt"))
    (folder / "hf").mkdir()
    names = ("first.weight", "norm.bias")
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "pytorch_model-1.bin")}
    (folder / "hf" / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    whole = (folder / "state_dict.pt").read_bytes()
    (folder / "hf" / "pytorch_model-1.bin").write_bytes(whole)


KINDS: dict[str, Make] = {
    "spec": spec_seeds,
    "safetensors": safetensors_seeds,
    "npy": npy_seeds,
    "npz": npz_seeds,
    "h5": h5_seeds,
    "keras": keras_seeds,
    "shards": shards_seeds,
    "torch": torch_seeds,
}
