"""From a spec to its plan: every tensor in order, with ties, rules and seeds settled."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from glorot_cli.arguments import InitializerChoice
from glorot_cli.dialects import place_layers
from glorot_cli.distributions import (
    Constant,
    Derived,
    is_random,
)
from glorot_cli.dtypes import PRECISIONS
from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.expressions import Names
from glorot_cli.initializers import Kernel
from glorot_cli.initializers.kernel import Per
from glorot_cli.initializers.steps import Step
from glorot_cli.plan.decisions import Decision, Draft, Tie, decide_draft
from glorot_cli.plan.derived import with_source
from glorot_cli.plan.donors import Donors
from glorot_cli.plan.entries import index_names, padding_row
from glorot_cli.plan.guesses import Guesses
from glorot_cli.plan.notices import notices
from glorot_cli.plan.removed import decided_when_there
from glorot_cli.plan.seeding import Asked, check_stream, seeded
from glorot_cli.plan.tensors import Owner, Plan, PlannedTensor
from glorot_cli.repeats import LARGEST_NAMES, Stamped, fill_name, holds
from glorot_cli.spec.model import Rule, Spec, TensorEntry
from glorot_cli.spec.shapes import roles
from glorot_cli.streams import DEFAULT, seeds_of

LARGEST_FILE = 2**62
DEFAULT_DECIDES = "the dialect's default"
# Trials of a rule on a name of up to 64 letters, some 10 s.
MOST_MATCHES = 30_000_000


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
    )


def _drawn(seeds: int) -> int:
    """Draw a seed from the operating system; `seeds`, how many there are, is a power of two."""
    return int.from_bytes(os.urandom(8), "little") % seeds


class _Planner:
    def __init__(self, spec: Spec, seed: int, strict: bool) -> None:
        self.spec = spec
        self.names = spec.names
        self.seed = seed
        self.strict = strict
        self.guesses = Guesses(spec, strict=strict)
        self.decisions: dict[object, Decision] = {}
        self.shared: dict[tuple[int, int], tuple[InitializerChoice, Kernel, Decision]] = {}
        # What has been found to need the index of a repeat.
        self.indexed: dict[int, InitializerChoice] = {}
        # All but the name of tensors that are alike, and what their keys are the ids of.
        self.alike: dict[tuple[int, int], tuple[tuple[Any, ...], object, object]] = {}
        self.used: set[int] = set()
        self.matched = 0
        self.rules = spec.rules
        self.deciders = [f"the rule {shown(rule.glob)}" for rule in spec.rules]
        # What each rule's condition comes to; None where that depends on the tensor's indices.
        self.conditions: dict[int, bool | None] = {}
        self.uses_seed = True
        self.has_one_seed = spec.table.rng == DEFAULT
        # Whether any entry is left by conditions and empty ranges.
        self.stands = False
        self.asked: dict[str, Asked] = {}
        self.donors = Donors(self._drafts)
        self.derived: list[tuple[Draft, KeyPath]] = []
        # What a framework draws, it draws for tensors.
        self.per: Per = "kernel" if spec.table.rng == DEFAULT else "tensor"

    def entries(self) -> Iterator[PlannedTensor]:
        check_stream(self.spec, self.seed)
        planned: dict[str, PlannedTensor] = {}
        ties: list[tuple[Draft, str]] = []
        nbytes = letters = 0
        for draft in self._drafts():
            letters += len(draft.name)
            if letters > LARGEST_NAMES:
                raise SpecError(
                    f"expected names of at most {LARGEST_NAMES >> 20} MiB in all", draft.path
                )
            _check_name(draft.name, draft.path)
            if draft.name in planned:
                lacking = [
                    f"{{{name}}}"
                    for name in draft.names
                    if name not in self.names and f"{{{name}}}" not in draft.owner.family
                ]
                hint = f"; does the name lack {lacking[0]}?" if lacking else ""
                raise SpecError(f"two tensors are named {shown(draft.name)}{hint}", draft.path)
            tensor = planned[draft.name] = self._planned(draft)
            nbytes += tensor.nbytes
            if nbytes > LARGEST_FILE:
                raise SpecError("the tensors have too many elements for any file", draft.path)
            if tensor.tied_to is not None:
                ties.append((draft, tensor.tied_to))
        if not self.stands:
            raise SpecError("conditions and empty ranges leave no entry of the spec")
        for draft, target in ties:
            tensor = planned[draft.name] = _tied(planned, draft, target)
            nbytes += 0 if tensor.copy_of is None else tensor.nbytes
        if nbytes > LARGEST_FILE:
            raise SpecError("the tensors have too many elements for any file")
        self._check_rules(planned)
        if self.spec.table.rng != DEFAULT:
            planned, self.uses_seed = seeded(self.spec, planned, self.asked, self.seed)
        for draft, path in self.derived:
            planned[draft.name] = with_source(planned, draft, path)
        return iter(planned.values())

    def notices(self) -> Iterator[str]:
        if not self.uses_seed and self.spec.table.seed is not None:
            yield "the spec's seed decides nothing: each random tensor has one of its own"
        yield from self.guesses.notices()

    def _drafts(self) -> Iterator[Draft]:
        yield from self._of_layers()
        yield from self._of_tensors()

    def _of_layers(self) -> Iterator[Draft]:
        spec, table = self.spec, self.spec.table
        if not table.layers:
            return
        layers = list(spec.layers())
        if not layers:
            return
        self.stands = True
        place = place_layers(table.dialect)
        for weight in place(layers, spec.inputs(), table.outputs):
            rule = weight.fans or table.fans or table.dialect
            per = table.per or ("tensor" if table.dialect == "keras" else self.per)
            yield Draft(
                name=weight.name,
                path=weight.path,
                names=weight.names,
                own=weight.initializer,
                kernel=Kernel(
                    weight.shape,
                    weight.axes,
                    weight.fused,
                    rule,
                    per=per,
                    fused_role=weight.fused_role,
                ),
                dtype=weight.dtype or table.dtype,
                seed=weight.seed,
                patch=weight.patch,
                note=weight.note,
                tie=Tie(weight.copy_of, weight.shape, stored=True) if weight.copy_of else None,
                rng=table.rng,
                owner=Owner(
                    weight.family,
                    kind=weight.kind,
                    trainable=weight.trainable,
                    layer=weight.layer,
                    group=weight.group,
                    also_group=weight.also_group,
                    rank=weight.rank,
                ),
            )

    def _of_tensors(self) -> Iterator[Draft]:
        # What a repeated entry comes to is worked out once, where it is alike in all repetitions.
        drafts: dict[int, tuple[TensorEntry, Draft]] = {}
        for stamped, entry in self.spec.tensors():
            assert stamped.name is not None
            self.stands = True
            if id(entry) not in drafts:
                drafts[id(entry)] = entry, self._of_entry(stamped, entry)
            _, draft = drafts[id(entry)]
            yield Draft(stamped.name, draft.path, stamped.names, *draft[3:])

    def _of_entry(self, stamped: Stamped, entry: TensorEntry) -> Draft:
        assert stamped.name is not None
        table, path, own = self.spec.table, stamped.path, entry.initializer
        if entry.shape is None and entry.tie is None:
            raise SpecError("a tensor needs 'shape', which is missing", path)
        if (
            entry.axes is None
            and entry.type is None
            and entry.fused > 1
            and entry.shape is not None
        ):
            raise SpecError("fused needs axes, one letter per axis", (*path, "fused"))
        said, assumed = roles(entry, table.dialect, path)
        for key in stamped.item if entry.tie is not None else ():
            if key not in ("tie", "shape", "stored"):
                raise SpecError(
                    f"a tied tensor is not drawn, so it takes no {key}", (*path, key), at_key=True
                )
        if entry.stored and entry.tie is None:
            raise SpecError("stored is for a tied tensor, which is a copy then", (*path, "stored"))
        rule = entry.fans or table.fans or "exact"
        return Draft(
            name=stamped.name,
            path=path,
            names=stamped.names,
            own=own and own._replace(path=(*path, *own.path)),
            kernel=Kernel(
                entry.shape or (),
                said,
                entry.fused,
                rule,
                None if self.strict else assumed,
                table.per or self.per,
                index_names(entry, said, stamped.names, path),
            ),
            dtype=entry.dtype or table.dtype,
            seed=entry.seed,
            patch=padding_row(entry, path),
            tie=None if entry.tie is None else Tie(entry.tie, entry.shape, entry.stored),
            rng=table.rng,
            owner=Owner(stamped.family or stamped.name, entry.skip),
            typed=entry.axes is None and entry.type is not None,
            fans_of=entry.fans_of,
        )

    def _planned(self, draft: Draft) -> PlannedTensor:
        if draft.tie is not None:
            target = draft.tie.name
            if draft.owner.is_raw:
                target = fill_name(target, draft.names, (*draft.path, "tie"))
            return _blank(draft)._replace(shape=draft.tie.shape or (), tied_to=target)
        choice, decided_by = self._choose(draft)
        # Repetitions that are alike share these objects, and differ in their names only.
        alike = id(draft.owner), id(choice)
        if alike in self.alike:
            return PlannedTensor(draft.name, *self.alike[alike][0])
        if draft.rng == "torch" and not draft.owner.is_raw and choice.given:
            draft = draft._replace(patch=None)  # what torch's initialisers fill, they fill whole
        donor = self.donors.of(choice, draft)
        if donor is not None:
            draft = draft._replace(kernel=replace(draft.kernel, donor=donor))
        decided, law, fans, exact, assumed = self._decision(choice, draft)
        if assumed is not None:
            self.guesses.count_axes(assumed, draft.name)
        seed = self.seed if draft.seed is None else draft.seed
        if decided.seed is not None:
            seed = decided.seed
        if isinstance(law, Derived):
            self.derived.append((draft, choice.path))
        if draft.seed is not None or decided.seed is not None or isinstance(law, Derived):
            self.has_one_seed = False
        if self.spec.table.rng != DEFAULT:
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
        is_shared = donor is None and (id(choice), id(draft.kernel)) in self.shared
        # What is derived is of another tensor for each.
        is_shared = is_shared and not isinstance(law, Derived) and not draft.note
        if is_shared and assumed is None and self.spec.table.rng == DEFAULT:
            self.alike[alike] = tensor[1:], draft.owner, choice
        return tensor

    def _decision(self, choice: InitializerChoice, draft: Draft) -> Decision:
        """Decide a tensor's law, once for all that an initialiser without indices makes alike."""
        # Repetitions share these objects; the longer key finds what only comes to the same.
        same = id(choice), id(draft.kernel)
        if same in self.shared:
            return self.shared[same][2]
        key = choice.path, str(choice.value), draft.kernel, draft.dtype, draft.patch
        found = self.decisions.get(key)
        if found is None and len(draft.names) > len(self.names):
            if id(choice) not in self.indexed:
                with contextlib.suppress(SpecError):
                    found = decide_draft(choice, draft._replace(names=self.names))
            if found is None:
                self.indexed[id(choice)] = choice
                return decide_draft(choice, draft)
        found = self.decisions[key] = found or decide_draft(choice, draft)
        self.shared[same] = choice, draft.kernel, found
        return found

    def _choose(self, draft: Draft) -> tuple[InitializerChoice, str]:
        """Choose by authority: a key on the entry, the first rule that matches, the default."""
        own = draft.own
        if self.matched > MOST_MATCHES:
            raise SpecError(
                f"expected rules that match all names within {MOST_MATCHES} trials; "
                "give initializers on entries, or fewer rules",
                ("initializers",),
                at_key=True,
            )
        if own is not None and own.given:
            return own, "its entry"
        if own is not None and draft.dtype not in PRECISIONS:
            return own, DEFAULT_DECIDES  # a counter, which no rule means
        name = draft.name
        trial = 1 + len(name) // 64
        for index, rule in enumerate(self.rules):
            self.matched += trial
            if rule.pattern.match(name):
                self.used.add(index)
                if not self._holds(index, rule, draft.names):
                    continue
                return rule.choice, self.deciders[index]
        if own is not None:
            self.guesses.keep(draft)
            return own, DEFAULT_DECIDES
        guessed = self.guesses.initializer(draft)
        if guessed is not None:
            return guessed
        raise SpecError(
            f"nothing says how {shown(draft.name)} is initialised; give it an initializer, "
            "or a rule under initializers that matches it",
            draft.path,
        )

    def _holds(self, index: int, rule: Rule, names: Names) -> bool:
        """Tell whether a rule's condition is true, once for all tensors if it uses no index."""
        if rule.when is None:
            return True
        path = (*rule.choice.path, "when")
        if index not in self.conditions:
            self.conditions[index] = None
            with contextlib.suppress(SpecError):
                self.conditions[index] = holds(rule.when, self.names, path)
        known = self.conditions[index]
        return holds(rule.when, names, path) if known is None else known

    def _check_rules(self, planned: dict[str, PlannedTensor]) -> None:
        unused = {index for index in range(len(self.spec.rules)) if index not in self.used}
        if unused:
            unused -= decided_when_there(self.spec, unused)
        for index in sorted(unused):
            rule = self.spec.rules[index]
            raise SpecError(_unused(rule, planned), rule.choice.path, at_key=True)


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
    )


def _unused(rule: Rule, planned: dict[str, PlannedTensor]) -> str:
    matched = [tensor for name, tensor in planned.items() if rule.pattern.match(name)]
    if not matched:
        hint = suggestion(rule.glob, list(planned)[:2000], listed=3)
        return f"the rule {shown(rule.glob)} matches no tensor; {hint}"
    first, more = matched[0], len(matched) - 1
    by = first.decided_by if first.tied_to is None else f"its tie to {shown(first.tied_to)}"
    rest = f" (and {more} more)" if more else ""
    return (
        f"the rule {shown(rule.glob)} decides no tensor: {shown(first.name)}{rest} "
        f"is decided by {by}"
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


def _check_name(name: str, path: KeyPath) -> None:
    if name == "__metadata__":
        raise SpecError(f"{shown(name)} names no tensor, but .safetensors' own", path, at_key=True)
    if not name.isprintable():
        raise SpecError(f"expected a printable tensor name, found {shown(name)}", path, at_key=True)
    if not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise SpecError(
            f"expected a tensor name without empty, '.' or '..' parts, found {shown(name)}",
            path,
            at_key=True,
        )
