"""Which initialiser decides a tensor: an override's, its entry's, a rule's, or the default."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping

from glorot_cli.arguments import InitializerChoice
from glorot_cli.dtypes import PRECISIONS
from glorot_cli.errors import SpecError, shown, suggestion
from glorot_cli.expressions import Names
from glorot_cli.plan.decisions import Draft
from glorot_cli.plan.guesses import Guesses
from glorot_cli.plan.removed import decided_when_there
from glorot_cli.plan.tensors import PlannedTensor
from glorot_cli.repeats import holds
from glorot_cli.spec.model import Rule, Spec

DEFAULT_DECIDES = "the dialect's default"
# Trials of a rule on a name of up to 64 letters, some 10 s.
MOST_MATCHES = 30_000_000
_PLAIN_END = re.compile(r"\*([^*?\[]*)")


class _Trial:
    """Try a rule on names; most globs are a star and an end."""

    def __init__(self, rule: Rule, kind: str = "rule") -> None:
        plain = _PLAIN_END.fullmatch(rule.glob)
        self.end = None if plain is None else plain[1]
        self.matches: Callable[[str], object] = rule.pattern.match
        self.rule = rule
        self.decider = f"the {kind} {shown(rule.glob)}"
        self.is_used = False
        # What the condition comes to; None where that depends on the tensor's indices.
        self.verdict: bool | None = True if rule.when is None else None
        self.is_open = rule.when is not None

    def matches_name(self, name: str) -> bool:
        """Tell whether the rule's glob matches a name."""
        return name.endswith(self.end) if self.end is not None else bool(self.matches(name))

    def holds(self, names: Names, shared: Names) -> bool:
        """Tell whether the rule's condition is true, once for all tensors if it uses no index."""
        path = (*self.rule.choice.path, "when")
        if self.is_open:
            self.is_open = False
            with contextlib.suppress(SpecError):
                self.verdict = holds(self.rule.when, shared, path)
        return holds(self.rule.when, names, path) if self.verdict is None else self.verdict


class Choices:
    """Choose the initialisers of a spec's tensors."""

    def __init__(self, spec: Spec, guesses: Guesses) -> None:
        self._spec = spec
        self._names = spec.names
        self._guesses = guesses
        self._trials = [_Trial(rule) for rule in spec.rules]
        self._overrides = [_Trial(rule, "override") for rule in spec.overrides]
        self._tried = 0
        # The names of the tensors that an override decided.
        self.overridden: list[str] = []

    def of(self, draft: Draft) -> tuple[InitializerChoice, str]:
        """Return what decides a draft, and how to say so.

        Raises:
            SpecError: if nothing does.
        """
        own = draft.own
        if self._tried > MOST_MATCHES:
            raise SpecError(
                f"expected rules that match all names within {MOST_MATCHES} trials; "
                "give initializers on entries, or fewer rules",
                ("initializers",),
                at_key=True,
            )
        overridden = self._override(draft) if self._overrides else None
        if own is not None and own.given:
            return overridden or (own, "its entry")
        if own is not None and draft.dtype not in PRECISIONS:
            return own, DEFAULT_DECIDES  # a counter, which no rule means
        name = draft.name
        each = 1 + len(name) // 64
        for trial in self._trials:
            self._tried += each
            if name.endswith(trial.end) if trial.end is not None else trial.matches(name):
                trial.is_used = True
                if trial.verdict or trial.holds(draft.names, self._names):
                    return overridden or (trial.rule.choice, trial.decider)
        if overridden is not None:
            return overridden
        if own is not None:
            self._guesses.keep(draft)
            return own, DEFAULT_DECIDES
        guessed = self._guesses.initializer(draft)
        if guessed is not None:
            return guessed
        raise SpecError(
            f"nothing says how {shown(draft.name)} is initialised; give it an initializer, "
            "or a rule under initializers that matches it",
            draft.path,
        )

    def _override(self, draft: Draft) -> tuple[InitializerChoice, str] | None:
        """Return the first override that matches a draft; none decides a counter."""
        for trial in self._overrides:
            self._tried += 1 + len(draft.name) // 64
            if trial.matches_name(draft.name) and trial.holds(draft.names, self._names):
                trial.is_used = True
                if draft.dtype in PRECISIONS:
                    self.overridden.append(draft.name)
                    return trial.rule.choice, trial.decider
        return None

    def check_used(self, planned: Mapping[str, PlannedTensor]) -> None:
        """Check that each rule is the first to match some tensor, or would be if it were there.

        Raises:
            SpecError: at the first rule that decides nothing.
        """
        for trial in self._overrides:
            if not trial.is_used:
                path = trial.rule.choice.path
                raise SpecError(_unused(trial.rule, planned), path, at_key=True)
        unused = {index for index, trial in enumerate(self._trials) if not trial.is_used}
        if unused:
            unused -= decided_when_there(self._spec, unused)
        for index in sorted(unused):
            rule = self._spec.rules[index]
            raise SpecError(_unused(rule, planned), rule.choice.path, at_key=True)


def _unused(rule: Rule, planned: Mapping[str, PlannedTensor]) -> str:
    matched = [tensor for name, tensor in planned.items() if rule.pattern.match(name)]
    if not matched:
        hint = suggestion(rule.glob, list(planned)[:2000], listed=3)
        return f"the rule {shown(rule.glob)} matches no tensor; {hint}"
    first, more = matched[0], len(matched) - 1
    by = first.decided_by if first.tied_to is None else f"its tie to {shown(first.tied_to)}"
    by = "keep: true" if first.kept else by
    rest = f" (and {more} more)" if more else ""
    return (
        f"the rule {shown(rule.glob)} decides no tensor: {shown(first.name)}{rest} "
        f"is decided by {by}"
    )
