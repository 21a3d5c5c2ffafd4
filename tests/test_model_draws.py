"""Transformers' own bits of a config.json, and the types whose order of draws is not known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from glorot_cli.formats.reading import read_headers

GOLDEN = json.loads((Path(__file__).parent / "golden" / "model_bits.json").read_text("utf-8"))
Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['architecture']}-{case['seed']}")
def test_a_model_has_the_bits_of_transformers(
    case: dict[str, object], tmp_path: Path, run: Run
) -> None:
    from safetensors.numpy import load_file

    config = tmp_path / "config.json"
    config.write_text(json.dumps(case["config"]), "utf-8")
    out = tmp_path / "model.safetensors"
    code, _, said = run(
        "init", config, "-o", out, "--rng", "torch", "--seed", case["seed"], "--dtype",
        case["dtype"],
    )  # fmt: skip
    assert code == 0, said
    assert read_headers(str(out)).tensors
    found = {
        name: hashlib.sha256(value.tobytes()).hexdigest() for name, value in load_file(out).items()
    }
    assert found == case["sha256"]
    assert run("verify", out)[0] == 0


@pytest.mark.parametrize(
    ("kind", "name"), [("gpt2", "GPT2LMHeadModel"), ("bert", "BertForMaskedLM")]
)
def test_an_order_that_is_not_known_is_an_error(
    kind: str, name: str, tmp_path: Path, run: Run
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": kind, "architectures": [name]}), "utf-8")
    code, _, said = run("init", config, "-o", tmp_path / "x.safetensors", "--rng", "torch")
    assert code == 2
    assert f"the order in which transformers draws {name} of {kind} is not known here" in said
    assert f"glorot record {config} -o net.yaml" in said
    assert not (tmp_path / "x.safetensors").exists()
