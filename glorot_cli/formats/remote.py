"""Objects in stores and on the web: named by URLs, read by ranges, written in parts."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from glorot_cli.errors import FormatError, GlorotError, printable

if TYPE_CHECKING:
    from obstore import GetOptions, WritableFile

WRITABLE = ("s3://", "az://", "gs://")
SCHEMES = (*WRITABLE, "http://", "https://")
# A store takes at most 10,000 parts of an object, and few requests are better than many.
SMALLEST_PART, MOST_PARTS = 16 << 20, 10_000
# Parts that are on their way at a time; each is in memory.
CONCURRENCY = 4
RETRIES = 10
RETRY_SECONDS = 180.0
# A part may take long on a slow line.
REQUEST_SECONDS = 300.0
_TRUE = ("1", "true", "yes", "on")
_ALLOW_HTTP = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP", "ALLOW_HTTP")


@dataclass(frozen=True, slots=True, order=True)
class Remote(os.PathLike[str]):
    """Name an object by its URL, or by one that ends in / what several have in common.

    `version` and `size` are those that it had when its headers were read: no other is read then.
    """

    url: str
    version: str | None = None
    size: int | None = None

    def __fspath__(self) -> str:
        return self.url

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(self._parts[1]).name

    @property
    def suffix(self) -> str:
        """The ending of its name."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Remote:
        """What it is in."""
        return Remote(self.url.rstrip("/").rpartition("/")[0] + "/")

    @property
    def is_writable(self) -> bool:
        """Whether it is in a store that is written to."""
        return self.url.startswith(WRITABLE)

    @property
    def _parts(self) -> tuple[str, str]:
        """The URL of its store, and its key there."""
        scheme, _, rest = self.url.partition("://")
        host, _, key = rest.partition("/")
        return f"{scheme}://{host}", key

    def _opened(self) -> tuple[Any, str]:
        root, key = self._parts
        if not root.partition("://")[2]:
            raise GlorotError(f"{self.url}: expected a bucket or a host after ://")
        return _store(root), key

    def status(self) -> Status | None:
        """Return its size and its version; None if there is no such object.

        Raises:
            FormatError: if the store does not say.
        """
        import obstore

        with _errors_named(self, "read"):
            store, key = self._opened()
            try:
                found = obstore.head(store, key)
            except FileNotFoundError:
                return None
        return Status(int(found["size"]), found.get("e_tag"))

    def read(self, offset: int, nbytes: int) -> memoryview:
        """Return bytes of it; fewer only where it ends.

        Raises:
            FormatError: if they cannot be read, or it has another version by now.
        """
        import obstore

        if self.size is not None:
            nbytes = min(nbytes, self.size - offset)
        if nbytes <= 0:
            return memoryview(b"")
        with _errors_named(self, "read"):
            store, key = self._opened()
            options: GetOptions = {"range": (offset, offset + nbytes)}
            if self.version is not None:
                options["if_match"] = self.version
            return memoryview(obstore.get(store, key, options=options).bytes())

    def text(self, largest: int) -> bytes:
        """Return all of a small object.

        Raises:
            FormatError: if there is none, or it is larger.
        """
        found = self.status()
        if found is None:
            raise FormatError(f"cannot read {self.url}: there is no such object")
        if found.size > largest:
            raise FormatError(f"{self.url}: expected at most {largest >> 20} MiB")
        return bytes(Remote(self.url, found.version, found.size).read(0, found.size))

    def names(self) -> set[str]:
        """Return the names of the objects in it.

        Raises:
            FormatError: if the store does not list them.
        """
        import obstore

        with _errors_named(self, "list"):
            store, key = self._opened()
            found = obstore.list_with_delimiter(store, key.rstrip("/") or None)
        return {PurePosixPath(each["path"]).name for each in found["objects"]}

    def put(self, text: bytes) -> None:
        """Write a small object at once."""
        import obstore

        with _errors_named(self, "write"):
            store, key = self._opened()
            obstore.put(store, key, text)

    def delete(self) -> None:
        """Remove it, if it is there."""
        import obstore

        with _errors_named(self, "remove"), contextlib.suppress(FileNotFoundError):
            store, key = self._opened()
            obstore.delete(store, key)

    @contextlib.contextmanager
    def writer(self, nbytes: int) -> Iterator[WritableFile]:
        """Give what takes the bytes of an object in their order; it is there when the block ends.

        On any exception nothing is there, and what was sent is abandoned.
        """
        import obstore

        part = max(SMALLEST_PART, -(-nbytes // MOST_PARTS))
        with _errors_named(self, "write"):
            store, key = self._opened()
            with obstore.open_writer(
                store, key, buffer_size=part, max_concurrency=CONCURRENCY
            ) as writer:
                yield writer


class Status(NamedTuple):
    """Hold an object's size, and what changes when it does, if the store says so."""

    size: int
    version: str | None


def is_url(path: object) -> bool:
    """Tell whether a path names an object in a store or on the web."""
    return isinstance(path, str | Remote) and os.fspath(path).startswith(SCHEMES)


@functools.cache
def _store(root: str) -> Any:
    try:
        from obstore.store import from_url
    except ImportError:
        raise GlorotError(
            f"{root}: object stores need the extra: pip install 'glorot[cloud]'"
        ) from None
    plain = root.startswith("http://") or any(
        os.environ.get(name, "").lower() in _TRUE for name in _ALLOW_HTTP
    )
    options: dict[str, Any] = {"timeout": timedelta(seconds=REQUEST_SECONDS)}
    if plain:
        options["allow_http"] = True
    return from_url(
        root,
        client_options=options,  # type: ignore[call-overload]
        retry_config={
            "max_retries": RETRIES,
            "retry_timeout": timedelta(seconds=RETRY_SECONDS),
        },
    )


@contextlib.contextmanager
def _errors_named(place: Remote, verb: str) -> Iterator[None]:
    """Turn a store's error into one line, without what a URL may carry of credentials."""
    try:
        yield
    except GlorotError:
        raise
    except FileNotFoundError:
        what = "object" if verb == "read" else "bucket"
        raise FormatError(f"cannot {verb} {place}: there is no such {what}") from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "obstore" and not isinstance(
            error, PermissionError
        ):
            raise
        raise FormatError(f"cannot {verb} {place}: {_reason(error)}") from None


_KNOWN = {
    "PermissionDeniedError": "the store denies it; check the credentials and their rights",
    "UnauthenticatedError": "the store wants credentials; set those of its environment",
    "PreconditionError": "it was replaced while it was read; run it again",
    "NotSupportedError": "the server does not answer requests for a part of it",
}


def _reason(error: BaseException) -> str:
    known = _KNOWN.get(type(error).__name__)
    if known is not None:
        return known
    if "NoSuchBucket" in str(error):
        return "there is no such bucket"
    # A query may be a signature, and what the library adds for its debugging is of no use here.
    text = re.sub(r"\?\S*", "", str(error).partition("\n\n")[0])
    return printable(re.sub(r"\s+", " ", text))[:300]
