"""What a second supervisor is worth: four threads that do nothing but call, and who answers them.

Where an answer takes work, 25 us of computing here, two supervisors do it on two CPUs. A constant
takes none, so that a call is but a hand-over: with one supervisor it stays on one CPU, with two its
threads move between both, which takes twice the CPU time and leaves a quarter gained, or nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Final

from accel import Decision, Tracer
from bench.circumstances import ByLoop
from bench.measure import Comparison, Contestant, Limit, Settings, compare
from bench.subjects import Library, Subject, Task, Wrapper
from bench.workloads import compiled

__all__ = ["run"]

_CALL: Final = "getppid"
_NUMBER: Final = "110"
_RESULT: Final = 4242
_THREADS: Final = 4
#: Of the computing that makes an answer: about 25 us.
_TURNS: Final = 12_500
#: Of wall time a call, so 1.5 times as many calls a second.
_TWO_WITHIN: Final = 1 / 1.5
_REPORT: Final = "nanoseconds"


def run(name: str, settings: Settings) -> Comparison:
    """Compare one supervisor with two; raise Missing without a C compiler."""
    with (
        compiled("notify_threads", "-pthread") as program,
        compiled("notify_supervisor", "-pthread") as supervisor,
    ):
        many, few = (2_000, 200) if settings.quick else (500_000, 8_000)
        # A trial is too short for promises, and one CPU has room for one supervisor.
        is_held = not settings.quick and len(os.sched_getaffinity(0)) > 1
        contestants = [
            Contestant(Wrapper("native"), _task(program, 0, many)),
            *_pairs(_computing(supervisor), _task(program, _TURNS, few), is_held=is_held),
            *_pairs(_constant(supervisor), _task(program, 0, few), is_held=False),
        ]
        return compare(name, contestants, settings, "ns")


def _task(program: str, turns: int, calls: int) -> Task:
    """Let each thread make so many calls, and check what they return."""
    argv = (program, str(_THREADS), str(calls), str(turns), _REPORT)
    return Task(argv, report=_REPORT, calls=_THREADS * calls)


def _pairs(
    pairs: Iterator[tuple[Subject, Subject]], task: Task, *, is_held: bool
) -> Iterator[Contestant]:
    """Compare the second of each pair with the first, if it ``is_held`` to the promise."""
    for one, two in pairs:
        yield Contestant(one, task)
        yield Contestant(two, task, Limit(_TWO_WITHIN, one.name) if is_held else None)


# ------------------------------------------------------------------------------- who answers


def _computing(supervisor: str) -> Iterator[tuple[Subject, Subject]]:
    """List who computes each answer: one and two of each."""
    yield _in_c("computed: C", supervisor, str(_TURNS))
    yield _by_accel("computed: jit handler", _compute)


def _constant(supervisor: str) -> Iterator[tuple[Subject, Subject]]:
    """List who answers with a constant: one and two of each."""
    yield _in_c("constant: C", supervisor, "skip")
    yield _by_accel(
        "constant: compiled loop", lambda tracer: tracer.decide(_CALL, Decision.skip(_RESULT))
    )


def _in_c(name: str, supervisor: str, mode: str) -> tuple[Subject, Subject]:
    one, two = (
        Wrapper(_counted(name, count), (supervisor, mode, _NUMBER, str(count))) for count in (1, 2)
    )
    return one, two


def _by_accel(name: str, configure: Callable[[Tracer], None]) -> tuple[Subject, Subject]:
    one, two = (
        ByLoop(
            _counted(name, count),
            "numba",
            Library("", configure, "auto", _CALL, "user-notify", count),
        )
        for count in (1, 2)
    )
    return one, two


def _counted(name: str, count: int) -> str:
    return f"{name}, {count} supervisor{'s' if count > 1 else ''}"


def _compute(tracer: Tracer) -> None:
    """Answer as ``answer_to`` in answer.h does: the program checks that."""
    from accel import jit  # noqa: PLC0415 - it imports numba

    def answer(call: jit.JitCall, _state: object) -> tuple[int, int]:
        x = call.arguments[0] + 1
        for _turn in range(_TURNS):
            x ^= x << 13
            # Numbers are signed here: what comes in from the left would be the sign.
            x ^= (x >> 7) & 0x01FF_FFFF_FFFF_FFFF
            x ^= x << 17
        return jit.SKIP, x & 0x7FFF_FFFF

    tracer.on_entry(_CALL, jit=True)(answer)  # type: ignore[type-var]
