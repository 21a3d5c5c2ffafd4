"""Names and shapes of real checkpoints, written out by hand: name -> shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Shape = tuple[int, ...]
Shapes = dict[str, Shape]


def below(prefix: str, shapes: Mapping[str, Shape]) -> Shapes:
    """Put names below a prefix."""
    return {f"{prefix}{name}": shape for name, shape in shapes.items()}


def linear(name: str, out: int, size: int, bias: bool = True) -> Shapes:
    """Return torch's Linear."""
    return {f"{name}.weight": (out, size)} | ({f"{name}.bias": (out,)} if bias else {})


def norm(name: str, size: int) -> Shapes:
    """Return torch's LayerNorm."""
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def joined(parts: Iterable[Shapes]) -> Shapes:
    """Join tables."""
    return {name: shape for part in parts for name, shape in part.items()}


def gpt2(d: int = 768, layers: int = 12, vocabulary: int = 50257, context: int = 1024) -> Shapes:
    """Return Hugging Face's GPT-2, whose kernels are (in, out)."""
    block = norm("ln_1", d) | norm("ln_2", d) | {
        "attn.c_attn.weight": (d, 3 * d), "attn.c_attn.bias": (3 * d,),
        "attn.c_proj.weight": (d, d), "attn.c_proj.bias": (d,),
        "mlp.c_fc.weight": (d, 4 * d), "mlp.c_fc.bias": (4 * d,),
        "mlp.c_proj.weight": (4 * d, d), "mlp.c_proj.bias": (d,),
    }  # fmt: skip
    shapes = {"wte.weight": (vocabulary, d), "wpe.weight": (context, d)}
    blocks = joined(below(f"h.{i}.", block) for i in range(layers))
    return below("transformer.", shapes | blocks | norm("ln_f", d))


def llama(
    d: int = 4096, layers: int = 32, hidden: int = 11008, vocabulary: int = 32000, kv: int = 4096
) -> Shapes:
    """Return Hugging Face's Llama."""
    block = {
        "self_attn.q_proj.weight": (d, d), "self_attn.k_proj.weight": (kv, d),
        "self_attn.v_proj.weight": (kv, d), "self_attn.o_proj.weight": (d, d),
        "mlp.gate_proj.weight": (hidden, d), "mlp.up_proj.weight": (hidden, d),
        "mlp.down_proj.weight": (d, hidden),
        "input_layernorm.weight": (d,), "post_attention_layernorm.weight": (d,),
    }  # fmt: skip
    return {
        "model.embed_tokens.weight": (vocabulary, d),
        **joined(below(f"model.layers.{i}.", block) for i in range(layers)),
        "model.norm.weight": (d,),
        "lm_head.weight": (vocabulary, d),
    }


def qwen(d: int = 2048, layers: int = 24) -> Shapes:
    """Return a Qwen-like model: a Llama with biases of q, k and v, and norms of heads."""
    shapes = llama(d, layers, 5504, 151936, 256)
    for i in range(layers):
        attention = f"model.layers.{i}.self_attn."
        shapes |= below(attention, {"q_proj.bias": (d,), "k_proj.bias": (256,)})
        shapes |= below(attention, {"v_proj.bias": (256,), "q_norm.weight": (128,)})
        shapes |= below(attention, {"k_norm.weight": (128,)})
    del shapes["lm_head.weight"]
    return shapes


def mixtral(d: int = 4096, layers: int = 32, experts: int = 8, hidden: int = 14336) -> Shapes:
    """Return Mixtral with a tensor for each expert."""
    shapes = llama(d, layers, 1, 32000, 1024)
    shapes = {name: shape for name, shape in shapes.items() if ".mlp." not in name}
    for i in range(layers):
        moe = f"model.layers.{i}.block_sparse_moe."
        shapes[f"{moe}gate.weight"] = (experts, d)
        for e in range(experts):
            shapes[f"{moe}experts.{e}.w1.weight"] = (hidden, d)
            shapes[f"{moe}experts.{e}.w2.weight"] = (d, hidden)
            shapes[f"{moe}experts.{e}.w3.weight"] = (hidden, d)
    return shapes


def bert(d: int = 768, layers: int = 12, vocabulary: int = 30522) -> Shapes:
    """Return Hugging Face's BERT with the head for masked words."""
    block = joined([
        *(linear(f"attention.self.{name}", d, d) for name in ("query", "key", "value")),
        linear("attention.output.dense", d, d), norm("attention.output.LayerNorm", d),
        linear("intermediate.dense", 4 * d, d), linear("output.dense", d, 4 * d),
        norm("output.LayerNorm", d),
    ])  # fmt: skip
    embeddings = {
        "word_embeddings.weight": (vocabulary, d),
        "position_embeddings.weight": (512, d),
        "token_type_embeddings.weight": (2, d),
        **norm("LayerNorm", d),
    }
    return {
        **below("bert.embeddings.", embeddings),
        **joined(below(f"bert.encoder.layer.{i}.", block) for i in range(layers)),
        **linear("bert.pooler.dense", d, d),
        "cls.predictions.bias": (vocabulary,),
        **linear("cls.predictions.transform.dense", d, d),
        **norm("cls.predictions.transform.LayerNorm", d),
    }


