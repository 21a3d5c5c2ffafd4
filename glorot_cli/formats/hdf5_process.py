"""The user's side of the process that reads HDF5: what it is asked, or how it ended."""

from __future__ import annotations

import atexit
import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from glorot_cli.errors import FormatError, shown
from glorot_cli.formats.table import H5
from glorot_cli.hdf5_reader.__main__ import DATA, HEADER, LISTING, REFUSAL

if TYPE_CHECKING:
    import subprocess

LARGEST_MESSAGE = 256 << 20
# What HDF5's library may take, beyond its own size, before it is ended.
LARGEST_MEMORY = 768 << 20


_numbers = itertools.count()


class OpenFile:
    """Be a file that the process reads for any thread, for so many seconds of its processor."""

    def __init__(self, path: Path, request: Mapping[str, Any]) -> None:
        self.path = path
        self._request = {**request, "file": next(_numbers)}
        self._patience = self._left = float(request["patience"])

    def listing(self) -> dict[str, Any]:
        """Return what the file holds.

        Raises:
            FormatError: if it cannot be read.
        """
        return dict(json.loads(self._asked({}, LISTING, str(self.path), LARGEST_MESSAGE)))

    def block(self, dataset: str, name: str, number: int, nbytes: int) -> bytes:
        """Return the bytes of a block of a dataset.

        Raises:
            FormatError: if they cannot be read, or are not as many.
        """
        question = {"dataset": dataset, "number": number}
        found = self._asked(question, DATA, f"{self.path}: {shown(name)}", nbytes)
        if len(found) != nbytes:
            raise FormatError(f"{self.path}: {shown(name)}: the file has changed")
        return found

    def _asked(self, question: Mapping[str, Any], kind: bytes, where: str, most: int) -> bytes:
        if self._left <= 0:
            raise FormatError(f"{self.path}: {self._slow()}")
        request = {**self._request, **question, "patience": self._left}
        try:
            found, payload, spent = _process.ask(request, kind, most)
        except EndedError as error:
            self._left = self._left if error.code != -signal.SIGPROF else 0.0
            how = self._slow() if error.code == -signal.SIGPROF else str(error)
            raise FormatError(f"{self.path}: {how}") from None
        except OSError as error:
            raise FormatError(
                f"{self.path}: cannot start a process to read it in: {error.strerror or error}"
            ) from None
        self._left -= spent
        if found == REFUSAL:
            raise FormatError(f"{where}: {_told(payload)}")
        return payload

    def _slow(self) -> str:
        return (
            f"HDF5's library takes more than {self._patience:.0f} s of processor time for it; "
            "it is damaged, or its chunks lie across the order of its elements"
        )


def _told(payload: bytes) -> str:
    parts = json.loads(payload)
    return "".join(shown(part) if place % 2 else part for place, part in enumerate(parts))


class EndedError(Exception):
    """Report that the process ended instead of answering; the code is that of `subprocess`."""

    def __init__(self, code: int) -> None:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        super().__init__(f"HDF5's library failed on it ({how}); the file is damaged")
        self.code = code


class Process:
    """Be the process that reads, started with the first question and after each that ended it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def ask(self, request: Mapping[str, Any], kind: bytes, most: int) -> tuple[bytes, bytes, float]:
        """Return what an answer is, its bytes, and the processor time that it took.

        Raises:
            EndedError: if the process ended, or said what is neither `kind` nor a refusal, or more
                than `most` bytes.
            OSError: if it cannot be started.
        """
        with self._lock:
            process = self._living()
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
            try:
                answer = _received(process.stdout, kind, most)
            except BaseException:
                process.kill()
                self.stop()
                raise
            if answer is None:
                self.stop()
                raise EndedError(process.wait())
            if answer[0] == REFUSAL:
                self.stop()
            return answer

    def _living(self) -> subprocess.Popen[bytes]:
        # A fork of the user's has this object, but not its process.
        if self._process is not None and self._process.poll() is not None:
            self.stop()
        if self._process is None or self._owner != os.getpid():
            self._process = _started()
            self._owner = os.getpid()
        return self._process

    def stop(self) -> None:
        """Let the process end, and wait for it."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        assert process.stdin is not None
        assert process.stdout is not None
        # What is left to be said to it may find nobody.
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        process.wait()


def _received(out: IO[bytes], expected: bytes, most: int) -> tuple[bytes, bytes, float] | None:
    """Receive an answer, or None where it ends early, is too long or another."""
    header = out.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    kind, length, spent = HEADER.unpack(header)
    if kind not in (expected, REFUSAL) or length > (LARGEST_MESSAGE if kind == REFUSAL else most):
        return None
    payload = out.read(length)
    return (kind, payload, spent) if len(payload) == length else None


def _started() -> subprocess.Popen[bytes]:
    import subprocess

    command = [sys.executable, "-P", "-m", str(H5.process), str(LARGEST_MEMORY)]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path),
            "HDF5_USE_FILE_LOCKING": "FALSE",
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        },
    )


_process = Process()
atexit.register(_process.stop)
