"""Running a command line in this process, and judging how it ends."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from glorot_cli.cli import main

# What a spec may ask for before it is drawn too.
LARGEST_DRAWN = 1 << 20
LARGEST_MEMORY = 1 << 30
# Where programs and libraries are, and what these ask the system.
_ALLOWED = (
    sys.prefix, sys.base_prefix, "/usr/lib", "/usr/share", "/lib", "/proc/self", "/proc/sys",
    "/proc/meminfo", "/proc/cpuinfo", "/sys", "/dev/null", "/dev/urandom",
    str(Path(__file__).parents[2] / "glorot_cli"), str(Path(__file__).parent),
)  # fmt: skip


class Result(NamedTuple):
    """Hold how a case ended: its exit code, what is wrong with that, and the memory it took."""

    code: int | None
    problem: str
    memory: int
    command: str
    bytes: int = -1
    out: str = ""
    err: str = ""


class Opened:
    """Note every file that is opened outside of the folder of a case."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.folder = ""
        self.watching = False
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching or event != "open" or not isinstance(arguments[0], str | bytes):
            return
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if not path.startswith((self.folder, *_ALLOWED)):
            self.found.add(path)


_opened: Opened | None = None


def watch() -> Opened:
    """Return this process's one record of opened files."""
    global _opened
    _opened = _opened or Opened()
    return _opened


def _called(arguments: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = int(main(arguments))
    return code, out.getvalue(), err.getvalue()


def run_command(folder: Path, arguments: list[str]) -> Result:
    """Run a command that may open files in a folder only, and judge how it ends."""
    opened = watch()
    forget_peak()
    opened.folder, opened.watching = os.path.realpath(folder), True
    opened.found.clear()
    code: int | None = None
    nbytes, out, err = -1, "", ""
    try:
        code, out, err = _called(arguments)
        problem = _problem(code, out, err, "--json" in arguments)
        if arguments[:2] == ["plan", "--json"] and code == 0:
            nbytes = json.loads(out)["totals"]["bytes"]
    except BaseException:
        problem = traceback.format_exc()
    finally:
        opened.watching = False
    memory = peak()
    if not problem and opened.found:
        problem = f"opened {sorted(opened.found)}"
    if not problem and memory > LARGEST_MEMORY:
        problem = f"took {memory >> 20} MiB"
    return Result(code, problem, memory, " ".join(arguments), nbytes, out, err)


def _problem(code: int, out: str, err: str, is_json: bool) -> str:
    lines = err.split("\n")
    errors = [line for line in lines if line and not line.startswith("note: ")]
    if code not in (0, 1, 2):
        return f"exit code {code}: {err}"
    if code == 2 and (len(errors) != 1 or not errors[0].startswith("glorot: ") or out):
        return f"exit code 2 with {err!r} and {out[:200]!r}"
    if code != 2 and errors:
        return f"exit code {code} with {err!r}"
    if any(not line.isprintable() for line in (*lines, *out.split("\n"))):
        return f"unprintable: {out!r} {err!r}"
    try:
        (out + err).encode()
        if is_json and code != 2:
            json.loads(out)
    except ValueError as error:
        return f"{error}: {out!r}"
    return ""


def forget_peak() -> None:
    """Let the system measure the most memory anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Return the most memory that this process has had, where the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().split("\n"):
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0
