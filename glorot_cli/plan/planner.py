"""From a spec to its plan: every tensor in order, with ties, rules and seeds settled."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import replace

from glorot_cli.arguments import InitializerChoice
from glorot_cli.dialects import place_layers
from glorot_cli.distributions import (
    Constant,
    is_random,
)
from glorot_cli.dtypes import PRECISIONS
from glorot_cli.errors import KeyPath, SpecError, printable, shown, suggestion
from glorot_cli.fans import Shape, check_axes
from glorot_cli.initializers import Kernel
from glorot_cli.plan.decisions import Decision, Draft, decide_draft
from glorot_cli.plan.notices import notices
from glorot_cli.plan.seeding import DEFAULT_DECIDES, Asked, check_stream, seeded
from glorot_cli.plan.tensors import Plan, PlannedTensor
from glorot_cli.repeats import fill_name
from glorot_cli.spec.model import Rule, Spec, TensorEntry
from glorot_cli.streams import DEFAULT, seeds_of

LARGEST_FILE = 2**62


def make_plan(spec: Spec) -> Plan:
    """Work out every tensor of a spec.

    Raises:
        SpecError: with file, line and column of the first entry that makes no sense.
    """
    rng, seed = spec.table.rng, spec.table.seed
    planner = _Planner(spec, secrets.randbelow(seeds_of(rng)) if seed is None else seed)
    try:
        entries = tuple(planner.entries())
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
        spec=spec.canonical() | ({"seed": planner.seed} if planner.uses_seed else {}),
        notices=(*planner.notices(), *notices(tensors)),
    )


class _Planner:
    def __init__(self, spec: Spec, seed: int) -> None:
        self.spec = spec
        self.seed = seed
        self.decisions: dict[object, Decision] = {}
        self.used: set[int] = set()
        self.uses_seed = True
        self.asked: dict[str, Asked] = {}

    def entries(self) -> Iterator[PlannedTensor]:
        check_stream(self.spec, self.seed)
        planned: dict[str, PlannedTensor] = {}
        ties: list[tuple[str, str, Shape | None, KeyPath]] = []
        nbytes = 0
        for draft in self._drafts():
            _check_name(draft.name, draft.path)
            if draft.name in planned:
                lacking = [
                    f"{{{name}}}"
                    for name in draft.names
                    if name not in self.spec.dims and f"{{{name}}}" not in draft.rest["family"]
                ]
                hint = f"; does the name lack {lacking[0]}?" if lacking else ""
                raise SpecError(f"two tensors are named {shown(draft.name)}{hint}", draft.path)
            tensor = planned[draft.name] = self._planned(draft)
            nbytes += tensor.nbytes
            if nbytes > LARGEST_FILE:
                raise SpecError("the tensors have too many elements for any file", draft.path)
            if tensor.tied_to is not None:
                ties.append((draft.name, tensor.tied_to, draft.rest["tied_shape"], draft.path))
        for name, target, shape, path in ties:
            planned[name] = _tied(planned, name, target, shape, path)
        self._check_rules(planned)
        if self.spec.table.rng != DEFAULT:
            planned, self.uses_seed = seeded(self.spec, planned, self.asked, self.seed)
        return iter(planned.values())

    def notices(self) -> Iterator[str]:
        if not self.uses_seed and self.spec.table.seed is not None:
            yield "the spec's seed decides nothing: each random tensor has one of its own"

    def _drafts(self) -> Iterator[Draft]:
        yield from self._of_layers()
        yield from self._of_tensors()

    def _of_layers(self) -> Iterator[Draft]:
        spec, table = self.spec, self.spec.table
        if not table.layers:
            return
        place = place_layers(table.dialect)
        for weight in place(spec.layers(), spec.inputs(), table.outputs):
            rule = weight.fans or table.fans or table.dialect
            yield Draft(
                name=weight.name,
                path=weight.path,
                names=weight.names,
                own=weight.initializer,
                kernel=Kernel(weight.shape, weight.axes, weight.fused, rule),
                dtype=weight.dtype or table.dtype,
                seed=weight.seed,
                patch=weight.patch,
                rest={
                    "rng": table.rng,
                    "kind": weight.kind,
                    "family": weight.family,
                    "trainable": weight.trainable,
                    "layer": weight.layer,
                    "group": weight.group,
                    "also_group": weight.also_group,
                    "rank": weight.rank,
                },
            )

    def _of_tensors(self) -> Iterator[Draft]:
        table = self.spec.table
        for stamped, entry in self.spec.tensors():
            assert stamped.name is not None
            assert stamped.family is not None
            path = stamped.path
            if entry.shape is None and entry.tie is None:
                raise SpecError("a tensor needs 'shape', which is missing", path)
            _check_axes(entry, path)
            for key in stamped.item if entry.tie is not None else ():
                if key not in ("tie", "shape"):
                    raise SpecError(
                        f"a tied tensor is not drawn, so it takes no {key}",
                        (*path, key),
                        at_key=True,
                    )
            own = entry.initializer
            shape = entry.shape or ()
            yield Draft(
                name=stamped.name,
                path=path,
                names=stamped.names,
                own=own and own._replace(path=(*path, *own.path)),
                kernel=Kernel(shape, entry.axes, entry.fused, entry.fans or table.fans or "exact"),
                dtype=entry.dtype or table.dtype,
                seed=entry.seed,
                patch=None,
                rest={
                    "rng": table.rng,
                    "family": stamped.family,
                    "tied_to": entry.tie,
                    "tied_shape": entry.shape,
                    "skipped": entry.skip,
                },
            )

    def _planned(self, draft: Draft) -> PlannedTensor:
        rest = dict(draft.rest)
        tied_shape = rest.pop("tied_shape", None)
        if rest.get("tied_to") is not None:
            target = _fill(rest["tied_to"], draft)
            return PlannedTensor(
                draft.name, tied_shape or (), draft.dtype, "", {}, Constant(0.0), 0,
                **{**rest, "tied_to": target},
            )  # fmt: skip
        choice, decided_by = self._choose(draft)
        decided, law, fans, exact = self._decision(choice, draft)
        seeds = (decided.seed, draft.seed, self.seed)
        if self.spec.table.rng != DEFAULT:
            self.asked[draft.name] = Asked(decided.seed, draft.seed, draft.path)
        return PlannedTensor(
            name=draft.name,
            shape=draft.kernel.shape,
            dtype=draft.dtype,
            initializer=decided.name,
            arguments=decided.arguments,
            distribution=law,
            seed=next(seed for seed in seeds if seed is not None),
            fans=fans,
            exact=exact,
            decided_by=decided_by,
            steps=tuple(decided.steps),
            **rest,
        )

    def _decision(self, choice: InitializerChoice, draft: Draft) -> Decision:
        """Decide a tensor's law, once for all that an initialiser without indices makes alike."""
        key = choice.path, str(choice.value), draft.kernel, draft.dtype, draft.patch
        known = self.decisions.get(key)
        if known is not None:
            return known
        if len(draft.names) > len(self.spec.dims):
            with contextlib.suppress(SpecError):
                found = decide_draft(choice, draft._replace(names=self.spec.dims))
                self.decisions[key] = found
                return found
            return decide_draft(choice, draft)
        found = self.decisions[key] = decide_draft(choice, draft)
        return found

    def _choose(self, draft: Draft) -> tuple[InitializerChoice, str]:
        """Choose by authority: a key on the entry, the first rule that matches, the default."""
        own = draft.own
        if own is not None and own.given:
            return own, "its entry"
        if own is not None and draft.dtype not in PRECISIONS:
            return own, DEFAULT_DECIDES  # a counter, which no rule means
        for index, rule in enumerate(self.spec.rules):
            if rule.pattern.match(draft.name):
                self.used.add(index)
                return rule.choice, f"the rule {shown(rule.glob)}"
        if own is not None:
            return own, DEFAULT_DECIDES
        raise SpecError(
            f"nothing says how {shown(draft.name)} is initialised; give it an initializer, "
            "or a rule under initializers that matches it",
            draft.path,
        )

    def _check_rules(self, planned: dict[str, PlannedTensor]) -> None:
        for index, rule in enumerate(self.spec.rules):
            if index not in self.used:
                raise SpecError(_unused(rule, planned), rule.choice.path, at_key=True)


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


