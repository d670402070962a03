"""What SKIPEXIT and SKIPCALL are worth where a file is copied: as they were argued for in 2006.

Renzo Davoli's figures (LKML, 18 May 2006, 20060518211321.GC6806) are of cp under umview, a partial
virtual machine that hears of every call. Not to be notified a second time made it 1.50 times as
fast where nothing was virtual (1.587 s, 1.056 s), and 1.47 times where the files were (1.850 s,
1.261 s). Here it is dd, 4096 bytes at a time. ``combinations-notified`` virtualises nothing;
``combinations-virtual`` makes every call of the copy itself, in Python (``bench.virtual_files``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from accel import Decision
from bench.circumstances import Placed
from bench.combinations import answered, handled, placed
from bench.measure import Comparison, Contestant, Limit, Measured, Settings, Spread, compare
from bench.subjects import Subject, Task, Wrapper
from bench.tables import markdown_table
from bench.virtual_files import VirtualFiles
from bench.workloads import real_program

__all__ = ["SPEED_UPS", "SpeedUp", "run", "table"]

_NOTIFIED: Final = "combinations-notified"
_HEAD: Final = ("what is left out", "before", "after", "times as fast")
_INSPECTED, _SKIPPED = 2, 3
_CAPTION: Final = (
    "Tracer and tracee on one CPU; times are of the whole run, the start of the tracer included. In"
    " 2006 it was 1.50 times where nothing was virtual and 1.47 where the files were, of cp on a"
    " PowerPC of 1 GHz. *handler*: Python is called at every stop; else the compiled loop answers."
)
#: At least as fast: who stops less often must not be slower for it.
_TIMES: Final = 1.0


@dataclass(frozen=True, slots=True)
class SpeedUp:
    """One stop less a call, by two subjects' names."""

    tag: str
    before: str
    after: str


#: {workload: what its table tells}; of each ``after`` the first is promised.
SPEED_UPS: Final = {
    _NOTIFIED: (
        SpeedUp("SKIPEXIT", "seccomp-trace: 0", "seccomp-trace: 1"),
        SpeedUp("SKIPEXIT", "seccomp-trace: 0, handler", "seccomp-trace: 1, handler"),
        SpeedUp("SKIPEXIT", "ptrace-syscall: 0, handler", "seccomp-trace: 1, handler"),
    ),
    "combinations-virtual": (
        SpeedUp("SKIPCALL", "seccomp-trace: 2, handler", "seccomp-trace: 3, handler"),
        SpeedUp("SKIPCALL", "ptrace-syscall: 2, handler", "seccomp-trace: 3, handler"),
    ),
}


def run(name: str, settings: Settings) -> Comparison:
    """Copy a file under each tracer; raise Missing without dd."""
    with real_program("dd", settings) as task:
        subjects = _notified() if name == _NOTIFIED else _virtual(task)
        contestants = [Contestant(Placed(Wrapper("native"), "same-cpu"), task)]
        contestants += [Contestant(one, task, _limit(name, one, settings)) for one in subjects]
        comparison = compare(name, contestants, settings)
        return replace(comparison, paragraphs=(table(comparison),), tells_itself=True)


def _notified() -> Iterator[Subject]:
    """Hear of every call, and let it run."""
    both, once = Decision.inspect(), Decision.resume()
    yield answered("seccomp-trace: 0", "seccomp-trace", "all", both)
    yield answered("seccomp-trace: 1", "seccomp-trace", "all", once)
    yield handled("ptrace-syscall: 0, handler", "ptrace-syscall", "all", both)
    yield handled("seccomp-trace: 0, handler", "seccomp-trace", "all", both)
    yield handled("seccomp-trace: 1, handler", "seccomp-trace", "all", once)


def _virtual(task: Task) -> Iterator[Subject]:
    """Make every call of the copy in the program's stead."""
    names = [word.partition("=") for word in task.argv]
    paths = [path for option, _is, path in names if option in ("if", "of")]

    def copied(mechanism: str, combination: int) -> Subject:
        return placed(
            f"{mechanism}: {combination}, handler",
            mechanism,
            lambda tracer: VirtualFiles(paths, inspect=combination == _INSPECTED).install(tracer),
        )

    yield copied("ptrace-syscall", _INSPECTED)
    yield copied("seccomp-trace", _INSPECTED)
    yield copied("seccomp-trace", _SKIPPED)


def _limit(name: str, subject: Subject, settings: Settings) -> Limit | None:
    """Promise that it is faster; of a small copy most is the start of the tracer."""
    before = [one.before for one in SPEED_UPS[name] if one.after == subject.name]
    return Limit(_TIMES, before[0]) if before and not settings.quick else None


# ------------------------------------------------------------------------------- the table


def table(comparison: Comparison) -> str:
    """Tabulate how many times as fast each copy is for one stop less a call, round by round."""
    measured = {one.subject: one for one in comparison.measured}
    rows = [
        (one.tag, *_compared(measured[one.before], measured[one.after]))
        for one in SPEED_UPS[comparison.workload]
    ]
    return f"{markdown_table(_HEAD, rows)}\n\n`{_shown(comparison.command)}`. {_CAPTION}"


def _compared(before: Measured, after: Measured) -> tuple[str, str, str]:
    times = "?"
    if before.costs and after.costs:
        times = str(Spread.of_ratios(before.costs, after.costs))
    return _cost(before), _cost(after), times


def _cost(measured: Measured) -> str:
    """Name a subject, with its time and its stops of calls."""
    if not measured.costs:
        return f"{measured.subject}: ({measured.problem})"
    milliseconds = 1000 * Spread.of(measured.costs).median
    return f"{measured.subject}: {milliseconds:,.0f} ms, {measured.own_stops:,} stops"


def _shown(command: Sequence[str]) -> str:
    """Write a command without the directory of its input, which is another in each run."""
    return " ".join(re.sub("/.*/", "", word) for word in command)
