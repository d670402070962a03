"""Real programs of which only openat is selected, by accel and by strace with and without a filter.

``true`` is among them for what it does not do: its time is that of the tracer's own start.
"""

from __future__ import annotations

from typing import Final

from accel import Decision, Tracer
from accel.stops import SyscallEntryStop
from bench.measure import Comparison, Contestant, Limit, Settings, compare
from bench.subjects import Library, Subject, Wrapper, accel_trace, strace
from bench.workloads import real_program

__all__ = ["run"]

_CALLS: Final = "openat"
_STRACE: Final = "strace --seccomp-bpf"
_TRACE: Final = "accel trace"
_OBSERVE: Final = "accel trace --mechanism observe"
_LIBRARY: Final = "accel library, SKIPEXIT"
#: Of strace's overhead: a third where most of it is stops, also where every call is printed.
#: Compilers and interpreters lose more by what a stop throws out of their caches, whoever stops
#: them, and start many processes: there only who stops nothing costs a third.
_THIRD: Final = Limit(1 / 3, _STRACE, overhead=True)
_ALL: Final = Limit(1, _STRACE, overhead=True)
_LIMITS: Final = {
    "find": {_TRACE: _THIRD, _LIBRARY: _THIRD, _OBSERVE: _THIRD},
    "tar": {_TRACE: _THIRD, _LIBRARY: _THIRD, _OBSERVE: _THIRD},
    "python": {_TRACE: _ALL, _LIBRARY: _ALL, _OBSERVE: _THIRD},
    "gcc": {_OBSERVE: _THIRD},
}


def run(name: str, settings: Settings) -> Comparison:
    """Run one program under every subject; raise Missing if it is not installed."""
    with real_program(name, settings) as task:
        # Of small inputs most is the start of the tracer.
        limits = {} if settings.quick else _LIMITS.get(name, {})
        contestants = [Contestant(subject, task, limits.get(subject.name)) for subject in _SUBJECTS]
        # What is promised of gcc is less than what two native runs differ by.
        return compare(name, contestants, settings, promised=6 if name == "gcc" else 1)


def _skip_exit(tracer: Tracer) -> None:
    """Hear of each call once, before it runs."""

    @tracer.on_entry(_CALLS)
    def resume(_stop: SyscallEntryStop) -> Decision:
        return Decision.resume()


_SUBJECTS: Final[tuple[Subject, ...]] = (
    Wrapper("native"),
    accel_trace(_TRACE, _CALLS),
    accel_trace(_OBSERVE, _CALLS, "-q", "--mechanism", "observe"),
    Library(_LIBRARY, _skip_exit),
    strace("strace", _CALLS),
    strace(_STRACE, _CALLS, "--seccomp-bpf"),
)
