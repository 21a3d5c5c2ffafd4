"""Folders made from config.json, loaded and run by transformers' own classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glorot_cli.families import known_types
from tests.interop.loading import REFUSED, quieten
from tests.interop.model_configs import ENTRIES, random_config, tried
from tests.interop.model_starts import saved, started_config, verified

pytestmark = pytest.mark.interop


@pytest.fixture(autouse=True)
def _quiet() -> None:
    quieten()


def title(entry: dict[str, Any]) -> str:
    return "-".join(filter(None, (entry["model_type"], entry["variant"], entry["architecture"])))


# One configuration of each type.
FIRST = {entry["model_type"]: entry for entry in reversed(ENTRIES)}


@pytest.mark.parametrize("model_type", sorted(FIRST))
def test_a_golden_configuration_loads_clean_and_runs(model_type: str, tmp_path: Path) -> None:
    assert tried(FIRST[model_type]["config"], tmp_path) == ""


@pytest.mark.parametrize("seed", range(40))
def test_a_random_configuration_loads_clean_and_runs(seed: int, tmp_path: Path) -> None:
    assert tried(random_config(seed), tmp_path) in ("", REFUSED)


@pytest.mark.parametrize("seed", range(20))
def test_transformers_own_start_raises_no_alarm(seed: int, tmp_path: Path) -> None:
    if saved(started_config(seed), tmp_path):
        assert verified(tmp_path) == ""


@pytest.mark.parametrize("model_type", sorted(FIRST.keys() & known_types().keys()))
def test_a_tiny_model_loads_clean_and_runs(model_type: str, tmp_path: Path) -> None:
    config = {"model_type": model_type, "vocab_size": 100, "pad_token_id": 0}
    architectures = {"architectures": FIRST[model_type]["config"]["architectures"]}
    assert tried({**config, **architectures}, tmp_path, "--tiny") == ""


@pytest.mark.parametrize("model_type", sorted(known_types()))
def test_without_an_architecture_the_default_loads(model_type: str, tmp_path: Path) -> None:
    sizes = {} if "clip" in model_type or "siglip" in model_type else {"vocab_size": 100}
    config = {"model_type": model_type, **sizes, "pad_token_id": 0}
    assert tried(config, tmp_path, "--tiny") == ""
