"""Folders with a checkpoint and others' files: what glorot wrote there, and what replaces it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePath

from glorot_cli.errors import FormatError, shown
from glorot_cli.formats import leavings, shards
from glorot_cli.formats.base import INDEX, LARGEST_MANIFEST, MANIFEST
from glorot_cli.formats.npy_header import read_header

_MOUNTS = Path("/proc/self/mountinfo")
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


def written(folder: Path) -> list[PurePath]:
    """Return the files in a folder that glorot wrote, by their paths in it.

    They are what a manifest of glorot's lists, with the header that it lists, shards that carry its
    provenance, and an index of such. What tells of the others comes where a removal in this order
    can be cut short: the index before its shards, the manifest after its files.
    """
    ours = shards.written(folder)
    if listed := _listed(folder / MANIFEST):
        ours += [
            name for name in files_in(folder) if _has_header(folder / name, listed.get(str(name)))
        ]
        ours.append(PurePath(MANIFEST))
    return ours


def _listed(manifest: Path) -> dict[str, tuple[object, object]]:
    """Return the shape and the dtype of each file that a manifest of glorot's lists."""
    try:
        if not _is_plain(manifest) or manifest.stat().st_size > LARGEST_MANIFEST:
            return {}
        data = json.loads(manifest.read_bytes())
        if not isinstance(data["glorot"], dict):
            return {}
        return {
            each["file"]: (tuple(each["shape"]), each["dtype"])
            for name, each in data["tensors"].items()
            if each["file"] == f"{name}.npy"
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _has_header(file: Path, listed: tuple[object, object] | None) -> bool:
    """Tell whether a file's header is the one listed; another's array may be saved over ours."""
    if listed is None or not _is_plain(file):
        return False
    try:
        with file.open("rb") as opened:
            header = read_header(opened, str(file))
    except (OSError, FormatError):
        return False
    # A dtype's name does not tell its order of bytes.
    return (header.shape, header.dtype.name) == listed and header.order == "<"


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def check_folder(target: Path, *, force: bool) -> None:
    """Check that a folder may be written, or replaced, before anything is drawn.

    Raises:
        FormatError: if it is a file, is not empty, or cannot be replaced by another.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise FormatError(f"cannot write {target}/: it is a file")
    if any(target.iterdir()) and not force:
        raise _not_empty(target)
    if _holds_this_process(target):
        raise FormatError(
            f"cannot replace {target}/: it is the working folder, or holds it; run from another"
        )
    for mount in _mounts():
        if mount == target or target in mount.parents:
            what = "it" if mount == target else shown(str(mount.relative_to(target)))
            raise FormatError(
                f"cannot replace {target}/: {what} is a mount point; write to a folder "
                + ("in it" if mount == target else "beside it")
            )


def _holds_this_process(target: Path) -> bool:
    try:
        here = Path.cwd()
    except OSError:  # it is gone
        return False
    return target == here or target in here.parents


def _mounts() -> list[Path]:
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:  # not Linux, or without /proc
        return []
    octal = re.compile(rb"\\([0-7]{3})")
    fields = (line.split(b" ")[4] for line in lines)
    return [
        Path(os.fsdecode(octal.sub(lambda found: bytes([int(found[1], 8)]), field)))
        for field in fields
    ]


def _not_empty(target: Path) -> FormatError:
    return FormatError(f"{target} is not empty; replace it with --force")


def check_places(names: Iterable[PurePath], target: Path) -> None:
    """Check that files may take their places in a folder: what is there is glorot's or nothing.

    The same holds of shards and their index, which a reader of the folder takes first.

    Raises:
        FormatError: naming a file of others, or a link, that is in the way.
    """
    if not target.is_dir():
        return
    first = map(PurePath, sorted(shards.names_in(target) | {INDEX}))
    ours = {str(name) for name in written(target)}
    seen: set[PurePath] = set()
    for name in (*names, *first):
        for part in (*reversed(name.parents[:-1]), name):
            if part in seen:
                continue
            seen.add(part)
            place = target / part
            if not os.path.lexists(place):
                break
            if part == name:
                is_free = str(part) in ours
            else:
                is_free = place.is_dir() and not place.is_symlink()
            if not is_free:
                raise in_the_way(place)


def in_the_way(place: Path) -> FormatError:
    """Return the refusal to replace what glorot did not write."""
    return FormatError(f"{place} was not written by glorot, so it is not replaced; move it away")


def place_folder(temporary: Path, target: Path, *, force: bool) -> None:
    """Give a finished folder its name; what others have in the one that it replaces moves there.

    Raises:
        FormatError: if something is in its place, and without `force` or not of glorot's.
    """
    with leavings.unbroken():
        try:
            temporary.rename(target)
            return
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        if not force:
            raise _not_empty(target)
        with leavings.locked(target):
            check_places(files_in(temporary), target)
            old = _swap(temporary, target)
            _retire(old, target)


def files_in(folder: Path) -> list[PurePath]:
    """Return the files in a folder and in those within, by their paths in it; links are none."""
    return [
        PurePath(where, name).relative_to(folder)
        for where, _, names in os.walk(folder)
        for name in names
        if not Path(where, name).is_symlink()
    ]


def _swap(temporary: Path, target: Path) -> Path:
    """Put a folder in another's place, and return where the other is now.

    A run that is killed here leaves both under names that say so, from which `settle` goes on.
    """
    new, old = leavings.beside(target, leavings.OLD), leavings.beside(target, leavings.OLD)
    temporary.rename(new)
    try:
        if _exchange(new, target):
            return new
        target.rename(old)
        try:
            new.rename(target)
        except BaseException:
            old.rename(target)
            raise
        return old
    except BaseException:
        new.rename(temporary)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths swap their names at once, where the system can."""
    import ctypes

    library = ctypes.CDLL(None)
    names = os.fsencode(one), os.fsencode(other)
    here = -100  # the working folder; both names are absolute
    if hasattr(library, "renameat2"):
        return bool(library.renameat2(here, names[0], here, names[1], 2) == 0)
    return hasattr(library, "renamex_np") and bool(library.renamex_np(*names, 2) == 0)


def settle(target: Path) -> None:
    """Finish what a dead run began: its older folder gets its name back, or gives up its files.

    Raises:
        FormatError: if a file of others can go nowhere.
    """
    for old in leavings.of_dead_runs(target, leavings.OLD):
        if target.is_dir():
            _retire(old, target)
        elif not os.path.lexists(target):
            old.rename(target)


def _retire(old: Path, target: Path) -> None:
    """Remove what glorot wrote from a folder that was replaced, and move the rest to the new one.

    Raises:
        FormatError: if a name is taken there; then that file stays where it is.
    """
    for name in written(old):
        (old / name).unlink(missing_ok=True)
        for parent in name.parents[:-1]:
            with contextlib.suppress(OSError):  # it holds something else
                (old / parent).rmdir()
    _move(old, target)
    if old.exists():
        raise FormatError(
            f"{old} keeps files that glorot did not write, whose names are taken in {target}; "
            "move them away"
        )


def _move(old: Path, new: Path) -> None:
    """Move what is in a folder into another, and remove it if nothing is left."""
    import filecmp

    for each in list(old.iterdir()):
        place = new / each.name
        if not os.path.lexists(place):
            each.rename(place)
        elif _is_plain(each) and _is_plain(place):
            if filecmp.cmp(each, place, shallow=False):
                each.unlink()
        elif not (each.is_symlink() or place.is_symlink()) and each.is_dir() and place.is_dir():
            _move(each, place)
    try:
        old.rmdir()
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
