"""The command that draws: init."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glorot_cli.cli.options import (
    AllOption,
    DTypeOption,
    FamilyOption,
    JsonOption,
    QuietOption,
    RngOption,
    SeedOption,
    SetOption,
    SpecPath,
    StrictOption,
    TinyOption,
    WorkersOption,
    choice,
    folds,
    note,
)
from glorot_cli.cli.specs import note_guesses, plan_and_config
from glorot_cli.errors import GlorotError, listed, shown
from glorot_cli.formats import OPTIONS, choose_format

if TYPE_CHECKING:
    from glorot_cli.families import ModelConfig
    from glorot_cli.plan import Plan
    from glorot_cli.writing.checkpoint import Checkpoint
    from glorot_cli.writing.ranks import Ranks
    from glorot_cli.writing.weights import WriteOptions


def init(
    spec: SpecPath,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="The file: .safetensors, .weights.h5, .h5, .npy, or a folder/ of .npy; of a "
            "config.json, a folder for from_pretrained.",
        ),
    ],
    seed: SeedOption = None,
    rng: RngOption = None,
    dtype: DTypeOption = None,
    set_: SetOption = None,
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
    dask: Annotated[
        str | None,
        typer.Option("--dask", metavar="ADDRESS", help="Write shards on a Dask cluster, or local."),
    ] = None,
    workers: WorkersOption = None,
    show_all: AllOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Draw the weights of a spec into a file."""
    from glorot_cli.report import documents
    from glorot_cli.report import tables as report
    from glorot_cli.report.terminal import progress_bar
    from glorot_cli.writing.weights import write_weights

    if output in ("", "-"):
        raise GlorotError("-o: expected a path; weights are not written to standard output")
    choice("--format", format, tuple(OPTIONS))
    plan, model = plan_and_config(
        spec, seed, dtype, set_, rng, strict=strict, family=family, tiny=tiny
    )
    beside = None if model is None else _beside(model, output, format, config)
    if beside is not None:
        from glorot_cli.formats.shards import SHARD_SIZE

        max_shard_size = max_shard_size or SHARD_SIZE
    chosen = choose_format(output, format, sharded=max_shard_size is not None)
    if base is None and (only or resize):
        raise GlorotError("--only and --resize need --base, the file that the rest is kept from")
    if spec != "-" and os.path.realpath(output) == os.path.realpath(spec):
        raise GlorotError(f"-o: {output} is the spec itself")
    if model is None and config is not None:
        _check_config(plan, config, strict=strict, quiet=quiet)
    kept = None if base is None else _checkpoint(base, only, resize)
    for notice in plan.notices + (() if kept is None else kept.notices(plan)):
        note(notice, quiet)
    with progress_bar(sum(t.nbytes for t in plan.tensors), not quiet) as progress:
        settings: WriteOptions = {
            "max_shard_size": max_shard_size,
            "config": config,
            "beside": beside,
            "workers": workers,
            "force": force,
            "progress": progress,
        }
        if dask is not None:
            if max_shard_size is None or rank is not None or ranks or format:
                raise GlorotError("--dask writes shards: give --max-shard-size, and no rank")
            from glorot_cli.writing.cluster import write_on_cluster

            moments = write_on_cluster(dask, plan, output, base=kept, resume=resume, **settings)
        else:
            moments = write_weights(
                plan,
                output,
                format=format,
                base=kept,
                ranks=_ranks(ranks, rank, world_size),
                resume=resume,
                **settings,
            )
    if rank is not None or ranks:
        _note_unfinished(output, quiet)
    if plan.seed_was_drawn:
        note(f"seed {plan.seed} was drawn", quiet and chosen.holds_provenance)
    if json:
        documents.print_json(documents.init_document(plan, moments, output))
    elif not quiet:
        found = {t.name: each for t, each in zip(plan.tensors, moments, strict=True) if each}
        if not found:
            note("every shard of this run is there already", quiet)
        else:
            made = plan if len(found) == len(plan.tensors) else plan.of(found)
            report.print_plan(made, list(found.values()), fold=folds(show_all))
    if kept is not None:
        _note_kept(kept.kept_names(plan), len(plan.tensors), str(base), bool(resize), quiet)
    note_guesses(plan, quiet)


def _beside(
    model: ModelConfig, output: str, format: str | None, config: str | None
) -> dict[str, bytes] | None:
    """Return the texts beside a model's weights, if the output is the folder of a model."""
    from glorot_cli.derive.models import texts_beside

    if config is not None:
        raise GlorotError(f"--config: {model.path} is the configuration already; leave it out")
    if format not in (None, "safetensors"):
        return None
    is_folder = output.endswith("/") or Path(output).is_dir() or not Path(output).suffix
    return texts_beside(model) if is_folder else None


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


def _note_unfinished(folder: str, quiet: bool) -> None:
    """Say that shards are to come: a rank that never ran leaves no other trace."""
    from glorot_cli.formats.shards import is_complete, names_in

    if not is_complete(Path(folder)):
        there = len(names_in(Path(folder)))
        note(
            f"{there} shards are there so far; the rank that writes the last adds the index", quiet
        )


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


def _checkpoint(path: str, only: Sequence[str] | None, resize: Sequence[str] | None) -> Checkpoint:
    from glorot_cli.writing.checkpoint import FILLINGS, Checkpoint, Filling

    filling: dict[str, Filling] = {}
    for text in resize or ():
        glob, _, said = text.rpartition("=")
        how = next((each for each in FILLINGS if each == said), None)
        if not glob or how is None:
            raise GlorotError(f"--resize: expected GLOB={'|'.join(FILLINGS)}, found {shown(text)}")
        filling[glob] = how
    return Checkpoint.read(path, only or (), filling)
