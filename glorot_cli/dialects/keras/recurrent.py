"""Recurrent layers and their cells; a kernel holds its gates side by side on its last axis."""

from __future__ import annotations

from collections.abc import Callable

from glorot_cli.arguments import Dims, Init, InitializerChoice, Number, Seed, Size, Sizes
from glorot_cli.dialects.keras.convolution import CausalPadding, check_steps, field
from glorot_cli.dialects.keras.core import ActivationName
from glorot_cli.dialects.keras.names import Counters, snake_case
from glorot_cli.dialects.layer import Built, InnerLayers, Layer, LayerError, Weight, within
from glorot_cli.dialects.spatial import (
    DataFormat,
    check_rank,
    join,
    known,
    slide,
    split_known,
    spread,
)
from glorot_cli.errors import shown


def LSTMCell(
    x: Dims,
    *,
    units: Size,
    activation: ActivationName | None = "tanh",
    recurrent_activation: ActivationName | None = "sigmoid",
    use_bias: bool = True,
    kernel_initializer: Init = "glorot_uniform",
    recurrent_initializer: Init = "orthogonal",
    bias_initializer: Init = "zeros",
    unit_forget_bias: bool = True,
    dropout: Number = 0.0,
    recurrent_dropout: Number = 0.0,
    seed: Seed | None = None,
) -> Built:
    """Step with four gates (input, forget, cell, output); the forget gate's bias may start at 1."""
    weights = _kernels(known(x, -1), units, 4, kernel_initializer, recurrent_initializer)
    if use_bias:
        weights.append(_forget_bias(units, bias_initializer, unit_forget_bias))
    return Built((units,), weights)


def GRUCell(
    x: Dims,
    *,
    units: Size,
    activation: ActivationName | None = "tanh",
    recurrent_activation: ActivationName | None = "sigmoid",
    use_bias: bool = True,
    kernel_initializer: Init = "glorot_uniform",
    recurrent_initializer: Init = "orthogonal",
    bias_initializer: Init = "zeros",
    dropout: Number = 0.0,
    recurrent_dropout: Number = 0.0,
    reset_after: bool = True,
    seed: Seed | None = None,
) -> Built:
    """Step with three gates; with `reset_after` input and recurrence have a bias each."""
    weights = _kernels(known(x, -1), units, 3, kernel_initializer, recurrent_initializer)
    if use_bias:
        shape, roles = ((2, 3 * units), "BO") if reset_after else ((3 * units,), None)
        weights.append(Weight("bias", shape, roles, bias_initializer))
    return Built((units,), weights)


def SimpleRNNCell(
    x: Dims,
    *,
    units: Size,
    activation: ActivationName | None = "tanh",
    use_bias: bool = True,
    kernel_initializer: Init = "glorot_uniform",
    recurrent_initializer: Init = "orthogonal",
    bias_initializer: Init = "zeros",
    dropout: Number = 0.0,
    recurrent_dropout: Number = 0.0,
    seed: Seed | None = None,
) -> Built:
    """Step without gates."""
    weights = _kernels(known(x, -1), units, 1, kernel_initializer, recurrent_initializer)
    if use_bias:
        weights.append(Weight("bias", (units,), None, bias_initializer))
    return Built((units,), weights)


def LSTM(
    x: Dims,
    *,
    units: Size,
    activation: ActivationName | None = "tanh",
    recurrent_activation: ActivationName | None = "sigmoid",
    use_bias: bool = True,
    kernel_initializer: Init = "glorot_uniform",
    recurrent_initializer: Init = "orthogonal",
    bias_initializer: Init = "zeros",
    unit_forget_bias: bool = True,
    dropout: Number = 0.0,
    recurrent_dropout: Number = 0.0,
    seed: Seed | None = None,
    return_sequences: bool = False,
    return_state: bool = False,
    go_backwards: bool = False,
    stateful: bool = False,
    unroll: bool = False,
) -> Built:
    """Run an LSTMCell over the steps (Hochreiter and Schmidhuber, 1997)."""
    cell = LSTMCell(
        _features(x),
        units=units,
        use_bias=use_bias,
        kernel_initializer=kernel_initializer,
        recurrent_initializer=recurrent_initializer,
        bias_initializer=bias_initializer,
        unit_forget_bias=unit_forget_bias,
    )
    return _over_steps(x, cell, "lstm_cell", return_sequences)


def GRU(
    x: Dims,
    *,
    units: Size,
    activation: ActivationName | None = "tanh",
    recurrent_activation: ActivationName | None = "sigmoid",
    use_bias: bool = True,
    kernel_initializer: Init = "glorot_uniform",
    recurrent_initializer: Init = "orthogonal",
    bias_initializer: Init = "zeros",
    dropout: Number = 0.0,
    recurrent_dropout: Number = 0.0,
    seed: Seed | None = None,
    return_sequences: bool = False,
    return_state: bool = False,
    go_backwards: bool = False,
    stateful: bool = False,
    unroll: bool = False,
    reset_after: bool = True,
) -> Built:
    """Run a GRUCell over the steps (Cho et al., 2014)."""
    cell = GRUCell(
        _features(x),
        units=units,
        use_bias=use_bias,
        kernel_initializer=kernel_initializer,
        recurrent_initializer=recurrent_initializer,
        bias_initializer=bias_initializer,
        reset_after=reset_after,
    )
    return _over_steps(x, cell, "gru_cell", return_sequences)


