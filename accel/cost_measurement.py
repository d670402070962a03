"""Measure what a call costs by each mechanism on this host: the table of ``accel.costs``.

A program of machine code calls getppid(2) and takes the time itself, so that the start of a tracer
does not count. Rounds alternate in order, and medians are kept: what else the machine does mostly
disturbs all alike. Tracer and tracees share one CPU, as they do while stops are frequent.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Final, cast

from accel._kernel.caller import REPORT_SIZE, program, read_report
from accel.capabilities import MECHANISMS, MechanismName
from accel.costs import NATIVE, CostTable, Loop, Way
from accel.decision import Decision
from accel.errors import AccelError, SetupError, UnsupportedKernel
from accel.tracer import Tracer

__all__ = ["Progress", "measure"]

#: Is told what goes on.
Progress = Callable[[str], None]

_CALL: Final = "getppid"
#: No getppid returns it by itself, and no filter can answer with it.
_VALUE: Final = 4242
_DECISIONS: Final = (
    Decision.inspect(),
    Decision.resume(),
    Decision.skip(_VALUE, inspect=True),
    Decision.skip(_VALUE),
    Decision.exit_only(),
    Decision.allow(),
    Decision.emulate(_VALUE),
    Decision.nullify(),
)
#: How many calls one run makes: some 10 ms, by ways that take so long, and by those that are quick.
_CALLS, _MANY_CALLS = 500, 40_000
_QUICK_NS: Final = 3000
_ROUNDS, _FEWEST_ROUNDS = 7, 3
#: After that, no other round begins.
_SECONDS: Final = 6.0
#: What takes so long to start, as eBPF programs that are compiled, takes part only in so many.
_SLOW_START: Final = 0.3
_ROUNDS_OF_THE_SLOW: Final = 2
_TIMEOUT: Final = 10.0


def measure(progress: Progress) -> CostTable:
    """Measure every combination of every mechanism; some 6 s, 10 where eBPF is to be had.

    The first time numba compiles the loop, which takes as long again. Raise UnsupportedKernel where
    not even the program itself can run.
    """
    with _on_one_cpu(), _loop(progress) as loop:
        return _Measurement(progress).table(loop)


class _Measurement:
    """What has been measured so far."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._ways = [NATIVE] + [
            Way(name, combination) for name, one in MECHANISMS.items() for combination in one.stops
        ]
        self._found: dict[Way, list[float]] = {way: [] for way in self._ways}
        self._missing: dict[Way, str] = {}
        self._slow: set[Way] = set()

    def table(self, loop: Loop) -> CostTable:
        """Run the rounds, and sum up."""
        began = time.monotonic()
        for number in range(_ROUNDS):
            if number >= _FEWEST_ROUNDS and time.monotonic() - began > _SECONDS:
                break
            for way in self._ways if number % 2 == 0 else reversed(self._ways):
                self._take_part(way, number)
        medians = {way: statistics.median(found) for way, found in self._found.items() if found}
        if NATIVE not in medians:
            raise UnsupportedKernel(
                f"nothing can be measured here: {self._missing[NATIVE]}",
                hint="see what this host refuses with: accel doctor",
            )
        return CostTable(
            MappingProxyType(medians), int(time.time()), loop, MappingProxyType(self._missing)
        )

    def _take_part(self, way: Way, number: int) -> None:
        if way in self._missing or (way in self._slow and number >= _ROUNDS_OF_THE_SLOW):
            return
        self._progress(f"round {number + 1}: {way}, combination {way.combination}")
        began = time.monotonic()
        try:
            self._found[way].append(self._cost(way))
        except (AccelError, OSError, ValueError) as error:
            self._missing[way] = str(error)
            self._found[way] = []
        if time.monotonic() - began > _SLOW_START:
            self._slow.add(way)

    def _cost(self, way: Way) -> float:
        """Measure once; a way that turns out to be quick makes so many calls that it can be."""
        before = self._found[way]
        ns = _cost(way, _CALLS) if not before or before[-1] >= _QUICK_NS else 0.0
        return ns if ns >= _QUICK_NS else _cost(way, _MANY_CALLS)


def _cost(way: Way, calls: int) -> float:
    """Run the program once; return nanoseconds a call.

    Raise what a Tracer raises, OSError, or ValueError if the program did not report.
    """
    with program(calls) as path, _report() as report:
        status = _run_native(path, report) if way == NATIVE else _run_traced(way, path, report)
        if status:
            raise ValueError(f"the program that was traced ended with status {status}")
        return read_report(os.pread(report, REPORT_SIZE + 1, 0), calls)


def _run_native(path: str, report: int) -> int:
    pid = os.posix_spawn(path, [path], {}, file_actions=[(os.POSIX_SPAWN_DUP2, report, 1)])
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _run_traced(way: Way, path: str, report: int) -> int:
    decision = _DECISIONS[way.combination]
    tracer = Tracer(
        [path],
        # Of what nobody observes, the filter would answer more, without a stop.
        mask=_CALL if decision.start else None,
        env={},
        stdout=report,
        placement="none",
        mechanism=cast("MechanismName", way.mechanism),
    )
    tracer.decide(_CALL, decision)
    return tracer.run(_TIMEOUT).returncode


@contextlib.contextmanager
def _report() -> Iterator[int]:
    descriptor = os.memfd_create("accel-report", os.MFD_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _on_one_cpu() -> Iterator[None]:
    """Keep this thread on one CPU; the threads and processes that it starts inherit that."""
    before = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _loop(progress: Progress) -> Iterator[Loop]:
    """Let the compiled loop answer, as it does in a run that makes many stops, if it can be had."""
    before = os.environ.get("ACCEL_LOOP")
    if before == "python":
        yield "python"
        return
    os.environ["ACCEL_LOOP"] = "numba"
    try:
        progress("the compiled loop")
        try:
            _cost(Way("seccomp-trace", 1), _CALLS)
        except SetupError:
            os.environ["ACCEL_LOOP"] = "python"
        yield "compiled" if os.environ["ACCEL_LOOP"] == "numba" else "python"
    finally:
        del os.environ["ACCEL_LOOP"]
        if before is not None:
            os.environ["ACCEL_LOOP"] = before
