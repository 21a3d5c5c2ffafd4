"""The command that draws: init."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from glorot_cli.cli.bases import check_kept, checkpoint
from glorot_cli.cli.options import (
    AllOption,
    DTypesOption,
    FamilyOption,
    InitOption,
    JsonOption,
    KeyOption,
    QuietOption,
    RngOption,
    SeedsOption,
    SetOption,
    SpecPaths,
    StartOption,
    StrictOption,
    TinyOption,
    WorkersOption,
    choice,
    folds,
    note,
)
from glorot_cli.cli.results import Result, are_several, asked_results, check_overwrites_no_spec
from glorot_cli.cli.several import write_several
from glorot_cli.cli.specs import note_derived, note_guesses, planned
from glorot_cli.cli.writing import NOT_ON_DASK, Way
from glorot_cli.errors import GlorotError, listed
from glorot_cli.formats import OPTIONS

if TYPE_CHECKING:
    from glorot_cli.plan import Plan
    from glorot_cli.writing.ranks import Ranks


def init(
    specs: SpecPaths,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="The file: .safetensors, .weights.h5, .h5, .pt, .npz, .npy, or a folder/ of .npy; "
            "of a config.json, a folder for from_pretrained. Of several each needs a name of its "
            "own, by {seed}, {stem} or {dtype} in it.",
        ),
    ],
    seed: SeedsOption = None,
    rng: RngOption = None,
    dtype: DTypesOption = None,
    set_: SetOption = None,
    init_: InitOption = None,
    start: StartOption = None,
    family: FamilyOption = None,
    tiny: TinyOption = False,
    strict: StrictOption = False,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help=f"{', '.join(OPTIONS)}: whatever the output's name ends in.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace what is there.")] = False,
    max_shard_size: Annotated[
        str | None,
        typer.Option(
            "--max-shard-size", metavar="SIZE", help="Write shards of 5GB, 512MiB, ... to a folder."
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config", metavar="FILE", help="A model's configuration: for .keras, or for shards."
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="FILE", help="Keep the tensors of an older weight file."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="GLOB", help="With --base: draw these tensors anew."),
    ] = None,
    resize: Annotated[
        list[str] | None,
        typer.Option(
            "--resize",
            metavar="GLOB=init|mean|zeros",
            help="With --base: give these tensors the spec's size, and fill what is new.",
        ),
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            "--rows",
            metavar="GLOB=START:STOP",
            help="With --base: draw these rows of the first axis anew.",
        ),
    ] = None,
    renames: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="OLD=NEW",
            help="With --base: rename what it holds; * is any part.",
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            "--optimizer",
            metavar="keep|drop",
            help="With --base and a weight file: what becomes of an optimizer's state.",
        ),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option("--rank", metavar="R", help="Write only this process's shards, from 0."),
    ] = None,
    world_size: Annotated[
        int | None, typer.Option("--world-size", metavar="N", help="How many processes write.")
    ] = None,
    ranks: Annotated[
        str | None,
        typer.Option("--ranks", metavar="auto", help="Read both from Slurm or RANK/WORLD_SIZE."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep the shards that an earlier run completed.")
    ] = False,
    key: KeyOption = None,
    dask: Annotated[
        str | None,
        typer.Option("--dask", metavar="ADDRESS", help="Write shards on a Dask cluster, or local."),
    ] = None,
    workers: WorkersOption = None,
    show_all: AllOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Draw the weights of specs into files."""
    if output in ("", "-"):
        raise GlorotError("-o: expected a path; weights are not written to standard output")
    choice("--format", format, tuple(OPTIONS))
    choice("--optimizer", optimizer, ("keep", "drop"))
    if optimizer is not None and base is None:
        raise GlorotError("--optimizer needs --base, the file whose optimizer's state it is")
    results = asked_results(
        specs,
        output,
        seed,
        dtype,
        functools.partial(
            planned,
            dims=set_,
            rng=rng,
            strict=strict,
            family=family,
            tiny=tiny,
            init=init_,
            start=start,
            with_state=optimizer == "keep",
            key=key if base is None else None,
        ),
    )
    if base is None and (only or resize or rows or renames):
        raise GlorotError(
            "--only, --resize, --rows and --map need --base, the file that the rest is kept from"
        )
    check_overwrites_no_spec(results)
    if dask is not None and (rank is not None or ranks or format):
        raise GlorotError(NOT_ON_DASK)
    way = Way(
        format,
        max_shard_size,
        config,
        None if base is None else checkpoint(base, only, resize, rows, renames, key),
        None if dask is not None else _ranks(ranks, rank, world_size),
        resume,
        dask,
        workers,
        force,
        key,
    )
    starts = [each for each in results if each.seed == each.start.seed]
    for each in starts:
        way.format_of(each)
        check_kept(each, base)
        if each.model is None and config is not None:
            _check_config(each.start, config, strict=strict, quiet=quiet)
    for each in starts:
        of_base = way.base_of(each)
        left = () if of_base is None or base is None else of_base.notices(each.start)
        for notice in (*each.start.notices, *left):
            note(f"{each.spec}: {notice}" if len(specs) > 1 else notice, quiet)
    if are_several(specs, seed, dtype):
        failure = write_several(results, way, json=json, quiet=quiet)
    else:
        failure = None
        _write_one(results[0], way, json=json, quiet=quiet, show_all=show_all)
    if rank is not None or ranks:
        _note_unfinished([each.output for each in results], quiet)
    drawn: set[str] = set()
    for each in starts:
        if each.start.seed_was_drawn and each.spec not in drawn:
            drawn.add(each.spec)
            of = f"{each.spec}: " if len(specs) > 1 else ""
            silent = quiet and way.is_carried(each)
            note(f"{of}seed {each.seed} was drawn", silent)
        if (silence := way.left_out(each)) is not None:
            note(silence, quiet)
        if (of_base := way.base_of(each)) is not None:
            names = of_base.kept_names(each.start)
            is_changed = bool(resize or rows)
            _note_kept(names, len(each.start.tensors), base or each.spec, is_changed, quiet)
        note_guesses(each.start, quiet)
        note_derived(each.derived, each.start, quiet)
    if failure is not None:
        raise failure


