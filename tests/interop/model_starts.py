"""Random configurations whose models transformers itself initialises, against derived specs.

`python -m tests.interop.model_starts [COUNT [SEED]]` saves each such model with its own
`save_pretrained`, and asks `glorot verify --statistics` whether the spec that the configuration
means could have drawn the file: names, shapes, dtypes and distributions.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glorot_cli.cli import main
from tests.interop.loading import quieten
from tests.interop.model_configs import random_config

# transformers 5.24 saves names of them that 4 does not take; both take those of 4.
RENAMED = ("esm",)
# transformers 5 leaves their heads out whatever config.json says, and 4 wants what it says.
TIED = ("t5", "mt5", "umt5")


def started_config(seed: int) -> dict[str, Any]:
    """Return a random configuration for a model that transformers is to initialise."""
    number = seed
    while random_config(number)["model_type"] in RENAMED:
        number += 1_000_000
    config = {"transformers_version": "5.24.0", **random_config(number)}
    if config["model_type"] in TIED:
        config["tie_word_embeddings"] = True
    return config


def saved(config: Mapping[str, Any], folder: Path) -> bool:
    """Save the model that transformers itself makes of a configuration, if it makes one."""
    import torch
    import transformers

    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    torch.manual_seed(0)
    try:
        read = transformers.AutoConfig.from_pretrained(folder)
        model = getattr(transformers, config["architectures"][0])._from_config(read)
        model.save_pretrained(folder / "saved")
    except Exception:
        return False
    return True


def verified(folder: Path) -> str:
    """Ask glorot whether the configuration's spec could have drawn the file; say what it finds."""
    said = io.StringIO()
    weights, config = folder / "saved" / "model.safetensors", folder / "config.json"
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(["verify", "--statistics", str(weights), "--spec", str(config), "--strict"])
    return "" if code == 0 else said.getvalue()


def tally(count: int, seed: int) -> Counter[str]:
    """Try random configurations until `count` models are made, and print those that differ."""
    import transformers

    quieten()
    found: Counter[str] = Counter()
    types: set[str] = set()
    number = seed
    while found["good"] + found["bad"] < count:
        config = started_config(number)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if not saved(config, folder):
                found["refused"] += 1
            else:
                types.add(config["model_type"])
                problem = verified(folder)
                found["bad" if problem else "good"] += 1
                if problem:
                    print(number, json.dumps(config), problem[:600], sep="\n", flush=True)
        number += 1
    print(
        f"transformers {transformers.__version__}: {found['good']} of {count}, {len(types)} types; "
        f"{found['refused']} more configurations transformers itself refuses"
    )
    return found


if __name__ == "__main__":
    sys.exit(1 if tally(*(int(each) for each in (*sys.argv[1:], "100", "0")[:2]))["bad"] else 0)
