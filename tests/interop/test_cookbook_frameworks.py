"""docs/cookbook.md: one spec's weights, loaded by Keras and by torch as the page loads them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import pages

pytestmark = pytest.mark.interop

BLOCKS = pages.named_blocks("cookbook.md")
RUNS = ("keras", "torch")

COMPARE = """
import numpy as np

x = np.linspace(-1.0, 1.0, 300, dtype=np.float32).reshape(3, 100)
{run}
np.save("{name}.npy", np.asarray(y))
"""


def test_keras_and_torch_start_alike(tmp_path: Path) -> None:
    pages.copy_samples(tmp_path)
    pages.ran(BLOCKS["two-formats"], tmp_path)
    calls = {"keras": "y = model(x)", "torch": "y = model(torch.from_numpy(x)).detach().numpy()"}
    scripts = {"to-torch": BLOCKS["to-torch"]}
    for name in RUNS:
        scripts[name] = BLOCKS[name] + COMPARE.format(run=calls[name], name=name)
    for name, script in scripts.items():
        file = tmp_path / f"run-{name}.py"
        file.write_text(script, "utf-8")
        pages.ran(f"{sys.executable} {file.name}", tmp_path, {"KERAS_BACKEND": "jax"})
    compare = (
        "import numpy as np\n"
        "k, t = np.load('keras.npy'), np.load('torch.npy')\n"
        "assert k.shape == (3, 10) and np.ptp(k) > 0.05\n"
        "np.testing.assert_allclose(k, t, rtol=1e-4, atol=1e-6)\n"
    )
    (tmp_path / "compare.py").write_text(compare, "utf-8")
    pages.ran(f"{sys.executable} compare.py", tmp_path)