def vit(d: int = 768, layers: int = 12) -> Shapes:
    """Return Hugging Face's ViT-B/16."""
    block = joined([
        *(linear(f"attention.attention.{name}", d, d) for name in ("query", "key", "value")),
        linear("attention.output.dense", d, d), linear("intermediate.dense", 4 * d, d),
        linear("output.dense", d, 4 * d), norm("layernorm_before", d), norm("layernorm_after", d),
    ])  # fmt: skip
    return {
        "vit.embeddings.cls_token": (1, 1, d),
        "vit.embeddings.position_embeddings": (1, 197, d),
        "vit.embeddings.patch_embeddings.projection.weight": (d, 3, 16, 16),
        "vit.embeddings.patch_embeddings.projection.bias": (d,),
        **joined(below(f"vit.encoder.layer.{i}.", block) for i in range(layers)),
        **norm("vit.layernorm", d),
        **linear("classifier", 1000, d),
    }


def t5(d: int = 512, layers: int = 6, heads: int = 8) -> Shapes:
    """Return Hugging Face's T5 small: encoder and decoder, whose first blocks hold more."""
    attention = {f"{name}.weight": (d, d) for name in "qkvo"}
    dense = {"wi.weight": (4 * d, d), "wo.weight": (d, 4 * d)}
    shapes: Shapes = {"shared.weight": (32128, d)}
    for stack, parts in (("encoder", ["SelfAttention"]), ("decoder", ["SelfAttention", "EncDec"])):
        for i in range(layers):
            for j, part in enumerate(parts):
                name = "EncDecAttention" if part == "EncDec" else part
                shapes |= below(f"{stack}.block.{i}.layer.{j}.{name}.", attention)
                shapes[f"{stack}.block.{i}.layer.{j}.layer_norm.weight"] = (d,)
            last = f"{stack}.block.{i}.layer.{len(parts)}."
            shapes |= below(f"{last}DenseReluDense.", dense)
            shapes[f"{last}layer_norm.weight"] = (d,)
        bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        shapes[bias] = (32, heads)
        shapes[f"{stack}.final_layer_norm.weight"] = (d,)
    return shapes


def resnet18() -> Shapes:
    """Return torchvision's ResNet-18, counters of batches included."""
    shapes: Shapes = {"conv1.weight": (64, 3, 7, 7), **batch_norm("bn1", 64)}
    size = 64
    for stage, width in enumerate((64, 128, 256, 512), 1):
        for block in range(2):
            part = {"conv1.weight": (width, size, 3, 3), **batch_norm("bn1", width)}
            part |= {"conv2.weight": (width, width, 3, 3), **batch_norm("bn2", width)}
            if size != width:
                part["downsample.0.weight"] = (width, size, 1, 1)
                part |= batch_norm("downsample.1", width)
            shapes |= below(f"layer{stage}.{block}.", part)
            size = width
    return shapes | linear("fc", 1000, 512)


def batch_norm(name: str, size: int) -> Shapes:
    """Return torch's BatchNorm."""
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (size,) for part in parts} | {f"{name}.num_batches_tracked": ()}


def keras_convolutions() -> Shapes:
    """Return a net like those of Keras's Applications, in the layout of .h5."""
    shapes: Shapes = {}
    size = 3
    for block, (width, count) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3)], 1):
        for conv in range(1, count + 1):
            name = f"block{block}_conv{conv}"
            shapes |= {f"{name}/kernel": (3, 3, size, width), f"{name}/bias": (width,)}
            parts = ("gamma", "beta", "moving_mean", "moving_variance")
            shapes |= {f"block{block}_bn{conv}/{part}": (width,) for part in parts}
            size = width
    return shapes | {"predictions/kernel": (512, 1000), "predictions/bias": (1000,)}


def keras_places() -> Shapes:
    """Return a net of equal layers in Keras 3's layout, .weights.h5."""
    shapes: Shapes = {"layers/conv2d/vars/0": (3, 3, 3, 64), "layers/conv2d/vars/1": (64,)}
    for i in range(12):
        number = f"_{i}" if i else ""
        shapes[f"layers/conv2d_{i + 1}/vars/0"] = (3, 3, 64, 64)
        shapes[f"layers/conv2d_{i + 1}/vars/1"] = (64,)
        for variable in range(4):
            shapes[f"layers/batch_normalization{number}/vars/{variable}"] = (64,)
    return shapes | {
        "layers/lstm/cell/vars/0": (64, 128), "layers/lstm/cell/vars/1": (32, 128),
        "layers/lstm/cell/vars/2": (128,), "layers/embedding/vars/0": (100, 64),
        "layers/dense/vars/0": (32, 10), "layers/dense/vars/1": (10,),
    }  # fmt: skip
