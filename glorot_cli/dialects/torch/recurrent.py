"""Recurrent modules; a weight holds its gates one above the other on its first axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from glorot_cli.arguments import Margins, Number, Size
from glorot_cli.dialects.layer import Built, Flow, LayerError, Weight, check_repeated
from glorot_cli.dialects.torch.linear import expect, within_one_over_root


def RNN(
    x: Flow,
    *,
    input_size: Size,
    hidden_size: Size,
    num_layers: Size = 1,
    nonlinearity: Literal["tanh", "relu"] = "tanh",
    bias: bool = True,
    batch_first: bool = False,
    dropout: Number = 0.0,
    bidirectional: bool = False,
) -> Built:
    """Step without gates."""
    return _recurrent(x, 1, input_size, hidden_size, num_layers, bias, bidirectional, 0)


def LSTM(
    x: Flow,
    *,
    input_size: Size,
    hidden_size: Size,
    num_layers: Size = 1,
    bias: bool = True,
    batch_first: bool = False,
    dropout: Number = 0.0,
    bidirectional: bool = False,
    proj_size: Margins = 0,
) -> Built:
    """Step with four gates, and project the state to `proj_size` where it is above 0."""
    if not isinstance(proj_size, int) or proj_size >= hidden_size:
        raise LayerError(f"expected proj_size below {hidden_size}, found {proj_size}", "proj_size")
    return _recurrent(x, 4, input_size, hidden_size, num_layers, bias, bidirectional, proj_size)


def GRU(
    x: Flow,
    *,
    input_size: Size,
    hidden_size: Size,
    num_layers: Size = 1,
    bias: bool = True,
    batch_first: bool = False,
    dropout: Number = 0.0,
    bidirectional: bool = False,
) -> Built:
    """Step with three gates."""
    return _recurrent(x, 3, input_size, hidden_size, num_layers, bias, bidirectional, 0)


def cell(gates: int) -> Callable[..., Built]:
    """Make the module of one step."""

    def Cell(x: Flow, *, input_size: Size, hidden_size: Size, bias: bool = True) -> Built:
        """Step once."""
        expect(x, -1, input_size, "input_size")
        weights = _step(gates, input_size, hidden_size, hidden_size, bias, "", 0)
        return Built(None if x is None else (hidden_size,), weights)

    return Cell


def _recurrent(
    x: Flow,
    gates: int,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    bias: bool,
    bidirectional: bool,
    proj_size: int,
) -> Built:
    expect(x, -1, input_size, "input_size")
    directions = ("", "_reverse") if bidirectional else ("",)
    state = proj_size or hidden_size
    weights, inputs = [], input_size
    for layer in range(num_layers):
        for direction in directions:
            suffix = f"_l{layer}{direction}"
            own = _step(gates, inputs, hidden_size, state, bias, suffix, proj_size)
            check_repeated(num_layers, len(directions) * len(own), "num_layers")
            weights += own
        inputs = state * len(directions)
    return Built(None if x is None else (*x[:-1], inputs), weights)


def _step(
    gates: int, inputs: int, hidden: int, state: int, bias: bool, suffix: str, projection: int
) -> list[Weight]:
    law, outputs = within_one_over_root(hidden), gates * hidden
    weights = [
        Weight(f"weight_ih{suffix}", (outputs, inputs), "OI", law, fused=gates),
        Weight(f"weight_hh{suffix}", (outputs, state), "OI", law, fused=gates),
    ]
    if bias:
        weights.append(Weight(f"bias_ih{suffix}", (outputs,), None, law))
        weights.append(Weight(f"bias_hh{suffix}", (outputs,), None, law))
    if projection:
        weights.append(Weight(f"weight_hr{suffix}", (projection, hidden), "OI", law))
    return weights
