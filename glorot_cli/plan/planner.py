"""From a spec to its plan: every tensor in order, with ties, rules and seeds settled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from glorot_cli.arguments import InitializerChoice
from glorot_cli.distributions import Constant, Derived, is_random
from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.initializers.steps import Step
from glorot_cli.plan.choices import Choices
from glorot_cli.plan.decisions import MOST_KEPT, Decisions, Draft
from glorot_cli.plan.derived import with_source
from glorot_cli.plan.donors import Donors
from glorot_cli.plan.drafts import Drafts
from glorot_cli.plan.guesses import Guesses
from glorot_cli.plan.notices import notices
from glorot_cli.plan.seeding import Asked, check_stream, seeded
from glorot_cli.plan.tensors import Plan, PlannedTensor
from glorot_cli.repeats import LARGEST_NAMES, fill_name
from glorot_cli.spec.model import Spec
from glorot_cli.streams import DEFAULT, seeds_of

LARGEST_FILE = 2**62


def make_plan(spec: Spec, *, strict: bool = False) -> Plan:
    """Work out every tensor of a spec; `strict` guesses neither axes nor initializers.

    Raises:
        SpecError: with file, line and column of the first entry that makes no sense.
        TypeError: if it is no Spec, but a path or a mapping.
    """
    if not isinstance(spec, Spec):
        raise TypeError(f"expected a Spec, as load_spec returns, found {shown(spec)}")
    rng, seed = spec.table.rng, spec.table.seed
    planner = _Planner(spec, _drawn(seeds_of(rng)) if seed is None else seed, strict)
    try:
        entries = tuple(planner.entries())
        canonical = spec.canonical()
    except SpecError as error:
        raise spec.source.located(error) from None
    tensors = tuple(t for t in entries if t.tied_to is None and not t.skipped)
    return Plan(
        tensors=tensors,
        entries=entries,
        seed=planner.seed,
        seed_was_drawn=seed is None
        and planner.uses_seed
        and any(is_random(t.distribution) for t in tensors),
        rng=rng,
        spec=canonical | ({"seed": planner.seed} if planner.uses_seed else {}),
        notices=(*planner.notices(), *notices(tensors)),
        defaulted=tuple(planner.guesses.defaulted),
        ranked=tuple(planner.guesses.ranked),
        has_one_seed=planner.has_one_seed,
        overridden=tuple(planner.choices.overridden),
    )


def _drawn(seeds: int) -> int:
    """Draw a seed from the operating system; `seeds`, how many there are, is a power of two."""
    return int.from_bytes(os.urandom(8), "little") % seeds


class _Planner:
    def __init__(self, spec: Spec, seed: int, strict: bool) -> None:
        self.spec = spec
        self.names = spec.names
        self.seed = seed
        self.guesses = Guesses(spec, strict=strict)
        self.choices = Choices(spec, self.guesses)
        self.decisions = Decisions(spec.names)
        # All but the name of tensors that are alike, their bytes, and what their keys are ids of.
        self.alike: dict[object, tuple[list[Any], int, object]] = {}
        self.uses_seed = True
        self.has_one_seed = spec.table.rng == DEFAULT
        self.asked: dict[str, Asked] = {}
        self.drafts = Drafts(spec, strict=strict)
        self.donors = Donors(self.drafts)
        self.derived: list[tuple[Draft, KeyPath]] = []

    def entries(self) -> Iterator[PlannedTensor]:
        check_stream(self.spec, self.seed)
        planned: dict[str, PlannedTensor] = {}
        ties: list[tuple[Draft, str]] = []
        nbytes = letters = 0
        for draft in self.drafts:
            name = draft.name
            letters += len(name)
            if letters > LARGEST_NAMES:
                raise SpecError(
                    f"expected names of at most {LARGEST_NAMES >> 20} MiB in all", draft.path
                )
            _check_name(name, draft.path)
            if name in planned:
                raise self._named_twice(draft)
            tensor, size = self._planned(draft)
            planned[name] = tensor
            nbytes += size
            if nbytes > LARGEST_FILE:
                raise SpecError("the tensors have too many elements for any file", draft.path)
            if tensor.tied_to is not None:
                ties.append((draft, tensor.tied_to))
        if not self.drafts.stand:
            raise SpecError("conditions and empty ranges leave no entry of the spec")
        for draft, target in ties:
            tensor = planned[draft.name] = _tied(planned, draft, target)
            nbytes += 0 if tensor.copy_of is None else tensor.nbytes
        if nbytes > LARGEST_FILE:
            raise SpecError("the tensors have too many elements for any file")
        self.choices.check_used(planned)
        if self.spec.table.rng != DEFAULT:
            planned, self.uses_seed = seeded(self.spec, planned, self.asked, self.seed)
        for draft, path in self.derived:
            planned[draft.name] = with_source(planned, draft, path)
        return iter(planned.values())

    def notices(self) -> Iterator[str]:
        if not self.uses_seed and self.spec.table.seed is not None:
            yield "the spec's seed decides nothing: each random tensor has one of its own"
        yield from self.guesses.notices()

    def _named_twice(self, draft: Draft) -> SpecError:
        lacking = [
            f"{{{name}}}"
            for name in draft.names
            if name not in self.names and f"{{{name}}}" not in draft.owner.family
        ]
        hint = f"; does the name lack {lacking[0]}?" if lacking else ""
        return SpecError(f"two tensors are named {shown(draft.name)}{hint}", draft.path)

    def _planned(self, draft: Draft) -> tuple[PlannedTensor, int]:
        """Plan a tensor, and count its bytes."""
        if draft.tie is not None:
            target = draft.tie.name
            if draft.owner.is_raw:
                target = fill_name(target, draft.names, (*draft.path, "tie"))
            tied = _blank(draft)._replace(shape=draft.tie.shape or (), tied_to=target)
            return tied, tied.nbytes
        if draft.owner.kept:
            kept = _blank(draft).as_kept("its entry")
            return kept, kept.nbytes
        choice, decided_by = self.choices.of(draft)
        used = self.decisions.used(choice, draft.names)
        # Repetitions that are alike share these objects, and differ in their names only.
        key = id(draft.owner), id(choice), used
        alike = self.alike.get(key)
        if alike is not None:
            return PlannedTensor._make((draft.name, *alike[0])), alike[1]
        tensor, is_shared = self._decided(draft, choice, decided_by, used)
        if is_shared:
            if len(self.alike) >= MOST_KEPT:
                self.alike.clear()
            self.alike[key] = [*tensor[1:]], tensor.nbytes, (draft.owner, choice)
        return tensor, tensor.nbytes

    def _decided(
        self, draft: Draft, choice: InitializerChoice, decided_by: str, used: tuple[str, ...]
    ) -> tuple[PlannedTensor, bool]:
        """Plan a tensor, and tell whether repetitions of it differ in their names only."""
        if draft.rng == "torch" and not draft.owner.is_raw and choice.given:
            draft = draft._replace(patch=None)  # what torch's initialisers fill, they fill whole
        donor = self.donors.of(choice, draft)
        if donor is not None:
            draft = draft._replace(kernel=replace(draft.kernel, donor=donor))
        decided, law, fans, exact, assumed = self.decisions.of(choice, draft, used)
        if assumed is not None:
            self.guesses.count_axes(assumed, draft.name)
        seed = self.seed if draft.seed is None else draft.seed
        if decided.seed is not None:
            seed = decided.seed
        is_derived = isinstance(law, Derived)
        if is_derived:
            self.derived.append((draft, choice.path))
        if draft.seed is not None or decided.seed is not None or is_derived:
            self.has_one_seed = False
        is_foreign = self.spec.table.rng != DEFAULT
        if is_foreign:
            by_default = choice is draft.own and not choice.given
            self.asked[draft.name] = Asked(decided.seed, draft.seed, draft.path, by_default)
        steps = decided.steps if not draft.note else [*decided.steps, Step(draft.note, "notice")]
        tensor = _blank(draft)._replace(
            initializer=decided.name,
            arguments=decided.arguments,
            distribution=law,
            seed=seed,
            fans=fans,
            exact=exact,
            decided_by=decided_by,
            steps=tuple(steps),
        )
        # What has another's fans, or is derived, is of another tensor for each.
        counts = bool(draft.note) or assumed is not None
        return tensor, donor is None and not (is_derived or is_foreign or counts)


def _blank(draft: Draft) -> PlannedTensor:
    """Return a draft's tensor before anything is decided."""
    owner = draft.owner
    return PlannedTensor(
        name=draft.name,
        shape=draft.kernel.shape,
        dtype=draft.dtype,
        initializer="",
        arguments={},
        distribution=Constant(0.0),
        seed=0,
        rng=draft.rng,
        kind=owner.kind,
        family=owner.family,
        trainable=owner.trainable,
        skipped=owner.skipped,
        layer=owner.layer,
        group=owner.group,
        also_group=owner.also_group,
        rank=owner.rank,
        kept=owner.kept,
    )


