"""The command line: arguments in, exit codes out; the only importer of typer."""

from glorot_cli.cli.app import app, main
from glorot_cli.cli.exits import Exit

__all__ = ["Exit", "app", "main"]
