"""Small models of each framework for files that are started afresh: built, read, trained."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
# How far each layer's outputs spread, by name.
Spreads = dict[str, float]


class Trial(NamedTuple):
    """Hold a trained model's file, and what the same model does with another file's weights."""

    path: Path
    fresh: Callable[[], Spreads]
    started: Callable[[Path], tuple[Spreads, float]]


# --- torch ---


def torch_models() -> dict[str, Callable[[], Any]]:
    from torch import nn
    from torch.nn.utils import parametrizations

    class Recurrent(nn.Module):
        def __init__(self, cell: Any) -> None:
            super().__init__()
            self.rnn = cell(32, 48, num_layers=2, batch_first=True)
            self.head = nn.Linear(48, 8)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(x.reshape(x.shape[0], 8, 32))[0][:, -1])

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(32)
            self.attn = nn.MultiheadAttention(32, 4, batch_first=True)
            self.head = nn.Linear(32, 8)

        def forward(self, x: Any) -> Any:
            x = self.norm(x.reshape(x.shape[0], 8, 32))
            return self.head((x + self.attn(x, x, x)[0]).mean(1))

    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(50, 32)
            self.head = nn.Linear(32, 8)

        def forward(self, x: Any) -> Any:
            return self.head(self.embedding((x.abs() * 10).long() % 50).mean(1))

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(4, 32, 3, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(32)
            self.conv2 = nn.Conv2d(32, 32, 3, padding=1, groups=4)
            self.bn2 = nn.BatchNorm2d(32)
            self.fc = nn.Linear(32, 8)

        def forward(self, x: Any) -> Any:
            x = self.bn1(self.conv1(x.reshape(-1, 4, 8, 8))).relu()
            return self.fc((x + self.bn2(self.conv2(x))).relu().mean((2, 3)))

    def image(*layers: Any) -> Any:
        return nn.Sequential(nn.Unflatten(1, (4, 8, 8)), *layers)

    encoder = nn.TransformerEncoderLayer
    return {
        "mlp": lambda: nn.Sequential(
            nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8)
        ),
        "prelu": lambda: nn.Sequential(
            nn.Linear(256, 64), nn.PReLU(), nn.Linear(64, 64), nn.PReLU(64), nn.Linear(64, 8)
        ),
        "cnn": lambda: image(
            nn.Conv2d(4, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 16, 3),
            nn.Flatten(), nn.Linear(256, 8),
        ),
        "transposed": lambda: image(
            nn.ConvTranspose2d(4, 16, 4, stride=2), nn.GroupNorm(4, 16), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 8),
        ),
        "residual": Residual,
        "lstm": lambda: Recurrent(nn.LSTM),
        "gru": lambda: Recurrent(nn.GRU),
        "attention": Attention,
        "encoder": lambda: nn.Sequential(
            nn.Unflatten(1, (8, 32)), encoder(32, 4, 64, batch_first=True), nn.Flatten(),
            nn.Linear(256, 8),
        ),
        "embedding": Embedded,
        "weight norm": lambda: nn.Sequential(
            parametrizations.weight_norm(nn.Linear(256, 64)), nn.Tanh(),
            parametrizations.weight_norm(nn.Linear(64, 8)),
        ),
        "spectral norm": lambda: nn.Sequential(
            parametrizations.spectral_norm(nn.Linear(256, 64)), nn.ReLU(), nn.Linear(64, 8)
        ),
    }  # fmt: skip


def torch_trial(build: Callable[[], Any], folder: Path) -> Trial:
    import torch
    from safetensors.torch import load_file, save_file

    torch.manual_seed(0)
    x, y = torch.randn(64, 256), torch.randint(0, 8, (64,))

    def spreads(model: Any) -> Spreads:
        found: Spreads = {}

        def hook(name: str) -> Any:
            def keep(_: Any, __: Any, out: Any) -> None:
                out = out[0] if isinstance(out, tuple) else out
                found[name] = float(out.detach().std())

            return keep

        handles = [m.register_forward_hook(hook(n)) for n, m in model.named_modules()]
        with torch.no_grad():
            model(x)
        for handle in handles:
            handle.remove()
        return found

    def train(model: Any) -> float:
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        loss = torch.zeros(())
        for _ in range(10):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    old = build()
    train(old)
    path = folder / "old.safetensors"
    save_file({name: t.contiguous() for name, t in old.state_dict().items()}, path)

    def started(new: Path) -> tuple[Spreads, float]:
        model = build()
        model.load_state_dict(load_file(new))
        model.train()
        return spreads(model), train(model)

    return Trial(path, lambda: spreads(build().train()), started)


# --- Keras ---


def keras_models() -> dict[str, Callable[[], Any]]:
    import keras
    from keras import layers

    def sequence(*inner: Any) -> Any:
        return keras.Sequential([keras.Input((256,)), *inner])

    class Subclassed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first = layers.Dense(64)
            self.bn1 = layers.BatchNormalization(name="a")
            self.act = layers.PReLU(name="b")
            self.last = layers.Dense(8)

        def call(self, x: Any, training: Any = None) -> Any:
            return self.last(self.act(self.bn1(self.first(x), training=training)))

    def attention() -> Any:
        inputs = keras.Input((256,))
        x = layers.Reshape((8, 32))(inputs)
        x = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, 8)(x, x)])
        return keras.Model(inputs, layers.Dense(8)(layers.Flatten()(x)))

    def image(*inner: Any) -> Any:
        return sequence(layers.Reshape((8, 8, 4)), *inner, layers.Flatten(), layers.Dense(8))

    def steps(*inner: Any) -> Any:
        return sequence(layers.Reshape((8, 32)), *inner, layers.Dense(8))

    return {
        "dense": lambda: sequence(
            layers.Dense(64, activation="relu"), layers.Dropout(0.1), layers.Dense(8)
        ),
        "cnn": lambda: image(
            layers.Conv2D(32, 3), layers.BatchNormalization(), layers.ReLU(),
            layers.Conv2D(16, 3, name="mine"),
        ),
        "unscaled": lambda: image(
            layers.Conv2D(32, 3, use_bias=False), layers.BatchNormalization(scale=False),
            layers.ReLU(),
        ),
        "uncentred": lambda: image(
            layers.Conv2D(32, 3, use_bias=False), layers.BatchNormalization(center=False),
            layers.ReLU(),
        ),
        "separable": lambda: image(
            layers.SeparableConv2D(32, 3, activation="relu"), layers.DepthwiseConv2D(3),
            layers.GroupNormalization(4),
        ),
        "transposed": lambda: image(
            layers.Conv2DTranspose(16, 3, activation="relu"), layers.PReLU(),
        ),
        "lstm": lambda: steps(layers.Bidirectional(layers.LSTM(24)), layers.Dense(16)),
        "gru": lambda: steps(layers.GRU(32)),
        "simple": lambda: steps(layers.SimpleRNN(32), layers.RMSNormalization()),
        "attention": attention,
        "embedding": lambda: keras.Sequential([
            keras.Input((256,)), layers.Discretization(bin_boundaries=[-1.0, 0.0, 1.0]),
            layers.Embedding(4, 32), layers.GlobalAveragePooling1D(), layers.Dense(8),
        ]),
        "subclassed": Subclassed,
    }  # fmt: skip


def keras_trial(build: Callable[[], Any], folder: Path) -> Trial:
    import keras

    random = np.random.default_rng(0)
    x = random.normal(size=(64, 256)).astype("f4")
    y = random.integers(0, 8, 64)

    def spreads(model: Any) -> Spreads:
        found = {"output": float(np.std(np.asarray(model(x, training=True))))}
        if isinstance(model, keras.Sequential):
            value: Any = x
            for layer in model.layers:
                takes = "training" in layer._call_signature.parameters
                value = layer(value, training=True) if takes else layer(value)
                found[layer.name] = float(np.std(np.asarray(value)))
        return found

    def train(model: Any) -> float:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-3), loss)
        history = model.fit(x, y, batch_size=64, epochs=10, verbose=0, shuffle=False)
        return float(history.history["loss"][-1])

    def made() -> Any:
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)
        model = build()
        model(x[:1])
        return model

    old = made()
    train(old)
    path = folder / "old.weights.h5"
    old.save_weights(path)

    def started(new: Path) -> tuple[Spreads, float]:
        model = made()
        model.load_weights(new)
        return spreads(model), train(model)

    return Trial(path, lambda: spreads(made()), started)


# --- Parameter trees of JAX, with Flax's names ---


def jax_models() -> dict[str, tuple[dict[str, Any], Callable[..., Any]]]:
    """Return models by name: the starts of their parameters as Flax has them, and what they do."""
    import jax
    import jax.numpy as jnp

    init = jax.nn.initializers
    lecun, zeros, ones = init.lecun_normal(), init.zeros, init.ones
    flax_embed = init.variance_scaling(1.0, "fan_in", "normal", out_axis=0)

    def dense(name: str, size: int, out: int) -> dict[str, Any]:
        return {f"{name}/kernel": (lecun, (size, out)), f"{name}/bias": (zeros, (out,))}

    def norm(name: str, size: int) -> dict[str, Any]:
        return {f"{name}/scale": (ones, (size,)), f"{name}/bias": (zeros, (size,))}

    def linear(p: Any, name: str, x: Any) -> Any:
        return x @ p[f"{name}/kernel"] + p[f"{name}/bias"]

    def normed(p: Any, name: str, x: Any, axes: Any = -1) -> Any:
        x = (x - x.mean(axes, keepdims=True)) / jnp.sqrt(x.var(axes, keepdims=True) + 1e-5)
        return x * p[f"{name}/scale"] + p[f"{name}/bias"]

    def mlp(act: Any) -> Any:
        def apply(p: Any, x: Any) -> Iterator[Any]:
            yield (x := act(linear(p, "params/Dense_0", x)))
            yield (x := act(linear(p, "params/Dense_1", x)))
            yield linear(p, "params/Dense_2", x)

        return apply

    three = {**dense("params/Dense_0", 256, 64), **dense("params/Dense_1", 64, 64),
             **dense("params/Dense_2", 64, 8)}  # fmt: skip

    def conv(p: Any, name: str, x: Any, groups: int = 1) -> Any:
        return jax.lax.conv_general_dilated(
            x, p[f"{name}/kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )  # fmt: skip

    def cnn(p: Any, x: Any) -> Iterator[Any]:
        x = x.reshape(-1, 8, 8, 4)
        yield (x := jax.nn.relu(normed(p, "params/BatchNorm_0", conv(p, "params/Conv_0", x), 0)))
        yield (x := conv(p, "params/Conv_1", x, 32))
        yield linear(p, "params/Dense_0", x.mean((1, 2)))

    def attention(p: Any, x: Any) -> Iterator[Any]:
        x = normed(p, "params/LayerNorm_0", x.reshape(-1, 8, 32))
        yield x
        at = "params/MultiHeadDotProductAttention_0"
        q, k, v = (
            jnp.einsum("btd,dhk->bthk", x, p[f"{at}/{n}/kernel"]) + p[f"{at}/{n}/bias"]
            for n in ("query", "key", "value")
        )
        scores = jax.nn.softmax(jnp.einsum("bqhk,bthk->bhqt", q, k) / 8**0.5, -1)
        mixed = jnp.einsum("bhqt,bthk->bqhk", scores, v)
        yield mixed
        x = jnp.einsum("bqhk,hkd->bqd", mixed, p[f"{at}/out/kernel"]) + p[f"{at}/out/bias"]
        yield x
        yield linear(p, "params/Dense_0", x.mean(1))

    def flat(key: Any, shape: Any) -> Any:
        return lecun(key, (32, 32)).reshape(shape)

    heads: dict[str, Any] = {}
    for name in ("query", "key", "value"):
        at = f"params/MultiHeadDotProductAttention_0/{name}"
        heads |= {f"{at}/kernel": (flat, (32, 4, 8)), f"{at}/bias": (zeros, (4, 8))}
    at = "params/MultiHeadDotProductAttention_0/out"
    heads |= {f"{at}/kernel": (flat, (4, 8, 32)), f"{at}/bias": (zeros, (32,))}

    def embedded(p: Any, x: Any) -> Iterator[Any]:
        x = p["params/Embed_0/embedding"][(jnp.abs(x) * 10).astype(int) % 50]
        yield x
        yield linear(p, "params/Dense_0", x.mean(1))

    def recurrent(gates: str) -> Any:
        def apply(p: Any, x: Any) -> Iterator[Any]:
            x = x.reshape(-1, 8, 32)
            h = c = jnp.zeros((x.shape[0], 32))
            for t in range(8):
                pre = {
                    g: x[:, t] @ p[f"params/cell/i{g}/kernel"] + h @ p[f"params/cell/h{g}/kernel"]
                    + p[f"params/cell/h{g}/bias"]
                    for g in gates
                }  # fmt: skip
                if "f" in gates:
                    c = jax.nn.sigmoid(pre["f"]) * c
                    c += jax.nn.sigmoid(pre["i"]) * jnp.tanh(pre["g"])
                    h = jax.nn.sigmoid(pre["o"]) * jnp.tanh(c)
                else:
                    z = jax.nn.sigmoid(pre["z"])
                    h = (1 - z) * jnp.tanh(pre["n"] * jax.nn.sigmoid(pre["r"])) + z * h
            yield h
            yield linear(p, "params/Dense_0", h)

        parts: dict[str, Any] = dense("params/Dense_0", 32, 8)
        for g in gates:
            parts |= {
                f"params/cell/i{g}/kernel": (lecun, (32, 32)),
                f"params/cell/h{g}/kernel": (init.orthogonal(), (32, 32)),
                f"params/cell/h{g}/bias": (zeros, (32,)),
            }
        return parts, apply

    def residual(p: Any, x: Any) -> Iterator[Any]:
        x = linear(p, "params/Dense_0", x)
        for block in range(3):
            at = f"params/Block_{block}"
            x = x + linear(p, f"{at}/Dense_0", jax.nn.gelu(normed(p, f"{at}/LayerNorm_0", x)))
            yield x
        yield linear(p, "params/Dense_1", x)

    blocks: dict[str, Any] = {**dense("params/Dense_0", 256, 64), **dense("params/Dense_1", 64, 8)}
    for block in range(3):
        at = f"params/Block_{block}"
        blocks |= {**norm(f"{at}/LayerNorm_0", 64), **dense(f"{at}/Dense_0", 64, 64)}

    def scanned(p: Any, x: Any) -> Iterator[Any]:
        x = linear(p, "params/Dense_0", x)
        for layer in range(4):
            kernel, bias = p["params/layers/mlp/kernel"][layer], p["params/layers/mlp/bias"][layer]
            yield (x := jnp.tanh(x @ kernel + bias))
        yield linear(p, "params/Dense_1", x)

    def stacked(key: Any, shape: Any) -> Any:
        return jnp.stack([lecun(each, shape[1:]) for each in jax.random.split(key, shape[0])])

    def haiku(p: Any, x: Any) -> Iterator[Any]:
        yield (x := jax.nn.relu(x @ p["mlp/~/linear_0/w"] + p["mlp/~/linear_0/b"]))
        yield x @ p["mlp/~/linear_1/w"] + p["mlp/~/linear_1/b"]

    def dotted(p: Any, x: Any) -> Iterator[Any]:
        yield (x := jax.nn.relu(x @ p["linear1.kernel"] + p["linear1.bias"]))
        yield x @ p["linear2.kernel"] + p["linear2.bias"]

    lstm, gru = recurrent("ifgo"), recurrent("rzn")
    return {
        "relu": (three, mlp(jax.nn.relu)),
        "tanh": (three, mlp(jnp.tanh)),
        "gelu": (three, mlp(jax.nn.gelu)),
        "cnn": (
            {"params/Conv_0/kernel": (lecun, (3, 3, 4, 32)), **norm("params/BatchNorm_0", 32),
             "batch_stats/BatchNorm_0/mean": (zeros, (32,)),
             "batch_stats/BatchNorm_0/var": (ones, (32,)),
             "params/Conv_1/kernel": (lecun, (3, 3, 1, 32)), **dense("params/Dense_0", 32, 8)},
            cnn,
        ),
        "attention": (
            {**norm("params/LayerNorm_0", 32), **heads, **dense("params/Dense_0", 32, 8)},
            attention,
        ),
        "embedding": (
            {"params/Embed_0/embedding": (flax_embed, (50, 32)), **dense("params/Dense_0", 32, 8)},
            embedded,
        ),
        "lstm": lstm,
        "gru": gru,
        "residual": (blocks, residual),
        "scanned": (
            {**dense("params/Dense_0", 256, 32), "params/layers/mlp/kernel": (stacked, (4, 32, 32)),
             "params/layers/mlp/bias": (zeros, (4, 32)), **dense("params/Dense_1", 32, 8)},
            scanned,
        ),
        "haiku": (
            {"mlp/~/linear_0/w": (init.truncated_normal(1 / 16), (256, 64)),
             "mlp/~/linear_0/b": (zeros, (64,)),
             "mlp/~/linear_1/w": (init.truncated_normal(1 / 8), (64, 8)),
             "mlp/~/linear_1/b": (zeros, (8,))},
            haiku,
        ),
        "nnx": (
            {"linear1.kernel": (lecun, (256, 64)), "linear1.bias": (zeros, (64,)),
             "linear2.kernel": (lecun, (64, 8)), "linear2.bias": (zeros, (8,))},
            dotted,
        ),
    }  # fmt: skip


def jax_trial(model: tuple[dict[str, Any], Callable[..., Any]], folder: Path) -> Trial:
    import jax
    import jax.numpy as jnp
    from safetensors.numpy import load_file, save_file

    starts, apply = model
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(64, 256)), jnp.float32)
    y = jnp.asarray(random.integers(0, 8, 64))

    def made(seed: int) -> dict[str, Any]:
        keys = jax.random.split(jax.random.key(seed), len(starts))
        pairs = zip(keys, starts.items(), strict=True)
        return {name: start(key, shape) for key, (name, (start, shape)) in pairs}

    def spreads(p: dict[str, Any]) -> Spreads:
        return {str(i): float(value.std()) for i, value in enumerate(apply(p, x))}

    def stepped(p: Any, m: Any) -> Any:
        def loss(p: Any) -> Any:
            *_, logits = apply(p, x)
            return -jax.nn.log_softmax(logits)[jnp.arange(64), y].mean()

        value, grads = jax.value_and_grad(loss)(p)
        m = jax.tree.map(lambda a, g: 0.9 * a + g, m, grads)
        return jax.tree.map(lambda a, b: a - 0.02 * b, p, m), m, value

    step = jax.jit(stepped)

    def train(p: Any) -> tuple[Any, Any, float]:
        m, value = jax.tree.map(jnp.zeros_like, p), jnp.zeros(())
        for _ in range(10):
            p, m, value = step(p, m)
        return p, m, float(value)

    p, m, _ = train(made(0))
    path = folder / "old.safetensors"
    held = {**p, **{f"opt_state/0/trace/{name}": value for name, value in m.items()}}
    save_file({name: np.asarray(value) for name, value in held.items()}, path)

    def started(new: Path) -> tuple[Spreads, float]:
        p = {name: jnp.asarray(value) for name, value in load_file(new).items()}
        return spreads(p), train(p)[2]

    return Trial(path, lambda: spreads(made(1)), started)


# --- transformers ---

_TEXT = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 64, "max_position_embeddings": 32}  # fmt: skip
TRANSFORMERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2LMHeadModel", {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4,
                                 "n_positions": 32}),
    "llama": ("LlamaForCausalLM", {**_TEXT, "num_key_value_heads": 2}),
    "mistral": ("MistralForCausalLM", {**_TEXT, "num_key_value_heads": 2}),
    "qwen2": ("Qwen2ForCausalLM", {**_TEXT, "num_key_value_heads": 2}),
    "gpt_neox": ("GPTNeoXForCausalLM", _TEXT),
    "opt": ("OPTForCausalLM", {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2,
                               "num_attention_heads": 4, "ffn_dim": 64, "word_embed_proj_dim": 32,
                               "max_position_embeddings": 32}),
    "bert": ("BertForMaskedLM", _TEXT),
    "roberta": ("RobertaForMaskedLM", {**_TEXT, "max_position_embeddings": 40}),
    "distilbert": ("DistilBertForMaskedLM", {"vocab_size": 99, "dim": 32, "n_layers": 2,
                                             "n_heads": 4, "hidden_dim": 64}),
    "electra": ("ElectraForMaskedLM", {**_TEXT, "embedding_size": 32}),
    "albert": ("AlbertForMaskedLM", {**_TEXT, "embedding_size": 16}),
    "t5": ("T5ForConditionalGeneration", {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 64,
                                          "num_layers": 2, "num_heads": 4,
                                          "decoder_start_token_id": 0}),
}  # fmt: skip


def transformers_trial(kind: str, folder: Path) -> Trial:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    name, settings = TRANSFORMERS[kind]
    cls = getattr(transformers, name)
    config = transformers.AutoConfig.for_model(kind, **settings)
    torch.manual_seed(0)
    ids = torch.randint(5, 99, (8, 16))

    def made() -> Any:
        return cls(config).eval()

    def spreads(model: Any) -> Spreads:
        with torch.no_grad():
            out = model(input_ids=ids, labels=ids, output_hidden_states=True)
        states = out.hidden_states if "hidden_states" in out else out.decoder_hidden_states
        found = {f"state {i}": float(state.std()) for i, state in enumerate(states)}
        return {**found, "logits": float(out.logits.std())}

    def train(model: Any) -> float:
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        loss = torch.zeros(())
        for _ in range(10):
            optimizer.zero_grad()
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    old = made()
    train(old)
    path = folder / "old"
    old.save_pretrained(path)

    def started(new: Path) -> tuple[Spreads, float]:
        model = cls.from_pretrained(new).eval()
        return spreads(model), train(model)

    return Trial(path, lambda: spreads(made()), started)
