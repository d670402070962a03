"""What a filter costs by its size: the calls it selects, on what conditions, how often stacked.

The kernel remembers which calls a filter always allows, whatever their arguments, and runs no
filter at those. So there are three kinds of calls: those that are not selected, those that are, and
those whose selection depends on an argument. What a selected call costs is seen best where the
filter also answers it: a stop, which is measured as well, is a hundred times as dear.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from accel import Decision, Tracer, arg
from accel.abi import Abi
from bench.circumstances import Placed
from bench.combinations import placed
from bench.figure import Curve, Figure, Panel
from bench.measure import Comparison, Contestant, Settings, Takes
from bench.spread import Spread
from bench.subjects import SIGN, Task, Wrapper
from bench.sweep import Place, Swept, key, sweep, under_settings
from bench.workloads import compiled, mixed

__all__ = ["calls_besides", "run"]

_CALL: Final = "getpgid"
_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 370)
_HEIGHTS: Final = (1, 2, 4, 8, 16)
_QUICK_SIZES: Final = (1, 20, 370)
_QUICK_HEIGHTS: Final = (1, 16)
#: How many calls each filter of a stack selects.
_STACKED_SIZE: Final = 50
#: What no call has as its first argument: conditions are judged, and do not hold.
_NEVER: Final = 0x7123
_ANSWER: Final = Decision.nullify(SIGN)
_STACK: Final = "stack: "


@dataclass(frozen=True, slots=True)
class _Series:
    """What a filter does with the measured call, and what it does with others."""

    name: str
    stops: int = 0
    answers: bool = False
    #: Whether the measured call is among those that the filter names.
    is_named: bool = True
    has_conditions: bool = False

    def mask(self, others: str) -> str | None:
        """Name what is observed."""
        if self.has_conditions:
            return None
        return ",".join(filter(None, (others, _CALL if self.stops else ""))) or None

    def configure(self, others: str) -> Callable[[Tracer], None]:
        """Make the rules."""

        def configure(tracer: Tracer) -> None:
            if self.answers:
                where = arg[0] == 0 if self.has_conditions else None
                tracer.decide(_CALL, _ANSWER, where=where)
            if self.has_conditions:
                named = others if self.answers else f"{_CALL},{others}".rstrip(",")
                if named:
                    tracer.decide(named, _ANSWER, where=arg[0] == _NEVER)

        return configure


_UNSELECTED: Final = _Series("not selected", is_named=False)
_ANSWERED: Final = _Series("answered by the filter", answers=True)
_STOPPED: Final = _Series("1 stop", stops=1)
_LET_GO: Final = _Series("not selected, by its argument", has_conditions=True)
_CHOSEN: Final = _Series("answered, by its argument", answers=True, has_conditions=True)
_OF_SIZES: Final = (_UNSELECTED, _LET_GO, _ANSWERED, _CHOSEN, _STOPPED)
_OF_STACKS: Final = (_UNSELECTED, _ANSWERED, _STOPPED)


def run(name: str, settings: Settings) -> Comparison:
    """Compare the cost of one call under each filter; raise Missing without a C compiler."""
    with (
        compiled("mixed_calls") as program,
        compiled("stacked") as stacked,
        tempfile.TemporaryDirectory(prefix="accel-bench-") as directory,
    ):
        many = mixed(program, _CALL, 100, 50_000 if settings.quick else 250_000)
        few = mixed(program, _CALL, 100, 500 if settings.quick else 5_000)
        places = list(_by_size(many, few, settings))
        places += _by_height(many, few, settings, stacked, Path(directory))
        native = Contestant(Placed(Wrapper("native"), "same-cpu"), many)
        comparison = sweep(name, native, places, settings)
    swept = Swept.of(comparison, places)
    text = sentences(swept)
    sizes, heights = ([one for one in swept.series if _is_stack(one) is is_stack]
                      for is_stack in (False, True))  # fmt: skip
    return replace(
        comparison,
        paragraphs=(
            f"{swept.table('calls in the filter', series=sizes, scale='ns')}\n\n{_SIZES_CAPTION}",
            f"{swept.table('filters', series=heights, scale='ns')}\n\n{_STACKS_CAPTION}",
            text,
        ),
        figures=(figure(swept, text),),
        tells_itself=True,
    )


_SIZES_CAPTION: Final = (
    f"Nanoseconds of one {_CALL}(2) by the number of calls that the filter names; tracer and tracee"
    " on one CPU. *by its argument*: each call of the filter is selected by a condition on its"
    " first argument."
)
_STACKS_CAPTION: Final = (
    f"The same under a stack of equal filters, each of which names {_STACKED_SIZE} calls."
)


def _is_stack(series: str) -> bool:
    return series.startswith(_STACK)


def calls_besides(size: int) -> str:
    """Name ``size`` calls other than the measured one, from all over the table."""
    names = [name for _, name in sorted(Abi.X86_64.names.items()) if name != _CALL]
    return ",".join(names[place * len(names) // size] for place in range(size))


def _by_size(many: Task, few: Task, settings: Settings) -> Iterator[Place]:
    for size in under_settings(settings, _SIZES, _QUICK_SIZES):
        for series in _OF_SIZES:
            others = calls_besides(int(size) - series.is_named)
            task = few if series.stops else many
            yield _place(series, series.name, size, others, task)


def _by_height(
    many: Task, few: Task, settings: Settings, stacked: str, directory: Path
) -> Iterator[Place]:
    """Add equal filters to that of the tracer."""
    for series in _OF_STACKS:
        others = calls_besides(_STACKED_SIZE - series.is_named)
        tracer = Tracer(["true"], mask=series.mask(others), mechanism="seccomp-trace")
        series.configure(others)(tracer)
        file = directory / f"{series.name}.filter"
        file.write_bytes(bytes(tracer.program))
        for height in under_settings(settings, _HEIGHTS, _QUICK_HEIGHTS):
            task = few if series.stops else many
            more = (stacked, str(int(height) - 1), str(file))
            task = replace(task, argv=(*more, *task.argv))
            yield _place(series, _STACK + series.name, height, others, task)


def _place(series: _Series, name: str, at: float, others: str, task: Task) -> Place:
    subject = placed(key(name, at), "seccomp-trace", series.configure(others), series.mask(others))
    contestant = Contestant(
        subject, task, takes=Takes(series.stops, is_seen=series.stops > 0), answers=series.answers
    )
    return Place(name, at, contestant)


# ------------------------------------------------------------------------------- findings


def sentences(swept: Swept) -> str:
    """Say what size and height add to a call, from what was measured."""
    if any(not swept.places(series) for series in swept.series):
        return "Not every filter could be measured."
    small, large = (edge(swept.places(_UNSELECTED.name)) for edge in (min, max))

    def at(series: _Series, size: float) -> str:
        return f"{swept.told(series.name, size, 'ns').median:.0f}"

    grown = Spread.of_ratios(
        swept.costs(_LET_GO.name, large), swept.costs(_LET_GO.name, small)
    ).median
    return (
        f"A call that is not selected costs {at(_UNSELECTED, small)} ns under a filter of {small:g}"
        f" call and {at(_UNSELECTED, large)} ns under one of {large:g}, as the kernel knows that it"
        f" is allowed without running the filter; one whose argument decides runs it and costs"
        f" {at(_LET_GO, small)} and {at(_LET_GO, large)} ns: {_MUCH if grown > 2 else _LITTLE}."
        f" Each further filter of a stack adds {_added(swept, _UNSELECTED)} ns to a call that none"
        f" selects and {_added(swept, _ANSWERED)} ns to one that they answer."
    )


_LITTLE: Final = "of the binary tree that finds a call, a large filter runs little more"
_MUCH: Final = "size matters"


def _added(swept: Swept, series: _Series) -> str:
    """Tell what one filter more adds, in nanoseconds."""
    name = _STACK + series.name
    low, high = (edge(swept.places(name)) for edge in (min, max))
    pairs = zip(swept.costs(name, high), swept.costs(name, low), strict=True)
    return f"{Spread.of([(tall - short) / (high - low) for tall, short in pairs]).median:.0f}"


def figure(swept: Swept, caption: str) -> Figure:
    """Draw what a call costs where the filter leaves it alone or answers it: no stops."""
    label = "time of one call (ns)"
    sizes = tuple(swept.curve(one.name, "ns") for one in _OF_SIZES if not one.stops)
    native = Spread.of(swept.comparison.measured[0].costs)
    untraced = Curve("native", sizes[0].x, (native,) * len(sizes[0].x), is_dashed=True)
    heights = tuple(
        replace(swept.curve(_STACK + one.name, "ns"), name=one.name)
        for one in (_UNSELECTED, _ANSWERED)
    )
    left = Panel(
        "one filter", "calls that the filter names", label, (*sizes, untraced),
        is_x_log=True, x_ticks=sizes[0].x,
    )  # fmt: skip
    right = Panel(
        f"a stack of filters of {_STACKED_SIZE} calls", "filters", label, heights,
        is_x_log=True, x_ticks=heights[0].x,
    )  # fmt: skip
    return Figure("filter-sweep", "What a filter costs", (left, right), caption)
