"""Under which circumstances a subject runs: which loop answers its stops, and on which CPUs."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bench.measure import Missing
from bench.subjects import Library, Run, Subject, Task

__all__ = ["ByLoop", "Placed"]


@dataclass(frozen=True, slots=True)
class ByLoop:
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
class Placed:
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
