"""What 1.0.0 drew: specs over dtypes, streams, dialects and initializers, and their elements.

`python tests/golden/elements.py` writes elements-1.0.0.json beside this file, and was run by the
code of 1.0.0. It is not written again: what a stream's version drew once stays the same.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from glorot_cli import load_spec, make_plan  # noqa: E402
from glorot_cli.drawing import drawer  # noqa: E402
from glorot_cli.dtypes import DTYPES, INTEGERS, numpy_dtype  # noqa: E402
from glorot_cli.plan import PlannedTensor  # noqa: E402
from tests.golden.models import KERAS, TORCH  # noqa: E402
from tests.interop.random_models import plain  # noqa: E402

ELEMENTS = Path(__file__).parent / "elements-1.0.0.json"
Case = dict[str, Any]

# As many elements from a tensor's start, and from its end, are kept.
KEPT = 5000

INITIALIZERS: list[str | Case] = [
    "zeros", "ones", {"name": "constant", "value": -0.3}, "glorot_uniform", "glorot_normal",
    "he_uniform", "he_normal", "lecun_uniform", "lecun_normal", "random_uniform", "random_normal",
    {"name": "random_uniform", "minval": -0.25, "maxval": 1.5}, "truncated_normal",
    {"name": "random_normal", "mean": 0.7, "stddev": 0.2},
    {"name": "truncated_normal", "mean": -0.7, "stddev": 0.2}, "xavier_uniform", "xavier_normal",
    {"name": "xavier_uniform", "gain": "relu"}, "kaiming_uniform", "kaiming_normal",
    {"name": "kaiming_uniform", "a": 5**0.5, "mode": "fan_out"}, "uniform", "normal",
    {"name": "kaiming_normal", "nonlinearity": "tanh"}, {"name": "trunc_normal", "std": 0.02},
    {"name": "trunc_normal", "mean": 0.5, "std": 1.5, "a": -1.0, "b": 3.0},
    {"name": "sparse", "sparsity": 0.3}, "identity", {"name": "identity", "gain": 0.3}, "eye",
    "orthogonal", {"name": "orthogonal", "gain": 1.7},
    *({"name": "variance_scaling", "scale": 1.3, "mode": mode, "distribution": distribution}
      for mode in ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")
      for distribution in ("truncated_normal", "untruncated_normal", "uniform")),
]  # fmt: skip
OF_KERNELS: list[str | Case] = ["dirac", {"name": "dirac", "groups": 2}, "orthogonal"]


def _name(initializer: str | Case) -> str:
    return initializer if isinstance(initializer, str) else str(initializer["name"])


def _matrices(dtype: str) -> Case:
    tensors = {
        f"t{index}.{_name(initializer)}": {
            "shape": [37, 53], "axes": "IO", "initializer": initializer, "dtype": dtype
        }
        for index, initializer in enumerate(INITIALIZERS)
    }  # fmt: skip
    return {"seed": 42, "tensors": tensors}


def _shapes() -> Case:
    places: list[Case] = [
        {"shape": []}, {"shape": [1]}, {"shape": [129]}, {"shape": [3, 5, 8, 6], "axes": "HWIO"},
        {"shape": [6, 8, 3, 5], "axes": "OIHW"}, {"shape": [4, 24, 40], "axes": "BIO"},
        {"shape": [24, 120], "axes": "IO", "fused": 3}, {"shape": [12, 3, 4], "axes": "IOO"},
        {"shape": [2, 36, 20], "axes": "BOI", "fused": 2}, {"shape": [7, 300, 401], "axes": "BIO"},
        *({"shape": [8, 8, 3, 3], "axes": "OIHW", "fans": rule}
          for rule in ("exact", "keras", "keras-3.14", "torch", "jax")),
        {"shape": [64, 64], "axes": "IO", "seed": 2**64 - 1},
    ]  # fmt: skip
    names = ("glorot_uniform", "he_normal", "lecun_normal", "normal", "uniform", "ones")
    tensors = {
        f"t{index}.{name}": {**place, "initializer": name}
        for index, place in enumerate(places)
        for name in names
    }
    kernels = {
        f"k{index}.{_name(initializer)}": {
            "shape": [8, 4, 3, 5], "axes": "OIHW", "initializer": initializer
        }
        for index, initializer in enumerate(OF_KERNELS)
    }  # fmt: skip
    kernels["delta"] = {"shape": [3, 3, 4, 8], "axes": "HWIO", "initializer": "delta_orthogonal"}
    kernels["wide"] = {"shape": [12, 40], "axes": "OI", "initializer": "orthogonal"}
    return {"seed": 7, "tensors": tensors | kernels}


def _integers() -> Case:
    tensors = {
        dtype: {"shape": [5], "dtype": dtype, "initializer": {"name": "constant", "value": 1}}
        for dtype in INTEGERS
    }
    return {"seed": 0, "tensors": tensors}


def _framework(stream: str) -> Case:
    names = ("glorot_uniform", "he_uniform", "random_uniform", "ones")
    tensors: Case = {
        f"{name}.{dtype}": {
            "shape": [41, 29], "axes": "IO", "initializer": name, "dtype": dtype,
            **({} if stream == "torch" else {"seed": index}),
        }
        for index, (name, dtype) in enumerate(
            (name, dtype) for name in names for dtype in ("float32", "float64", "bfloat16")
        )
    }  # fmt: skip
    return {"rng": stream, "tensors": tensors, **({"seed": 3} if stream == "torch" else {})}


def _rules() -> Case:
    return {
        "seed": 9,
        "dims": {"d": 32, "layers": 3},
        "initializers": [
            {"*.bias": "zeros"},
            {"*.proj.weight": {"name": "normal", "std": "0.02 / sqrt(2 * layers)"}},
            {"*": {"name": "trunc_normal", "std": 0.02}},
        ],
        "tensors": {
            "h.{i}.proj.weight": {"shape": ["d", "4*d"], "axes": "OI", "repeat": {"i": "layers"}},
            "h.{i}.bias": {"shape": ["d"], "repeat": {"i": "layers"}},
            "h.{i}.seeded": {
                "shape": ["d", "d"], "axes": "OI", "repeat": {"i": "layers"}, "seed": "5 + i"
            },
            "wte": {"shape": [100, "d"], "axes": "IO"},
        },
    }  # fmt: skip


def specs() -> dict[str, Case | Path]:
    """Return the specs by name."""
    samples = sorted((ROOT / "sample_specs").iterdir())
    found: dict[str, Case | Path] = {f"matrices {dtype}": _matrices(dtype) for dtype in DTYPES}
    found |= {"shapes": _shapes(), "integers": _integers(), "rules": _rules()}
    found |= {
        f"stream {name}": _framework(name)
        for name in ("keras-numpy", "keras-jax", "keras-torch", "keras-tensorflow", "torch", "jax")
    }
    found |= {
        f"{dialect} {index} {dtype}": {
            **plain(model), "dialect": dialect, "seed": index, "dtype": dtype
        }
        for dialect, models in (("keras", KERAS), ("torch", TORCH))
        for index, model in enumerate(models)
        for dtype in ("float32", "bfloat16")
    }  # fmt: skip
    found |= {f"sample {path.stem}": path for path in samples if path.suffix in (".yaml", ".json")}
    return found


def _kept(tensor: PlannedTensor) -> Any:
    draw, size = drawer(tensor), tensor.parameters
    first = np.empty(min(size, KEPT), numpy_dtype(tensor.dtype))
    draw(0, first)
    if tensor.initializer in ("orthogonal", "delta_orthogonal"):
        # The last bits are the BLAS library's.
        return [float(value) for value in first[:6]]
    last = np.empty(min(size, KEPT), first.dtype)
    draw(size - last.size, last)
    return hashlib.sha256(first.tobytes() + last.tobytes()).hexdigest()[:24]


def elements(spec: Case | Path) -> Case:
    """Draw a spec's tensors: of each, a hash of its first and last elements."""
    plan = make_plan(load_spec(spec, {"seed": 11} if isinstance(spec, Path) else None))
    return {tensor.name: _kept(tensor) for tensor in plan.tensors}


def main() -> None:
    """Write what is drawn now."""
    found = {name: elements(spec) for name, spec in specs().items()}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(each)}" for name, each in found.items())
    ELEMENTS.write_text(f"{{\n{lines}\n}}\n", "utf-8")


if __name__ == "__main__":
    main()
