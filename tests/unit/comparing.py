"""Fakes for tests of ``accel compare``: runs that are given, and nothing that runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from accel.audit import KernelStopCount
from accel.compare.copies import Copies
from accel.compare.job import Report
from accel.compare.launcher import Run
from accel.compare.measure import Result, measure
from accel.compare.subjects import Subject

NAIVE = Subject("ptrace-syscall", "inspect()", "mechanism")
SKIPEXIT = Subject("seccomp-trace", "resume()", "loop")
SKIPCALL = Subject("seccomp-trace", "skip()", "loop", "ruled")
FILTERED = Subject("seccomp-trace", "nullify()", "kernel", "ruled")
STRACE = Subject("strace", "lines", words=("strace",))


def run(wall: float = 1.0, *, stdout: str = "out", stderr: str = "", **report: Any) -> Run:
    """A run that took ``wall`` seconds."""
    start = report.pop("start", 0.1)
    tail = report.pop("tail", "")
    return Run(Report(wall=wall, **report), stdout, stderr, tail, start)


class FakeLauncher:
    """Hands out the runs that it was given, by the subject's name; the last of each for ever.

    Who was given none always does the same.
    """

    def __init__(self, runs: Mapping[str, Sequence[Run]]) -> None:
        self._runs = {name: list(each) for name, each in runs.items()}
        self.log: list[str] = []
        self.trials: list[str] = []

    def run(self, subject: Subject, argv: Sequence[str] = ()) -> Run:
        if argv:
            self.trials.append(subject.name)
            return self._runs[f"trial of {subject.name}"][0]
        self.log.append(subject.name)
        runs = self._runs.setdefault(subject.name, [run()])
        return runs.pop(0) if len(runs) > 1 else runs[0]


class NoWatcher:
    """Looks away."""

    def begins(self, subject: Subject, done: int, total: int) -> None:
        assert done < total, subject


class FakeKernel:
    """A kernel that counts so many stops for one run after the other."""

    def __init__(self, *counts: int) -> None:
        self._counts = list(counts)

    @contextlib.contextmanager
    def __call__(self) -> Iterator[KernelStopCount]:
        count = KernelStopCount()
        count._stops = self._counts.pop(0)
        yield count


def measured(
    subjects: Sequence[Subject], runs: Mapping[str, Sequence[Run]], rounds: int = 1, **options: Any
) -> Result:
    """Measure fake runs."""
    launcher = options.pop("launcher", None) or FakeLauncher(runs)
    return measure(subjects, rounds, launcher, Copies([]), NoWatcher(), **options)
