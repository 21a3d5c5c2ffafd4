"""A recorded module as a spec that people read: folded, with dims and rules where they shorten."""

from __future__ import annotations

import fnmatch
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from glorot_cli.derive.folding import VARIABLE
from glorot_cli.dtypes import PRECISIONS
from glorot_cli.recording.draws import draws_of
from glorot_cli.recording.folding import Group, Leaf, fold
from glorot_cli.recording.module import Module
from glorot_cli.recording.places import LIST
from glorot_cli.recording.tensors import Unknown, entries_of

Entry = dict[str, Any]

# An initializer of so many entries is worth a rule.
_WORTH_RULE = 3
# A size of so many axes is worth a name, and so is a range of so many repetitions.
_WORTH_NAME = 4


@dataclass(frozen=True, slots=True)
class Recording:
    """Hold a module's spec, the tensors that it leaves out, and why it has no draws, if so.

    `count` is how many tensors the module has.
    """

    spec: Entry
    unknown: list[Unknown]
    count: int
    undrawn: str | None = None


def recording_of(module: Module) -> Recording:
    """Return a module's spec."""
    entries, unknown = entries_of(module)
    counts = Counter(e["dtype"] for e in entries.values() if e.get("dtype") in PRECISIONS)
    dtype = counts.most_common(1)[0][0] if counts else "float32"
    for entry in entries.values():
        if entry.get("dtype") == dtype:
            del entry["dtype"]
    params = _lists(entries)
    folded = fold([_leaf(name, entry) for name, entry in entries.items()])
    sizes = _Sizes(folded, set(params))
    rules = _rules(folded)
    draws = None if module.reseeded else draws_of(module, entries, dtype)
    undrawn = None
    if module.reseeded:
        undrawn = "the module seeds torch itself"
    elif draws is None:
        undrawn = "it draws by a call whose words are not known here"
    spec: Entry = {"fans": "torch"}
    if dtype != "float32":
        spec["dtype"] = dtype
    if params:
        spec["params"] = params
    if sizes.dims:
        spec["dims"] = sizes.dims
    if rules:
        spec["initializers"] = [{glob: initializer} for glob, initializer in rules]
    spec["tensors"] = _tensors(folded, sizes, rules)
    if draws:
        spec |= {"torch": ".".join(module.version.split(".")[:2]), "draws": sizes.named(draws)}
    return Recording(spec, unknown, len(module.tensors), undrawn)


def _lists(entries: dict[str, Entry]) -> dict[str, Any]:
    """Give lists of values a name among the params, the last part of the tensor's."""
    found: dict[str, Any] = {}
    for name, entry in entries.items():
        made = entry.get("initializer")
        if not isinstance(made, dict) or LIST not in made:
            continue
        values = made.pop(LIST)
        word = re.sub(r"\W", "_", name.rpartition(".")[2])
        word = (
            word if re.match(r"[A-Za-z_]", word) and not VARIABLE.fullmatch(word) else f"v_{word}"
        )
        key, number = word, 2
        while found.setdefault(key, values) != values:
            key, number = f"{word}_{number}", number + 1
        made["value"] = made["value"].replace(LIST, key)
    return found


def _leaf(name: str, entry: Entry) -> Leaf:
    texts = [name]
    rest = dict(entry)
    if "tie" in rest:
        texts.append(rest.pop("tie"))
    return Leaf(tuple(texts), json.dumps(rest))


class _Sizes:
    """Name the width of a network, and how often it repeats what."""

    def __init__(self, folded: list[Leaf | Group], taken: set[str]) -> None:
        self.dims: dict[str, int] = {}
        self.width = 0
        counts: Counter[int] = Counter()
        for leaf in _leaves(folded):
            counts.update(size for size in json.loads(leaf.payload).get("shape", ()) if size > 8)
        if counts and "d" not in taken:
            size, count = counts.most_common(1)[0]
            if count >= _WORTH_NAME:
                self.width = self.dims["d"] = size
        self._lengths: dict[int, str] = {}
        for group in (entry for entry in folded if isinstance(entry, Group)):
            length = group.stop
            if group.start or group.step != 1 or length < _WORTH_NAME or length in self._lengths:
                continue
            word = _word(group)
            if word in self.dims or word in taken or VARIABLE.fullmatch(word):
                continue
            self._lengths[length] = word
            self.dims[word] = length

    def shape(self, sizes: list[int]) -> list[int | str]:
        """Write sizes, as multiples of the width where they are such."""
        return [self._size(size) for size in sizes]

    def _size(self, size: int) -> int | str:
        if self.width and size % self.width == 0 and size // self.width <= 8:
            return "d" if size == self.width else f"{size // self.width} * d"
        return size

    def bounds(self, group: Group) -> Any:
        """Write a repeat's range."""
        if group.step != 1:
            return [group.start, group.stop, group.step]
        if group.start:
            return [group.start, group.stop]
        return self._lengths.get(group.stop, group.stop)

    def named(self, draws: list[Any]) -> list[Any]:
        """Give the repeats of draws the names that those of tensors have."""
        for item in draws:
            if "repeat" in item:
                ((variable, bounds),) = item["repeat"].items()
                if isinstance(bounds, int) and bounds in self._lengths:
                    item["repeat"] = {variable: self._lengths[bounds]}
                self.named(item.get("entries", []))
        return draws


