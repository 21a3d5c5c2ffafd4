"""Argument sets for the torch modules.

To add a module, add a function that draws arguments and an input's shape, and a line to its table.
"""

from __future__ import annotations

from random import Random
from typing import Any

from tests.interop import random_modules
from tests.interop.cases import Arguments, Case, Generator, Shape, features, size, sometimes

BIAS = [True, False]


def channels(random: Random, rank: int, count: int, ragged: float = 0.0) -> Shape:
    """Draw an input of channels first, rarely with another number or an axis missing."""
    space: list[int | None] = [random.randint(4, 9) for _ in range(rank)]
    if random.random() < ragged:
        space.pop()
    return (count + (random.random() < 0.05), *space)


def last(random: Random, count: int, low: int = 1, high: int = 3) -> Shape:
    """Draw an input that ends in an axis of a size, or rarely of another."""
    lead = [random.randint(2, 5) for _ in range(random.randint(low, high) - 1)]
    return (*lead, count + (random.random() < 0.05))


def linear(random: Random) -> Case:
    count = random.randint(1, 6)
    sizes = {"in_features": count, "out_features": random.choice([1, 3, 8])}
    return Case({**sizes, **sometimes(random, bias=BIAS)}, last(random, count))


def bilinear(random: Random) -> Case:
    counts = random.randint(1, 6), random.randint(1, 6)
    x = last(random, counts[0])
    sizes = {"in1_features": counts[0], "in2_features": counts[1], "out_features": 3}
    return Case({**sizes, **sometimes(random, bias=BIAS)}, x, ((*x[:-1], counts[1]),))


def embedding(*, bag: bool = False) -> Generator:
    def draw(random: Random) -> Case:
        rows = random.randint(1, 9)
        arguments = sometimes(
            random, padding_idx=[0, -1, rows - 1, rows, -rows - 1], max_norm=[1.0], norm_type=[1.0]
        )
        if bag:
            arguments |= sometimes(random, mode=["sum", "mean", "max"])
        sizes = {"num_embeddings": rows, "embedding_dim": random.randint(1, 5)}
        return Case({**sizes, **arguments}, (4,) if bag else (5, 4)[: random.randint(1, 2)])

    return draw


def _filtered(random: Random, rank: int) -> tuple[Arguments, int]:
    groups = random.choice([1, 1, 2, 3])
    count = random.choice([groups, 2 * groups, 5])
    return {
        "in_channels": count,
        "out_channels": random.choice([groups, 4 * groups, 5]),
        "kernel_size": size(random, rank, 4),
        "groups": groups,
    }, count


def convolution(rank: int) -> Generator:
    def draw(random: Random) -> Case:
        arguments, count = _filtered(random, rank)
        arguments |= sometimes(
            random,
            stride=[1, 2, [2] * rank],
            padding=[0, 1, [1] * rank, "same", "valid", [1] * (rank + 1)],
            dilation=[1, 2],
            bias=BIAS,
            padding_mode=["zeros", "reflect", "replicate", "circular"],
        )
        return Case(arguments, channels(random, rank, count, ragged=0.05))

    return draw


def transposed(rank: int) -> Generator:
    def draw(random: Random) -> Case:
        arguments, count = _filtered(random, rank)
        arguments |= sometimes(
            random,
            stride=[1, 2, [3] * rank],
            padding=[0, 1, [1] * rank],
            output_padding=[0, 1, [1] * rank, 2],
            dilation=[1, 2],
            bias=BIAS,
        )
        return Case(arguments, channels(random, rank, count, ragged=0.05))

    return draw


def pooling(rank: int, **choices: list[Any]) -> Generator:
    def draw(random: Random) -> Case:
        arguments = sometimes(random, padding=[0, 1, 2], ceil_mode=[True, False], **choices)
        arguments["kernel_size"] = size(random, rank, 4)
        if random.random() < 0.6:
            arguments["stride"] = random.randint(1, 3)
        return Case(arguments, channels(random, rank, 3))

    return draw


def power_pooling(rank: int) -> Generator:
    def draw(random: Random) -> Case:
        arguments = sometimes(random, stride=[1, 2], ceil_mode=[True, False])
        arguments |= {"norm_type": 2.0, "kernel_size": random.randint(1, 4)}
        return Case(arguments, channels(random, rank, 3))

    return draw


