"""What a figure shows, as values: they are kept with the measurements, and drawn from there."""

from __future__ import annotations

from dataclasses import dataclass

from bench.spread import Spread

__all__ = ["Bar", "Curve", "Dot", "Figure", "Mark", "Panel"]


@dataclass(frozen=True, slots=True)
class Curve:
    """What one series measured at several places."""

    name: str
    x: tuple[float, ...]
    y: tuple[Spread, ...]
    #: Of a pair that is told apart by its line: what it is compared with is dashed.
    is_dashed: bool = False
    #: Curves of one group have one colour; empty: a colour of its own.
    group: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """One measurement with a name."""

    name: str
    length: Spread
    group: str = ""


@dataclass(frozen=True, slots=True)
class Dot:
    """One measurement in a row that others share."""

    row: str
    series: str
    value: Spread


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on the x axis that is worth a word."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes: curves, or bars or dots along the x axis."""

    title: str
    x_label: str
    y_label: str = ""
    curves: tuple[Curve, ...] = ()
    bars: tuple[Bar, ...] = ()
    dots: tuple[Dot, ...] = ()
    marks: tuple[Mark, ...] = ()
    is_x_log: bool = False
    is_y_log: bool = False
    #: Where the x axis has its numbers, if they are not to be chosen.
    x_ticks: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """Panels side by side."""

    name: str
    title: str
    panels: tuple[Panel, ...]
    #: What is to be learnt from it, in Markdown.
    caption: str = ""