def _word(group: Group) -> str:
    """Take the last word before an index as what it counts."""
    first = next(_leaves(list(group.entries)))
    before = first.texts[0].split("{" + group.variable + "}")[0] if first.texts else ""
    words = re.findall(r"[A-Za-z_][A-Za-z0-9_]*", before)
    return (words[-1].rstrip("_") if words else "") or "n"


def _leaves(entries: list[Leaf | Group]) -> Iterator[Leaf]:
    for entry in entries:
        if isinstance(entry, Group):
            yield from _leaves(list(entry.entries))
        else:
            yield entry


def _rules(folded: list[Leaf | Group]) -> list[tuple[str, Any]]:
    """Return rules for initializers that many entries have, by endings that no others have.

    A rule that would decide a tensor otherwise than it is would be a lie: each is tried on all.
    """
    texts = {}
    for leaf in _leaves(folded):
        if len(leaf.texts) == 1 and "initializer" in (item := json.loads(leaf.payload)):
            texts[leaf.texts[0]] = json.dumps(item["initializer"])
    by_ending: dict[str, list[str]] = {}
    for name in texts:
        for ending in _endings(name):
            by_ending.setdefault(ending, []).append(name)
    rules: list[tuple[str, Any]] = []
    covered: set[str] = set()
    for ending in sorted(by_ending, key=lambda each: (each.count("."), each)):
        found = {texts[name] for name in by_ending[ending]}
        names = set(by_ending[ending]) - covered
        if len(found) != 1 or len(names) < _WORTH_RULE or any(ch in ending for ch in "*?[{"):
            continue
        rules.append((f"*{ending}", json.loads(found.pop())))
        covered |= names
    return rules


def _endings(name: str) -> Iterator[str]:
    for match in re.finditer(r"[.]", name):
        ending = name[match.start() :]
        if not re.search(r"[.][0-9]+[.]", ending) and not re.match(r"[.][0-9]", ending):
            yield ending


def _tensors(folded: list[Leaf | Group], sizes: _Sizes, rules: list[tuple[str, Any]]) -> list[Any]:
    result: list[Any] = []
    for entry in folded:
        if isinstance(entry, Group):
            inner = _tensors(list(entry.entries), sizes, rules)
            only = inner[0] if len(inner) == 1 and "entries" not in inner[0] else None
            result.append(
                {
                    "repeat": {entry.variable: sizes.bounds(entry)},
                    "entries": inner if only is None else only,
                }
            )
            continue
        item = json.loads(entry.payload)
        if len(entry.texts) > 1:
            item = {"tie": entry.texts[1], **item}
        if "shape" in item:
            item["shape"] = sizes.shape(item["shape"])
        name = entry.texts[0]
        if "initializer" in item and any(
            fnmatch.fnmatchcase(name, glob) and item["initializer"] == made for glob, made in rules
        ):
            del item["initializer"]
        if not result or "entries" in result[-1]:
            result.append({})
        _add(result[-1], name, item)
    return result


def _add(entries: dict[str, Any], name: str, item: Entry) -> None:
    """Add an entry to others; what is like the one before it but for its last word joins that."""
    stem, dot, word = name.rpartition(".")
    joint = f"{stem}{dot}{{part}}"
    before = next(reversed(entries), None)
    if "initializer" in item or "tie" in item or not word.isidentifier() or not dot:
        entries[name] = item
    elif before == joint and {k: v for k, v in entries[joint].items() if k != "each"} == item:
        entries[joint]["each"]["part"].append(word)
    elif before is not None and before.startswith(f"{stem}.") and entries[before] == item:
        del entries[before]
        entries[joint] = {**item, "each": {"part": [before.rpartition(".")[2], word]}}
    else:
        entries[name] = item
