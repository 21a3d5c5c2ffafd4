"""Pictures of what starts do through the depth: theory as lines, measurement as points."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from glorot_cli.effects.comparison import Comparison, Effect
from glorot_cli.errors import GlorotError, printable
from glorot_cli.pictures.plot import LINES, figure_of, save, shortened

# The widths of a column and of a page of a paper, in inches.
WIDTHS = {"column": 3.3, "page": 6.9}
_MOST_LABELS = 24


def plot_effects(
    found: Comparison, path: str | os.PathLike[str], *, width: str = "page", **how: Any
) -> None:
    """Draw the spread of activations and gradients by layer under each start.

    `width` is one of WIDTHS, `how` is as in `save`.

    Raises:
        FormatError: if the picture cannot be written.
        GlorotError: if the spec does not say how its tensors are joined.
    """
    effects = [effect for effect in found.effects if effect.theory.layers]
    if not effects:
        raise GlorotError(found.reasons[0] if found.reasons else "the theory covers no layer")
    is_column = width == "column"
    figure = figure_of(WIDTHS[width], 4.6 if is_column else 3.0)
    panels = figure.subplots(2, 1, sharex=True) if is_column else figure.subplots(1, 2)
    for panel, what in zip(panels, ("activation", "gradient"), strict=True):
        for index, effect in enumerate(effects):
            _curve(panel, effect, found.layers, index, what)
        _finish(panel, f"std of {what}s", found.layers,
                labelled=not (is_column and what == "activation"))  # fmt: skip
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=2 if is_column else len(names),
                  frameon=False, fontsize=7)  # fmt: skip
    figure.supxlabel(_caption(found), fontsize=6.5, x=0.01, ha="left")
    save(figure, path, **how)


def _curve(panel: Any, effect: Effect, names: Sequence[str], index: int, what: str) -> None:
    colour, marker, style = LINES[index % len(LINES)]
    layers = [effect.by_name.get(name) for name in names]
    places = range(len(names))
    line = [_root(None if x is None else getattr(x, f"{what}_square")) for x in layers]
    panel.plot(places, line, color=colour, linestyle=style, linewidth=1.3,
               label=effect.initializer)  # fmt: skip
    if effect.measured is None:
        panel.plot(places, line, color=colour, marker=marker, linestyle="none", markersize=3.0,
                   markevery=max(1, len(line) // 12))  # fmt: skip
        return
    points = [None if x is None else effect.measured.get(x.label) for x in layers]
    pairs = [
        (math.nan, math.nan) if at is None
        else (getattr(at, f"{what}_square"), 2.0 * getattr(at, f"{what}_error"))
        for at in points
    ]  # fmt: skip
    panel.fill_between(places, [_root(s - e) for s, e in pairs], [_root(s + e) for s, e in pairs],
                       color=colour, alpha=0.2, linewidth=0)  # fmt: skip
    panel.plot(places, [_root(s) for s, _ in pairs], color=colour, marker=marker,
               linestyle="none", markersize=3.2)  # fmt: skip


def _root(square: float | None) -> float:
    """Return the root of what a logarithmic axis can show, else what leaves a gap."""
    if square is None or not 0.0 < square < math.inf:
        return math.nan
    return math.sqrt(square)


def _finish(panel: Any, title: str, names: Sequence[str], *, labelled: bool) -> None:
    panel.set_yscale("log")
    panel.set_title(title, fontsize=8, loc="left")
    panel.tick_params(labelsize=6.5)
    panel.spines[["top", "right"]].set_visible(False)
    every = max(1, math.ceil(len(names) / _MOST_LABELS))
    places = list(range(0, len(names), every))
    labels = [shortened(printable(names[place]), 18) for place in places] if labelled else []
    panel.set_xticks(places, labels or [""] * len(places), rotation=60, ha="right",
                     rotation_mode="anchor", parse_math=False, fontsize=6)  # fmt: skip


def _caption(found: Comparison) -> str:
    text = f"lines: theory in the wide limit; {len(found.layers)} layers"
    if found.batch is None:
        return text
    seeds = "1 seed" if found.seeds == 1 else f"{found.seeds} seeds"
    return f"{text}; points: measured, n = {found.batch}, {seeds}, band: 2 standard errors"
