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


@pytest.fixture
def undrawn(keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Keras fill its weights with NaN at once, instead of compiling a draw for each shape."""
    from keras.src.initializers import random_initializers

    def filled(shape: tuple[int, ...], *args: object, dtype: str, **rest: object) -> Any:
        return keras.ops.full(shape, float("nan"), dtype)

    for law in ("uniform", "normal", "truncated_normal"):
        monkeypatch.setattr(random_initializers.random, law, filled)
    monkeypatch.setattr(
        random_initializers.Orthogonal,
        "__call__",
        lambda self, shape, dtype: filled(shape, dtype=dtype),
    )
