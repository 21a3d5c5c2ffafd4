"""Tensors that take the fans of another: which kernel that is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from glorot_cli.arguments import InitializerChoice
from glorot_cli.errors import KeyPath, SpecError, shown, suggestion
from glorot_cli.initializers import Kernel
from glorot_cli.plan.decisions import Draft
from glorot_cli.repeats import fill_name

# What torch's layers take for their bias.
BESIDE = "{stem}.weight"


class Donors:
    """Know the kernels of a spec by name, which are gathered when one is first asked for."""

    def __init__(self, drafts: Iterable[Draft]) -> None:
        self._drafts = drafts
        self._kernels: dict[str, tuple[Kernel, str | None]] | None = None

    def of(self, choice: InitializerChoice, draft: Draft) -> Kernel | None:
        """Return the kernel whose fans count for a draft instead of its own, if any is named.

        Raises:
            SpecError: if there is no such tensor, or it is the draft's own.
        """
        template, path = _said(choice, draft)
        if template is None:
            return None
        stem = draft.name[: max(draft.name.rfind("."), draft.name.rfind("/"), 0)]
        name = fill_name(template.replace("{stem}", stem), draft.names, path)
        if self._kernels is None:
            self._kernels = {
                each.name: (each.kernel, None if each.tie is None else each.tie.name)
                for each in self._drafts
            }
        kernel, tied = self._kernels.get(name, (None, None))
        if tied is not None:
            kernel, _ = self._kernels.get(tied, (None, None))
        if kernel is None or name == draft.name:
            hint = suggestion(name, [each for each in self._kernels if each != draft.name])
            raise SpecError(
                f"{shown(draft.name)} takes the fans of {shown(name)}, which is no other tensor; "
                f"{hint}",
                path,
            )
        return kernel


def _said(choice: InitializerChoice, draft: Draft) -> tuple[str | None, KeyPath]:
    """Return the name that a spec gives, and where: on the initialiser, or else on the entry."""
    value = choice.value
    given = value.get("fans_of") if isinstance(value, Mapping) else None
    if given is not None:
        path = (*choice.path, "fans_of")
        if not isinstance(given, str):
            raise SpecError(f"expected the name of a tensor, found {shown(given)}", path)
        return given, path
    if draft.fans_of is not None:
        return draft.fans_of, (*draft.path, "fans_of")
    name = value.get("name") if isinstance(value, Mapping) else value
    return (BESIDE if name == "torch_bias" else None), choice.path
