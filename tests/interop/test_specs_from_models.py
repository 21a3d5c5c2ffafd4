"""Specs of models that others made: Keras's configurations, and files of transformers' models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glorot_cli as glorot
from glorot_cli.cli import main
from glorot_cli.derive import derive_spec, spec_text
from glorot_cli.formats.reading import read_headers
from tests.interop import keras_models, random_models

pytestmark = pytest.mark.interop

MODELS = 100


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load_back(model: Any) -> None:
    """Describe a model, initialise it by its spec, load that, and compare every weight."""
    Path("model.json").write_text(model.to_json(), "utf-8")
    spec = derive_spec("model.json")
    Path("model.yaml").write_text(spec_text(spec), "utf-8")
    plan = glorot.make_plan(glorot.load_spec("model.yaml", {"seed": 11}))
    for weight in model.weights:
        weight.assign(np.full(weight.shape, 7, weight.dtype))
    glorot.write_weights(plan, "model.weights.h5", sync=False)
    model.load_weights("model.weights.h5")
    expected = {tensor.name: glorot.draw(plan, tensor.name) for tensor in plan.tensors}
    assert len(expected) == len(model.weights)
    trainable = {id(weight) for weight in model.trainable_weights}
    for name, weight in named_weights(model.layers):
        value = np.asarray(weight)
        assert (value.shape, value.dtype) == (expected[name].shape, expected[name].dtype), name
        assert value.tobytes() == expected[name].tobytes(), name
        assert plan[name].trainable == (id(weight) in trainable), name


def named_weights(layers: list[Any], prefix: str = "") -> list[tuple[str, Any]]:
    """List each weight of a model's layers below the names of all models that hold it."""
    found = []
    for layer in layers:
        name = f"{prefix}{layer.name}/"
        if hasattr(layer, "layers"):
            found += named_weights(layer.layers, name)
            continue
        for weight in layer.weights:
            found.append((name + f"/{weight.path}".partition(f"/{layer.name}/")[2], weight))
    return found


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("seed", range(MODELS))
def test_a_random_model_is_described_and_loads_back(seed: int, keras: Any) -> None:
    load_back(random_models.random_model(keras, seed))


@pytest.mark.parametrize("name", sorted(keras_models.MODELS))
def test_a_model_of_each_kind_loads_back(name: str, keras: Any) -> None:
    load_back(keras_models.MODELS[name](keras))


@pytest.mark.parametrize("name", sorted(keras_models.MODELS))
def test_what_is_recorded_is_what_keras_writes(name: str, keras: Any) -> None:
    Path("now.json").write_text(keras_models.MODELS[name](keras).to_json(), "utf-8")
    assert derive_spec("now.json") == derive_spec(keras_models.DATA / f"{name}.json")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50", "DenseNet121", "NASNetMobile"])
def test_an_application_loads_back(name: str, keras: Any) -> None:
    load_back(getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=10))


def test_a_model_with_operations_and_masks_loads_back(keras: Any) -> None:
    layers, ops = keras.layers, keras.ops
    tokens, steps = keras.Input((7,), dtype="int32"), keras.Input((7, 4))
    a = layers.Embedding(10, 8, mask_zero=True)(tokens)
    b = layers.Masking()(steps)
    x = layers.Concatenate()([layers.Dense(3)(a), layers.Dense(4)(b)])
    x = layers.LSTM(5, return_sequences=True)(x)
    x = layers.Attention(use_scale=True)([x, x])
    y = ops.mean(x, axis=1) * 2.0 + 1.0
    y = ops.concatenate([ops.reshape(y, (-1, 5, 1)), ops.reshape(y, (-1, 5, 1))], axis=-1)
    load_back(keras.Model([tokens, steps], layers.Dense(3)(y)))


