"""The commands that read weight files: inspect, verify, diff."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from glorot_cli.checks.unreadable import Unreadable
from glorot_cli.cli.options import (
    AllStatusOption,
    AxesOption,
    DTypeOption,
    ExcludeOption,
    FalseAlarmOption,
    FamilyOption,
    FansOption,
    FilePath,
    IncludeOption,
    InitOption,
    JsonOption,
    KeyOption,
    QuietOption,
    RngOption,
    SeedOption,
    SetOption,
    WorkersOption,
    choice,
    note,
    note_all,
)
from glorot_cli.cli.specs import note_derived, note_guesses, planned
from glorot_cli.errors import GlorotError, printable, shown
from glorot_cli.exits import Exit
from glorot_cli.fans import FAN_RULES

if TYPE_CHECKING:
    from glorot_cli.checks.evidence import Evidence
    from glorot_cli.checks.inspection import InspectedTensor, Inspection
    from glorot_cli.checks.verify import Verification
    from glorot_cli.plan import Plan


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
    spectrum: Annotated[
        bool, typer.Option("--spectrum", help="Take the singular values of each matrix too.")
    ] = False,
    finite: Annotated[
        bool, typer.Option("--finite", help="Exit with 1 if a tensor holds NaN or infinity.")
    ] = False,
    key: KeyOption = None,
    workers: WorkersOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show what weight files of any origin hold, and which distributions they fit."""
    from glorot_cli.checks.inspection import inspect_weights
    from glorot_cli.report import documents
    from glorot_cli.report import tables as report

    fans = choice("--fans", rule, FAN_RULES)
    if finite and headers:
        raise GlorotError("--finite reads the elements, --headers does not: leave one of them out")
    if spectrum and headers:
        raise GlorotError(
            "--spectrum reads the elements, --headers does not: leave one of them out"
        )

    def inspected(file: str) -> Inspection:
        return inspect_weights(
            file,
            fans=fans,
            axes=axes,
            include=include or (),
            exclude=exclude or (),
            key=key,
            headers=headers,
            sha256=sha256,
            spectrum=spectrum,
            workers=workers,
        )

    if len(files) == 1:
        found: list[Inspection | Unreadable] = [inspected(files[0])]
    else:
        found = [_attempt(file, inspected) for file in files]
    read = [each for each in found if not isinstance(each, Unreadable)]
    if (include or exclude) and read and not any(each.tensors for each in read):
        raise GlorotError("no tensor's name matches --include and --exclude")
    if json:
        documents.print_json(documents.inspect_document(found))
    elif not quiet:
        for index, each in enumerate(read):
            if index:
                print()
            report.print_inspection(each)
    for each in read:
        note_all(each.notices, quiet)
    known = [_is_finite(tensor) for each in read for tensor in each.tensors if finite]
    if len(read) < len(found):
        raise typer.Exit(Exit.MISTAKE)
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
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Weight files, or folders of .npy or of shards; FILE SPEC is FILE --spec SPEC.",
        ),
    ],
    spec: Annotated[
        str | None,
        typer.Option(
            "--spec", metavar="SPEC", help="The spec; each file's own provenance by default."
        ),
    ] = None,
    seed: SeedOption = None,
    rng: RngOption = None,
    dtype: DTypeOption = None,
    set_: SetOption = None,
    family: FamilyOption = None,
    init: InitOption = None,
    statistics: Annotated[
        bool,
        typer.Option("--statistics", help="Test the spec's distributions, on others' files."),
    ] = False,
    false_alarm: FalseAlarmOption = 1e-3,
    kept: Annotated[
        list[str] | None,
        typer.Option(
            "--kept", metavar="GLOB", help="Compare these tensors by shape and dtype alone."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 also if a tensor was not checked.")
    ] = False,
    key: KeyOption = None,
    workers: WorkersOption = None,
    show_all: AllStatusOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Redraw weight files and compare every bit; exit with 1 if one is not as drawn."""
    from glorot_cli.checks.evidence import check_rate, judge_stored
    from glorot_cli.checks.verify import verify_stored
    from glorot_cli.formats.reading import read_headers
    from glorot_cli.report import documents, verdicts
    from glorot_cli.report.terminal import progress_bar

    files, spec = _parted(files, spec)
    if spec is None and (seed is not None or rng or dtype is not None or set_ or init):
        raise GlorotError(
            "--seed, --rng, --dtype, --set and --init change a spec, and none is given"
        )
    check_rate(false_alarm)
    found_plan = (
        None if spec is None else planned(spec, seed, dtype, set_, rng, family=family, init=init)
    )
    plan: Plan | None = None if found_plan is None else found_plan.plan

    def checked(path: str) -> Verification | Evidence:
        file = read_headers(path, key)
        note_all(file.notices, quiet)
        globs = kept or ()
        with progress_bar(sum(each.nbytes for each in file.tensors), not quiet) as progress:
            if statistics:
                return judge_stored(
                    file, plan, false_alarm, kept=globs, workers=workers, progress=progress
                )
            return verify_stored(file, plan, kept=globs, workers=workers, progress=progress)

    found: list[Verification | Evidence | Unreadable] = []
    for path in files:
        found.append(checked(path) if len(files) == 1 else _attempt(path, checked))
        if not (json or quiet or isinstance(found[-1], Unreadable)):
            verdicts.print_verdict(found[-1], show_all)
    read = [each for each in found if not isinstance(each, Unreadable)]
    if json:
        documents.print_json(
            verdicts.document(read[0]) if len(files) == 1 else verdicts.documents(found)
        )
    if found_plan is not None:
        note_guesses(found_plan.plan, quiet)
        note_derived(found_plan.derived, found_plan.plan, quiet)
    if len(read) < len(found):
        raise typer.Exit(Exit.MISTAKE)
    if not all(each.equal and not (strict and each.unchecked) for each in read):
        raise typer.Exit(Exit.DIFFERENT)


def _parted(files: list[str], spec: str | None) -> tuple[list[str], str | None]:
    """Take the second of exactly two arguments as the spec, if that is what it holds."""
    if spec is None and len(files) == 2:
        from glorot_cli.derive import is_description

        if files[1] == "-" or is_description(files[1]):
            return files[:1], files[1]
    return files, spec


Checked = TypeVar("Checked")


def _attempt(path: str, check: Callable[[str], Checked]) -> Checked | Unreadable:
    """Check one file of several, and say at once if that cannot be done."""
    try:
        return check(path)
    except GlorotError as error:
        print(f"glorot: {printable(str(error))}", file=sys.stderr)
        return Unreadable(path, str(error))


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
    key: KeyOption = None,
    workers: WorkersOption = None,
    show_all: AllStatusOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare two weight files; exit with 1 if they differ."""
    from glorot_cli.checks.diff import check_tolerance, diff_stored, read_pair
    from glorot_cli.renames import parse_rename
    from glorot_cli.report import documents, verdicts
    from glorot_cli.report.terminal import progress_bar

    check_tolerance(tolerance)
    rules = [parse_rename(text) for text in renames or ()]
    one, two = read_pair(file, other, key)
    note_all((*one.notices, *two.notices), quiet)
    with progress_bar(sum(each.nbytes for each in one.tensors), not quiet) as progress:
        found = diff_stored(
            one, two, tolerance=tolerance, renames=rules, workers=workers, progress=progress
        )
    if json:
        documents.print_json(verdicts.document(found))
    elif not quiet:
        verdicts.print_verdict(found, show_all)
    if not found.equal:
        raise typer.Exit(Exit.DIFFERENT)
