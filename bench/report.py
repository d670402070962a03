"""Write what was measured: Markdown to quote, JSON to compute with."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from bench.measure import Comparison, Measured, Settings, Spread
from bench.tables import markdown_table

__all__ = ["as_json", "as_markdown", "broken_promises"]

_SCHEMA: Final = 1
_ENOUGH_ROUNDS: Final = 5
#: Workloads that do nothing: {workload: what their times are}.
_START_UP: Final = {
    "startup": "Start-up, by itself",
    "true": "Start-up, included in every wall time",
}
_HALT_POLL: Final = "/sys/module/haltpoll/parameters/guest_halt_poll_ns"

Cell = Callable[[Comparison, Measured], str]


def as_markdown(
    comparisons: Sequence[Comparison], missing: Mapping[str, str], settings: Settings
) -> str:
    """Tabulate ratios and stops, and say what was checked and what is missing."""
    paragraphs = [_preface(settings)]
    for _subjects, group in groupby(comparisons, _subjects_of):
        together = list(group)
        if not together[0].tells_itself:
            paragraphs += [_table("time, native = 1", together, _ratio)]
            paragraphs += [_table("ptrace-stops", together, _stops)]
        paragraphs += [text for comparison in together for text in comparison.paragraphs]
    paragraphs += list(_start_up(comparisons))
    paragraphs += ["\n".join(f"- {line}" for line in _findings(comparisons, missing))]
    return "\n\n".join(paragraphs) + "\n"


def as_json(
    comparisons: Sequence[Comparison], missing: Mapping[str, str], settings: Settings
) -> str:
    """Write all that was measured, schema 1: costs in the comparison's unit, round by round."""
    report: dict[str, Any] = {
        "schema": _SCHEMA,
        "environment": _environment(),
        "settings": dataclasses.asdict(settings),
        "missing": dict(missing),
        "broken_promises": broken_promises(comparisons),
        "comparisons": [dataclasses.asdict(comparison) for comparison in comparisons],
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


def _preface(settings: Settings) -> str:
    where = ", ".join(f"{name} {value}" for name, value in _environment().items())
    text = f"Median of at least {settings.rounds} alternating rounds (lowest..highest). {where}."
    if settings.quick or settings.rounds < _ENOUGH_ROUNDS:
        text += " Too short to be quoted: a trial of the bench itself."
    return text


def _start_up(comparisons: Sequence[Comparison]) -> Iterator[str]:
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
    counted = [measured for measured in everything if measured.counted]
    if counted:
        right = [measured for measured in counted if not measured.miscount]
        yield (
            "calls: each program counts those that it makes and those that were answered; what the"
            f" tracer says of them is the same in {len(right)} of {len(counted)} runs"
        )
    for reason in sorted({comparison.no_audit for comparison in comparisons} - {""}):
        yield f"stops: not counted by the kernel: {reason}"
    for comparison in comparisons:
        for measured in comparison.measured:
            if _judgement(measured):
                yield f"{comparison.workload}, {measured.subject}: {_judgement(measured)}"
    for name, reason in missing.items():
        yield f"missing: {name}: {reason}"


def _environment() -> dict[str, str]:
    """Tell what the figures depend on besides the programs."""
    return {
        "Linux": platform.release(),
        "CPUs": str(len(os.sched_getaffinity(0))),
        "guest_halt_poll_ns": _first_line(_HALT_POLL),
        "Python": platform.python_version(),
        "strace": _strace_version(),
    }


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except OSError:
        return "unknown"


def _strace_version() -> str:
    if shutil.which("strace") is None:
        return "missing"
    done = subprocess.run(["strace", "--version"], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].split()[-1]
