"""Files of torch's, read without it, are equal to what torch loads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.dtypes import numpy_dtype
from glorot_cli.formats.elements import Elements
from glorot_cli.formats.reading import read_headers

pytest.importorskip("torch")
from tests.interop.torch_files import described, samples

pytestmark = pytest.mark.interop

SAMPLES = samples()


@pytest.mark.parametrize("name", SAMPLES)
def test_what_torch_saves_is_read(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    path = tmp_path / f"{name}.pt"
    path.write_bytes(sample.data)
    file = read_headers(path)
    assert file.notices == sample.notices
    with Elements(file) as elements:
        found = {}
        for tensor in file.tensors:
            count = int(np.prod(tensor.shape, dtype=int))
            values = elements.run(tensor, 0, count)
            data = values.astype(numpy_dtype(tensor.dtype)).tobytes().hex()
            found[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data": data}
    assert found == {key: described(tensor) for key, tensor in sample.tensors.items()}


def test_there_are_as_many_as_was_said() -> None:
    assert len(SAMPLES) >= 30


def test_both_forms_of_a_file_are_the_same_weights(tmp_path: Path) -> None:
    for name in ("new", "old"):
        key = "state_dict" if name == "new" else "state_dict.old"
        (tmp_path / f"{name}.pt").write_bytes(SAMPLES[key].data)
    assert glorot.diff_weights(tmp_path / "new.pt", tmp_path / "old.pt").equal
