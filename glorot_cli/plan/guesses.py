"""What a plan takes for granted where a spec says neither axes nor an initializer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from glorot_cli.arguments import InitializerChoice
from glorot_cli.dtypes import PRECISIONS
from glorot_cli.errors import printable
from glorot_cli.plan.decisions import Draft
from glorot_cli.spec.model import Spec
from glorot_cli.spec.plain import names_initializer

_GLOROT = InitializerChoice("glorot_uniform", (), given=False)
_ZEROS = InitializerChoice("zeros", (), given=False)


class Guesses:
    """Choose what a spec leaves open, and tell of it; `strict` leaves it open."""

    def __init__(self, spec: Spec, *, strict: bool) -> None:
        given = spec.table.initializer
        self._given: InitializerChoice | None = given
        self._names_none = not strict and given is None and not names_initializer(spec.data)
        self.defaulted: list[str] = []
        self.ranked: list[str] = []
        self._axes: Counter[str] = Counter()
        self._kept = 0
        self._first_kept = ""

    def initializer(self, draft: Draft) -> tuple[InitializerChoice, str] | None:
        """Choose the initializer of a tensor that nothing else decides, and say what decided."""
        matrix = len(draft.kernel.shape) > 1
        if self._given is not None:
            return (self._given if matrix else _ZEROS), "the spec's initializer"
        if not self._names_none or (matrix and draft.dtype not in PRECISIONS):
            return None
        self.defaulted.append(draft.name)
        return (_GLOROT if matrix else _ZEROS), "the default of a spec that names no initializer"

    def keep(self, draft: Draft) -> None:
        """Count a tensor that its layer's default decides, whatever the spec's initializer."""
        if self._given is not None and len(draft.kernel.shape) > 1:
            self._first_kept = self._first_kept or draft.name
            self._kept += 1

    def count_axes(self, axes: str, name: str) -> None:
        """Count a tensor whose fans are by axes that its rank suggests."""
        self.ranked.append(name)
        self._axes[axes] += 1

    def notices(self) -> Iterator[str]:
        """Give one line for each kind of guess."""
        if self.defaulted:
            yield (
                "the spec names no initializer: glorot_uniform for tensors of rank 2 or more, "
                "zeros for the others; choose with initializer: at the top"
            )
        if self._axes:
            tensors = _and_more(self.ranked[0], len(self.ranked))
            axes = ", ".join(sorted(self._axes, key=lambda axes: (len(axes), axes)))
            yield f"{tensors}: axes taken by rank, {axes}; say others with axes or type"
        if self._kept:
            yield (
                f"{_and_more(self._first_kept, self._kept)}: the dialect's default decides, before "
                "the spec's initializer; a rule under initializers comes before both"
            )


def _and_more(name: str, count: int) -> str:
    return printable(name) + (f" (and {count - 1} more)" if count > 1 else "")
