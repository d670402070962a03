"""A comparison as a figure for a talk: stops and time side by side, a bar for each subject.

matplotlib draws it: an extra, imported only here. Both scales are logarithmic where values differ
by more than a bar can show; a zero then has its number and no bar.
"""

from __future__ import annotations

import html
import importlib.util
import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from accel.compare.comparison import Comparison
from accel.compare.rows import Row, Spread
from accel.compare.tables import seconds, table
from accel.errors import AccelError, SetupError
from bpf.value import frozen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Bar", "bars", "check_figure", "write_figure"]

_FORMATS: Final = ("png", "svg", "html")
_EXTRA: Final = "type: pip install 'syscall-accel[plot]'"
#: From which ratio on small values would be invisible.
_LOG_FROM: Final = 20
_TITLE_LENGTH: Final = 84
_HEADLINE_LENGTH: Final = 1000
#: Okabe and Ito's, which most colour-blind people can tell apart.
_COLOURS: Final = {
    "native": "#9a9a9a",
    "naive": "#d55e00",
    "accel": "#0072b2",
    "accel, in the kernel": "#009e73",
    "others": "#e0a030",
}
_LEGEND: Final = {
    "native": "native (dotted: its time)",
    "naive": "naive: two stops for every call",
    "others": "other tracers (time with their start)",
}


@frozen
class Bar:
    """What is drawn of one subject."""

    label: str
    #: Its colour: a key of the legend.
    group: str
    #: Stops and notifications; None where nobody counted.
    events: int | None
    #: In seconds.
    time: Spread


def bars(comparison: Comparison) -> list[Bar]:
    """Choose what is drawn, from the top down."""
    return [
        Bar(
            _label(row),
            _group(row),
            # Without a tracer there is nothing to count.
            row.events or 0 if row.mechanism == "native" else row.events,
            row.wall_seconds,
        )
        for row in comparison.rows
    ]


def check_figure(path: str) -> None:
    """Raise SetupError if no figure could be written to ``path`` at the end; write nothing."""
    if _format(path) not in _FORMATS:
        endings = ", ".join(f".{one}" for one in _FORMATS)
        raise SetupError(f"--plot {path}: not known by its ending", hint=f"use one of {endings}")
    if importlib.util.find_spec("matplotlib") is None:
        raise SetupError("--plot needs matplotlib, which is not installed", hint=_EXTRA)
    directory = os.path.dirname(path) or "."
    is_writable = os.access(path if os.path.exists(path) else directory, os.W_OK)
    if os.path.isdir(path) or not os.path.isdir(directory) or not is_writable:
        raise SetupError(f"--plot {path}: it cannot be written", hint="name another file")


def write_figure(comparison: Comparison, path: str) -> None:
    """Draw, and write what the ending of ``path`` says: .png, .svg, or .html, which needs no file.

    Raise AccelError if it cannot be written. Cost: matplotlib takes half a second to import.
    """
    figure = _drawn(comparison)
    kind = _format(path)
    buffer = io.BytesIO()
    _save(figure, buffer, kind)
    content = buffer.getvalue()
    if kind == "html":
        content = _page(comparison, content.decode("utf-8")).encode("utf-8")
    try:
        with open(path, "wb") as file:
            file.write(content)
    except OSError as error:
        raise AccelError(f"cannot write {path}: {error.strerror}") from error


def _save(figure: Figure, buffer: io.BytesIO, kind: str) -> None:
    """Save without dates and random ids: figures of the same values are the same."""
    from matplotlib import rc_context  # noqa: PLC0415 - an extra, and slow to import

    # Text stays text: it can be searched, and needs no outlines.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "accel", "text.parse_math": False}):
        if kind == "png":
            figure.savefig(buffer, format="png", metadata={"Software": None})
        else:
            figure.savefig(buffer, format="svg", metadata={"Date": None})


def _format(path: str) -> str:
    return os.path.splitext(path)[1].lower().lstrip(".")


def _label(row: Row) -> str:
    return "native" if row.mechanism == "native" else row.name


def _group(row: Row) -> str:
    if row.mechanism == "native":
        return "native"
    if row.stops is None:
        return "others"
    if row.naive is not None and row.mechanism == "ptrace-syscall":
        return "naive"
    return "accel, in the kernel" if row.tier == "kernel" else "accel"


# ------------------------------------------------------------------------------- drawing


