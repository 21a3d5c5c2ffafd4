"""`python -m glorot_cli.torch_reader`: the process that reads torch's pickles, within limits.

A pickle is a program. Nothing that it names is imported or called here: it can only build mappings,
lists and descriptions of tensors. What it may still cost, memory and time, this process may not
take for long.
"""

from __future__ import annotations

import contextlib
import json
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from glorot_cli.child import (
    Answer,
    RefusedError,
    let_run,
    listing,
    may_open_files,
    refusal,
    serve,
)
from glorot_cli.torch_reader.objects import ITEM_SIZES, QUANTISED, Storage, Tensor
from glorot_cli.torch_reader.tree import Request, Tree
from glorot_cli.torch_reader.unpickler import Source, load

MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
# Pickles that a legacy file starts with: a number, a version, and what machine wrote it.
_COUNT = struct.Struct("<q")
_ADDRESS = re.compile(r" (object )?at 0x[0-9a-f]+")


def answers(requests: Iterable[bytes | str]) -> Iterator[Answer]:
    """Answer requests in their order."""
    for line in requests:
        request = json.loads(line)
        let_run(request["patience"])
        yield _answer(request)
        let_run(0)


def _answer(request: Request) -> Answer:
    try:
        with contextlib.ExitStack() as stack:
            with may_open_files():
                raw = stack.enter_context(Path(request["path"]).open("rb"))
            return listing(_listing(raw, request))
    except RefusedError as error:
        return refusal(*error.parts)
    except MemoryError:
        return refusal("its pickle needs more memory than is allowed")
    except RecursionError:
        return refusal("its pickle is nested too deeply")
    except Exception as error:
        said = _ADDRESS.sub("", str(error)) or type(error).__name__
        return refusal(f"its pickle is damaged: {said[:200]}")


def _listing(raw: IO[bytes], request: Request) -> dict[str, Any]:
    """List the tensors, each with its storage, first byte there, shape and strides.

    `storages` has the places of a legacy file's storages; those of an archive are members of it.
    """
    raw.seek(request["start"])
    source = Source(raw, request["size"])
    if request["legacy"]:
        _check_head(source)
    root, storages = load(source)
    places = _places(raw, source, storages) if request["legacy"] else None
    found = Tree(root, request).weights(request["key"])
    tensors = [_described(name, tensor) for name, tensor in found.tensors.items()]
    return {"tensors": tensors, "storages": places, "notes": found.notes}


def _check_head(source: Source) -> None:
    magic, version = load(source)[0], load(source)[0]
    load(source)
    if magic != MAGIC or version != _PROTOCOL:
        raise RefusedError("it is not a file that torch.save wrote")


def _places(
    raw: IO[bytes], source: Source, storages: dict[str, Storage]
) -> dict[str, tuple[int, int]]:
    """Return where the bytes of each storage start, and how many there are."""
    keys, _ = load(source)
    if not isinstance(keys, list):
        raise RefusedError("its list of storages is damaged")
    places: dict[str, tuple[int, int]] = {}
    size = source.left + raw.tell()
    at = raw.tell()
    for key in keys:
        known = storages.get(key) if isinstance(key, str) else None
        if known is None or key in places:
            raise RefusedError("its list of storages is damaged")
        raw.seek(at)
        head = raw.read(_COUNT.size)
        if len(head) < _COUNT.size:
            raise RefusedError("it ends before its storages do; is it cut short?")
        itemsize = ITEM_SIZES[QUANTISED.get(known.dtype, known.dtype)]
        nbytes = _COUNT.unpack(head)[0] * itemsize
        at += _COUNT.size
        if nbytes < 0 or at + nbytes > size:
            raise RefusedError("it ends before its storages do; is it cut short?")
        places[key] = at, nbytes
        at += nbytes
    return places


def _described(name: str, tensor: Tensor) -> list[Any]:
    return [
        name,
        tensor.storage.key,
        tensor.dtype,
        ITEM_SIZES[tensor.dtype],
        tensor.first,
        tensor.shape,
        tensor.strides,
    ]


if __name__ == "__main__":
    serve(answers, lambda: None)
