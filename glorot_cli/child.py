"""What the processes share in which damaged files are read: their limits, and how they answer.

Such a process answers requests, each a line of JSON on standard input, until there are no more. It
may take some memory and processor time.
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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

# What an answer is (a listing, data, a refusal), how many bytes follow, and the processor time.
HEADER = struct.Struct("<cQd")
LISTING, DATA, REFUSAL = b"L", b"D", b"R"

Answer = tuple[bytes, Any]


class RefusedError(Exception):
    """Say in parts what is wrong with a file; every second part is a name to be quoted."""

    def __init__(self, *parts: str) -> None:
        super().__init__(*parts)
        self.parts = parts


def refusal(*parts: str) -> Answer:
    """Return the answer that refuses a file, in the parts of `RefusedError`."""
    return REFUSAL, json.dumps(parts).encode()


def listing(document: Any) -> Answer:
    """Return the answer that lists what a file holds."""
    text = json.dumps(document, ensure_ascii=False)
    return LISTING, text.encode("utf-8", "surrogatepass")


def let_run(seconds: float) -> None:
    """Let the system end this process after so much processor time; 0 is never."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def limit(kind: int, value: int, most: int) -> None:
    """Lower a limit of this process; macOS knows some and refuses some values."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(kind, (value, most))


@contextlib.contextmanager
def may_open_files() -> Iterator[None]:
    """Let files be opened, which otherwise nothing may that a file's content asks for."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit(resource.RLIMIT_NOFILE, most, most)
    try:
        yield
    finally:
        limit(resource.RLIMIT_NOFILE, 0, most)


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


def serve(
    answers: Callable[[Iterable[bytes]], Iterable[Answer]], prepare: Callable[[], None]
) -> None:
    """Answer what comes in, within the memory that the command line grants.

    Nothing but answers goes out. `prepare` loads what cannot be loaded within the limits.
    """
    memory = int(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    prepare()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = _taken() + memory
    limit(resource.RLIMIT_AS, most, most)
    begun = time.process_time()
    for kind, payload in answers(sys.stdin.buffer):
        ended = time.process_time()
        _send(out, kind, payload, ended - begun)
        begun = ended
        if kind == REFUSAL:
            # Whatever went wrong may have left something behind.
            return
