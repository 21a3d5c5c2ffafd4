"""Rules for names: the fewest globs that say how the tensors of a file start."""

from __future__ import annotations

import fnmatch
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from glorot_cli.derive.folding import Folded, split_name

_VARIABLE = re.compile(r"(?:^|(\w*)/)vars/([0-9]+)$")
_MOST_RULES = 24
_MOST_TRIALS = 400
_MOST_MATCHES = 2_000_000

# The texts around the indices of names, and what their tensors start with, as JSON.
Family = tuple[tuple[str, ...], str]


def spelled(initializer: Any) -> str:
    """Return the text by which equal initializers are told; of what is kept an empty one."""
    return "" if initializer is None else json.dumps(initializer)


def family_of(tensor: Folded) -> Family:
    """Return what a tensor has in common with all that one rule may decide."""
    return split_name(tensor.first), tensor.kind


def rules_for(folded: Iterable[Folded]) -> tuple[list[dict[str, Any]], set[Family]]:
    """Return rules that say how most tensors start, and the families that must say so themselves.

    A rule is the shortest ending of a name that only tensors of one start have. What is kept has
    no rule, and what starts as most matrices do has the last.
    """
    samples: dict[Family, str] = {}
    counts: Counter[str] = Counter()
    for tensor in folded:
        samples.setdefault(family_of(tensor), tensor.first)
        counts[tensor.kind] += len(tensor.shape) > 1
    several = Counter(texts for texts, _ in samples)
    counts.pop("", None)
    last = counts.most_common(1)[0][0] if counts and counts.most_common(1)[0][1] else None
    alone = {
        family
        for family in samples
        if not family[1]
        or (several[family[0]] > 1 and family[1] != last)
        # What only an entry can say: the parts of a fused tensor, or another tensor's name.
        or family[1].startswith("[")
    }
    undecided = {family: name for family, name in samples.items() if family not in alone}
    trials = min(_MOST_TRIALS, _MOST_MATCHES // max(1, len(samples)))
    order = {kind: place for place, kind in enumerate(dict.fromkeys(k for _, k in samples))}
    simple = ["zeros", "ones"]
    rules: list[dict[str, Any]] = []

    def rank(family: Family) -> tuple[int, int]:
        kind = family[1].strip('"')
        return (simple.index(kind) if kind in simple else len(simple)), order[family[1]]

    for family in sorted(undecided, key=rank):
        texts, kind = family
        if kind == last or family not in undecided:
            continue
        for glob in _endings(texts) if len(rules) < _MOST_RULES else ():
            trials -= 1
            pattern = re.compile(fnmatch.translate(glob))
            matched = [other for other, name in undecided.items() if pattern.match(name)]
            if trials >= 0 and all(other[1] == kind for other in matched):
                rules.append({glob: json.loads(kind)})
                break
        else:
            matched = [family]
            alone.add(family)
        for other in matched:
            del undecided[other]
    if undecided:
        assert last is not None
        rules.append({"*": json.loads(last)})
    return rules, alone


def _endings(texts: Sequence[str]) -> Iterator[str]:
    """Yield the endings of a name from its separators on, as globs, the shortest first.

    The number of one of Keras's variables says nothing by itself.
    """
    if _VARIABLE.search(texts[-1]):
        return
    whole = "*".join(re.sub(r"[*?[]", "[\\g<0>]", text) for text in texts)
    for match in reversed(list(re.finditer(r"[./]", whole))):
        yield "*" + whole[match.start() :]
    yield whole
