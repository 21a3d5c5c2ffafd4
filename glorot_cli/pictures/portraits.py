"""What a picture shows of a tensor: a sample of its elements, and the law they should have."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from glorot_cli.checks.inspection import InspectedTensor, inspect_weights
from glorot_cli.distributions import (
    Distribution,
    Normal,
    Orthogonal,
    Patched,
    Sparse,
    TruncatedNormal,
    Uniform,
    is_drawn_whole,
    is_random,
    leaves,
)
from glorot_cli.drawing import check, draw, drawer
from glorot_cli.dtypes import PRECISIONS, Array, numpy_dtype
from glorot_cli.fans import FanRule, Shape
from glorot_cli.goodness_of_fit import p_values
from glorot_cli.goodness_of_fit.candidates import EMBEDDINGS, named_distributions
from glorot_cli.goodness_of_fit.fit import Fit
from glorot_cli.goodness_of_fit.sketch import SAMPLE
from glorot_cli.plan import Plan


@dataclass(frozen=True, slots=True)
class Portrait:
    """Hold what is drawn of one tensor; without a law, its elements are of no known one.

    `share` is the law's share of the elements; the others are a sparse kernel's zeros.
    """

    name: str
    label: str
    values: Array
    law: p_values.Continuous | None
    share: float = 1.0

    @property
    def limits(self) -> tuple[float, float] | None:
        """The law's limits, if it has any within the picture."""
        if self.law is None:
            return None
        low, high = p_values.bounds(self.law)
        return (low, high) if high - low < 12.0 * self.law.std(()) else None

    def density(self, x: Array) -> Array:
        """Return the law's density, times its share."""
        return self.share * self._density(x)

    def _density(self, x: Array) -> Array:
        match self.law:
            case Uniform(low=low, high=high):
                return np.where((x >= low) & (x <= high), 1.0 / (high - low), 0.0)
            case Normal(centre=centre, stddev=stddev):
                return _bell((x - centre) / stddev) / stddev
            case TruncatedNormal(centre=centre, stddev=stddev, low=low, high=high):
                z = (x - centre) / stddev
                mass = p_values.below(Normal(0.0, 1.0), high) - p_values.below(
                    Normal(0.0, 1.0), low
                )
                return np.where((z >= low) & (z <= high), _bell(z) / (stddev * mass), 0.0)
        return np.zeros_like(x)


def _bell(z: Array) -> Array:
    density: Array = np.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi)
    return density


def portraits_of_plan(plan: Plan) -> list[Portrait]:
    """Draw the first elements of each random tensor.

    Raises:
        GlorotError: if a tensor cannot be drawn.
    """
    found = []
    for tensor in plan.tensors:
        if not is_random(tensor.distribution) or tensor.dtype not in PRECISIONS:
            continue
        if any(map(is_drawn_whole, leaves(tensor.distribution))):
            values = draw(plan, tensor.name).reshape(-1)
            values = values[:: -(-values.size // SAMPLE)]
        else:
            check(tensor)
            values = np.empty(min(tensor.parameters, SAMPLE), numpy_dtype(tensor.dtype))
            drawer(tensor)(0, values)
        law = _law(tensor.distribution, tensor.shape)
        values = np.sort(values.astype(np.float64))
        share = _share(tensor.distribution, tensor.shape)
        found.append(Portrait(tensor.name, tensor.initializer, values, law, share))
    return found


def portraits_of_file(
    path: str | os.PathLike[str],
    *,
    fans: FanRule | None = None,
    axes: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    workers: int | None = None,
) -> list[Portrait]:
    """Take a sample of each tensor of a file that is not constant.

    The law is that of the file's provenance, or else the best defined that the elements fit.

    Raises:
        FormatError: if the file cannot be read.
    """
    inspection = inspect_weights(
        path, fans=fans, axes=axes, include=include, exclude=exclude, samples=True, workers=workers
    )
    return [found for tensor in inspection.tensors for found in _of_stored(tensor)]


def _of_stored(tensor: InspectedTensor) -> Iterator[Portrait]:
    if tensor.sample is None or tensor.dtype not in PRECISIONS:
        return
    values = tensor.sample.astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size or values[0] == values[-1]:
        return
    planned = tensor.planned
    if planned is not None and is_random(planned.distribution):
        label = planned.initializer + ("" if tensor.agrees is not False else ": DISAGREES")
        law, shape = planned.distribution, planned.shape
        yield Portrait(tensor.name, label, values, _law(law, shape), _share(law, shape))
        return
    fits = tensor.fits or []
    label = fits[0].distribution if fits else "not a known start"
    share = 1.0 - fits[0].parameters.get("sparsity", 0.0) if fits else 1.0
    yield Portrait(tensor.name, label, values, _fitted(fits, tensor) if fits else None, share)


def _fitted(fits: Sequence[Fit], tensor: InspectedTensor) -> p_values.Continuous | None:
    named = dict(named_distributions(tensor.fans)) if tensor.fans is not None else {}
    named |= dict(EMBEDDINGS)
    law, _, parameters = fits[0]
    match law:
        case "uniform":
            return Uniform(parameters["low"], parameters["high"])
        case "normal":
            return Normal(parameters["mean"], parameters["stddev"])
        case "truncated_normal":
            centre, stddev = parameters["mean"], parameters["stddev"]
            low, high = ((parameters[end] - centre) / stddev for end in ("low", "high"))
            return TruncatedNormal(centre, stddev, low, high)
        case "sparse":
            return Normal(0.0, parameters["std"])
        case "orthogonal":
            return _law(Orthogonal(parameters["gain"]), tensor.shape)
        case _:
            return named.get(law)


def _share(law: Distribution, shape: Shape) -> float:
    return 1.0 - law.zeros / shape[0] if isinstance(law, Sparse) else 1.0


def _core(law: Distribution) -> Distribution:
    return law.law if isinstance(law, Patched) else law


def _law(law: Distribution, shape: Shape) -> p_values.Continuous | None:
    """Return the law whose curve is drawn; that of an orthogonal kernel is nearly normal."""
    core = _core(law)
    match core:
        case Uniform() | Normal() | TruncatedNormal():
            return core
        case Orthogonal(delta=False):
            return Normal(0.0, core.std(shape))
        case Sparse(stddev=stddev):
            return Normal(0.0, stddev)
    return None
