"""Small files of every kind that torch saves, and what is in them.

python -m tests.interop.torch_files writes those that the plain suite reads, with their values.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

DATA = Path(__file__).parents[1] / "data" / "torch"
# Those that the plain suite has.
COMMITTED = (
    "state_dict", "state_dict.old", "views", "views.old", "dtypes", "checkpoint", "module",
    "quantised", "sparse", "parameters.old", "script", "big_endian",
)  # fmt: skip


class Sample(NamedTuple):
    """Hold a file's bytes, the tensors in it, and what is said of it besides."""

    data: bytes
    tensors: Mapping[str, Any]
    notices: tuple[str, ...] = ()


class Net(torch.nn.Module):
    """Be a module with parameters, buffers and a module within."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(5, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        self.register_buffer("kept", torch.arange(4))
        self.register_buffer("passing", torch.zeros(9), persistent=False)

    def forward(self, x: Any) -> Any:
        """Run it."""
        return self.norm(self.first(x)) + self.get_buffer("kept")[0]


def saved(value: object, *, old: bool = False, **options: Any) -> bytes:
    """Return the bytes that torch.save writes, in the form before 1.6 or since."""
    out = io.BytesIO()
    torch.save(value, out, _use_new_zipfile_serialization=not old, **options)
    return out.getvalue()


def _both(value: object, tensors: Mapping[str, Any], *notices: str) -> list[Sample]:
    return [Sample(saved(value, old=old), tensors, notices) for old in (False, True)]


def _big_endian(tensors: Mapping[str, Any]) -> bytes:
    """Save as a big-endian machine does."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(dict(tensors)))) as old, zipfile.ZipFile(out, "w") as new:
        sizes = [tensor.element_size() for tensor in tensors.values()]
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("/byteorder"):
                data = b"big"
            elif "/data/" in name:
                size = sizes[int(name.rpartition("/")[2])]
                data = b"".join(data[i : i + size][::-1] for i in range(0, len(data), size))
            new.writestr(name, data)
    return out.getvalue()


def _script() -> Sample:
    module = torch.jit.script(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)))
    return Sample(_archived(module), module.state_dict())


def _frozen() -> Sample:
    """Save a module whose weights have become constants."""
    module = torch.nn.Sequential(torch.nn.Linear(4, 3)).eval()
    frozen = torch.jit.freeze(torch.jit.script(module))
    return Sample(_archived(frozen), {"0": module[0].weight, "1": module[0].bias})


def _archived(module: Any) -> bytes:
    out = io.BytesIO()
    torch.jit.save(module, out)
    return out.getvalue()


def _dtypes() -> dict[str, Any]:
    names = (
        "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int64",
        "int32", "int16", "int8", "uint8", "bool",
    )  # fmt: skip
    return {name: torch.tensor([1.5, 0.0, 3.0]).to(getattr(torch, name)) for name in names}


