"""What a condition on tracee memory costs, by who judges it; tracer and tracee are on one CPU.

The program stats "/" over and over; every call stops, and its path is looked at. Only the skipped
ones do not run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from accel import Decision, SyscallEntryStop, Tracer, path
from bench.circumstances import ByLoop, Placed
from bench.measure import Comparison, Contestant, Limit, Settings, compare
from bench.subjects import Library, Subject, Wrapper
from bench.workloads import compiled, repeated

__all__ = ["run"]

Configure = Callable[[Tracer], None]

_CALL: Final = "newfstatat"
_NUMBER: Final = "262"
_ERRNO: Final = 2
_SECRET: Final = "/secret"
_C_LOOP: Final = "C loop"
_WITHIN: Final = Limit(1.10, _C_LOOP)


def run(name: str, settings: Settings) -> Comparison:
    """Compare who judges a path; raise Missing without a C compiler."""
    with compiled("one_call") as program, compiled("reference_loop") as reference:
        many = repeated(program, "stat", 100_000 if settings.quick else 1_000_000)
        few = repeated(program, "stat", 500 if settings.quick else 200_000)
        contestants = [Contestant(Placed(Wrapper("native"), "same-cpu"), many)]
        contestants += [
            Contestant(Placed(subject, "same-cpu"), few, limit)
            for subject, limit in _subjects(reference)
        ]
        return compare(name, contestants, settings, "ns")


def _subjects(reference: str) -> Iterator[tuple[Subject, Limit | None]]:
    """List who judges."""
    yield Wrapper(_C_LOOP, (reference, "judge", _NUMBER)), None
    yield ByLoop("numba loop, path not looked at", "numba", _library(_count, _CALL)), None
    yield ByLoop("numba loop", "numba", _library(_judge)), _WITHIN
    yield ByLoop("numba loop, call skipped", "numba", _library(_judge_and_skip)), None
    yield ByLoop("Python twin", "python", _library(_judge)), None
    yield ByLoop("Python handler", "numba", _library(_handler)), None


def _library(configure: Configure, mask: str | None = None) -> Library:
    return Library("", configure, "none", mask)


def _count(tracer: Tracer) -> None:
    """Look at nothing."""
    del tracer


def _judge(tracer: Tracer) -> None:
    """Look at a path that is another."""
    tracer.decide(_CALL, Decision.fail(_ERRNO), where=path.within(_SECRET))


def _judge_and_skip(tracer: Tracer) -> None:
    """Look at a path that is the one, and do not let the call run."""
    tracer.decide(_CALL, Decision.fail(_ERRNO), where=path.within("/"))


def _handler(tracer: Tracer) -> None:
    """Let Python look."""

    @tracer.on_entry(_CALL)
    def hide(stop: SyscallEntryStop) -> Decision:
        is_secret = stop.read_string(stop.args[1]).startswith(b"/secret/")
        return Decision.fail(_ERRNO) if is_secret else Decision.resume()
