"""Recurrent layers over a number of steps, whose weights are taken as new at each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from glorot_cli.effects.activations import ACTIVATIONS, ALIASES, Activation, Values
from glorot_cli.effects.atoms import gaussian
from glorot_cli.effects.graph import Call
from glorot_cli.effects.signals import Gradient, Signal, Step, even, fresh
from glorot_cli.effects.sums import Weights
from glorot_cli.plan import PlannedTensor

WeightsOf = Callable[[str, str | None], Weights]


class Cell(NamedTuple):
    """A recurrent layer's kernels, the size of its state, and its functions."""

    inputs: int
    units: int
    kernel: float
    recurrent: float
    bias: float
    forget: float
    function: Activation
    gate: Activation

    def sums(self, x: float, h: float) -> float:
        """Return the mean square of a gate's sum, by those of input and state."""
        return self.kernel * self.inputs * x + self.recurrent * self.units * h + self.bias


class Moments(NamedTuple):
    """E[f], E[f**2] and E[f'**2] of a Gaussian."""

    mean: float
    square: float
    slope: float


def _moments(function: Activation, square: float, mean: float = 0.0) -> Moments:
    atoms = gaussian(mean, math.sqrt(square), function.kinks)
    return Moments(
        atoms.expect(function.function),
        atoms.expect(lambda x: function.function(x) ** 2),
        atoms.expect(lambda x: function.derivative(x) ** 2),
    )


# The mean squares of the states at each step, and a function from the gradients at each step's
# state to those at each step's input.
Run = tuple[Values, Callable[[Values], Values]]


def _simple(x: Values, cell: Cell) -> Run:
    h, slopes, states = 0.0, [], []
    for each in x:
        found = _moments(cell.function, cell.sums(each, h))
        h = found.square
        states.append(h)
        slopes.append(found.slope)

    def back(gradients: Values) -> Values:
        result = np.zeros_like(x)
        later = 0.0
        for t in reversed(range(x.size)):
            at_sum = (gradients[t] + later) * slopes[t]
            later = cell.recurrent * cell.units * at_sum
            result[t] = cell.kernel * cell.units * at_sum
        return result

    return np.array(states), back


def _lstm(x: Values, cell: Cell) -> Run:
    h = c = 0.0
    states, kept = [], []
    for each in x:
        square = cell.sums(each, h)
        gate = _moments(cell.gate, square)
        forget = _moments(cell.gate, square, cell.forget)
        new = _moments(cell.function, square)
        before, c = c, forget.square * c + gate.square * new.square
        out = _moments(cell.function, c)
        h = gate.square * out.square
        states.append(h)
        kept.append((gate, forget, new, out, before))

    def back(gradients: Values) -> Values:
        result = np.zeros_like(x)
        later_h = later_c = 0.0
        for t in reversed(range(x.size)):
            gate, forget, new, out, before = kept[t]
            at_h = gradients[t] + later_h
            at_c = later_c + at_h * gate.square * out.slope
            at_sums = (
                at_h * gate.slope * out.square
                + at_c * (gate.square * new.slope + gate.slope * new.square)
                + at_c * forget.slope * before
            )
            later_c = at_c * forget.square
            later_h = cell.recurrent * cell.units * at_sums
            result[t] = cell.kernel * cell.units * at_sums
        return result

    return np.array(states), back


def _gru(x: Values, cell: Cell) -> Run:
    h = 0.0
    states, kept = [], []
    for each in x:
        gate = _moments(cell.gate, cell.sums(each, h))
        rest = 1.0 - 2.0 * gate.mean + gate.square
        inner = cell.recurrent * cell.units * h
        new = _moments(
            cell.function,
            cell.kernel * cell.inputs * each + gate.square * inner + cell.bias,
        )
        before, h = h, gate.square * h + rest * new.square
        states.append(h)
        kept.append((gate, rest, new, before, inner))

    def back(gradients: Values) -> Values:
        result = np.zeros_like(x)
        later = 0.0
        for t in reversed(range(x.size)):
            gate, rest, new, before, inner = kept[t]
            at_h = gradients[t] + later
            at_new = at_h * rest * new.slope
            at_update = at_h * (before + new.square) * gate.slope
            at_reset = at_new * inner * gate.slope
            through = cell.recurrent * cell.units
            later = at_h * gate.square + through * (at_new * gate.square + at_update + at_reset)
            result[t] = cell.kernel * cell.units * (at_new + at_update + at_reset)
        return result

    return np.array(states), back


_KINDS: Mapping[str, Callable[[Values, Cell], Run]] = {
    "SimpleRNN": _simple, "RNN": _simple, "LSTM": _lstm, "GRU": _gru,
}  # fmt: skip


def layer(
    call: Call,
    x: Signal,
    weights: WeightsOf,
    tensors: Mapping[str, PlannedTensor],
    is_torch: bool,
) -> Step:
    """Run a recurrent layer over its steps; gradients come from every state that goes out.

    Raises:
        ValueError: if the layer is of a kind that is not covered, with what kind that is.
    """
    kind = call.layer.entry.type
    if "cell" in call.layer.arguments or call.flag("bidirectional") or call.flag("proj_size"):
        raise ValueError("cells of one's own, two directions or projections")
    cells = _torch_cells(call, kind, weights) if is_torch else [_keras_cell(call, weights, tensors)]
    run, square, pulls = _KINDS[kind], np.atleast_1d(x.square), []
    for cell in cells:
        square, back = run(square, cell)
        pulls.append(back)
    whole = is_torch or call.flag("return_sequences")
    output = fresh(square if whole else np.asarray(square[-1]), cells[-1].units)

    def pull(gradient: Gradient) -> list[Gradient]:
        at = np.zeros(square.size)
        at[:] = gradient.square if whole else 0.0
        if not whole:
            at[-1] = float(gradient.square)
        for back in reversed(pulls):
            at = back(at)
        return [even(x, at.reshape(x.square.shape))]

    return output, pull


def _named(name: str | None) -> Activation:
    name = ALIASES.get(name or "linear", name or "linear")
    if name not in ACTIVATIONS:
        raise ValueError(f"the activation {name!r}")
    return ACTIVATIONS[name]


def _keras_cell(call: Call, weights: WeightsOf, tensors: Mapping[str, PlannedTensor]) -> Cell:
    prefix = f"{call.name}/"
    own = {name.rpartition("/")[2]: name for name in tensors if name.startswith(prefix)}
    kernel = weights(own["kernel"], own.get("bias"))
    state = weights(own["recurrent_kernel"], None)
    forget = 1.0 if call.flag("unit_forget_bias") and "bias" in own else 0.0
    return Cell(
        call.inputs[0][-1], call.count("units"), kernel.variance, state.variance,
        0.0 if forget else kernel.bias_square, forget, _named(call.text("activation")),
        _named(call.text("recurrent_activation") or "sigmoid"),
    )  # fmt: skip


def _torch_cells(call: Call, kind: str, weights: WeightsOf) -> list[Cell]:
    function = _named(call.text("nonlinearity") or "tanh")
    cells, inputs, units = [], call.count("input_size"), call.count("hidden_size")
    for index in range(call.count("num_layers", 1)):
        kernel = weights(f"{call.name}.weight_ih_l{index}", f"{call.name}.bias_ih_l{index}")
        state = weights(f"{call.name}.weight_hh_l{index}", f"{call.name}.bias_hh_l{index}")
        bias = kernel.bias_square + state.bias_square
        cells.append(Cell(inputs, units, kernel.variance, state.variance, bias, 0.0, function,
                          ACTIVATIONS["sigmoid"]))  # fmt: skip
        inputs = units
    return cells
