"""Families: what a config.json means, against what transformers 5.24.0 makes of it."""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glorot_cli.distributions import Constant
from glorot_cli.families import (
    ModelConfig,
    family_of,
    keys_of,
    known_types,
    spec_of_config,
    tiny_settings,
)
from glorot_cli.placed import ByIndex, Values
from glorot_cli.plan import Plan, make_plan
from glorot_cli.spec import load_spec

# Of each tiny model: the configuration, and the names, shapes, dtypes and starts of its tensors.
GOLDEN: dict[str, Any] = json.loads(
    gzip.decompress(
        (Path(__file__).parent / "data" / "transformers" / "golden.json.gz").read_bytes()
    )
)
ENTRIES: list[dict[str, Any]] = GOLDEN["entries"]

# Model types of golden entries that no family covers yet: whoever adds the family removes them.
PENDING = {
    "qwen2_vl",
    "qwen3_5_text",
    "qwen3_vl",
}

# How each start of golden.json is written in a spec.
STARTS = {
    "xavier_uniform": "xavier_uniform",
    "trunc_normal": "trunc_normal",
    "kaiming_normal": "kaiming_normal",
    "kaiming_uniform": "kaiming_uniform",
    "uniform": "uniform",
    "normal": "normal",
    "constant": "constant",
    "zeros": "zeros",
    "ones": "ones",
    "log_of_1_to_n": "by_index",
    "inverse_softplus_of_log_uniform": "inverse_softplus",
    "norm_of": "norm_of",
}
AXES = {2: "OI", 3: "OIW", 4: "OIHW"}

