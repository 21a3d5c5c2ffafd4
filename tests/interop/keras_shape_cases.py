"""Argument sets for the Keras layers that have no weights.

To add a layer, add a function that draws arguments and input shapes, and a line to its table.
"""

from __future__ import annotations

import math
from random import Random
from typing import Any, get_args

from glorot_cli.dialects.keras.core import ActivationName
from tests.interop.cases import (
    DATA_FORMATS,
    Arguments,
    Case,
    Generator,
    Shape,
    features,
    image,
    size,
    sometimes,
)


def activation(random: Random) -> Case:
    name = random.choice([*get_args(ActivationName), "rleu"])
    return Case({"activation": name}, features(random))


def relu(random: Random) -> Case:
    arguments = sometimes(
        random, max_value=[6.0, 1, -1.0], negative_slope=[0.1, 0, -0.1], threshold=[0.5, -0.5]
    )
    return Case(arguments, features(random))


def softmax(random: Random) -> Case:
    return Case(sometimes(random, axis=[-1, 1, -2, 3, [1, 2], [-1]]), features(random))


def dropout(random: Random) -> Case:
    x = features(random)
    arguments = sometimes(random, noise_shape=[[None] * (len(x) + 1), [1] * (len(x) + 1)], seed=[3])
    return Case({"rate": random.choice([0.0, 0.5, 1.0, 1.5, -0.1, 0]), **arguments}, x)


def plain(**choices: list[Any]) -> Generator:
    """Draw some arguments of a layer that keeps any shape."""
    return lambda random: Case(sometimes(random, **choices), features(random))


def needing(**choices: list[Any]) -> Generator:
    """Draw all arguments of a layer that keeps any shape."""

    def draw(random: Random) -> Case:
        arguments = {name: random.choice(values) for name, values in choices.items()}
        return Case(arguments, features(random))

    return draw


def spatial_dropout(rank: int) -> Generator:
    def draw(random: Random) -> Case:
        formats = DATA_FORMATS if rank > 1 else [None]
        arguments = sometimes(random, data_format=formats, seed=[3])
        if rank == 1:
            arguments.pop("data_format", None)
        arguments["rate"] = random.choice([0.0, 0.5, 1.5])
        return Case(arguments, image(random, rank, arguments.get("data_format")))

    return draw


def flatten(random: Random) -> Case:
    x = features(random) if random.random() < 0.9 else ()
    return Case(sometimes(random, data_format=DATA_FORMATS), x)


def reshape(random: Random) -> Case:
    x = features(random)
    total = math.prod(n or 1 for n in x)
    # Keras lets a size of 0 pass where the input has an unknown one; no weight file can mean it.
    targets: list[list[int]] = [
        [total], [-1], [1, total], [total, -1], [-1, x[-1] or 1], [-1, -1], [2, total], [-1, 5],
        [-2, total], [-1, 1, total],
    ]  # fmt: skip
    return Case({"target_shape": random.choice(targets)}, x)


def pooling(rank: int) -> Generator:
    def draw(random: Random) -> Case:
        arguments = sometimes(random, padding=["valid", "same", "causal"], data_format=DATA_FORMATS)
        if random.random() < 0.9:
            arguments["pool_size"] = size(random, rank, 4)
        if random.random() < 0.6:
            arguments["strides"] = size(random, rank, 4)
        return Case(arguments, image(random, rank, arguments.get("data_format")))

    return draw


def global_pooling(rank: int) -> Generator:
    def draw(random: Random) -> Case:
        arguments = sometimes(random, keepdims=[True, False], data_format=DATA_FORMATS)
        return Case(arguments, image(random, rank, arguments.get("data_format")))

    return draw


def adaptive_pooling(rank: int) -> Generator:
    def draw(random: Random) -> Case:
        arguments = sometimes(random, data_format=DATA_FORMATS)
        arguments["output_size"] = size(random, rank, 3)
        # Keras does not look at the number of axes here.
        return Case(arguments, image(random, rank, arguments.get("data_format"), ragged=0.0))

    return draw


