"""Checkpoints in shards, read by the libraries that people keep them for."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.cli import main
from glorot_cli.formats.shards import shard_name, split

pytestmark = pytest.mark.interop

SPECS = Path(__file__).resolve().parents[2] / "sample_specs"


class Case:
    """A sample, its sizes, and transformers' model and configuration of the same ones."""

    def __init__(
        self, spec: str, dims: dict[str, int], classes: tuple[str, str], **config: Any
    ) -> None:
        self.spec = spec
        self.dims = dims
        self.classes = classes
        self.config = config

    def write(self, output: Path, *options: str) -> Any:
        """Write a model's configuration and the shards, and return the model's class."""
        import transformers

        model, config = (getattr(transformers, name) for name in self.classes)
        config(**self.config).save_pretrained(output.parent / "config")
        given = [part for name, n in self.dims.items() for part in ("--set", f"{name}={n}")]
        arguments = [
            "init", str(SPECS / self.spec), "-o", str(output), "--seed", "3", "--quiet",
            "--config", str(output.parent / "config" / "config.json"), *given, *options,
        ]  # fmt: skip
        assert main(arguments) == 0
        return model

    def build(self) -> Any:
        """Build the model with weights of its own."""
        import transformers

        model, config = (getattr(transformers, name) for name in self.classes)
        return model(config(**self.config))


CASES = {
    "gpt2": Case(
        "gpt2.yaml", {"vocabulary": 50, "context": 16, "d": 24, "layers": 2},
        ("GPT2LMHeadModel", "GPT2Config"),
        vocab_size=50, n_positions=16, n_embd=24, n_layer=2, n_head=3,
    ),
    "llama": Case(
        "llama2_7b.yaml",
        {"vocabulary": 50, "d": 32, "hidden": 48, "layers": 2, "key_value": 16},
        ("LlamaForCausalLM", "LlamaConfig"),
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False,
        dtype="bfloat16",
    ),
}  # fmt: skip


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


def drawn(folder: Path) -> dict[str, Any]:
    """Draw a checkpoint's tensors again, from what it says of itself."""
    shard = min(folder.glob("*.safetensors"))
    size = int.from_bytes(shard.read_bytes()[:8], "little")
    header = json.loads(shard.read_bytes()[8 : 8 + size])
    spec = json.loads(header["__metadata__"]["glorot"])["spec"]
    plan = glorot.make_plan(glorot.load_spec(spec))
    return {tensor.name: glorot.draw(plan, tensor.name) for tensor in plan.tensors}


def assert_holds(torch: Any, model: Any, expected: dict[str, Any]) -> None:
    """Compare every weight, bit for bit, and run one forward pass."""
    state = model.state_dict()
    assert set(expected) <= set(state)
    # What is left over is tied to what is there.
    pointers = {state[name].data_ptr() for name in expected}
    assert {state[name].data_ptr() for name in state} == pointers
    for name, value in expected.items():
        found = state[name].detach()
        bits = torch.int16 if found.element_size() == 2 else torch.int32
        assert found.contiguous().view(bits).numpy().tobytes() == value.tobytes(), name
    with torch.no_grad():
        logits = model.eval()(torch.arange(10).reshape(2, 5)).logits
    assert logits.shape == (2, 5, 50)
    assert bool(torch.isfinite(logits).all())


