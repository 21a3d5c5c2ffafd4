"""Every module type against the real torch module, over argument sets from a seeded generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from glorot_cli import SpecError, draw, load_spec, make_plan, write_weights
from glorot_cli.dialects.layer import Here
from glorot_cli.dialects.torch.network import Dialect
from glorot_cli.dialects.torch.table import LAYERS
from tests.interop import random_modules
from tests.interop.cases import Case, Shape
from tests.interop.comparison import Draw, Layer, Tensor, planned, runs
from tests.interop.torch_cases import TABLE

pytestmark = pytest.mark.interop

SETS = 12
MODULES = 50
BATCH = 2
CONTAINERS = ("Module", "ModuleDict", "ModuleList", "Sequential")
WITH_STEPS = ("GRU", "LSTM", "RNN", "MultiheadAttention", "Transformer")


@contextmanager
def recorded(torch: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Draw]]:
    """Record what torch's initialisers compute, and let them fill in the record's place."""
    draws: list[Draw] = []

    def recording(law: str) -> Any:
        def drawn(self: Any, first: float, second: float, generator: Any = None) -> Any:
            draws.append(Draw(law, first, second, None))
            return self.fill_(-1.0 - len(draws))

        return drawn

    with monkeypatch.context() as patch:
        for law in ("uniform", "normal"):
            patch.setattr(torch.Tensor, f"{law}_", recording(law))
        yield draws


def by_torch(
    torch: Any, kind: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> Layer | Exception:
    """Build and run the real module, or return what torch raises."""
    arguments = dict(case.arguments)
    dtype = getattr(torch, arguments.pop("dtype", "float32"))
    entry = {"type": kind, **arguments}
    with recorded(torch, monkeypatch) as draws, torch.no_grad():
        try:
            output = () if kind in CONTAINERS else _called(torch, entry, case)
            draws.clear()
            torch.set_default_dtype(dtype)
            module = random_modules.construct(torch, entry)
        except Exception as error:
            return error
        finally:
            torch.set_default_dtype(torch.float32)
    trained = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    tensors = []
    for name, tensor in module.state_dict().items():
        values = tensor.double().flatten().tolist()
        filled = [draws[int(-v) - 2] if v <= -2.0 else v for v in values]
        dtype = str(tensor.dtype).removeprefix("torch.")
        tensors.append(Tensor(name, tuple(tensor.shape), dtype, name in trained, runs(filled)))
    return Layer(tensors, output)


def _called(torch: Any, entry: dict[str, Any], case: Case) -> Shape:
    """Run a module on a small batch, and return its first output's shape without the batch."""
    kind = entry["type"]
    module = random_modules.construct(torch, entry)
    layer = next((v for v in entry.values() if isinstance(v, dict) and "d_model" in v), entry)
    second = kind.startswith(WITH_STEPS) and not kind.endswith("Cell")
    axis = int(second and not layer.get("batch_first", False))

    def batch(shape: Shape) -> Any:
        sizes = [n or 3 for n in shape]
        sizes.insert(axis, BATCH)
        return torch.zeros(sizes, dtype=torch.long if "Embedding" in kind else torch.float32)

    inputs = [batch(shape) for shape in case.shapes]
    if "Decoder" in kind or kind == "Transformer":
        inputs *= 2
    if kind == "MultiheadAttention":
        for key in ("kdim", "vdim"):
            inputs.append(batch((*case.input_shape[:-1], entry.get(key) or entry["embed_dim"])))
    output = module(*inputs)
    first = output[0] if isinstance(output, tuple) else output
    shape = list(first.shape)
    assert shape.pop(axis) == BATCH
    return tuple(shape)


def by_glorot(kind: str, case: Case) -> Layer | SpecError:
    """Plan the module, or return what glorot raises."""
    entry: dict[str, Any] = {"type": kind, **case.arguments}
    whole: dict[str, Any] = {"seed": 1, "dialect": "torch", "layers": [{**entry, "name": "x"}]}
    if kind not in CONTAINERS:
        whole["input_shape"] = list(case.input_shape)
    try:
        plan = make_plan(load_spec(whole))
    except SpecError as error:
        return error
    output: Any = ()
    if kind not in CONTAINERS:
        output = Dialect().layer(Here(entry, (), {})).build(case.input_shape).output
    tensors = [tensor._replace(name=tensor.name.removeprefix("x.")) for tensor in planned(plan)]
    return Layer(tensors, tuple(output))


def draw_case(kind: str, index: int) -> Case:
    """Return one of a module's argument sets, always the same."""
    random = Random(f"{kind} {index}")
    case = TABLE[kind](random)
    if random.random() < 0.2 and kind not in CONTAINERS:
        case.arguments["dtype"] = random.choice(["float16", "bfloat16", "float64"])
    return case


def test_every_module_has_a_generator() -> None:
    # Lazy ones are compared in test_torch_starts.
    assert sorted(TABLE) == sorted(name for name in LAYERS if not name.startswith("Lazy"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("index", range(SETS))
@pytest.mark.parametrize("kind", TABLE)
def test_module_is_torchs(
    kind: str, index: int, torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = draw_case(kind, index)
    real, ours = by_torch(torch, kind, case, monkeypatch), by_glorot(kind, case)
    if isinstance(real, Exception) or isinstance(ours, Exception):
        assert isinstance(real, Exception), f"only glorot refuses {case}: {ours}"
        assert isinstance(ours, Exception), f"only torch refuses {case}: {real!r}"
    else:
        assert ours == real, case


@pytest.mark.parametrize("seed", range(MODULES))
def test_random_module_takes_all_weights(seed: int, torch: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    plan = make_plan(load_spec(random_modules.random_spec(seed)))
    module = random_modules.random_module(torch, seed)
    for tensor in module.state_dict().values():
        tensor.fill_(7)
    write_weights(plan, tmp_path / "module.safetensors")
    module.load_state_dict(load_file(tmp_path / "module.safetensors"), strict=True)
    state = module.state_dict()
    assert list(state) == [tensor.name for tensor in plan.tensors]
    for name, tensor in state.items():
        expected = draw(plan, name)
        assert tensor.numpy().dtype == expected.dtype
        assert (tensor.numpy() == expected).all(), name


def test_fans_are_torchs(torch: Any) -> None:
    for seed in range(MODULES):
        plan = make_plan(load_spec(random_modules.random_spec(seed)))
        state = random_modules.random_module(torch, seed).state_dict()
        for tensor in plan.tensors:
            if len(tensor.shape) > 1:
                fans = torch.nn.init._calculate_fan_in_and_fan_out(state[tensor.name])
                assert tensor.fans == fans, tensor.name


def test_padding_rows_are_zero_as_in_torch(torch: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    layers = [
        {"type": "Embedding", "num_embeddings": 5, "embedding_dim": 3, "padding_idx": -2},
        {"type": "EmbeddingBag", "num_embeddings": 4, "embedding_dim": 2, "padding_idx": 0},
    ]
    plan = make_plan(load_spec({"seed": 1, "dialect": "torch", "layers": layers}))
    write_weights(plan, tmp_path / "module.safetensors")
    loaded = load_file(tmp_path / "module.safetensors")
    for entry, tensor in zip(layers, loaded.values(), strict=True):
        real = random_modules.construct(torch, entry).weight
        zero = (real == 0).all(1)
        assert zero.tolist() == (tensor == 0).all(1).tolist()
        assert zero.sum() == 1


def test_random_modules_hold_all_containers() -> None:
    text = "".join(str(random_modules.random_spec(seed)) for seed in range(MODULES))
    for kind in CONTAINERS:
        assert text.count(f"'{kind}'") > 10, kind
