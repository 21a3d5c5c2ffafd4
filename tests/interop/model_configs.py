"""Random configurations of all model types that families know, loaded and run by transformers.

`python -m tests.interop.model_configs [COUNT [SEED]]` prints a tally: how many configurations give
a folder that loads with nothing missing, unexpected or of another shape, and runs finitely. With
`--keep FOLDER` the models stay there, for `tests/interop/loading.py` and another transformers.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import importlib
import inspect
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random
from typing import Any

from glorot_cli.cli import main
from glorot_cli.errors import GlorotError
from glorot_cli.families import Family, ModelConfig, family_of, known_types, tiny_settings
from tests.interop.loading import CLASS, REFUSED, outcome, quieten, runs_afresh

DATA = Path(__file__).resolve().parents[1] / "data" / "transformers" / "golden.json.gz"
ENTRIES: list[dict[str, Any]] = [
    entry
    for entry in json.loads(gzip.decompress(DATA.read_bytes()))["entries"]
    if entry["model_type"] in known_types()
]

# Values of keys that hold no number.
WORDS: dict[str, Sequence[Any]] = {
    "feed_forward_proj": ("relu", "gated-gelu"),
    "layer_type": ("basic", "bottleneck"),
    "pos_att_type": (["p2c", "c2p"], ["p2c"], []),
    "norm_rel_ebd": ("none", "layer_norm"),
    "time_step_init_scheme": ("random", "constant"),
    "mlp_only_layers": ([], [0], [1], None),
    "moe_layers": ([], [0], [1], None),
    "full_attn_idxs": ([], [0], [1], None),
}
# What no class reads without the other, or without a model of two parts.
DECODING = ("is_decoder", "add_cross_attention")


def classes_of(model_type: str) -> list[str]:
    """Return the names of transformers' classes that a family has for a type."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = CONFIG_MAPPING[model_type]
    module = importlib.import_module(kind.__module__.replace("configuration", "modeling"))
    named = [
        name
        for name, each in vars(module).items()
        if inspect.isclass(each)
        and issubclass(each, transformers.PreTrainedModel)
        and each.__module__ == module.__name__
        and getattr(each, "config_class", None) is kind
        and hasattr(transformers, name)
        and "pretrained" not in name.lower()
    ]
    globs = family_of(_given({"model_type": model_type})).architectures
    return [name for name in named if any(fnmatchcase(name, glob) for glob in globs)]


def _given(config: Mapping[str, Any]) -> ModelConfig:
    return ModelConfig(Path("config.json"), "{}", config)


def tiny_config(model_type: str, architecture: str) -> dict[str, Any]:
    """Return a tiny configuration for a class, by the family's own rule."""
    given = _given({"model_type": model_type, "architectures": [architecture]})
    family = family_of(given)
    for key in ("vocab_size", "text_vocab_size"):
        if key in family.defaults:
            given = given.with_settings(family.settings(given, key, 100))
            padding = key.replace("vocab_size", "pad_token_id")
            given = given.with_settings(family.settings(given, padding, 0))
    return dict(given.with_settings(tiny_settings(given, family)).data)


def random_config(seed: int, *, aliases: bool = True) -> dict[str, Any]:
    """Return a configuration near a golden one or a tiny one.

    Other sizes, groups, biases, ties, labels and dtypes; keys that are null, absent, or by an
    alias, of which transformers 4 has fewer.
    """
    random = Random(f"config {seed}")
    if random.random() < 0.4:
        config = dict(random.choice(ENTRIES)["config"])
    else:
        model_type = random.choice(sorted(known_types()))
        config = tiny_config(model_type, random.choice(classes_of(model_type)))
    family = family_of(_given(config))
    given = _given(json.loads(json.dumps(config)))
    for key, default in family.defaults.items():
        if random.random() < 0.6 or key in DECODING:
            continue
        place = next((place for place in family.places(key) if given.get(place)[0]), None)
        value = None if place is None else given.get(place)[1]
        new = _changed(random, key, default, value)
        # What a list has an item for each layer of may have none for more of these.
        with contextlib.suppress(GlorotError):
            for changed in new:
                given = given.with_settings(family.settings(given, key, changed))
    config = dict(given.data)
    _leave_out(random, config, family, aliases=aliases)
    config.pop("qk_head_dim", None)  # a sum of two others, which transformers 4 reads
    if random.random() < 0.5:
        config.pop("transformers_version", None)
    if "is_decoder" in family.defaults and config["architectures"][0].endswith(
        ("LM", "LMHeadModel")
    ):
        config["is_decoder"] = random.random() < 0.5
        config["add_cross_attention"] = config["is_decoder"] and random.random() < 0.5
    if random.random() < 0.3 and not config["architectures"][0].endswith("QuestionAnswering"):
        count = random.choice((1, 3, 5))
        config["id2label"] = {str(i): f"LABEL_{i}" for i in range(count)}
        config["label2id"] = {f"LABEL_{i}": i for i in range(count)}
    kept = config.pop("dtype", None) or config.pop("torch_dtype", "float32")
    dtype = random.choice((kept, "float32", "bfloat16", "float16"))
    config[random.choice(("dtype", "torch_dtype"))] = dtype
    return config


