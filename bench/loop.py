"""What one stop costs: by who answers it, with what, and on which CPU.

All subjects are placed alike: on one CPU, on another than the tracee's, or not at all; only accel's
own placement, where it is named, is its own doing. The program measures itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from accel import Decision, Tracer
from accel.records import Batch
from bench.circumstances import ByLoop, Placed
from bench.measure import Comparison, Contestant, Limit, Settings, compare
from bench.peers import peers
from bench.subjects import Library, Subject, Wrapper, strace
from bench.workloads import compiled, repeated

__all__ = ["run"]

_CALL: Final = "getppid"
_NUMBER: Final = "110"
_RESULT: Final = 4242
_C_LOOP: Final = "C loop"
#: How many calls tracers answer, by where they are. Left to the scheduler, they change places.
_FEW: Final = {"same-cpu": 2_000, "other-cpu": 2_000, "free": 5_000}
_WITHIN: Final = 1.10
_HANDLER_WITHIN: Final = 2.0

Configure = Callable[[Tracer], None]


def run(name: str, settings: Settings) -> Comparison:
    """Compare ``loop-ANSWER-WHERE``; raise Missing without compiler, taskset or a second CPU."""
    _loop, answer, where = name.split("-", 2)
    with compiled("one_call") as program, compiled("reference_loop") as reference:
        many = repeated(program, _CALL, 100_000 if settings.quick else 1_000_000)
        few = repeated(program, _CALL, 500 if settings.quick else _FEW[where])
        contestants = [Contestant(Placed(Wrapper("native"), where), many)]
        contestants += [
            Contestant(Placed(subject, where), few, limit)
            for subject, limit in _subjects(reference, answer)
        ]
        # Where two CPUs are involved single runs differ by a half and more, whoever answers.
        return compare(name, contestants, settings, "ns", promised=8)


def _subjects(reference: str, answer: str) -> Iterator[tuple[Subject, Limit | None]]:
    """List who answers, and what is promised of it."""
    constant, handler = _CONSTANTS[answer], _HANDLERS[answer]
    injected = ("-e", f"inject={_CALL}:retval={_RESULT}") if answer == "skipcall" else ()
    yield Wrapper(_C_LOOP, (reference, answer, _NUMBER)), None
    yield (
        ByLoop("numba loop", "numba", Library("", constant, "none", _CALL)),
        Limit(_WITHIN, _C_LOOP),
    )
    yield ByLoop("numba loop, placement auto", "numba", Library("", constant, "auto", _CALL)), None
    yield ByLoop("Python twin", "python", Library("", constant, "none", _CALL)), None
    python = ByLoop("Python handler", "numba", Library("", handler, "none", _CALL))
    yield python, Limit(_HANDLER_WITHIN, _C_LOOP)
    yield strace("strace --seccomp-bpf", _CALL, "--seccomp-bpf", *injected), None
    yield strace("strace", _CALL, *injected), None
    yield from ((peer, None) for peer in peers(_CALL, _NUMBER, answer))


def _counts(tracer: Tracer) -> None:
    """Count, and look at nothing: that is what observing a call comes to, if nobody does."""
    del tracer


class _Nowhere:
    """A sink that lets records go."""

    def write(self, _batch: Batch) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def _records(tracer: Tracer) -> None:
    """Record the call and its arguments, at one stop."""
    tracer.record(_Nowhere(), exits=False)


def _constant(decision: Decision) -> Configure:
    return lambda tracer: tracer.decide(_CALL, decision)


def _entry(decision: Decision) -> Configure:
    """Let Python look at an argument."""

    def configure(tracer: Tracer) -> None:
        tracer.on_entry(_CALL)(lambda stop: decision if stop.args[0] >= 0 else Decision.allow())

    return configure


def _exit(tracer: Tracer) -> None:
    """Let Python look at an argument and at the result."""
    tracer.on_exit(_CALL)(lambda stop: None if stop.args[0] >= 0 else stop.result)


_CONSTANTS: Final[dict[str, Configure]] = {
    "count": _counts,
    "observe": _records,
    "skipexit": _constant(Decision.resume()),
    "skipcall": _constant(Decision.skip(_RESULT)),
    "both": _constant(Decision.inspect()),
}
_HANDLERS: Final[dict[str, Configure]] = {
    "count": _entry(Decision.resume()),
    "observe": _entry(Decision.resume()),
    "skipexit": _entry(Decision.resume()),
    "skipcall": _entry(Decision.skip(_RESULT)),
    "both": _exit,
}
