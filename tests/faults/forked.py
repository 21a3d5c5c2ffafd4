"""A command line in a fork of this process: what it would do to the process stays there."""

from __future__ import annotations

import io
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import glorot_cli.cli
from glorot_cli import __main__

# What the standard library says of itself when it touches a file.
TOUCHING = (
    "open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate",
    "fcntl.flock", "os.scandir", "os.listdir", "shutil.rmtree",
)  # fmt: skip


class Ended(NamedTuple):
    """Hold how a command ended: its code, or minus the signal, and what it printed."""

    code: int
    out: str
    err: str


class Forked:
    """A command line that runs in a fork, as the program does, after something else."""

    def __init__(
        self, arguments: list[str], folder: Path, before: Callable[[], object] = lambda: None
    ) -> None:
        self._out, self._err = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115
        with warnings.catch_warnings():
            # Of threads, of which there are none.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            _run(arguments, folder, before, self._out.fileno(), self._err.fileno())

    def kill(self) -> None:
        """Kill it, if it has not ended."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> Ended:
        """Wait for its end."""
        _, status = os.waitpid(self.pid, 0)
        with self._out as out, self._err as err:
            out.seek(0)
            err.seek(0)
            said = out.read().decode(), err.read().decode()
        return Ended(os.waitstatus_to_exitcode(status), *said)


def forked(
    arguments: list[str], folder: Path, before: Callable[[], object] = lambda: None
) -> Ended:
    """Run a command line in a fork to its end."""
    return Forked(arguments, folder, before).wait()


def _run(
    arguments: list[str], folder: Path, before: Callable[[], object], out: int, err: int
) -> None:
    code = 99
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "utf-8")
        sys.stderr = io.TextIOWrapper(
            io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", write_through=True
        )
        os.chdir(folder)
        for number in __main__._STOPS:
            signal.signal(number, signal.SIG_DFL)  # though whoever started this has it ignored
        __main__._answer_signals()
        before()
        code = glorot_cli.cli.main(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def counted() -> None:
    """Let this process print how many steps it took, as it ends."""
    count = 0

    def reached() -> None:
        nonlocal count
        count += 1

    _hear(reached)
    leave = os._exit

    def tell(code: int) -> None:
        os.write(2, str(count).encode())
        leave(code)

    os._exit = tell  # type: ignore[assignment]


def at_step(step: int, number: signal.Signals) -> Callable[[], None]:
    """Return what sends this process a signal as it touches the file system for the nth time."""

    def arm() -> None:
        count = 0

        def reached() -> None:
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), number)

        _hear(reached)

    return arm


def _hear(reached: Callable[[], None]) -> None:
    def heard(event: str, values: tuple[object, ...]) -> None:
        if event in TOUCHING and not str(values[0] if values else "").endswith((".py", ".pyc")):
            reached()

    sys.addaudithook(heard)
    for name in ("fsync", "posix_fallocate", "pwrite"):
        _announce(name, reached)


def _announce(name: str, reached: Callable[[], None]) -> None:
    original = getattr(os, name, None)
    if original is not None:

        def call(*values: object) -> object:
            reached()
            return original(*values)

        setattr(os, name, call)
