"""What several files use: a command line in this process, a plan from a mapping, the schema."""

from __future__ import annotations

import compileall
import gc
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import glorot_cli as glorot
from glorot_cli.cli import main
from glorot_cli.spec.schema import spec_schema

# `HYPOTHESIS_PROFILE=thorough pytest -m hypothesis` tries many more.
for profile, examples in (("suite", 25), ("thorough", 200)):
    settings.register_profile(
        profile, deadline=None, derandomize=True, database=None, max_examples=examples
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


def pytest_configure(config: pytest.Config) -> None:
    """Compile the program once, where Python is told to keep no bytecode.

    Each process that a test starts would compile all of it, which takes longer than what it does.
    """
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(glorot.__file__).parent, quiet=1)


def pytest_collection_finish() -> None:
    """Leave out of each collection of garbage what stays to the end: thousands of tests."""
    gc.collect()
    gc.freeze()


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


@pytest.fixture(scope="session")
def schema_validator() -> Any:
    """Return what validates specs by the JSON Schema, which one test checks itself."""
    jsonschema: Any = import_module("jsonschema")  # it comes without types
    return jsonschema.Draft202012Validator(spec_schema())


@pytest.fixture
def planned() -> Callable[..., glorot.Plan]:
    """Make the plan of a spec given as keywords, with seed 42 unless it has one."""

    def make(**spec: Any) -> glorot.Plan:
        return glorot.make_plan(glorot.load_spec({"seed": 42, **spec}))

    return make
