"""The command line: arguments in, exit codes out; the only importer of typer."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, cast

import typer

from glorot_cli.errors import GlorotError, printable, shown
from glorot_cli.fans import FAN_RULES, FanRule


class _StoppedError(Exception):
    """Carry a Ctrl-C or a system's error past typer, whose versions answer them differently."""


class _Commands(typer.core.TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, OSError) as error:
            raise _StoppedError from error


app = typer.Typer(
    name="glorot",
    cls=_Commands,
    help="Turn a layer-shape spec into initialised neural-network weight files.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


class Exit(enum.IntEnum):
    """Name the exit codes."""

    DONE = 0
    DIFFERENT = 1
    MISTAKE = 2
    INTERRUPTED = 130
    BROKEN_PIPE = 141


def main(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; every mistake becomes one line."""
    try:
        try:
            code = app(list(arguments), standalone_mode=False)
            sys.stdout.flush()
            return int(code or Exit.DONE)
        except _StoppedError as stopped:
            raise stopped.__cause__ or stopped from None
    except GlorotError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("interrupted", Exit.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.BROKEN_PIPE
    except OSError as error:
        return _fail(f"{error.filename or 'cannot write the output'}: {error.strerror or error}")
    except Exception as error:
        # Typer carries its own click, whose errors are known by their method.
        if not hasattr(error, "format_message"):
            raise
        return _fail(error.format_message() or "see glorot --help")


def _fail(message: str, code: Exit = Exit.MISTAKE) -> int:
    print(f"glorot: {printable(message)}", file=sys.stderr)
    return code


def _note(message: str, quiet: bool) -> None:
    if not quiet:
        print(f"note: {printable(message)}", file=sys.stderr)


def _choice(option: str, value: str | None, known: Sequence[str]) -> Any:
    if value is not None and value not in known:
        raise GlorotError(f"{option}: expected {', '.join(known)}, found {shown(value)}")
    return value


SpecPath = Annotated[
    str,
    typer.Argument(
        metavar="SPEC", help="The spec, YAML or JSON; - reads standard input; or a weight file."
    ),
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="Replace the spec's seed: 0 to 2**64 - 1.")
]
RngOption = Annotated[
    str | None,
    typer.Option(
        "--rng",
        help="Replace the spec's stream: aes-ctr, or the bits of a framework: "
        "keras-numpy (keras 3.15.1, numpy 2.4.6), keras-jax (jax 0.10.2), keras-torch (torch "
        "2.13.0), keras-tensorflow (tensorflow 2.21.0), torch, jax.",
    ),
]
DTypeOption = Annotated[
    str | None, typer.Option("--dtype", help="Replace the spec's dtype, such as bfloat16.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=SIZE", help="Replace one of the dims.")
]
AllOption = Annotated[
    bool, typer.Option("--all", help="On a terminal, do not fold repeated tensors into a row.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Threads; all cores by default. No byte depends on it."),
]
IncludeOption = Annotated[
    list[str] | None, typer.Option("--include", help="Only names that match this glob.")
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option("--exclude", help="No names that match this glob.")
]
FansOption = Annotated[
    str | None,
    typer.Option("--fans", help="The rule for fans: exact, keras, keras-3.14, torch or jax."),
]
AxesOption = Annotated[
    str | None,
    typer.Option("--axes", help="One letter per axis: I input, O output, B batch, others field."),
]

FilePath = Annotated[
    str, typer.Argument(metavar="FILE", help="A weight file, or a folder of .npy or of shards.")
]
MaybeSpecPath = Annotated[
    str | None,
    typer.Argument(metavar="[SPEC]", help="The spec; the file's own provenance by default."),
]
AllStatusOption = Annotated[
    bool, typer.Option("--all", help="Show the tensors too that are as they should be.")
]
CompareOption = Annotated[
    str | None,
    typer.Option("--compare", metavar="NAMES", help="Set initializers side by side: a,b,c."),
]
BatchOption = Annotated[
    int | None,
    typer.Option("--batch", min=2, help="Push as many random examples through the layers."),
]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Replace what is there.")]
FalseAlarmOption = Annotated[
    float,
    typer.Option(
        "--false-alarm", help="With --statistics: the chance of any alarm on a good file."
    ),
]


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Turn a layer-shape spec into initialised neural-network weight files."""
    if version:
        from glorot_cli import __version__

        print(f"glorot {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        print(ctx.get_help(), file=sys.stderr)
        raise typer.Exit(Exit.MISTAKE)


@app.command()
def init(
    spec: SpecPath,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="The file: .safetensors, .weights.h5, .h5, .npy, or a folder/ of .npy.",
        ),
    ],
    seed: SeedOption = None,
    rng: RngOption = None,
    dtype: DTypeOption = None,
    set_: SetOption = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format", help="safetensors, keras, h5 or npy, whatever the output's name ends in."
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
    from glorot_cli import documents, report
    from glorot_cli.formats import choose_format
    from glorot_cli.weights import write_weights

    if output in ("", "-"):
        raise GlorotError("-o: expected a path; weights are not written to standard output")
    _choice("--format", format, ("safetensors", "keras", "h5", "npy"))
    plan = _planned(spec, seed, dtype, set_, rng)
    chosen = choose_format(output, format, sharded=max_shard_size is not None)
    if base is None and (only or resize):
        raise GlorotError("--only and --resize need --base, the file that the rest is kept from")
    if spec != "-" and os.path.realpath(output) == os.path.realpath(spec):
        raise GlorotError(f"-o: {output} is the spec itself")
    kept = None if base is None else _checkpoint(base, only, resize)
    for notice in plan.notices + (() if kept is None else kept.notices(plan)):
        _note(notice, quiet)
    with report.progress_bar(sum(t.nbytes for t in plan.tensors), not quiet) as progress:
        settings: dict[str, Any] = {
            "max_shard_size": max_shard_size,
            "config": config,
            "workers": workers,
            "force": force,
            "progress": progress,
        }
        if dask is not None:
            if max_shard_size is None or base or rank is not None or ranks or format:
                raise GlorotError(
                    "--dask writes shards: give --max-shard-size, and no base or rank"
                )
            from glorot_cli.cluster import write_on_cluster

            moments = write_on_cluster(dask, plan, output, **settings)
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
    if plan.seed_was_drawn:
        _note(f"seed {plan.seed} was drawn", quiet and chosen.holds_provenance)
    if json:
        documents.print_json(documents.init_document(plan, moments, output))
    elif not quiet:
        report.print_plan(plan, moments, fold=_folds(show_all))


@app.command()
def plan(
    spec: SpecPath,
    seed: SeedOption = None,
    rng: RngOption = None,
    dtype: DTypeOption = None,
    set_: SetOption = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    compare: CompareOption = None,
    batch: BatchOption = None,
    show_all: AllOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show every tensor of a spec, without drawing it."""
    from glorot_cli import documents, report

    made = _planned(spec, seed, dtype, set_, rng).selected(include or (), exclude or ())
    if not made.entries:
        raise GlorotError("no tensor's name matches --include and --exclude")
    for notice in made.notices:
        _note(notice, quiet)
    compared = None
    if compare is not None or batch is not None:
        from glorot_cli import contrast
        from glorot_cli.comparison import compare as compare_plan

        compared = compare_plan(made, _names(compare), batch)
    if json:
        document = documents.plan_document(made)
        if compared is not None:
            document["comparison"] = contrast.comparison_document(compared)
        documents.print_json(document)
    elif compared is not None and not quiet:
        contrast.print_comparison(compared)
    elif not quiet:
        report.print_plan(made, fold=_folds(show_all))


def _folds(show_all: bool) -> bool:
    return sys.stdout.isatty() and not show_all


def _planned(
    spec: str,
    seed: int | None = None,
    dtype: str | None = None,
    dims: Sequence[str] | None = None,
    rng: str | None = None,
) -> Any:
    from glorot_cli.dtypes import DTYPES
    from glorot_cli.plan import make_plan
    from glorot_cli.spec import load_spec
    from glorot_cli.streams import STREAMS

    if seed is not None and not 0 <= seed < 2**64:
        raise GlorotError(f"--seed: expected an integer from 0 to 2**64 - 1, found {seed}")
    overrides = {
        "seed": seed,
        "dtype": _choice("--dtype", dtype, DTYPES),
        "rng": _choice("--rng", rng, tuple(STREAMS)),
    }
    given = {key: value for key, value in overrides.items() if value is not None}
    return make_plan(load_spec(_readable(spec), given, dict(map(_dim, dims or ()))))


def _readable(spec: str) -> Any:
    """Make a spec of a weight file or a model's configuration; leave a spec's path as it is."""
    if not spec.endswith((".yaml", ".yml")) and spec != "-":
        from glorot_cli.derive import derive_spec, describes_weights

        if describes_weights(spec):
            derived = derive_spec(spec)
            derived.pop("seed", None)
            return derived
    return spec


def _ranks(said: str | None, rank: int | None, world_size: int | None) -> Any:
    from glorot_cli.ranks import checked_ranks, ranks_of_environment

    if said is not None:
        _choice("--ranks", said, ("auto",))
        if rank is not None or world_size is not None:
            raise GlorotError("--ranks auto takes no --rank and no --world-size")
        return ranks_of_environment(os.environ)
    if rank is None and world_size is None:
        return None
    if rank is None or world_size is None:
        raise GlorotError("--rank and --world-size go together")
    return checked_ranks(rank, world_size)


def _checkpoint(path: str, only: Sequence[str] | None, resize: Sequence[str] | None) -> Any:
    from glorot_cli.checkpoint import FILLINGS, Checkpoint

    filling = {}
    for text in resize or ():
        glob, _, how = text.rpartition("=")
        if not glob or how not in FILLINGS:
            raise GlorotError(f"--resize: expected GLOB={'|'.join(FILLINGS)}, found {shown(text)}")
        filling[glob] = how
    return Checkpoint.read(path, only or (), cast("Any", filling))


def _dim(text: str) -> tuple[str, int]:
    name, equals, size = text.partition("=")
    if not equals or not size.isascii() or not size.isdigit() or len(size) > 20:
        raise GlorotError(f"--set: expected a dim and a size such as d=1024, found {shown(text)}")
    return name, int(size)


@app.command()
def explain(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An initializer, or a tensor.")],
    spec: Annotated[
        str | None, typer.Option("--spec", help="The spec that has a tensor of that name.")
    ] = None,
    seed: SeedOption = None,
    set_: SetOption = None,
) -> None:
    """Explain an initializer, or with --spec how a tensor was decided."""
    from glorot_cli.explain import explain_initializer, explain_tensor

    print(
        explain_initializer(name)
        if spec is None
        else explain_tensor(_planned(spec, seed, dims=set_), name)
    )


@app.command()
def fans(
    shape: Annotated[str, typer.Argument(metavar="SHAPE", help="Sizes, such as 3,3,64,128.")],
    axes: AxesOption = None,
    rule: FansOption = None,
    fused: Annotated[
        int, typer.Option("--fused", min=1, help="Equal kernels side by side on the O axis.")
    ] = 1,
    json: JsonOption = False,
) -> None:
    """Show a kernel's fans and Glorot limit, without a spec."""
    from glorot_cli import documents
    from glorot_cli import fans as rules

    sizes = _sizes(shape)
    _choice("--fans", rule, FAN_RULES)
    chosen = cast(FanRule, rule or "exact")
    if axes is not None and chosen in ("torch", "jax", "keras-3.14"):
        raise GlorotError(f"--fans {chosen} reads the shape in its own order and takes no --axes")
    try:
        if axes is not None:
            rules.check_axes(axes, sizes, fused)
        elif fused > 1:
            raise GlorotError("--fused needs --axes")
        count = rules.count_fans(chosen, sizes, axes, fused)
    except ValueError as error:
        raise GlorotError(str(error)) from None
    limit = rules.glorot_limit(count)
    document = {
        "shape": list(sizes),
        "axes": axes,
        "rule": chosen,
        "fan_in": count.fan_in,
        "fan_out": count.fan_out,
        "limit": limit,
    }
    if json:
        documents.print_json(document)
    else:
        print(f"fan_in {count.fan_in}, fan_out {count.fan_out}, glorot limit {limit!r}")


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.strip("()[] ").split(",")
    if all(part.strip().isascii() and part.strip().isdigit() for part in parts) and len(text) < 400:
        sizes = tuple(int(part) for part in parts)
        if all(0 < size < 2**40 for size in sizes):
            return sizes
    raise GlorotError(f"expected positive sizes such as 3,3,64,128, found {shown(text)}")


@app.command()
def spec(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A weight file, or a Keras model's JSON or archive."),
    ],
    json: JsonOption = False,
) -> None:
    """Print a spec of what a file describes."""
    from glorot_cli import documents
    from glorot_cli.derive import comments, derive_spec, spec_text

    derived = derive_spec(file)
    if json:
        documents.print_json(derived)
    else:
        print(spec_text(derived, comments(derived)), end="")


@app.command()
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
    workers: WorkersOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show what weight files hold, whoever wrote them, and which laws it fits."""
    from glorot_cli import documents, report
    from glorot_cli.inspection import inspect_weights

    _choice("--fans", rule, FAN_RULES)
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


@app.command()
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
    from glorot_cli import documents, report, verdicts
    from glorot_cli.evidence import judge_weights
    from glorot_cli.verify import verify_weights

    if spec is None and (seed is not None or rng or dtype is not None or set_):
        raise GlorotError("--seed, --rng, --dtype and --set change a spec, and none is given")
    plan = None if spec is None else _planned(spec, seed, dtype, set_, rng)
    with report.progress_bar(_size(file), not quiet) as progress:
        found = (
            judge_weights(file, plan, false_alarm=false_alarm, workers=workers, progress=progress)
            if statistics
            else verify_weights(file, plan, workers=workers, progress=progress)
        )
    if json:
        documents.print_json(verdicts.document(found))
    elif not quiet:
        verdicts.print_verdict(found, show_all)
    if not found.equal:
        raise typer.Exit(Exit.DIFFERENT)


@app.command()
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
    from glorot_cli import documents, report, verdicts
    from glorot_cli.diff import diff_weights
    from glorot_cli.renames import parse_rename

    rules = [parse_rename(text) for text in renames or ()]
    with report.progress_bar(_size(file), not quiet) as progress:
        found = diff_weights(
            file, other, tolerance=tolerance, renames=rules, workers=workers, progress=progress
        )
    if json:
        documents.print_json(verdicts.document(found))
    elif not quiet:
        verdicts.print_verdict(found, show_all)
    if not found.equal:
        raise typer.Exit(Exit.DIFFERENT)


@app.command()
def plot(
    file: Annotated[str, typer.Argument(metavar="FILE|SPEC", help="A weight file, or a spec.")],
    output: Annotated[str, typer.Option("--output", "-o", help="The picture: .png, .svg or .pdf.")],
    gains: Annotated[
        bool, typer.Option("--gains", help="Draw the gains through the depth instead.")
    ] = False,
    compare: CompareOption = None,
    batch: BatchOption = None,
    seed: SeedOption = None,
    set_: SetOption = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    rule: FansOption = None,
    axes: AxesOption = None,
    force: ForceOption = False,
    workers: WorkersOption = None,
) -> None:
    """Draw each tensor's histogram with its law, or what a start does through the depth."""
    from glorot_cli.derive import describes_weights
    from glorot_cli.plot import check_output, plot_gains, plot_histograms
    from glorot_cli.portraits import portraits_of_file, portraits_of_plan

    check_output(output)
    _choice("--fans", rule, FAN_RULES)
    if not gains and (compare is not None or batch is not None):
        raise GlorotError("--compare and --batch are for --gains")
    holds_weights = describes_weights(file) and not file.endswith(".json")
    if gains:
        from glorot_cli.comparison import compare as compare_plan
        from glorot_cli.verify import plan_of_file

        made = plan_of_file(file) if holds_weights else _planned(file, seed, dims=set_)
        made = made.selected(include or (), exclude or ())
        plot_gains(compare_plan(made, _names(compare), batch), output, force=force)
        return
    if holds_weights:
        portraits = portraits_of_file(
            file,
            fans=cast("FanRule | None", rule),
            axes=axes,
            include=include or (),
            exclude=exclude or (),
            workers=workers,
        )
    else:
        made = _planned(file, seed, dims=set_).selected(include or (), exclude or ())
        portraits = portraits_of_plan(made)
    plot_histograms(portraits, output, force=force)


def _names(text: str | None) -> list[str]:
    return [name for name in (text or "").split(",") if name]


def _size(path: str) -> int:
    from pathlib import Path

    given = Path(path)
    files = given.rglob("*") if given.is_dir() else [given]
    return sum(each.stat().st_size for each in files if each.is_file())


@app.command()
def schema() -> None:
    """Print the JSON Schema of a spec, for editors."""
    from glorot_cli import documents
    from glorot_cli.spec.schema import spec_schema

    documents.print_json(spec_schema())