def margins(random: Random, rank: int) -> Any:
    """Draw one margin, one per axis, a pair per axis, or what is none of them."""
    # Keras refuses negative sizes in a list, and lets a single one pass.
    if rank == 1:
        return random.choice([0, 2, [1, 2], [0, 3], [1, 2, 3], [[1, 2]], [2], [-1, 1]])
    each = [random.randint(0, 3) for _ in range(rank)]
    pairs = [[n, random.randint(0, 3)] for n in each]
    wrong = [[*pairs, [1, 1]], [[1, 2, 3], *pairs[1:]], [-1] * rank, [[-1, 1]] * rank]
    return random.choice([each[0], each, pairs, pairs, random.choice(wrong)])


def padded(rank: int, key: str, formats: list[str] = DATA_FORMATS) -> Generator:
    def draw(random: Random) -> Case:
        arguments = sometimes(random, data_format=formats)
        if random.random() < 0.85:
            arguments[key] = margins(random, rank)
        return Case(arguments, image(random, rank, arguments.get("data_format")))

    return draw


def without_format(generator: Generator) -> Generator:
    """Drop the data format, which layers of one axis do not take."""

    def draw(random: Random) -> Case:
        case = generator(random)
        case.arguments.pop("data_format", None)
        return case

    return draw


def up_sampling(rank: int) -> Generator:
    def draw(random: Random) -> Case:
        arguments = sometimes(random, data_format=DATA_FORMATS)
        if random.random() < 0.8:
            arguments["size"] = size(random, rank, 3)
        if rank == 2:
            modes = ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"]
            arguments |= sometimes(random, interpolation=modes)
        return Case(arguments, image(random, rank, arguments.get("data_format")))

    return draw


def permute(random: Random) -> Case:
    x = features(random)
    order = list(range(1, len(x) + 1))
    random.shuffle(order)
    wrong = [[0, 1], [1, 1], [1, 3], [*order, len(x) + 1]]
    return Case({"dims": order if random.random() < 0.8 else random.choice(wrong)}, x)


def repeat_vector(random: Random) -> Case:
    return Case({"n": random.choice([1, 3, 0])}, features(random, high=2))


def several(random: Random, low: int, high: int) -> tuple[Shape, ...]:
    """Draw inputs of one shape, or of shapes that broadcast, or rarely of others."""
    x = features(random)
    return tuple(_changed(random, x) for _ in range(random.randint(low, high)))


def _changed(random: Random, x: Shape) -> Shape:
    if random.random() < 0.2:
        axis = random.randrange(len(x))
        return (*x[:axis], random.choice([1, 1, None, 9]), *x[axis + 1 :])
    if random.random() < 0.1:
        return (*x, 3) if random.random() < 0.3 else x[1:] or x
    return x


def merge(low: int = 1, high: int = 4) -> Generator:
    def draw(random: Random) -> Case:
        first, *others = several(random, low, high)
        return Case({}, first, tuple(others))

    return draw


def concatenate(random: Random) -> Case:
    x = features(random)
    axis = random.choice([None, -1, 1, len(x), -2, 0])
    shapes = []
    for _ in range(random.randint(1, 4)):
        index = -1 if axis is None else axis - 1 if axis > 0 else axis
        sizes = list(x)
        if -len(x) <= index and axis != 0:
            sizes[index] = random.choice([2, 3, None, x[index]])
        shapes.append(_changed(random, tuple(sizes)) if random.random() < 0.1 else tuple(sizes))
    return Case({} if axis is None else {"axis": axis}, shapes[0], tuple(shapes[1:]))


def dot(random: Random) -> Case:
    x = features(random, high=3)
    other = random.choice([x, x[::-1], features(random, high=3)])
    axes = random.choice([1, 2, -1, [1, 1], [2, 1], [1, 2], [2, 2], [1, 1, 1], 4])
    others = (other,) if random.random() < 0.9 else (other, other)
    return Case({"axes": axes, **sometimes(random, normalize=[True, False])}, x, others)


def resized(*names: str, **choices: list[Any]) -> Generator:
    def draw(random: Random) -> Case:
        arguments = sometimes(random, data_format=DATA_FORMATS, **choices)
        arguments |= {name: random.choice([1, 3, 5]) for name in names}
        return Case(arguments, image(random, 2, arguments.get("data_format"), 3, ragged=0.0))

    return draw