def test_a_layer_of_someone_s_own_is_named(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    class Mine(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

    class MyDense(Mine):
        pass

    def saved(layer: Any) -> None:
        model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(2)])
        Path("model.json").write_text(model.to_json(), "utf-8")

    saved(Mine(name="mine"))
    assert main(["spec", "model.json"]) == 0
    assert capsys.readouterr().err == (
        "note: passed over as a layer without weights, for its type is not known: mine (Mine)\n"
    )
    saved(MyDense(name="mine"))
    assert main(["spec", "model.json"]) == 2
    assert capsys.readouterr().err == (
        "glorot: model.json: the layer 'mine' is of a type that is not known, 'MyDense'; write its "
        "weights under tensors, such as mine/kernel: {shape: [64, 10], axes: IO, "
        "initializer: glorot_uniform}\n"
    )


# transformers' models, each with few and small layers


def small(name: str) -> Any:
    """Build one of transformers' models."""
    import transformers

    t: Any = transformers
    d = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    wide = {**d, "intermediate_size": 32}
    configs: dict[str, tuple[str, Any]] = {
        "gpt2": ("GPT2LMHeadModel", lambda: t.GPT2Config(
            vocab_size=40, n_positions=8, n_embd=16, n_layer=3, n_head=2)),
        "llama": ("LlamaForCausalLM", lambda: t.LlamaConfig(vocab_size=40, **wide)),
        "mixtral": ("MixtralForCausalLM", lambda: t.MixtralConfig(
            vocab_size=40, num_key_value_heads=1, num_local_experts=4, **wide)),
        "qwen2": ("Qwen2ForCausalLM", lambda: t.Qwen2Config(
            vocab_size=40, num_key_value_heads=1, **wide)),
        "bert": ("BertForMaskedLM", lambda: t.BertConfig(
            vocab_size=40, max_position_embeddings=8, **wide)),
        "vit": ("ViTForImageClassification", lambda: t.ViTConfig(image_size=32, **wide)),
        "t5": ("T5ForConditionalGeneration", lambda: t.T5Config(
            vocab_size=40, d_model=16, d_kv=8, d_ff=32, num_layers=3, num_heads=2)),
        "resnet": ("ResNetForImageClassification", lambda: t.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[2, 2], layer_type="basic")),
        "whisper": ("WhisperForConditionalGeneration", lambda: t.WhisperConfig(
            vocab_size=60000, d_model=16, encoder_layers=2, decoder_layers=2,
            encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
            decoder_ffn_dim=32)),
        "clip": ("CLIPModel", lambda: t.CLIPConfig(
            text_config={"vocab_size": 40, **wide}, vision_config={"image_size": 32, **wide})),
    }  # fmt: skip
    cls, config = configs[name]
    return getattr(t, cls)(config())


@pytest.mark.parametrize(
    "name",
    ["gpt2", "llama", "mixtral", "qwen2", "bert", "vit", "t5", "resnet", "whisper", "clip"],
)
def test_a_file_of_transformers_starts_afresh(name: str, torch: Any) -> None:
    model = small(name)
    model.save_pretrained("old", max_shard_size="20KB")
    old = read_headers("old").tensors
    # By the names of the weights: a config.json beside them would say what they are.
    Path("old", "config.json").rename("config.json")
    weights = str(next(Path("old").glob("*.index.json"), Path("old", "model.safetensors")))
    spec = derive_spec(weights)
    text = spec_text(spec)
    assert len(text.splitlines()) < len(old) + 12
    assert main(["init", weights, "-o", "new", "--max-shard-size", "20KB", "--config",
                 "config.json", "--seed", "5", "-q"]) == 0  # fmt: skip
    new = read_headers("new").tensors
    assert {(t.name, t.shape, t.dtype) for t in new} == {(t.name, t.shape, t.dtype) for t in old}
    fresh, info = type(model).from_pretrained("new", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    for key, value in fresh.state_dict().items():
        assert bool(torch.isfinite(value).all()), key
    provenance = json.loads(read_headers("new").provenance)
    assert {key: value for key, value in provenance["spec"].items() if key != "seed"}.keys() == (
        spec.keys()
    )
