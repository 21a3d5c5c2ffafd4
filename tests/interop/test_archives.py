"""What glorot writes as .pt and .npz, loaded by torch and NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.dtypes import ITEM_SIZES, PRECISIONS

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.interop
SPECS = Path(__file__).resolve().parents[2] / "sample_specs"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("options", [{"mmap": True}, {}, {"weights_only": False}])
def test_torch_loads_a_model_strictly(options: dict[str, Any]) -> None:
    text = """
seed: 7
dialect: torch
input_shape: [3, 8, 8]
layers:
  - {type: Conv2d, in_channels: 3, out_channels: 4, kernel_size: 3}
  - {type: BatchNorm2d, num_features: 4}
  - {type: Flatten}
  - {type: Linear, in_features: 144, out_features: 2}
"""
    Path("s.yaml").write_text(text)
    plan = glorot.make_plan(glorot.load_spec("s.yaml"))
    glorot.write_weights(plan, "w.pt")
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(),
        torch.nn.Linear(144, 2),
    )  # fmt: skip
    state = torch.load("w.pt", **{"weights_only": True, **options})
    assert model.load_state_dict(state, strict=True).missing_keys == []
    for tensor in plan.tensors:
        assert state[tensor.name].numpy().tobytes() == glorot.draw(plan, tensor.name).tobytes()
    assert model.eval()(torch.ones(1, 3, 8, 8)).shape == (1, 2)
    # What torch saves again is the same to us.
    torch.save(model.state_dict(), "again.pt")
    assert glorot.diff_weights("w.pt", "again.pt").equal


@pytest.mark.parametrize("dtype", ITEM_SIZES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (1, 2, 3, 4)])
def test_torch_loads_every_dtype_and_shape(dtype: str, shape: tuple[int, ...]) -> None:
    start = "ones" if dtype in PRECISIONS or dtype == "bool" else "zeros"
    tensors = {"w": {"shape": list(shape), "initializer": start, "dtype": dtype}}
    glorot.write_weights(
        glorot.make_plan(glorot.load_spec({"seed": 1, "tensors": tensors})), "w.pt"
    )
    state = torch.load("w.pt", weights_only=True, mmap=True)
    found = state["w"]
    assert (str(found.dtype), tuple(found.shape)) == (f"torch.{dtype}", shape)
    assert found.is_contiguous()
    assert (found.float() == (1 if start == "ones" else 0)).all()


def test_numpy_and_mlx_s_way_of_reading_load_an_npz() -> None:
    plan = glorot.make_plan(glorot.load_spec(SPECS / "mlp.yaml", {"seed": 3}))
    glorot.write_weights(plan, "w.npz")
    with np.load("w.npz", allow_pickle=False) as archive:
        for tensor in plan.tensors:
            assert archive[tensor.name].tobytes() == glorot.draw(plan, tensor.name).tobytes()
    try:
        import mlx.core as mx  # type: ignore[import-not-found]
    except ImportError:
        return  # it reads by zipfile and a header of .npy, as above
    found = mx.load("w.npz")
    assert set(found) == {tensor.name for tensor in plan.tensors}
