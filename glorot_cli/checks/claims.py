"""What a file says of its own making, and which of its tensors a plan means."""

from __future__ import annotations

import contextlib
import fnmatch
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from glorot_cli.errors import GlorotError, shown
from glorot_cli.formats.stored import StoredFile, StoredTensor
from glorot_cli.formats.texts import check_writable, parse_json
from glorot_cli.plan import Plan, PlannedTensor, make_plan
from glorot_cli.spec import load_spec
from glorot_cli.writing.weights import PROVENANCE_FORMAT, provenance

Claim = dict[str, Any]

# So many globs of a file are compared with so many names, before it is refused.
MOST_MATCHES = 20_000_000


def read_claim(file: StoredFile) -> Claim | None:
    """Return a file's provenance, or None where there is none that can be read."""
    if not isinstance(file.provenance, str):
        return None
    try:
        claim = parse_json(file.provenance)
        check_writable(claim)
    except ValueError:
        return None
    return claim if isinstance(claim, dict) else None


def claimed_plan(claim: Claim) -> Plan:
    """Make the plan of a provenance again.

    Raises:
        GlorotError: if it lacks what a plan needs, or was drawn by another version of the stream.
    """
    spec, form = claim.get("spec"), claim.get("format")
    if not isinstance(spec, dict):
        raise GlorotError("it holds no spec" if spec is None else "its spec is no mapping")
    if form not in (1, PROVENANCE_FORMAT):
        raise GlorotError(
            f"it has the format {shown(form)}; this version reads 1 and {PROVENANCE_FORMAT}"
        )
    try:
        plan = make_plan(load_spec(spec, {"per": "tensor"} if form == 1 else None))
    except RecursionError:
        raise GlorotError("its spec is nested too deeply") from None
    if plan.seed_was_drawn:
        raise GlorotError("its spec has no seed")
    _check_stream(claim.get("stream"), provenance(plan)["stream"])
    return plan


def _check_stream(claimed: Any, ours: dict[str, Any]) -> None:
    """Check that a stream is the one that would be drawn from.

    Raises:
        GlorotError: saying what is missing or another.
    """
    if not isinstance(claimed, dict):
        problem = "no stream" if claimed is None else f"the stream {shown(claimed)}, no mapping"
        raise GlorotError(f"it names {problem}; this version draws by {_stream(ours)}")
    for key, value in ours.items():
        if key not in claimed:
            raise GlorotError(f"its stream lacks {key!r}, here {shown(value)}")
    if any(claimed[key] != ours[key] for key in ("name", "version")):
        raise GlorotError(f"drawn by {_stream(claimed)}; this version draws by {_stream(ours)}")
    for key, value in claimed.items():
        if key not in ours:
            raise GlorotError(f"its stream has {shown(key)}, which this version does not know")
        if value != ours[key] or type(value) is not type(ours[key]):
            raise GlorotError(f"its stream's {key} is {shown(value)}, here {shown(ours[key])}")


def _stream(stream: dict[str, Any]) -> str:
    return f"the stream {shown(stream['name'])}, version {shown(stream['version'])}"


def places(plan: Plan, file: StoredFile) -> Iterator[tuple[str, PlannedTensor]]:
    """Yield a plan's tensors with the names under which a file keeps them."""
    if file.format.names == "nothing" and len(plan.tensors) == 1:
        yield file.tensors[0].name, plan.tensors[0]
        return
    if file.format.names not in ("either", "places"):
        yield from ((tensor.name, tensor) for tensor in plan.tensors)
        return
    # HDF5 has names, or the places of Keras's layout; both are told apart tensor by tensor, as
    # layers may have names that a layout uses itself.
    present = {tensor.name for tensor in file.tensors}
    for tensor in plan.tensors:
        found = (n for n in (tensor.name, tensor.group, tensor.also_group) if n in present)
        otherwise = tensor.group if file.format.names == "places" else None
        yield next(found, None) or otherwise or tensor.name, tensor


def by_stored_name(plan: Plan, file: StoredFile) -> dict[str, PlannedTensor]:
    """Return a plan's tensors by the names under which a file keeps them."""
    return dict(places(plan, file))


def kept_names(claim: Claim | None, names: Collection[str]) -> frozenset[str]:
    """Return the names that a provenance says were kept from a base checkpoint.

    Raises:
        GlorotError: if it would take too long to tell.
    """
    base = (claim or {}).get("base")
    if not isinstance(base, dict):
        return frozenset()
    only = base.get("only")
    globs = [str(glob) for glob in only] if isinstance(only, list) else []
    return frozenset(names) - matching(names, globs)


def matching(names: Collection[str], globs: Sequence[str]) -> frozenset[str]:
    """Return the names that any of some globs matches.

    Raises:
        GlorotError: if there are too many of both.
    """
    literal = {glob for glob in globs if not re.search(r"[*?\[]", glob)}
    wild = sorted({*globs} - literal)
    if len(wild) * (len(names) + 1_000) > MOST_MATCHES:
        raise GlorotError(f"{len(wild):,} globs are too many for {len(names):,} tensors")
    patterns = [re.compile(fnmatch.translate(glob)).match for glob in wild]
    return frozenset(
        name for name in names if name in literal or any(match(name) for match in patterns)
    )


def stored_names(file: StoredFile, other: StoredFile) -> dict[str, StoredTensor]:
    """Return a file's tensors by their names in the plan of its provenance, if it has one.

    Keras's layout stores places, not names, and Keras no provenance: that of the `other` file, with
    which it is compared, tells the names then.
    """
    claim = read_claim(file) or read_claim(other)
    names: dict[str, str] = {}
    if claim is not None and file.format.names == "places":
        with contextlib.suppress(GlorotError):
            planned = by_stored_name(claimed_plan(claim), file)
            names = {stored: tensor.name for stored, tensor in planned.items()}
    return {names.get(tensor.name, tensor.name): tensor for tensor in file.tensors}
