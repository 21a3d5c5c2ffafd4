"""The command line's entry, which answers --version before it imports anything."""

from __future__ import annotations

import sys


def run() -> None:
    """Run the command line and leave the process with its exit code."""
    if sys.argv[1:] == ["--version"]:
        from glorot_cli import __version__

        print(f"glorot {__version__}")
        return
    import gc
    import os

    # One run allocates and ends: collecting cycles and starting BLAS threads only cost time.
    gc.disable()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        from glorot_cli.cli import main

        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        print("glorot: interrupted", file=sys.stderr)
        code = 130
    # Everything is flushed, closed and joined; tearing modules down takes a fifth of a small run.
    os._exit(code)


if __name__ == "__main__":
    run()
