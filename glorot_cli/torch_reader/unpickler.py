"""Unpickling without running code: every name stays a name, and every call builds a description.

The standard library's unpickler in Python, not the one in C: nine bytes make that one allocate
gigabytes for its memo.
"""

from __future__ import annotations

import pickle
from typing import Any, ClassVar

from glorot_cli.child import RefusedError
from glorot_cli.torch_reader.objects import Built, Name, Storage, built, storage

# Opcodes by which a pickle asks for what is not in it.
_OUTSIDE = b"\x82\x83\x84\x97\x98"


class Source:
    """Be the part of a file that a pickle is read from; no more is read than is there."""

    def __init__(self, raw: Any, size: int) -> None:
        self._raw = raw
        self.left = size

    def read(self, count: int) -> bytes:
        """Return so many bytes.

        Raises:
            RefusedError: if fewer are left.
        """
        if count > self.left:
            raise RefusedError("its pickle is cut short")
        data: bytes = self._raw.read(count)
        self.left -= len(data)
        return data

    def readline(self) -> bytes:
        """Return what is left of a line."""
        data: bytes = self._raw.readline(self.left)
        self.left -= len(data)
        return data


_InPython: Any = pickle._Unpickler


class Unpickler(_InPython):  # type: ignore[misc]
    """Read a pickle of torch's into mappings, lists, tensors and inert objects."""

    stack: list[Any]

    def __init__(self, source: Source) -> None:
        super().__init__(source, encoding="latin1")
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Name:
        """Return the name itself: nothing is imported."""
        return Name(module, name)

    def persistent_load(self, identity: Any) -> Any:
        """Return the storage that is meant; two that share a key are one."""
        if isinstance(identity, tuple) and identity[:1] == ("module",) and len(identity) > 1:
            return identity[1]  # torch kept the source of a class beside it
        found = storage(identity)
        known = self.storages.setdefault(found.key, found)
        if known.nbytes != found.nbytes:
            self.storages[found.key] = max(known, found, key=lambda each: each.nbytes)
        return found

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = built(self.stack[-1], tuple(arguments))

    def _reduce_with_keywords(self) -> None:
        self.stack.pop()
        self._reduce()

    def _instance(self) -> None:
        name = Name(self.readline()[:-1].decode("ascii"), self.readline()[:-1].decode("ascii"))
        self.stack.append(built(name, tuple(self.pop_mark())))

    def _object(self) -> None:
        name, *arguments = self.pop_mark()
        self.stack.append(built(name, tuple(arguments)))

    def _build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Built):
            self.stack[-1].state = state

    def _set_items(self, items: list[Any]) -> None:
        holder = self.stack[-1]
        if isinstance(holder, Built):
            holder = holder.items
        if not isinstance(holder, dict):
            raise RefusedError("its pickle sets items of what is no mapping")
        for place in range(0, len(items) - 1, 2):
            holder[items[place]] = items[place + 1]

    def _append(self, items: list[Any]) -> None:
        holder = self.stack[-1]
        if isinstance(holder, Built):
            holder = holder.elements
        if not isinstance(holder, list):
            raise RefusedError("its pickle appends to what is no list")
        holder += items

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def _set_all(self) -> None:
        self._set_items(self.pop_mark())

    def _append_one(self) -> None:
        self._append([self.stack.pop()])

    def _append_all(self) -> None:
        self._append(self.pop_mark())

    def _refuse(self) -> None:
        raise RefusedError("its pickle asks for what is not in it")

    dispatch: ClassVar[dict[int, Any]] = {
        **_InPython.dispatch,
        **dict.fromkeys(_OUTSIDE, _refuse),
        pickle.REDUCE[0]: _reduce,
        pickle.NEWOBJ[0]: _reduce,
        pickle.NEWOBJ_EX[0]: _reduce_with_keywords,
        pickle.INST[0]: _instance,
        pickle.OBJ[0]: _object,
        pickle.BUILD[0]: _build,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_all,
        pickle.APPEND[0]: _append_one,
        pickle.APPENDS[0]: _append_all,
    }


def load(source: Source) -> tuple[Any, dict[str, Storage]]:
    """Return what a pickle holds, and the storages that it refers to.

    Raises:
        RefusedError: if it holds what is not understood.
        Exception: any other, if it is damaged.
    """
    unpickler = Unpickler(source)
    return unpickler.load(), unpickler.storages