@pytest.mark.parametrize("size", ["12KB", "5GB"])
def test_transformers_loads_a_folder(case: Case, size: str, torch: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    cls = case.write(folder, "--max-shard-size", size)
    count = len(list(folder.glob("*.safetensors")))
    assert count == 1 if size == "5GB" else count > 3
    model, info = cls.from_pretrained(folder, output_loading_info=True, dtype="auto")
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    assert_holds(torch, model, drawn(folder))


def test_transformers_finds_the_class_by_the_configuration(torch: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "model"
    CASES["llama"].write(folder, "--max-shard-size", "12KB")
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert_holds(torch, model, drawn(folder))


def test_accelerate_loads_a_folder(case: Case, torch: Any, tmp_path: Path) -> None:
    from accelerate import init_empty_weights, load_checkpoint_in_model

    folder = tmp_path / "model"
    case.write(folder, "--max-shard-size", "12KB")
    expected = drawn(folder)
    dtype = torch.bfloat16 if case is CASES["llama"] else torch.float32
    model = case.build().to(dtype)
    load_checkpoint_in_model(model, str(folder))
    assert_holds(torch, model, expected)
    with init_empty_weights():
        empty = case.build()
    empty.tie_weights()
    load_checkpoint_in_model(empty, str(folder), device_map={"": "cpu"}, dtype=dtype)
    empty.tie_weights()
    for name, value in expected.items():
        np.testing.assert_array_equal(
            empty.state_dict()[name].float().numpy(), value.astype(np.float32)
        )


def test_huggingface_hub_loads_a_folder(case: Case, torch: Any, tmp_path: Path) -> None:
    from huggingface_hub import load_torch_model

    folder = tmp_path / "model"
    case.write(folder, "--max-shard-size", "12KB")
    dtype = torch.bfloat16 if case is CASES["llama"] else torch.float32
    model = case.build().to(dtype)
    found: Any = load_torch_model(model, folder, strict=False)
    tied = ["lm_head.weight"] if case is CASES["gpt2"] else []
    assert [key for key in found.missing_keys if key not in tied] == []
    assert found.unexpected_keys == []
    model.tie_weights()
    assert_holds(torch, model, drawn(folder))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_torch_s_distributed_checkpoint_reads_a_folder(
    case: Case, torch: Any, tmp_path: Path
) -> None:
    checkpoint: Any = importlib.import_module("torch.distributed.checkpoint")

    folder = tmp_path / "model"
    case.write(folder, "--max-shard-size", "12KB")
    expected = drawn(folder)
    dtype = torch.bfloat16 if case is CASES["llama"] else torch.float32
    state = {name: torch.zeros(value.shape, dtype=dtype) for name, value in expected.items()}
    reader = checkpoint.HuggingFaceStorageReader(str(folder))
    checkpoint.load(state, storage_reader=reader, no_dist=True)
    for name, value in expected.items():
        np.testing.assert_array_equal(state[name].float().numpy(), value.astype(np.float32))


def shards_of(sizes: list[int], largest: int) -> tuple[list[list[str]], list[list[str]]]:
    """Split the same map as huggingface_hub does, and as we do."""
    from huggingface_hub import split_state_dict_into_shards_factory

    entries = {
        f"t{i}": {"shape": [n], "dtype": "float8_e5m2", "initializer": "zeros"}
        for i, n in enumerate(sizes)
    }
    plan = glorot.make_plan(glorot.load_spec({"seed": 1, "tensors": entries}))
    theirs = split_state_dict_into_shards_factory(
        {tensor.name: tensor.nbytes for tensor in plan.tensors},
        get_storage_size=lambda nbytes: nbytes,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=largest,
    )
    ours = split(plan.tensors, largest)
    names = [shard_name(number, len(ours)) for number in range(len(ours))]
    assert list(theirs.filename_to_tensors) == names
    found = [[plan.tensors[index].name for index in shard] for shard in ours]
    return list(theirs.filename_to_tensors.values()), found


def test_shards_are_those_of_huggingface_hub() -> None:
    random = Random("shards")
    several = 0
    for _ in range(200):
        sizes = [random.randint(1, 100) for _ in range(random.randint(1, 60))]
        largest = random.randint(max(sizes), 300)
        theirs, ours = shards_of(sizes, largest)
        assert ours == theirs
        several += len(ours) > 1
    assert several > 150


def test_a_tensor_over_the_limit_has_another_place() -> None:
    # There it comes before the shard that was open when it came, which then goes on.
    theirs, ours = shards_of([5, 20, 3, 4], 10)
    assert theirs == [["t1"], ["t0", "t2"], ["t3"]]
    assert ours == [["t0"], ["t1"], ["t2", "t3"]]


def test_a_base_of_transformers_is_kept_and_grows(
    case: Case, torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Save a model, give its vocabulary ten rows more, and load it again."""
    import transformers

    monkeypatch.chdir(tmp_path)
    dtype = torch.bfloat16 if case is CASES["llama"] else torch.float32
    model = case.build().to(dtype)
    model.save_pretrained("old", max_shard_size="12KB")
    before = {name: value.detach().clone() for name, value in model.state_dict().items()}
    cls, config = (getattr(transformers, name) for name in case.classes)
    config(**{**case.config, "vocab_size": 60}).save_pretrained("config")
    dims = {**case.dims, "vocabulary": 60}
    given = [part for name, n in dims.items() for part in ("--set", f"{name}={n}")]
    glob = "*wte*" if case is CASES["gpt2"] else "*embed_tokens*"
    heads = [] if case is CASES["gpt2"] else ["--resize", "lm_head.*=init"]
    same = [] if case is CASES["llama"] else ["--dtype", "float32"]
    arguments = [
        "init", str(SPECS / case.spec), "-o", "new", "--max-shard-size", "12KB", "--seed", "3",
        "-q", "--config", "config/config.json", "--base", "old", "--resize", f"{glob}=mean", *heads,
        *same, *given,
    ]  # fmt: skip
    assert main(arguments) == 0
    found, info = cls.from_pretrained("new", output_loading_info=True, dtype="auto")
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    for name, value in found.state_dict().items():
        old = before[name]
        assert torch.equal(value[: len(old)], old), name
        if value.shape != old.shape:
            assert (len(old), len(value)) == (50, 60)
    table = found.get_input_embeddings().weight.detach().float()
    mean = table[:50].double().mean(0).to(dtype).float()
    torch.testing.assert_close(table[50:], mean.expand(10, -1), rtol=1e-2, atol=1e-6)
