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
    plan = _planned(spec, seed, dtype, set_)
    chosen = choose_format(output, format, sharded=max_shard_size is not None)
    if base is None and (only or resize):
        raise GlorotError("--only and --resize need --base, the file that the rest is kept from")
    if spec != "-" and os.path.realpath(output) == os.path.realpath(spec):
        raise GlorotError(f"-o: {output} is the spec itself")
    for notice in plan.notices:
        _note(notice, quiet)
    with report.progress_bar(sum(t.nbytes for t in plan.tensors), not quiet) as progress:
        moments = write_weights(
            plan,
            output,
            format=format,
            max_shard_size=max_shard_size,
            config=config,
            base=None if base is None else _checkpoint(base, only, resize),
            workers=workers,
            force=force,
            progress=progress,
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
    dtype: DTypeOption = None,
    set_: SetOption = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    show_all: AllOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show every tensor of a spec, without drawing it."""
    from glorot_cli import documents, report

    made = _planned(spec, seed, dtype, set_).selected(include or (), exclude or ())
    if not made.entries:
        raise GlorotError("no tensor's name matches --include and --exclude")
    for notice in made.notices:
        _note(notice, quiet)
    if json:
        documents.print_json(documents.plan_document(made))
    elif not quiet:
        report.print_plan(made, fold=_folds(show_all))


def _folds(show_all: bool) -> bool:
    return sys.stdout.isatty() and not show_all


def _planned(
    spec: str, seed: int | None = None, dtype: str | None = None, dims: Sequence[str] | None = None
) -> Any:
    from glorot_cli.dtypes import DTYPES
    from glorot_cli.plan import make_plan
    from glorot_cli.spec import load_spec

    if seed is not None and not 0 <= seed < 2**64:
        raise GlorotError(f"--seed: expected an integer from 0 to 2**64 - 1, found {seed}")
    overrides = {"seed": seed, "dtype": _choice("--dtype", dtype, DTYPES)}
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
    workers: WorkersOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show what weight files hold, whoever wrote them."""
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
    dtype: DTypeOption = None,
    set_: SetOption = None,
    statistics: Annotated[
        bool,
        typer.Option("--statistics", help="Test the spec's laws, on a file that others made."),
    ] = False,
    false_alarm: FalseAlarmOption = 1e-3,
    workers: WorkersOption = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show tensors that are right too.")
    ] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Redraw a weight file and compare every bit; exit with 1 if it is not as drawn."""
    from glorot_cli import documents, report, verdicts
    from glorot_cli.verify import verify_weights

    if spec is None and (seed is not None or dtype is not None or set_):
        raise GlorotError("--seed, --dtype and --set change a spec, and none is given")
    plan = None if spec is None else _planned(spec, seed, dtype, set_)
    with report.progress_bar(_size(file), not quiet) as progress:
        found = verify_weights(file, plan, workers=workers, progress=progress)
    if json:
        documents.print_json(verdicts.verify_document(found))
    elif not quiet:
        verdicts.print_verification(found, show_all)
    if not found.equal:
        raise typer.Exit(Exit.DIFFERENT)


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
