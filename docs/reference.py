"""Keep the documents true: the command reference from `--help`, and console blocks by running them.

`python docs/reference.py` writes docs/reference.md, docs/spec-reference.md, README's list of
commands, docs/huggingface.md's model types, and the console blocks of all documents as they come
out now. With `--check` it writes
nothing, and ends with exit code 1 and a line for each document that is stale.

In a block marked `console` a line that begins with `$ ` is a command, the lines that begin with
`> ` right after it continue it, and the rest is what it prints, errors included. A line `...`
stands for any lines. The blocks of a document run in one shell, in order, in a folder that holds
a copy of sample_specs and nothing else.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from spec_reference import spec_reference

from glorot_cli.cli import COMMANDS, main
from glorot_cli.families import known_types

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
ENVIRONMENT = {"COLUMNS": "80", "LC_ALL": "C", "NO_COLOR": "1", "PYTHONUTF8": "1"}

_BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"(\$ .*\n(?:>(?: .*)?\n)*)((?:(?!\$ ).*\n)*)")
_LISTED = re.compile(r"(?<=<!-- commands -->\n).*(?=<!-- /commands -->)", re.DOTALL)
_TYPES = re.compile(r"(?<=<!-- types -->\n).*(?=<!-- /types -->)", re.DOTALL)


def help_block(*arguments: str) -> str:
    """Return what a command's --help prints, as a block of Markdown."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        main([*arguments, "--help"])
    return f"```text\n{printed.getvalue().strip()}\n```\n"


def reference() -> str:
    """Return docs/reference.md as it should be."""
    parts = ["# Command reference\n", "Written by `python docs/reference.py`, from `--help`.\n"]
    for name in COMMANDS:
        parts += [f"## glorot {name}\n", help_block(name)]
    return "\n".join(parts)


def outputs(commands: Iterable[str]) -> list[str]:
    """Run commands in one shell and return what each prints."""
    end = "\nstatus=$?; printf '\\036'; (exit $status)\n"
    script = "".join(re.sub("^..?", "", each, flags=re.MULTILINE) + end for each in commands)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "sample_specs", Path(folder, "sample_specs"))
        shell = subprocess.run(
            ["sh", "-c", f"exec 2>&1\n{script}"],
            cwd=folder,
            env={**os.environ, **ENVIRONMENT, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=300,
            check=True,
        )
    return shell.stdout.decode().split("\036")[:-1]


def model_types() -> str:
    """Return the lines of a document that name the model types of each family."""
    families: dict[str, list[str]] = {}
    for name, file in known_types().items():
        families.setdefault(file.removesuffix(".yaml"), []).append(f"`{name}`")
    rows = [f"| {family} | {', '.join(names)} |" for family, names in families.items()]
    return "\n".join(["| family | model types |", "| --- | --- |", *rows, ""])


def fits(expected: str, printed: str) -> bool:
    """Tell whether what was printed is what was expected, gaps aside."""
    lines = expected.splitlines(keepends=True)
    pattern = "".join("(?:.*\n)*" if line == "...\n" else re.escape(line) for line in lines)
    return re.fullmatch(pattern, printed) is not None


def as_run(text: str) -> str:
    """Return a document with its console blocks as they come out now."""
    blocks = _BLOCK.findall(text)
    printed = iter(outputs(found[1] for block in blocks for found in _COMMAND.finditer(block)))

    def told(command: re.Match[str]) -> str:
        output = re.sub(r"(?<=[^\n])\Z", "\n", next(printed))
        return command[1] + (command[2] if fits(command[2], output) else output)

    return _BLOCK.sub(lambda block: _COMMAND.sub(told, block[0]), text)


GENERATED = {DOCS / "reference.md": reference, DOCS / "spec-reference.md": spec_reference}


def with_sessions() -> list[Path]:
    """Return the documents that people write, whose console blocks are run."""
    return [ROOT / "README.md", *sorted({*DOCS.glob("*.md")} - {*GENERATED})]


def documents() -> Iterator[tuple[Path, str, str]]:
    """Give each document's path, its text, and the text that it should have."""
    for path, written in GENERATED.items():
        yield path, path.read_text("utf-8") if path.exists() else "", written()
    for path in with_sessions():
        text = path.read_text("utf-8")
        listed = _LISTED.sub(lambda _: help_block(), text)
        yield path, text, as_run(_TYPES.sub(lambda _: model_types(), listed))


def run(check: bool) -> int:
    """Write the documents, or check them; return the exit code."""
    stale = [(path, text, right) for path, text, right in documents() if text != right]
    for path, text, right in stale:
        if not check:
            path.write_text(right, "utf-8")
            continue
        pairs = zip(text.splitlines(), right.splitlines(), strict=False)
        line = 1 + sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        where = f"{path.relative_to(ROOT)}:{line}"
        print(f"{where}: stale; run python docs/reference.py and read the diff", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit("usage: python docs/reference.py [--check]")
    checking = len(sys.argv) > 1
    # Typer takes the program's name and the terminal's width from here.
    sys.argv[:] = ["glorot"]
    os.environ.update(ENVIRONMENT)
    sys.exit(run(checking))
