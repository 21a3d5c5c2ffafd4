"""`python -m glorot_cli.hdf5_reader`: the process in which HDF5 files are read, within limits.

HDF5's library crashes, hangs and fills the memory on damaged files, so that none is opened in the
process of the user. This one answers requests, and opens no file but the one that a request is for.
"""

from __future__ import annotations

import codecs
import contextlib
import json
from collections.abc import Iterable, Iterator

from glorot_cli.child import (
    DATA,
    Answer,
    RefusedError,
    let_run,
    listing,
    may_open_files,
    refusal,
    serve,
)
from glorot_cli.hdf5_reader.objects import Kept, Request, Walk, opened

# So many files stay open at once, as two do in turn that are compared.
MOST_OPEN = 4


class Files:
    """Keep the files of the last requests open."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[Walk, contextlib.ExitStack]] = {}
        self._kept: Kept = {}

    def of(self, request: Request) -> Walk:
        """Return a request's file, the only one that is opened for it.

        A listing is of what is there now, while HDF5 remembers what it has open: all is closed.
        """
        if "dataset" not in request:
            self.close()
        number = request["file"]
        walk, stack = self._open.pop(number, (None, contextlib.ExitStack()))
        if walk is None:
            while len(self._open) >= MOST_OPEN:
                self._close(next(iter(self._open)))
            with may_open_files():
                file = stack.enter_context(opened(request["path"], request["window"]))
            walk = Walk(file, request, self._kept)
        self._open[number] = walk, stack
        return walk

    def _close(self, number: int) -> None:
        walk, stack = self._open.pop(number)
        for key in [key for key in self._kept if key[0] is walk]:
            del self._kept[key]
        stack.close()

    def close(self) -> None:
        """Close all files."""
        for number in list(self._open):
            self._close(number)


def answers(requests: Iterable[bytes | str]) -> Iterator[Answer]:
    """Answer requests in their order."""
    files = Files()
    try:
        for line in requests:
            request = json.loads(line)
            let_run(request["patience"])
            yield _answer(files, request)
            let_run(0)
    finally:
        files.close()


def _answer(files: Files, request: Request) -> Answer:
    try:
        walk = files.of(request)
        if "dataset" in request:
            return DATA, walk.block(request["dataset"], request["number"])
        return listing(walk.listing())
    except RefusedError as error:
        return refusal(*error.parts)
    except MemoryError:
        return refusal("HDF5 needs more memory for it than is allowed")
    except Exception as error:
        return refusal(f"HDF5 cannot read it: {error}")


def _prepare() -> None:
    import h5py
    import numpy as np

    # What these load on their first use cannot be loaded while no file may be opened.
    str(np.dtype([("x", "f4")]))
    h5py.h5t.py_create(np.dtype("f4"))
    codecs.lookup("ascii")


if __name__ == "__main__":
    serve(answers, _prepare)
