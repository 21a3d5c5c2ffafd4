"""Names with indices in braces, such as `h.{i}.weight`."""

from __future__ import annotations

import functools
import re
from operator import itemgetter
from typing import NamedTuple

from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.expressions import Names
from glorot_cli.repeats.indexed import Indexed


class _Parts(NamedTuple):
    """Hold a name as texts with indices between them, and whether a text has a stray brace."""

    texts: tuple[str, ...]
    is_broken: bool


@functools.lru_cache(maxsize=4096)
def _parts(template: str) -> _Parts:
    texts = tuple(re.split(r"\{([^{}]*)\}", template))
    return _Parts(texts, any("{" in text or "}" in text for text in texts[::2]))


def fill_name(template: str, names: Names, path: KeyPath, *, at_key: bool = False) -> str:
    """Fill the indices into a name such as `h.{i}.weight`.

    Raises:
        SpecError: if a brace holds no known index.
    """
    if "{" not in template and "}" not in template:
        return template
    texts, is_broken = _parts(template)
    parts = list(texts)
    for place in range(1, len(parts), 2):
        index = parts[place]
        value = names.get(index)
        if type(value) is int or type(value) is str:
            parts[place] = str(value)
        elif index in names:
            raise SpecError(
                f"{{{index}}} is {shown(value)}, expected a word or a whole number",
                path,
                at_key=at_key,
            )
        else:
            hint = suggestion(index, names) if names else "the entry has no repeat"
            raise SpecError(f"{{{index}}} is not an index; {hint}", path, at_key=at_key)
    if is_broken:
        raise SpecError("expected indices in pairs of braces, such as h.{i}", path, at_key=at_key)
    return "".join(parts)


# As a name holds them; true and false are numbers to Python.
_WORDS = (int, str)


class Template:
    """Fill the same name many times, as `fill_name` does, which says what is wrong with one.

    `shared` are names that are alike each time.
    """

    def __init__(self, text: str, shared: Names, path: KeyPath, *, at_key: bool) -> None:
        self._text, self._path, self._at_key = text, path, at_key
        texts, is_broken = _parts(text)
        parts = [part.replace("%", "%%") for part in texts]
        indices = []
        for place in range(1, len(texts), 2):
            value = shared.get(texts[place])
            if type(value) in _WORDS:
                parts[place] = str(value).replace("%", "%%")
            else:
                parts[place] = "%s"
                indices.append(texts[place])
        self._format: str | None = None if is_broken else "".join(parts)
        self._indices = indices
        self._of = itemgetter(*indices) if indices else None
        # The types of values that have been seen to be words.
        self._kinds: set[object] = set()

    def fill(self, names: Names) -> str:
        """Return the name for the names of one repetition.

        Raises:
            SpecError: if a brace holds no known index.
        """
        if self._format is None:
            return fill_name(self._text, names, self._path, at_key=self._at_key)
        if self._of is None:
            return self._format % ()
        try:
            values = self._of(names.own if type(names) is Indexed else names)
        except KeyError:
            return fill_name(self._text, names, self._path, at_key=self._at_key)
        kinds = tuple(map(type, values)) if type(values) is tuple else type(values)
        if kinds not in self._kinds:
            name = fill_name(self._text, names, self._path, at_key=self._at_key)
            self._kinds.add(kinds)
            return name
        filled: str = self._format % values
        return filled
