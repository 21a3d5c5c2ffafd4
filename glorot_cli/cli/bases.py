"""What a command line says of an older file, of which tensors are kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from glorot_cli.cli.results import Result
from glorot_cli.errors import GlorotError, listed, shown

if TYPE_CHECKING:
    from glorot_cli.writing.checkpoint import Checkpoint, Filling, Rows


def checkpoint(
    path: str,
    only: Sequence[str] | None,
    resize: Sequence[str] | None,
    rows: Sequence[str] | None,
    renames: Sequence[str] | None,
    key: str | None,
) -> Checkpoint:
    """Read the file that --base names, with what the options say of its tensors."""
    from glorot_cli.renames import parse_rename
    from glorot_cli.writing.checkpoint import FILLINGS, Checkpoint

    filling: dict[str, Filling] = {}
    for text in resize or ():
        glob, _, said = text.rpartition("=")
        how = next((each for each in FILLINGS if each == said), None)
        if not glob or how is None:
            raise GlorotError(f"--resize: expected GLOB={'|'.join(FILLINGS)}, found {shown(text)}")
        filling[glob] = how
    return Checkpoint.read(
        path,
        only or (),
        filling,
        key,
        dict(map(_rows, rows or ())),
        [parse_rename(text, turns=False) for text in renames or ()],
    )


def _rows(text: str) -> tuple[str, Rows]:
    """Read GLOB=START:STOP."""
    from glorot_cli.writing.checkpoint import Rows

    match = re.fullmatch(r"(.+)=(-?[0-9]{1,12})?:(-?[0-9]{1,12})?", text)
    if match is None:
        raise GlorotError(
            f"--rows: expected GLOB=START:STOP such as 'wte=50257:', found {shown(text)}"
        )
    start, stop = (None if end is None else int(end) for end in match.groups()[1:])
    return match[1], Rows(start, stop)


def check_kept(result: Result, base: str | None) -> None:
    """Check that there is a file for what a spec keeps.

    Raises:
        GlorotError: if there is none, or what it holds cannot be started afresh.
    """
    if base is not None:
        return
    kept = [tensor.name for tensor in result.start.tensors if tensor.kept]
    if result.derived is not None and result.derived.quantised:
        names = result.derived.quantised
        raise GlorotError(
            f"{result.spec} holds quantised weights, {len(names)} tensors ({listed(names)}): they "
            "cannot be drawn, so it cannot be started afresh; start from the model that was "
            "quantised"
        )
    if result.derived is None and kept:
        raise GlorotError(
            f"the spec keeps {listed(kept)} as in an older file: give it with --base FILE"
        )
