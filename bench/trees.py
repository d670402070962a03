"""Two Tracers in one process: each has a thread, a loop without the GIL, and a CPU."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Final

from accel import Decision, Tracer
from bench.measure import Comparison, Contestant, Limit, Missing, Settings, compare
from bench.subjects import Library, Run, Task, Wrapper
from bench.workloads import compiled, repeated

__all__ = ["run"]

_CALL: Final = "getppid"
_ONE: Final = "one Tracer"
#: As many stops a second, at least.
_TIMES: Final = 1.7


def run(name: str, settings: Settings) -> Comparison:
    """Compare one tree with two; raise Missing without a second CPU."""
    if len(os.sched_getaffinity(0)) < 2:
        raise Missing("there is one CPU: two trees would share it")
    with compiled("one_call") as program:
        many = repeated(program, _CALL, 100_000 if settings.quick else 1_000_000)
        few = repeated(program, _CALL, 2_000 if settings.quick else 30_000)
        one = Library(_ONE, _resume, mask=_CALL)
        # A trial is too short for two trees to find their CPUs.
        limit = None if settings.quick else Limit(1 / _TIMES, _ONE)
        # What a call costs if two are made at a time is half of what each takes.
        contestants = [
            Contestant(Wrapper("native"), many),
            Contestant(one, few),
            Contestant(_Twice("two Tracers at once", one), few, limit),
        ]
        # Single runs differ by a fifth.
        return compare(name, contestants, settings, "ns", promised=8)


def _resume(tracer: Tracer) -> None:
    """Stop before the call only; no Python."""
    tracer.decide(_CALL, Decision.resume())


@dataclass(frozen=True, slots=True)
class _Twice:
    """The same subject two times at once; the cost of a call is shared by both."""

    name: str
    subject: Library

    def missing(self) -> str:
        """Ask the subject."""
        return self.subject.missing()

    def run(self, task: Task) -> Run:
        """Run two tasks; they take as long as the slower one."""
        runs: list[Run] = []
        threads = [
            threading.Thread(target=lambda: runs.append(self.subject.run(task))) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        one, other = runs
        stops = None
        if one.own_stops is not None and other.own_stops is not None:
            stops = one.own_stops + other.own_stops
        return Run(one.outcome, max(one.cost, other.cost) / 2, stops)
