"""Temporary files: locked while their run lives, removed when it is stopped, or by the next run."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

TEMPORARY = ".glorot-tmp"
# What an older folder is called for the moment in which another takes its place.
_ASIDE = ".glorot-old"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)

Step = Callable[[], object]

_unfinished: list[Path] = []
_at_a_stop: list[Step] = []
_unbroken = 0
_put_off: list[Step] = []


def create(target: Path, *, folder: bool) -> tuple[Path, int]:
    """Create a temporary path, locked so that a later run can tell that this one lives."""
    while True:
        path = _beside(target, TEMPORARY)
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


@contextlib.contextmanager
def put_aside(target: Path) -> Iterator[None]:
    """Move a folder out of the way, and back if the block fails; else remove it in the end.

    A run that is killed meanwhile leaves it to the next one, which gives it its name again.
    """
    with unbroken(), contextlib.ExitStack() as stack:
        lock = os.open(target, os.O_RDONLY)
        stack.callback(os.close, lock)
        _lock(lock, fcntl.LOCK_EX)
        aside = _beside(target, _ASIDE)
        target.rename(aside)
        try:
            yield
        except BaseException:
            aside.rename(target)
            raise
        remove(aside)


def remove_leavings(target: Path) -> None:
    """Remove what dead runs left of a target, and put back a folder that one had put aside."""
    for path in _of_dead_runs(target, _ASIDE):
        if target.exists():
            remove(path)
        else:
            path.rename(target)
    for path in _of_dead_runs(target, TEMPORARY):
        remove(path)


def adopt_leavings(target: Path) -> None:
    """Give a folder that a dead run left unfinished its name, so that it can be gone on with."""
    for path in _of_dead_runs(target, _ASIDE, TEMPORARY):
        if not target.exists() and path.is_dir():
            try:
                path.rename(target)
            except OSError as error:
                # Another rank has made the folder in the meantime.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise


def sweep(folder: Path) -> None:
    """Remove what dead runs left unfinished of any file in a folder that several write."""
    for path in _unlocked(folder, ".", (TEMPORARY,)):
        remove(path)


def _of_dead_runs(target: Path, *endings: str) -> Iterator[Path]:
    return _unlocked(target.parent, _stem(target), endings)


def _unlocked(folder: Path, start: str, endings: tuple[str, ...]) -> Iterator[Path]:
    """Find temporary paths in a folder, but for those of live runs, which are locked."""
    for path in list(folder.iterdir()):
        if not (path.name.startswith(start) and path.name.endswith(endings)):
            continue
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield path
            finally:
                os.close(lock)


def remove(path: Path) -> None:
    """Remove a file or a folder that may be there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs from doing the same to a folder meanwhile."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        _lock(lock, fcntl.LOCK_EX)
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


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(f"{_stem(target)}{secrets.token_hex(4)}{ending}")


def _stem(target: Path) -> str:
    return f".{target.name[:40]}."


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
