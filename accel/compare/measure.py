"""Interleave the runs: every subject once a round, in alternating order, and natively first.

One native run comes before the rounds: it fills caches, and shows whether two native runs are
alike. What differs between native runs is nobody's fault, and not compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from accel.audit import KernelStopCount
from accel.compare.copies import Copies
from accel.compare.launcher import Run
from accel.compare.subjects import NATIVE, Absent, Subject
from accel.errors import AccelError
from bpf.value import frozen, replace

__all__ = ["Entry", "Measured", "Result", "Starter", "Watcher", "measure"]

#: The first finds cold caches.
_TRIALS: Final = 2
#: What a run did as far as others can see.
_PARTS: Final = ("exit status", "standard output", "standard error", "--copy paths")


@frozen
class Measured:
    """One run, and what it left behind."""

    run: Run
    #: Of what was named to be copied.
    paths: str = ""
    #: The kernel's count of stops; None without an audit.
    audited: int | None = None

    @property
    def outcome(self) -> tuple[str, ...]:
        """What can be compared, in the order of the parts."""
        status = self.run.report.returncode
        # A shell says 128 + N of a command that signal N killed.
        status = 128 - status if status < 0 else status
        return (str(status), self.run.stdout, self.run.stderr, self.paths)


@frozen
class Entry:
    """A subject and its runs, one a round."""

    subject: Subject
    runs: tuple[Measured, ...] = ()
    #: Why it was given up.
    problem: str = ""
    #: What was not as it has to be, to be said loudly.
    faults: tuple[str, ...] = ()
    #: What starting the tracer takes, where times include it; in seconds.
    included_start: float | None = None


@frozen
class Result:
    """All entries, the native one first; who could not take part; what was not compared."""

    entries: tuple[Entry, ...]
    absent: tuple[Absent, ...] = ()
    notes: tuple[str, ...] = ()
    #: What was not as it has to be, each with its subject: to be said loudly.
    faults: tuple[str, ...] = ()


class Starter(Protocol):
    """Makes runs, see ``Launcher``."""

    def run(self, subject: Subject, argv: Sequence[str] = ()) -> Run:
        """Run the command, or another, under a subject."""


class Watcher(Protocol):
    """Is told what goes on."""

    def begins(self, subject: Subject, done: int, total: int) -> None:
        """Take note that a run begins, after ``done`` of ``total``."""


class _Contest:
    """The comparison as it goes on."""

    def __init__(
        self,
        launcher: Starter,
        copies: Copies,
        watcher: Watcher,
        counter: Callable[[], contextlib.AbstractContextManager[KernelStopCount]] | None,
    ) -> None:
        self._launcher = launcher
        self._copies = copies
        self._watcher = watcher
        self._counter = counter
        self.done = 0
        self.total = 0

    def run(self, subject: Subject) -> Measured:
        """Make one run, on fresh copies."""
        self._watcher.begins(subject, self.done, self.total)
        self._copies.refresh()
        with contextlib.ExitStack() as stack:
            count = None if self._counter is None else stack.enter_context(self._counter())
            run = self._launcher.run(subject)
        self.done += 1
        audited = None if count is None else count.stops - run.report.stops_before
        return Measured(run, self._copies.digest(), audited)

    def start_of(self, subject: Subject) -> tuple[float, str]:
        """Measure what starting a peer takes, on a command that does nothing; or why it cannot."""
        self._watcher.begins(subject, self.done, self.total)
        runs = [self._launcher.run(subject, ["true"]) for _time in range(_TRIALS)]
        run = min(runs, key=lambda run: run.report.wall)
        said = run.tail.strip().rpartition("\n")[2]
        if run.report.problem or run.report.returncode:
            return 0.0, run.report.problem or said or f"exit status {run.report.returncode}"
        # Its words would be taken for the command's.
        return run.report.wall, f"it says of its own: {said}" if said else ""


def measure(
    subjects: Sequence[Subject],
    rounds: int,
    launcher: Starter,
    copies: Copies,
    watcher: Watcher,
    *,
    counter: Callable[[], contextlib.AbstractContextManager[KernelStopCount]] | None = None,
) -> Result:
    """Run the command natively and under each subject, ``rounds`` times; compare what it did.

    Raise AccelError if two native runs end differently: then there is nothing to compare with.
    """
    contest = _Contest(launcher, copies, watcher, counter)
    contest.total = 1 + rounds * (1 + len(subjects))
    first = contest.run(NATIVE)
    if first.run.report.problem:
        raise AccelError(first.run.report.problem)
    entries, absent = [Entry(NATIVE)], []
    for subject in subjects:
        entry, reason = _admitted(subject, contest)
        if reason:
            absent.append(Absent(subject.name, reason))
        else:
            entries.append(entry)
    contest.total = contest.done + rounds * len(entries)
    for number in range(rounds):
        order = range(len(entries)) if number % 2 == 0 else reversed(range(len(entries)))
        for index in order:
            if not entries[index].problem:
                entries[index] = _taking_part(entries[index], contest)
    return _judged(first, entries, absent)


def _admitted(subject: Subject, contest: _Contest) -> tuple[Entry, str]:
    """Try another's tracer on nothing; accel's own say by themselves what they cannot."""
    entry = Entry(subject)
    if not subject.words:
        return entry, ""
    start, reason = contest.start_of(subject)
    return replace(entry, included_start=start), reason


def _taking_part(entry: Entry, contest: _Contest) -> Entry:
    """Add a run; give a subject up that this host does not offer, or that broke."""
    measured = contest.run(entry.subject)
    report = measured.run.report
    if report.problem:
        faults = () if report.is_unavailable else (report.problem,)
        return replace(entry, problem=report.problem, faults=faults)
    return replace(entry, runs=(*entry.runs, measured))


def _judged(first: Measured, entries: list[Entry], absent: list[Absent]) -> Result:
    """Compare what all runs did with what the native ones did, and the two counts of stops."""
    native = [first, *entries[0].runs]
    unsteady = _unsteady(native)
    if _PARTS[0] in unsteady:
        statuses = sorted({measured.outcome[0] for measured in native})
        raise AccelError(
            f"native runs end differently (exit status {' or '.join(statuses)}): there is nothing"
            " to compare with; if the command changes files, give it fresh ones with --copy PATH"
        )
    references = {"traced": first}
    for entry in entries:
        if entry.subject.family == "ruled" and entry.runs:
            references["ruled"] = entry.runs[0]
    judged = [
        replace(entry, faults=(*entry.faults, *_faults(entry, references, unsteady)))
        for entry in entries
    ]
    absent += [Absent(entry.subject.name, entry.problem) for entry in judged if not entry.runs]
    return Result(
        tuple(entry for entry in judged if entry.runs),
        tuple(absent),
        tuple(_notes(first, references, unsteady)),
        tuple(f"{entry.subject.name}: {fault}" for entry in judged for fault in entry.faults),
    )


def _unsteady(runs: Sequence[Measured]) -> tuple[str, ...]:
    """Name what is not the same in all of these runs."""
    columns = zip(_PARTS, zip(*(measured.outcome for measured in runs), strict=True), strict=True)
    return tuple(part for part, values in columns if len(set(values)) > 1)


def _faults(entry: Entry, references: dict[str, Measured], unsteady: Sequence[str]) -> list[str]:
    """List what is wrong with the runs of an entry."""
    found = []
    reference = references[entry.subject.family] if entry.runs else None
    for number, measured in enumerate(entry.runs, 1):
        assert reference is not None
        different = [part for part in _unsteady((measured, reference)) if part not in unsteady]
        if different:
            found.append(f"run {number}: {', '.join(different)} not as in the {_name(entry)} run")
        own = measured.run.report.stops
        if measured.audited is not None and own is not None and measured.audited != own:
            found.append(
                f"run {number}: the kernel counted {measured.audited:,} stops, the tracer {own:,}"
            )
        if measured.run.report.lost:
            found.append(f"run {number}: {measured.run.report.lost:,} records were lost")
    return found


def _name(entry: Entry) -> str:
    return "native" if entry.subject.family == "traced" else "filtered"


def _notes(first: Measured, references: dict[str, Measured], unsteady: Sequence[str]) -> list[str]:
    """Say what a reader has to know of the command itself."""
    notes = []
    if unsteady:
        notes.append(
            f"native runs differ by themselves, so this is not compared: {', '.join(unsteady)}"
        )
    status = first.run.report.returncode
    if status:
        how = f"is killed by signal {-status}" if status < 0 else f"ends with exit status {status}"
        last = first.run.tail.strip().rpartition("\n")[2]
        notes.append(f"the command {how}, also natively{': ' if last else ''}{last}")
    if first.run.lingers:
        notes.append("the command leaves processes behind: times last until these have ended")
    ruled = references.get("ruled")
    if ruled is not None and _unsteady((first, ruled)):
        notes.append("the profile changes what the command does: skip() is compared with nullify()")
    return notes
