"""Which shards a process writes: shard k is rank k modulo the world size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from glorot_cli.errors import GlorotError, shown
from glorot_cli.plan import Plan
from glorot_cli.streams import STREAMS

# What starts many processes says so in the environment: (rank, world size, first rank).
_SCHEDULERS = (
    ("SLURM_PROCID", "SLURM_NTASKS", ""),
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN"),
    ("RANK", "WORLD_SIZE", ""),
)


class Ranks(NamedTuple):
    """Hold one process's number, from 0, and how many there are."""

    rank: int
    world_size: int


def checked_ranks(rank: int, world_size: int) -> Ranks:
    """Check a rank against the world size.

    Raises:
        GlorotError: if there is no such rank.
    """
    if world_size < 1:
        raise GlorotError(f"--world-size: expected 1 or more, found {world_size}")
    if not 0 <= rank < world_size:
        raise GlorotError(
            f"--rank: expected 0 to {world_size - 1} of --world-size {world_size}, found {rank}"
        )
    return Ranks(rank, world_size)


def ranks_of_environment(environment: Mapping[str, str]) -> Ranks:
    """Read the ranks from Slurm's variables, or else from RANK and WORLD_SIZE.

    A job array counts as ranks by its tasks' order; a task that srun started within it by srun's.

    Raises:
        GlorotError: if none are set, or they are not numbers.
    """
    for rank, size, first in _SCHEDULERS:
        if rank in environment and size in environment:
            if size == "SLURM_NTASKS" and environment[size] == "1" and _is_array(environment):
                continue  # one task for each member of an array
            start = _number(environment, first) if first in environment else 0
            return checked_ranks(_number(environment, rank) - start, _number(environment, size))
    names = "; ".join(f"{rank} and {size}" for rank, size, _ in _SCHEDULERS)
    raise GlorotError(f"--ranks auto: expected in the environment one of: {names}")


def _is_array(environment: Mapping[str, str]) -> bool:
    return "SLURM_ARRAY_TASK_ID" in environment


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise GlorotError(f"{name}: expected a number, found {shown(text)}")
    return int(text)


def check_divisible(plan: Plan) -> None:
    """Check that several processes can each draw some of a plan's tensors.

    Raises:
        GlorotError: if the plan's seed was drawn, or its stream cannot skip ahead.
    """
    if plan.seed_was_drawn:
        raise GlorotError("several processes need a seed, or each would draw its own: give --seed")
    if STREAMS[plan.rng].shared:
        raise GlorotError(
            f"several processes cannot share the stream {plan.rng}, which is drawn from its start "
            "on; write all shards with one"
        )
