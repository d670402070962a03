"""Draw a figure with matplotlib: as SVG, or as what else the file's name ends in."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.figure import Bar, Curve, Dot, Figure, Panel
from bench.measure import Missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["can_draw", "draw"]

#: Okabe and Ito's colours, which also those tell apart who see fewer.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_WIDTH, _HEIGHT, _BAR_HEIGHT = 5.2, 4.2, 0.27
_LEGEND_COLUMNS: Final = 3
_STYLE: Final[Mapping[str, Any]] = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "legend.frameon": False,
    # Text stays text, and equal figures are equal files.
    "svg.fonttype": "none",
    "svg.hashsalt": "accel",
}


def can_draw() -> bool:
    """Look for matplotlib; do not import it."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(figure: Figure, path: Path) -> None:
    """Write ``figure`` to a file; raise Missing without matplotlib, ValueError for its suffix."""
    if not can_draw():
        raise Missing("figures need matplotlib: pip install 'syscall-accel[plot]'")
    import matplotlib as mpl  # noqa: PLC0415 - big, and not always installed
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415 - as above

    style: Any = dict(_STYLE)
    with mpl.rc_context(style):
        colours = dict(zip(_groups(figure), _COLOURS * 3, strict=False))
        height = max(_HEIGHT, *(1.6 + _BAR_HEIGHT * len(panel.bars) for panel in figure.panels))
        size = (_WIDTH * max(len(figure.panels), 1.6), height)
        canvas = Canvas(figsize=size, dpi=110, layout="constrained")
        canvas.suptitle(figure.title, fontsize=12)
        every = canvas.subplots(1, len(figure.panels), squeeze=False)[0]
        for axes, panel in zip(every, figure.panels, strict=True):
            _draw_panel(axes, panel, colours)
        _draw_legend(canvas, every)
        canvas.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _groups(figure: Figure) -> Iterator[str]:
    """Name what has a colour of its own, each once."""
    named: dict[str, None] = {}
    for panel in figure.panels:
        named |= dict.fromkeys(curve.group or curve.name for curve in panel.curves)
        named |= dict.fromkeys(dot.series for dot in panel.dots)
        named |= dict.fromkeys(bar.group or bar.name for bar in panel.bars)
    yield from named


def _draw_panel(axes: Axes, panel: Panel, colours: Mapping[str, str]) -> None:
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    curves = [curve for curve in panel.curves if curve.x]
    if not (curves or panel.bars or panel.dots):
        # No logarithmic axis is to be had of nothing.
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center")
        return
    axes.set_axisbelow(True)
    axes.grid(visible=True, axis="both" if curves else "x", color="#dddddd", linewidth=0.6)
    for curve in curves:
        _draw_curve(axes, curve, colours[curve.group or curve.name])
    if panel.bars:
        _draw_bars(axes, panel.bars, colours)
    if panel.dots:
        _draw_dots(axes, panel.dots, colours)
    _set_scales(axes, panel)
    for number, mark in enumerate(panel.marks):
        axes.axvline(mark.x, color="#888888", linewidth=0.8, linestyle=":")
        # Marks may be near each other: their words are one above the other.
        axes.annotate(
            mark.text, (mark.x, 0.02 + number / 3), xycoords=("data", "axes fraction"),
            xytext=(-3, 0), textcoords="offset points", rotation=90, ha="right", color="#555555",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )  # fmt: skip


def _set_scales(axes: Axes, panel: Panel) -> None:
    if panel.is_x_log:
        axes.set_xscale("log")
    if panel.is_y_log:
        axes.set_yscale("log")
        _write_plainly(axes, "y")
    elif panel.curves:
        axes.set_ylim(bottom=0)
    if panel.x_ticks:
        axes.set_xticks(panel.x_ticks, [f"{tick:g}" for tick in panel.x_ticks], minor=False)
        axes.minorticks_off()
    elif panel.is_x_log:
        _write_plainly(axes, "x")


def _draw_curve(axes: Axes, curve: Curve, colour: str) -> None:
    style = "--" if curve.is_dashed else "-"
    middle = [spread.median for spread in curve.y]
    axes.plot(
        curve.x, middle, style, color=colour, marker="o", markersize=3.5, label=curve.name,
        linewidth=1.5,
    )  # fmt: skip
    low, high = [spread.low for spread in curve.y], [spread.high for spread in curve.y]
    axes.fill_between(curve.x, low, high, color=colour, alpha=0.15, linewidth=0)


def _draw_bars(axes: Axes, bars: tuple[Bar, ...], colours: Mapping[str, str]) -> None:
    """Draw the first bar at the top, each with its length in numbers."""
    places = range(len(bars))
    lengths = [bar.length.median for bar in bars]
    errors = [
        [bar.length.median - bar.length.low for bar in bars],
        [bar.length.high - bar.length.median for bar in bars],
    ]
    axes.barh(
        places, lengths, xerr=errors, height=0.7, error_kw={"elinewidth": 0.8, "capsize": 2},
        color=[colours[bar.group or bar.name] for bar in bars],
    )  # fmt: skip
    axes.set_yticks(places, [bar.name for bar in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.margins(x=0.12)
    for group in dict.fromkeys(bar.group for bar in bars if bar.group):
        axes.plot([], [], "s", markersize=8, color=colours[group], label=group)
    for place, bar in zip(places, bars, strict=True):
        axes.annotate(
            f"{bar.length.median:.3g}", (bar.length.high, place), xytext=(5, 0),
            textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip


def _draw_dots(axes: Axes, dots: tuple[Dot, ...], colours: Mapping[str, str]) -> None:
    """Draw the first row at the top, and the dots of a row next to each other."""
    rows = list(dict.fromkeys(dot.row for dot in dots))
    for series in dict.fromkeys(dot.series for dot in dots):
        shown = [dot for dot in dots if dot.series == series]
        middle = [dot.value.median for dot in shown]
        errors = [
            [dot.value.median - dot.value.low for dot in shown],
            [dot.value.high - dot.value.median for dot in shown],
        ]
        axes.errorbar(
            middle, [rows.index(dot.row) for dot in shown], xerr=errors, fmt="o", markersize=6,
            elinewidth=0.8, color=colours[series], label=series, alpha=0.9,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)


def _write_plainly(axes: Axes, which: str) -> None:
    """Write 0.1, 1 and 10 rather than powers of ten."""
    from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: PLC0415 - as above

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _draw_legend(canvas: Any, every: Any) -> None:
    """Name each curve once, below all panels."""
    handles: dict[str, Any] = {}
    for axes in every:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        canvas.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=_LEGEND_COLUMNS
        )
