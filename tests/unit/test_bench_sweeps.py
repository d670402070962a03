"""What the sweeps conclude from made-up figures: crossings, curves, counts of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from bench import filter_sweep, handlers, mask_sweep, tracees
from bench.crossover import crossings
from bench.figure import Curve
from bench.measure import Comparison, Contestant, Measured, Settings, Takes
from bench.report import as_markdown, broken_promises
from bench.results import Results
from bench.spread import Spread
from bench.subjects import CallCount, Outcome, Run, Task, Wrapper
from bench.sweep import Place, Swept, key
from bench.workloads import mixed

TASK = Task(("program",))
SAME = Outcome(0, "out", "err", ())


def swept(costs: dict[str, dict[float, tuple[float, ...]]], **problems: str) -> Swept:
    """Make up a sweep from the nanoseconds of each series at each place."""
    measured = [Measured("native", costs=(100.0, 100.0))]
    places = []
    for series, at_places in costs.items():
        for at, values in at_places.items():
            name = key(series, at)
            measured.append(Measured(name, problems.get(series, ""), costs=values))
            places.append(Place(series, at, Contestant(Wrapper(name), TASK)))
    return Swept.of(Comparison("sweep", ("program",), "ns", tuple(measured)), places)


# ------------------------------------------------------------------------------- crossings


def test_a_crossing_is_interpolated_between_two_places() -> None:
    """Each round has its own; the spread is that of the rounds."""
    found = crossings(
        [(0, (1.0, 1.0), (5.0, 5.0)), (50, (4.0, 1.0), (5.0, 5.0)), (100, (6.0, 9.0), (5.0, 5.0))]
    )
    assert found is not None
    assert found.at == Spread(75.0, 75.0, 75.0)
    assert (found.rounds, found.of_rounds) == (2, 2)
    assert found.last_ratio == Spread(1.5, 1.2, 1.8)


def test_a_single_disturbed_place_is_no_crossing() -> None:
    """What counts is where the first subject stays the dearer one."""
    found = crossings([(0, (9.0,), (5.0,)), (50, (4.0,), (5.0,)), (100, (6.0,), (5.0,))])
    assert found is not None
    assert found.at == Spread(75.0, 75.0, 75.0)


def test_what_is_dearer_everywhere_crosses_at_the_first_place() -> None:
    """It pays nowhere."""
    found = crossings([(10, (6.0,), (5.0,)), (100, (6.0,), (5.0,))])
    assert found is not None
    assert found.at == Spread(10.0, 10.0, 10.0)


def test_what_is_dearer_in_one_round_of_three_does_not_cross() -> None:
    """As everywhere, most rounds decide; the ratio at the end says how near it was."""
    found = crossings(
        [(0, (1.0, 1.0, 1.0), (5.0, 5.0, 5.0)), (100, (4.0, 4.0, 6.0), (5.0, 5.0, 5.0))]
    )
    assert found is not None
    assert found.at is None
    assert found.describe() == "at every share (at 100 % it costs 0.8 (0.8..1.2) times as much)"


def test_most_rounds_tell_where_they_cross_and_how_many_they_are() -> None:
    """Two of three do."""
    found = crossings(
        [(0, (0.0, 0.0, 0.0), (5.0, 5.0, 5.0)), (100, (10.0, 10.0, 4.0), (5.0, 5.0, 5.0))]
    )
    assert found is not None
    assert found.describe().startswith("up to 50 % (50..50), in 2 of 3 rounds (at 100 %")


def test_without_places_there_is_no_crossing() -> None:
    """A tracer that is not installed is left out."""
    assert crossings([]) is None


# ------------------------------------------------------------------------------- series


def test_a_curve_is_in_order_of_its_places_and_in_microseconds() -> None:
    """Whatever the order in which they were measured; those that failed are left out."""
    sweep = swept({"series": {50: (2000.0, 4000.0), 0: (1000.0, 1000.0), 70: ()}})
    expected = Curve("series", (0, 50), (Spread(1.0, 1.0, 1.0), Spread(3.0, 2.0, 4.0)))
    assert sweep.curve("series") == expected


def test_a_table_has_a_row_for_each_place_and_says_who_is_missing() -> None:
    """An empty cell alone explains nothing."""
    sweep = swept({"here": {1: (1000.0,), 2: (3000.0,)}, "away": {1: ()}}, away="not installed")
    assert sweep.table("calls", " %").splitlines() == [
        "| calls | here | away |", "| --- | --- | --- |",
        "| 1 % | 1 (1..1) |  |", "| 2 % | 3 (3..3) |  |",
        "", "away: not installed",
    ]  # fmt: skip


def test_a_workload_that_tells_itself_has_no_common_table() -> None:
    """Seventy rows of ratios would say nothing."""
    comparison = replace(swept({"a": {1: (1.0,)}}).comparison, paragraphs=("Its own.",))
    common = "| time, native = 1 |"
    assert common in as_markdown(Results((comparison,), {}, Settings()))
    text = as_markdown(Results((replace(comparison, tells_itself=True),), {}, Settings()))
    assert common not in text
    assert "Its own." in text


# ------------------------------------------------------------------------------- counts


@pytest.mark.parametrize(
    ("count", "complaint"),
    [
        (CallCount(10, 0, 10, 20, 0), ""),
        (CallCount(10, 0, 10, 10, 0), "the tracer counted 10 stops instead of 20"),
        (CallCount(10, 0, 9, 20, 0), "the tracer counted 9 calls instead of 10"),
        (CallCount(10, 0, 10, 20, 1), "the tracer counted 1 notifications instead of 0"),
        (CallCount(10, 1, 10, 20, 0), "of 10 calls 1 were answered"),
        (None, ""),
    ],
)
def test_the_tracers_count_of_calls_is_compared_with_the_programs(
    count: CallCount | None, complaint: str
) -> None:
    """The program counts the calls that it made, and those that failed as only an answer can."""
    contestant = Contestant(Wrapper("tracer"), TASK, takes=Takes(stops=2))
    found = contestant.miscount(Run(SAME, 1.0, counted=count))
    assert complaint in found
    assert bool(found) is bool(complaint)


def test_an_answer_that_the_program_did_not_get_is_a_miscount() -> None:
    """Otherwise a filter that answers nothing would be the fastest."""
    contestant = Contestant(Wrapper("filter"), TASK, takes=Takes(is_seen=False), answers=True)
    assert contestant.miscount(Run(SAME, 1.0, counted=CallCount(10, 10, 0, 0, 0))) == ""
    assert "0 were answered" in contestant.miscount(
        Run(SAME, 1.0, counted=CallCount(10, 0, 0, 0, 0))
    )


def test_a_miscount_breaks_a_promise() -> None:
    """The exit status of the bench tells it."""
    measured = (Measured("native"), Measured("tracer", miscount="lost one"))
    comparison = Comparison("sweep", ("program",), "ns", measured)
    assert broken_promises([comparison]) == ["sweep, tracer: lost one"]


# ------------------------------------------------------------------------------- what is said


def test_the_mask_sweep_says_where_the_filter_stops_paying() -> None:
    """In two sentences, with figures of the data."""
    flat, rising = (20_000.0, 22_000.0), (500.0, 500.0)
    costs = {
        "accel: filter, 1 stop": {0: rising, 100: (10_000.0, 11_000.0)},
        "accel: filter, 2 stops": {0: rising, 100: (25_000.0, 25_000.0)},
        "accel: PTRACE_SYSCALL": {0: flat, 100: flat},
    }
    text = mask_sweep.sentences(swept(costs))
    assert "for accel up to 84 % (80..88)" in text
    assert "(0.5 µs instead of 21 in accel)" in text
    assert text.endswith("takes 0.50 times what PTRACE_SYSCALL takes.")
    assert text.count(". ") == 1


def test_the_figure_of_the_mask_sweep_marks_the_crossing() -> None:
    """And its logarithmic half leaves out what has no logarithm."""
    costs = {
        "accel: filter, 2 stops": {0: (500.0,), 50: (10_000.0,), 100: (25_000.0,)},
        "accel: PTRACE_SYSCALL": {0: (20_000.0,), 50: (20_000.0,), 100: (20_000.0,)},
    }
    figure = mask_sweep.figure(swept(costs), "caption")
    left, right = figure.panels
    assert [mark.text for mark in left.marks] == ["accel: 83 %"]
    assert [curve.x for curve in right.curves] == [(50, 100)] * 2


def test_the_filter_names_as_many_calls_as_it_says() -> None:
    """From all over the table, each once, and never the one that is measured."""
    for size in (0, 1, 19, 370):
        names = [name for name in filter_sweep.calls_besides(size).split(",") if name]
        assert len(set(names)) == len(names) == size
        assert "getpgid" not in names


@pytest.mark.parametrize(
    "module", [mask_sweep, filter_sweep, tracees], ids=lambda one: one.__name__
)
def test_a_sweep_without_any_figure_says_so(module: object) -> None:
    """As on a host that lets nobody trace."""
    sentences: Callable[[Swept], str] = module.sentences  # type: ignore[attr-defined]
    names = [f"{kind}: {one}" for kind in ("processes", "threads") for one in ("x",)]
    assert "could be measured" in sentences(swept({name: {1: ()} for name in names}))


def test_the_tracees_are_compared_with_a_single_one() -> None:
    """Processes and threads apart."""
    costs = {
        "processes: accel's loop": {1: (10.0, 10.0), 64: (20.0, 40.0)},
        "threads: accel's loop": {1: (10.0, 10.0), 64: (10.0, 10.0)},
    }
    text = tracees.sentences(swept(costs))
    assert "with 64 processes 3 (2..4) times and 64 threads 1 (1..1) times" in text


# ------------------------------------------------------------------------------- handlers


def tiers() -> Iterator[Measured]:
    """Make up every tier: each costs a microsecond more than the one before."""
    yield Measured("native", costs=(1000.0, 1000.0))
    for number, tier in enumerate(handlers.TIERS, start=2):
        takes = tier.takes
        seen, stops, notified = 10 * takes.is_seen, 10 * takes.stops, 10 * takes.notifications
        counted = CallCount(10, 0, seen, stops, notified)
        yield Measured(tier.name, costs=(1000.0 * number,) * 2, counted=counted)


def test_the_tiers_are_told_by_what_they_add() -> None:
    """To the native call, with the stops that were counted."""
    comparison = Comparison("handlers", ("program",), "ns", tuple(tiers()))
    lines = handlers.table(comparison).splitlines()
    assert "| filter: an error | 0 | 0 | 3,000 (3,000..3,000) | 2,000 (2,000..2,000) |" in lines
    assert "| loop: count | 1 | 0 | 7,000 (7,000..7,000) | 6,000 (6,000..6,000) |" in lines
    assert "a handler in Python adds 15.0 µs before" in handlers.sentences(comparison)


def test_a_tier_that_is_missing_is_named_with_its_reason() -> None:
    """And no sentence is made of what is not there."""
    measured = [
        replace(one, costs=(), problem="no numba") if one.subject.startswith("loop") else one
        for one in tiers()
    ]
    comparison = Comparison("handlers", ("program",), "ns", tuple(measured))
    assert "| loop: count | ? | ? | (no numba) |  |" in handlers.table(comparison)
    assert handlers.sentences(comparison) == "Not every tier could be measured."


def test_a_mixed_task_counts_the_call_that_it_names() -> None:
    """Its tracer's count of that call is what is compared."""
    task = mixed("/program", "getpgid", 10, 1000)
    assert task.argv == ("/program", "getpgid", "10", "1000", task.report)
    assert task.counts == "getpgid"
