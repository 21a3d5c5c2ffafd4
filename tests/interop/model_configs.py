"""Random configurations of the model types that families know, loaded and run by transformers.

`python -m tests.interop.model_configs [COUNT [SEED]]` prints a tally: how many configs give
a folder that loads with nothing missing, unexpected or of another shape, and runs finitely.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from glorot_cli.cli import main
from glorot_cli.families import ModelConfig, family_of, known_types

DATA = Path(__file__).resolve().parents[1] / "data" / "transformers" / "golden.json.gz"
ENTRIES: list[dict[str, Any]] = [
    entry
    for entry in json.loads(gzip.decompress(DATA.read_bytes()))["entries"]
    if entry["model_type"] in known_types()
]

# Their classes take null for what they derive; the others' forward passes fail.
_NULL_HEAD_DIM = ("llama", "mistral", "mixtral")


def random_config(seed: int) -> dict[str, Any]:
    """Return a configuration near a golden one: other sizes, groups, biases, ties, absent keys."""
    random = Random(f"config {seed}")
    entry = random.choice(ENTRIES)
    config = dict(entry["config"])
    family = family_of(ModelConfig(Path("config.json"), "{}", config))
    for key, default in family.defaults.items():
        if key in ("is_decoder", "add_cross_attention"):
            continue
        if key in config and isinstance(default, bool) and random.random() < 0.4:
            config[key] = random.random() < 0.5
    if "num_key_value_heads" in family.defaults and config.get("num_attention_heads") == 4:
        config["num_key_value_heads"] = random.choice((1, 2, 4))
        _leave_out(random, config, family.defaults, "num_key_value_heads")
    if config.get("hidden_size") == 32 and config.get("num_attention_heads") == 4:
        if "intermediate_size" in config:
            config["intermediate_size"] = random.choice((24, 40, 64))
        _leave_out(random, config, family.defaults, "head_dim")
    if "layer_types" not in config and config.get("num_hidden_layers") == 2:
        config["num_hidden_layers"] = random.choice((1, 2, 3))
    if config.get("pad_token_id") is not None and random.random() < 0.3:
        config["pad_token_id"] = random.choice((None, 0, 3))
    if random.random() < 0.5:
        config["torch_dtype"] = config.pop("dtype", "float32")
    if random.random() < 0.2:
        del config["architectures"]
    return config


def _leave_out(
    random: Random, config: dict[str, Any], defaults: Mapping[str, Any], key: str
) -> None:
    """Make a key null or absent where the class derives it then."""
    cases = defaults.get(key)
    if isinstance(cases, Mapping):
        choice = random.random()
        is_read = key != "head_dim" or config["model_type"] in _NULL_HEAD_DIM
        if choice < 0.25 and is_read and isinstance(cases.get("null"), str):
            config[key] = None
        elif choice < 0.5 and isinstance(cases.get("absent"), str):
            config.pop(key, None)


def load(folder: Path) -> Any:
    """Load a model by its architecture, as the loader of any user does; nothing may be left."""
    import transformers

    config = json.loads((folder / "config.json").read_text("utf-8"))
    names = config.get("architectures") or [default_architecture(config)]
    kind = getattr(transformers, names[0])
    model, info = kind.from_pretrained(folder, output_loading_info=True, local_files_only=True)
    left = {key: sorted(value) for key, value in info.items() if value}
    assert left == {}, left
    return model


def default_architecture(config: Mapping[str, Any]) -> str:
    """Return the class that a configuration without architectures is read for."""
    from fnmatch import fnmatchcase

    from transformers.models.auto import modeling_auto

    family = family_of(ModelConfig(Path("config.json"), "{}", config))
    tables = [value for name, value in vars(modeling_auto).items() if name.endswith("_NAMES")]
    known: list[str] = []
    for table in tables:
        found = table.get(config["model_type"]) if isinstance(table, Mapping) else None
        known += [found] if isinstance(found, str) else list(found or ())
    return next(name for name in known if fnmatchcase(name, f"*{family.architecture}"))


def run(torch: Any, model: Any) -> bool:
    """Tell whether a forward pass is finite."""
    config = model.config
    name = model.main_input_name
    inputs: dict[str, Any] = {}
    if name == "pixel_values":
        vision = getattr(config, "vision_config", config)
        size = getattr(vision, "image_size", 32)
        size = size if isinstance(size, int) else size[0]
        inputs[name] = torch.zeros(1, getattr(vision, "num_channels", 3), size, size)
    elif name == "input_features":
        inputs[name] = torch.zeros(1, config.num_mel_bins, 2 * config.max_source_positions)
    elif name == "input_values":
        inputs[name] = torch.zeros(1, 2000)
    else:
        tokens = torch.tensor([[4, 5, 6, 7, 8, 9]])
        inputs[name] = tokens
    if getattr(config, "is_encoder_decoder", False):
        inputs["decoder_input_ids"] = torch.tensor([[4, 5, 6]])
    if type(model).__name__ in ("CLIPModel", "SiglipModel"):
        size = config.vision_config.image_size
        inputs["input_ids"] = torch.tensor([[4, 5, 6, 7]])
        inputs["pixel_values"] = torch.zeros(1, 3, size, size)
    inputs = {
        key: value.to(model.dtype) if value.is_floating_point() else value
        for key, value in inputs.items()
    }
    with torch.no_grad():
        out = model.eval()(**inputs)
    first = next(value for value in out.values() if torch.is_tensor(value))
    return bool(torch.isfinite(first).all())


def tried(torch: Any, config: Mapping[str, Any], folder: Path, *options: str) -> str:
    """Write a configuration's weights, load and run them; return what went wrong, or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "config.json"
    source.write_text(json.dumps(config), "utf-8")
    arguments = ["init", str(source), "-o", f"{folder}/model/", "--seed", "1", "-q", *options]
    if main(arguments) != 0:
        return "init"
    try:
        finite = run(torch, load(folder / "model"))
    except AssertionError as error:
        return f"loads with {error}"
    except Exception:
        if runs_afresh(torch, folder / "model"):
            raise
        return ""  # transformers' own model of this configuration fails alike
    return "" if finite else "not finite"


def runs_afresh(torch: Any, folder: Path) -> bool:
    """Tell whether transformers can make and run the model that a configuration describes."""
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(folder)
        return run(torch, getattr(transformers, config.architectures[0])(config))
    except Exception:
        return False


def tally(count: int, seed: int) -> Counter[str]:
    """Try random configurations, and print those that fail."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    found: Counter[str] = Counter()
    types: set[str] = set()
    for number in range(seed, seed + count):
        config = random_config(number)
        types.add(config["model_type"])
        with tempfile.TemporaryDirectory() as folder:
            try:
                problem = tried(torch, config, Path(folder))
            except Exception as error:
                problem = f"{type(error).__name__}: {str(error)[:200]}"
        found["good" if not problem else "bad"] += 1
        if problem:
            print(number, config["model_type"], config.get("architectures"), problem, flush=True)
    print(
        f"transformers {transformers.__version__}: {found['good']} of {count}, {len(types)} types"
    )
    return found


if __name__ == "__main__":
    bad = tally(*(int(each) for each in (*sys.argv[1:], "150", "0")[:2]))["bad"]
    sys.exit(1 if bad else 0)
