"""What is to be recorded: a function of the user's code, a module, or a config.json."""

from __future__ import annotations

import copy
import importlib
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from glorot_cli.errors import GlorotError, shown, suggestion

Build = Callable[[], Any]
_OWN = str(Path(__file__).parent)


def builder(found: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Build:
    """Return the function that builds the module anew.

    Raises:
        GlorotError: if it is neither a module nor anything that can be called.
    """
    import torch

    if isinstance(found, torch.nn.Module):
        if args or kwargs:
            raise GlorotError("a module that stands already takes no arguments; name its class")
        return lambda: _reset(found)
    if not callable(found):
        raise GlorotError(
            f"expected a function or a class that makes a torch module, found {shown(found)}"
        )

    def build() -> Any:
        try:
            return found(*args, **kwargs)
        except GlorotError:
            raise
        except Exception as error:
            raise GlorotError(_raised(found, error)) from error

    return build


def _raised(found: Any, error: Exception) -> str:
    """Say what a user's function raised, and where in their own code."""
    name = getattr(found, "__qualname__", type(found).__name__)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_OWN)
    ]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    kind = type(error).__name__
    if kind in ("DataDependentOutputException", "DynamicOutputShapeException"):
        return (
            f"{name} looks at what it drew{where}, which cannot be watched; "
            "write that part as raw tensors of a spec"
        )
    if "UninitializedParameter" in str(error) or "UninitializedBuffer" in str(error):
        return (
            f"{name} has lazy parts{where}, which torch draws at their first call; give their "
            "sizes, with Linear for LazyLinear and so on"
        )
    return f"{name} raised {kind}{where}: {error}"


def _reset(module: Any) -> Any:
    """Draw a copy of a module anew, as its parts' `reset_parameters` do, innermost first."""
    fresh = copy.deepcopy(module)
    parts = list(fresh.modules())
    resets = [part for part in parts if callable(getattr(part, "reset_parameters", None))]
    if not resets:
        raise GlorotError(
            f"{type(module).__name__} has no part with reset_parameters; name the function that "
            "builds it"
        )
    fresh.apply(lambda part: part.reset_parameters() if part in resets else None)
    return fresh


def find_callable(target: str) -> Any:
    """Import what MODULE:CALLABLE names, from the current folder too, as `python -m` would.

    Raises:
        GlorotError: if there is no such module, or nothing of that name in it.
    """
    module, colon, path = target.partition(":")
    if not colon or not module or not path:
        raise GlorotError(
            f"expected MODULE:CALLABLE such as train:build_model, or a config.json, "
            f"found {shown(target)}"
        )
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise GlorotError(f"{module} needs {error.name}, which is not installed") from error
        hint = "; leave out .py" if module.endswith(".py") else ""
        raise GlorotError(f"no module is named {shown(module)}{hint}") from None
    except Exception as error:
        raise GlorotError(f"importing {module} raised {type(error).__name__}: {error}") from error
    for part in path.split("."):
        if not hasattr(found, part):
            known = [name for name in vars(found) if not name.startswith("_")]
            raise GlorotError(f"{module} has no {shown(path)}; {suggestion(part, known)}")
        found = getattr(found, part)
    return found


def find_config(path: Path) -> Build:
    """Return the function that builds the model of a config.json, by transformers.

    Raises:
        GlorotError: if transformers is missing, or knows no such model.
    """
    try:
        import transformers
    except ImportError:
        raise GlorotError(
            f"{path} is a config.json, which transformers builds the model of: "
            "pip install transformers"
        ) from None
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise GlorotError(f"cannot read {path}: {error}") from None
    kind = str(data.get("model_type")) if isinstance(data, dict) else ""
    known = transformers.CONFIG_MAPPING
    if kind not in known:
        raise GlorotError(
            f"{path}: transformers {transformers.__version__} has no model_type {shown(kind)}; "
            f"{suggestion(str(kind), list(known))}"
        )

    # All that is imported, is so before torch is watched.
    config = known[kind].from_dict(data)
    names = data.get("architectures") or []
    chosen = getattr(transformers, names[0], None) if names else None
    if names and chosen is None:
        raise GlorotError(
            f"{path}: transformers {transformers.__version__} has no class {shown(names[0])}"
        )

    def build() -> Any:
        if chosen is not None:
            return chosen._from_config(config)
        mapping = transformers.MODEL_FOR_CAUSAL_LM_MAPPING
        auto = (
            transformers.AutoModelForCausalLM if type(config) in mapping else transformers.AutoModel
        )
        return auto.from_config(config)

    return build