def _changed(random: Random, key: str, default: Any, value: Any) -> tuple[Any, ...]:
    """Return another value of a key, or none where any may be wrong."""
    if key in WORDS:
        return (random.choice(WORDS[key]),)
    if isinstance(default, Mapping):
        if "null" in default and random.random() < 0.3:
            return (None,)
        default = default.get("absent")
    if isinstance(default, bool):
        return (random.random() < 0.5,)
    if "pad_token_id" in key:
        return (random.choice((None, 0, 5)),)
    if isinstance(default, float):
        return (default * random.choice((0.5, 2.0)),)
    value = value if value is not None else default
    if not isinstance(value, int) or value <= 0:
        return ()
    if "heads" in key:
        return (random.choice((1, 2, 4, 8)),)
    if "layers" in key or value < 9:
        return (random.choice((1, 2, 3, 4)),)
    if value > 4096:
        return (random.choice((64, 100)),)
    return (random.choice((value // 2, 2 * value, value + 8)),)


def _leave_out(random: Random, config: dict[str, Any], family: Family, *, aliases: bool) -> None:
    """Leave out keys that a class derives then, and give some by their aliases."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    for key, default in family.defaults.items():
        derived = isinstance(default, Mapping) and isinstance(default.get("absent"), str)
        if key in config and derived and random.random() < 0.3:
            del config[key]
    for alias, key in CONFIG_MAPPING[config["model_type"]].attribute_map.items():
        if key in config and alias not in config and random.random() < 0.2 and aliases:
            config[alias] = config.pop(key)


def default_architecture(config: Mapping[str, Any]) -> str:
    """Return the class that a configuration without architectures is read for."""
    wanted = family_of(_given(config)).architecture
    return next(
        name for name in classes_of(config["model_type"]) if fnmatchcase(name, f"*{wanted}")
    )


def written(config: Mapping[str, Any], folder: Path, *options: str) -> str:
    """Write a configuration and the folder of its model; return what glorot says if it will not."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "config.json"
    source.write_text(json.dumps(config), "utf-8")
    arguments = ["init", str(source), "-o", f"{folder}/model/", "--seed", "1", "-q", *options]
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        return "" if main(arguments) == 0 else said.getvalue()


def tried(config: Mapping[str, Any], folder: Path, *options: str) -> str:
    """Write a configuration's weights, load and run them; return what went wrong, or nothing."""
    name = (config.get("architectures") or [default_architecture(config)])[0]
    problem = written(config, folder, *options)
    if not problem:
        return outcome(folder / "model", name)
    return problem if runs_afresh(folder, name) else REFUSED


def tally(count: int, seed: int, keep: Path | None = None) -> Counter[str]:
    """Try random configurations until `count` are no model that transformers refuses itself."""
    import transformers

    quieten()
    found: Counter[str] = Counter()
    types: set[str] = set()
    number = seed
    while found["good"] + found["bad"] < count:
        config = random_config(number, aliases=keep is None)
        if keep is not None:
            config["transformers_version"] = "4.57.6"
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            problem = tried(config, folder)
            found["refused" if problem == REFUSED else "bad" if problem else "good"] += 1
            if problem != REFUSED:
                types.add(config["model_type"])
                if problem:
                    print(number, json.dumps(config), problem[:600], sep="\n", flush=True)
                if keep is not None and (folder / "model").is_dir():
                    (folder / "model" / CLASS).write_text(config["architectures"][0], "utf-8")
                    (folder / "model").rename(keep / f"{number:04d}-{config['model_type']}")
        number += 1
    print(
        f"transformers {transformers.__version__}: {found['good']} of {count}, {len(types)} types; "
        f"{found['refused']} more configurations transformers itself refuses"
    )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("count", nargs="?", type=int, default=150)
    parser.add_argument("seed", nargs="?", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    said = parser.parse_args()
    if said.keep is not None:
        said.keep.mkdir(parents=True, exist_ok=True)
    sys.exit(1 if tally(said.count, said.seed, said.keep)["bad"] else 0)
