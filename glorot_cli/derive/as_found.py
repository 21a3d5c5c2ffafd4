"""The initializers that a fresh start's own elements show, as `inspect` finds them."""

from __future__ import annotations

from typing import Any

from glorot_cli.checks.inspection import InspectedTensor, inspect_weights
from glorot_cli.distributions import Normal, TruncatedNormal, Uniform
from glorot_cli.errors import GlorotError, listed
from glorot_cli.formats.stored import StoredFile
from glorot_cli.goodness_of_fit.candidates import EMBEDDINGS, named_distributions
from glorot_cli.goodness_of_fit.fit import Fit
from glorot_cli.goodness_of_fit.layers import torch_starts
from glorot_cli.goodness_of_fit.p_values import Continuous

# Fits whose name and parameters are an initializer's.
_NAMED = ("zeros", "ones", "constant", "orthogonal", "identity", "delta_orthogonal", "sparse")


def initializers_in(file: StoredFile) -> dict[str, Any]:
    """Return the initializers of a file's tensors that are at a known start.

    Raises:
        GlorotError: if no kernel is.
    """
    shapes = {tensor.name: tensor.shape for tensor in file.tensors}
    found = {}
    kernels = {}
    for tensor in inspect_weights(file.path).tensors:
        if len(tensor.shape) > 1 and tensor.fits is not None:
            kernels[tensor.name] = bool(tensor.fits)
        if not tensor.fits:
            continue
        named = dict(torch_starts(tensor.name, shapes))
        initializer = _initializer(tensor, tensor.fits[0], named)
        if initializer is not None:
            found[tensor.name] = initializer
    if kernels and not any(kernels.values()):
        raise GlorotError(
            f"--start as-found: {file.path} is no fresh start: no known distribution fits "
            f"{listed(list(kernels))}; choose keras, torch or jax"
        )
    return found


def _initializer(tensor: InspectedTensor, fit: Fit, named: dict[str, Any]) -> Any:
    """Write a fit as a spec does, by its numbers: the file's own order of axes may be another."""
    name, parameters = fit.distribution, fit.parameters
    if name == "unit_forget_bias":
        return None  # the convention has it
    if name == "dirac":
        return {"name": name, "groups": int(parameters["groups"])}
    if name in _NAMED:
        return {"name": name, **parameters} if parameters else name
    if name == "uniform":
        return {"name": "uniform", "a": parameters["low"], "b": parameters["high"]}
    if name == "normal":
        return {"name": "normal", "mean": parameters["mean"], "std": parameters["stddev"]}
    if name == "truncated_normal" and "low" in parameters:
        mean, std = parameters["mean"], parameters["stddev"]
        cut = {"a": parameters["low"], "b": parameters["high"]}
        return {"name": "trunc_normal", "mean": mean, "std": std, **cut}
    known: dict[str, Continuous] = {**dict(EMBEDDINGS), **named}
    if tensor.fans is not None:
        known |= dict(named_distributions(tensor.fans))
    distribution = known.get(name)
    if isinstance(distribution, Uniform):
        return {"name": "uniform", "a": distribution.low, "b": distribution.high}
    if isinstance(distribution, Normal):
        return {"name": "normal", "std": distribution.stddev}
    if isinstance(distribution, TruncatedNormal):
        return {"name": "truncated_normal", "stddev": distribution.stddev}
    return None
