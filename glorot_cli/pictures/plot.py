"""Pictures: each tensor's histogram with its distribution."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from glorot_cli.errors import FormatError, GlorotError, printable, shown, suggestion
from glorot_cli.formats.replacing import replacing
from glorot_cli.pictures.portraits import Portrait

_HINT = "pictures need matplotlib: pip install 'glorot[plot]'"
ENDINGS = ("png", "svg", "pdf")

# In grey these are light, dark and black; the lines are also of different styles.
FILL, CURVE, LIMIT = "#c9cdd2", "#0b4f8a", "#1a1a1a"
# Okabe and Ito's colours, in an order that alternates dark and light; markers tell them apart too.
LINES = (
    ("#000000", "o", "-"), ("#E69F00", "s", "--"), ("#0072B2", "^", "-."), ("#56B4E9", "D", ":"),
    ("#D55E00", "v", "-"), ("#009E73", "P", "--"), ("#CC79A7", "X", "-."),
)  # fmt: skip


class _Size(NamedTuple):
    """Say how large a panel is, in inches, and its text, in points; and whether axes have ticks."""

    width: float
    height: float
    title: float
    label: float
    ticks: bool
    letters: int


_SIZES = ((6, _Size(3.6, 2.5, 10, 8.5, True, 44)), (48, _Size(2.3, 1.7, 7.5, 6.5, True, 34)))
_SMALL = _Size(1.5, 1.15, 5.5, 5, False, 28)


def plot_histograms(
    portraits: Sequence[Portrait], path: str | os.PathLike[str], **how: Any
) -> None:
    """Draw a small histogram of each tensor, with its law's density and limits.

    `how` is as in `save`.

    Raises:
        FormatError: if the picture cannot be written.
    """
    if not portraits:
        raise GlorotError("there is nothing to draw: no tensor's elements differ from each other")
    size = next((each for most, each in _SIZES if len(portraits) <= most), _SMALL)
    columns = min(len(portraits), max(2, math.ceil(math.sqrt(len(portraits) * 0.9))))
    rows = -(-len(portraits) // columns)
    figure = figure_of(columns * size.width, rows * size.height + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    names = _told_apart([printable(portrait.name) for portrait in portraits])
    for panel, portrait, name in zip(panels, portraits, names, strict=False):
        _histogram(panel, portrait, name, size)
    for panel in panels[len(portraits) :]:
        panel.set_visible(False)
    _legend(figure, size)
    save(figure, path, **how)


def _histogram(panel: Any, portrait: Portrait, name: str, size: _Size) -> None:
    unit = _unit(max(abs(float(portrait.values[0])), abs(float(portrait.values[-1]))))
    values, limits = portrait.values / unit, portrait.limits
    if limits is not None:
        limits = limits[0] / unit, limits[1] / unit
    low, high = float(values[0]), float(values[-1])
    if limits is not None:
        low, high = min(low, limits[0]), max(high, limits[1])
    margin = 0.06 * (high - low)
    bins = min(40, max(8, round(math.sqrt(values.size)))) if size.ticks else 20
    counts, edges = np.histogram(values, bins=bins, range=(low, high), density=True)
    panel.stairs(counts, edges, fill=True, color=FILL, linewidth=0)
    # Both sides of each limit, so that the density stands upright there.
    edge = 1e-9 * (high - low)
    steps = [limit + side for limit in limits or () for side in (-edge, edge)]
    x = np.sort(np.concatenate((np.linspace(low - margin, high + margin, 241), steps)))
    top = float(counts.max())
    if portrait.law is not None:
        with np.errstate(all="ignore"):
            y = portrait.density(x * unit) * unit
        if np.isfinite(y).all():
            panel.plot(x, y, color=CURVE, linewidth=1.6 if size.ticks else 1.0)
            top = max(top, float(y.max()))
    for limit in limits or ():
        panel.axvline(
            limit, color=LIMIT, linewidth=1.0 if size.ticks else 0.7, linestyle=(0, (3, 2))
        )
    panel.set_xlim(low - margin, high + margin)
    panel.set_ylim(0.0, 1.12 * top)
    panel.set_yticks([])
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.set_title(shortened(name, size.letters), fontsize=size.title, pad=1.6 * size.label,
                    loc="left", parse_math=False)  # fmt: skip
    panel.text(0.0, 1.01, shortened(portrait.label, size.letters + 4), transform=panel.transAxes,
               fontsize=size.label, va="bottom", color="#444444")  # fmt: skip
    ticks = limits if limits is not None else (low, high)
    panel.set_xticks(list(ticks), [f"{tick * unit:.3g}" for tick in ticks])
    panel.tick_params(axis="x", labelsize=size.label, length=2.5, pad=1.5)
    # The two labels stay within their panel.
    for label, side in zip(panel.get_xticklabels(), ("left", "right"), strict=True):
        label.set_horizontalalignment(side)


def _unit(largest: float) -> float:
    """Return a power of two in whose units numbers that have no width or no share are drawn."""
    return 1.0 if 1e-100 < largest < 1e100 else math.ldexp(1.0, math.frexp(largest)[1] - 1)


def _told_apart(names: list[str]) -> list[str]:
    """Leave out what all of many names begin with."""
    if len(names) <= _SIZES[0][0]:
        return names
    first, last = min(names), max(names)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    start = max(first.rfind(mark, 0, same) for mark in "./") + 1
    return [name[start:] for name in names]


def shortened(text: str, letters: int) -> str:
    """Shorten a text in its middle: names begin with an index and end with what they are."""
    if len(text) <= letters:
        return text
    start = letters // 2
    return f"{text[:start]}\N{HORIZONTAL ELLIPSIS}{text[start + 1 - letters :]}"


def _legend(figure: Any, size: _Size) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(color=FILL, label="elements"),
        Line2D([], [], color=CURVE, linewidth=1.6, label="law's density"),
        Line2D([], [], color=LIMIT, linewidth=1.0, linestyle=(0, (3, 2)), label="limits"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False, fontsize=9)


def figure_of(width: float, height: float) -> Any:
    """Return an empty figure of a size in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise GlorotError(_HINT) from None
    return Figure(figsize=(width, height), layout="constrained")


