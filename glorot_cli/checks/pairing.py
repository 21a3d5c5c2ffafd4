"""Which plan a file is compared with, and which of its tensors with which of the plan's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from glorot_cli.checks.claims import claimed_plan, kept_names, matching, places, read_claim
from glorot_cli.errors import FormatError, GlorotError, SpecError, shown, suggestion
from glorot_cli.fans import Shape
from glorot_cli.formats.reading import read_headers
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.plan import Plan, PlannedTensor, make_plan
from glorot_cli.spec import load_spec

Status = Literal[
    "equal", "within tolerance", "different", "missing", "extra", "shape", "dtype", "not drawn"
]
UNCHECKED: Status = "not drawn"
CHECKED: tuple[Status, ...] = ("equal", "within tolerance")
# Why a tensor is compared by shape and dtype alone.
Reason = Literal["kept from a base", "named by --kept"]


@dataclass(frozen=True, slots=True)
class Difference:
    """Say where a tensor first differs, what was expected and found there, and how often it does.

    `index` counts along each axis; the bits are those of the stored elements.
    """

    index: tuple[int, ...]
    expected: float | int
    found: float | int
    expected_bits: str
    found_bits: str
    count: int


@dataclass(frozen=True, slots=True)
class VerifiedTensor:
    """Hold what a comparison found of one tensor.

    `shape` and `dtype` are the plan's; the file's are `found_shape` and `found_dtype`; None where
    there is no such tensor.
    """

    name: str
    status: Status
    shape: Shape | None = None
    dtype: str | None = None
    found_shape: Shape | None = None
    found_dtype: str | None = None
    difference: Difference | None = None
    reason: Reason | None = None


class Pairing(NamedTuple):
    """Hold what headers say of a plan's tensors, by name; the pairs to compare; what is extra."""

    found: dict[str, VerifiedTensor]
    pairs: list[tuple[StoredTensor, PlannedTensor]]
    extra: list[VerifiedTensor]


def unchecked(
    file: StoredFile, plan: Plan, kept: Sequence[str], *, trusted: bool
) -> dict[str, Reason]:
    """Return the names of a plan's tensors that are not drawn again, and why.

    What the file itself says counts only if it is `trusted`, as it is where there is no spec.

    Raises:
        GlorotError: if a glob of `kept` matches no tensor.
    """
    names = [tensor.name for tensor in plan.tensors]
    for glob in kept:
        if not matching(names, [glob]):
            hint = suggestion(glob, names[:2000], listed=3)
            raise GlorotError(f"--kept: {shown(glob)} matches no tensor of the spec; {hint}")
    reasons: dict[str, Reason] = {t.name: "kept from a base" for t in plan.tensors if t.kept}
    if trusted:
        try:
            claimed = kept_names(read_claim(file), names)
        except GlorotError as error:
            raise FormatError(f"{file.path}: its provenance: {error}") from None
        reasons |= dict.fromkeys(claimed, "kept from a base")
    return reasons | dict.fromkeys(matching(names, kept), "named by --kept")


def pair(file: StoredFile, plan: Plan, reasons: Mapping[str, Reason]) -> Pairing:
    """Pair a file's tensors with a plan's; those are `equal` so far whose headers are.

    Those with a reason not to be checked are paired with none.
    """
    stored = file.by_name()
    found: dict[str, VerifiedTensor] = {}
    pairs: list[tuple[StoredTensor, PlannedTensor]] = []
    for name, tensor in places(plan, file):
        # Of two tensors at one place, the second is missing.
        place = stored.pop(name, None)
        result = _by_header(tensor, place)
        if result.status == "equal" and tensor.name in reasons:
            result = replace(result, status=UNCHECKED, reason=reasons[tensor.name])
        elif result.status == "equal" and place is not None:
            pairs.append((place, tensor))
        found[tensor.name] = result
    extra = [
        VerifiedTensor(t.name, "extra", found_shape=t.shape, found_dtype=t.dtype)
        for t in stored.values()
    ]
    return Pairing(found, pairs, extra)


def plan_of_file(path: str | os.PathLike[str]) -> Plan:
    """Return the plan that a file's provenance records.

    Raises:
        FormatError: if the file cannot be read, or says nothing of a plan.
    """
    return plan_of(read_headers(path), None)


def plan_of(file: StoredFile, plan: Plan | None) -> Plan:
    """Return the plan to compare a file with: the given one, or the provenance's.

    A given plan whose spec has no seed takes the one that the provenance claims.

    Raises:
        GlorotError: if there is none, or its seed is not known.
    """
    claim = read_claim(file)
    if plan is None:
        if claim is None:
            raise FormatError(
                f"{file.path} does not say which spec made it; give the spec, "
                "as in glorot verify FILE SPEC"
            )
        try:
            return claimed_plan(claim)
        except GlorotError as error:
            raise FormatError(f"{file.path}: its provenance: {error}") from None
    if not plan.seed_was_drawn:
        return plan
    spec = (claim or {}).get("spec")
    seed = spec.get("seed") if isinstance(spec, dict) else None
    if type(seed) is not int or not 0 <= seed < 2**64:
        raise GlorotError(
            "the spec has no seed, so nothing can be drawn again; "
            "give --seed, or check the laws alone with --statistics"
        )
    try:
        return make_plan(load_spec({**plan.spec, "seed": seed}))
    except SpecError as error:
        raise FormatError(f"{file.path}: the seed in its provenance: {error.message}") from None


def _by_header(tensor: PlannedTensor, stored: StoredTensor | None) -> VerifiedTensor:
    if stored is None:
        return VerifiedTensor(tensor.name, "missing", tensor.shape, tensor.dtype)
    status: Status = (
        "shape"
        if stored.shape != tensor.shape
        else "dtype"
        if stored.dtype != tensor.dtype
        else "equal"
    )
    return VerifiedTensor(
        tensor.name,
        status,
        tensor.shape,
        tensor.dtype,
        found_shape=stored.shape,
        found_dtype=stored.dtype,
    )
