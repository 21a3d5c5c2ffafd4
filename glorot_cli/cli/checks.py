"""The commands that read weight files: inspect, verify, diff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from glorot_cli.cli.exits import Exit
from glorot_cli.cli.options import (
    AllStatusOption,
    AxesOption,
    DTypeOption,
    ExcludeOption,
    FalseAlarmOption,
    FansOption,
    FilePath,
    IncludeOption,
    JsonOption,
    MaybeSpecPath,
    QuietOption,
    RngOption,
    SeedOption,
    SetOption,
    WorkersOption,
    choice,
    note,
)
from glorot_cli.cli.specs import planned
from glorot_cli.errors import GlorotError, shown
from glorot_cli.fans import FAN_RULES, FanRule

if TYPE_CHECKING:
    from glorot_cli.checks.diff import Diff
    from glorot_cli.checks.evidence import Evidence
    from glorot_cli.checks.inspection import InspectedTensor
    from glorot_cli.checks.verify import Verification


def inspect(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Weight files, or folders of .npy.")
    ],
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    rule: FansOption = None,
    axes: AxesOption = None,
    headers: Annotated[
        bool, typer.Option("--headers", help="Read headers only, at once at any size.")
    ] = False,
    sha256: Annotated[
        bool, typer.Option("--sha256", help="Hash each tensor's elements too.")
    ] = False,
    finite: Annotated[
        bool, typer.Option("--finite", help="Exit with 1 if a tensor holds NaN or infinity.")
    ] = False,
    workers: WorkersOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show what weight files hold, whoever wrote them, and which laws it fits."""
    from glorot_cli.checks.inspection import inspect_weights
    from glorot_cli.report import documents
    from glorot_cli.report import tables as report

    choice("--fans", rule, FAN_RULES)
    if finite and headers:
        raise GlorotError("--finite reads the elements, --headers does not: leave one of them out")
    found = [
        inspect_weights(
            file,
            fans=cast("FanRule | None", rule),
            axes=axes,
            include=include or (),
            exclude=exclude or (),
            headers=headers,
            sha256=sha256,
            workers=workers,
        )
        for file in files
    ]
    if (include or exclude) and not any(each.tensors for each in found):
        raise GlorotError("no tensor's name matches --include and --exclude")
    if json:
        documents.print_json(documents.inspect_document(found))
    elif not quiet:
        for index, each in enumerate(found):
            if index:
                print()
            report.print_inspection(each)
    known = [_is_finite(tensor) for each in found for tensor in each.tensors if finite]
    if not all(known):
        raise typer.Exit(Exit.DIFFERENT)


def _is_finite(tensor: InspectedTensor) -> bool:
    """Tell whether every element is known to be a number."""
    if tensor.moments is not None:
        return not tensor.moments.others
    if tensor.nbytes:
        what = f"elements of {tensor.dtype} are not read, so not known to be finite"
        note(f"{shown(tensor.name)}: {what}", quiet=False)
    return not tensor.nbytes


def verify(
    file: FilePath,
    spec: MaybeSpecPath = None,
    seed: SeedOption = None,
    rng: RngOption = None,
    dtype: DTypeOption = None,
    set_: SetOption = None,
    statistics: Annotated[
        bool,
        typer.Option("--statistics", help="Test the spec's laws, on a file that others made."),
    ] = False,
    false_alarm: FalseAlarmOption = 1e-3,
    workers: WorkersOption = None,
    show_all: AllStatusOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Redraw a weight file and compare every bit; exit with 1 if it is not as drawn."""
    from glorot_cli.checks.evidence import judge_weights
    from glorot_cli.checks.verify import verify_weights
    from glorot_cli.report.terminal import progress_bar

    if spec is None and (seed is not None or rng or dtype is not None or set_):
        raise GlorotError("--seed, --rng, --dtype and --set change a spec, and none is given")
    plan = None if spec is None else planned(spec, seed, dtype, set_, rng)
    with progress_bar(_size(file), not quiet) as progress:
        found = (
            judge_weights(file, plan, false_alarm=false_alarm, workers=workers, progress=progress)
            if statistics
            else verify_weights(file, plan, workers=workers, progress=progress)
        )
    _conclude(found, json=json, quiet=quiet, show_all=show_all)


def diff(
    file: FilePath,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Another one, in any format.")],
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", help="Compare values, whatever their dtypes, up to this."),
    ] = None,
    renames: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="OLD=NEW",
            help="Rename what FILE holds; * is any part; :transpose or :(2,3,1,0) turns axes.",
        ),
    ] = None,
    workers: WorkersOption = None,
    show_all: AllStatusOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare two weight files; exit with 1 if they differ."""
    from glorot_cli.checks.diff import diff_weights
    from glorot_cli.checks.renames import parse_rename
    from glorot_cli.report.terminal import progress_bar

    rules = [parse_rename(text) for text in renames or ()]
    with progress_bar(_size(file), not quiet) as progress:
        found = diff_weights(
            file, other, tolerance=tolerance, renames=rules, workers=workers, progress=progress
        )
    _conclude(found, json=json, quiet=quiet, show_all=show_all)


def _conclude(
    found: Verification | Evidence | Diff, *, json: bool, quiet: bool, show_all: bool
) -> None:
    """Say what was found, and exit with 1 if it is not as it should be."""
    from glorot_cli.report import documents, verdicts

    if json:
        documents.print_json(verdicts.document(found))
    elif not quiet:
        verdicts.print_verdict(found, show_all)
    if not found.equal:
        raise typer.Exit(Exit.DIFFERENT)


def _size(path: str) -> int:
    from pathlib import Path

    given = Path(path)
    files = given.rglob("*") if given.is_dir() else [given]
    return sum(each.stat().st_size for each in files if each.is_file())
