"""What the start of a spec, and others in its place, do to its own network."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from glorot_cli.arguments import InitializerChoice
from glorot_cli.distributions import Distribution, is_random
from glorot_cli.effects.graph import known, make_graph
from glorot_cli.effects.mean_field import LayerEffect, MeanField, predict
from glorot_cli.effects.measurement import Measured, measure, measure_model
from glorot_cli.errors import GlorotError, SpecError, shown
from glorot_cli.initializers import Kernel, decide
from glorot_cli.plan import Plan, PlannedTensor, make_plan
from glorot_cli.spec import load_spec

SPEC = "spec"
Choice = str | Mapping[str, object]
Tensors = Mapping[str, PlannedTensor]
Verdict = Literal["stable", "vanish", "explode"]
# A change of the spread by this factor from the first layer to the last is no longer stable.
_FACTOR = 10.0


@dataclass(frozen=True, slots=True)
class Column:
    """What one initialiser means for one kernel.

    The gains are fan_in and fan_out times the variance (Glorot and Bengio, 2010).
    """

    initializer: str
    distribution: Distribution
    std: float
    forward: float
    backward: float


@dataclass(frozen=True, slots=True)
class Row:
    """A kernel, and what each initialiser means for it, the spec's own first."""

    tensor: PlannedTensor
    columns: list[Column]


