"""Compare subjects on one task: alternating rounds, equal output, stops counted apart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from statistics import median

from accel import AccelError
from bench.audit import AuditUnavailable, KernelStopCount
from bench.figure import Figure
from bench.spread import Spread
from bench.subjects import CallCount, Outcome, Run, Subject, Task

__all__ = [
    "Comparison",
    "Contestant",
    "Limit",
    "Measured",
    "Missing",
    "Settings",
    "Spread",
    "Takes",
    "compare",
    "progress",
    "stage",
]


class Missing(Exception):
    """What a workload cannot do without is not on this machine."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line asks for."""

    rounds: int = 5
    #: Small tasks: enough for tests, too little for figures.
    quick: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """A promise: the cost is at most ``times`` that of the subject ``of``.

    Or the ``overhead`` is: what a subject costs more than the native run. Overheads are differences
    of costs that are nearly the same, so that of medians they are taken, not of single rounds.
    """

    times: float
    of: str
    overhead: bool = False


@dataclass(frozen=True, slots=True)
class Takes:
    """What a tracer is to take for each call that a task counts, and whether it sees it at all."""

    stops: int = 0
    notifications: int = 0
    is_seen: bool = True

    def complaint(self, counted: CallCount) -> str:
        """Say how a tracer's counts differ from this; empty if they do not."""
        made = counted.made
        told = (counted.seen, counted.stops, counted.notifications)
        expected = (made if self.is_seen else 0, self.stops * made, self.notifications * made)
        if told == expected:
            return ""
        names = ("calls", "stops", "notifications")
        differences = [
            f"{one} {name} instead of {other:,}"
            for name, one, other in zip(names, told, expected, strict=True)
            if one != other
        ]
        return f"the program made {made:,} calls, the tracer counted {', '.join(differences)}"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A subject and its task; where the cost of a call is compared, slow ones get shorter tasks."""

    subject: Subject
    task: Task
    limit: Limit | None = None
    #: None if nothing is promised.
    takes: Takes | None = None
    #: Whether it answers these calls in the kernel's stead, so that the program can tell.
    answers: bool = False

    def miscount(self, run: Run) -> str:
        """Say how the tracer's count of calls differs from the program's own; empty if none does.

        What the program did not count, or the tracer does not tell, differs in nothing.
        """
        counted = run.counted
        if counted is None:
            return ""
        if counted.answered != (counted.made if self.answers else 0):
            return f"of {counted.made:,} calls {counted.answered:,} were answered"
        return self.takes.complaint(counted) if self.takes else ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one subject took."""

    subject: str
    #: Why there are no figures: it is not installed, or its output was not the native run's.
    problem: str = ""
    #: One a round, in the unit of the comparison.
    costs: tuple[float, ...] = ()
    #: To the native run of the same round.
    ratio: Spread | None = None
    limit: Limit | None = None
    #: The ratio to the subject that the limit names, of costs or overheads.
    limited: Spread | None = None
    #: How many calls the task made, where it measures its own calls.
    calls: int = 0
    #: ptrace-stops of one run, as the kernel counted them; None where it does not tell.
    kernel_stops: int | None = None
    #: The same as the tracer counted them, and those of calls alone; None if it does not tell.
    own_stops: int | None = None
    own_call_stops: int | None = None
    #: Whether it ran, and something came out that was not the native run's.
    is_different: bool = False
    #: What calls were made and seen in one run, where the task counts them; and what is wrong.
    counted: CallCount | None = None
    miscount: str = ""

    @property
    def counts_agree(self) -> bool | None:
        """Whether kernel and tracer counted the same; None if one of them did not count."""
        if self.kernel_stops is None or self.own_stops is None:
            return None
        return self.kernel_stops == self.own_stops

    @property
    def exceeds_limit(self) -> bool:
        """Whether a promise was broken, by the median of all rounds."""
        return bool(self.limit and self.limited and self.limited.median > self.limit.times)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One workload under every subject, the native run first."""

    workload: str
    #: The native command.
    command: tuple[str, ...]
    #: Of the costs: "s" of wall time, or "ns" of one call.
    unit: str
    measured: tuple[Measured, ...]
    #: Why the kernel's own count of stops is missing; empty if it is not.
    no_audit: str = ""
    #: What else there is to say of this workload alone, in Markdown.
    paragraphs: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    #: Whether the paragraphs have it all: of many subjects a common table says little.
    tells_itself: bool = False


class _Entry:
    """A contestant in a comparison: its runs so far."""

    def __init__(self, workload: str, contestant: Contestant) -> None:
        self.name = contestant.subject.name
        self.costs: list[float] = []
        self.problem = contestant.subject.missing()
        self.first: Run | None = None
        self.no_audit = ""
        self.is_different = False
        self.miscount = ""
        self._kernel_stops: int | None = None
        self._workload = workload
        self._contestant = contestant

    def audit(self, counter: Callable[[], KernelStopCount]) -> None:
        """Run once untimed: caches fill, stops are counted."""
        with ExitStack() as stack:
            try:
                count = stack.enter_context(counter())
            except AuditUnavailable as error:
                count, self.no_audit = None, str(error)
            self.first = self._run("counting stops")
        self._kernel_stops = None if count is None else count.stops

    def take_part(self, number: int, native: Outcome) -> None:
        """Run once, unless it is known to be of no use."""
        if self.problem:
            return
        run = self._run(f"round {number + 1}")
        if run is None:
            return
        self.costs.append(run.cost)
        differences = run.outcome.differences(native)
        if differences:
            self.problem = f"{differences} not as in the native run"
            self.is_different = True

    def measured(self, costs: Mapping[str, Sequence[float]], native: Sequence[float]) -> Measured:
        """Sum up; ``costs`` are those of all subjects by name, ``native`` the native run's."""
        limit = self._contestant.limit
        first = self.first
        if self.problem or first is None:
            return Measured(self.name, self.problem, is_different=self.is_different)
        return Measured(
            self.name,
            costs=tuple(self.costs),
            ratio=Spread.of_ratios(self.costs, native[: len(self.costs)]),
            limit=limit,
            limited=self._limited(costs, native),
            calls=self._contestant.task.calls,
            kernel_stops=self._kernel_stops,
            own_stops=first.own_stops,
            own_call_stops=first.own_call_stops,
            counted=first.counted,
            miscount=self.miscount,
        )

    def _limited(
        self, costs: Mapping[str, Sequence[float]], native: Sequence[float]
    ) -> Spread | None:
        """Compare with the subject that the limit names, if that could run."""
        limit = self._contestant.limit
        if limit is None or limit.of not in costs:
            return None
        theirs = costs[limit.of]
        if not limit.overhead:
            return Spread.of_ratios(self.costs, theirs)
        without = median(native)
        overhead = median(theirs) - without
        if overhead <= 0:
            return None  # There is nothing to compare with.
        return Spread.of([(cost - without) / overhead for cost in self.costs])

    def _run(self, purpose: str) -> Run | None:
        if self.problem:
            return None
        subject = self._contestant.subject
        progress(f"{self._workload}: {purpose}, {subject.name}")
        try:
            run = subject.run(self._contestant.task)
        except (AccelError, subprocess.TimeoutExpired) as error:
            self.problem = str(error)
            return None
        self.miscount = self.miscount or self._contestant.miscount(run)
        return run


