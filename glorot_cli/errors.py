"""The errors that a user can cause, how they say where, and how they quote what they found."""

from __future__ import annotations

import bisect
import difflib
import os
from collections.abc import Iterable, Sequence

KeyPath = tuple[str | int, ...]


class GlorotError(Exception):
    """Report a mistake in the usage, the spec or a file as one line."""


class SpecError(GlorotError):
    """Report a mistake in a spec.

    `path` leads to the offending value (or to its key, with `at_key`); `where` is the position
    `file:line:column`, filled in by the source that the spec was read from.
    """

    def __init__(self, message: str, path: KeyPath = (), *, at_key: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.at_key = at_key
        self.where = ""

    def __str__(self) -> str:
        parts = (self.where, dotted(self.path), self.message)
        return printable(": ".join(part for part in parts if part))


class FormatError(GlorotError):
    """Report a weight file that cannot be read or written."""


class UnknownTensorError(GlorotError, KeyError):
    """Report a name that none of some tensors has."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would quote it


def explained(error: BaseException) -> str | None:
    """Put a mistake, or what the system refused, into one line; None says that it is a bug."""
    if isinstance(error, GlorotError):
        return str(error)
    if isinstance(error, MemoryError):
        # NumPy says what it wanted, Python nothing.
        return f"out of memory: {error}" if str(error) else "out of memory"
    if isinstance(error, OSError):
        return f"{_place(error)}: {error.strerror or error}"
    if isinstance(error, ImportError):
        # A library may wrap the reason into a page of advice.
        while isinstance(error.__cause__ or error.__context__, ImportError):
            error = error.__cause__ or error.__context__ or error
        name = getattr(error, "name", None) or "a library"
        return f"cannot load {name}: {error}"
    if isinstance(error, UnicodeEncodeError):
        return f"{shown(error.object)} cannot be written in {error.encoding}: set PYTHONUTF8=1"
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        return "cannot start a thread: the system's limit is reached"
    return None


def _place(error: OSError) -> str:
    if error.filename is not None:
        return os.fsdecode(error.filename) if error.filename != "" else "''"
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:
        return "cannot find the working folder"
    return "cannot write the output"


def dotted(path: KeyPath) -> str:
    """Write a key path as `layers[1].units`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def printable(text: str) -> str:
    """Escape whatever could move a terminal's cursor, change its colours or break the line."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )


def shown(value: object, limit: int = 60, levels: int = 4) -> str:
    """Quote a found value, cut to a length that fits on a line, and to some levels of lists."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        if not levels:
            return "[...]" if value else "[]"
        text = "[" + ", ".join(shown(item, limit, levels - 1) for item in value[:10]) + "]"
        text = text if len(value) <= 10 else f"a list of {len(value)} items"
    elif isinstance(value, int) and value.bit_length() > 200:
        return "an integer of over 60 digits"
    else:
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def listed(names: Sequence[str], most: int = 3) -> str:
    """Name the first of some names, and count the rest."""
    text = ", ".join(names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"


def pointer_hint(text: str) -> str | None:
    """Say what to do with a text that Git LFS left in place of a file; None if it is no such."""
    if text.startswith("version https://git-lfs.github.com/spec/"):
        return "it is a Git LFS pointer in place of the file; get the file with git lfs pull"
    return None


# Comparing two words takes up to the square of their length.
LONGEST_WORD = 200
LARGEST_COMPARISON = 2_000_000


def suggestion(word: str, known: Iterable[str], *, listed: int = 40) -> str:
    """Name the known word nearest to `word`, or else the known ones.

    Of many words those are looked at that stand about `word` in the order of the alphabet: their
    beginnings are alike.
    """
    words = sorted(known)
    most = LARGEST_COMPARISON // max(1, len(word) ** 2) if len(word) <= LONGEST_WORD else 0
    start = max(0, min(bisect.bisect_left(words, word) - most // 2, len(words) - most))
    by_fold = {
        each.lower(): each for each in words[start : start + most] if len(each) <= LONGEST_WORD
    }
    near = difflib.get_close_matches(word.lower(), by_fold, n=1, cutoff=0.6)
    if near:
        return f"did you mean {by_fold[near[0]]!r}?"
    some = [each if len(each) <= LONGEST_WORD else shown(each) for each in words[:listed]]
    return "known: " + ", ".join(some) + (", ..." if len(words) > listed else "")


def natural_size(nbytes: int) -> str:
    """Write a number of bytes for people: 553.4 MB."""
    size = float(nbytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000.0:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000.0
    return f"{size:.1f} TB"
