"""Folders made from config.json, loaded and run by transformers' own classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glorot_cli.families import known_types
from tests.interop.model_configs import ENTRIES, random_config, tried

pytestmark = pytest.mark.interop


@pytest.fixture(autouse=True)
def _quiet() -> None:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def title(entry: dict[str, Any]) -> str:
    return "-".join(filter(None, (entry["model_type"], entry["variant"], entry["architecture"])))


# One configuration of each type.
FIRST = {entry["model_type"]: entry for entry in reversed(ENTRIES)}


@pytest.mark.parametrize("model_type", sorted(FIRST))
def test_a_golden_configuration_loads_clean_and_runs(
    model_type: str, torch: Any, tmp_path: Path
) -> None:
    assert tried(torch, FIRST[model_type]["config"], tmp_path) == ""


@pytest.mark.parametrize("seed", range(40))
def test_a_random_configuration_loads_clean_and_runs(seed: int, torch: Any, tmp_path: Path) -> None:
    assert tried(torch, random_config(seed), tmp_path) == ""


@pytest.mark.parametrize("model_type", sorted(FIRST.keys() & known_types().keys()))
def test_a_tiny_model_loads_clean_and_runs(model_type: str, torch: Any, tmp_path: Path) -> None:
    config = {"model_type": model_type, "vocab_size": 100, "pad_token_id": 0}
    architectures = {"architectures": FIRST[model_type]["config"]["architectures"]}
    assert tried(torch, {**config, **architectures}, tmp_path, "--tiny") == ""
