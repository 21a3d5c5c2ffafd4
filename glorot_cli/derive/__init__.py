"""Specs from what others made: a Keras model's configuration, or the shapes in a weight file."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glorot_cli.derive.derived import Derived
from glorot_cli.derive.text import spec_text
from glorot_cli.errors import FormatError, GlorotError, listed
from glorot_cli.formats.remote import is_url

if TYPE_CHECKING:
    from glorot_cli.formats.sources import Place
    from glorot_cli.formats.stored import StoredFile

__all__ = [
    "STARTS", "Derived", "comments", "derive", "derive_spec", "describes_weights",
    "is_description", "spec_text",
]  # fmt: skip

AS_FOUND = "as-found"
# The conventions for what names leave open.
STARTS = ("keras", "torch", "jax", AS_FOUND)


def describes_weights(path: str) -> bool:
    """Tell whether a path is a weight file or a model's configuration, and not a spec."""
    if is_url(path):
        return True
    file = Path(path)
    # Weights of that ending have a second one.
    if file.suffixes == [".json"] and file.is_file() and _start(file)[:1] == b"{":
        return is_keras_config(file)
    if is_description(path):
        return is_keras_config(file)
    from glorot_cli.formats import FORMATS
    from glorot_cli.formats.foreign import foreign_kind

    # What is no text may be weights by its name.
    endings = tuple(
        ending for each in FORMATS.values() for ending in (*each.endings, *each.other_endings)
    )
    if path.endswith(endings) or file.is_dir() or foreign_kind(file):
        return True
    return path.endswith(".json") and file.is_file() and is_keras_config(file)


def is_keras_config(path: Path) -> bool:
    """Tell whether a file is a .keras archive, or JSON that names a Keras class."""
    start = _start(path)
    return start[:4] == b"PK\x03\x04" or (start[:1] == b"{" and b'"class_name"' in start)


def _start(path: Path) -> bytes:
    """Read the first bytes of a file, without what may stand before a text."""
    with path.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()


def is_description(path: str) -> bool:
    """Tell by its content whether a regular file is a spec or a model's configuration.

    A weight file is neither, whatever its name, and no index of shards, folder or pipe is.
    """
    from glorot_cli.formats import shards
    from glorot_cli.formats.foreign import foreign_kind
    from glorot_cli.formats.texts import is_text

    file = Path(path)
    try:
        if not file.is_file():
            return False
        with file.open("rb") as opened:
            start = opened.read(4096)
        # A pickle starts so, and no text.
        if start.startswith(b"\x80") or not is_text(start):
            return False
        return not foreign_kind(file) and not shards.is_index(file)
    except OSError:
        return False


def derive(
    path: str | os.PathLike[str],
    start: str | None = None,
    *,
    key: str | None = None,
    with_state: bool = False,
) -> Derived:
    """Return the spec of what a file describes, and how it was come by.

    `start` is the convention for what names do not decide, one of `STARTS`; `key` chooses the
    mapping of weights in a file of torch's; `with_state` keeps an optimizer's state too.

    Raises:
        FormatError: if it is not a file that a spec can be made of.
        GlorotError: if it says itself how it starts, and `start` too.
    """
    # None of these is for a config.json or a spec, which most are.
    from glorot_cli.formats import npz
    from glorot_cli.formats.foreign import foreign_kind
    from glorot_cli.formats.reading import is_torch, read_headers

    if is_url(path):
        return derive_stored(read_headers(path, key), start, with_state=with_state)
    file = Path(path)
    try:
        is_config = file.is_file() and is_keras_config(file) and not npz.is_npz(file)
        is_config = is_config and key is None and not is_torch(file)
        if is_config and not foreign_kind(file):
            check_start(start, file)
            return _of_config(file)
    except OSError as error:
        raise FormatError(f"cannot read {file}: {error.strerror}") from None
    return derive_stored(read_headers(file, key), start, with_state=with_state)


def derive_stored(
    file: StoredFile,
    start: str | None = None,
    std: float | None = None,
    *,
    with_state: bool = False,
) -> Derived:
    """Do as `derive` does, for a file whose headers are read.

    `std` is that of kernels and embeddings where `start` says no convention.
    """
    from glorot_cli.derive.conventions import CONVENTIONS, of_range
    from glorot_cli.derive.weights import carried_spec, spec_of_weights

    found = None
    convention = None if std is None else of_range(std)
    if start == AS_FOUND and carried_spec(file) is None:
        from glorot_cli.derive.as_found import initializers_in

        found = initializers_in(file)
    elif start is not None:
        convention = CONVENTIONS.get(start)
    stated = None
    # What is our own says how it was drawn.
    if convention is None and found is None and file.attributes and file.provenance is None:
        from glorot_cli.derive.whole_model import settled, stated_starts

        stated = stated_starts(file)
    if stated is not None:
        derived = spec_of_weights(file, None, stated.initializers, with_state=with_state)
        return settled(derived, stated, file)
    derived = spec_of_weights(file, convention, found, with_state=with_state)
    if not derived.guesses:
        check_start(start, file.path)
    return derived


def check_start(start: str | None, path: Place) -> None:
    """Check that no convention is chosen for what says itself how it starts.

    Raises:
        GlorotError: if one is.
    """
    if start is not None:
        raise GlorotError(
            f"--start chooses for a file of which only names are known; {path} says how it starts"
        )


def derive_spec(path: str | os.PathLike[str], key: str | None = None) -> dict[str, Any]:
    """Return the spec, as plain data, of what a file describes.

    Raises:
        FormatError: if it is not a file that a spec can be made of.
    """
    return derive(path, key=key).spec


def _of_config(file: Path) -> Derived:
    """Return the spec of a Keras configuration, or that of the weights in its .keras archive.

    Raises:
        FormatError: if it means no spec, or leaves out weights that the archive has.
    """
    from glorot_cli.derive.keras_config import read_config, spec_of_config
    from glorot_cli.derive.weights import carried_spec, left_out
    from glorot_cli.formats.reading import read_headers
    from glorot_cli.formats.zips import is_zip

    stored = None
    if is_zip(file):
        with contextlib.suppress(FormatError):
            stored = read_headers(file)
    carried = None if stored is None else carried_spec(stored)
    if carried is not None:
        return Derived(carried)
    derived = spec_of_config(read_config(file), str(file))
    missing = left_out(stored, derived.spec) if stored and derived.remarks else ()
    if missing:
        raise FormatError(
            f"{file}: a layer of a type that is not known has weights, {listed(missing)}; write a "
            "spec that has them under tensors"
        )
    return derived


def comments(derived: Derived) -> tuple[str, ...]:
    """Return what a derived spec tells its reader first."""
    if not derived.guesses and not derived.kept:
        return ()
    return (
        "Names, shapes and dtypes are the file's. Axes and initializers are conventions: check",
        "them before use.",
    )
