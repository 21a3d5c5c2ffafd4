"""Argument sets for the Keras layers that have weights.

To add a layer, add a function that draws arguments and input shapes, and a line to its table.
"""

from __future__ import annotations

from random import Random
from typing import Any

from tests.interop.cases import (
    ACTIVATIONS,
    DATA_FORMATS,
    Arguments,
    Case,
    Generator,
    Shape,
    features,
    image,
    initializers,
    size,
    sometimes,
)

PADDINGS = ["valid", "same", "causal"]


def dense(random: Random) -> Case:
    arguments = sometimes(random, use_bias=[True, False], activation=ACTIVATIONS)
    arguments |= initializers(random, "kernel", "bias")
    return Case({"units": random.choice([1, 3, 8, 0]), **arguments}, features(random))


# Equation, output shapes, bias axes, and what the input holds.
EINSUMS: list[tuple[str, list[Any], list[str], Shape]] = [
    ("ab,bc->ac", [4, [4], [2, 4]], ["c", "a", "x", ""], (3,)),
    ("ab,cb->ac", [4], ["c"], (3,)),
    ("abc,cd->abd", [[None, 4], [5, 4], [6, 4], 4], ["d", "bd", "b"], (5, 3)),
    ("abc,cde->abde", [[None, 2, 4], [None, 2]], ["de", "e", "d", "bde"], (5, 3)),
    ("abc,cde->adeb", [[2, 4, None], [2, 4, 5]], ["de", "ed", "b"], (5, 3)),
    ("abc,bcd->abd", [[None, 4], [5, 4]], ["d", "bd"], (5, 3)),
    ("abcd,cde->abe", [[None, 6]], ["e"], (5, 2, 3)),
    ("abcd,dce->abe", [[None, 6]], ["e"], (None, 2, 3)),
    ("abc,cd->abe", [[None, 4]], ["e"], (5, 3)),
    ("abc,acd->abd", [[None, 4]], ["d"], (5, 3)),
    # Keras turns the order of several axes around that the dots on the left stand for.
    ("...x,xy->...y", [4, [None, 4]], ["y", "x"], (5, 3)),
    ("...x,xy->...y", [4], ["y"], (None, 3)),
    ("...x,xy->...y", [4], ["y"], (3,)),
    ("...xy,yxz->...z", [6], ["z"], (5, 2, 3)),
    ("ab...,bc->ac...", [4, [4]], ["c", "a"], (3, 5)),
    ("ab...,bc->ac...", [4], ["c"], (3, None, 2)),
    ("abc...,bcd->abd...", [[None, 4]], ["d"], (3, 2, 5)),
    ("ab,bc", [4], ["c"], (3,)),
    ("abcdef,fg->abcdeg", [4], ["g"], (3,)),
]


def einsum_dense(random: Random) -> Case:
    equation, outputs, biases, x = random.choice(EINSUMS)
    arguments = sometimes(random, bias_axes=biases, activation=["relu"])
    arguments |= initializers(random, "kernel", "bias")
    return Case({"equation": equation, "output_shape": random.choice(outputs), **arguments}, x)


def embedding(random: Random) -> Case:
    arguments = sometimes(random, mask_zero=[True, False])
    arguments |= initializers(random, "embeddings")
    sizes = {"input_dim": random.choice([1, 10, 30, 0]), "output_dim": random.randint(1, 6)}
    return Case({**sizes, **arguments}, features(random, high=2))


def prelu(random: Random) -> Case:
    axes = [[1], [2], [1, 2], [2, 1], [3], [5], []]
    arguments = sometimes(random, shared_axes=axes)
    return Case({**arguments, **initializers(random, "alpha")}, features(random))


def convolution(rank: int) -> Generator:
    def draw(random: Random) -> Case:
        groups = random.choice([1, 1, 2, 3])
        arguments = sometimes(
            random,
            padding=PADDINGS if rank == 1 else ["valid", "same", "same"],
            data_format=DATA_FORMATS,
            use_bias=[True, False],
            activation=ACTIVATIONS,
        )
        if rank > 1 and random.random() < 0.05:
            arguments["padding"] = "causal"
        arguments |= _steps(random, rank) | initializers(random, "kernel", "bias")
        channels = random.choice([groups, 2 * groups, 5])
        return Case(
            {
                "filters": random.choice([groups, 2 * groups, 4 * groups, 5, 6]),
                "kernel_size": size(random, rank, 4),
                "groups": groups,
                **arguments,
            },
            image(random, rank, arguments.get("data_format"), channels),
        )

    return draw


def _steps(random: Random, rank: int) -> Arguments:
    key = random.choice(["strides", "dilation_rate", "both", "neither"])
    arguments: Arguments = {}
    if key in ("strides", "both"):
        arguments["strides"] = size(random, rank, 3)
    if key in ("dilation_rate", "both"):
        arguments["dilation_rate"] = size(random, rank, 3)
    return arguments


