"""The command line: arguments in, exit codes out; the only importer of typer."""

from glorot_cli.cli.app import COMMANDS, main
from glorot_cli.exits import Exit

__all__ = ["COMMANDS", "Exit", "main"]
