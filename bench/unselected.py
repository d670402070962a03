"""A call that is not selected: what it costs that there is a filter.

Any filter, even one that allows everything, makes the kernel enter each call on a longer path: some
40 ns on the machine where this was written, a quarter of a getppid and a twentieth of a stat. So
accel promises two things: an ordinary call costs at most 1.1 times the native one, and the cheapest
call at most 1.1 times what it costs under a filter that only allows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from accel import Tracer
from bench.measure import Comparison, Contestant, Limit, Settings, compare
from bench.subjects import Library, Wrapper, strace
from bench.workloads import compiled, repeated

__all__ = ["run"]

_SELECTED: Final = "socket"
_NATIVE, _ANY_FILTER = "native", "a filter that allows all"
#: The speed of a machine varies by more than the limit: it takes many short rounds to see through.
_TIMES_THE_ROUNDS: Final = 10
#: {workload: the call, how many are a short run, and what 1.1 times is promised of}
_CALLS: Final = {
    "unselected-getppid": ("getppid", 100_000, Limit(1.1, _ANY_FILTER)),
    "unselected-stat": ("stat", 20_000, Limit(1.1, _NATIVE)),
}


def run(name: str, settings: Settings) -> Comparison:
    """Compare the cost of one call that nobody selected; raise Missing without a C compiler."""
    call, calls, limit = _CALLS[name]
    # A trial has too few rounds to judge.
    promised = None if settings.quick else limit
    rounds = settings.rounds if settings.quick else _TIMES_THE_ROUNDS * settings.rounds
    with compiled("one_call") as program, compiled("allow_all") as allow_all:
        task = repeated(program, call, calls)
        contestants = [
            Contestant(Wrapper(_NATIVE), task),
            Contestant(Library("accel", _observe), task, promised),
            Contestant(Wrapper(_ANY_FILTER, (allow_all,)), task),
            Contestant(strace("strace --seccomp-bpf", _SELECTED, "--seccomp-bpf"), task),
        ]
        return compare(name, contestants, replace(settings, rounds=rounds), "ns")


def _observe(tracer: Tracer) -> None:
    """Watch another call."""
    tracer.on_exit(_SELECTED)(lambda _stop: None)
