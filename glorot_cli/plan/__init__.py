"""The plan: every tensor that a spec means, complete before a byte is drawn."""

from glorot_cli.plan.planner import make_plan
from glorot_cli.plan.reseeding import reseeded
from glorot_cli.plan.tensors import Plan, PlannedTensor, is_selected

__all__ = ["Plan", "PlannedTensor", "is_selected", "make_plan", "reseeded"]
