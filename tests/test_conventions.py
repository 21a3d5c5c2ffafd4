"""What tensors of foreign files are taken for: by every framework's names and their neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import glorot_cli as glorot
from glorot_cli.derive.conventions import CONVENTIONS
from glorot_cli.derive.derived import Derived
from glorot_cli.derive.weights import spec_of_weights
from glorot_cli.formats import FORMATS
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.optimizer_state import optimizer_state

Shape = tuple[int, ...]
KAIMING = {"name": "kaiming_uniform", "a": "sqrt(5)"}
NORMAL = {"name": "normal", "std": 1.0}
SMALL = {"name": "normal", "std": 0.02}
KEPT = "kept"


def constant(value: float | str) -> dict[str, Any]:
    return {"name": "constant", "value": value}


def limits(hidden: int) -> dict[str, Any]:
    limit = f"1/sqrt({hidden})"
    return {"name": "uniform", "a": f"-{limit}", "b": limit}


def found(
    shapes: Mapping[str, Shape],
    format: str = "safetensors",
    labels: Mapping[str, str] | None = None,
    **dtypes: Any,
) -> Derived:
    """Derive a spec, and plan it: nothing that is derived is refused."""
    tensors = [
        StoredTensor(name, shape, dtypes.get(name.replace(".", "_"), "float32"), 0, 0)
        for name, shape in shapes.items()
    ]
    file = StoredFile(Path("x"), FORMATS[format], None, tensors, labels=labels or {})
    derived = spec_of_weights(file)
    plan = glorot.make_plan(glorot.load_spec({**derived.spec, "seed": 1}))
    left = {name for name in shapes if name not in derived.state}
    assert {t.name: t.shape for t in plan.tensors} == {n: shapes[n] for n in left}
    assert {t.name for t in plan.tensors if t.kept} == {*derived.kept}
    return derived


def starts(shapes: Mapping[str, Shape], format: str = "safetensors", **more: Any) -> dict[str, Any]:
    derived = found(shapes, format, **more)
    return {
        name: KEPT if name in derived.kept else derived.guesses[name].initializer
        for name in shapes
        if name not in derived.state
    }


def axes(shapes: Mapping[str, Shape], format: str = "safetensors") -> dict[str, Any]:
    spec = found(shapes, format).spec
    return {
        name: entry["axes"]
        for item in spec["tensors"]
        for name, entry in item.items()
        if "axes" in entry
    }


# --- Names of frameworks, in whatever file ---

CASES: dict[str, tuple[dict[str, Shape], dict[str, Any]]] = {
    "torch": (
        {"fc.weight": (10, 20), "fc.bias": (10,), "norm.weight": (10,), "norm.bias": (10,),
         "conv.weight": (8, 3, 5, 5), "emb.weight": (100, 16), "alone": (3,)},
        {"fc.weight": KAIMING, "fc.bias": "torch_bias", "norm.weight": "ones",
         "norm.bias": "zeros", "conv.weight": KAIMING, "emb.weight": NORMAL, "alone": "ones"},
    ),
    "torch's batch norm": (
        {"bn.weight": (4,), "bn.bias": (4,), "bn.running_mean": (4,), "bn.running_var": (4,),
         "fc.weight": (4, 4)},
        {"bn.weight": "ones", "bn.bias": "zeros", "bn.running_mean": "zeros",
         "bn.running_var": "ones", "fc.weight": KAIMING},
    ),
    "torch's LSTM": (
        {f"rnn.{what}_{part}_l0{way}": shape
         for way in ("", "_reverse")
         for what, part, shape in (("weight", "ih", (64, 8)), ("weight", "hh", (64, 16)),
                                   ("bias", "ih", (64,)), ("bias", "hh", (64,)))},
        {f"rnn.{what}_{part}_l0{way}": limits(16)
         for way in ("", "_reverse") for what in ("weight", "bias") for part in ("ih", "hh")},
    ),
    "torch's GRU cell": (
        {"weight_ih": (24, 4), "weight_hh": (24, 8), "bias_ih": (24,), "bias_hh": (24,)},
        dict.fromkeys(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), limits(8)),
    ),
    "torch's LSTM with projections": (
        {"weight_ih_l0": (64, 4), "weight_hh_l0": (64, 5), "weight_hr_l0": (5, 16)},
        dict.fromkeys(("weight_ih_l0", "weight_hh_l0", "weight_hr_l0"), limits(16)),
    ),
    "torch's attention": (
        {"a.in_proj_weight": (48, 16), "a.in_proj_bias": (48,), "a.out_proj.weight": (16, 16),
         "a.out_proj.bias": (16,)},
        {"a.in_proj_weight": "xavier_uniform", "a.in_proj_bias": "zeros",
         "a.out_proj.weight": KAIMING, "a.out_proj.bias": "zeros"},
    ),
    "PReLU": (
        {"prelu.weight": (1,), "act1.weight": (8,), "2.weight": (1,), "1.weight": (8, 8),
         "1.bias": (8,)},
        {"prelu.weight": constant(0.25), "act1.weight": constant(0.25),
         "2.weight": constant(0.25), "1.weight": KAIMING, "1.bias": "torch_bias"},
    ),
    "LoRA": (
        {"q.lora_A.default.weight": (4, 32), "q.lora_B.default.weight": (32, 4),
         "q.base_layer.weight": (32, 32), "e.lora_embedding_A": (4, 100),
         "e.lora_embedding_B": (32, 4), "u.lora_down.weight": (4, 32), "u.lora_up.weight": (32, 4),
         "u.alpha": ()},
        {"q.lora_A.default.weight": KAIMING, "q.lora_B.default.weight": "zeros",
         "q.base_layer.weight": KAIMING, "e.lora_embedding_A": "zeros",
         "e.lora_embedding_B": NORMAL, "u.lora_down.weight": KAIMING, "u.lora_up.weight": "zeros",
         "u.alpha": KEPT},
    ),
    "weight norm": (
        {"c.weight_g": (8, 1, 1), "c.weight_v": (8, 4, 3), "c.bias": (8,),
         "d.parametrizations.weight.original0": (8, 1),
         "d.parametrizations.weight.original1": (8, 4), "d.bias": (8,)},
        {"c.weight_g": {"name": "norm_of", "tensor": "{stem}.weight_v"}, "c.weight_v": KAIMING,
         "c.bias": "torch_bias",
         "d.parametrizations.weight.original0": {"name": "norm_of", "tensor": "{stem}.original1"},
         "d.parametrizations.weight.original1": KAIMING, "d.bias": "torch_bias"},
    ),
    "spectral norm": (
        {"c.weight_orig": (8, 4), "c.weight_u": (8,), "c.weight_v": (4,), "c.bias": (8,),
         "d.parametrizations.weight.original": (6, 4, 3), "d.parametrizations.weight.0._u": (6,),
         "d.parametrizations.weight.0._v": (12,)},
        {"c.weight_orig": KAIMING, "c.bias": "torch_bias",
         "c.weight_u": {"name": "singular_vector_of", "tensor": "{stem}.weight_orig",
                        "side": "left"},
         "c.weight_v": {"name": "singular_vector_of", "tensor": "{stem}.weight_orig",
                        "side": "right"},
         "d.parametrizations.weight.original": KAIMING,
         "d.parametrizations.weight.0._u": {
             "name": "singular_vector_of", "tensor": "{stem.stem}.original", "side": "left"},
         "d.parametrizations.weight.0._v": {
             "name": "singular_vector_of", "tensor": "{stem.stem}.original", "side": "right"}},
    ),
    "timm": (
        {"patch_embed.proj.weight": (32, 3, 4, 4), "patch_embed.proj.bias": (32,),
         "cls_token": (1, 1, 32), "pos_embed": (1, 17, 32), "blocks.0.ls1.gamma": (32,),
         "blocks.0.norm1.weight": (32,), "blocks.0.attn.relative_position_index": (49, 49),
         "blocks.0.attn.relative_position_bias_table": (169, 4), "stages.0.blocks.0.gamma": (32,),
         "blocks.0.attn.qkv.weight": (96, 32), "skipinit_gain": (), "reg_token": (1, 4, 32)},
        {"patch_embed.proj.weight": KAIMING, "patch_embed.proj.bias": "torch_bias",
         "cls_token": SMALL, "pos_embed": SMALL, "blocks.0.ls1.gamma": constant(1e-5),
         "blocks.0.norm1.weight": "ones", "blocks.0.attn.relative_position_index": KEPT,
         "blocks.0.attn.relative_position_bias_table": SMALL,
         "stages.0.blocks.0.gamma": constant(1e-6), "blocks.0.attn.qkv.weight": KAIMING,
         "skipinit_gain": "zeros", "reg_token": SMALL},
    ),
    "torchvision": (
        {"class_token": (1, 1, 8), "encoder.pos_embedding": (1, 5, 8),
         "features.1.0.layer_scale": (8, 1, 1), "fc.weight": (4, 8)},
        {"class_token": SMALL, "encoder.pos_embedding": SMALL,
         "features.1.0.layer_scale": constant(1e-6), "fc.weight": KAIMING},
    ),
    "embeddings by what stands beside them": (
        {"embed.linear.weight": (8, 4), "embed.linear.bias": (8,), "embed.proj.weight": (8, 4),
         "embedding.weight": (8, 4), "embedder.0.weight": (8, 4), "embedder.0.bias": (8,),
         "tok_embeddings.weight": (9, 4), "model.embed_tokens.weight": (9, 4),
         "time_embed.weight": (8, 4), "time_embed.bias": (8,)},
        {"embed.linear.weight": KAIMING, "embed.linear.bias": "torch_bias",
         "embed.proj.weight": KAIMING, "embedding.weight": NORMAL, "embedder.0.weight": KAIMING,
         "embedder.0.bias": "torch_bias", "tok_embeddings.weight": SMALL,
         "model.embed_tokens.weight": SMALL, "time_embed.weight": KAIMING,
         "time_embed.bias": "torch_bias"},
    ),
    "what is not drawn": (
        {"rotary.inv_freq": (8,), "position_ids": (1, 16), "attn.bias": (1, 1, 4, 4),
         "attn.masked_bias": (), "mel_filters": (4, 8), "pos_encoder.pe": (1, 20, 8),
         "betas": (100,), "sqrt_alphas_cumprod": (100,), "blur.filt": (1, 1, 3, 3),
         "normalize.mean": (3,), "normalize.std": (3,), "causal_mask": (4, 4),
         "empty": (0, 4), "fc.weight": (4, 4)},
        {"rotary.inv_freq": KEPT, "position_ids": KEPT, "attn.bias": KEPT,
         "attn.masked_bias": KEPT, "mel_filters": KEPT, "pos_encoder.pe": KEPT, "betas": KEPT,
         "sqrt_alphas_cumprod": KEPT, "blur.filt": KEPT, "normalize.mean": KEPT,
         "normalize.std": KEPT, "causal_mask": KEPT, "empty": KEPT, "fc.weight": KAIMING},
    ),
    "gates and others": (
        {"logit_scale": (), "cross.attn_gate": (1,), "rezero.g": (1,), "block.resweight": (1,),
         "dt_proj.bias": (8,), "mixer.A_log": (8, 4), "mixer.D": (8,), "fc.weight": (2, 2),
         "ln.weight": (4, 4), "ln.bias": (4, 4)},
        {"logit_scale": constant("log(1/0.07)"), "cross.attn_gate": "zeros", "rezero.g": "zeros",
         "block.resweight": "zeros", "dt_proj.bias": "inverse_softplus",
         "mixer.A_log": {"name": "by_index", "value": "log(axis1 + 1)"}, "mixer.D": "ones",
         "fc.weight": KAIMING, "ln.weight": "ones", "ln.bias": "zeros"},
    ),
    "Flax": (
        {"params/Dense_0/kernel": (8, 4), "params/Dense_0/bias": (4,),
         "params/BatchNorm_0/scale": (4,), "params/BatchNorm_0/bias": (4,),
         "batch_stats/BatchNorm_0/mean": (4,), "batch_stats/BatchNorm_0/var": (4,),
         "params/Embed_0/embedding": (9, 4), "params/LSTM/hf/kernel": (4, 4),
         "params/LSTM/hf/bias": (4,), "params/LSTM/ii/kernel": (4, 4)},
        {"params/Dense_0/kernel": "lecun_normal", "params/Dense_0/bias": "zeros",
         "params/BatchNorm_0/scale": "ones", "params/BatchNorm_0/bias": "zeros",
         "batch_stats/BatchNorm_0/mean": "zeros", "batch_stats/BatchNorm_0/var": "ones",
         "params/Embed_0/embedding": CONVENTIONS["jax"].embedding,
         "params/LSTM/hf/kernel": "orthogonal", "params/LSTM/hf/bias": "zeros",
         "params/LSTM/ii/kernel": "lecun_normal"},
    ),
    "nnx": (
        {"linear1.kernel.value": (8, 4), "linear1.bias.value": (4,), "bn.scale.value": (4,),
         "bn.mean.value": (4,), "bn.var.value": (4,)},
        {"linear1.kernel.value": "lecun_normal", "linear1.bias.value": "zeros",
         "bn.scale.value": "ones", "bn.mean.value": "zeros", "bn.var.value": "ones"},
    ),
    "Haiku": (
        {"mlp/~/linear_0/w": (8, 4), "mlp/~/linear_0/b": (4,), "layer_norm/scale": (4,),
         "layer_norm/offset": (4,), "embed/embeddings": (9, 4)},
        {"mlp/~/linear_0/w": "lecun_normal", "mlp/~/linear_0/b": "zeros",
         "layer_norm/scale": "ones", "layer_norm/offset": "zeros",
         "embed/embeddings": CONVENTIONS["jax"].embedding},
    ),
    "Keras 3": (
        {"dense/kernel": (8, 4), "dense/bias": (4,), "lstm/lstm_cell/kernel": (8, 16),
         "lstm/lstm_cell/recurrent_kernel": (4, 16), "lstm/lstm_cell/bias": (16,),
         "p_re_lu/alpha": (6, 6, 4), "embedding/embeddings": (9, 4), "bn/moving_mean": (4,),
         "bn/moving_variance": (4,), "bn/gamma": (4,), "bn/beta": (4,),
         "gru/gru_cell/recurrent_kernel": (4, 12), "gru/gru_cell/bias": (2, 12)},
        {"dense/kernel": "glorot_uniform", "dense/bias": "zeros",
         "lstm/lstm_cell/kernel": "glorot_uniform",
         "lstm/lstm_cell/recurrent_kernel": "orthogonal",
         "lstm/lstm_cell/bias": ["zeros", "ones", "zeros", "zeros"], "p_re_lu/alpha": "zeros",
         "embedding/embeddings": "random_uniform", "bn/moving_mean": "zeros",
         "bn/moving_variance": "ones", "bn/gamma": "ones", "bn/beta": "zeros",
         "gru/gru_cell/recurrent_kernel": "orthogonal", "gru/gru_cell/bias": "zeros"},
    ),
    "Keras 2": (
        {"conv2d_1/conv2d_1/kernel:0": (3, 3, 3, 8), "conv2d_1/conv2d_1/bias:0": (8,),
         "bn_1/bn_1/moving_variance:0": (8,), "bn_1/bn_1/gamma:0": (8,),
         "p_re_lu/p_re_lu/alpha:0": (8,)},
        {"conv2d_1/conv2d_1/kernel:0": "glorot_uniform", "conv2d_1/conv2d_1/bias:0": "zeros",
         "bn_1/bn_1/moving_variance:0": "ones", "bn_1/bn_1/gamma:0": "ones",
         "p_re_lu/p_re_lu/alpha:0": "zeros"},
    ),
    "Keras 1": (
        {"dense_1/dense_1_W": (8, 4), "dense_1/dense_1_b": (4,), "bn/bn_gamma": (4,),
         "bn/bn_running_std": (4,), "bn/bn_running_mean": (4,), "lstm_1/lstm_1_W_f": (8, 4),
         "lstm_1/lstm_1_U_f": (4, 4), "lstm_1/lstm_1_b_f": (4,), "lstm_1/lstm_1_b_i": (4,)},
        {"dense_1/dense_1_W": "glorot_uniform", "dense_1/dense_1_b": "zeros",
         "bn/bn_gamma": "ones", "bn/bn_running_std": "ones", "bn/bn_running_mean": "zeros",
         "lstm_1/lstm_1_W_f": "glorot_uniform", "lstm_1/lstm_1_U_f": "orthogonal",
         "lstm_1/lstm_1_b_f": "ones", "lstm_1/lstm_1_b_i": "zeros"},
    ),
    "MLX": (
        {"layers.0.linear.weight": (8, 4), "layers.0.linear.bias": (8,), "lstm.Wx": (32, 4),
         "lstm.Wh": (32, 8), "lstm.bias": (32,), "q.lora_a": (8, 2), "q.lora_b": (2, 8)},
        {"layers.0.linear.weight": KAIMING, "layers.0.linear.bias": "torch_bias",
         "lstm.Wx": limits(8), "lstm.Wh": limits(8), "lstm.bias": limits(8), "q.lora_a": KAIMING,
         "q.lora_b": "zeros"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_names_say_how_tensors_start(case: str) -> None:
    shapes, expected = CASES[case]
    dtypes = {"position_ids": "int64", "blocks_0_attn_relative_position_index": "int64"}
    assert starts(shapes, **dtypes) == expected


@pytest.mark.parametrize("format", ["safetensors", "h5", "npz"])
def test_names_come_before_containers(format: str) -> None:
    for case in ("torch", "Keras 3", "Flax"):
        shapes, expected = CASES[case]
        assert starts(shapes, format) == expected
    torch = {"fc.weight": (10, 20), "conv.weight": (8, 3, 5, 5)}
    assert axes(torch, format) == {"fc.weight": "OI", "conv.weight": "OIHW"}
    keras = {"a/kernel": (20, 10), "b/kernel": (5, 5, 3, 8), "q/query/kernel": (8, 2, 4)}
    assert axes(keras, format) == {"a/kernel": "IO", "b/kernel": "HWIO", "q/query/kernel": "IOO"}


def test_what_stands_beside_a_kernel_says_its_axes() -> None:
    shapes = {
        "h.0.attn.c_attn.weight": (8, 24), "h.0.attn.c_attn.bias": (24,),
        "h.0.attn.c_proj.weight": (8, 8), "h.0.attn.c_proj.bias": (8,),
        "experts.w1": (4, 8, 16), "experts.w1_bias": (4, 16),
        "layers/mlp/kernel": (6, 8, 16), "layers/mlp/bias": (6, 16),
        "lm_head.weight": (9, 8),
    }  # fmt: skip
    assert axes(shapes) == {
        "h.0.attn.c_attn.weight": "IO", "h.0.attn.c_proj.weight": "IO",
        "experts.w1": "BOI", "layers/mlp/kernel": "BIO", "lm_head.weight": "OI",
    }  # fmt: skip


# --- Keras's .weights.h5, where variables have numbers ---


def test_the_name_of_a_group_says_what_a_layer_is() -> None:
    shapes: dict[str, Shape] = {f"bn/vars/{i}": (4,) for i in range(4)}
    shapes |= {"act/vars/0": (4,), "rnn/cell/vars/0": (8, 16), "rnn/cell/vars/1": (4, 16)}
    shapes |= {"rnn/cell/vars/2": (16,), "x/vars/0": (4,), "n/vars/0": (3,), "n/vars/1": (3,)}
    labels = {"bn": "batch_normalization_3", "act": "p_re_lu", "x": "rms_normalization",
              "n": "normalization", "rnn/cell": "lstm_cell"}  # fmt: skip
    assert starts(shapes, "keras", labels=labels) == {
        "bn/vars/0": "ones", "bn/vars/1": "zeros", "bn/vars/2": "zeros", "bn/vars/3": "ones",
        "act/vars/0": "zeros", "rnn/cell/vars/0": "glorot_uniform",
        "rnn/cell/vars/1": "orthogonal",
        "rnn/cell/vars/2": ["zeros", "ones", "zeros", "zeros"], "x/vars/0": "ones",
        "n/vars/0": KEPT, "n/vars/1": KEPT,
    }  # fmt: skip


def test_without_a_name_shapes_say_it() -> None:
    shapes: dict[str, Shape] = {f"block/first/vars/{i}": (4,) for i in range(4)}
    shapes |= {"block/second/vars/0": (4,), "block/second/vars/1": (4,)}
    shapes |= {"block/third/vars/0": (8, 4), "block/third/vars/1": (4,)}
    assert list(starts(shapes, "keras").values()) == [
        "ones", "zeros", "zeros", "ones", "ones", "zeros", "glorot_uniform", "zeros",
    ]  # fmt: skip


def test_seeds_of_dropout_are_kept() -> None:
    name = "layers/dropout/seed_generator/vars/0"
    shapes: dict[str, Shape] = {name: (2,), "layers/dense/vars/0": (4, 2)}
    tensors = [StoredTensor(n, s, "uint32" if n == name else "float32", 0, 0)
               for n, s in shapes.items()]  # fmt: skip
    derived = spec_of_weights(StoredFile(Path("x"), FORMATS["keras"], None, tensors))
    assert derived.kept == (name,)
    assert {name: {"shape": [2], "keep": True, "dtype": "uint32"}}.items() <= {
        n: e for item in derived.spec["tensors"] for n, e in item.items()
    }.items()


# --- Optimizers ---

STATE = [
    "optimizer/vars/0", "optimizer/vars/12", "optimizer_weights/adam/dense_kernel_momentum",
    "adam/iteration", "Adam/dense/kernel/m:0", "training/Adam/iterations:0", "sgd/learning_rate",
    "state.0.exp_avg", "state.0.exp_avg_sq", "state.0.step", "fc.weight.exp_avg",
    "optimizer.state.3.momentum_buffer", "optimizer_state_dict.state.0.square_avg",
    "opt_state/0/mu/Dense_0/kernel", "train_state/opt_state/0/count", "dense/kernel/Adam",
    "dense/kernel/Adam_1", "dense/bias/Momentum", "beta1_power", "lr_scheduler.last_lr",
    "layers.0.weight.m", "layers.0.weight.v", "0.mu.Dense_0.kernel", "0.nu.Dense_0.kernel",
]  # fmt: skip
WEIGHTS = [
    "fc.weight", "layers.0.weight", "dense/kernel", "dense/bias", "optimizer_net.fc.weight",
    "vae.mu.weight", "vae.mu.bias", "momentum_encoder.fc.weight", "step_embed.weight", "v",
    "encoder.sum.weight", "params/Dense_0/kernel", "layers/dense/vars/0", "m.weight", "step",
    "block.adamant.weight",
]  # fmt: skip


def test_an_optimizer_s_state_is_no_weights() -> None:
    assert optimizer_state([*STATE, *WEIGHTS]) == {*STATE}
    assert optimizer_state(WEIGHTS) == frozenset()


def test_an_optimizer_s_state_is_left_out() -> None:
    shapes: dict[str, Shape] = {"fc.weight": (4, 4), "state.0.exp_avg": (4, 4), "state.0.step": ()}
    derived = found(shapes)
    assert derived.state == ("state.0.exp_avg", "state.0.step")
    assert set(derived.guesses) == {"fc.weight"}
    with pytest.raises(glorot.FormatError) as caught:
        found({"state.0.exp_avg": (4, 4)})
    assert str(caught.value) == "x holds an optimizer's state, and no weights"


# --- Quantised weights ---


@pytest.mark.parametrize(
    ("shapes", "dtypes", "quantised"),
    [
        ({"q.qweight": (4, 4), "q.qzeros": (1, 4), "q.scales": (4, 4), "q.g_idx": (4,)},
         {"q_qweight": "int32", "q_qzeros": "int32", "q_scales": "float16", "q_g_idx": "int32"}, 4),
        ({"q.weight": (4, 4), "q.weight.absmax": (4,), "q.weight.quant_map": (16,)},
         {"q_weight": "uint8"}, 3),
        ({"q.weight": (4, 4), "q.weight_scale": (4,), "n.weight": (4,)}, {"q_weight": "int8"}, 2),
        ({"q.weight": (4, 4), "q.scales": (4, 1), "q.biases": (4, 1)}, {"q_weight": "uint32"}, 3),
    ],
)  # fmt: skip
def test_quantised_weights_are_told(
    shapes: dict[str, Shape], dtypes: dict[str, str], quantised: int
) -> None:
    derived = found(shapes, **dict[str, Any](dtypes))
    assert len(derived.quantised) == quantised
    assert set(derived.quantised) <= set(derived.kept)


# --- Any names of frameworks, shapes and dtypes ---

WORDS = [
    "weight", "bias", "kernel", "w", "b", "gamma", "beta", "scale", "running_var", "weight_g",
    "weight_v", "weight_u", "weight_orig", "weight_hh_l0", "bias_ih_l0", "recurrent_kernel",
    "embedding", "embeddings", "lora_A", "alpha", "vars/0", "vars/1", "vars/2", "mean", "var",
    "in_proj_weight", "inv_freq", "A_log", "original0", "original1", "qweight", "cls_token",
    "layer_scale", "logit_scale", "u", "sigma", "exp_avg", "kernel:0",
]  # fmt: skip
LAYERS = ["fc", "norm", "lstm", "embed", "prelu", "0", "parametrizations", "experts", "query"]
NAMED = st.tuples(st.lists(st.sampled_from(LAYERS), max_size=2), st.sampled_from(WORDS)).map(
    lambda parts: "/".join([*parts[0], parts[1]])
)
SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 8, 16]), max_size=4).map(tuple)
DTYPES = st.sampled_from(
    ["float32", "float32", "bfloat16", "float16", "float8_e4m3fn", "int64", "uint8", "F4", "bool"]
)


@given(
    st.dictionaries(NAMED, st.tuples(SHAPES, DTYPES), min_size=1, max_size=8),
    st.sampled_from(["safetensors", "h5", "keras"]),
    st.sampled_from([None, *CONVENTIONS]),
)
def test_what_is_derived_is_never_refused(
    held: dict[str, tuple[Shape, str]], format: str, start: str | None
) -> None:
    tensors = [StoredTensor(name, shape, dtype, 0, 0) for name, (shape, dtype) in held.items()]
    if optimizer_state(held) >= set(held):
        return
    convention = None if start is None else CONVENTIONS[start]
    derived = spec_of_weights(StoredFile(Path("x"), FORMATS[format], None, tensors), convention)
    plan = glorot.make_plan(glorot.load_spec({**derived.spec, "seed": 1}))
    left = {name: form for name, form in held.items() if name not in derived.state}
    assert {t.name: (t.shape, t.dtype) for t in plan.tensors} == left
