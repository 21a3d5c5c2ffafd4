"""Several distributions in one tensor: one for each fused piece, or for each index of an axis."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from glorot_cli.arguments import InitializerChoice
from glorot_cli.distributions import Cut, Distribution, Pieces, is_elementwise
from glorot_cli.errors import SpecError, shown
from glorot_cli.expressions import Names
from glorot_cli.initializers.decided import Decided
from glorot_cli.initializers.kernel import Kernel
from glorot_cli.initializers.steps import Step

MOST_INDICES = 100_000
Decide = Callable[[InitializerChoice, Kernel, Names], Decided]

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def packed(choice: InitializerChoice, kernel: Kernel, names: Names, decide: Decide) -> Decided:
    """Resolve a list of initialisers, one for each of the kernel's fused pieces.

    Raises:
        SpecError: if there are not as many, or at the one that does not fit.
    """
    assert isinstance(choice.value, list)
    if kernel.fused == 1 or len(choice.value) != kernel.fused:
        expected = (
            f"{kernel.fused} initializers, one for each fused piece, found {len(choice.value)}"
            if kernel.fused > 1
            else "one initializer, found a list, which is for the pieces of a fused tensor"
        )
        raise SpecError(f"expected {expected}", choice.path)
    if any(kernel.index):
        _check_index(kernel, choice)
    found: list[Decided] = []
    steps = kernel.steps
    for number, value in enumerate(choice.value):
        piece = replace(kernel.piece(), steps=[])
        item = InitializerChoice(value, (*choice.path, number), choice.given)
        if isinstance(value, list):
            raise SpecError("expected one initializer for a piece, found a list", item.path)
        found.append(decide(item, piece, names))
        if found[-1].seed is not None:
            raise SpecError(
                "a piece takes no seed of its own; seed the tensor",
                (*item.path, "seed"),
                at_key=True,
            )
        steps += [Step(f"piece {number}: {found[-1].name}"), *found[-1].steps]
    cut = Cut(kernel.fused_axis, kernel.fused)
    return Decided(
        f"[{', '.join(each.name for each in found)}]",
        {"pieces": [{"name": each.name, **each.arguments} for each in found]},
        joined([each.distribution for each in found], (cut,)),
        None,
        steps,
    )


def _check_index(kernel: Kernel, choice: InitializerChoice) -> None:
    """Check that no name is along the fused axis, where a piece's own index would be meant."""
    name = kernel.index[kernel.fused_axis]
    if name is not None:
        raise SpecError(
            f"the index {name!r} is along the fused axis, where each piece has an initializer",
            choice.path,
        )


def joined(laws: list[Distribution], cuts: tuple[Cut, ...]) -> Distribution:
    """Return the distribution of kernels side by side: one where all have the same."""
    if all(law == laws[0] for law in laws):
        if is_elementwise(laws[0]):
            return laws[0]
        return Pieces((laws[0],), cuts)
    return Pieces(tuple(laws), cuts)


def indices_used(choice: InitializerChoice, kernel: Kernel) -> list[int]:
    """Return the axes whose index the initialiser's expressions use."""
    if not any(kernel.index) or not isinstance(choice.value, Mapping):
        return []
    if choice.value.get("name") == "by_index":
        return []  # it evaluates its expression at each place itself
    words = {
        word
        for key, value in choice.value.items()
        if isinstance(value, str) and key != "name"
        for word in _WORD.findall(value)
    }
    return [axis for axis, name in enumerate(kernel.index) if name in words]


def indexed(
    choice: InitializerChoice, kernel: Kernel, names: Names, axes: list[int], decide: Decide
) -> Decided:
    """Resolve an initialiser for each index along some axes, by whose names expressions know it.

    Raises:
        SpecError: at the argument that does not fit, or if the law is of whole kernels and an axis
            lies within them.
    """
    sizes = [kernel.shape[axis] for axis in axes]
    if math.prod(sizes) > MOST_INDICES:
        raise SpecError(
            f"expected at most {MOST_INDICES} indices, found {math.prod(sizes)}", choice.path
        )
    whole = replace(kernel, index=())
    found: list[Decided] = []
    for place in itertools.product(*map(range, sizes)):
        given = {str(kernel.index[axis]): at for axis, at in zip(axes, place, strict=True)}
        steps = kernel.steps if not found else []
        decided = decide(choice, replace(whole, steps=steps), {**names, **given})
        if not found:
            counts = ", ".join(map(str, sizes))
            steps.append(Step(f"the same for each {', '.join(given)}, of {counts}"))
        found.append(decided)
    roles = (kernel.axes or "").upper()
    cuts = tuple(
        Cut(axis, kernel.shape[axis], drops=roles[axis : axis + 1] == "B") for axis in axes
    )
    laws = [_within(decided.distribution, cuts, kernel, choice) for decided in found]
    first = found[0]
    return Decided(
        first.name, _arguments(choice, kernel, first), joined(laws, cuts), first.seed, kernel.steps
    )


def _arguments(choice: InitializerChoice, kernel: Kernel, first: Decided) -> dict[str, Any]:
    """Return the arguments, those that depend on an index as they are written."""
    assert isinstance(choice.value, Mapping)
    names = {name for name in kernel.index if name is not None}
    return {
        key: written
        if isinstance(written := choice.value.get(key), str) and names & {*_WORD.findall(written)}
        else value
        for key, value in first.arguments.items()
    }


def _within(
    law: Distribution, cuts: tuple[Cut, ...], kernel: Kernel, choice: InitializerChoice
) -> Distribution:
    """Return a tensor's law as that of what cuts leave of it: a whole kernel is not cut up."""
    if is_elementwise(law):
        return law
    if isinstance(law, Pieces) and len(law.laws) == 1 and set(cuts) <= set(law.cuts):
        axes = [cut.axis for cut in cuts]
        left = tuple(_shifted(law.cuts, axes))
        return Pieces(law.laws, left) if left else law.laws[0]
    name = next(
        str(kernel.index[cut.axis])
        for cut in cuts
        if not isinstance(law, Pieces) or cut not in law.cuts
    )
    raise SpecError(
        f"the initializer sees whole kernels, which the index {shown(name)} would cut up; "
        "it may vary along a B axis only",
        choice.path,
    )


def _shifted(cuts: tuple[Cut, ...], gone: list[int]) -> Iterator[Cut]:
    for cut in cuts:
        if cut.axis not in gone:
            yield replace(cut, axis=cut.axis - sum(axis < cut.axis for axis in gone))
