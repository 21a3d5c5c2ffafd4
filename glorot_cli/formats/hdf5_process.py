"""The user's side of the processes that read HDF5: what they send, or how they ended."""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import struct
import sys
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glorot_cli.errors import FormatError, shown
from glorot_cli.formats import hdf5_child
from glorot_cli.formats.hdf5_child import DATA, HEADER, LISTING, QUESTION, REFUSAL, STATUS

if TYPE_CHECKING:
    import subprocess

LARGEST_MESSAGE = 128 << 20
# Without site, whose work is done, and without what the packages import, which only writes files.
_START = """
import json, sys, types
sys.path[:], packages = json.loads(sys.argv[1])
for name, path in packages.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from glorot_cli.formats.hdf5_child import run
run()
"""
# A process whose clock has run out is ended by the system; this is for the rest.
GRACE = 60.0


class Child:
    """Be a process that has one file open, and reads it for any thread."""

    def __init__(self, path: Path, request: Mapping[str, Any]) -> None:
        self.path = path
        self._patience = request["patience"]
        self._lock = threading.Lock()
        self._end = ""
        self._link, theirs = socket.socketpair()
        self._status, status = os.pipe()
        weakref.finalize(self, _close, self._link, self._status)
        try:
            _server.hand(theirs.fileno(), status)
        except OSError as error:
            raise FormatError(
                f"{path}: cannot start a process to read it in: {error.strerror or error}"
            ) from None
        finally:
            theirs.close()
            os.close(status)
        self._link.settimeout(self._patience + GRACE)
        message = json.dumps(request).encode()
        with suppress(OSError):
            self._link.sendall(struct.pack("<Q", len(message)) + message)

    def listing(self) -> dict[str, Any]:
        """Return what the file holds.

        Raises:
            FormatError: if it cannot be read.
        """
        with self._lock:
            found = json.loads(self._received(LISTING, str(self.path), None))
        return dict(found)

    def block(self, index: int, name: str, number: int, nbytes: int) -> bytearray:
        """Return the bytes of a block of a dataset.

        Raises:
            FormatError: if they cannot be read, or are not as many.
        """
        where = f"{self.path}: {shown(name)}"
        with self._lock:
            if not self._end:
                with suppress(OSError):
                    self._link.sendall(QUESTION.pack(index, number))
            return self._received(DATA, where, nbytes)

    def _received(self, expected: bytes, where: str, nbytes: int | None) -> bytearray:
        if self._end:
            raise FormatError(self._end)
        try:
            header = hdf5_child.receive(self._link, HEADER.size)
            if len(header) == HEADER.size:
                kind, length = HEADER.unpack(header)
                largest = LARGEST_MESSAGE if nbytes is None or kind == REFUSAL else nbytes
                payload = hdf5_child.receive(self._link, min(length, largest))
                if kind == REFUSAL:
                    raise FormatError(f"{where}: {_told(payload)}")
                fits = length <= largest if nbytes is None else length == nbytes
                if kind == expected and fits and len(payload) == length:
                    return payload
            self._end = f"{self.path}: {self._how()}"
        except TimeoutError:
            self._end = f"{self.path}: HDF5's library came to no end; the file is damaged"
        except OSError:
            self._end = f"{self.path}: {self._how()}"
        raise FormatError(self._end)

    def _how(self) -> str:
        """Say how the process ended."""
        self._link.close()
        status = os.read(self._status, STATUS.size)
        code = STATUS.unpack(status)[0] if len(status) == STATUS.size else None
        if code is None:
            return "the process that was to read it did not start"
        if code == -signal.SIGALRM:
            return (
                f"HDF5's library came to no end within {self._patience:.0f} s; the file is damaged"
            )
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"HDF5's library failed on it ({how}); the file is damaged"


def _told(payload: bytearray) -> str:
    parts = json.loads(payload)
    return "".join(shown(part) if place % 2 else part for place, part in enumerate(parts))


def _close(link: socket.socket, status: int) -> None:
    link.close()
    os.close(status)


class _Server:
    """Be the process that forks for each file, started with the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._owner = 0

    def hand(self, *descriptors: int) -> None:
        """Let a new process have these descriptors."""
        with self._lock:
            if not self._lives():
                self._start()
            assert self._control is not None
            try:
                socket.send_fds(self._control, [b"f"], descriptors)
            except BrokenPipeError:
                self._start()
                socket.send_fds(self._control, [b"f"], descriptors)

    def _lives(self) -> bool:
        # A fork of the user's has this server's memory, but not its process.
        return (
            self._process is not None
            and self._owner == os.getpid()
            and self._process.poll() is None
        )

    def _start(self) -> None:
        import subprocess

        if self._control is not None:
            self._control.close()
        self._control, theirs = socket.socketpair()
        formats = Path(__file__).parent
        packages = {"glorot_cli": str(formats.parent), "glorot_cli.formats": str(formats)}
        paths = [str(Path(path).absolute()) for path in sys.path]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, json.dumps([paths, packages])],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        self._owner = os.getpid()

    def stop(self) -> None:
        """Let the process end, and wait for it."""
        lives = self._lives()
        if self._control is not None:
            self._control.close()
        if lives and self._process is not None:
            self._process.wait()


_server = _Server()
atexit.register(_server.stop)