def _write_one(result: Result, way: Way, *, json: bool, quiet: bool, show_all: bool) -> None:
    """Write a result and print its table, or its document."""
    from glorot_cli.report import documents
    from glorot_cli.report import tables as report
    from glorot_cli.report.terminal import progress_bar

    plan = result.start
    with progress_bar(sum(t.nbytes for t in plan.tensors), not quiet) as progress:
        moments = way.write(result, plan, progress)
    pairs = list(zip(plan.tensors, moments, strict=True))
    # Of a shard that was there already no tensor was written; of what was, some have no moments.
    written = {t.name for t, each in pairs if each or not (way.resume or way.ranks)}
    made = plan if len(written) == len(pairs) else plan.of(written)
    if (base := way.base_of(result)) is not None:
        plan, made = (each.keeping(base.whole_names(each)) for each in (plan, made))
    if json:
        documents.print_json(documents.init_document(plan, moments, result.output))
    elif not quiet:
        if not written:
            note("every shard of this run is there already", quiet)
        else:
            found = [each for t, each in pairs if t.name in written]
            report.print_plan(made, found, fold=folds(show_all))


def _check_config(plan: Plan, config: str, *, strict: bool, quiet: bool) -> None:
    """Say so if a configuration is of a known type, and means other tensors than the spec."""
    from glorot_cli.derive.models import misfit

    problem = misfit(plan, config)
    if problem is not None and strict:
        raise GlorotError(problem)
    if problem is not None:
        note(problem, quiet)


def _note_kept(names: Sequence[str], total: int, base: str, resized: bool, quiet: bool) -> None:
    """Say which tensors are not as their rows' initializers say."""
    if names:
        what = "" if resized or len(names) < total else "; nothing was drawn"
        note(f"{len(names)} of {total} tensors kept from {base}: {listed(names)}{what}", quiet)


def _note_unfinished(folders: Sequence[str], quiet: bool) -> None:
    """Say that shards are to come: a rank that never ran leaves no other trace."""
    from glorot_cli.formats.remote import Remote, is_url
    from glorot_cli.formats.shards import are_complete, is_shard

    names = {
        folder: Remote(folder).names() if is_url(folder) else set(os.listdir(folder))  # noqa: PTH208
        for folder in folders
    }
    found = [folder for folder in folders if not are_complete(names[folder])]
    if len(found) == len(folders) == 1:
        where = f"{sum(map(is_shard, names[found[0]]))} shards are there so far"
    else:
        where = f"shards are missing so far in {listed(found)}"
    if found:
        note(f"{where}; the rank that writes the last adds the index", quiet)


def _ranks(said: str | None, rank: int | None, world_size: int | None) -> Ranks | None:
    from glorot_cli.writing.ranks import checked_ranks, ranks_of_environment

    if said is not None:
        choice("--ranks", said, ("auto",))
        if rank is not None or world_size is not None:
            raise GlorotError("--ranks auto takes no --rank and no --world-size")
        return ranks_of_environment(os.environ)
    if rank is None and world_size is None:
        return None
    if rank is None or world_size is None:
        raise GlorotError("--rank and --world-size go together")
    return checked_ranks(rank, world_size)