def _augmented(**choices: list[Any]) -> Generator:
    def draw(random: Random) -> Case:
        arguments: Arguments = {name: random.choice(values) for name, values in choices.items()}
        if random.random() < 0.5:
            arguments["seed"] = 7
        return Case(arguments, image(random, 2, None, 3, ragged=0.0))

    return draw


FACTORS: list[Any] = [0.1, [0.1, 0.3], 0.5]
TABLE: dict[str, Generator] = {
    "Activation": activation,
    "ActivityRegularization": plain(l1=[0.1], l2=[0.2]),
    "AdaptiveAveragePooling1D": adaptive_pooling(1),
    "AdaptiveAveragePooling2D": adaptive_pooling(2),
    "AdaptiveAveragePooling3D": adaptive_pooling(3),
    "AdaptiveMaxPooling1D": adaptive_pooling(1),
    "AdaptiveMaxPooling2D": adaptive_pooling(2),
    "AdaptiveMaxPooling3D": adaptive_pooling(3),
    "Add": merge(),
    "AlphaDropout": dropout,
    "Average": merge(),
    "AveragePooling1D": pooling(1),
    "AveragePooling2D": pooling(2),
    "AveragePooling3D": pooling(3),
    "CenterCrop": resized("height", "width"),
    "Concatenate": concatenate,
    "Cropping1D": without_format(padded(1, "cropping")),
    "Cropping2D": padded(2, "cropping"),
    "Cropping3D": padded(3, "cropping"),
    "Dot": dot,
    "Dropout": dropout,
    "ELU": plain(alpha=[0.5, 1]),
    "Flatten": flatten,
    "GaussianDropout": needing(rate=[0.0, 0.5, 1.0, 1.5, -0.1, 0], seed=[3, None]),
    "GaussianNoise": needing(stddev=[0.0, 0.5, 1, 1.5, -0.1], seed=[3, None]),
    "GlobalAveragePooling1D": global_pooling(1),
    "GlobalAveragePooling2D": global_pooling(2),
    "GlobalAveragePooling3D": global_pooling(3),
    "GlobalMaxPooling1D": global_pooling(1),
    "GlobalMaxPooling2D": global_pooling(2),
    "GlobalMaxPooling3D": global_pooling(3),
    "Identity": plain(),
    "LeakyReLU": plain(negative_slope=[0.1, 0, -0.1]),
    "Masking": plain(mask_value=[0.0, -1]),
    "MaxPooling1D": pooling(1),
    "MaxPooling2D": pooling(2),
    "MaxPooling3D": pooling(3),
    "Maximum": merge(),
    "Minimum": merge(),
    "Multiply": merge(),
    "Permute": permute,
    "RandomBrightness": _augmented(factor=FACTORS, value_range=[[0, 255], [0, 1]]),
    "RandomContrast": _augmented(factor=FACTORS),
    "RandomCrop": resized("height", "width"),
    "RandomFlip": _augmented(mode=["horizontal", "vertical", "horizontal_and_vertical"]),
    "RandomRotation": _augmented(factor=FACTORS, fill_mode=["reflect", "nearest"]),
    "RandomTranslation": _augmented(height_factor=FACTORS, width_factor=FACTORS),
    "RandomZoom": _augmented(height_factor=FACTORS, width_factor=[None, 0.2]),
    "ReLU": relu,
    "RepeatVector": repeat_vector,
    "Rescaling": needing(scale=[0.5, 2], offset=[0.0, -1]),
    "Reshape": reshape,
    "Resizing": resized("height", "width", interpolation=["nearest", "bicubic"]),
    "Softmax": softmax,
    "SpatialDropout1D": spatial_dropout(1),
    "SpatialDropout2D": spatial_dropout(2),
    "SpatialDropout3D": spatial_dropout(3),
    "Subtract": merge(1, 3),
    "UnitNormalization": plain(axis=[-1, 1, 2, [1, 2], [-1], 5]),
    "UpSampling1D": without_format(up_sampling(1)),
    "UpSampling2D": up_sampling(2),
    "UpSampling3D": up_sampling(3),
    "ZeroPadding1D": padded(1, "padding"),
    "ZeroPadding2D": padded(2, "padding"),
    "ZeroPadding3D": padded(3, "padding"),
}
