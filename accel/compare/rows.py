"""What the runs come to: one row a subject, with medians and spreads, as immutable values."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Final, Self

from accel.compare.job import Report
from accel.compare.measure import Entry
from accel.compare.subjects import Family
from bpf.value import frozen

__all__ = ["ENOUGH_EVENTS", "Relative", "Row", "Spread", "rows"]

_NS: Final = 1e9
#: Of fewer stops and notifications, the time that they take is lost in that of everything else.
ENOUGH_EVENTS: Final = 500


@frozen
class Spread:
    """Several measurements of one thing."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summarise at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@frozen
class Relative:
    """A row as a multiple of its family's naive tracer: what is 0.01 takes a hundredth."""

    #: What the runs take longer than native ones.
    overhead: float | None
    ns_per_stop: float | None
    stops: float | None


@frozen
class Row:
    """One subject. Counts are medians of its runs, and None where nobody tells them."""

    mechanism: str
    decision: str
    tier: str
    family: Family
    #: All calls that the command makes, as its family's naive tracer counted them.
    syscalls: int | None
    #: Those that were told, of the selected ones.
    selected: int | None
    stops: int | None
    audited_stops: int | None
    notifications: int | None
    handler_calls: int | None
    #: Seconds; of accel without its start, of others with it.
    wall_seconds: Spread
    tracer_cpu_seconds: float | None
    tracee_cpu_seconds: float
    #: Wall time that is added, as a share of the native run's of the same round: 0.5 is half more.
    overhead: Spread
    #: Wall time that is added, for each stop or notification.
    ns_per_stop: float | None
    naive: Relative | None
    #: What starting the tracer takes, in seconds, and whether wall_seconds contain it.
    start_seconds: float
    includes_start: bool

    @property
    def name(self) -> str:
        """Mechanism, decision, and who answers where that is not the usual."""
        by = f", {self.tier}" if self.tier in ("handler", "lines") and self.decision else ""
        return f"{self.mechanism} {self.decision}{by}".strip()

    @property
    def events(self) -> int | None:
        """Stops and notifications: how often the command waited for a tracer."""
        stops = self.stops if self.stops is not None else self.audited_stops
        if stops is None:
            return None
        return stops + (self.notifications or 0)


def rows(entries: Sequence[Entry]) -> list[Row]:
    """Sum up all entries, of which the first is the native one; each has at least one run."""
    native = _walls(entries[0])
    naive = {entry.subject.family: entry for entry in entries if entry.subject.is_naive}
    return [_row(entry, native, naive.get(entry.subject.family)) for entry in entries]


def _row(entry: Entry, native: list[float], naive: Entry | None) -> Row:
    subject, runs = entry.subject, entry.runs
    added = _added(entry, native)
    includes_start = entry.included_start is not None
    start = statistics.median(measured.run.start for measured in runs)
    return Row(
        mechanism=subject.mechanism,
        decision=subject.decision,
        tier=subject.tier,
        family=subject.family,
        syscalls=None if naive is None else _count(naive, lambda report: report.syscalls),
        selected=_count(entry, lambda report: report.selected),
        stops=_count(entry, lambda report: report.stops),
        audited_stops=_median_of_known([measured.audited for measured in runs]),
        notifications=_count(entry, lambda report: report.notifications),
        handler_calls=_count(entry, lambda report: report.handler_calls),
        wall_seconds=Spread.of(_walls(entry)),
        tracer_cpu_seconds=_median(entry, lambda report: report.tracer_cpu),
        tracee_cpu_seconds=_median(entry, lambda report: report.tracee_cpu) or 0.0,
        overhead=Spread.of([more / base for more, base in zip(added, native, strict=False)]),
        ns_per_stop=_ns_per_event(entry, native),
        naive=None if naive is None or subject.is_native else _relative(entry, naive, native),
        start_seconds=entry.included_start or 0.0 if includes_start else start,
        includes_start=includes_start,
    )


def _walls(entry: Entry) -> list[float]:
    return [measured.run.report.wall for measured in entry.runs]


def _added(entry: Entry, native: Sequence[float]) -> list[float]:
    """Tell how much longer each run took than the native one of its round."""
    return [wall - base for wall, base in zip(_walls(entry), native, strict=False)]


def _events(entry: Entry) -> list[int] | None:
    """Count stops and notifications, run by run; None if neither tracer nor kernel told."""
    found = []
    for measured in entry.runs:
        report = measured.run.report
        stops = report.stops if report.stops is not None else measured.audited
        if stops is None:
            return None
        found.append(stops + (report.notifications or 0))
    return found


def _ns_per_event(entry: Entry, native: Sequence[float]) -> float | None:
    """Divide added time, without the tracer's start; None where there are too few to mean it."""
    events = _events(entry)
    if events is None or min(events) < ENOUGH_EVENTS:
        return None
    start = entry.included_start or 0.0
    pairs = zip(_added(entry, native), events, strict=False)
    return statistics.median(_NS * (added - start) / count for added, count in pairs)


def _relative(entry: Entry, naive: Entry, native: Sequence[float]) -> Relative:
    """Compare with the naive tracer; times round by round."""
    ours, theirs = _added(entry, native), _added(naive, native)
    pairs = list(zip(ours, theirs, strict=False))
    has_cost = all(other > 0 for _one, other in pairs)
    events, others = _events(entry), _events(naive)
    cost, other_cost = _ns_per_event(entry, native), _ns_per_event(naive, native)
    return Relative(
        overhead=statistics.median(one / other for one, other in pairs) if has_cost else None,
        ns_per_stop=cost / other_cost if cost is not None and other_cost else None,
        stops=statistics.median(events) / statistics.median(others) if events and others else None,
    )


def _count(entry: Entry, of: Callable[[Report], int | None]) -> int | None:
    return _median_of_known([of(measured.run.report) for measured in entry.runs])


def _median_of_known(values: Sequence[int | None]) -> int | None:
    """Take the middle one, a value that was counted in some run; None unless all are known."""
    known = [value for value in values if value is not None]
    return int(statistics.median_low(known)) if len(known) == len(values) else None


def _median(entry: Entry, of: Callable[[Report], float | None]) -> float | None:
    known = [value for measured in entry.runs if (value := of(measured.run.report)) is not None]
    return statistics.median(known) if known else None
