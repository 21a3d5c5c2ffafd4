"""The sample specs of whole networks: their sizes and names are those of the real models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]

SPECS = Path(__file__).resolve().parents[1] / "sample_specs"


# Each number is what the framework itself counts: `count_params()` of the Keras models, and torch's
# parameters and buffers of torchvision's resnet18 and vit_b_16.
@pytest.mark.parametrize(
    ("name", "tensors", "parameters", "trainable"),
    [
        ("text_lstm.json", 15, 2_757_761, 2_757_761),
        ("unet.yaml", 26, 117_041, 117_041),
        ("keras_functional.json", 15, 766_789, 766_789),
        ("resnet18_torch.yaml", 122, 11_699_132, 11_689_512),
        ("vit_b16.yaml", 152, 86_567_656, 86_567_656),
    ],
)
def test_a_sample_has_the_size_of_its_model(
    name: str, tensors: int, parameters: int, trainable: int, run: Run
) -> None:
    code, out, _ = run("plan", SPECS / name, "--json")
    document = json.loads(out)
    assert (code, len(document["tensors"])) == (0, tensors)
    assert document["totals"]["parameters"] == parameters
    assert document["totals"]["trainable"] == trainable


# SHA-256 of a line "name shape" for each entry of torchvision 0.28's state_dict, by name.
@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("resnet18_torch.yaml", "6cb439dd8789c9fec30db85cd20f9566cb04693ea278e4348cdd110fa0388db6"),
        ("vit_b16.yaml", "293fb0392e98dbd921603a3696bb89b7b4b2ef0ec9e501f4d6ab09a7a40b04d0"),
    ],
)
def test_a_sample_has_torchvisions_names_and_shapes(name: str, digest: str, run: Run) -> None:
    _, out, _ = run("plan", SPECS / name, "--json")
    shapes = {tensor["name"]: tensor["shape"] for tensor in json.loads(out)["tensors"]}
    lines = "".join(f"{key} {shapes[key]}\n" for key in sorted(shapes))
    assert hashlib.sha256(lines.encode()).hexdigest() == digest


def test_the_batch_counters_of_a_resnet_are_integers(run: Run) -> None:
    _, out, _ = run("plan", SPECS / "resnet18_torch.yaml", "--json")
    tensors = json.loads(out)["tensors"]
    counters = [t for t in tensors if t["name"].endswith(".num_batches_tracked")]
    assert len(counters) == 20
    assert {(tuple(t["shape"]), t["dtype"]) for t in counters} == {((), "int64")}


def test_a_shared_layer_is_stored_once(run: Run) -> None:
    _, out, _ = run("plan", SPECS / "keras_functional.json", "--json")
    names = [tensor["name"] for tensor in json.loads(out)["tensors"]]
    assert names == [
        "words/embeddings",
        *(f"title_features/lstm_cell/{part}" for part in ("kernel", "recurrent_kernel", "bias")),
        *(f"body_features/lstm_cell/{part}" for part in ("kernel", "recurrent_kernel", "bias")),
        *(f"{layer}/{part}" for layer in ("hidden", "hidden_2", "priority", "department")
          for part in ("kernel", "bias")),
    ]  # fmt: skip