@contextlib.contextmanager
def styled(name: str | None) -> Iterator[None]:
    """Draw in one of matplotlib's styles.

    Raises:
        GlorotError: if there is none of that name.
    """
    if name is None:
        yield
        return
    try:
        from matplotlib import style
    except ImportError:
        raise GlorotError(_HINT) from None
    if name not in style.available:
        raise GlorotError(
            f"--style: no style is named {shown(name)}; {suggestion(name, style.available)}"
        )
    with style.context(name):
        yield


def check_output(path: str) -> str:
    """Return the kind of picture that a path's ending asks for.

    Raises:
        FormatError: if it is none of ENDINGS.
    """
    ending = Path(path).suffix.removeprefix(".").lower()
    if ending not in ENDINGS:
        raise FormatError(
            f"{path}: expected a name that ends in .{', .'.join(ENDINGS)}, found "
            f"{shown(Path(path).name)}"
        )
    return ending


def save(figure: Any, path: str | os.PathLike[str], *, force: bool = False, dpi: int = 110) -> None:
    """Write a figure whose bytes depend on nothing but what it shows and matplotlib's version.

    Raises:
        FormatError: if the ending is no picture's, or the file is there already and not to be
            replaced.
    """
    from matplotlib import rc_context

    kind = check_output(os.fspath(path))
    nothing: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    settings: Any = {"svg.hashsalt": "glorot", "svg.fonttype": "none", "path.simplify": True}
    with (
        replacing(Path(path), 0, force=force, kind="file", sync=False) as temporary,
        rc_context(settings),
    ):
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=nothing[kind])
