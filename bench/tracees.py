"""What a stop costs when there are many tracees: processes, or threads of one.

All make calls at once, and begin together. What is measured is the wall time of all calls by their
number, which natively is less where there are more CPUs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from accel import Decision, Tracer
from accel.stops import SyscallEntryStop
from bench.figure import Figure, Panel
from bench.measure import Comparison, Contestant, Settings, Takes
from bench.spread import Spread
from bench.subjects import Library, Subject, Wrapper, strace
from bench.sweep import Place, Swept, key, sweep, under_settings
from bench.workloads import compiled, crowded

__all__ = ["run"]

_CALL: Final = "getpgid"
_COUNTS: Final = (1, 2, 4, 8, 16, 32, 64)
_QUICK_COUNTS: Final = (1, 8, 64)
_KINDS: Final = ("processes", "threads")
_NATIVE, _LOOP, _HANDLER, _STRACE = (
    "native",
    "accel's loop",
    "accel, Python",
    "strace --seccomp-bpf",
)


def run(name: str, settings: Settings) -> Comparison:
    """Compare the cost of one call at each number; raise Missing without a C compiler."""
    with compiled("crowd", "-pthread") as program:
        many = 100_000 if settings.quick else 1_000_000
        native = Contestant(Wrapper("native"), crowded(program, "processes", 1, many))
        places = list(_places(program, many, settings))
        comparison = sweep(name, native, places, settings)
    swept = Swept.of(comparison, places)
    text = sentences(swept)
    tables = [
        swept.table("tracees", series=[_named(kind, one) for one in _SERIES], scale="µs")
        for kind in _KINDS
    ]
    return replace(
        comparison,
        paragraphs=(*tables, f"{_CAPTION}\n\n{text}"),
        figures=(figure(swept, text),),
        tells_itself=True,
    )


_CAPTION: Final = (
    f"Microseconds of one {_CALL}(2), of all that the tracees make at once, left to the scheduler"
    " and to accel's own placement; one stop a call (strace: two, and a line written)."
)


def _named(kind: str, series: str) -> str:
    return f"{kind}: {series}"


def _places(program: str, many: int, settings: Settings) -> Iterator[Place]:
    for kind in _KINDS:
        for count in under_settings(settings, _COUNTS, _QUICK_COUNTS):
            for series in _SERIES:
                name = _named(kind, series)
                subject, takes = _subject(series, key(name, count))
                calls = many if series == _NATIVE else 1_280 if settings.quick else 6_400
                task = crowded(program, kind, int(count), calls)
                yield Place(name, count, Contestant(subject, task, takes=takes))


_SERIES: Final = (_NATIVE, _LOOP, _HANDLER, _STRACE)


def _subject(series: str, name: str) -> tuple[Subject, Takes | None]:
    """Make what runs a series, and tell what it promises to take for a call."""
    if series == _NATIVE:
        return Wrapper(name), None
    if series == _LOOP:
        return Library(
            name, lambda tracer: tracer.decide(_CALL, Decision.resume()), mask=_CALL
        ), Takes(1)
    if series == _HANDLER:
        return Library(name, _handle), Takes(1)
    return strace(name, _CALL, "--seccomp-bpf"), None


def _handle(tracer: Tracer) -> None:
    """Look at each call."""

    @tracer.on_entry(_CALL)
    def resume(_stop: SyscallEntryStop) -> Decision:
        return Decision.resume()


# ------------------------------------------------------------------------------- findings


def sentences(swept: Swept) -> str:
    """Say what many tracees cost, by what one costs."""
    told = []
    for kind in _KINDS:
        series = _named(kind, _LOOP)
        places = swept.places(series)
        if places:
            one, most = places[0], places[-1]
            ratio = Spread.of_ratios(swept.costs(series, most), swept.costs(series, one))
            told.append(f"{most:g} {kind} {ratio} times")
    if not told:
        return "No number of tracees could be measured."
    return f"By what a stop costs in accel's loop with a single tracee, with {' and '.join(told)}."


def figure(swept: Swept, caption: str) -> Figure:
    """Draw processes beside threads."""
    panels = []
    for kind in _KINDS:
        curves = [
            replace(swept.curve(_named(kind, one)), name=one)
            for one in _SERIES
            if swept.places(_named(kind, one))
        ]
        panels.append(
            Panel(
                kind,
                f"{kind} that make calls at once",
                "time of one call (µs)",
                tuple(curves),
                is_x_log=True,
                is_y_log=True,
                x_ticks=curves[0].x if curves else (),
            )
        )
    return Figure("tracees", "Many tracees, one tracer", tuple(panels), caption)
