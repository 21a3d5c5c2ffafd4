"""A recorded spec held against the module itself, built for real."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glorot_cli.checks.evidence import judge_stored
from glorot_cli.checks.verify import verify_stored
from glorot_cli.distributions import Derived
from glorot_cli.drawing import free_memory
from glorot_cli.errors import GlorotError, SpecError, listed, natural_size
from glorot_cli.formats.reading import read_headers
from glorot_cli.plan import Plan, make_plan
from glorot_cli.recording.builders import builder
from glorot_cli.recording.document import Recording
from glorot_cli.spec import load_spec

SEEDS = (0, 1)
# Of a whole check, by chance, on a spec that is right.
FALSE_ALARM = 1e-3
Find = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Checked:
    """Hold whether a spec held, and what is to be said of it."""

    holds: bool
    lines: list[str]


def check_recording(
    find: Find, args: tuple[Any, ...], kwargs: Mapping[str, Any], found: Recording
) -> Checked:
    """Build the module with two seeds, and compare names, distributions and bits with its spec.

    Raises:
        GlorotError: if the memory does not suffice.
    """
    left = {each.name for each in found.unknown}
    lines: list[str] = []
    holds = True
    for seed in SEEDS:
        plan = make_plan(load_spec(found.spec, {"seed": seed}))
        _check_memory(plan)
        state = _state(find, args, kwargs, seed)
        wrong = _other_tensors(plan, state, left)
        if wrong is not None:
            return Checked(False, [f"seed {seed}: {wrong}"])
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "module.safetensors"
            _save(state, {tensor.name for tensor in plan.tensors}, file)
            stored = read_headers(file)
            evidence = judge_stored(
                stored, plan, FALSE_ALARM / 2, kept=(), workers=None, progress=None
            )
            odd = [each for each in evidence.tensors if each.status not in ("fits", "unchecked")]
            holds = holds and not odd
            said = "every tensor is as its distribution says"
            if odd:
                said = f"{len(odd)} tensors are not as their distribution says: " + listed(
                    [each.header.name for each in odd]
                )
            lines.append(f"seed {seed}: {said}")
            same, text = _bits(stored, found, seed)
            holds = holds and same
            lines.append(f"seed {seed}: {text}")
    return Checked(holds, lines)


def _bits(stored: Any, found: Recording, seed: int) -> tuple[bool, str]:
    if "draws" not in found.spec:
        return True, "it has no draws, so its bits were not compared"
    try:
        plan = make_plan(load_spec(found.spec, {"seed": seed, "rng": "torch"}))
    except SpecError as error:
        return True, f"its bits were not compared: {error}"
    result = verify_stored(stored, plan, kept=(), workers=None, progress=None)
    derived = {t.name for t in plan.tensors if isinstance(t.distribution, Derived)}
    names = [each.name for each in result.tensors if each.status != "equal"]
    if not names:
        return True, f"the bits of all {len(plan.tensors)} tensors are those of torch"
    if derived.issuperset(names):
        rest = len(plan.tensors) - len(derived)
        return True, (
            f"the bits of {rest} tensors are those of torch; norms and singular vectors are "
            f"summed in another order: {listed(sorted(derived))}"
        )
    return False, f"the bits of {len(names)} tensors are not those of torch: {listed(names)}"


def _check_memory(plan: Plan) -> None:
    needed = 2 * sum(tensor.nbytes for tensor in plan.tensors)
    if needed > (free := free_memory()):
        raise GlorotError(
            f"--check builds the module for real, which takes {natural_size(needed)}; "
            f"{natural_size(free)} are free"
        )


def _state(
    find: Find, args: tuple[Any, ...], kwargs: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    import torch

    build = builder(find(), args, kwargs)
    torch.manual_seed(seed)
    state: dict[str, Any] = build().state_dict()
    return state


def _other_tensors(plan: Plan, state: Mapping[str, Any], left: set[str]) -> str | None:
    """Say how a plan's tensors differ from a module's."""
    wanted = {
        name: (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in state.items()
        if name not in left
    }
    planned = {tensor.name: (tensor.shape, tensor.dtype) for tensor in plan.entries}
    if list(wanted) != list(planned):
        return (
            f"other names: {listed(sorted(wanted.keys() ^ planned.keys())) or 'in another order'}"
        )
    other = [name for name in wanted if wanted[name] != planned[name]]
    return f"other shapes or dtypes: {listed(other)}" if other else None


def _save(state: Mapping[str, Any], names: set[str], path: Path) -> None:
    from safetensors.torch import save_file

    save_file(
        {
            name: value.detach().contiguous().clone()
            for name, value in state.items()
            if name in names
        },
        path,
    )


def keep(
    find: Find, args: tuple[Any, ...], kwargs: Mapping[str, Any], names: list[str], path: Path
) -> None:
    """Build the module for real, and write some of its tensors to a file."""
    from glorot_cli.formats.replacing import replacing

    state = _state(find, args, kwargs, SEEDS[0])
    with replacing(path, 0, force=True, kind="file", sync=True) as temporary:
        _save(state, set(names), Path(temporary))
