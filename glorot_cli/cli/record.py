"""The command that writes a spec of a torch module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from glorot_cli.cli.options import ForceOption, JsonOption, QuietOption, choice, note
from glorot_cli.errors import GlorotError, listed, shown
from glorot_cli.exits import Exit


def record(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="MODULE:CALLABLE, your function or class that makes the module; or a config.json, "
            "by transformers.",
        ),
    ],
    args: Annotated[
        str | None, typer.Option("--args", metavar="YAML", help="Its arguments: a list.")
    ] = None,
    kwargs: Annotated[
        str | None, typer.Option("--kwargs", metavar="YAML", help="Its arguments by name.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write the spec, or print it.")
    ] = None,
    unknown: Annotated[
        str | None,
        typer.Option(
            "--unknown",
            metavar="keep",
            help="Write what is not understood, as torch drew it, to a file beside the spec.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Build the module for real with two seeds, and compare with the spec."
        ),
    ] = False,
    force: ForceOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a spec of a torch module, watched while it is built, without memory for it."""
    from glorot_cli.derive import spec_text
    from glorot_cli.recording import not_understood, recorded
    from glorot_cli.report import documents

    choice("--unknown", unknown, ("keep",))
    if unknown is not None and output is None:
        raise GlorotError("--unknown keep writes a file beside the spec: give -o")
    for path in () if output is None else _written(output, unknown):
        if path.exists() and not force:
            raise GlorotError(f"{path} exists; --force replaces it")
    find, given, named = _target(target, args, kwargs)
    found = recorded(find, given, named)
    if found.unknown and unknown is None:
        raise GlorotError(not_understood(found))
    comments = [f"Recorded from {target}" + _arguments(args, kwargs) + "."]
    if found.undrawn is not None:
        comments.append(f"It has no draws: {found.undrawn}.")
        note(f"the stream torch cannot replay it: {found.undrawn}", quiet)
    if found.unknown:
        names = [each.name for each in found.unknown]
        assert output is not None
        from glorot_cli.recording.checking import keep

        base = _written(output, unknown)[1]
        keep(find, given, named, names, base)
        comments.append(f"Not understood, and kept in {base.name}: {', '.join(names)}.")
        note(f"{len(names)} tensors are in {base} only: {listed(names)}", quiet)
    text = spec_text(found.spec, tuple(comments))
    if output is not None:
        from glorot_cli.formats.replacing import replacing

        with replacing(output, len(text), force=force, kind="file", sync=True) as temporary:
            Path(temporary).write_text(text, "utf-8")
    elif json:
        documents.print_json(found.spec)
    elif not quiet or not check:
        print(text, end="")
    if check:
        _check(find, given, named, found, quiet)


def _check(find: Any, args: Any, kwargs: Any, found: Any, quiet: bool) -> None:
    from glorot_cli.recording.checking import check_recording

    result = check_recording(find, args, kwargs, found)
    for line in result.lines:
        note(line, quiet)
    if not result.holds:
        raise typer.Exit(Exit.DIFFERENT)


def _written(output: Path, unknown: str | None) -> list[Path]:
    return [output] if unknown is None else [output, output.with_suffix(".base.safetensors")]


def _arguments(args: str | None, kwargs: str | None) -> str:
    return "".join(
        f" {option} {shown(text)}"
        for option, text in (("--args", args), ("--kwargs", kwargs))
        if text is not None
    )


def _target(target: str, args: str | None, kwargs: str | None) -> tuple[Any, Any, Any]:
    """Return what finds the callable, and its arguments."""
    from glorot_cli.recording.builders import find_callable, find_config
    from glorot_cli.spec.source import parse

    given = () if args is None else parse(args, "--args").data
    named = {} if kwargs is None else parse(kwargs, "--kwargs").data
    if not isinstance(given, list | tuple):
        raise GlorotError(f"--args: expected a list such as [10, 0.5], found {shown(given)}")
    if not isinstance(named, dict) or not all(isinstance(key, str) for key in named):
        raise GlorotError(
            f"--kwargs: expected a mapping such as {{width: 256}}, found {shown(named)}"
        )
    path = Path(target)
    if ":" not in target and (target.endswith(".json") or path.is_dir()):
        if args is not None or kwargs is not None:
            raise GlorotError("--args and --kwargs are for a callable, not for a config.json")
        file = path / "config.json" if path.is_dir() else path
        if not file.is_file():
            raise GlorotError(f"there is no file {file}")
        return (lambda: find_config(file)), (), {}
    return (lambda: find_callable(target)), tuple(given), named
