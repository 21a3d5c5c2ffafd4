"""`python -m glorot_cli.hdf5_reader`: the process in which HDF5 files are read, within limits.

HDF5's library crashes, hangs and fills the memory on damaged files, so that none is opened in the
process of the user. This one answers requests, each a line of JSON on standard input, until there
are no more. It may take some memory and processor time, and opens no file but the one that a
request is for.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from glorot_cli.hdf5_reader.objects import Kept, RefusedError, Request, Walk, opened

# What an answer is (a listing, data, a refusal), how many bytes follow, and the processor time.
HEADER = struct.Struct("<cQd")
LISTING, DATA, REFUSAL = b"L", b"D", b"R"
# So many files stay open at once, as two do in turn that are compared.
MOST_OPEN = 4

Answer = tuple[bytes, Any]


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
            with _may_open_files():
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
            _let_run(request["patience"])
            yield _answer(files, request)
            _let_run(0)
    finally:
        files.close()


def _answer(files: Files, request: Request) -> Answer:
    try:
        walk = files.of(request)
        if "dataset" in request:
            return DATA, walk.block(request["dataset"], request["number"])
        listing = json.dumps(walk.listing(), ensure_ascii=False)
        return LISTING, listing.encode("utf-8", "surrogatepass")
    except RefusedError as error:
        parts: tuple[str, ...] = error.parts
    except MemoryError:
        parts = ("HDF5 needs more memory for it than is allowed",)
    except Exception as error:
        parts = (f"HDF5 cannot read it: {error}",)
    return REFUSAL, json.dumps(parts).encode()


def _let_run(seconds: float) -> None:
    """Let the system end this process after so much processor time, even in HDF5; 0 is never."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


@contextlib.contextmanager
def _may_open_files() -> Iterator[None]:
    """Let files be opened, which otherwise nothing may that a file's content asks for."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    _limit(resource.RLIMIT_NOFILE, most, most)
    try:
        yield
    finally:
        _limit(resource.RLIMIT_NOFILE, 0, most)


def _limit(kind: int, value: int, most: int) -> None:
    # macOS knows these limits and refuses some values.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(kind, (value, most))


def _taken() -> int:
    """Return how much of its address space this process uses."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return 1 << 30


def _send(out: IO[bytes], kind: bytes, payload: Any, spent: float) -> None:
    out.write(HEADER.pack(kind, len(payload), spent))
    out.write(payload)
    out.flush()


def main() -> None:
    """Answer what comes in; nothing but answers goes out."""
    memory = int(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    import h5py
    import numpy as np

    # What these load on their first use cannot be loaded while no file may be opened.
    str(np.dtype([("x", "f4")]))
    h5py.h5t.py_create(np.dtype("f4"))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = _taken() + memory
    _limit(resource.RLIMIT_AS, most, most)
    begun = time.process_time()
    for kind, payload in answers(sys.stdin.buffer):
        ended = time.process_time()
        _send(out, kind, payload, ended - begun)
        begun = ended
        if kind == REFUSAL:
            # Whatever went wrong may have left something behind.
            return


if __name__ == "__main__":
    main()
