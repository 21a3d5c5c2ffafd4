"""The command line's entry, which answers signals from its first line on, and --version at once."""

from __future__ import annotations

import os
import signal
import sys

from glorot_cli.exits import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STOPS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "hung up",
}
# Below this the libraries that draw end the process on their own, with words of their own.
_LEAST_MEMORY = 200_000_000


def run() -> None:
    """Run the command line and leave the process with its exit code."""
    _answer_signals()
    _open_closed_streams()
    if sys.argv[1:] == ["--version"]:
        if code := _print_version():
            os._exit(code)
        return
    import gc

    # One run allocates and ends: collecting cycles often, and starting BLAS threads, only cost
    # time. Never to collect would keep what JSON's encoder makes for each entry of a plan. What is
    # loaded takes some 70,000.
    gc.set_threshold(100_000)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _spare_libraries()
    code = _main(sys.argv[1:])
    # Everything is flushed, closed and joined; tearing modules down takes a fifth of a small run.
    os._exit(code)


def _main(arguments: list[str]) -> int:
    try:
        _check_memory()
        from glorot_cli.cli import main

        return main(arguments)
    except Exception as error:
        from glorot_cli.errors import explained, printable

        line = explained(error)
        if line is not None:
            _say(printable(line))
            return Exit.MISTAKE
        import traceback

        traceback.print_exc()
        return Exit.BUG


def _spare_libraries() -> None:
    """Keep pydantic from loading what a command line has no use for.

    It would search the metadata of all installed packages for its plugins, which takes a parser of
    mail, and load what compares secrets. In a program that uses glorot as a library all is as ever.
    """
    _stand_in("pydantic.plugin._loader", get_plugins=tuple)  # there are none
    _stand_in("secrets", __getattr__=_secret)


def _stand_in(name: str, **held: Any) -> None:
    if name not in sys.modules:
        sys.modules[name] = type(sys)(name)
        vars(sys.modules[name]).update(held)


def _secret(name: str) -> Any:
    """Load the module after all, for whoever looks for something in it."""
    if hasattr(sys.modules["secrets"], "__getattr__"):
        del sys.modules["secrets"]
    import secrets

    return getattr(secrets, name)


def _print_version() -> int:
    from glorot_cli import __version__

    try:
        print(f"glorot {__version__}", flush=True)
    except BrokenPipeError:
        return Exit.BROKEN_PIPE
    except OSError as error:
        _say(f"cannot write the output: {error.strerror}")
        return Exit.MISTAKE
    return Exit.DONE


def _say(line: str, start: str = "") -> None:
    try:  # noqa: SIM105
        os.write(2, f"{start}glorot: {line}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # nobody can be told


def _answer_signals() -> None:
    for number in _STOPS:
        # What whoever started this has it ignore, such as nohup, stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, _: object) -> None:
    """Remove what is unfinished, say one line and leave.

    An exception would not do: within an import or a finaliser Python prints it and goes on.
    """
    for each in _STOPS:
        signal.signal(each, signal.SIG_IGN)

    def leave() -> None:
        # A progress bar hides the cursor.
        start = "\r\x1b[K\x1b[?25h" if "rich.progress" in sys.modules and os.isatty(2) else ""
        _say(_STOPS[signal.Signals(number)], start)
        os._exit(128 + number)

    # Where the module is not loaded nothing has been written.
    leavings: Any = sys.modules.get("glorot_cli.formats.leavings")
    getattr(leavings, "abandon", lambda then: then())(leave)


def _open_closed_streams() -> None:
    """Give a closed standard stream a stand-in, lest a file of weights gets its number.

    Reading or writing it fails as it would have; what would go to standard error is dropped. What
    the encoding of standard output does not have is escaped.
    """
    streams = (
        ("stdin", "r", os.O_WRONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_RDWR),
    )
    for number, (name, mode, how) in enumerate(streams):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, how)
            if descriptor != number:
                os.dup2(descriptor, number)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def _check_memory() -> None:
    """Refuse at once where a limit leaves too little memory to load what draws."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if 0 <= limit < _LEAST_MEMORY and limit != resource.RLIM_INFINITY:
        raise MemoryError(f"{limit:,} bytes are allowed, {_LEAST_MEMORY:,} are needed")


if __name__ == "__main__":
    run()
