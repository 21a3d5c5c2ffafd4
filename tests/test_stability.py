"""The page of what stays the same, against what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glorot_cli.cli import Exit
from glorot_cli.streams import STREAMS

ROOT = Path(__file__).parent.parent
MLP = str(ROOT / "sample_specs" / "mlp.yaml")
PAGE = (ROOT / "docs" / "stability.md").read_text("utf-8")
Run = Callable[..., tuple[int, str, str]]

COMMANDS = {
    "plan": ["plan", MLP],
    "init": ["init", MLP, "-o", "w.safetensors", "--seed", "1", "--force"],
    "init of several results": ["init", MLP, "-o", "{seed}.h5", "--seed", "1,2", "--force"],
    "inspect": ["inspect", "w.safetensors"],
    "inspect of several files, of which one cannot be read": [
        "inspect",
        "w.safetensors",
        "lost.h5",
    ],
    "verify": ["verify", "w.safetensors"],
    "verify of several files": ["verify", "w.safetensors", "w.safetensors"],
    "verify --statistics": ["verify", "w.safetensors", "--statistics"],
    "diff": ["diff", "w.safetensors", "w.safetensors"],
    "fans": ["fans", "3,4", "--axes", "IO"],
}


def rows(heading: str) -> dict[str, str]:
    """Return the table below a heading, as first cell -> second cell."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    return {first.replace("`", ""): second for first, second in cells if first != "---"}


@pytest.mark.parametrize("document", [name for name in rows("JSON") if name != "document"])
def test_a_document_has_the_keys_that_are_promised(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run(*COMMANDS["init"])
    command = max((name for name in COMMANDS if document.startswith(name)), key=len)
    code, out, _ = run(*COMMANDS[command], "--json")
    assert code == (Exit.MISTAKE if "lost.h5" in COMMANDS[command] else Exit.DONE)
    found: list[Any] = [json.loads(out)]
    for step in filter(None, document.removeprefix(command).strip().split(".")):
        found = [each[step.removesuffix("[]")] for each in found]
        if step.endswith("[]"):
            found = [item for items in found for item in items]
    assert found
    for each in found:
        assert ", ".join(f"`{key}`" for key in sorted(each)) == rows("JSON")[document]


def test_the_page_lists_every_exit_code() -> None:
    assert {int(code) for code in rows("Exit codes") if code.isdigit()} == {*Exit}


def test_the_page_lists_every_stream_with_its_version() -> None:
    listed = {name: version for name, version in rows("Bits").items() if name != "stream"}
    assert listed == {name: str(stream.version) for name, stream in STREAMS.items()}