def SimpleRNN(
    x: Dims,
    *,
    units: Size,
    activation: ActivationName | None = "tanh",
    use_bias: bool = True,
    kernel_initializer: Init = "glorot_uniform",
    recurrent_initializer: Init = "orthogonal",
    bias_initializer: Init = "zeros",
    dropout: Number = 0.0,
    recurrent_dropout: Number = 0.0,
    seed: Seed | None = None,
    return_sequences: bool = False,
    return_state: bool = False,
    go_backwards: bool = False,
    stateful: bool = False,
    unroll: bool = False,
) -> Built:
    """Run a SimpleRNNCell over the steps."""
    cell = SimpleRNNCell(
        _features(x),
        units=units,
        use_bias=use_bias,
        kernel_initializer=kernel_initializer,
        recurrent_initializer=recurrent_initializer,
        bias_initializer=bias_initializer,
    )
    return _over_steps(x, cell, "simple_rnn_cell", return_sequences)


def RNN(
    x: Dims,
    *,
    cell: InnerLayers,
    return_sequences: bool = False,
    return_state: bool = False,
    go_backwards: bool = False,
    stateful: bool = False,
    unroll: bool = False,
    zero_output_for_mask: bool = False,
) -> Built:
    """Run a cell, or a list of cells as StackedRNNCells, over the steps."""
    output, weights = _cell(cell, _step(x), "cell")
    return _over_steps(x, Built(output, within(weights, cell.name, "")), "", return_sequences)


def StackedRNNCells(x: Dims, *, cells: InnerLayers) -> Built:
    """Step through cells one after the other."""
    if not isinstance(cells, list) or not cells:
        raise LayerError("expected a list of cells, found one or none", "cells")
    weights, groups = list[Weight](), Counters()
    for cell in cells:
        built = _cell(cell, x, "cells")
        x = built.shape
        group = f"cells/{groups.next(snake_case(cell.entry.type))}"
        weights += within(built.weights, cell.name, group)
    return Built(x, weights)


def _cell(layer: Layer, step: Dims, key: str) -> Built:
    if not layer.entry.type.endswith(("Cell", "Cells")):
        raise LayerError(f"expected a cell, found {layer.entry.type}", key)
    return layer.build(step)


def conv_lstm(rank: int) -> Callable[..., Built]:
    """Make the LSTM whose steps are convolutions over `rank` spatial axes."""

    def ConvLSTM(
        x: Dims,
        *,
        filters: Size,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: CausalPadding = "valid",
        data_format: DataFormat = "channels_last",
        dilation_rate: Sizes = 1,
        activation: ActivationName | None = "tanh",
        recurrent_activation: ActivationName | None = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Init = "glorot_uniform",
        recurrent_initializer: Init = "orthogonal",
        bias_initializer: Init = "zeros",
        unit_forget_bias: bool = True,
        dropout: Number = 0.0,
        recurrent_dropout: Number = 0.0,
        seed: Seed | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
    ) -> Built:
        """Convolve input and state with (*kernel_size, in, 4 * filters) (Shi et al., 2015)."""
        space, channels = split_known(_step(x), rank, data_format)
        if None in space:
            raise LayerError(f"the sizes of all axes must be known, found {shown(x)}")
        size = spread(kernel_size, rank, "kernel_size")
        check_steps(strides, dilation_rate, rank)
        axes, outputs = field(rank) + "IO", 4 * filters
        recurrent = (*size, filters, outputs)
        weights = [
            Weight("kernel", (*size, channels, outputs), axes, kernel_initializer, fused=4),
            Weight("recurrent_kernel", recurrent, axes, recurrent_initializer, fused=4),
        ]
        if use_bias:
            weights.append(_forget_bias(filters, bias_initializer, unit_forget_bias))
        space = slide(space, size, strides, padding, dilation_rate)
        step = Built(join(space, filters, data_format), weights)
        return _over_steps(x, step, "conv_lstm_cell", return_sequences)

    return ConvLSTM


def _kernels(
    inputs: int, units: int, gates: int, kernel: InitializerChoice, recurrent: InitializerChoice
) -> list[Weight]:
    outputs = gates * units
    return [
        Weight("kernel", (inputs, outputs), "IO", kernel, fused=gates),
        Weight("recurrent_kernel", (units, outputs), "IO", recurrent, fused=gates),
    ]


def _forget_bias(units: int, choice: InitializerChoice, at_one: bool) -> Weight:
    patch = (units, 2 * units, 1.0) if at_one else None
    return Weight("bias", (4 * units,), None, choice, patch=patch)


def _step(x: Dims) -> Dims:
    if len(x) < 2:
        raise LayerError(f"expected an input of (steps, features), found shape {shown(x)}")
    return x[1:]


def _features(x: Dims) -> Dims:
    check_rank(x, 2)
    return x[1:]


def _over_steps(x: Dims, step: Built, name: str, return_sequences: bool) -> Built:
    output = (x[0], *step.shape) if return_sequences else step.output
    return Built(output, within(step.weights, name, "cell"))
