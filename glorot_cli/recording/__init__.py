"""A torch module to a spec: watched while it is built, without the memory for it.

The one part of the program that imports torch, and only when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from glorot_cli.errors import GlorotError, shown

if TYPE_CHECKING:
    from glorot_cli.recording.document import Recording

MOST_NAMED = 8


def record(build: Callable[..., Any] | object, /, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return the spec, as plain data, of the torch module that `build(*args, **kwargs)` returns.

    `build` is a function or a class; of a module that stands already, its `reset_parameters` and
    those of its parts are watched. The spec holds names, shapes, dtypes and initializers of
    `state_dict()`, in its order, and the draws that the stream `torch` replays.

    Raises:
        GlorotError: if torch is missing, the module cannot be built without memory, or a tensor of
            it is made in a way that is not understood.
    """
    found = recorded(lambda: build, args, kwargs)
    if found.unknown:
        raise GlorotError(not_understood(found))
    return found.spec


def recorded(
    find: Callable[[], Any], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
) -> Recording:
    """Watch what `find()` returns while it is built, and return all that is known of it."""
    try:
        import torch
    except ImportError:
        raise GlorotError(
            "record watches torch while it builds the module, and torch is not installed: "
            "pip install torch"
        ) from None
    del torch
    from glorot_cli.recording.builders import builder
    from glorot_cli.recording.document import recording_of
    from glorot_cli.recording.module import watch_module

    return recording_of(watch_module(builder(find(), args, kwargs or {})))


def not_understood(found: Recording) -> str:
    """Say of each tensor that is not understood what made it, and what to do."""
    lines = [
        f"{shown(each.name)}, {each.dtype} of shape {list(each.shape)}: {each.reason}"
        for each in found.unknown[:MOST_NAMED]
    ]
    more = len(found.unknown) - len(lines)
    if more:
        lines.append(f"and {more} more")
    return (
        f"{len(found.unknown)} of {found.count} tensors are not understood: "
        + "; ".join(lines)
        + "; write them with torch.nn.init or with normal_, uniform_ or fill_, give them an entry "
        "of your own in the spec that --unknown keep writes, or keep them from a file"
    )
