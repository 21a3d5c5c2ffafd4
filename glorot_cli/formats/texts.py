"""JSON that others wrote, read within bounds: its values are counted before any of them is made."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from glorot_cli.errors import shown

# Of anything with names: a header, an index, a manifest; and of what is written, so that it is
# read. A list takes some 70 bytes, a key some 150: 1 GB in all.
MOST_TENSORS = 500_000
MOST_VALUES = 16 * MOST_TENSORS
MOST_KEYS = 6 * MOST_TENSORS
# A spec as data has at most 200; a repeat of several indices is recorded as some more.
DEEPEST = 300


class TooManyError(ValueError):
    """Report a text of more values than are read."""


class DuplicateError(ValueError):
    """Report a key that a JSON object has twice."""


def is_text(start: bytes) -> bool:
    """Tell whether a file that starts so is a text: every weight file has a zero early on."""
    return bool(start.strip()) and b"\0" not in start


def parse_json(text: str | bytes, *, unique: bool = False) -> Any:
    """Read a JSON text; with `unique`, one whose objects have no key twice.

    Raises:
        ValueError: if it is none, is nested too deeply, or has more values than are read.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    # Each value but the first follows one of these; some of them may stand in names.
    if sum(map(raw.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise TooManyError(f"expected at most {MOST_VALUES} values")
    if raw.count(b'":') + raw.count(b'" ') > MOST_KEYS:
        raise TooManyError(f"expected at most {MOST_KEYS} keys")
    try:
        return json.loads(text, object_pairs_hook=_unique if unique else None)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def check_writable(value: Any) -> None:
    """Check that a value which was read as JSON can be written as JSON again.

    Raises:
        ValueError: if it holds a number that JSON has not, or is nested too deeply.
    """
    level = [value]
    for _ in range(DEEPEST):
        if any(isinstance(item, float) and not math.isfinite(item) for item in level):
            raise ValueError("expected finite numbers")
        level = [
            item
            for holder in level
            if isinstance(holder, dict | list)
            for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
        if not level:
            return
    raise ValueError("nested too deeply")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise DuplicateError(f"duplicate key {shown(twice)}")
    return found
