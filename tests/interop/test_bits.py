"""Random tensors and models by the frameworks, with the bits that glorot draws for them.

The seeds are fixed; `python tests/golden/make_golden.py --fresh 500` compares with fresh ones.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from glorot_cli.cli import main
from glorot_cli.distributions import Normal
from glorot_cli.dtypes import numpy_dtype
from glorot_cli.streams import drawer
from glorot_cli.streams.request import Request
from tests.golden.cases import STREAMS

pytestmark = pytest.mark.interop

PAGE = Path(__file__).parents[2] / "docs" / "framework-bits.md"
SCRIPT = Path(__file__).parents[1] / "golden" / "make_golden.py"
COUNT = 40


# TensorFlow is too large for the extra: its bits are held by the golden vectors alone.
LIVE = [stream for stream in STREAMS if stream != "keras-tensorflow"]


@pytest.mark.parametrize("stream", LIVE)
def test_random_cases_have_the_frameworks_bits(stream: str) -> None:
    # A process of its own: Keras's backend is chosen once.
    command = [
        sys.executable,
        str(SCRIPT),
        "--child",
        stream,
        "--fresh",
        str(COUNT),
        "--seed",
        "20",
    ]
    backend = stream.removeprefix("keras-") if "-" in stream else "numpy"
    # Processors with AVX512-FP16 compute in float16, where others round each step from float32.
    limits = {"XLA_FLAGS": "--xla_cpu_max_isa=AVX2", "JAX_PLATFORMS": "cpu"}
    child = subprocess.run(
        command,
        env={**os.environ, **limits, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(child.stdout.splitlines()[-1])
    assert found["differing"] == []
    assert found["cases"] == COUNT
    assert found["models"] == (0 if stream == "jax" else COUNT // 10)


# The processors that the frameworks are told to be: without fused multiply-add, or with it.
WITHOUT_FMA = """
import sys
import numpy as np
from glorot_cli.distributions import Uniform
from glorot_cli.streams import drawer
from glorot_cli.streams.request import Request

stream, fma = sys.argv[1], sys.argv[2] == "true"
for low, high in ((-0.3, 0.3), (0.2, 0.7), (-1.7, 0.1)):
    if stream == "torch":
        import torch

        torch.manual_seed(5)
        expected = torch.empty(20000).uniform_(low, high).numpy()
    else:
        import jax

        expected = np.asarray(jax.random.uniform(jax.random.key(5), (20000,), None, low, high))
    found = np.empty(20000, np.float32)
    drawer(stream, Request(Uniform(low, high), (20000,), 5, "t", "float32", (), fma))(0, found)
    assert found.tobytes() == expected.tobytes(), (low, high)
"""


@pytest.mark.parametrize("fma", ["true", "false"])
@pytest.mark.parametrize("stream", ["torch", "jax"])
def test_both_kinds_of_processor_are_known(stream: str, fma: str) -> None:
    names = ("AVX2", "avx2") if fma == "true" else ("AVX", "default")
    limits = {"XLA_FLAGS": f"--xla_cpu_max_isa={names[0]}", "ATEN_CPU_CAPABILITY": names[1]}
    subprocess.run(
        [sys.executable, "-c", WITHOUT_FMA, stream, fma],
        env={**os.environ, **limits, "JAX_PLATFORMS": "cpu"},
        check=True,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_few_and_scattered_normal_values_have_torchs_bits(dtype: str) -> None:
    import torch

    for seed in range(40):
        count, mean, std = 1 + seed % 15, 0.1 * seed, 0.01 + 0.37 * seed
        for apart in (False, True):
            torch.manual_seed(seed)
            whole = torch.empty(2 * count, dtype=getattr(torch, dtype))
            tensor = whole[::2] if apart else whole[:count]
            tensor.normal_(mean, std)
            together = torch.empty(count, dtype=tensor.dtype).copy_(tensor)
            expected = together.view(torch.uint8).numpy().tobytes()
            found = np.empty(count, numpy_dtype(dtype))
            law = Normal(mean, std)
            request = Request(law, (count,), seed, "t", dtype, (0, -1), scattered=apart)
            drawer("torch", request)(0, found)
            assert found.tobytes() == expected, (seed, apart)


def test_the_pages_example_works(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    spec = PAGE.parents[1] / "sample_specs" / "mlp.yaml"
    target = tmp_path / "start.safetensors"
    arguments = ["--seed", "42", "--rng", "keras-jax", "-o", str(target), "--quiet"]
    assert main(["init", str(spec), *arguments]) == 0
    subprocess.run([sys.executable, "-W", "ignore", "-c", example], cwd=tmp_path, check=True)
