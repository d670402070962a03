"""What a user notification costs, by who answers it; nothing is placed, on either side.

The program makes getppid over and over; every call notifies, and is skipped or let run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from accel import Decision, Tracer
from bench.circumstances import ByLoop
from bench.measure import Comparison, Contestant, Limit, Settings, compare
from bench.peers import peers
from bench.subjects import Library, Subject, Wrapper
from bench.workloads import compiled, repeated

__all__ = ["run"]

Configure = Callable[[Tracer], None]

_CALL: Final = "getppid"
_NUMBER: Final = "110"
_RESULT: Final = 4242
_ANSWERS: Final = {"skip": Decision.skip(_RESULT), "continue": Decision.resume()}
_C: Final = "C supervisor"
_SANDLOCK: Final = "sandlock, Python handler"
_WITHIN: Final = Limit(1.10, _C)
_HANDLER_WITHIN: Final = Limit(2.5, _C)
_AGAINST_SANDLOCK: Final = Limit(1 / 10, _SANDLOCK)


def run(name: str, settings: Settings) -> Comparison:
    """Compare supervisors; raise Missing without a C compiler."""
    answer = name.removeprefix("notify-")
    with compiled("one_call") as program, compiled("notify_supervisor", "-pthread") as supervisor:
        many = repeated(program, _CALL, 100_000 if settings.quick else 1_000_000)
        few = repeated(program, _CALL, 500 if settings.quick else 50_000)
        contestants = [Contestant(Wrapper("native"), many)]
        contestants += [
            Contestant(subject, few, limit) for subject, limit in _subjects(supervisor, answer)
        ]
        return compare(name, contestants, settings, "ns")


def _subjects(supervisor: str, answer: str) -> Iterator[tuple[Subject, Limit | None]]:
    """List who answers, and what is promised of it."""
    yield from (
        (peer, None)
        for peer in peers(_CALL, _NUMBER, "skipcall" if answer == "skip" else "skipexit")
        if peer.name == _SANDLOCK
    )
    yield Wrapper(_C, (supervisor, answer, _NUMBER, "1")), None
    constant, handler = _constant(answer), _handler(answer)
    yield ByLoop("compiled loop", "numba", _library(constant)), _WITHIN
    yield ByLoop("Python handler", "numba", _library(handler)), _HANDLER_WITHIN
    yield ByLoop("Python handler, once more", "numba", _library(handler)), _AGAINST_SANDLOCK
    yield ByLoop("Python twin", "python", _library(constant)), None
    yield ByLoop("compiled loop at seccomp-stops", "numba", Library("", constant, mask=_CALL)), None


def _library(configure: Configure) -> Library:
    # What nobody observes, and is let run, would not come at all.
    return Library("", configure, "auto", _CALL, "user-notify")


def _constant(answer: str) -> Configure:
    """Answer with a constant, in the loop."""
    return lambda tracer: tracer.decide(_CALL, _ANSWERS[answer])


def _handler(answer: str) -> Configure:
    """Let Python look at an argument."""
    decision = _ANSWERS[answer]

    def configure(tracer: Tracer) -> None:
        tracer.on_entry(_CALL)(lambda stop: decision if stop.args[0] >= 0 else Decision.allow())

    return configure