# The element of each layout of golden.json's sinusoids at a position and a channel of d.
SINUSOIDS: dict[str, Callable[[int, int, int], float]] = {
    "sin and cos interleaved": lambda at, c, d: (math.sin, math.cos)[c % 2](
        at / 10000 ** (c // 2 * 2 / d)
    ),
    "sin half, cos half": lambda at, c, d: (math.sin, math.cos)[c * 2 // d](
        at / 10000 ** (c % (d // 2) * 2 / d)
    ),
    "sin half, cos half; step log(10000)/(d/2-1)": lambda at, c, d: (math.sin, math.cos)[
        c * 2 // d
    ](at / 10000 ** (c % (d // 2) / (d // 2 - 1))),
}

# Parameters that the sizes of golden.json count, and that the class's save_pretrained leaves out:
# Marian's positions, of its encoder and of its decoder.
UNSAVED = {"MarianMTModel": [1024 * 1024, 1024 * 1024]}


# Keys without which a class makes no model.
NEEDED = {"esm": {"vocab_size": 33}}


def planned(config: Mapping[str, Any]) -> Plan:
    """Plan what a configuration means."""
    made = ModelConfig(Path("config.json"), json.dumps(config), config)
    return make_plan(load_spec(spec_of_config(made, family_of(made))))


def expected(entry: Mapping[str, Any]) -> Plan:
    """Plan the tensors of a golden entry, written as a spec without any family."""
    tensors = {}
    for name, (shape, number, *dtype) in entry["tensors"].items():
        kind, arguments = GOLDEN["starts"][number]
        arguments = dict(arguments)
        tensor = {"shape": shape, "dtype": dtype[0] if dtype else "float32"}
        if "zero_row" in arguments:
            tensor["padding_idx"] = arguments.pop("zero_row")
        if kind == "log_of_1_to_n":
            arguments = {"value": f"log(axis{len(shape) - 1} + 1)"}
        if kind == "inverse_softplus_of_log_uniform":
            arguments = {"low": arguments["min"], "high": arguments["max"]}
        if kind == "norm_of":
            (dim,) = {*range(len(shape))} - {*arguments["over_axes"]}
            arguments = {"tensor": arguments["tensor"], "dim": dim}
        if len(shape) in AXES:
            tensor["axes"] = AXES[len(shape)]
        if kind == "sinusoids":
            element = SINUSOIDS[arguments["layout"]]
            rows = [[element(at, c, shape[1]) for c in range(shape[1])] for at in range(shape[0])]
            start = {"name": "values", "values": rows}
        else:
            start = {"name": STARTS[kind], **arguments}
        tensors[name] = tensor | {"initializer": start}
    return make_plan(load_spec({"dialect": "torch", "tensors": tensors}))


def alike(one: Any, other: Any) -> bool:
    """Tell whether two distributions are the same but for a rounding."""
    if isinstance(one, Constant) and isinstance(other, Constant):
        return bool(np.float32(one.value) == np.float32(other.value))  # golden.json's are float32
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        return type(one) is type(other) and all(
            alike(getattr(one, field.name), getattr(other, field.name))
            for field in dataclasses.fields(one)
            if field.compare and field.name != "seed"  # of the tensor that it is computed from
        )
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-12)
    return bool(one == other)


def title(entry: Mapping[str, Any]) -> str:
    return "-".join(filter(None, (entry["model_type"], entry["variant"], entry["architecture"])))


def test_every_golden_type_is_covered_or_pending() -> None:
    types = {entry["model_type"] for entry in ENTRIES}
    assert types - known_types().keys() == PENDING


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e["model_type"] not in PENDING], ids=title)
def test_a_configuration_means_what_transformers_makes_of_it(entry: dict[str, Any]) -> None:
    config = {**entry["config"], "transformers_version": "5.24.0"}
    found = {t.name: t for t in planned(config).tensors}
    wanted = {t.name: t for t in expected(entry).tensors}
    assert sorted(found) == sorted(wanted)
    assert found.keys().isdisjoint(entry["omitted"])
    for name, tensor in found.items():
        assert (tensor.shape, tensor.dtype) == (wanted[name].shape, wanted[name].dtype), name
        start = wanted[name].distribution
        if isinstance(start, Values):
            assert isinstance(tensor.distribution, ByIndex), name
            found_values = tensor.distribution.values(tensor.shape, 0, tensor.parameters)
            assert found_values.tolist() == pytest.approx(start.numbers, abs=1e-12), name
        else:
            assert alike(tensor.distribution, start), name


@pytest.mark.parametrize(
    "model_type", [t for t in sorted(GOLDEN["default_sizes"]) if t in known_types()]
)
def test_class_defaults_have_as_many_parameters(model_type: str) -> None:
    architecture, tensors, parameters = GOLDEN["default_sizes"][model_type]
    given = {"model_type": model_type, "architectures": [architecture]}
    plan = planned(given | NEEDED.get(model_type, {}))
    stored = len(plan.tensors), sum(t.parameters for t in plan.tensors)
    unsaved = UNSAVED.get(architecture, [])
    assert stored == (tensors - len(unsaved), parameters - sum(unsaved))


def test_an_alias_counts_before_its_key_and_is_set_with_it() -> None:
    given = {"model_type": "bart", "encoder_layers": 6, "num_hidden_layers": 3}
    assert "encoder.layers.2.fc1.bias" in {t.name for t in planned(given).tensors}
    assert "encoder.layers.3.fc1.bias" not in {t.name for t in planned(given).tensors}
    config = ModelConfig(Path("config.json"), "{}", given)
    family = family_of(config)
    tiny = tiny_settings(config, family)
    assert (tiny["encoder_layers"], tiny["num_hidden_layers"], tiny["d_model"]) == (2, 2, 64)
    assert "hidden_size" not in tiny
    assert family.with_aliases(config, {"encoder_layers": 4}) == {
        "encoder_layers": 4,
        "num_hidden_layers": 4,
    }


def names_of(config: Mapping[str, Any]) -> set[str]:
    return {tensor.name for tensor in planned(config).tensors}


def test_a_decoder_of_t5_has_the_layers_of_the_key_and_not_of_its_alias() -> None:
    given = {"model_type": "t5", "num_hidden_layers": 2}
    names = names_of(given)
    assert "encoder.block.1.layer.0.SelfAttention.q.weight" in names
    assert "encoder.block.2.layer.0.SelfAttention.q.weight" not in names
    assert "decoder.block.5.layer.0.SelfAttention.q.weight" in names
    assert names_of({**given, "num_decoder_layers": 2}) < names
    assert names_of({"model_type": "t5", "num_layers": 2}) < names


def test_a_gate_of_t5_is_as_its_key_says_if_there_is_one() -> None:
    gated = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight"
    given = {"model_type": "t5", "feed_forward_proj": "gated-gelu"}
    assert gated in names_of(given)
    assert gated not in names_of({**given, "is_gated_act": False})


def test_a_key_that_only_other_types_have_is_ignored() -> None:
    sparse = {"decoder_sparse_step": 2, "num_hidden_layers": 2, "num_experts": 2}
    router = "model.layers.0.mlp.gate.weight"
    assert router not in names_of({"model_type": "qwen2_moe", **sparse})
    assert router in names_of({"model_type": "olmoe", **sparse})
    config = ModelConfig(Path("config.json"), "{}", {"model_type": "olmoe"})
    family = family_of(config)
    assert {"head_dim", "decoder_sparse_step"}.isdisjoint(tiny_settings(config, family))
    assert {"head_dim", "decoder_sparse_step"}.isdisjoint(keys_of(family))


@pytest.mark.parametrize(
    ("model_type", "key"),
    [("mixtral", "num_local_experts"), ("olmoe", "num_experts"), ("glm4_moe", "n_routed_experts")],
)
def test_a_type_has_a_name_of_its_own_for_a_key(model_type: str, key: str) -> None:
    config = ModelConfig(Path("config.json"), "{}", {"model_type": model_type})
    tiny = tiny_settings(config, family_of(config))
    assert tiny[key] == 4
    assert "expert_count" not in tiny
    given = {"model_type": model_type, key: 2, "num_hidden_layers": 2}
    assert not any(".experts.2." in name for name in names_of(given))


@pytest.mark.parametrize(
    ("version", "prefix"), [("5.24.0", ""), ("4.57.6", "text_model."), (None, "text_model.")]
)
def test_a_tower_alone_has_names_that_its_transformers_takes(
    version: str | None, prefix: str
) -> None:
    given = {"model_type": "clip_text_model", "transformers_version": version}
    assert {name.startswith(f"{prefix}encoder.") for name in names_of(given)} == {True, False}
    assert f"{prefix}final_layer_norm.bias" in names_of(given)


@pytest.mark.parametrize("model_type", sorted(known_types()))
def test_tiny_is_tiny(model_type: str) -> None:
    given = {"model_type": model_type, "vocab_size": 1000, "pad_token_id": 0}
    config = ModelConfig(Path("config.json"), "{}", given)
    family = family_of(config)
    if not family.tiny:
        pytest.skip("it has no rule yet")
    if "text_vocab_size" in family.defaults:
        config = config.with_settings(family.settings(config, "text_vocab_size", 1000))
    tiny = config.with_settings(tiny_settings(config, family))
    plan = make_plan(load_spec(spec_of_config(tiny, family)))
    assert 0 < sum(t.parameters for t in plan.tensors) < 500_000
