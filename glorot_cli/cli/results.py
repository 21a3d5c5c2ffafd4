"""Which files a command line asks for: one, or several of specs, dtypes and seeds."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from glorot_cli.errors import GlorotError, shown

if TYPE_CHECKING:
    from glorot_cli.derive.derived import Derived
    from glorot_cli.families import ModelConfig
    from glorot_cli.plan import Plan

# So many files are written in a minute or less; a mistyped range is refused at once.
MOST_RESULTS = 10_000
STDIN = "-"

_PLACEHOLDERS = ("seed", "stem", "dtype")
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_RANGE = re.compile(r"(\d+):(\d+)", re.ASCII)


class Result(NamedTuple):
    """Hold one file that is asked for: what it is of, and where it goes.

    `start` is the plan of the first seed, which the results of one spec and dtype share; `derived`
    says how the spec of a file was come by.
    """

    spec: str
    dtype: str
    seed: int
    output: str
    start: Plan
    model: ModelConfig | None
    derived: Derived | None = None

    def plan(self) -> Plan:
        """Return the plan of this result's seed."""
        from glorot_cli.plan import reseeded

        # A seed that was drawn is the first plan's own, and is known as such.
        return self.start if self.seed == self.start.seed else reseeded(self.start, self.seed)


def asked_results(
    specs: Sequence[str],
    output: str,
    seed: str | None,
    dtype: str | None,
    planned: Callable[..., tuple[Plan, ModelConfig | None, Derived | None]],
) -> list[Result]:
    """Plan what is asked for, and name where each result goes; several need a placeholder.

    `planned` makes the plan of a spec, with a seed, a dtype and the text if it was read already. A
    seed that is drawn is one for all results of a spec.

    Raises:
        GlorotError: if a spec or a name makes no sense.
    """
    from glorot_cli.plan import reseeded
    from glorot_cli.spec import read_source
    from glorot_cli.streams import seeds_of

    _check_differ(specs)
    seeds, dtypes = read_seeds(seed), read_dtypes(dtype)
    count = len(specs) * len(seeds or " ") * len(dtypes or " ")
    if count > MOST_RESULTS:
        raise GlorotError(f"expected at most {MOST_RESULTS:,} results in one run, found {count:,}")
    is_pattern = are_several(specs, seed, dtype) or has_placeholder(output)
    results: list[Result] = []
    for spec in specs:
        drawn: int | None = None
        text = read_source(spec) if spec == STDIN and len(dtypes or ()) > 1 else None
        for each in dtypes or (None,):
            start, model, derived = planned(
                spec, None if seeds is None else seeds[0], each, text=text
            )
            if start.seed_was_drawn:
                if drawn is not None:
                    start = replace(reseeded(start, drawn), seed_was_drawn=True)
                drawn = start.seed
            if seeds is not None and max(seeds) >= seeds_of(start.rng):
                reseeded(start, max(seeds))  # which says why the stream does not take it
            said = each or str(start.spec.get("dtype", "float32"))
            for one in seeds or [start.seed]:
                values = {"seed": one, "stem": stem_of(spec), "dtype": said}
                name = filled(output, values) if is_pattern else output
                results.append(Result(spec, said, one, name, start, model, derived))
    check_names(output, results)
    return results


def are_several(specs: Sequence[str], seed: str | None, dtype: str | None) -> bool:
    """Tell whether a list or a range was asked for, be it of one."""
    return len(specs) > 1 or any(mark in (seed or "") for mark in ",:") or "," in (dtype or "")


def read_seeds(text: str | None) -> list[int] | None:
    """Read a seed, a range A:B without B, or a list of both.

    Raises:
        GlorotError: if a seed is none, is out of range or stands twice.
    """
    if text is None:
        return None
    seeds: list[int] = []
    for part in text.split(","):
        found = _RANGE.fullmatch(part.strip())
        first, stop = (int(found[1]), int(found[2])) if found else _bounds(part, text)
        for bound in (first, stop - 1):
            if not 0 <= bound < 2**64:
                raise GlorotError(f"--seed: expected an integer from 0 to 2**64 - 1, found {bound}")
        if stop <= first:
            raise GlorotError(f"--seed: the range {shown(part)} is empty: A:B ends before B")
        if len(seeds) + stop - first > MOST_RESULTS:
            raise GlorotError(f"--seed: expected at most {MOST_RESULTS:,} seeds in one run")
        seeds += range(first, stop)
    _check_once("--seed", seeds)
    return seeds