def _tied(
    planned: dict[str, PlannedTensor],
    name: str,
    target: str,
    shape: Shape | None,
    path: KeyPath,
) -> PlannedTensor:
    other = planned.get(target)
    path = (*path, "tie")
    if other is None:
        raise SpecError(f"no tensor is named {shown(target)}; {suggestion(target, planned)}", path)
    if other.tied_to is not None or other.skipped:
        raise SpecError(f"{shown(target)} is tied or skipped itself; tie to what is drawn", path)
    if shape is not None and shape != other.shape:
        raise SpecError(
            f"expected the shape of {shown(target)}, {list(other.shape)}, found {list(shape)}", path
        )
    own = planned[name]
    return replace(
        other, name=name, tied_to=target, kind=own.kind, family=own.family, layer=None, group=None
    )


def _fill(target: str, draft: Draft) -> str:
    return fill_name(target, draft.names, (*draft.path, "tie"))


def _check_axes(entry: TensorEntry, path: KeyPath) -> None:
    if entry.shape is None:
        return
    if entry.axes is None:
        if entry.fused > 1:
            raise SpecError("fused needs axes, one letter per axis", (*path, "fused"))
        return
    try:
        check_axes(entry.axes, entry.shape, entry.fused)
    except ValueError as error:
        raise SpecError(str(error), (*path, "axes")) from None


def _check_name(name: str, path: KeyPath) -> None:
    parts = name.split("/")
    if not name.isprintable() or name != printable(name) or name == "__metadata__":
        raise SpecError(f"expected a printable tensor name, found {shown(name)}", path, at_key=True)
    if any(part in ("", ".", "..") for part in parts):
        raise SpecError(
            f"expected a tensor name without empty, '.' or '..' parts, found {shown(name)}",
            path,
            at_key=True,
        )
