"""Modules whose input size the shape that flows in says, as torch's Lazy modules."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

from glorot_cli.dialects.layer import Built, Flow
from glorot_cli.dialects.torch.linear import flowing


def lazy(function: Callable[..., Built], key: str, axis: int = 0) -> Callable[..., Built]:
    """Make a module without the argument `key`, which is the size of an axis of its input."""

    def Lazy(x: Flow, **arguments: Any) -> Built:
        return function(
            x, **{key: flowing(x, axis, f"{key} to the module that is not lazy")}, **arguments
        )

    signature = inspect.signature(function)
    kept = [each for name, each in signature.parameters.items() if name != key]
    hints = typing.get_type_hints(function, include_extras=True)
    Lazy.__name__ = f"Lazy{function.__name__}"
    Lazy.__doc__ = function.__doc__
    Lazy.__annotations__ = {name: hint for name, hint in hints.items() if name != key}
    Lazy.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return Lazy