def adaptive_pooling(rank: int) -> Generator:
    return lambda random: Case({"output_size": size(random, rank, 3)}, channels(random, rank, 3))


def batch_normalization(rank: int) -> Generator:
    def draw(random: Random) -> Case:
        arguments = sometimes(
            random, affine=BIAS, track_running_stats=BIAS, momentum=[0.2], eps=[1e-3]
        )
        count = random.randint(1, 5)
        return Case({"num_features": count, **arguments}, channels(random, rank, count))

    return draw


def layer_normalization(*, bias: bool) -> Generator:
    def draw(random: Random) -> Case:
        x = last(random, random.randint(2, 5), high=4)
        arguments = sometimes(random, elementwise_affine=BIAS, eps=[1e-3])
        if bias:
            arguments |= sometimes(random, bias=BIAS)
        shape: Any = random.choice([x[-1], list(x[-1:]), list(x[-2:]), list(x), 4])
        return Case({"normalized_shape": shape, **arguments}, x)

    return draw


def group_normalization(random: Random) -> Case:
    count = random.choice([4, 6])
    arguments = sometimes(random, affine=BIAS, bias=BIAS, eps=[1e-3])
    sizes = {"num_groups": random.choice([1, 2, 3, 4]), "num_channels": count}
    return Case({**sizes, **arguments}, channels(random, 2, count))


def prelu(random: Random) -> Case:
    count = random.choice([1, 3])
    arguments = sometimes(random, num_parameters=[count], init=[0.5])
    return Case(arguments, channels(random, 1, 3))


def recurrent(kind: str) -> Generator:
    def draw(random: Random) -> Case:
        count, hidden = random.randint(1, 5), random.randint(2, 5)
        arguments = sometimes(
            random,
            num_layers=[1, 2, 3],
            bias=BIAS,
            batch_first=[True, False],
            bidirectional=[True, False],
        )
        if kind == "LSTM":
            arguments |= sometimes(random, proj_size=[0, 1, hidden])
        if kind == "RNN":
            arguments |= sometimes(random, nonlinearity=["tanh", "relu", "sigmoid"])
        sizes = {"input_size": count, "hidden_size": hidden}
        return Case({**sizes, **arguments}, last(random, count, 2, 2))

    return draw


def cell(random: Random) -> Case:
    count = random.randint(1, 5)
    sizes = {"input_size": count, "hidden_size": random.randint(1, 5)}
    return Case({**sizes, **sometimes(random, bias=BIAS)}, last(random, count, 1, 1))


def attention(random: Random) -> Case:
    heads = random.randint(1, 3)
    count = heads * random.randint(1, 3) + (random.random() < 0.1)
    arguments = sometimes(
        random,
        bias=BIAS,
        add_bias_kv=BIAS,
        add_zero_attn=BIAS,
        kdim=[3, count],
        vdim=[2, count],
        batch_first=[True, False],
        dropout=[0.5],
    )
    sizes = {"embed_dim": count, "num_heads": heads}
    return Case({**sizes, **arguments}, last(random, count, 2, 2))


def _transformer(random: Random) -> Arguments:
    heads = random.randint(1, 3)
    arguments = sometimes(
        random,
        dim_feedforward=[3, 8],
        activation=["relu", "gelu", "tanh"] if random.random() < 0.1 else ["relu", "gelu"],
        batch_first=[True, False],
        norm_first=[True, False],
        bias=BIAS,
        dropout=[0.0],
    )
    count = heads * random.randint(1, 3) + (random.random() < 0.1)
    return {"d_model": count, "nhead": heads, "dim_feedforward": 6, **arguments}


def transformer_layer(random: Random) -> Case:
    arguments = _transformer(random)
    return Case(arguments, last(random, arguments["d_model"], 2, 2))


def stack(kind: str) -> Generator:
    def draw(random: Random) -> Case:
        layer = {"type": f"Transformer{kind}Layer", **_transformer(random)}
        arguments: Arguments = {f"{kind.lower()}_layer": layer}
        if random.random() < 0.5:
            arguments["norm"] = {"type": "LayerNorm", "normalized_shape": layer["d_model"]}
        arguments["num_layers"] = random.randint(1, 3)
        if kind == "Encoder":
            arguments["enable_nested_tensor"] = False
        return Case(arguments, last(random, layer["d_model"], 2, 2))

    return draw


