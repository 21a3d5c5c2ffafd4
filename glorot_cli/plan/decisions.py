"""What an initialiser comes to for one tensor: its law and fans, if the dtype can hold them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from glorot_cli.arguments import InitializerChoice
from glorot_cli.distributions import (
    Constant,
    Distribution,
    Normal,
    Ones,
    Patched,
    Uniform,
)
from glorot_cli.dtypes import PRECISIONS
from glorot_cli.errors import KeyPath, SpecError, shown
from glorot_cli.expressions import Names
from glorot_cli.fans import Fans, Shape
from glorot_cli.initializers import Decided, Kernel, decide
from glorot_cli.initializers.steps import Step
from glorot_cli.placed import Placed
from glorot_cli.plan.holding import check_held
from glorot_cli.plan.tensors import Owner
from glorot_cli.repeats import Uses
from glorot_cli.streams import DEFAULT


class Tie(NamedTuple):
    """Hold the name that a tied tensor gives, its shape, if it says one, and whether it is stored.

    The name has no indices filled in.
    """

    name: str
    shape: Shape | None
    stored: bool


class Draft(NamedTuple):
    """Hold a tensor before its initialiser is chosen, and the place in the spec it comes from.

    `typed` says whether its type says its axes, so that nobody can have forgotten one; `note` is
    what its layer says of it.
    """

    name: str
    path: KeyPath
    names: Names
    own: InitializerChoice | None
    kernel: Kernel
    dtype: str
    seed: int | None
    patch: tuple[int, int, float] | None
    tie: Tie | None
    rng: str
    owner: Owner
    typed: bool = False
    fans_of: str | None = None
    note: str = ""


class Decision(NamedTuple):
    """Hold what an initialiser comes to for a kernel."""

    decided: Decided
    law: Distribution
    fans: Fans | None
    exact: tuple[Fans, Distribution] | None
    assumed: str | None = None


def decide_draft(choice: InitializerChoice, draft: Draft) -> Decision:
    """Work out a draft's law by an initialiser.

    Raises:
        SpecError: if the initialiser refuses, or the dtype cannot hold the law.
    """
    kernel = replace(draft.kernel, steps=[])
    try:
        decided = decide(choice, kernel, draft.names)
    except SpecError as error:
        if not choice.given or choice.path[:1] not in (("initializers",), ("overrides",)):
            raise
        raise SpecError(
            f"{error.message}; for the tensor {shown(draft.name)}", error.path, at_key=error.at_key
        ) from None
    own = kernel.donor is None and decided.uses_fans
    if own and draft.owner.is_raw and not draft.typed:
        decided.steps.extend(_missing_roles(kernel))
    law = decided.distribution
    if draft.patch is not None:
        assert not isinstance(law, Patched)
        law = Patched(law, *draft.patch)
    _check_values(law, draft)
    assumed = kernel.assumed if own and kernel.counted_axes != kernel.axes else None
    fans, exact = _fans(choice, kernel, decided), _exact(choice, draft, decided)
    return Decision(decided, law, fans, exact, assumed)


# What is forgotten is worked out again; tensors of one kind mostly stand together.
MOST_KEPT = 10_000


class Decisions:
    """Work out the laws of drafts, once for all that an initialiser makes alike."""

    def __init__(self, shared: Names) -> None:
        """Start with the names that are no indices of a repeat."""
        self._shared = shared
        # Each with what its key is the ids of.
        self._uses: dict[int, tuple[Uses, InitializerChoice]] = {}
        self._found: dict[object, tuple[Decision, InitializerChoice, Kernel]] = {}
        self._equal: dict[object, Decision] = {}

    def used(self, choice: InitializerChoice, names: Names) -> tuple[str, ...]:
        """Return a key of the indices that an initialiser uses; empty where it uses none."""
        found = self._uses.get(id(choice))
        if found is None:
            if len(self._uses) >= MOST_KEPT:
                self._uses.clear()
            found = self._uses[id(choice)] = Uses(choice.value, self._shared), choice
        return found[0].of(names)

    def of(self, choice: InitializerChoice, draft: Draft, used: tuple[str, ...]) -> Decision:
        """Return what an initialiser comes to for a draft; `used` is the key of its indices.

        Raises:
            SpecError: if the initialiser refuses, or the dtype cannot hold the law.
        """
        kernel = draft.kernel
        form = draft.dtype, draft.patch, draft.typed, draft.owner.is_raw, used
        same = id(choice), id(kernel), form
        found = self._found.get(same)
        if found is not None:
            return found[0]
        if used:
            decision = decide_draft(choice, draft)
        else:
            # The longer key finds what only comes to the same.
            equal = choice.path, str(choice.value), kernel, form
            known = self._equal.get(equal)
            if len(self._equal) >= MOST_KEPT:
                self._equal.clear()
            decision = self._equal[equal] = known or decide_draft(choice, draft)
        if len(self._found) >= MOST_KEPT:
            self._found.clear()
        self._found[same] = decision, choice, kernel
        return decision


def _missing_roles(kernel: Kernel) -> Iterator[Step]:
    """Note the roles that axes written by hand may have forgotten."""
    if kernel.rule != "exact" or kernel.axes is None or len(kernel.shape) < 2:
        return
    for role, word in (("I", "input"), ("O", "output")):
        if role not in kernel.axes:
            text = f"axes {kernel.axes} has no {word} axis {role}: it counts one {word}"
            yield Step(text, "notice")


def _check_values(distribution: Distribution, draft: Draft) -> None:
    """Check that the dtype can hold what the distribution draws, and that its stream can."""
    try:
        check_held(distribution, draft.kernel.shape, shown(draft.name), draft.dtype)
    except ValueError as error:
        raise SpecError(str(error), draft.path) from None
    if draft.rng != DEFAULT or draft.dtype not in PRECISIONS:
        return  # a framework rounds as it does, past a limit too
    if draft.dtype not in ("float32", "float64") or not isinstance(
        distribution, Constant | Ones | Placed | Normal
    ):
        _check_bounds(distribution, draft)


def _check_bounds(law: Distribution, draft: Draft) -> None:
    """Check that the dtype has values within a law's bounds."""
    if isinstance(law, Uniform) and law.limit is not None:
        return  # checked above, without NumPy
    from glorot_cli.streams.aes_ctr import bounds

    try:
        bounds(law, draft.dtype)
    except ValueError as error:
        raise SpecError(f"{shown(draft.name)}: {error}", draft.path) from None


def _fans(choice: InitializerChoice, kernel: Kernel, decided: Decided) -> Fans | None:
    if isinstance(choice.value, list):
        kernel = kernel.piece()
    if not decided.uses_fans and len(kernel.shape) < 2:
        return None
    try:
        if decided.uses_fans:
            return kernel.count()
        return replace(kernel, assumed=None).count()
    except ValueError:
        return None


def _exact(
    choice: InitializerChoice, draft: Draft, decided: Decided
) -> tuple[Fans, Distribution] | None:
    """Work out the law by exact fans, where the rule's fans decide and are others."""
    kernel = draft.kernel
    one = kernel.piece() if isinstance(choice.value, list) else kernel
    one = one.donor or one
    if not decided.uses_fans or (one.axes is None and len(one.shape) > 1):
        return None
    fans = replace(one, rule="exact", assumed=None).count()
    if fans == _fans(choice, kernel, decided):
        return None
    donor = kernel.donor and replace(kernel.donor, rule="exact")
    exact = decide(choice, replace(kernel, rule="exact", donor=donor, steps=[]), draft.names)
    return fans, exact.distribution