def samples() -> dict[str, Sample]:
    """Return all files by their names; those that end in .old are of the form before 1.6."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch means to give up some of what it saves
        return _samples()


def _samples() -> dict[str, Sample]:
    torch.manual_seed(0)
    net = Net()
    weights = net.state_dict()
    base = torch.arange(24.0).reshape(4, 6)
    views = {
        "base": base, "turned": base.T, "rows": base[1:3], "columns": base[:, ::2],
        "column": base[:, 4], "expanded": torch.arange(3.0).reshape(1, 3).expand(4, 3),
        "cube": base.reshape(2, 3, 4).permute(2, 0, 1), "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 3), "one": base[2:3, 5:6], "windows": base[0].unfold(0, 3, 1),
    }  # fmt: skip
    optimizer = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
    checkpoint = {"epoch": 3, "step": torch.tensor(9), "model": weights, "optimizer": optimizer}
    ema = {"ema": {"w": base}, "module": {"w": base + 1}, "lr_scheduler": {"t": base}}
    whole = torch.quantize_per_tensor(base, 0.5, 3, torch.qint8)
    channels = torch.quantize_per_channel(
        base, torch.ones(4), torch.zeros(4, dtype=torch.long), 0, torch.quint8
    )
    rows = torch.eye(3).to_sparse_csr()
    sparse = torch.tensor([[0.0, 2.0], [3.0, 0.0]]).to_sparse().coalesce()
    said = "shown are its whole numbers, before scale and zero point"
    pairs: dict[str, list[Sample]] = {
        "state_dict": _both(weights, weights),
        "views": _both(views, views),
        "dtypes": _both(_dtypes(), _dtypes()),
        "checkpoint": _both(checkpoint, weights, "the weights are those of 'model'"),
        "ema": _both(
            ema, {"w": base + 1}, "--key chooses another mapping: 'ema'",
            "the weights are those of 'module'",
        ),
        "module": _both(net, weights),
        "parameters": _both(list(net.first.parameters()), dict(enumerate_names(net.first))),
        "quantised": _both(
            {"w": whole, "v": channels}, {"w": whole.int_repr(), "v": channels.int_repr()},
            f"'w' is quantised (qint8); {said}", f"'v' is quantised (quint8); {said}",
        ),
        "sparse": _both(
            {"s": sparse, "c": rows},
            {
                "s.indices": sparse.indices(), "s.values": sparse.values(),
                "c.crow_indices": rows.crow_indices(), "c.col_indices": rows.col_indices(),
                "c.values": rows.values(),
            },
            "'s' is sparse: indices, values stand for it",
            "'c' is sparse: crow_indices, col_indices, values stand for it",
        ),
        "nested": _both({"a": {"b": [base, base[0]]}, "c": base}, {
            "a.b.0": base, "a.b.1": base[0], "c": base,
        }),
        "ordered": _both(OrderedDict(w=base), {"w": base}),
        "meta": _both(
            {"w": base, "m": torch.zeros(3, device="meta")}, {"w": base},
            "left out: 'm' is on the meta device, so the file has no elements of it",
        ),
    }  # fmt: skip
    found = {name: new for name, (new, _) in pairs.items()}
    found |= {f"{name}.old": old for name, (_, old) in pairs.items()}
    whole_numbers = {"w": torch.arange(4, dtype=torch.int16), "f": torch.tensor([1.5, -2.0])}
    return {
        **found,
        "script": _script(),
        "frozen": _frozen(),
        "big_endian": Sample(_big_endian(whole_numbers), whole_numbers),
        "protocol": Sample(saved(weights, pickle_protocol=4), weights),
        "protocol.old": Sample(saved(weights, old=True, pickle_protocol=4), weights),
        "unsigned": Sample(saved(_unsigned()), _unsigned()),
        "lone": Sample(saved(base.T), {"lone": base.T}),
        "lone.old": Sample(saved(base, old=True), {"lone.old": base}),
    }


def _unsigned() -> dict[str, Any]:
    return {n: torch.arange(3).to(getattr(torch, n)) for n in ("uint16", "uint32", "uint64")}


def enumerate_names(module: Any) -> list[tuple[str, Any]]:
    """Return a module's parameters by their numbers."""
    return [(str(i), each.detach()) for i, each in enumerate(module.parameters())]


def raw(tensor: Any) -> bytes:
    """Return a tensor's elements in C order."""
    flat = tensor.detach().contiguous().clone().reshape(-1)
    return bytes(flat.view(torch.uint8).numpy().tobytes()) if flat.numel() else b""


def described(tensor: Any) -> dict[str, Any]:
    """Return what the plain suite knows of a tensor."""
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "data": raw(tensor).hex(),
    }


def write(make: Callable[[], dict[str, Sample]] = samples) -> None:
    """Write the files of the plain suite."""
    DATA.mkdir(exist_ok=True)
    expected = {}
    found = make()
    for name in COMMITTED:
        sample = found[name]
        (DATA / f"{name}.pt").write_bytes(sample.data)
        tensors = {key: described(tensor) for key, tensor in sample.tensors.items()}
        expected[name] = {"notices": list(sample.notices), "tensors": tensors}
    (DATA / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    write()
