"""What 1.0.0 drew, element by element, against what is drawn now."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.golden.elements import ELEMENTS, elements, specs

KEPT: dict[str, dict[str, Any]] = json.loads(ELEMENTS.read_text("utf-8"))


def test_every_spec_is_kept() -> None:
    assert set(specs()) >= set(KEPT)  # samples that came later are not kept


@pytest.mark.parametrize("name", KEPT)
def test_elements_are_those_of_1_0_0(name: str) -> None:
    found, kept = elements(specs()[name]), KEPT[name]
    assert list(found) == list(kept)
    changed = [
        tensor
        for tensor, expected in kept.items()
        if found[tensor]
        != (pytest.approx(expected, abs=1e-5) if isinstance(expected, list) else expected)
    ]
    assert changed == []
