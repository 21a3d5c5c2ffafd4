"""How a tensor of a foreign file is taken to start, by its name and shape.

Conventions, for the user to check: biases, betas, running means and whole numbers are zeros; other
vectors are ones; embeddings are normal with a stddev of 0.02; every other tensor is glorot_uniform.
Axes are in torch's order in safetensors files, and in Keras's elsewhere; experts come first.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from glorot_cli.derive.folding import Folded, split_name
from glorot_cli.dtypes import PRECISIONS
from glorot_cli.fans import Shape

INITIALIZERS: dict[str, Any] = {
    "zeros": "zeros",
    "ones": "ones",
    "embedding": {"name": "random_normal", "stddev": 0.02},
    "kernel": "glorot_uniform",
}
_ZERO = re.compile(
    r"(^|[./_])(bias\w*|beta|running_mean|moving_mean|b|num_batches_tracked)$"
    # In Keras's .weights.h5 variables have numbers for names.
    r"|cell(_[0-9]+)?/vars/2$|_dense/vars/1$"
)
_EMBEDDING = re.compile(
    r"(?i)embed|(^|[./])(wte|wpe|tok_emb|pos_emb|cls_token|mask_token)([./]|$)|^shared\.weight$"
)
_VARIABLE = re.compile(r"(?:^|(\w*)/)vars/([0-9]+)$")
_MOST_RULES = 24
_MOST_TRIALS = 400
_MOST_MATCHES = 2_000_000


def kind_of(name: str, shape: Shape, dtype: str) -> str:
    """Return which of `INITIALIZERS` a tensor is taken for."""
    if dtype not in PRECISIONS or _ZERO.search(name):
        return "zeros"
    if len(shape) > 1:
        # What embeds patches of an image is a convolution.
        return "embedding" if len(shape) < 4 and _EMBEDDING.search(name) else "kernel"
    match = _VARIABLE.search(name)
    if match is None:
        return "ones"
    return "ones" if "normalization" in (match[1] or "") and match[2] in "03" else "zeros"


def axes_of(name: str, shape: Shape, kind: str, is_torch: bool) -> str | None:
    """Return the roles that a tensor's axes are taken for."""
    rank = len(shape)
    if rank < 2 or kind in ("zeros", "ones"):
        return None
    if kind == "embedding":
        return "IO" if rank == 2 else None
    field = "DHW"[-(rank - 2) :] if 2 < rank < 6 else "B" * (rank - 2)
    if rank == 3 and "expert" in name:
        return "BOI" if is_torch else "BIO"
    return f"OI{field}" if is_torch else f"{field}IO"


# The texts around the indices of names, and what their tensors are taken for.
Family = tuple[tuple[str, ...], str]


def family_of(tensor: Folded) -> Family:
    """Return what a tensor has in common with all that one rule may decide."""
    return split_name(tensor.first), tensor.kind


def rules_for(folded: Iterable[Folded]) -> tuple[list[dict[str, Any]], set[Family]]:
    """Return rules that say how most tensors start, and the families that must say so themselves.

    A rule is the shortest ending of a name that only tensors of one kind have.
    """
    samples: dict[Family, str] = {}
    for tensor in folded:
        samples.setdefault(family_of(tensor), tensor.first)
    several = Counter(texts for texts, _ in samples)
    alone = {family for family in samples if several[family[0]] > 1 and family[1] != "kernel"}
    undecided = {family: name for family, name in samples.items() if family not in alone}
    trials = min(_MOST_TRIALS, _MOST_MATCHES // max(1, len(samples)))
    rules: list[dict[str, Any]] = []
    for family in sorted(undecided, key=lambda family: list(INITIALIZERS).index(family[1])):
        texts, kind = family
        if kind == "kernel" or family not in undecided:
            continue
        for glob in _endings(texts) if len(rules) < _MOST_RULES else ():
            trials -= 1
            pattern = re.compile(fnmatch.translate(glob))
            matched = [other for other, name in undecided.items() if pattern.match(name)]
            if trials >= 0 and all(other[1] == kind for other in matched):
                rules.append({glob: INITIALIZERS[kind]})
                break
        else:
            matched = [family]
            alone.add(family)
        for other in matched:
            del undecided[other]
    if undecided:
        rules.append({"*": INITIALIZERS["kernel"]})
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