def _bounds(part: str, text: str) -> tuple[int, int]:
    try:
        number = int(part)
    except ValueError:
        raise GlorotError(
            f"--seed: expected an integer, a range such as 0:10 or a list such as 1,2,5, "
            f"found {shown(text)}"
        ) from None
    return number, number + 1


def read_dtypes(text: str | None) -> list[str] | None:
    """Read a dtype, or a list of them, whose names the plan checks.

    Raises:
        GlorotError: if one stands twice.
    """
    if text is None:
        return None
    found = [part.strip() for part in text.split(",")]
    _check_once("--dtype", found)
    return found


def _check_once(option: str, values: Sequence[object]) -> None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise GlorotError(f"{option}: {value} stands twice")
        seen.add(value)


def stem_of(spec: str) -> str:
    """Return what stands for a spec in a name: its own without the ending, or a folder's name."""
    if spec == STDIN:
        return "stdin"
    path = Path(spec)
    if path.name in ("", "..") or path.is_dir():
        return Path(os.path.realpath(path)).name
    return path.stem


def filled(pattern: str, values: Mapping[str, object]) -> str:
    """Fill placeholders in an output's name; doubled braces stand for one.

    Raises:
        GlorotError: at a brace that is neither.
    """

    def value(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        if found[1] not in values:
            names = ", ".join(f"{{{name}}}" for name in _PLACEHOLDERS)
            raise GlorotError(
                f"-o: expected one of {names}, found {shown(found[0])} in {shown(pattern)}; "
                "write {{ or }} for a brace"
            )
        return str(values[found[1]])

    return _BRACES.sub(value, pattern)


def has_placeholder(pattern: str) -> bool:
    """Tell whether a placeholder stands in an output's name."""
    return any(f"{{{name}}}" in pattern for name in _PLACEHOLDERS)


def check_names(pattern: str, results: Sequence[Result]) -> None:
    """Check that the results' outputs have names of their own.

    Raises:
        GlorotError: naming the placeholder that is missing, or the specs of one stem.
    """
    taken: dict[str, Result] = {}
    for each in results:
        other = taken.setdefault(os.path.normpath(each.output), each)
        if other is each:
            continue
        used = {found[1] for found in _BRACES.finditer(pattern)}
        if each.spec != other.spec and "stem" in used:
            raise GlorotError(
                f"-o: {other.spec} and {each.spec} would both be written to {each.output}, "
                f"since the stem of both is {shown(stem_of(each.spec))}; "
                "rename one, or write each in a run of its own"
            )
        counts = {
            "stem": len({one.spec for one in results}),
            "dtype": len({one.dtype for one in results if one.spec == each.spec}),
            "seed": len({one.seed for one in results if one.start is each.start}),
        }
        missing = [
            f"{{{name}}}" for name, count in counts.items() if count > 1 and name not in used
        ]
        raise GlorotError(
            f"-o: {len(results):,} results need names of their own; "
            f"put {' and '.join(missing)} into {shown(pattern)}"
        )


def _check_differ(specs: Sequence[str]) -> None:
    """Check that no spec stands twice.

    Raises:
        GlorotError: naming it.
    """
    seen: dict[str, str] = {}
    for spec in specs:
        other = seen.setdefault(spec if spec == STDIN else os.path.realpath(spec), spec)
        if other is not spec or specs.count(spec) > 1:
            both = spec if other == spec else f"{other} and {spec}"
            raise GlorotError(f"a spec stands twice: {both}")


def check_overwrites_no_spec(results: Sequence[Result]) -> None:
    """Check that no spec is an output.

    Raises:
        GlorotError: naming it.
    """
    places = {os.path.realpath(each.spec) for each in results if each.spec != STDIN}
    for each in results:
        if os.path.realpath(each.output) in places:
            raise GlorotError(f"-o: {each.output} is the spec itself")
