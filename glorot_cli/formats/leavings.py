"""Temporary files: locked while their run lives, removed when it is stopped, or by the next run."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from glorot_cli.errors import FormatError

# What a run has not finished, which is glorot's alone.
TEMPORARY = ".glorot-tmp"
# A folder that another has replaced, or is about to: others' files may be in it.
OLD = ".glorot-old"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_LONGEST_STEM = 40

Step = Callable[[], object]

_unfinished: list[Path] = []
_at_a_stop: list[Step] = []
_unbroken = 0
_put_off: list[Step] = []


def create(target: Path, *, folder: bool) -> tuple[Path, int]:
    """Create a temporary path, locked so that a later run can tell that this one lives."""
    while True:
        path = beside(target, TEMPORARY)
        _unfinished.append(path)
        if folder:
            path.mkdir()
            lock = os.open(path, os.O_RDONLY)
        else:
            lock = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        _lock(lock, fcntl.LOCK_EX)
        if path.exists():  # no other run took it for a dead run's before it was locked
            return path, lock
        os.close(lock)
        finished(path)


def finished(path: Path) -> None:
    """Note that a temporary path has its final name, or is gone."""
    if path in _unfinished:
        _unfinished.remove(path)


def discard(path: Path) -> None:
    """Remove a temporary path of this run."""
    remove(path)
    finished(path)


def remove_leavings(target: Path) -> None:
    """Remove what dead runs left unfinished of a target."""
    for path in of_dead_runs(target, TEMPORARY):
        remove(path)


def adopt_leavings(target: Path) -> None:
    """Give a folder that a dead run left unfinished its name, so that it can be resumed."""
    for path in of_dead_runs(target, TEMPORARY):
        if not target.exists() and path.is_dir():
            try:
                path.rename(target)
            except OSError as error:
                # Another rank has made the folder in the meantime.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise


def sweep(folder: Path, stem: str) -> None:
    """Remove what dead runs left unfinished of some files in a folder that runs share."""
    for path in _unlocked(folder, stem, TEMPORARY):
        remove(path)


def of_dead_runs(target: Path, ending: str) -> Iterator[Path]:
    """Find what dead runs left of a target, by an ending."""
    return _unlocked(target.parent, re.escape(_stem(target)), ending)


def _unlocked(folder: Path, stem: str, ending: str) -> Iterator[Path]:
    """Find temporary paths in a folder, but for those of live runs, which are locked."""
    names = re.compile(pattern(stem, ending))
    for path in list(folder.iterdir()):
        if not names.fullmatch(path.name):
            continue
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield path
            finally:
                os.close(lock)


def pattern(stem: str, ending: str) -> str:
    """Return the expression of the names that `beside` gives, for an expression of the stem."""
    return rf"\.(?:{stem})\.[0-9a-f]{{8}}{re.escape(ending)}"


def remove(path: Path) -> None:
    """Remove a file or a folder that may be there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Keep other runs from a folder meanwhile; those that share it keep out those that do not.

    Raises:
        FormatError: if another run has it, and this one does not wait.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            _lock(lock, how if wait else how | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FormatError(f"another run is writing to {folder}; wait until it ends") from None
        yield
    finally:
        os.close(lock)


def _lock(descriptor: int, how: int) -> None:
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        # Not every file system has locks; what a dead run leaves there stays.
        if error.errno not in _NO_LOCKS:
            raise


def beside(target: Path, ending: str) -> Path:
    """Return a new name for what becomes of a target, in the same folder."""
    return target.with_name(f".{_stem(target)}.{os.urandom(4).hex()}{ending}")


def _stem(target: Path) -> str:
    """Return a target's name, or where it is long the start of it and a hash."""
    if len(target.name) <= _LONGEST_STEM:
        return target.name
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()
    return f"{target.name[: _LONGEST_STEM - 9]}~{digest[:8]}"


# A stop by a signal


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Put off a stop until the block has ended: what it does is done whole or not at all."""
    global _unbroken
    _unbroken += 1
    try:
        yield
    finally:
        _unbroken -= 1
        while _put_off and not _unbroken:
            abandon(_put_off.pop())


@contextlib.contextmanager
def at_a_stop(step: Step) -> Iterator[None]:
    """Do something more if the run is stopped within the block."""
    _at_a_stop.append(step)
    try:
        yield
    finally:
        _at_a_stop.remove(step)


def abandon(leave: Step) -> None:
    """Remove what is unfinished and leave: at once, or where an unbroken block ends."""
    if _unbroken:
        _put_off.append(leave)
        return
    for step in _at_a_stop:
        with contextlib.suppress(Exception):
            step()
    for path in _unfinished:
        with contextlib.suppress(OSError):
            remove(path)
    leave()
