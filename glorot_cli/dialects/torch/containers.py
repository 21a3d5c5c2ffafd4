"""Modules that hold others."""

from __future__ import annotations

from glorot_cli.dialects.layer import Built, Flow, InnerNetwork


def Sequential(x: Flow, *, layers: InnerNetwork) -> Built:
    """Apply modules one after the other; unnamed ones are named by their index."""
    built: Built = layers.chain(x)
    return built


def ModuleList(x: Flow, *, layers: InnerNetwork) -> Built:
    """Hold modules named by their index; shapes do not flow through."""
    built: Built = layers.gather()
    return built


def Module(x: Flow, *, layers: InnerNetwork) -> Built:
    """Hold named modules, as the attributes of a class do; shapes do not flow through."""
    built: Built = layers.gather(named=True)
    return built
