"""Real programs of which only openat is selected, by accel and by strace with and without a filter.

``true`` is among them for what it does not do: its time is that of the tracer's own start.
"""

from __future__ import annotations

from typing import Final

from accel import Decision, Tracer
from accel.stops import SyscallEntryStop
from bench.measure import Comparison, Contestant, Settings, compare
from bench.subjects import Library, Subject, Wrapper, accel_trace, strace
from bench.workloads import real_program

__all__ = ["run"]

_CALLS: Final = "openat"


def run(name: str, settings: Settings) -> Comparison:
    """Run one program under every subject; raise Missing if it is not installed."""
    with real_program(name, settings) as task:
        return compare(name, [Contestant(subject, task) for subject in _SUBJECTS], settings)


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
    strace("strace --seccomp-bpf", _CALLS, "--seccomp-bpf"),
)
