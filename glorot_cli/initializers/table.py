"""All initialisers by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from glorot_cli.distributions import Distribution
from glorot_cli.initializers import automatic, keras, placed, skewed, torch


class Initializer(NamedTuple):
    """Name an initialiser's function and the framework that it is from."""

    function: Callable[..., Distribution]
    source: str


INITIALIZERS: dict[str, Initializer] = {
    "auto": Initializer(automatic.auto, "glorot"),
    "by_index": Initializer(placed.by_index, "glorot"),
    "constant": Initializer(keras.constant, "Keras"),
    "delta_orthogonal": Initializer(keras.delta_orthogonal, "JAX"),
    "dirac": Initializer(torch.dirac, "torch"),
    "eye": Initializer(torch.eye, "torch"),
    "glorot_normal": Initializer(keras.glorot_normal, "Keras"),
    "glorot_uniform": Initializer(keras.glorot_uniform, "Keras"),
    "he_normal": Initializer(keras.he_normal, "Keras"),
    "he_uniform": Initializer(keras.he_uniform, "Keras"),
    "identity": Initializer(keras.identity, "Keras"),
    "inverse_softplus": Initializer(skewed.inverse_softplus, "glorot"),
    "kaiming_normal": Initializer(torch.kaiming_normal, "torch"),
    "kaiming_uniform": Initializer(torch.kaiming_uniform, "torch"),
    "lecun_normal": Initializer(keras.lecun_normal, "Keras"),
    "lecun_uniform": Initializer(keras.lecun_uniform, "Keras"),
    "log_uniform": Initializer(skewed.log_uniform, "glorot"),
    "norm_of": Initializer(torch.norm_of, "torch"),
    "normal": Initializer(torch.normal, "torch"),
    "ones": Initializer(keras.ones, "Keras"),
    "orthogonal": Initializer(keras.orthogonal, "Keras"),
    "random_normal": Initializer(keras.random_normal, "Keras"),
    "random_uniform": Initializer(keras.random_uniform, "Keras"),
    "singular_vector_of": Initializer(torch.singular_vector_of, "torch"),
    "sinusoid": Initializer(placed.sinusoid, "glorot"),
    "sparse": Initializer(torch.sparse, "torch"),
    "torch_bias": Initializer(torch.torch_bias, "torch"),
    "trunc_normal": Initializer(torch.trunc_normal, "torch"),
    "truncated_normal": Initializer(keras.truncated_normal, "Keras"),
    "uniform": Initializer(torch.uniform, "torch"),
    "values": Initializer(placed.values, "glorot"),
    "variance_scaling": Initializer(keras.variance_scaling, "Keras"),
    "xavier_normal": Initializer(torch.xavier_normal, "torch"),
    "xavier_uniform": Initializer(torch.xavier_uniform, "torch"),
    "zeros": Initializer(keras.zeros, "Keras"),
}
# Keras accepts both cases: glorot_uniform and GlorotUniform.
CLASS_NAMES = {
    name.title().replace("_", ""): name
    for name, initializer in INITIALIZERS.items()
    if initializer.source == "Keras"
}