def compare(
    workload: str,
    contestants: Sequence[Contestant],
    settings: Settings,
    unit: str = "s",
    *,
    promised: int = 1,
    counter: Callable[[], KernelStopCount] = KernelStopCount,
) -> Comparison:
    """Run all contestants, the first of them natively, in rounds of alternating order.

    What a promise is about, and what it names, takes part in ``promised`` times as many rounds, but
    in a trial. A contestant whose output once differs from the native run's gets no figures. Raise
    Missing if there is no native run to compare with.
    """
    entries = [_Entry(workload, contestant) for contestant in contestants]
    for entry in entries:
        entry.audit(counter)
    native = entries[0]
    if native.first is None:
        raise Missing(native.problem)
    judged = _judged(contestants)
    for number in range(settings.rounds * (1 if settings.quick else promised)):
        for entry in entries if number % 2 == 0 else reversed(entries):
            if number < settings.rounds or entry.name in judged:
                entry.take_part(number, native.first.outcome)
    if native.problem:
        raise Missing(f"two native runs differ: {native.problem}")
    costs = {entry.name: entry.costs for entry in entries if not entry.problem}
    return Comparison(
        workload,
        contestants[0].task.argv,
        unit,
        tuple(entry.measured(costs, native.costs) for entry in entries),
        native.no_audit,
    )


def _judged(contestants: Sequence[Contestant]) -> set[str]:
    """Name the subjects that decide whether promises are kept; empty if there are none."""
    promises = {one.subject.name: one.limit.of for one in contestants if one.limit is not None}
    native = {contestants[0].subject.name} if promises else set()
    return native.union(promises, promises.values())


def progress(text: str) -> None:
    """Show what goes on, on one line, if somebody looks on."""
    if sys.stderr.isatty():
        shown = f"{_stage.get()}{text}" if text else ""
        print(f"\r\033[K{shown}", end="", file=sys.stderr, flush=True)


@contextmanager
def stage(text: str) -> Iterator[None]:
    """Begin each line of progress within the block with ``text``."""
    token = _stage.set(text)
    try:
        yield
    finally:
        _stage.reset(token)


_stage: ContextVar[str] = ContextVar("stage", default="")
