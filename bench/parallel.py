"""A program that computes on all CPUs and stops ten times a second: it must not notice."""

from __future__ import annotations

import os
from typing import Final

from accel import Tracer
from bench.measure import Comparison, Contestant, Limit, Settings, compare
from bench.subjects import Library, Task, Wrapper, accel_trace
from bench.workloads import compiled

__all__ = ["run"]

_CALLS: Final = "getppid,openat"
_WITHIN: Final = Limit(1.03, "native")


def run(name: str, settings: Settings) -> Comparison:
    """Compare a parallel program with itself under accel; raise Missing without a C compiler."""
    with compiled("parallel", "-pthread") as program:
        rounds = 500 if settings.quick else 20_000
        task = Task((program, str(rounds), "10", str(len(os.sched_getaffinity(0)))))
        # A trial is too short for its start not to count.
        limit = None if settings.quick else _WITHIN
        contestants = [
            Contestant(Wrapper("native"), task),
            Contestant(Library("accel library", _count), task, limit),
            Contestant(accel_trace("accel trace", _CALLS), task),
        ]
        return compare(name, contestants, settings)


def _count(tracer: Tracer) -> None:
    """Stop, and look at nothing."""
    tracer.observe(lambda _stop: None, calls=False)
    tracer.on_exit(_CALLS)(lambda _stop: None)
