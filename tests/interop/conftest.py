"""Frameworks as witnesses: none is imported before a test asks for it."""

from __future__ import annotations

import os
from typing import Any

import pytest

# Keras reads it when it is first imported.
os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("JAX_PLATFORMS", "cpu")


@pytest.fixture
def keras() -> Any:
    """Import Keras, which then names layers from the start: dense, dense_1."""
    import keras

    assert keras.backend.backend() == "jax"
    keras.utils.clear_session(free_memory=False)
    return keras


@pytest.fixture
def torch() -> Any:
    """Import torch."""
    import torch

    return torch