@dataclass(frozen=True, slots=True)
class Effect:
    """What one start does to the network: by theory, and as measured, by the layers' labels."""

    initializer: str
    theory: MeanField
    measured: Mapping[str, Measured] | None = None

    @property
    def activations(self) -> Verdict:
        """What becomes of the spread of activations from the first layer to the last."""
        return _verdict(self.rates[0], len(self.theory.layers))

    @property
    def gradients(self) -> Verdict:
        """What becomes of the spread of gradients from the last layer to the first."""
        return _verdict(self.rates[1], len(self.theory.layers))

    @property
    def by_name(self) -> Mapping[str, LayerEffect]:
        """The layers that the theory covers, by their names."""
        return {layer.name: layer for layer in self.theory.layers}

    @property
    def rates(self) -> tuple[float, float]:
        """The factors a layer of the root mean squares, of activations and of gradients.

        Layers that nothing reaches, since a later kernel starts at zero, do not count.
        """
        layers = self.theory.layers
        forward = _rate([layer.activation_square for layer in layers])
        return forward, _rate([layer.gradient_square for layer in reversed(layers)])

    @property
    def chi(self) -> float:
        """The geometric mean of chi over the layers that have one."""
        chis = [layer.chi for layer in self.theory.layers if layer.chi]
        return math.exp(sum(map(math.log, chis)) / len(chis)) if chis else math.nan


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison: a row for each kernel, and what each start does to the network.

    `effects` are in the order of `names`, the spec's own first, and empty where the spec does not
    say how its tensors are joined; `reasons` say that, and where the theory covers no layer.
    """

    names: list[str]
    rows: list[Row]
    effects: list[Effect]
    reasons: tuple[str, ...] = ()
    batch: int | None = None
    seeds: int = 1

    @property
    def layers(self) -> list[str]:
        """The layers that the theory covers under any start, in the order of the flow."""
        longest = max((effect.theory.layers for effect in self.effects), key=len, default=())
        names = {layer.name: None for layer in longest}
        for effect in self.effects:
            names |= {layer.name: None for layer in effect.theory.layers}
        return list(names)

    @property
    def best(self) -> Effect | None:
        """The start that changes least through the depth: chi nearest 1, and spreads that stay."""
        scored = [(_unrest(effect), effect) for effect in self.effects if effect.theory.layers]
        return min(scored, key=lambda pair: pair[0])[1] if len(scored) > 1 else None


def compare(
    plan: Plan,
    choices: Sequence[Choice],
    batch: int | None = None,
    seeds: int = 1,
    model: str | None = None,
) -> Comparison:
    """Compare a spec's own distributions with those of other initialisers.

    A choice is an initialiser's name, or a mapping with its name and arguments. With `batch`, as
    many random examples are pushed forward and backward through the network in its framework, for
    `seeds` seeds from the plan's own on, or through the torch module that `model`, a
    MODULE:CALLABLE, returns.

    Raises:
        GlorotError: if a choice is no initialiser for these kernels, or the network cannot be run.
    """
    kernels = [t for t in plan.tensors if _is_kernel(t)]
    if not kernels:
        raise GlorotError("the spec has no random kernels to compare")
    choices = [SPEC, *(choice for choice in choices if choice != SPEC)]
    starts = [[_changed(tensor, choice) for tensor in kernels] for choice in choices]
    rows = [
        Row(tensor, list(map(_column, changed)))
        for tensor, *changed in zip(kernels, *starts, strict=True)
    ]
    names = [label_of(choice) for choice in choices]
    plans = [plan]
    if batch is not None:
        plans += [
            make_plan(load_spec(plan.spec, {"seed": (plan.seed + index) % 2**64}))
            for index in range(1, seeds)
        ]
    networks = [[_started(each, choice) for each in plans] for choice in choices]
    if model is not None and batch is not None:
        shape = next(map(known, load_spec(plan.spec).inputs().values()), None)
        effects = [
            Effect(name, MeanField((), ()),
                   measure_model(model, network, shape, batch, plan.seed))
            for name, network in zip(names, networks, strict=True)
        ]  # fmt: skip
        return Comparison(names, rows, effects, (), batch, seeds)
    try:
        graph = make_graph(plan)
    except GlorotError as error:
        if batch is not None:
            raise GlorotError(f"--batch: {error}") from None
        return Comparison(names, rows, [], (str(error),))
    theories = [predict(graph, network[0], batch) for network in networks]
    effects = [Effect(name, theory) for name, theory in zip(names, theories, strict=True)]
    if batch is not None:
        # One label a layer: a start may leave a layer to the theory that another does not.
        ends = {layer.name: layer.label for theory in theories for layer in theory.layers}
        effects = [
            replace(effect, measured=measure(graph, network, [*ends.values()], batch, plan.seed))
            for effect, network in zip(effects, networks, strict=True)
        ]
    cuts = dict.fromkeys(cut for effect in effects for cut in effect.theory.cuts)
    reasons = tuple(f"the theory is cut at {cut}" for cut in cuts)
    return Comparison(names, rows, effects, reasons, batch, seeds)


def label_of(choice: Choice) -> str:
    """Return how an initialiser is written in a table: its name, and its arguments in brackets."""
    if isinstance(choice, str):
        return choice
    arguments = ", ".join(f"{key}={value}" for key, value in choice.items() if key != "name")
    return f"{choice.get('name')}({arguments})" if arguments else str(choice.get("name"))


def _is_kernel(tensor: PlannedTensor) -> bool:
    random = is_random(tensor.distribution) and not tensor.kind.startswith("Embedding")
    return tensor.fans is not None and len(tensor.shape) > 1 and random


def _started(plan: Plan, choice: Choice) -> dict[str, PlannedTensor]:
    """Return a plan's tensors by name, with another initialiser's kernels."""
    return {
        tensor.name: _changed(tensor, choice) if _is_kernel(tensor) else tensor
        for tensor in plan.tensors
    }


def _changed(tensor: PlannedTensor, choice: Choice) -> PlannedTensor:
    """Give a kernel the distribution of another initialiser, for the same fans."""
    if choice == SPEC:
        return tensor
    assert tensor.fans is not None
    kernel = Kernel(tuple(tensor.fans), "IO", 1, "exact")
    try:
        decided = decide(InitializerChoice(choice, ()), kernel, {})
    except SpecError as error:
        raise GlorotError(f"--compare: {error.message}; for {shown(tensor.name)}") from None
    return tensor._replace(initializer=decided.name, distribution=decided.distribution)


def _column(tensor: PlannedTensor) -> Column:
    assert tensor.fans is not None
    std = tensor.distribution.std(tensor.shape)
    variance = std * std
    return Column(
        tensor.initializer,
        tensor.distribution,
        std,
        tensor.fans.fan_in * variance,
        tensor.fans.fan_out * variance,
    )


def _rate(squares: Sequence[float]) -> float:
    """Return the factor a layer of a root mean square: the median over all pairs of layers.

    So a single step, as pooling before the last layer makes one, does not decide (Theil, 1950).
    """
    if any(math.isnan(square) or square == math.inf for square in squares):
        return math.inf
    found = [(index, 0.5 * math.log(square)) for index, square in enumerate(squares) if square > 0]
    # Some hundred layers say as much as thousands.
    found = found[:: max(1, len(found) // 200)]
    slopes = [
        (end - start) / (last - first)
        for (first, start), (last, end) in itertools.combinations(found, 2)
    ]
    if not slopes:
        return 1.0 if found else 0.0
    return math.exp(statistics.median(slopes))


def _verdict(rate: float, layers: int) -> Verdict:
    if rate <= 0.0:
        return "vanish"
    change = math.log(rate) * max(1, layers - 1) if math.isfinite(rate) else math.inf
    if abs(change) <= math.log(_FACTOR):
        return "stable"
    return "explode" if change > 0.0 else "vanish"


def _unrest(effect: Effect) -> float:
    """Return how far a start is from the edge of chaos: logarithms of chi and of the spreads."""
    parts = [effect.chi, *effect.rates]
    if not all(0.0 < part < math.inf for part in parts):
        return math.inf
    return sum(abs(math.log(part)) for part in parts)


def sentence(effect: Effect) -> str:
    """Say what becomes of activations and gradients through the depth, in one line."""
    parts = []
    for what, rate, verdict in zip(
        ("activations", "gradients"), effect.rates, (effect.activations, effect.gradients),
        strict=True,
    ):  # fmt: skip
        if verdict == "stable":
            parts.append(f"{what} stay ({rate:.2f}x a layer)")
        elif not 0.0 < rate < math.inf:
            parts.append(f"{what} {verdict}")
        elif verdict == "vanish":
            layers = math.ceil(math.log(1e3) / -math.log(rate))
            parts.append(f"{what} shrink {1 / rate:.2f}x a layer: below 1e-3 after {layers} layers")
        else:
            layers = math.ceil(math.log(1e3) / math.log(rate))
            parts.append(f"{what} grow {rate:.2f}x a layer: above 1e3 after {layers} layers")
    return f"{effect.initializer}: {'; '.join(parts)}"


def advice(found: Comparison) -> str | None:
    """Say which start fits the network best, and why."""
    best = found.best
    if best is None or not math.isfinite(_unrest(best)):
        return None
    forward, backward = best.rates
    return (
        f"{best.initializer} fits this network best: chi is {best.chi:.3g} (1 is the edge of "
        f"chaos), activations change {forward:.3g}x and gradients {backward:.3g}x a layer"
    )
