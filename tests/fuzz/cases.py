"""One case: a mutated file, a command line, and what may come of it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from glorot_cli.cli import main
from tests.fuzz import seeds
from tests.fuzz.mutations import mutated

# What a spec may ask for before it is drawn too.
LARGEST_DRAWN = 1 << 20
LARGEST_MEMORY = 1 << 30
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("inspect", "F"),
    ("inspect", "--json", "F"),
    ("inspect", "--sha256", "F"),
    ("inspect", "--headers", "F"),
    ("verify", "F"),
    ("verify", "F", "S"),
    ("verify", "--json", "--statistics", "F", "S"),
    ("diff", "F", "O"),
    ("diff", "--all", "O", "F"),
    ("diff", "--json", "--tolerance", "0.1", "F", "O", "--map", "*=x.*"),
    ("diff", "F", "O", "--map", "*=*:transpose"),
    ("spec", "F"),
    ("spec", "--json", "F"),
    ("plan", "F"),
    ("init", "S", "--base", "F", "-o", "out.safetensors", "--force"),
    ("init", "F", "-o", "out.h5", "--force"),
)
SPEC_COMMANDS: tuple[tuple[str, ...], ...] = (
    ("plan", "F"),
    ("plan", "--json", "F"),
    ("explain", "a/kernel", "--spec", "F"),
    ("init", "F", "-o", "out.safetensors", "--force"),
    ("init", "F", "-o", "out.h5", "--force", "--json"),
    ("init", "F", "-o", "out/", "--force"),
)
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


def prepare(folder: Path, kind: str) -> list[Path]:
    """Write a kind's seeds, and return the files among them in a fixed order."""
    made = folder / "seeds" / kind
    if not made.exists():
        made.mkdir(parents=True)
        seeds.KINDS[kind](made)
        for name, spec in (("layers", seeds.LAYERS), ("tensors", seeds.TENSORS)):
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(spec))
    return sorted(path for path in made.rglob("*") if path.is_file())


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


def run_case(folder: Path, kind: str, seed: int, number: int) -> Result:
    """Run one case in this process, in a folder of its own."""
    global _opened
    _opened = _opened or Opened()
    files = prepare(folder, kind)
    rng = random.Random(f"{seed}/{kind}/{number}")
    chosen = rng.choice(files)
    place = folder / "case"
    shutil.rmtree(place, ignore_errors=True)
    root = folder / "seeds" / kind
    relative = chosen.relative_to(root)
    # A file of a folder is read with the others there.
    together = len(relative.parts) > 1
    place.mkdir()
    if together:
        shutil.copytree(root / relative.parts[0], place / relative.parts[0])
    target = place / relative
    target.write_bytes(mutated(rng, chosen.name, chosen.read_bytes()))
    opened = target if chosen.suffix == ".json" and chosen.name != "manifest.json" else None
    path = opened or (place / relative.parts[0] if together else target)
    original = root / path.relative_to(place)
    command = rng.choice(SPEC_COMMANDS if kind == "spec" else COMMANDS)
    spec = folder / ("layers.yaml" if "layers" in str(path) else "tensors.yaml")
    names = {"F": path, "O": original, "S": spec}
    arguments = [str(names.get(word, word)) for word in command]
    with contextlib.chdir(place):
        if command[0] != "init":
            return _run(folder, arguments, _opened)
        # What a spec asks for may be more than there is room for.
        planned = _run(folder, ["plan", "--json", arguments[1]], _opened)
        if planned.problem or planned.code or not 0 <= planned.bytes <= LARGEST_DRAWN:
            return planned
        return _run(folder, arguments, _opened)


def _called(arguments: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = int(main(arguments))
    return code, out.getvalue(), err.getvalue()


def _run(folder: Path, arguments: list[str], opened: Opened) -> Result:
    forget_peak()
    opened.folder, opened.watching = os.path.realpath(folder), True
    opened.found.clear()
    code: int | None = None
    nbytes = -1
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
    return Result(code, problem, memory, " ".join(arguments), nbytes)


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
