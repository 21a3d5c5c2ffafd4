"""Turn a layer-shape spec into initialised neural-network weights, with no framework installed."""

from __future__ import annotations

__version__ = "1.0.0"

# Loading typing would take longer than all else that comes before signals are answered.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glorot_cli.checks.diff import diff_weights
    from glorot_cli.checks.inspection import inspect_weights
    from glorot_cli.checks.verify import verify_weights
    from glorot_cli.drawing import draw
    from glorot_cli.errors import FormatError, GlorotError, SpecError
    from glorot_cli.plan import Plan, PlannedTensor, make_plan
    from glorot_cli.recording import record
    from glorot_cli.spec import Spec, load_spec
    from glorot_cli.writing.weights import write_weights

_HOMES = {
    "FormatError": "errors",
    "GlorotError": "errors",
    "Plan": "plan",
    "PlannedTensor": "plan",
    "Spec": "spec",
    "SpecError": "errors",
    "diff_weights": "checks.diff",
    "draw": "drawing",
    "inspect_weights": "checks.inspection",
    "load_spec": "spec",
    "make_plan": "plan",
    "record": "recording",
    "verify_weights": "checks.verify",
    "write_weights": "writing.weights",
}

__all__ = [
    "FormatError",
    "GlorotError",
    "Plan",
    "PlannedTensor",
    "Spec",
    "SpecError",
    "diff_weights",
    "draw",
    "inspect_weights",
    "load_spec",
    "make_plan",
    "record",
    "verify_weights",
    "write_weights",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that `--version` loads nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'glorot_cli' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"glorot_cli.{_HOMES[name]}"), name)
