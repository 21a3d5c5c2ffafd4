"""Where a tensor's scale comes from: an initialiser's formula, and the arithmetic of one tensor."""

from __future__ import annotations

import inspect

from glorot_cli.distributions import is_random
from glorot_cli.errors import GlorotError, shown, suggestion
from glorot_cli.initializers import GAINS, INITIALIZERS, find_initializer
from glorot_cli.plan import Plan


def explain_initializer(name: str) -> str:
    """Say an initialiser's formula, source, parameters and defaults.

    Raises:
        SpecError: if there is none of that name.
    """
    if name == "calculate_gain":
        rows = [f"  {nonlinearity}: {gain!r}" for nonlinearity, gain in GAINS.items()]
        head = "calculate_gain (torch.nn.init): the values that a gain may be given as by name"
        return "\n".join([head, *rows, "  leaky_relu of another slope a: sqrt(2 / (1 + a**2))"])
    snake = find_initializer(name)
    function, source = INITIALIZERS[snake]
    parameters = [
        f"  {key} = {parameter.default!r}"
        if parameter.default is not parameter.empty
        else f"  {key}, required"
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    lines = [f"{snake}, named as in {source}", "", inspect.getdoc(function) or ""]
    return "\n".join([*lines, *(["", "parameters:", *parameters] if parameters else [])])


def explain_tensor(plan: Plan, name: str) -> str:
    """Say what decided a tensor of a plan, and the arithmetic with its numbers.

    Raises:
        GlorotError: if the plan has no such tensor.
    """
    by_name = {tensor.name: tensor for tensor in plan.entries}
    if name not in by_name:
        raise GlorotError(f"no tensor is named {shown(name)}; {suggestion(name, by_name)}")
    tensor = by_name[name]
    lines = [f"{name}: shape {list(tensor.shape)}, {tensor.dtype}"]
    if tensor.tied_to is not None:
        return f"{lines[0]}, tied to {tensor.tied_to}: not drawn, stored or counted"
    arguments = ", ".join(f"{key}={value!r}" for key, value in tensor.arguments.items())
    lines.append(f"  {tensor.initializer}({arguments}), decided by {tensor.decided_by}")
    lines += [f"  {step}" for step in tensor.steps]
    lines.append(f"  expected std {tensor.distribution.std(tensor.shape)!r}")
    if is_random(tensor.distribution):
        seed = "a seed drawn anew" if plan.seed_was_drawn else f"seed {tensor.seed}"
        lines.append(f"  drawn from {plan.rng} with {seed}")
    return "\n".join(lines)