def transposed(rank: int) -> Generator:
    def draw(random: Random) -> Case:
        arguments = sometimes(
            random,
            padding=PADDINGS,
            data_format=DATA_FORMATS,
            output_padding=[0, 1, [1] * rank, [0] * rank, 2, [1, 0, 1][:rank]],
            use_bias=[True, False],
            activation=ACTIVATIONS,
        )
        arguments |= _steps(random, rank) | initializers(random, "kernel", "bias")
        return Case(
            {"filters": random.randint(1, 4), "kernel_size": size(random, rank, 4), **arguments},
            image(random, rank, arguments.get("data_format")),
        )

    return draw


def _depthwise(random: Random, rank: int) -> Arguments:
    return sometimes(
        random,
        padding=PADDINGS,
        data_format=DATA_FORMATS,
        depth_multiplier=[1, 2, 3],
        strides=[1, 2, [2] * rank, [1] * rank, [2] + [1] * (rank - 1)],
        dilation_rate=[1, 2, [2] * rank, [1] * rank],
        use_bias=[True, False],
        activation=ACTIVATIONS,
    )


def depthwise(rank: int) -> Generator:
    def draw(random: Random) -> Case:
        arguments = _depthwise(random, rank) | initializers(random, "depthwise", "bias")
        return Case(
            {"kernel_size": size(random, rank, 4), **arguments},
            image(random, rank, arguments.get("data_format")),
        )

    return draw


def separable(rank: int) -> Generator:
    def draw(random: Random) -> Case:
        arguments = _depthwise(random, rank)
        arguments |= initializers(random, "depthwise", "pointwise", "bias")
        return Case(
            {"filters": random.randint(1, 5), "kernel_size": size(random, rank, 4), **arguments},
            image(random, rank, arguments.get("data_format")),
        )

    return draw


def _affine(random: Random) -> Arguments:
    arguments = sometimes(random, scale=[True, False], center=[True, False], epsilon=[1e-5])
    return arguments | initializers(random, "gamma", "beta")


def batch_normalization(random: Random) -> Case:
    arguments = sometimes(
        random, axis=[-1, 1, 2, -2, -3, 0, 4], momentum=[0.9], renorm=[True, False]
    )
    arguments |= _affine(random) | initializers(random, "moving_mean", "moving_variance")
    # Keras draws the root of a random variance; a spec's initialisers know no such law.
    if arguments.get("renorm") and "moving_variance_initializer" in arguments:
        constant = {"name": "constant", "value": 0.25}
        arguments["moving_variance_initializer"] = random.choice(["ones", "zeros", constant])
    return Case(arguments, features(random))


def layer_normalization(random: Random) -> Case:
    axes = [-1, 1, 2, -2, [-1], [1, 2], [2, 1], [-1, -2], [-1, 1], [0], [5], [-1, -1], []]
    return Case({**sometimes(random, axis=axes), **_affine(random)}, features(random))


def group_normalization(random: Random) -> Case:
    x = image(random, random.randint(1, 3), None, random.choice([4, 6, 32]))
    arguments = sometimes(random, groups=[1, 2, 3, 4, 6, -1, 0], axis=[-1, 1, 2, 0, 5])
    return Case({"groups": 2, **arguments, **_affine(random)}, x)


def rms_normalization(random: Random) -> Case:
    axes = [-1, 1, 2, -2, [-1], [1, 2], [2, 1], [-1, -2], [-1, 1], [0], [5], [-1, -1], []]
    return Case(sometimes(random, axis=axes, epsilon=[1e-5]), features(random))


def normalization(random: Random) -> Case:
    arguments = sometimes(
        random,
        axis=[-1, 1, 2, [1, 2], [2, 1], [-1], [], None, [0], 7],
        invert=[True, False],
    )
    if random.random() < 0.3:
        arguments |= {"mean": 1.0, "variance": random.choice([2.0, 2.0, None])}
    return Case(arguments, features(random))


TABLE: dict[str, Generator] = {
    "BatchNormalization": batch_normalization,
    "Conv1D": convolution(1),
    "Conv1DTranspose": transposed(1),
    "Conv2D": convolution(2),
    "Conv2DTranspose": transposed(2),
    "Conv3D": convolution(3),
    "Conv3DTranspose": transposed(3),
    "Dense": dense,
    "DepthwiseConv1D": depthwise(1),
    "DepthwiseConv2D": depthwise(2),
    "EinsumDense": einsum_dense,
    "Embedding": embedding,
    "GroupNormalization": group_normalization,
    "LayerNormalization": layer_normalization,
    "Normalization": normalization,
    "PReLU": prelu,
    "RMSNormalization": rms_normalization,
    "SeparableConv1D": separable(1),
    "SeparableConv2D": separable(2),
}
