"""Extents, and a path that holds either the complete file or what was there before."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from glorot_cli.errors import FormatError, shown

MANIFEST = "manifest.json"
INDEX = "model.safetensors.index.json"
# What tells a folder of ours, which --force may replace, from any other.
MARKS = (MANIFEST, INDEX, "model.safetensors")
TEMPORARY = ".glorot-tmp"
# The files of a folder of shards.
_WRITTEN = re.compile(
    r"model(-\d{5,}-of-\d{5,})?\.safetensors|model\.safetensors\.index\.json|config\.json"
)


Provenance = Mapping[str, Any]
Kind = Literal["file", "folder", "set"]


class Extent(NamedTuple):
    """Say where a tensor's bytes lie: the plan's index of it, the file, and the offset in it."""

    tensor: int
    path: Path
    offset: int


@contextlib.contextmanager
def replacing(target: Path, nbytes: int, *, force: bool, kind: Kind, sync: bool) -> Iterator[Path]:
    """Give a temporary path that becomes `target` when the block ends without an exception.

    The target is a file, a folder, or the index of a set of files beside it: then the temporary
    path is a folder, whose files are moved beside the target, the index last.

    A symbolic link is followed: what it points to is replaced. `sync` flushes to the disk before
    the rename. On any exception the temporary path is removed and `target` stays as it was.

    Raises:
        FormatError: if the target may not be replaced, or the disk is too small for `nbytes`.
    """
    target = Path(os.path.realpath(target))
    _check_target(target, nbytes, force=force, folder=kind == "folder")
    try:
        _remove_leavings(target)
        temporary, lock = _create(target, folder=kind != "file")
    except OSError as error:
        raise FormatError(f"cannot write {target}: {error.strerror}") from None
    try:
        yield temporary
        if sync:
            _flush(temporary)
        if kind == "set":
            _scatter(temporary, target, force=force)
        else:
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
        if not any((target / mark).is_file() for mark in MARKS):
            raise FormatError(f"{target} holds none of {', '.join(MARKS)}, so it is not replaced")
        if not (target / MANIFEST).is_file():
            _check_shards(target)


def _check_shards(target: Path) -> None:
    """Check that a folder of shards holds nothing else, such as others' tokenizers."""
    for path in sorted(target.iterdir()):
        if not _WRITTEN.fullmatch(path.name) or path.is_dir():
            raise FormatError(
                f"{target} holds {shown(path.name)}, which glorot does not write, "
                "so it is not replaced"
            )


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


def adopt_leavings(target: Path) -> None:
    """Give a folder that a dead run left unfinished its name, so that it can be gone on with.

    Raises:
        FormatError: if it cannot be renamed.
    """
    if target.exists():
        return
    try:
        for path in _leavings(target):
            if path.is_dir():
                path.rename(target)
                return
    except OSError as error:
        raise FormatError(f"cannot write {target}: {error.strerror}") from None


def _remove_leavings(target: Path) -> None:
    for path in _leavings(target):
        _remove(path)


def _leavings(target: Path) -> Iterator[Path]:
    """Find what dead runs left of a target; a live run's is locked."""
    for path in list(target.parent.iterdir()):
        if not (path.name.startswith(_stem(target)) and path.name.endswith(TEMPORARY)):
            continue
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield path
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


def check_set(temporary: Path, target: Path, *, force: bool) -> None:
    """Check that the files of a set may take their places beside the target.

    Raises:
        FormatError: if one of them exists, and without `force`.
    """
    for name in sorted(file.name for file in temporary.iterdir()):
        place = target.with_name(name)
        if place.is_dir():
            raise FormatError(f"cannot write {place}: it is a folder")
        if place.exists() and not force:
            raise FormatError(f"{place} exists; replace it with --force")


def _scatter(temporary: Path, target: Path, *, force: bool) -> None:
    """Move a folder's files beside the target; the index, which names the others, comes last.

    An older index goes first: what is interrupted here leaves no index of a mixture.
    """
    check_set(temporary, target, force=force)
    files = sorted(temporary.iterdir(), key=lambda file: (file.name == target.name, file.name))
    if len(files) > 1:
        target.unlink(missing_ok=True)
    for file in files:
        file.replace(target.with_name(file.name))
    temporary.rmdir()


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


def compact(entry: Mapping[str, Any]) -> str:
    """Write JSON with sorted keys and no spaces."""
    return json.dumps(
        entry, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False
    )
