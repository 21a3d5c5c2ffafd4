"""The user's side of the processes that read damaged files: what one is asked, or how it ended."""

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
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from glorot_cli.child import HEADER, LISTING, REFUSAL
from glorot_cli.errors import FormatError, shown

if TYPE_CHECKING:
    import subprocess

LARGEST_MESSAGE = 256 << 20
_numbers = itertools.count()


class Program(NamedTuple):
    """Name a program that reads files, and the memory that it may take beyond its own size.

    `reader` is what errors call it, and `slow` says why it may take long.
    """

    module: str
    memory: int
    reader: str
    slow: str


class OpenFile:
    """Be a file that the process reads for any thread, for so many seconds of its processor."""

    def __init__(self, path: Path, request: Mapping[str, Any], process: Process) -> None:
        self.path = path
        self._process = process
        self._request = {**request, "file": next(_numbers)}
        self._patience = self._left = float(request["patience"])

    def listing(self) -> dict[str, Any]:
        """Return what the file holds.

        Raises:
            FormatError: if it cannot be read.
        """
        return dict(json.loads(self.ask({}, LISTING, str(self.path), LARGEST_MESSAGE)))

    def ask(self, question: Mapping[str, Any], kind: bytes, where: str, most: int) -> bytes:
        """Return the answer to a question: bytes of a kind, and at most so many.

        Raises:
            FormatError: if there is none.
        """
        if self._left <= 0:
            raise FormatError(f"{self.path}: {self._slow()}")
        request = {**self._request, **question, "patience": self._left}
        try:
            found, payload, spent = self._process.ask(request, kind, most)
        except EndedError as error:
            self._left = self._left if error.code != -signal.SIGPROF else 0.0
            how = self._slow() if error.code == -signal.SIGPROF else self._failed(error.code)
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
            f"{self._process.program.reader} takes more than {self._patience:.0f} s of processor "
            f"time for it; {self._process.program.slow}"
        )

    def _failed(self, code: int) -> str:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"{self._process.program.reader} failed on it ({how}); the file is damaged"


def _told(payload: bytes) -> str:
    parts = json.loads(payload)
    return "".join(shown(part) if place % 2 else part for place, part in enumerate(parts))


class EndedError(Exception):
    """Report that the process ended instead of answering; the code is that of `subprocess`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Process:
    """Be the process that reads, started with the first question and after each that ended it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        atexit.register(self.stop)

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
            self._process = _started(self.program)
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


def _started(program: Program) -> subprocess.Popen[bytes]:
    import subprocess

    command = [sys.executable, "-P", "-m", program.module, str(program.memory)]
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
