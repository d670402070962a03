"""Write what was measured: Markdown to quote, JSON to compute with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from bench.measure import Comparison, Measured, Spread
from bench.results import SCHEMA, Results
from bench.tables import markdown_table

__all__ = ["as_json", "as_markdown", "broken_promises", "findings", "preface", "start_up", "tables"]

_ENOUGH_ROUNDS: Final = 5
#: Workloads that do nothing: {workload: what their times are}.
_START_UP: Final = {
    "startup": "Start-up, by itself",
    "true": "Start-up, included in every wall time",
}

Cell = Callable[[Comparison, Measured], str]


def as_markdown(results: Results) -> str:
    """Tabulate ratios and stops, and say what was checked and what is missing."""
    paragraphs = [preface(results), *tables(results.comparisons)]
    paragraphs += list(start_up(results.comparisons))
    paragraphs += [findings(results)]
    return "\n\n".join(paragraphs) + "\n"


def as_json(results: Results) -> str:
    """Write all that was measured, schema 1: costs in the comparison's unit, round by round."""
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "environment": dict(results.environment),
        "settings": dataclasses.asdict(results.settings),
        "missing": dict(results.missing),
        "broken_promises": broken_promises(results.comparisons),
        "comparisons": [dataclasses.asdict(comparison) for comparison in results.comparisons],
    }
    return json.dumps(report, indent=2) + "\n"


def broken_promises(comparisons: Sequence[Comparison]) -> list[str]:
    """Name what does not hold: limits that were exceeded, counts that differ, output that does."""
    return [
        f"{comparison.workload}, {measured.subject}: {text}"
        for comparison in comparisons
        for measured in comparison.measured
        for text in _broken(measured)
    ]


def _broken(measured: Measured) -> Iterator[str]:
    if measured.is_different:
        yield measured.problem
    if measured.counts_agree is False:
        yield f"the kernel counted {measured.kernel_stops} stops, the tracer {measured.own_stops}"
    if measured.miscount:
        yield measured.miscount
    if measured.exceeds_limit:
        yield _judgement(measured)


def _judgement(measured: Measured) -> str:
    """Say whether a promise was kept, if one was made and could be judged."""
    limit, limited = measured.limit, measured.limited
    if limit is None or limited is None:
        return ""
    judged = "more than" if measured.exceeds_limit else "within"
    what = "the overhead of " if limit.overhead else ""
    return f"{limited.median:.2f} times {what}{limit.of}, {judged} the promised {limit.times:.3g}"


# ------------------------------------------------------------------------------- tables


def tables(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Tabulate workloads of the same subjects together, and what each has to say alone."""
    for _subjects, group in groupby(comparisons, _subjects_of):
        together = list(group)
        if not together[0].tells_itself:
            yield _table("time, native = 1", together, _ratio)
            yield _table("ptrace-stops", together, _stops)
        for comparison in together:
            yield from comparison.paragraphs


def _subjects_of(comparison: Comparison) -> tuple[str, ...]:
    return tuple(measured.subject for measured in comparison.measured)


def _table(title: str, comparisons: Sequence[Comparison], cell: Cell) -> str:
    """Make a table with a row for each subject and a column for each workload."""
    rows = [
        [subject, *(cell(comparison, comparison.measured[index]) for comparison in comparisons)]
        for index, subject in enumerate(_subjects_of(comparisons[0]))
    ]
    return markdown_table([title, *(comparison.workload for comparison in comparisons)], rows)


def _ratio(comparison: Comparison, measured: Measured) -> str:
    if measured.ratio is None:
        return f"({measured.problem})"
    if measured is comparison.measured[0]:
        return f"1 ({_cost(comparison, measured)})"
    return str(measured.ratio)


def _stops(_comparison: Comparison, measured: Measured) -> str:
    stops = measured.kernel_stops if measured.kernel_stops is not None else measured.own_stops
    if measured.ratio is None or stops is None:
        return "?"
    if measured.calls:
        return f"{stops / measured.calls:.1f} a call"
    return f"{stops:,}"


def _cost(comparison: Comparison, measured: Measured) -> str:
    median = Spread.of(measured.costs).median
    return f"{median:.0f} ns" if comparison.unit == "ns" else f"{1000 * median:.1f} ms"


# ------------------------------------------------------------------------------- sentences


def preface(results: Results) -> str:
    """Say how it was measured, and on what."""
    settings = results.settings
    where = ", ".join(f"{name} {value}" for name, value in results.environment.items())
    text = f"Median of at least {settings.rounds} alternating rounds (lowest..highest). {where}."
    if settings.quick or settings.rounds < _ENOUGH_ROUNDS:
        text += " Too short to be quoted: a trial of the bench itself."
    return text


def start_up(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """State apart what all the ratios of wall time include."""
    for comparison in comparisons:
        if comparison.workload in _START_UP:
            times = [
                f"{measured.subject} {Spread.of([1000 * cost for cost in measured.costs])} ms"
                for measured in comparison.measured
                if measured.costs
            ]
            title = _START_UP[comparison.workload]
            yield f"{title} (`{comparison.workload}`): {', '.join(times)}."


def findings(results: Results) -> str:
    """List what was checked, and how that came out."""
    lines = _findings(results.comparisons, results.missing)
    return "\n".join(f"- {line}" for line in lines)


def _findings(comparisons: Sequence[Comparison], missing: Mapping[str, str]) -> Iterator[str]:
    everything = [traced for comparison in comparisons for traced in comparison.measured[1:]]
    same = [measured for measured in everything if measured.costs]
    different = [measured for measured in everything if measured.is_different]
    yield (
        "standard output, standard error, produced files and exit status: equal to the native"
        f" run's for {len(same)} of {len(same) + len(different)} traced programs, in every round"
    )
    told = [measured for measured in everything if measured.counts_agree is not None]
    agreed = [measured for measured in told if measured.counts_agree]
    if told:
        yield (
            f"stops: counted by the kernel; the tracer's own count is the same in {len(agreed)}"
            f" of {len(told)} runs that tell it"
        )
    counted = [one for one in everything if one.counted and one.counted.seen is not None]
    if counted:
        right = [measured for measured in counted if not measured.miscount]
        yield (
            "calls: programs count those that they make and those that are answered; the tracer's"
            f" own count is the same in {len(right)} of {len(counted)} runs that tell both"
        )
    for reason in sorted({comparison.no_audit for comparison in comparisons} - {""}):
        yield f"stops: not counted by the kernel: {reason}"
    for comparison in comparisons:
        for measured in comparison.measured:
            if _judgement(measured):
                yield f"{comparison.workload}, {measured.subject}: {_judgement(measured)}"
    for name, reason in missing.items():
        yield f"missing: {name}: {reason}"
