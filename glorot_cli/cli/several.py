"""Several results in one run: all are checked before the first is drawn, and told of in one go."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glorot_cli.cli.options import note
from glorot_cli.cli.results import Result
from glorot_cli.cli.writing import Way
from glorot_cli.errors import GlorotError, explained, listed

if TYPE_CHECKING:
    from glorot_cli.moments import Moments
    from glorot_cli.plan import Plan

# So many names of what was written before a failure are told; of more the first and the last.
_MOST_NAMED = 20

Written = tuple[Result, "Plan", "list[Moments | None]"]


def check_several(results: Sequence[Result], way: Way) -> None:
    """Check that nothing is in the way of any result.

    Raises:
        GlorotError: naming what is.
    """
    from glorot_cli.writing.outputs import (
        check_disk,
        check_draws,
        check_output,
        check_places_differ,
    )

    if way.dask is not None:
        raise GlorotError("--dask writes one result in a run: give one spec, seed and dtype")
    checked: set[int] = set()
    outputs = []
    for each in results:
        if id(each.start) not in checked:
            checked.add(id(each.start))
            check_draws(each.start, way.base)
        size = way.shard_size(each)
        outputs.append(
            check_output(
                # Shards are known by their seeds; of others the places alone matter.
                each.start if size is None else each.plan(),
                each.output,
                format=way.format,
                max_shard_size=size,
                config=way.config,
                beside=way.beside(each),
                base=way.base,
                ranks=way.ranks,
                resume=way.resume,
                force=way.force,
            )
        )
    check_places_differ(zip((each.output for each in results), outputs, strict=True))
    # Of these not all bytes are new ones.
    if not (way.force or way.resume or way.ranks):
        check_disk(outputs)


@contextlib.contextmanager
def made_folders(outputs: Sequence[str]) -> Iterator[list[Path]]:
    """Make the folders that outputs are to be in, and take them back if what follows fails.

    Raises:
        GlorotError: if one cannot be made.
    """
    from glorot_cli.formats.replacing import errors_named

    made: list[Path] = []
    try:
        for output in outputs:
            parents = [] if "://" in output else Path(output).parents
            for folder in reversed([each for each in parents if not os.path.lexists(each)]):
                with errors_named(folder):
                    folder.mkdir()
                made.append(folder)
        yield made
    except BaseException:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def write_several(
    results: Sequence[Result], way: Way, *, json: bool, quiet: bool
) -> GlorotError | None:
    """Write results one after the other, and print a table or a document of those written.

    Returns what stopped it at the first that could not be written, which names those that were.

    Raises:
        GlorotError: if something is in the way of one, before the first is drawn.
    """
    from glorot_cli.report import documents
    from glorot_cli.report import results as report
    from glorot_cli.report.terminal import progress_bar

    with made_folders([each.output for each in results]) as made:
        check_several(results, way)
    for folder in made:
        note(f"made the folder {folder}", quiet)
    failed: list[GlorotError] = []
    rows: list[report.Row] = []
    idle: list[str] = []
    total = sum(sum(t.nbytes for t in each.start.tensors) for each in results)
    # A bar would stand within the document.
    shows_bar = not quiet and not (json and sys.stdout.isatty())
    with progress_bar(total, shows_bar) as progress:

        def written() -> Iterator[Written]:
            nbytes = 0
            for each in results:
                plan = each.plan()
                step = progress and functools.partial(_shifted, progress, nbytes)
                try:
                    moments = way.write(each, plan, step)
                except Exception as error:
                    line = explained(error)
                    if line is None:
                        raise
                    failed.append(GlorotError(line + _told([row.output for row in rows], results)))
                    return
                nbytes += sum(tensor.nbytes for tensor in plan.tensors)
                rows.append(report.Row.of(each.output, each.spec, each.seed, each.dtype, plan))
                if not any(moments):
                    idle.append(each.output)
                yield each, plan, moments

        if json:
            runs = (
                documents.run_document(each.spec, each.dtype, plan, moments, each.output)
                for each, plan, moments in written()
            )
            documents.print_json({"runs": runs})
        else:
            for _ in written():
                pass
    if rows and not json and not quiet:
        report.print_results(rows)
    if idle:
        note(f"every shard of this run is there already in {listed(idle)}", quiet)
    return failed[0] if failed else None


def _shifted(progress: Callable[[int], None], before: int, count: int) -> None:
    progress(before + count)


def _told(names: Sequence[str], results: Sequence[Result]) -> str:
    """Say what was written before a failure, and stays."""
    if not names:
        return ""
    which = ", ".join(names) if len(names) <= _MOST_NAMED else f"{names[0]} to {names[-1]}"
    return f"; {len(names):,} of {len(results):,} were written before it: {which}"
