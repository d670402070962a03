"""What one stop costs: by who answers it, with what, and on which CPU.

All subjects are placed alike: on one CPU, on another than the tracee's, or not at all; only accel's
own placement, where it is named, is its own doing. The program measures itself.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from accel import Decision, SyscallMask, Tracer
from bench.measure import Comparison, Contestant, Limit, Missing, Settings, compare
from bench.subjects import Library, Run, Subject, Task, Wrapper, strace
from bench.workloads import compiled, repeated

__all__ = ["run"]

_CALL: Final = "getppid"
_NUMBER: Final = "110"
_RESULT: Final = 4242
_C_LOOP: Final = "C loop"
_WITHIN: Final = 1.10

Configure = Callable[[Tracer], None]


def run(name: str, settings: Settings) -> Comparison:
    """Compare ``loop-ANSWER-WHERE``; raise Missing without compiler, taskset or a second CPU."""
    _loop, answer, where = name.split("-", 2)
    with compiled("one_call") as program, compiled("reference_loop") as reference:
        many = repeated(program, _CALL, 100_000 if settings.quick else 1_000_000)
        few = repeated(program, _CALL, 500 if settings.quick else 3_000)
        injected = ("-e", f"inject={_CALL}:retval={_RESULT}") if answer == "skipcall" else ()
        constant, handler = _CONSTANTS[answer], _HANDLERS[answer]
        subjects: list[Subject] = [
            Wrapper(_C_LOOP, (reference, answer, _NUMBER)),
            _Loop("numba loop", "numba", Library("", constant, "none")),
            _Loop("numba loop, placement auto", "numba", Library("", constant, "auto")),
            _Loop("Python twin", "python", Library("", constant, "none")),
            _Loop("Python handler", "python", Library("", handler, "none")),
            strace("strace --seccomp-bpf", _CALL, "--seccomp-bpf", *injected),
            strace("strace", _CALL, *injected),
        ]
        contestants = [Contestant(_Placed(Wrapper("native"), where), many)]
        for subject in subjects:
            limit = Limit(_WITHIN, _C_LOOP) if subject.name == "numba loop" else None
            contestants.append(Contestant(_Placed(subject, where), few, limit))
        return compare(name, contestants, settings, "ns")


@dataclass(frozen=True, slots=True)
class _Loop:
    """A Tracer in this process with one of the two loops."""

    name: str
    loop: str
    library: Library

    def missing(self) -> str:
        """Look for numba."""
        found = self.loop != "numba" or importlib.util.find_spec("numba")
        return "" if found else "numba is not installed"

    def run(self, task: Task) -> Run:
        """Run the task with ACCEL_LOOP set."""
        before = os.environ.get("ACCEL_LOOP")
        os.environ["ACCEL_LOOP"] = self.loop
        try:
            return self.library.run(task)
        finally:
            del os.environ["ACCEL_LOOP"]
            if before is not None:
                os.environ["ACCEL_LOOP"] = before


@dataclass(frozen=True, slots=True)
class _Placed:
    """A subject that inherits its placement from this process; its command may move itself."""

    subject: Subject
    where: str

    @property
    def name(self) -> str:
        """The subject's."""
        return self.subject.name

    def missing(self) -> str:
        """Find out what the subject needs."""
        return self.subject.missing()

    def run(self, task: Task) -> Run:
        """Run the subject on the CPUs that ``where`` names, the task perhaps on another."""
        cpus = sorted(os.sched_getaffinity(0))
        if self.where == "free":
            return self.subject.run(task)
        if self.where == "same-cpu":
            with _on(cpus[0]):
                return self.subject.run(task)
        taskset = shutil.which("taskset")
        if taskset is None or len(cpus) < 2:
            raise Missing("taskset and a second CPU are needed to keep tracer and tracee apart")
        with _on(cpus[1]):
            return self.subject.run(replace(task, argv=(taskset, "-c", str(cpus[0]), *task.argv)))


@contextmanager
def _on(cpu: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _counts(tracer: Tracer) -> None:
    """Count, and look at nothing."""
    tracer.mask = SyscallMask.parse(_CALL)


def _constant(decision: Decision) -> Configure:
    return lambda tracer: tracer.decide(_CALL, decision)


def _entry(decision: Decision) -> Configure:
    def configure(tracer: Tracer) -> None:
        tracer.on_entry(_CALL)(lambda _stop: decision)

    return configure


def _exit(tracer: Tracer) -> None:
    tracer.on_exit(_CALL)(lambda _stop: None)


_CONSTANTS: Final[dict[str, Configure]] = {
    "count": _counts,
    "skipexit": _counts,
    "skipcall": _constant(Decision.skip(_RESULT)),
    "both": _constant(Decision.inspect()),
}
_HANDLERS: Final[dict[str, Configure]] = {
    "count": _entry(Decision.resume()),
    "skipexit": _entry(Decision.resume()),
    "skipcall": _entry(Decision.skip(_RESULT)),
    "both": _exit,
}
