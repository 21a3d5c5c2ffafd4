"""Torch modules recorded: names, distributions and bits, and what is said of the rest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

import glorot_cli
from glorot_cli.errors import GlorotError
from tests.interop.recorded_models import Case, judged, transformers_builder
from tests.interop.recorded_zoo import OWN

pytestmark = pytest.mark.interop

Run = Callable[..., tuple[int, str, str]]

IN_ALL_BITS = ("nanogpt", "diffusion_unet", "vit", "dcgan", "siren", "pieces", "seq2seq")


@pytest.mark.parametrize("name", IN_ALL_BITS)
def test_own_modules_are_recorded_in_all_bits(name: str) -> None:
    holds, bits, said = judged(Case(name, "own", OWN[name]))
    assert holds, said
    assert bits, said


@pytest.mark.parametrize("name", ["mamba", "actor_critic"])
def test_distributions_hold_where_bits_are_not_known(name: str) -> None:
    holds, bits, said = judged(Case(name, "own", OWN[name]))
    assert holds, said
    assert not bits


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert", "mixtral"])
def test_models_of_transformers_are_recorded_in_all_bits(kind: str) -> None:
    pytest.importorskip("transformers")
    holds, bits, said = judged(Case(kind, "transformers", transformers_builder(kind)))
    assert holds, said
    assert bits, said


class Unknown(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Linear(3, 4)
        self.odd = nn.Parameter(torch.softmax(torch.randn(5, 4), dim=-1))


def test_what_is_not_understood_is_said() -> None:
    with pytest.raises(GlorotError) as caught:
        glorot_cli.record(Unknown)
    said = str(caught.value)
    assert "1 of 3 tensors are not understood: 'odd', float32 of shape [5, 4]" in said
    assert "softmax" in said
    assert "of normal values" in said
    assert "write them with torch.nn.init" in said


def looks() -> nn.Module:
    layer = nn.Linear(3, 4)
    if float(layer.weight.sum()) > 0:
        nn.init.zeros_(layer.weight)
    return layer


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (looks, "asks for the value of a random tensor"),
        (lambda: 3, "expected a torch module, found 'int'"),
        (lambda: nn.LazyLinear(3), "has lazy parts"),
        (lambda: [][1], "raised IndexError"),
        (7, "expected a function or a class that makes a torch module, found 7"),
        (nn.Flatten, "Flatten has no tensors in its state_dict()"),
    ],
)
def test_what_cannot_be_recorded(build: Any, message: str) -> None:
    with pytest.raises(GlorotError, match=message.replace("(", r"\(").replace(")", r"\)")):
        glorot_cli.record(build)


def test_a_module_that_stands_is_reset() -> None:
    spec = glorot_cli.record(nn.Linear(7, 5))
    (entries,) = spec["tensors"]
    assert entries["weight"]["initializer"] == {"name": "kaiming_uniform", "a": "sqrt(5)"}
    assert entries["bias"]["initializer"]["b"] == "1 / sqrt(7)"


def test_arguments_are_passed_on() -> None:
    spec = glorot_cli.record(nn.Linear, 7, 5, bias=False)
    assert [list(entries) for entries in spec["tensors"]] == [["weight"]]


def test_nothing_of_torch_is_changed_afterwards() -> None:
    kept = nn.init._no_grad_trunc_normal_, nn.init.sparse_, nn.Module._apply, torch.manual_seed
    torch.manual_seed(5)
    glorot_cli.record(nn.Linear, 7, 5)
    now = nn.init._no_grad_trunc_normal_, nn.init.sparse_, nn.Module._apply, torch.manual_seed
    assert now == kept
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))


def test_the_command_writes_a_spec_that_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    (tmp_path / "own_train.py").write_text(
        "from torch import nn\n\ndef build(width, out=2):\n"
        "    return nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, out))\n"
    )
    monkeypatch.chdir(tmp_path)
    arguments = ["record", "own_train:build", "--args", "[5]", "--kwargs", "{out: 3}"]
    code, _, said = run(*arguments, "-o", "net.yaml", "--check")
    assert code == 0
    assert said.count("every tensor is as its distribution says") == 2
    assert said.count("the bits of all 4 tensors are those of torch") == 2
    text = Path("net.yaml").read_text("utf-8")
    assert text.startswith("# Recorded from own_train:build --args '[5]' --kwargs '{out: 3}'.\n")
    code, _, said = run(*arguments, "-o", "net.yaml")
    assert code == 2
    assert "net.yaml exists; --force replaces it" in said
    assert run("init", "net.yaml", "-o", "x.safetensors", "--seed=4", "--rng=torch")[0] == 0
    assert run("verify", "x.safetensors")[0] == 0
    from safetensors.torch import load_file

    torch.manual_seed(4)
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    found = load_file("x.safetensors")
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert all(torch.equal(found[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("own", "expected MODULE:CALLABLE such as train:build_model, or a config.json"),
        ("no_such_module:build", "no module is named 'no_such_module'"),
        ("torch.nn:Linera", "torch.nn has no 'Linera'; did you mean 'Linear'?"),
        ("missing.json", "there is no file missing.json"),
    ],
)
def test_targets_that_are_none(target: str, message: str, run: Run) -> None:
    code, _, said = run("record", target)
    assert code == 2
    assert message in said


def test_what_is_not_understood_may_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, said = run(
        "record", "tests.interop.test_recording:Unknown", "-o", "net.yaml", "--unknown", "keep"
    )
    assert code == 0
    assert "1 tensors are in net.base.safetensors only: odd" in said
    from safetensors.torch import load_file

    assert list(load_file("net.base.safetensors")) == ["odd"]
    assert "odd: " not in Path("net.yaml").read_text("utf-8")


def test_a_record_ends_without_a_crash() -> None:
    # Fake tensors that remember real ones make some versions of torch free memory twice.
    code = (
        "import glorot_cli, gc\nfrom torch import nn\n"
        "def build():\n"
        "    c = nn.Conv1d(4, 4, 3); nn.init.dirac_(c.weight)\n"
        "    layer = nn.TransformerEncoderLayer(8, 2, 16)\n"
        "    return nn.Sequential(c, nn.TransformerEncoder(layer, 2))\n"
        "glorot_cli.record(build); gc.collect()\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=60, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("kind", ["olmo2", "gemma2", "phi", "cohere"])
def test_a_config_has_the_bits_of_transformers(kind: str, tmp_path: Path, run: Run) -> None:
    pytest.importorskip("transformers")
    from safetensors.torch import load_file

    torch.manual_seed(3)
    model = transformers_builder(kind)()
    model.config.architectures = [type(model).__name__]
    model.save_pretrained(tmp_path)
    dtype = str(model.dtype).removeprefix("torch.")
    out = tmp_path / "fresh.safetensors"
    config = tmp_path / "config.json"
    code, _, said = run("init", config, "-o", out, "--rng=torch", "--seed=3", f"--dtype={dtype}")
    assert code == 0, said
    found, wanted = load_file(out), load_file(tmp_path / "model.safetensors")
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
