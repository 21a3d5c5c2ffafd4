"""Extents, and a path that holds either the complete file or what was there before."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from glorot_cli.errors import FormatError

MANIFEST = "manifest.json"
TEMPORARY = ".glorot-tmp"


class Extent(NamedTuple):
    """Say where a tensor's bytes lie: the plan's index of it, the file, and the offset in it."""

    tensor: int
    path: Path
    offset: int


@contextlib.contextmanager
def replacing(
    target: Path, nbytes: int, *, force: bool, folder: bool, sync: bool
) -> Iterator[Path]:
    """Give a temporary path that becomes `target` when the block ends without an exception.

    A symbolic link is followed: what it points to is replaced. `sync` flushes to the disk before
    the rename. On any exception the temporary path is removed and `target` stays as it was.

    Raises:
        FormatError: if the target may not be replaced, or the disk is too small for `nbytes`.
    """
    target = Path(os.path.realpath(target))
    _check_target(target, nbytes, force=force, folder=folder)
    try:
        _remove_leavings(target)
        temporary, lock = _create(target, folder=folder)
    except OSError as error:
        raise FormatError(f"cannot write {target}: {error.strerror}") from None
    try:
        yield temporary
        if sync:
            _flush(temporary)
        _rename(temporary, target)
        if sync:
            _flush_entry(target.parent)
    except OSError as error:
        _remove(temporary)
        raise FormatError(f"cannot write {target}: {error.strerror or error}") from None
    except BaseException:
        _remove(temporary)
        raise
    finally:
        os.close(lock)


def _check_target(target: Path, nbytes: int, *, force: bool, folder: bool) -> None:
    if not target.parent.is_dir():
        raise FormatError(f"cannot write {target}: there is no folder {target.parent}")
    if folder:
        _check_folder(target, force=force)
    elif target.is_dir():
        raise FormatError(f"cannot write {target}: it is a folder")
    elif target.exists():
        if not target.is_file():
            raise FormatError(f"cannot write {target}: it is not a regular file")
        if not force:
            raise FormatError(f"{target} exists; replace it with --force")
    free = shutil.disk_usage(target.parent).free
    if nbytes > free:
        raise FormatError(f"cannot write {target}: {nbytes:,} bytes are needed, {free:,} are free")


def _check_folder(target: Path, *, force: bool) -> None:
    if target.exists() and not target.is_dir():
        raise FormatError(f"cannot write {target}/: it is a file")
    if target.is_dir() and any(target.iterdir()):
        if not force:
            raise FormatError(f"{target} is not empty; replace it with --force")
        if not (target / MANIFEST).is_file():
            raise FormatError(f"{target} holds no {MANIFEST} of glorot's, so it is not replaced")


def _create(target: Path, *, folder: bool) -> tuple[Path, int]:
    """Create a temporary path, locked so that a later run can tell that this one lives."""
    while True:
        path = target.with_name(f"{_stem(target)}{secrets.token_hex(4)}{TEMPORARY}")
        if folder:
            path.mkdir()
            lock = os.open(path, os.O_RDONLY)
        else:
            lock = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():  # no other run took it for a dead run's before it was locked
            return path, lock
        os.close(lock)


def _stem(target: Path) -> str:
    return f".{target.name[:40]}."


def _remove_leavings(target: Path) -> None:
    for path in target.parent.iterdir():
        if not (path.name.startswith(_stem(target)) and path.name.endswith(TEMPORARY)):
            continue
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(path)
            finally:
                os.close(lock)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    if path.is_dir():
        for inner in path.rglob("*"):
            _flush_entry(inner)
    _flush_entry(path)


def _flush_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(temporary: Path, target: Path) -> None:
    if not (target.is_dir() and any(target.iterdir())):
        temporary.replace(target)
        return
    aside = target.with_name(f"{_stem(target)}{secrets.token_hex(4)}{TEMPORARY}")
    target.rename(aside)
    try:
        temporary.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    _remove(aside)


def natural_size(nbytes: int) -> str:
    """Write a number of bytes for people: 553.4 MB."""
    size = float(nbytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000.0:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000.0
    return f"{size:.1f} TB"
