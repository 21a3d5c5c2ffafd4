"""The program: its entry, its exit codes, and one line for every mistake."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from glorot_cli.errors import explained, printable
from glorot_cli.exits import Exit


class _StoppedError(Exception):
    """Carry a Ctrl-C or a system's error past typer, whose versions answer them differently."""


class _Commands(typer.core.TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, OSError) as error:
            raise _StoppedError from error


def main(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; every mistake becomes one line."""
    try:
        try:
            # Typer works out the options of all commands that it has: one need not wait for nine.
            asked = [name for name in arguments[:1] if name in COMMANDS]
            code = program(*asked or COMMANDS)(list(arguments), standalone_mode=False)
            sys.stdout.flush()
            return int(code or Exit.DONE)
        except _StoppedError as stopped:
            raise stopped.__cause__ or stopped from None
    except KeyboardInterrupt:
        return _fail("interrupted", Exit.INTERRUPTED)
    except BrokenPipeError:
        return _close_pipe()
    except SystemExit as left:
        # So typer answers a broken pipe while it prints help, and so it ends a shell's completion.
        if isinstance(left.__context__, BrokenPipeError):
            return _close_pipe()
        return Exit.MISTAKE if left.code else Exit.DONE
    except Exception as error:
        # Typer carries its own click, whose errors are known by their method.
        if hasattr(error, "format_message"):
            return _fail(error.format_message() or "see glorot --help")
        line = explained(error)
        if line is None:
            raise
        return _fail(line)


def _close_pipe() -> int:
    """Go quietly: whoever read our output has gone, and nothing more can be said there."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.BROKEN_PIPE


def _fail(message: str, code: Exit = Exit.MISTAKE) -> int:
    with contextlib.suppress(OSError):  # nobody can be told where standard error is full
        print(f"glorot: {printable(message)}", file=sys.stderr)
    return code


def root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Turn a layer-shape spec into initialised neural-network weight files."""
    if version:
        from glorot_cli import __version__

        print(f"glorot {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        print(ctx.get_help(), file=sys.stderr)
        raise typer.Exit(Exit.MISTAKE)


# The module of each command, in the order in which --help lists them.
COMMANDS = {
    "init": "init", "plan": "plans", "explain": "plans", "fans": "plans", "spec": "plans",
    "record": "record", "schema": "plans", "inspect": "checks", "verify": "checks",
    "diff": "checks", "plot": "pictures", "info": "info",
}  # fmt: skip


@functools.cache
def program(*names: str) -> Callable[..., int | None]:
    """Return the program with some of its commands, whose options typer works out once."""
    made = typer.Typer(
        name="glorot",
        cls=_Commands,
        help="Turn a layer-shape spec into initialised neural-network weight files.",
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    made.callback(invoke_without_command=True)(root)
    for name in names:
        made.command()(getattr(import_module(f"glorot_cli.cli.{COMMANDS[name]}"), name))
    return typer.main.get_command(made)
