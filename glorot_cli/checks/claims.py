"""What a file says of its own making, and which of its tensors a plan means."""

from __future__ import annotations

import contextlib
import fnmatch
from typing import Any

from glorot_cli.errors import GlorotError, shown
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.formats.texts import parse_json
from glorot_cli.plan import Plan, PlannedTensor, make_plan
from glorot_cli.spec import load_spec
from glorot_cli.writing.weights import provenance

Claim = dict[str, Any]


def read_claim(file: StoredFile) -> Claim | None:
    """Return a file's provenance, or None where there is none that can be read."""
    if not isinstance(file.provenance, str):
        return None
    try:
        claim = parse_json(file.provenance)
    except ValueError:
        return None
    return claim if isinstance(claim, dict) else None


def claimed_plan(claim: Claim) -> Plan:
    """Make the plan of a provenance again.

    Raises:
        GlorotError: if it holds no spec, or was drawn by another version of the stream.
    """
    if not isinstance(claim.get("spec"), dict):
        raise GlorotError("the provenance holds no spec")
    plan = make_plan(load_spec(claim["spec"]))
    stream, ours = claim.get("stream"), provenance(plan)["stream"]
    if stream != ours:
        raise GlorotError(f"drawn by {_stream(stream)}; this version draws by {_stream(ours)}")
    return plan


def _stream(stream: Any) -> str:
    if isinstance(stream, dict) and {"name", "version"} <= stream.keys():
        return f"the stream {shown(stream['name'])}, version {shown(stream['version'])}"
    return "a stream that it does not name"


def by_stored_name(plan: Plan, file: StoredFile) -> dict[str, PlannedTensor]:
    """Return a plan's tensors by the names under which a file's format keeps them."""
    if file.format == "npy" and len(plan.tensors) == 1:
        return {file.tensors[0].name: plan.tensors[0]}
    if not file.format.startswith("keras"):
        return {tensor.name: tensor for tensor in plan.tensors}
    # A variable with two places is found at the first of them.
    present = {tensor.name for tensor in file.tensors}
    return {_place(tensor, present): tensor for tensor in plan.tensors}


def _place(tensor: PlannedTensor, present: set[str]) -> str:
    if tensor.group is None:
        return tensor.name
    if tensor.group not in present and tensor.also_group in present:
        return tensor.also_group or ""
    return tensor.group


def is_kept(claim: Claim | None, name: str) -> bool:
    """Tell whether a provenance says that a tensor was kept from a base checkpoint."""
    base = (claim or {}).get("base")
    if not isinstance(base, dict):
        return False
    only = base.get("only")
    globs = only if isinstance(only, list) else []
    return not any(fnmatch.fnmatchcase(name, str(glob)) for glob in globs)


def stored_names(file: StoredFile, other: StoredFile) -> dict[str, StoredTensor]:
    """Return a file's tensors by their names in the plan of its provenance, if it has one.

    Keras's layout stores places, not names, and Keras no provenance: that of the `other` file, with
    which it is compared, tells the names then.
    """
    claim = read_claim(file) or read_claim(other)
    names: dict[str, str] = {}
    if claim is not None and file.format.startswith("keras"):
        with contextlib.suppress(GlorotError):
            planned = by_stored_name(claimed_plan(claim), file)
            names = {stored: tensor.name for stored, tensor in planned.items()}
    return {names.get(tensor.name, tensor.name): tensor for tensor in file.tensors}
