"""The report of ``python -m bench all``: what was learnt first, then figures and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bench.figure import Figure
from bench.measure import Comparison
from bench.programs_figure import PROGRAMS, programs_figure
from bench.report import findings, preface, start_up, tables
from bench.results import Results

__all__ = ["as_document", "figures_of"]

#: {heading: its workloads}; what is in none of them comes last.
_SECTIONS: Final[Mapping[str, Sequence[str]]] = {
    "Where a filter stops paying": ("mask-sweep",),
    "What each combination of START, CALL and EXIT costs": (
        "combinations-getppid", "combinations-notified", "combinations-virtual",
    ),
    "Who answers a stop": ("handlers", "memory"),
    "Notifications instead of stops": ("notify-skip", "notify-continue", "notify-threads"),
    "What a filter costs by its size": ("filter-sweep",),
    "Many tracees": ("tracees",),
    "Real programs": PROGRAMS,
}  # fmt: skip
_HOW: Final = (
    "All of it: `python -m bench all`; a part alone: `python -m bench mask-sweep`; this report"
    " anew, from what was measured: `python -m bench report`."
)
_OTHERS: Final = "One call, start-up and parallel programs"


def figures_of(results: Results) -> tuple[Figure, ...]:
    """List the figures of all comparisons, and those that need several."""
    figures = [one for comparison in results.comparisons for one in comparison.figures]
    programs = programs_figure(results.comparisons)
    return (*figures, programs) if programs else tuple(figures)


def as_document(results: Results, links: Mapping[str, str]) -> str:
    """Write the report in Markdown; ``links`` are those of the figures that were drawn, by name."""
    figures = figures_of(results)
    paragraphs = ["# What it costs to trace system calls", preface(results), _HOW]
    captions = [f"- {figure.caption}" for figure in figures if figure.caption]
    if captions:
        paragraphs += ["## In short", "\n".join(captions)]
    listed = {name for names in _SECTIONS.values() for name in names}
    others = [one.workload for one in results.comparisons if one.workload not in listed]
    for heading, names in (*_SECTIONS.items(), (_OTHERS, others)):
        shown = [one for one in results.comparisons if one.workload in names]
        if shown:
            paragraphs += [f"## {heading}", *_pictures(figures, shown, links), *tables(shown)]
            paragraphs += start_up(shown)
    paragraphs += ["## What was checked", findings(results)]
    return "\n\n".join(paragraphs) + "\n"


def _pictures(
    figures: Sequence[Figure], shown: Sequence[Comparison], links: Mapping[str, str]
) -> Iterator[str]:
    own = {figure.name for comparison in shown for figure in comparison.figures}
    if any(comparison.workload in PROGRAMS for comparison in shown):
        own.add("programs")
    for figure in figures:
        if figure.name in own and figure.name in links:
            yield f"![{figure.title}]({links[figure.name]})"
