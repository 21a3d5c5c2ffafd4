"""A config.json as the input of plan, spec, init and verify, and the folder that init makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from glorot_cli.families import ModelConfig, family_of
from tests.pages import named_blocks

# The blocks of docs/huggingface.md that are run here.
RUNS = {"family"}
Run = Callable[..., tuple[int, str, str]]

TINY = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 16,
    "intermediate_size": 24,
    "model_type": "llama",
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "rope_theta": 10000.0,
    "torch_dtype": "bfloat16",
    "vocab_size": 32,
}
NAMES = [
    "lm_head.weight",
    "model.embed_tokens.weight",
    "model.layers.0.input_layernorm.weight",
    "model.layers.0.mlp.down_proj.weight",
    "model.layers.0.mlp.gate_proj.weight",
    "model.layers.0.mlp.up_proj.weight",
    "model.layers.0.post_attention_layernorm.weight",
    "model.layers.0.self_attn.k_proj.weight",
    "model.layers.0.self_attn.o_proj.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.self_attn.v_proj.weight",
    "model.norm.weight",
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write()


def write(name: str = "config.json", **changes: Any) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(json.dumps({**TINY, **changes}, indent=2), "utf-8")


def shapes(path: str) -> dict[str, list[int]]:
    with safe_open(path, "numpy") as file:
        return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def metadata(path: str) -> dict[str, str]:
    with safe_open(path, "numpy") as file:
        found: dict[str, str] = file.metadata()
        return found


def test_a_folder_has_the_weights_and_the_configuration_as_it_was(run: Run) -> None:
    code, _, err = run("init", "config.json", "-o", "model/", "--seed", 1)
    assert (code, err) == (0, "")
    assert sorted(path.name for path in Path("model").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    assert Path("model/config.json").read_bytes() == Path("config.json").read_bytes()
    assert sorted(shapes("model/model.safetensors")) == NAMES
    assert metadata("model/model.safetensors")["format"] == "pt"


def test_a_name_without_an_ending_is_such_a_folder(run: Run) -> None:
    assert run("init", "config.json", "-o", "model")[0] == 0
    assert Path("model/model.safetensors").is_file()


def test_settings_and_dtype_change_the_configuration_beside_the_weights(run: Run) -> None:
    settings = ("--set", "hidden_size=8", "--set", "num_key_value_heads=1", "--dtype", "float32")
    assert run("init", "config.json", *settings, "-o", "model/")[0] == 0
    assert json.loads(Path("model/config.json").read_text()) == {
        **TINY,
        "hidden_size": 8,
        "num_key_value_heads": 1,
        "torch_dtype": "float32",
    }
    found = shapes("model/model.safetensors")
    assert found["model.layers.0.self_attn.k_proj.weight"] == [4, 8]
    assert safetensors.numpy.load_file("model/model.safetensors")["lm_head.weight"].dtype == "f4"


def test_labels_are_set_by_their_number(run: Run) -> None:
    write(architectures=["LlamaForSequenceClassification"])
    assert run("init", "config.json", "--set", "num_labels=3", "-o", "model/")[0] == 0
    written = json.loads(Path("model/config.json").read_text())
    assert written["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}
    assert written["label2id"] == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    assert shapes("model/model.safetensors")["score.weight"] == [3, 16]


def test_shards_have_an_index_and_the_texts_beside_them(run: Run) -> None:
    Path("generation_config.json").write_text('{"eos_token_id": 2}')
    assert run("init", "config.json", "-o", "model/", "--max-shard-size", "1KB")[0] == 0
    names = {path.name for path in Path("model").iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors.index.json"} < names
    assert Path("model/generation_config.json").read_text() == '{"eos_token_id": 2}'
    index = json.loads(Path("model/model.safetensors.index.json").read_text())
    assert sorted(index["weight_map"]) == NAMES


def test_a_lone_file_says_that_it_is_torch_s(run: Run) -> None:
    assert run("init", "config.json", "-o", "one.safetensors")[0] == 0
    assert metadata("one.safetensors")["format"] == "pt"
    assert not Path("generation_config.json").exists()


def test_npy_gives_a_folder_of_npy(run: Run) -> None:
    arguments = ("--format", "npy", "--dtype", "float32", "-o", "arrays/")
    assert run("init", "config.json", *arguments)[0] == 0
    assert sorted(path.stem for path in Path("arrays").glob("*.npy")) == NAMES
    assert np.load("arrays/lm_head.weight.npy").shape == (32, 16)


def test_the_folder_s_own_files_stay_and_its_configuration_follows(run: Run) -> None:
    assert run("init", "config.json", "-o", "model/")[0] == 0
    Path("model/tokenizer.json").write_text("mine")
    again = ("init", "config.json", "--set", "hidden_size=8", "-o", "model/")
    code, _, err = run(*again)
    assert code == 2
    assert err.endswith("model is not empty; replace it with --force\n")
    assert run(*again, "--force")[0] == 0
    assert Path("model/tokenizer.json").read_text() == "mine"
    assert json.loads(Path("model/config.json").read_text())["hidden_size"] == 8
    assert shapes("model/model.safetensors")["model.norm.weight"] == [8]
    assert run("init", "config.json", "-o", "model/", "--force")[0] == 0
    assert shapes("model/model.safetensors")["model.norm.weight"] == [16]


def test_a_configuration_of_others_stays(run: Run) -> None:
    write("model/config.json")
    mine = Path("model/config.json").read_bytes()
    assert run("init", "model/config.json", "-o", "model/", "--force")[0] == 0
    assert Path("model/config.json").read_bytes() == mine
    # It was there before the weights were: it is not glorot's to replace.
    arguments = ("init", "config.json", "--set", "hidden_size=8", "-o", "model/", "--force")
    code, _, err = run(*arguments)
    assert code == 2
    assert err.endswith("config.json is not the config.json of these weights; move it away\n")
    assert Path("model/config.json").read_bytes() == mine
    assert shapes("model/model.safetensors")["model.norm.weight"] == [16]


def test_a_run_is_resumed_with_the_texts_beside(run: Run) -> None:
    arguments = ("init", "config.json", "-o", "model/", "--max-shard-size", "1KB", "--seed", 1)
    assert run(*arguments)[0] == 0
    Path("model/model-00002-of-00009.safetensors").unlink(missing_ok=True)
    code, _, err = run(*arguments, "--resume")
    assert (code, err) == (0, "")
    assert run("verify", "model")[0] == 0


def test_provenance_is_a_plain_spec(run: Run) -> None:
    assert run("init", "config.json", "-o", "model/", "--seed", 1)[0] == 0
    claim = json.loads(metadata("model/model.safetensors")["glorot"])
    assert "llama" not in json.dumps(claim["spec"])
    assert run("verify", "model")[0] == 0
    assert run("verify", "model", "--spec", "config.json", "--seed", 1)[0] == 0


def test_a_folder_s_provenance_comes_first(run: Run) -> None:
    assert run("init", "config.json", "-o", "model/", "--seed", 1)[0] == 0
    write("model/config.json", hidden_size=32)
    assert json.loads(run("plan", "model", "--json")[1])["tensors"][0]["shape"] == [32, 16]


def test_then_comes_a_known_type(run: Run) -> None:
    write("model/config.json")
    safetensors.numpy.save_file({"w": np.ones((2, 2), "f4")}, "model/model.safetensors")
    assert run("init", "model", "-o", "fresh/")[0] == 0
    assert sorted(shapes("fresh/model.safetensors")) == NAMES
    assert Path("fresh/config.json").read_bytes() == Path("model/config.json").read_bytes()


def test_last_come_the_names_of_the_weights(run: Run) -> None:
    write("model/config.json", model_type="new")
    safetensors.numpy.save_file({"w": np.ones((2, 2), "f4")}, "model/model.safetensors")
    code, _, err = run("init", "model", "-o", "fresh/", "--seed", 1)
    assert code == 0
    assert err == (
        "note: guessed by name: 1 kernel glorot_uniform (convention); glorot spec shows them all\n"
    )
    assert shapes("fresh/model.safetensors") == {"w": [2, 2]}


def test_a_family_of_one_s_own(run: Run) -> None:
    write(model_type="mine", widths=[3, 5])
    Path("mine.yaml").write_text(
        "defaults: {widths: [2, 2], act: {word: gelu}, bias: true}\n"
        "model_types:\n"
        "  mine: {bias: act == 'gelu'}\n"
        'architectures: {"*": {base: "{model_type}."}}\n'
        "initializers:\n"
        '  - "*": zeros\n'
        "tensors:\n"
        '  "{base}w": {shape: ["widths[0]", "widths[1]"], axes: IO}\n'
        '  "{base}b": {shape: ["widths[1]"], when: bias}\n'
    )
    code, out, _ = run("plan", "config.json", "--family", "mine.yaml", "--json")
    assert code == 0
    found = {t["name"]: t["shape"] for t in json.loads(out)["tensors"]}
    assert found == {"mine.w": [3, 5], "mine.b": [5]}
    code, out, _ = run("spec", "config.json", "--family", "mine.yaml", "--set", "act=relu")
    assert "bias: false" in out


LLAMA = ModelConfig(Path("config.json"), "{}", TINY)
HEADS = ", ".join(family_of(LLAMA).architectures)
MISTAKES: list[tuple[dict[str, Any], list[str], str]] = [
    (
        {"model_type": "lama"},
        [],
        "config.json:7:17: model_type: there is no family for 'lama': give your own with --family "
        "FILE, a weight file instead of the configuration, or the spec that glorot record writes "
        "of the model; did you mean 'llama'?",
    ),
    (
        {"quantization_config": {"bits": 4}},
        [],
        "config.json:13:26: quantization_config: quantised weights are no random start; "
        "--set quantization_config=null leaves it out",
    ),
    (
        {"auto_map": {"AutoModel": "m.Model"}},
        [],
        "config.json:13:15: auto_map: the model's own code decides its tensors; "
        "--set auto_map=null leaves it out",
    ),
    (
        {"hidden_size": "16"},
        [],
        "config.json:5:18: hidden_size: expected a whole number, found '16'",
    ),
    (
        {"hidden_size": 0},
        [],
        "config.json: dims.d: expected a positive integer below 2**40, found 0 ('hidden_size')",
    ),
    (
        {"num_attention_heads": 0},
        [],
        "config.json: head_dim: 'hidden_size // num_attention_heads' divides by zero",
    ),
    (
        {"tie_word_embeddings": "no"},
        [],
        "config.json:13:26: tie_word_embeddings: expected true or false, found 'no'",
    ),
    (
        {"torch_dtype": "float33"},
        [],
        "config.json:11:18: torch_dtype: expected a dtype, found 'float33'; "
        "did you mean 'float32'?",
    ),
    (
        {"architectures": ["LlamaForVision"]},
        [],
        "config.json:2:20: architectures: no tensors are known of the architecture "
        f"'LlamaForVision'; known: {HEADS}",
    ),
    (
        {},
        ["--set", "hiden_size=8"],
        "--set hiden_size: neither config.json nor llama has such a key; "
        "did you mean 'hidden_size'?",
    ),
    ({}, ["--set", "hidden_size=x"], "--set hidden_size: expected a whole number, found 'x'"),
    (
        {},
        ["--set", "vocab_size.x=1"],
        "--set vocab_size.x: 'vocab_size' is no section of config.json",
    ),
    ({}, ["--set", "num_labels=0"], "--set num_labels: expected a positive integer, found 0"),
    ({}, ["--family", "none.yaml"], "cannot read the family none.yaml: No such file or directory"),
]


@pytest.mark.parametrize(("changes", "arguments", "message"), MISTAKES)
def test_a_mistake_is_one_line(
    changes: dict[str, Any], arguments: list[str], message: str, run: Run
) -> None:
    write(**changes)
    assert run("plan", "config.json", *arguments) == (2, "", f"glorot: {message}\n")


def test_what_is_set_to_null_is_refused_no_more(run: Run) -> None:
    write(quantization_config={"bits": 4})
    arguments = ("--set", "quantization_config=null", "-o", "model/")
    assert run("init", "config.json", *arguments)[0] == 0
    assert json.loads(Path("model/config.json").read_text()) == TINY


def test_a_family_needs_a_configuration(run: Run) -> None:
    Path("spec.json").write_text('{"w": [2, 2]}')
    assert run("plan", "spec.json", "--family", "mine.yaml") == (
        2,
        "",
        "glorot: --family is for a config.json with a model_type, and spec.json is none\n",
    )


def test_a_configuration_for_a_spec_is_checked(run: Run) -> None:
    Path("spec.yaml").write_text(
        "initializers: [{'*': zeros}]\n"
        "tensors: {model.norm.weight: {shape: [8]}, lm_head.weight: {shape: [32, 16]}, "
        "w: {shape: [2]}}\n"
    )
    arguments = ("init", "spec.yaml", "-o", "model/", "--max-shard-size", "1GB", "--config")
    problem = (
        "config.json is of llama with other tensors than the spec's; 10 missing: "
        "model.embed_tokens.weight, model.layers.0.self_attn.q_proj.weight and 8 more; "
        "1 unknown to it: w; 1 of another shape: model.norm.weight is [8], not [16]"
    )
    assert run(*arguments, "config.json", "--strict")[::2] == (2, f"glorot: {problem}\n")
    code, _, err = run(*arguments, "config.json")
    assert (code, err) == (0, f"note: {problem}\n")
    write("other.json", model_type="new")
    assert run(*arguments, "other.json", "--force")[::2] == (0, "")
    write("other.json", model_type="llama", auto_map={"AutoModel": "x.Y"})
    code, _, err = run(*arguments, "other.json", "--force")
    assert code == 0
    assert err.startswith("note: the spec's tensors are not checked against the configuration: ")


def test_tiny_keeps_the_groups_and_the_vocabulary(run: Run) -> None:
    write(
        model_type="qwen3",
        architectures=["Qwen3ForCausalLM"],
        hidden_size=4096,
        num_attention_heads=32,
        num_key_value_heads=8,
        num_hidden_layers=4,
        layer_types=["full_attention"] * 4,
        vocab_size=1000,
    )
    assert run("init", "config.json", "--tiny", "-o", "tiny/")[0] == 0
    written = json.loads(Path("tiny/config.json").read_text())
    assert written["layer_types"] == ["full_attention"] * 2
    assert (written["num_attention_heads"], written["num_key_value_heads"]) == (4, 1)
    found = shapes("tiny/model.safetensors")
    assert found["lm_head.weight"] == [1000, 64]
    assert found["model.layers.1.self_attn.k_proj.weight"] == [16, 64]
    assert "model.layers.2.self_attn.k_proj.weight" not in found


def test_what_is_set_is_not_made_tiny(run: Run) -> None:
    arguments = ("--tiny", "--set", "hidden_size=8", "--set", "num_hidden_layers=1", "--json")
    code, out, _ = run("plan", "config.json", *arguments)
    found = {t["name"]: t["shape"] for t in json.loads(out)["tensors"]}
    assert code == 0
    assert found["model.layers.0.mlp.up_proj.weight"] == [112, 8]
    assert found["lm_head.weight"] == [32, 8]
    assert "model.layers.1.mlp.up_proj.weight" not in found


def test_more_layers_need_their_types(run: Run) -> None:
    write(layer_types=["full_attention"])
    assert run("plan", "config.json", "--set", "num_hidden_layers=2") == (
        2,
        "",
        "glorot: --set num_hidden_layers: layer_types has 1 items only; set layer_types too\n",
    )


def test_tiny_needs_a_configuration_and_a_rule(run: Run) -> None:
    Path("spec.json").write_text('{"w": [2, 2]}')
    assert run("plan", "spec.json", "--tiny") == (
        2,
        "",
        "glorot: --tiny is for a config.json with a model_type, and spec.json is none\n",
    )
    Path("mine.yaml").write_text("model_types:\n  llama: {}\ntensors: {w: {shape: [2]}}\n")
    assert run("plan", "config.json", "--tiny", "--family", "mine.yaml") == (
        2,
        "",
        "glorot: --tiny: mine.yaml has no rule for it; use --set\n",
    )


def test_the_family_of_the_documents(run: Run) -> None:
    Path("mine.yaml").write_text(named_blocks("huggingface.md")["family"])
    Path("mine.json").write_text('{"model_type": "mine_v2", "act": "swiglu", "hidden_size": 32}')
    arguments = ("mine.json", "--family", "mine.yaml", "--json", "--set", "heads=2")
    code, out, _ = run("plan", *arguments)
    assert code == 0
    found = {t["name"]: t["shape"] for t in json.loads(out)["tensors"]}
    assert len(found) == 1 + 2 * 4
    assert found["model.layers.1.gate.weight"] == [128, 32]
    code, out, _ = run("plan", *arguments, "--tiny", "--set", "act=gelu")
    assert len(json.loads(out)["tensors"]) == 1 + 2 * 3