def _tied(planned: dict[str, PlannedTensor], draft: Draft, target: str) -> PlannedTensor:
    assert draft.tie is not None
    other, shape, path = planned.get(target), draft.tie.shape, (*draft.path, "tie")
    if other is None:
        raise SpecError(f"no tensor is named {shown(target)}; {suggestion(target, planned)}", path)
    if other.tied_to is not None or other.copy_of is not None or other.skipped:
        raise SpecError(f"{shown(target)} is tied or skipped itself; tie to what is drawn", path)
    if shape is not None and shape != other.shape:
        raise SpecError(
            f"expected the shape of {shown(target)}, {list(other.shape)}, found {list(shape)}", path
        )
    own = planned[draft.name]
    tied = other._replace(
        name=own.name, kind=own.kind, family=own.family, layer=own.layer, group=None
    )
    if draft.tie.stored:
        return tied._replace(copy_of=target, decided_by=f"its tie to {shown(target)}")
    return tied._replace(tied_to=target)


_NO_PARTS = frozenset(("", ".", ".."))


def _check_name(name: str, path: KeyPath) -> None:
    if name == "__metadata__":
        raise SpecError(f"{shown(name)} names no tensor, but .safetensors' own", path, at_key=True)
    if not name.isprintable():
        raise SpecError(f"expected a printable tensor name, found {shown(name)}", path, at_key=True)
    parts = name.split("/") if "/" in name else (name,)
    if not _NO_PARTS.isdisjoint(parts):
        raise SpecError(
            f"expected a tensor name without empty, '.' or '..' parts, found {shown(name)}",
            path,
            at_key=True,
        )
