"""Which tensors of a pickle are the weights, and what they are called."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from glorot_cli.child import RefusedError
from glorot_cli.torch_reader.objects import Absent, Built, Parts, Tensor

# What a training run saves beside its weights, by how the key starts.
STATE = ("optim", "lr_sched", "sched", "scaler", "grad_scaler", "amp", "rng", "random", "loops")
# Which of several mappings of tensors are the weights; the first that there is.
PREFERRED = (
    "state_dict", "model_state_dict", "model_state", "model", "module", "params", "weights", "net",
    "network", "ema", "ema_state_dict", "model_ema", "params_ema",
)  # fmt: skip
_SHOWN = 4

Request = Mapping[str, Any]


@dataclass(slots=True)
class Found:
    """Gather named tensors, and what is to be said of them."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    notes: list[tuple[str, ...]] = field(default_factory=list)


class Tree:
    """Walk what a pickle holds, within bounds: a few bytes can refer to the same many times."""

    def __init__(self, root: object, request: Request) -> None:
        self.root = root
        self._request = request
        self._visited = 0
        self._names = 0

    def weights(self, key: str | None) -> Found:
        """Return the tensors of the mapping that holds the weights, or of the one of that key.

        Raises:
            RefusedError: if there is no such key, or more than is read.
        """
        found = Found()
        if key is not None:
            chosen, _ = self._at(key)
        else:
            chosen, path = self._chosen(found)
            if path:
                found.notes.append(("the weights are those of ", ".".join(path)))
        for name, value in self._flat("", chosen, 0):
            self._add(found, name, value)
        return found

    def _at(self, key: str) -> tuple[object, list[str]]:
        """Follow keys with dots between, where a key may have dots itself."""
        value, rest = self.root, key
        while rest:
            items = {str(k): v for k, v in _children(value)}
            parts = rest.split(".")
            for count in range(len(parts), 0, -1):
                head = ".".join(parts[:count])
                if head in items:
                    value, rest = items[head], ".".join(parts[count:])
                    break
            else:
                known = ", ".join(list(items)[:20]) or "none"
                raise RefusedError("it has no key ", key, "; there are ", known)
        return value, key.split(".")

    def _chosen(self, found: Found) -> tuple[object, list[str]]:
        value, path = self.root, list[str]()
        while isinstance(value, dict) and len(path) < 8:
            items = {k: v for k, v in value.items() if isinstance(k, str)}
            if any(isinstance(v, Tensor | Parts) and _has_axes(v) for v in items.values()):
                break
            holders = [k for k, v in items.items() if not is_state(k) and self._holds(v, 0)]
            if not holders:
                break
            named = [k for k in PREFERRED if k in holders]
            if len(holders) > 1 and not named:
                break
            chosen = (named or holders)[0]
            others = [k for k in holders if k != chosen]
            if others:
                more = ("and more",) if len(others) > _SHOWN else ()
                listed = ", ".join((*others[:_SHOWN], *more))
                found.notes.append(("--key chooses another mapping: ", listed))
            value = value[chosen]
            path.append(chosen)
        return value, path

    def _holds(self, value: object, depth: int) -> bool:
        """Tell whether there is a tensor somewhere in a value that is no tensor itself."""
        if isinstance(value, Tensor | Parts):
            return depth > 0
        self._count()
        if depth > self._request["deepest"]:
            return False
        return any(self._holds(child, depth + 1) for _, child in _children(value))

    def _flat(self, name: str, value: object, depth: int) -> Iterator[tuple[str, object]]:
        """Yield tensors by their names, joined with dots."""
        self._count()
        if isinstance(value, Tensor | Parts | Absent):
            yield name, value
            return
        if depth > self._request["deepest"]:
            raise RefusedError(f"expected at most {self._request['deepest']} levels of mappings")
        for key, child in _children(value):
            text = str(key) if isinstance(key, str | int) else ""
            if depth == 0 and is_state(text) and not isinstance(child, Tensor):
                continue
            self._names += len(name) + len(text)
            if self._names > self._request["names"]:
                raise RefusedError(
                    f"expected names of at most {self._request['names'] >> 20} MiB in all"
                )
            joined = f"{name}.{text}" if name and text else name or text
            yield from self._flat(joined, child, depth + 1)

    def _add(self, found: Found, name: str, value: object) -> None:
        if isinstance(value, Absent):
            found.notes.append(("left out: ", name, f" {value.reason}"))
        elif isinstance(value, Parts):
            found.notes.append(("", name, f" {value.note}"))
            for part, tensor in value.parts.items():
                self._add(found, f"{name}.{part}" if name else part, tensor)
        elif isinstance(value, Tensor):
            if name in found.tensors:
                raise RefusedError("two tensors are named ", name)
            if len(found.tensors) >= self._request["tensors"]:
                raise RefusedError(f"expected at most {self._request['tensors']} tensors")
            found.tensors[name] = value
            if value.note:
                found.notes.append(("", name, f" {value.note}"))

    def _count(self) -> None:
        self._visited += 1
        if self._visited > self._request["objects"]:
            raise RefusedError(f"expected at most {self._request['objects']} objects")


def is_state(key: str) -> bool:
    """Tell by its key whether a mapping is a training run's own state."""
    return key.lower().startswith(STATE)


def _has_axes(value: Tensor | Parts) -> bool:
    """Tell whether a tensor is more than a counter, as an epoch may be kept."""
    return isinstance(value, Parts) or bool(value.shape)


def _children(value: object) -> Iterator[tuple[object, object]]:
    """Yield what a value holds, by its names; a module's as its `state_dict` would name them."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list | tuple) and not isinstance(value, Tensor | Parts | Absent):
        yield from enumerate(value)
    elif isinstance(value, Built):
        yield from value.items.items()
        yield from enumerate(value.elements)
        state = value.state
        for part in state if isinstance(state, tuple) and len(state) == 2 else (state,):
            if isinstance(part, dict):
                yield from _attributes(part)


def _attributes(state: dict[Any, Any]) -> Iterator[tuple[object, object]]:
    parts = [state.get(name) for name in ("_parameters", "_buffers", "_modules")]
    if not all(isinstance(part, dict) for part in parts):
        yield from state.items()
        return
    passing = state.get("_non_persistent_buffers_set")
    elements = passing.arguments if isinstance(passing, Built) else (passing,)
    left_out = {
        name
        for group in elements
        if isinstance(group, list | tuple | set)
        for name in group
        if isinstance(name, str)
    }
    for key, child in itertools.chain.from_iterable(part.items() for part in parts if part):
        if key not in left_out and child is not None:
            yield key, child