@frozen
class _Panel:
    """One kind of values: bars from the top down, each with its text, some with a spread."""

    title: str
    #: How a number stands on the axis.
    tick: Callable[[float], str]
    values: tuple[float | None, ...]
    texts: tuple[str, ...]
    spreads: tuple[Spread, ...] = ()

    @property
    def ends(self) -> list[float]:
        """Where each bar ends, with its spread."""
        highs = [spread.high for spread in self.spreads] or [value or 0 for value in self.values]
        return [max(value or 0, high) for value, high in zip(self.values, highs, strict=True)]


def _drawn(comparison: Comparison) -> Figure:
    from matplotlib import rc_context  # noqa: PLC0415 - an extra, and slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    drawn = bars(comparison)
    times = tuple(bar.time for bar in drawn)
    stops = tuple(bar.events for bar in drawn)
    panels = (
        _Panel("kernel stops in one run", _whole, stops, tuple(map(_number, stops))),
        _Panel("time", _round_time, tuple(time.median for time in times),
               tuple(seconds(time.median) for time in times), times),
    )  # fmt: skip
    # No dollar in a command begins a formula.
    with rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(12, 1.9 + 0.4 * len(drawn)), dpi=150, layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, panel in zip((left, right), panels, strict=True):
            _draw(axes, panel, [_COLOURS[bar.group] for bar in drawn])
        right.axvline(times[0].median, color=_COLOURS["native"], linestyle=":", zorder=0.5)
        left.set_yticks(range(len(drawn)), [bar.label for bar in drawn])
        left.set_ylim(len(drawn) - 0.4, -0.6)
        figure.suptitle(_title(comparison), x=0.01, ha="left", fontsize=11)
        _legend(figure, {bar.group for bar in drawn})
    return figure


def _draw(axes: Axes, panel: _Panel, colours: list[str]) -> None:
    """Draw one panel; the scale is logarithmic if that shows more."""
    known = [value for value in panel.values if value]
    title = panel.title
    if known and max(panel.ends) > _LOG_FROM * min(known):
        title += " (log scale)"
        axes.set_xscale("log")
        # Less than the least, so that this one has a bar, too; and room for a number.
        axes.set_xlim(min(known) / 2, max(panel.ends) * (max(panel.ends) / min(known)) ** 0.25)
    else:
        axes.set_xlim(0, 1.25 * max(panel.ends, default=1.0) or 1.0)
    start = axes.get_xlim()[0]
    places = range(len(colours))
    axes.barh(places, [value or 0 for value in panel.values], color=colours, height=0.68)
    for place, spread in zip(places, panel.spreads, strict=False):
        axes.plot([spread.low, spread.high], [place, place], color="#222222", linewidth=1.2)
    for place, end, text in zip(places, panel.ends, panel.texts, strict=True):
        axes.annotate(
            text, (max(end, start), place), xytext=(5, 0), textcoords="offset points",
            va="center", fontsize=9,
        )  # fmt: skip
    axes.xaxis.set_major_formatter(lambda value, _at: panel.tick(value))
    axes.xaxis.set_minor_formatter(lambda _value, _at: "")
    axes.set_title(title, fontsize=10, loc="left")
    axes.tick_params(left=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _whole(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else ""


def _round_time(value: float) -> str:
    unit, factor = ("s", 1.0) if value >= 1 or value == 0 else ("ms", 1e3)
    return f"{value * factor:g} {unit}"


def _number(value: int | None) -> str:
    return "not counted" if value is None else f"{value:,}"


def _legend(figure: Figure, groups: set[str]) -> None:
    from matplotlib.patches import Patch  # noqa: PLC0415

    handles = [
        Patch(color=colour, label=_LEGEND.get(group, group))
        for group, colour in _COLOURS.items()
        if group in groups
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False)


def _title(comparison: Comparison) -> str:
    command = comparison.shown_command(_TITLE_LENGTH)
    calls = comparison.rows[0].syscalls
    made = f"{calls:,} system calls, " if calls is not None else ""
    runs = f"median and range of {comparison.runs} runs" if comparison.runs > 1 else "one run"
    return f"{command}\n{made}traced: {comparison.calls}; {runs}, Linux {comparison.kernel}"


# ------------------------------------------------------------------------------- a page


def _page(comparison: Comparison, svg: str) -> str:
    """Put figure and table into a page that needs no other file."""
    title = html.escape(f"accel compare: {comparison.shown_command(_HEADLINE_LENGTH)}")
    style = "body{font-family:sans-serif;margin:2em} svg{max-width:100%} pre{overflow:auto}"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}</style></head>\n<body>\n<h1>{title}</h1>\n"
        f"{svg[svg.index('<svg') :]}\n<pre>{html.escape(table(comparison))}</pre>\n"
        "</body>\n</html>\n"
    )