def transformer(random: Random) -> Case:
    arguments = _transformer(random)
    arguments |= sometimes(random, num_encoder_layers=[1, 2], num_decoder_layers=[1, 2])
    defaults = {"num_encoder_layers": 1, "num_decoder_layers": 1}
    return Case({**defaults, **arguments}, last(random, arguments["d_model"], 2, 2))


def plain(**choices: list[Any]) -> Generator:
    """Draw some arguments of a module that keeps any shape."""
    return lambda random: Case(sometimes(random, **choices), features(random, high=3)[-1:])


def needing(rank: int, **choices: list[Any]) -> Generator:
    """Draw all arguments of a module that keeps the shape."""
    return lambda random: Case(
        {name: random.choice(values) for name, values in choices.items()},
        channels(random, rank - 1, 3) if rank > 1 else (5,),
    )


def dropout(rank: int = 1) -> Generator:
    return lambda random: Case(
        sometimes(random, p=[0.0, 0.5, 1.0, 1.5, -0.1], inplace=BIAS), (3, 4, 5, 6)[:rank]
    )


def flatten(random: Random) -> Case:
    x = tuple(random.randint(2, 4) for _ in range(random.randint(1, 4)))
    return Case(sometimes(random, start_dim=[1, 2, -2, 5], end_dim=[-1, 2, 3, -2]), x)


def unflatten(random: Random) -> Case:
    x = random.choice([(6,), (4, 6), (6, 4), (12, 3)])
    arguments = {"dim": random.choice([1, 2, -1, 3]),
                 "unflattened_size": random.choice([[2, 3], [2, -1], [-1, 2], [5, 2]])}  # fmt: skip
    return Case(arguments, x)


def upsample(random: Random) -> Case:
    rank = random.randint(1, 3)
    if random.random() < 0.5:
        arguments: Arguments = {"scale_factor": random.randint(1, 3)}
    else:
        arguments = {"size": size(random, rank, 9)}
    modes = {1: ["linear"], 2: ["bilinear", "bicubic"], 3: ["trilinear"]}[rank]
    return Case({**arguments, **sometimes(random, mode=["nearest", *modes])},
                channels(random, rank, 3))  # fmt: skip


def upsample_2d(random: Random) -> Case:
    arguments = {"scale_factor": 2} if random.random() < 0.5 else {"size": size(random, 2, 9)}
    return Case(arguments, (3, 4, 5))


def padding(rank: int, **needed: Any) -> Generator:
    def draw(random: Random) -> Case:
        sides = [random.randint(0, 2) for _ in range(2 * rank)]
        wrong = random.choice([sides[1:], [*sides, 1, 1, 1]])
        chosen: Any = random.choice([sides, sides, 1, wrong if random.random() < 0.2 else 2])
        return Case({"padding": chosen, **needed}, channels(random, rank, 3)[: rank + 1])

    return draw


def shuffle(random: Random) -> Case:
    factor = random.randint(1, 3)
    count = random.choice([factor**2, 2 * factor**2, 5])
    return Case({"upscale_factor": factor}, (count, 2, 3))


def unshuffle(random: Random) -> Case:
    factor = random.randint(1, 3)
    return Case({"downscale_factor": factor}, (2, factor * random.randint(1, 3), 6))


def channel_shuffle(random: Random) -> Case:
    return Case({"groups": random.choice([1, 2, 3])}, (random.choice([4, 6]), 3, 3))


def gated(random: Random) -> Case:
    x = tuple(random.choice([4, 6, 3]) for _ in range(random.randint(1, 3)))
    return Case(sometimes(random, dim=[-1, 1, 2, -2, 7]), x)


def container(kind: str) -> Generator:
    def draw(random: Random) -> Case:
        return Case({"layers": random_modules.children(random, kind, depth=1)}, ())

    return draw


