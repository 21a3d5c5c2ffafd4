"""Folders of models, loaded and run by whatever transformers is installed.

`python tests/interop/loading.py FOLDER` does so for each model in a folder that
`python -m tests.interop.model_configs --keep FOLDER` made, and prints a tally. It needs torch and
transformers only, so that older versions of these can run it in an environment of their own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# The name of the class that a folder's model is for, where its configuration has none.
CLASS = "class.txt"
# What becomes of a configuration whose model transformers itself cannot make or run.
REFUSED = "transformers refuses it too"


def load(folder: Path, name: str = "") -> Any:
    """Load a model by its class, as the loader of any user does; nothing may be left."""
    import transformers

    config = json.loads((folder / "config.json").read_text("utf-8"))
    kind = getattr(transformers, name or config["architectures"][0])
    model, info = kind.from_pretrained(folder, output_loading_info=True, local_files_only=True)
    left = {key: sorted(value) for key, value in info.items() if value}
    assert left == {}, left
    return model


def run(model: Any) -> bool:
    """Tell whether a forward pass is finite."""
    import torch

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
    if getattr(config, "is_encoder_decoder", False) and "TokenClass" not in type(model).__name__:
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


def runs_afresh(folder: Path, name: str = "") -> bool:
    """Tell whether transformers can make and run the model that a configuration describes."""
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(folder)
        kind = getattr(transformers, name or config.architectures[0])
        return run(kind._from_config(config))
    except Exception:
        return False


def problem_with(folder: Path, name: str = "") -> str:
    """Load and run a folder's model; say what went wrong, or nothing."""
    try:
        finite = run(load(folder, name))
    except AssertionError as error:
        return f"loads with {error}"
    return "" if finite else "not finite"


def outcome(folder: Path, name: str = "") -> str:
    """Load and run a folder's model; say what went wrong, whatever that is."""
    try:
        problem = problem_with(folder, name)
    except Exception as error:
        problem = f"{type(error).__name__}: {str(error)[:200]}"
    return REFUSED if problem and not runs_afresh(folder, name) else problem


def quieten() -> None:
    """Let transformers say nothing that is not asked for."""
    import transformers

    logging: Any = transformers.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def tally(place: Path) -> int:
    """Try the models in a folder, print those that fail, and return how many these are."""
    import transformers

    quieten()
    folders = sorted(place.iterdir())
    good = refused = 0
    for folder in folders:
        name = (folder / CLASS).read_text("utf-8")
        problem = outcome(folder, name)
        refused += problem == REFUSED
        good += not problem
        if problem:
            print(folder.name, name, problem[:600], flush=True)
    said = f"transformers {transformers.__version__}: {good} of {len(folders) - refused}"
    print(f"{said}; {refused} more configurations transformers itself refuses")
    return len(folders) - refused - good


if __name__ == "__main__":
    sys.exit(1 if tally(Path(sys.argv[1])) else 0)
