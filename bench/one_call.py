"""One call repeated: what a stop costs, and a line of text.

The program measures itself, so the start of the tracer does not count here.
"""

from __future__ import annotations

from typing import Final

from accel import Decision, Tracer
from accel.stops import SyscallEntryStop, SyscallExitStop
from bench.measure import Comparison, Contestant, Limit, Settings, compare
from bench.subjects import Library, Wrapper, accel_trace, strace
from bench.workloads import compiled, repeated

__all__ = ["run"]

_CALL: Final = "getppid"
_STRACE: Final = "strace --seccomp-bpf"
#: Eight times as many calls a second.
_LIMIT: Final = Limit(1 / 8, _STRACE)
#: A line with a struct, which is copied at the stop and printed later.
_THIRD: Final = Limit(1 / 3, _STRACE)


def run(name: str, settings: Settings) -> Comparison:
    """Compare the cost of one selected call; raise Missing without a C compiler."""
    return _stat(name, settings) if name == "one-stat" else _getppid(name, settings)


def _stat(name: str, settings: Settings) -> Comparison:
    """Print newfstatat(2), with the struct that it writes."""
    with compiled("one_call") as program:
        task = repeated(program, "stat", 500 if settings.quick else 20_000)
        limit = None if settings.quick else _THIRD
        contestants = [
            Contestant(Wrapper("native"), task),
            Contestant(accel_trace("accel trace", "newfstatat"), task, limit),
            Contestant(strace(_STRACE, "newfstatat", "--seccomp-bpf"), task),
            Contestant(strace("strace", "newfstatat"), task),
        ]
        return compare(name, contestants, settings, "ns")


def _getppid(name: str, settings: Settings) -> Comparison:
    """Count, answer and print the cheapest call there is."""
    with compiled("one_call") as program:
        # Stops are a hundred times slower than calls: fewer of them take as long.
        many = repeated(program, _CALL, 100_000 if settings.quick else 1_000_000)
        few = repeated(program, _CALL, 500 if settings.quick else 5_000)
        limit = None if settings.quick else _LIMIT  # A trial is too short for tracers to settle.
        contestants = [
            Contestant(Wrapper("native"), many),
            Contestant(Library("accel library, answered in the filter", _answer), many),
            Contestant(Library("accel library, counted", _count, mask=_CALL), few, limit),
            Contestant(Library("accel library, SKIPEXIT", _skip_exit), few),
            Contestant(Library("accel library, exit-stop", _inspect), few),
            Contestant(accel_trace("accel trace", _CALL), few),
            Contestant(strace(_STRACE, _CALL, "--seccomp-bpf"), few),
            Contestant(strace("strace", _CALL), few),
        ]
        return compare(name, contestants, settings, "ns")


def _answer(tracer: Tracer) -> None:
    """Return a constant: no stop."""
    tracer.decide(_CALL, Decision.skip(0))


def _count(tracer: Tracer) -> None:
    """Look at nothing: the loop counts."""
    del tracer


def _skip_exit(tracer: Tracer) -> None:
    """Stop before the call only, for Python to look at it."""

    @tracer.on_entry(_CALL)
    def resume(_stop: SyscallEntryStop) -> Decision:
        return Decision.resume()


def _inspect(tracer: Tracer) -> None:
    """Stop before the call and after it."""

    @tracer.on_exit(_CALL)
    def keep(_stop: SyscallExitStop) -> None:
        return None
