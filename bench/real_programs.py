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
#: A third of strace's overhead, also where every call is printed.
_LIMIT: Final = Limit(1 / 3, _STRACE, overhead=True)


def run(name: str, settings: Settings) -> Comparison:
    """Run one program under every subject; raise Missing if it is not installed."""
    with real_program(name, settings) as task:
        # Of small inputs most is the start of the tracer.
        limit = None if settings.quick or name == "true" else _LIMIT
        contestants = [
            Contestant(subject, task, limit if subject.name.startswith("accel") else None)
            for subject in _SUBJECTS
        ]
        return compare(name, contestants, settings)


def _skip_exit(tracer: Tracer) -> None:
    """Hear of each call once, before it runs."""

    @tracer.on_entry(_CALLS)
    def resume(_stop: SyscallEntryStop) -> Decision:
        return Decision.resume()


_SUBJECTS: Final[tuple[Subject, ...]] = (
    Wrapper("native"),
    accel_trace("accel trace", _CALLS),
    Library("accel library, SKIPEXIT", _skip_exit),
    strace("strace", _CALLS),
    strace(_STRACE, _CALLS, "--seccomp-bpf"),
)
