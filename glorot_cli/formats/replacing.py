"""A path that holds either the complete file or what was there before."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from glorot_cli.errors import FormatError, shown
from glorot_cli.formats import folders, leavings
from glorot_cli.formats.base import Kind
from glorot_cli.formats.sources import Place


@contextlib.contextmanager
def replacing(target: Path, nbytes: int, *, force: bool, kind: Kind, sync: bool) -> Iterator[Path]:
    """Give a temporary path that becomes `target` when the block ends without an exception.

    The target is a file, a folder, or the index of a set of files beside it: then the temporary
    path is a folder, whose files are moved beside the target, the index last.

    A symbolic link is followed: what it points to is replaced. What is written has the permissions
    that the umask leaves, and this user's ownership, as any new file has, whatever those of the
    file that it replaces were; a hard link to that one goes on holding the older bytes. `sync`
    flushes to the disk before the rename. On any exception the temporary path is removed and
    `target` stays as it was. Without `force` nothing is replaced, not even what another run wrote
    meanwhile.

    Raises:
        FormatError: if the target may not be replaced, or the disk is too small for `nbytes`.
    """
    with errors_named(target):
        target = resolved(target)
    with errors_named(target):
        leavings.remove_leavings(target)
        if kind == "folder":
            folders.settle(target)
            folders.check_folder(target, force=force)
        else:
            check_file(target, force=force)
        check_free(target, nbytes)
        temporary, lock = leavings.create(target, folder=kind != "file")
    try:
        with errors_named(target):
            yield temporary
            if sync:
                _flush(temporary)
            if kind == "set":
                _scatter(temporary, target, force=force)
            elif kind == "folder":
                folders.place_folder(temporary, target, force=force)
            else:
                _place_file(temporary, target, force=force)
            leavings.finished(temporary)
            if sync:
                _flush_entry(target.parent)
    except BaseException:
        leavings.discard(temporary)
        raise
    finally:
        os.close(lock)


@contextlib.contextmanager
def errors_named(target: Path) -> Iterator[None]:
    """Turn a system's error into one that says which path could not be written."""
    try:
        yield
    except OSError as error:
        raise FormatError(f"cannot write {target}: {error.strerror or error}") from None
    except UnicodeEncodeError as error:
        found = error.object[error.start : error.end]
        raise FormatError(
            f"cannot write {target}: no file's name can hold {shown(found)} in {error.encoding}; "
            "set PYTHONUTF8=1"
        ) from None


def resolved(target: Path) -> Path:
    """Follow symbolic links, and check that there is a folder to write to.

    Raises:
        FormatError: if there is none.
        OSError: if the links go round in a circle.
    """
    given, target = target, Path(os.path.realpath(target))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if given.exists() and not target.exists():  # such as a pipe that /dev/stdout leads to
        raise FormatError(f"cannot write {given}: it is not a regular file")
    if not target.parent.is_dir():
        raise FormatError(f"cannot write {target}: there is no folder {target.parent}")
    return target


def check_free(target: Path, nbytes: int) -> None:
    """Check that a file system can take so many bytes.

    Raises:
        FormatError: if it cannot.
    """
    free = shutil.disk_usage(target.parent).free
    if nbytes > free:
        raise FormatError(f"cannot write {target}: {nbytes:,} bytes are needed, {free:,} are free")


def check_file(target: Path, *, force: bool) -> None:
    """Check that a file may be written, or replaced, before anything is drawn.

    Raises:
        FormatError: if it is there, and without `force`, or is no file.
    """
    if target.is_dir():
        raise FormatError(f"cannot write {target}: it is a folder")
    if target.exists():
        if not target.is_file():
            raise FormatError(f"cannot write {target}: it is not a regular file")
        if not force:
            raise exists(target)


def exists(target: Place) -> FormatError:
    """Return the refusal to replace a file that nobody allowed to be replaced."""
    return FormatError(f"{target} exists; replace it with --force")


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
            raise exists(place)


def _scatter(temporary: Path, target: Path, *, force: bool) -> None:
    """Move a folder's files beside the target; the index, which names the others, comes last.

    An older index goes first: what is killed here leaves no index of a mixture.
    """
    with leavings.unbroken(), leavings.locked(target.parent, wait=True):
        check_set(temporary, target, force=force)
        files = sorted(temporary.iterdir(), key=lambda file: (file.name == target.name, file.name))
        if len(files) > 1:
            target.unlink(missing_ok=True)
        for file in files:
            file.replace(target.with_name(file.name))
        temporary.rmdir()


def _place_file(temporary: Path, target: Path, *, force: bool) -> None:
    if force:
        temporary.replace(target)
        return
    try:
        # Unlike a rename this fails where another run was first.
        os.link(temporary, target)
    except FileExistsError:
        raise exists(target) from None
    except OSError:
        # Not every file system has links.
        if target.exists():
            raise exists(target) from None
        temporary.rename(target)
    else:
        temporary.unlink()
