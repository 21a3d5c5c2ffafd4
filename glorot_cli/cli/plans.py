"""The commands that draw nothing: plan, explain, fans, spec, schema."""

from __future__ import annotations

from typing import Annotated

import typer

from glorot_cli.cli.options import (
    AllOption,
    AxesOption,
    BatchOption,
    CompareOption,
    DTypeOption,
    ExcludeOption,
    FamilyOption,
    FansOption,
    IncludeOption,
    InitOption,
    JsonOption,
    KeyOption,
    MeasuredSeedsOption,
    ModelOption,
    QuietOption,
    RngOption,
    SeedOption,
    SetOption,
    SpecPath,
    StartOption,
    StrictOption,
    TinyOption,
    choice,
    folds,
    initializers,
    note,
)
from glorot_cli.cli.specs import note_derived, planned, read_model, read_settings
from glorot_cli.errors import GlorotError, shown
from glorot_cli.fans import FAN_RULES


def plan(
    spec: SpecPath,
    seed: SeedOption = None,
    rng: RngOption = None,
    dtype: DTypeOption = None,
    set_: SetOption = None,
    family: FamilyOption = None,
    tiny: TinyOption = False,
    init: InitOption = None,
    start: StartOption = None,
    key: KeyOption = None,
    strict: StrictOption = False,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    compare: CompareOption = None,
    batch: BatchOption = None,
    seeds: MeasuredSeedsOption = 1,
    model: ModelOption = None,
    show_all: AllOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show every tensor of a spec, without drawing it."""
    from glorot_cli.report import documents
    from glorot_cli.report import tables as report

    found = planned(
        spec,
        seed,
        dtype,
        set_,
        rng,
        strict=strict,
        family=family,
        tiny=tiny,
        init=init,
        start=start,
        key=key,
    )
    made = found.plan.selected(include or (), exclude or ())
    if not made.entries:
        raise GlorotError("no tensor's name matches --include and --exclude")
    for notice in made.notices:
        note(notice, quiet)
    compared = None
    if (model is not None or seeds > 1) and batch is None:
        raise GlorotError("--model and --seeds are for --batch, which measures")
    if compare is not None or batch is not None:
        from glorot_cli.effects.comparison import compare as compare_plan
        from glorot_cli.report import contrast

        compared = compare_plan(made, initializers(compare), batch, seeds, model)
        for reason in compared.reasons:
            note(reason, quiet)
    if json:
        document = documents.plan_parts(made)
        if compared is not None:
            document["comparison"] = contrast.comparison_document(compared)
            document["compare"] = contrast.compare_document(compared)
        documents.print_json(document)
    elif compared is not None and not quiet:
        contrast.print_comparison(compared)
    elif not quiet:
        report.print_plan(made, fold=folds(show_all))
    note_derived(found.derived, found.plan, quiet)


def explain(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An initializer, or a tensor.")],
    spec: Annotated[
        str | None, typer.Option("--spec", help="The spec that has a tensor of that name.")
    ] = None,
    seed: SeedOption = None,
    set_: SetOption = None,
) -> None:
    """Explain an initializer, or with --spec how a tensor was decided."""
    from glorot_cli.report.explain import explain_initializer, explain_tensor

    print(
        explain_initializer(name)
        if spec is None
        else explain_tensor(planned(spec, seed, dims=set_).plan, name)
    )


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
    from glorot_cli import fans as rules
    from glorot_cli.report import documents

    sizes = _sizes(shape)
    chosen = choice("--fans", rule, FAN_RULES) or "exact"
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


def spec(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A config.json, a weight file, or a Keras model's JSON or archive.",
        ),
    ],
    dtype: DTypeOption = None,
    set_: SetOption = None,
    family: FamilyOption = None,
    tiny: TinyOption = False,
    key: KeyOption = None,
    start: StartOption = None,
    json: JsonOption = False,
) -> None:
    """Print a spec of what a file describes."""
    from glorot_cli.derive import Derived, comments, derive, spec_text
    from glorot_cli.derive.guesses import guess_line, notes_of
    from glorot_cli.dtypes import DTYPES
    from glorot_cli.report import documents

    choice("--dtype", dtype, DTYPES)
    model = None
    if key is None:
        model = read_model(file, read_settings(set_), dtype, family, tiny=tiny, start=start)
    if model is None:
        if dtype is not None or set_:
            raise GlorotError("--dtype and --set change a config.json; here, edit the spec")
        found = derive(file, start, key=key)
    else:
        found = model.derived or Derived(dict(model.spec))
    for text in notes_of(found):
        note(text, quiet=False)
    line = guess_line(found, found.guesses)
    if line is not None:
        note(line, quiet=False)
    if json:
        documents.print_json(found.spec)
    else:
        print(spec_text(found.spec, comments(found)), end="")


def schema() -> None:
    """Print the JSON Schema of a spec, for editors."""
    from glorot_cli.report import documents
    from glorot_cli.spec.schema import spec_schema

    documents.print_json(spec_schema())
