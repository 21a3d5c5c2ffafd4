"""The command that makes pictures: plot."""

from __future__ import annotations

from typing import Annotated

import typer

from glorot_cli.cli.options import (
    AxesOption,
    BatchOption,
    CompareOption,
    ExcludeOption,
    FansOption,
    ForceOption,
    IncludeOption,
    MeasuredSeedsOption,
    SeedOption,
    SetOption,
    WorkersOption,
    choice,
    initializers,
)
from glorot_cli.cli.specs import planned
from glorot_cli.errors import GlorotError
from glorot_cli.fans import FAN_RULES


def plot(
    file: Annotated[str, typer.Argument(metavar="FILE|SPEC", help="A weight file, or a spec.")],
    output: Annotated[str, typer.Option("--output", "-o", help="The picture: .png, .svg or .pdf.")],
    gains: Annotated[
        bool, typer.Option("--gains", help="Draw what a start does through the depth instead.")
    ] = False,
    width: Annotated[
        str, typer.Option("--width", help="With --gains: of a paper's column, or its page.")
    ] = "page",
    style: Annotated[
        str | None, typer.Option("--style", help="One of matplotlib's styles, such as grayscale.")
    ] = None,
    compare: CompareOption = None,
    batch: BatchOption = None,
    seeds: MeasuredSeedsOption = 1,
    seed: SeedOption = None,
    set_: SetOption = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    rule: FansOption = None,
    axes: AxesOption = None,
    force: ForceOption = False,
    workers: WorkersOption = None,
) -> None:
    """Draw each tensor's histogram with its distribution, or what a start does by depth."""
    from glorot_cli.derive import describes_weights
    from glorot_cli.pictures.depth import WIDTHS, plot_effects
    from glorot_cli.pictures.plot import check_output, plot_histograms, styled
    from glorot_cli.pictures.portraits import portraits_of_file, portraits_of_plan

    check_output(output)
    fans = choice("--fans", rule, FAN_RULES)
    choice("--width", width, tuple(WIDTHS))
    if not gains and (compare is not None or batch is not None):
        raise GlorotError("--compare and --batch are for --gains")
    holds_weights = describes_weights(file) and not file.endswith(".json")
    if gains:
        from glorot_cli.checks.pairing import plan_of_file
        from glorot_cli.effects.comparison import compare as compare_plan

        made = plan_of_file(file) if holds_weights else planned(file, seed, dims=set_).plan
        made = made.selected(include or (), exclude or ())
        compared = compare_plan(made, initializers(compare), batch, seeds)
        with styled(style):
            plot_effects(compared, output, width=width, force=force)
        return
    if holds_weights:
        portraits = portraits_of_file(
            file,
            fans=fans,
            axes=axes,
            include=include or (),
            exclude=exclude or (),
            workers=workers,
        )
    else:
        made = planned(file, seed, dims=set_).plan.selected(include or (), exclude or ())
        portraits = portraits_of_plan(made)
    with styled(style):
        plot_histograms(portraits, output, force=force)
