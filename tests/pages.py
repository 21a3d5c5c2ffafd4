"""The blocks of the documents, and a way to run those that are for a shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]

_FENCED = re.compile(
    r"^(?:<!-- (?:run|recipe): (?P<name>[\w-]+) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+")
_COMMAND = re.compile(r"(glorot|python3?|pip|\.venv/bin/\w+) ")


class Block(NamedTuple):
    """Hold a block of a document: its language, its text, and its name if it is to be run."""

    page: str
    kind: str
    text: str
    name: str | None

    @property
    def first_line(self) -> str:
        """The line that tells the block from others of its page."""
        return self.text.partition("\n")[0]


def blocks_of(path: Path) -> list[Block]:
    """Return the blocks of a page; commands that are only indented are of the kind `indented`."""
    page, text = path.name, path.read_text("utf-8")
    found = [Block(page, m["kind"], m["text"], m["name"]) for m in _FENCED.finditer(text)]
    for match in _INDENTED.finditer(_FENCED.sub("", text)):
        if _COMMAND.match(match[0].lstrip()):
            lines = (line.removeprefix("    ") for line in match[0].splitlines(keepends=True))
            found.append(Block(page, "indented", "".join(lines), None))
    return found


def named_blocks(page: str) -> dict[str, str]:
    """Return the texts of a page's named blocks."""
    return {block.name: block.text for block in blocks_of(DOCS / page) if block.name is not None}


def environment(folder: Path) -> dict[str, str]:
    """Return an environment with programs from the folder itself, then from beside this Python."""
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "LC_ALL": "C", "NO_COLOR": "1"}


def shell(
    script: str, folder: Path, more: Mapping[str, str] | None = None, *, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a script with bash, which ends at the first command that fails."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**environment(folder), **(more or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def ran(script: str, folder: Path, more: Mapping[str, str] | None = None) -> str:
    """Run a script that must not fail, with more variables, and return what it printed."""
    done = shell(script, folder, more)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def put_program(folder: Path, name: str, script: str) -> None:
    """Put a program into a folder, in place of one that this machine need not have."""
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\nset -euo pipefail\n{script}", "utf-8")
    path.chmod(0o755)


def copy_samples(folder: Path) -> None:
    """Copy sample_specs into a folder, Llama 2 with small sizes: 9 shards of 8 kB or less."""
    shutil.copytree(ROOT / "sample_specs", folder / "sample_specs")
    path = folder / "sample_specs" / "llama2_7b.yaml"
    small = "dims: {vocabulary: 64, d: 32, hidden: 64, layers: 3, key_value: d}"
    text, count = re.subn(r"^dims: .*$", small, path.read_text("utf-8"), flags=re.MULTILINE)
    assert count == 1
    path.write_text(text, "utf-8")


def small(script: str) -> str:
    """Return a script for the small Llama 2 of `copy_samples`, with shards to match."""
    assert "--max-shard-size 1GB" in script
    return script.replace("--max-shard-size 1GB", "--max-shard-size 8KB")
