"""Fixtures that several files use: a command line in this process, and a plan from a mapping."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

import glorot_cli as glorot
from glorot_cli.cli import main

settings.register_profile("suite", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _no_flushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the disk out of the tests' time: within this process nothing waits for it."""
    monkeypatch.setattr(os, "fsync", os.fstat)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line here, and return its exit code and what it printed."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(code), out, err

    return call


@pytest.fixture
def planned() -> Callable[..., glorot.Plan]:
    """Make the plan of a spec given as keywords, with seed 42 unless it has one."""

    def make(**spec: Any) -> glorot.Plan:
        return glorot.make_plan(glorot.load_spec({"seed": 42, **spec}))

    return make