INPLACE: dict[str, list[Any]] = {"inplace": BIAS}
TABLE: dict[str, Generator] = {
    **{f"AdaptiveAvgPool{n}d": adaptive_pooling(n) for n in (1, 2, 3)},
    **{f"AdaptiveMaxPool{n}d": adaptive_pooling(n) for n in (1, 2, 3)},
    "AlphaDropout": dropout(),
    **{f"AvgPool{n}d": pooling(n, count_include_pad=BIAS) for n in (1, 2, 3)},
    **{f"BatchNorm{n}d": batch_normalization(n) for n in (1, 2, 3)},
    "Bilinear": bilinear,
    "CELU": plain(alpha=[0.5], **INPLACE),
    "ChannelShuffle": channel_shuffle,
    **{f"CircularPad{n}d": padding(n) for n in (1, 2, 3)},
    **{f"ConstantPad{n}d": padding(n, value=0.5) for n in (1, 2, 3)},
    **{f"Conv{n}d": convolution(n) for n in (1, 2, 3)},
    **{f"ConvTranspose{n}d": transposed(n) for n in (1, 2, 3)},
    "Dropout": dropout(),
    **{f"Dropout{n}d": dropout(n + 1) for n in (1, 2, 3)},
    "ELU": plain(alpha=[0.5], **INPLACE),
    "Embedding": embedding(),
    "EmbeddingBag": embedding(bag=True),
    "FeatureAlphaDropout": dropout(3),
    "Flatten": flatten,
    "GELU": plain(approximate=["none", "tanh", "sine"]),
    "GLU": gated,
    "GRU": recurrent("GRU"),
    "GRUCell": cell,
    "GroupNorm": group_normalization,
    "Hardshrink": plain(lambd=[0.3]),
    "Hardsigmoid": plain(**INPLACE),
    "Hardswish": plain(**INPLACE),
    "Hardtanh": plain(min_val=[-2.0, 3.0], max_val=[2.0, 3], **INPLACE),
    "Identity": plain(),
    **{f"InstanceNorm{n}d": batch_normalization(n) for n in (1, 2, 3)},
    **{f"LPPool{n}d": power_pooling(n) for n in (1, 2, 3)},
    "LSTM": recurrent("LSTM"),
    "LSTMCell": cell,
    "LayerNorm": layer_normalization(bias=True),
    "LeakyReLU": plain(negative_slope=[0.2], **INPLACE),
    "Linear": linear,
    "LocalResponseNorm": needing(3, size=[2, 3]),
    "LogSigmoid": plain(),
    "LogSoftmax": needing(1, dim=[-1, 1]),
    **{f"MaxPool{n}d": pooling(n, dilation=[1, 2], return_indices=BIAS) for n in (1, 2, 3)},
    "Mish": plain(**INPLACE),
    "Module": container("Module"),
    "ModuleDict": container("ModuleDict"),
    "ModuleList": container("ModuleList"),
    "MultiheadAttention": attention,
    "PReLU": prelu,
    "PixelShuffle": shuffle,
    "PixelUnshuffle": unshuffle,
    "RMSNorm": layer_normalization(bias=False),
    "RNN": recurrent("RNN"),
    "RNNCell": cell,
    "RReLU": plain(lower=[0.1], upper=[0.4], **INPLACE),
    "ReLU": plain(**INPLACE),
    "ReLU6": plain(**INPLACE),
    **{f"ReflectionPad{n}d": padding(n) for n in (1, 2, 3)},
    **{f"ReplicationPad{n}d": padding(n) for n in (1, 2, 3)},
    "SELU": plain(**INPLACE),
    "Sequential": container("Sequential"),
    "SiLU": plain(**INPLACE),
    "Sigmoid": plain(),
    "Softmax": needing(1, dim=[-1, 1]),
    "Softmax2d": needing(3),
    "Softmin": needing(1, dim=[-1, 1]),
    "Softplus": plain(beta=[2.0], threshold=[10]),
    "Softshrink": plain(lambd=[0.3]),
    "Softsign": plain(),
    "SyncBatchNorm": batch_normalization(2),
    "Tanh": plain(),
    "Tanhshrink": plain(),
    "Threshold": needing(1, threshold=[0.1], value=[2, 0.5], inplace=BIAS),
    "Transformer": transformer,
    "TransformerDecoder": stack("Decoder"),
    "TransformerDecoderLayer": transformer_layer,
    "TransformerEncoder": stack("Encoder"),
    "TransformerEncoderLayer": transformer_layer,
    "Unflatten": unflatten,
    "Upsample": upsample,
    "UpsamplingBilinear2d": upsample_2d,
    "UpsamplingNearest2d": upsample_2d,
    **{f"ZeroPad{n}d": padding(n) for n in (1, 2, 3)},
}
