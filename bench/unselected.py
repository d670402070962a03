"""A call that is not selected: what it costs that there is a filter.

Any filter, even one that allows everything, makes the kernel enter each call on a longer path: some
40 ns on the machine where this was written, a quarter of a getppid and a twentieth of a stat. So
accel promises two things: an ordinary call costs at most 1.1 times the native one, and the cheapest
call at most 1.1 times what it costs under a filter that only allows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bench.measure import Comparison, Contestant, Limit, Settings, compare
from bench.subjects import Wrapper, accel_trace, strace
from bench.workloads import compiled, repeated

__all__ = ["run"]

_SELECTED: Final = "socket"
_NATIVE, _ANY_FILTER = "native", "a filter that allows all"
#: A machine's speed varies by more than the limit: only many short runs meet it at its best.
_TIMES_THE_ROUNDS: Final = 4
#: {workload: the call, and what 1.1 times is promised of}
_CALLS: Final = {
    "unselected-getppid": ("getppid", Limit(1.1, _ANY_FILTER)),
    "unselected-stat": ("stat", Limit(1.1, _NATIVE)),
}


def run(name: str, settings: Settings) -> Comparison:
    """Compare the cost of one call that nobody selected; raise Missing without a C compiler."""
    call, limit = _CALLS[name]
    with compiled("one_call") as program, compiled("allow_all") as allow_all:
        many = repeated(program, call, 100_000)
        few = repeated(program, call, 500 if settings.quick else 5_000)
        # A trial has too few rounds to judge.
        promised = None if settings.quick else limit
        rounds = settings.rounds if settings.quick else _TIMES_THE_ROUNDS * settings.rounds
        contestants = [
            Contestant(Wrapper(_NATIVE), many),
            Contestant(Wrapper(_ANY_FILTER, (allow_all,)), many),
            Contestant(accel_trace("accel trace", _SELECTED), many, promised),
            Contestant(strace("strace --seccomp-bpf", _SELECTED, "--seccomp-bpf"), many),
            Contestant(strace("strace", _SELECTED), few),
        ]
        return compare(name, contestants, replace(settings, rounds=rounds), "ns")
