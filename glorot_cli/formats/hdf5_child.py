"""The process in which HDF5 files are read: it forks for each, within limits, and answers.

HDF5's library crashes, hangs and fills the memory on damaged files, so that none is opened in the
process of the user. This one imports h5py once; its forks may take some memory and time, and open
no file but the one that each is for.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from glorot_cli.formats.hdf5_objects import RefusedError, Request, Walk, opened

# What a message is (a listing, data, a refusal) and how many bytes follow.
HEADER = struct.Struct("<cQ")
# Which dataset of the listing is asked for, and which of its blocks.
QUESTION = struct.Struct("<QQ")
STATUS = struct.Struct("<i")
LISTING, DATA, REFUSAL = b"L", b"D", b"R"


def receive(link: socket.socket, count: int) -> bytearray:
    """Receive so many bytes, or fewer if the other side has gone."""
    data = bytearray(count)
    view = memoryview(data)
    while view:
        taken = link.recv_into(view)
        if not taken:
            break
        view = view[taken:]
    return data[: count - len(view)]


def answer(link: socket.socket, request: Request, confine: Callable[[], object]) -> None:
    """Send a file's listing, and then its blocks as they are asked for.

    `confine` is called once the file is open: from then on nothing else may be.
    """
    with (
        _refusing(link),
        opened(request["path"], request["window"]) as file,
    ):
        confine()
        walk = Walk(file, request)
        listing = json.dumps(walk.listing(), ensure_ascii=False)
        _send(link, LISTING, listing.encode("utf-8", "surrogatepass"))
        while len(question := receive(link, QUESTION.size)) == QUESTION.size:
            _rearm(request["patience"])
            with _refusing(link):
                _send(link, DATA, walk.block(*QUESTION.unpack(question)))


@contextlib.contextmanager
def _refusing(link: socket.socket) -> Iterator[None]:
    """Send what goes wrong as a message."""
    try:
        yield
    except RefusedError as error:
        _send(link, REFUSAL, json.dumps(error.parts).encode())
    except MemoryError:
        _send(link, REFUSAL, json.dumps(["HDF5 needs more memory for it than is allowed"]).encode())
    except BrokenPipeError:
        raise
    except Exception as error:
        _send(link, REFUSAL, json.dumps([f"HDF5 cannot read it: {error}"]).encode())


def _send(link: socket.socket, kind: bytes, payload: Any) -> None:
    # Whoever waits for the other side is not late.
    _rearm(0)
    link.sendall(HEADER.pack(kind, len(payload)))
    link.sendall(payload)


def _rearm(seconds: float) -> None:
    """Let the system end this process in so many seconds, even inside of HDF5; 0 is never."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _work(link: socket.socket) -> None:
    (length,) = struct.unpack("<Q", receive(link, 8))
    request = json.loads(receive(link, length))
    _rearm(request["patience"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit(resource.RLIMIT_AS, _taken() + request["memory"])
    answer(link, request, lambda: _limit(resource.RLIMIT_NOFILE, 0))


def _limit(kind: int, value: int) -> None:
    # macOS knows these limits and refuses some values.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(kind, (value, value))


def _taken() -> int:
    """Return how much of its address space this process uses."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return 1 << 30


def _keep(link: int, status: int) -> None:
    """Fork once more for a file, and tell how that process ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    worker = os.fork()
    if worker == 0:
        os.close(status)
        with socket.socket(fileno=link) as opened:
            _work(opened)
        return
    os.close(link)
    code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    os.write(status, STATUS.pack(code))


def run() -> None:
    """Fork for each pair of descriptors that comes in, until whoever sends them has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    import h5py
    import numpy as np

    # What these load on their first use cannot be loaded once no file may be opened.
    str(np.dtype([("x", "f4")]))
    h5py.h5t.py_create(np.dtype("f4"))
    with socket.socket(fileno=0) as control:
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, 1, 2)
            if not message:
                return
            if os.fork() == 0:
                control.close()
                try:
                    _keep(*descriptors)
                    os._exit(0)
                finally:
                    os._exit(1)
            for descriptor in descriptors:
                os.close(descriptor)
